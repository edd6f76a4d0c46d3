"""Training: adversarial auto-encoder, classifiers and diagnosis head in one loop (torch)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.halpha_quality.calibrate import LEAST_FRAMES, too_few
from models.halpha_quality.data import (
    BaseSet,
    Batch,
    InjectedDefects,
    LabelledBad,
    convert,
    simulated_bases,
)
from models.halpha_quality.network import (
    PRESETS,
    Diagnosis,
    MultiScale,
    NetworkConfig,
    QualityNetwork,
    content_loss,
    mean_logit,
)
from models.halpha_quality.options import ExportOptions, TrainOptions
from models.halpha_quality.preparation import PREPARATIONS, Preparation
from models.journal import Journal, draw_curves
from models.training import (
    CHECKPOINT,
    begin_anew,
    check_counts,
    check_device,
    check_split,
    cosine,
    prefetch,
    read_checkpoint,
    stated,
    warmed,
    write_checkpoint,
)
from observatory.errors import SettingsError, UnusableInputError

_log = logging.getLogger(__name__)

_NAMED = 5  # of the frames that are left out
_VALIDATION_STEP = 1_000_000_000  # batch numbers far from those of training


class Trainer:
    """Networks, optimisers and one training step."""

    def __init__(self, options: TrainOptions, config: NetworkConfig) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.config = config
        self.device = torch.device(options.device)
        self.model = QualityNetwork(config).to(self.device)
        self.discriminator = MultiScale(config).to(self.device)
        adam = {"lr": options.learning_rate, "betas": (0.5, 0.9)}  # as published
        self.optimisers = {
            "generator": torch.optim.Adam(self.model.generator.parameters(), **adam),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), **adam),
            "classifier": torch.optim.Adam(self.model.classifier.parameters(), **adam),
            "head": torch.optim.Adam(self.model.head.parameters(), lr=options.head_learning_rate),
        }
        self.step = 0

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One update of everything; returns the losses."""
        self.model.train()
        data = {name: torch.from_numpy(value).to(self.device) for name, value in vars(batch).items()}
        good = data["degraded"] < 0.05
        losses: dict[str, float] = {}
        # The adversarial pair costs most of a step and is not what converges last.
        adversarial = self.step % self.options.adversarial_every == 0
        with torch.set_grad_enabled(adversarial):
            made = self.model.generator(data["image"])
        if adversarial:
            losses |= self._train_discriminator(data["image"][good], made[good].detach())
        losses |= self._train_classifier(data)
        if adversarial:
            losses |= self._train_generator(data["image"][good], made[good])
        losses |= self._train_head(data, made.detach())
        self.step += 1
        return losses

    def _train_discriminator(self, real: Tensor, made: Tensor) -> dict[str, float]:
        if not len(real):
            return {}
        real_logits, _ = self.discriminator(real)
        made_logits, _ = self.discriminator(made)
        if self.options.adversarial == "wgan-gp":
            loss = mean_logit(made_logits).mean() - mean_logit(real_logits).mean()
            loss = loss + self.config.loss.gradient_penalty * self._gradient_penalty(real, made)
        else:
            parts = [
                ((r - 1) ** 2).mean() + (m**2).mean() for r, m in zip(real_logits, made_logits, strict=True)
            ]
            loss = torch.stack(parts).mean()
        self._update("discriminator", loss)
        return {"discriminator": loss.item()}

    def _gradient_penalty(self, real: Tensor, made: Tensor) -> Tensor:
        """Two-sided penalty of Gulrajani et al. 2017, eq. 3."""
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        mixed = (share * real + (1 - share) * made).requires_grad_(True)
        logits = mean_logit(self.discriminator(mixed)[0]).sum()
        (gradient,) = torch.autograd.grad(logits, mixed, create_graph=True)
        return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()

    def _train_classifier(self, data: Mapping[str, Tensor]) -> dict[str, float]:
        if self.options.mode == "one_class":  # its features are the discriminators'
            self.model.classifier.load_state_dict(self.discriminator.state_dict())
            return {}
        logits, _ = self.model.classifier(data["image"])
        loss = functional.binary_cross_entropy_with_logits(mean_logit(logits), data["degraded"])
        self._update("classifier", self.config.loss.classifier * loss)
        return {"classifier": loss.item()}

    def _train_generator(self, real: Tensor, made: Tensor) -> dict[str, float]:
        if not len(real):
            return {}
        weights = self.config.loss
        logits, made_features = self.discriminator(made)
        with torch.no_grad():
            _, features = self.discriminator(real)
            _, judged = self.model.classifier(real)
        _, made_judged = self.model.classifier(made)
        content = content_loss(judged, made_judged).mean() + content_loss(features, made_features).mean()
        if self.options.adversarial == "wgan-gp":
            adversarial = -mean_logit(logits).mean()
        else:
            adversarial = torch.stack([((logit - 1) ** 2).mean() for logit in logits]).mean()
        reconstruction = functional.l1_loss(made, real)
        loss = (
            weights.adversarial * adversarial
            + weights.content * content
            + weights.reconstruction * reconstruction
        )
        self._update("generator", loss)
        return {
            "adversarial": adversarial.item(),
            "content": content.item(),
            "reconstruction": reconstruction.item(),
        }

    def _train_head(self, data: Mapping[str, Tensor], made: Tensor) -> dict[str, float]:
        found = self.model.head(data["image"], (data["image"] - made).abs())
        parts = head_losses(found, data)
        weights = self.config.loss
        loss = (
            weights.region * parts["region"]
            + weights.causes * parts["causes"]
            + weights.severity * parts["severity"]
            + weights.classifier * parts["head_degraded"]
        )
        self._update("head", loss)
        return {name: part.item() for name, part in parts.items()}

    def _update(self, name: str, loss: Tensor) -> None:
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()

    def decay(self) -> None:
        """Cosine from the given rates to a fiftieth over the run."""
        factor = cosine(self.step / max(1, self.options.steps), 0.02)
        warm = warmed(self.step, 100)
        for name, optimiser in self.optimisers.items():
            rate = self.options.head_learning_rate if name == "head" else self.options.learning_rate
            for group in optimiser.param_groups:
                group["lr"] = rate * factor * warm

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "options": stated(self.options),
            "config": asdict(self.config),
            "step": self.step,
            "model": self.model.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }
        write_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same shape."""
        state = read_checkpoint(path, self.device, asdict(self.config))
        self.model.load_state_dict(state["model"])
        self.discriminator.load_state_dict(state["discriminator"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.step = int(state["step"])


def head_losses(found: Diagnosis, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Losses of the diagnosis; pictures without truth count for `degraded` alone."""
    known = data["has_truth"]
    share = known.sum().clamp(min=1)
    region = found.region[:, 0]
    pixel = functional.binary_cross_entropy_with_logits(region, data["region"], reduction="none")
    probability = torch.sigmoid(region)
    both = (probability * data["region"]).sum(dim=(1, 2))
    either = probability.sum(dim=(1, 2)) + data["region"].sum(dim=(1, 2))
    # Dice beside cross-entropy, so that a narrow contrail counts as much as a wide cloud.
    has_region = known * (data["region"].sum(dim=(1, 2)) > 0)
    dice = (1 - (2 * both + 1) / (either + 1)) * has_region
    causes = functional.binary_cross_entropy_with_logits(found.causes, data["causes"], reduction="none")
    severity = functional.smooth_l1_loss(found.severity, data["severity"], reduction="none", beta=0.1)
    return {
        "region": 2 * (pixel.mean(dim=(1, 2)) * known).sum() / share
        + dice.sum() / has_region.sum().clamp(min=1),
        "causes": 3 * (causes.mean(dim=1) * known).sum() / share,
        "severity": (severity.mean(dim=1) * known).sum() / share,
        "head_degraded": functional.binary_cross_entropy_with_logits(found.degraded, data["degraded"]),
    }


