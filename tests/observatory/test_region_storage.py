"""Regions and tracks: written with their frame, once, followed by many workers, asked in many ways."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, event, func, select

from observatory.coordinates import rotate_carrington
from observatory.frame import DateSource
from observatory.orientation import preview_affine
from observatory.storage import events, frames, region_catalogue, results
from observatory.storage.files import ProductFiles
from observatory.storage.region_catalogue import RegionFilter
from observatory.storage.schema import frames as frame_table
from observatory.storage.schema import regions, segmentations, track_events, tracks
from observatory.storage.session import Database
from tests.service.corona import AR, CH, NETWORK, NOON, Spot, central, found, picture
from tests.service.telescope import Telescope, on_sqlite

BIG, SMALL = central(20, 14), central(-25, 7, west_deg=20)


@pytest.fixture
def telescope(db: Database, tmp_path: Path) -> Telescope:
    return Telescope(db, ProductFiles(tmp_path / "products"))


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def watch(telescope: Telescope, when: datetime, *spots: Spot, **given: Any) -> int:
    """A frame with coronal holes."""
    return telescope.corona(found(CH, spots, when), date_obs=when, **given)


def find(db: Database, limit: int = 50, **wanted: Any) -> list[dict[str, Any]]:
    return region_catalogue.find(db, RegionFilter(**wanted), limit=limit)


def track_ids(db: Database, frame_id: int) -> list[int]:
    """Tracks of a frame's regions, the largest region first."""
    return [row["track_id"] for one in region_catalogue.of_frame(db, frame_id) for row in one["items"]]


def count(db: Database, table: Any) -> int:
    with db.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_a_frame_s_regions_come_back_as_they_were_found(telescope: Telescope, db: Database) -> None:
    new = found(CH, (BIG, SMALL))
    frame_id = telescope.corona(new, found(AR, ()), date_obs=NOON)
    active, holes = region_catalogue.of_frame(db, frame_id)
    assert (active["event_type"], active["regions"], active["disk_fraction"], active["items"]) == (
        "AR",
        0,
        0,
        [],
    )
    assert holes["regions"] == 2 and holes["model_sha256"] == NETWORK.sha256
    assert holes["area_msh"] == pytest.approx(sum(region.area_msh for region in new.segmentation.regions))
    assert tuple(holes["preview_affine"]) == pytest.approx(preview_affine(picture()))
    for row, region in zip(holes["items"], new.segmentation.regions, strict=True):
        again = region_catalogue.region_of(row)
        assert again.disk_fraction == region.disk_fraction and again.event_type is CH
        assert again.centroid_carrington_deg == region.centroid_carrington_deg
        assert region.rings_carrington_deg and again.rings_carrington_deg
        np.testing.assert_allclose(again.rings_px[0], region.rings_px[0], atol=0.006)
        np.testing.assert_allclose(again.rings_carrington_deg[0], region.rings_carrington_deg[0], atol=6e-4)
    (told,) = [one for one in events.after(db, 0) if one.type == "result"]
    assert told.payload["regions"]["CH"]["regions"] == 2
    assert told.payload["regions"]["AR"] == {"regions": 0, "disk_fraction": 0}


@on_sqlite
def test_a_frame_that_ends_twice_has_its_regions_once(telescope: Telescope, db: Database) -> None:
    frame_id = watch(telescope, NOON, BIG, SMALL)
    before = region_catalogue.of_frame(db, frame_id)
    telescope.again(frame_id, found(CH, (BIG, SMALL), NOON))
    assert region_catalogue.of_frame(db, frame_id) == before
    with db.read() as connection:
        assert set(connection.execute(select(tracks.c.sightings)).scalars()) == {1}


