"""What can be asked of this family from the command line: one frozen dataclass per verb."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class TrainOptions:
    """Train the H-alpha quality model."""

    good: Path | None = field(default=None, metadata={"help": "folder of good frames"})
    bad: Path | None = field(default=None, metadata={"help": "folder of bad frames (optional)"})
    output: Path = field(default=Path("runs/halpha_quality"), metadata={"help": "where the run is kept"})
    mode: str = field(
        default="classifier", metadata={"help": "classifier (good and bad) or one_class (good alone)"}
    )
    adversarial: str = field(default="lsgan", metadata={"help": "lsgan or wgan-gp"})
    preset: str = field(default="small", metadata={"help": "tiny, small (ships) or full (published size)"})
    preparation: str = field(default="flattened", metadata={"help": "flattened, contrast, image or peak"})
    simulated: int = field(default=480, metadata={"help": "simulated good frames to add"})
    inject: bool = field(default=True, metadata={"help": "inject defects into good frames"})
    steps: int = field(default=4000, metadata={"help": "training steps"})
    batch: int = field(default=16, metadata={"help": "pictures in a step"})
    adversarial_every: int = field(default=2, metadata={"help": "steps between adversarial updates"})
    learning_rate: float = field(
        default=2e-4, metadata={"help": "of Adam (0.5, 0.9) in the adversarial part"}
    )
    head_learning_rate: float = field(default=1.5e-3, metadata={"help": "of Adam in the diagnosis head"})
    validation_share: float = field(default=0.2, metadata={"help": "last share of each folder, kept out"})
    validate_every: int = field(default=250, metadata={"help": "steps between validations and checkpoints"})
    calibrate: int = field(default=2400, metadata={"help": "frames that fit the score and the p-value"})
    threads: int = field(default=0, metadata={"help": "torch threads; 0 leaves torch's own choice"})
    device: str = field(default="cpu", metadata={"help": "cpu or cuda"})
    seed: int = field(default=1, metadata={"help": "seed of weights, simulation and injections"})
    resume: bool = field(default=True, metadata={"help": "go on from the last checkpoint in output"})
    install: bool = field(default=False, metadata={"help": "replace the shipped network by the result"})


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure the model on labelled frames, injected defects and simulated frames."""

    data: Path | None = field(
        default=None,
        metadata={"help": "folder with halpha/kso_20190126, bbso and gong (default: HELIOWATCH_TEST_DATA)"},
    )
    good: Path | None = field(default=None, metadata={"help": "folder of good frames of one's own"})
    bad: Path | None = field(default=None, metadata={"help": "folder of bad frames of one's own"})
    injected: int = field(default=300, metadata={"help": "frames with injected defects", "least": 1})
    simulated: int = field(
        default=2000, metadata={"help": "simulated frames for the conformal coverage", "least": 1}
    )
    family: Path = field(default=_HERE, metadata={"help": "folder with manifest.toml and the network"})
    output: Path | None = field(default=None, metadata={"help": "write the metrics here as JSON too"})
    seed: int = field(default=77, metadata={"help": "seed of injections and simulation"})


@dataclass(frozen=True)
class ExportOptions:
    """Turn a checkpoint into ONNX with manifest."""

    checkpoint: Path = field(
        default=Path("runs/halpha_quality/checkpoint.pt"), metadata={"help": "what training wrote"}
    )
    output: Path = field(default=_HERE, metadata={"help": "folder for halpha_quality.onnx and manifest.toml"})
    data: Path | None = field(
        default=None,
        metadata={"help": "real good frames for the calibration (default: HELIOWATCH_TEST_DATA)"},
    )
    calibrate: int = field(default=2400, metadata={"help": "frames that fit the score and the p-value"})
    version: str = field(default="1.0.1", metadata={"help": "version to write into the manifest"})
