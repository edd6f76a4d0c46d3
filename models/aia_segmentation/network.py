"""The networks: the published U-Net and a small one that ships (torch)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.aia_segmentation.preparation import EVENT_TYPES, PLANES, SIDE


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network.

    Attributes
    ----------
    side : int
        Side of the grid it is trained on.
    filters : tuple of int
        Channels of each level, from the finest to the bottom. ONNX Runtime computes them in
        blocks of 16 on a CPU with AVX-512: at the finest level, where the time goes, a number
        that is no multiple of 16 costs nearly as much as the next one that is (16: 9 ms, 24: 12,
        32: 14, 40: 25, 48: 27 on one core).
    fold : int
        Blocks of fold x fold cells become channels at the entrance and are unfolded at the
        exit: 2 quarters the operations of the finest level.
    entry_convolutions, exit_convolutions : int
        3x3 convolutions a level on the way down and on the way up.
    is_upsampling_learned : bool
        Transposed 2x2 convolutions as published; else nearest cells.
    dropout : float
        At the bottom.
    """

    side: int = SIDE
    filters: tuple[int, ...] = (24, 32, 48, 64, 96)
    fold: int = 2
    entry_convolutions: int = 2
    exit_convolutions: int = 1
    is_upsampling_learned: bool = False
    dropout: float = 0.2
    planes: int = len(PLANES)
    outputs: int = len(EVENT_TYPES)

    @classmethod
    def from_dict(cls, stated: dict[str, Any]) -> NetworkConfig:
        """From what a checkpoint holds."""
        return cls(**{**stated, "filters": tuple(stated["filters"])})

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint or a manifest."""
        return {**asdict(self), "filters": list(self.filters)}


PRESETS = {
    "tiny": NetworkConfig(side=64, filters=(8, 12, 16)),
    "small": NetworkConfig(),
    # Mackovjak et al. 2021: 32 filters, 4 levels and the bottom, dropout 0.5.
    "full": NetworkConfig(
        filters=(32, 64, 128, 256, 512),
        fold=1,
        exit_convolutions=2,
        is_upsampling_learned=True,
        dropout=0.5,
    ),
}


def _block(given: int, filters: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [
            nn.Conv2d(given, filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
        ]
        given = filters
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with batch norm; gives logits.

    Input (n, planes, side, side); output (n, outputs, side, side). The side is a multiple of
    `fold` times two to the number of steps down.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        filters = config.filters
        given = config.planes * config.fold**2
        self.down = nn.ModuleList()
        for width in filters:
            self.down.append(_block(given, width, config.entry_convolutions))
            given = width
        self.grow = nn.ModuleList()
        self.up = nn.ModuleList()
        for wide, narrow in zip(filters[:0:-1], filters[-2::-1], strict=True):
            step = nn.ConvTranspose2d if config.is_upsampling_learned else nn.Conv2d
            size, stride = (2, 2) if config.is_upsampling_learned else (1, 1)
            self.grow.append(step(wide, narrow, size, stride))
            self.up.append(_block(2 * narrow, narrow, config.exit_convolutions))
        self.dropout = nn.Dropout2d(config.dropout)
        size = 3 if config.fold > 1 else 1
        self.exit = nn.Conv2d(filters[0], config.outputs * config.fold**2, size, padding=size // 2)

    def forward(self, planes: Tensor) -> Tensor:
        """Logits of each event type."""
        value = functional.pixel_unshuffle(planes, self.config.fold) if self.config.fold > 1 else planes
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            value = block(value)
            if level < len(self.down) - 1:
                kept.append(value)
                value = functional.max_pool2d(value, 2)
        value = self.dropout(value)
        for grow, block in zip(self.grow, self.up, strict=True):
            value = grow(value)
            if not self.config.is_upsampling_learned:
                # 1x1 before enlarging: the same result for a quarter of the operations.
                value = functional.interpolate(value, scale_factor=2.0, mode="nearest")
            value = block(torch.cat([kept.pop(), value], dim=1))
        value = self.exit(value)
        return functional.pixel_shuffle(value, self.config.fold) if self.config.fold > 1 else value


class Exported(nn.Module):
    """What is exported: probabilities instead of logits, batch norm folded into convolutions."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = fold_batch_norm(network)

    def forward(self, planes: Tensor) -> Tensor:
        """Probability of each event type, 0 to 1."""
        return torch.sigmoid(self.network(planes))


def fold_batch_norm(network: UNet) -> UNet:
    """The same function for inference, without batch norm."""
    import copy

    folded = copy.deepcopy(network).eval()
    for block in (*folded.down, *folded.up):
        layers = list(block)
        fused: list[nn.Module] = []
        for first, second in zip(layers[::3], layers[1::3], strict=True):
            fused += [nn.utils.fusion.fuse_conv_bn_eval(first, second), nn.ReLU(inplace=True)]
        block._modules.clear()
        for number, layer in enumerate(fused):
            block.add_module(str(number), layer)
    return folded


def count_parameters(network: nn.Module) -> int:
    """Number of weights that are trained."""
    return sum(weight.numel() for weight in network.parameters())


def count_operations(config: NetworkConfig) -> float:
    """Operations (multiplications and additions) of one picture in 10^9."""
    total = 0.0

    def count(module: Any, _given: Any, made: Tensor) -> None:
        nonlocal total
        taps = module.kernel_size[0] * module.kernel_size[1]
        if isinstance(module, nn.ConvTranspose2d):
            taps /= module.stride[0] * module.stride[1]
        total += 2.0 * taps * module.in_channels * made.shape[1] * made.shape[2] * made.shape[3]

    network = UNet(config).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, config.planes, config.side, config.side))
    return total / 1e9
