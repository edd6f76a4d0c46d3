"""What a watched folder tells, from the real events of the file system."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from observatory.settings import IngestSettings
from workers import watching
from workers.watching import Sign, Watch, WatchFolder

Heard = Callable[[Path, Sign], None]


class Ear:
    """Keeps what it was told, in order."""

    def __init__(self) -> None:
        self._told: list[tuple[str, Sign]] = []
        self._lock = threading.Lock()

    def notice(self, path: str, sign: Sign) -> None:
        with self._lock:
            self._told.append((path, sign))

    def told(self, path: Path) -> list[Sign]:
        """Signs of one path."""
        with self._lock:
            return [sign for told, sign in self._told if told == str(path)]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "watched"
    folder.mkdir()
    return folder


@pytest.fixture(name="ear")
def _ear(folder: Path) -> Iterator[Ear]:
    ear = Ear()
    with Watch([WatchFolder(folder)], IngestSettings(), ear.notice):
        yield ear


@pytest.fixture(name="heard")
def _heard(ear: Ear, eventually: Callable[..., None]) -> Heard:
    """Waits until a sign was told of a path."""
    return lambda path, sign: eventually(
        lambda: sign in ear.told(path), f"{sign} of {path.name} was not told"
    )


def test_a_file_that_is_written_is_touched_and_closed(folder: Path, ear: Ear, heard: Heard):
    path = folder / "a.fits"
    path.write_bytes(b"x")
    heard(path, Sign.CLOSED)
    assert Sign.TOUCHED in ear.told(path)


def test_a_file_that_is_moved_in_is_closed_and_one_moved_out_is_gone(
    folder: Path, heard: Heard, tmp_path: Path
):
    outside, path = tmp_path / "a.fits", folder / "a.fits"
    outside.write_bytes(b"x")
    outside.rename(path)
    heard(path, Sign.CLOSED)
    path.rename(outside)
    heard(path, Sign.GONE)


def test_a_file_that_is_renamed_is_gone_here_and_closed_there(folder: Path, heard: Heard):
    before, after = folder / "a.part", folder / "a.fits"
    before.write_bytes(b"x")
    before.rename(after)
    heard(before, Sign.GONE)
    heard(after, Sign.CLOSED)


def test_a_new_folder_is_told_and_what_is_written_in_it_later(folder: Path, ear: Ear, heard: Heard):
    new = folder / "2026" / "11"
    new.mkdir(parents=True)
    heard(folder / "2026", Sign.FOLDER)
    path = new / "a.fits"
    for _ in range(100):  # the watch of a folder begins when it was seen
        path.write_bytes(b"x")
        if ear.told(path):
            break
        threading.Event().wait(0.05)
    heard(path, Sign.CLOSED)


def test_a_folder_that_is_moved_in_is_told(folder: Path, heard: Heard, tmp_path: Path):
    (tmp_path / "night").mkdir()
    (tmp_path / "night").rename(folder / "night")
    heard(folder / "night", Sign.FOLDER)


def test_who_only_reads_makes_no_event(
    folder: Path, tmp_path: Path, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []
    monkeypatch.setattr(watching._Handler, "on_any_event", lambda _, event: seen.append(str(event.src_path)))
    path, last = folder / "a.fits", folder / "last.fits"
    path.write_bytes(b"x")
    with Watch([WatchFolder(folder)], IngestSettings(), lambda *_: None):
        for _ in range(20):
            path.read_bytes()
            list(folder.iterdir())
        last.write_bytes(b"x")
        eventually(lambda: str(last) in seen, "no event of the last file")  # they come in order
    assert str(path) not in seen


def test_a_folder_that_goes_away_and_comes_back_is_named_each_time(folder: Path):
    with Watch([WatchFolder(folder)], IngestSettings(), lambda *_: None) as watch, capture_logs() as logs:
        folder.rename(folder.with_name("aside"))
        watch.renew()
        folder.with_name("aside").rename(folder)
        watch.renew()
    said = [(line["event"], line.get("folder") or line.get("folders")) for line in logs]
    assert said == [("watch_folder_away", str(folder)), ("watch_folder_replaced", [str(folder)])]
