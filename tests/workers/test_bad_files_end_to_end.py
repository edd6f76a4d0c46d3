"""Whatever falls into the watched folder, its row says what became of it and the next frame is scored."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observatory.storage import catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.session import Database
from observatory.storage.texts import text_path
from tests.making import KSO_CARDS, drop, fits_bytes, kso_bytes, picture_bytes, sun_picture
from tests.observatory.bad_files import BAD
from workers import ingester as ingester_module

NUMBERS = itertools.count(1)
FINISHED = ("done", "rejected", "failed")
Watched = tuple[Database, Path]
Finish = Callable[[str], dict[str, Any]]


@pytest.fixture
def finished(station: Watched, eventually: Callable[..., None]) -> Finish:
    """Wait until the one frame of that file name is finished and give its row."""
    db, _ = station

    def named(name: str) -> list[dict[str, Any]]:
        return [row for row in catalogue.find(db, FrameFilter(), limit=5000) if row["file_name"] == name]

    def wait(name: str) -> dict[str, Any]:
        eventually(
            lambda: (found := named(name)) and found[0]["status"] in FINISHED, f"{name} was never finished"
        )
        found = named(name)
        assert len(found) == 1
        return found[0]

    return wait


@pytest.fixture
def next_is_scored(station: Watched, finished: Finish) -> Callable[[], None]:
    """Drop a good frame and see that it is scored."""
    _, folder = station

    def check() -> None:
        number = next(NUMBERS)
        name = f"kanz_halph_fi_good_{number}.fts.gz"
        drop(folder / name, kso_bytes(number))
        row = finished(name)
        assert (row["status"], row["reason"]) == ("done", None)
        assert 0 <= row["quality_score"] <= 1

    return check


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_a_rejected_row_and_the_next_frame_is_scored(
    station: Watched, finished: Finish, next_is_scored: Callable[[], None], name: str
):
    import re

    make, words = BAD[name]
    file_name = f"kanz_halph_fi_{name.replace(' ', '_')}.fts"
    drop(station[1] / file_name, make())
    row = finished(file_name)
    assert row["status"] == "rejected"
    assert re.search(words, row["reason"], re.DOTALL), row["reason"]
    assert row["processed_at"] is not None
    next_is_scored()


@pytest.mark.parametrize(
    ("pixels", "cause"),
    [
        (np.zeros((300, 300), np.uint8), "underexposed"),
        (np.full((300, 300), 255, np.uint8), "overexposed"),
    ],
    ids=["black", "white"],
)
@pytest.mark.parametrize("name", ["bbso_halph_fl_20150801_17481{}.jpg", "unnamed_{}.png"])
def test_a_blank_picture_is_done_near_zero_with_its_cause(
    station: Watched, finished: Finish, pixels: np.ndarray, cause: str, name: str
):
    file_name = name.format(4 if cause == "underexposed" else 5)
    drop(station[1] / file_name, picture_bytes(pixels, "JPEG" if name.endswith("jpg") else "PNG"))
    row = finished(file_name)
    assert row["status"] == "done"
    assert row["quality_score"] < 0.1
    assert row["is_degraded"]
    assert row["causes"][0]["cause"] == cause


def test_a_named_picture_without_a_sun_is_done_near_zero_for_want_of_a_target(
    station: Watched, finished: Finish
):
    noise = np.random.default_rng(1).normal(120, 20, (300, 300)).clip(0, 255).astype(np.uint8)
    drop(station[1] / "bbso_halph_fl_20150802_010203.jpg", picture_bytes(noise, "JPEG"))
    row = finished("bbso_halph_fl_20150802_010203.jpg")
    assert row["status"] == "done"
    assert row["quality_score"] < 0.1
    assert "no_target" in [item["cause"] for item in row["causes"]]


def test_a_jpeg_named_fits_is_scored_as_the_picture_that_it_is(station: Watched, finished: Finish):
    drop(station[1] / "kanz_halph_fi_jpeg.fits", sun_picture("JPEG"))
    assert finished("kanz_halph_fi_jpeg.fits")["status"] == "done"


@pytest.mark.parametrize("card", ["CENTER_X", "SOLAR_R", "RSUN_OBS", "ANGLE", "EXP_TIME"])
@pytest.mark.parametrize("value", [1e300, -1e300, 0.0, -1.0])
def test_an_absurd_pointing_in_a_header_harms_nothing(
    station: Watched, finished: Finish, card: str, value: float
):
    number = next(NUMBERS)
    cards = KSO_CARDS | {
        "CENTER_X": 128.0,
        "CENTER_Y": 128.0,
        "SOLAR_R": 110.0,
        card: value,
        "FRAMENO": number,
    }
    name = f"kanz_halph_fi_absurd_{number}.fts"
    from tests.making import sun

    drop(station[1] / name, fits_bytes(sun(number).pixels, cards))
    row = finished(name)
    assert row["status"] in ("done", "rejected"), row["reason"]


@pytest.mark.parametrize(
    "name",
    [
        "kanz_halph with spaces.fts.gz",
        "kanz_halph_Kanzelhöhe_太陽.fts.gz",
        "kanz_halph_a\nnewline.fts.gz",
        "kanz_halph_'quoted\";--%s.fts.gz",
        "kanz_halph_" + "x" * 200 + ".fts.gz",
    ],
)
def test_a_strange_name_is_kept_and_its_frame_scored(station: Watched, finished: Finish, name: str):
    drop(station[1] / name, kso_bytes(next(NUMBERS)))
    row = finished(name)
    assert row["status"] == "done"
    assert text_path(row["path"]) == station[1] / name


def test_a_name_that_is_no_utf8_is_kept_byte_by_byte_and_its_frame_scored(station: Watched, finished: Finish):
    path = Path(os.fsdecode(os.fsencode(station[1]) + b"/kanz_halph_\xff\xfe.fts.gz"))
    drop(path, kso_bytes(next(NUMBERS)))
    row = finished("kanz_halph_\\udcff\\udcfe.fts.gz")
    assert row["status"] == "done"
    assert text_path(row["path"]) == path


def test_a_link_out_of_the_folder_is_rejected_and_not_followed(
    station: Watched, finished: Finish, next_is_scored: Callable[[], None], tmp_path: Path
):
    outside = tmp_path / "kanz_halph_secret.fts.gz"
    outside.write_bytes(kso_bytes(next(NUMBERS)))
    (station[1] / "kanz_halph_link_out.fts.gz").symlink_to(outside)
    row = finished("kanz_halph_link_out.fts.gz")
    assert row["status"] == "rejected"
    assert "symbolic link that leads out" in row["reason"]
    assert row["sha256"] is None
    next_is_scored()


def test_a_link_to_nowhere_is_rejected(station: Watched, finished: Finish):
    (station[1] / "kanz_halph_link_gone.fts.gz").symlink_to(station[1] / "nowhere.fts.gz")
    row = finished("kanz_halph_link_gone.fts.gz")
    assert row["status"] == "rejected"
    assert "No such file" in row["reason"]


def test_a_pipe_in_the_folder_makes_no_row_and_stops_nothing(
    station: Watched, next_is_scored: Callable[[], None]
):
    os.mkfifo(station[1] / "kanz_halph_pipe.fts")
    next_is_scored()
    assert "kanz_halph_pipe.fts" not in [
        row["file_name"] for row in catalogue.find(station[0], FrameFilter(), limit=5000)
    ]


def test_a_folder_moved_in_brings_its_files(station: Watched, finished: Finish, tmp_path: Path):
    outside = tmp_path / "night" / "deeper"
    outside.mkdir(parents=True)
    (outside / "kanz_halph_moved_in.fts.gz").write_bytes(kso_bytes(next(NUMBERS)))
    (tmp_path / "night").rename(station[1] / "night")
    assert finished("kanz_halph_moved_in.fts.gz")["status"] == "done"


@pytest.mark.parametrize(
    "temporary", [".kanz_halph_t1.fts.gz", "kanz_halph_t2.fts.gz.tmp", "kanz_halph_t3.part"]
)
def test_a_temporary_name_waits_and_counts_once_renamed(
    station: Watched, finished: Finish, next_is_scored: Callable[[], None], temporary: str
):
    db, folder = station
    (folder / temporary).write_bytes(kso_bytes(next(NUMBERS)))
    next_is_scored()
    assert temporary not in [row["file_name"] for row in catalogue.find(db, FrameFilter(), limit=5000)]
    final = f"kanz_halph_renamed_{temporary.strip('.')[11:13]}.fts.gz"
    (folder / temporary).rename(folder / final)
    assert finished(final)["status"] == "done"


def test_a_file_that_vanishes_between_event_and_reading_is_rejected(
    station: Watched,
    finished: Finish,
    next_is_scored: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
):
    real = ingester_module.read_bytes

    def late(path: Path, limits: Any) -> bytes:
        if path.name == "kanz_halph_vanishes.fts.gz":
            path.unlink(missing_ok=True)
        return real(path, limits)

    monkeypatch.setattr(ingester_module, "read_bytes", late)
    drop(station[1] / "kanz_halph_vanishes.fts.gz", kso_bytes(next(NUMBERS)))
    row = finished("kanz_halph_vanishes.fts.gz")
    assert row["status"] == "rejected"
    assert "could not be opened" in row["reason"] or "No such file" in row["reason"]
    next_is_scored()


def test_a_file_that_may_not_be_read_is_rejected(
    station: Watched,
    finished: Finish,
    next_is_scored: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
):
    real = Path.read_bytes

    def guarded(path: Path) -> bytes:
        if path.name == "kanz_halph_forbidden.fts.gz":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)  # root may read everything
    drop(station[1] / "kanz_halph_forbidden.fts.gz", kso_bytes(next(NUMBERS)))
    row = finished("kanz_halph_forbidden.fts.gz")
    assert row["status"] == "rejected"
    assert "Permission denied" in row["reason"]
    next_is_scored()


def test_every_frame_has_told_of_itself_in_an_event(station: Watched):
    from observatory.storage import events

    db, _ = station
    told = {event.payload["id"] for event in events.after(db, 0, limit=100_000)}
    assert told == {row["id"] for row in catalogue.find(db, FrameFilter(), limit=5000)}
