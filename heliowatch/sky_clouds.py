"""`heliowatch sky clouds`: cloud cover by day, and against a ceilometer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliowatch.feature_store import Features
from heliowatch.folders import make_folder
from heliowatch.sky_features import check_one_camera
from heliowatch.sky_figures import draw_clouds, draw_rocs, needing_train
from models.disturbance.scores import Roc, roc
from observatory.analysis import SkyClass
from observatory.ceilometer import CeilometerSeries, read_ceilometer
from observatory.errors import SettingsError
from observatory.nearest import nearest

FloatArray = NDArray[np.float64]

_CLOUDY = 0.5  # cover from which a frame counts as cloudy


def run_clouds(rows: Features, out: Path, ceilometers: Sequence[Path], tolerance_s: float) -> dict[str, Any]:
    """Write ``clouds.csv`` and ``clouds.png``, and with a ceilometer ``ceilometer-roc.png``.

    Raises
    ------
    SettingsError
        When frames are of several cameras, none has a cloud cover, or none is near to a measurement of the
        ceilometer.
    UnreadableFileError
        When a ceilometer's file is none.
    """
    check_one_camera(rows)
    rows = rows.at(np.isfinite(rows.cloud_cover))
    if not len(rows):
        raise SettingsError("no frame has a cloud cover: their skies could not be judged")
    measured = _cloudy_by(ceilometers, rows.times_s, tolerance_s) if ceilometers else None
    make_folder(out)
    days, frames, cover, felt = _by_day(rows, measured)
    told: dict[str, Any] = {
        "frames": len(rows),
        "days": len(days),
        "cloud_cover_mean": float(rows.cloud_cover.mean()),
        "cloudy_share": float((rows.cloud_cover >= _CLOUDY).mean()),
        "model": rows.model,
    }
    with needing_train("the figure"):
        draw_clouds(out / "clouds.png", days, cover, None if measured is None else felt)
        if measured is not None:
            told["ceilometer"] = _against(rows, measured, out / "ceilometer-roc.png")
    with (out / "clouds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["day", "frames", "cloud_cover", "ceilometer_cloudy_share"])
        for day, count, mean, share in zip(days, frames, cover, felt, strict=True):
            writer.writerow([day, count, f"{mean:.4f}", "" if np.isnan(share) else f"{share:.4f}"])
    return told


def _cloudy_by(paths: Sequence[Path], times_s: FloatArray, tolerance_s: float) -> FloatArray:
    """1 cloudy, 0 clear, NaN not measured, at the time of each frame."""
    parts = [read_ceilometer(path) for path in paths]
    series = CeilometerSeries(*(np.concatenate([getattr(p, n) for p in parts]) for n in vars(parts[0])))
    is_measured = np.isfinite(series.is_cloudy)
    found = nearest(times_s, series.times_s[is_measured], tolerance_s)
    if not (found >= 0).any():
        raise SettingsError(
            f"no frame is within {tolerance_s:g} s of a measurement of the ceilometer: check both times, "
            "or allow more (--tolerance)"
        )
    return np.where(found >= 0, series.is_cloudy[is_measured][found], np.nan)


def _by_day(
    rows: Features, measured: FloatArray | None
) -> tuple[NDArray[Any], NDArray[np.intp], FloatArray, FloatArray]:
    """Days (UTC), frames of each, mean cover, and the ceilometer's share of cloudy frames."""
    days, number = np.unique(
        rows.time_us.astype("datetime64[us]").astype("datetime64[D]"), return_inverse=True
    )
    frames = np.bincount(number)
    cover = np.bincount(number, rows.cloud_cover) / frames
    if measured is None:
        return days, frames, cover, np.full(days.size, np.nan)
    is_known = np.isfinite(measured)
    known = np.bincount(number, is_known.astype(float))
    with np.errstate(invalid="ignore"):
        felt = np.bincount(number, np.where(is_known, measured, 0.0)) / known
    return days, frames, cover, felt


def _against(rows: Features, measured: FloatArray, figure: Path) -> dict[str, Any]:
    is_known = np.isfinite(measured)
    truth = measured[is_known] > 0.5
    cloud = rows.probabilities[:, list(SkyClass).index(SkyClass.CLOUD)]
    given = {
        "cloud cover": rows.cloud_cover[is_known],
        "cloud at the zenith": rows.zenith_cloud[is_known],
        "class cloud": cloud[is_known],
    }
    rocs: dict[str, Roc] = {name: roc(np.nan_to_num(values), truth) for name, values in given.items()}
    draw_rocs(figure, rocs, "Cloud below 2000 m, by the camera")
    said = rows.cloud_cover[is_known] >= _CLOUDY
    rates = [float((said == truth)[truth == side].mean()) for side in (True, False) if (truth == side).any()]
    return {
        "frames": int(is_known.sum()),
        "cloudy_share": float(truth.mean()),
        "accuracy": float((said == truth).mean()),
        "balanced_accuracy": float(np.mean(rates)),
        **{f"roc_area_{name.replace(' ', '_')}": curve.area for name, curve in rocs.items()},
    }
