"""Calibrate the p-value of pictures on good ones, and check it on months that were left out."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.aia_quality.evaluate import LeftOut, folders_of, good_frames
from models.aia_quality.inference import AiaQuality
from models.aia_quality.options import ExportOptions
from observatory.errors import ModelError, UnusableInputError

_FOLDER = Path(__file__).parent
_LEAST = 40  # pictures
_LEVELS = (0.05, 0.1, 0.25, 0.5)


def calibrate(options: ExportOptions) -> dict[str, Any]:
    """Write the calibration of the p-value from all good pictures.

    Returns
    -------
    dict
        How even the p-values are: of every month, by a calibration on the other months. Frames of
        one month resemble each other too much to check each other.

    Raises
    ------
    ModelError
        When there are too few pictures.
    """
    strange, months, left_out = _strangeness(options.data)
    if len(strange) < _LEAST:
        raise ModelError(
            f"{len(strange)} pictures are too few to calibrate on, {_LEAST} are needed; "
            f"{len(left_out)} files or folders are of no use"
        )
    _write(strange)
    p = p_values_by_month(strange, months)
    by_month = {name: p[months == name] for name in sorted(set(months.tolist()))}
    return {
        "pictures": len(strange),
        "months": len(by_month),
        "share_with_p_at_most": _shares(p),
        "share_with_p_at_most_by_month": {
            name: {"n": len(found)} | _shares(found) for name, found in by_month.items()
        },
        "left_out": left_out,
    }


def p_values_by_month(strangeness: ArrayLike, months: ArrayLike) -> NDArray[np.float64]:
    """p-value of each picture by a calibration on the pictures of all other months.

    See `AiaQuality`: the share of calibration pictures at least as strange, this one counted.
    """
    strange, named = np.asarray(strangeness, np.float64), np.asarray(months)
    p = np.empty(len(strange))
    for name in np.unique(named):
        own = named == name
        others = np.sort(strange[~own])
        at_least = len(others) - np.searchsorted(others, strange[own] - 1e-9)
        p[own] = (at_least + 1) / (len(others) + 1)
    return p


def _strangeness(data: Path | None) -> tuple[NDArray[np.float64], NDArray[np.str_], list[LeftOut]]:
    """Strangeness of every good picture, the month it is of, and what could not be used."""
    model = AiaQuality(is_calibrated=False)
    left_out: list[LeftOut] = []
    strange, months = [], []
    for frame in good_frames(folders_of(data), left_out):
        try:
            reading = model.read(frame)
        except UnusableInputError as error:
            left_out.append({"file": frame.file_name or "", "error": str(error)})
            continue
        if reading.is_picture:
            strange.append(reading.strangeness)
            months.append("unknown" if frame.date_obs is None else f"{frame.date_obs:%Y-%m}")
    return np.array(strange), np.array(months), left_out


def _write(strangeness: NDArray[np.float64]) -> None:
    path = _FOLDER / "calibration.npz"
    np.savez_compressed(path, strangeness=strangeness.astype(np.float32))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stated = _FOLDER / "thresholds.toml"
    text = stated.read_text(encoding="utf-8")
    stated.write_text(
        re.sub(r'calibration_sha256 = ".*"', f'calibration_sha256 = "{digest}"', text), encoding="utf-8"
    )


def _shares(p: NDArray[np.float64]) -> dict[str, float]:
    return {str(level): round(float(np.mean(p <= level)), 3) for level in _LEVELS}
