"""What can be asked of this family from the command line: one frozen dataclass per verb."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).parent
NETWORKS = _HERE / "networks"


@dataclass(frozen=True)
class TrainOptions:
    """Train the enhancement of HMI's continuum or field."""

    action: str = field(
        default="start", metadata={"help": "start anew, or continue from the checkpoint in output"}
    )
    quantity: str = field(default="continuum", metadata={"help": "continuum or field"})
    truth: str = field(
        default="",
        metadata={"help": "simulated photospheres (.npy, rows and columns), several with commas between"},
    )
    pixel_km: float = field(default=48.0, metadata={"help": "side of the truth's pixels on the Sun"})
    rows: str = field(
        default="", metadata={"help": "FIRST:END, the part of each truth that trains (default: all)"}
    )
    validation_share: float = field(
        default=0.0, metadata={"help": "last share of those rows, kept out to validate"}
    )
    simulated: int = field(default=0, metadata={"help": "pictures of our own simulator to add, 36 Mm a side"})
    simulated_share: float = field(
        default=0.5, metadata={"help": "how often those are drawn, where there is a truth too"}
    )
    psf: str = field(default="wachter", metadata={"help": "wachter, authors or both"})
    noise: float = field(default=1e-3, metadata={"help": "rms added to the input, in quiet Suns or kG"})
    noise_spread: float = field(
        default=0.0, metadata={"help": "vary the noise by up to this factor's logarithm (0: never)"}
    )
    scales: str = field(
        default="0.8,0.9,1,1.12,1.25",
        metadata={
            "help": "take the truth for so many times as large, in turn: other scenes, the same telescope"
        },
    )
    contrast_spread: float = field(
        default=0.0, metadata={"help": "stretch and shrink contrasts by up to this share"}
    )
    model: str = field(default="efficient", metadata={"help": "efficient, keepsize or encdec"})
    channels: int = field(default=0, metadata={"help": "filters; 0 takes the network's own"})
    depth: int = field(default=0, metadata={"help": "blocks or convolutions; 0 takes the network's own"})
    activation: str = field(default="relu", metadata={"help": "relu, leaky, prelu, elu or gelu"})
    linear: int = field(
        default=13, metadata={"help": "side of the efficient network's fitted linear filter; 1: none"}
    )
    linear_trained: bool = field(default=False, metadata={"help": "let the training change that filter"})
    residual: bool = field(default=False, metadata={"help": "efficient: add each pair's input to its output"})
    epochs: int = field(default=60, metadata={"help": "of 100 steps each: metrics and checkpoint after each"})
    steps: int = field(default=0, metadata={"help": "training steps in place of epochs"})
    minutes: float = field(default=0.0, metadata={"help": "end after this time, the rate falling in time"})
    batch_size: int = field(default=8, metadata={"help": "patches in a step"})
    patch: int = field(default=40, metadata={"help": "side of a patch in input pixels"})
    lr: float = field(default=1e-3, metadata={"help": "learning rate of Adam at its height"})
    lr_multiplier: float = field(default=0.01, metadata={"help": "what is left of the rate in the end"})
    schedule: str = field(default="cosine", metadata={"help": "cosine, exponential or constant"})
    l2: float = field(default=1e-6, metadata={"help": "weight of the sum of the squared kernels in the loss"})
    weight_decay: float = field(
        default=0.0, metadata={"help": "decoupled decay of the kernels (AdamW), in place of l2"}
    )
    patience: int = field(
        default=0, metadata={"help": "end after so many epochs without a better validation; 0: never"}
    )
    average: float = field(
        default=0.998, metadata={"help": "memory of the running mean of weights, which is exported"}
    )
    threads: int = field(default=1, metadata={"help": "torch threads; 0 leaves torch's own choice"})
    device: str = field(default="cpu", metadata={"help": "cpu or cuda"})
    seed: int = field(default=1, metadata={"help": "seed of weights, patches and noise"})
    output: Path = field(default=Path("runs/hmi_enhancement"), metadata={"help": "folder of the run"})
    install: bool = field(default=False, metadata={"help": "replace the shipped network by the result"})


@dataclass(frozen=True)
class EvaluateOptions:
    """Degrade a truth as HMI does, enhance it, and compare with what twice the aperture would see."""

    truth: Path = field(metadata={"help": "a simulated photosphere (.npy, rows and columns)"})
    pixel_km: float = field(default=48.0, metadata={"help": "side of its pixels on the Sun"})
    rows: str = field(default="", metadata={"help": "FIRST:END, the part that counts (default: all)"})
    quantity: str = field(default="continuum", metadata={"help": "continuum or field"})
    psf: str = field(
        default="", metadata={"help": "wachter or authors (default: the shipped network's; wachter for both)"}
    )
    noise: float = field(default=1e-3, metadata={"help": "rms added to the input, in quiet Suns or kG"})
    seed: int = field(default=1, metadata={"help": "of the noise"})
    networks: Path = field(
        default=NETWORKS, metadata={"help": "folder with continuum/, field/ and published/"}
    )
    device: str = field(default="cpu", metadata={"help": "cpu, cuda, openvino"})
    threads: int = field(default=1, metadata={"help": "of ONNX Runtime"})
    plots: Path | None = field(default=None, metadata={"help": "folder for a picture of all methods"})
    output: Path | None = field(default=None, metadata={"help": "write the result here as JSON too"})
    format: str = field(default="json", metadata={"help": "json (on stdout) or table (on stderr as well)"})


@dataclass(frozen=True)
class ExportOptions:
    """Turn a checkpoint into ONNX with manifest."""

    checkpoint: Path = field(
        default=Path("runs/hmi_enhancement/checkpoint.pt"), metadata={"help": "what training wrote"}
    )
    output: Path | None = field(
        default=None,
        metadata={"help": "folder for network, manifest and classical.npz (default: what ships)"},
    )
    version: str = field(default="1.0.0", metadata={"help": "version to write into the manifest"})


@dataclass(frozen=True)
class ImportOptions:
    """Take the published network's own weights (HDF5 of Keras), trained elsewhere."""

    weights: Path = field(
        metadata={
            "help": "what save_weights or save of Keras 2 wrote",
            "is_positional": True,
            "metavar": "FILE.hdf5",
        }
    )
    output: Path = field(
        default=Path("runs/hmi_enhancement/imported"), metadata={"help": "folder for network and manifest"}
    )
    quantity: str = field(default="continuum", metadata={"help": "continuum or field: what it enhances"})
    model: str | None = field(
        default=None, metadata={"help": "keepsize or encdec: refuse others (default: as the file has it)"}
    )
    depth: int | None = field(default=None, metadata={"help": "refuse another number of residual blocks"})
    filters: int | None = field(default=None, metadata={"help": "refuse another number of filters"})
    activation: str | None = field(
        default=None, metadata={"help": "relu or elu (default: what the file says, else relu)"}
    )
    noise: float | None = field(
        default=None,
        metadata={"help": "rms of the noise it was trained with (default: what the file says, else 1e-3)"},
    )
    psf: str = field(default="authors", metadata={"help": "wachter or authors: what it was trained with"})
    version: str = field(default="imported", metadata={"help": "version to write into the manifest"})
