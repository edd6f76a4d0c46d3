"""Calibrate the p-value of full-disk pictures on good ones, and check it on months that were left out."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.hmi_quality.evaluate import LeftOut, folders_of, good_frames
from models.hmi_quality.inference import HmiQuality
from models.hmi_quality.options import ExportOptions
from observatory.errors import ModelError, UnusableInputError

_FOLDER = Path(__file__).parent
_LEAST = 40  # frames of one kind
_LEVELS = (0.05, 0.1, 0.25, 0.5)


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
    _write({name: strange for name, (strange, _) in enough.items()})
    return {
        "calibrated": {
            name: {
                "frames": len(strange),
                "months": len(set(months.tolist())),
                "share_with_p_at_most": _shares(p_values_by_month(strange, months)),
            }
            for name, (strange, months) in enough.items()
        },
        "too_few": {name: len(found[0]) for name, found in kinds.items() if name not in enough},
        "left_out": left_out,
    }


def p_values_by_month(strangeness: ArrayLike, months: ArrayLike) -> NDArray[np.float64]:
    """p-value of each frame by a calibration on the frames of all other months.

    See `HmiQuality`: the share of calibration frames at least as strange, this one counted.
    """
    strange, named = np.asarray(strangeness, np.float64), np.asarray(months)
    p = np.empty(len(strange))
    for name in np.unique(named):
        own = named == name
        others = np.sort(strange[~own])
        at_least = len(others) - np.searchsorted(others, strange[own] - 1e-9)
        p[own] = (at_least + 1) / (len(others) + 1)
    return p


Kinds = dict[str, tuple[NDArray[np.float64], NDArray[np.str_]]]


def _strangeness(data: Path | None) -> tuple[Kinds, list[LeftOut]]:
    """Strangeness and month of every good frame by its kind, and what could not be used."""
    model = HmiQuality(is_calibrated=False)
    left_out: list[LeftOut] = []
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for frame in good_frames(folders_of(data), left_out):
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


def _write(strangeness: dict[str, NDArray[np.float64]]) -> None:
    path = _FOLDER / "calibration.npz"
    stored: dict[str, Any] = {name: values.astype(np.float32) for name, values in strangeness.items()}
    np.savez_compressed(path, **stored)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stated = _FOLDER / "thresholds.toml"
    text = stated.read_text(encoding="utf-8")
    stated.write_text(
        re.sub(r'calibration_sha256 = ".*"', f'calibration_sha256 = "{digest}"', text), encoding="utf-8"
    )


def _shares(p: NDArray[np.float64]) -> dict[str, float]:
    return {str(level): round(float(np.mean(p <= level)), 3) for level in _LEVELS}
