"""From a checkpoint to what ships: ONNX checked against torch, and the manifest."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from models.aurora.data import CLASSES
from models.aurora.network import Exported, NetworkConfig, SkyNetwork, count_operations, count_parameters
from models.aurora.options import ExportOptions, TrainOptions
from models.aurora.preparation import CHANNELS, GRID, SIDE
from models.registry import sha256_of
from models.runtime import Runtime
from observatory.errors import ModelError

OPSET = 17
OUTPUTS = ("features", "probabilities", "cloud", "aurora")
_ALWAYS_WRITTEN = ("samples", "preset", "steps", "batch", "learning_rate", "seed")
_WITHOUT_EFFECT = ("threads", "device", "output", "resume", "install", "validate_every", "cache")
_PATHS = ("images", "labels", "weights")
_UNSURE = 0.6  # likeliest class below it: the sky is looked at again, turned; set on the validation's skies
_PARITY = 1e-4  # largest difference of an output; float32 sums in another order


def export(options: ExportOptions) -> Path:
    """Write ``aurora.onnx`` and ``manifest.toml``.

    Raises
    ------
    ModelError
        When the checkpoint is no checkpoint, or ONNX Runtime does not reproduce torch.
    """
    network, state = load_network(options.checkpoint)
    exported = Exported(network, **state["calibration"]).eval()
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / "aurora.onnx"
    write_onnx(exported, target)
    difference = parity(exported, target)
    if not difference < _PARITY:
        raise ModelError(f"{target} differs from torch by {difference:.2g}: export with another opset")
    manifest = _manifest(options, target, network, state, difference)
    (options.output / "manifest.toml").write_text(manifest, encoding="utf-8")
    return target


def load_network(checkpoint: Path) -> tuple[SkyNetwork, dict[str, Any]]:
    """The averaged network of a checkpoint, in evaluation mode, and the checkpoint's other facts.

    Raises
    ------
    ModelError
        When the file is missing or no checkpoint of this family.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network = SkyNetwork(NetworkConfig.from_dict(state["config"]))
        network.load_state_dict(state["averaged"])
    except FileNotFoundError as error:
        raise ModelError(f"{checkpoint} is missing: train first, or name another --checkpoint") from error
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{checkpoint} is no checkpoint of aurora: {error}") from error
    return network.eval(), state


def write_onnx(exported: Exported, target: Path) -> None:
    """Write the network with a free batch axis."""
    names = list(OUTPUTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own successor
        torch.onnx.export(
            exported,
            (torch.zeros(2, len(CHANNELS), SIDE, SIDE),),
            str(target),
            input_names=["image"],
            output_names=names,
            dynamic_axes={name: {0: "n"} for name in ("image", *names)},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(target))


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
    options: ExportOptions, target: Path, network: SkyNetwork, state: dict[str, Any], difference: float
) -> str:
    size, training = network.config.features, state["options"]
    classes = [str(name) for name in CLASSES]
    lines = [
        "# Written by `heliowatch models export aurora`; edit nothing by hand.",
        'name = "aurora"',
        f'version = "{options.version}"',
        f'file = "{target.name}"',
        f'sha256 = "{sha256_of(target)}"',
        f"opset = {OPSET}",
        'licence = "BSD-3-Clause"',
        "",
        *_tensor("inputs", "image", ["n", len(CHANNELS), SIDE, SIDE], "-1 to 1", ", ".join(CHANNELS)),
        *_tensor("outputs", "features", ["n", size], "none", "what the last layer but one says"),
        *_tensor("outputs", "probabilities", ["n", len(classes)], "0 to 1, sum 1", ", ".join(classes)),
        *_tensor("outputs", "cloud", ["n", GRID, GRID], "0 to 1", "cloud in each cell of the square"),
        *_tensor("outputs", "aurora", ["n", GRID, GRID], "0 to 1", "aurora in each cell of the square"),
        "[training]",
        f'command = "{_command(training)}"',
        f"seed = {training['seed']}",
        f"steps = {state['step']}",
        f"parity = {difference:.3g}",
        f"weights = {count_parameters(network)}",
        f"gmac = {count_operations(network) / 1e9:.3g}",
        "",
        "[training.network]",
        *(f"{name} = {_toml(value)}" for name, value in network.config.to_dict().items()),
        "",
        "[training.calibration]",
        *(f"{name} = {value:.6g}" for name, value in state["calibration"].items()),
        "",
        "[parameters]",
        f"side = {SIDE}",
        f"grid = {GRID}",
        f"classes = {_toml(classes)}",
        f"unsure = {_UNSURE}",
        "",
    ]
    return "\n".join(lines)


def _tensor(kind: str, name: str, shape: list[Any], unit: str, meaning: str) -> list[str]:
    stated = {"name": name, "shape": shape, "unit": unit, "meaning": meaning}
    return [f"[[{kind}]]", *(f"{key} = {_toml(value)}" for key, value in stated.items()), ""]


def _command(options: Mapping[str, Any]) -> str:
    """The command line that repeats a training: all that changes its result.

    Folders and files are machines' own, so they stand as their option's name in capitals.
    """
    words = ["heliowatch models train aurora"]
    for option in fields(TrainOptions):
        name, stated = option.name, options.get(option.name, option.default)
        is_plain = stated == option.default and name not in _ALWAYS_WRITTEN
        if name in _WITHOUT_EFFECT or is_plain or stated in (None, "None"):
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(stated, bool):
            words.append(flag)
            continue
        words.append(f"{flag} {name.upper() if name in _PATHS else stated}")
    return " ".join(words)


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
