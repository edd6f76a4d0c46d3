"""The simulated all-sky station writes pictures, and what its magnetometer felt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from heliowatch.cli import app
from heliowatch.simulation import SimulatedSkyCamera
from models.simulate.allsky_night import Weather
from observatory.instruments import Limits, read_file
from observatory.magnetometer import read_many


def test_frames_and_magnetometer_of_the_same_minutes_are_written(tmp_path: Path) -> None:
    words = ["simulate", str(tmp_path / "in"), "-i", "allsky", "--frames", "3", "--size", "128"]
    more = ["--cadence", "0", "--step", "60", "--start", "2031-01-17T23:59:00Z"]
    ended = CliRunner().invoke(app, [*words, *more, "--magnetometer", str(tmp_path / "magnetic")])
    assert ended.exit_code == 0, ended.output
    told = [read_file(path, Limits()).facts().date_obs for path in sorted((tmp_path / "in").iterdir())]
    moments = [datetime(2031, 1, 17, 23, 59, tzinfo=UTC) + timedelta(minutes=n) for n in range(3)]
    assert told == moments
    felt = read_many(sorted((tmp_path / "magnetic").iterdir()))  # one file for each of two days
    assert felt.is_simulated
    assert felt.times_s.tolist() == [moment.timestamp() for moment in moments]
    assert np.isfinite(felt.xyz_nt).all()


def test_a_night_lasts_from_noon_to_noon_and_is_the_same_when_asked_again() -> None:
    station = SimulatedSkyCamera(3, 128, weather=Weather.CLEAR)
    evening, morning = datetime(2031, 1, 17, 12, 0, tzinfo=UTC), datetime(2031, 1, 18, 10, 0, tzinfo=UTC)
    assert station.night(evening) is station.night(morning)
    assert station.night(morning) is not station.night(morning + timedelta(hours=2))
    again = SimulatedSkyCamera(3, 128, weather=Weather.CLEAR).night(evening)
    assert again.onsets() == station.night(evening).onsets()


def test_the_lens_told_is_the_lens_of_the_pictures() -> None:
    station = SimulatedSkyCamera(3, 128)
    told, circle = station.lens_settings, station.camera.circle
    assert told["radius_px"] == round(circle.radius_px, 2)
    assert told["up_azimuth_deg"] == 0.0
