"""Files and folders that the user names, as frames in time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from observatory.errors import (
    AmbiguousInstrumentError,
    SettingsError,
    UnknownInstrumentError,
    UnusableInputError,
)
from observatory.frame import DateSource, Frame
from observatory.instruments import Opened, kind_of, open_bytes, read_file
from observatory.instruments.formats import read_bytes
from observatory.settings import Settings

_ENDINGS = (
    *(".fits", ".fit", ".fts", ".jp2", ".jpg", ".jpeg", ".png", ".tif", ".tiff"),
    *(".pgm", ".npz", ".cdf", ".h5", ".hdf5", ".tar"),
)
_PACKED = (".gz", ".fz", ".bz2")


@dataclass(frozen=True)
class Listed:
    """One frame of one file, its pixels not yet read.

    Attributes
    ----------
    channel : str
        Known instrument that it is of: a station's own name is resolved.
    is_named : bool
        Whether the user named the file itself and not a folder.
    """

    path: Path
    index: int
    instrument: str
    channel: str
    date_obs: datetime
    date_obs_source: DateSource
    is_named: bool
    quality_score: float | None = None
    set_id: int | None = None

    @property
    def label(self) -> str:
        """File, and the frame within it when it is not the first."""
        return str(self.path) if self.index == 0 else f"{self.path}#{self.index}"


@dataclass(frozen=True)
class Refused:
    """A file, or one of its frames, that cannot be used, and why."""

    file: str
    error: str


def list_frames(
    settings: Settings,
    sources: Sequence[Path],
    instrument: str | None = None,
    otherwise: str | None = None,
    *,
    without: Path | None = None,
) -> tuple[list[Listed], list[Refused]]:
    """Look into files and folders (with all below) and sort their frames by time.

    Parameters
    ----------
    instrument : str | None
        What all files are.
    otherwise : str | None
        What those files are that do not tell it themselves.
    without : Path | None
        Folder below one of the sources whose files are none of the frames: where pictures of an earlier
        call lie. A folder that is a source itself, or holds one, hides nothing.

    Raises
    ------
    SettingsError
        When a folder cannot be looked into, or holds no file of a kind that is read.
    NoSuchInstrumentError
        When ``instrument`` or ``otherwise`` names none.
    """
    for name in (instrument, otherwise):
        if name is not None and name not in settings.stations:
            kind_of(name, settings.stations)
    files = [found for source in sources for found in _files(settings, source, without)]
    listed: list[Listed] = []
    refused: list[Refused] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        looks = pool.map(
            lambda found: _look_into(settings, found[0], instrument, otherwise, is_named=found[1]), files
        )
        for frames, problems in looks:
            listed += frames
            refused += problems
    return sorted(listed, key=lambda frame: (frame.date_obs, frame.path, frame.index)), refused


def read_listed(settings: Settings, listed: Listed) -> Frame:
    """Decode a frame.

    Raises
    ------
    UnusableInputError
        When it cannot be.
    """
    opened = read_file(
        listed.path,
        settings.limits.as_limits,
        instrument=listed.instrument,
        stations=settings.stations,
    )
    return opened.frame(listed.index)


def _files(settings: Settings, source: Path, without: Path | None) -> Iterator[tuple[Path, bool]]:
    if not source.is_dir():
        yield source, True
        return
    try:
        below = sorted(path for path in source.rglob("*") if _is_frame(settings, path.relative_to(source)))
    except OSError as error:
        raise SettingsError(f"{source} cannot be looked into: {error.strerror}") from error
    found = [path for path in below if path.is_file()]
    if not found:
        raise SettingsError(
            f"there is no FITS, JPEG 2000, JPEG, PNG, TIFF, PGM, npz, CDF, HDF5 or tar file in {source} or below"
        )
    hidden = None if without is None else without.resolve()
    if hidden is not None and source.resolve() in hidden.parents:
        found = [path for path in found if hidden not in path.resolve().parents]
    yield from ((path, False) for path in found)


def _is_frame(settings: Settings, path: Path) -> bool:
    """Whether a file in a folder is meant: other kinds, hidden and unfinished ones are not."""
    name = path.name.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    hidden = any(fnmatch(part, pattern) for part in path.parts for pattern in settings.ingest.temporary)
    return name.endswith(_ENDINGS) and not hidden


def _look_into(
    settings: Settings, path: Path, instrument: str | None, otherwise: str | None, *, is_named: bool
) -> tuple[list[Listed], list[Refused]]:
    try:
        try:
            opened = _peek(settings, path, instrument)
        except (UnknownInstrumentError, AmbiguousInstrumentError):
            if otherwise is None:
                raise
            opened = _peek(settings, path, otherwise)
        count = opened.count
    except UnusableInputError as error:
        return [], [Refused(str(path), str(error))]
    except OSError as error:  # it went away between the two looks at it
        return [], [Refused(str(path), error.strerror or str(error))]
    frames: list[Listed] = []
    problems: list[Refused] = []
    for index in range(count):
        label = str(path) if index == 0 else f"{path}#{index}"
        try:
            facts = opened.facts(index)
        except UnusableInputError as error:
            problems.append(Refused(label, str(error)))
            continue
        moment, source = facts.date_obs, facts.date_obs_source
        if moment is None:
            problems.append(Refused(label, "neither header nor name tells when it was taken"))
            continue
        frames.append(Listed(path, index, opened.instrument, opened.known_as, moment, source, is_named))
    return frames, problems


def _peek(settings: Settings, path: Path, instrument: str | None) -> Opened:
    limits = settings.limits.as_limits
    return open_bytes(
        read_bytes(path, limits),
        path.name,
        limits,
        instrument=instrument,
        stations=settings.stations,
        file_time=datetime.fromtimestamp(path.stat().st_mtime, tz=UTC),
        is_peek=True,
    )
