"""The shipped network on real frames: granulation's contrast, umbrae, what comes back when degraded again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.hmi_enhancement.inference import HmiEnhancement
from models.runtime import Runtime
from observatory.analysis import EnhancementNumbers
from observatory.instruments import read_file
from observatory.instruments.formats.container import Limits
from observatory.photosphere import normalise

SAMPLES = {
    "patch": ("enhance_samples/*continuum*.fits", None),
    "SHARP": ("sharp_377/*.continuum.fits", None),
    "full disk": ("jp2/*continuum*.jp2", (1792, 1792, 2304, 2304)),  # its middle
}
_UMBRA = 0.5  # of the quiet Sun's light, in the frame as it was taken
_UMBRA_PX = 100  # 25 square arcseconds; smaller are pores and splinters, which what shines in fills


@dataclass(frozen=True)
class Made:
    """A frame before and after, in quiet Suns at the frame's sampling."""

    before: np.ndarray
    after: np.ndarray
    numbers: EnhancementNumbers


@cache
def made(folder: Path, name: str) -> Made:
    pattern, window = SAMPLES[name]
    (path,) = (folder / "hmi").glob(pattern)
    frame = read_file(path, Limits()).frame()
    enhanced = HmiEnhancement(Runtime()).enhance(frame, window)
    known = normalise(frame, window)
    height, width = known.image.shape
    after = enhanced.pixels.reshape(height, 2, width, 2).mean((1, 3)) / known.level
    return Made(known.image, after, enhanced.numbers)


@pytest.mark.parametrize("name", SAMPLES)
def test_granulation_gains_contrast_as_published(real_frames: Path, name: str) -> None:
    numbers = made(real_frames, name).numbers
    assert numbers.contrast_before is not None and numbers.contrast_after is not None
    assert 1.7 <= numbers.contrast_after / numbers.contrast_before <= 2.1


@pytest.mark.parametrize(("name", "count"), [("patch", 3), ("SHARP", 6)])
def test_each_umbra_gets_darker_as_published(real_frames: Path, name: str, count: int) -> None:
    found = made(real_frames, name)
    labels = cv2.connectedComponents((found.before < _UMBRA).astype(np.uint8))[1]
    umbrae = [labels == number for number in range(1, labels.max() + 1)]
    umbrae = [umbra for umbra in umbrae if umbra.sum() >= _UMBRA_PX]
    assert len(umbrae) == count
    for umbra in umbrae:
        assert -0.07 <= found.after[umbra].mean() / found.before[umbra].mean() - 1 <= -0.03


@pytest.mark.parametrize("name", SAMPLES)
def test_what_was_made_is_what_was_seen_when_it_is_degraded_again(real_frames: Path, name: str) -> None:
    numbers = made(real_frames, name).numbers
    assert numbers.residual < numbers.noise < 0.0015
