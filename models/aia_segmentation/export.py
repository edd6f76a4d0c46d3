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

from models.aia_segmentation.network import Exported, NetworkConfig, UNet, count_operations, count_parameters
from models.aia_segmentation.options import ExportOptions, TrainOptions
from models.aia_segmentation.preparation import EVENT_TYPES, HALF_WIDTH_RADII, PLANES
from models.registry import sha256_of
from models.runtime import Runtime
from observatory.analysis import EventType, Threshold
from observatory.errors import ModelError

OPSET = 17
_ALWAYS_WRITTEN = ("event_type", "preset", "simulated", "steps", "batch", "learning_rate", "seed")
_WITHOUT_EFFECT = ("threads", "device", "output", "resume", "install")
_PATHS = ("data", "images", "masks", "annotations", "boxes", "teacher")
_PARITY = 1e-4  # largest difference of a probability; float32 sums in another order


def export(options: ExportOptions) -> Path:
    """Write ``aia_segmentation.onnx`` and ``manifest.toml``.

    Raises
    ------
    ModelError
        When ONNX Runtime does not reproduce torch, or the thresholds are not in order.
    """
    levels = {
        EventType.CORONAL_HOLE: thresholds(options.thresholds_ch),
        EventType.ACTIVE_REGION: thresholds(options.thresholds_ar),
    }
    network, state = load_network(options.checkpoint)
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / "aia_segmentation.onnx"
    write_onnx(network, target)
    difference = parity(network, target)
    if not difference < _PARITY:
        raise ModelError(f"{target} differs from torch by {difference:.2g}: export with another opset")
    manifest = _manifest(options, target, network, state, difference, levels)
    (options.output / "manifest.toml").write_text(manifest, encoding="utf-8")
    return target


def thresholds(stated: str) -> dict[Threshold, float]:
    """From ``conservative,medium,liberal``.

    Raises
    ------
    ModelError
        When they are not three falling numbers between 0 and 1.
    """
    try:
        found = [float(word) for word in stated.split(",")]
    except ValueError:
        found = []
    if len(found) != len(Threshold) or not 1 > found[0] >= found[1] >= found[2] > 0:
        raise ModelError(
            f"thresholds {stated!r}: give three falling numbers between 0 and 1, such as 0.7,0.5,0.3"
        )
    return dict(zip(Threshold, found, strict=True))


def load_network(checkpoint: Path) -> tuple[UNet, dict[str, Any]]:
    """The averaged network of a checkpoint, ready to infer, and the whole checkpoint.

    Raises
    ------
    ModelError
        When it is missing or no checkpoint.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"{checkpoint} is no checkpoint that can be read ({error}): give the checkpoint.pt of a training"
        ) from error
    network = UNet(NetworkConfig.from_dict(state["config"]))
    network.load_state_dict(state["averaged"])
    return network.eval(), state


def write_onnx(network: UNet, target: Path) -> None:
    """Trace the network, batch norm folded, to ONNX with a free batch axis."""
    config = network.config
    example = torch.zeros(1, config.planes, config.side, config.side)
    with warnings.catch_warnings():
        # torch prefers its newer exporter, which needs onnxscript and writes the same graph larger.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Exported(network).eval(),
            (example,),
            str(target),
            input_names=["planes"],
            output_names=["probability"],
            dynamic_axes={"planes": {0: "n"}, "probability": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(target))


def parity(network: UNet, target: Path, count: int = 4) -> float:
    """Largest difference between ONNX Runtime and torch over random pictures; 0 to 1."""
    config = network.config
    random = np.random.default_rng(3)
    coarse = random.normal(size=(count, config.planes, config.side // 8, config.side // 8))
    given = np.kron(coarse, np.ones((1, 1, 8, 8))).astype(np.float32)
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(given))).numpy()
    found = Runtime().session(target).run({"planes": given})["probability"]
    return float(np.abs(found - expected).max())


def _manifest(
    options: ExportOptions,
    target: Path,
    network: UNet,
    state: dict[str, Any],
    difference: float,
    levels: Mapping[EventType, Mapping[Threshold, float]],
) -> str:
    side, training = network.config.side, state["options"]
    learned = [kind for kind in EVENT_TYPES if training["event_type"] in ("both", str(kind))]
    lines = [
        "# Written by `heliowatch models export aia_segmentation`; edit nothing by hand.",
        'name = "aia_segmentation"',
        f'version = "{options.version}"',
        f'file = "{target.name}"',
        f'sha256 = "{sha256_of(target)}"',
        f"opset = {OPSET}",
        'licence = "BSD-3-Clause"',
        "",
        "[[inputs]]",
        'name = "planes"',
        f"shape = {_toml(['n', len(PLANES), side, side])}",
        'unit = "contrasts of the quiet Sun, -1.5 to 3; cosine, 0 to 1; 0 or 1"',
        'meaning = "brightness against the median of the disk, mu, whether it is 171"',
        "",
        "[[outputs]]",
        'name = "probability"',
        f"shape = {_toml(['n', len(EVENT_TYPES), side, side])}",
        'unit = "0 to 1"',
        f'meaning = "{" and ".join(EVENT_TYPES)}, in this order"',
        "",
        "[training]",
        f'command = "{_command(training)}"',
        f"seed = {training['seed']}",
        f"steps = {state['step']}",
        f"parity = {difference:.3g}",
        f"weights = {count_parameters(network)}",
        f"gflop = {count_operations(network.config):.3g}",
        "",
        *_pictures(state.get("pictures")),
        "[training.network]",
        *(f"{name} = {_toml(value)}" for name, value in network.config.to_dict().items()),
        "",
        "[parameters]",
        f"side = {side}",
        f"half_width_radii = {HALF_WIDTH_RADII}",
        f"event_types = {_toml([str(kind) for kind in learned])}",
        "",
    ]
    for kind in learned:
        lines += [f"[parameters.thresholds.{kind}]", *(f"{n} = {v}" for n, v in levels[kind].items()), ""]
    if state.get("border") is not None:
        lines += ["[parameters.border]", *(f"{name} = {v}" for name, v in state["border"].items()), ""]
    return "\n".join(lines)


def _pictures(named: Mapping[str, list[str]] | None) -> list[str]:
    """What trained the network, so that `evaluate` can tell; nothing for checkpoints that do not know."""
    if named is None:
        return []
    lines = ["[training.pictures]"]
    for source, names in named.items():
        lines += [f"{source} = [", *(f"    {_toml(name)}," for name in names), "]"]
    return [*lines, ""]


def _command(options: Mapping[str, Any]) -> str:
    """The command line that repeats a training: all that changes its result.

    Folders and files are machines' own, so they stand as their option's name in capitals.
    """
    words = ["heliowatch models train aia_segmentation"]
    for option in fields(TrainOptions):
        name, stated = option.name, options.get(option.name, option.default)
        flag = f"--{name.replace('_', '-')}"
        is_plain = stated == option.default and name not in _ALWAYS_WRITTEN
        is_idle = name == "validate_every" and not options.get("patience")
        if name in _WITHOUT_EFFECT or is_plain or is_idle or stated in (None, "None"):
            continue
        if isinstance(stated, bool):
            words.append(flag if stated else f"--no-{name.replace('_', '-')}")
        else:
            words.append(f"{flag} {name.upper() if name in _PATHS else stated}")
    return " ".join(words)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
