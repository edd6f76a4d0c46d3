"""The verbs of this family for the command line; torch is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.halpha_quality.options import EvaluateOptions, ExportOptions, TrainOptions


def train(options: TrainOptions) -> Path:
    """Train and export; returns the run's folder."""
    from models.halpha_quality.train import train as run

    return run(options)


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Measure the exported network through the real inference path; returns the metrics."""
    from models.halpha_quality.evaluate import evaluate as run

    return run(options)


def export(options: ExportOptions) -> Path:
    """Write ONNX, manifest and calibration; returns the ONNX file."""
    from models.halpha_quality.export import export as run

    return run(options)
