"""The networks of the H-alpha quality model (torch; training and export only).

After Jarolim et al. 2020, A&A 643, A72 (SIQA): an auto-encoder with a quantised bottleneck learns
good frames, discriminators keep it honest at several scales, classifiers learn good from bad, and
the difference of the classifiers' features between a frame and its reconstruction is the quality
value. To that we add a light U-Net that says where, what and how much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

#: What the diagnosis head can see at 128 cells, in the order of its outputs.
HEAD_CAUSES = ("cloud", "thin_cloud", "contrail", "occultation", "dust")


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the training losses."""

    adversarial: float = 1.0
    content: float = 1.0
    reconstruction: float = 10.0
    classifier: float = 1.0
    gradient_penalty: float = 10.0
    region: float = 1.0
    causes: float = 1.0
    severity: float = 1.0


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the networks.

    Attributes
    ----------
    side : int
        Cells along the analysis square; any multiple of 2**depth and of 16.
    filters : int
        Filters of the first convolution; doubled at each of the `depth` strided ones.
    depth : int
        Strided convolutions of the encoder.
    blocks : int
        Residual blocks of the decoder.
    compression_channels, centres : int
        Channels of the bottleneck and levels of its quantiser.
    discriminators : int
        Scales (1, 1/2, 1/4, ...) of discriminators and of classifiers.
    discriminator_filters, feature_layers : int
        Filters of their first convolution and number of strided 4x4 convolutions, all of which
        count for the content loss.
    head_filters : int
        Filters of the diagnosis head.
    classified : bool
        Whether the classifiers learned good from bad; in one-class training they are copies of
        the discriminators, whose logits say something else, and only their features count.
    """

    side: int = 128
    filters: int = 8
    depth: int = 3
    blocks: int = 2
    compression_channels: int = 8
    centres: int = 5
    discriminators: int = 3
    discriminator_filters: int = 8
    feature_layers: int = 4
    head_filters: int = 16
    classified: bool = True
    loss: LossWeights = field(default_factory=LossWeights)


#: `small` ships: it costs 1/60 of the operations. `full` is the published size; `tiny` is for tests.
PRESETS = {
    "tiny": NetworkConfig(
        side=64, filters=4, depth=2, blocks=1, discriminators=2, discriminator_filters=4, head_filters=8
    ),
    "small": NetworkConfig(),
    "full": NetworkConfig(filters=64, blocks=9, discriminator_filters=64, head_filters=32),
}


class Quantiser(nn.Module):
    """Round a sigmoid's output to equidistant levels; gradients pass straight through."""

    def __init__(self, centres: int) -> None:
        super().__init__()
        self.steps = centres - 1

    def forward(self, values: Tensor) -> Tensor:
        """Quantise values of 0 to 1."""
        rounded = torch.floor(values * self.steps + 0.5) / self.steps
        if not self.training:
            return rounded
        return values + (rounded - values).detach()


def _reflected(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _reflected(channels, channels, 3),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            _reflected(channels, channels, 3),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, values: Tensor) -> Tensor:
        return values + self.body(values)


class Generator(nn.Module):
    """Encoder, quantised bottleneck, decoder."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = [config.filters * 2**level for level in range(config.depth + 1)]
        layers: list[nn.Module] = [
            _reflected(1, widths[0], 7),
            nn.InstanceNorm2d(widths[0], affine=True),
            nn.ReLU(),
        ]
        for narrow, wide in pairwise(widths):
            layers += [_reflected(narrow, wide, 3, 2), nn.InstanceNorm2d(wide, affine=True), nn.ReLU()]
        layers += [_reflected(widths[-1], config.compression_channels, 3), nn.Sigmoid()]
        self.encoder = nn.Sequential(*layers)
        self.quantiser = Quantiser(config.centres)
        layers = [_reflected(config.compression_channels, widths[-1], 3), nn.ReLU()]
        layers += [_Residual(widths[-1]) for _ in range(config.blocks)]
        for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [
                nn.ConvTranspose2d(wide, narrow, 3, 2, 1, output_padding=1),
                nn.InstanceNorm2d(narrow, affine=True),
                nn.ReLU(),
            ]
        layers += [_reflected(widths[0], 1, 7), nn.Tanh()]
        self.decoder = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruct (batch, 1, side, side) in -1..1."""
        return self.decoder(self.quantiser(self.encoder(image)))


class PatchNetwork(nn.Module):
    """One scale of a discriminator or classifier: strided convolutions, then a map of logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = [1] + [config.discriminator_filters * 2**k for k in range(config.feature_layers)]
        # No normalisation: it would hide the amplitude, and a cloud is little else.
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.logit = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits' map and the features of every layer."""
        features = []
        for layer in self.layers:
            image = functional.leaky_relu(layer(image), 0.2)
            features.append(image)
        return self.logit(image), features


