"""Training: patches drawn fresh for every step, mean squared error, Adam (torch)."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.hmi_enhancement import classical, data
from models.hmi_enhancement.classical import Classical
from models.hmi_enhancement.comparison import BORDER_PX, psnr_db
from models.hmi_enhancement.data import Drawing, Pair, Source, Truth
from models.hmi_enhancement.network import DEFAULTS, MODELS, Enhancer, NetworkConfig
from models.hmi_enhancement.options import ExportOptions, TrainOptions
from models.hmi_enhancement.psf import PSFS, degrade
from models.journal import LOG, PER_CENT, Journal, draw_curves
from models.registry import sha256_of
from models.training import (
    CHECKPOINT,
    check_device,
    cosine,
    descend,
    follow,
    of_another_network,
    read_checkpoint,
    stated,
    warmed,
    write_checkpoint,
)
from observatory.analysis import Quantity
from observatory.errors import ModelError, UnusableInputError

BEST = "best.pt"  # the checkpoint of the best validation
EPOCH = 100  # steps: patches are drawn at random, so the data have no end of their own
SCHEDULES = ("cosine", "exponential", "constant")
_WARM_UP = 50  # steps
_FITTED = 16  # simulated pictures are enough for filters

#: What the networks subtract and divide by: the quiet Sun and its contrast, no field and 100 G.
CENTRES = {Quantity.CONTINUUM: 1.0, Quantity.FIELD: 0.0}
SCALE = 0.1


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
        self.network = Enhancer(config).to(self.device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network)
        kind = torch.optim.AdamW if options.weight_decay else torch.optim.Adam
        self.optimiser = kind(self._groups(), lr=options.lr)
        self.step = 0
        self.seconds = 0.0
        self.best = -float("inf")
        self.since_best = 0
        self.truths: list[dict[str, str]] = []

    def _groups(self) -> list[dict[str, Any]]:
        trained = [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]
        kernels = [p for name, p in trained if p.dim() == 4 and "linear" not in name]
        others = [p for name, p in trained if p.dim() != 4 or "linear" in name]
        # The gradient of l2 · w² is 2 · l2 · w, which is what Adam calls weight decay.
        decay = self.options.weight_decay or 2 * self.options.l2
        return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]

    def start_from(self, fitted: Classical) -> None:
        """Take the fitted linear filter as the efficient network's first guess."""
        if self.config.model == "efficient" and self.config.linear > 1:
            for network in (self.network, self.averaged):
                network.inner.linear.set(fitted.linear)

    def train_step(self, pair: Pair, progress: float) -> float:
        """One update; returns the mean squared error."""
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.lr * self._rate_factor(progress)
        observed, target = (torch.from_numpy(part).to(self.device) for part in pair)
        found = self.network(observed.contiguous(memory_format=torch.channels_last))
        # Near the edges the picture is mirrored: nothing to learn from.
        inner = (..., slice(BORDER_PX, -BORDER_PX), slice(BORDER_PX, -BORDER_PX))
        loss = ((found - target)[inner] ** 2).mean() / self.config.scale**2
        descend(loss, self.network, self.optimiser, most=1.0)
        self.step += 1
        follow(self.averaged, self.network, self.options.average, self.step)
        return float(loss.item()) * self.config.scale**2

    def _rate_factor(self, progress: float) -> float:
        last, schedule = self.options.lr_multiplier, self.options.schedule
        factor = {
            "constant": 1.0,
            "exponential": last**progress,
            "cosine": cosine(progress, last),
        }[schedule]
        return warmed(self.step, _WARM_UP) * factor

    def enhanced(self, observed: NDArray[np.float32]) -> NDArray[np.float32]:
        """A picture (h, w) through the averaged network."""
        self.averaged.eval()
        with torch.no_grad():
            given = torch.from_numpy(np.ascontiguousarray(observed))[None, None].to(self.device)
            return np.asarray(self.averaged(given)[0, 0].cpu().numpy())

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "options": stated(self.options),
            "config": self.config.to_dict(),
            "truths": self.truths,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "since_best": self.since_best,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same shape."""
        state = read_checkpoint(path, self.device, self.config.to_dict())
        if state["network"].keys() != self.network.state_dict().keys():
            raise of_another_network(path)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.best, self.since_best = float(state["best"]), int(state["since_best"])


def train(options: TrainOptions) -> Path:
    """Fit the classical filters, train, draw, export; returns the run's folder.

    Raises
    ------
    UnusableInputError
        When an option is unknown, a truth cannot be used, or there is nothing to learn from.
    ModelError
        When there is no checkpoint to continue from, or it is of another network.
    """
    from models.hmi_enhancement.export import export

    if options.threads:
        torch.set_num_threads(options.threads)
    config = config_of(options)
    checkpoint = options.output / CHECKPOINT
    if options.action == "continue" and not checkpoint.exists():
        raise ModelError(f"there is no {checkpoint} to continue from: give --action start")
    truths, validation = data.truths_of(options)
    sources = data.sources_of(options, truths)
    options.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(options, config)
    trainer.truths = [
        {"name": path.name, "sha256": sha256_of(path), "rows": options.rows}
        for path in data.paths_of(options.truth)
    ]
    fitted = fit_classical(options, truths, config.centre)
    if options.action == "continue":
        trainer.resume(checkpoint)
    else:
        trainer.start_from(fitted)
    held = [_held(truth, options) for truth in validation]
    if options.action == "start":  # not before all options were seen to be right
        for name in (LOG, CHECKPOINT, BEST):
            (options.output / name).unlink(missing_ok=True)
    loop(trainer, sources, held, drawing_of(options))
    _draw(trainer, sources, held)
    export(ExportOptions(checkpoint=checkpoint, output=options.output))
    if options.install:
        export(ExportOptions(checkpoint=checkpoint))
    return options.output


def config_of(options: TrainOptions) -> NetworkConfig:
    """Shape of the network that is asked for.

    Raises
    ------
    UnusableInputError
        When an option is unknown or beyond reason.
    """
    checks = (
        (options.action in ("start", "continue"), "action is start or continue"),
        (options.model in MODELS, f"model is one of {', '.join(MODELS)}"),
        (options.quantity in tuple(Quantity), "quantity is continuum or field"),
        (options.schedule in SCHEDULES, f"schedule is one of {', '.join(SCHEDULES)}"),
        (options.epochs > 0 and options.steps >= 0 and options.minutes >= 0, "train for some time"),
        (options.batch_size > 0 and options.patch >= 24, "a step takes patches, of 24 input pixels or more"),
        (options.noise >= 0 and options.lr > 0 and options.l2 >= 0, "noise, lr and l2 are not negative"),
        (0 <= options.validation_share < 1, "validation-share is 0 to 1"),
        (0 <= options.average < 1, "average is 0 to below 1"),
        (options.seed >= 0, "seed is 0 or more"),
    )
    for is_right, rule in checks:
        if not is_right:
            raise UnusableInputError(rule)
    check_device(options.device)
    known = DEFAULTS[options.model]
    return replace(
        known,
        channels=options.channels or known.channels,
        depth=options.depth or known.depth,
        activation=options.activation,
        linear=options.linear,
        is_linear_trained=options.linear_trained,
        is_residual=options.residual,
        centre=CENTRES[Quantity(options.quantity)],
        scale=SCALE,
    )


def drawing_of(options: TrainOptions) -> Drawing:
    """How patches are drawn for these options."""
    return Drawing(
        options.patch,
        options.noise,
        options.noise_spread,
        options.contrast_spread,
        CENTRES[Quantity(options.quantity)],
    )


def fit_classical(options: TrainOptions, truths: Sequence[Truth], centre: float) -> Classical:
    """Fit the filters for each point spread function; returns those for all that train together.

    They see the truths at their own size, or simulated pictures when there is no truth.
    """
    path = options.output / classical.FILE
    how = Drawing(options.patch, options.noise, centre=centre)
    known = [truth for truth in truths if not truth.is_simulated] or truths[:_FITTED]
    sources = {name: [data.source_of(truth, psf) for truth in known] for name, psf in PSFS.items()}
    if options.action == "start" or not path.exists():
        classical.save(path, {n: classical.fit(sources[n], PSFS[n], how, options.seed) for n in PSFS})
    trained = [name for name in PSFS if options.psf in (name, "both")]
    fitted, side = classical.load(path, trained[0]), max(3, options.linear)
    if len(trained) == 1 and side == fitted.linear.shape[-1]:
        return fitted
    random, together = np.random.default_rng((options.seed, 7)), [s for n in trained for s in sources[n]]
    observed, target = (part[:, 0] - centre for part in data.drawn(together, how, 80, random))
    return replace(fitted, linear=classical.fit_linear(observed, target, side))


def loop(trainer: Trainer, sources: Sequence[Source], held: Sequence[Pair], how: Drawing) -> None:
    """Train until the steps or the minutes are over; metrics and a checkpoint after each epoch."""
    options = trainer.options
    steps = options.steps or options.epochs * EPOCH
    begun = time.monotonic() - trainer.seconds
    errors: list[float] = []
    with Journal(options.output, 1.0, counted=PER_CENT) as journal:
        while (progress := _progress(trainer, steps)) < 1:
            random = np.random.default_rng((options.seed, trainer.step))
            errors.append(trainer.train_step(data.drawn(sources, how, options.batch_size, random), progress))
            trainer.seconds = time.monotonic() - begun
            is_over = _progress(trainer, steps) >= 1
            journal.show(progress)
            if trainer.step % EPOCH and not is_over:
                continue
            row = {"step": float(trainer.step), "seconds": round(trainer.seconds, 1)}
            row |= {"rms_error": float(np.sqrt(np.mean(errors)))} | judged(trainer, held)
            errors.clear()
            journal.note(row, {name: value for name, value in row.items() if name != "seconds"})
            trainer.save(options.output / CHECKPOINT)
            if held and not trainer.since_best:
                trainer.save(options.output / BEST)
            if options.patience and trainer.since_best >= options.patience:
                break
    trainer.save(options.output / CHECKPOINT)


def _progress(trainer: Trainer, steps: int) -> float:
    """How much of the run is over, 0 to 1: of the minutes where they are given, else of the steps."""
    minutes = trainer.options.minutes
    return trainer.seconds / (60 * minutes) if minutes else trainer.step / steps


def _held(truth: Truth, options: TrainOptions) -> Pair:
    psf = data.psfs_of(options.psf)[0]
    return degrade(truth.pixels, truth.pixel_km, psf, options.noise, np.random.default_rng(options.seed))


def judged(trainer: Trainer, held: Sequence[Pair]) -> dict[str, float]:
    """PSNR of what was kept out, and what is gained over bicubic; nothing when nothing was.

    Counts for how long there was no better one.
    """
    if not held:
        return {}
    found = [psnr_db(trainer.enhanced(observed), target) for observed, target in held]
    plain = [psnr_db(classical.bicubic(observed), target) for observed, target in held]
    mean = float(np.mean(found))
    trainer.since_best = 0 if mean > trainer.best else trainer.since_best + 1
    trainer.best = max(trainer.best, mean)
    return {"validation_psnr": mean, "gain_db": mean - float(np.mean(plain))}


def _draw(trainer: Trainer, sources: Sequence[Source], held: Sequence[Pair]) -> None:
    """Curves, and sample pictures: of what was kept out, else of what trained."""
    from models.hmi_enhancement.figures import draw_samples

    options = trainer.options
    draw_curves(options.output)
    pairs = list(held)
    if not pairs:
        how = replace(drawing_of(options), side=64)
        drawn = data.drawn(sources, how, 3, np.random.default_rng((options.seed, 11)))
        pairs = [(observed[0], target[0]) for observed, target in zip(*drawn, strict=True)]
    draw_samples(
        options.output / "samples.png",
        [(observed, trainer.enhanced(observed), target) for observed, target in pairs],
    )
