"""An enhanced frame as a FITS file: pixels, trust, world coordinates, and what made it.

The header is the input's as far as it still holds; world coordinates and statistics are new. Provenance
follows the SOLARNET recommendations (Haugan & Fredvik 2020, arXiv:2011.12139, section 8): PRSTEPn and what
goes with it, PARENTXT, CREATOR, VERS_SW. There is no DATE: the same frame and network give the same bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

import observatory
from observatory.analysis import Enhancement, Quantity
from observatory.frame import DateSource, Frame, RowOrder
from observatory.photosphere import to_kilogauss
from observatory.rescaling import is_wcs_word, rescaled_wcs
from observatory.robust import quantile
from workers.products.fits_writing import (
    Card,
    Quantised,
    bands,
    empty_primary,
    file_of,
    float_image,
    rice_image,
    whole_image,
)
from workers.products.preview import Picture

SUFFIX = ".enhanced.fits"
MEDIA_TYPE = "application/fits"
FACTOR = 2
_SMALL_PX = 1 << 20  # of the result: below it plain reals cost less than 4 MB
_STEPS_IN_NOISE = 16  # the rounding then adds 0.02 % to the variance of the input's noise
_FINEST = 1 << 29  # steps in the largest value: what 32 bits hold
_NOISELESS = 1e-4  # of the span: what a frame without noise is rounded to a sixteenth of
_BRIGHT = 0.75  # share of the pixels that are darker than the quiet Sun: spots, limb, sky
_LINE = 72  # letters in a COMMENT or HISTORY card
_OF_PIXELS = (
    "a network that learned on simulations: the detail is what such a Sun most likely shows at this "
    "resolution, not a measurement. Extension TRUST says where it agrees with the input."
)
_OF_TRUST = (
    "1 where the enhanced image, degraded again as the instrument would, is the input within its noise; "
    "0 where it is not. On the pixels of the input."
)
_TRUST = Quantised("u1", 0.005, 255)
_TRUST_WORDS = re.compile(
    r"DATE-OBS|DATE_OBS|T_OBS|T_REC|TELESCOP|INSTRUME|WAVELNTH|CONTENT|[DR]SUN_.*|CRL[NT]_OBS|HGL[NT]_OBS|CAR_ROT|SIMULATD"
)
# What describes how the input was stored, counted or summed up; its own record and sums; our own words.
_UNTRUE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTEND|EXTNAME|EXTVER|EXTLEVEL|INHERIT|GROUPS|BLOCKED|END"
    r"|BSCALE|BZERO|BLANK|BUNIT|CHECKSUM|DATASUM|HEADSUM|DATE|FILENAME|LONGSTRN|CONTINUE|HIERARCH"
    r"|TFIELDS|THEAP|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|BCOL)\d+|Z[A-Z]+\d*"
    r"|DATA(MIN|MAX|MEAN|MEDN|RMS|SKEW|KURT|VALS|P\d+|CNT\d*)|(TOT|MISS|SAT)VALS|PERCENTD|NPIX|NACR"
    r"|XCEN|YCEN|R_SUN|[XY]0(_MP|_LF)?|RSUN_LF|CROP_RAD|PARENTXT|CREATOR|VERS_SW|HW.*"
)
_KEY = re.compile(r"[A-Z0-9_-]{1,8}")
_STEP = re.compile(r"PRSTEP(\d+)")


def enhanced_fits(frame: Frame, enhancement: Enhancement) -> Picture:
    """Write an enhancement: the pixels (``ENHANCED``) and the trust in them (``TRUST``), rows upwards.

    Pixels are 32-bit reals, or, from a million on, whole numbers that are Rice-compressed: steps of a
    sixteenth of the input's noise, or less, named in the header (HWSTEP). NaN stands where the frame has
    no data. Trust lies on the input's own pixels.

    Parameters
    ----------
    frame : Frame
        What was enhanced.
    enhancement : Enhancement
        Of that frame.
    """
    pixels, trust = _upwards(frame, enhancement.pixels), _upwards(frame, enhancement.trust)
    is_small = pixels.size < _SMALL_PX
    found = _Statistics.of(pixels)
    quantised = None if is_small else _quantised(frame, enhancement, found)
    cards = [*_image_cards(frame, enhancement, found), *_provenance(frame, enhancement, quantised)]
    trust_cards = list(_trust_cards(frame, enhancement))
    if quantised is None:
        image = float_image(pixels, "ENHANCED", cards)
        trusted = whole_image(trust, _TRUST, "TRUST", trust_cards)
    else:
        image = rice_image(pixels, quantised, "ENHANCED", cards)
        trusted = rice_image(trust, _TRUST, "TRUST", trust_cards)
    primary = empty_primary([("CREATOR", "Heliowatch", ""), ("VERS_SW", observatory.__version__, "")])
    height, width = pixels.shape
    return Picture("enhanced", MEDIA_TYPE, SUFFIX, file_of([primary, image, trusted]), width, height)


def _upwards(frame: Frame, pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    return pixels if frame.row_order is RowOrder.BOTTOM else pixels[::-1]


def origin_px(frame: Frame, enhancement: Enhancement) -> tuple[int, int]:
    """First pixel of the window, 0-based, rows counted from the bottom as FITS does."""
    x0, y0, _, y1 = enhancement.window_px
    return (x0, y0) if frame.row_order is RowOrder.BOTTOM else (x0, frame.height - y1)


def _quantised(frame: Frame, enhancement: Enhancement, found: _Statistics) -> Quantised:
    """Steps of a power of two, so that what is read is exactly what was rounded to."""
    if not found.count:
        return Quantised("i2", 1.0, int(np.iinfo("i2").min))
    span = found.largest - found.least
    noise = enhancement.numbers.noise * _network_unit(frame, enhancement)
    if not (math.isfinite(noise) and noise > 0):
        noise = span * _NOISELESS
    size = max(abs(found.largest), abs(found.least))
    step = max(noise / _STEPS_IN_NOISE, size / _FINEST, float(np.finfo(np.float32).tiny))
    scale = 2.0 ** math.floor(math.log2(step))
    # Sixteen bits are read as 32-bit reals, more as 64-bit ones.
    dtype = "i2" if span / scale < np.iinfo("u2").max - 2 else "i4"
    zero = scale * round((found.least + span / 2) / scale)
    return Quantised(dtype, scale, int(np.iinfo(dtype).min), zero)


def _network_unit(frame: Frame, enhancement: Enhancement) -> float:
    """One quiet Sun, or one kilogauss, in the unit of the frame."""
    if enhancement.quantity is Quantity.FIELD:
        return to_kilogauss(frame, (0, 0, 1, 1)).unit_scale
    sample = enhancement.pixels[::16, ::16] if enhancement.pixels.size > _SMALL_PX else enhancement.pixels
    known = sample[np.isfinite(sample)]
    return quantile(known, _BRIGHT) if known.size else 1.0


@dataclass(frozen=True)
class _Statistics:
    """What HMI's headers say of their pixels."""

    least: float
    largest: float
    mean: float
    count: int
    missing: int

    @classmethod
    def of(cls, pixels: NDArray[np.floating]) -> _Statistics:
        least, largest, total, count = math.inf, -math.inf, 0.0, 0
        for band in bands(pixels):
            known = band[np.isfinite(band)]
            if known.size:
                least, largest = min(least, float(known.min())), max(largest, float(known.max()))
                total, count = total + float(known.sum(dtype=np.float64)), count + known.size
        return cls(least, largest, total / max(count, 1), count, pixels.size - count)


