from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.hmi_enhancement import domain
from models.hmi_enhancement.domain import OutOfDomainError
from models.hmi_enhancement.inference import HmiEnhancement
from models.hmi_enhancement.psf import AUTHORS, WACHTER, Psf
from models.hmi_enhancement.statistics import Statistics, measure
from models.runtime import Runtime
from models.simulate.hmi import HmiSun, HmiTelescope, hmi_patch
from models.simulate.hmi_out_of_domain import STRANGE_CONTINUA, STRANGE_FIELDS, out_of_domain
from models.simulate.sunspots import Spot, SpotGroup
from observatory.analysis import Quantity
from observatory.frame import Frame, Pointing, RowOrder
from observatory.instruments import read_file
from observatory.instruments.formats.container import Limits
from observatory.photosphere_view import DiskView
from tests.models.hmi_stand_in import stand_ins

INSTRUMENTS = {Quantity.CONTINUUM: "hmi-continuum", Quantity.FIELD: "hmi-magnetogram"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HmiEnhancement:
    return HmiEnhancement(Runtime(), stand_ins(tmp_path_factory.mktemp("networks")))


def frame_of(pixels: np.ndarray, quantity: Quantity, **given: object) -> Frame:
    unit = "kG" if quantity is Quantity.FIELD else None
    return Frame(pixels, INSTRUMENTS[quantity], RowOrder.BOTTOM, **{"unit": unit, **given})  # type: ignore[arg-type]


def pieces(random: np.random.Generator, pixels: np.ndarray, count: int) -> list[np.ndarray]:
    """Cut-outs of several sizes from 80 pixels on, wide ones and tall ones."""
    found = []
    for _ in range(count):
        height, width = (int(np.exp(random.uniform(np.log(80), np.log(side)))) for side in pixels.shape)
        y, x = (
            random.integers(0, pixels.shape[0] - height + 1),
            random.integers(0, pixels.shape[1] - width + 1),
        )
        found.append(np.ascontiguousarray(pixels[y : y + height, x : x + width]))
    return found


def smooth_noise(shape: tuple[int, ...], rms: float) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(shape).astype(np.float32), (0, 0), 6)
    return rms * noise / noise.std()


@pytest.mark.parametrize("name", STRANGE_CONTINUA)
def test_strange_continua_are_refused(model: HmiEnhancement, name: str) -> None:
    random = np.random.default_rng(3)
    for size in (64, 128):
        _, pixels = out_of_domain(random, Quantity.CONTINUUM, size, name)
        with pytest.raises(OutOfDomainError):
            model.enhance(frame_of(pixels, Quantity.CONTINUUM))


@pytest.mark.parametrize("name", STRANGE_FIELDS)
def test_strange_fields_are_refused(model: HmiEnhancement, name: str) -> None:
    random = np.random.default_rng(3)
    for size in (64, 128):
        _, pixels = out_of_domain(random, Quantity.FIELD, size, name)
        with pytest.raises(OutOfDomainError):
            model.enhance(frame_of(pixels, Quantity.FIELD))


@pytest.mark.parametrize("quantity", Quantity)
def test_no_simulated_patch_is_refused(model: HmiEnhancement, quantity: Quantity) -> None:
    random = np.random.default_rng(21)
    for psf, spots in ((WACHTER, 0), (AUTHORS, 2), (WACHTER, 1)):
        drawn = hmi_patch(random, quantity, 180, psf, spots=spots)[0]
        for pixels in [drawn, *pieces(random, drawn, 12)]:
            model.enhance(frame_of(pixels, quantity))


@pytest.mark.parametrize("mu", [1.0, 0.6])
def test_windows_of_a_simulated_disk_are_taken_anywhere(model: HmiEnhancement, mu: float) -> None:
    """A part of a full disk at its own place, drawn small: granulation is weaker and slanted there."""
    random = np.random.default_rng(6)
    sun = HmiSun(5, activity=0.0)
    for quantity in Quantity:
        telescope = _Zoomed(mu=mu)
        taken = sun.frame(datetime(2023, 1, 31, tzinfo=UTC), telescope, quantity)
        frame = taken.frame()
        model.enhance(frame)
        for _ in range(5):
            x, y = (int(n) for n in random.integers(0, frame.width - 64, 2))
            model.enhance(frame, (x, y, x + 64, y + 64))