class MultiScale(nn.Module):
    """The same patch network, with its own weights, at scales 1, 1/2, 1/4, ..."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchNetwork(config) for _ in range(config.discriminators))

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return one logits' map per scale and all features."""
        logits, features = [], []
        for index, network in enumerate(self.scales):
            if index:
                image = functional.avg_pool2d(image, 2)
            logit, found = network(image)
            logits.append(logit)
            features += found
        return logits, features


def mean_logit(logits: list[Tensor]) -> Tensor:
    """One logit per picture, (batch,): the mean over places and scales."""
    return torch.stack([logit.mean(dim=(1, 2, 3)) for logit in logits]).mean(dim=0)


def content_loss(features: list[Tensor], others: list[Tensor]) -> Tensor:
    """Mean absolute difference, summed over layers and scales, (batch,)."""
    parts = [(a - b).abs().mean(dim=(1, 2, 3)) for a, b in zip(features, others, strict=True)]
    return torch.stack(parts).sum(dim=0)


class _Step(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


@dataclass(frozen=True)
class Diagnosis:
    """What the head says: logits of region (batch, 1, side, side) and causes, log10 severities."""

    region: Tensor
    causes: Tensor
    severity: Tensor
    degraded: Tensor


class DiagnosisHead(nn.Module):
    """A small U-Net on the picture and its misfit, working from half resolution down."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        f = config.head_filters
        self.stem = nn.Sequential(nn.Conv2d(2, f, 4, 2, 1), nn.ReLU(), _Step(f, f))
        self.down1 = nn.Sequential(_Step(f, 2 * f, 2), _Step(2 * f, 2 * f))
        self.down2 = nn.Sequential(_Step(2 * f, 3 * f, 2), _Step(3 * f, 3 * f))
        self.down3 = nn.Sequential(_Step(3 * f, 4 * f, 2), _Step(4 * f, 4 * f))
        self.up2 = _Step(7 * f, 3 * f)
        self.up1 = _Step(5 * f, 2 * f)
        self.up0 = _Step(3 * f, f)
        self.region = nn.Conv2d(f, 1, 1)
        pooled = 2 * (4 * f + 3 * f + 2 * f + f)
        self.hidden = nn.Sequential(nn.Linear(pooled, 64), nn.ReLU())
        self.answers = nn.Linear(64, len(HEAD_CAUSES) + 3)

    def forward(self, image: Tensor, misfit: Tensor) -> Diagnosis:
        """Diagnose (batch, 1, side, side) pictures."""
        level0 = self.stem(torch.cat([image, misfit], dim=1))
        level1 = self.down1(level0)
        level2 = self.down2(level1)
        level3 = self.down3(level2)
        up2 = self.up2(torch.cat([functional.interpolate(level3, scale_factor=2.0), level2], dim=1))
        up1 = self.up1(torch.cat([functional.interpolate(up2, scale_factor=2.0), level1], dim=1))
        up0 = self.up0(torch.cat([functional.interpolate(up1, scale_factor=2.0), level0], dim=1))
        region = functional.interpolate(self.region(up0), scale_factor=2.0, mode="bilinear")
        maps = (up0, up1, up2, level3)
        mean = [m.mean(dim=(2, 3)) for m in maps]
        power = [torch.sqrt((m * m).mean(dim=(2, 3)) + 1e-6) for m in maps]
        answers = self.answers(self.hidden(torch.cat(mean + power, dim=1)))
        count = len(HEAD_CAUSES)
        return Diagnosis(region, answers[:, :count], answers[:, count : count + 2], answers[:, count + 2])


class QualityNetwork(nn.Module):
    """What is exported: everything inference needs, and nothing of the discriminators.

    Outputs, in order: reconstruction (n, 1, side, side); content_loss (n,); p_degraded (n,);
    region (n, side, side) probabilities; cause_logits (n, causes); severity (n, 2), log10 of
    the rms transmission deviation and of its part between R/12 and R/6.
    """

    OUTPUTS = ("reconstruction", "content_loss", "p_degraded", "region", "cause_logits", "severity")

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.classifier = MultiScale(config)
        self.head = DiagnosisHead(config)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Judge (n, 1, side, side) prepared pictures in -1..1."""
        made = self.generator(image)
        logits, features = self.classifier(image)
        _, made_features = self.classifier(made)
        found = self.head(image, (image - made).abs())
        # The classifiers see patches, the head sees the disk: the mean of both logits.
        logit = found.degraded
        if self.config.classified:
            logit = 0.5 * (mean_logit(logits) + logit)
        return (
            made,
            content_loss(features, made_features),
            torch.sigmoid(logit),
            torch.sigmoid(found.region[:, 0]),
            found.causes,
            found.severity,
        )