def _image_cards(frame: Frame, enhancement: Enhancement, found: _Statistics) -> Iterator[Card]:
    if frame.unit and frame.pixels.dtype != np.uint8:  # the bytes of a picture are in no unit
        yield "BUNIT", _ascii(frame.unit), ""
    for key, value in frame.header.items():
        if not _UNTRUE.fullmatch(key) and not is_wcs_word(key):
            yield from _kept(key, value)
    is_told = frame.date_obs_source in (DateSource.HEADER, DateSource.FILE_NAME)
    if frame.date_obs is not None and is_told and "DATE-OBS" not in frame.header:
        yield "DATE-OBS", frame.date_obs.replace(tzinfo=None).isoformat(timespec="milliseconds"), "UTC"
    yield from _wcs_cards(frame, enhancement, FACTOR)
    yield "DATAVALS", found.count, "pixels with data"
    yield "MISSVALS", found.missing, "pixels without data"
    if found.count:
        yield "DATAMIN", found.least, ""
        yield "DATAMAX", found.largest, ""
        yield "DATAMEAN", found.mean, ""


def _wcs_cards(frame: Frame, enhancement: Enhancement, factor: float) -> Iterator[Card]:
    origin = origin_px(frame, enhancement)
    for key, value in rescaled_wcs(frame.header, factor, origin).items():
        yield from _kept(key, value)


