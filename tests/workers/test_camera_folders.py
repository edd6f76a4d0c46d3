"""Which camera took a file: by its folder, by its pattern, by its name, or by none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from observatory.settings import Settings, load_settings
from observatory.storage.session import Database
from tests.coronal import aia_file
from tests.making import drop, fits_bytes, sun_picture
from tests.workers.ingesting import Eventually, Rows, Watching, once
from workers.watching import WatchFolder, watch_folders


def test_a_cameras_own_folder_names_its_frames_and_filters_by_pattern(
    quick: Settings, home: Database, incoming: Path, tmp_path: Path, rows: Rows
):
    own = tmp_path / "my-sky"
    own.mkdir()
    settings = load_settings(
        data_dir=quick.data_dir,
        watch=[tmp_path],
        instruments={"my-sky": {"kind": "allsky", "watch": [own], "patterns": ["*.png"]}},
    )
    drop(own / "1.png", sun_picture(number=1))
    drop(own / "2.jpg", sun_picture("JPEG", number=2))
    (incoming / "3.png").write_bytes(sun_picture(number=3))
    once(settings, home, *watch_folders(settings))
    by_name = {row["file_name"]: row["instrument"] for row in rows(home) if row["status"] == "received"}
    assert by_name == {"1.png": "my-sky", "3.png": "halpha"}
    assert next(row["family"] for row in rows(home) if row["file_name"] == "1.png") == "allsky"


def test_a_frame_of_another_channel_in_a_cameras_folder_is_refused_and_not_judged_as_the_cameras(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    # Patterns that were forgotten: the network for 193 would find coronal holes in 304.
    settings = load_settings(
        data_dir=quick.data_dir, instruments={"my-aia": {"kind": "aia-193", "watch": [incoming]}}
    )
    for channel in (193, 304):
        aia_file(incoming, channel, name=f"{channel}.fits")
    once(settings, home, *watch_folders(settings))
    found = {row["file_name"]: row for row in rows(home)}
    assert {row["instrument"] for row in found.values()} == {"my-aia"}
    assert (found["193.fits"]["status"], found["193.fits"]["wavelength_nm"]) == ("received", 19.3)
    assert (found["304.fits"]["status"], found["304.fits"]["wavelength_nm"]) == ("rejected", None)
    assert "its header or name says aia-304, but my-aia" in found["304.fits"]["reason"]


def test_a_picture_without_a_header_is_of_the_channel_that_its_name_tells(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    settings = load_settings(
        data_dir=quick.data_dir, instruments={"my-aia": {"kind": "aia-171", "watch": [incoming]}}
    )
    mine = ["20250205_120000_1024_0171.jpg", "frame_0193.jpg", "aia-171_0094.jpg"]
    others = ["20250205_120000_1024_0193.jpg", "latest_512_0304.jpg", "aia_20250205_0094.jpg"]
    for number, name in enumerate([*mine, *others]):
        drop(incoming / name, sun_picture("JPEG", number=number))
    once(settings, home, *watch_folders(settings))
    taken = {row["file_name"] for row in rows(home) if row["status"] == "received"}
    assert taken == set(mine)
    assert {row["reason"].partition(",")[0] for row in rows(home) if row["status"] == "rejected"} == {
        f"its header or name says {channel}" for channel in ("aia-193", "aia-304", "aia-94")
    }


def test_whoever_names_the_instrument_of_a_frame_knows_better_than_its_header(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    aia_file(incoming, 304, name="a.fits")
    once(quick, home, WatchFolder(incoming, "aia-193"))
    assert rows(home)[0]["status"] == "received"


def test_two_cameras_that_write_into_one_folder_are_told_apart_by_their_patterns(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    settings = load_settings(
        data_dir=quick.data_dir,
        watch=[incoming],
        instruments={
            "north": {"kind": "halpha", "watch": [incoming], "patterns": ["n_*"]},
            "south": {"kind": "halpha", "watch": [incoming], "patterns": ["s_*"]},
        },
    )
    for number, name in enumerate(("n_1.png", "s_1.png", "other.png"), 1):
        drop(incoming / name, sun_picture(number=number))
    once(settings, home, *watch_folders(settings))
    by_name = {row["file_name"]: row["instrument"] for row in rows(home)}
    assert by_name == {"n_1.png": "north", "s_1.png": "south", "other.png": "halpha"}


def test_a_folder_that_is_moved_in_is_taken_by_each_of_the_cameras_that_share_its_place(
    patient: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    night = incoming.parent / "night"
    night.mkdir()
    drop(night / "n_1.png", sun_picture(number=1))
    drop(night / "s_1.png", sun_picture(number=2))
    north, south = (WatchFolder(incoming, "halpha", (pattern,)) for pattern in ("n_*", "s_*"))
    with watching(patient, home, north, south):
        night.rename(incoming / "night")
        eventually(lambda: len(rows(home)) == 2, "one of the two was passed over")


def test_a_folder_of_one_camera_inside_a_shared_one_is_taken_once(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    own = incoming / "own"
    own.mkdir()
    (own / "a.png").write_bytes(sun_picture(number=1))
    once(quick, home, WatchFolder(own, "bbso-halpha"), WatchFolder(incoming))
    assert [row["instrument"] for row in rows(home)] == ["bbso-halpha"]


def test_a_file_of_no_one_instrument_is_rejected_and_names_the_candidates(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    (incoming / "aia_193_rgb-04.fits").write_bytes(fits_bytes(np.ones((9, 9), np.int16)))
    once(quick, home, incoming)
    row = rows(home)[0]
    assert row["status"] == "rejected"
    assert "aia-193 or trex-rgb" in row["reason"]


def test_a_file_refused_for_want_of_an_instrument_is_taken_once_the_instrument_is_named(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(incoming / "a.png")
    once(quick, home, incoming)
    assert rows(home)[0]["status"] == "rejected"
    once(quick, home, WatchFolder(incoming, "kso-halpha"))
    (row,) = rows(home)
    assert (row["status"], row["instrument"], row["reason"]) == ("received", "kso-halpha", None)
