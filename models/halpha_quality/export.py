"""From a checkpoint to what ships: ONNX checked against torch, calibration, manifest."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from models import exporting
from models.halpha_quality.calibrate import calibrate, calibration_frames
from models.halpha_quality.data import HEAD_CAUSES, LAST_TRAINING_DAY, READERS
from models.halpha_quality.facts import Thresholds
from models.halpha_quality.inference import HalphaQuality
from models.halpha_quality.mapping import ScoreMapping
from models.halpha_quality.network import LossWeights, NetworkConfig, QualityNetwork
from models.halpha_quality.options import ExportOptions, TrainOptions
from models.registry import read_manifest, sha256_of
from models.runtime import Runtime
from models.training import read_checkpoint
from observatory.settings import test_data_dir

_ALWAYS_WRITTEN = ("mode", "adversarial", "preset", "preparation", "simulated", "steps", "batch", "seed")
_WITHOUT_EFFECT = ("threads", "device", "output", "resume", "install", "validate_every")
_PATHS = ("good", "bad")
_PARITY = 2e-4  # largest difference from torch; float32 sums in another order


def export(options: ExportOptions) -> Path:
    """Write ``halpha_quality.onnx``, ``calibration.npz`` and ``manifest.toml``.

    Raises
    ------
    ModelError
        When the checkpoint cannot be read, or ONNX Runtime does not reproduce torch.
    """
    network, state = load_network(options.checkpoint)
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / "halpha_quality.onnx"
    write_onnx(network, target)
    difference = parity(network, target)
    exporting.require_parity(difference, _PARITY, target.name)
    parameters = _parameters(network.config, state["options"])
    # A first manifest with neutral score lets the real inference path run, which fits the real one.
    np.savez(options.output / "calibration.npz", badness=np.zeros(1))
    _write_manifest(options, target, parameters, state, difference)
    model = HalphaQuality(Runtime(), read_manifest(options.output / "manifest.toml"))
    real = real_training_frames(options.data)
    frames = list(calibration_frames(options.calibrate, 41, real))
    found = calibrate(model, frames, _score_kind(state["options"]))
    np.savez_compressed(options.output / "calibration.npz", badness=found.badness.astype(np.float32))
    parameters |= {
        "score": asdict(found.mapping),
        "cause_offsets": [round(o, 4) for o in found.cause_offsets],
    }
    _write_manifest(options, target, parameters, state, difference)
    return target


def load_network(checkpoint: Path) -> tuple[QualityNetwork, dict[str, Any]]:
    """The network of a checkpoint, ready to infer, and the whole checkpoint.

    Raises
    ------
    ModelError
        When it is missing or no checkpoint.
    """
    state = read_checkpoint(checkpoint)
    stated = dict(state["config"])
    loss = LossWeights(**stated.pop("loss"))
    network = QualityNetwork(NetworkConfig(**stated, loss=loss))
    network.load_state_dict(state["model"])
    return network.eval(), state


def write_onnx(network: QualityNetwork, target: Path) -> None:
    """Trace the network to ONNX with a free batch axis."""
    example = torch.zeros(1, 1, network.config.side, network.config.side)
    exporting.write_onnx(network, example, target, "image", QualityNetwork.OUTPUTS)
    graph = onnx.load(target)
    block_last_convolution(graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, target)


def block_last_convolution(model: onnx.ModelProto, block: int = 4) -> None:
    """Rewrite the convolution to one channel as a strided one to a block of pixels, exactly.

    ONNX Runtime computes sixteen channels at once on a CPU, also where only one is wanted. One pass over
    ``block`` by ``block`` outputs with the kernel shifted for each wastes less: a quarter of the network's time.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for place, node in enumerate(model.graph.node):
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        kernel = onnx.numpy_helper.to_array(weights[node.input[1]])
        if kernel.shape[0] != 1 or kernel.shape[2] < 5:
            continue
        size = kernel.shape[2]
        shifted = np.zeros((block * block, kernel.shape[1], size + block - 1, size + block - 1), kernel.dtype)
        for row in range(block):
            for column in range(block):
                shifted[row * block + column, :, row : row + size, column : column + size] = kernel[0]
        bias = np.repeat(onnx.numpy_helper.to_array(weights[node.input[2]]), block * block)
        weights[node.input[1]].CopyFrom(onnx.numpy_helper.from_array(shifted, node.input[1]))
        weights[node.input[2]].CopyFrom(onnx.numpy_helper.from_array(bias, node.input[2]))
        blocks = f"{node.output[0]}_blocks"
        placed = onnx.helper.make_node("DepthToSpace", [blocks], [node.output[0]], blocksize=block)
        node.output[0] = blocks
        for attribute in node.attribute:
            if attribute.name == "kernel_shape":
                attribute.ints[:] = shifted.shape[2:]
            elif attribute.name == "strides":
                attribute.ints[:] = [block, block]
        model.graph.node.insert(place + 1, placed)
        return