def train(options: TrainOptions) -> Path:
    """Train, draw, export; returns the run's folder.

    Parameters
    ----------
    options : TrainOptions
        `preparation` names an entry of `PREPARATIONS`; put one of your own there first.

    Raises
    ------
    SettingsError
        When an option is unknown.
    UnusableInputError
        When there is nothing good to learn from, a folder has no frame that can be used, a number is none
        that can be, or there is no such device.
    ModelError
        When the checkpoint to go on from is of another network.
    """
    from models.halpha_quality.export import export

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.mode not in ("classifier", "one_class") or options.adversarial not in ("lsgan", "wgan-gp"):
        raise SettingsError("mode is classifier or one_class; adversarial is lsgan or wgan-gp")
    check_device(options.device)
    check_counts(options, "steps", "batch", "validate_every", "adversarial_every")
    check_split(options.validation_share, options.seed)
    if options.calibrate < LEAST_FRAMES:  # known before the training, not after it
        raise too_few(options.calibrate)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.preparation not in PREPARATIONS or options.preset not in PRESETS:
        known = (*PREPARATIONS, *PRESETS)
        raise SettingsError(
            f"{options.preparation} or {options.preset} is unknown; there are {', '.join(known)}"
        )
    config = replace(PRESETS[options.preset], classified=options.mode == "classifier")
    prepare = PREPARATIONS[options.preparation]
    training, validation, bad = load_bases(options, config.side)
    trainer = Trainer(options, config)
    checkpoint = options.output / CHECKPOINT
    if options.resume and checkpoint.exists():
        trainer.resume(checkpoint)
    else:
        begin_anew(options.output)
    _loop(trainer, _Batches(options, training, bad, prepare, config.side), validation, prepare)
    trainer.save(checkpoint)
    export(ExportOptions(checkpoint=checkpoint, output=options.output, calibrate=options.calibrate))
    if options.install:
        export(ExportOptions(checkpoint=checkpoint, calibrate=options.calibrate))
    return options.output


