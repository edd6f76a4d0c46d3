"""Training: classes and maps together, on simulated skies and pictures of one's own (torch)."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.aurora import data, measures
from models.aurora.augment import Augmentation, Batch, batch_of, plain_batch, shares_of
from models.aurora.data import Skies
from models.aurora.network import PRESETS, NetworkConfig, SkyNetwork
from models.aurora.options import ExportOptions, TrainOptions
from models.journal import Journal
from models.training import (
    CHECKPOINT,
    begin_anew,
    check_counts,
    check_device,
    check_split,
    cosine,
    descend,
    follow,
    of_another_network,
    prefetch,
    read_checkpoint,
    stated,
    warmed,
    write_checkpoint,
)
from observatory.errors import UnusableInputError

_OF_MAPS = "map_"  # beginning of the names of what gives the maps alone
_AVERAGE = 0.995  # of the running mean of the weights, which is what is exported
_SMOOTHING = 0.04  # of the labels: classes pass into one another
_MAP_WEIGHTS = (1.0, 0.5)  # of cloud and aurora, against 1 for the classes
_OWN_SHARE = 0.3  # of a batch that own pictures have, however few


class Trainer:
    """Network, its running mean, optimiser and one training step.

    Parameters
    ----------
    options : TrainOptions
    config : NetworkConfig
    """

    def __init__(self, options: TrainOptions, config: NetworkConfig) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.config = config
        self.device = torch.device(options.device)
        network = SkyNetwork(config, options.weights)
        # The channels last: faster on a CPU for few filters.
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(_OF_MAPS) or not options.maps_only)
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=0.02)
        self.step = 0
        self.calibration = {"temperature": 1.0, "map_temperature": 1.0}

    def train_step(self, batch: Batch) -> float:
        """One update; returns the loss."""
        self.network.train()
        if self.options.maps_only:
            self.network.trunk.eval()  # its means of batches stay as well
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.learning_rate * rate_factor(self.step, self.options.steps)
        image = torch.from_numpy(batch.image).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.half):
            _, logits, maps = self.network(image)
        classes = np.full_like(batch.classes, -1) if self.options.maps_only else batch.classes
        loss = sky_loss(
            logits.float(),
            maps.float(),
            torch.from_numpy(classes).to(self.device),
            torch.from_numpy(batch.maps).to(self.device),
            torch.from_numpy(batch.weight).to(self.device),
        )
        descend(loss, self.network, self.optimiser, most=2.0)
        self.step += 1
        follow(self.averaged, self.network, _AVERAGE, self.step)
        return float(loss.item())

    def logits(self, skies: Skies) -> tuple[np.ndarray, np.ndarray]:
        """Logits of classes (n, 6) and of maps (n, 2, 16, 16) by the averaged network."""
        return logits_of(self.averaged, skies, self.device)

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "options": stated(self.options),
            "config": self.config.to_dict(),
            "step": self.step,
            "calibration": self.calibration,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same shape."""
        state = read_checkpoint(path, self.device)
        before = NetworkConfig.from_dict(state["config"])
        is_joined = self.options.maps_only and before != self.config  # by the maps' own branch, begun here
        if is_joined:
            before = replace(before, map_widths=self.config.map_widths)
        if before != self.config:
            raise of_another_network(path)
        for network, name in ((self.network, "network"), (self.averaged, "averaged")):
            network.load_state_dict(network.state_dict() | state[name] if is_joined else state[name])
        if not is_joined and bool(state["options"].get("maps_only")) == self.options.maps_only:
            self.optimiser.load_state_dict(state["optimiser"])
        if self.options.maps_only:
            self.network.load_state_dict(self.averaged.state_dict())
        self.step, self.calibration = int(state["step"]), dict(state["calibration"])


