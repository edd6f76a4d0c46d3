"""From a checkpoint to what ships: ONNX checked against torch, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import exporting
from models.aia_segmentation.network import Exported, NetworkConfig, UNet, count_operations, count_parameters
from models.aia_segmentation.options import ExportOptions, TrainOptions
from models.aia_segmentation.preparation import EVENT_TYPES, HALF_WIDTH_RADII, PLANES
from models.runtime import Runtime
from models.training import read_checkpoint
from observatory.analysis import EventType, Threshold
from observatory.errors import ModelError

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
    exporting.require_parity(difference, _PARITY, target.name)
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
    state = read_checkpoint(checkpoint)
    network = UNet(NetworkConfig.from_dict(state["config"]))
    network.load_state_dict(state["averaged"])
    return network.eval(), state


def write_onnx(network: UNet, target: Path) -> None:
    """Trace the network, batch norm folded, to ONNX with a free batch axis."""
    config = network.config
    example = torch.zeros(1, config.planes, config.side, config.side)
    exporting.write_onnx(Exported(network).eval(), example, target, "planes", ["probability"])


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
    inputs: list[str | int] = ["n", len(PLANES), side, side]
    outputs: list[str | int] = ["n", len(EVENT_TYPES), side, side]
    given = "brightness against the median of the disk, mu, whether it is 171"
    unit = "contrasts of the quiet Sun, -1.5 to 3; cosine, 0 to 1; 0 or 1"
    kinds = f"{' and '.join(EVENT_TYPES)}, in this order"
    lines = [
        *exporting.heading("aia_segmentation", options.version, target),
        *exporting.tensor("inputs", "planes", inputs, unit, given),
        *exporting.tensor("outputs", "probability", outputs, "0 to 1", kinds),
        "[training]",
        f'command = "{_command(training)}"',
        f"seed = {training['seed']}",
        f"steps = {state['step']}",
        f"parity = {difference:.3g}",
        f"weights = {count_parameters(network)}",
        f"gflop = {count_operations(network.config):.3g}",
        "",
        *_pictures(state.get("pictures")),
        *exporting.table("training.network", network.config.to_dict()),
        "[parameters]",
        f"side = {side}",
        f"half_width_radii = {HALF_WIDTH_RADII}",
        f"event_types = {exporting.toml([str(kind) for kind in learned])}",
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
        lines += [f"{source} = [", *(f"    {exporting.toml(name)}," for name in names), "]"]
    return [*lines, ""]


def _command(options: Mapping[str, Any]) -> str:
    idle = _WITHOUT_EFFECT if options.get("patience") else (*_WITHOUT_EFFECT, "validate_every")
    return exporting.training_command(
        "aia_segmentation", options, TrainOptions, always=_ALWAYS_WRITTEN, idle=idle, paths=_PATHS
    )
