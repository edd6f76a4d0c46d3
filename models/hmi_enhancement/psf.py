"""What a telescope makes of the photosphere: point spread function, pixels, noise.

The point spread function is the sum of a Gaussian core and wide wings (Wachter et al. 2012, Solar
Physics 275, 261, section 3; used so by Díaz Baso & Asensio Ramos 2018, A&A 614, A5, eq. 2)::

    p(r) = (1 - ε) exp(-(r / ω)²) + ε / (1 + (r / W)^k),    r = π D θ / λ

Both terms stand as they are, not normalised one by one; the whole kernel is normalised to a sum of
1. It is cut at 8 arcsec, beyond which there would be 4 % of the light for 14 cm and 2 % for 28 cm.
Pixels integrate over their area.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

LAMBDA_M = 617.33e-9
#: Pixel of HMI, and of the telescope of twice the aperture that we enhance to.
HMI_PX_ARCSEC = 0.504
TARGET_PX_ARCSEC = 0.252
#: On the Sun, at its mean distance.
KM_PER_ARCSEC = 725.27
#: Where kernels end.
HALF_WIDTH_ARCSEC = 8.0

_RADIAN_ARCSEC = 206264.806
_FINEST_ARCSEC = 0.07  # the core of 28 cm has a width (1/e) of 0.26 arcsec
_TAPS = 48  # of the kernel that degrades again, a side: 6 arcsec either way
_GRID = 96  # frequencies a side in its fit


@dataclass(frozen=True)
class Psf:
    """Point spread function of a telescope at 617.33 nm.

    Attributes
    ----------
    aperture_m : float
    omega, w : float
        Width of the core and of the wings, in units of λ / (π D).
    epsilon : float
        Height of the wings, 0 to 1.
    k : float
        Steepness of the wings.
    """

    aperture_m: float = 0.14
    omega: float = 1.8
    w: float = 3.0
    epsilon: float = 0.1
    k: float = 3

    def at(self, theta_arcsec: FloatArray) -> FloatArray:
        """Height at a distance from the middle, in arcsec; 1 in the middle."""
        r = np.pi * self.aperture_m * np.abs(theta_arcsec) / _RADIAN_ARCSEC / LAMBDA_M
        core = (1 - self.epsilon) * np.exp(-((r / self.omega) ** 2))
        return np.asarray(core + self.epsilon / (1 + (r / self.w) ** self.k))

    def kernel(self, step_arcsec: float, pixel_arcsec: float | None = None) -> FloatArray:
        """The function sampled on a grid.

        Parameters
        ----------
        step_arcsec : float
            Step of the grid.
        pixel_arcsec : float, optional
            Side of the square pixels that integrate over it; points without.

        Returns
        -------
        float64 ndarray (n, n), n odd
            Its sum is 1.
        """
        finer = 2 * int(np.ceil((step_arcsec / _FINEST_ARCSEC - 1) / 2 - 1e-9)) + 1 if step_arcsec else 1
        finer = max(1, finer)
        step = step_arcsec / finer
        half = finer * int(HALF_WIDTH_ARCSEC / step_arcsec)
        axis = step * np.arange(-half, half + 1)
        fine = self.at(np.hypot(axis[:, None], axis[None, :]))
        if pixel_arcsec is not None:
            box = _box(pixel_arcsec / step)
            fine = cv2.sepFilter2D(fine, -1, box, box, borderType=cv2.BORDER_REPLICATE)
        sampled = np.asarray(fine[::finer, ::finer])
        return np.asarray(sampled / sampled.sum())

    def twice(self) -> Psf:
        """The telescope of twice the aperture."""
        return replace(self, aperture_m=2 * self.aperture_m)


#: Wachter et al. 2012; and as Díaz Baso & Asensio Ramos 2018 took it.
WACHTER = Psf()
AUTHORS = Psf(omega=2.0, w=3.4)
PSFS = {"wachter": WACHTER, "authors": AUTHORS}


def _box(width: float) -> FloatArray:
    """A box of a width in grid steps, its ends counted by their share; sum 1."""
    half = int(np.ceil((width - 1) / 2)) if width > 1 else 0
    weights = np.clip((width + 1) / 2 - np.abs(np.arange(-half, half + 1)), 0, 1)
    return np.asarray(weights / weights.sum())


def convolved(picture: FloatArray, kernel: FloatArray) -> FloatArray:
    """A picture convolved with a kernel of odd sides, mirrored at its edges; float64."""
    half = kernel.shape[0] // 2
    mirrored = np.pad(np.asarray(picture, np.float64), half, mode="symmetric")
    shape = [cv2.getOptimalDFTSize(n + 2 * half) for n in mirrored.shape]
    product = np.fft.rfft2(mirrored, shape) * np.fft.rfft2(kernel, shape)
    whole = np.fft.irfft2(product, shape)
    rows, columns = picture.shape
    return np.asarray(whole[2 * half : 2 * half + rows, 2 * half : 2 * half + columns])


def blurred(truth: FloatArray, pixel_km: float, psf: Psf = WACHTER) -> tuple[FloatArray, FloatArray]:
    """What HMI and a telescope of twice the aperture see, still on the truth's grid.

    Parameters
    ----------
    truth : ndarray (rows, columns)
        In any unit.
    pixel_km : float
        Side of its pixels on the Sun.
    psf : Psf
        Of HMI.

    Returns
    -------
    low, high : float64 ndarray (rows, columns)
        Each point is what a pixel of 0.504 and of 0.252 arcsec centred there would measure.
    """
    step = pixel_km / KM_PER_ARCSEC
    low = convolved(truth, psf.kernel(step, HMI_PX_ARCSEC))
    return low, convolved(truth, psf.twice().kernel(step, TARGET_PX_ARCSEC))


def sampled(picture: FloatArray, shape: tuple[int, int], step_px: float) -> NDArray[np.float32]:
    """Every `step_px`-th point of a picture, pixels' corners on the picture's corner; float32.

    Parameters
    ----------
    picture : ndarray (rows, columns)
        Smooth on the scale of its own pixels.
    shape : (rows, columns) of the result
    step_px : float
        Side of the result's pixels in pixels of the picture.
    """
    y, x = ((np.arange(n) + 0.5) * step_px - 0.5 for n in shape)
    along_x = np.broadcast_to(x.astype(np.float32), shape)
    along_y = np.broadcast_to(y.astype(np.float32)[:, None], shape)
    source = np.asarray(picture, np.float32)
    return np.asarray(
        cv2.remap(source, along_x, along_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.float32
    )


def degrade(
    truth: FloatArray, pixel_km: float, psf: Psf, noise: float, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What HMI measures of a truth, and what we want of it.

    Parameters
    ----------
    truth : ndarray (rows, columns)
    pixel_km : float
    psf : Psf
        Of HMI.
    noise : float
        Rms of the noise, in the truth's unit; Gaussian, on what is observed alone.
    random : Generator

    Returns
    -------
    observed : float32 ndarray (h, w)
        Pixels of 0.504 arcsec.
    target : float32 ndarray (2 h, 2 w)
        Pixels of 0.252 arcsec, two a side in each of the observed ones; no noise.
    """
    low, high = blurred(truth, pixel_km, psf)
    step_px = HMI_PX_ARCSEC * KM_PER_ARCSEC / pixel_km
    rows, columns = (int(n / step_px) for n in truth.shape)
    observed = sampled(low, (rows, columns), step_px)
    target = sampled(high, (2 * rows, 2 * columns), step_px / 2)
    if noise:
        observed = observed + np.float32(noise) * random.standard_normal(observed.shape, np.float32)
    return observed, target


