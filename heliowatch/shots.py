"""What a film is made of: frames of one instrument, or sets of three channels, from files or stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliowatch.series import Listed, list_frames, read_listed
from heliowatch.spans import Span
from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import DateSource, Frame
from observatory.instruments import kind_of
from observatory.settings import LookSettings, Settings
from observatory.storage import catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.frames import Status, text_path
from observatory.storage.region_catalogue import RegionFilter
from observatory.storage.region_catalogue import find as find_regions
from observatory.storage.session import Database
from workers.pairing import TimedSet, pair, tolerance_for
from workers.products import composite
from workers.products.composite import Channel, Levels
from workers.products.film_painter import FramePainter, Outline, outlined
from workers.products.sun_view import Crop, SunView
from workers.stored_frames import read_stored

Bytes8 = NDArray[np.uint8]

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
    outlines: Callable[[], list[Outline]]
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
    reference : str | None
        Name of the file that sets brightness and place for the whole film; None: the first good one.
    """

    instrument: str | None = None
    span: Span = field(default_factory=Span)
    look: str = "aia"
    has_outlines: bool = False
    is_degraded_skipped: bool = False
    tolerance_s: float | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Shot:
    """One moment of a film: a frame, or a set."""

    time: datetime
    label: str
    sources: tuple[Source, ...]

    @property
    def is_degraded(self) -> bool:
        """Whether any of its frames is."""
        return any(source.degraded is not None for source in self.sources)

    @property
    def clock(self) -> str:
        """Time as it stands on the picture."""
        said = f"{self.time:%Y-%m-%d %H:%M:%S} UTC"
        return f"{said} (time of the file)" if any(one.is_file_time for one in self.sources) else said


