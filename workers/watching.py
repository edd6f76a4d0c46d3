"""Watched folders: whose they are, what is noticed in them, and what lies there.

Events tell quickly, walks tell surely; who watches needs both. Nothing here opens a file.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Self

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.polling import PollingObserver

from observatory.errors import SettingsError, UnusableInputError
from observatory.settings import IngestSettings, Settings

log = structlog.get_logger(__name__)

Signature = tuple[int, int]  # bytes, mtime_ns


@dataclass(frozen=True)
class WatchFolder:
    """A folder, and which camera writes to it when only one does."""

    path: Path
    instrument: str | None = None
    patterns: tuple[str, ...] = ("*",)

    def wants(self, name: str, temporary: Iterable[str]) -> bool:
        """Whether a file of that name counts here."""
        return not any(fnmatch.fnmatch(name, pattern) for pattern in temporary) and any(
            fnmatch.fnmatch(name, pattern) for pattern in self.patterns
        )


def check_readable(folders: Iterable[WatchFolder]) -> None:
    """Refuse folders that cannot be watched.

    Raises
    ------
    SettingsError
        Which names the first that is missing, is no folder, or may not be read.
    """
    for folder in folders:
        if not folder.path.is_dir():
            raise SettingsError(
                f"the watch folder {folder.path} is not there, or is no folder: create it first"
            )
        if not os.access(folder.path, os.R_OK | os.X_OK):
            raise SettingsError(
                f"the watch folder {folder.path} may not be read by this user: change its permissions"
            )


def watch_folders(settings: Settings) -> list[WatchFolder]:
    """Folders of the settings: one camera's own first, so that they win over shared ones."""
    own = [
        WatchFolder(path.resolve(), name, tuple(instrument.patterns))
        for name, instrument in settings.instruments.items()
        for path in instrument.watch
    ]
    return own + [WatchFolder(path.resolve()) for path in settings.watch]


class Sign(Enum):
    """What was noticed at a path."""

    CLOSED = auto()  # closed after writing, or moved in
    TOUCHED = auto()
    FOLDER = auto()
    GONE = auto()  # moved away


class Watch:
    """Tells what happens in folders, from `__enter__` to `__exit__`.

    Parameters
    ----------
    folders : sequence of WatchFolder
    notice : callable
        Told of each path and what was noticed there, in a thread of the watch.
    """

    def __init__(
        self, folders: Sequence[WatchFolder], settings: IngestSettings, notice: Callable[[str, Sign], None]
    ) -> None:
        self._paths = list(dict.fromkeys(folder.path for folder in folders))
        self._settings, self._notice = settings, notice
        self._observer: BaseObserver | None = None
        self._roots: list[tuple[int, int] | None] = []

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)

    def renew(self) -> None:
        """Watch anew where a folder was replaced or remounted: events of the old one tell nothing of the new."""
        found = self._identities()
        if self._roots != found:
            pairs = zip(self._paths, self._roots, found, strict=True)
            there = [str(path) for path, before, now in pairs if now is not None and now != before]
            if there:  # of those that went away we say so below
                log.warning("watch_folder_replaced", folders=there)
            if self._observer is not None:
                self._observer.stop()
            self._start()

    def _start(self) -> None:
        polling = self._settings.polling
        observer: BaseObserver = (
            PollingObserver(timeout=self._settings.polling_interval_s) if polling else BaseObserver(_Emitter)
        )
        handler = _Handler(self._notice)
        observer.start()
        for path in self._paths:
            if not set(self._paths).isdisjoint(path.parents):
                continue  # watched with the folder around it
            try:
                observer.schedule(handler, str(path), recursive=True, event_filter=_NOTICED)
            except OSError as error:  # away for now: the scan after its return notices
                log.warning("watch_folder_away", folder=str(path), error=str(error))
        self._observer, self._roots = observer, self._identities()

    def _identities(self) -> list[tuple[int, int] | None]:
        """Identity of each watched folder; None for one that is away."""
        found: list[tuple[int, int] | None] = []
        for path in self._paths:
            try:
                status = path.stat()
                found.append((status.st_dev, status.st_ino))
            except OSError:
                found.append(None)
        return found


# What `_Handler` makes something of: whoever reads a file, workers above all, makes no event then.
_NOTICED: list[type[FileSystemEvent]] = [
    FileMovedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    DirCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
]


class _Emitter(InotifyEmitter):
    """Tells a file that was moved in from one that was just created, which the plain emitter does not.

    (The library's own "full" emitter means to; in version 7.1 it loses the flag on the way.)
    """

    def build_and_queue_event(self, event: Any, *, full_events: bool = False) -> None:
        super().build_and_queue_event(event, full_events=True)


class _Handler(FileSystemEventHandler):
    """Passes paths on; decides nothing."""

    def __init__(self, notice: Callable[[str, Sign], None]) -> None:
        self._notice = notice

    def on_any_event(self, event: FileSystemEvent) -> None:
        source, target = os.fsdecode(event.src_path), os.fsdecode(event.dest_path or "")
        if event.event_type == "moved":
            if source:
                self._notice(source, Sign.GONE)
            if target:
                self._notice(target, Sign.FOLDER if event.is_directory else Sign.CLOSED)
        elif event.event_type == "closed":
            self._notice(source, Sign.CLOSED)
        elif event.event_type == "created":
            self._notice(source, Sign.FOLDER if event.is_directory else Sign.TOUCHED)
        elif event.event_type == "modified" and not event.is_directory:
            self._notice(source, Sign.TOUCHED)


def walk(start: Path) -> Iterator[tuple[str, Signature]]:
    """Regular files and links below a folder with size and mtime; linked folders are not entered.

    Folders come by name, as archives name them by date. Holds one folder's subfolders for every level, never its
    files.
    """
    stack: list[str] = [os.fspath(start)]
    while stack:
        below: list[str] = []
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            below.append(entry.path)
                        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                            status = entry.stat(follow_symlinks=False)
                            yield entry.path, (status.st_size, status.st_mtime_ns)
                    except OSError:
                        continue  # gone since it was listed: an event or the next scan tells
        except OSError as error:
            log.warning("folder_unreadable", error=str(error))
        stack += sorted(below, reverse=True)


def target_of(path: str, folder: WatchFolder) -> os.stat_result:
    """Status of what a link leads to, inside the watched folder only.

    Raises
    ------
    UnusableInputError
        When it leads out of it, or in a circle.
    """
    try:
        target = Path(path).resolve()
    except RuntimeError as error:
        raise UnusableInputError("a symbolic link that leads in a circle") from error
    if not target.is_relative_to(folder.path):
        raise UnusableInputError("a symbolic link that leads out of the watched folder")
    return os.stat(path)  # noqa: PTH116