def _trust_cards(frame: Frame, enhancement: Enhancement) -> Iterator[Card]:
    for key, value in frame.header.items():
        if _TRUST_WORDS.fullmatch(key):
            yield from _kept(key, value)
    yield from _wcs_cards(frame, enhancement, 1)
    for line in wrap(_OF_TRUST, _LINE):
        yield "COMMENT", line, ""


def _kept(key: str, value: Any) -> Iterator[Card]:
    """A word of the input as a card; nothing where FITS cannot hold it or it was cut off by a CONTINUE."""
    if not _KEY.fullmatch(key) or not isinstance(value, bool | int | float | str):
        return
    if isinstance(value, float) and not math.isfinite(value):
        return
    if isinstance(value, str):
        if value.endswith("&"):
            return
        value = _ascii(value.removesuffix("Z") if key.startswith("DATE") else value)  # FITS's dates are UTC
    yield key, value, ""


def _ascii(text: str) -> str:
    """Text as FITS holds it: other letters and controls are escaped."""
    return "".join(sign if " " <= sign <= "~" else sign.encode("unicode_escape").decode() for sign in text)


def _provenance(frame: Frame, enhancement: Enhancement, quantised: Quantised | None) -> Iterator[Card]:
    model, n = enhancement.model, 1 + _last_step(frame.header)
    yield "LONGSTRN", "OGIP 1.0", "long words go on in CONTINUE cards"
    yield "CREATOR", "Heliowatch", "software that made this file"
    yield "VERS_SW", observatory.__version__, "and its version"
    if frame.file_name:
        yield "PARENTXT", _ascii(frame.file_name), ""
    if frame.sha256:
        yield "HWPARSHA", frame.sha256, ""
    yield f"PRSTEP{n}", "NETWORK-DECONVOLUTION,UPSAMPLING", "by a trained network"
    yield f"PRPROC{n}", _ascii(model.name), ""
    yield f"PRPVER{n}", _ascii(model.version), ""
    yield f"PRREF{n}", f"sha256:{_ascii(model.sha256)}", ""
    if model.parameters:
        yield f"PRPARA{n}", json.dumps(model.parameters, sort_keys=True, default=str), ""
    yield f"PRLIB{n}A", "heliowatch", ""
    yield f"PRVER{n}A", observatory.__version__, ""
    if quantised is not None:
        yield f"PRSTEP{n + 1}", "ROUNDING", ""
        yield f"PRPARA{n + 1}", f"STEP={quantised.scale!r}", ""
        yield "HWSTEP", quantised.scale, "pixels are rounded to multiples of this"
    yield from _numbers(frame, enhancement)
    for line in wrap(f"Estimated by {_ascii(model.label)}, {_OF_PIXELS}", _LINE):
        yield "HISTORY", line, ""


def _last_step(header: Mapping[str, Any]) -> int:
    return max((int(found[1]) for key in header if (found := _STEP.fullmatch(key))), default=0)


def _numbers(frame: Frame, enhancement: Enhancement) -> Iterator[Card]:
    x, y = origin_px(frame, enhancement)
    x0, y0, x1, y1 = enhancement.window_px
    yield "HWWINDOW", f"[{x + 1}:{x + x1 - x0},{y + 1}:{y + y1 - y0}]", "section of the input"
    numbers = enhancement.numbers
    unit = "kG" if enhancement.quantity is Quantity.FIELD else "quiet Sun"
    for key, value, comment in (
        ("HWCONTB", numbers.contrast_before, "granulation contrast of the input"),
        ("HWCONTA", numbers.contrast_after, "and of the result"),
        ("HWFLUXB", numbers.unsigned_flux_before_mx, "[Mx] unsigned flux of the input"),
        ("HWFLUXA", numbers.unsigned_flux_after_mx, "[Mx] and of the result"),
        ("HWRESID", numbers.residual, f"[{unit}] rms of input minus result degraded"),
        ("HWNOISE", numbers.noise, f"[{unit}] rms noise of the input"),
        ("HWTRUST", numbers.trusted_fraction, "share of pixels with trust of 0.5 and more"),
    ):
        if value is not None and math.isfinite(value):
            yield key, float(value), comment
