"""Measure the model: good frames called degraded, injected defects found, real and simulated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from models.hmi_quality.defects import DEFECTS, canvas_of, spoilt
from models.hmi_quality.inference import HmiQuality
from models.hmi_quality.options import EvaluateOptions
from models.hmi_quality.plane import plane_of
from models.measuring import LeftOut, Tally, folders_of, frames_in
from models.simulate.hmi import HmiSun, HmiTelescope
from models.simulate.hmi_defects import HMI_DEFECTS, spoil_hmi
from observatory.analysis import Cause
from observatory.errors import ModelError
from observatory.frame import Frame
from observatory.instruments.hmi import OtherProductError
from observatory.settings import test_data_dir

GOOD = ("sdo_boxes/hmi_continuum", "hmi")
_FIRST_DAY = datetime(2011, 2, 3, tzinfo=UTC)
_DAYS_APART = 379  # a prime: the Sun's size and tilt go through all they can be
#: Defects of the simulator that pixels can show, with what may be named. A roll that the header does
#: not state cannot be seen.
_ALSO: dict[Cause, set[Cause]] = {Cause.NO_TARGET: {Cause.UNDEREXPOSED}}
_SEEN: dict[Cause, set[Cause]] = {
    cause: {cause} | _ALSO.get(cause, set()) for cause in HMI_DEFECTS if cause is not Cause.TRACKING
}


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Good frames called degraded, and the share of injected defects found and named.

    Returns
    -------
    dict
        ``real`` and ``simulated``, each as `measure` gives it.

    Raises
    ------
    ModelError
        When there is no frame.
    """
    left_out: list[LeftOut] = []
    has_real = options.data is not None or test_data_dir() is not None
    real = list(good_frames(folders_of(options.data, GOOD), left_out)) if has_real else []
    if not real and not options.simulated:
        raise ModelError(f"no HMI frames to measure on; files or folders of no use: {len(left_out)}")
    model = HmiQuality()
    simulated = simulated_frames(options.simulated, options.size_px, options.seed)
    return {
        "real": measure(real, model, options.every, options.seed),
        "simulated": measure(simulated, model, 1, options.seed),
        "left_out": left_out,
    }


def good_frames(folders: Sequence[Path], left_out: list[LeftOut]) -> Iterator[Frame]:
    """All frames of HMI in folders, by name; see `models.measuring.frames_in`.

    Other segments of a SHARP are passed over.
    """
    return frames_in(folders, "hmi", left_out, passed_over=(OtherProductError,))


def simulated_frames(suns: int, size_px: int, seed: int) -> Iterator[Frame]:
    """Good full disks, a continuum and a field of each Sun, on days years apart."""
    random = np.random.default_rng((seed, 3))
    for number in range(suns):
        offset = random.uniform(-12, 12, 2) * size_px / 4096
        telescope = HmiTelescope(
            size_px=size_px,
            center_offset_px=(float(offset[0]), float(offset[1])),
            roll_deg=180.0 + float(random.normal(0, 0.07)),
            cadence_s=int(random.choice((45, 720))),
            crop_at_limb=bool(random.integers(0, 2)),
        )
        sun = HmiSun(1000 * seed + number, float(random.uniform(0, 1)))
        for taken in sun.pair(_FIRST_DAY + timedelta(days=number * _DAYS_APART % 4800), telescope):
            yield taken.frame()


def measure(frames: Iterable[Frame], model: HmiQuality, every: int, seed: int) -> dict[str, Any]:
    """Judge good frames, and every n-th one (patches all) again with each defect laid over it.

    Returns
    -------
    dict
        Among it ``defects`` (`DEFECTS`, with which the thresholds were set) and
        ``defects_of_the_simulator`` (which set nothing; of numbers with a disk only): for each, how
        many were called degraded and for how many a right cause was named.
    """
    degraded: list[str] = []
    scores: list[float] = []
    ours, simulators = Tally(model.analyse), Tally(model.analyse)
    random = np.random.default_rng(seed)
    for number, frame in enumerate(frames):
        quality = model.analyse(frame)
        scores.append(quality.score)
        if quality.is_degraded:
            degraded.append(frame.file_name or f"number {number}")
        if number % every and min(frame.pixels.shape[:2]) < 4096 and frame.pixels.dtype == np.uint8:
            continue
        if min(frame.pixels.shape[:2]) >= 96:
            _with_ours(frame, ours, random)
            _with_the_simulators(frame, simulators, random)
    return {
        "good": len(scores),
        "good_called_degraded": degraded,
        "lowest_score": min(scores, default=None),
        "defects": ours.shares,
        "defects_of_the_simulator": simulators.shares,
    }


def _with_ours(frame: Frame, tally: Tally, random: np.random.Generator) -> None:
    canvas, quantity = canvas_of(frame), plane_of(frame).quantity
    for name, defect in DEFECTS.items():
        if quantity not in defect.quantities or (canvas.is_patch and not defect.on_patches):
            continue
        if defect.named == {Cause.UNDEREXPOSED} and frame.unit is None and not canvas.is_picture:
            continue  # nothing says how bright a frame without a unit should be
        tally.add(f"{name} ({quantity.value})", spoilt(frame, defect, random), defect.named)


def _with_the_simulators(frame: Frame, tally: Tally, random: np.random.Generator) -> None:
    plane = plane_of(frame)
    if frame.pointing is None or plane.is_picture:
        return
    for cause, named in _SEEN.items():
        if plane.is_field and cause is Cause.DEFOCUS:
            continue
        pixels = spoil_hmi(plane.pixels, frame.pointing, cause, random).pixels
        tally.add(f"{cause.value} ({plane.quantity.value})", replace(frame, pixels=pixels), named)
