"""Where the frames of a film come from: files that are named, or what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from heliowatch.series import Listed, list_frames, read_listed
from heliowatch.spans import Span
from observatory.errors import SettingsError
from observatory.frame import DateSource, Frame
from observatory.instruments import kind_of
from observatory.settings import Settings
from observatory.storage import catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.frames import Status
from observatory.storage.region_catalogue import RegionFilter
from observatory.storage.region_catalogue import find as find_regions
from observatory.storage.session import Database
from observatory.storage.texts import text_path
from workers.products.film_painter import Outline
from workers.stored_frames import read_stored

_PAGE = 1000
_MOST_REGIONS = 1000


@dataclass(frozen=True)
class Source:
    """One frame that can be read when its turn comes.

    Attributes
    ----------
    channel : str
        Known instrument that it is of.
    degraded : str | None
        What spoils it, in words; None for a good frame and one that nobody judged.
    is_file_time : bool
        Whether the time is the file's and not the observation's.
    """

    instrument: str
    channel: str
    date_obs: datetime
    label: str
    read: Callable[[], Frame]
    outlines: Callable[[Frame], list[Outline]]
    degraded: str | None = None
    quality_score: float | None = None
    set_id: int | None = None
    is_file_time: bool = False


@dataclass(frozen=True)
class Request:
    """Which frames are asked for; the command line's words.

    Attributes
    ----------
    instrument : str | None
        None: what the files are.
    look : str | None
        Of composites; None: ``aia``.
    reference : str | None
        Name of the file that sets brightness and place for the whole film; None: the first good one.
    """

    instrument: str | None = None
    span: Span = field(default_factory=Span)
    look: str | None = None
    has_outlines: bool = False
    is_degraded_skipped: bool = False
    tolerance_s: float | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Gathered:
    """Frames that were found, and what became of the others.

    Attributes
    ----------
    errors : list of dict
        ``file`` and ``error`` of what cannot be used.
    left_out : dict of str to int
        Why, and how many.
    known : str
        From when to when frames were taken, in words.
    """

    sources: list[Source]
    errors: list[dict[str, str]]
    left_out: dict[str, int]
    known: str = ""


def gather(
    settings: Settings, paths: Sequence[Path], request: Request, instruments: Iterable[str] | None
) -> Gathered:
    """Find the frames of some instruments; of all kinds when None are named and files are.

    Raises
    ------
    SettingsError
        When neither files nor an instrument are named, or nothing is stored yet.
    """
    if paths:
        return _from_files(settings, paths, request, instruments)
    if instruments is None:
        raise SettingsError("say of what: --instrument NAME or composite for stored frames, or name files")
    return _from_storage(settings, request, list(instruments))


def _from_files(
    settings: Settings, paths: Sequence[Path], request: Request, instruments: Iterable[str] | None
) -> Gathered:
    wanted = None if instruments is None else set(instruments)
    otherwise = request.instrument if wanted == {request.instrument} else None
    listed, refused = list_frames(settings, paths, otherwise=otherwise)
    errors = [{"file": one.file, "error": one.error} for one in refused]
    mine = [one for one in listed if wanted is None or {one.instrument, one.channel} & wanted]
    finder = _Finder(settings)
    sources = [_file_source(settings, one, finder) for one in mine]
    known = _extent([one.date_obs for one in mine])
    return Gathered(sources, errors, {"of other instruments": len(listed) - len(mine)}, known)


class _Finder:
    """Finds the regions of frames that no database knows; its network is made for the first one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._pipelines: Any = None

    def outlines(self, channel: str, frame: Frame) -> list[Outline]:
        """Outlines of one frame's regions; none of kinds of frame that have none.

        Raises
        ------
        UnusableInputError
            When the frame cannot be analysed.
        """
        from workers.pipelines import Pipelines
        from workers.pipelines.base import Stopwatch

        with self._lock:
            if self._pipelines is None:
                from models.runtime import Runtime

                runtime = self._settings.runtime
                self._pipelines = Pipelines(
                    Runtime(device=runtime.device.value, intra_op_threads=runtime.threads)
                )
        outcome = self._pipelines.of(kind_of(channel).family).run(frame, Stopwatch())
        return [
            Outline(region.event_type.value, region.rings_px)
            for found in outcome.segmentations
            for region in found.regions
        ]


