"""What docs/extending.md says: a kind of frame is two files, found by themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.making import fits_bytes

_GUIDE = Path(__file__).parents[2] / "docs" / "extending.md"
_BLOCK = re.compile(r"`(\w+/\w+)/(\w+\.py)`.*?```python\n(.*?)```", re.DOTALL)
#: The packages look for kinds and pipelines in further folders, so that the test adds none to ours.
_SCORE = """
import sys
import observatory.instruments
observatory.instruments.__path__.append("observatory/instruments")
import workers.pipelines
workers.pipelines.__path__.append("workers/pipelines")
from heliowatch.cli import main
sys.argv = ["heliowatch", "analyse", "--format", "json", "a.fits", "cak_20261121_100100.fits"]
main()
"""


def test_the_two_files_of_the_guide_make_a_kind_of_frame(tmp_path: Path):
    written = [f"{folder}/{name}" for folder, name, _ in _BLOCK.findall(_GUIDE.read_text())]
    assert written == ["observatory/instruments/calcium.py", "workers/pipelines/calcium.py"]
    for folder, name, code in _BLOCK.findall(_GUIDE.read_text()):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text(code)
    good, dark = np.full((300, 300), 2000, np.int16), np.full((300, 300), 50, np.int16)
    (tmp_path / "a.fits").write_bytes(fits_bytes(good, {"FILTER": "CaK", "DATE-OBS": "2026-11-21T10:00:00"}))
    (tmp_path / "cak_20261121_100100.fits").write_bytes(fits_bytes(dark, {}))
    ended = subprocess.run([sys.executable, "-c", _SCORE], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 3, ended.stderr
    first, second = map(json.loads, ended.stdout.splitlines())
    assert (first["instrument"], first["score"], first["date_obs"]) == ("cak", 0.9, "2026-11-21T10:00:00Z")
    assert (second["is_degraded"], second["causes"][0]["cause"]) == (True, "underexposed")
    assert second["date_obs"] == "2026-11-21T10:01:00Z"
    assert (tmp_path / "out" / "a.preview.jpg").is_file()
