"""From a checkpoint to what ships: ONNX checked against torch, and the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import exporting
from models.hmi_enhancement import classical
from models.hmi_enhancement.network import (
    DEFAULTS,
    Enhancer,
    NetworkConfig,
    count_parameters,
    folded,
    operations_per_pixel,
)
from models.hmi_enhancement.options import NETWORKS, ExportOptions, TrainOptions
from models.hmi_enhancement.psf import HMI_PX_ARCSEC
from models.runtime import Runtime
from models.training import read_checkpoint
from observatory.analysis import Quantity
from observatory.errors import ModelError

_ALWAYS_WRITTEN = (
    "quantity",
    "model",
    "pixel_km",
    "rows",
    "psf",
    "noise",
    "epochs",
    "batch_size",
    "lr",
    "seed",
)
_WITHOUT_EFFECT = ("action", "threads", "device", "output", "install")
_PARITY = 2e-5  # largest difference, in quiet Suns or kG; float32 sums in another order


@dataclass(frozen=True)
class Provenance:
    """What a manifest says beside the network.

    Attributes
    ----------
    quantity : Quantity
    noise : float
        Rms noise of the input in training, in quiet Suns or kG.
    psf : str
        ``wachter``, ``authors`` or ``both``.
    command : str
        That repeats the training.
    seed, steps : int
    version : str
    truths : sequence of mappings
        ``name``, ``sha256`` and ``rows`` of what trained.
    """

    quantity: Quantity
    noise: float
    psf: str
    command: str
    seed: int = 0
    steps: int = 0
    version: str = "1.0.0"
    truths: Sequence[Mapping[str, str]] = field(default_factory=tuple)


def export(options: ExportOptions) -> Path:
    """Write network, ``manifest.toml`` and the classical filters of the same training.

    Raises
    ------
    ModelError
        When the checkpoint is missing, or ONNX Runtime does not reproduce torch.
    """
    network, state = load_network(options.checkpoint)
    # Sizes are written even where they were the defaults of that time.
    sizes = {"channels": network.config.channels, "depth": network.config.depth}
    training = state["options"] | sizes
    quantity = Quantity(training["quantity"])
    known = Provenance(
        quantity=quantity,
        noise=float(training["noise"]),
        psf=str(training["psf"]),
        command=_command(training),
        seed=int(training["seed"]),
        steps=int(state["step"]),
        version=options.version,
        truths=state["truths"],
    )
    folder = options.output or NETWORKS / folder_of(network.config.model, quantity)
    target = write_network(network, known, folder)
    filters = options.checkpoint.parent / classical.FILE
    if filters.exists() and filters.parent != folder:
        shutil.copyfile(filters, folder / classical.FILE)
    return target


def folder_of(model: str, quantity: Quantity) -> str:
    """Name of a network's folder: the shipped ones are ``continuum``, ``field`` and ``published``."""
    if model == "efficient":
        return str(quantity)
    return ("published" if model == "keepsize" else model) + (
        "" if quantity is Quantity.CONTINUUM else "_field"
    )


def name_of(model: str, quantity: Quantity) -> str:
    """Name of a network: ``hmi_enhancement`` is the continuum's that ships."""
    folder = folder_of(model, quantity)
    return "hmi_enhancement" if folder == Quantity.CONTINUUM else f"hmi_enhancement_{folder}"


def load_network(checkpoint: Path) -> tuple[Enhancer, dict[str, Any]]:
    """The averaged network of a checkpoint, ready to infer, and the whole checkpoint.

    Raises
    ------
    ModelError
        When it is missing, no checkpoint, or of a network that had other layers.
    """
    state = read_checkpoint(checkpoint)
    network = Enhancer(NetworkConfig.from_dict(state["config"]))
    try:
        network.load_state_dict(state["averaged"])
    except RuntimeError as error:
        raise ModelError(
            f"{checkpoint} is of an older {network.config.model}, which had other layers: train it again"
        ) from error
    return network.eval(), state


