"""The verbs of this family for the command line."""

from __future__ import annotations

from typing import Any, NoReturn

from models.allsky_quality.options import EvaluateOptions, ExportOptions, TrainOptions
from observatory.errors import ModelError


def train(options: TrainOptions) -> NoReturn:
    """Refuse: there is no network.

    Raises
    ------
    ModelError
    """
    raise ModelError("allsky_quality has no network to train; its thresholds stand in thresholds.toml")


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Measure the model; returns the metrics."""
    from models.allsky_quality.evaluate import evaluate as run

    return run(options)


def export(options: ExportOptions) -> dict[str, Any]:
    """Calibrate; returns how even the p-values are of skies that were left out."""
    from models.allsky_quality.calibrate import calibrate as run

    return run(options)
