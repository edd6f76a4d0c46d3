"""Frames of the photosphere made for tests: quick disks and patches as HMI's files hold them, and bad ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from tests.making import fits_bytes, picture_bytes, raw_fits

QUIET_DN = 60_000.0
NOISE_G = 8.0
RADIUS_SHARE = 0.4645  # of the side: 959.63 arcsec over 4096 px of 0.5044


def granules(
    shape: tuple[int, int], seed: int = 1, contrast: float = 0.037, pixel_arcsec: float = 0.5
) -> np.ndarray:
    """A quiet photosphere, 1 on average: noise with the correlation length of HMI's granulation."""
    random = np.random.default_rng(seed)
    side = 512
    grain = cv2.GaussianBlur(
        random.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 0.47 / pixel_arcsec
    )
    grain *= np.float32(contrast) / grain.std()
    tall, wide = -(-shape[0] // side), -(-shape[1] // side)
    return np.asarray(1.0 + np.tile(grain, (tall, wide))[: shape[0], : shape[1]], np.float32)


def disk_cards(size_px: int = 1024, *, roll_deg: float = 179.93, **changed: Any) -> dict[str, Any]:
    """Keywords of a full disk of level 1.5; a value of None leaves a keyword out."""
    scale = 959.63 / (RADIUS_SHARE * size_px)
    cards: dict[str, Any] = {
        **{
            "TELESCOP": "SDO/HMI",
            "INSTRUME": "HMI_FRONT2",
            "CONTENT": "CONTINUUM INTENSITY",
            "BUNIT": "DN/s",
        },
        **{"DATE-OBS": "2024-05-08T11:58:59.60", "T_OBS": "2024.05.08_11:59:59.100_TAI"},
        **{"T_REC": "2024.05.08_12:00:00_TAI", "CADENCE": 45.0, "WAVELNTH": 6173.0, "QUALITY": 0},
        **{"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec"},
        **{"CRPIX1": size_px / 2 + 0.7, "CRPIX2": size_px / 2 + 0.2, "CRVAL1": 0.0, "CRVAL2": 0.0},
        **{"CDELT1": scale, "CDELT2": scale, "CROTA2": roll_deg, "RSUN_OBS": 950.8, "RSUN_REF": 6.96e8},
        **{"DSUN_OBS": 150989500000.0, "CRLN_OBS": 331.3, "CRLT_OBS": -3.4, "CAR_ROT": 2284},
    }
    return {key: value for key, value in (cards | changed).items() if value is not None}


def disk_radius(cards: Mapping[str, Any], size_px: int) -> np.ndarray:
    """Distance of every pixel from the disk's centre in solar radii."""
    radius = cards["RSUN_OBS"] / cards["CDELT1"]
    y, x = np.ogrid[:size_px, :size_px]
    return np.hypot((x - cards["CRPIX1"] + 1) / radius, (y - cards["CRPIX2"] + 1) / radius).astype(np.float32)


def continuum_disk(
    size_px: int = 1024, seed: int = 1, *, cards: Mapping[str, Any] | None = None
) -> np.ndarray:
    """A continuum full disk in DN/s: limb darkening, granulation at the scale, NaN beyond the limb."""
    cards = disk_cards(size_px) if cards is None else cards
    radius = disk_radius(cards, size_px)
    mu = np.sqrt(np.clip(1 - radius**2, 0, 1))
    scale = cards["CDELT1"]
    texture = granules((size_px, size_px), seed, 0.037 * min(1.0, 0.75 / scale), max(scale, 0.5))
    light = QUIET_DN * (0.36 + 0.87 * mu - 0.23 * mu**2) * texture
    light = cv2.GaussianBlur(np.where(radius < 1, light, 250.0).astype(np.float32), (0, 0), 0.8)
    light[radius > 1.02] = np.nan
    return np.asarray(light, np.float32)


def field_disk(size_px: int = 1024, seed: int = 1, *, cards: Mapping[str, Any] | None = None) -> np.ndarray:
    """A line-of-sight full disk in gauss: noise, a network of small elements, two active regions."""
    cards = disk_cards(size_px) if cards is None else cards
    random = np.random.default_rng(seed)
    field = random.normal(0, NOISE_G, (size_px, size_px)).astype(np.float32)
    field = np.asarray(cv2.GaussianBlur(field, (0, 0), 0.6)) * np.float32(1.7)
    seeds = np.zeros_like(field)
    count = size_px * size_px // 900
    seeds[random.integers(0, size_px, count), random.integers(0, size_px, count)] = random.normal(
        0, 700, count
    )
    field += cv2.GaussianBlur(seeds, (0, 0), 1.2)
    for x, y, sign in ((0.4, 0.6, 1), (0.45, 0.61, -1), (0.6, 0.35, -1), (0.64, 0.36, 1)):
        cv2.circle(seeds, (int(x * size_px), int(y * size_px)), size_px // 60, float(sign * 1200), -1)
    field += cv2.GaussianBlur(seeds, (0, 0), 3.0)
    field[disk_radius(cards, size_px) > 1.0] = np.nan
    return field


def disk_bytes(pixels: np.ndarray, **changed: Any) -> bytes:
    """A full disk as a plain FITS file."""
    return fits_bytes(pixels, disk_cards(pixels.shape[1], **changed))


# -- bad input ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class BadInput:
    """A file that nothing good can be made of.

    Attributes
    ----------
    file_name : str
    make : Callable
        Gives its bytes.
    refused : str or None
        What the reader's refusal says (a regular expression); None when the file can be read, and is
        for the quality model or the enhancement to judge.
    """

    file_name: str
    make: Callable[[], bytes]
    refused: str | None = None


def all_nan() -> bytes:
    """A full disk without a single number."""
    return disk_bytes(np.full((256, 256), np.nan, np.float32))


def constant() -> bytes:
    """A full disk's header over one value."""
    return disk_bytes(np.full((256, 256), 1234.0, np.float32))


def negative_continuum() -> bytes:
    """A continuum whose sign is wrong."""
    return disk_bytes(-np.nan_to_num(continuum_disk(256)))


def wrong_unit() -> bytes:
    """A velocity that says it is a magnetogram."""
    return disk_bytes(field_disk(256), CONTENT="MAGNETOGRAM", BUNIT="m/s")


def colour_jpeg() -> bytes:
    """A picture in colours that are no scale of brightness."""
    random = np.random.default_rng(4)
    small = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return picture_bytes(cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC), "JPEG", quality=95)


def cube() -> bytes:
    """Four planes in one image."""
    return fits_bytes(np.ones((4, 64, 64), np.float32), {"TELESCOP": "SDO/HMI", "CONTENT": "MAGNETOGRAM"})


def half_a_wcs() -> bytes:
    """A plate scale without a reference pixel."""
    return disk_bytes(continuum_disk(256), CRPIX1=None, CRPIX2=None)


def half_a_wcs_of_a_patch() -> bytes:
    """The same where nothing says what the axes are."""
    return fits_bytes(granules((64, 64)), {"CDELT1": 0.504, "CDELT2": 0.504})


def ten_px_wide() -> bytes:
    """A sliver of a photosphere."""
    return fits_bytes(granules((200, 10)))


def half_missing(size_px: int = 4096) -> bytes:
    """A full disk of int16, as level 1.5 files are stored, with every row of one half BLANK."""
    cards = disk_cards(size_px)
    radius = disk_radius(cards, size_px)
    mu = np.sqrt(np.clip(1 - np.square(radius), 0, 1), dtype=np.float32)
    light = (QUIET_DN / 3) * (0.36 + 0.87 * mu - 0.23 * mu**2) * granules(mu.shape)
    light[radius > 1] = -32768
    light[: size_px // 2] = -32768
    words = {"SIMPLE": True, "BITPIX": 16, "NAXIS": 2, "NAXIS1": size_px, "NAXIS2": size_px}
    return raw_fits(
        words | {"BSCALE": 3.0, "BZERO": 0.0, "BLANK": -32768} | cards, light.astype(">i2").tobytes()
    )


BAD_INPUTS: Mapping[str, BadInput] = {
    "all NaN": BadInput("hmi.ic_45s.20240508_120000_TAI.2.continuum.fits", all_nan, "NaN everywhere"),
    "constant": BadInput("hmi.ic_45s.20240508_120045_TAI.2.continuum.fits", constant),
    "negative continuum": BadInput("hmi.ic_45s.20240508_120130_TAI.2.continuum.fits", negative_continuum),
    "field in the wrong unit": BadInput("hmi.M_45s.20240508_120000_TAI.2.magnetogram.fits", wrong_unit),
    "colour JPEG": BadInput("20240508_120000_SDO_HMI_Ic_256.jpg", colour_jpeg),
    "cube": BadInput("hmi.M_45s.20240508_120045_TAI.2.magnetogram.fits", cube, "3 axes"),
    "half a WCS": BadInput("hmi.ic_45s.20240508_120215_TAI.2.continuum.fits", half_a_wcs, "half a WCS"),
    "half a WCS of a patch": BadInput("hmi_continuum_patch.fits", half_a_wcs_of_a_patch, "half a WCS"),
    "10 px wide": BadInput("hmi_continuum_sliver.fits", ten_px_wide),
    "half missing": BadInput("hmi.ic_45s.20240508_120300_TAI.2.continuum.fits", half_missing),
}
