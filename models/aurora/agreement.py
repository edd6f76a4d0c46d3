"""How near two networks of this family are in what they say of the same skies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.runtime import Runtime

FloatArray = NDArray[np.float32]

_BATCH = 32


@dataclass(frozen=True)
class Agreement:
    """How near two networks are to each other.

    Attributes
    ----------
    classes : float
        Share of the skies whose likeliest class is the same, of those of which the first is sure.
    all_classes : float
        The same of all skies.
    cells : float
        Share of the cells that both call cloudy, or both not.
    probability : float
        Mean difference of a class's probability.
    """

    classes: float
    all_classes: float
    cells: float
    probability: float

    @property
    def is_close(self) -> bool:
        """Whether one may stand for the other."""
        return self.classes >= 0.995 and self.cells >= 0.99 and self.probability <= 0.01


def agreement(one: Path, other: Path, images: FloatArray, sure: float) -> Agreement:
    """Compare what two networks say of skies; a likeliest class below `sure` is none to rely on."""
    first, second = (_said(path, images) for path in (one, other))
    is_same = first["probabilities"].argmax(axis=1) == second["probabilities"].argmax(axis=1)
    is_sure = first["probabilities"].max(axis=1) >= sure
    cells = (first["cloud"] >= 0.5) == (second["cloud"] >= 0.5)
    apart = np.abs(first["probabilities"] - second["probabilities"])
    of_sure = float(is_same[is_sure].mean()) if is_sure.any() else 1.0
    return Agreement(of_sure, float(is_same.mean()), float(cells.mean()), float(apart.mean()))


def _said(path: Path, images: FloatArray) -> dict[str, FloatArray]:
    session = Runtime().session(path)
    wanted = ("probabilities", "cloud")
    parts = [
        session.run({"image": images[first : first + _BATCH]}, wanted)
        for first in range(0, len(images), _BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}
