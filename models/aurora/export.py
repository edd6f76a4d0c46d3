"""From a checkpoint to what ships: ONNX checked against torch, and the manifest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models import exporting
from models.aurora import data
from models.aurora.agreement import Agreement, agreement
from models.aurora.data import CLASSES
from models.aurora.network import Exported, NetworkConfig, SkyNetwork, count_operations, count_parameters
from models.aurora.options import ExportOptions, TrainOptions
from models.aurora.preparation import CHANNELS, GRID, SIDE
from models.eight_bits import write_eight_bits
from models.runtime import Runtime
from models.training import read_checkpoint
from observatory.errors import ModelError

OUTPUTS = ("features", "probabilities", "cloud", "aurora")
_ALWAYS_WRITTEN = ("samples", "preset", "steps", "batch", "learning_rate", "seed")
_WITHOUT_EFFECT = ("threads", "device", "output", "resume", "install", "validate_every", "cache")
_PATHS = ("images", "labels", "weights", "teacher")
_SURE = 0.6  # likeliest class from which whole numbers must say what real ones do
_CALIBRATING = 500  # skies that set the range of whole numbers, and check them
_PARITY = 1e-4  # largest difference of an output; float32 sums in another order


def export(options: ExportOptions) -> Path:
    """Write ``aurora.onnx`` and ``manifest.toml``.

    The network is written in eight-bit whole numbers where it then says the same of skies that did not set
    their ranges, else in real ones; the manifest tells.

    Raises
    ------
    ModelError
        When the checkpoint is no checkpoint, or ONNX Runtime does not reproduce torch.
    """
    network, state = load_network(options.checkpoint)
    exported = Exported(network, **state["calibration"]).eval()
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / "aurora.onnx"
    with tempfile.TemporaryDirectory(prefix="heliowatch-") as name:
        plain = Path(name) / "plain.onnx"
        write_onnx(exported, plain)
        difference = parity(exported, plain)
        exporting.require_parity(difference, _PARITY, target.name)
        shutil.copyfile(plain, target)
        near = None if options.real else _in_eight_bits(plain, target, _calibrating(options, state))
    manifest = _manifest(options, target, network, state, difference, near)
    (options.output / "manifest.toml").write_text(manifest, encoding="utf-8")
    return target


def _in_eight_bits(plain: Path, target: Path, images: NDArray[np.float32]) -> Agreement | None:
    """Write the network in whole numbers; None, and real ones, where it would not say the same."""
    middle = len(images) * 3 // 5
    smaller = plain.with_name("eight_bits.onnx")
    write_eight_bits(plain, smaller, "image", images[:middle])
    near = agreement(plain, smaller, images[middle:], _SURE)
    if not near.is_close:
        return None
    shutil.copyfile(smaller, target)
    return near


def _calibrating(options: ExportOptions, state: dict[str, Any]) -> NDArray[np.float32]:
    """Some skies of the training cameras: those of the training, or new ones where they are gone."""
    training = state["options"]
    folder = Path(options.skies or training["cache"])
    shard = folder / "0000.npz"
    if shard.exists():
        skies = data.load(shard)
    elif options.skies is not None:
        raise ModelError(f"{shard} is missing: name a folder that training filled as --skies")
    else:
        skies = data.simulated_shard(
            0, _CALIBRATING, int(training["seed"]), int(training["size"]), is_testing=False
        )
    return data.decode(skies.squares[:_CALIBRATING])


def load_network(checkpoint: Path) -> tuple[SkyNetwork, dict[str, Any]]:
    """The averaged network of a checkpoint, in evaluation mode, and the checkpoint's other facts.

    Raises
    ------
    ModelError
        When the file is missing or no checkpoint of this family.
    """
    state = read_checkpoint(checkpoint)
    try:
        network = SkyNetwork(NetworkConfig.from_dict(state["config"]))
        network.load_state_dict(state["averaged"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"{checkpoint} is no checkpoint of aurora: {error}") from error
    return network.eval(), state


def write_onnx(exported: Exported, target: Path) -> None:
    """Write the network with a free batch axis."""
    exporting.write_onnx(exported, torch.zeros(2, len(CHANNELS), SIDE, SIDE), target, "image", OUTPUTS)


def parity(exported: Exported, target: Path, count: int = 4) -> float:
    """Largest difference of a probability between ONNX Runtime and torch over random squares; 0 to 1."""
    random = np.random.default_rng(3)
    coarse = random.uniform(-1, 1, size=(count, len(CHANNELS), SIDE // 8, SIDE // 8))
    given = np.kron(coarse, np.ones((1, 1, 8, 8))).astype(np.float32)
    with torch.no_grad():
        expected = [found.numpy() for found in exported(torch.from_numpy(given))]
    found = Runtime().session(target).run({"image": given}, OUTPUTS)
    pairs = zip(OUTPUTS, expected, strict=True)
    return max(float(np.abs(found[name] - one).max() / max(1.0, np.abs(one).max())) for name, one in pairs)


def _manifest(
    options: ExportOptions,
    target: Path,
    network: SkyNetwork,
    state: dict[str, Any],
    difference: float,
    near: Agreement | None,
) -> str:
    size, training = network.config.features, state["options"]
    classes = [str(name) for name in CLASSES]
    lines = [
        *exporting.heading("aurora", options.version, target),
        *exporting.tensor(
            "inputs", "image", ["n", len(CHANNELS), SIDE, SIDE], "-1 to 1", ", ".join(CHANNELS)
        ),
        *exporting.tensor("outputs", "features", ["n", size], "none", "what the last layer but one says"),
        *exporting.tensor(
            "outputs", "probabilities", ["n", len(classes)], "0 to 1, sum 1", ", ".join(classes)
        ),
        *exporting.tensor(
            "outputs", "cloud", ["n", GRID, GRID], "0 to 1", "cloud in each cell of the square"
        ),
        *exporting.tensor(
            "outputs", "aurora", ["n", GRID, GRID], "0 to 1", "aurora in each cell of the square"
        ),
        "[training]",
        f'command = "{_command(training)}"',
        f"seed = {training['seed']}",
        f"steps = {state['step']}",
        f"parity = {difference:.3g}",
        f"weights = {count_parameters(network)}",
        f"gmac = {count_operations(network) / 1e9:.3g}",
        "",
        *_numbers(near),
        *exporting.table("training.network", network.config.to_dict()),
        "[training.calibration]",
        *(f"{name} = {value:.6g}" for name, value in state["calibration"].items()),
        "",
        *exporting.table("parameters", {"side": SIDE, "grid": GRID, "classes": classes}),
    ]
    return "\n".join(lines)


def _numbers(near: Agreement | None) -> list[str]:
    """In which numbers the network is written, and how near it is to real ones."""
    if near is None:
        return []
    stated = {
        "bits": 8,
        "same_class": round(near.classes, 5),
        "same_class_of_all": round(near.all_classes, 5),
        "same_cells": round(near.cells, 5),
        "probability_apart": round(near.probability, 5),
    }
    return exporting.table("training.eight_bits", stated)


def _command(options: Mapping[str, Any]) -> str:
    return exporting.training_command(
        "aurora", options, TrainOptions, always=_ALWAYS_WRITTEN, idle=_WITHOUT_EFFECT, paths=_PATHS
    )
