"""Backbones beside each other: each one's features, a linear head on them, and what it costs (torch)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from models.aurora import data, head, measures
from models.aurora.backbones import BACKBONES
from models.aurora.data import CLASSES, Skies, decode
from models.aurora.inference import AuroraModel
from models.aurora.network import PRESETS, PictureTrunk, SkyNetwork, count_operations, count_parameters
from models.aurora.options import EvaluateOptions
from models.registry import read_manifest
from models.runtime import Runtime
from observatory.errors import UnusableInputError

FloatArray = NDArray[np.floating]

SHIPPED = "shipped"
_BATCH = 16
_TIMED = 10
_LEAST_HEAD_SAMPLES = 200


def compare(options: EvaluateOptions, testing: Skies) -> dict[str, Any]:
    """Each backbone's features with a head fitted on skies of the training cameras, on skies of others.

    Raises
    ------
    UnusableInputError
        When a backbone is unknown, or too few skies are asked for.
    """
    names = [name.strip() for name in options.backbones.split(",") if name.strip()]
    weights = _weights(options.weights)
    unknown = [name for name in (*names, *weights) if name not in (SHIPPED, *BACKBONES)]
    if unknown:
        known = ", ".join((SHIPPED, *BACKBONES))
        raise UnusableInputError(f"there is no backbone {unknown[0]}; there are {known}")
    if options.head_samples < _LEAST_HEAD_SAMPLES:
        raise UnusableInputError(f"--head-samples must be {_LEAST_HEAD_SAMPLES} or more")
    fitting = _fitting_skies(options)
    rows, tried = [], []
    for name in names:
        row, points = _one(name, weights.get(name), options, fitting, testing)
        rows.append(row)
        tried += points
    result: dict[str, Any] = {"backbones": rows}
    if options.grid:
        result["grid"] = tried
    if options.plots is not None:
        _draw(options.plots, rows, tried)
    for row in rows:
        row.pop("confusion")
    return result


def _weights(stated: str) -> dict[str, Path]:
    pairs = [part.partition("=") for part in stated.split(",") if part.strip()]
    if any(not sign for _, sign, _ in pairs):
        raise UnusableInputError("--weights are NAME=FILE.pth, separated by commas")
    return {name.strip(): Path(path.strip()) for name, _, path in pairs}


def _fitting_skies(options: EvaluateOptions) -> Skies:
    """Skies of the training cameras, of a seed that trained no network."""
    seed = options.seed + 1
    if options.cache is not None:
        return data.cached(options.cache / "heads", options.head_samples, seed)
    shards = range(-(-options.head_samples // data.SHARD))
    made = [
        data.simulated_shard(
            n, min(data.SHARD, options.head_samples - n * data.SHARD), seed, 256, is_testing=False
        )
        for n in track(shards, "simulating skies for heads", console=Console(stderr=True))
    ]
    return data.joined(made)


def _one(
    name: str, weights: Path | None, options: EvaluateOptions, fitting: Skies, testing: Skies
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A backbone's row, and the points of its grid."""
    extractor = Extractor(name, weights, options)
    is_known = fitting.classes >= 0
    features, classes = extractor.features(fitting)[is_known], fitting.classes[is_known].astype(int)
    points: list[dict[str, Any]] = []
    chosen: dict[str, float] = {}
    if options.grid:
        tried = head.search(features, classes, options.head)
        points = [{"backbone": name, **vars(one)} for one in tried]
        chosen = {"c": head.best_of(tried)}
    fitted = head.fit(features, classes, options.head, **chosen)
    kept = testing.classes >= 0
    found = head.probabilities(fitted, extractor.features(testing)[kept], len(CLASSES))
    report = measures.report(found, testing.classes[kept].astype(int))
    wanted = ("six_classes", "two_classes", "two_classes_auc", "calibration_error", "confusion")
    row = {"backbone": name, "weights": extractor.origin, "head": options.head, **chosen}
    row |= {"features": int(features.shape[1]), **extractor.cost}
    return row | {key: report[key] for key in wanted}, points


class Extractor:
    """Features of squares by the shipped network, or by a published backbone's pooled last map.

    Parameters
    ----------
    name : str
        ``shipped`` or one of `BACKBONES`.
    weights : Path or None
        Of the backbone; None leaves those made by chance, seeded.
    """

    def __init__(self, name: str, weights: Path | None, options: EvaluateOptions) -> None:
        self.name = name
        self._shipped: AuroraModel | None = None
        if name == SHIPPED:
            self._shipped = AuroraModel(Runtime(), read_manifest(options.family / "manifest.toml"))
            self.origin = self._shipped.identity.label
        else:
            torch.manual_seed(options.seed)
            self._trunk = PictureTrunk(name, weights).eval()
            self.origin = "by chance" if weights is None else weights.name
        self.cost = self._measured_cost()

    def features(self, skies: Skies) -> FloatArray:
        """Features (n, f) of all skies."""
        firsts = range(0, len(skies), _BATCH)
        shown = track(firsts, f"features of {self.name}", console=Console(stderr=True))
        return np.concatenate([self._batch(decode(skies.squares[n : n + _BATCH])) for n in shown])

    def _batch(self, image: FloatArray) -> FloatArray:
        if self._shipped is not None:
            return self._shipped.session.run({"image": image}, ("features",))["features"]
        with torch.no_grad():
            pooled: Tensor = self._trunk(torch.from_numpy(image))[2].mean(dim=(2, 3))
        return pooled.numpy()

    def _measured_cost(self) -> dict[str, float]:
        """Parameters, multiplications, and milliseconds for one sky alone."""
        config = PRESETS["small" if self._shipped is not None else self.name]
        network = SkyNetwork(config)
        image = np.zeros((1, 7, 128, 128), np.float32)
        self._batch(image)
        start = time.perf_counter()
        for _ in range(_TIMED):
            self._batch(image)
        spent = (time.perf_counter() - start) / _TIMED
        return {
            "parameters": count_parameters(network),
            "gmac": count_operations(network) / 1e9,
            "milliseconds": 1e3 * spent,
        }


def _draw(plots: Path, rows: list[dict[str, Any]], tried: Sequence[Mapping[str, Any]]) -> None:
    from models.aurora.figures import draw_confusion, draw_grid

    plots.mkdir(parents=True, exist_ok=True)
    for row in rows:
        title = f"{row['backbone']} ({row['weights']}): {100 * row['six_classes']:.1f} % balanced"
        matrix = np.array(row["confusion"]["rows_true"])
        path = plots / f"backbone-{row['backbone']}.png"
        draw_confusion(matrix, row["confusion"]["classes"], path, title)
    if tried:
        draw_grid(tried, plots / "grid.png")
