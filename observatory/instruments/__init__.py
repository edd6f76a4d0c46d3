"""The look-up: which kind of frame a file holds, and reading it.

Header first, then file name, then content; an instrument named by the caller overrides all
three; two claims at one step are an error that names the candidates.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from observatory.camera import UNKNOWN, Camera, camera_of
from observatory.errors import (
    AmbiguousInstrumentError,
    NoSuchInstrumentError,
    UnknownInstrumentError,
    UnreadableFileError,
    UnusableInputError,
)
from observatory.fisheye import Fisheye
from observatory.frame import DateSource, Frame, RowOrder
from observatory.instruments.base import Facts, Kind, name_time
from observatory.instruments.formats import Container, Limits, open_container, read_bytes
from observatory.sky_circle import find_circle
from observatory.sky_view import halvings, shrunk

_LOOKED_AT = 5  # images of a film whose camera nobody describes, until a circle is found in one
_FARTHEST_ZONE = timedelta(hours=14)  # local time, taken for UTC, is no more ahead

__all__ = [
    "Limits",
    "Opened",
    "families",
    "family_of",
    "instrument_names",
    "open_bytes",
    "read_file",
    "recognise",
]


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds of frame, one instance each, found by themselves in this package."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(kind() for kind in sorted(Kind.__subclasses__(), key=lambda kind: kind.family))


@cache
def instrument_names() -> tuple[str, ...]:
    """Names of all instruments known without configuration."""
    return tuple(name for kind in kinds() for name in kind.names)


@cache
def families() -> tuple[str, ...]:
    """Names of all pipelines."""
    return tuple(kind.family for kind in kinds())


def kind_of(instrument: str, stations: Iterable[str] = ()) -> Kind:
    """Return the kind that an instrument belongs to.

    Parameters
    ----------
    stations : iterable of str
        Names of the settings, which an error lists too.

    Raises
    ------
    NoSuchInstrumentError
        When no kind has an instrument of that name.
    """
    for kind in kinds():
        if instrument in kind.names or instrument == kind.family:
            return kind
    raise NoSuchInstrumentError(instrument, [*stations, *instrument_names()])


def family_of(instrument: str) -> str:
    """Name of the pipeline for an instrument's frames."""
    return kind_of(instrument).family