def logits_of(network: SkyNetwork, skies: Skies, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Logits of classes and maps of all skies, in evaluation mode."""
    network.eval()
    found: list[tuple[np.ndarray, np.ndarray]] = []
    with torch.no_grad():
        for first in range(0, len(skies), 64):
            image = torch.from_numpy(plain_batch(skies, first, first + 64).image).to(device)
            _, logits, maps = network(image)
            found.append((logits.cpu().numpy(), maps.cpu().numpy()))
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def rate_factor(step: int, steps: int) -> float:
    """Warm-up over 100 steps, then a cosine to a hundredth."""
    return warmed(step, 100) * cosine(step / max(1, steps), 0.01)


def sky_loss(logits: Tensor, maps: Tensor, classes: Tensor, covered: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of classes and of cells, each only where something is known."""
    is_known = classes >= 0
    loss = maps.sum() * 0.0
    if bool(is_known.any()):
        loss = loss + functional.cross_entropy(
            logits[is_known], classes[is_known], label_smoothing=_SMOOTHING
        )
    crossed = functional.binary_cross_entropy_with_logits(maps, covered, reduction="none")
    per_map = (crossed * weight[:, None]).sum(dim=(0, 2, 3)) / weight.sum().clamp(min=1.0)
    return loss + sum(share * part for share, part in zip(_MAP_WEIGHTS, per_map, strict=True))


def train(options: TrainOptions) -> Path:
    """Train, calibrate, draw, export; returns the run's folder.

    Raises
    ------
    UnusableInputError
        When an option is unknown, or the cache is of other skies.
    ModelError
        When the checkpoint to go on from, or the file of weights, is of another network.
    """
    from models.aurora.export import export
    from models.aurora.figures import draw_training

    if options.threads:
        torch.set_num_threads(options.threads)
    _check(options)
    options.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(options, PRESETS[options.preset])
    checkpoint = options.output / CHECKPOINT
    if options.resume and checkpoint.exists():
        trainer.resume(checkpoint)
    else:
        begin_anew(options.output)
    training, validation, own = load_skies(options)
    _loop(trainer, training, validation, own)
    fitted = calibrate(trainer, validation)
    trainer.calibration |= {"map_temperature": fitted["map_temperature"]} if options.maps_only else fitted
    trainer.save(checkpoint)
    report = _judge(trainer, validation) | trainer.calibration
    (options.output / "validation.json").write_text(json.dumps(report, indent=1))
    draw_training(options.output, validation, *trainer.logits(validation))
    export(ExportOptions(checkpoint=checkpoint, output=options.output))
    if options.install:
        export(ExportOptions(checkpoint=checkpoint))
    return options.output


def _check(options: TrainOptions) -> None:
    if options.preset not in PRESETS:
        raise UnusableInputError(f"preset is one of {', '.join(PRESETS)}, not {options.preset}")
    if options.weights is not None and PRESETS[options.preset].backbone == "small":
        raise UnusableInputError(
            "--weights are a published backbone's: name it as --preset, such as resnet18"
        )
    check_device(options.device)
    if (options.images is None) != (options.labels is None):
        raise UnusableInputError("own pictures need both --images DIR and --labels CSV")
    if options.maps_only and not (options.resume and (options.output / CHECKPOINT).exists()):
        raise UnusableInputError(
            f"--maps-only goes on from a trained network: put its {CHECKPOINT} into {options.output}"
        )
    check_counts(options, "samples", "validation", "steps", "batch", "validate_every")
    check_split(0.0, options.seed)


def load_skies(options: TrainOptions) -> tuple[Skies, Skies, Skies | None]:
    """Training and validation skies, and those of own pictures.

    Validation is the first of the simulated: more samples later leave it as it is.
    """
    count = options.validation + options.samples
    skies = data.cached(options.cache, count, options.seed, size=options.size)
    own = None
    if options.images is not None and options.labels is not None:
        from models.aurora.labelled import own_skies

        own = own_skies(options.images, options.labels)
    split = options.validation
    return skies.span(split, count), skies.span(0, split), own


def _loop(trainer: Trainer, training: Skies, validation: Skies, own: Skies | None) -> None:
    options, how = trainer.options, Augmentation()
    # Where maps alone are trained, all skies teach as much.
    shares = np.full(len(training), 1.0 / len(training)) if options.maps_only else shares_of(training)
    recent: list[float] = []

    def make(step: int) -> Batch:
        return _mixed(training, own, shares, how, options, step)

    with Journal(options.output, options.steps, trainer.step) as journal:
        for batch in prefetch(make, trainer.step, options.steps):
            recent.append(trainer.train_step(batch))
            journal.show(trainer.step)
            if trainer.step % options.validate_every and trainer.step != options.steps:
                continue
            row = {"step": float(trainer.step), "loss": float(np.mean(recent))} | _judge(trainer, validation)
            recent.clear()
            journal.note(row)
            trainer.save(options.output / CHECKPOINT)


def _mixed(
    training: Skies,
    own: Skies | None,
    shares: np.ndarray,
    how: Augmentation,
    options: TrainOptions,
    step: int,
) -> Batch:
    """A batch of simulated skies, with own pictures among them where there are some."""
    if own is None:
        return batch_of(training, options.batch, shares, how, (options.seed, step))
    count = max(1, round(_OWN_SHARE * options.batch))
    first = batch_of(training, max(1, options.batch - count), shares, how, (options.seed, step))
    second = batch_of(own, count, shares_of(own), how, (options.seed + 1, step))
    names = ("image", "classes", "maps", "weight")
    return Batch(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))


def calibrate(trainer: Trainer, validation: Skies) -> dict[str, float]:
    """Temperatures that make the validation's classes and cloud cells likeliest."""
    logits, maps = trainer.logits(validation)
    is_known = validation.classes >= 0
    return {
        "temperature": measures.fitted_temperature(logits[is_known], validation.classes[is_known]),
        "map_temperature": measures.fitted_map_temperature(
            maps[:, 0][validation.is_known], data.map_targets(validation.maps)[:, 0][validation.is_known]
        ),
    }


def _judge(trainer: Trainer, validation: Skies) -> dict[str, float]:
    """What the validation says of the averaged network."""
    logits, maps = trainer.logits(validation)
    is_known = validation.classes >= 0
    probabilities = measures.softmax(logits[is_known] / trainer.calibration["temperature"])
    classes = validation.classes[is_known]
    cloud = maps[:, 0][validation.is_known] > 0
    return {
        "six_classes": measures.balanced_accuracy(probabilities.argmax(axis=1), classes),
        "two_classes": measures.two_class_accuracy(probabilities, classes),
        "cloud_cells": float(
            np.mean(cloud == (data.map_targets(validation.maps)[:, 0][validation.is_known] >= 0.5))
        ),
    }
