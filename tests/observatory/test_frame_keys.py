"""Lists of frames hold what was asked for, in order, whatever is asked: on both databases."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert

from observatory.storage import catalogue, frame_keys, tallies
from observatory.storage.catalogue import FrameFilter
from observatory.storage.schema import causes, frames, segmentations
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.servers import PostgresServer

START = datetime(2026, 1, 1, tzinfo=UTC)
CAMERAS = {"kso-halpha": [656.28, 656.3], "aia-193": [19.3], "aia-171": [17.1], "allsky": [None, 557.7]}
Row = dict[str, Any]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, list[Row]]]:
    """Frames of every kind, and what is known of them."""
    if request.param == "sqlite":
        url = lay_out(f"sqlite:///{tmp_path_factory.mktemp('archive') / 'heliowatch.db'}")
    else:
        url = request.getfixturevalue("postgres").migrated_database()
    db = Database(url)
    yield db, _fill(db)
    db.dispose()


def _fill(db: Database) -> list[Row]:
    random_ = random.Random(7)
    known = [_row(number, random_) for number in range(1, 401)]
    extra = ("causes", "event_types")
    with db.write() as connection:
        connection.execute(
            insert(frames), [{key: row[key] for key in row if key not in extra} for row in known]
        )
        for row in known:
            place = {"frame_id": row["id"], "instrument": row["instrument"], "moment": row["moment"]}
            for cause in row["causes"]:
                connection.execute(insert(causes), [place | {"cause": cause, "probability": 0.7}])
            for kind in row["event_types"]:
                connection.execute(insert(segmentations), [place | _segmentation(kind)])
    return known


def _row(number: int, random_: random.Random) -> Row:
    name = random_.choice([*CAMERAS, None])
    status = random_.choice(["done"] * 6 + ["failed", "rejected", "received", "processing"])
    score = round(random_.choice([random_.random(), random_.random() ** 9, 0.02, 0.5, 1.0, 0.0]), 4)
    is_judged = status == "done" and name is not None and number % 7
    moment = START + timedelta(minutes=random_.randrange(300))
    return {
        "id": number,
        "sha256": f"{number % 390:064x}" if status != "rejected" else None,
        "frame_index": number // 390,
        "instrument": name,
        "family": None if name is None else "family",
        "date_obs_source": "header",
        "date_obs": None if number % 11 == 0 else moment,
        "moment": moment,
        "wavelength_nm": None if name is None else random_.choice(CAMERAS[name]),
        "file_name": f"{number}.fits",
        "path": f"/in/{number}.fits",
        "bytes": 10,
        "status": status,
        "priority": "live",
        "received_at": moment,
        "attempts": 1,
        "is_simulated": False,
        "quality_score": score if is_judged else None,
        "is_degraded": score < 0.5 if is_judged else None,
        "mark": "bad" if number % 41 == 0 else None,
        "sky_class": "arc" if name == "allsky" and number % 2 else None,
        "causes": ["cloud"] * (number % 5 == 0) + ["dust"] * (number == 123) if is_judged else [],
        "event_types": ["CH"] if name == "aia-193" and number % 3 == 0 else [],
    }


def _segmentation(kind: str) -> Row:
    named = dict.fromkeys(("model_name", "model_version", "model_sha256", "parameters_hash"), "x")
    return {"event_type": kind, "regions": 2, "disk_fraction": 0.1, "is_dated": True} | {
        **named,
        "software_version": "1",
    }


_TESTS: dict[str, Callable[[Row, Any], bool]] = {
    "instrument": lambda row, value: row["instrument"] == value,
    "time_from": lambda row, value: row["moment"] >= value,
    "time_to": lambda row, value: row["moment"] < value,
    "status": lambda row, value: row["status"] == value,
    "quality_min": lambda row, value: row["quality_score"] is not None and row["quality_score"] >= value,
    "quality_max": lambda row, value: row["quality_score"] is not None and row["quality_score"] <= value,
    "cause": lambda row, value: value in row["causes"],
    "wavelength_nm": lambda row, value: abs((row["wavelength_nm"] or 0) - value) <= 0.05,
    "event_type": lambda row, value: value in row["event_types"],
    "sky_class": lambda row, value: row["sky_class"] == value,
    "sha256": lambda row, value: row["sha256"] == value,
    "mark": lambda row, value: row["mark"] == value,
}
_ASKED: dict[str, list[Any]] = {
    "instrument": ["kso-halpha", "aia-193", "allsky", "none"],
    "time_from": [START + timedelta(minutes=60)],
    "time_to": [START + timedelta(minutes=200)],
    "status": ["done", "failed", "received"],
    "quality_min": [0.0, 0.02, 0.5, 0.98, 1.0],
    "quality_max": [0.0, 0.001, 0.02, 0.4, 1.0],
    "cause": ["cloud", "dust", "eclipse"],
    "wavelength_nm": [656.28, 19.3, 557.7, 1083.0],
    "event_type": ["CH", "AR"],
    "sky_class": ["arc", "cloud"],
    "sha256": [f"{9:064x}"],
    "mark": ["bad", "good"],
}


@pytest.mark.parametrize("few", [1000, 0], ids=["few sorted", "none sorted"])
def test_any_filters_together_give_what_passes_all_of_them(
    archive: tuple[Database, list[Row]], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    db, known = archive
    monkeypatch.setattr(frame_keys, "_FEW", few)
    random_ = random.Random(few)
    asked = [{name: value} for name, values in _ASKED.items() for value in values]
    for _ in range(100):
        names = random_.sample(list(_ASKED), random_.randint(2, 4))
        asked.append({name: random_.choice(_ASKED[name]) for name in names})
    for one in asked:
        passing = [row for row in known if all(_TESTS[name](row, value) for name, value in one.items())]
        passing.sort(key=lambda row: (row["moment"], row["id"]), reverse=True)
        found = catalogue.find(db, FrameFilter(**one), limit=20)
        assert [row["id"] for row in found] == [row["id"] for row in passing[:20]], one


@pytest.mark.parametrize(
    "wanted",
    [
        FrameFilter(),
        FrameFilter(cause="cloud"),
        FrameFilter(quality_min=0.3),
        FrameFilter(wavelength_nm=656.28),
        FrameFilter(event_type="CH", instrument="aia-193"),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_ascending", [True, False])
def test_pages_of_any_filter_follow_each_other(
    archive: tuple[Database, list[Row]], wanted: FrameFilter, is_ascending: bool
) -> None:
    db, _ = archive
    whole = [row["id"] for row in catalogue.find(db, wanted, limit=1000, is_ascending=is_ascending)]
    seen, after = [], None
    while True:
        rows, after = catalogue.table(db, wanted, limit=7, after=after, is_ascending=is_ascending)
        seen += [row[0] for row in rows]
        if after is None:
            break
    assert seen == whole
    assert len(whole) > 7


def test_frames_are_counted_as_they_end_and_a_recount_agrees(archive: tuple[Database, list[Row]]) -> None:
    db, known = archive
    by_status = {status: sum(row["status"] == status for row in known) for status in tallies.counts(db)}
    assert tallies.counts(db) == by_status
    before = tallies.overview(db), tallies.counts_by_instrument(db)
    tallies.recount(db)
    assert (tallies.overview(db), tallies.counts_by_instrument(db)) == before
    mine = [row for row in known if row["instrument"] == "kso-halpha"]
    kso = next(row for row in before[0] if row["instrument"] == "kso-halpha")
    assert kso["frames"] == len(mine)
    assert kso["degraded"] == sum(row["is_degraded"] is True for row in mine)
    assert kso["waiting"] == sum(row["status"] in ("received", "processing") for row in mine)
    assert kso["last_date_obs"] == max(row["date_obs"] for row in mine if row["date_obs"])


def test_a_recount_counts_what_was_loaded_past_the_triggers(postgres: PostgresServer) -> None:
    url = postgres.migrated_database()
    loading, db = Database(url), Database(url)
    event.listen(
        loading.engine,
        "begin",
        lambda connection: connection.exec_driver_sql("SET LOCAL session_replication_role = replica"),
    )
    known = _fill(loading)
    loading.dispose()
    by_status = {status: sum(row["status"] == status for row in known) for status in tallies.counts(db)}
    assert tallies.counts(db) != by_status
    tallies.recount(db)
    assert tallies.counts(db) == by_status
    db.dispose()


def test_a_wider_step_of_scores_changes_no_list(archive: tuple[Database, list[Row]]) -> None:
    db, _ = archive
    for low, high in ((0.0, 0.0), (0.019, 0.02), (0.02, 0.021), (0.49, 0.51), (1.0, 1.0)):
        narrow = FrameFilter(quality_min=low, quality_max=high)
        within = replace(narrow, quality_min=0.0)
        scores = [
            row["quality_score"]
            for row in catalogue.find(db, within, limit=500)
            if row["quality_score"] >= low
        ]
        assert [row["quality_score"] for row in catalogue.find(db, narrow, limit=500)] == scores