def recognise(container: Container, file_name: str, index: int = 0, *, with_content: bool = True) -> str:
    """Name of the instrument that made an image.

    Raises
    ------
    UnknownInstrumentError
        When nothing tells it.
    AmbiguousInstrumentError
        When two instruments claim it at the same step.
    """
    header = container.header(index)
    steps: list[Callable[[Kind], str | None]] = [
        lambda kind: kind.claim_header(header, file_name) if header else None,
        lambda kind: kind.claim_name(file_name),
    ]
    for step in steps:
        found = _only(filter(None, map(step, kinds())), file_name)
        if found:
            return found
    if not with_content:
        raise UnknownInstrumentError(file_name)
    pixels = _eight_bits(container.pixels(index))
    found = _only(filter(None, (kind.claim_content(pixels) for kind in kinds())), file_name)
    if found:
        return found
    if pixels.ndim == 2:
        raise AmbiguousInstrumentError(file_name, ["halpha (no disk found in it)", "allsky"])
    raise UnknownInstrumentError(file_name, "no header, a name that says nothing, and no solar disk in it")


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Colours of sixteen bits by their upper eight, anything else as it is."""
    is_deep = pixels.ndim == 3 and pixels.dtype == np.uint16
    return (pixels >> 8).astype(np.uint8) if is_deep else pixels


def _only(claims: Iterable[str], file_name: str) -> str | None:
    distinct = sorted(set(claims))
    if len(distinct) > 1:
        raise AmbiguousInstrumentError(file_name, distinct)
    return distinct[0] if distinct else None


@dataclass(frozen=True)
class Opened:
    """A file whose instrument is known and whose pixels can be asked for.

    Attributes
    ----------
    instrument : str
        Name as results will carry it: a configured station's own name, else the kind's.
    kind : Kind
    """

    container: Container
    instrument: str
    kind: Kind
    known_as: str
    file_name: str
    file_time: datetime | None = None
    camera: Camera = UNKNOWN

    @property
    def count(self) -> int:
        """Number of frames in the file."""
        return self.container.count

    @property
    def told_otherwise(self) -> str | None:
        """Instrument of the same kind that the header, else the name, tells, where it measures something else.

        A name that holds this one's own channel too, such as ``aia-171_0094.png``, may count frames: it tells nothing.
        """
        if not self.kind.is_named_by_measurement:
            return None
        try:
            told = self.kind.claim_header(
                self.container.header(_first_usable(self.container)), self.file_name
            )
            if told is None and self.known_as.rpartition("-")[2] not in self.file_name:
                told = self.kind.claim_name(self.file_name)
        except UnusableInputError:
            return None  # a header that is in doubt: then it is as whoever named the instrument says
        return None if told == self.known_as else told

    def facts(self, index: int = 0) -> Facts:
        """Header facts of one frame, its time taken from the file's when nothing else tells it.

        A name that holds a day contradicts a file time of another day, and a file time ahead of the clock (by more
        than any time zone) contradicts itself: then there is no time.
        """
        header, name = self.container.header(index), self.container.member(index) or self.file_name
        facts = self.kind.facts(self.known_as, header, name)
        told = self.kind.dated_by(
            header, name, self.camera.clock, is_film=self.count > 1, near=self.file_time
        )
        if told is not None:
            facts = replace(facts, date_obs=told.moment, date_obs_source=told.source, date_note=told.note)
        if facts.pointing is not None and self.container.row_order is RowOrder.TOP:
            # A picture with a FITS header (JPEG 2000) keeps that header's count of rows, from the bottom.
            height = self.container.shape(index)[0]
            facts = replace(
                facts,
                pointing=replace(facts.pointing, center_y_px=height - 1 - facts.pointing.center_y_px),
            )
        if facts.date_obs is None and facts.date_note is None and self.file_time is not None:
            day = name_time(name).day
            is_ahead = self.file_time > datetime.now(UTC) + _FARTHEST_ZONE
            if not is_ahead and (day is None or day.date() == self.file_time.date()):
                return replace(facts, date_obs=self.file_time, date_obs_source=DateSource.FILE_TIME)
        return facts

    def frame(self, index: int = 0) -> Frame:
        """Decode one frame.

        Raises
        ------
        UnreadableFileError
            When the pixels cannot be decoded or hold no finite value.
        """
        pixels = self.container.pixels(index)
        if self.kind.is_coloured_for_the_eye:
            pixels = _eight_bits(pixels)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
            raise UnreadableFileError("the image holds no number at all (NaN everywhere)")
        if self.kind.family == "allsky":
            pixels = self.camera.without_hot_pixels(pixels)
        pixels.flags.writeable = False
        return self._framed(index, pixels)

    def frame_for_analysis(self, index: int = 0) -> Frame:
        """Decode one frame no finer than its analysis needs; only all-sky pictures gain by it.

        A large JPEG is decoded at a half or a quarter of its size, a third of the time; what is said of it
        differs by no more than by saving it again.

        Raises
        ------
        UnreadableFileError
            When the pixels cannot be decoded or hold no finite value.
        """
        shape = self.container.shape(index)
        is_spread = (
            self.camera.is_measured and self.camera.hot_pixels is None
        )  # each pixel of itself is not needed
        times = halvings(shape) if self.kind.family == "allsky" and is_spread else 0
        pixels = self.container.smaller(index, 2**times) if times else None
        if pixels is None:
            return self.frame(index)
        pixels.flags.writeable = False
        # Geometry and mask are those of the whole picture; its pixels are not needed for them.
        whole = self._framed(index, np.broadcast_to(pixels.dtype.type(0), (*shape, *pixels.shape[2:])))
        return shrunk(whole, pixels)

    def _framed(self, index: int, pixels: np.ndarray) -> Frame:
        facts = self.facts(index)
        is_sky = self.kind.family == "allsky"
        return Frame(
            pixels=pixels,
            instrument=self.instrument,
            row_order=self.container.row_order,
            date_obs=facts.date_obs,
            date_obs_source=facts.date_obs_source,
            observatory=facts.observatory,
            wavelength_nm=facts.wavelength_nm,
            exposure_time_s=facts.exposure_time_s,
            unit=facts.unit,
            pointing=facts.pointing,
            index=index,
            file_name=self.file_name,
            header=self.container.header(index),
            date_note=facts.date_note,
            is_simulated=facts.is_simulated,
            fisheye=self._fisheye(facts, pixels) if is_sky else None,
            site=self.camera.known_site or facts.site if is_sky else None,
            sky_mask=self.camera.sky_mask((pixels.shape[0], pixels.shape[1])) if is_sky else None,
        )

    def _fisheye(self, facts: Facts, pixels: np.ndarray) -> Fisheye | None:
        """Geometry as settings or skymap tell it; a film's own where they do not, the same for all of it."""
        told = self.camera.fisheye(pixels, is_turned=facts.is_turned)
        return self._film_circle if told is None and self.count > 1 else told

    @cached_property
    def _film_circle(self) -> Fisheye | None:
        """Sky's circle of the first image of a film in which one is found."""
        for index in [index for index in range(self.count) if self.container.fault(index) is None][
            :_LOOKED_AT
        ]:
            try:
                aspect = self.facts(index).sky_aspect
                circle = find_circle(self.container.pixels(index), aspect=aspect)
            except UnusableInputError:
                continue
            if circle is not None:
                return circle
        return None


