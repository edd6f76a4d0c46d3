"""Measure the exported model through the path that workers use (no torch needed)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.halpha_quality.calibrate import as_frame, film, simulated_frame, spoil
from models.halpha_quality.data import HEAD_CAUSES, LAST_TRAINING_DAY, READERS
from models.halpha_quality.inference import HalphaQuality
from models.halpha_quality.options import EvaluateOptions
from models.halpha_quality.preparation import crop_disk
from models.registry import read_manifest
from models.reports import require_place
from models.runtime import Runtime
from models.simulate.degrade import DEGRADATIONS
from observatory.analysis import Cause, Quality
from observatory.errors import UnusableInputError
from observatory.settings import test_data_dir
from observatory.sun import fit_limb, single_plane

FloatArray = NDArray[np.floating]

#: Frames of the published class "low" are often visually clear, so class and content_loss must agree.
CLEAR_CONTENT, DEGRADED_CONTENT = 0.3, 0.4


@dataclass(frozen=True)
class Confusion:
    """Counts with "degraded" as the positive class.

    The published training code swaps false negatives and false positives in its log; here a
    false negative is a degraded frame that was called clear.
    """

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int

    @classmethod
    def of(cls, said: Iterable[bool], truth: Iterable[bool]) -> Confusion:
        """Count pairs of answer and truth."""
        pairs = list(zip(said, truth, strict=True))
        return cls(
            sum(s and t for s, t in pairs),
            sum(s and not t for s, t in pairs),
            sum(not s and not t for s, t in pairs),
            sum(not s and t for s, t in pairs),
        )

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares of degraded and of clear frames that were called so."""
        bad = self.true_positive + self.false_negative
        good = self.true_negative + self.false_positive
        return 0.5 * (self.true_positive / max(bad, 1) + self.true_negative / max(good, 1))

    def to_json(self) -> dict[str, float]:
        """Counts and balanced accuracy."""
        return {**vars(self), "balanced_accuracy": self.balanced_accuracy}


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Run every measurement for which there is data; what is missing is named under ``skipped``.

    Raises
    ------
    UnusableInputError
        When one of the two folders of one's own is named without the other, or holds no frame.
    """
    if (options.good is None) != (options.bad is None):
        raise UnusableInputError("frames of one's own need both --good DIR and --bad DIR")
    require_place(options.output)
    model = HalphaQuality(Runtime(), read_manifest(options.family / "manifest.toml"))
    results: dict[str, Any] = {"model": vars(model.identity) | {"parameters": None}, "skipped": []}
    data = options.data or test_data_dir()
    if data is not None:
        results["kso"] = evaluate_labelled_kso(model, data / "halpha" / "kso_20190126")
        results["good_frames"] = evaluate_good(model, data / "halpha")
        held_out = held_out_frames(data / "halpha")
    else:
        results["skipped"] += ["kso and bbso/gong frames: set --data or HELIOWATCH_TEST_DATA"]
        random = np.random.default_rng((options.seed, 3))
        held_out = [film(simulated_frame(random).pixels, random) for _ in range(8)]
    if options.good is not None and options.bad is not None:
        results["own"] = evaluate_folders(model, options.good, options.bad)
    results["injected"] = evaluate_injected(model, held_out, options.injected, options.seed)
    results["conformal"] = evaluate_coverage(model, options.simulated, options.seed)
    if options.output is not None:
        options.output.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def evaluate_labelled_kso(model: HalphaQuality, folder: Path) -> dict[str, Any]:
    """The published labels: clear against degraded, and rank correlation with content_loss."""
    with (folder / "labels.csv").open() as stored:
        rows = list(csv.DictReader(stored))
    found = [model.analyse(as_frame(READERS[".png"](folder / row["file"]))) for row in rows]
    content = np.array([float(row["siqa_content_loss"]) for row in rows])
    high = np.array([row["siqa_class"] == "high" for row in rows])
    clear, degraded = high & (content < CLEAR_CONTENT), content > DEGRADED_CONTENT
    judged = np.flatnonzero(clear | degraded)
    scores = np.array([quality.score for quality in found])
    confusion = Confusion.of([found[k].is_degraded for k in judged], [bool(degraded[k]) for k in judged])
    above = content > CLEAR_CONTENT
    names = (
        "band_rms",
        "structure_rms",
        "cloud_rms",
        "transmission_rms",
        "transmission_band_rms",
        "content_loss",
    )
    return {
        "frames": len(rows),
        "clear": int(clear.sum()),
        "degraded": int(degraded.sum()),
        **confusion.to_json(),
        "spearman_all": abs(spearman(scores, content)),
        "spearman_above_0.3": abs(spearman(scores[above], content[above])),
        "spearman_of_measures": {
            name: [
                spearman(values := np.array([q.measures[name] for q in found]), content),
                spearman(values[above], content[above]),
            ]
            for name in (*names, "p_degraded")
        },
    }


def evaluate_good(model: HalphaQuality, root: Path) -> dict[str, Any]:
    """Scores of frames known to be good; none may be degraded."""
    files = sorted((root / "bbso").glob("*.jpg")) + sorted((root / "gong").glob("*.fz"))
    table = {}
    for path in files:
        quality = model.analyse(as_frame(READERS[path.suffix](path)))
        table[path.name] = {
            "score": round(quality.score, 4),
            "is_degraded": quality.is_degraded,
            "p_value": round(quality.p_value or 0.0, 4),
            "causes": [str(entry.cause) for entry in quality.causes],
        }
    degraded = [name for name, row in table.items() if row["is_degraded"]]
    return {"frames": len(table), "called_degraded": degraded, "table": table}


def evaluate_folders(model: HalphaQuality, good: Path, bad: Path) -> dict[str, Any]:
    """Two folders of one's own; ``left_out`` names what cannot be read."""
    said: list[bool] = []
    truth: list[bool] = []
    left_out: list[dict[str, str]] = []
    for folder, label in ((good, False), (bad, True)):
        before = len(said)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in READERS:
                continue
            try:
                pixels = READERS[path.suffix.lower()](path)
            except (OSError, ValueError) as error:
                left_out.append({"file": str(path), "error": str(error)})
                continue
            said.append(model.analyse(as_frame(pixels)).is_degraded)
            truth.append(label)
        if len(said) == before:
            raise UnusableInputError(
                f"{folder} has no frame that can be read: FITS, PNG, JPEG, TIFF and npy files are"
            )
    return Confusion.of(said, truth).to_json() | {"left_out": left_out}