def write_network(network: Enhancer, known: Provenance, folder: Path) -> Path:
    """Write a network's ONNX, checked against torch, and its manifest; returns the ONNX.

    Raises
    ------
    ModelError
        When ONNX Runtime does not reproduce torch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name_of(network.config.model, known.quantity)}.onnx"
    temporary = target.with_suffix(".part.onnx")
    try:
        write_onnx(network, temporary)
        difference = parity(network, temporary)
        exporting.require_parity(difference, _PARITY, target.name)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    manifest = _manifest(network, known, target, difference)
    (folder / "manifest.toml").write_text(manifest, encoding="utf-8")
    return target


def write_onnx(network: Enhancer, target: Path) -> None:
    """Trace the network, batch norm folded, to ONNX with free batch, height and width."""
    example = torch.full((1, 1, 48, 56), network.config.centre)
    axes = {"image": {0: "n", 2: "h", 3: "w"}, "enhanced": {0: "n", 2: "h2", 3: "w2"}}
    exporting.write_onnx(folded(network), example, target, "image", ["enhanced"], axes)


def parity(network: Enhancer, target: Path) -> float:
    """Largest difference between ONNX Runtime and torch, over pictures of several sizes.

    Of answers beyond 1, which imported weights may give to noise, it is the share.
    """
    random = np.random.default_rng(3)
    session, largest = Runtime().session(target), 0.0
    for shape in ((2, 1, 40, 40), (1, 1, 33, 61), (1, 1, 64, 48)):
        given = network.config.centre + network.config.scale * random.normal(size=shape)
        observed = given.astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(observed)).numpy()
        found = session.run({"image": observed})["enhanced"]
        if found.shape != expected.shape:
            raise ModelError(f"{target} makes {found.shape} of {shape}: its size is not free")
        difference = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
        largest = max(largest, float(difference))
    return largest


def _manifest(network: Enhancer, known: Provenance, target: Path, difference: float) -> str:
    config = network.config
    operations = operations_per_pixel(config)
    unit = "local quiet Sun, limb darkening divided out" if known.quantity is Quantity.CONTINUUM else "kG"
    given = f"{known.quantity} on pixels of {HMI_PX_ARCSEC} arcsec"
    made = "as a telescope of 28 cm shows it; four pixels in each of the input's, no shift"
    lines = [
        *exporting.heading("hmi_enhancement", known.version, target),
        *exporting.tensor("inputs", "image", ["n", 1, "h", "w"], unit, given),
        *exporting.tensor("outputs", "enhanced", ["n", 1, "2h", "2w"], unit, made),
        "[training]",
        f"command = {exporting.toml(known.command)}",
        f"seed = {known.seed}",
        f"steps = {known.steps}",
        f"parity = {difference:.3g}",
        f"weights = {count_parameters(network)}",
        f"multiply_adds_per_input_pixel = {operations}",
        f"share_of_published = {operations / operations_per_pixel(DEFAULTS['keepsize']):.4g}",
        "",
    ]
    for truth in known.truths:
        lines += exporting.element("training.truths", truth)
    lines += exporting.table("training.network", config.to_dict())
    parameters = {
        "quantity": str(known.quantity),
        "pixel_arcsec": HMI_PX_ARCSEC,
        "noise": known.noise,
        "halo_px": network.halo_px,
        "align_px": 2 if config.model == "encdec" else 1,
        "psf": known.psf,
    }
    return "\n".join([*lines, *exporting.table("parameters", parameters)])


def _command(options: Mapping[str, Any]) -> str:
    """The command line that repeats a training; truths stand by their names."""
    truths = ",".join(Path(path).name for path in str(options.get("truth", "")).split(","))
    idle = (*_WITHOUT_EFFECT, "epochs") if options.get("steps") else _WITHOUT_EFFECT
    return exporting.training_command(
        "hmi_enhancement", {**options, "truth": truths}, TrainOptions, always=_ALWAYS_WRITTEN, idle=idle
    )
