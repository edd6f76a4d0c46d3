"""Reading a frame of the database again: from any place where its very bytes lie."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from observatory.errors import UnreadableFileError, UnusableInputError, VanishedFileError
from observatory.frame import Frame
from observatory.instruments import Opened, open_bytes
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
    opened = open_stored(db, settings, sha256=sha256, path=path, file_name=file_name, instrument=instrument)
    return replace(opened.frame(frame_index), sha256=sha256)


def open_stored(
    db: Database,
    settings: Settings,
    *,
    sha256: str,
    path: Path,
    file_name: str,
    instrument: str,
    seen: Collection[tuple[int, int]] = (),
) -> Opened:
    """Open a file of the database.

    Parameters
    ----------
    seen : collection of (int, int)
        Lengths and times of last change with which its bytes were hashed at ``path``: as long as
        they are the same, they are not hashed again.

    Raises
    ------
    VanishedFileError, UnreadableFileError
        When no place holds its bytes any more.
    UnusableInputError
        When they cannot be opened.
    """
    limits = settings.limits.as_limits
    problem: UnusableInputError | None = None
    for place in _places(db, sha256, path):
        try:
            data = read_bytes(place, limits)
        except VanishedFileError as error:
            problem = problem or error
            continue
        is_as_seen = place == path and _is_as_seen(place, len(data), seen)
        if is_as_seen or hashlib.sha256(data).hexdigest() == sha256:
            # Elsewhere than where it arrived its time of last change says nothing of the exposure.
            return open_bytes(
                data,
                file_name,
                limits,
                instrument=instrument,
                stations=settings.stations,
                file_time=_last_change(place) if place == path else None,
            )
        problem = UnreadableFileError(
            "the file was changed after it arrived; its new bytes are a frame of their own"
        )
    raise problem or VanishedFileError(file_name, "no place is known where it lies")


def _places(db: Database, sha256: str, path: Path) -> Iterator[Path]:
    """Where the file may lie: the place of its row, and only when it is not there, the others."""
    yield path
    yield from frames.other_paths(db, sha256, path)


def _last_change(path: Path) -> datetime | None:
    with contextlib.suppress(OSError):
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return None


def _is_as_seen(path: Path, length: int, seen: Collection[tuple[int, int]]) -> bool:
    with contextlib.suppress(OSError):
        now = path.stat()
        return now.st_size == length and (now.st_size, now.st_mtime_ns) in seen
    return False
