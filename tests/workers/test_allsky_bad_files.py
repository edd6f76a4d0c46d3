"""All-sky files that are broken, wholly or in part: what can be used is analysed, the rest says why not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observatory.storage import catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.session import Database
from tests.making import drop, pgm_bytes
from tests.skies import film_parts, jpeg_bytes, png_bytes, sky_picture, tar_bytes

FINISHED = ("done", "rejected", "failed")
Rows = Callable[[str, int], list[dict[str, Any]]]


@pytest.fixture
def finished(station: tuple[Database, Path], eventually: Callable[..., None]) -> Rows:
    """Wait until so many frames of that file name are finished and give their rows in order."""
    db, _ = station

    def named(name: str) -> list[dict[str, Any]]:
        rows = [row for row in catalogue.find(db, FrameFilter(), limit=5000) if row["file_name"] == name]
        return sorted(rows, key=lambda row: int(row["frame_index"]))

    def wait(name: str, count: int) -> list[dict[str, Any]]:
        eventually(
            lambda: sum(row["status"] in FINISHED for row in named(name)) == count,
            f"{name} was not finished",
        )
        return named(name)

    return wait


def test_of_a_film_whose_seventh_image_is_broken_nineteen_frames_are_done(
    station: tuple[Database, Path], finished: Rows
):
    parts = film_parts(20)
    parts[6] = parts[6][: len(parts[6]) // 2]
    name = "20140310_0601_gill_themis19_full.pgm"
    drop(station[1] / name, b"".join(parts))
    rows = finished(name, 20)
    assert [row["frame_index"] for row in rows if row["status"] == "rejected"] == [6]
    assert "lacks pixels of image 6" in rows[6]["reason"]
    assert rows[6]["date_obs"] is not None
    assert rows[6]["processed_at"] is not None
    assert {row["status"] for row in rows[:6] + rows[7:]} == {"done"}
    assert {row["instrument"] for row in rows} == {"themis-asi"}
    assert len({row["sha256"] for row in rows}) == 1


def test_a_truncated_film_gives_its_whole_images_once_it_has_rested(
    station: tuple[Database, Path], finished: Rows
):
    data = gzip.compress(b"".join(film_parts(6)))
    name = "20140310_0602_gill_themis19_full.pgm.gz"
    drop(station[1] / name, data[: len(data) // 2])
    rows = finished(name, 3)
    assert [row["status"] for row in rows] == ["done", "done", "rejected"]
    assert "truncated in image 2" in rows[2]["reason"]


def test_of_an_archive_with_names_that_lead_out_of_it_only_the_pictures_are_used(
    station: tuple[Database, Path], finished: Rows
):
    good = "20090209_060001_gill_nascam-iccd02_5577_001000ms.png"
    members = {"../../../evil.png": png_bytes(sky_picture()), good: png_bytes(sky_picture(seed=2))}
    name = "20090209_0600_gill_nascam-iccd02.png.tar"
    drop(station[1] / name, tar_bytes(members, links={"link.png": "/etc/passwd"}))
    rows = finished(name, 3)
    assert [row["status"] for row in rows] == ["rejected", "done", "rejected"]
    assert "leads out of the archive" in rows[0]["reason"]
    assert "link" in rows[2]["reason"]
    assert (rows[1]["wavelength_nm"], rows[1]["exposure_time_s"]) == (557.7, 1.0)
    assert rows[1]["date_obs"].isoformat() == "2009-02-09T06:00:01+00:00"
    assert not list(station[1].parent.rglob("evil.png"))


def test_a_frame_with_a_wrong_clock_is_done_without_a_time_and_says_why(
    station: tuple[Database, Path], finished: Rows
):
    drop(station[1] / "allsky_19700101_000312.jpg", jpeg_bytes(sky_picture(depth=8)))
    local = pgm_bytes([sky_picture(seed=3)], [{"Image request start": "2014-03-10 06:00:00 UTC"}])
    drop(station[1] / "themis19_20140310_070001.pgm", local)
    (unset,) = finished("allsky_19700101_000312.jpg", 1)
    (shifted,) = finished("themis19_20140310_070001.pgm", 1)
    for row, words in ((unset, "never set"), (shifted, "1 h apart: one of the two is local time")):
        assert (row["status"], row["date_obs"], row["date_obs_source"]) == ("done", None, "none")
        assert words in row["reason"]


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("black", np.zeros((96, 96), np.uint8)),
        ("white", np.full((96, 96), 255, np.uint8)),
        ("cap", np.random.default_rng(1).poisson(3.0, (96, 96)).astype(np.uint8)),
        ("no_circle", np.tile(np.linspace(0, 255, 128).astype(np.uint8), (96, 1))),
        ("tiny", np.zeros((9, 9), np.uint8)),
    ],
)
def test_a_picture_without_a_sky_is_done_all_the_same(
    station: tuple[Database, Path], finished: Rows, name: str, pixels: np.ndarray
):
    file_name = f"allsky_{name}_20260103_041500.png"
    drop(station[1] / file_name, png_bytes(pixels))
    (row,) = finished(file_name, 1)
    assert row["status"] == "done", row["reason"]
