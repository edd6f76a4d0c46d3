"""The networks: both published ones and an efficient one that ships (torch).

All take (n, 1, h, w) and give (n, 1, 2 h, 2 w) in the same unit; output pixels (2 i, 2 j) to
(2 i + 1, 2 j + 1) cover input pixel (i, j).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from observatory.errors import UnusableInputError

MODELS = ("efficient", "keepsize", "encdec")
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": nn.LeakyReLU,  # like relu part of the convolution in ONNX Runtime; the others cost a pass
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}
_KERAS_EPSILON = 1e-3  # of batch norm in the published network


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network.

    Attributes
    ----------
    model : str
        ``keepsize`` or ``encdec`` (Díaz Baso & Asensio Ramos 2018), or ``efficient``.
    channels, depth : int
        Width, and number of residual blocks (published) or of 3×3 convolutions (efficient).
    activation : str
        Of `ACTIVATIONS`.
    linear : int
        Side of the linear filter whose result the efficient network mends; 1 repeats pixels.
    is_linear_trained : bool
        Let the training change the linear filter.
    first : int
        Side of the efficient network's first convolution.
    is_residual : bool
        Add to each pair of the efficient network's convolutions what went in.
    centre, scale : float
        The network computes with (image - centre) / scale.
    """

    model: str = "efficient"
    channels: int = 16
    depth: int = 4
    activation: str = "relu"
    linear: int = 13
    is_linear_trained: bool = False
    first: int = 5
    is_residual: bool = False
    centre: float = 1.0
    scale: float = 0.1

    @classmethod
    def from_dict(cls, stated: dict[str, Any]) -> NetworkConfig:
        """From what a checkpoint holds."""
        return cls(**stated)

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint or a manifest."""
        return asdict(self)


#: Published: 64 filters, 5 residual blocks (445 249 weights).
DEFAULTS = {
    "efficient": NetworkConfig(),
    "keepsize": NetworkConfig("keepsize", channels=64, depth=5),
    "encdec": NetworkConfig("encdec", channels=64, depth=5),
}


class Enhancer(nn.Module):
    """Any of the networks, with the scaling of its input and output.

    Raises
    ------
    UnusableInputError
        When the configuration names no known network or activation, or sides that are even.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        if config.model not in MODELS or config.activation not in ACTIVATIONS:
            raise UnusableInputError(
                f"model is one of {', '.join(MODELS)}; activation is one of {', '.join(ACTIVATIONS)}"
            )
        if config.linear % 2 == 0 or config.first % 2 == 0 or min(config.depth, config.channels) < 1:
            raise UnusableInputError("filters have odd sides; depth and channels are at least 1")
        self.config = config
        kinds: dict[str, type[Any]] = {"efficient": Efficient, "keepsize": Keepsize, "encdec": Encdec}
        self.inner: Efficient | Keepsize | Encdec = kinds[config.model](config)

    @property
    def halo_px(self) -> int:
        """Input pixels, each side, that reach an output pixel."""
        return self.inner.halo_px

    def forward(self, image: Tensor) -> Tensor:
        """The picture at twice the sampling."""
        value = (image - self.config.centre) / self.config.scale
        return self.config.centre + self.config.scale * self.inner(value)


