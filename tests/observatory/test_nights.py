"""Which night a time belongs to, and what a night was like."""

from __future__ import annotations

import datetime as dt
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from observatory.analysis import SkyClass
from observatory.nights import binned, night_of, selected, summarised
from tests.observatory.nights import DUSK, night_of_frames


@pytest.mark.parametrize(
    ("moment", "longitude", "date"),
    [
        ("2026-11-20T23:00", 0.0, "2026-11-20"),
        ("2026-11-21T04:00", 0.0, "2026-11-20"),
        ("2026-11-21T11:59", 0.0, "2026-11-20"),
        ("2026-11-21T12:00", 0.0, "2026-11-21"),
        # Fort Smith: local midnight is at 07:28 UTC, the evening began on the 20th.
        ("2026-11-21T07:28", -111.9, "2026-11-20"),
        ("2026-11-21T18:00", -111.9, "2026-11-20"),
        ("2026-11-21T19:30", -111.9, "2026-11-21"),
        # Syowa and the date line: longitudes count in any turn.
        ("2026-11-20T20:00", 39.6, "2026-11-20"),
        ("2026-11-20T11:00", 179.9, "2026-11-20"),
        ("2026-11-20T11:00", -180.1, "2026-11-20"),
        ("2026-11-20T11:00", -179.9, "2026-11-19"),
    ],
)
def test_a_time_belongs_to_the_night_of_its_evening(moment: str, longitude: float, date: str):
    found = night_of(datetime.fromisoformat(moment).replace(tzinfo=UTC), longitude)
    assert found.date == dt.date.fromisoformat(date)


def test_every_time_lies_in_its_night_and_a_night_lasts_a_day():
    for longitude in np.linspace(-180, 180, 13):
        for hour in range(48):
            moment = datetime(2026, 2, 28, 0, 30, tzinfo=UTC) + timedelta(hours=hour)
            night = night_of(moment, float(longitude))
            assert night.start <= moment < night.end
            assert night.end - night.start == timedelta(days=1)


def test_a_night_is_summed_up_by_hours_and_runs():
    classes = [SkyClass.CLEAR] * 30 + [SkyClass.ARC] * 30 + [SkyClass.CLOUD] * 50 + [None] * 10
    cloud = [0.0] * 60 + [1.0] * 50 + [np.nan] * 10
    found = summarised(night_of_frames(range(120), classes=classes, cloud=cloud))
    assert (found.frames, found.judged, found.cadence_s) == (120, 110, 60.0)
    assert found.classes == {SkyClass.ARC: 30, SkyClass.CLOUD: 50, SkyClass.CLEAR: 30}
    assert found.aurora == pytest.approx(30 / 110)
    assert found.aurora_of_clear == pytest.approx(0.5)
    assert [(hour.start, hour.frames, hour.judged, hour.cloud_cover) for hour in found.hours] == [
        (DUSK, 60, 60, 0.0),
        (DUSK + timedelta(hours=1), 60, 50, 1.0),
    ]
    assert [(run.sky_class, run.frames) for run in found.runs] == [
        (SkyClass.CLEAR, 30),
        (SkyClass.ARC, 30),
        (SkyClass.CLOUD, 50),
        (None, 10),
    ]
    assert found.runs[0].end == found.runs[1].start == DUSK + timedelta(minutes=30)
    assert found.runs[-1].end == DUSK + timedelta(minutes=120)


def test_a_gap_is_told_and_cuts_a_run_and_one_lost_frame_is_none():
    minutes = [*range(10), *range(11, 20), *range(50, 60)]
    found = summarised(night_of_frames(minutes))
    assert found.gaps == ((DUSK + timedelta(minutes=19), DUSK + timedelta(minutes=50)),)
    assert [run.frames for run in found.runs] == [19, 10]
    assert found.runs[0].end == DUSK + timedelta(minutes=20)


def test_a_night_of_one_frame_that_nobody_judged_has_no_shares():
    found = summarised(night_of_frames([0], classes=[None], cloud=np.nan))
    assert (found.aurora, found.aurora_of_clear, found.cloud_cover, found.gaps) == (None, None, None, ())
    assert found.hours[0].aurora is None
    assert found.runs[0].end - found.runs[0].start == timedelta(minutes=1)


def test_a_mean_of_fast_frames_is_of_those_that_are_known():
    known = [0.9, np.nan, 0.6, np.nan, np.nan, np.nan]
    found = binned(night_of_frames(np.arange(6) / 12, probability=known, cloud=known), 15.0)
    assert found.aurora_probability == pytest.approx([0.75, np.nan], nan_ok=True)
    assert found.cloud_cover == pytest.approx([0.75, np.nan], nan_ok=True)
    assert found.sun_elevation_deg == pytest.approx([-20.0, -20.0])


def test_a_mean_of_fast_frames_is_of_their_lines_too_and_slower_ones_pass():
    fast = night_of_frames(np.arange(6) / 12, arc=[0, 30, 60, 90, 0, 0])
    found = binned(fast, 15.0)
    assert found.frame_ids.tolist() == [1, 4]
    lines = fast.north_south[:3].astype(float).mean(axis=0)
    assert np.abs(found.north_south[0] - lines).max() <= 0.5
    assert binned(fast, 5.0) is fast
    alone = night_of_frames([0])
    assert binned(alone, 1000.0) is alone


@pytest.mark.parametrize(("spacing_s", "gap_s"), [(3.0, 60.0), (24.0, 60.0), (60.0, 150.0)])
def test_frames_are_missing_from_two_and_a_half_spacings_on_and_never_within_a_minute(
    spacing_s: float, gap_s: float
):
    assert night_of_frames(np.arange(9) * spacing_s / 60.0).gap_s == pytest.approx(gap_s)


def test_a_run_lasts_until_the_next_one_begins():
    classes = [SkyClass.CLEAR, SkyClass.CLEAR, SkyClass.CLEAR, SkyClass.ARC, SkyClass.ARC]
    runs = summarised(night_of_frames([0, 1, 2, 4, 5], classes=classes)).runs
    assert [(run.start, run.end) for run in runs] == [
        (DUSK, DUSK + timedelta(minutes=4)),
        (DUSK + timedelta(minutes=4), DUSK + timedelta(minutes=6)),
    ]


def test_some_frames_of_a_night_are_a_night_and_none_are_none():
    night = night_of_frames(range(4))
    found = selected(night, np.array([False, True, False, True]))
    assert found is not None and found.frame_ids.tolist() == [2, 4]
    assert selected(night, np.zeros(4, bool)) is None