def test_another_model_s_regions_replace_the_former_ones_and_keep_their_tracks(
    telescope: Telescope, db: Database
) -> None:
    first = watch(telescope, NOON, BIG, SMALL)
    second = watch(telescope, at(10), BIG)
    big, small = track_ids(db, first)
    telescope.again(first, found(CH, (central(21, 13),), NOON, "ef" * 32))
    assert track_ids(db, first) == track_ids(db, second) == [big]
    assert region_catalogue.track(db, small) is None  # only the former run had seen it
    kept = region_catalogue.track(db, big)
    assert kept is not None and (kept["sightings"], kept["first_seen"]) == (2, NOON)
    (holes,) = region_catalogue.of_frame(db, first)
    assert holes["model_sha256"] == "ef" * 32 and count(db, regions) == 2


@pytest.mark.parametrize("question", ["find", "of_frame", "track"])
def test_what_is_asked_while_regions_are_replaced_is_of_one_moment(
    telescope: Telescope, db: Database, question: str
) -> None:
    first = watch(telescope, NOON, BIG, SMALL)
    other = watch(telescope, at(10), BIG, SMALL)
    _, small = track_ids(db, first)
    to_come = [
        (frame_id, found(CH, (BIG,), when, "ef" * 32)) for frame_id, when in ((first, NOON), (other, at(10)))
    ]

    def replace_meanwhile(*call: Any) -> None:
        """After the first question; what is done here comes here, too."""
        if not call[2].startswith("SELECT"):
            return
        meanwhile = to_come[:]
        to_come.clear()
        for frame_id, new in meanwhile:
            telescope.again(frame_id, new)

    asked: dict[str, Any] = {
        "find": lambda: len(find(db)),
        "of_frame": lambda: [len(one["items"]) == one["regions"] for one in region_catalogue.of_frame(db, 1)],
        "track": lambda: (region_catalogue.track(db, small) or {}).get("sightings"),
    }
    event.listen(db.engine, "after_cursor_execute", replace_meanwhile)
    assert asked[question]() == {"find": 4, "of_frame": [True], "track": 2}[question]
    assert len(find(db)) == 2


def test_a_run_that_could_not_look_takes_back_what_a_former_one_found(
    telescope: Telescope, db: Database
) -> None:
    first = telescope.corona(found(CH, (BIG,)), found(AR, (SMALL,)), date_obs=NOON)
    second = watch(telescope, at(10), BIG)
    (big,) = track_ids(db, second)
    told = events.last_seq(db)
    telescope.again(first, found(AR, (SMALL,)), looked_for=(CH, AR))
    assert [one["event_type"] for one in region_catalogue.of_frame(db, first)] == ["AR"]
    kept = region_catalogue.track(db, big)
    assert kept is not None and (kept["sightings"], kept["first_seen"]) == (1, at(10))
    telescope.again(first, looked_for=(CH, AR))
    assert region_catalogue.of_frame(db, first) == [] and count(db, regions) == count(db, tracks) == 1
    assert "regions" not in events.after(db, told)[-1].payload
    telescope.again(second)  # a run of a frame in which nothing is ever looked for
    assert track_ids(db, second) == [big]


def test_regions_keep_their_track_in_whatever_order_frames_are_finished(
    telescope: Telescope, db: Database
) -> None:
    moments = [at(30 * step) for step in (3, 0, 4, 1, 2)]
    seen = [track_ids(db, watch(telescope, when, BIG, SMALL)) for when in moments]
    assert all(one == seen[0] for one in seen)
    track = region_catalogue.track(db, seen[0][0])
    assert track is not None
    assert (track["first_seen"], track["last_seen"], track["sightings"]) == (NOON, at(120), 5)


def test_over_five_days_every_region_keeps_its_track_though_frames_are_finished_pell_mell(
    telescope: Telescope, db: Database
) -> None:
    homes = [central(25, 9, west_deg=-25), central(-10, 7, west_deg=-40), central(-35, 8, west_deg=-10)]
    moments = [NOON + timedelta(hours=8 * step) for step in range(16)]
    order = [one for pair in zip(moments[1::2], moments[::2], strict=True) for one in pair]
    seen: dict[int, set[int]] = {number: set() for number in range(len(homes))}
    for step, when in enumerate(order):
        days = (when - NOON).total_seconds() / 86400
        moved = [
            replace(home, longitude_deg=float(rotate_carrington(home.longitude_deg, home.latitude_deg, days)))
            for home in homes
        ]
        name = ("aia-193", "aia-171")[step % 3 == 0]
        frame_id = telescope.corona(found(CH, tuple(moved), when), date_obs=when, instrument=name)
        (holes,) = region_catalogue.of_frame(db, frame_id)
        for row in holes["items"]:
            nearest = min(
                range(len(homes)),
                key=lambda one: abs(homes[one].latitude_deg - row["carrington_latitude_deg"]),
            )
            seen[nearest].add(row["track_id"])
    assert [len(ids) for ids in seen.values()] == [1, 1, 1]
    assert len(set.union(*seen.values())) == 3
    assert count(db, track_events) == 0


