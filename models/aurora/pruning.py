"""A smaller network begun from a larger one's own weights (torch).

Of every layer the channels that matter least are left out: those whose spread over some skies, times what the
layers behind make of them, is smallest (after Molchanov et al. 2017, arXiv:1611.06440, without gradients).
The weights come from the larger network's ONNX file, whole numbers made real again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from models.aurora.network import NetworkConfig, SkyNetwork
from models.aurora.preparation import CHANNELS
from models.registry import read_manifest
from observatory.errors import ModelError

_MAP_OUT = 32


@dataclass(frozen=True)
class _Layer:
    """A convolution, the norm behind it if it has one, and the groups of channels that it joins."""

    name: str
    norm: str | None
    entering: str
    leaving: str


def teacher_of(folder: Path) -> SkyNetwork:
    """The network of a folder with ``manifest.toml``, as torch has it, in evaluation mode.

    Raises
    ------
    ModelError
        When there is none, it is altered, or none of our own trunk.
    """
    description = read_manifest(folder / "manifest.toml")
    description.verify()
    stated = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    config = stated.get("training", {}).get("network", {})
    if description.name != "aurora" or config.get("backbone") != "small":
        raise ModelError(
            f"{folder} holds no aurora network with the project's own trunk: name another teacher"
        )
    network = SkyNetwork(NetworkConfig.from_dict(config))
    _fill(network, _numbers(description.path), description.path)
    return network.eval()


def pruned(teacher: SkyNetwork, config: NetworkConfig, images: Tensor) -> SkyNetwork:
    """A network of another shape, no wider anywhere, begun from the teacher's weights.

    Parameters
    ----------
    images : Tensor, shape (n, 7, 128, 128)
        Skies that show which channels matter; a hundred or two.

    Raises
    ------
    ModelError
        When the shape asked for is no smaller one of the same kind.
    """
    require_smaller(config, teacher.config)
    worth, wanted = _worth(teacher, images), _widths(config)
    kept = {"planes": torch.arange(len(CHANNELS)), "out": torch.arange(_MAP_OUT)}
    for group, values in worth.items():
        kept[group] = torch.topk(values, wanted[group]).indices.sort().values
    network = SkyNetwork(config)
    there, here = dict(teacher.named_modules()), dict(network.named_modules())
    with torch.no_grad():
        for layer in _layers(config):
            _take(here, there, layer, kept)
        coarse = kept["sixteenth"]
        both = torch.cat([coarse, coarse + teacher.config.widths[3]])
        network.embed.weight.copy_(teacher.embed.weight[:, both])
        network.embed.bias.copy_(teacher.embed.bias)
        network.head.load_state_dict(teacher.head.state_dict())
        network.map_context.weight.copy_(teacher.map_context.weight[kept["joined"]])
        network.map_context.bias.copy_(teacher.map_context.bias[kept["joined"]])
        network.map_out[1].load_state_dict(teacher.map_out[1].state_dict())
        _normalise(network, images)
    return network


def require_smaller(config: NetworkConfig, larger: NetworkConfig) -> None:
    """Refuse a shape that cannot be begun from another.

    Raises
    ------
    ModelError
        When it is of another kind, or wider anywhere.
    """
    if (
        config.backbone != larger.backbone
        or config.blocks != larger.blocks
        or config.features != larger.features
    ):
        raise ModelError(
            "a network begun from another has its kind, as many blocks and features: name another preset"
        )
    if bool(config.map_widths) != bool(larger.map_widths):
        raise ModelError("a network begun from another has the maps' own branch where that has it")
    there = _widths(larger)
    for group, width in _widths(config).items():
        if width > there[group]:
            raise ModelError(
                f"{width} channels cannot be begun from a network of {there[group]}: name a smaller preset"
            )


def _layers(config: NetworkConfig) -> Iterator[_Layer]:
    """All convolutions but the last of the maps."""
    yield _Layer("trunk.entry.0.0", "trunk.entry.0.1", "planes", "half")
    yield _Layer("trunk.entry.1.0", "trunk.entry.1.1", "half", "quarter")
    before = "quarter"
    for stage, group, count in (
        ("fine", "eighth", config.blocks[0]),
        ("coarse", "sixteenth", config.blocks[1]),
    ):
        yield _Layer(f"trunk.{stage}.0.0", f"trunk.{stage}.0.1", before, group)
        for number in range(1, count + 1):
            block, within = f"trunk.{stage}.{number}", f"{stage}.{number}"
            yield _Layer(f"{block}.first.0", f"{block}.first.1", group, within)
            yield _Layer(f"{block}.second", f"{block}.norm", within, group)
        before = group
    yield _Layer("map_fine", None, "eighth", "joined")
    yield _Layer("map_coarse", None, "sixteenth", "joined")
    if config.map_widths:
        yield _Layer("map_own.0.0", "map_own.0.1", "half", "finest")
        yield _Layer("map_own.1.0", "map_own.1.1", "finest", "finer")
        yield _Layer("map_own.2", None, "finer", "joined")
        yield _Layer("map_around.0", "map_around.1", "joined", "joined")
    yield _Layer("map_out.0.0", "map_out.0.1", "joined", "out")


def _widths(config: NetworkConfig) -> dict[str, int]:
    """Channels of every group that may be narrowed."""
    half, quarter, eighth, sixteenth = config.widths
    found = {"half": half, "quarter": quarter, "eighth": eighth, "sixteenth": sixteenth}
    for stage, count, width in zip(("fine", "coarse"), config.blocks, (eighth, sixteenth), strict=True):
        found |= {f"{stage}.{number}": width for number in range(1, count + 1)}
    if config.map_widths:
        found |= dict(zip(("finest", "finer"), config.map_widths, strict=True))
    return found | {"joined": config.map_channels}


def _worth(teacher: SkyNetwork, images: Tensor) -> dict[str, Tensor]:
    """How much each channel of each group matters to the layers that it enters."""
    entered: dict[str, Tensor] = {}

    def note(name: str) -> None:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            across = tuple(axis for axis in range(given[0].ndim) if axis != 1)
            entered[name] = given[0].std(dim=across)

        hooks.append(there[name].register_forward_pre_hook(hook))

    there = dict(teacher.named_modules())
    hooks: list[RemovableHandle] = []
    layers = [layer for layer in _layers(teacher.config) if layer.entering != "planes"]
    for name in ("embed", *(layer.name for layer in layers)):
        note(name)
    with torch.no_grad():
        teacher(images)
    for hook in hooks:
        hook.remove()
    worth: dict[str, Tensor] = {}
    for layer in layers:
        passed = entered[layer.name] * there[layer.name].weight.detach().pow(2).sum(dim=(0, 2, 3)).sqrt()
        worth[layer.entering] = worth.get(layer.entering, torch.zeros(())) + passed
    pooled = entered["embed"] * teacher.embed.weight.detach().pow(2).sum(dim=0).sqrt()
    worth["sixteenth"] = worth["sixteenth"] + pooled.view(2, -1).sum(dim=0)  # means, and then maxima
    return worth


def _take(
    here: Mapping[str, nn.Module], there: Mapping[str, nn.Module], layer: _Layer, kept: Mapping[str, Tensor]
) -> None:
    leaving, entering = kept[layer.leaving], kept[layer.entering]
    taken, given = here[layer.name], there[layer.name]
    taken.weight.copy_(given.weight[leaving][:, entering])
    if layer.norm is None:
        taken.bias.copy_(given.bias[leaving])
        return
    for name, values in there[layer.norm].state_dict().items():
        if values.ndim:
            here[layer.norm].state_dict()[name].copy_(values[leaving])


def _normalise(network: SkyNetwork, images: Tensor) -> None:
    """Give the norms the means and spreads that they see, and factors that undo these: nothing else changes."""
    seen: dict[str, Tensor] = {}
    modules, hooks = dict(network.named_modules()), []
    norms = {layer.name: layer.norm for layer in _layers(network.config) if layer.norm is not None}
    for name in norms:

        def hook(_: nn.Module, __: object, found: Tensor, name: str = name) -> None:
            seen[name] = found

        hooks.append(modules[name].register_forward_hook(hook))
    network.eval()
    network(images)
    for handle in hooks:
        handle.remove()
    for name, norm in norms.items():
        batch_norm, found = modules[norm], seen[name]
        factor = batch_norm.weight / (batch_norm.running_var + batch_norm.eps).sqrt()
        offset = batch_norm.bias - factor * batch_norm.running_mean
        mean, spread = found.mean(dim=(0, 2, 3)), found.var(dim=(0, 2, 3))
        batch_norm.running_mean.copy_(mean)
        batch_norm.running_var.copy_(spread)
        batch_norm.weight.copy_(factor * (spread + batch_norm.eps).sqrt())
        batch_norm.bias.copy_(offset + factor * mean)


def _numbers(path: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weights and biases of an ONNX file by the name of their layer, real whatever they are stored as."""
    graph = onnx.load(path).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node}

    def real(name: str) -> NDArray[np.float32]:
        if name in stored:
            return stored[name].astype(np.float32)
        node = made[name]
        if node.op_type != "DequantizeLinear":
            raise ModelError(f"{path}: the weights {name} are made by {node.op_type}, not stored")
        numbers, scale, zero = (stored[each].astype(np.float32) for each in node.input)
        shape = (-1, *[1] * (numbers.ndim - 1)) if scale.size > 1 else ()
        return (numbers - zero.reshape(shape)) * scale.reshape(shape)

    found = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        weight, bias = real(node.input[1]), real(node.input[2])
        is_transposed = any(one.name == "transB" and one.i for one in node.attribute)
        found[_module(node.name)] = (weight if node.op_type == "Conv" or is_transposed else weight.T, bias)
    return found


def _module(name: str) -> str:
    """Name of a layer in torch of the exporter's ``/network/trunk/entry.0/entry.0.0/Conv``."""
    path: list[str] = []
    for part in name.strip("/").split("/")[1:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path)


def _fill(
    network: SkyNetwork, numbers: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]], path: Path
) -> None:
    """Put an ONNX file's numbers in, whose norms are within its convolutions already."""
    modules = dict(network.named_modules())
    weighty = {name for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)}
    if weighty != set(numbers):
        raise ModelError(f"{path} has other layers than its manifest tells: {sorted(weighty ^ set(numbers))}")
    norms = {layer.name: layer.norm for layer in _layers(network.config)}
    with torch.no_grad():
        for name, (weight, bias) in numbers.items():
            module = modules[name]
            module.weight.copy_(torch.from_numpy(weight.copy()))
            norm = norms.get(name)
            if norm is None:
                module.bias.copy_(torch.from_numpy(bias.copy()))
                continue
            batch_norm = modules[norm]
            batch_norm.running_mean.zero_()
            batch_norm.running_var.fill_(1.0 - batch_norm.eps)
            batch_norm.weight.fill_(1.0)
            batch_norm.bias.copy_(torch.from_numpy(bias.copy()))
