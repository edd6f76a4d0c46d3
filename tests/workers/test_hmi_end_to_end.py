"""Whatever an HMI file holds, its row says what became of it, and the next good frame is enhanced."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.simulate.hmi import HmiSun, HmiTelescope, SimulatedHmi
from models.simulate.hmi_fits import write_hmi_fits
from observatory.analysis import Quantity
from observatory.storage import catalogue, enhancements, products
from observatory.storage.catalogue import FrameFilter
from observatory.storage.session import Database
from tests.making import drop, fits_bytes
from tests.workers.enhancements import granules
from workers import metrics, tasks
from workers.pace import Pace
from workers.pipelines import hmi
from workers.products.fits_writing import Quantised, empty_primary, file_of, rice_image

NUMBERS = itertools.count(1)
WHEN = datetime(2023, 1, 31, 3, 39, 23, tzinfo=UTC)
FINISHED = ("done", "rejected", "failed")
Watched = tuple[Database, Path]
Finish = Callable[[str], dict[str, Any]]
CONTINUUM = {
    "TELESCOP": "SDO/HMI",
    "INSTRUME": "HMI_FRONT2",
    "CONTENT": "CONTINUUM INTENSITY",
    "BUNIT": "DN/s",
}
FIELD = CONTINUUM | {"CONTENT": "MAGNETOGRAM", "BUNIT": "Gauss"}


@cache
def good(quantity: Quantity) -> SimulatedHmi:
    low, high = 1888, 2208
    return HmiSun(5, 0.0).pair(WHEN, HmiTelescope(window_px=(low, low, high, high)))[
        quantity is Quantity.FIELD
    ]


def half_missing() -> bytes:
    pixels = np.tile(granules(256, 256), (16, 16))
    pixels[:, :2048] = np.nan
    cards = [(key, value, "") for key, value in CONTINUUM.items()]
    return file_of([empty_primary([]), rice_image(pixels, Quantised("i2", 4.0, -32768), "IMAGE", cards)])


def colour_jpeg() -> bytes:
    buffer = io.BytesIO()
    picture = np.random.default_rng(1).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    Image.fromarray(picture).save(buffer, "JPEG")
    return buffer.getvalue()


REJECTED = {
    "nothing but NaN": (
        lambda: fits_bytes(np.full((96, 96), np.nan, np.float32), CONTINUUM),
        "no number at all",
    ),
    "a cube": (lambda: fits_bytes(np.ones((4, 96, 96), np.float32), CONTINUUM), "one flat image is expected"),
    "three colours": (lambda: fits_bytes(np.ones((3, 96, 96), np.float32), CONTINUUM), "give it in grey"),
    "half a WCS": (
        lambda: fits_bytes(granules(96, 96), CONTINUUM | {"CDELT1": 0.504, "CDELT2": 0.504}),
        "half a WCS",
    ),
}
REFUSED = {
    "one value": (lambda: fits_bytes(np.full((96, 96), 5e4, np.float32), CONTINUUM), None),
    "a negative continuum": (lambda: fits_bytes(-granules(96, 96), CONTINUUM), None),
    "a field of no known unit": (
        lambda: fits_bytes(good(Quantity.FIELD).pixels, FIELD | {"BUNIT": "furlong"}),
        "furlong",
    ),
    "a field in gauss that says tesla": (
        lambda: fits_bytes(good(Quantity.FIELD).pixels, FIELD | {"BUNIT": "T"}),
        None,
    ),
    "ten pixels": (lambda: fits_bytes(granules(96, 10), CONTINUUM), "10"),
    "half of a large one missing": (half_missing, "missing_data"),
    "noise": (
        lambda: fits_bytes(np.random.default_rng(1).normal(5e4, 1e4, (96, 96)).astype(np.float32), CONTINUUM),
        None,
    ),
}


@pytest.fixture
def finished(station: Watched, eventually: Callable[..., None]) -> Finish:
    """Drop bytes under a name, wait until their frame is finished and give its row."""
    db, _ = station

    def named(name: str) -> list[dict[str, Any]]:
        return [row for row in catalogue.find(db, FrameFilter(), limit=5000) if row["file_name"] == name]

    def wait(name: str) -> dict[str, Any]:
        eventually(
            lambda: (found := named(name)) and found[0]["status"] in FINISHED, f"{name} was never finished"
        )
        (row,) = named(name)
        return row

    return wait


@pytest.fixture
def taken_in(station: Watched, finished: Finish) -> Callable[[], dict[str, Any]]:
    """Drop another good frame and give what is said of its enhancement."""
    db, folder = station

    def take() -> dict[str, Any]:
        simulated = good(Quantity.CONTINUUM)
        path = write_hmi_fits(
            folder.parent, replace(simulated, date_obs=WHEN + timedelta(seconds=45 * next(NUMBERS)))
        )
        path.rename(folder / path.name)
        row = finished(path.name)
        assert (row["status"], row["reason"]) == ("done", None)
        said = enhancements.of_frame(db, row["id"])
        assert said is not None
        return said

    return take


@pytest.fixture
def next_is_enhanced(taken_in: Callable[[], dict[str, Any]]) -> Callable[[], None]:
    """Drop a good frame and see that it has its numbers."""

    def check() -> None:
        said = taken_in()
        assert said["outcome"] == "enhanced", said

    return check


def test_what_there_is_no_time_for_is_told_and_counted(
    taken_in: Callable[[], dict[str, Any]],
    next_is_enhanced: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
):
    counted = metrics.enhancements_skipped.labels("hmi-continuum")._value.get
    before = counted()
    with monkeypatch.context() as patch:
        patch.setattr(hmi, "FULL_DISK_PX", 100)
        patch.setattr(tasks.desk(), "pace", Pace(1e-6))
        assert taken_in()["outcome"] == "enhanced"
        said = taken_in()
    assert said["outcome"] == "skipped"
    assert "enhancement.cpu_share" in said["reason"]
    assert counted() == before + 1
    next_is_enhanced()


@pytest.mark.parametrize("name", REJECTED)
def test_what_cannot_be_read_is_rejected_with_the_reason(
    station: Watched, finished: Finish, next_is_enhanced: Callable[[], None], name: str
):
    make, words = REJECTED[name]
    file = f"hmi.ic_45s.{name.replace(' ', '_')}.continuum.fits"
    drop(station[1] / file, make())
    row = finished(file)
    assert row["status"] == "rejected"
    assert words in row["reason"]
    next_is_enhanced()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_photosphere_is_scored_and_refused_with_the_reason(
    station: Watched, finished: Finish, next_is_enhanced: Callable[[], None], name: str
):
    make, words = REFUSED[name]
    segment = "magnetogram" if "field" in name else "continuum"
    file = f"hmi.ic_45s.{name.replace(' ', '_')}.{segment}.fits"
    drop(station[1] / file, make())
    row = finished(file)
    assert (row["status"], row["reason"]) == ("done", None)
    assert row["quality_score"] is not None
    said = enhancements.of_frame(station[0], row["id"])
    assert said is not None and said["outcome"] == "refused", said
    assert words is None or words in said["reason"]
    assert "enhanced" not in {item["kind"] for item in products.of_frame(station[0], row["id"])}
    next_is_enhanced()


def test_a_colour_picture_is_scored_and_refused(station: Watched, finished: Finish):
    drop(station[1] / "20230131_0339_hmi_continuum.jpg", colour_jpeg())
    row = finished("20230131_0339_hmi_continuum.jpg")
    assert row["status"] in ("done", "rejected"), row["reason"]
    said = enhancements.of_frame(station[0], row["id"])
    assert said is None or said["outcome"] == "refused"
