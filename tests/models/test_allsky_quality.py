"""Quality of all-sky frames: each cause where it belongs, and none on a good night."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from models.allsky_quality import AllSkyQuality
from observatory.analysis import Cause, ModelIdentity, Quality, Sky, SkyClass, SkyFacts
from observatory.frame import Frame, RowOrder
from observatory.sky_facts import facts_of
from observatory.sky_sectors import COUNT
from observatory.sky_view import circle_of, for_analysis
from tests.night_skies import MOONLIT, NIGHT, coloured, night

TWILIGHT = datetime(2014, 3, 2, 0, 40, tzinfo=UTC)  # the Sun 7 degrees down


@pytest.fixture(scope="module")
def model() -> AllSkyQuality:
    return AllSkyQuality()


def judged(model: AllSkyQuality, frame: Frame, sky: Sky | None = None) -> Quality:
    small = for_analysis(frame)
    return model.judge(model.read(small, circle_of(small), facts_of(frame)), sky)


def named(quality: Quality) -> set[Cause]:
    return {item.cause for item in quality.causes}


def with_pixels(frame: Frame, change: Callable[[np.ndarray], np.ndarray]) -> Frame:
    return replace(frame, pixels=change(frame.pixels.copy()))


def cloudy(cover: float) -> Sky:
    return Sky(
        sky_class=SkyClass.CLOUD,
        probabilities=dict.fromkeys(SkyClass, 0.0) | {SkyClass.CLOUD: 1.0},
        cloud_cover=cover,
        cloud_sectors=np.full(COUNT, cover, np.float32),
        features=np.zeros(0, np.float32),
        facts=SkyFacts(),
        model=ModelIdentity("aurora", "0", ""),
    )


@pytest.mark.parametrize("size", [(256, 256), (240, 320), (1040, 1392)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_speaks_against_a_clear_night(model: AllSkyQuality, size: tuple[int, int], seed: int) -> None:
    quality = judged(model, night(seed, size=size))
    assert not quality.causes and quality.score > 0.9
    assert not judged(model, coloured(night(seed, size=size), (0.9, 1.0, 0.8))).causes


@pytest.mark.parametrize("level", [0.0, 2.0])
def test_a_frame_without_light_is_a_lens_cap_and_hides_the_sky(model: AllSkyQuality, level: float) -> None:
    frame = night(level=level, stars=0)
    quality = judged(model, frame)
    assert quality.causes[0].cause is Cause.LENS_CAP and quality.score < 0.1
    hidden = model.read(frame, circle_of(frame), facts_of(frame)).hidden
    assert hidden is not None and "lens cap" in hidden


@pytest.mark.parametrize(
    ("value", "cause"),
    [(0, Cause.LENS_CAP), (6, Cause.LENS_CAP), (255, Cause.OVEREXPOSED), (120, Cause.NO_TARGET)],
)
def test_frames_of_one_value_are_told_apart(model: AllSkyQuality, value: int, cause: Cause) -> None:
    flat = Frame(np.full((300, 400, 3), value, np.uint8), "allsky", RowOrder.TOP)
    quality = judged(model, flat)
    assert quality.causes[0].cause is cause and quality.is_degraded


def test_too_little_light_drowns_in_noise(model: AllSkyQuality) -> None:
    quality = judged(model, night(level=18.0, stars=0, noise=80.0))
    assert named(quality) == {Cause.UNDEREXPOSED} and quality.is_degraded


def test_a_burnt_sky_is_overexposed(model: AllSkyQuality) -> None:
    quality = judged(model, with_pixels(night(), lambda p: np.clip(p * 14.0, 0, 65535).astype(np.uint16)))
    assert Cause.OVEREXPOSED in named(quality)


def test_the_moon_glares_where_it_is_up_and_cannot_where_it_is_down(model: AllSkyQuality) -> None:
    bright = night(moon=30.0, date_obs=MOONLIT)
    assert Cause.MOON_GLARE in named(judged(model, bright))
    assert Cause.MOON_GLARE not in named(judged(model, replace(bright, date_obs=NIGHT)))
    assert Cause.MOON_GLARE in named(judged(model, replace(bright, site=None)))


def test_a_green_light_is_no_moon(model: AllSkyQuality) -> None:
    rows, columns = np.mgrid[:256, :256]
    apart = np.hypot(columns - 160, rows - 100) / 118
    sky = np.where(np.hypot(columns - 128, rows - 128) < 118, 15 + 200 * np.exp(-apart / 0.35), 0)
    sky += np.where(apart < 0.04, 255, 0)
    for colour, is_moon in (((1.0, 1.0, 1.0), True), ((0.4, 1.3, 0.4), False)):
        pixels = np.clip(sky[..., None] * np.array(colour), 0, 255).astype(np.uint8)
        frame = replace(night(site=None), pixels=pixels)
        assert (Cause.MOON_GLARE in named(judged(model, frame))) == is_moon


def test_where_only_the_picture_tells_a_light_is_rather_aurora_than_the_moon(model: AllSkyQuality) -> None:
    bright = night(moon=30.0, site=None)
    reading = model.read(bright, circle_of(bright), facts_of(bright))
    arc = replace(
        cloudy(0.0), sky_class=SkyClass.ARC, probabilities=dict.fromkeys(SkyClass, 0.0) | {SkyClass.ARC: 1.0}
    )
    assert Cause.MOON_GLARE in named(model.judge(reading, cloudy(0.0)))
    assert Cause.MOON_GLARE not in named(model.judge(reading, arc))
    known = replace(arc, facts=SkyFacts(moon_elevation_deg=30.0))
    assert Cause.MOON_GLARE in named(model.judge(reading, known))


def test_dew_is_named_but_not_where_aurora_shines_through(model: AllSkyQuality) -> None:
    frame = night()
    reading = model.read(frame, circle_of(frame), facts_of(frame))
    arc = replace(
        cloudy(0.0), sky_class=SkyClass.ARC, probabilities=dict.fromkeys(SkyClass, 0.0) | {SkyClass.ARC: 1.0}
    )
    assert named(model.judge(reading, cloudy(0.0), dome=1.2)) == {Cause.DEW_OR_SNOW}
    assert not model.judge(reading, cloudy(0.0), dome=0.9).causes
    assert not model.judge(reading, arc, dome=1.2).causes


def test_twilight_is_told_by_the_sun_and_without_a_place_by_the_blue_of_the_sky(
    model: AllSkyQuality,
) -> None:
    dusk = night(date_obs=TWILIGHT, level=9000.0)
    assert named(judged(model, dusk)) == {Cause.TWILIGHT}
    blue = coloured(night(level=4000.0, site=None), (0.5, 0.9, 1.9))
    assert Cause.TWILIGHT in named(judged(model, blue))
    assert Cause.TWILIGHT not in named(judged(model, replace(blue, site=night().site)))


def test_lost_lines_and_numbers_are_missing_data(model: AllSkyQuality) -> None:
    def lose_rows(pixels: np.ndarray) -> np.ndarray:
        pixels[150:] = 0
        return pixels

    def lose_columns(pixels: np.ndarray) -> np.ndarray:
        pixels[:, 100:130] = 3000
        return pixels

    def lose_numbers(pixels: np.ndarray) -> np.ndarray:
        floats = pixels.astype(np.float32)
        floats[80:120, 90:150] = np.nan
        return floats

    for change in (lose_rows, lose_columns, lose_numbers):
        assert Cause.MISSING_DATA in named(judged(model, with_pixels(night(), change))), change.__name__
    nothing = with_pixels(night(), lambda pixels: np.full(pixels.shape, np.nan, np.float32))
    assert judged(model, nothing).causes[0].cause is Cause.MISSING_DATA


def test_cloud_counts_by_its_cover_and_is_mapped_where_it_is(model: AllSkyQuality) -> None:
    frame = night()
    assert not judged(model, frame, cloudy(0.3)).is_degraded
    reading = model.read(frame, circle_of(frame), facts_of(frame))
    west = np.full((16, 16), np.nan, np.float32)
    west[2:14, 2:14] = 0.0
    west[2:14, 8:14] = 0.9
    quality = model.judge(reading, cloudy(0.9), west)
    assert named(quality) == {Cause.CLOUD} and quality.is_degraded
    assert quality.region_map is not None and quality.region_extent_px is not None
    rows, columns = quality.region_map.shape
    assert quality.region_map[rows // 2, 3 * columns // 4] == pytest.approx(0.9, abs=0.02)
    assert quality.region_map[rows // 2, columns // 4] == pytest.approx(0.0, abs=0.02)
    x0, _, x1, _ = quality.region_extent_px
    assert (x0 + x1) / 2 == pytest.approx(128.0, abs=0.6)
    assert x1 - x0 == pytest.approx(2 * 0.46 * 256, abs=1.0)


def test_the_same_sky_has_the_same_digest_whatever_the_clock_beside_it_says(model: AllSkyQuality) -> None:
    first = night()
    pixels = first.pixels.copy()
    pixels[4:9, 3:12] = 60000
    again, other = replace(first, pixels=pixels), night(1)
    digests = [model.read(each, circle_of(each), facts_of(each)).digest for each in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]
    black = night(noise=0.0, level=0.0, stars=0)
    assert model.read(black, circle_of(black), facts_of(black)).digest is None


@pytest.mark.parametrize("seed", range(4))
def test_the_score_falls_and_the_p_value_never_rises_as_cloud_grows(model: AllSkyQuality, seed: int) -> None:
    frame = night(seed)
    reading = model.read(frame, circle_of(frame), facts_of(frame))
    qualities = [model.judge(reading, cloudy(cover)) for cover in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    scores = [quality.score for quality in qualities]
    assert scores == sorted(scores, reverse=True)
    p = [1.0 if quality.p_value is None else quality.p_value for quality in qualities]
    assert p == sorted(p, reverse=True)


def test_a_frame_of_any_number_type_is_judged(model: AllSkyQuality) -> None:
    frame = night()
    for dtype in (np.float32, np.float64, np.int32, ">u2"):
        quality = judged(model, with_pixels(frame, lambda p, d=dtype: p.astype(d)))
        assert quality.score > 0.9, dtype