def _file_source(settings: Settings, listed: Listed, finder: _Finder) -> Source:
    return Source(
        instrument=listed.instrument,
        channel=listed.channel,
        date_obs=listed.date_obs,
        label=listed.label,
        read=partial(read_listed, settings, listed),
        outlines=partial(finder.outlines, listed.channel),
        is_file_time=listed.date_obs_source is DateSource.FILE_TIME,
    )


def _from_storage(settings: Settings, request: Request, instruments: list[str]) -> Gathered:
    db = open_database(settings)
    names = {name: kind for name, kind in settings.stations.items() if {name, kind} & set(instruments)}
    for name in instruments:
        if name not in settings.stations:
            kind_of(name, settings.stations)
            names.setdefault(name, name)
    sources: list[Source] = []
    left_out: Counter[str] = Counter()
    for name, known_as in names.items():
        for row in _rows(db, name, request.span):
            if row["status"] != Status.DONE:
                left_out[f"{row['status']}"] += 1
            elif row["mark"] == "bad":
                left_out["marked bad"] += 1
            elif row["date_obs"] is None:
                left_out["without a time"] += 1
            else:
                sources.append(_stored_source(settings, db, row, known_as))
    known = "" if sources else _stored_extent(db, list(names))
    return Gathered(sorted(sources, key=lambda one: one.date_obs), [], dict(left_out), known)


class NothingStoredError(SettingsError):
    """The settings name a database that is not there yet."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"nothing is stored yet: there is no database {place}; name files, or the --data-dir of a station"
        )


def open_database(settings: Settings) -> Database:
    """Open the settings' database to read from it.

    Raises
    ------
    SettingsError
        When there is none yet (`NothingStoredError`), or it has another schema.
    """
    db = Database(settings.resolved_database_url)
    place = settings.resolved_database_url.removeprefix("sqlite:///")
    if db.is_sqlite and not Path(place).is_file():
        raise NothingStoredError(place)
    db.check_schema()
    return db


def _rows(db: Database, instrument: str, span: Span) -> Iterable[dict[str, Any]]:
    wanted = FrameFilter(instrument=instrument, time_from=span.start, time_to=span.end)
    after: tuple[datetime, int] | None = None
    while True:
        page = catalogue.find(db, wanted, limit=_PAGE, after=after, is_ascending=True)
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1]["moment"], page[-1]["id"])


def _stored_source(settings: Settings, db: Database, row: Mapping[str, Any], known_as: str) -> Source:
    causes = ", ".join(item["cause"].replace("_", " ") for item in row["causes"][:2])
    return Source(
        instrument=row["instrument"],
        channel=known_as,
        date_obs=row["date_obs"],
        label=row["file_name"] if row["frame_index"] == 0 else f"{row['file_name']}#{row['frame_index']}",
        read=partial(
            read_stored,
            db,
            settings,
            sha256=row["sha256"],
            path=text_path(row["path"]),
            file_name=row["file_name"],
            frame_index=row["frame_index"],
            instrument=row["instrument"],
        ),
        outlines=partial(_outlines, db, row["id"]),
        degraded=f"degraded: {causes or 'unknown'}" if row["is_degraded"] else None,
        quality_score=row["quality_score"],
        is_file_time=row["date_obs_source"] == DateSource.FILE_TIME,
    )


def _outlines(db: Database, frame_id: int, _: Frame) -> list[Outline]:
    found = find_regions(db, RegionFilter(frame_id=frame_id), limit=_MOST_REGIONS)
    return [
        Outline(row["event_type"], tuple(np.asarray(ring, float) for ring in row["rings_px"] or ()))
        for row in found
    ]


def _extent(times: Sequence[datetime]) -> str:
    if not times:
        return ""
    return (
        f"those that there are were taken from {min(times):%Y-%m-%d %H:%M} to {max(times):%Y-%m-%d %H:%M} UTC"
    )


def _stored_extent(db: Database, names: Sequence[str]) -> str:
    times = []
    for name in names:
        for is_ascending in (True, False):
            found = catalogue.find(
                db, FrameFilter(instrument=name, status=Status.DONE), limit=1, is_ascending=is_ascending
            )
            times += [row["moment"] for row in found]
    return _extent(times)
