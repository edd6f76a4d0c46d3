"""How far what a model says of lately differs from what it said before: pure, numbers in, numbers out.

Two measures that the field knows. KS is the Kolmogorov-Smirnov statistic, the largest distance between
two cumulative distributions, 0 to 1. PSI is the population stability index of credit scoring (Siddiqi
2006, Credit Risk Scorecards): the sum of (p - q) ln(p / q) over the deciles of the reference; below 0.1 is
usually called stable, above 0.25 a shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 100
"""Values that both sides need: with fewer, chance alone makes a tenth."""
_BINS = 10


@dataclass(frozen=True)
class Drift:
    """Drift of one quantity.

    Attributes
    ----------
    ks, psi : float
    reference, recent : int
        Numbers of values.
    noise : float
        KS that none of all the quantities looked at exceeds but once in a thousand times, where both samples
        of these sizes are of one and the same distribution (Smirnov 1948: sqrt(-ln(a / 2) / 2)
        sqrt((n + m) / (n m)), a = 0.001 shared by the quantities).
    """

    ks: float
    psi: float
    reference: int
    recent: int
    noise: float

    @property
    def is_beyond_chance(self) -> bool:
        """Whether chance alone would hardly make so much."""
        return self.ks > self.noise


def ks_statistic(reference: NDArray[np.floating], recent: NDArray[np.floating]) -> float:
    """Largest distance between the two cumulative distributions, 0 to 1."""
    reference, recent = np.sort(reference), np.sort(recent)
    places = np.concatenate([reference, recent])
    before = np.searchsorted(reference, places, side="right") / len(reference)
    after = np.searchsorted(recent, places, side="right") / len(recent)
    return float(np.max(np.abs(before - after)))


def psi(reference: NDArray[np.floating], recent: NDArray[np.floating]) -> float:
    """Population stability index over the deciles of the reference, 0 and more.

    Equal deciles, as of a quantity that is mostly 0, are one bin; an empty bin counts half a value.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
        for values in (reference, recent)
    ]
    before, after = (np.maximum(count, 0.5) / count.sum() for count in counts)
    return float(np.sum((after - before) * np.log(after / before)))


def drift(reference: NDArray[np.floating], recent: NDArray[np.floating], among: int = 1) -> Drift | None:
    """Drift of one quantity of so many; None where one side has too few finite values to tell."""
    before, after = (np.asarray(values, np.float64)[np.isfinite(values)] for values in (reference, recent))
    if min(len(before), len(after)) < LEAST:
        return None
    n, m = len(before), len(after)
    noise = float(np.sqrt(-np.log(0.001 / among / 2) / 2 * (n + m) / (n * m)))
    return Drift(ks_statistic(before, after), psi(before, after), n, m, noise)


def drifts(
    reference: Mapping[str, NDArray[np.floating]], recent: Mapping[str, NDArray[np.floating]]
) -> dict[str, Drift]:
    """Drift of each quantity that both sides have, the largest first."""
    both = [name for name in reference if name in recent]
    found = {
        name: one
        for name in both
        if (one := drift(reference[name], recent[name], max(1, len(both)))) is not None
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].ks))