def test_many_workers_found_one_track_together(telescope: Telescope, db: Database) -> None:
    ids = [telescope.receive(instrument="aia-193", family="aia", date_obs=at(step)) for step in range(6)]
    found(CH, (BIG,), NOON)  # what is imported only once is not a race of ours

    def work(step: int) -> bool:
        assert frames.claim(db, ids[step], f"w{step}", NOON) is not None
        nothing: dict[str, Any] = {"quality": None, "made": [], "pictures": []}
        return results.finish(
            db,
            ids[step],
            f"w{step}",
            **nothing,
            software_version="0.1.0",
            now=NOON,
            segmentations=[found(AR, (SMALL,), at(step)), found(CH, (BIG,), at(step))],
        )

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))
    with db.read() as connection:
        rows = connection.execute(select(tracks.c.event_type, tracks.c.sightings)).all()
    assert sorted(tuple(row) for row in rows) == [("AR", 6), ("CH", 6)]


def test_splits_and_merges_are_kept_with_their_frame(telescope: Telescope, db: Database) -> None:
    left, right = central(20, 9, west_deg=-7), central(20, 8, west_deg=7)
    (whole,) = track_ids(db, watch(telescope, NOON, left, right))
    apart = central(20, 6, west_deg=-10), central(20, 5, west_deg=10)
    parted = watch(telescope, at(60), *apart)
    pieces = track_ids(db, parted)
    assert len(pieces) == 2 and whole in pieces
    (child,) = set(pieces) - {whole}
    track = region_catalogue.track(db, child)
    assert track is not None and track["parent_id"] == whole
    (split,) = track["events"]
    assert (split["kind"], split["frame_id"], split["other_id"], split["moment"]) == (
        "split",
        parted,
        whole,
        at(60),
    )
    joined = watch(telescope, at(120), left, right)
    assert track_ids(db, joined) == [whole]
    track = region_catalogue.track(db, child)
    assert track is not None and (track["merged_into_id"], track["merged_at"]) == (whole, at(120))
    assert [one["kind"] for one in track["events"]] == ["split", "merge"]
    parent = region_catalogue.track(db, whole)
    assert parent is not None and len(parent["events"]) == 2


def test_a_run_that_is_replaced_takes_its_splits_merges_and_returns_with_it(
    telescope: Telescope, db: Database
) -> None:
    left, right = central(20, 9, west_deg=-7), central(20, 8, west_deg=7)
    apart = central(20, 6, west_deg=-10), central(20, 5, west_deg=10)
    (whole,) = track_ids(db, watch(telescope, NOON, left, right))
    parted = watch(telescope, at(60), *apart)
    (child,) = set(track_ids(db, parted)) - {whole}
    joined = watch(telescope, at(120), left, right)

    def told(track_id: int) -> tuple[Any, Any, list[str]]:
        track = region_catalogue.track(db, track_id)
        assert track is not None
        return track["parent_id"], track["merged_into_id"], [one["kind"] for one in track["events"]]

    assert told(child) == (whole, whole, ["split", "merge"])
    again = lambda frame_id, *spots, sha256: telescope.again(  # noqa: E731
        frame_id, found(CH, spots, {parted: at(60), joined: at(120)}[frame_id], sha256 * 32)
    )
    again(joined, left, right, sha256="aa")  # says the same: so does what is kept
    assert told(child) == (whole, whole, ["split", "merge"])
    again(joined, *apart, sha256="bb")
    assert set(track_ids(db, joined)) == {whole, child}
    assert told(child) == (whole, None, ["split"])
    again(parted, *apart, sha256="cc")
    assert set(track_ids(db, parted)) == {whole, child}
    assert told(child) == (whole, None, ["split"])
    again(parted, left, right, sha256="dd")
    assert track_ids(db, parted) == [whole]
    assert told(child) == (None, None, []) and told(whole) == (None, None, [])
    returned = watch(telescope, at(180), left, right)
    assert told(child)[1:] == (whole, ["merge"])
    telescope.again(returned, looked_for=(CH,))
    assert told(child)[1:] == (None, [])


