"""Files that are written into folders of the user's."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import heliowatch
from heliowatch.folders import write_whole
from heliowatch.keogram import Request, run_keogram
from heliowatch.simulation import SimulatedSkyCamera
from heliowatch.spans import Span
from models.simulate.allsky_night import Weather
from observatory.settings import Settings
from tests.making import kso_frame
from tests.workers.nights import EVENING


@contextmanager
def full_disk() -> Iterator[None]:
    """A limit on the size of files stands for the disk."""
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))


def test_a_disk_that_is_full_leaves_the_file_of_before(tmp_path: Path):
    path = tmp_path / "picture.jpg"
    write_whole(path, b"of yesterday")
    with full_disk(), pytest.raises(OSError, match=r"picture\.jpg'$"):
        write_whole(path, bytes(8192))
    assert [item.name for item in tmp_path.iterdir()] == ["picture.jpg"]
    assert path.read_bytes() == b"of yesterday"


def test_a_disk_that_is_full_leaves_no_half_keogram(settings: Settings, tmp_path: Path):
    for exposure in SimulatedSkyCamera(10, 160, weather=Weather.CLEAR).expose(tmp_path, EVENING):
        taken = exposure.path
    out = tmp_path / "out"
    with full_disk(), pytest.raises(OSError, match=r"keogram-.*\.png'$"):
        run_keogram(settings, [taken], Request("allsky", Span(), out), "json")
    assert not list(out.iterdir())


def test_a_disk_that_is_full_leaves_no_half_product(settings: Settings, tmp_path: Path):
    taken, out = kso_frame(tmp_path / "sun.fts.gz"), tmp_path / "out"
    with full_disk(), pytest.raises(OSError, match=r"preview\.jpg'$"):
        heliowatch.analyse(taken, out=out, settings=settings)
    assert not list(out.iterdir())