class Efficient(nn.Module):
    """A linear filter, and a few convolutions at the input's own sampling that mend its result.

    The picture is mirrored once at its edges; all convolutions then go without padding. What the
    convolutions say to a blank picture is taken off, and each of the filter's four phases has the
    sum 1: a blank picture stays what it is.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = Polyphase(config.linear, is_trained=config.is_linear_trained)
        activation = ACTIVATIONS[config.activation]
        self.entry = nn.Sequential(nn.Conv2d(1, config.channels, config.first), activation())
        self.body = nn.ModuleList(
            nn.Sequential(nn.Conv2d(config.channels, config.channels, 3), activation())
            for _ in range(config.depth)
        )
        self.exit = nn.Conv2d(config.channels, 4, 3)
        for layer in (self.entry, *self.body):
            nn.init.kaiming_normal_(layer[0].weight, a=0.1)
            nn.init.zeros_(layer[0].bias)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)
        self.exit.bias.requires_grad_(False)  # the blank's answer is taken off: it could do nothing

    @property
    def reach_px(self) -> int:
        """Of the convolutions."""
        return self.config.first // 2 + self.config.depth + 1

    @property
    def halo_px(self) -> int:
        """Of convolutions and linear filter."""
        return max(self.reach_px, self.config.linear // 2)

    def forward(self, value: Tensor) -> Tensor:
        """Both parts' sum, its phases laid side by side."""
        halo = self.halo_px
        padded = functional.pad(value, [halo] * 4, mode="reflect")
        guess = self.linear(_cropped(padded, halo - self.config.linear // 2))
        return functional.pixel_shuffle(guess + self.mended(_cropped(padded, halo - self.reach_px)), 2)

    def mended(self, value: Tensor) -> Tensor:
        """What is added to the linear result, (n, 4, h, w), of a picture with its halo."""
        side = 2 * self.reach_px + 1
        blank = value.new_zeros((1, 1, side, side))
        return self._convolved(value) - self._convolved(blank)

    def _convolved(self, value: Tensor) -> Tensor:
        value = before = self.entry(value)
        for number, layer in enumerate(self.body):
            value = layer(value)
            if self.config.is_residual and number % 2:
                value = before = value + _cropped(before, 2)
        return self.exit(value)


def _cropped(value: Tensor, by: int) -> Tensor:
    return value[..., by:-by, by:-by] if by else value


class Polyphase(nn.Module):
    """A linear filter for each of the four output pixels of an input pixel, each of sum 1."""

    def __init__(self, side: int, *, is_trained: bool) -> None:
        super().__init__()
        weight = torch.zeros(4, 1, side, side)
        weight[:, :, side // 2, side // 2] = 1
        self.weight = nn.Parameter(weight, requires_grad=is_trained)

    def set(self, filters: NDArray[np.floating]) -> None:
        """Take over fitted filters (4, side, side)."""
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(np.asarray(filters, np.float32))[:, None])

    def forward(self, value: Tensor) -> Tensor:
        """(n, 4, h, w) of a picture with a halo of half the side."""
        off = (1 - self.weight.sum(dim=(2, 3), keepdim=True)) / self.weight[0].numel()
        return functional.conv2d(value, self.weight + off)


class Keepsize(nn.Module):
    """As published: residual blocks at the input's sampling, nearest enlarging, two convolutions."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.entry = _convolution(1, width)
        self.blocks = nn.ModuleList(Residual(width, config.activation) for _ in range(config.depth))
        self.middle, self.middle_norm = _convolution(width, width), _norm(width)
        self.grown = _convolution(width, width)
        self.exit = nn.Conv2d(width, 1, 1)
        self.entry_activation, self.grown_activation = (ACTIVATIONS[config.activation]() for _ in range(2))

    @property
    def halo_px(self) -> int:
        """One for each 3×3; the last one, at the finer sampling, half of one."""
        return 2 * self.config.depth + 3

    def forward(self, value: Tensor) -> Tensor:
        """(n, 1, 2 h, 2 w)."""
        value = first = self.entry_activation(self.entry(value))
        for block in self.blocks:
            value = block(value)
        value = self.middle_norm(self.middle(value)) + first
        value = functional.interpolate(value, scale_factor=2.0, mode="nearest")
        return self.exit(self.grown_activation(self.grown(value)))


class Encdec(nn.Module):
    """As published: residual blocks of twice the width at half the sampling, nearest enlarging twice.

    Every 3×3 has its batch norm, and nothing goes past the blocks. Windows of a picture must begin at
    even pixels to give what the whole picture gives.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.entry, self.entry_norm = _convolution(1, width), _norm(width)
        self.down, self.down_norm = _convolution(width, 2 * width, stride=2), _norm(2 * width)
        self.blocks = nn.ModuleList(Residual(2 * width, config.activation) for _ in range(config.depth))
        self.up, self.up_norm = _convolution(2 * width, width), _norm(width)
        self.grown, self.grown_norm = _convolution(width, width), _norm(width)
        self.exit = nn.Conv2d(width, 1, 1)
        kind = ACTIVATIONS[config.activation]
        self.entry_activation, self.down_activation, self.up_activation, self.grown_activation = (
            kind() for _ in range(4)
        )

    @property
    def halo_px(self) -> int:
        """Two for each 3×3 at half the sampling, and what whole blocks of two round up."""
        return 4 * self.config.depth + 6

    def forward(self, value: Tensor) -> Tensor:
        """(n, 1, 2 h, 2 w)."""
        height, width = value.shape[2:]
        value = self.entry_activation(self.entry_norm(self.entry(value)))
        value = self.down_activation(self.down_norm(self.down(value)))
        for block in self.blocks:
            value = block(value)
        value = functional.interpolate(value, scale_factor=2.0, mode="nearest")[..., :height, :width]
        value = self.up_activation(self.up_norm(self.up(value)))
        value = functional.interpolate(value, scale_factor=2.0, mode="nearest")
        return self.exit(self.grown_activation(self.grown_norm(self.grown(value))))


class Residual(nn.Module):
    """Two 3×3 convolutions with batch norm, added to what went in."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.first, self.first_norm = _convolution(width, width), _norm(width)
        self.second, self.second_norm = _convolution(width, width), _norm(width)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, value: Tensor) -> Tensor:
        """The same shape."""
        inner = self.activation(self.first_norm(self.first(value)))
        return value + self.second_norm(self.second(inner))


def _convolution(given: int, made: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(given, made, 3, stride=stride, padding=1, padding_mode="reflect")
    nn.init.kaiming_normal_(layer.weight)  # He et al. 2015, as published
    nn.init.zeros_(layer.bias)
    return layer


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_KERAS_EPSILON, momentum=0.05)


def folded(network: Enhancer) -> Enhancer:
    """The same function for inference: batch norm and the blank's answer as part of convolutions."""
    result = copy.deepcopy(network).eval()
    for module in result.modules():
        for name in ("first", "second", "middle", "entry", "down", "up", "grown"):
            norm = getattr(module, f"{name}_norm", None)
            if isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, nn.utils.fusion.fuse_conv_bn_eval(getattr(module, name), norm))
                setattr(module, f"{name}_norm", nn.Identity())
    if isinstance(result.inner, Efficient):
        result.inner = _FoldedEfficient(result.inner)
    return result


class _FoldedEfficient(Efficient):
    """What is exported: constants computed once."""

    def __init__(self, inner: Efficient) -> None:
        super().__init__(inner.config)
        self.load_state_dict(inner.state_dict())
        with torch.no_grad():
            weight = self.linear.weight
            off = (1 - weight.sum(dim=(2, 3), keepdim=True)) / weight[0].numel()
            fixed = nn.Conv2d(1, 4, self.config.linear, bias=False)
            fixed.weight.copy_(weight + off)
            side = 2 * self.reach_px + 1
            self.exit.bias.sub_(self._convolved(torch.zeros(1, 1, side, side)).flatten())
        self.linear = fixed

    def mended(self, value: Tensor) -> Tensor:
        """The blank's answer is part of the last convolution's bias."""
        return self._convolved(value)


def count_parameters(network: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def operations_per_pixel(config: NetworkConfig) -> int:
    """Multiply-adds of convolutions for each input pixel, edges not counted.

    `keepsize` as published takes 553 792.
    """
    return round(sum(_operations(Enhancer(replace(config, scale=1.0)))))


def _operations(network: Enhancer, side: int = 64) -> Iterator[float]:
    made: list[tuple[nn.Module, int]] = []

    def note(module: Any, _given: Any, result: Tensor) -> None:
        made.append((module, result.shape[2] * result.shape[3]))

    for module in network.modules():
        if isinstance(module, nn.Conv2d | Polyphase):
            module.register_forward_hook(note)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 1, side, side))
    for module, area in made:
        if area < side**2 / 8:
            continue  # the blank, a constant once exported
        # Results are of the input's sampling, or of 1/2 or twice it; the rest comes from the edges.
        finer = 4.0 ** round(math.log(area / side**2, 4))
        yield finer * sum(p.numel() for p in module.parameters() if p.dim() == 4)
