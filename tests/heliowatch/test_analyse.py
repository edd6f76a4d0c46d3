"""Analysing files: what is written for each frame, and under which name."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image

from tests.heliowatch.ended import Run
from tests.heliowatch.scoring import PROMISED
from tests.making import fits_bytes, kso_frame, pgm_bytes

pytestmark = pytest.mark.usefixtures("settings")  # a folder of our own, an environment without ours


def test_analyse_writes_what_is_promised(run: Run, tmp_path: Path):
    path = kso_frame(tmp_path)
    ended = run("analyse", path, "--out", "made", "--format", "json")
    assert ended.code in (0, 3)
    stem = path.name.removesuffix(".fts.gz")
    assert {item.name for item in (tmp_path / "made").iterdir()} == {
        f"{stem}.results.json",
        f"{stem}.preview.jpg",
        f"{stem}.region-map.png",
    }
    said = orjson.loads((tmp_path / "made" / f"{stem}.results.json").read_bytes())
    assert set(said) >= PROMISED
    assert said["results"][0]["analysis"] == "quality"
    assert len(said["results"][0]["model_sha256"]) == 64
    with Image.open(tmp_path / "made" / f"{stem}.region-map.png") as region:
        assert (region.size, region.mode) == ((256, 256), "L")


def test_analyse_of_frames_that_show_no_sky_writes_their_preview(run: Run, tmp_path: Path):
    pixels = np.random.default_rng(1).gamma(2, 100, (128, 128)).astype(np.float32)
    (tmp_path / "x.fits").write_bytes(fits_bytes(pixels))
    assert run("analyse", "x.fits", "-i", "allsky", "--out", "made").code == 3
    assert {item.name for item in (tmp_path / "made").iterdir()} == {"x.results.json", "x.preview.jpg"}


def test_analyse_names_the_frames_of_a_film_apart(run: Run, tmp_path: Path):
    (tmp_path / "themis01.pgm").write_bytes(pgm_bytes([np.full((32, 32), n, np.uint16) for n in range(3)]))
    run("analyse", "themis01.pgm", "--out", "made")
    previews = sorted(item.name for item in (tmp_path / "made").glob("*.preview.jpg"))
    assert len(previews) == 3


def test_analyse_keeps_inputs_of_one_name_apart(run: Run, tmp_path: Path):
    packed = kso_frame(tmp_path)
    plain = packed.with_suffix("")
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    (tmp_path / "other").mkdir()
    again = shutil.copy(plain, tmp_path / "other")
    run("analyse", packed, plain, again, "--out", "made")
    stem = plain.stem
    said = {
        name: orjson.loads((tmp_path / "made" / f"{name}.results.json").read_bytes())["file"]
        for name in (stem, f"{stem}-2", f"{stem}-3")
    }
    assert said == {stem: str(packed), f"{stem}-2": str(plain), f"{stem}-3": str(again)}
