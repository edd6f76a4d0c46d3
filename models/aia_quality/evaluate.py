"""Measure the model: good frames called degraded, injected defects found; calibrate its p-value."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.aia_quality.defects import DEFECTS
from models.aia_quality.inference import AiaQuality
from models.aia_quality.options import EvaluateOptions, ExportOptions
from observatory.errors import ModelError, UnusableInputError
from observatory.euv import disk_of, monochrome
from observatory.frame import Frame
from observatory.instruments import Limits, read_file

_FORMATS = {".fits", ".fz", ".fts", ".jp2", ".jpg", ".png"}
_GOOD = (
    "sdo_boxes/aia_193",
    "sdo_boxes/aia_304",
    *(f"aia/{name}" for name in ("png", "browse_20250205", "coronal_hole_masks/images", "fits", "jp2")),
)
_CCD_FULL = 16383.0
_FOLDER = Path(__file__).parent


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Good frames called degraded, and the share of injected defects found and named."""
    frames = list(good_frames(_folders(options.data)))
    return measure(frames, AiaQuality(), options.every, options.seed)


def good_frames(folders: Sequence[Path]) -> Iterator[Frame]:
    """All coronal frames in folders, by name; what cannot be read is left out."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _FORMATS):
            try:
                opened = read_file(path, Limits())
                if opened.kind.family == "aia":
                    yield opened.frame()
            except UnusableInputError:
                continue


def _folders(data: Path | None) -> list[Path]:
    """The folder asked for, else those of the test data that hold good coronal frames.

    Raises
    ------
    ModelError
        When neither is there.
    """
    if data is not None:
        return [data]
    named = os.environ.get("HELIOWATCH_TEST_DATA")
    if not named or not Path(named).is_dir():
        raise ModelError("no frames: name a folder of good ones with --data, or set HELIOWATCH_TEST_DATA")
    return [Path(named) / folder for folder in _GOOD]


def measure(frames: Sequence[Frame], model: AiaQuality, every: int, seed: int) -> dict[str, Any]:
    """See `evaluate`."""
    good = [(frame, model.analyse(frame)) for frame in frames]
    wrongly = [frame.file_name for frame, quality in good if quality.is_degraded]
    found, named, total = Counter[str](), Counter[str](), Counter[str]()
    random = np.random.default_rng(seed)
    for frame, _ in good[::every]:
        plane = monochrome(frame)
        disk = disk_of(frame, plane)
        if min(plane.pixels.shape) < 2 * disk.radius_px:
            continue
        image = plane.pixels.astype(np.float32)
        full = 255.0 if plane.is_picture else _CCD_FULL
        for name, (defect, causes) in DEFECTS.items():
            spoilt = np.clip(np.rint(defect(image, disk, full, random)), -32768, full)
            pixels = spoilt.astype(np.uint8 if plane.is_picture else np.int16)
            quality = model.analyse(replace(frame, pixels=pixels))
            total[name] += 1
            found[name] += quality.is_degraded
            named[name] += any(cause.cause in causes for cause in quality.causes)
    return {
        "good": len(good),
        "good_called_degraded": wrongly,
        "defects": {
            name: {"n": total[name], "found": found[name] / total[name], "named": named[name] / total[name]}
            for name in total
        },
    }


def calibrate(options: ExportOptions) -> dict[str, Any]:
    """Write the calibration of the p-value from good pictures, every other one kept back to check it."""
    model = AiaQuality(is_calibrated=False)
    frames = good_frames(_folders(options.data))
    readings = (model.read(frame) for frame in frames)
    strange = np.array([found.strangeness for found in readings if found.is_picture])
    if len(strange) < 40:
        raise ModelError(f"{len(strange)} pictures are too few to calibrate on")
    path = _FOLDER / "calibration.npz"
    np.savez_compressed(path, strangeness=strange[::2].astype(np.float32))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stated = _FOLDER / "thresholds.toml"
    text = stated.read_text(encoding="utf-8")
    stated.write_text(
        re.sub(r'calibration_sha256 = ".*"', f'calibration_sha256 = "{digest}"', text), encoding="utf-8"
    )
    ordered = np.sort(strange[::2])
    p = (len(ordered) - np.searchsorted(ordered, strange[1::2] - 1e-9) + 1) / (len(ordered) + 1)
    return {
        "pictures": len(strange),
        "kept_back": len(p),
        "share_with_p_at_most": {str(level): float(np.mean(p <= level)) for level in (0.05, 0.1, 0.25, 0.5)},
    }