def load_bases(options: TrainOptions, side: int) -> tuple[BaseSet, BaseSet, BaseSet | None]:
    """Good frames for training and validation, and bad ones; converted once per output folder."""
    cache = options.output / f"bases-{side}-{options.seed}.npz"
    good: list[BaseSet] = []
    kept: list[BaseSet] = []
    if options.good is not None:
        first, last = own_bases(options.good, side).split(options.validation_share)
        good.append(first)
        kept.append(last)
    if options.simulated:
        if cache.exists() and len(stored := BaseSet.load(cache)) == options.simulated:
            simulated = stored
        else:
            simulated = simulated_bases(options.simulated, side, options.seed)
            simulated.save(cache)
        first, last = simulated.split(0.1)
        good.append(first)
        kept.append(last)
    if not good or not sum(len(part) for part in good):
        raise UnusableInputError("no good frames: give a folder of them (--good) or --simulated above 0")
    bad = None if options.bad is None else own_bases(options.bad, side)
    return BaseSet.join(good), BaseSet.join(kept), bad


def own_bases(folder: Path, side: int) -> BaseSet:
    """Disks of a folder's frames; those that cannot be used are left out, counted and named in the log.

    Raises
    ------
    UnusableInputError
        When there is no such folder, or no frame in it can be used.
    """
    if not folder.is_dir():
        raise UnusableInputError(f"there is no folder {folder}")
    refused: list[str] = []
    found = convert(
        sorted(folder.rglob("*")), side, None, lambda path, why: refused.append(f"{path.name} ({why})")
    )
    if refused:
        more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        count = f"{len(refused)} of {len(refused) + len(found)}"
        _log.warning("%s frames of %s are left out: %s%s", count, folder, "; ".join(refused[:_NAMED]), more)
    if not len(found):
        raise UnusableInputError(
            f"{folder} has no frame with a disk: FITS, PNG, JPEG, TIFF and npy files are read"
        )
    return found