def redegrade(enhanced: FloatArray, psf: Psf = WACHTER) -> NDArray[np.float32]:
    """What HMI would measure of what an enhanced picture shows; no noise.

    A kernel of 6 arcsec either way turns pixels of 0.252 arcsec behind 28 cm into such of 0.504
    behind 14 cm. Its sum is 1, so flux is kept.

    Parameters
    ----------
    enhanced : ndarray (2 h, 2 w)
        Without gaps.

    Returns
    -------
    float32 ndarray (h, w)
        Edges see the picture mirrored.

    Raises
    ------
    ValueError
        When a side is odd.
    """
    if enhanced.ndim != 2 or enhanced.shape[0] % 2 or enhanced.shape[1] % 2:
        raise ValueError(f"shape {enhanced.shape}: an enhanced picture has two even sides")
    kernel, half = redegrading_kernel(psf), _TAPS // 2
    padded = cv2.copyMakeBorder(
        np.ascontiguousarray(enhanced, np.float32), half, half, half, half, cv2.BORDER_REFLECT
    )
    total: NDArray[np.float32] | None = None
    for dy in (0, 1):
        for dx in (0, 1):
            # Each of the four kinds of pixels has its own quarter of the kernel: no point in vain.
            quarter = kernel[1 - dy :: 2, 1 - dx :: 2]
            anchor = (half // 2 - 1 + dx, half // 2 - 1 + dy)
            phase = np.ascontiguousarray(padded[dy::2, dx::2])
            part = cv2.filter2D(phase, cv2.CV_32F, quarter, anchor=anchor)
            total = np.asarray(part) if total is None else total + part
    assert total is not None
    cut = half // 2
    return np.ascontiguousarray(total[cut:-cut, cut:-cut])


@lru_cache(maxsize=4)
def redegrading_kernel(psf: Psf) -> FloatArray:
    """Taps (48, 48) on pixels of 0.252 arcsec around the corner that four of them share; sum 1.

    Fitted by least squares to the ratio of the two transfer functions (function and pixel), with
    the weight of what an enhanced picture of granulation holds at each frequency.
    """
    frequency = (np.arange(_GRID) + 0.5) / (2 * _GRID)  # cycles per pixel of 0.252 arcsec
    low = _transfer(psf.kernel(TARGET_PX_ARCSEC / 4, HMI_PX_ARCSEC), frequency / 4)
    high = _transfer(psf.twice().kernel(TARGET_PX_ARCSEC / 4, TARGET_PX_ARCSEC), frequency / 4)
    power = 1 / (0.02**2 + frequency[:, None] ** 2 + frequency[None, :] ** 2) ** 1.5  # scenes are not white
    weight = np.sqrt(power) * high
    half = _TAPS // 2
    cosine = 2 * np.cos(2 * np.pi * frequency[:, None] * (np.arange(half) + 0.5)[None, :])
    # Four-fold and diagonal symmetry leaves one tap of eight free.
    y, x = np.triu_indices(half)
    design = np.einsum("fi,gi->fgi", cosine[:, y], cosine[:, x])
    design += np.einsum("fi,gi->fgi", cosine[:, x], cosine[:, y])
    design *= np.where(y == x, 0.5, 1.0) * weight[..., None]
    taps, *_ = np.linalg.lstsq(design.reshape(-1, y.size), (weight * low / high).ravel(), rcond=1e-7)
    quarter = np.zeros((half, half))
    quarter[y, x] = quarter[x, y] = taps
    kernel = np.block([[quarter[::-1, ::-1], quarter[::-1]], [quarter[:, ::-1], quarter]])
    return np.asarray(kernel / kernel.sum())


def _transfer(kernel: FloatArray, frequency: FloatArray) -> FloatArray:
    """Transfer function of a symmetric kernel at frequencies (cycles per step) along both axes."""
    half = kernel.shape[0] // 2
    waves = np.cos(2 * np.pi * frequency[:, None] * np.arange(-half, half + 1)[None, :])
    return np.asarray(waves @ kernel @ waves.T)
