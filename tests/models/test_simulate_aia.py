"""The simulated corona is the same Sun each time, and it tells the truth about itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from models.simulate.aia import CHANNELS, AiaSun, AiaTelescope, Change, Place, aia_file_name, write_aia_fits
from models.simulate.aia_defects import AIA_DEFECTS, spoil
from observatory.analysis import Cause, EventType
from observatory.coordinates import SunView, hpc_to_pixel, stonyhurst_to_hpc, to_stonyhurst
from observatory.errors import UnusableInputError
from observatory.instruments import Limits, read_file
from observatory.sun import disk_radius_map

MOMENT = datetime(2014, 9, 5, 7, 12, 0, 340000, tzinfo=UTC)
SIZE = 384


@pytest.fixture(scope="module")
def sun() -> AiaSun:
    return AiaSun(5, 0.7, detail=256)


@pytest.fixture(scope="module")
def clean(sun: AiaSun):
    return sun.frame(MOMENT, AiaTelescope(SIZE, 193))


def radii(simulated) -> np.ndarray:
    p = simulated.pointing
    return disk_radius_map(*simulated.pixels.shape, p.center_x_px, p.center_y_px, p.radius_px)


def test_equal_seeds_give_equal_frames_and_other_seeds_others(clean):
    again = AiaSun(5, 0.7, detail=256).frame(MOMENT, AiaTelescope(SIZE, 193))
    other = AiaSun(6, 0.7, detail=256).frame(MOMENT, AiaTelescope(SIZE, 193))
    assert np.array_equal(clean.pixels, again.pixels)
    assert np.array_equal(clean.labels, again.labels)
    assert not np.array_equal(clean.pixels, other.pixels)


@pytest.mark.parametrize("channel", sorted(CHANNELS))
def test_every_channel_is_a_corona_with_a_bright_limb_that_falls_off_beyond(sun: AiaSun, channel: int):
    frame = sun.frame(MOMENT, AiaTelescope(SIZE, channel, noise=False))
    assert frame.pixels.dtype == np.int16
    radius = radii(frame)
    level = [
        frame.pixels[(radius > low) & (radius < high)].mean()
        for low, high in ((0.0, 0.6), (0.96, 1.0), (1.1, 1.15), (1.3, 1.4))
    ]
    assert level[1] > 1.05 * level[0]
    assert level[1] > level[2] >= level[3]


def test_holes_are_dark_in_193_and_211_and_active_regions_bright_in_171_and_193(sun: AiaSun):
    for channel, hole, active in ((171, 0.75, 1.8), (193, 0.35, 2.0), (211, 0.3, 2.0), (304, 0.95, 1.5)):
        frame = sun.frame(MOMENT, AiaTelescope(SIZE, channel, noise=False))
        inner = radii(frame) < 0.85
        quiet = np.median(frame.pixels[inner & (frame.labels == 0)])
        assert np.median(frame.pixels[inner & frame.coronal_holes]) < hole * quiet, channel
        assert np.median(frame.pixels[inner & frame.active_regions]) > active * quiet, channel


def test_the_truth_is_consistent_and_only_on_the_disk(clean):
    assert clean.coronal_holes.any()
    assert clean.active_regions.any()
    assert not (clean.coronal_holes & clean.active_regions).any()
    assert not (clean.labels[radii(clean) > 1.0]).any()
    marked = clean.coronal_holes | clean.active_regions
    assert (clean.labels[marked] > 0).mean() > 0.99


def test_regions_are_where_the_suns_coordinates_say():
    places = (
        Place(1, EventType.CORONAL_HOLE, 25.0, SunView(MOMENT).l0_deg - 40.0, 9.0),
        Place(2, EventType.ACTIVE_REGION, -15.0, SunView(MOMENT).l0_deg + 20.0, 6.0),
    )
    sun = AiaSun(1, 0.3, detail=256, places=places, epoch=MOMENT)
    for days in (0.0, 2.0):
        moment = MOMENT + timedelta(days=days)
        frame = sun.frame(moment, AiaTelescope(SIZE, 193, roll_deg=30.0))
        view = SunView(moment)
        for place in sun.places(moment):
            longitude = to_stonyhurst(place.longitude_deg, view.l0_deg)
            sky = stonyhurst_to_hpc(longitude, place.latitude_deg, view.b0_deg, view.rsun_arcsec)
            x, y = hpc_to_pixel(*sky, frame.pointing)
            rows, columns = np.nonzero(frame.labels == place.id)
            apart = np.hypot(columns.mean() - x, rows.mean() - y) / frame.pointing.radius_px
            assert apart < 0.5 * np.radians(place.size_deg), (place, days)


def test_a_region_splits_and_merges_when_asked():
    at = MOMENT + timedelta(days=1)
    places = (Place(4, EventType.CORONAL_HOLE, 5.0, SunView(at).l0_deg, 12.0),)
    changes = (Change("split", 4, at, 0.25), Change("merge", 4, at + timedelta(days=2), 0.25))
    sun = AiaSun(3, 0.2, detail=256, places=places, epoch=at, changes=changes[:1])
    seen = [
        set(np.unique(sun.frame(at + timedelta(days=d), AiaTelescope(SIZE, 193)).labels)) - {0}
        for d in (-0.5, 0.4)
    ]
    assert seen == [{4}, {4, 504}]
    joining = AiaSun(3, 0.2, detail=256, places=places, epoch=at, changes=changes[1:])
    seen = [
        set(np.unique(joining.frame(at + timedelta(days=d), AiaTelescope(SIZE, 193)).labels)) - {0}
        for d in (1.5, 2.5)
    ]
    assert seen == [{4, 504}, {4}]


def test_regions_emerge_and_decay_when_asked():
    places = (
        Place(1, EventType.CORONAL_HOLE, 20.0, SunView(MOMENT).l0_deg - 20.0, 9.0),
        Place(2, EventType.ACTIVE_REGION, -15.0, SunView(MOMENT).l0_deg + 20.0, 6.0),
    )
    changes = (Change("decay", 1, MOMENT, 1.0), Change("emerge", 2, MOMENT, 1.0))
    sun = AiaSun(3, 0.2, detail=256, places=places, epoch=MOMENT, changes=changes)
    hole, active = zip(
        *(
            (int((f.labels == 1).sum()), int((f.labels == 2).sum()))
            for f in (sun.frame(MOMENT + timedelta(days=d), AiaTelescope(SIZE, 193)) for d in (0, 0.5, 1.1))
        ),
        strict=True,
    )
    assert hole[0] > hole[1] > hole[2] == 0
    assert active[0] == 0 < active[1] < active[2]


@pytest.mark.parametrize("size", [64, 128, 512])
def test_any_size_shows_the_same_sun(sun: AiaSun, clean, size: int):
    import cv2

    frame = sun.frame(MOMENT, AiaTelescope(size, 193))
    assert frame.pixels.shape == (size, size)
    small = cv2.resize(clean.pixels.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    other = cv2.resize(frame.pixels.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    assert (
        np.corrcoef(np.sqrt(np.maximum(small, 0)).ravel(), np.sqrt(np.maximum(other, 0)).ravel())[0, 1] > 0.97
    )


def test_a_file_is_read_back_as_the_frame_that_it_is(tmp_path: Path, sun: AiaSun):
    telescope = AiaTelescope(256, 171, level=1, center_offset_px=(2.5, -1.0), roll_deg=0.14)
    simulated = sun.frame(MOMENT, telescope)
    path = write_aia_fits(tmp_path, simulated)
    assert path.name == aia_file_name(MOMENT, 171) == "aia_20140905T071200_171.fits"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    opened = read_file(path, Limits())
    frame = opened.frame()
    assert opened.instrument == "aia-171"
    assert frame.date_obs == MOMENT
    assert np.array_equal(frame.pixels, simulated.pixels)
    assert frame.pointing is not None
    assert frame.pointing.center_x_px == pytest.approx(simulated.pointing.center_x_px, abs=1e-4)
    assert frame.pointing.radius_px == pytest.approx(simulated.pointing.radius_px, rel=1e-5)
    assert frame.pointing.roll_deg == pytest.approx(0.14)
    assert opened.facts().is_simulated


@pytest.mark.usefixtures("installed_iers")
def test_sunpy_takes_the_file_for_an_aia_map(tmp_path: Path, sun: AiaSun):
    sunpy_map = pytest.importorskip("sunpy.map")
    simulated = sun.frame(MOMENT, AiaTelescope(128, 193))
    theirs = sunpy_map.Map(str(write_aia_fits(tmp_path, simulated)))
    assert type(theirs).__name__ == "AIAMap"
    assert theirs.wavelength.value == 193
    assert theirs.observer_coordinate.lat.deg == pytest.approx(SunView(MOMENT).b0_deg, abs=0.01)
    assert theirs.rsun_obs.value == pytest.approx(simulated.pointing.rsun_arcsec, abs=0.01)


@pytest.mark.parametrize("as_float", [False, True])
def test_lost_pixels_are_blank_in_the_file_counted_in_its_header_and_nan_when_read(
    tmp_path: Path, clean, as_float: bool
):
    spoilt = spoil(clean.pixels, clean.pointing, Cause.MISSING_DATA, np.random.default_rng(3), 0.2).pixels
    lost = spoilt == -32768
    assert lost.mean() == pytest.approx(0.2, abs=0.05)
    pixels = np.where(lost, np.float32("nan"), spoilt) if as_float else spoilt
    path = write_aia_fits(tmp_path / "lost.fits", clean, pixels=pixels)
    header = fits.getheader(path, 1)
    assert header["BLANK"] == -32768
    assert header["TOTVALS"] == clean.pixels.size
    assert header["MISSVALS"] == lost.sum()
    assert header["DATAVALS"] == (~lost).sum()
    assert header["PERCENTD"] == pytest.approx(100 * (~lost).mean(), abs=1e-4)
    assert header["DATAMIN"] == spoilt[~lost].min()
    assert header["DATAMEAN"] == pytest.approx(spoilt[~lost].mean(), rel=0.05)
    frame = read_file(path, Limits()).frame()
    assert np.array_equal(np.isnan(frame.pixels), lost)
    assert np.array_equal(frame.pixels[~lost], spoilt[~lost])
    assert np.array_equal(replace(clean, pixels=spoilt).frame().pixels, frame.pixels, equal_nan=True)


def test_a_file_of_which_all_is_lost_says_so(tmp_path: Path, clean):
    path = write_aia_fits(tmp_path / "a.fits", clean, pixels=np.full_like(clean.pixels, -32768))
    header = fits.getheader(path, 1)
    assert (header["DATAVALS"], header["PERCENTD"]) == (0, 0.0)
    assert "DATAMIN" not in header
    with pytest.raises(UnusableInputError, match="no number at all"):
        read_file(path, Limits()).frame()


def test_headers_can_be_made_bad_on_purpose(tmp_path: Path, clean):
    path = write_aia_fits(
        tmp_path / "bad.fits", clean, quality=1 << 30, overrides={"WAVELNTH": 999, "R_SUN": None}
    )
    header = fits.getheader(path, 1)
    assert header["QUALITY"] == 1 << 30
    assert header["WAVELNTH"] == 999
    assert "R_SUN" not in header
    assert header["SIMULATD"] is True


@pytest.mark.parametrize("cause", list(AIA_DEFECTS), ids=str)
@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float32])
def test_each_defect_keeps_type_and_size_and_says_what_it_spoils(clean, cause: Cause, kind: type):
    pixels = np.clip(np.sqrt(np.maximum(clean.pixels, 0)) * 3, 0, 255).astype(kind)
    if kind is np.int16:
        pixels = clean.pixels
    before = pixels.copy()
    done = spoil(pixels, clean.pointing, cause, np.random.default_rng(2))
    assert np.array_equal(pixels, before), "the clean frame was written to"
    assert done.pixels.shape == pixels.shape
    assert done.pixels.dtype == pixels.dtype
    assert done.truth.cause == cause
    assert 0 < done.truth.severity <= 1
    assert done.truth.region.any()
    assert not done.truth.region[radii(clean) > 1.0].any()
    changed = (done.pixels != pixels) & (radii(clean) <= 1.0)
    assert (changed & done.truth.region).sum() > 0.3 * done.truth.region.sum()
    again = spoil(pixels, clean.pointing, cause, np.random.default_rng(2))
    assert np.array_equal(again.pixels, done.pixels, equal_nan=kind is np.float32)


def test_half_an_eclipse_hides_half_of_the_disk(clean):
    done = spoil(clean.pixels, clean.pointing, Cause.ECLIPSE, np.random.default_rng(4), 0.5)
    share = done.truth.region.sum() / (radii(clean) <= 1.0).sum()
    assert share == pytest.approx(0.5, abs=0.08)
    assert np.median(done.pixels[done.truth.region]) < 0.2 * np.median(clean.pixels[radii(clean) <= 1.0])
