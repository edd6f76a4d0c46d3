"""What has no network: bicubic, a Wiener filter, the best linear filter, Richardson-Lucy (numpy).

The filters are fitted on the training part; their coefficients lie beside the networks in
``classical.npz``, a set for each point spread function. The Wiener filter is the plain classical
form: one isotropic transfer function on the bicubic picture. The linear filter is the best that any
filter of 13 × 13 input pixels can do: it knows where the bicubic picture has aliases.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement.comparison import inner
from models.hmi_enhancement.data import Drawing, Pair, Source, drawn
from models.hmi_enhancement.psf import HMI_PX_ARCSEC, TARGET_PX_ARCSEC, Psf, sampled
from observatory.errors import ModelError

FloatArray = NDArray[np.floating]
Picture = NDArray[np.float32]

FILE = "classical.npz"
_BINS = 32  # rings of frequencies of the Wiener filter, to half a cycle per output pixel
_PATCHES = 80
_RIDGE = 1e-6  # of the mean power, so that frequencies that noise alone fills stay tame
_MOST_ITERATIONS = 40  # by far: noise is amplified long before
_JUDGED = 4  # patches that choose their number
_MIRRORED = 32  # output pixels about a picture before its Fourier transform


def bicubic(observed: FloatArray) -> Picture:
    """Twice the sampling by bicubic interpolation; no shift."""
    source = np.asarray(observed, np.float32)
    return np.asarray(cv2.resize(source, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True)
class Classical:
    """Fitted coefficients for one quantity and point spread function.

    Attributes
    ----------
    wiener : float64 ndarray (32,)
        Transfer function on the bicubic picture, in equal rings from 0 to half a cycle per output
        pixel; beyond, the last one.
    linear : float64 ndarray (4, side, side)
        Filters of the four output pixels of an input pixel, (0, 0), (0, 1), (1, 0), (1, 1); each
        has the sum 1.
    iterations : int
        Of Richardson-Lucy.
    centre : float
        Level that the filters leave as it is: 1 for the continuum, 0 for the field.
    """

    wiener: FloatArray
    linear: FloatArray
    iterations: int
    centre: float

    def wiener_of(self, observed: FloatArray) -> Picture:
        """Bicubic, then the Wiener filter, at the target's sampling."""
        value = np.pad(bicubic(observed) - np.float32(self.centre), _MIRRORED, mode="symmetric")
        radius = _radius(value.shape)
        gain = np.interp(radius, (np.arange(_BINS) + 0.5) / (2 * _BINS), self.wiener)
        gain[0, 0] = 1.0  # flux
        found = np.fft.irfft2(np.fft.rfft2(value) * gain, value.shape)[
            _MIRRORED:-_MIRRORED, _MIRRORED:-_MIRRORED
        ]
        return (found + self.centre).astype(np.float32)

    def linear_of(self, observed: FloatArray) -> Picture:
        """The four filters' results laid side by side."""
        value = np.asarray(observed, np.float32) - np.float32(self.centre)
        found = np.empty((2 * value.shape[0], 2 * value.shape[1]), np.float32)
        for phase, kernel in enumerate(self.linear.astype(np.float32)):
            part = cv2.filter2D(value, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)
            found[phase // 2 :: 2, phase % 2 :: 2] = part
        return found + np.float32(self.centre)

    def richardson_lucy_of(self, observed: FloatArray, psf: Psf) -> Picture:
        """Richardson-Lucy on the bicubic picture."""
        return richardson_lucy(bicubic(observed), psf, self.iterations, is_signed=self.centre == 0)


def richardson_lucy(picture: FloatArray, psf: Psf, iterations: int, *, is_signed: bool) -> Picture:
    """Deconvolve (Richardson 1972, JOSA 62, 55; Lucy 1974, AJ 79, 745).

    Parameters
    ----------
    picture : ndarray
        On pixels of 0.252 arcsec.
    psf : Psf
        Of HMI; its pixels of 0.504 arcsec are part of the blur.
    iterations : int
    is_signed : bool
        Fields: both polarities apart, as the method knows no negative light.
    """
    if is_signed:
        parts = [
            richardson_lucy(np.maximum(s * picture, 0), psf, iterations, is_signed=False) for s in (1, -1)
        ]
        return parts[0] - parts[1]
    return next(itertools.islice(_estimates(picture, psf), iterations - 1, None))


def _estimates(picture: FloatArray, psf: Psf) -> Iterator[Picture]:
    """What Richardson-Lucy has after each iteration, without end."""
    kernel = psf.kernel(TARGET_PX_ARCSEC, HMI_PX_ARCSEC)
    half = min(kernel.shape[0] // 2, *(n - 1 for n in picture.shape))
    cut = kernel.shape[0] // 2 - half
    kernel = kernel[cut : kernel.shape[0] - cut, cut : kernel.shape[1] - cut]
    given = np.pad(np.maximum(np.asarray(picture, np.float64), 0), half, mode="symmetric")
    padded = np.zeros(given.shape)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel / kernel.sum()
    transfer = np.fft.rfft2(np.roll(padded, (-half, -half), (0, 1)))

    def blur(value: FloatArray) -> FloatArray:
        return np.asarray(np.fft.irfft2(np.fft.rfft2(value) * transfer, given.shape))

    estimate = given.copy()
    while True:
        estimate = np.maximum(
            estimate * blur(given / np.maximum(blur(estimate), 1e-6)), 0
        )  # symmetric kernel
        yield np.ascontiguousarray(estimate[half:-half, half:-half], np.float32)


def fit(
    sources: Sequence[Source], psf: Psf, how: Drawing, seed: int = 1, side: int = 13, patches: int = _PATCHES
) -> Classical:
    """Fit both filters and choose the iterations on patches of the training part."""
    random = np.random.default_rng((seed, 7))
    observed, target = (part[:, 0] for part in drawn(sources, how, patches, random))
    linear = fit_linear(observed - how.centre, target - how.centre, side)
    wiener = fit_wiener([_whole(source, how, random) for source in sources])
    iterations = _best_iterations(observed[:_JUDGED], target[:_JUDGED], psf, is_signed=how.centre == 0)
    return Classical(wiener, linear, iterations, how.centre)


def _best_iterations(observed: FloatArray, target: FloatArray, psf: Psf, *, is_signed: bool) -> int:
    """Of Richardson-Lucy, by mean squared error."""
    errors = np.zeros(_MOST_ITERATIONS)
    for low, high in zip(observed, target, strict=True):
        signs = (1, -1) if is_signed else (1,)
        parts = [_estimates(np.maximum(s * bicubic(low), 0), psf) for s in signs]
        for number, made in zip(range(_MOST_ITERATIONS), zip(*parts, strict=True), strict=False):
            found = made[0] - made[1] if is_signed else made[0]
            errors[number] += float(np.mean(inner(found - high) ** 2))
    return int(np.argmin(errors)) + 1


def fit_wiener(pairs: Sequence[Pair]) -> FloatArray:
    """Transfer function that best makes the target of the bicubic picture, in rings of frequency.

    Cross spectrum over power spectrum of whole pictures, as they are, about 0.
    """
    cross, power = np.zeros(_BINS), np.zeros(_BINS)
    for observed, target in pairs:
        given, wanted = np.fft.rfft2(bicubic(observed)), np.fft.rfft2(target)
        ring = np.minimum((_radius(target.shape) * 2 * _BINS).astype(int), _BINS - 1).ravel()
        cross += np.bincount(ring, (wanted * given.conj()).real.ravel(), _BINS)
        power += np.bincount(ring, (np.abs(given) ** 2).ravel(), _BINS)
    return np.asarray(cross / np.maximum(power, 1e-12 * power.max()))


def _radius(shape: tuple[int, ...]) -> FloatArray:
    """Frequency of each place of a real Fourier transform, in cycles per pixel."""
    return np.asarray(np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]))


