"""Taking an archive in: a million files, in memory for a thousand, and none read twice.

The ingester that watches keeps every path in memory, which is right for the folders of a night. An
archive is walked instead: a thousand files at a time are compared with the sightings in the database,
and what is new among them is read and written before the next thousand are looked at.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog

from observatory.storage import sightings
from observatory.storage.frames import Status
from observatory.storage.texts import path_text
from workers.ingester import Candidate, Ingester, Look
from workers.station import IngestRoom
from workers.watching import WatchFolder, walk

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_PIECE = sightings.MOST_PATHS
_BATCH_S = 1.0
_PATIENCE_S = 30.0  # with files that rest or fail, before the next thousand


@dataclass(frozen=True)
class Taken:
    """How far an archive is taken in.

    Attributes
    ----------
    known : int
        Files passed over, as they were seen before and have not changed since.
    new : int
        Files read; refused ones and those of other times are among them.
    left : int
        Files that could not be read now: another run looks at them again.
    refused_before : int
        Frames among the new ones that an earlier run refused, whatever became of them now.
    repeated : int
        Frames whose very bytes are in the database already, from another file.
    """

    known: int = 0
    new: int = 0
    left: int = 0
    refused_before: int = 0
    repeated: int = 0

    @property
    def files(self) -> int:
        """All that were looked at."""
        return self.known + self.new + self.left


class ArchiveIngester(Ingester):
    """Takes what lies in folders once, piece by piece."""

    def take(
        self, on_progress: Callable[[Taken], None] | None = None, *, with_rejected: bool = False
    ) -> Taken:
        """Take everything that was not seen before; stops after a batch when told to.

        Parameters
        ----------
        with_rejected : bool
            Whether files that were refused before are looked at again, though they have not changed.
        """
        told = on_progress or _silent
        done = Taken()
        self._began = datetime.now(UTC)
        self._refused_before: set[int] = set()
        for piece in _pieces(self._found(), _PIECE):
            new = self._unknown(piece, with_rejected=with_rejected)
            done = replace(done, known=done.known + len(piece) - len(new))
            told(done)
            done = self._take_piece(new, done, told)
            # What this process remembers of a file it has settled is of no use any more.
            self._seen.clear()
            self._refused.clear()
            if self.is_stopped:
                break
        return replace(done, refused_before=len(self._refused_before))

    def _found(self) -> Iterator[tuple[str, Candidate]]:
        for folder in self._folders:
            for path, signature in walk(folder.path):
                # A folder inside another that was named, too, is taken by its own name.
                if self._taker_of(path) is folder:
                    yield path, Candidate(folder, None, signature)

    def _unknown(self, piece: list[tuple[str, Candidate]], *, with_rejected: bool) -> dict[str, Candidate]:
        """What was never seen, or has changed since."""
        keys = [path_text(Path(path)) for path, _ in piece]
        seen = sightings.known(self._db, keys, but_rejected=with_rejected)
        return {
            path: candidate
            for key, (path, candidate) in zip(keys, piece, strict=True)
            if candidate.signature is None or (key, *candidate.signature) not in seen
        }

    def _take_piece(self, new: dict[str, Candidate], done: Taken, told: Callable[[Taken], None]) -> Taken:
        deadline = time.monotonic() + _PATIENCE_S
        while new and not self.is_stopped:
            settled = 0
            for batch in self._batches(new):
                # The first ones give the workers something to do; the sweeper publishes the others.
                is_calm = done.new <= 2 * self._settings.ingest.batch
                rows = [row for _, look in batch for row in look.new]
                self._refused_before |= sightings.refused_before(self._db, rows, self._began)
                written = self._write([look for _, look in batch], is_calm=is_calm)
                offered = sum(row.status is Status.RECEIVED for row in rows)
                for path, _ in batch:
                    del new[path]
                settled += len(batch)
                done = replace(
                    done,
                    new=done.new + len(batch),
                    repeated=done.repeated + offered - written[Status.RECEIVED],
                )
                told(done)
                if self.is_stopped:
                    return done
            if new and time.monotonic() > deadline:
                log.warning("files_left", count=len(new), first=next(iter(new)))
                return replace(done, left=done.left + len(new))
            if new and not settled:
                self._stop.wait(0.05)
        return done

    def _batches(self, new: dict[str, Candidate]) -> Iterator[list[tuple[str, Look]]]:
        """What is written in one transaction: so many files, or those of a second when they are large."""
        batch: list[tuple[str, Look]] = []
        due = time.monotonic() + _BATCH_S
        for settled in self._looks(new):
            batch.append(settled)
            if len(batch) >= self._settings.ingest.batch or time.monotonic() > due:
                yield batch
                batch, due = [], time.monotonic() + _BATCH_S
        if batch:
            yield batch

    def _looks(self, new: dict[str, Candidate]) -> Iterator[tuple[str, Look]]:
        """What is settled of the files that are due."""
        for path, candidate in list(new.items()):
            if candidate.due <= time.monotonic():
                look = self._look(path, candidate)
                if look is not None:
                    yield path, look


class ArchiveRoom(IngestRoom):
    """An archive's ingester and the sweeper."""

    ingester: ArchiveIngester
    _ingester_class = ArchiveIngester


def count_files(folders: Iterable[WatchFolder], is_wanted: Callable[[], bool]) -> int | None:
    """How many files lie in folders, for a progress bar; None when it was no longer wanted meanwhile.

    Reads names alone, some millions a second where they are cached.
    """
    count = 0
    roots = {folder.path for folder in folders}
    stack = [
        os.fspath(root)
        for root in roots
        if not any(root != other and root.is_relative_to(other) for other in roots)
    ]
    while stack:
        if not is_wanted():
            return None
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    elif not entry.name.startswith("."):
                        count += 1
        except OSError:
            continue
    return count


def _pieces(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    piece: list[_T] = []
    for item in items:
        piece.append(item)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def _silent(_: Taken) -> None:
    pass
