"""Simulated skies: stars, Moon, aurora and cloud are where the truth says, and files tell what they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time

from models.simulate.allsky import SimulatedSky, _light, photograph
from models.simulate.allsky_cameras import STATION_KIND, TESTING_KINDS, TRAINING_KINDS, Camera
from models.simulate.allsky_cirrus import evidence, scattered_moonlight, slant_depth
from models.simulate.allsky_files import write_film, write_picture, write_sky_fits
from models.simulate.allsky_night import Night, Weather, night_camera, sample_of_nights
from models.simulate.allsky_sampling import draw_arc, draw_scene, sample
from models.simulate.allsky_scene import Cirrus, Deck, Moon, Scene, Stars, View
from models.simulate.allsky_sites import TESTING_SITES, TRAINING_SITES
from models.simulate.stars import bright_stars, directions
from observatory.analysis import AURORAL, SkyClass
from observatory.frame import RowOrder
from observatory.instruments import Limits, read_file
from observatory.sky import Site

SVALBARD = TRAINING_SITES[0]
NOBODY = Stars(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32))
FIBRES = Cirrus(9.0, 0.9, 0.3, 120.0, 40.0, 8.0, 0.0, 0.2, 0.9, 0.0, (0.0, 0.0), 7)
OVERCAST = Deck(2.0, 1.0, 4.0, 1.0, 30.0, 1.0, 0.0, (0.0, 0.0), 5)


def dark(**parts: object) -> Scene:
    """A moonless night without towns."""
    return replace(Scene(-30.0, 0.0, NOBODY), **parts)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def camera() -> Camera:
    return night_camera(STATION_KIND, 1, 200)


@pytest.fixture(scope="module")
def night() -> Night:
    return Night(SVALBARD, date(2031, 1, 23), 4, weather=Weather.CLEAR, activity=0.9)


def taken(scene: Scene, camera: Camera, contrast: float | None = None) -> SimulatedSky:
    return photograph(scene, camera, np.random.default_rng(1), contrast=contrast)


def brightest(picture: SimulatedSky, around: tuple[float, float], reach: int) -> tuple[int, int]:
    """Column and row of the brightest pixel near a place."""
    grey = picture.pixels.astype(float).sum(axis=-1)
    x, y = (round(float(value)) for value in around)
    part = grey[y - reach : y + reach + 1, x - reach : x + reach + 1]
    row, column = np.unravel_index(np.argmax(part), part.shape)
    return x - reach + int(column), y - reach + int(row)


@pytest.mark.usefixtures("installed_iers")
@pytest.mark.parametrize("site", [Site(78.15, 16.04), Site(-69.0, 39.58)])
def test_bright_stars_stand_where_astropy_puts_them(site: Site) -> None:
    moment = Time("2014-01-17T21:40:00")
    ra, dec, _ = bright_stars()
    place = EarthLocation.from_geodetic(site.longitude_deg, site.latitude_deg)
    there = SkyCoord(ra * u.deg, dec * u.deg).transform_to(AltAz(obstime=moment, location=place))
    theirs = np.stack(
        [np.cos(there.alt) * np.sin(there.az), np.cos(there.alt) * np.cos(there.az), np.sin(there.alt)], -1
    )
    ours = directions(ra, dec, moment.unix, site)
    apart_deg = np.degrees(2 * np.arcsin(np.linalg.norm(ours - np.asarray(theirs), axis=1) / 2))
    assert apart_deg.max() < 0.4  # Polaris, in first order of precession
    assert np.median(apart_deg) < 0.02


def test_the_pole_star_shows_at_the_height_of_the_pole(night: Night, camera: Camera) -> None:
    time = datetime(2031, 1, 23, 18, 0, tzinfo=UTC)
    scene = replace(night.scene_at(time.timestamp()), forms=(), moon=None)
    where = camera.circle.pixel(np.asarray(90.0 - 78.15), np.asarray(0.0))
    found = brightest(taken(scene, camera), (float(where[0]), float(where[1])), 4)
    assert np.hypot(found[0] - where[0], found[1] - where[1]) < 2.0


def test_the_moon_burns_where_it_stands_and_names_a_clear_sky(camera: Camera) -> None:
    moon = Moon(40.0, 250.0, 0.9)
    picture = taken(dark(moon=moon), camera)
    x, y = camera.circle.pixel(np.asarray(50.0), np.asarray(250.0))
    assert picture.pixels[round(float(y)), round(float(x))].min() == 255
    assert picture.truth.sky_class is SkyClass.MOON
    assert picture.truth.moon_elevation_deg == 40.0


def test_a_dark_starless_sky_is_clear_and_an_overcast_one_cloud(camera: Camera) -> None:
    assert taken(dark(), camera).truth.sky_class is SkyClass.CLEAR
    covered = taken(dark(decks=(OVERCAST,)), camera).truth
    assert covered.sky_class is SkyClass.CLOUD
    assert covered.cloud_cover > 0.95
    assert covered.cloud_map[covered.is_sky].min() > 0.7


def test_an_arc_is_seen_along_its_parallel_and_named(camera: Camera) -> None:
    arc = replace(
        draw_arc(np.random.default_rng(3), 150.0), tilt=0.0, folds=(), bend_km=0.0, from_km=-1300, to_km=1300
    )
    truth = taken(dark(forms=(arc,), field_dip_deg=89.0), camera, contrast=3.0).truth
    assert truth.sky_class is SkyClass.ARC
    assert truth.aurora_contrast == pytest.approx(3.0)
    zenith, azimuth = camera.circle.directions(camera.shape)
    north = truth.aurora_map[(np.abs(zenith - 54) < 6) & (np.cos(np.radians(azimuth)) > 0.97)].mean()
    south = truth.aurora_map[(np.abs(zenith - 54) < 6) & (np.cos(np.radians(azimuth)) < -0.97)].mean()
    assert north > 10 * south  # 150 km away and 110 km high: 54 degrees from the zenith


def test_aurora_too_faint_to_tell_names_no_class(camera: Camera) -> None:
    arc = draw_arc(np.random.default_rng(3), 100.0)
    assert taken(dark(forms=(arc,)), camera, contrast=0.15).truth.sky_class is None


def test_aurora_is_greener_than_town_lit_cloud(camera: Camera) -> None:
    arc = draw_arc(np.random.default_rng(5), 50.0)
    lit = taken(dark(forms=(arc,)), camera, contrast=4.0)
    bright = lit.truth.aurora_map > 2.0
    red, green, blue = lit.pixels[bright].mean(axis=0)
    assert green > 1.3 * max(red, blue)
    red, green, blue = taken(dark(decks=(OVERCAST,), veil=4.0), camera).pixels[lit.truth.is_sky].mean(axis=0)
    assert red > green > blue


def test_the_same_seed_gives_the_same_sky() -> None:
    one, other = (sample(np.random.default_rng(8), 100) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert one[1] == other[1]


def test_samples_hold_every_class_and_truths_that_fit_their_pixels() -> None:
    random = np.random.default_rng(22)
    classes: Counter[SkyClass | None] = Counter()
    for _ in range(140):
        pixels, circle, truth = sample(random, 64)
        classes[truth.sky_class] += 1
        assert pixels.dtype in (np.uint8, np.uint16)
        assert truth.cloud_map.shape == truth.aurora_map.shape == truth.is_sky.shape == pixels.shape[:2]
        assert 0.0 <= truth.cloud_map.min() <= truth.cloud_map.max() <= 1.0
        assert np.isfinite(truth.aurora_map).all()
        assert 0 < circle.radius_px < 40
    assert all(classes[name] > 2 for name in SkyClass), classes
    assert classes[None] < 50


def test_cameras_and_sites_for_testing_are_not_those_for_training() -> None:
    assert not {kind.name for kind in TRAINING_KINDS} & {kind.name for kind in TESTING_KINDS}
    assert not {kind.response for kind in TRAINING_KINDS} & {kind.response for kind in TESTING_KINDS}
    assert not {place.name for place in TRAINING_SITES} & {place.name for place in TESTING_SITES}


def test_classes_that_are_wished_for_mostly_come() -> None:
    random = np.random.default_rng(2)
    for wanted in (SkyClass.CLOUD, SkyClass.ARC):
        came = []
        for _ in range(20):
            scene, contrast = draw_scene(random, wanted)
            came.append(photograph(scene, night_camera(STATION_KIND, 2, 80), random, contrast=contrast).truth)
        assert sum(truth.sky_class is wanted for truth in came) >= 12


def test_a_substorm_is_an_arc_that_breaks_up_and_a_negative_bay(night: Night, camera: Camera) -> None:
    onset, view = night.onsets()[0], View(camera.circle, camera.shape)
    before = night.frame_at(onset - timedelta(seconds=60), camera, view=view).truth
    after = night.frame_at(onset + timedelta(seconds=240), camera, view=view).truth
    assert before.sky_class is SkyClass.ARC
    assert after.sky_class in AURORAL
    assert after.aurora_contrast > 1.5 * before.aurora_contrast
    assert after.disturbance_nt is not None
    assert after.disturbance_nt[0] < -60.0
    quiet = night.disturbance_nt(np.array([night.noon_s + 3600.0]))[0]
    assert np.abs(quiet).max() < 15.0


def test_clouds_drift_from_frame_to_frame(camera: Camera) -> None:
    cloudy = Night(SVALBARD, date(2031, 1, 23), 4, weather=Weather.BROKEN, activity=0.0)
    start = datetime(2031, 1, 23, 20, 0, tzinfo=UTC)
    maps = [cloudy.frame_at(start + timedelta(seconds=s), camera).truth.cloud_map for s in (0, 10, 3600)]
    near = np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]
    far = np.corrcoef(maps[0].ravel(), maps[2].ravel())[0, 1]
    assert near > 0.8 > 0.6 > far


def test_nights_of_unseen_sites_can_be_sampled() -> None:
    pixels, _, truth = sample_of_nights(np.random.default_rng(3), 80)
    assert truth.sun_elevation_deg < -6.0
    assert pixels.shape[:2] == truth.is_sky.shape


# -- files ----------------------------------------------------------------------------------------

MOMENT = datetime(2031, 1, 17, 21, 40, 20, tzinfo=UTC)


def test_a_png_tells_time_place_and_that_it_is_simulated(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    path = write_picture(tmp_path, pixels, MOMENT, SVALBARD, suffix=".png")
    opened = read_file(path, Limits())
    facts = opened.facts()
    assert opened.instrument == "allsky"
    assert facts.date_obs == MOMENT
    assert facts.is_simulated
    assert facts.site == SVALBARD.site
    assert np.array_equal(opened.frame(0).pixels, pixels)


def test_a_jpeg_has_its_time_in_name_and_exif(tmp_path: Path) -> None:
    path = write_picture(tmp_path, np.zeros((64, 80, 3), np.uint8), MOMENT, SVALBARD)
    assert path.name == "allsky-sim-svalbard_20310117_214020.jpg"
    facts = read_file(path, Limits()).facts()
    assert facts.date_obs == MOMENT
    assert facts.is_simulated
    assert facts.site is not None
    assert facts.site.latitude_deg == pytest.approx(78.15, abs=1e-4)


def test_a_film_holds_a_frame_for_each_image(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    images = [random.integers(0, 65535, (32, 40)).astype(np.uint16) for _ in range(3)]
    frames = [(MOMENT + timedelta(seconds=3 * number), image) for number, image in enumerate(images)]
    opened = read_file(write_film(tmp_path, frames, SVALBARD), Limits())
    assert opened.count == 3
    for number, (moment, image) in enumerate(frames):
        assert np.array_equal(opened.frame(number).pixels, image)
        assert opened.facts(number).date_obs == moment
        assert opened.facts(number).is_simulated
    assert opened.facts(2).site == SVALBARD.site


def test_a_fits_file_counts_rows_upwards(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    opened = read_file(write_sky_fits(tmp_path, pixels, MOMENT, SVALBARD), Limits())
    assert opened.facts().is_simulated
    frame = opened.frame(0)
    assert frame.row_order is RowOrder.BOTTOM
    assert np.array_equal(frame.pixels[::-1], pixels)


def test_sixteen_bits_are_refused_by_jpeg(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write FITS or PGM"):
        write_picture(tmp_path, np.zeros((8, 8), np.uint16), MOMENT, SVALBARD)


def test_cirrus_is_drawn_out_along_its_fibres(camera: Camera) -> None:
    view = View(camera.circle, camera.shape)
    depth = np.log(slant_depth(replace(FIBRES, bend=0.0, cover=0.99), view) + 0.01)
    row, column = round(camera.circle.center_y_px), round(camera.circle.center_x_px)
    # North is up: fibres that point from west to east lie along the rows.
    middle = depth[row - 40 : row + 41, column - 40 : column + 41]
    assert np.abs(np.diff(middle, axis=0)).mean() > 2.5 * np.abs(np.diff(middle, axis=1)).mean()


def test_cirrus_dims_a_star_by_its_optical_depth(camera: Camera) -> None:
    overhead = Stars(np.array([[0, 0, 1]], np.float32), np.array([0.5], np.float32), np.zeros(1, np.float32))
    view = View(camera.circle, camera.shape)
    sheet = replace(FIBRES, cover=0.99)
    row, column = round(camera.circle.center_y_px), round(camera.circle.center_x_px)
    through, clear = (
        _light(dark(stars=overhead, cirrus=sheets), camera, view).rest.sum(axis=0)
        - _light(dark(cirrus=sheets), camera, view).rest.sum(axis=0)
        for sheets in ((sheet,), ())
    )
    lost = np.log(clear[row, column] / through[row, column])
    assert 0.1 < lost < 1.0
    assert lost == pytest.approx(slant_depth(sheet, view)[row, column], rel=0.01)


def test_the_moon_shows_cirrus_that_a_dark_sky_hides(camera: Camera) -> None:
    sheet, moon = replace(FIBRES, depth=0.1), Moon(35.0, 120.0, 0.95)
    hidden, shown = (taken(dark(moon=one, cirrus=(sheet,)), camera).truth for one in (None, moon))
    assert hidden.cloud_cover < 0.25
    assert shown.cloud_cover > 1.5 * hidden.cloud_cover
    assert hidden.sky_class is SkyClass.CLEAR
    assert shown.sky_class is not SkyClass.MOON
    assert taken(dark(moon=moon), camera).truth.sky_class is SkyClass.MOON


def test_fibres_are_evident_where_they_stand_out_of_the_noise_and_a_smooth_veil_is_not(
    camera: Camera,
) -> None:
    view = View(camera.circle, camera.shape)
    rest, quiet = np.ones(view.shape, np.float32), np.full(view.shape, 0.01, np.float32)
    waves = 0.05 * np.sin(np.arange(view.shape[1], dtype=np.float32) * np.float32(2 * np.pi / 9))
    fibres = np.tile(np.asarray(waves, np.float32), (view.shape[0], 1))
    middle = view.zenith < np.radians(60)
    assert evidence(fibres, rest, quiet, view)[middle].min() > 0.3
    assert evidence(fibres, rest, 20 * quiet, view)[middle].max() < 0.1
    assert evidence(0.1 * rest, rest, quiet, view)[middle].max() < 0.1
    assert evidence(0.5 * rest, rest, quiet, view)[middle].min() > 0.5


def test_the_map_shows_fibres_that_the_moon_lights_and_no_smooth_ice_low_in_the_dark(camera: Camera) -> None:
    sheet = replace(FIBRES, depth=0.15, cover=0.99)
    fibrous = taken(dark(moon=Moon(35.0, 120.0, 0.95), cirrus=(sheet,)), camera).truth
    smooth = taken(dark(cirrus=(replace(sheet, texture=0.0),)), camera).truth
    assert fibrous.cloud_map[fibrous.is_sky].mean() > 0.4
    assert (smooth.cloud_map[smooth.is_sky] > 0.3).mean() < 0.15


def test_moonlit_cirrus_is_brightest_towards_the_moon(camera: Camera) -> None:
    moon, view = Moon(30.0, 180.0, 0.9), View(camera.circle, camera.shape)
    depth = np.full(camera.shape, 0.3, np.float32)
    light = scattered_moonlight(FIBRES, moon, depth, view)
    apart = np.degrees(np.arccos(np.clip(view.cosine_to(30.0, 180.0), -1, 1)))
    high = view.zenith < np.radians(75)
    near, side = (light[high & (apart > low) & (apart < low + 5)].mean() for low in (8, 80))
    assert near > 15 * side > 0


def test_some_nights_have_cirrus_that_moves_and_the_rest_are_as_they_were() -> None:
    nights = [Night(SVALBARD, date(2031, 1, day), 3) for day in range(1, 25)]
    moments = [night.noon_s + 12 * 3600.0 for night in nights]
    skies = [night.scene_at(moment).cirrus for night, moment in zip(nights, moments, strict=True)]
    assert 1 <= sum(bool(one) for one in skies) <= 10
    number = next(n for n, one in enumerate(skies) if one)
    later = nights[number].scene_at(moments[number] + 600.0).cirrus
    assert later[0].offset_km != skies[number][0].offset_km
    assert (
        not Night(SVALBARD, date(2031, 1, number + 1), 3, weather=Weather.CLEAR)
        .scene_at(moments[number])
        .cirrus
    )