def held_out_frames(root: Path) -> list[np.ndarray]:
    """Good frames of the days that no training saw: BBSO from 2015-08-07, and GONG."""
    bbso = sorted((root / "bbso").glob("bbso_halph_fl_*.jpg"))
    frames = [READERS[".jpg"](path) for path in bbso if path.name.split("_")[3] > LAST_TRAINING_DAY]
    return frames + [READERS[".fz"](path) for path in sorted((root / "gong").glob("*.fz"))]


def evaluate_injected(
    model: HalphaQuality, frames: Sequence[np.ndarray], count: int, seed: int
) -> dict[str, Any]:
    """One defect of each kind in turn on good frames: causes (F1) and regions (IoU)."""
    random = np.random.default_rng((seed, 1))
    causes = list(DEGRADATIONS)
    truth: list[Cause] = []
    said: list[Quality] = []
    overlaps: dict[str, list[float]] = {}
    for index in range(count):
        cause = causes[index % len(causes)]
        pixels = _at_size(frames[index // len(causes) % len(frames)], random)
        fit = fit_limb(pixels)
        if fit is None:
            continue
        spoilt = spoil(pixels, fit.to_pointing(), cause, random)
        quality = model.analyse(as_frame(spoilt.pixels))
        truth.append(cause)
        said.append(quality)
        if cause.value in HEAD_CAUSES and spoilt.degraded is not None and quality.region_map is not None:
            overlap = region_overlap(quality, spoilt.degraded.truth.region, spoilt.pixels)
            overlaps.setdefault(cause.value, []).append(overlap)
    scores = cause_f1(said, truth)
    return {
        "frames": len(truth),
        "detected": float(np.mean([quality.is_degraded for quality in said])),
        "macro_f1": float(np.mean(list(scores.values()))),
        "f1": scores,
        "region_iou": float(np.mean([v for values in overlaps.values() for v in values])),
        "region_iou_by_cause": {name: float(np.mean(values)) for name, values in overlaps.items()},
        "confused": _confused(said, truth),
    }


def _at_size(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The frame at its own size or smaller, turned by a right angle."""
    plane = single_plane(pixels)
    side = int(random.choice([390, 512, 1024, 2048]))
    if side < plane.shape[0]:
        plane = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(np.rot90(plane, int(random.integers(4))))


def cause_f1(said: Sequence[Quality], truth: Sequence[Cause]) -> dict[str, float]:
    """F1 of each cause; a cause is named when its probability is at least one half."""
    named = [{entry.cause for entry in quality.causes if entry.probability >= 0.5} for quality in said]
    scores = {}
    for cause in sorted(set(truth)):
        hit = sum(cause in n and t == cause for n, t in zip(named, truth, strict=True))
        wrong = sum(cause in n and t != cause for n, t in zip(named, truth, strict=True))
        missed = sum(cause not in n and t == cause for n, t in zip(named, truth, strict=True))
        scores[str(cause)] = 2 * hit / max(2 * hit + wrong + missed, 1)
    return scores


def _confused(said: Sequence[Quality], truth: Sequence[Cause]) -> dict[str, dict[str, int]]:
    """How often each true cause was called what (most probable cause, or clear)."""
    table: dict[str, dict[str, int]] = {}
    for quality, cause in zip(said, truth, strict=True):
        name = str(quality.causes[0].cause) if quality.is_degraded and quality.causes else "clear"
        row = table.setdefault(str(cause), {})
        row[name] = row.get(name, 0) + 1
    return table


def region_overlap(quality: Quality, region: NDArray[np.bool_], pixels: np.ndarray) -> float:
    """Intersection over union of the region map and the true region, on the map's grid."""
    fit = fit_limb(pixels)
    if fit is None or quality.region_map is None:
        return 0.0
    side = quality.region_map.shape[0]
    square, _ = crop_disk(region.astype(np.uint8) * np.uint8(255), fit, side)
    true, found = square > 127, quality.region_map > 0.5
    return float((true & found).sum() / max((true | found).sum(), 1))


def evaluate_coverage(model: HalphaQuality, count: int, seed: int, level: float = 0.1) -> dict[str, float]:
    """Share of fresh good simulated frames with p-value above `level`: 1 - level if calibrated."""
    random = np.random.default_rng((seed, 2))
    values, degraded = [], 0
    for _ in range(count):
        quality = model.analyse(as_frame(film(simulated_frame(random).pixels, random)))
        values.append(quality.p_value or 0.0)
        degraded += quality.is_degraded
    return {
        "frames": count,
        "level": level,
        "coverage": float(np.mean(np.array(values) > level)),
        "called_degraded": degraded / max(count, 1),
    }


def spearman(first: FloatArray, second: FloatArray) -> float:
    """Rank correlation with ties at their mean rank."""
    ranks = [_ranks(np.asarray(values)) for values in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[inverse]


def summary(results: Mapping[str, Any]) -> str:
    """The acceptance numbers in a few lines."""
    lines = []
    if "kso" in results:
        kso = results["kso"]
        lines.append(
            f"KSO {kso['frames']} frames: balanced accuracy {kso['balanced_accuracy']:.4f} "
            f"(FN {kso['false_negative']}, FP {kso['false_positive']}), "
            f"Spearman {kso['spearman_all']:.3f} all, {kso['spearman_above_0.3']:.3f} above 0.3"
        )
        good = results["good_frames"]
        lines.append(
            f"good BBSO and GONG: {len(good['called_degraded'])} of {good['frames']} called degraded"
        )
    injected, conformal = results["injected"], results["conformal"]
    lines.append(
        f"injected {injected['frames']}: macro-F1 {injected['macro_f1']:.3f}, "
        f"region IoU {injected['region_iou']:.3f}, detected {injected['detected']:.3f}"
    )
    lines.append(f"conformal coverage {conformal['coverage']:.4f} of {conformal['frames']} at 0.90")
    return "\n".join(lines)
