"""Patches that no network of HMI's photosphere should be asked about, and that look as if one might.

Continua are in quiet Suns (1 is the mean), fields in kG, at HMI's sampling unless that is what is
wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement.psf import KM_PER_ARCSEC
from models.simulate.degrade import fractal_field
from models.simulate.hmi import hmi_patch
from models.simulate.photosphere import granulation
from observatory.analysis import Quantity

FloatArray = NDArray[np.float32]
Maker = Callable[[np.random.Generator, int], FloatArray]

_GRANULATION_RMS = 0.042  # of what HMI sees at disk centre


def out_of_domain(
    random: np.random.Generator,
    quantity: Quantity = Quantity.CONTINUUM,
    size_px: int = 128,
    name: str | None = None,
) -> tuple[str, FloatArray]:
    """Draw a patch out of the domain.

    Parameters
    ----------
    name : str, optional
        A key of `STRANGE_CONTINUA` or `STRANGE_FIELDS`; drawn by default.

    Returns
    -------
    name : str
        What is wrong with it.
    pixels : ndarray, float32, shape (size_px, size_px)

    Raises
    ------
    KeyError
        When there is none of that name.
    """
    makers = STRANGE_CONTINUA if Quantity(quantity) is Quantity.CONTINUUM else STRANGE_FIELDS
    name = name or str(random.choice(list(makers)))
    return name, np.asarray(makers[name](random, size_px), np.float32)


def _quiet(random: np.random.Generator, size: int) -> FloatArray:
    return hmi_patch(random, Quantity.CONTINUUM, size, spots=0, pores=0, plage=0.0)[0]


def _noise(random: np.random.Generator, size: int) -> FloatArray:
    return 1.0 + np.float32(_GRANULATION_RMS) * random.standard_normal((size, size), dtype=np.float32)


def _smooth_noise(random: np.random.Generator, size: int) -> FloatArray:
    """Structure of all sizes and no granules: like cloud or an unfocused corona."""
    return 1.0 + np.float32(_GRANULATION_RMS) * _fractal(random, size, 3.5)


def _fibrils(random: np.random.Generator, size: int) -> FloatArray:
    """The chromosphere in H-alpha: long fibrils and mottles of large contrast."""
    return 1.0 + np.float32(0.13) * _fractal(random, size, 2.4, stretch=6.0)


def _corona(random: np.random.Generator, size: int) -> FloatArray:
    """Loops in extreme ultraviolet: bright threads over a faint haze, lognormal."""
    return np.exp(np.float32(0.9) * _fractal(random, size, 2.6, stretch=3.0))


def _inverted(random: np.random.Generator, size: int) -> FloatArray:
    return 2.0 - _quiet(random, size)


def _seen_at(random: np.random.Generator, size: int, pixel_arcsec: float, blur_arcsec: float) -> FloatArray:
    """Granulation behind a Gaussian blur in other pixels than HMI's."""
    pixel_km = pixel_arcsec * KM_PER_ARCSEC
    truth = granulation((size, size), pixel_km, random, network=0.5)
    seen = cv2.GaussianBlur(truth, (0, 0), max(blur_arcsec / pixel_arcsec, 0.3))
    return seen + np.float32(1e-3) * random.standard_normal(seen.shape, dtype=np.float32)


def _hinode(random: np.random.Generator, size: int) -> FloatArray:
    """A telescope of 50 cm in pixels of a tenth of an arcsec: granules fill eighteen pixels."""
    return _seen_at(random, size, 0.1, 0.09)


def _gong(random: np.random.Generator, size: int) -> FloatArray:
    """Pixels of one arcsec on the ground behind two arcsec of seeing."""
    seen = _seen_at(random, size, 1.0, 0.9)
    return seen + np.float32(4e-3) * random.standard_normal(seen.shape, dtype=np.float32)


