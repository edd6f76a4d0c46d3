"""Regions keep their ids while the Sun turns; splits and merges are told once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.simulate.aia import AiaSun, AiaTelescope, Change, Place
from observatory.analysis import EventType, Region
from observatory.coordinates import SunView, rotate_carrington, stonyhurst_to_hpc, to_stonyhurst
from observatory.errors import UnusableInputError
from observatory.regions import find_regions
from observatory.tracking import MAX_GAP_DAYS, Merge, Observation, Sighting, Split, Track, Update, update

START = datetime(2014, 9, 5, 7, 12, tzinfo=UTC)
CH = EventType.CORONAL_HOLE


def sighting(
    longitude: float, latitude: float, size: float, at: datetime, name: str = "aia-193", tall: float = 1.0
):
    """An ellipse on the Sun: Carrington degrees, half width `size`."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack(
        [
            (longitude + size * np.cos(angle) / np.cos(np.radians(latitude))) % 360,
            latitude + tall * size * np.sin(angle),
        ],
        axis=-1,
    )
    return Sighting(at, name, (ring,), (longitude % 360, latitude))


@dataclass
class Book:
    """What storage does with an answer: tracks by number."""

    tracks: dict[int, Track] = field(default_factory=dict)
    splits: list[tuple[int, int]] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    revived: list[int] = field(default_factory=list)
    parents: dict[int, int | None] = field(default_factory=dict)

    def see(self, at: datetime, *regions: Sighting, name: str = "aia-193") -> list[int]:
        """Record one frame; return the ids of its regions in order."""
        answer = update(self.tracks.values(), Observation(at, name, CH, regions))
        check(answer, len(regions))
        ids = {item.region: item.track_id for item in answer.assignments}
        for item in answer.new:
            ids[item.region] = len(self.tracks) + 1
            self.tracks[ids[item.region]] = Track(ids[item.region], CH, ())
            self.parents[ids[item.region]] = item.parent_id
        for number, region in enumerate(regions):
            track = self.tracks[ids[number]]
            self.tracks[ids[number]] = replace(track, sightings=(*track.sightings, region))
        self.splits += [(split.parent_id, ids[split.region]) for split in answer.splits]
        self.merges += answer.merges
        self.revived += answer.revived
        for merge in answer.merges:
            self.tracks[merge.absorbed_id] = replace(
                self.tracks[merge.absorbed_id], merged_into=merge.into_id
            )
        for number in answer.revived:
            self.tracks[number] = replace(self.tracks[number], merged_into=None)
        return [ids[number] for number in range(len(regions))]


def check(answer: Update, count: int) -> None:
    """What every answer must keep to."""
    numbers = sorted([a.region for a in answer.assignments] + [n.region for n in answer.new])
    assert numbers == list(range(count))
    ids = [a.track_id for a in answer.assignments]
    assert len(ids) == len(set(ids))
    assert all(0 < a.overlap <= 1 for a in answer.assignments)
    children = {n.region: n.parent_id for n in answer.new if n.parent_id is not None}
    assert {s.region: s.parent_id for s in answer.splits}.items() <= children.items()
    assert set(answer.revived) <= set(ids)
    assert not {m.absorbed_id for m in answer.merges} & set(ids)
    assert {m.into_id for m in answer.merges} <= set(ids)


def middle(at: datetime) -> float:
    return SunView(at).l0_deg


