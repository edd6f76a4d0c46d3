"""A linear head on stored features, as the original has it: support vectors or logistic (scikit-learn)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from observatory.errors import UnusableInputError

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]

HEADS = ("svm", "logistic")
GRID_C = tuple(float(c) for c in np.logspace(-4, 1, 6))
_DEFAULT_C = 0.1
_FOLDS = 5
_SEED = 1


@dataclass(frozen=True)
class Tried:
    """One point of a grid search: regularisation, mean accuracy over the folds, their deviation."""

    c: float
    accuracy: float
    deviation: float


def fit(features: FloatArray, classes: IntArray, kind: str = "svm", c: float = _DEFAULT_C) -> Any:
    """A head with ``predict_proba`` (n, number of classes), fitted on standardised features.

    Parameters
    ----------
    features : ndarray, shape (n, f)
    classes : ndarray, shape (n,)
    kind : str
        ``svm``: linear support vectors, with probabilities by sigmoids on folds (Platt 1999); ``logistic``.
    c : float
        Inverse of the regularisation.

    Raises
    ------
    UnusableInputError
        When the kind is unknown, or a class has fewer members than folds.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind not in HEADS:
        raise UnusableInputError(f"head is one of {', '.join(HEADS)}, not {kind}")
    counts = np.bincount(classes)
    if (counts[counts > 0] < _FOLDS).any() or (counts > 0).sum() < 2:
        raise UnusableInputError(
            f"a head needs two classes and {_FOLDS} skies of each; there are {counts.tolist()}: give more"
        )
    inner = _classifier(kind, c)
    if kind == "svm":
        inner = CalibratedClassifierCV(inner, method="sigmoid", cv=_FOLDS)
    return make_pipeline(StandardScaler(), inner).fit(features, classes)


def _classifier(kind: str, c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    if kind == "logistic":
        return LogisticRegression(C=c, max_iter=500, class_weight="balanced")
    return LinearSVC(C=c, dual="auto", tol=1e-3, max_iter=2000, class_weight="balanced", random_state=_SEED)


def probabilities(head: Any, features: FloatArray, count: int) -> FloatArray:
    """Probabilities (n, count): columns of classes that the head never saw are 0."""
    found = np.zeros((len(features), count))
    found[:, head.classes_.astype(int)] = head.predict_proba(features)
    return found


def search(
    features: FloatArray, classes: IntArray, kind: str = "svm", grid: Sequence[float] = GRID_C
) -> list[Tried]:
    """Balanced accuracy of each regularisation, cross-validated in contiguous blocks; shows progress."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tried = []
    for c in track(grid, f"grid of the {kind} head", console=Console(stderr=True)):
        scores = []
        for fitted, kept in KFold(_FOLDS).split(features):
            head = make_pipeline(StandardScaler(), _classifier(kind, c))  # its classes alone are asked for
            head.fit(features[fitted], classes[fitted])
            scores.append(balanced_accuracy_score(classes[kept], head.predict(features[kept])))
        tried.append(Tried(c, float(np.mean(scores)), float(np.std(scores))))
    return tried


def best_of(tried: Sequence[Tried]) -> float:
    """The strongest regularisation within one deviation of the best."""
    best = max(tried, key=lambda one: one.accuracy)
    return min(one.c for one in tried if one.accuracy >= best.accuracy - best.deviation)
