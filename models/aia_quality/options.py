"""What can be asked of this family from the command line: one frozen dataclass per verb."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class TrainOptions:
    """Nothing: this family has no network."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Count good frames called degraded and injected defects found."""

    data: Path | None = field(
        default=None,
        metadata={"help": "folder of good frames (default: HELIOWATCH_TEST_DATA's coronal ones)"},
    )
    every: int = field(default=6, metadata={"help": "inject defects into every n-th frame", "least": 1})
    seed: int = field(default=1, metadata={"help": "seed of the injections"})


@dataclass(frozen=True)
class ExportOptions:
    """Calibrate the p-value on good pictures and write it beside the thresholds."""

    data: Path | None = field(
        default=None,
        metadata={"help": "folder of good frames (default: HELIOWATCH_TEST_DATA's coronal ones)"},
    )