def later(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def test_over_five_days_of_rotation_every_region_keeps_its_id():
    places = [
        (-60.0, 25.0, 9.0),
        (-45.0, -12.0, 6.0),
        (-20.0, 40.0, 12.0),
        (-30.0, 5.0, 4.0),
        (-10.0, -62.0, 14.0),
    ]
    book, first = Book(), None
    for hour in range(0, 121, 6):
        at, days = later(hour), hour / 24
        seen = [
            sighting(float(rotate_carrington(middle(START) + lon, lat, days)), lat, size, at)
            for lon, lat, size in places
        ]
        order = np.random.default_rng(hour).permutation(len(seen))
        ids = book.see(at, *(seen[k] for k in order))
        by_place = [ids[list(order).index(k)] for k in range(len(seen))]
        first = first or by_place
        assert by_place == first
    assert len(book.tracks) == len(places)
    assert book.splits == []
    assert book.merges == []


@given(
    st.lists(
        st.tuples(st.floats(-55, 25), st.sampled_from([-50.0, -25.0, 0.0, 25.0, 50.0]), st.floats(3, 9)),
        min_size=1,
        max_size=5,
        unique_by=lambda place: place[1],
    ),
    st.lists(st.floats(0.2, 40), min_size=1, max_size=4),
    st.floats(-1.0, 1.0),
)
@settings(max_examples=40)
def test_ids_are_stable_for_any_gaps_and_a_rotation_law_that_is_a_little_wrong(places, gaps, error):
    book, hours, first = Book(), 0.0, None
    for gap in [0.0, *gaps]:
        hours += gap
        at, days = later(hours), hours / 24
        seen = [
            sighting(
                float(rotate_carrington(middle(START) + lon, lat, days)) + 0.3 * error * days, lat, size, at
            )
            for lon, lat, size in places
            if abs(lon + 13 * days) < 75
        ]
        if len(seen) < len(places):
            return
        ids = book.see(at, *seen)
        first = first or ids
        assert ids == first


@given(st.permutations(range(6)))
@settings(max_examples=20)
def test_frames_in_any_order_give_the_same_regions_the_same_ids(order):
    book, ids = Book(), {}
    for k in order:
        at = later(8.0 * k)
        regions = [
            sighting(float(rotate_carrington(middle(START) + lon, lat, k / 3)), lat, 7.0, at)
            for lon, lat in ((-30.0, 20.0), (-5.0, -20.0))
        ]
        ids[k] = book.see(at, *regions)
    assert len({tuple(pair) for pair in ids.values()}) == 1
    assert (book.splits, book.merges) == ([], [])


def test_the_answer_does_not_depend_on_the_order_of_the_tracks():
    book, at = Book(), later(0)
    book.see(at, *(sighting(middle(START) + lon, 10.0, 6.0, at) for lon in (-40.0, -15.0, 10.0, 35.0)))
    seen = Observation(
        later(1),
        "aia-193",
        CH,
        tuple(sighting(middle(START) + lon, 10.0, 6.0, later(1)) for lon in (9.0, -41.0)),
    )
    tracks = list(book.tracks.values())
    assert update(tracks, seen) == update(tracks[::-1], seen)


def test_a_split_names_its_parent_and_the_largest_piece_keeps_the_id():
    book, at = Book(), later(0)
    (whole,) = book.see(at, sighting(middle(START), 0.0, 12.0, at))
    at = later(2)
    small, large = sighting(middle(START) - 9.0, 0.0, 3.0, at), sighting(middle(START) + 3.0, 0.0, 8.0, at)
    child, kept = book.see(at, small, large)
    assert kept == whole
    assert book.splits == [(whole, child)]
    assert book.parents[child] == whole
    at = later(4)
    assert book.see(at, replace(large, date_obs=at), replace(small, date_obs=at)) == [whole, child]
    assert len(book.splits) == 1


def test_a_merge_keeps_the_larger_and_records_the_other():
    book, at = Book(), later(0)
    large, small = sighting(middle(START), 0.0, 8.0, at), sighting(middle(START) - 12.0, 0.0, 4.0, at)
    larger, smaller = book.see(at, large, small)
    at = later(2)
    both = sighting(middle(START) - 4.0, 0.0, 13.0, at, tall=0.7)
    assert book.see(at, both) == [larger]
    assert book.merges == [Merge(smaller, larger)]
    at = later(4)
    assert book.see(at, replace(both, date_obs=at)) == [larger]
    assert len(book.merges) == 1


def test_a_region_that_comes_apart_again_within_a_day_has_its_old_id():
    book, at = Book(), later(0)
    large, small = sighting(middle(START), 0.0, 8.0, at), sighting(middle(START) - 12.0, 0.0, 4.0, at)
    ids = book.see(at, large, small)
    both = sighting(middle(START) - 4.0, 0.0, 13.0, later(1), tall=0.7)
    book.see(later(1), both)
    assert book.see(later(2), replace(large, date_obs=later(2)), replace(small, date_obs=later(2))) == ids
    assert book.revived == [ids[1]]
    assert book.splits == []


def test_a_late_frame_gets_the_ids_and_changes_nothing_else():
    book = Book()
    large, small = (
        sighting(middle(START) + lon, 0.0, size, later(0)) for lon, size in ((0.0, 8.0), (-12.0, 4.0))
    )
    ids = book.see(later(0), large, small)
    both = sighting(middle(START) - 4.0, 0.0, 13.0, later(6), tall=0.7)
    book.see(later(6), both)
    assert book.see(later(3), replace(large, date_obs=later(3)), replace(small, date_obs=later(3))) == ids
    assert book.revived == []
    assert book.tracks[ids[1]].merged_into == ids[0]
    piece = sighting(middle(START) - 9.0, 0.0, 3.0, later(5))
    book.see(later(5), sighting(middle(START) + 3.0, 0.0, 8.0, later(5)), piece)
    assert book.splits == []
    assert len(book.merges) == 1


def test_two_channels_of_one_time_share_ids_and_their_differences_are_no_changes():
    book, ids = Book(), []
    for minute in range(5):
        at = later(minute / 60)
        wide = sighting(middle(START), 10.0, 9.0, at, "aia-171")
        narrow = [
            sighting(middle(START) + 2.5, 10.0, 6.0, at, "aia-193"),
            sighting(middle(START) - 6.5, 10.0, 2.5, at, "aia-193"),
        ]
        ids.append((book.see(at, wide, name="aia-171"), book.see(at, *narrow)))
    assert len(book.tracks) == 2
    assert all(a == ids[0][0] and b == ids[0][1] for a, b in ids)
    assert (book.splits, book.merges, book.revived) == ([], [], [])


def test_a_split_that_two_channels_see_in_turn_is_recorded_once():
    book = Book()
    for minute in range(6):
        for name, second in (("aia-193", 4), ("aia-171", 9)):
            at = START + timedelta(minutes=minute, seconds=second)
            regions = [sighting(middle(START), 0.0, 12.0, at, name)]
            if minute >= 3:
                regions = [
                    sighting(middle(START) + 3.0, 0.0, 8.0, at, name),
                    sighting(middle(START) - 9.0, 0.0, 3.0, at, name),
                ]
            ids = book.see(at, *regions, name=name)
    assert book.splits == [(1, 2)]
    assert ids == [1, 2]
    assert book.merges == []


def test_the_east_limb_brings_new_ids():
    book = Book()
    west = sighting(middle(START) + 80.0, 5.0, 6.0, START)
    book.see(START, west)
    at = later(48)
    east = sighting(middle(at) - 80.0, 5.0, 6.0, at)
    answer = update(book.tracks.values(), Observation(at, "aia-193", CH, (east,)))
    assert (answer.assignments, [n.parent_id for n in answer.new]) == ((), [None])


def test_a_gap_beyond_the_reach_makes_a_new_track():
    book = Book()
    (before,) = book.see(START, sighting(middle(START) - 70.0, 0.0, 8.0, START))
    at = START + timedelta(days=MAX_GAP_DAYS + 0.1)
    place = float(rotate_carrington(middle(START) - 70.0, 0.0, MAX_GAP_DAYS + 0.1))
    assert book.see(at, sighting(place, 0.0, 8.0, at)) != [before]


def test_a_late_frame_of_long_before_makes_a_new_track():
    book = Book()
    at = START + timedelta(days=MAX_GAP_DAYS + 0.1)
    place = float(rotate_carrington(middle(START) - 70.0, 0.0, MAX_GAP_DAYS + 0.1))
    (after,) = book.see(at, sighting(place, 0.0, 8.0, at))
    assert book.see(START, sighting(middle(START) - 70.0, 0.0, 8.0, START)) != [after]


@pytest.mark.parametrize(("apart", "overlap"), [(0.0, 1.0), (6.0, 0.391), (7.0, 0.302)])
def test_the_overlap_is_the_share_of_the_smaller_that_both_have(apart: float, overlap: float):
    track = Track(1, CH, (sighting(middle(START), 0.0, 6.0, START),))
    seen = sighting(middle(START) + apart, 0.0, 6.0, START + timedelta(minutes=1))
    (found,) = update([track], Observation(seen.date_obs, "aia-193", CH, (seen,))).assignments
    assert found.overlap == pytest.approx(overlap, abs=0.03)


def test_neighbours_that_touch_by_less_than_a_quarter_are_two_and_neither_split_nor_merged():
    book = Book()
    (first,) = book.see(START, sighting(middle(START), 0.0, 6.0, START))
    at = later(1)
    assert book.see(at, sighting(middle(START) + 8.5, 0.0, 6.0, at)) != [first]
    at = later(2)
    beside = sighting(middle(START) + 40.0, 0.0, 6.0, at)
    book.see(at, sighting(middle(START) + 8.5, 0.0, 6.0, at), beside)
    assert (book.splits, book.merges) == ([], [])


def test_a_region_that_vanishes_merges_with_none_that_covers_less_than_half_of_it():
    book = Book()
    kept, other = (sighting(middle(START) + lon, 0.0, 6.0, START) for lon in (0.0, 13.0))
    ids = book.see(START, kept, other)
    at = later(1)
    assert book.see(at, sighting(middle(START) + 2.0, 0.0, 9.0, at)) == ids[:1]
    assert book.merges == []


def test_a_piece_of_which_less_than_half_lay_on_another_did_not_come_off_it():
    book = Book()
    (whole,) = book.see(START, sighting(middle(START), 0.0, 8.0, START))
    at = later(1)
    beside = sighting(middle(START) + 10.0, 0.0, 3.0, at)
    assert book.see(at, sighting(middle(START) - 1.0, 0.0, 7.0, at), beside)[0] == whole
    assert book.splits == []
    assert set(book.parents.values()) == {None}


def test_towards_the_limb_neither_splits_nor_merges_are_recorded():
    book, edge = Book(), middle(START) - 73.0
    whole = sighting(edge, 0.0, 8.0, START)
    (first,) = book.see(START, whole)
    at = later(1)
    pieces = [sighting(edge + lon, 0.0, size, at) for lon, size in ((3.0, 5.0), (-6.0, 2.0))]
    ids = book.see(at, *pieces)
    assert ids[0] == first and book.parents[ids[1]] == first
    book.see(later(2), replace(whole, date_obs=later(2)))
    assert (book.splits, book.merges) == ([], [])


@pytest.mark.parametrize(("hours", "is_revived"), [(23.9, True), (24.1, False)])
def test_a_merged_region_comes_apart_under_its_old_id_for_a_day(hours: float, is_revived: bool):
    book = Book()
    large, small = (
        sighting(middle(START) + lon, 0.0, size, START) for lon, size in ((0.0, 8.0), (-12.0, 4.0))
    )
    ids = book.see(START, large, small)
    at = later(hours - 1)
    book.see(at, sighting(middle(START) - 4.0, 0.0, 13.0, at, tall=0.7))
    at = later(hours)
    again = book.see(at, replace(large, date_obs=at), replace(small, date_obs=at))
    assert (again == ids) is is_revived
    assert book.revived == ids[1:] * is_revived


@pytest.mark.parametrize(("longitude", "size"), [(-8.0, 4.0), (-12.0, 7.0)], ids=["beside", "larger"])
def test_another_piece_than_the_one_that_was_absorbed_is_a_new_region(longitude: float, size: float):
    book = Book()
    large, small = (
        sighting(middle(START) + lon, 0.0, size, START) for lon, size in ((4.0, 8.0), (-12.0, 4.0))
    )
    ids = book.see(START, large, small)
    book.see(later(1), sighting(middle(START) - 3.0, 0.0, 16.0, later(1), tall=0.7))
    assert book.merges == [Merge(ids[1], ids[0])]
    piece = sighting(middle(START) + longitude, 0.0, size, later(2))
    kept, new = book.see(later(2), replace(large, date_obs=later(2)), piece)
    assert kept == ids[0] and new not in ids
    assert book.revived == []


def test_a_late_frame_records_no_split_but_one_that_only_another_channel_is_ahead_of_does():
    whole = sighting(middle(START), 0.0, 12.0, START)
    pieces = [sighting(middle(START) + lon, 0.0, size, later(2)) for lon, size in ((3.0, 8.0), (-9.0, 3.0))]
    for name, splits in (("aia-193", []), ("aia-171", [(1, 2)])):
        book = Book()
        book.see(START, whole)
        book.see(later(3), replace(whole, date_obs=later(3), instrument=name), name=name)
        assert book.see(later(2), *pieces) == [1, 2]
        assert book.splits == splits


def test_a_polar_hole_about_the_pole_is_tracked():
    book, at = Book(), START
    for hour in (0, 12, 24, 60):
        at = later(hour)
        longitude = np.arange(0, 360, 7.5)
        ring = np.stack([longitude, np.full(48, 72.0)], axis=-1)
        assert book.see(at, Sighting(at, "aia-193", (ring,), (0.0, 90.0))) == [1]
    assert np.isfinite(stonyhurst_to_hpc(0.0, 90.0, SunView(at).b0_deg)).all()


def test_regions_across_the_prime_meridian_are_one_place():
    at = next(later(24 * k) for k in range(30) if abs(float(to_stonyhurst(0.0, middle(later(24 * k))))) < 8)
    book = Book()
    (first,) = book.see(at, sighting(359.5, 10.0, 5.0, at))
    soon = at + timedelta(hours=3)
    assert book.see(soon, sighting(0.2, 10.0, 5.0, soon)) == [first]


def test_holes_and_active_regions_are_tracked_apart():
    here = sighting(middle(START), 0.0, 8.0, START)
    track = Track(1, EventType.ACTIVE_REGION, (here,))
    answer = update([track], Observation(later(1), "aia-193", CH, (replace(here, date_obs=later(1)),)))
    assert answer.assignments == ()
    assert len(answer.new) == 1


def test_nothing_known_and_nothing_seen_are_answers():
    assert update([], Observation(START, "aia-193", CH, ())) == Update()
    one = Observation(START, "aia-193", CH, (sighting(middle(START), 0.0, 8.0, START),))
    assert [n.region for n in update([], one).new] == [0]
    assert Split(1, 0) not in update([], one).splits


def test_a_region_without_coordinates_cannot_be_tracked_and_the_error_says_why():
    from observatory.region_json import region_from_json
    from tests.observatory.test_region_formats import region

    lost = region_from_json(region(np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0]]), on_sun=False))
    with pytest.raises(UnusableInputError, match="pointing"):
        Sighting.of(lost, START, "aia-193")


