"""The simulated photosphere has the statistics that are measured and simulated, and tells the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from astropy.io import fits
from scipy.stats import skew

from models.hmi_enhancement.psf import WACHTER, blurred
from models.simulate.hmi import HmiSun, HmiTelescope, SimulatedHmi, SpotGroup, full_disk, hmi_patch
from models.simulate.hmi_defects import HMI_DEFECTS, spoil_hmi
from models.simulate.hmi_fits import hmi_file_name, write_hmi_fits
from models.simulate.hmi_out_of_domain import STRANGE_CONTINUA, STRANGE_FIELDS, out_of_domain
from models.simulate.photosphere import Photosphere, Spot, field, granulation, photosphere
from observatory.analysis import Cause, Quantity
from observatory.coordinates import SunView, hpc_to_pixel, stonyhurst_to_hpc, to_stonyhurst
from observatory.instruments import Limits, read_file
from observatory.sun import disk_radius_map, limb_darkening

MOMENT = datetime(2023, 1, 31, 3, 39, 23, 200000, tzinfo=UTC)
GRID_KM = 48.0
SIDE = 720


@pytest.fixture(scope="module")
def quiet() -> Photosphere:
    return photosphere((SIDE, SIDE), GRID_KM, np.random.default_rng(11))


@pytest.fixture(scope="module")
def snapshot(real_frames: Path) -> np.ndarray:
    truth = np.load(real_frames / "hmi/mhd/continuum_48km_left.npy").astype(np.float64)
    return truth / truth.mean()


@pytest.fixture(scope="module")
def pair() -> tuple[SimulatedHmi, SimulatedHmi]:
    return HmiSun(4, 0.7).pair(MOMENT, HmiTelescope(512, center_offset_px=(-1.2, 0.3)))


def radii(simulated: SimulatedHmi) -> np.ndarray:
    p = simulated.pointing
    return disk_radius_map(*simulated.pixels.shape, p.center_x_px, p.center_y_px, p.radius_px)


def power(contrast: np.ndarray, pixel_mm: float, edges: np.ndarray) -> np.ndarray:
    """Radially averaged power spectrum under a Hann window, Mm^2."""
    height, width = contrast.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    level = (contrast * window).sum() / window.sum()
    spectrum = np.abs(np.fft.fft2((contrast - level) * window)) ** 2 * pixel_mm**2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(height, pixel_mm)[:, None], np.fft.fftfreq(width, pixel_mm)[None, :])
    ring = np.digitize(frequency.ravel(), edges)
    return np.array([spectrum.ravel()[ring == k].mean() for k in range(1, len(edges))])


def granule_mm(contrast: np.ndarray, pixel_mm: float) -> float:
    """Twice the lag at which the autocorrelation of a picture falls to a half."""
    spectrum = np.abs(np.fft.fft2(contrast - contrast.mean())) ** 2
    correlation = np.fft.fftshift(np.fft.ifft2(spectrum).real)
    row = correlation[contrast.shape[0] // 2, contrast.shape[1] // 2 :] / correlation.max()
    first = int(np.argmax(row < 0.5))
    return 2.0 * pixel_mm * (first - (0.5 - row[first]) / (row[first - 1] - row[first]))


def test_a_seed_gives_one_photosphere_and_its_field_belongs_to_it():
    one = granulation((160, 200), GRID_KM, np.random.default_rng(5), spots=1, plage=0.5)
    other = field((160, 200), GRID_KM, np.random.default_rng(5), spots=1, plage=0.5)
    whole = photosphere((160, 200), GRID_KM, np.random.default_rng(5), spots=1, plage=0.5)
    assert np.array_equal(one, whole.continuum)
    assert np.array_equal(other, whole.field_kg)
    assert one.shape == (160, 200)
    assert one.dtype == other.dtype == np.float32
    assert not np.array_equal(one, granulation((160, 200), GRID_KM, np.random.default_rng(6), spots=1))


def test_granulation_has_the_contrast_of_magneto_convection_at_every_resolution(quiet: Photosphere):
    low, high = blurred(quiet.continuum, GRID_KM, WACHTER)
    assert quiet.continuum.mean() == pytest.approx(1.0, abs=0.01)
    assert quiet.continuum.std() == pytest.approx(0.162, rel=0.04)
    assert low.std() / low.mean() == pytest.approx(0.043, rel=0.08)
    assert high.std() / high.mean() == pytest.approx(0.074, rel=0.08)


def test_granulation_has_the_histogram_size_and_spectrum_of_the_snapshot(
    quiet: Photosphere, snapshot: np.ndarray
):
    assert quiet.continuum.std() == pytest.approx(snapshot.std(), rel=0.04)
    assert skew(quiet.continuum.ravel()) == pytest.approx(skew(snapshot.ravel()), abs=0.1)
    for share in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert np.quantile(quiet.continuum, share) == pytest.approx(np.quantile(snapshot, share), abs=0.03)
    mm = GRID_KM / 1000.0
    assert granule_mm(quiet.continuum, mm) == pytest.approx(granule_mm(snapshot[:600], mm), rel=0.15)
    edges = 1.0 / np.geomspace(4.0, 0.3, 9)  # scales from 4 Mm to 0.3 Mm
    for made, real in zip(blurred(quiet.continuum, GRID_KM), blurred(snapshot, GRID_KM), strict=True):
        ratio = power(made, mm, edges) / power(real, mm, edges)
        assert ratio.min() > 0.5
        assert ratio.max() < 2.0
    full = power(quiet.continuum, mm, edges) / power(snapshot, mm, edges)
    assert 0.6 < full.min() < full.max() < 1.6


def test_the_quiet_field_stands_in_the_lanes_and_is_as_strong_as_hmi_sees_it():
    fields, lights = [], []
    for seed in (1, 2, 3):
        piece = photosphere((SIDE, SIDE), GRID_KM, np.random.default_rng(seed))
        fields.append(piece.field_kg)
        lights.append(piece.continuum)
    seen = np.stack([blurred(f, GRID_KM)[0] for f in fields])
    assert 0.005 < np.abs(seen).mean() < 0.013
    truth = np.abs(np.stack(fields))
    assert 1.0 < truth.max() < 1.6  # kilogauss concentrations
    assert 0.0005 < (truth > 0.8).mean() < 0.02
    around = np.stack([cv2.dilate((f > 0.8).astype(np.uint8), np.ones((15, 15))) for f in truth]).astype(bool)
    lanes = around & (truth < 0.05) & (np.stack(lights) < 0.85)
    assert lanes.any()  # dark lanes go on from where the field is


def test_plage_is_of_one_sign_and_some_hundred_gauss_with_calmer_granules(quiet: Photosphere):
    plage = photosphere((SIDE, SIDE), GRID_KM, np.random.default_rng(11), plage=1.0)
    seen = blurred(plage.field_kg, GRID_KM)[0]
    assert 0.1 < np.abs(seen).mean() < 0.3
    assert plage.continuum.std() < 0.95 * quiet.continuum.std()
    share = np.mean(np.abs(plage.field_kg) > 0.8)
    assert 0.05 < share < 0.3


def test_a_spot_has_a_dark_strong_umbra_and_a_penumbra_of_radial_filaments():
    spot = Spot(20000.0, 18000.0, 11000.0, darkness=0.15, field_kg=-2.7, raggedness=0.1, seed=3)
    piece = photosphere((780, 840), GRID_KM, np.random.default_rng(2), spots=[spot])
    y, x = np.mgrid[0:780, 0:840] * GRID_KM
    radius, angle = np.hypot(x - spot.x_km, y - spot.y_km), np.arctan2(y - spot.y_km, x - spot.x_km)
    umbra, penumbra, outside = radius < 3500, (radius > 6000) & (radius < 9500), radius > 16000
    assert 0.1 < piece.continuum[umbra].mean() < 0.3
    assert -2.8 < piece.field_kg[umbra].mean() < -2.0
    assert 0.65 < piece.continuum[penumbra].mean() < 0.9
    assert -1.6 < piece.field_kg[penumbra].mean() < -0.4
    assert piece.continuum[outside].mean() == pytest.approx(1.0, abs=0.02)
    assert piece.spots == (spot,)
    # Along a filament the light changes less than across it.
    ring = cv2.warpPolar(
        piece.continuum, (400, 720), (spot.x_km / GRID_KM, spot.y_km / GRID_KM), 220, cv2.WARP_POLAR_LINEAR
    )[:, 240:340]
    across = np.abs(np.diff(ring, axis=0)).mean() / (2 * np.pi * 160 / 720)
    along = np.abs(np.diff(ring, axis=1)).mean() / (220 / 400)
    assert across > 1.8 * along
    assert np.ptp(angle) > 6.0


def test_pores_are_dark_and_have_no_penumbra():
    piece = photosphere((400, 400), GRID_KM, np.random.default_rng(8), pores=2)
    assert len(piece.spots) == 2
    for pore in piece.spots:
        row, column = int(pore.y_km / GRID_KM), int(pore.x_km / GRID_KM)
        assert piece.continuum[row, column] < 0.6
        assert abs(piece.field_kg[row, column]) > 1.0


def test_other_pixels_show_the_same_sun_resampled():
    fine = granulation((300, 300), GRID_KM, np.random.default_rng(3))
    coarse = granulation((100, 100), 3 * GRID_KM, np.random.default_rng(3))
    assert coarse == pytest.approx(cv2.resize(fine, (100, 100), interpolation=cv2.INTER_AREA), abs=1e-5)


@pytest.mark.parametrize("quantity", list(Quantity))
def test_a_patch_is_the_telescopes_view_of_its_target(quantity: Quantity):
    clean, target = hmi_patch(np.random.default_rng(4), quantity, 40, noise=0.0, spots=1, pores=1, plage=0.3)
    noisy, same = hmi_patch(np.random.default_rng(4), quantity, 40, spots=1, pores=1, plage=0.3)
    assert clean.shape == (40, 40)
    assert target.shape == (80, 80)
    assert np.array_equal(target, same)
    rms = {Quantity.CONTINUUM: 1e-3, Quantity.FIELD: 0.0102}[quantity]
    assert (noisy - clean).std() == pytest.approx(rms, rel=0.1)
    halved = cv2.resize(target, (40, 40), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(halved.ravel(), clean.ravel())[0, 1] > 0.85
    assert target.std() > clean.std()


def test_patches_draw_quiet_and_active_places():
    patches = [hmi_patch(np.random.default_rng(seed), Quantity.CONTINUUM, 40)[0] for seed in range(8)]
    darkest = [float(p.min()) for p in patches]
    assert min(darkest) < 0.7 < max(darkest)


def test_equal_seeds_give_equal_disks_and_a_pair_has_one_pointing(pair: tuple[SimulatedHmi, SimulatedHmi]):
    light, magnetic = pair
    again = HmiSun(4, 0.7).frame(MOMENT, HmiTelescope(512, center_offset_px=(-1.2, 0.3)), Quantity.FIELD)
    assert np.array_equal(magnetic.pixels, again.pixels, equal_nan=True)
    assert light.pointing == magnetic.pointing
    assert np.array_equal(np.isnan(light.pixels), np.isnan(magnetic.pixels))
    other = HmiSun(5, 0.7).frame(MOMENT, HmiTelescope(512, center_offset_px=(-1.2, 0.3)))
    assert not np.array_equal(light.pixels, other.pixels, equal_nan=True)
    one = full_disk(np.random.default_rng(3), 256, Quantity.CONTINUUM)
    two = full_disk(np.random.default_rng(3), 256, Quantity.FIELD)
    assert one.groups == two.groups
    assert (one.unit, two.unit) == ("DN/s", "Gauss")


def test_a_disk_has_limb_darkening_a_sharp_limb_and_nothing_in_the_corners():
    disk = HmiSun(1, 0.0).frame(MOMENT, HmiTelescope(512))
    radius = radii(disk)
    level = disk.pixels[radius < 0.1].mean()
    for low, high in ((0.45, 0.55), (0.75, 0.8), (0.9, 0.92)):
        ring = (radius > low) & (radius < high)
        expected = limb_darkening(np.sqrt(1 - radius[ring] ** 2), (0.867, -0.229)).mean()
        assert disk.pixels[ring].mean() / level == pytest.approx(expected, rel=0.01)
    assert disk.pixels[(radius > 1.02) & (radius < 1.04)].max() < 0.03 * level
    assert np.isnan(disk.pixels[0, 0])
    assert np.isfinite(disk.pixels[radius < 1.0]).all()
    cropped = HmiSun(1, 0.0).frame(MOMENT, HmiTelescope(512, crop_at_limb=True))
    assert np.isnan(cropped.pixels[radii(cropped) > 1.01]).all()
    assert np.isfinite(cropped.pixels[radii(cropped) < 0.99]).all()


def test_the_middle_of_a_full_disk_has_hmis_granulation_and_field():
    telescope = HmiTelescope(noise=False, window_px=(1900, 1900, 2200, 2200))
    light, magnetic = HmiSun(9, 0.0).pair(MOMENT, telescope)
    assert light.pixels.shape == (300, 300)
    inner = light.pixels[16:-16, 16:-16]
    assert inner.std() / inner.mean() == pytest.approx(0.043, rel=0.1)
    assert skew(inner.ravel()) == pytest.approx(0.1, abs=0.15)
    assert 4.0 < np.abs(magnetic.pixels[16:-16, 16:-16]).mean() < 13.0


def test_what_lies_beside_a_cut_out_shines_into_it():
    wide, narrow = (
        HmiSun(9, 0.0).frame(MOMENT, HmiTelescope(noise=False, window_px=(low, low, high, high)))
        for low, high in ((1900, 2060), (1940, 2020))
    )
    np.testing.assert_allclose(narrow.pixels, wide.pixels[40:120, 40:120], rtol=2e-5)
    assert narrow.pointing.center_x_px == wide.pointing.center_x_px - 40


def test_granulation_fades_towards_the_limb():
    def contrast(x0: int) -> float:
        telescope = HmiTelescope(noise=False, window_px=(x0, 1948, x0 + 200, 2148))
        part = HmiSun(9, 0.0).frame(MOMENT, telescope).pixels[16:-16, 16:-16]
        return float((part / cv2.GaussianBlur(part, (0, 0), 12.0)).std())

    middle, near = contrast(1948), contrast(3550)  # 0.83 solar radii
    assert 0.2 * middle < near < 0.7 * middle


def group_at(longitude_deg: float) -> SpotGroup:
    spots = (
        Spot(30000.0, 0.0, 14000.0, field_kg=2.6),
        Spot(-30000.0, 2000.0, 10000.0, field_kg=-2.4, seed=1),
    )
    return SpotGroup(1, 15.0, longitude_deg, 9.0, 1.0, spots)


def test_spots_are_where_the_suns_coordinates_say_and_turn_with_it():
    group = group_at(SunView(MOMENT).l0_deg - 30.0)
    sun = HmiSun(1, 0.0, groups=[group], epoch=MOMENT)
    for days in (0.0, 3.0):
        moment = MOMENT + timedelta(days=days)
        view = SunView(moment)
        light, magnetic = sun.pair(moment, HmiTelescope(512, roll_deg=150.0))
        (seen,) = light.groups
        longitude = to_stonyhurst(seen.longitude_deg, view.l0_deg)
        sky = stonyhurst_to_hpc(longitude, 15.0, view.b0_deg, view.rsun_arcsec)
        x, y = hpc_to_pixel(*sky, light.pointing)
        inner = radii(light) < 0.97
        flat = light.pixels / limb_darkening(
            np.sqrt(np.clip(1 - radii(light) ** 2, 0.05, 1)), (0.867, -0.229)
        )
        rows, columns = np.nonzero(inner & (flat < 0.6 * 58000))
        assert rows.size > 8
        assert np.hypot(columns.mean() - x, rows.mean() - y) < 8.0
        # The leading spot lies west of the following one, and its sign is the group's.
        west = hpc_to_pixel(sky[0] + 20.0, sky[1], light.pointing)
        along = np.array([west[0] - x, west[1] - y])
        aside = (columns - x) * along[0] + (rows - y) * along[1]
        assert magnetic.pixels[rows, columns][aside > 0].mean() > 300.0
        assert magnetic.pixels[rows, columns][aside < 0].mean() < -300.0
    behind = sun.frame(MOMENT + timedelta(days=12), HmiTelescope(256))
    assert behind.groups == ()


def test_active_suns_have_plage_about_their_spots():
    telescope = HmiTelescope(512, noise=False)
    group = group_at(SunView(MOMENT).l0_deg)
    magnetic = HmiSun(2, 0.0, groups=[group], epoch=MOMENT).frame(MOMENT, telescope, Quantity.FIELD)
    quiet = HmiSun(2, 0.0).frame(MOMENT, telescope, Quantity.FIELD)
    strong = [float(np.mean(np.abs(m.pixels[radii(m) < 0.9]) > 150.0)) for m in (magnetic, quiet)]
    assert strong[0] > strong[1] + 0.001


def test_the_field_has_less_noise_in_twelve_minutes_than_in_forty_five_seconds():
    rms = {}
    window = (1900, 1900, 2100, 2100)
    for cadence in (45, 720):
        exact, noisy = (
            HmiSun(3, 0.0).frame(
                MOMENT, HmiTelescope(cadence_s=cadence, noise=noise, window_px=window), Quantity.FIELD
            )
            for noise in (False, True)
        )
        rms[cadence] = float((noisy.pixels - exact.pixels).std())
    assert rms[45] == pytest.approx(10.2, rel=0.1)
    assert rms[720] == pytest.approx(6.3, rel=0.1)


@pytest.mark.parametrize("place", [0, 1])
def test_files_read_back_as_hmi_frames_that_say_they_are_simulated(
    pair: tuple[SimulatedHmi, SimulatedHmi], place: int, tmp_path: Path
):
    simulated = pair[place]
    path = write_hmi_fits(tmp_path, simulated)
    series = ("hmi.ic_45s", "hmi.m_45s")[place]
    segment = ("continuum", "magnetogram")[place]
    assert path.name == f"{series}.20230131_034030_TAI.2.{segment}.fits"
    frame = read_file(path, Limits()).frame(0)
    facts = read_file(path, Limits()).facts()
    assert facts.is_simulated
    assert frame.instrument == ("hmi-continuum", "hmi-magnetogram")[place]
    assert facts.date_obs == MOMENT
    assert facts.unit == simulated.unit
    assert facts.pointing is not None
    for name in ("center_x_px", "center_y_px", "radius_px", "rsun_arcsec", "roll_deg"):
        assert getattr(facts.pointing, name) == pytest.approx(getattr(simulated.pointing, name), abs=1e-3)
    step = (3.0, 0.1)[place]
    known = np.isfinite(simulated.pixels)
    assert np.array_equal(np.isfinite(frame.pixels), known)
    assert np.abs(frame.pixels - simulated.pixels)[known].max() <= 0.51 * step


def test_headers_say_what_the_archives_headers_say(pair: tuple[SimulatedHmi, SimulatedHmi], tmp_path: Path):
    path = write_hmi_fits(tmp_path, pair[0], quality=1024, overrides={"CONTENT": None, "CAMERA": 1})
    with fits.open(path, do_not_scale_image_data=True, disable_image_compression=True) as hdus:
        hdus.verify("exception")
        header = hdus[1].header
    assert (header["ZCMPTYPE"], header["ZBITPIX"]) == ("RICE_1", 32)
    assert (header["BSCALE"], header["BZERO"]) == (3.0, 97304.0)
    # A real frame of this moment says 2023.01.31_03:40:22.661_TAI, 2023.01.31_03:40:30.000_TAI and 2267.
    assert header["T_OBS"].startswith("2023.01.31_03:40:22.7")
    assert header["T_REC"] == "2023.01.31_03:40:30_TAI"
    assert header["CAR_ROT"] == 2267
    assert header["RSUN_OBS"] == pytest.approx(973.968, abs=0.2)
    assert header["CRLT_OBS"] == pytest.approx(-5.938, abs=0.05)
    assert header["CRLN_OBS"] == pytest.approx(327.919, abs=0.1)
    assert (header["QUALITY"], header["CAMERA"]) == (1024, 1)
    assert "CONTENT" not in header
    slow = hmi_file_name(datetime(2011, 2, 15, 1, 53, 20, tzinfo=UTC), Quantity.FIELD, 720)
    assert slow == "hmi.m_720s.20110215_020000_TAI.3.magnetogram.fits"


def test_sunpy_makes_a_map_of_a_file(pair: tuple[SimulatedHmi, SimulatedHmi], tmp_path: Path):
    sunpy_map = pytest.importorskip("sunpy.map")
    hmi = sunpy_map.Map(write_hmi_fits(tmp_path, pair[1]))
    assert type(hmi).__name__ == "HMIMap"
    assert hmi.measurement == "magnetogram"
    assert hmi.rsun_obs.to_value("arcsec") == pytest.approx(pair[1].pointing.rsun_arcsec, abs=0.01)
    x, y = hmi.wcs.world_to_pixel_values(0.0, 0.0)
    assert (x, y) == pytest.approx((pair[1].pointing.center_x_px, pair[1].pointing.center_y_px), abs=1e-3)


@pytest.mark.parametrize("cause", list(HMI_DEFECTS))
@pytest.mark.parametrize("place", [0, 1])
def test_a_defect_changes_the_pixels_and_says_where(
    pair: tuple[SimulatedHmi, SimulatedHmi], place: int, cause: Cause
):
    clean = pair[place]
    before = clean.pixels.copy()
    spoilt = spoil_hmi(clean.pixels, clean.pointing, cause, np.random.default_rng(7), 0.5)
    assert np.array_equal(clean.pixels, before, equal_nan=True)
    assert spoilt.truth.cause is cause
    assert spoilt.pixels.dtype == np.float32
    assert spoilt.truth.region.any()
    assert not spoilt.truth.region[radii(clean) > 1.0].any()
    assert np.isnan(spoilt.pixels[np.isnan(before)]).all()
    changed = np.isnan(spoilt.pixels) | (np.abs(spoilt.pixels - before) > 0)
    inside = radii(clean) < 0.99
    assert changed[spoilt.truth.region & inside].mean() > 0.9
    if cause is Cause.MISSING_DATA:
        assert np.isnan(spoilt.pixels[spoilt.truth.region]).all()


@pytest.mark.parametrize(
    ("quantity", "name"),
    [(Quantity.CONTINUUM, name) for name in STRANGE_CONTINUA] + [(Quantity.FIELD, n) for n in STRANGE_FIELDS],
)
def test_every_patch_out_of_the_domain_can_be_drawn(quantity: Quantity, name: str):
    told, pixels = out_of_domain(np.random.default_rng(2), quantity, 48, name)
    assert told == name
    assert pixels.shape == (48, 48)
    assert pixels.dtype == np.float32
    assert np.isfinite(pixels).all()
    if quantity is Quantity.CONTINUUM:
        assert pixels.mean() == pytest.approx(1.0, abs=0.6 if name == "corona" else 0.25)
