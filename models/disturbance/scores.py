"""How well a disturbance is told: errors, skill against two simple guesses, and the ROC of storms (numpy)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.nearest import nearest

FloatArray = NDArray[np.float64]
COMPONENTS = ("x", "y", "z")


@dataclass(frozen=True)
class Roc:
    """Receiver operating characteristic.

    Attributes
    ----------
    false_rate, true_rate : ndarray, shape (n,)
        From (0, 0) to (1, 1).
    area : float
        0.5 is chance, 1 perfect; NaN where one of both kinds is missing.
    """

    false_rate: FloatArray
    true_rate: FloatArray
    area: float


def roc(scores: NDArray[np.floating], is_true: NDArray[np.bool_]) -> Roc:
    """ROC of scores that grow with what is looked for; equal scores are one step."""
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    values, truth = np.asarray(scores, np.float64)[order], np.asarray(is_true, bool)[order]
    last = np.append(np.diff(values) != 0, True) if values.size else np.zeros(0, bool)
    hits, misses = np.cumsum(truth)[last], np.cumsum(~truth)[last]
    positives, negatives = int(truth.sum()), int((~truth).sum())
    true_rate = np.concatenate([[0.0], hits / max(positives, 1)])
    false_rate = np.concatenate([[0.0], misses / max(negatives, 1)])
    has_both = positives > 0 and negatives > 0
    area = float(np.trapezoid(true_rate, false_rate)) if has_both else float("nan")
    return Roc(false_rate, true_rate, area)


def persistence(times_s: FloatArray, wanted_s: FloatArray, values: FloatArray, lead_s: float) -> FloatArray:
    """What was measured a while before each time; NaN where nothing was, within a tenth of that while.

    Parameters
    ----------
    times_s, values : ndarray, shape (n,) and (n, 3)
        The magnetometer's.
    wanted_s : ndarray, shape (m,)
    """
    found = nearest(wanted_s - lead_s, times_s, max(0.1 * lead_s, 60.0))
    before = values[found]
    before[found < 0] = np.nan
    return before


def scores(
    predicted: FloatArray, measured: FloatArray, before: FloatArray, threshold_nt: float
) -> dict[str, float]:
    """Numbers of a validation.

    Parameters
    ----------
    predicted, measured, before : ndarray, shape (n, 3)
        `before` is what persistence says; rows of NaN there do not count for its skill.
    threshold_nt : float
        A storm is a disturbance whose length is above it.

    Returns
    -------
    dict
        For each component ``rmse_X_nt``, ``correlation_X`` and ``skill_over_mean_X``; for all together
        ``rmse_nt``, ``skill_over_mean``, ``skill_over_persistence`` (1 is perfect, 0 no better, below 0
        worse), ``storm_roc_area`` and ``storm_share``. A number that cannot be told is NaN.
    """
    told: dict[str, float] = {"rows": float(len(measured))}
    for column, name in enumerate(COMPONENTS):
        error = predicted[:, column] - measured[:, column]
        told[f"rmse_{name}_nt"] = float(np.sqrt(np.mean(error**2)))
        told[f"correlation_{name}"] = _correlation(predicted[:, column], measured[:, column])
        told[f"skill_over_mean_{name}"] = _skill(
            error**2, (measured[:, column] - measured[:, column].mean()) ** 2
        )
    squared = ((predicted - measured) ** 2).sum(axis=1)
    told["rmse_nt"] = float(np.sqrt(squared.mean()))
    told["skill_over_mean"] = _skill(squared, ((measured - measured.mean(axis=0)) ** 2).sum(axis=1))
    has_before = np.isfinite(before).all(axis=1)
    told["skill_over_persistence"] = _skill(
        squared[has_before], ((before - measured)[has_before] ** 2).sum(axis=1)
    )
    is_storm = np.linalg.norm(measured, axis=1) > threshold_nt
    told["storm_threshold_nt"] = float(threshold_nt)
    told["storm_share"] = float(is_storm.mean())
    told["storm_roc_area"] = roc(np.linalg.norm(predicted, axis=1), is_storm).area
    return told


def _skill(errors: FloatArray, others: FloatArray) -> float:
    return float(1.0 - errors.sum() / others.sum()) if others.size and others.sum() > 0 else float("nan")


def _correlation(first: FloatArray, second: FloatArray) -> float:
    if first.size < 2 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