def _enlarged(random: np.random.Generator, size: int) -> FloatArray:
    """HMI's own, enlarged fourfold by somebody."""
    small = _quiet(random, max(16, -(-size // 4)))
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC))


def _defocused(random: np.random.Generator, size: int) -> FloatArray:
    blurred = cv2.GaussianBlur(_quiet(random, size), (0, 0), 3.0)
    return blurred + np.float32(1e-3) * random.standard_normal(blurred.shape, dtype=np.float32)


def _posterised(random: np.random.Generator, size: int) -> FloatArray:
    """Five levels of grey where there were thousands."""
    step = np.float32(_GRANULATION_RMS)
    return np.rint((_quiet(random, size) - 1.0) / step).clip(-2, 2) * step + 1.0


def _gradient(random: np.random.Generator, size: int) -> FloatArray:
    angle = random.uniform(0, 2 * np.pi)
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    return (
        1.0
        + 0.3 * np.float32(np.cos(angle)) * axis[None, :]
        + 0.3 * np.float32(np.sin(angle)) * axis[:, None]
    )


def _checkerboard(random: np.random.Generator, size: int) -> FloatArray:
    side = int(random.integers(1, 9))
    cell = np.arange(size) // side % 2
    return 1.0 + np.float32(_GRANULATION_RMS) * (2.0 * (cell[:, None] ^ cell[None, :]) - 1.0)


def _text(random: np.random.Generator, size: int) -> FloatArray:
    """A caption, or any drawing: flat with sharp steps."""
    page = np.zeros((size, size), np.uint8)
    for row in range(14, size, 18):
        word = "".join(random.choice(list("SDOHMI0123456789"), 24))
        cv2.putText(page, word, (2, row), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255, 1, cv2.LINE_AA)
    return 1.0 - np.float32(0.6 / 255.0) * page


def _steps(random: np.random.Generator, size: int) -> FloatArray:
    """Blocks of constant brightness: a mosaic."""
    side = 12
    blocks = random.normal(1.0, _GRANULATION_RMS, (-(-size // side),) * 2).astype(np.float32)
    return np.kron(blocks, np.ones((side, side), np.float32))[:size, :size]


def _stretched(random: np.random.Generator, size: int) -> FloatArray:
    """Contrast raised fivefold for the eye."""
    return 1.0 + 5.0 * (_quiet(random, size) - 1.0)


def _flattened(random: np.random.Generator, size: int) -> FloatArray:
    """Hardly any contrast left, below its own noise."""
    flat = 1.0 + 0.05 * (_quiet(random, size) - 1.0)
    return flat + np.float32(6e-3) * random.standard_normal(flat.shape, dtype=np.float32)


def _noisy(random: np.random.Generator, size: int) -> FloatArray:
    """Granulation under noise of its own size."""
    quiet = _quiet(random, size)
    return quiet + np.float32(0.06) * random.standard_normal(quiet.shape, dtype=np.float32)


def _sharpened(random: np.random.Generator, size: int) -> FloatArray:
    """An unsharp mask was here before us."""
    quiet = _quiet(random, size)
    return quiet + 4.0 * (quiet - cv2.GaussianBlur(quiet, (0, 0), 1.2))


def _field_noise(random: np.random.Generator, size: int) -> FloatArray:
    return np.float32(0.4) * random.standard_normal((size, size), dtype=np.float32)


def _continuum_as_field(random: np.random.Generator, size: int) -> FloatArray:
    return _quiet(random, size)


def _field_of(random: np.random.Generator, size: int, factor: float) -> FloatArray:
    drawn = hmi_patch(random, Quantity.FIELD, size, spots=1, pores=1, plage=0.5)[0]
    return np.float32(factor) * drawn


def _field_checkerboard(random: np.random.Generator, size: int) -> FloatArray:
    return 10.0 * (_checkerboard(random, size) - 1.0)


def _field_gradient(random: np.random.Generator, size: int) -> FloatArray:
    return 8.0 * (_gradient(random, size) - 1.0)


#: Continua that must be refused, by what is wrong with them.
STRANGE_CONTINUA: Mapping[str, Maker] = {
    "noise": _noise,
    "smooth noise": _smooth_noise,
    "h-alpha": _fibrils,
    "corona": _corona,
    "inverted": _inverted,
    "hinode scale": _hinode,
    "gong scale": _gong,
    "enlarged": _enlarged,
    "defocused": _defocused,
    "posterised": _posterised,
    "gradient": _gradient,
    "checkerboard": _checkerboard,
    "text": _text,
    "steps": _steps,
    "stretched": _stretched,
    "flattened": _flattened,
    "noisy": _noisy,
    "sharpened": _sharpened,
}

#: Fields that must be refused.
STRANGE_FIELDS: Mapping[str, Maker] = {
    "noise": _field_noise,
    "continuum": _continuum_as_field,
    "gradient": _field_gradient,
    "checkerboard": _field_checkerboard,
    "gauss taken for kilogauss": lambda random, size: _field_of(random, size, 1e3),
    "text": lambda random, size: 2.0 * (1.0 - _text(random, size)),
}


def _fractal(random: np.random.Generator, size: int, slope: float, stretch: float = 1.0) -> FloatArray:
    return np.asarray(fractal_field(random, size, slope, stretch), np.float32)
