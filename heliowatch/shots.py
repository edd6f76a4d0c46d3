"""What a film shows: frames of one instrument, or sets of three channels, each painted when its turn comes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heliowatch.sources import Gathered, Request, Source, gather
from heliowatch.spans import Span
from models.aia_segmentation.preparation import channel_of
from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import Frame
from observatory.instruments import kind_of
from observatory.settings import LookSettings, Settings
from observatory.words import counted
from workers.pairing import TimedSet, pair, tolerance_for
from workers.products import composite
from workers.products.composite import Channel, Levels
from workers.products.film_painter import FramePainter, outlined
from workers.products.sun_view import Crop, SunView

Bytes8 = NDArray[np.uint8]


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
        gathered = gather(
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
        self._name, self.title = name, _spoken(name)
        self._family = kind_of(self.listed[0].sources[0].channel).family
        if request.has_outlines and self._family != "aia":
            raise self._no_regions()
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
            if self._request.has_outlines and channel_of(frame) is None:
                raise self._no_regions()
            self._painter = FramePainter.of(frame, self._family, height_px, crop)
            return self._painter.width_px, self._painter.height_px
        raise problem or UnusableInputError("there is no frame")

    def _no_regions(self) -> SettingsError:
        return SettingsError(
            f"--overlay regions: frames of {self._name} have no regions (coronal holes and active regions are "
            "found at 193 and 171 Å of AIA, 195 and 171 Å of SUVI): leave it out"
        )

    def paint(self, shot: Shot) -> Painted:
        assert self._painter is not None
        (source,) = shot.sources
        frame = source.read()
        outlines = source.outlines(frame) if self._request.has_outlines else []
        picture = self._painter.paint(frame, outlines)
        return Painted(picture, () if source.degraded is None else (source.degraded,))


class CompositeShots(Shots):
    """Sets of three channels, paired by time."""

    def __init__(
        self, settings: Settings, paths: Sequence[Path], request: Request, look: LookSettings
    ) -> None:
        self._settings, self._request, self._look = settings, request, look
        gathered = gather(settings, paths, request, look.channels)
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
        self.title = look_title(look.channels)
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
            for channel, source, frame in found:
                # Both 171 and 193 know active regions: the look's first channel that does is drawn.
                new = [one for one in source.outlines(frame) if one.event_type not in drawn]
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


def _none_said(request: Request, gathered: Gathered, kept: Sequence[Source] = ()) -> str:
    if kept:
        times = f"{counted(len(kept), 'frame')} of {', '.join(sorted({one.channel for one in kept}))}"
        return (
            f"no two channels belong together in time ({times}): widen --tolerance, or ask for one instrument"
        )
    name = request.instrument or "any instrument"
    what = f"there are no frames of {name}{f' in {request.span}' if request.span != Span() else ''}"
    if gathered.errors:
        return (
            f"{what}; {counted(len(gathered.errors), 'file')} cannot be used, the first: "
            f"{gathered.errors[0]['error']}"
        )
    others = ", ".join(f"{count} {why}" for why, count in gathered.left_out.items() if count)
    return f"{what}{f' ({others})' if others else ''}{f'; {gathered.known}' if gathered.known else ''}"


def look_title(channels: Sequence[str]) -> str:
    """Channels as they stand on a picture: ``AIA 211 · 193 · 171``; of two telescopes, each by its full name."""
    telescopes = {_spoken(name).rpartition(" ")[0] for name in channels}
    if len(telescopes) > 1:
        return " · ".join(_spoken(name) for name in channels)
    return f"{telescopes.pop()} {' · '.join(name.rpartition('-')[2] for name in channels)}".strip()


def _spoken(instrument: str) -> str:
    """Name as it stands on a picture: ``AIA 193``, ``KSO H-alpha``."""
    words = {"halpha": "H-alpha", "continuum": "continuum", "magnetogram": "magnetogram", "allsky": "all-sky"}
    return " ".join(words.get(word, word.upper()) for word in instrument.split("-"))