def truth_of(region: Region, labels: np.ndarray) -> int:
    """The simulated object that most of a region's pixels belong to."""
    painted = np.zeros(labels.shape, np.uint8)
    cv2.fillPoly(painted, [np.rint(ring).astype(np.int32) for ring in region.rings_px], 1)
    return int(np.bincount(labels[painted > 0]).argmax())


@pytest.fixture(scope="module")
def five_days() -> tuple[Book, dict[int, list[tuple[float, int]]]]:
    """Five days of simulated frames through `find_regions` and `update`: sightings by true id."""
    l0 = middle(START)
    places = (
        Place(1, CH, 18.0, l0 - 30.0, 10.0),  # splits on the second day
        Place(2, CH, -40.0, l0 - 35.0, 11.0),  # two pieces that merge on the third day
        Place(3, CH, 42.0, l0 - 62.0, 6.0),
        Place(4, CH, 84.0, 0.0, 24.0),
        Place(5, CH, -12.0, l0 + 60.0, 7.0),  # leaves over the west limb
        Place(6, CH, -8.0, l0 - 110.0, 8.0),  # comes over the east limb
        Place(7, EventType.ACTIVE_REGION, -16.0, l0 + 15.0, 5.0),
    )
    changes = (Change("split", 1, later(36), 0.3), Change("merge", 2, later(60), 0.3))
    sun = AiaSun(8, 0.4, detail=256, places=places, changes=changes, epoch=START)
    book, seen = Book(), {}
    for hour in range(0, 121, 3):
        simulated = sun.frame(later(hour), AiaTelescope(256, 193, noise=False))
        found = find_regions(
            simulated.coronal_holes.astype(np.float32),
            (-0.5, -0.5, 255.5, 255.5),
            0.5,
            CH,
            simulated.frame(),
            None,
            simulated.pointing,
        )
        ids = book.see(later(hour), *(Sighting.of(region, later(hour), "aia-193") for region in found))
        here: dict[int, int] = {}
        for region, number in zip(found, ids, strict=True):  # the largest piece of each comes first
            longitude, latitude = region.centroid_stonyhurst_deg
            if abs(longitude) < 75 or abs(latitude) > 60:  # at the limb a region may fall into slivers
                here.setdefault(truth_of(region, simulated.labels), number)
        for true_id, number in here.items():
            seen.setdefault(true_id, []).append((hour, number))
    return book, seen


def test_over_five_simulated_days_every_region_keeps_its_id(five_days):
    _, seen = five_days
    assert set(seen) == {1, 501, 2, 502, 3, 4, 5, 6}
    for true_id, sightings in seen.items():
        assert len({number for _, number in sightings}) == 1, (true_id, sightings)
    assert len(seen[3]) > 35
    assert len(seen[4]) == 41
    assert max(hour for hour, _ in seen[5]) < 48 < min(hour for hour, _ in seen[6])


def test_over_five_simulated_days_the_split_and_the_merge_are_recorded_once(five_days):
    book, seen = five_days
    ids = {true_id: sightings[0][1] for true_id, sightings in seen.items()}
    assert book.splits == [(ids[1], ids[501])]
    assert book.parents[ids[501]] == ids[1]
    assert book.merges == [Merge(ids[502], ids[2])]
    assert book.revived == []
