"""What `score` says of all-sky frames, by the network that ships."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import orjson
import pytest

from heliowatch import analyse, score
from models.aurora.inference import AuroraModel
from models.runtime import Runtime
from observatory.analysis import AURORAL, SkyClass
from observatory.instruments import Limits, read_file
from tests.heliowatch.ended import Run
from tests.making import pgm_bytes, picture_bytes
from tests.night_skies import night

pytestmark = pytest.mark.usefixtures("settings")

SAID = {"sky_class", "probabilities", "aurora_probability", "cloud_cover"}


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three images of a clear night, as THEMIS writes them."""
    path = tmp_path / "20140302_0600_gill_themis19_full.pgm"
    path.write_bytes(pgm_bytes([night(seed).pixels for seed in range(3)]))
    return path


def test_every_image_of_a_film_has_a_line_with_its_sky(run: Run, film: Path) -> None:
    lines = run("score", "--instrument", "allsky", film, "--format", "json").lines
    assert [line["frame"] for line in lines] == [0, 1, 2]
    for line in lines:
        assert line.keys() >= SAID and "reason" not in line
        assert line["sky_class"] in set(SkyClass)
        assert sum(line["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
        assert list(line["probabilities"]) == [name.value for name in SkyClass]
        assert 0.0 <= line["cloud_cover"] <= 1.0 and 0.0 <= line["score"] <= 1.0
        aurora = sum(line["probabilities"][name.value] for name in AURORAL)
        assert line["aurora_probability"] == pytest.approx(aurora, abs=1e-5)


def test_a_sky_that_cannot_be_judged_has_no_class_and_says_why(run: Run, tmp_path: Path) -> None:
    (tmp_path / "black.png").write_bytes(picture_bytes(np.zeros((200, 300, 3), np.uint8)))
    (tmp_path / "white.png").write_bytes(picture_bytes(np.full((200, 300, 3), 255, np.uint8)))
    ended = run("score", "-i", "allsky", tmp_path / "black.png", tmp_path / "white.png", "--format", "json")
    assert ended.code == 3
    black, white = ended.lines
    assert black["sky_class"] is None and black["probabilities"] == {} and black["cloud_cover"] is None
    assert "lens cap" in black["reason"] and black["causes"][0]["cause"] == "lens_cap"
    assert "overexposed" in white["reason"] and white["causes"][0]["cause"] == "overexposed"


def test_tables_for_people_and_programs_say_what_the_sky_shows(run: Run, film: Path) -> None:
    table = run("score", "-i", "allsky", film).out
    assert "sky" in table.splitlines()[0] and "% cloud" in table
    rows = list(csv.DictReader(io.StringIO(run("score", "-i", "allsky", film, "--format", "csv").out)))
    assert len(rows) == 3 and all(row["sky_class"] in set(SkyClass) for row in rows)


def test_python_gives_the_same_as_dataclasses(film: Path) -> None:
    reports = score([film], instrument="allsky")
    assert len(reports) == 3
    assert reports[0].sky is not None and reports[0].sky.sky_class in SkyClass
    assert reports[0].sky.cloud_sectors.shape == (33,)
    array = score(night().pixels[::-1].copy(), instrument="allsky")[0]
    assert array.error is None and array.sky is not None and array.sky.sky_class is not None


def test_analysis_writes_the_cloud_map_and_the_sky_beside_the_preview(film: Path, tmp_path: Path) -> None:
    reports = analyse([film], out=tmp_path / "made", instrument="allsky")
    assert reports[0].sky is not None
    results = orjson.loads((tmp_path / "made" / f"{film.stem}.results.json").read_bytes())
    assert {item["analysis"] for item in results["results"]} == {"quality", "sky"}
    assert results["sky_class"] == reports[0].sky.sky_class


@pytest.mark.parametrize(
    ("file", "is_aurora"),
    [
        ("kho_2014/20140221192040.jpg", True),
        ("kho_2014/20140223030640.jpg", True),
        ("kho_20131204/kho1_1941.png", True),
        ("trex_rgb/20211030_060500_149606_gill_rgb-04_320ms_burst.png", True),
        ("kho_2014/20140218224110.jpg", False),
        ("kho_2014/20140225233410.jpg", False),
        ("trex_rgb/20200508_060500_122643_gill_rgb-04_320ms_full.png", False),
        ("lowell/005.fits.bz2", False),
    ],
)
def test_real_frames_are_told_apart(real_frames: Path, file: str, is_aurora: bool) -> None:
    opened = read_file(real_frames / "allsky" / file, Limits(), instrument="allsky")
    frame = opened.frame_for_analysis()
    found = AuroraModel(Runtime()).analyse(frame)
    assert found.aurora_probability is not None
    assert (found.aurora_probability >= 0.5) == is_aurora
