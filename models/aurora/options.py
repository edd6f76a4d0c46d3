"""What can be asked of this family from the command line: one frozen dataclass per verb."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class TrainOptions:
    """Train features, six classes and a cloud map on simulated skies."""

    cache: Path = field(
        default=Path("runs/aurora/skies"), metadata={"help": "folder of simulated skies; made if need be"}
    )
    samples: int = field(default=25500, metadata={"help": "simulated skies to learn from"})
    validation: int = field(
        default=2000,
        metadata={"help": "simulated skies of the same cameras kept out: they set the calibration"},
    )
    size: int = field(default=256, metadata={"help": "pixels across a simulated sky, at most"})
    images: Path | None = field(
        default=None, metadata={"help": "pictures of one's own to learn from as well"}
    )
    labels: Path | None = field(
        default=None, metadata={"help": "their classes: CSV with file and sky_class (or visual_label)"}
    )
    preset: str = field(
        default="small",
        metadata={
            "help": "tiny, small (ships), medium (shipped until 1.3.0), full, or a published backbone: "
            "shufflenet_v2_x1_0, resnet18, mobilenet_v3_small"
        },
    )
    weights: Path | None = field(
        default=None, metadata={"help": "file of the backbone's weights (torchvision's or timm's .pth)"}
    )
    teacher: Path | None = field(
        default=None,
        metadata={
            "help": "folder of an aurora network (its manifest.toml): begin from its weights without the channels that "
            "matter least, and learn what it says beside the truth"
        },
    )
    steps: int = field(default=15500, metadata={"help": "training steps"})
    batch: int = field(default=48, metadata={"help": "skies in a step"})
    learning_rate: float = field(default=2e-3, metadata={"help": "of AdamW at its height"})
    validate_every: int = field(default=500, metadata={"help": "steps between validations and checkpoints"})
    threads: int = field(default=0, metadata={"help": "torch threads; 0 leaves torch's own choice"})
    half: bool = field(
        default=False, metadata={"help": "convolve in bfloat16: half of the time where the processor has it"}
    )
    device: str = field(default="cpu", metadata={"help": "cpu or cuda"})
    maps_only: bool = field(
        default=False,
        metadata={
            "help": "train the maps of cloud and aurora alone, from output's checkpoint on: features and classes "
            "stay as they are"
        },
    )
    seed: int = field(default=1, metadata={"help": "seed of skies, weights, sampling and augmentation"})
    output: Path = field(default=Path("runs/aurora/small"), metadata={"help": "folder of the run"})
    resume: bool = field(default=True, metadata={"help": "go on from the last checkpoint in output"})
    install: bool = field(default=False, metadata={"help": "replace the shipped network by the result"})


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure the network on skies and cameras that it did not learn from; compare backbones and heads."""

    simulated: int = field(
        default=1500, metadata={"help": "simulated skies of cameras and sites that no training sees; 0: none"}
    )
    cache: Path | None = field(default=None, metadata={"help": "keep those skies here for the next time"})
    data: Path | None = field(
        default=None,
        metadata={"help": "folder with allsky/ (default: HELIOWATCH_TEST_DATA): real frames with labels"},
    )
    images: Path | None = field(default=None, metadata={"help": "pictures of one's own"})
    labels: Path | None = field(
        default=None, metadata={"help": "their labels: CSV with file and sky_class (or visual_label)"}
    )
    backbones: str = field(
        default="",
        metadata={"help": "compare these, comma-separated: shipped, small, shufflenet_v2_x1_0, resnet18, …"},
    )
    weights: str = field(
        default="", metadata={"help": "NAME=FILE.pth,…: their weights; without, they are as made by chance"}
    )
    head: str = field(default="svm", metadata={"help": "svm or logistic: the linear head on stored features"})
    head_samples: int = field(
        default=2000, metadata={"help": "skies of the training cameras that heads are fitted on", "least": 1}
    )
    grid: bool = field(default=False, metadata={"help": "search the head's parameters by cross-validation"})
    plots: Path | None = field(default=None, metadata={"help": "folder for the figures"})
    family: Path = field(default=_HERE, metadata={"help": "folder with manifest.toml and the network"})
    device: str = field(default="cpu", metadata={"help": "cpu, cuda, openvino"})
    seed: int = field(default=90001, metadata={"help": "of the simulated skies"})
    output: Path | None = field(default=None, metadata={"help": "write the result here as JSON too"})


@dataclass(frozen=True)
class ExportOptions:
    """Turn a checkpoint into ONNX with manifest."""

    checkpoint: Path = field(
        default=Path("runs/aurora/small/checkpoint.pt"), metadata={"help": "what training wrote"}
    )
    output: Path = field(default=_HERE, metadata={"help": "folder for aurora.onnx and manifest.toml"})
    version: str = field(default="1.4.0", metadata={"help": "version to write into the manifest"})
    skies: Path | None = field(
        default=None,
        metadata={
            "help": "simulated skies that set the range of eight-bit numbers (default: the training's)"
        },
    )
    real: bool = field(
        default=False, metadata={"help": "keep 32-bit real numbers: twice the time on a processor"}
    )