class _Batches:
    """Batch number n of a run: clean, injected and, where given, bad frames of one's own."""

    def __init__(
        self, options: TrainOptions, good: BaseSet, bad: BaseSet | None, prepare: Preparation, side: int
    ) -> None:
        self.options = options
        self.injected = InjectedDefects(good, prepare, side, options.seed)
        self.bad = LabelledBad(bad, prepare, side, options.seed) if bad is not None and len(bad) else None

    def __call__(self, step: int) -> Batch:
        size = self.options.batch
        if self.options.mode == "one_class":
            # The adversarial part sees good frames alone; defects reach the head only.
            return self.injected.batch(size, step, 0.5 if self.options.inject else 0.0)
        share = 0.6 if self.options.inject else 0.0
        if self.bad is None:
            return self.injected.batch(size, step, share)
        own = max(1, size // 4) if self.options.inject else size // 2
        return _join(self.injected.batch(size - own, step, share), self.bad.batch(own, step))


def _join(first: Batch, second: Batch) -> Batch:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Batch(*(np.concatenate(pair) for pair in pairs))


def _loop(trainer: Trainer, batches: _Batches, validation: BaseSet, prepare: Preparation) -> None:
    options = trainer.options
    check = InjectedDefects(validation, prepare, trainer.config.side, options.seed + 1)
    recent: list[dict[str, float]] = []
    with Journal(options.output, options.steps, trainer.step) as journal:
        for batch in prefetch(batches, trainer.step, options.steps):
            trainer.decay()
            recent.append(trainer.train_step(batch))
            journal.show(trainer.step)
            if trainer.step % options.validate_every and trainer.step != options.steps:
                continue
            names = {name for entry in recent for name in entry}
            found = {n: float(np.mean([e[n] for e in recent if n in e])) for n in names}
            found |= validate(trainer, check)
            recent.clear()
            row: dict[str, float] = {"step": trainer.step} | {name: found[name] for name in sorted(found)}
            journal.note(row, {"region IoU": row["val_iou"]})
            trainer.save(options.output / CHECKPOINT)
            draw_samples(trainer, check, options.output / "samples.png")
            draw_curves(options.output)


@torch.no_grad()
def validate(trainer: Trainer, check: InjectedDefects, batches: int = 6) -> dict[str, float]:
    """Losses and region IoU, cause F1 and severity error on kept frames with fresh defects."""
    trainer.model.eval()
    sums: dict[str, list[float]] = {}
    hits = np.zeros((3, 5))
    errors, contents = [], []
    intersect, union = [], []
    for index in range(batches):
        batch = check.batch(trainer.options.batch, _VALIDATION_STEP + index)
        data = {name: torch.from_numpy(value).to(trainer.device) for name, value in vars(batch).items()}
        made, content, _, region, causes, severity = trainer.model(data["image"])
        found = trainer.model.head(data["image"], (data["image"] - made).abs())
        for name, part in head_losses(found, data).items():
            sums.setdefault(f"val_{name}", []).append(part.item())
        said, true = (causes > 0).cpu().numpy(), batch.causes > 0.5
        hits += np.stack([(said & true).sum(0), (said & ~true).sum(0), (~said & true).sum(0)])
        spoilt = batch.degraded > 0.3
        errors.append(np.abs(severity.cpu().numpy() - batch.severity)[spoilt].mean(0))
        mask = region.cpu().numpy() > 0.5
        intersect.append((mask & (batch.region > 0.5)).sum((1, 2))[spoilt])
        union.append((mask | (batch.region > 0.5)).sum((1, 2))[spoilt])
        contents.append(
            [content.cpu().numpy()[batch.degraded < 0.05].mean(), content.cpu().numpy()[spoilt].mean()]
        )
    row = {name: float(np.mean(values)) for name, values in sums.items()}
    row["val_iou"] = float(np.mean(np.concatenate(intersect) / np.maximum(np.concatenate(union), 1)))
    row["val_cause_f1"] = float(np.mean(2 * hits[0] / np.maximum(2 * hits[0] + hits[1] + hits[2], 1)))
    row["val_severity_error"], row["val_band_error"] = (float(v) for v in np.mean(errors, axis=0))
    row["val_content_good"], row["val_content_bad"] = (float(v) for v in np.mean(contents, axis=0))
    return row


@torch.no_grad()
def draw_samples(trainer: Trainer, check: InjectedDefects, output: Path) -> None:
    """Picture, reconstruction, found region, true region of validation frames."""
    import cv2

    trainer.model.eval()
    batch = check.batch(10, _VALIDATION_STEP + 99, 0.8)
    made, _, _, region, _, _ = trainer.model(torch.from_numpy(batch.image).to(trainer.device))
    rows = [batch.image[:, 0], made[:, 0].cpu().numpy(), 2 * region.cpu().numpy() - 1, 2 * batch.region - 1]
    picture = np.vstack([np.hstack(list(row)) for row in rows])
    cv2.imwrite(str(output), np.clip(127.5 * picture + 127.5, 0, 255).astype(np.uint8))