@pytest.mark.parametrize("quantity", Quantity)
def test_windows_of_a_few_granules_are_taken_for_the_sake_of_what_lies_around_them(
    model: HmiEnhancement, quantity: Quantity
) -> None:
    random = np.random.default_rng(33)
    for spots in (0, 2):
        frame = frame_of(hmi_patch(random, quantity, 160, AUTHORS, spots=spots)[0], quantity)
        for side in (16, 16, 20, 24, 32, 47):
            x, y = (int(n) for n in random.integers(0, 160 - side + 1, 2))
            made = model.enhance(frame, (x, y, x + side, y + side))
            assert made.pixels.shape == (2 * side, 2 * side) and made.window_px == (x, y, x + side, y + side)


@pytest.mark.parametrize(("place", "psf"), [("spot", WACHTER), ("limb", AUTHORS), ("corner", AUTHORS)])
def test_small_windows_beside_spots_and_at_the_limb_are_taken(
    model: HmiEnhancement, place: str, psf: Psf
) -> None:
    """Of a cut-out of a full disk that knows its place."""
    random = np.random.default_rng(8)
    x0, y0 = {"spot": (2500, 2100), "limb": (3830, 2000), "corner": (3300, 3200)}[place]
    spot = Spot(0.0, 0.0, 14000.0, field_kg=2.6)
    groups = [SpotGroup(1, 15.0, 205.0, 9.0, 1.0, (spot,))] if place == "spot" else []
    telescope = HmiTelescope(psf=psf, window_px=(x0, y0, x0 + 200, y0 + 200))
    for taken in HmiSun(5, groups=groups).pair(datetime(2023, 1, 31, tzinfo=UTC), telescope):
        frame = taken.frame()
        assert frame.pointing is not None
        on_disk = DiskView(frame.pointing).mu_squared((0, 0, 200, 200)) > 0.01
        taken_sides = set()
        for side in (16, 24, 32, 48, 64):
            x, y = (int(n) for n in random.integers(0, 200 - side, 2))
            if on_disk[y : y + side, x : x + side].mean() > 0.5:
                model.enhance(frame, (x, y, x + side, y + side))
                taken_sides.add(side)
        assert taken_sides


@pytest.mark.parametrize("name", ["h-alpha", "inverted", "enlarged", "hinode scale", "smooth noise"])
def test_small_windows_of_strange_frames_are_refused(model: HmiEnhancement, name: str) -> None:
    frame = frame_of(
        out_of_domain(np.random.default_rng(4), Quantity.CONTINUUM, 160, name)[1], Quantity.CONTINUUM
    )
    for x, side in ((0, 16), (70, 24), (112, 48)):
        with pytest.raises(OutOfDomainError):
            model.enhance(frame, (x, 60, x + side, 60 + side))


@pytest.mark.parametrize("shape", [(79, 80), (16, 100), (30, 30)])
def test_frames_of_a_few_granules_are_refused_and_say_what_to_do(
    model: HmiEnhancement, quiet: np.ndarray, shape: tuple[int, int]
) -> None:
    pixels = np.ascontiguousarray(quiet[: shape[0], : shape[1]])
    with pytest.raises(OutOfDomainError, match="80 x 80; give the frame that it was cut from"):
        model.enhance(frame_of(pixels, Quantity.CONTINUUM))


def test_a_window_with_nothing_in_it_is_refused_whatever_lies_around(
    model: HmiEnhancement, quiet: np.ndarray
) -> None:
    empty = quiet.copy()
    empty[40:60, 40:60] = np.nan
    with pytest.raises(OutOfDomainError, match="the window's pixels have data"):
        model.enhance(frame_of(empty, Quantity.CONTINUUM), (42, 42, 58, 58))
    empty[40:60, 40:60] = 1.0
    with pytest.raises(OutOfDomainError, match="same value"):
        model.enhance(frame_of(empty, Quantity.CONTINUUM), (42, 42, 58, 58))


@dataclass(frozen=True)
class _Zoomed(HmiTelescope):
    """HMI that looks at a part of the disk alone, in its own pixels."""

    size_px: int = 200
    mu: float = 1.0

    @property
    def cdelt_arcsec(self) -> float:
        return 0.504

    def pointing(self, rsun_arcsec: float) -> Pointing:
        away = float(np.sqrt(1 - self.mu**2)) * rsun_arcsec / self.cdelt_arcsec
        return Pointing(99.5 - away, 99.5, rsun_arcsec / self.cdelt_arcsec, rsun_arcsec, 0.0, "header")


def test_real_patches_are_taken(model: HmiEnhancement, real_frames: Path) -> None:
    random = np.random.default_rng(0)
    for pattern in ("enhance_samples/*", "sharp_377/*continuum*", "sharp_377/*magnetogram*"):
        files = sorted((real_frames / "hmi").glob(pattern))
        assert files, pattern
        for path in files:
            frame = read_file(path, Limits()).frame()
            model.enhance(frame)
            for _ in range(6):
                x, y = (int(random.integers(0, side - 64)) for side in (frame.width, frame.height))
                model.enhance(frame, (x, y, x + 64, y + 64))


