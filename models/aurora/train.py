"""Training: classes and maps together, on simulated skies and pictures of one's own (torch)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.aurora import data, measures
from models.aurora.augment import Augmentation, Batch, batch_of, shares_of
from models.aurora.data import Skies, decode
from models.aurora.network import PRESETS, NetworkConfig, SkyNetwork
from models.aurora.options import ExportOptions, TrainOptions
from models.aurora.pruning import pruned, require_smaller, teacher_of
from models.aurora.teaching import cached_lessons, lesson_batch
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
_MAP_WEIGHTS = (1.0, 0.5)  # of cloud and aurora, against 1 for the classes
_FEATURES_WEIGHT = 0.5  # of a teacher's features
_OWN_SHARE = 0.3  # of a batch that own pictures have, however few
_PRUNING = 200  # skies that show which of a teacher's channels matter


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
            features, logits, maps = self.network(image)
        classes = np.zeros_like(batch.classes) if self.options.maps_only else batch.classes
        loss = sky_loss(
            logits.float(),
            maps.float(),
            torch.from_numpy(classes).to(self.device),
            torch.from_numpy(batch.maps).to(self.device),
            torch.from_numpy(batch.weight).to(self.device),
        )
        if batch.features is not None:
            taught = torch.from_numpy(batch.features).to(self.device)
            apart = (features.float() - taught).square().mean() / taught.var(dim=0).mean()
            loss = loss + _FEATURES_WEIGHT * apart
        descend(loss, self.network, self.optimiser, most=2.0)
        self.step += 1
        follow(self.averaged, self.network, _AVERAGE, self.step)
        return float(loss.item())

    def logits(self, skies: Skies) -> tuple[np.ndarray, np.ndarray]:
        """Logits of classes (n, 6) and of maps (n, 2, 16, 16) by the averaged network."""
        return logits_of(self.averaged, skies, self.device)

    def begin_from(self, network: SkyNetwork) -> None:
        """Take the weights of a network of the same shape."""
        for ours in (self.network, self.averaged):
            ours.load_state_dict(network.state_dict())

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
            image = torch.from_numpy(decode(skies.squares[first : first + 64])).to(device)
            _, logits, maps = network(image)
            found.append((logits.cpu().numpy(), maps.cpu().numpy()))
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def rate_factor(step: int, steps: int) -> float:
    """Warm-up over 100 steps, then a cosine to a hundredth."""
    return warmed(step, 100) * cosine(step / max(1, steps), 0.01)


def sky_loss(logits: Tensor, maps: Tensor, classes: Tensor, covered: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of shares of classes and of cells, each only where something is known."""
    is_known = classes.sum(dim=1) > 0
    loss = maps.sum() * 0.0
    if bool(is_known.any()):
        loss = loss + functional.cross_entropy(logits[is_known], classes[is_known])
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
    trainer = Trainer(options, _config(options))
    checkpoint = options.output / CHECKPOINT
    is_begun = options.resume and checkpoint.exists()
    if is_begun:
        trainer.resume(checkpoint)
    else:
        begin_anew(options.output)
    validation = data.cached(options.cache, options.validation, options.seed, size=options.size)
    _loop(trainer, _teaching(trainer, is_begun=is_begun) if options.teacher else _making(options), validation)
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
    if options.teacher is not None and (options.images is not None or options.maps_only or options.weights):
        raise UnusableInputError("--teacher goes without --images, --maps-only and --weights")
    if options.maps_only and not (options.resume and (options.output / CHECKPOINT).exists()):
        raise UnusableInputError(
            f"--maps-only goes on from a trained network: put its {CHECKPOINT} into {options.output}"
        )
    check_counts(options, "samples", "validation", "steps", "batch", "validate_every")
    check_split(0.0, options.seed)


def _config(options: TrainOptions) -> NetworkConfig:
    """Of the preset; what is taught says what its teacher says, and needs no dropout."""
    config = PRESETS[options.preset]
    return config if options.teacher is None else replace(config, dropout=0.0)


def _making(options: TrainOptions) -> Callable[[int], Batch]:
    """Batch of each step from simulated skies and own pictures.

    Validation is the first of the simulated: more samples later leave it as it is.
    """
    skies = data.cached(options.cache, options.validation + options.samples, options.seed, size=options.size)
    training, own, how = skies.span(options.validation, len(skies)), None, Augmentation()
    if options.images is not None and options.labels is not None:
        from models.aurora.labelled import own_skies

        own = own_skies(options.images, options.labels)
    # Where maps alone are trained, all skies teach as much.
    shares = shares_of(training.classes)
    if options.maps_only:
        shares = np.full(len(training), 1.0 / len(training))
    return lambda step: _mixed(training, own, shares, how, options, step)


def _teaching(trainer: Trainer, *, is_begun: bool) -> Callable[[int], Batch]:
    """Batch of each step from a teacher's lessons; a network not yet begun takes the teacher's weights."""
    options = trainer.options
    assert options.teacher is not None
    teacher = None if is_begun else teacher_of(options.teacher)
    if teacher is not None:
        require_smaller(trainer.config, teacher.config)  # before hours of simulation
    count = options.validation + options.samples
    given = cached_lessons(
        options.cache,
        options.teacher,
        options.validation,
        count,
        options.seed,
        size=options.size,
        how=Augmentation(),
    )
    if teacher is not None:
        few = torch.from_numpy(decode(given.squares[:_PRUNING]))
        trainer.begin_from(pruned(teacher, trainer.config, few))
    shares = shares_of(given.classes)
    return lambda step: lesson_batch(given, options.batch, shares, (options.seed, step))


def _loop(trainer: Trainer, make: Callable[[int], Batch], validation: Skies) -> None:
    options = trainer.options
    recent: list[float] = []
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
    second = batch_of(own, count, shares_of(own.classes), how, (options.seed + 1, step))
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
