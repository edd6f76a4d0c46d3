"""Nights of frames that arrive: pictures every so often, a film at the end, whatever dies in between."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier, Thread

import cv2
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Connection, select, update

from observatory.alerts.facts import OnsetTold
from observatory.analysis import SkyClass
from observatory.frame import DateSource
from observatory.settings import Settings, load_settings
from observatory.storage import alert_facts, events, night_frames, nights, past_facts, queues
from observatory.storage.night_schema import night_pictures, night_works, sky_slices
from observatory.storage.night_schema import nights as night_table
from observatory.storage.nights import WorkKind
from observatory.storage.regions import FrameFacts
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.meeting import meet
from tests.workers.nights import EVENING, lines, take
from workers.app import make_app
from workers.nights import NightSweep, title_of, work
from workers.publisher import Publisher
from workers.sweeper import Sweeper
from workers.tasks import Desk

BOTH = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
EVER = timedelta(days=3000)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a frame: SQLite, and where a test asks for both, Postgres too."""
    if getattr(request, "param", "sqlite") == "postgres":
        return request.getfixturevalue("postgres").migrated_database()
    return lay_out(f"sqlite:///{tmp_path / 'heliowatch.db'}")


@pytest.fixture
def at(settings: Settings, url: str) -> Desk:
    """A worker's desk; its queue is the in-memory one, from which nobody takes."""
    made = load_settings(
        data_dir=settings.data_dir,
        database_url=url,
        nights={"rebuild_s": 60, "film_size": 96, "film_days": 9000},
        instruments={"kho": {"kind": "allsky", "site": {"latitude_deg": 78.1, "longitude_deg": 15.0}}},
        worker={"max_attempts": 2},
    )
    make_app(made)
    return Desk(made)


def due(at: Desk, *kinds: WorkKind, after: timedelta = timedelta()) -> list[int]:
    now = datetime.now(UTC) + after
    return nights.due(at.db, now, now - EVER, kinds or (WorkKind.PICTURES,))


def pictures(at: Desk) -> dict[str, dict]:
    with at.db.read() as connection:
        rows = connection.execute(select(*night_pictures.c)).mappings().all()
    return {row["kind"]: dict(row) for row in rows}


def payload(at: Desk, kind: WorkKind = WorkKind.PICTURES) -> dict:
    of = night_works.c
    with at.db.read() as connection:
        return connection.execute(select(of.payload).where(of.kind == kind.value)).scalar_one()


def hasten(at: Desk) -> None:
    """Let what rests be due now."""
    with at.db.write() as connection:
        connection.execute(update(night_works).values(due_at=datetime.now(UTC) - timedelta(seconds=1)))


@BOTH
def test_a_frame_wakes_its_night_and_the_task_makes_both_pictures(at: Desk, tmp_path: Path):
    for minute in range(5):
        take(at, tmp_path, minute, cloud=0.25)
    (work_id,) = due(at)
    assert work(at, work_id) == "done"
    assert work(at, work_id) is None  # the same message once more
    made = pictures(at)
    assert set(made) == {"keogram", "ewogram"}
    for row in made.values():
        shown = np.asarray(Image.open(io.BytesIO(at.files.find(row["path"]).read_bytes())))
        assert shown.shape == (row["height"], row["width"], 3)
        assert shown.std() > 5
    said = payload(at)
    assert (said["frames"], said["judged"], said["cadence_s"]) == (5, 5, 60.0)
    assert said["cloud_cover"] == pytest.approx(0.25)
    assert said["hours"][0]["start"] == "2026-11-20T17:00:00Z"
    told = [one for one in events.after(at.db, 0) if "night" in one.payload]
    assert [(one.type, one.instrument, one.payload["night"]["revision"]) for one in told] == [
        ("result", "kho", 1)
    ]


