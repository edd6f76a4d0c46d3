"""What can be asked of this family from the command line: one frozen dataclass per verb."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class TrainOptions:
    """Train the segmentation of coronal holes and active regions."""

    data: Path | None = field(
        default=None,
        metadata={"help": "folder with aia/ and sdo_boxes/ (default: HELIOWATCH_TEST_DATA, if nothing else)"},
    )
    images: Path | None = field(default=None, metadata={"help": "pictures of one's own"})
    masks: Path | None = field(default=None, metadata={"help": "their masks, of equal names"})
    annotations: Path | None = field(
        default=None,
        metadata={"help": "instead of masks: polygon texts (folder, ZIP), HEK JSON, CHIMERA lists, SRS"},
    )
    boxes: Path | None = field(
        default=None, metadata={"help": "folder of 193 pictures with coronal-hole boxes (VOC XML)"}
    )
    event_type: str = field(default="both", metadata={"help": "both, CH or AR: what is learned"})
    instrument: str | None = field(
        default=None, metadata={"help": "of the pictures, where their names do not tell (such as aia-193)"}
    )
    pseudo_labels: bool = field(
        default=True, metadata={"help": "grow active regions from brightness where nobody drew any"}
    )
    simulated: int = field(
        default=0, metadata={"help": "simulated 171 frames to add (of which few real ones are at hand)"}
    )
    teacher: Path | None = field(
        default=None,
        metadata={"help": "checkpoint of a network trained on the same pairs: its maps label boxed pictures"},
    )
    leave_out_year: int = field(
        default=0, metadata={"help": "keep the pairs of this year out, and measure on them at the end"}
    )
    preset: str = field(default="small", metadata={"help": "tiny, small (ships) or full (published size)"})
    steps: int = field(default=900, metadata={"help": "training steps"})
    batch: int = field(default=8, metadata={"help": "pictures in a step"})
    learning_rate: float = field(default=2e-3, metadata={"help": "of AdamW at its height"})
    validation_share: float = field(
        default=0.0, metadata={"help": "latest share of the pairs, kept out (0: fixed number of steps)"}
    )
    validate_every: int = field(default=100, metadata={"help": "steps between validations and checkpoints"})
    patience: int = field(
        default=0, metadata={"help": "stop after so many validations without a better one; 0: never"}
    )
    threads: int = field(default=0, metadata={"help": "torch threads; 0 leaves torch's own choice"})
    device: str = field(default="cpu", metadata={"help": "cpu or cuda"})
    seed: int = field(default=1, metadata={"help": "seed of weights, sampling and augmentation"})
    output: Path = field(default=Path("runs/aia_segmentation"), metadata={"help": "folder of the run"})
    resume: bool = field(default=True, metadata={"help": "go on from the last checkpoint in output"})
    install: bool = field(default=False, metadata={"help": "replace the shipped network by the result"})


@dataclass(frozen=True)
class EvaluateOptions:
    """Compare masks: the model's, or a folder's, against a folder of masks; or against boxes."""

    images: Path | None = field(default=None, metadata={"help": "pictures (PNG, JPEG, JP2, FITS)"})
    masks: Path | None = field(default=None, metadata={"help": "their masks, of equal names, at any size"})
    event_type: str = field(default="CH", metadata={"help": "CH or AR"})
    threshold: str = field(default="medium", metadata={"help": "conservative, medium or liberal"})
    other_masks: Path | None = field(
        default=None, metadata={"help": "compare this folder of masks instead of the model's"}
    )
    boxes: Path | None = field(
        default=None, metadata={"help": "VOC XML files: which hand-drawn boxes are hit"}
    )
    spots: Path | None = field(
        default=None, metadata={"help": "continuum pictures with sunspot boxes (VOC XML) of the same days"}
    )
    annotations: Path | None = field(
        default=None,
        metadata={"help": "polygon texts, HEK JSON, CHIMERA lists or SRS: within 24 hours of a picture"},
    )
    simulated: int = field(default=0, metadata={"help": "also so many simulated frames of each channel"})
    registration: str = field(
        default="auto",
        metadata={
            "help": "masks lie on their pictures pixel by pixel (picture), or at the plate scale of the archive's "
            "frames where pictures were scaled to one disk size (frame); auto: as the masks' own limb says"
        },
    )
    by_year: bool = field(default=False, metadata={"help": "also each year apart"})
    since: str = field(default="", metadata={"help": "leave earlier pictures out (ISO 8601)"})
    until: str = field(default="", metadata={"help": "leave this time and later ones out"})
    instrument: str | None = field(
        default=None, metadata={"help": "of the pictures, where their names do not tell (such as aia-193)"}
    )
    plots: Path | None = field(default=None, metadata={"help": "folder for pictures of best and worst cases"})
    family: Path = field(default=_HERE, metadata={"help": "folder with manifest.toml and the network"})
    device: str = field(default="cpu", metadata={"help": "cpu, cuda, openvino"})
    output: Path | None = field(default=None, metadata={"help": "write the result here as JSON too"})
    format: str = field(default="json", metadata={"help": "json (on stdout) or table (on stderr as well)"})


@dataclass(frozen=True)
class ExportOptions:
    """Turn a checkpoint into ONNX with manifest."""

    checkpoint: Path = field(
        default=Path("runs/aia_segmentation/checkpoint.pt"), metadata={"help": "what training wrote"}
    )
    output: Path = field(
        default=_HERE, metadata={"help": "folder for aia_segmentation.onnx and manifest.toml"}
    )
    thresholds_ch: str = field(
        default="0.6,0.35,0.2",
        metadata={"help": "least probability of a coronal hole: conservative, medium, liberal"},
    )
    thresholds_ar: str = field(
        default="0.7,0.5,0.3",
        metadata={"help": "least probability of an active region: conservative, medium, liberal"},
    )
    version: str = field(default="1.0.0", metadata={"help": "version to write into the manifest"})
