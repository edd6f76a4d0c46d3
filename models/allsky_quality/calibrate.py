"""Calibrate the p-value on good simulated frames, and check it on cameras that were left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.allsky_quality.good_skies import good_skies
from models.allsky_quality.inference import AllSkyQuality
from models.allsky_quality.options import ExportOptions
from models.conformal import p_values, shares
from models.simulate.allsky_cameras import TESTING_KINDS, TRAINING_KINDS, CameraKind
from models.thresholds import write_calibration
from observatory.analysis import Cause
from observatory.errors import ModelError

_FOLDER = Path(__file__).parent
_LEAST = 100  # frames of one kind

Kinds = dict[str, NDArray[np.float64]]


def calibrate(options: ExportOptions) -> dict[str, Any]:
    """Write the calibration of the p-value.

    The cloud that the aurora network finds counts in a score; here its place is taken by the true cloud
    of the simulated skies, so that a new network needs no new calibration.

    Returns
    -------
    dict
        How even the p-values are of cameras of other kinds: shares with p of at most 0.05, 0.1, 0.25, 0.5.

    Raises
    ------
    ModelError
        When fewer than a hundred frames are asked for.
    """
    if options.frames < _LEAST:
        raise ModelError(f"too few frames to calibrate on: {options.frames}, and {_LEAST} are needed")
    known = strangeness(TRAINING_KINDS, options.frames, options.size_px, options.seed)
    others = strangeness(TESTING_KINDS, options.frames // 4, options.size_px, options.seed + 1)
    write_calibration(_FOLDER, known)
    return {
        name: {
            "frames": len(values),
            "other_cameras": len(others.get(name, ())),
            "share_with_p_at_most": shares(p_values(others[name], values)) if name in others else {},
        }
        for name, values in known.items()
    }


def strangeness(kinds: Sequence[CameraKind], frames: int, size_px: int, seed: int) -> Kinds:
    """Worst ratio of good simulated frames, sorted, by group: pictures and counts."""
    model = AllSkyQuality(is_calibrated=False)
    limit = model.identity.parameters["shares"]["cloud"]
    found: dict[str, list[float]] = defaultdict(list)
    wanted = {group_of(kind) for kind in kinds}
    for frame, circle, facts, cover in good_skies(np.random.default_rng((seed, 5)), kinds, size_px):
        reading = model.read(frame, circle, facts)
        ratios = {**reading.ratios, Cause.CLOUD: cover / limit}
        if len(found[reading.group]) < frames:
            found[reading.group].append(max(ratios.values()))
        if all(len(found[group]) >= frames for group in wanted):
            break
    return {name: np.sort(values) for name, values in found.items() if values}


def group_of(kind: CameraKind) -> str:
    """Group of `Reading.group` that a kind of camera belongs to."""
    return "picture" if kind.bits == 8 else "counts"
