"""`heliowatch sky disturbance rehearse`: the whole path on a simulated station, from frames to figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from heliowatch.feature_store import StoreFormat, read_features
from heliowatch.folders import make_folder
from heliowatch.progress import progress_bars
from heliowatch.simulation import SimulatedSkyCamera
from heliowatch.sky_disturbance import Limits, run_evaluate, run_train
from heliowatch.sky_features import Wanted, gather
from models.simulate.allsky_night import Weather
from observatory.errors import SettingsError
from observatory.settings import Settings

_FIRST = datetime(2025, 12, 12, tzinfo=UTC)  # about new moon, when the Sun stays down at the station
_BEFORE_NIGHT, _HOURS = timedelta(hours=16), 12
_TESTED = 0.4  # share of the nights, the last ones, that the model is not trained on


@dataclass(frozen=True)
class Rehearsal:
    """What is simulated.

    Attributes
    ----------
    nights : int
        Evenings in a row, clear and with aurora.
    step_s : float
        Between two frames.
    size_px : int
        Diameter of the sky in the frames.
    """

    nights: int = 10
    step_s: float = 150.0
    size_px: int = 200
    seed: int = 1


def run_rehearsal(settings: Settings, wanted: Rehearsal, out: Path, limits: Limits) -> dict[str, Any]:
    """Simulate nights and their magnetometer, gather features, train on the first nights, judge the last.

    Writes ``frames``, ``magnetometer``, ``features``, ``trained`` and ``evaluated`` into a folder.

    Returns
    -------
    dict
        ``trained`` and ``evaluated``, each as its own command tells it; both say that they are simulated.

    Raises
    ------
    SettingsError
        When the nights are too few, or show too little aurora.
    """
    if wanted.nights < 3:
        raise SettingsError(
            f"{wanted.nights} nights are too few to train on some and judge by others: 3 at least"
        )
    camera = SimulatedSkyCamera(wanted.seed, wanted.size_px, weather=Weather.CLEAR, activity=0.9)
    for name in ("frames", "magnetometer"):
        make_folder(out / name)
    moments = list(_moments(wanted))
    with progress_bars() as bars:
        for moment in bars.track(moments, description="simulating"):
            camera.expose(out / "frames", moment)
    measured = camera.write_magnetometer(out / "magnetometer", moments[0], moments[-1])
    files = sorted((out / "frames").iterdir())
    gather(settings, files, Wanted(instrument="allsky"), out / "features", StoreFormat.PARQUET)
    rows = read_features(out / "features")
    border = (_FIRST + timedelta(days=round(wanted.nights * (1.0 - _TESTED)), hours=12)).timestamp()
    is_early = rows.times_s < border
    trained = run_train(rows.at(is_early), measured, out / "trained", "simulated", limits, 5)
    model = out / "trained" / "simulated.toml"
    evaluated = run_evaluate(model, rows.at(~is_early), measured, out / "evaluated", limits)
    return {"is_simulated": True, "frames": len(rows), "trained": trained, "evaluated": evaluated}


def _moments(wanted: Rehearsal) -> Iterator[datetime]:
    """When frames are taken: twelve hours of each night."""
    for night in range(wanted.nights):
        start = _FIRST + timedelta(days=night) + _BEFORE_NIGHT
        for number in range(int(_HOURS * 3600.0 / wanted.step_s)):
            yield start + timedelta(seconds=number * wanted.step_s)
