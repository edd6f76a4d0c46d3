"""From counts to what a film shows: one scale for the whole film, so that it does not flicker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.errors import MissingKeywordError
from observatory.euv.plane import exposure_normalised
from observatory.frame import Frame

Bytes8 = NDArray[np.uint8]

_SAMPLES_ACROSS = 512
_GAUSS = 1500.0  # sunspots saturate at the black and white of the eye, as in previews
_PERCENTILES = (0.5, 99.8)
_KNEE = 0.02  # of the range: below it brightness is linear, above logarithmic


@dataclass(frozen=True)
class Tone:
    """A scale of brightness.

    Attributes
    ----------
    low, high : float
        What becomes black and white, in DN/s for coronal counts, else in the frame's own unit.
    is_compressed : bool
        Whether brightness is compressed (asinh): the corona spans three decades.
    is_picture : bool
        Whether frames are 8-bit pictures, which stay as they are.
    """

    low: float
    high: float
    is_compressed: bool = False
    is_picture: bool = False

    @classmethod
    def of(cls, frame: Frame) -> Tone:
        """Scale of a reference frame.

        Magnetograms have a fixed one; pictures of 8 bits keep theirs.
        """
        if frame.pixels.dtype == np.uint8:
            return cls(0.0, 255.0, is_picture=True)
        if frame.instrument.endswith("magnetogram"):
            return cls(-_GAUSS, _GAUSS)
        is_coronal = frame.instrument.startswith(("aia", "suvi"))
        step = max(1, min(frame.pixels.shape[:2]) // _SAMPLES_ACROSS)
        sample = frame.pixels[step // 2 :: step, step // 2 :: step].astype(np.float32) * gain_of(frame)
        sample = sample[np.isfinite(sample)]
        if not sample.size:
            return cls(0.0, 1.0)
        low, high = (float(level) for level in np.percentile(sample, _PERCENTILES))
        if is_coronal:
            return cls(max(low, 0.0), max(high, 1e-6), is_compressed=True)
        low = min(low, 0.0) if low > 0 else low
        return cls(low, high if high > low else low + 1.0)

    def fits(self, frame: Frame) -> bool:
        """Whether a frame is of this scale's kind; pictures and counts have scales of their own."""
        return (frame.pixels.dtype == np.uint8) == self.is_picture

    def apply(self, values: np.ndarray, gain: float = 1.0) -> Bytes8:
        """Turn counts, or a picture's brightness, into 8 bits; NaN becomes black."""
        if self.is_picture:
            return np.rint(np.clip(np.nan_to_num(values), 0, 255)).astype(np.uint8)
        scaled = np.nan_to_num(values.astype(np.float32) * np.float32(gain), nan=self.low)
        share = (scaled - np.float32(self.low)) / np.float32(self.high - self.low)
        share = np.clip(share, 0.0, 1.0)
        if self.is_compressed:
            share = np.arcsinh(share / np.float32(_KNEE)) / np.float32(np.arcsinh(1.0 / _KNEE))
        return (share * 255.0 + 0.5).astype(np.uint8)


def gain_of(frame: Frame) -> float:
    """Factor from counts to counts a second; 1 for pictures and where no exposure time is known."""
    if frame.pixels.dtype == np.uint8 or frame.instrument.endswith("magnetogram"):
        return 1.0
    try:
        return float(exposure_normalised(frame, np.ones(1, np.float32))[0])
    except MissingKeywordError:
        return 1.0