@BOTH
def test_pictures_rest_between_two_makings_and_then_hold_all_frames(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    (work_id,) = due(at)
    work(at, work_id)
    take(at, tmp_path, 1)
    take(at, tmp_path, 2)
    assert due(at) == []
    assert work(at, work_id) is None  # a message that comes too early
    assert due(at, after=timedelta(seconds=61)) == [work_id]
    hasten(at)
    assert work(at, work_id) == "done"
    assert payload(at)["frames"] == 3
    assert due(at, after=timedelta(hours=1)) == []


def test_pictures_made_before_the_clock_was_set_back_keep_no_others_waiting(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    (work_id,) = due(at)
    work(at, work_id)
    take(at, tmp_path, 1)
    set_back = datetime.now(UTC) - timedelta(hours=3)
    assert nights.due(at.db, set_back, set_back - EVER, (WorkKind.PICTURES,)) == [work_id]
    assert nights.claim(at.db, work_id, "w", set_back) is not None


def test_a_frame_that_ends_while_the_pictures_are_made_is_not_forgotten(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    (work_id,) = due(at)
    claimed = nights.claim(at.db, work_id, at.name, datetime.now(UTC))
    take(at, tmp_path, 1)
    ended = nights.finish(at.db, claimed, pictures=[], payload={}, rest_s=60, now=datetime.now(UTC))
    assert ended.is_ours
    assert due(at) == []
    assert due(at, after=timedelta(seconds=61)) == [work_id]


def test_two_workers_make_one_picture(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    (work_id,) = due(at)
    start, found = Barrier(2), []

    def run(desk: Desk) -> None:
        start.wait()
        found.append(work(desk, work_id))

    threads = [Thread(target=run, args=(Desk(at.settings),)) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(found, key=str) == [None, "done"]


@BOTH
def test_a_night_whose_worker_died_is_made_by_another(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    (work_id,) = due(at)
    dead = nights.claim(at.db, work_id, "dead", datetime.now(UTC))
    sent: list[int] = []
    sweep = NightSweep(at.settings, at.db, lambda one: sent.append(one) or True)
    assert sweep.sweep(datetime.now(UTC)) == 0  # it may live
    assert sweep.sweep(datetime.now(UTC) + timedelta(seconds=60)) >= 1
    assert sent[0] == work_id
    assert work(at, work_id) == "done"
    late = nights.finish(at.db, dead, pictures=[], payload={}, rest_s=1, now=datetime.now(UTC))
    assert not late.is_ours
    assert payload(at)["frames"] == 1


def test_a_broker_that_is_away_costs_a_sweep(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    now = datetime.now(UTC)
    assert NightSweep(at.settings, at.db, lambda _: False).sweep(now) == 0
    sent: list[int] = []
    sweep = NightSweep(at.settings, at.db, lambda one: sent.append(one) or True)
    assert sweep.sweep(now + timedelta(seconds=5)) == 1
    assert sweep.sweep(now + timedelta(seconds=10)) == 0  # it waits on the queue
    assert sweep.sweep(now + timedelta(minutes=20)) >= 1  # nobody took it: it was lost there


def test_frames_without_a_time_and_frames_of_the_day_belong_to_no_night(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0, is_dated=False)
    take(at, tmp_path, 1, sun_deg=3.0)
    assert due(at) == []


def test_each_evening_and_each_filter_is_a_night_of_its_own(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0, wavelength_nm=557.7)
    take(at, tmp_path, 1, wavelength_nm=630.0)
    take(at, tmp_path, 24 * 60, wavelength_nm=630.0)
    take(at, tmp_path, 2, instrument="other")
    assert len(due(at)) == 4


def test_an_onset_is_told_once(at: Desk, tmp_path: Path):
    for minute in range(30):
        take(at, tmp_path, minute)
    for minute in range(30, 36):
        take(at, tmp_path, minute, name=SkyClass.ARC, arc=80)
    (work_id,) = due(at)
    work(at, work_id)
    for minute in range(36, 40):
        take(at, tmp_path, minute, name=SkyClass.ARC, arc=80)
    hasten(at)
    work(at, work_id)
    (told,) = [one.payload["onset"] for one in events.after(at.db, 0) if "onset" in one.payload]
    assert told["time"] == "2026-11-20T17:30:00Z"
    assert payload(at)["onsets"][0]["aurora_probability"] > 0.9
    onset = EVENING + timedelta(minutes=30)
    for now, count in ((onset + timedelta(minutes=5), 1), (onset + timedelta(days=1), 0)):
        facts = alert_facts.after(at.db, 0, 0, 500, now).facts
        assert len([one for one in facts if isinstance(one, OnsetTold)]) == count
    past = list(past_facts.of_onsets(at.db, "kho", EVENING, onset + timedelta(hours=1)))
    assert [one.time for one in past] == [onset]
    assert payload(at)["classes"] == {"arc": 10, "clear": 30}


def test_what_a_picture_replaced_is_kept_for_one_making_and_then_removed(at: Desk, tmp_path: Path):
    paths = []
    for minute in range(3):
        take(at, tmp_path, minute)
        hasten(at)
        work(at, due(at)[0])
        paths.append(pictures(at)["keogram"]["path"])
    assert len(set(paths)) == 3
    assert [at.files.find(path) is not None for path in paths] == [False, True, True]


def test_a_night_that_lost_its_frames_to_another_goes(at: Desk, tmp_path: Path):
    frame_id = take(at, tmp_path, 0, longitude_deg=0.0)
    facts = FrameFacts(frame_id, "kho", EVENING, EVENING)
    moved = nights.NewSlices(lines(), longitude_deg=-170.0)
    with at.db.write() as connection:
        nights.write(at.db, connection, facts, moved, datetime.now(UTC))
    assert sorted(str(work(at, work_id)) for work_id in due(at)) == ["done", "empty"]
    with at.db.read() as connection:
        assert len(connection.execute(select(night_table.c.id)).all()) == 1


def moved_to(at: Desk, frame_id: int, longitude_deg: float, connection: Connection) -> None:
    """Let the lines of a frame belong to the night of a camera that stands elsewhere."""
    facts = FrameFacts(frame_id, "kho", EVENING, EVENING)
    nights.write(at.db, connection, facts, nights.NewSlices(lines(), longitude_deg), datetime.now(UTC))


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_night_that_looks_empty_keeps_the_frame_that_comes_to_it_meanwhile(
    at: Desk, tmp_path: Path, eventually: Callable[..., None]
):
    first, second = take(at, tmp_path, 0, longitude_deg=0.0), take(at, tmp_path, 1, longitude_deg=-170.0)
    with at.db.write() as connection:
        (night_id,) = connection.execute(
            select(sky_slices.c.night_id).where(sky_slices.c.frame_id == first)
        ).scalars()
        moved_to(at, first, -170.0, connection)
    hold = partial(moved_to, at, second, 0.0)
    (is_removed,) = meet(at.db, hold, [lambda: nights.remove_empty(at.db, night_id)], eventually)
    assert is_removed is False
    assert [row["id"] for row in night_frames.film_frames(at.db, night_id)] == [second]


def test_a_night_whose_frame_comes_while_it_is_taken_for_empty_is_made(
    at: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second = take(at, tmp_path, 0, longitude_deg=0.0), take(at, tmp_path, 1, longitude_deg=-170.0)
    series = nights.series

    def looked_too_early(db: Database, night_id: int):
        found = series(db, night_id)
        if found is None:
            with db.write() as connection:
                moved_to(at, second, 0.0, connection)
        return found

    with at.db.write() as connection:
        moved_to(at, first, -170.0, connection)
    monkeypatch.setattr(nights, "series", looked_too_early)
    assert "retried" in [work(at, work_id) for work_id in due(at)]
    monkeypatch.undo()
    assert [work(at, work_id) for work_id in due(at)] == ["done"]


def test_a_night_knows_where_its_camera_stands_once_that_is_told(at: Desk, tmp_path: Path):
    frame_id = take(at, tmp_path, 0, longitude_deg=0.0)
    with at.db.write() as connection:
        moved_to(at, frame_id, -60.0, connection)
    with at.db.read() as connection:
        (row,) = connection.execute(select(night_table)).all()
    assert (row.longitude_deg, row.start_at) == (-60.0, datetime(2026, 11, 20, 16, tzinfo=UTC))
    assert row.end_at == row.start_at + timedelta(days=1)


def test_a_frame_that_turns_out_to_be_of_the_day_leaves_its_night(at: Desk, tmp_path: Path):
    frame_id = take(at, tmp_path, 0)
    take(at, tmp_path, 1)
    by_day = nights.NewSlices(lines(), 15.0, is_daylight=True)
    with at.db.write() as connection:
        nights.write(
            at.db, connection, FrameFacts(frame_id, "kho", EVENING, EVENING), by_day, datetime.now(UTC)
        )
    assert [work(at, work_id) for work_id in due(at)] == ["done"]
    assert payload(at)["frames"] == 1


def test_a_defect_is_tried_again_and_a_night_that_failed_begins_anew_with_its_next_frame(
    at: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    take(at, tmp_path, 0)
    (work_id,) = due(at)
    with monkeypatch.context() as broken:
        broken.setattr("workers.nights.summarised", lambda _: 1 / 0)
        for _ in range(at.settings.worker.max_attempts):
            assert work(at, work_id) in ("retried", "failed")
    assert due(at, after=EVER) == []
    take(at, tmp_path, 1)
    assert work(at, due(at)[0]) == "done"


@BOTH
def test_the_sweeper_takes_a_night_back_from_a_dead_worker_and_fails_it_after_its_attempts(
    at: Desk, tmp_path: Path
):
    take(at, tmp_path, 0)
    (work_id,) = due(at)
    impatient = at.settings.worker.model_copy(update={"lease_s": 1e-6})
    made = at.settings.model_copy(update={"worker": impatient})
    sweeper = Sweeper(made, at.db, Publisher(make_app(made)))
    for attempt in (1, 2):
        claimed = nights.claim(at.db, work_id, "dead", datetime.now(UTC))
        assert claimed is not None and claimed.attempts == attempt
        sweeper.sweep()
    assert nights.claim(at.db, work_id, "alive", datetime.now(UTC)) is None
    assert due(at, after=EVER) == []


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="films need ffmpeg")


@needs_ffmpeg
def test_a_night_that_has_ended_gets_a_film_with_its_gap(at: Desk, tmp_path: Path):
    for minute in [*range(6), *range(30, 36)]:
        take(at, tmp_path, minute)
    long_ago = due(at, WorkKind.FILM, after=EVER)
    assert due(at, WorkKind.FILM) == []
    hasten(at)
    assert work(at, long_ago[0]) == "done"
    film = pictures(at)["film"]
    video = cv2.VideoCapture(str(at.files.find(film["path"])))
    assert video.get(cv2.CAP_PROP_FRAME_HEIGHT) == film["height"] == 96
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 12
    said = payload(at, WorkKind.FILM)
    assert (said["frames"], said["unreadable"]) == (12, 0)


@needs_ffmpeg
def test_a_film_without_readable_frames_says_why_and_none_is_made_of_nights_long_ago(
    at: Desk, tmp_path: Path
):
    take(at, tmp_path, 0)
    for path in tmp_path.glob("kho_*.png"):
        path.unlink()
    hasten(at)
    (work_id,) = due(at, WorkKind.FILM)
    assert work(at, work_id) == "rejected"
    other = load_settings(data_dir=at.settings.data_dir, database_url=at.db.url, nights={"film_days": 1})
    take(at, tmp_path, 1, begin=EVENING - timedelta(days=3000))
    NightSweep(other, at.db, lambda _: True).sweep(datetime.now(UTC) + timedelta(hours=1))
    assert due(at, WorkKind.FILM, after=EVER) == []


def test_without_films_none_waits_and_pictures_do(at: Desk, tmp_path: Path):
    take(at, tmp_path, 0, begin=EVENING - timedelta(days=3))
    quiet = load_settings(data_dir=at.settings.data_dir, database_url=at.db.url, nights={"films": False})
    later = datetime.now(UTC) + timedelta(hours=1)
    assert [one.waiting for one in [queues.of_nights(at.db, later)]] == [2]
    assert NightSweep(quiet, at.db, lambda _: True).sweep(later) == 1
    assert queues.of_nights(at.db, later).waiting == 1


def test_titles_name_both_days_and_say_simulated():
    def title(day: str, wavelength: float = 0.0, **marks: bool) -> str:
        date = datetime.fromisoformat(day).date()
        return title_of("kho", wavelength, date, **marks)

    assert title("2026-11-20") == "kho · night of 20 to 21 November 2026"
    assert title("2026-11-30", 557.7) == "kho 557.7 nm · night of 30 November to 1 December 2026"
    assert title("2026-12-31") == "kho · night of 31 December 2026 to 1 January 2027"
    assert title("2026-11-20", is_simulated=True).endswith("SIMULATED")
    assert title("2026-11-20", is_file_time=True).endswith("times of the files")


@BOTH
def test_a_picture_says_that_its_times_are_those_of_files(
    at: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    titles: list[str] = []

    def pictures_of(series: object, summary: object, found: object, title: str) -> list[object]:
        titles.append(title)
        return []

    monkeypatch.setattr("workers.nights.pictures_of", pictures_of)
    take(at, tmp_path, 0)
    assert work(at, due(at)[0]) == "done"
    take(at, tmp_path, 1, date_source=DateSource.FILE_TIME)
    hasten(at)
    assert work(at, due(at)[0]) == "done"
    assert [title.endswith("times of the files") for title in titles] == [False, True]
