"""What can be asked of this family from the command line: one frozen dataclass per verb."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainOptions:
    """Nothing: this family has no network."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Count good simulated frames called degraded, and injected defects found, at unseen cameras."""

    frames: int = field(default=300, metadata={"help": "simulated good frames", "least": 1})
    size_px: int = field(default=200, metadata={"help": "diameter of the simulated skies"})
    seed: int = field(default=7, metadata={"help": "seed of the skies and of the injections"})


@dataclass(frozen=True)
class ExportOptions:
    """Calibrate the p-value on good simulated frames and write it beside the thresholds."""

    frames: int = field(
        default=2000, metadata={"help": "good frames of each kind, pictures and counts", "least": 1}
    )
    size_px: int = field(default=200, metadata={"help": "diameter of the simulated skies"})
    seed: int = field(default=11, metadata={"help": "seed of the skies"})
