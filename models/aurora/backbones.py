"""Networks that others have published, in layers and names as their weight files have them (torch).

ShuffleNetV2 (Ma et al. 2018, arXiv:1807.11164), ResNet-18 (He et al. 2016, arXiv:1512.03385) and
MobileNetV3-Small (Howard et al. 2019, arXiv:1905.02244), each at the width that is published for
ImageNet. Parameters bear the names of torchvision's state dictionaries, so that a file of its weights
loads; timm's files load where its layout can be mapped. Each returns two maps: one of a sixteenth of the
picture's side and one of a thirty-second.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from observatory.errors import ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SIDE = 224
"""Pixels of the picture's side that all three were published for."""


def _unit(
    entering: int,
    leaving: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.Module] | None = nn.ReLU,
    eps: float = 1e-5,
) -> nn.Sequential:
    """Convolution, batch norm and activation, numbered 0, 1, 2."""
    layers: list[nn.Module] = [
        nn.Conv2d(entering, leaving, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(leaving, eps=eps),
    ]
    return nn.Sequential(*layers, *([] if act is None else [act()]))


class _Shuffled(nn.Module):
    """One block of ShuffleNetV2: half of the channels pass, half are filtered, then all are shuffled."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        half = leaving // 2
        self.stride = stride
        first = entering if stride > 1 else half
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(
                *_unit(entering, entering, 3, stride, entering, None), *_unit(entering, half, 1)
            )
        self.branch2 = nn.Sequential(
            *_unit(first, half, 1), *_unit(half, half, 3, stride, half, None), *_unit(half, half, 1)
        )

    def forward(self, given: Tensor) -> Tensor:
        if self.stride > 1:
            parts = (self.branch1(given), self.branch2(given))
        else:
            kept, filtered = given.chunk(2, dim=1)
            parts = (kept, self.branch2(filtered))
        joined = torch.cat(parts, dim=1)
        n, channels, height, width = joined.shape
        joined = joined.view(n, 2, channels // 2, height, width).transpose(1, 2)
        return joined.reshape(n, channels, height, width)


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2 x1.0: 2.28 M parameters with its classifier, 1024 features."""

    channels = (232, 1024)

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.conv1 = _unit(3, 24, 3, 2)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        entering = 24
        for name, leaving, repeats in (("stage2", 116, 4), ("stage3", 232, 8), ("stage4", 464, 4)):
            blocks = [_Shuffled(entering, leaving, 2)]
            blocks += [_Shuffled(leaving, leaving, 1) for _ in range(repeats - 1)]
            setattr(self, name, nn.Sequential(*blocks))
            entering = leaving
        self.conv5 = _unit(entering, 1024, 1)
        self.fc = nn.Linear(1024, classes) if classes else nn.Identity()

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stage3(self.stage2(self.maxpool(self.conv1(picture))))
        return fine, self.conv5(self.stage4(fine))


class _Residual(nn.Module):
    """One block of ResNet-18."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(leaving)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(leaving)
        self.downsample = None
        if stride > 1 or entering != leaving:
            self.downsample = _unit(entering, leaving, 1, stride, act=None)

    def forward(self, given: Tensor) -> Tensor:
        found = functional.relu(self.bn1(self.conv1(given)))
        kept = given if self.downsample is None else self.downsample(given)
        return functional.relu(self.bn2(self.conv2(found)) + kept)


class ResNet18(nn.Module):
    """ResNet-18: 11.7 M parameters with its classifier, 512 features."""

    channels = (256, 512)

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        entering = 64
        for number, leaving in enumerate((64, 128, 256, 512), start=1):
            first = _Residual(entering, leaving, 1 if number == 1 else 2)
            setattr(self, f"layer{number}", nn.Sequential(first, _Residual(leaving, leaving, 1)))
            entering = leaving
        self.fc = nn.Linear(512, classes) if classes else nn.Identity()

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        found = functional.relu(self.bn1(self.conv1(picture)))
        found = functional.max_pool2d(found, 3, 2, 1)
        fine = self.layer3(self.layer2(self.layer1(found)))
        return fine, self.layer4(fine)


class _Squeeze(nn.Module):
    """Squeeze and excitation of MobileNetV3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(8, (channels // 4 + 4) // 8 * 8)  # the published rounding to eights
        if narrow < 0.9 * (channels // 4):
            narrow += 8
        self.fc1 = nn.Conv2d(channels, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, channels, 1)

    def forward(self, given: Tensor) -> Tensor:
        pooled = functional.relu(self.fc1(given.mean(dim=(2, 3), keepdim=True)))
        return given * functional.hardsigmoid(self.fc2(pooled))


_MOBILE_EPS = 1e-3
# Entering, kernel, expanded, leaving, squeeze, hard swish, stride: table 2 of Howard et al. (2019).
_MOBILE_BLOCKS = (
    (16, 3, 16, 16, True, False, 2),
    (16, 3, 72, 24, False, False, 2),
    (24, 3, 88, 24, False, False, 1),
    (24, 5, 96, 40, True, True, 2),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 120, 48, True, True, 1),
    (48, 5, 144, 48, True, True, 1),
    (48, 5, 288, 96, True, True, 2),
    (96, 5, 576, 96, True, True, 1),
    (96, 5, 576, 96, True, True, 1),
)
_LAST_FINE = 8  # the last layer of a sixteenth of the side


class _Inverted(nn.Module):
    """One block of MobileNetV3, a row of `_MOBILE_BLOCKS`."""

    def __init__(
        self, entering: int, kernel: int, wide: int, leaving: int, squeeze: bool, swish: bool, stride: int
    ) -> None:
        super().__init__()
        act = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if wide != entering:
            layers.append(_unit(entering, wide, 1, act=act, eps=_MOBILE_EPS))
        layers.append(_unit(wide, wide, kernel, stride, wide, act, _MOBILE_EPS))
        if squeeze:
            layers.append(_Squeeze(wide))
        layers.append(_unit(wide, leaving, 1, act=None, eps=_MOBILE_EPS))
        self.block = nn.Sequential(*layers)
        self.is_residual = stride == 1 and entering == leaving

    def forward(self, given: Tensor) -> Tensor:
        return given + self.block(given) if self.is_residual else self.block(given)


class MobileNetV3Small(nn.Module):
    """MobileNetV3-Small: 2.54 M parameters with its classifier, 576 features."""

    channels = (48, 576)

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _unit(3, 16, 3, 2, act=nn.Hardswish, eps=_MOBILE_EPS),
            *(_Inverted(*block) for block in _MOBILE_BLOCKS),
            _unit(96, 576, 1, act=nn.Hardswish, eps=_MOBILE_EPS),
        )
        self.classifier: nn.Module = nn.Identity()
        if classes:
            self.classifier = nn.Sequential(
                nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1024, classes)
            )

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        found = picture
        for number, layer in enumerate(self.features):
            found = layer(found)
            if number == _LAST_FINE:
                fine = found
        return fine, found


BACKBONES: Mapping[str, Callable[[], nn.Module]] = {
    "shufflenet_v2_x1_0": ShuffleNetV2,
    "resnet18": ResNet18,
    "mobilenet_v3_small": MobileNetV3Small,
}


def make(name: str, weights: Path | None = None) -> nn.Module:
    """A backbone by name, with weights of a file where one is given.

    Raises
    ------
    ModelError
        When there is no such backbone, or the file is not of it.
    """
    if name not in BACKBONES:
        raise ModelError(f"there is no backbone {name}; there are {', '.join(BACKBONES)}")
    backbone = BACKBONES[name]()
    if weights is not None:
        load_weights(backbone, weights)
    return backbone


def load_weights(backbone: nn.Module, path: Path) -> None:
    """Take the weights of a file as torchvision or timm writes it; its classifier is left out.

    Only tensors are read (``weights_only``): a file cannot run code.

    Raises
    ------
    ModelError
        When the file is missing, unreadable or of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} cannot be read as weights (a .pth of tensors): {error}") from error
    if isinstance(state, Mapping):
        for key in ("state_dict", "model"):
            state = state.get(key, state)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds no state dictionary: give a file of named tensors")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if "conv_stem.weight" in state:
        state = _from_timm_mobilenet(state)
    wanted = backbone.state_dict()
    given = {name: value for name, value in state.items() if not name.startswith(("fc.", "classifier."))}
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    strange = [name for name in given if name not in wanted]
    wrong = [name for name in wanted if name in given and given[name].shape != wanted[name].shape]
    if missing or strange or wrong:
        raise ModelError(
            f"{path} is of another network than {type(backbone).__name__}: {len(missing)} tensors are missing, "
            f"{len(strange)} are strange, {len(wrong)} have another shape, such as "
            f"{(missing + strange + wrong)[0]}"
        )
    backbone.load_state_dict(given, strict=False)


def _from_timm_mobilenet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of timm's ``mobilenetv3_small_100`` as torchvision has them."""
    numbers = sorted(
        {tuple(int(n) for n in key.split(".")[1:3]) for key in state if key.startswith("blocks.")}
    )
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith("conv_stem."):
            found[f"features.0.0.{key.split('.')[-1]}"] = value
        elif key.startswith("bn1."):
            found[f"features.0.1.{key.split('.')[-1]}"] = value
        elif key.startswith("blocks."):
            parts = key.split(".")
            place = 1 + numbers.index((int(parts[1]), int(parts[2])))
            found[f"features.{place}.{_timm_layer(place, '.'.join(parts[3:-1]))}.{parts[-1]}"] = value
    return found


def _timm_layer(place: int, layer: str) -> str:
    """Where one layer of a timm block stands in ours."""
    if place > len(_MOBILE_BLOCKS):  # the last convolution
        return {"conv": "0", "bn1": "1"}[layer]
    entering, _, wide, _, squeeze, _, _ = _MOBILE_BLOCKS[place - 1]
    expands = wide != entering
    deep = int(expands)
    last = deep + 1 + int(squeeze)
    if layer.startswith("se."):
        return f"block.{deep + 1}.{'fc1' if 'reduce' in layer else 'fc2'}"
    names = {"conv_dw": f"{deep}.0", "bn1": "0.1", "bn2": f"{deep}.1", "bn3": f"{last}.1"}
    names |= {"conv_pw": "0.0", "conv_pwl": f"{last}.0"}
    if not expands:  # depthwise first: timm counts its norms from there
        names |= {"bn2": f"{last}.1", "conv_pw": f"{last}.0"}
    return f"block.{names[layer]}"
