"""The verbs of this family for the command line; torch is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.aia_segmentation.options import EvaluateOptions, ExportOptions, TrainOptions


def train(options: TrainOptions) -> Path:
    """Train and export; returns the run's folder."""
    from models.aia_segmentation.train import train as run

    return run(options)


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Compare the model's masks, or a folder's, with masks, boxes or annotations."""
    from models.aia_segmentation.evaluate import evaluate as run

    return run(options)


def export(options: ExportOptions) -> Path:
    """Write ONNX and manifest; returns the ONNX file."""
    from models.aia_segmentation.export import export as run

    return run(options)
