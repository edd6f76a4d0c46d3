"""Golden frames of the enhancement: simulated patches, and what a telescope of twice the aperture sees."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from models.golden import Answer
from models.hmi_enhancement.inference import HmiEnhancement
from models.runtime import Runtime
from models.simulate.hmi import hmi_patch
from observatory.analysis import Quantity
from observatory.frame import Frame, RowOrder

_PATCHES = 3
_SIZE_PX = 128
_BORDER_PX = 16
_LEAST_GAIN_DB = {Quantity.CONTINUUM: 4.0, Quantity.FIELD: 2.0}
_FULL_DB = 20.0  # a gain that counts as 1
_UNITS = {Quantity.CONTINUUM: None, Quantity.FIELD: "kG"}
_INSTRUMENTS = {Quantity.CONTINUUM: "hmi-continuum", Quantity.FIELD: "hmi-magnetogram"}


def answers(runtime: Runtime, name: str) -> Iterator[Answer]:
    """Answers of the network that `registry.load` gives for a name; its gain over bicubic sampling."""
    quantity = next((one for one, known in HmiEnhancement.names.items() if known == name), None)
    if quantity is None:
        return  # a network for comparison, which no frame goes through
    model = HmiEnhancement(runtime)
    for seed in range(_PATCHES):
        observed, target = hmi_patch(np.random.default_rng(1000 + seed), quantity, _SIZE_PX)
        frame = Frame(observed, _INSTRUMENTS[quantity], RowOrder.BOTTOM, unit=_UNITS[quantity])
        enhanced = model.enhance(frame).pixels
        gain = _error_db(_bicubic(observed), target) - _error_db(enhanced, target)
        yield Answer(
            frame=f"{quantity.value} patch {seed}",
            expected=f"{_LEAST_GAIN_DB[quantity]:.0f} dB and more over bicubic",
            said=f"{gain:.1f} dB",
            is_right=bool(gain >= _LEAST_GAIN_DB[quantity]),
            value=float(np.clip(gain / _FULL_DB, 0.0, 1.0)),
        )


def _bicubic(observed: np.ndarray) -> np.ndarray:
    size = (2 * observed.shape[1], 2 * observed.shape[0])
    return np.asarray(cv2.resize(observed, size, interpolation=cv2.INTER_CUBIC))


def _error_db(made: np.ndarray, target: np.ndarray) -> float:
    inside = (slice(_BORDER_PX, -_BORDER_PX),) * 2
    return float(10 * np.log10(np.mean((made[inside] - target[inside]) ** 2)))