def open_bytes(
    data: bytes,
    file_name: str,
    limits: Limits,
    *,
    instrument: str | None = None,
    stations: Mapping[str, str] | None = None,
    file_time: datetime | None = None,
    is_peek: bool = False,
) -> Opened:
    """Open a file's bytes and recognise the instrument.

    Parameters
    ----------
    instrument : str | None
        Name given by the caller; overrides recognition.
    stations : Mapping[str, str] | None
        Configured stations: own name to the name of a known instrument or kind; `Stations` also tell
        what is known of their cameras.
    is_peek : bool
        Only instrument and facts are wanted, not the pixels; see `open_container`.

    Raises
    ------
    UnusableInputError
        When the file is damaged, too large, or of no known or one certain instrument.
    """
    container = open_container(data, limits, is_peek=is_peek)
    name = instrument or _recognise_cheaply(container, data, file_name, limits, is_peek=is_peek)
    known_as = (stations or {}).get(name, name)
    camera = camera_of(stations, name)
    return Opened(container, name, kind_of(known_as), known_as, file_name, file_time, camera)


def _recognise_cheaply(
    container: Container, data: bytes, file_name: str, limits: Limits, *, is_peek: bool
) -> str:
    """Recognise; when a peeked container's header and name do not tell, look at the pixels after all."""
    if not is_peek:
        return recognise(container, file_name, _first_usable(container))
    try:
        return recognise(container, file_name, _first_usable(container), with_content=False)
    except UnknownInstrumentError:
        container = open_container(data, limits)
        return recognise(container, file_name, _first_usable(container))


def _first_usable(container: Container) -> int:
    return next((index for index in range(container.count) if container.fault(index) is None), 0)


def read_file(
    path: Path,
    limits: Limits,
    *,
    instrument: str | None = None,
    stations: Mapping[str, str] | None = None,
) -> Opened:
    """Read and open a file; see `open_bytes`."""
    data = read_bytes(path, limits)
    file_time = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    return open_bytes(data, path.name, limits, instrument=instrument, stations=stations, file_time=file_time)
