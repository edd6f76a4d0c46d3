"""Keograms from the shell: of files, and of what is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest

from heliowatch.keogram import Request, run_keogram
from heliowatch.simulation import SimulatedSkyCamera
from heliowatch.spans import Span
from models.simulate.allsky_night import Weather
from observatory.errors import SettingsError
from observatory.frame import DateSource
from observatory.settings import Settings, load_settings
from tests.embedded import lay_out
from tests.workers.nights import EVENING, take
from workers.app import make_app
from workers.tasks import Desk

DUSK = datetime(2026, 1, 23, 22, tzinfo=UTC)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few frames of two simulated nights, and a file that is none."""
    folder = tmp_path_factory.mktemp("frames")
    camera = SimulatedSkyCamera(10, 160, weather=Weather.CLEAR)
    for number in range(4):
        for exposure in camera.expose(folder, DUSK + timedelta(hours=6 * number)):
            assert exposure.path.is_file()
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    return folder


Run = Callable[..., tuple[int, list[dict]]]


@pytest.fixture
def run(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The verb, its answer as JSON."""

    def call(
        files: list[Path], instrument: str | None = None, span: str = "../..", given: Settings = settings
    ) -> tuple[int, list[dict]]:
        code = run_keogram(given, files, Request(instrument, Span.parse(span), tmp_path / "out"), "json")
        return code, [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


def test_files_become_a_pair_of_pictures_for_each_night_and_bad_ones_are_told(run: Run, frames: Path):
    code, said = run([frames], "allsky")
    nights, errors = [one for one in said if "date" in one], [one for one in said if "error" in one]
    assert code == 1
    assert [Path(one["file"]).name for one in errors] == ["broken.jpg"]
    assert [one["date"] for one in nights] == ["2026-01-23", "2026-01-24"]
    assert all(one["is_simulated"] for one in nights)
    assert [one["frames"] for one in nights] == [3, 1]  # the Sun stays below the horizon at noon, too
    for one in nights:
        for kind in ("keogram", "ewogram"):
            picture = cv2.imread(one[kind])
            assert picture.shape[1] == 1600 and picture.std() > 5


def test_a_span_narrows_and_an_empty_one_says_so(run: Run, frames: Path):
    files = sorted(frames.glob("allsky*"))
    code, said = run(files, None, "2026-01-24T12:00Z/..")
    assert (code, [one["date"] for one in said]) == (0, ["2026-01-24"])
    code, said = run(files, None, "2027-01-24T12:00Z/..")
    assert code == 1 and "times of its frames" in said[0]["error"]


def test_a_folder_of_pictures_that_holds_the_frames_hides_none_of_them(
    run: Run, settings: Settings, frames: Path, tmp_path: Path
):
    (tmp_path / "out").symlink_to(frames.parent)
    assert [one["frames"] for one in run([frames], "allsky")[1] if "date" in one] == [3, 1]
    with pytest.raises(SettingsError, match="name another folder"):
        run_keogram(settings, [frames], Request("allsky", Span(), frames), "json")


def test_frames_of_the_sun_are_no_night(run: Run, frames: Path):
    sun = Path(__file__).parents[2] / "heliowatch" / "samples" / "bbso_halph_fl_20150801_174814.jpg"
    code, said = run([sun])
    assert code == 1 and "no all-sky camera" in said[0]["error"]


def test_what_is_stored_is_drawn_from_its_lines_alone(run: Run, settings: Settings, tmp_path: Path):
    lay_out(settings.resolved_database_url)
    make_app(settings)
    at = Desk(load_settings(data_dir=settings.data_dir))
    for minute in range(6):
        take(at, tmp_path, minute)
        take(at, tmp_path, minute, begin=EVENING - timedelta(days=2))
    for path in tmp_path.glob("kho_*"):
        path.unlink()
    code, said = run([], "kho", "2026-11-20T17:02Z/..")
    assert (code, [(one["date"], one["frames"]) for one in said]) == (0, [("2026-11-20", 4)])
    assert np.asarray(cv2.imread(said[0]["keogram"])).std() > 5
    assert [one["date"] for one in run([], "kho")[1]] == ["2026-11-18", "2026-11-20"]
    code, said = run([], "themis-asi")
    assert code == 1 and "no night of themis-asi" in said[0]["error"]


def test_stored_times_that_are_those_of_files_are_told(
    run: Run, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lay_out(settings.resolved_database_url)
    make_app(settings)
    at = Desk(load_settings(data_dir=settings.data_dir))
    take(at, tmp_path, 0)
    assert [one["is_file_time"] for one in run([], "kho")[1]] == [False]
    take(at, tmp_path, 1, date_source=DateSource.FILE_TIME)
    assert [one["is_file_time"] for one in run([], "kho")[1]] == [True]
    assert run_keogram(settings, [], Request("kho", Span(), tmp_path / "out"), "table") == 0
    assert "name_time" in capsys.readouterr().out


def test_nothing_asked_for_is_a_usage_error(run: Run):
    with pytest.raises(SettingsError, match="say of what"):
        run([])
