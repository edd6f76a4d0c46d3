"""Reading a frame of the database again: from any place where its very bytes lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from observatory.errors import UnreadableFileError, UnusableInputError, VanishedFileError
from observatory.frame import Frame
from observatory.instruments import Limits, open_bytes
from observatory.instruments.formats import read_bytes
from observatory.settings import Settings
from observatory.storage import frames
from observatory.storage.session import Database


def read_stored(
    db: Database,
    settings: Settings,
    *,
    sha256: str,
    path: Path,
    file_name: str,
    frame_index: int,
    instrument: str,
) -> Frame:
    """Read and decode a frame of the database.

    Raises
    ------
    VanishedFileError, UnreadableFileError
        When no place holds its bytes any more.
    UnusableInputError
        When they cannot be decoded.
    """
    limits = settings.limits.as_limits
    data = _bytes_of(db, limits, sha256, path, file_name)
    opened = open_bytes(data, file_name, limits, instrument=instrument, stations=settings.stations)
    return opened.frame(frame_index)


def _bytes_of(db: Database, limits: Limits, sha256: str, path: Path, file_name: str) -> bytes:
    problem: UnusableInputError | None = None
    for place in _places(db, sha256, path):
        try:
            data = read_bytes(place, limits)
        except VanishedFileError as error:
            problem = problem or error
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        problem = UnreadableFileError("the file was changed after it arrived")
    raise problem or VanishedFileError(file_name, "no place is known where it lies")


def _places(db: Database, sha256: str, path: Path) -> Iterator[Path]:
    yield path
    yield from frames.other_paths(db, sha256, path)
