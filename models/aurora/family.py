"""The verbs of this family for the command line; torch is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.aurora.options import EvaluateOptions, ExportOptions, TrainOptions


def train(options: TrainOptions) -> Path:
    """Train and export; returns the run's folder."""
    from models.aurora.train import train as run

    return run(options)


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Measure the network on what it did not learn from, and compare backbones and heads."""
    from models.aurora.evaluate import evaluate as run

    return run(options)


def export(options: ExportOptions) -> Path:
    """Write ONNX and manifest; returns the ONNX file."""
    from models.aurora.export import export as run

    return run(options)
