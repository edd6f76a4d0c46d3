"""Ridge regression of several targets at once, and its validation on blocks of time (numpy)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ALPHAS: tuple[float, ...] = tuple(float(10.0**power) for power in np.arange(-2.0, 6.1, 0.5))
"""Strengths that are tried, in units of a standardised feature's variance times the number of rows' one."""

_TINY = 1e-6  # a feature that varies less is constant: dividing by it would make noise of it


@dataclass(frozen=True)
class Ridge:
    """Weights of standardised features.

    Attributes
    ----------
    mean, scale : ndarray, shape (features,)
    weights : ndarray, shape (features, targets)
    offset : ndarray, shape (targets,)
    alpha : float
    """

    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    offset: FloatArray
    alpha: float

    def predict(self, features: NDArray[np.floating]) -> FloatArray:
        """Targets of rows of features, shape (n, targets)."""
        return (np.asarray(features, np.float64) - self.mean) / self.scale @ self.weights + self.offset


def fit(features: NDArray[np.floating], targets: FloatArray, alphas: Sequence[float]) -> list[Ridge]:
    """Fit one regression for each strength; a single decomposition serves them all.

    Minimises ``|targets - predicted|^2 + alpha |weights|^2`` over standardised features and centred targets.

    Parameters
    ----------
    features : ndarray, shape (n, features)
    targets : ndarray, shape (n, targets)
        Without NaN.
    alphas : sequence of float
        Above 0.
    """
    given = np.asarray(features, np.float64)
    mean, scale = given.mean(axis=0), given.std(axis=0)
    scale = np.where(scale > _TINY, scale, 1.0)
    offset = targets.mean(axis=0)
    left, singular, right = np.linalg.svd((given - mean) / scale, full_matrices=False)
    turned = left.T @ (targets - offset)
    found = []
    for alpha in alphas:
        weights = right.T @ (turned * (singular / (singular**2 + alpha))[:, None])
        found.append(Ridge(mean, scale, weights, offset, float(alpha)))
    return found


def blocks(times_s: FloatArray, count: int) -> NDArray[np.intp]:
    """Number of the block of time that each row belongs to: 0 … count - 1, about equally many rows each.

    Neighbouring frames are all but copies of each other: validation on rows drawn at random would test
    what was trained on (Sado et al. 2022 test on contiguous blocks for that reason). A border lies at the
    longest pause near it (a tenth of a block to either side), so that nights stay whole where they can.

    Raises
    ------
    ValueError
        When there are fewer rows than blocks, or fewer than two blocks.
    """
    if count < 2 or times_s.size < count:
        raise ValueError(f"{times_s.size} rows do not make {count} blocks of time")
    order = np.argsort(times_s, kind="stable")
    ordered = times_s[order]
    reach = max(times_s.size // (10 * count), 1)
    borders = []
    for number in range(1, count):
        middle = number * times_s.size // count
        low, high = max(middle - reach, 1), min(middle + reach, times_s.size - 1)
        pauses = ordered[low : high + 1] - ordered[low - 1 : high]
        borders.append(low + int(np.argmax(pauses)))
    number_of = np.zeros(times_s.size, np.intp)
    number_of[order] = np.searchsorted(borders, np.arange(times_s.size), side="right")
    return number_of


def best_alpha(
    features: NDArray[np.floating],
    targets: FloatArray,
    block: NDArray[np.intp],
    alphas: Sequence[float] = ALPHAS,
) -> float:
    """Strength with the least squared error on blocks that were left out, all targets together."""
    errors = np.zeros(len(alphas))
    for number in np.unique(block):
        is_out = block == number
        if is_out.all():
            continue
        for place, ridge in enumerate(fit(features[~is_out], targets[~is_out], alphas)):
            errors[place] += float(((ridge.predict(features[is_out]) - targets[is_out]) ** 2).sum())
    return float(alphas[int(np.argmin(errors))])


def cross_validated(
    features: NDArray[np.floating],
    targets: FloatArray,
    times_s: FloatArray,
    folds: int,
    alphas: Sequence[float] = ALPHAS,
) -> FloatArray:
    """Predictions of every row by a regression that has seen nothing of its block of time.

    The strength is chosen anew for each block by the other blocks alone.
    """
    block = blocks(times_s, folds)
    predicted = np.zeros(targets.shape)
    for number in np.unique(block):
        is_out = block == number
        known, wanted = features[~is_out], targets[~is_out]
        inner = blocks(times_s[~is_out], max(folds - 1, 2))
        alpha = best_alpha(known, wanted, inner, alphas)
        predicted[is_out] = fit(known, wanted, [alpha])[0].predict(features[is_out])
    return predicted
