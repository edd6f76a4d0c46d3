"""How near an enhanced picture is to its truth: PSNR, SSIM, flux, contrast."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

#: Output pixels that are left out at each edge.
BORDER_PX = 8


def inner(picture: FloatArray, border_px: int = BORDER_PX) -> FloatArray:
    """A picture without its border."""
    return picture[border_px:-border_px, border_px:-border_px]


def psnr_db(found: FloatArray, truth: FloatArray, border_px: int = BORDER_PX) -> float:
    """Peak signal to noise ratio in dB: the peak is the whole truth's maximum minus its minimum."""
    difference = inner(np.asarray(found, np.float64) - truth, border_px)
    return float(20 * np.log10(np.ptp(truth)) - 10 * np.log10(np.mean(difference**2)))


def ssim(found: FloatArray, truth: FloatArray, border_px: int = BORDER_PX) -> float:
    """Structural similarity (Wang et al. 2004, IEEE Trans. Image Proc. 13, 600, eq. 13), its mean.

    A Gaussian window of 11 pixels and σ = 1.5, K1 = 0.01, K2 = 0.03; the range is the truth's.
    """
    x, y = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    first, second = ((k * np.ptp(y)) ** 2 for k in (0.01, 0.03))

    def mean(value: FloatArray) -> FloatArray:
        return np.asarray(cv2.GaussianBlur(value, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT))

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    common = mean(x * y) - mean_x * mean_y
    similar = (2 * mean_x * mean_y + first) * (2 * common + second)
    return float(
        np.mean(
            inner(similar / ((mean_x**2 + mean_y**2 + first) * (variance_x + variance_y + second)), border_px)
        )
    )


def contrast(picture: FloatArray, *, is_field: bool) -> float:
    """Rms over mean of the continuum; of the field its rms in kG."""
    part = inner(np.asarray(picture, np.float64))
    return float(np.sqrt(np.mean(part**2))) if is_field else float(part.std() / part.mean())


def flux_error(found: FloatArray, observed: FloatArray, *, is_field: bool) -> float:
    """What enhancing adds to the flux of the picture that was observed, as a share of it.

    Of the continuum the total light; of the field the net flux, against the unsigned one. The
    border is left out of both, so that what is beyond the edges counts little.
    """
    made = inner(np.asarray(found, np.float64)).mean()
    given_part = inner(np.asarray(observed, np.float64), BORDER_PX // 2)
    whole = np.abs(given_part).mean() if is_field else given_part.mean()
    return float((made - given_part.mean()) / whole)
