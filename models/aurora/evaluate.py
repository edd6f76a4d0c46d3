"""Measure the exported network on simulated cameras kept from training, and on real frames with labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from models.aurora import data, measures
from models.aurora.data import Skies, decode
from models.aurora.flags import of_flags
from models.aurora.inference import AuroraModel, by_sector
from models.aurora.labelled import pictures, read_labels
from models.aurora.options import EvaluateOptions
from models.registry import read_manifest
from models.reports import require_place
from models.runtime import Runtime
from observatory.analysis import Sky
from observatory.errors import UnusableInputError
from observatory.fisheye import Fisheye
from observatory.settings import test_data_dir

FloatArray = NDArray[np.floating]

_BATCH = 32
_CLOUDY = 0.5
_FLAGS = "lowell/cloud_flags.dat"


@dataclass(frozen=True)
class Judged:
    """One real frame, what was said of it and what is known of it."""

    name: str
    index: int
    camera: str
    words: str
    is_aurora: bool | None
    sky_class: str | None
    sky: Sky


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Measure and report; see `EvaluateOptions`.

    Returns
    -------
    dict
        ``simulated``, ``real``, ``lowell``, ``backbones`` and ``grid``, as far as they were asked for and
        their frames are at hand.

    Raises
    ------
    UnusableInputError
        When nothing is there to be measured, or an option is unknown.
    """
    require_place(options.output)
    if (options.images is None) != (options.labels is None):
        raise UnusableInputError("own pictures need both --images DIR and --labels CSV")
    model = AuroraModel(Runtime(options.device), read_manifest(options.family / "manifest.toml"))
    result: dict[str, Any] = {"model": model.identity.label}
    testing = None
    if options.simulated or options.backbones:
        testing = testing_skies(options)
        result["simulated"] = of_simulated(model, testing, options.plots)
    if options.images is not None and options.labels is not None:
        result["own"] = of_labelled(model, options.images, options.labels, options.plots, "own")
    result |= _of_shared(model, options)
    if options.backbones and testing is not None:
        from models.aurora.comparison import compare

        result |= compare(options, testing)
    if len(result) == 1:
        raise UnusableInputError(
            "nothing to measure: give --simulated N, --data FOLDER, or --images and --labels"
        )
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def testing_skies(options: EvaluateOptions) -> Skies:
    """Simulated skies of cameras that no training sees."""
    count = options.simulated or 1500
    if options.cache is not None:
        return data.cached(options.cache, count, options.seed, is_testing=True)
    shards = range(-(-count // data.SHARD))
    made = [
        data.simulated_shard(n, min(data.SHARD, count - n * data.SHARD), options.seed, 256, is_testing=True)
        for n in track(shards, "simulating skies", console=Console(stderr=True))
    ]
    return data.joined(made)


def run(model: AuroraModel, skies: Skies, batch: int = _BATCH) -> dict[str, FloatArray]:
    """Outputs of the network for all skies."""
    found: list[dict[str, FloatArray]] = []
    for first in range(0, len(skies), batch):
        image = decode(skies.squares[first : first + batch])
        found.append(model.said_of(image))
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def of_simulated(model: AuroraModel, skies: Skies, plots: Path | None) -> dict[str, Any]:
    """Classes, calibration and cloud on simulated skies; each camera apart; dependence on the batch."""
    found = run(model, skies)
    is_known = skies.classes >= 0
    true, probabilities = skies.classes[is_known].astype(int), found["probabilities"][is_known]
    report = measures.report(probabilities, true)
    report["cameras"] = {
        str(camera): measures.balanced_accuracy(probabilities[here].argmax(axis=1), true[here])
        for camera in np.unique(skies.cameras[is_known])
        if (here := skies.cameras[is_known] == camera).any()
    }
    report["cloud"] = cloud_agreement(found["cloud"], skies)
    few = skies.span(0, min(len(skies), 2 * _BATCH))
    apart = run(model, few, 1)["probabilities"] - found["probabilities"][: len(few)]
    report["batch_difference"] = float(np.abs(apart).max())
    if plots is not None:
        from models.aurora.figures import draw_classes

        draw_classes(plots, "simulated", probabilities, true, report)
    return report


def cloud_agreement(cloud: FloatArray, skies: Skies) -> dict[str, float]:
    """Share of cells and of sectors that are rightly cloudy or not, and the mean error of the cover."""
    covered = data.map_targets(skies.maps)[:, 0]
    cells = ((cloud >= _CLOUDY) == (covered >= _CLOUDY))[skies.is_known]
    north = Fisheye(0.0, 0.0, 1.0)
    right, total, errors = 0, 0, []
    for one, true, known in zip(cloud, covered, skies.is_known, strict=True):
        said = by_sector(one, known.astype(np.float32), north)
        so = by_sector(true, known.astype(np.float32), north)
        is_seen = np.isfinite(said)
        right += int(((said >= _CLOUDY) == (so >= _CLOUDY))[is_seen].sum())
        total += int(is_seen.sum())
        if is_seen.any():
            errors.append(
                abs(float(np.mean(said[is_seen] >= _CLOUDY)) - float(np.mean(so[is_seen] >= _CLOUDY)))
            )
    return {
        "cells": float(np.mean(cells)),
        "sectors": right / max(1, total),
        "cover_error": float(np.mean(errors)),
    }


def _of_shared(model: AuroraModel, options: EvaluateOptions) -> dict[str, Any]:
    """Real frames of the shared data, where they are at hand."""
    root = options.data or test_data_dir()
    folder = None if root is None else root / "allsky"
    if folder is None or not folder.is_dir():
        if options.data is not None:
            raise UnusableInputError(f"{options.data} has no folder allsky: name the folder above it")
        return {}
    found: dict[str, Any] = {}
    labels = folder / "visual_labels.csv"
    if labels.exists():
        found["real"] = of_labelled(model, folder, labels, options.plots, "real")
    if (folder / _FLAGS).exists():
        found["lowell"] = of_flags(model, folder / _FLAGS)
    return found


def of_labelled(
    model: AuroraModel, folder: Path, labels: Path, plots: Path | None, name: str
) -> dict[str, Any]:
    """Aurora against the rest, by the two-class sums, on real frames; six classes where labels say them.

    A frame that cannot be judged is no aurora. What the label does not judge is listed, not counted.
    """
    judged = [
        Judged(
            str(picture.path.relative_to(folder)),
            picture.frame.index,
            picture.path.relative_to(folder).parts[0],
            picture.label.words,
            picture.label.is_aurora,
            None if picture.label.sky_class is None else str(picture.label.sky_class),
            model.analyse(picture.frame),
        )
        for picture in pictures(folder, read_labels(labels))
    ]
    counted = [one for one in judged if one.is_aurora is not None]
    if not counted:
        raise UnusableInputError(f"{labels} judges no frame of {folder}")
    score = np.array([one.sky.aurora_probability or 0.0 for one in counted])
    true = np.array([bool(one.is_aurora) for one in counted])
    report: dict[str, Any] = {
        "frames": len(counted),
        "aurora_frames": int(true.sum()),
        "two_classes": measures.balanced_accuracy((score > 0.5).astype(int), true.astype(int)),
        "two_classes_by_file": _by_file(counted),
        "two_classes_auc": measures.roc(score, true)[2],
        "cameras": _by_camera(counted),
        "misses": [_row(one) for one, p, t in zip(counted, score, true, strict=True) if (p > 0.5) != t],
        "not_judged_by_label": [_row(one) for one in judged if one.is_aurora is None],
    }
    named = [one for one in counted if one.sky_class is not None]
    if named:
        right = [one.sky.sky_class == one.sky_class for one in named]
        report["named_classes"] = {"frames": len(named), "right": float(np.mean(right))}
    if plots is not None:
        _draw(plots, name, score, true, report)
    return report


def _by_file(judged: Sequence[Judged]) -> float:
    """Balanced accuracy in which every file has one vote, however many frames it holds."""
    votes: dict[str, list[bool]] = {}
    truth: dict[str, bool] = {}
    for one in judged:
        votes.setdefault(one.name, []).append((one.sky.aurora_probability or 0.0) > 0.5)
        truth[one.name] = bool(one.is_aurora)
    found = np.array([np.mean(v) > 0.5 for v in votes.values()]).astype(int)
    return measures.balanced_accuracy(found, np.array(list(truth.values())).astype(int))


def _by_camera(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in judged:
        row = found.setdefault(one.camera, {"frames": 0, "right": 0, "aurora": 0})
        row["frames"] += 1
        row["aurora"] += int(bool(one.is_aurora))
        row["right"] += int(((one.sky.aurora_probability or 0.0) > 0.5) == one.is_aurora)
    return found


def _row(one: Judged) -> dict[str, Any]:
    return {
        "file": one.name,
        "frame": one.index,
        "label": one.words,
        "sky_class": None if one.sky.sky_class is None else str(one.sky.sky_class),
        "aurora": one.sky.aurora_probability,
        "cloud_cover": one.sky.cloud_cover,
        "reason": one.sky.reason,
    }


def _draw(
    plots: Path, name: str, score: FloatArray, true: NDArray[np.bool_], report: Mapping[str, Any]
) -> None:
    from models.aurora.figures import draw_confusion, draw_reliability, draw_roc

    plots.mkdir(parents=True, exist_ok=True)
    matrix = measures.confusion((score > 0.5).astype(int), true.astype(int), 2)
    title = f"{name}: {100 * report['two_classes']:.1f} % balanced of {len(true)}"
    draw_confusion(matrix, ("none", "aurora"), plots / f"{name}-two-classes.png", title)
    draw_roc({"aurora": (score, true)}, plots / f"{name}-roc.png", name)
    draw_reliability({"aurora": (score, true)}, plots / f"{name}-reliability.png", name)
