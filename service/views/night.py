"""The page *Night*: keogram and ewogram of one camera's night, its clouds by the hour, onsets, film."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from observatory.analysis import SkyClass
from observatory.storage import events, night_catalogue
from observatory.storage.night_catalogue import Neighbours, NightFilter
from observatory.storage.nights import WorkStatus
from observatory.words import counted
from service.context import Context, Here
from service.filters import MAX_ID
from service.metrics import utc_now
from service.night_shapes import night_as_json, picture_address
from service.paging import base_of
from service.views.assets import templates

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
_LOOKED_THROUGH = 50  # newest nights, of which the newest with more than a few frames is shown first
_FEW = 3
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Camera:
    """An instrument, and its filter where it has nights of several."""

    instrument: str
    wavelength_nm: float

    @property
    def name(self) -> str:
        """As people read it."""
        return f"{self.instrument} {self.wavelength_nm:g} nm" if self.wavelength_nm else self.instrument

    @property
    def value(self) -> str:
        """As the address names it."""
        return f"{self.instrument}@{self.wavelength_nm:g}"


@dataclass(frozen=True)
class HourRow:
    """One hour of the table; shares in percent for the bars, None where unknown."""

    start: datetime
    frames: int
    judged: int
    cloud: float | None
    aurora: float | None
    seen: Sequence[tuple[str, int]]
    """Classes with their frames, the most frequent first."""


@dataclass(frozen=True)
class Shown:
    """One night, ready for the page."""

    night: Mapping[str, Any]
    camera: Camera
    pictures: Mapping[str, str]
    """Kind to address below the service's root."""
    sizes: Mapping[str, tuple[int, int]]
    hours: Sequence[HourRow]
    first: datetime
    last: datetime
    is_over: bool
    neighbours: Neighbours

    @property
    def dates(self) -> str:
        """Evening and morning as a heading, such as ``31 December 2025 to 1 January 2026``."""
        evening = self.night["date"]
        morning = evening + timedelta(days=1)
        month = "" if evening.month == morning.month else f" {evening:%B}"
        year = "" if evening.year == morning.year else f" {evening:%Y}"
        return f"{evening.day}{month}{year} to {morning.day} {morning:%B %Y}"

    @property
    def days(self) -> list[dt.date]:
        """The UTC days, one or two, on which its frames were taken."""
        return sorted({self.first.date(), self.last.date()})

    @property
    def classes(self) -> list[tuple[str, int]]:
        """Classes with their frames, the most frequent first."""
        return _by_number(self.night["classes"])

    @property
    def onsets(self) -> list[dict[str, Any]]:
        """Onsets with times."""
        return [one | {"time": datetime.fromisoformat(one["time"])} for one in self.night["onsets"]]

    @property
    def gaps(self) -> list[tuple[datetime, datetime, float]]:
        """Gaps with their lengths in seconds, the longest first."""
        spans = [(_moment(one["start"]), _moment(one["end"])) for one in self.night["gaps"]]
        lengths = [(start, end, (end - start).total_seconds()) for start, end in spans]
        return sorted(lengths, key=lambda gap: -gap[2])

    @property
    def words(self) -> str:
        """What the pictures show, for those who do not see them."""
        said = [f"{number} {name}" for name, number in self.classes]
        onsets = [f"{one['time']:%H:%M}" for one in self.onsets]
        parts = [
            f"{counted(self.night['frames'], 'frame')} from {self.first:%H:%M} to {self.last:%H:%M} UTC",
            ", ".join(said) if said else "none could be judged",
            f"onset at {' and '.join(onsets)}" if onsets else "no onset",
        ]
        return "; ".join(parts)


@router.get("/night")
def page(request: Request, here: Here, night: str = "", camera: str = "", day: str = "") -> Response:
    """The page. An address that makes no sense shows the newest night instead of an error."""
    base = base_of(request)
    # The number first: what happens while the page is made is told to the page again.
    seq = events.last_seq(here.db)
    row = _chosen(here, night, camera, day)
    cameras = [Camera(*one) for one in night_catalogue.cameras(here.db)]

    def address(night_id: int) -> str:
        return f"{base}/night?{urlencode({'night': night_id})}"

    values = {
        "base": base,
        "seq": seq,
        "shown": None if row is None else _shown(here, row),
        "cameras": cameras,
        "wanted_day": _day(day),
        "is_another": row is not None and str(row["id"]) != night and _day(day) not in (None, row["date"]),
        "address": address,
        "sky_classes": [*SkyClass],
    }
    return templates.TemplateResponse(request, "night.html", values, headers=_FRESH)


def _chosen(here: Context, number: str, camera: str, day: str) -> dict[str, Any] | None:
    """The night that is asked for; else the newest of the camera; else the newest."""
    if number.isascii() and number.isdigit() and len(number) < 20 and int(number) <= MAX_ID:
        row = night_catalogue.get(here.db, int(number))
        if row is not None:
            return row
    wanted_day = _day(day)
    until = None if wanted_day is None else datetime.combine(wanted_day, time(), UTC) + timedelta(days=2)
    rows = _newest_first(here, camera, until)
    if wanted_day is not None:
        # Dates are of the camera's evening: the last night that began on that day or before.
        rows = [row for row in rows if row["date"] <= wanted_day] or rows[-1:]
    else:
        # What a camera with a wrong clock dates ahead would be the newest until that day comes.
        past = [row for row in rows if row["start_at"] <= utc_now()]
        rows = [row for row in past if row["made_payload"]["frames"] > _FEW] or past or rows
    return next(iter(rows), None)


def _newest_first(here: Context, camera: str, until: datetime | None) -> list[dict[str, Any]]:
    """Nights of a camera as pages name it (``NAME@BAND``), those of all where the word names none."""
    instrument, _, band = camera.partition("@")
    is_name = 0 < len(instrument) <= _LONGEST_NAME and instrument.isprintable()
    wanted = NightFilter(instrument if is_name else None, None, until)
    rows = night_catalogue.find(here.db, wanted, limit=_LOOKED_THROUGH)
    return [row for row in rows if not is_name or not band or f"{row['wavelength_nm']:g}" == band]


def _shown(here: Context, row: Mapping[str, Any]) -> Shown:
    night = night_as_json(row, "")
    pictures = row["pictures"]
    return Shown(
        night=night,
        camera=Camera(row["instrument"], row["wavelength_nm"]),
        pictures={kind: picture_address(row, kind) for kind in pictures},
        sizes={kind: (one["width"], one["height"]) for kind, one in pictures.items()},
        hours=[_hour(one) for one in night["hours"]],
        first=_moment(night["first"]),
        last=_moment(night["last"]),
        is_over=row["film_status"] in (WorkStatus.DONE, WorkStatus.FAILED) or row["end_at"] < utc_now(),
        neighbours=night_catalogue.neighbours(here.db, row),
    )


def _hour(said: Mapping[str, Any]) -> HourRow:
    return HourRow(
        start=_moment(said["start"]),
        frames=said["frames"],
        judged=said["judged"],
        cloud=said["cloud_cover"],
        aurora=said["aurora_occurrence"],
        seen=_by_number(said["classes"]),
    )


def _by_number(classes: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(classes.items(), key=lambda pair: -pair[1])


def _moment(word: str) -> datetime:
    return datetime.fromisoformat(word)


def _day(word: str) -> dt.date | None:
    try:
        found = dt.date.fromisoformat(word)
    except ValueError:
        return None
    return found if 1600 < found.year < 9998 else None
