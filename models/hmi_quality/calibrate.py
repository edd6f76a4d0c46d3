"""Calibrate the p-value of full-disk pictures on good ones, and check it on months that were left out."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.conformal import p_values_by_month, shares
from models.hmi_quality.evaluate import GOOD, good_frames
from models.hmi_quality.inference import HmiQuality
from models.hmi_quality.options import ExportOptions
from models.measuring import LeftOut, folders_of
from models.thresholds import write_calibration
from observatory.errors import ModelError, UnusableInputError

_FOLDER = Path(__file__).parent
_LEAST = 40  # frames of one kind


def calibrate(options: ExportOptions) -> dict[str, Any]:
    """Write the calibration of the p-value from all kinds of frames that there are enough of.

    Returns
    -------
    dict
        How even the p-values are of each kind: of every month, by a calibration on the other months.

    Raises
    ------
    ModelError
        When of no kind there are enough.
    """
    kinds, left_out = _strangeness(options.data)
    enough = {name: found for name, found in kinds.items() if len(found[0]) >= _LEAST}
    if not enough:
        counts = ", ".join(f"{len(found[0])} {name}" for name, found in kinds.items()) or "none"
        raise ModelError(f"too few frames to calibrate on ({counts}): {_LEAST} of one kind are needed")
    write_calibration(_FOLDER, {name: strange for name, (strange, _) in enough.items()})
    return {
        "calibrated": {
            name: {
                "frames": len(strange),
                "months": len(set(months.tolist())),
                "share_with_p_at_most": shares(p_values_by_month(strange, months)),
            }
            for name, (strange, months) in enough.items()
        },
        "too_few": {name: len(found[0]) for name, found in kinds.items() if name not in enough},
        "left_out": left_out,
    }


Kinds = dict[str, tuple[NDArray[np.float64], NDArray[np.str_]]]


def _strangeness(data: Path | None) -> tuple[Kinds, list[LeftOut]]:
    """Strangeness and month of every good frame by its kind, and what could not be used."""
    model = HmiQuality(is_calibrated=False)
    left_out: list[LeftOut] = []
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for frame in good_frames(folders_of(data, GOOD), left_out):
        try:
            reading = model.read(frame)
        except UnusableInputError as error:
            left_out.append({"file": frame.file_name or "", "error": str(error)})
            continue
        month = "unknown" if frame.date_obs is None else f"{frame.date_obs:%Y-%m}"
        found[reading.group].append((reading.strangeness, month))
    return {
        name: (np.array([strange for strange, _ in pairs]), np.array([month for _, month in pairs]))
        for name, pairs in found.items()
    }, left_out