def test_a_track_is_merged_again_when_its_return_is_taken_back(telescope: Telescope, db: Database) -> None:
    left, right = central(20, 9, west_deg=-7), central(20, 8, west_deg=7)
    apart = central(20, 6, west_deg=-10), central(20, 5, west_deg=10)
    (whole,) = track_ids(db, watch(telescope, NOON, left, right))
    (child,) = set(track_ids(db, watch(telescope, at(60), *apart))) - {whole}
    watch(telescope, at(120), left, right)
    returned = watch(telescope, at(180), *apart)
    track = region_catalogue.track(db, child)
    assert track is not None and track["merged_into_id"] is None
    assert [one["kind"] for one in track["events"]] == ["split", "merge", "return"]
    telescope.again(returned, looked_for=(CH,))
    track = region_catalogue.track(db, child)
    assert track is not None and (track["merged_into_id"], track["merged_at"]) == (whole, at(120))
    assert [one["kind"] for one in track["events"]] == ["split", "merge"]


@on_sqlite
def test_what_has_no_time_or_no_coordinates_has_no_track(telescope: Telescope, db: Database) -> None:
    undated = telescope.corona(
        found(CH, (BIG,)), date_obs=None, date_obs_source=DateSource.NONE, received_at=at(3)
    )
    unturned = telescope.corona(found(CH, (BIG,), frame=picture(roll_deg=None)), date_obs=NOON)
    assert track_ids(db, undated) == track_ids(db, unturned) == [None]
    assert find(db, frame_id=undated)[0]["date_obs"] is None
    assert find(db)[0]["frame_id"] == undated
    series = region_catalogue.area_series(db, CH, None, None, None, bin_s=None, limit=9)
    assert [row["frame_id"] for row in series] == [unturned]


