"""Scoring files: verdicts by exit code, a line for every frame, three formats, whatever the names."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest

from tests.heliowatch.ended import Run
from tests.heliowatch.scoring import CLEAR, PROMISED
from tests.making import kso_frame, pgm_bytes, picture_bytes

pytestmark = pytest.mark.usefixtures("settings")  # a folder of our own, an environment without ours


@pytest.fixture
def black(tmp_path: Path) -> Path:
    path = tmp_path / "bbso_halph_fl_20150801_000000.png"
    path.write_bytes(picture_bytes(np.zeros((300, 300), np.uint8)))
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.fits"
    path.write_bytes(b"")
    return path


def test_a_clear_frame_ends_with_0(run: Run):
    ended = run("score", CLEAR, "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    (line,) = ended.lines
    assert set(line) == PROMISED
    assert line["instrument"] == "bbso-halpha"
    assert line["date_obs"] == "2015-08-01T17:48:14Z"
    assert 0.5 < line["score"] <= 1
    assert (line["is_degraded"], line["causes"]) == (False, [])
    assert 0 < line["p_value"] <= 1
    assert line["model"].startswith("halpha_quality ")


def test_a_degraded_frame_ends_with_3_and_says_why(run: Run, black: Path):
    ended = run("score", CLEAR, black, "--format", "json")
    assert ended.code == 3
    assert [line["is_degraded"] for line in ended.lines] == [False, True]
    assert ended.lines[1]["causes"][0] == {
        "cause": "underexposed",
        "probability": pytest.approx(0.95, abs=0.1),
    }


def test_a_failed_input_ends_with_1_and_the_others_are_scored_in_order(run: Run, black: Path, broken: Path):
    ended = run("score", broken, black, "nowhere.fits", CLEAR, "--format", "json")
    assert ended.code == 1
    assert [line["file"] for line in ended.lines] == [str(broken), str(black), "nowhere.fits", str(CLEAR)]
    assert set(ended.lines[0]) == {"file", "error"}
    assert "empty" in ended.lines[0]["error"]
    assert "nowhere.fits could not be opened" in ended.lines[2]["error"]
    assert "score" in ended.lines[3]


def test_an_instrument_that_nobody_knows_is_named_with_those_that_are(run: Run):
    ended = run("score", CLEAR, "--instrument", "hubble")
    assert ended.code in (1, 2)
    assert "kso-halpha" in ended.err
    assert "Traceback" not in ended.err


def test_a_named_instrument_overrides_recognition(run: Run, tmp_path: Path):
    noise = np.random.default_rng(1).integers(0, 255, (100, 100)).astype(np.uint8)
    (tmp_path / "x.png").write_bytes(picture_bytes(noise))
    assert run("score", "x.png", "--format", "json").code == 1
    ended = run("score", "x.png", "--format", "json", "-i", "allsky")
    assert (ended.code, ended.lines[0]["instrument"], ended.lines[0]["sky_class"]) == (3, "allsky", None)


def test_every_frame_of_a_film_has_its_line(run: Run, tmp_path: Path):
    (tmp_path / "themis01.pgm").write_bytes(pgm_bytes([np.full((32, 32), n, np.uint16) for n in range(3)]))
    assert [line["frame"] for line in run("score", "themis01.pgm", "--format", "json").lines] == [0, 1, 2]


def test_a_table_for_programs_has_a_column_for_every_name(run: Run, black: Path, broken: Path):
    ended = run("score", black, broken, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert set(rows[0]) == PROMISED | {"error", "sky_class", "aurora_probability", "cloud_cover"}
    assert rows[0]["is_degraded"] == "true"
    assert rows[0]["causes"].startswith("underexposed:0.")
    assert (rows[1]["file"], rows[1]["score"]) == (str(broken), "")
    assert "empty" in rows[1]["error"]


def test_the_table_for_people_says_the_verdict_in_words(run: Run, black: Path, broken: Path):
    out = run("score", CLEAR, black, broken).out
    assert "clear" in out
    assert "degraded: underexposed" in out
    assert "the file is empty" in out


def test_strange_names_come_through(run: Run, tmp_path: Path):
    name = "kanz_halph a\nb ü.fts.gz"
    kso_frame(tmp_path).rename(tmp_path / name)
    assert run("score", name, "--format", "json").lines[0]["file"] == name
    assert run("score", name).code in (0, 3)
    bytes_name = Path(os.fsdecode(b"kanz_halph_\xff.fts.gz"))
    (tmp_path / name).rename(tmp_path / bytes_name)
    for form in ("json", "table", "csv"):
        assert run("score", bytes_name, "--format", form).code in (0, 3)
