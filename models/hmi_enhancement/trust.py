"""How far a result may be trusted: degraded again, it must be what was observed.

The exact way back is `psf.redegrade`; what is used here does the same in two steps that cost a tenth:
four taps a side bring the result to the frame's sampling, a kernel there does the rest. The
difference to the exact way is a thousandth of the granulation's contrast.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement.psf import HMI_PX_ARCSEC, TARGET_PX_ARCSEC, Psf
from observatory.photosphere import Normalised, strips

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_WITHIN = 2.0  # times the noise: the difference is no more than that
_BEYOND = 6.0  # times the noise: nothing is trusted
_LOCAL_PX = 1.5  # the difference is its rms over a Gaussian of this width
_EDGE_PX = 5  # beyond a gap or an edge nobody knows what shone in: trust comes back within this
_LIMB_MU = (0.1, 0.3)  # nothing is trusted; all is as elsewhere
_SMALL_PX = 32  # hardly more than edges
_STRIP = 512
_HALF = 12  # of the kernel at the frame's sampling
_MARGIN = 20  # rows that a strip needs above and below: the kernel's half and the Gaussian's
_FREQUENCIES = 48
_STEPS = 4  # in a fine pixel, of the functions that are transformed
_TAP_WIDTH_PX = 1.15  # of the four taps, found by least squares to leave least to the kernel

# Fourth differences along both axes see frequencies that HMI's telescope does not pass.
_FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0], np.float32)
_NOISE_SIDE = 1024
_FADING = np.clip(2 * np.arange(256, dtype=np.float32) / 255 - 1, 0.0, 1.0)


@dataclass(frozen=True)
class Comparison:
    """A result held against the frame that it was made of.

    Attributes
    ----------
    trust : ndarray (h, w), float32 in 0-1
    residual : float
        Rms of the differences where there is data and none missing nearby, in the unit of the network.
    """

    trust: FloatArray
    residual: float


def compare(
    enhanced: FloatArray,
    image: FloatArray,
    is_certain: BoolArray,
    noise: float,
    psf: Psf,
    threads: int = 1,
) -> Comparison:
    """Degrade a result again and compare.

    Parameters
    ----------
    enhanced : ndarray (2 h, 2 w), float32
        Without gaps, in the unit of the network.
    image : ndarray (h, w), float32
        What the network was given.
    is_certain : ndarray (h, w) of bool
        Where there is data on the disk.
    noise : float
        Rms of the image's noise.
    threads : int
        Strips at once.
    """
    height, width = image.shape
    trust = np.zeros((height, width), np.float32)

    def work(part: tuple[slice, slice, tuple[slice, slice]]) -> tuple[float, int]:
        rows, columns, inner = part
        given = image[rows, columns]
        seen = degraded_again(
            enhanced[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop], psf
        )
        certain = is_certain[rows, columns]
        squared = np.where(certain, np.square(seen - given), np.float32(0))
        local = np.sqrt(cv2.GaussianBlur(squared, (0, 0), _LOCAL_PX))[inner]
        target = slice(rows.start + inner[0].start, rows.start + inner[0].stop)
        trust[target, columns] = _trust_of(local / np.float32(noise)) * certain[inner]
        counted = _inside(certain, is_small=min(height, width) < _SMALL_PX)[inner]
        return float(squared[inner][counted].sum(dtype=np.float64)), int(counted.sum())

    with ThreadPoolExecutor(threads, thread_name_prefix="trust") as pool:
        found = list(pool.map(work, _parts(is_certain)))
    total, count = sum(part for part, _ in found), sum(number for _, number in found)
    _fade_at_edges(trust, is_certain)
    return Comparison(trust, (total / count) ** 0.5 if count else 0.0)


def fade_at_limb(trust: FloatArray, normalised: Normalised) -> None:
    """Lower trust towards the limb, in place: the networks have seen the Sun from above, not aslant."""
    for rows in strips(len(trust)):
        squared = normalised.mu_squared(rows)
        if squared is None:
            return
        low, high = (np.float32(mu**2) for mu in _LIMB_MU)
        trust[rows] *= np.clip((squared - low) / (high - low), 0.0, 1.0)


def degraded_again(enhanced: FloatArray, psf: Psf) -> FloatArray:
    """What HMI would measure of an enhanced picture (2 h, 2 w): `psf.redegrade`, fast and nearly."""
    taps, kernel = _two_steps(psf)
    # Four taps from one before to two after a pixel: of every second one, about the corner of four.
    fine = cv2.sepFilter2D(enhanced, cv2.CV_32F, taps, taps, anchor=(1, 1), borderType=cv2.BORDER_REFLECT)
    coarse = np.ascontiguousarray(fine[::2, ::2])
    return np.asarray(cv2.filter2D(coarse, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def noise_of(image: FloatArray, is_certain: BoolArray) -> float:
    """Rms of a frame's noise, from frequencies that the telescope does not pass.

    Parameters
    ----------
    image : ndarray (h, w), float32
        Gaps filled.

    Returns
    -------
    float
        In the image's unit; 0 where no five pixels lie side by side.
    """
    rows, columns = middle_of(is_certain)
    part, certain = image[rows, columns], is_certain[rows, columns]
    if min(part.shape) < _FOURTH.size:
        return 0.0
    response = cv2.sepFilter2D(part, cv2.CV_32F, _FOURTH, _FOURTH)[2:-2, 2:-2]
    whole = cv2.erode(certain.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0)[2:-2, 2:-2]
    values = np.abs(response[whole > 0])
    if not values.size:
        return 0.0
    return float(np.median(values)) * 1.4826 / float(np.square(_FOURTH).sum())


def middle_of(is_certain: BoolArray) -> tuple[slice, slice]:
    """A part of a large frame that is enough, about the middle of its data."""
    height, width = is_certain.shape
    step = max(1, min(height, width) // 256)
    found = np.argwhere(is_certain[::step, ::step])
    y, x = (found.mean(axis=0) * step).astype(int) if found.size else (height // 2, width // 2)
    return _around(y, height), _around(x, width)


def _around(middle: int, length: int) -> slice:
    first = int(np.clip(middle - _NOISE_SIDE // 2, 0, max(0, length - _NOISE_SIDE)))
    return slice(first, min(length, first + _NOISE_SIDE))


def _parts(is_certain: BoolArray) -> Iterator[tuple[slice, slice, tuple[slice, slice]]]:
    """Strips with margins, cut to the columns with data; and the part of each that is its own."""
    height, width = is_certain.shape
    for own in strips(height, _STRIP):
        columns = np.flatnonzero(is_certain[own].any(axis=0))
        if not columns.size:
            continue
        rows = slice(max(0, own.start - _MARGIN), min(height, own.stop + _MARGIN))
        across = slice(max(0, int(columns[0]) - _MARGIN), min(width, int(columns[-1]) + 1 + _MARGIN))
        yield rows, across, (slice(own.start - rows.start, own.stop - rows.start), slice(None))


def _trust_of(ratio: FloatArray) -> FloatArray:
    """1 up to twice the noise, 0 from six times on, smooth in between."""
    share = np.clip((np.float32(_BEYOND) - ratio) / np.float32(_BEYOND - _WITHIN), 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _inside(certain: BoolArray, *, is_small: bool) -> BoolArray:
    """What lies away from gaps and edges, beyond which the way back would have to look."""
    if is_small:
        return certain
    side = 2 * _EDGE_PX + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.erode(certain.view(np.uint8), kernel, borderValue=0) > 0)


def _fade_at_edges(trust: FloatArray, is_certain: BoolArray) -> None:
    """Lower trust near gaps and edges, to 0 at them, in place; one lost pixel costs little."""
    known = is_certain.view(np.uint8) * np.uint8(255)
    for reach in (2, _EDGE_PX):
        share = cv2.blur(known, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_CONSTANT)
        if share.min() < 255:
            for rows in strips(len(trust)):
                trust[rows] *= _FADING[share[rows]]


def prepare(psf: Psf) -> None:
    """Fit the way back ahead of the first frame."""
    _two_steps(psf)


@lru_cache(maxsize=4)
def _two_steps(psf: Psf) -> tuple[FloatArray, FloatArray]:
    """Four taps at the fine sampling and a kernel (25, 25) at the coarse one; each of sum 1.

    As `psf.redegrading_kernel`, least squares to the ratio of the two transfer functions with the
    weight of what a picture of granulation holds at each frequency.
    """
    at = np.arange(2) + 0.5
    taps = np.exp(-0.5 * np.square(at / _TAP_WIDTH_PX))
    taps /= 2 * taps.sum()
    frequency = (np.arange(_FREQUENCIES) + 0.5) / (2 * _FREQUENCIES)  # cycles per fine pixel
    low = _transfer(psf.kernel(TARGET_PX_ARCSEC / _STEPS, HMI_PX_ARCSEC), frequency)
    high = _transfer(psf.twice().kernel(TARGET_PX_ARCSEC / _STEPS, TARGET_PX_ARCSEC), frequency)
    passed = np.outer(*(2 * [2 * np.cos(2 * np.pi * frequency[:, None] * at) @ taps]))
    power = 1 / (0.02**2 + frequency[:, None] ** 2 + frequency[None, :] ** 2) ** 1.5
    weight = np.sqrt(power) * high
    shift = np.arange(_HALF + 1)
    cosine = np.cos(4 * np.pi * frequency[:, None] * shift) * np.where(shift == 0, 1, 2)
    y, x = np.triu_indices(_HALF + 1)
    design = cosine[:, None, y] * cosine[None, :, x] + cosine[:, None, x] * cosine[None, :, y]
    design *= np.where(y == x, 0.5, 1.0) * (weight * passed)[..., None]
    rows = design.reshape(-1, y.size)
    normal = rows.T @ rows
    normal[np.diag_indices_from(normal)] += 1e-10 * np.trace(normal) / y.size
    solved = np.linalg.solve(normal, rows.T @ (weight * low / high).ravel())
    quarter = np.zeros((_HALF + 1, _HALF + 1))
    quarter[y, x] = quarter[x, y] = solved
    mirrored = np.abs(np.arange(-_HALF, _HALF + 1))
    kernel = quarter[np.ix_(mirrored, mirrored)]
    whole = np.concatenate([taps[::-1], taps])
    return whole.astype(np.float32), (kernel / kernel.sum()).astype(np.float32)


def _transfer(kernel: NDArray[np.floating], frequency: NDArray[np.floating]) -> NDArray[np.floating]:
    """Transfer function of a symmetric kernel of quarter steps at frequencies per fine pixel along both axes."""
    half = kernel.shape[0] // 2
    waves = np.cos(2 * np.pi * frequency[:, None] / _STEPS * np.arange(-half, half + 1)[None, :])
    return np.asarray(waves @ kernel @ waves.T)
