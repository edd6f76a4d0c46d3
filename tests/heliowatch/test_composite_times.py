"""How sure the times are by which composites are paired."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.coronal import NOON, corona
from tests.heliowatch.ended import Run

pytestmark = pytest.mark.usefixtures("settings")


def test_one_time_of_a_file_among_times_of_names_is_said(run: Run, tmp_path: Path):
    for name in ("aia_304_20240508_120000.png", "aia_171_20240508_120000.png", "aia_193_latest.png"):
        pixels = corona(int(name[4:7]), 256).astype(float)
        Image.fromarray((pixels / pixels.max() * 255).astype(np.uint8)).save(tmp_path / name)
        os.utime(tmp_path / name, (NOON.timestamp(),) * 2)
    ended = run("composite", tmp_path, "--out", tmp_path / "out", "--size", 256, "--format", "json")
    assert (ended.code, [line["date_obs_source"] for line in ended.lines]) == (0, ["file time"])