@dataclass(frozen=True)
class Painted:
    """A picture, and what is to be said of it."""

    picture: Bytes8
    degraded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines that stand on the picture."""
        lacking = (f"without {' and '.join(_spoken(name) for name in self.missing)}",) if self.missing else ()
        return (*lacking, *self.degraded)


class Shots(ABC):
    """The moments of a film in their order, and how they are painted.

    Attributes
    ----------
    listed : tuple of Shot
    title : str
        What stands on every picture.
    cadence_s : float | None
        Seconds between frames, when the settings say them.
    errors : list of dict
        Files that could not be listed: ``file`` and ``error``.
    left_out : Mapping of str to int
        How many frames were left out, and why.
    """

    listed: tuple[Shot, ...]
    title: str
    cadence_s: float | None = None
    errors: Sequence[Mapping[str, str]]
    left_out: Mapping[str, int]

    @abstractmethod
    def prepare(self, height_px: int, crop: Crop | None) -> tuple[int, int]:
        """Choose the reference of place and brightness; return width and height of the pictures.

        Raises
        ------
        UnusableInputError
            When no frame can be read.
        """

    @abstractmethod
    def paint(self, shot: Shot) -> Painted:
        """Read and paint one moment; called by several threads.

        Raises
        ------
        UnusableInputError
            When it cannot be read.
        """


class FrameShots(Shots):
    """Frames of one instrument."""

    def __init__(self, settings: Settings, paths: Sequence[Path], request: Request) -> None:
        self._request = request
        gathered = _gather(
            settings, paths, request, None if request.instrument is None else [request.instrument]
        )
        name = _only_instrument(gathered.sources)
        kept, left_out = _choose(gathered.sources, request)
        self.errors, self.left_out = gathered.errors, gathered.left_out | left_out
        self.listed = tuple(
            Shot(one.date_obs, one.label, (one,)) for one in _one_a_moment(kept, self.left_out)
        )
        if not self.listed:
            raise UnusableInputError(_none_said(request, gathered))
        self.title = _spoken(name)
        self._family = kind_of(self.listed[0].sources[0].channel).family
        station = settings.instruments.get(name)
        self.cadence_s = station.cadence_s if station else None
        self._painter: FramePainter | None = None

    def prepare(self, height_px: int, crop: Crop | None) -> tuple[int, int]:
        problem: UnusableInputError | None = None
        for shot in _best_first(self.listed, self._request.reference):
            try:
                frame = shot.sources[0].read()
            except UnusableInputError as error:
                problem = problem or error
                continue
            self._painter = FramePainter.of(frame, self._family, height_px, crop)
            return self._painter.width_px, self._painter.height_px
        raise problem or UnusableInputError("there is no frame")

    def paint(self, shot: Shot) -> Painted:
        assert self._painter is not None
        (source,) = shot.sources
        outlines = source.outlines() if self._request.has_outlines else []
        picture = self._painter.paint(source.read(), outlines)
        return Painted(picture, () if source.degraded is None else (source.degraded,))


class CompositeShots(Shots):
    """Sets of three channels, paired by time."""

    def __init__(
        self, settings: Settings, paths: Sequence[Path], request: Request, look: LookSettings
    ) -> None:
        self._settings, self._request, self._look = settings, request, look
        gathered = _gather(settings, paths, request, look.channels)
        mine = [one for one in gathered.sources if one.channel in look.channels]
        kept, left_out = _choose(mine, request)
        tolerance_s = request.tolerance_s or settings.composites.tolerance_s or tolerance_for(kept)
        found = pair(kept, look.channels, tolerance_s)
        sets = [one for one in found.sets if len(one.members) > 1]
        left_out["of a time that another frame has"] = len(found.surplus)
        left_out["without partners"] = sum(len(one.members) == 1 for one in found.sets)
        left_out["of other instruments"] = len(gathered.sources) - len(mine)
        self.errors, self.left_out = gathered.errors, gathered.left_out | left_out
        self.listed = tuple(_shot(one) for one in sets)
        if not self.listed:
            raise UnusableInputError(_none_said(request, gathered, kept))
        self.title = "AIA " + " · ".join(name.rpartition("-")[2] for name in look.channels)
        self._levels = Levels({})
        self._view = SunView.full(1)

    def prepare(self, height_px: int, crop: Crop | None) -> tuple[int, int]:
        view = SunView.full(height_px)
        self._view = view if crop is None else view.cropped(crop)
        problem: UnusableInputError | None = None
        # Further sets only for channels that have no levels yet.
        for shot in _best_first(self.listed, self._request.reference):
            wanted = {source.channel for one in self.listed for source in one.sources}
            if {scale.partition(" ")[0] for scale in self._levels.of} >= wanted:
                break
            try:
                channels, _ = self._channels(shot)
                self._levels = self._levels.filled([channel for channel, _, _ in channels], self._look)
            except UnusableInputError as error:
                problem = problem or error
        if not self._levels.of:
            raise problem or UnusableInputError("there is no set")
        return self._view.width_px, self._view.height_px

    def paint(self, shot: Shot) -> Painted:
        found, missing = self._channels(shot)
        channels = [channel for channel, _, _ in found]
        # Pictures among counts have levels of their own: of the set, as there is no reference.
        levels = self._levels.filled(channels, self._look)
        picture = composite.compose(channels, self._look, levels, self._view)
        if self._request.has_outlines:
            drawn: set[str] = set()
            for channel, source, _ in found:
                # Both 171 and 193 know active regions: the look's first channel that does is drawn.
                new = [one for one in source.outlines() if one.event_type not in drawn]
                outlined(picture, new, self._view, channel.pointing, channel.row_order)
                drawn |= {one.event_type for one in new}
        degraded = tuple(
            f"{_spoken(source.channel)} {source.degraded}" for _, source, _ in found if source.degraded
        )
        return Painted(picture, degraded, missing)

    def _channels(self, shot: Shot) -> tuple[list[tuple[Channel, Source, Frame]], tuple[str, ...]]:
        """Channels of a set that can be read, and those that are missing."""
        found: list[tuple[Channel, Source, Frame]] = []
        problem: UnusableInputError | None = None
        for source in shot.sources:
            try:
                frame = source.read()
                table = self._settings.composites.degradation_table
                channel = composite.channel_of(frame, known_as=source.channel, degradation_table=table)
            except UnusableInputError as error:
                problem = problem or error
                continue
            found.append((channel, source, frame))
        if len(found) < 2:
            raise problem or UnusableInputError("a composite needs two channels at least")
        return found, composite.missing_channels([channel for channel, _, _ in found], self._look)


def _best_first(shots: Sequence[Shot], reference: str | None) -> list[Shot]:
    """The named one, else whole and good ones before others, each in order of time.

    Raises
    ------
    SettingsError
        When no shot has the name.
    """
    if reference is not None:
        named = [shot for shot in shots if any(Path(one.label).name == reference for one in shot.sources)]
        if not named:
            raise SettingsError(f"--reference {reference}: it is not one of the frames of the film")
        return named[:1] + [shot for shot in shots if shot is not named[0]]
    return sorted(shots, key=lambda shot: (-len(shot.sources), shot.is_degraded))


def _shot(one: TimedSet[Source]) -> Shot:
    sources = tuple(one.members.values())
    return Shot(one.date_obs, " + ".join(source.label for source in sources), sources)


@dataclass(frozen=True)
class _Gathered:
    sources: list[Source]
    errors: list[dict[str, str]]
    left_out: dict[str, int]
    known: str = ""


def _gather(
    settings: Settings, paths: Sequence[Path], request: Request, instruments: Iterable[str] | None
) -> _Gathered:
    if paths:
        return _from_files(settings, paths, request, instruments)
    if instruments is None:
        raise SettingsError("say of what: --instrument NAME or composite for stored frames, or name files")
    return _from_storage(settings, request, list(instruments))


def _from_files(
    settings: Settings, paths: Sequence[Path], request: Request, instruments: Iterable[str] | None
) -> _Gathered:
    if request.has_outlines:
        raise SettingsError(
            "--overlay regions outlines what is stored: ingest the files first, then name no files here"
        )
    wanted = None if instruments is None else set(instruments)
    otherwise = request.instrument if wanted == {request.instrument} else None
    listed, refused = list_frames(settings, paths, otherwise=otherwise)
    errors = [{"file": one.file, "error": one.error} for one in refused]
    mine = [one for one in listed if wanted is None or {one.instrument, one.channel} & wanted]
    sources = [_file_source(settings, one) for one in mine]
    known = _extent([one.date_obs for one in mine])
    return _Gathered(sources, errors, {"of other instruments": len(listed) - len(mine)}, known)


def _file_source(settings: Settings, listed: Listed) -> Source:
    return Source(
        instrument=listed.instrument,
        channel=listed.channel,
        date_obs=listed.date_obs,
        label=listed.label,
        read=partial(read_listed, settings, listed),
        outlines=list,
        is_file_time=listed.date_obs_source is DateSource.FILE_TIME,
    )


def _from_storage(settings: Settings, request: Request, instruments: list[str]) -> _Gathered:
    db = open_database(settings)
    names = {name: kind for name, kind in settings.stations.items() if {name, kind} & set(instruments)}
    for name in instruments:
        if name not in settings.stations:
            kind_of(name)
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
    return _Gathered(sorted(sources, key=lambda one: one.date_obs), [], dict(left_out), known)


def open_database(settings: Settings) -> Database:
    """Open the settings' database to read from it.

    Raises
    ------
    SettingsError
        When there is none yet, or it has another schema.
    """
    db = Database(settings.resolved_database_url)
    place = settings.resolved_database_url.removeprefix("sqlite:///")
    if db.is_sqlite and not Path(place).is_file():
        raise SettingsError(
            f"nothing is stored yet: there is no database {place}; name files, or the --data-dir of a station"
        )
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


def _outlines(db: Database, frame_id: int) -> list[Outline]:
    found = find_regions(db, RegionFilter(frame_id=frame_id), limit=_MOST_REGIONS)
    return [
        Outline(row["event_type"], tuple(np.asarray(ring, float) for ring in row["rings_px"] or ()))
        for row in found
    ]


def _choose(sources: Sequence[Source], request: Request) -> tuple[list[Source], dict[str, int]]:
    """Frames of the span, and without degraded ones when they are not wanted."""
    within = [one for one in sources if request.span.holds(one.date_obs)]
    kept = [one for one in within if one.degraded is None or not request.is_degraded_skipped]
    return kept, {"outside the time": len(sources) - len(within), "degraded": len(within) - len(kept)}


def _one_a_moment(sources: Sequence[Source], left_out: Mapping[str, int]) -> list[Source]:
    """Of several frames of one time, the best one; the first when nobody judged them."""
    best: dict[datetime, Source] = {}
    for one in sources:
        known = best.get(one.date_obs)
        if known is None or (one.quality_score or -1.0) > (known.quality_score or -1.0):
            best[one.date_obs] = one
    assert isinstance(left_out, dict)
    left_out["of a time that another frame has"] = len(sources) - len(best)
    return [best[moment] for moment in sorted(best)]


def _only_instrument(sources: Sequence[Source]) -> str:
    names = sorted({one.instrument for one in sources})
    if len(names) > 1:
        raise SettingsError(f"these are frames of {', '.join(names)}: say which with --instrument")
    return names[0] if names else ""


def _none_said(request: Request, gathered: _Gathered, kept: Sequence[Source] = ()) -> str:
    if kept:
        times = f"{len(kept)} frames of {', '.join(sorted({one.channel for one in kept}))}"
        return (
            f"no two channels belong together in time ({times}): widen --tolerance, or ask for one instrument"
        )
    name = request.instrument or "any instrument"
    what = f"there are no frames of {name}{f' in {request.span}' if request.span != Span() else ''}"
    if gathered.errors:
        return (
            f"{what}; {len(gathered.errors)} files cannot be used, the first: {gathered.errors[0]['error']}"
        )
    others = ", ".join(f"{count} {why}" for why, count in gathered.left_out.items() if count)
    return f"{what}{f' ({others})' if others else ''}{f'; {gathered.known}' if gathered.known else ''}"


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


def _spoken(instrument: str) -> str:
    """Name as it stands on a picture: ``AIA 193``, ``KSO H-alpha``."""
    words = {"halpha": "H-alpha", "continuum": "continuum", "magnetogram": "magnetogram", "allsky": "all-sky"}
    return " ".join(words.get(word, word.upper()) for word in instrument.split("-"))