def _whole(source: Source, how: Drawing, random: np.random.Generator) -> Pair:
    """The whole of a source, about 0, with noise."""
    rows, columns = (int(n / source.step_px) for n in source.low.shape)
    observed = sampled(source.low, (rows, columns), source.step_px) - np.float32(how.centre)
    target = sampled(source.high, (2 * rows, 2 * columns), source.step_px / 2) - np.float32(how.centre)
    return observed + np.float32(how.noise) * random.standard_normal(observed.shape, np.float32), target


def fit_linear(observed: FloatArray, target: FloatArray, side: int) -> FloatArray:
    """The least-squares filter from `side`² input pixels to each of the four output pixels.

    Parameters
    ----------
    observed, target : ndarray (n, h, w), (n, 2 h, 2 w)
        Around 0.
    """
    half = side // 2
    normal, right = np.zeros((side**2, side**2)), np.zeros((side**2, 4))
    for low, high in zip(observed.astype(np.float64), target.astype(np.float64), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(low, (side, side)).reshape(-1, side**2)
        inner = high[2 * half : -2 * half, 2 * half : -2 * half]
        phases = np.stack([inner[y::2, x::2].ravel() for y in (0, 1) for x in (0, 1)], axis=1)
        normal += windows.T @ windows
        right += windows.T @ phases
    normal += np.eye(side**2) * _RIDGE * np.trace(normal) / side**2
    # Least squares under the condition that each filter has the sum 1: a blank stays what it is.
    free, ones = np.linalg.solve(normal, right), np.linalg.solve(normal, np.ones(side**2))
    free -= ones[:, None] * (free.sum(axis=0) - 1) / ones.sum()
    return np.asarray(free.T.reshape(4, side, side))


def save(path: Path, fitted: dict[str, Classical]) -> None:
    """Write the coefficients, a set for each named point spread function."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, one in fitted.items():
        arrays |= {f"{name}_wiener": one.wiener, f"{name}_linear": one.linear}
        arrays[f"{name}_facts"] = np.array([one.iterations, one.centre])
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load(path: Path, psf: str) -> Classical:
    """Coefficients for a named point spread function.

    Raises
    ------
    ModelError
        When the file is missing, or was fitted for other functions only.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            iterations, centre = stored[f"{psf}_facts"]
            return Classical(stored[f"{psf}_wiener"], stored[f"{psf}_linear"], int(iterations), float(centre))
    except KeyError as error:
        raise ModelError(f"{path} was not fitted for {psf}: train the family again") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): restore it, or train the family again") from error
