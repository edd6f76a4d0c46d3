"""The verbs of this family for the command line; torch is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.hmi_enhancement.options import EvaluateOptions, ExportOptions, ImportOptions, TrainOptions


def train(options: TrainOptions) -> Path:
    """Train and export; returns the run's folder."""
    from models.hmi_enhancement.train import train as run

    return run(options)


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Compare the networks and classical methods on a truth."""
    from models.hmi_enhancement.evaluate import evaluate as run

    return run(options)


def export(options: ExportOptions) -> Path:
    """Write ONNX and manifest; returns the ONNX file."""
    from models.hmi_enhancement.export import export as run

    return run(options)


def import_(options: ImportOptions) -> Path:
    """Write ONNX and manifest of weights that Keras saved; returns the ONNX file."""
    from models.hmi_enhancement.keras_import import import_weights as run

    return run(options)
