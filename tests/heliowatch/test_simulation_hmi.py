"""The simulated HMI station writes pairs that the ingester can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from heliowatch.cli import app
from heliowatch.simulation import SimulatedPhotosphere
from observatory.analysis import Cause
from observatory.instruments import Limits, read_file
from observatory.instruments.base import parse_time


def test_pairs_of_continuum_and_field_are_written_slot_by_slot(tmp_path: Path):
    words = ["simulate", str(tmp_path), "-i", "hmi", "--frames", "2", "--size", "256", "--cadence", "0"]
    ended = CliRunner().invoke(app, [*words, "--degraded", "0", "--start", "2026-06-01"])
    assert ended.exit_code == 0
    opened = [read_file(path, Limits()) for path in sorted(tmp_path.glob("*.fits"))]
    assert sorted(item.instrument for item in opened) == ["hmi-continuum"] * 2 + ["hmi-magnetogram"] * 2
    assert all(item.facts().is_simulated for item in opened)
    moments = {item.facts().date_obs for item in opened}
    assert moments == {parse_time(f"2026-06-01T00:00:{second}", "DATE-OBS") for second in ("00", "45")}


def test_a_mishap_spoils_both_of_a_pair_alike(tmp_path: Path):
    station = SimulatedPhotosphere(3, 256, degraded=1.0)
    moment = parse_time("2026-06-01T00:00:00", "DATE-OBS")
    assert {station.weather(number) for number in range(40)} <= {
        Cause.ECLIPSE,
        Cause.MISSING_DATA,
        Cause.OFF_CENTRE,
        Cause.SPIKES,
    }
    light, field = station.expose(tmp_path, 0, moment, Cause.MISSING_DATA)
    lost = [np.isnan(read_file(e.path, Limits()).frame(0).pixels) for e in (light, field)]
    assert np.array_equal(*lost)
    assert lost[0].sum() > 256 * 256 * 0.23  # more than the corners


def test_a_cut_out_keeps_hmis_scale_and_has_spots_in_it(tmp_path: Path):
    station = SimulatedPhotosphere(2026, 4096, cutout_px=256)
    light, field = station.expose(tmp_path, 0, parse_time("2026-11-20T12:00:00", "DATE-OBS"))
    frame, polarity = (read_file(e.path, Limits()).frame(0) for e in (light, field))
    assert frame.pixels.shape == polarity.pixels.shape == (256, 256)
    assert frame.pointing is not None
    assert abs(frame.pointing.cdelt_arcsec - 0.504) < 0.001
    assert np.nanmin(frame.pixels) < 0.5 * np.nanmedian(frame.pixels)
    assert np.nanmax(np.abs(polarity.pixels)) > 1000
