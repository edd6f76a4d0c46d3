"""Which camera's the folders are that are named on the command line, and whether any file fits it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heliowatch import doctor
from heliowatch.house import folders_of
from observatory.errors import NoSuchInstrumentError
from observatory.settings import InstrumentSettings, Settings, load_settings
from tests.heliowatch.ended import Run
from workers.watching import WatchFolder


@pytest.fixture
def dome(tmp_path: Path) -> Path:
    """The folder of a camera."""
    folder = (tmp_path / "cameras" / "dome").resolve()
    (folder / "2026").mkdir(parents=True)
    return folder


@pytest.fixture
def settings(tmp_path: Path, dome: Path) -> Settings:
    """A camera with a folder of its own."""
    dome_cam = {"kind": "allsky", "watch": [dome], "patterns": ["*.jpg"]}
    return load_settings(data_dir=tmp_path / "data", instruments={"dome-cam": dome_cam})


def test_a_named_folder_that_the_settings_give_to_a_camera_stays_its_own(settings: Settings, dome: Path):
    assert folders_of(settings, [dome], None) == [WatchFolder(dome, "dome-cam", ("*.jpg",))]


def test_so_does_a_folder_inside_it(settings: Settings, dome: Path):
    night = dome / "2026"
    assert folders_of(settings, [night], None) == [WatchFolder(night, "dome-cam", ("*.jpg",))]


def test_a_camera_inside_a_named_folder_keeps_its_frames(settings: Settings, dome: Path):
    own = WatchFolder(dome, "dome-cam", ("*.jpg",))
    assert folders_of(settings, [dome.parent], None) == [own, WatchFolder(dome.parent)]


def test_an_instrument_that_is_named_with_the_folder_wins(settings: Settings, dome: Path):
    assert folders_of(settings, [dome], "kso-halpha") == [WatchFolder(dome, "kso-halpha")]


def test_an_instrument_that_nobody_knows_is_answered_with_the_cameras_of_the_settings_too(
    settings: Settings, dome: Path
):
    with pytest.raises(NoSuchInstrumentError, match="known are dome-cam, aia-94"):
        folders_of(settings, [dome], "dome-kam")


def test_a_folder_of_which_the_settings_say_nothing_is_nobodys(settings: Settings, tmp_path: Path):
    assert folders_of(settings, [tmp_path], None)[-1] == WatchFolder(tmp_path.resolve())
    elsewhere = tmp_path / "elsewhere"
    assert folders_of(settings, [elsewhere], None) == [WatchFolder(elsewhere.resolve())]


def found(settings: Settings) -> doctor.Check:
    return next(check for check in doctor.checks(settings) if check.name == "watch folders")


def test_the_doctor_names_a_camera_whose_patterns_fit_none_of_its_files(settings: Settings, dome: Path):
    assert found(settings).is_ok, "the camera may not have begun"
    (dome / "2026" / "a.jpg.tmp").touch()
    (dome / ".hidden").touch()
    assert found(settings).is_ok
    (dome / "2026" / "DSC_0001.JPG").touch()
    check = found(settings)
    assert not check.is_ok and "dome-cam: no file in" in check.detail
    assert "(*.jpg); there is 'DSC_0001.JPG'" in check.detail
    (dome / "2026" / "a.jpg").touch()
    assert found(settings).is_ok


def test_files_that_another_camera_takes_are_no_sign_of_wrong_patterns(settings: Settings, dome: Path):
    (dome / "roof_1.png").touch()
    (dome / "2026" / "x.fits").touch()
    roof = InstrumentSettings(kind="allsky", watch=[dome], patterns=["roof_*"])
    sun = InstrumentSettings(kind="halpha", watch=[dome / "2026"])
    both = {**settings.instruments, "roof": roof, "sun": sun}
    assert found(settings.model_copy(update={"instruments": both})).is_ok


def test_a_folder_that_may_not_be_read_is_no_empty_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(tmp_path / "data"))
    run("db", "upgrade")
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    monkeypatch.setenv("HELIOWATCH_WATCH", f'["{closed}"]')
    anyone = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    shell = [*anyone, sys.executable, "-c", "from heliowatch.cli import main; main()"]
    taken = subprocess.run([*shell, "ingest", "--once"], capture_output=True, text=True, check=False)
    assert (taken.returncode, "may not be read by this user" in taken.stderr) == (2, True)
    told = subprocess.run([*shell, "doctor"], capture_output=True, text=True, check=False)
    assert (told.returncode, f"✗ watch folders: may not be read by this user: {closed}" in told.stdout) == (
        1,
        True,
    )
