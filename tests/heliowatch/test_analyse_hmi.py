"""What `analyse` leaves of a frame of the photosphere: the enhanced file, the comparison, the numbers."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from heliowatch import analyse
from models.simulate.hmi import HmiSun, HmiTelescope
from models.simulate.hmi_fits import write_hmi_fits
from observatory.instruments import Limits, read_file

REAL = os.environ.get("HELIOWATCH_TEST_DATA")
WINDOW = (1900, 2000, 2220, 2300)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Input and beginning of the products' names, of continuum and field of one moment."""
    home = tmp_path_factory.mktemp("analysed")
    when = datetime(2023, 1, 31, 3, 39, 23, tzinfo=UTC)
    pair = HmiSun(5, 0.0).pair(when, HmiTelescope(window_px=WINDOW))
    sources = [write_hmi_fits(home, simulated) for simulated in pair]
    reports = analyse(sources, out=home / "out")
    assert [report.error for report in reports] == [None, None]
    return {
        simulated.quantity.value: (source, home / "out" / source.stem)
        for simulated, source in zip(pair, sources, strict=True)
    }


def told(start: Path) -> dict[str, Any]:
    return json.loads(start.with_name(f"{start.name}.results.json").read_text())


def finding(start: Path) -> dict[str, Any]:
    return next(item for item in told(start)["results"] if item["analysis"] == "enhancement")


def opened(start: Path) -> fits.HDUList:
    return fits.open(start.with_name(f"{start.name}.enhanced.fits"), checksum=True)


def shift_px(before: np.ndarray, after: np.ndarray) -> float:
    """By how much a finer picture lies beside the coarser one, in pixels of that one: the peak of their correlation."""
    height, width = before.shape
    binned = after.astype(np.float64).reshape(height, 2, width, 2).mean(axis=(1, 3))
    window = np.outer(np.hanning(height), np.hanning(width))
    first, second = (np.fft.fft2((part - part.mean()) * window) for part in (before, binned))
    found = np.fft.fftshift(np.fft.ifft2(first * np.conj(second)).real)
    row, column = np.unravel_index(int(np.argmax(found)), found.shape)
    offsets = []
    for line, at, size in ((found[:, column], row, height), (found[row], column, width)):
        low, peak, high = line[at - 1], line[at], line[at + 1]
        offsets.append(at - size // 2 + (low - high) / (2 * (low - 2 * peak + high)))
    return float(np.hypot(*offsets))


def test_a_shift_of_a_twentieth_of_a_pixel_is_seen():
    random = np.random.default_rng(1)
    truth = cv2.GaussianBlur(random.normal(size=(400, 400)).astype(np.float32), (0, 0), 5.0)
    coarse = cv2.resize(truth, (100, 100), interpolation=cv2.INTER_AREA)
    moved = cv2.warpAffine(
        truth, np.array([[1.0, 0, 0.4], [0, 1.0, 0]]), (400, 400)
    )  # a tenth of a coarse pixel
    fine = [cv2.resize(picture, (200, 200), interpolation=cv2.INTER_AREA) for picture in (truth, moved)]
    assert shift_px(coarse, fine[0]) < 0.005
    assert shift_px(coarse, fine[1]) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("quantity", ["continuum", "field"])
def test_the_file_and_the_comparison_are_written_and_listed(products: dict[str, Any], quantity: str):
    source, start = products[quantity]
    for ending in ("preview.jpg", "enhanced.fits", "compare.jpg"):
        assert start.with_name(f"{start.name}.{ending}").exists()
        assert f"{start.name}.{ending}" in told(start)["products"]
    with opened(start) as hdus:
        hdus.verify("exception")
        assert hdus[1].data.shape == (600, 640) and hdus["TRUST"].data.shape == (300, 320)
        assert hdus[1].header["PARENTXT"] == source.name
        assert hdus[1].header["HWPARSHA"] == hashlib.sha256(source.read_bytes()).hexdigest()
    shown = Image.open(start.with_name(f"{start.name}.compare.jpg"))
    assert shown.size[0] <= 2048


@pytest.mark.parametrize("quantity", ["continuum", "field"])
def test_the_results_hold_the_numbers(products: dict[str, Any], quantity: str):
    found = finding(products[quantity][1])
    assert found["quantity"] == quantity
    assert found["window_px"] == [0, 0, 320, 300]
    assert 0.5 < found["trusted_fraction"] <= 1
    assert 0 < found["residual"] < 5 * found["noise"]
    if quantity == "continuum":
        assert 1.4 < found["contrast_after"] / found["contrast_before"] < 2.4
        assert found["unsigned_flux_after_mx"] is None
    else:
        assert found["unsigned_flux_after_mx"] == pytest.approx(found["unsigned_flux_before_mx"], rel=0.3)


@pytest.mark.parametrize("quantity", ["continuum", "field"])
def test_before_and_after_lie_on_each_other(products: dict[str, Any], quantity: str):
    source, start = products[quantity]
    before = read_file(source, Limits()).frame().pixels.astype(np.float32)
    with opened(start) as hdus:
        assert shift_px(before, hdus[1].data) < 0.05


def test_world_coordinates_agree_with_the_inputs(products: dict[str, Any]):
    source, start = products["continuum"]
    with fits.open(source) as given, opened(start) as hdus:
        points = np.random.default_rng(1).uniform(-0.5, 200, (10, 2))
        back = WCS(given[1].header).all_world2pix(WCS(hdus[1].header).all_pix2world(points, 0), 0)
    assert np.abs(back - ((points + 0.5) / 2 - 0.5)).max() < 1e-3


def test_the_flux_is_kept(products: dict[str, Any]):
    source, start = products["continuum"]
    before = read_file(source, Limits()).frame().pixels.astype(np.float64)
    with opened(start) as hdus:
        assert hdus[1].data.mean(dtype=np.float64) == pytest.approx(before.mean(), rel=0.01)


@pytest.mark.skipif(REAL is None, reason="HELIOWATCH_TEST_DATA names no folder of real frames")
def test_a_real_patch_without_pointing_is_enhanced_without_a_shift(tmp_path: Path):
    source = Path(str(REAL)) / "hmi" / "enhance_samples" / "hmi_continuum_patch.fits"
    analyse(source, out=tmp_path)
    start = tmp_path / source.stem
    before = read_file(source, Limits()).frame().pixels.astype(np.float32)
    with opened(start) as hdus:
        assert shift_px(before, hdus[1].data) < 0.05
        assert not WCS(hdus[1].header).has_celestial
    assert finding(start)["trusted_fraction"] > 0.5
