"""Files that come through the API: what they may be called, and where they wait for the ingester.

A file arrives under a name of ours in the spool folder and is renamed into the upload folder when it is
whole and safely on disk; the ingester watches the upload folder like any other.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import fnmatch
import hashlib
import itertools
import os
import unicodedata
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from observatory.errors import StorageUnavailableError, UnusableInputError
from observatory.instruments import instrument_names
from observatory.settings import Settings

_LONGEST_NAME = 200  # bytes; file systems allow 255, and .part and a number need room
_FORBIDDEN = frozenset('/\\:*?"<>|')
_ANY = "any"
_OF = "of"


class UploadNameError(UnusableInputError):
    """A file cannot be kept under its name."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the file's name {reason}")


def clean_name(given: str, temporary: list[str]) -> str:
    """Name to keep a file under: the last part of what was given, odd characters replaced.

    Parameters
    ----------
    temporary : list of str
        Patterns of names that the ingester passes over.

    Raises
    ------
    UploadNameError
        When nothing is left of it, it is too long, or it would be passed over.
    """
    last = unicodedata.normalize("NFC", given).replace("\\", "/").rpartition("/")[2].strip()
    name = "".join(_kept(letter) for letter in last)
    if not name.strip("._"):
        raise UploadNameError("is empty: name the file as the camera does")
    if len(name.encode()) > _LONGEST_NAME:
        raise UploadNameError(f"is longer than {_LONGEST_NAME} bytes: shorten it")
    pattern = next((word for word in temporary if fnmatch.fnmatch(name, word)), None)
    if pattern is not None:
        raise UploadNameError(f"is one of unfinished files ({pattern}), which are passed over: rename it")
    return name


def _kept(letter: str) -> str:
    is_plain = letter.isprintable() and letter not in _FORBIDDEN and not 0xD800 <= ord(letter) < 0xE000
    return letter if is_plain else "_"


def instruments(settings: Settings) -> list[str]:
    """Instruments that an upload may be said to be of."""
    return sorted({*settings.stations, *instrument_names()})


def folders(settings: Settings) -> dict[Path, str | None]:
    """Upload folders that the ingester watches, and what is in each; made where they are missing.

    Raises
    ------
    StorageUnavailableError
    """
    root = settings.upload_dir.resolve()
    found: dict[Path, str | None] = {root: None}
    found |= {_folder(root, name): name for name in instruments(settings)}
    with _as_storage_error(root):
        for folder in found:
            folder.mkdir(parents=True, exist_ok=True)
    return found


def _folder(root: Path, instrument: str | None) -> Path:
    return root / _ANY if instrument is None else root / _OF / f"instrument-{quote(instrument, safe='')}"


@dataclass(frozen=True)
class Uploaded:
    """A file that is whole, on disk, and left to the ingester."""

    sha256: str
    bytes: int
    file_name: str


class Spool:
    """Where files arrive."""

    def __init__(self, settings: Settings) -> None:
        self._spool, self._root = settings.spool_dir, settings.upload_dir

    def sweep(self) -> int:
        """Remove what processes left that died in the midst of a file; return how many."""
        swept = 0
        for path in self._spool.glob("*.part"):
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # whoever still writes holds it
                path.unlink()
                swept += 1
        return swept

    def open(self) -> Arriving:
        """Begin a file.

        Raises
        ------
        StorageUnavailableError
        """
        with _as_storage_error(self._spool):
            self._spool.mkdir(parents=True, exist_ok=True)
            return Arriving(self._spool / f"{uuid.uuid4().hex}.part", self._spool, self._root)


class Arriving:
    """A file on its way in; nothing of it is left unless it is placed."""

    def __init__(self, path: Path, spool: Path, root: Path) -> None:
        self._path, self._spool, self._root = path, spool, root
        self._file: BinaryIO = path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._sum = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes | bytearray) -> None:
        """Append, and count it into the sum.

        Raises
        ------
        StorageUnavailableError
            When the disk is full.
        """
        rest = memoryview(data)
        self._sum.update(rest)
        self.bytes += len(rest)
        with _as_storage_error(self._spool):
            while rest:
                rest = rest[self._file.write(rest) :]

    def place(self, name: str, instrument: str | None) -> Uploaded:
        """Make it last and give it to the ingester; the same bytes under the same name are one file.

        Raises
        ------
        StorageUnavailableError
        """
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        folder = _folder(self._root, instrument) / day
        with _as_storage_error(self._root):
            os.fchmod(self._file.fileno(), 0o644)  # whatever the umask: the ingester may be somebody else
            os.fsync(self._file.fileno())
            with self._turn():
                target = next(place for place in _places(folder, name) if self._fits(place))
                target.parent.mkdir(parents=True, exist_ok=True)
                self._path.rename(target)
            _sync_folder(target.parent)
        return Uploaded(self._sum.hexdigest(), self.bytes, name)

    def _fits(self, place: Path) -> bool:
        """Whether nothing is there, or the very same bytes: those are renewed, so that they are looked at."""
        return not place.exists() or filecmp.cmp(place, self._path, shallow=False)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one process at a time look for a free name."""
        with (self._spool / ".turn").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def discard(self) -> None:
        """Forget it, unless it was placed."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._file.close()


def _places(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    for number in itertools.count(2):
        yield folder / str(number) / name


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _as_storage_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(f"the upload folder {folder}", error.strerror or str(error)) from error