@pytest.mark.parametrize("few", [10_000, 0])
def test_filters_narrow_the_list(
    telescope: Telescope, db: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(region_catalogue, "_FEW", few)  # large regions are found by area, or by time
    first = watch(telescope, NOON, BIG, SMALL)
    second = watch(telescope, at(10), SMALL, instrument="aia-171")
    third = telescope.corona(found(AR, (BIG,), at(20)), date_obs=at(20))
    ids = lambda **wanted: [row["frame_id"] for row in find(db, **wanted)]  # noqa: E731
    assert ids() == [third, second, first, first]
    assert ids(event_type=CH) == [second, first, first]
    assert ids(instrument="aia-171") == [second]
    assert ids(instrument="aia-171", event_type=AR) == []
    assert ids(time_from=at(10), time_to=at(20)) == [second]
    assert ids(frame_id=first) == [first, first]
    large = find(db, frame_id=first)[-1]
    assert large["number"] == 1
    assert ids(area_msh_min=0.9 * large["area_msh"]) == [third, first]
    assert ids(area_msh_min=0.9 * large["area_msh"], event_type=CH) == [first]
    assert ids(disk_fraction_min=1.0) == []
    assert ids(track_id=track_ids(db, second)[0]) == [second, first]
    assert ids(track_id=12345) == []


@pytest.mark.parametrize("is_ascending", [False, True])
def test_pages_follow_each_other_without_gap_or_overlap(
    telescope: Telescope, db: Database, is_ascending: bool
) -> None:
    for step in range(4):
        telescope.corona(found(CH, (BIG, SMALL), at(step)), found(AR, (SMALL,), at(step)), date_obs=at(step))
    whole = region_catalogue.find(db, RegionFilter(), limit=99, is_ascending=is_ascending)
    assert len(whole) == 12
    paged: list[dict[str, Any]] = []
    after = None
    while page := region_catalogue.find(
        db, RegionFilter(), limit=5, after=after, is_ascending=is_ascending, with_outlines=False
    ):
        paged += page
        after = page[-1]["moment"], page[-1]["id"]
    assert [row["id"] for row in paged] == [row["id"] for row in whole]
    assert "rings_px" not in paged[0] and "rings_px" in whole[0]


def test_areas_over_time_count_frames_without_regions(telescope: Telescope, db: Database) -> None:
    watch(telescope, at(0), BIG)
    watch(telescope, at(4))
    watch(telescope, at(5), BIG, SMALL)
    watch(telescope, at(300), SMALL, instrument="aia-171")
    series = lambda **how: region_catalogue.area_series(  # noqa: E731
        db, CH, how.pop("instrument", None), how.pop("start", None), how.pop("end", None), **how
    )
    single = series(bin_s=None, limit=9, instrument="aia-193")
    assert [row["regions"] for row in single] == [1, 0, 2]
    assert [row["time"] for row in series(bin_s=None, limit=9, start=at(4), end=at(5))] == [at(4)]
    assert [row["time"] for row in series(bin_s=None, limit=2)] == [at(5), at(300)]
    assert (
        single[0]["disk_fraction_liberal"]
        > single[0]["disk_fraction"]
        > single[0]["disk_fraction_conservative"]
    )
    first, second, last = series(bin_s=300, limit=9)
    assert (first["time"], first["frames"], first["regions"]) == (NOON, 2, 0.5)
    assert first["disk_fraction"] == pytest.approx(single[0]["disk_fraction"] / 2)
    assert (first["disk_fraction_min"], second["time"]) == (0, at(5))
    assert (last["time"], last["instrument"]) == (at(300), "aia-171")
    assert [row["time"] for row in series(bin_s=300, limit=2)] == [at(5), at(300)]
    assert [row["time"] for row in series(bin_s=300, limit=9, start=at(4), end=at(5))] == [NOON]
    assert len(series(bin_s=366 * 86400, limit=9999)) == 2


@on_sqlite
@pytest.mark.parametrize(
    "wanted",
    [
        RegionFilter(),
        RegionFilter(time_to=at(1)),
        RegionFilter(event_type=CH),
        RegionFilter(instrument="aia-193", time_from=at(-1)),
        RegionFilter(instrument="aia-193", event_type=AR),
        RegionFilter(track_id=1),
        RegionFilter(area_msh_min=9e5),
        RegionFilter(disk_fraction_min=0.5, instrument="aia-193"),
        RegionFilter(quality_min=0.5, wavelength_nm=19.3),
    ],
    ids=repr,
)
def test_no_list_walks_or_sorts_the_archive(telescope: Telescope, db: Database, wanted: RegionFilter) -> None:
    watch(telescope, NOON, BIG)
    asked: list[tuple[str, Any]] = []
    with db.engine.connect() as connection:
        event.listen(connection.engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    region_catalogue.find(db, wanted, limit=9)
    with db.read() as connection:
        plans = [
            " ".join(row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", given))
            for words, given in list(asked)
            if words.startswith("SELECT")
        ]
    assert plans
    is_by_area = wanted.area_msh_min or wanted.disk_fraction_min
    for plan in plans:
        assert "SCAN regions" not in plan and "SCAN frames" not in plan
        assert is_by_area or "TEMP B-TREE FOR ORDER" not in plan  # the few large ones may be sorted
    assert not is_by_area or any("ix_regions_event_type_" in plan and ">?" in plan for plan in plans)


@on_sqlite
def test_a_removed_frame_takes_its_regions_with_it(telescope: Telescope, db: Database) -> None:
    frame_id = watch(telescope, NOON, BIG)
    with db.write() as connection:
        connection.execute(delete(frame_table).where(frame_table.c.id == frame_id))
    assert count(db, regions) == count(db, segmentations) == 0
