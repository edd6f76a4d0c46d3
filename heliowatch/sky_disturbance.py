"""`heliowatch sky disturbance`: train, evaluate and install a station's model of its magnetic disturbance."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliowatch.feature_store import Features, time_of
from heliowatch.folders import make_folder
from heliowatch.sky_features import check_one_camera
from heliowatch.sky_figures import draw_disturbance, needing_train
from models.disturbance import station
from models.disturbance.ridge import best_alpha, blocks, cross_validated, fit
from models.disturbance.scores import COMPONENTS, persistence, roc, scores
from models.disturbance.station import Sources, StationModel
from observatory.errors import SettingsError
from observatory.magnetometer import MagneticSeries, disturbance, read_many
from observatory.nearest import nearest
from observatory.settings import Settings

FloatArray = NDArray[np.float64]

_LEAST_ROWS = 60


@dataclass(frozen=True)
class Limits:
    """Which frames count and how they are judged; the command line's words.

    Attributes
    ----------
    aurora_min, cloud_max : float
        Least probability of aurora and most cloud cover of a frame, 0 to 1.
    tolerance_s : float
        Largest distance in time between a frame and the measurement it is given.
    threshold_nt : float
        Length of a disturbance from which it is a storm.
    lead_s : float
        Persistence says what was measured so long before.
    """

    aurora_min: float = 0.5
    cloud_max: float = 0.5
    tolerance_s: float = 60.0
    threshold_nt: float = 100.0
    lead_s: float = 3600.0


@dataclass(frozen=True)
class Pairs:
    """Clear auroral frames with what the magnetometer measured then.

    Attributes
    ----------
    rows : Features
    measured : ndarray, shape (n, 3)
        Disturbance in nT.
    before : ndarray, shape (n, 3)
        What persistence says; NaN where nothing was measured.
    """

    rows: Features
    measured: FloatArray
    before: FloatArray
    series: MagneticSeries

    @property
    def is_simulated(self) -> bool:
        """Whether anything of it is."""
        return self.series.is_simulated or bool(self.rows.is_simulated.any())


def run_train(
    rows: Features, magnetometer: Sequence[Path], out: Path, name: str, limits: Limits, folds: int
) -> dict[str, Any]:
    """Train on all frames, judge on blocks of time, and write model, figure and predictions into a folder.

    Raises
    ------
    SettingsError
        When there are too few frames, of several cameras, or no such name can be given.
    UnreadableFileError
        When a magnetometer's file is none.
    """
    if not station.is_name(name):
        raise SettingsError(f"--name {name!r}: write letters, digits, dots, dashes and underscores")
    pairs = paired(rows, magnetometer, limits)
    times, features = pairs.rows.times_s, pairs.rows.features
    predicted = cross_validated(features, pairs.measured, times, folds)
    told = scores(predicted, pairs.measured, pairs.before, limits.threshold_nt)
    alpha = best_alpha(features, pairs.measured, blocks(times, folds))
    model = StationModel(
        name=name,
        version=f"{time_of(int(pairs.rows.time_us[-1])):%Y.%m.%d}",
        ridge=fit(features, pairs.measured, [alpha])[0],
        sources=Sources(
            station=pairs.series.station,
            is_simulated=pairs.is_simulated,
            features_model=pairs.rows.model,
            features_sha256=pairs.rows.model_sha256,
            time_from=_word(int(pairs.rows.time_us[0])),
            time_to=_word(int(pairs.rows.time_us[-1])),
            rows=len(pairs.rows),
        ),
        aurora_min=limits.aurora_min,
        cloud_max=limits.cloud_max,
        scores=told,
    )
    make_folder(out)
    manifest = station.write(out, model)
    how = "each block of time told by a model of the others"
    _write(out, pairs, predicted, limits, how, is_simulated=pairs.is_simulated)
    return {
        "model": str(manifest),
        "trained_at": pairs.series.station,
        "is_simulated": pairs.is_simulated,
        "alpha": alpha,
        "folds": folds,
        **told,
    }


def run_evaluate(
    model_file: Path, rows: Features, magnetometer: Sequence[Path], out: Path, limits: Limits
) -> dict[str, Any]:
    """Judge a model on frames that it was not trained on; those of its time of training are left out.

    Raises
    ------
    ModelError
        When the model's files are missing or altered.
    SettingsError
        When too few frames are left, or they were read by another network.
    """
    model = station.read(model_file)
    if rows.model_sha256 != model.sources.features_sha256:
        raise SettingsError(
            f"{model_file} reads features of {model.sources.features_model}, these are of {rows.model}: "
            "train again, or gather the features anew"
        )
    start, end = (
        datetime.fromisoformat(word).timestamp() for word in (model.sources.time_from, model.sources.time_to)
    )
    is_new = (rows.times_s < start) | (rows.times_s > end)
    if not is_new.any():
        raise SettingsError(
            "all these frames are of the time that the model was trained on: name those of another"
        )
    own = replace(limits, aurora_min=model.aurora_min, cloud_max=model.cloud_max)
    pairs = paired(rows.at(is_new), magnetometer, own)
    predicted = model.ridge.predict(pairs.rows.features)
    is_simulated = pairs.is_simulated or model.sources.is_simulated
    make_folder(out)
    how = f"told by the model “{model.name}” of frames that it was not trained on"
    trained_at, judged_at = model.sources.station, pairs.series.station
    if judged_at != trained_at:
        how += f", at {judged_at} instead of {trained_at}"
    _write(out, pairs, predicted, own, how, is_simulated=is_simulated)
    return {
        "model": f"{model.name} {model.version}",
        "trained_at": trained_at,
        "judged_at": judged_at,
        "is_simulated": is_simulated,
        "left_out": int(np.count_nonzero(~is_new)),
        **scores(predicted, pairs.measured, pairs.before, limits.threshold_nt),
    }


def run_install(settings: Settings, model_file: Path, instrument: str) -> dict[str, Any]:
    """Copy a model into the station's data folder; returns where it is and the setting that names it.

    Raises
    ------
    ModelError
        When its files are missing or altered.
    SettingsError
        When no such instrument is configured.
    """
    model = station.read(model_file)
    if instrument not in settings.instruments:
        known = ", ".join(settings.instruments) or "none"
        raise SettingsError(
            f"no instrument {instrument!r} is in the settings (there are: {known}): a model belongs to one camera"
        )
    folder = settings.data_dir / "disturbance"
    make_folder(folder)
    source = model_file.with_suffix(".toml")
    for suffix in (".npz", ".toml"):
        target = folder / f"{model.name}{suffix}"
        if target.resolve() != source.with_suffix(suffix).resolve():
            shutil.copyfile(source.with_suffix(suffix), target)
    installed = (folder / f"{model.name}.toml").resolve()
    return {
        "installed": str(installed),
        "model": f"{model.name} {model.version}",
        "is_simulated": model.sources.is_simulated,
        "setting": f"instruments: {{{instrument}: {{disturbance: {installed}}}}}",
    }


def paired(rows: Features, magnetometer: Sequence[Path], limits: Limits) -> Pairs:
    """Give each clear auroral frame what was measured nearest to it.

    Raises
    ------
    SettingsError
        When they are of several cameras, or too few.
    """
    check_one_camera(rows)
    series = read_many(magnetometer)
    change = disturbance(series)
    values = change.xyz_nt
    is_whole = np.isfinite(values).all(axis=1)
    times, values = change.times_s[is_whole], values[is_whole]
    with np.errstate(invalid="ignore"):
        is_wanted = (rows.aurora_probability >= limits.aurora_min) & ~(rows.cloud_cover > limits.cloud_max)
    clear = rows.at(is_wanted)
    found = nearest(clear.times_s, times, limits.tolerance_s)
    clear, found = clear.at(found >= 0), found[found >= 0]
    if len(clear) < _LEAST_ROWS:
        raise SettingsError(
            f"{len(clear)} of {len(rows)} frames show aurora ({limits.aurora_min:g} and more) in a clear sky (cloud "
            f"{limits.cloud_max:g} at most) and have a measurement within {limits.tolerance_s:g} s; "
            f"{_LEAST_ROWS} are needed"
        )
    before = persistence(times, times[found], values, limits.lead_s)
    return Pairs(clear, values[found], before, series)


def _write(
    out: Path, pairs: Pairs, predicted: FloatArray, limits: Limits, how: str, *, is_simulated: bool
) -> None:
    """Figure, and every frame's prediction."""
    is_storm = np.linalg.norm(pairs.measured, axis=1) > limits.threshold_nt
    with needing_train("the figure"):
        draw_disturbance(
            out / "disturbance.png",
            pairs.rows.time_us,
            predicted,
            pairs.measured,
            roc(np.linalg.norm(predicted, axis=1), is_storm),
            limits.threshold_nt,
            how,
            is_simulated=is_simulated,
        )
    with (out / "disturbance.csv").open("w", newline="", encoding="utf-8") as file:
        if is_simulated:
            file.write("# SIMULATED station\r\n")
        writer = csv.writer(file)
        names = [f"{name}_{kind}_nt" for kind in ("told", "measured") for name in COMPONENTS]
        writer.writerow(["time", "frame", *names])
        for row, (told, measured) in enumerate(zip(predicted.tolist(), pairs.measured.tolist(), strict=True)):
            numbers = [f"{value:.2f}" for value in (*told, *measured)]
            writer.writerow([_word(int(pairs.rows.time_us[row])), pairs.rows.frame[row], *numbers])


def _word(time_us: int) -> str:
    return time_of(time_us).isoformat().replace("+00:00", "Z")
