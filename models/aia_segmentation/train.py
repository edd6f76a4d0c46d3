"""Training: one U-Net for both event types, masked where a label does not exist (torch)."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.aia_segmentation import border, data
from models.aia_segmentation.augment import Augmentation, Batch, batch_of, plain_batch, shares_of
from models.aia_segmentation.border import Border
from models.aia_segmentation.data import Sample
from models.aia_segmentation.network import PRESETS, NetworkConfig, UNet
from models.aia_segmentation.options import ExportOptions, TrainOptions
from models.aia_segmentation.preparation import EVENT_TYPES
from models.aia_segmentation.shared import SharedData
from models.aia_segmentation.trained_on import names_by_source
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
    prefetch,
    read_checkpoint,
    stated,
    warmed,
    write_checkpoint,
)
from observatory.analysis import EventType
from observatory.errors import UnusableInputError
from observatory.settings import test_data_dir

_CHOOSE_SAMPLES = (
    *("data", "images", "masks", "annotations", "boxes", "event_type", "instrument"),
    *("pseudo_labels", "simulated", "seed"),
)
_AVERAGE = 0.98  # of the running mean of the weights, which is what is exported


class Trainer:
    """Network, its running mean, optimiser and one training step.

    Parameters
    ----------
    options : TrainOptions
    config : NetworkConfig
    pictures : mapping of str to names, optional
        What it learns from, by source; kept in the checkpoint.
    """

    def __init__(
        self,
        options: TrainOptions,
        config: NetworkConfig,
        pictures: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.config = config
        self.pictures = {source: list(names) for source, names in (pictures or {}).items()}
        self.device = torch.device(options.device)
        # The channels last: twice as fast on a CPU for few filters.
        self.network = UNet(config).to(self.device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=1e-4
        )
        self.step = 0
        self.best = float("inf")
        self.since_best = 0
        self.border: Border | None = None

    def train_step(self, batch: Batch) -> float:
        """One update; returns the loss."""
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.learning_rate * rate_factor(self.step, self.options.steps)
        planes, target, weight = self._tensors(batch)
        loss = segmentation_loss(self.network(planes), target, weight)
        descend(loss, self.network, self.optimiser, most=1.0)
        self.step += 1
        follow(self.averaged, self.network, _AVERAGE, self.step)
        return float(loss.item())

    def _tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        return (
            torch.from_numpy(batch.planes).to(self.device, memory_format=torch.channels_last),
            torch.from_numpy(batch.target).to(self.device),
            torch.from_numpy(batch.weight).to(self.device),
        )

    def probabilities(self, samples: Sequence[Sample]) -> np.ndarray:
        """Probability maps (n, 2, side, side) of the averaged network."""
        self.averaged.eval()
        found = []
        with torch.no_grad():
            for first in range(0, len(samples), 8):
                planes = torch.from_numpy(plain_batch(samples[first : first + 8]).planes).to(self.device)
                found.append(torch.sigmoid(self.averaged(planes)).cpu().numpy())
        return np.concatenate(found)

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "options": stated(self.options),
            "config": self.config.to_dict(),
            "pictures": self.pictures,
            "step": self.step,
            "best": self.best,
            "since_best": self.since_best,
            "border": None if self.border is None else self.border.to_dict(),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same shape."""
        state = read_checkpoint(path, self.device, self.config.to_dict())
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = int(state["step"]), float(state["best"])
        self.since_best = int(state["since_best"])
        before: dict[str, list[str]] = state.get("pictures") or {}
        for source, names in before.items():  # they trained it, though they may train it no longer
            self.pictures[source] = sorted({*names, *self.pictures.get(source, ())})


def rate_factor(step: int, steps: int) -> float:
    """Warm-up over 40 steps, then a cosine to a hundredth."""
    return warmed(step, 40) * cosine(step / max(1, steps), 0.01)


