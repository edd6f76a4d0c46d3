"""Where the border of a coronal hole lies: a second look at the cells that the network is unsure of.

The network finds holes and draws their borders a little too smooth: at its own grid it answers from
features of half that resolution. What masks mark as the border depends on the brightness of the cell
itself, on that of its surroundings and on what the network says around it, so a logistic regression on
these few numbers moves the border to where masks have it. It is fitted after the training, on the
network's own training pictures, and its coefficients stand in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation.preparation import HALF_WIDTH_RADII, analysis_grid

FloatArray = NDArray[np.floating]

#: What is looked at, in the order of `features`; lengths in the names are cells of a grid of 256.
FEATURES = (
    "logit",
    "logit_squared",
    "brightness",
    "brightness_1",
    "brightness_2_5",
    "brightness_6",
    "logit_1_5",
    "logit_5",
    "mu",
    "structure",
    "near_threshold",
)

_CELL_RADII = 2 * HALF_WIDTH_RADII / 256  # lengths were chosen on a grid of 256
_SURE = 5.0  # logit from which the network is taken at its word: 0.7 and 99.3 %
_CLIPPED = 6.0
_LEAST_PROBABILITY = 1e-7
_MOST_CELLS = 60_000  # that are fitted; more change the coefficients in the third digit
_LEAST_CELLS = 1_000
_RIDGE = 5.0  # on standardised features, against some 10^4 cells
_ITERATIONS = 12


@dataclass(frozen=True)
class Border:
    """Coefficients of the regression.

    Attributes
    ----------
    weights : mapping of str to float
        One for each of `FEATURES`.
    bias : float
    """

    weights: Mapping[str, float]
    bias: float

    @classmethod
    def from_dict(cls, stated: Mapping[str, float]) -> Border:
        """From a manifest or a checkpoint."""
        return cls({name: float(stated[name]) for name in FEATURES}, float(stated["bias"]))

    def to_dict(self) -> dict[str, float]:
        """For a manifest or a checkpoint."""
        return {"bias": self.bias, **self.weights}

    def refined(self, probability: FloatArray, brightness: FloatArray) -> NDArray[np.float32]:
        """The map (side, side), 0 to 1, anew where the network is unsure; elsewhere as it is.

        Parameters
        ----------
        probability : ndarray (side, side)
            The network's map of coronal holes, beyond the limb too.
        brightness : ndarray (side, side)
            As `preparation.brightness` gives it.
        """
        logit = logit_of(probability)
        unsure = np.abs(logit) < _SURE
        score = np.full(int(unsure.sum()), np.float32(self.bias))
        for name, plane in features(logit, brightness).items():
            score += np.float32(self.weights[name]) * plane[unsure]
        found = probability.astype(np.float32)
        found[unsure] = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
        return found


def logit_of(probability: FloatArray) -> NDArray[np.float32]:
    """Logarithm of the odds; a probability of 0 or 1 counts as nearly that."""
    inner = np.clip(probability.astype(np.float32), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.asarray(np.log(inner / (1 - inner)), np.float32)


def features(logit: FloatArray, brightness: FloatArray) -> dict[str, NDArray[np.float32]]:
    """Planes (side, side) that the regression weighs, by name."""
    side = logit.shape[0]
    says = np.clip(logit, -_CLIPPED, _CLIPPED).astype(np.float32)
    value = brightness.astype(np.float32)

    def blurred(plane: NDArray[np.float32], cells: float) -> NDArray[np.float32]:
        sigma = cells * _CELL_RADII * side / (2 * HALF_WIDTH_RADII)
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)

    near = blurred(value, 2.5)
    planes = (
        says,
        says * np.abs(says) / np.float32(_CLIPPED),
        value,
        blurred(value, 1.0),
        near,
        blurred(value, 6.0),
        blurred(says, 1.5),
        blurred(says, 5.0),
        analysis_grid(side).mu,
        (value - near) ** 2,
        np.clip(value + np.float32(0.5), -0.5, 0.5),
    )
    return dict(zip(FEATURES, planes, strict=True))


def fit(cases: Iterable[tuple[FloatArray, FloatArray, FloatArray, FloatArray]]) -> Border | None:
    """Fit to masks by ridge-regularised maximum likelihood (Newton's method).

    Parameters
    ----------
    cases : iterable of (probability, brightness, target, weight)
        Each (side, side): the network's map, the picture, the mask's coverage and a weight that is
        0 where nothing is known.

    Returns
    -------
    Border or None
        None where the network is unsure of too few labelled cells to fit anything.
    """
    given, wanted = [], []
    for probability, brightness, target, weight in cases:
        logit = logit_of(probability)
        used = (weight > 0) & (np.abs(logit) < _SURE)
        given.append(np.stack([plane[used] for plane in features(logit, brightness).values()], axis=-1))
        wanted.append(target[used])
    if sum(len(part) for part in wanted) < _LEAST_CELLS:
        return None
    cells, truth = np.concatenate(given).astype(np.float64), np.concatenate(wanted).astype(np.float64)
    chosen = np.random.default_rng(0).permutation(len(truth))[:_MOST_CELLS]
    cells, truth = cells[chosen], truth[chosen]
    mean, spread = cells.mean(axis=0), np.maximum(cells.std(axis=0), 1e-6)
    terms = np.column_stack([(cells - mean) / spread, np.ones(len(cells))])
    found = np.zeros(terms.shape[1])
    for _ in range(_ITERATIONS):
        expected = 1 / (1 + np.exp(-terms @ found))
        curvature = (terms * (expected * (1 - expected))[:, None]).T @ terms + _RIDGE * np.eye(len(found))
        found += np.linalg.solve(curvature, terms.T @ (truth - expected) - _RIDGE * found)
    weights = found[:-1] / spread
    return Border(
        {name: round(float(weight), 6) for name, weight in zip(FEATURES, weights, strict=True)},
        round(float(found[-1] - weights @ mean), 6),
    )
