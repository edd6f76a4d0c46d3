"""Calibrate the p-value of pictures on good ones, and check it on months that were left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.aia_quality.evaluate import GOOD, good_frames
from models.aia_quality.inference import AiaQuality
from models.aia_quality.options import ExportOptions
from models.conformal import p_values_by_month, shares
from models.measuring import LeftOut, folders_of
from models.thresholds import write_calibration
from observatory.errors import ModelError, UnusableInputError

_FOLDER = Path(__file__).parent
_LEAST = 40  # pictures


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
            f"too few pictures to calibrate on: {len(strange)}, and {_LEAST} are needed; "
            f"files or folders of no use: {len(left_out)}"
        )
    write_calibration(_FOLDER, {"strangeness": strange})
    p = p_values_by_month(strange, months)
    by_month = {name: p[months == name] for name in sorted(set(months.tolist()))}
    return {
        "pictures": len(strange),
        "months": len(by_month),
        "share_with_p_at_most": shares(p),
        "share_with_p_at_most_by_month": {
            name: {"n": len(found)} | shares(found) for name, found in by_month.items()
        },
        "left_out": left_out,
    }


def _strangeness(data: Path | None) -> tuple[NDArray[np.float64], NDArray[np.str_], list[LeftOut]]:
    """Strangeness of every good picture, the month it is of, and what could not be used."""
    model = AiaQuality(is_calibrated=False)
    left_out: list[LeftOut] = []
    strange, months = [], []
    for frame in good_frames(folders_of(data, GOOD), left_out):
        try:
            reading = model.read(frame)
        except UnusableInputError as error:
            left_out.append({"file": frame.file_name or "", "error": str(error)})
            continue
        if reading.is_picture:
            strange.append(reading.strangeness)
            months.append("unknown" if frame.date_obs is None else f"{frame.date_obs:%Y-%m}")
    return np.array(strange), np.array(months), left_out