def segmentation_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy and Dice, both only where a label exists.

    Dice is taken over the batch, so that a picture without any region has no say of its own and
    two empty masks agree.
    """
    crossed = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    total = weight.sum().clamp(min=1.0)
    probability = torch.sigmoid(logits)
    both = (weight * probability * target).sum(dim=(0, 2, 3))
    either = (weight * (probability + target)).sum(dim=(0, 2, 3))
    known = (weight.sum(dim=(0, 2, 3)) > 0).float()
    dice = 1 - (2 * both + 1) / (either + 1)
    return 4 * (crossed * weight).sum() / total + 0.5 * (dice * known).sum() / known.sum().clamp(min=1)


def train(options: TrainOptions) -> Path:
    """Train, draw, export; returns the run's folder.

    Raises
    ------
    UnusableInputError
        When an option is unknown or there is nothing to learn from.
    ModelError
        When the checkpoint to go on from is of another network, or the teacher is missing.
    """
    from models.aia_segmentation.export import export
    from models.aia_segmentation.figures import draw_run

    if options.threads:
        torch.set_num_threads(options.threads)
    _check(options)
    options.output.mkdir(parents=True, exist_ok=True)
    config = PRESETS[options.preset]
    training, validation = load_samples(options, config.side)
    trainer = Trainer(options, config, names_by_source(training))
    checkpoint = options.output / CHECKPOINT
    if options.resume and checkpoint.exists():
        trainer.resume(checkpoint)
    else:
        begin_anew(options.output)
    _loop(trainer, training, validation)
    trainer.border = fit_border(trainer, training)
    trainer.save(checkpoint)
    if validation:
        found = trainer.probabilities(validation)
        report = {"validation": agreement(found, validation), "pictures": [s.name for s in validation]}
        (options.output / "validation.json").write_text(json.dumps(report, indent=1))
        draw_run(options.output, validation, found)
    export(ExportOptions(checkpoint=checkpoint, output=options.output))
    if options.install:
        export(ExportOptions(checkpoint=checkpoint))
    return options.output


def _check(options: TrainOptions) -> None:
    if options.preset not in PRESETS or options.event_type not in ("both", *EVENT_TYPES):
        raise UnusableInputError(f"preset is one of {', '.join(PRESETS)}; event-type is both, CH or AR")
    check_device(options.device)
    check_counts(options, "steps", "batch", "validate_every")
    check_split(options.validation_share, options.seed)


def load_samples(options: TrainOptions, side: int) -> tuple[list[Sample], list[Sample]]:
    """Training and validation samples; prepared once for each output folder and what is asked for.

    Validation is what `leave_out_year` keeps out, else the latest pairs.
    """
    cache = options.output / f"samples-{side}.npz"
    asked = json.dumps({name: stated(options)[name] for name in _CHOOSE_SAMPLES})
    if options.resume and cache.exists() and data.asked_of(cache) == asked:
        samples = data.load(cache)
    else:
        samples = _read_samples(options, side)
        data.save(cache, samples, asked)
    if options.teacher is not None:
        samples = _taught(samples, options.teacher)
    samples = [_restricted(sample, options.event_type) for sample in samples]
    drawn = [s for s in samples if s.source in ("masks", "outlines")]
    rest = [s for s in samples if s.source not in ("masks", "outlines")]
    if options.leave_out_year:
        validation = [s for s in drawn if s.date_obs and s.date_obs.year == options.leave_out_year]
        if not validation:
            raise UnusableInputError(
                f"there is no labelled picture of {options.leave_out_year} to leave out: give a year that has some"
            )
        left_out = {id(s) for s in validation}  # samples hold arrays, which have no single equality
        kept = [s for s in drawn if id(s) not in left_out]
        rest = [s for s in rest if not (s.date_obs and s.date_obs.year == options.leave_out_year)]
    else:
        kept, validation = data.split_by_time(drawn, options.validation_share)
    training = [s for s in kept + rest if s.weight.any()]
    if not training:
        raise UnusableInputError(
            "nothing to learn from: give --data, or --images with --masks or --annotations, or --boxes"
        )
    return training, validation


def _read_samples(options: TrainOptions, side: int) -> list[Sample]:
    samples: list[Sample] = []
    own = options.images is not None or options.boxes is not None
    root = options.data or (None if own else test_data_dir())
    if root is not None:
        samples += SharedData(root).samples(side)
    if options.images is not None:
        samples += _own_samples(options, side)
    if options.boxes is not None:
        samples += data.boxed(options.boxes, side, options.instrument)
    if options.simulated:
        from models.aia_segmentation import simulated

        samples += simulated.samples(options.simulated, side, options.seed)
    if options.pseudo_labels:
        samples = [data.with_grown_regions(sample) for sample in samples]
    if not samples:
        raise UnusableInputError(
            "nothing to learn from: give --data, or --images with --masks or --annotations, or --boxes"
        )
    return samples


def _own_samples(options: TrainOptions, side: int) -> list[Sample]:
    kinds = EVENT_TYPES if options.event_type == "both" else (EventType(options.event_type),)
    assert options.images is not None
    if options.masks is not None:
        if len(kinds) > 1:
            raise UnusableInputError("masks are of one kind of event: say --event-type CH or AR")
        return data.pairs(options.images, options.masks, kinds[0], side, options.instrument)
    if options.annotations is not None:
        outlines = data.read_outlines(options.annotations)
        there = [kind for kind in kinds if any(o.event_type is kind for o in outlines)]
        return [
            sample
            for kind in there
            for sample in data.outlined(options.images, outlines, kind, side, options.instrument)
        ]
    return data.unlabelled(data.find_pictures(options.images), side, options.instrument)


def _taught(samples: Sequence[Sample], teacher: Path) -> list[Sample]:
    """Samples with the maps of another network; see `data.with_teacher`."""
    from models.aia_segmentation.export import load_network

    network, _ = load_network(teacher)
    found = []
    with torch.no_grad():
        for sample in samples:
            maps = torch.sigmoid(network(torch.from_numpy(plain_batch([sample]).planes)))
            found.append(data.with_teacher(sample, maps[0, data.CH].numpy()))
    return found


def _restricted(sample: Sample, event_type: str) -> Sample:
    """Only one kind of event counts, when only one is asked for."""
    if event_type == "both":
        return sample
    weight = sample.weight.copy()
    for number, kind in enumerate(EVENT_TYPES):
        if kind != event_type:
            weight[number] = 0.0
    return Sample(**{**vars(sample), "weight": weight})


def _loop(trainer: Trainer, training: Sequence[Sample], validation: Sequence[Sample]) -> None:
    options = trainer.options
    shares, how = shares_of(training), Augmentation()
    checkpoint = options.output / CHECKPOINT
    recent: list[float] = []
    with Journal(options.output, options.steps, trainer.step) as journal:
        batches = prefetch(
            lambda step: batch_of(training, shares, options.batch, how, (options.seed, step)),
            trainer.step,
            options.steps,
        )
        for batch in batches:
            recent.append(trainer.train_step(batch))
            journal.show(trainer.step)
            if trainer.step % options.validate_every and trainer.step != options.steps:
                continue
            row = {"step": float(trainer.step), "loss": float(np.mean(recent))} | _judge(trainer, validation)
            recent.clear()
            journal.note(row)
            trainer.save(checkpoint)
            if options.patience and trainer.since_best >= options.patience:
                break
    trainer.save(checkpoint)


def fit_border(trainer: Trainer, training: Sequence[Sample]) -> Border | None:
    """What moves the borders of holes to where masks have them; from the masks that trained, no others."""
    masked = [s for s in training if s.source == "masks" and s.weight[data.CH].any()]
    if not masked:
        return None
    found = trainer.probabilities(masked)[:, data.CH]
    return border.fit(
        (one, s.brightness, s.target[data.CH], s.weight[data.CH])
        for one, s in zip(found, masked, strict=True)
    )


def _judge(trainer: Trainer, validation: Sequence[Sample]) -> dict[str, float]:
    """Loss and Dice of what was kept out; counts how long there was no better loss."""
    if not validation:
        return {}
    batch = plain_batch(validation)
    found = trainer.probabilities(validation)
    logits = torch.logit(torch.from_numpy(found), eps=1e-6)
    loss = float(segmentation_loss(logits, torch.from_numpy(batch.target), torch.from_numpy(batch.weight)))
    trainer.since_best = 0 if loss < trainer.best else trainer.since_best + 1
    trainer.best = min(trainer.best, loss)
    scores = agreement(found, validation)
    return {"validation_loss": loss} | {f"dice_{kind}": part["dice"] for kind, part in scores.items()}


def agreement(
    found: np.ndarray, samples: Sequence[Sample], threshold: float = 0.5
) -> dict[str, dict[str, float]]:
    """Dice and IoU pooled over the samples, on the network's own grid, for each labelled event type."""
    result: dict[str, dict[str, float]] = {}
    for number, kind in enumerate(EVENT_TYPES):
        both = either = 0
        for probability, sample in zip(found, samples, strict=True):
            known = sample.weight[number] > 0
            here, there = (probability[number] >= threshold) & known, (sample.target[number] >= 0.5) & known
            both += int((here & there).sum())
            either += int(here.sum() + there.sum())
        if any(sample.weight[number].any() for sample in samples):
            dice = 2 * both / either if either else 1.0
            result[str(kind)] = {"dice": dice, "iou": dice / (2 - dice)}
    return result