def parity(network: QualityNetwork, target: Path, count: int = 8) -> float:
    """Largest relative difference between ONNX Runtime and torch over random pictures."""
    random = np.random.default_rng(3)
    side = network.config.side
    smooth = random.normal(size=(count, 1, side // 8, side // 8)).astype(np.float32)
    image = np.clip(np.kron(smooth, np.ones((1, 1, 8, 8), np.float32)) * 0.3, -1, 1)
    image += random.normal(0, 0.05, image.shape).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image))
    given = Runtime().session(target).run({"image": image})
    worst = 0.0
    for name, wanted in zip(QualityNetwork.OUTPUTS, expected, strict=True):
        scale = max(1.0, float(wanted.abs().max()))
        difference = np.abs(given[name] - wanted.numpy())
        # A value that lies on the border between two levels may round either way and changes its
        # neighbourhood; the median over pictures of the largest difference forgives a few of them.
        worst = max(worst, float(np.median(difference.reshape(count, -1).max(axis=1))) / scale)
    return worst


def real_training_frames(data: Path | None) -> list[np.ndarray]:
    """Good BBSO frames of the training days, where the shared data is at hand."""
    root = data or test_data_dir()
    if root is None:
        return []
    files = sorted((root / "halpha" / "bbso").glob("bbso_halph_f[lr]_*.jpg"))
    return [READERS[".jpg"](path) for path in files if path.name.split("_")[3] <= LAST_TRAINING_DAY]


def _parameters(config: NetworkConfig, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "side": config.side,
        "preparation": options.get("preparation", "flattened"),
        "mode": options.get("mode", "classifier"),
        "causes": list(HEAD_CAUSES),
        "cause_offsets": [0.0] * len(HEAD_CAUSES),
        "score": asdict(ScoreMapping(kind=_score_kind(options))),
        "thresholds": {entry.name: getattr(Thresholds(), entry.name) for entry in fields(Thresholds)},
    }


def _score_kind(options: dict[str, Any]) -> str:
    if not options.get("inject", True):
        return "content" if options.get("mode") == "one_class" else "learned"
    return "both" if options.get("bad") not in (None, "None") else "physical"


def _write_manifest(
    options: ExportOptions, target: Path, parameters: dict[str, Any], state: dict[str, Any], difference: float
) -> None:
    parameters = parameters | {"calibration_sha256": sha256_of(options.output / "calibration.npz")}
    nested = {name: value for name, value in parameters.items() if isinstance(value, dict)}
    plain = {name: value for name, value in parameters.items() if name not in nested}
    lines = [
        *exporting.heading("halpha_quality", options.version, target),
        *_tensors(parameters["side"]),
        "[training]",
        f'command = "{_command(state["options"])}"',
        f"seed = {state['options']['seed']}",
        f"steps = {state['step']}",
        f"parity = {difference:.3g}",
        "",
        *exporting.table("training.network", _flat(state["config"])),
        *exporting.table("parameters", plain),
    ]
    for name, values in nested.items():
        lines += exporting.table(f"parameters.{name}", values)
    (options.output / "manifest.toml").write_text("\n".join(lines), encoding="utf-8")


def _tensors(side: int) -> list[str]:
    plane: list[str | int] = ["n", 1, side, side]
    outputs: list[tuple[str, list[str | int], str, str]] = [
        ("reconstruction", plane, "as the input", "what a good frame would be"),
        ("content_loss", ["n"], "1", "difference of classifier features (SIQA's quality value)"),
        ("p_degraded", ["n"], "0 to 1", "classifiers and head"),
        ("region", ["n", side, side], "0 to 1", "probability that a cell is spoilt"),
        ("cause_logits", ["n", len(HEAD_CAUSES)], "logit", "in the order of parameters.causes"),
        ("severity", ["n", 2], "log10", "rms transmission deviation; its part between R/12 and R/6"),
    ]
    lines = exporting.tensor("inputs", "image", plane, "companded contrast, -1 to 1", "the flattened disk")
    for output in outputs:
        lines += exporting.tensor("outputs", *output)
    return lines


def _command(options: dict[str, Any]) -> str:
    return exporting.training_command(
        "halpha_quality", options, TrainOptions, always=_ALWAYS_WRITTEN, idle=_WITHOUT_EFFECT, paths=_PATHS
    )


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    loss = dict(config.get("loss", asdict(LossWeights())))
    plain = {name: value for name, value in config.items() if not isinstance(value, dict)}
    return plain | {f"loss_{name}": value for name, value in loss.items()}
