"""Pictures of a night: every frame in its place in time, gaps as gaps, words for colours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from observatory.analysis import SkyClass
from observatory.nights import summarised
from observatory.onset import onsets
from tests.observatory.nights import DUSK, night_of_frames
from workers.products.keogram import CLASS_COLOURS, EWOGRAM, KEOGRAM, draw
from workers.products.night_lines import Axis, Levels, columns


def axis_of(series, width: int = 60) -> Axis:
    return Axis(series.times_s[0], series.times_s[0] + 3600.0, width)


def test_each_frame_stands_in_its_own_columns_until_the_next():
    series = night_of_frames(range(60))
    series.north_south[30] = 200
    levels, is_shown = columns(series, series.north_south, axis_of(series, 120))
    bright = np.flatnonzero(levels.mean(axis=(0, 2)) > 150)
    assert bright.tolist() == [60, 61]
    assert is_shown.all()


def test_frames_faster_than_the_columns_are_averaged():
    series = night_of_frames(np.arange(0, 60, 0.25))
    series.north_south[:] = (np.arange(240) % 4 * 20)[:, None, None]
    levels, is_shown = columns(series, series.north_south, axis_of(series))
    assert levels == pytest.approx(np.full(levels.shape, 30.0))
    assert is_shown.all()


def test_gaps_and_what_lies_beyond_the_frames_is_not_shown_and_one_lost_frame_is_bridged():
    series = night_of_frames([*range(10), *range(11, 20), *range(40, 50)])
    _, is_shown = columns(series, series.north_south, axis_of(series))
    assert np.flatnonzero(is_shown).tolist() == [*range(20), *range(40, 50)]
    fast = night_of_frames(np.arange(0, 1, 0.05))
    _, is_shown = columns(fast, fast.north_south, axis_of(fast, 600))
    assert np.flatnonzero(is_shown).tolist() == list(range(10))


def test_levels_come_of_the_dark_frames_and_a_quiet_night_is_not_stretched_to_noise():
    series = night_of_frames(range(60), glow=np.where(np.arange(60) > 50, 150, 0))
    series.sun_elevation_deg[51:] = -3.0
    assert Levels.of(series).high < 60
    flat = Levels.of(night_of_frames(range(20)))
    assert flat.high - flat.low >= 16
    series.north_south[:], series.east_west[:] = 0, 0
    assert Levels.of(series) == Levels(0.0, 255.0)


@pytest.mark.parametrize("line", [KEOGRAM, EWOGRAM])
def test_a_picture_shows_arc_ribbon_gap_and_onset(line):
    minutes = np.array([*range(120), *range(180, 300)])
    classes = [SkyClass.CLEAR if one < 240 else SkyClass.ARC for one in minutes]
    arc = np.where(minutes >= 240, 90.0, 0.0)
    series = night_of_frames(
        minutes, classes=classes, arc=arc, probability=np.where(minutes >= 240, 0.9, 0.1)
    )
    found = onsets(series)
    picture = draw(line, series, summarised(series), found, title="somewhere")
    pixels = np.asarray(Image.open(io.BytesIO(picture.data)))
    assert (picture.kind, pixels.shape) == (line.kind, (picture.height, picture.width, 3))
    assert [one.time.hour for one in found] == [22]
    axis = Axis.of(series, picture.width - 84 - 32)
    ribbon = pixels[64 + 362 + 8 + 4]
    x = [84 + round(axis.x(DUSK.timestamp() + 60 * minute)) for minute in (60, 150, 245)]
    assert tuple(ribbon[x[0]]) == CLASS_COLOURS[SkyClass.CLEAR]
    assert tuple(ribbon[x[1]]) not in CLASS_COLOURS.values()
    assert tuple(ribbon[x[2]]) == CLASS_COLOURS[SkyClass.ARC]
    north = pixels[64 + 100 : 64 + 110] if line is KEOGRAM else pixels[64 + 180 : 64 + 190]
    assert north[:, x[2], 1].mean() > 2 * north[:, x[0], 1].mean()


def test_a_night_of_one_unjudged_frame_is_drawn():
    series = night_of_frames([0], classes=[None], cloud=np.nan, probability=np.nan)
    picture = draw(KEOGRAM, series, summarised(series), (), title="x" * 300)
    assert picture.width == 1600


def test_a_long_title_ends_with_its_marks_before_what_stands_on_the_right():
    series = night_of_frames(range(5))
    titles = ("", "x" * 40, "x" * 300 + " · SIMULATED", "x" * 400 + " · SIMULATED")
    bands = []
    for title in titles:
        data = draw(KEOGRAM, series, summarised(series), (), title=title).data
        bands.append(np.asarray(Image.open(io.BytesIO(data)))[:50].max(axis=2).astype(int))
    ground = bands[0].min()
    right = np.flatnonzero((bands[0] > ground).any(axis=0))[0]
    assert [np.array_equal(band[:, right - 10 :], bands[0][:, right - 10 :]) for band in bands] == [True] * 4
    left = [np.flatnonzero((band[:, : right - 10] > ground).any(axis=0)) for band in bands[1:]]
    assert [columns[0] >= 80 for columns in left] == [True] * 3
    assert left[2][-1] > right - 40  # all the room, and the end of the words in it
    assert np.array_equal(_from_the_end(bands[2], right), _from_the_end(bands[3], right))


def _from_the_end(band: np.ndarray, right: int) -> np.ndarray:
    """The last letters of a title."""
    ink = np.flatnonzero((band[:, : right - 10] > band.min()).any(axis=0))
    return band[:, ink[-1] - 60 : ink[-1] + 1]


def test_colours_of_the_classes_are_apart_in_brightness_or_hue_for_red_and_green_blind():
    judged = [np.array(colour, float) for name, colour in CLASS_COLOURS.items() if name is not None]
    for number, one in enumerate(judged):
        for other in judged[:number]:
            # Red and green blindness mixes these two channels: what is left must differ.
            mixed = np.array([(one[:2] - other[:2]).mean(), one[2] - other[2]])
            assert np.abs(mixed).max() > 30
