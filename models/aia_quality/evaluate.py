"""Measure the model: good frames called degraded, injected defects found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.aia_quality.defects import DEFECTS
from models.aia_quality.inference import AiaQuality
from models.aia_quality.options import EvaluateOptions
from models.measuring import LeftOut, Tally, folders_of, frames_in
from models.simulate.aia_defects import AIA_DEFECTS, spoil
from models.simulate.aia_fits import BLANK
from observatory.analysis import Cause, Quality
from observatory.errors import ModelError, UnusableInputError
from observatory.euv import disk_of, monochrome
from observatory.frame import Frame, Pointing

GOOD = (
    "sdo_boxes/aia_193",
    "sdo_boxes/aia_304",
    *(f"aia/{name}" for name in ("png", "browse_20250205", "coronal_hole_masks/images", "fits", "jp2")),
)
_CCD_FULL = 16383.0
#: Defects of the simulator that pixels alone can show, with what may be named; focus is known from the
#: header, and so is that a frame without light is a dark one.
_SEEN = {cause: {cause} for cause in AIA_DEFECTS if cause is not Cause.DEFOCUS} | {
    Cause.LENS_CAP: {Cause.NO_TARGET, Cause.UNDEREXPOSED}
}


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Good frames called degraded, and the share of injected defects found and named.

    Raises
    ------
    ModelError
        When there is no frame.
    """
    left_out: list[LeftOut] = []
    frames = list(good_frames(folders_of(options.data, GOOD), left_out))
    if not frames:
        raise ModelError(f"no coronal frames to measure on; files or folders of no use: {len(left_out)}")
    found = measure(frames, AiaQuality(), options.every, options.seed)
    return found | {"left_out": [*left_out, *found["left_out"]]}


def good_frames(folders: Sequence[Path], left_out: list[LeftOut]) -> Iterator[Frame]:
    """All coronal frames in folders, by name; see `models.measuring.frames_in`."""
    return frames_in(folders, "aia", left_out)


def measure(frames: Sequence[Frame], model: AiaQuality, every: int, seed: int) -> dict[str, Any]:
    """Judge good frames, and every n-th one again with each defect laid over it.

    Returns
    -------
    dict
        Among it ``defects`` (`DEFECTS`, with which the thresholds were set) and
        ``defects_of_the_simulator`` (which set nothing): for each, how many were called degraded and
        for how many a right cause was named.
    """
    good: list[tuple[Frame, Quality]] = []
    left_out: list[LeftOut] = []
    for frame in frames:
        try:
            good.append((frame, model.analyse(frame)))
        except UnusableInputError as error:
            left_out.append({"file": frame.file_name or "", "error": str(error)})
    ours, simulators = Tally(model.analyse), Tally(model.analyse)
    random = np.random.default_rng(seed)
    cut_outs = 0
    for frame, _ in good[::every]:
        plane = monochrome(frame)
        disk = disk_of(frame, plane)
        if min(plane.pixels.shape) < 2 * disk.radius_px:
            cut_outs += 1
            continue
        image = plane.pixels.astype(np.float32)
        full = 255.0 if plane.is_picture else _CCD_FULL
        kind = np.uint8 if plane.is_picture else np.int16
        for name, (defect, named) in DEFECTS.items():
            spoilt = np.clip(np.rint(defect(image, disk, full, random)), -32768, full)
            ours.add(name, replace(frame, pixels=spoilt.astype(kind)), named)
        clean = np.clip(np.rint(np.nan_to_num(image)), 0, full).astype(kind)
        for cause, causes in _SEEN.items():
            simulators.add(cause.value, _spoilt_by_the_simulator(frame, clean, disk, cause, random), causes)
    return {
        "good": len(good),
        "good_called_degraded": [frame.file_name for frame, quality in good if quality.is_degraded],
        "lowest_score": min((quality.score for _, quality in good), default=None),
        "defects": ours.shares,
        "defects_of_the_simulator": simulators.shares,
        "cut_outs_without_defects": cut_outs,
        "left_out": left_out,
    }


def _spoilt_by_the_simulator(
    frame: Frame, pixels: np.ndarray, disk: Pointing, cause: Cause, random: np.random.Generator
) -> Frame:
    """Spoil a frame; lost pixels are what a file's reader makes of them."""
    spoilt = spoil(pixels, disk, cause, random).pixels
    lost = spoilt == BLANK
    return replace(frame, pixels=np.where(lost, np.float32("nan"), spoilt) if lost.any() else spoilt)