@pytest.mark.parametrize(
    "pattern",
    [
        "halpha/bbso/*_fr_20150801*",
        "halpha/kso_20190126/*_0042*",
        "aia/png/*",
        "aia/browse_20250205/*0171*",
        "gong_photosphere/*_fd_20150801_142103*",
        "gong_photosphere/*_magxx_fd_20150801_142103*",
        "allsky/kho_20131204/*_2681*",
        "sdo_boxes/hmi_continuum/*",
        "sdo_boxes/aia_304/*",
    ],
)
def test_real_pictures_of_something_else_are_refused(
    model: HmiEnhancement, real_frames: Path, pattern: str
) -> None:
    path = next(iter(sorted(p for p in real_frames.glob(pattern) if p.suffix in (".jpg", ".png"))), None)
    if path is None:
        pytest.skip(f"no {pattern} among the real frames")
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    patch = cv2.resize(grey, (200, 200), interpolation=cv2.INTER_AREA)
    for pixels in (patch, grey[:150, :150]):
        with pytest.raises(OutOfDomainError):
            model.enhance(frame_of(np.ascontiguousarray(pixels), Quantity.CONTINUUM))


@pytest.fixture(scope="module")
def quiet() -> np.ndarray:
    return hmi_patch(np.random.default_rng(1), Quantity.CONTINUUM, 100, spots=0, pores=0, plage=0)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: np.ones_like(p), "same value"),
        (lambda p: np.full_like(p, np.nan), "above 0"),
        (lambda p: p[:15], "too few"),
        (lambda p: np.stack([p, p, p], axis=-1), "colour"),
        (lambda p: -p, "above 0"),
        (lambda p: np.where(np.arange(p.size).reshape(p.shape) > 90, np.nan, p), "have data"),
        (lambda p: p + np.random.default_rng(0).normal(0, 0.05, p.shape).astype(np.float32), "noise"),
        (lambda p: 2 - p, "negative of granulation"),
        (lambda p: 1 + 4 * (p - 1), "stronger"),
        (lambda p: cv2.GaussianBlur(p, (0, 0), 2.5), "coarser|weaker"),
        (lambda p: p + np.clip(smooth_noise(p.shape, 0.3), 0, None), "brighter"),
    ],
)
def test_refusals_say_why(model: HmiEnhancement, quiet: np.ndarray, change: object, words: str) -> None:
    assert callable(change)
    with pytest.raises(OutOfDomainError, match=words):
        model.enhance(frame_of(change(quiet), Quantity.CONTINUUM))


@pytest.mark.parametrize(
    ("cdelt", "is_taken"), [(0.504, True), (0.55, True), (0.6, True), (1.0, False), (0.3, False)]
)
def test_the_headers_scale_must_be_hmis(
    model: HmiEnhancement, quiet: np.ndarray, cdelt: float, is_taken: bool
) -> None:
    frame = frame_of(quiet, Quantity.CONTINUUM, header={"CDELT1": cdelt})
    if is_taken:
        domain.check_frame(frame)
    else:
        with pytest.raises(OutOfDomainError, match="arcsec"):
            model.enhance(frame)
    binned = Pointing(50.0, 50.0, 959.63 / cdelt, 959.63)
    assert domain.relative_scale(frame_of(quiet, Quantity.CONTINUUM, pointing=binned)) == pytest.approx(
        cdelt / 0.504
    )


def test_pixels_that_the_header_says_are_oblong_are_refused(quiet: np.ndarray) -> None:
    header = {"CDELT1": 0.504, "CDELT2": 1.0}
    with pytest.raises(OutOfDomainError, match="square"):
        domain.check_frame(frame_of(quiet, Quantity.CONTINUUM, header=header))


def test_statistics_do_not_depend_on_level_and_hardly_on_what_lies_beside(quiet: np.ndarray) -> None:
    chosen = np.zeros(quiet.shape, bool)
    chosen[:, :60] = True
    spoilt = quiet.copy()
    spoilt[:, 60:] = 0.2
    alone, beside = measure(quiet, chosen), measure(spoilt, chosen)
    np.testing.assert_allclose(alone.to_vector(), beside.to_vector(), atol=1e-3)
    raised = measure(quiet + 3, chosen)
    np.testing.assert_allclose(raised.to_vector(), alone.to_vector(), atol=1e-3)
    assert set(Statistics.names()) >= {"strength", "lanes"}
