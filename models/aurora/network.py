"""The network: a trunk over the square, features, six classes, and maps of cloud and aurora (torch)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.aurora import backbones
from models.aurora.data import CLASSES, MAPS
from models.aurora.preparation import CHANNELS, GRID, SIDE

_COARSE_SIDE = 8


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network.

    Attributes
    ----------
    backbone : str
        ``small``: our own; else one of `backbones.BACKBONES`, which sees the square as a colour picture.
    widths : tuple of int
        Channels of the small trunk at 1/2, 1/4, 1/8 and 1/16 of the square.
    blocks : tuple of int
        Residual blocks at 1/8 and 1/16.
    features : int
    dropout : float
        Of the features, in training.
    map_widths : tuple of int
        Channels, at 1/4 and 1/8 of the square, of the branch that the maps have for themselves beside the small
        trunk; empty for none.
    map_channels : int
        In which the levels and the features are joined for the maps.
    """

    backbone: str = "small"
    widths: tuple[int, ...] = (24, 40, 64, 104)
    blocks: tuple[int, ...] = (1, 1)
    features: int = 128
    dropout: float = 0.2
    map_widths: tuple[int, ...] = ()
    map_channels: int = 48

    def to_dict(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, stated: dict[str, Any]) -> NetworkConfig:
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in stated.items()}
        return cls(**values)


PRESETS = {
    "tiny": NetworkConfig(widths=(8, 12, 16, 24), features=32),
    "small": NetworkConfig(widths=(16, 32, 64, 96), map_widths=(24, 32), map_channels=32),
    "medium": NetworkConfig(map_widths=(32, 48)),
    "full": NetworkConfig(widths=(48, 96, 160, 256), blocks=(3, 3), features=256),
    **{name: NetworkConfig(backbone=name) for name in backbones.BACKBONES},
}


def _unit(entering: int, leaving: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entering, leaving, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(leaving),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _unit(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, given: Tensor) -> Tensor:
        return functional.relu(given + self.norm(self.second(self.first(given))))


class SmallTrunk(nn.Module):
    """Ours: plain convolutions, which a CPU runs faster than separable ones of equal worth."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = config.widths
        self.entry = nn.Sequential(_unit(len(CHANNELS), half, 2), _unit(half, quarter, 2))
        self.fine = nn.Sequential(
            _unit(quarter, eighth, 2), *(_Block(eighth) for _ in range(config.blocks[0]))
        )
        self.coarse = nn.Sequential(
            _unit(eighth, sixteenth, 2), *(_Block(sixteenth) for _ in range(config.blocks[1]))
        )
        self.channels = (eighth, sixteenth)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        early = self.entry[0](image)
        fine = self.fine(self.entry[1](early))
        return early, fine, self.coarse(fine)


class PictureTrunk(nn.Module):
    """A published backbone over the square made a colour picture again."""

    def __init__(self, name: str, weights: Path | None = None) -> None:
        super().__init__()
        self.backbone = backbones.make(name, weights)
        self.channels = self.backbone.channels
        self.register_buffer("mean", torch.tensor(backbones.IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbones.IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        picture = (picture_of(image) - self.mean) / self.std
        size = (backbones.SIDE, backbones.SIDE)
        fine, coarse = self.backbone(
            functional.interpolate(picture, size, mode="bilinear", align_corners=False)
        )
        return fine, fine, coarse


def picture_of(image: Tensor) -> Tensor:
    """The square as a colour picture (n, 3, side, side), 0 to 1: its stretched light in its colours."""
    light, green, red = image[:, 1:2], image[:, 4:5], image[:, 5:6]
    outer = 1 - green / 3
    colours = torch.cat([outer + red, 1 + 2 * green / 3, outer - red], dim=1)
    return (light * colours).clamp(0, 1)


class SkyNetwork(nn.Module):
    """Features, logits of the classes and logits of the maps of a batch of squares.

    Parameters
    ----------
    config : NetworkConfig
    weights : Path, optional
        Of a published backbone.
    """

    def __init__(self, config: NetworkConfig, weights: Path | None = None) -> None:
        super().__init__()
        self.config = config
        self.trunk: SmallTrunk | PictureTrunk
        if config.backbone == "small":
            self.trunk = SmallTrunk(config)
        else:
            self.trunk = PictureTrunk(config.backbone, weights)
        fine, coarse = self.trunk.channels
        self.embed = nn.Linear(2 * coarse, config.features)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.features, len(CLASSES))
        joined = config.map_channels
        self.map_context = nn.Linear(config.features, joined)
        self.map_fine = nn.Conv2d(fine, joined, 1)
        self.map_coarse = nn.Conv2d(coarse, joined, 1)
        self.map_own: nn.Module | None = None
        self.map_around: nn.Module | None = None
        if config.map_widths:
            finer, finest = config.map_widths[1], config.map_widths[0]
            self.map_own = nn.Sequential(
                _unit(config.widths[0], finest, 2), _unit(finest, finer, 2), nn.Conv2d(finer, joined, 1)
            )
            self.map_around = _unit(joined, joined, dilation=2)
        self.map_out = nn.Sequential(_unit(joined, 32), nn.Conv2d(32, len(MAPS), 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        early, fine, coarse = self.trunk(image)
        pooled = torch.cat([coarse.mean(dim=(2, 3)), coarse.amax(dim=(2, 3))], dim=1)
        features = functional.relu(self.embed(pooled))
        logits = self.head(self.dropout(features))
        return features, logits, self._maps(early, fine, coarse, features)

    def _maps(self, early: Tensor, fine: Tensor, coarse: Tensor, features: Tensor) -> Tensor:
        near, wide = self.map_fine(fine), self.map_coarse(coarse)
        if near.shape[2] != GRID:
            near = functional.interpolate(near, (GRID, GRID), mode="bilinear", align_corners=False)
        if wide.shape[2] == _COARSE_SIDE:
            wide = functional.interpolate(wide, scale_factor=2.0, mode="nearest")
        else:
            wide = functional.interpolate(wide, (GRID, GRID), mode="bilinear", align_corners=False)
        context = self.map_context(features)[:, :, None, None]
        joined = near + wide + context
        if self.map_own is None or self.map_around is None:
            return self.map_out(functional.relu(joined))
        joined = functional.relu(joined + self.map_own(early))
        return self.map_out(joined + self.map_around(joined))


class Exported(nn.Module):
    """What ONNX holds: probabilities calibrated, maps as probabilities.

    Parameters
    ----------
    network : SkyNetwork
    temperature : float
        The classes' logits are divided by it (Guo et al. 2017, ICML, eq. 9).
    map_temperature : float
        The same for the cells of the maps.
    """

    def __init__(self, network: SkyNetwork, temperature: float = 1.0, map_temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.map_temperature = map_temperature

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features, logits, maps = self.network(image)
        maps = torch.sigmoid(maps / self.map_temperature)
        return features, torch.softmax(logits / self.temperature, dim=1), maps[:, 0], maps[:, 1]


def count_parameters(network: nn.Module) -> int:
    """Trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_operations(network: SkyNetwork) -> int:
    """Multiplications and additions (as one) of one square's convolutions and matrices."""
    total = 0

    def count(module: nn.Module, _: Any, found: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += found[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    is_training = network.training
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, len(CHANNELS), SIDE, SIDE))
    network.train(is_training)
    for hook in hooks:
        hook.remove()
    return total
