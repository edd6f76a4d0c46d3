"""Nights as the API speaks of them: what may be asked, and what is answered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from observatory.storage.night_catalogue import NightFilter
from service.filters import (
    FORMAT_WORDS,
    InstrumentName,
    TableFormat,
    TimeRange,
    TimeRangeText,
    read_cursor,
)
from service.shapes import API
from service.tables import Column

KINDS = ("keogram", "ewogram", "film")
_HASH_LENGTH = 12


class NightQuery(BaseModel):
    """Filters and paging of nights."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(
        None,
        description="START/END in ISO 8601, UTC when no offset is given, either side may be `..`: "
        "nights of which any part lies within, END not included",
        examples=["2026-11-20/2026-11-22"],
    )
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as themis-asi")
    order: Literal["asc", "desc"] = Field("desc", description="asc (oldest first) or desc (newest first)")
    limit: int | None = Field(
        None, ge=1, le=1000, description="1 to 1000 nights a page; 50 for JSON, all for a table when left out"
    )
    cursor: str | None = Field(
        None, max_length=200, description="the cursor of `next` from the page before, unchanged"
    )
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)

    @property
    def as_filter(self) -> NightFilter:
        """The same, as storage takes it."""
        time = self.time or TimeRange()
        return NightFilter(self.instrument, time.start, time.end)

    @property
    def after(self) -> tuple[datetime, int] | None:
        """Sort key that the page starts after."""
        return None if self.cursor is None else read_cursor(self.cursor, self.order)


class HourShape(BaseModel):
    """One hour of UTC of a night."""

    start: datetime
    frames: int
    judged: int
    cloud_cover: float | None
    aurora_occurrence: float | None
    classes: dict[str, int]


class SpanShape(BaseModel):
    """A time without frames: the frames before and after it."""

    start: datetime
    end: datetime


class OnsetShape(BaseModel):
    """Aurora brightens, or first appears, and stays."""

    time: datetime
    frame_id: int
    rise: float
    aurora_probability: float


class FilmShape(BaseModel):
    """The film of a night: `waiting` until it has ended, then `working`, `done` or `failed` with its reason."""

    status: str
    reason: str | None
    frames: int | None
    seconds: float | None


class NightShape(BaseModel):
    """A night of one all-sky camera, from local mean noon to noon, with its pictures.

    `aurora_occurrence` is the share of the judged frames that show aurora, `aurora_occurrence_unclouded` the
    same among those that clouds do not hide, `cloud_cover` a mean over the frames.
    `is_file_time` says whether of any of its frames only the time of the file is known, which may be that of a
    copy; null where its numbers were made before that was noted.
    """

    id: int
    instrument: str
    wavelength_nm: float | None
    date: dt.date
    start: datetime
    end: datetime
    longitude_deg: float
    status: str
    reason: str | None
    revision: int
    made_at: datetime | None
    first: datetime
    last: datetime
    frames: int
    judged: int
    cadence_s: float
    is_oriented: bool
    is_simulated: bool
    is_file_time: bool | None
    cloud_cover: float | None
    aurora_occurrence: float | None
    aurora_occurrence_unclouded: float | None
    classes: dict[str, int]
    hours: list[HourShape]
    gaps: list[SpanShape]
    onsets: list[OnsetShape]
    film: FilmShape | None
    links: dict[str, str]


class NightList(BaseModel):
    """A page of nights."""

    items: list[NightShape]
    next: str | None


_SAID = (
    *("first", "last", "frames", "judged", "cadence_s", "is_oriented", "is_simulated"),
    *("cloud_cover", "aurora_occurrence", "aurora_occurrence_unclouded"),
    *("classes", "hours", "gaps", "onsets"),
)


def picture_address(row: Mapping[str, Any], kind: str) -> str:
    """Where a night's picture is, below the service's root; it changes with the picture."""
    sha256 = row["pictures"][kind]["sha256"]
    return f"{API}/keograms/{row['id']}/{kind}?v={sha256[:_HASH_LENGTH]}"


def night_as_json(row: Mapping[str, Any], base: str) -> dict[str, Any]:
    """One night, of `observatory.storage.night_catalogue`."""
    said = row["made_payload"]
    links = {"self": f"{base}{API}/keograms/{row['id']}"}
    links |= {kind: base + picture_address(row, kind) for kind in KINDS if kind in row["pictures"]}
    return {
        **{name: row[name] for name in ("id", "instrument", "date", "longitude_deg")},
        "wavelength_nm": row["wavelength_nm"] or None,
        "start": row["start_at"],
        "end": row["end_at"],
        **{name: row[f"made_{name}"] for name in ("status", "reason", "revision", "made_at")},
        **{name: said[name] for name in _SAID},
        "is_file_time": said.get("is_file_time"),
        "film": _film(row),
        "links": links,
    }


def _film(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["film_status"] is None:
        return None
    said = row["film_payload"] or {}
    facts = {"status": row["film_status"], "reason": row["film_reason"]}
    return facts | {"frames": said.get("frames"), "seconds": said.get("seconds")}


COLUMNS = (
    Column("id", "integer", "Number of the night", ucd="meta.id;meta.main"),
    Column("instrument", "text", "Instrument", ucd="meta.id;instr"),
    Column("wavelength_nm", "number", "Wavelength of its filter", "nm", "em.wl"),
    Column("date", "text", "Date of its evening, local mean time", ucd="time"),
    Column("start", "time", "Local mean noon before it, UTC", ucd="time.start"),
    Column("end", "time", "Local mean noon after it, UTC", ucd="time.end"),
    Column("first", "time", "Its first frame, UTC", ucd="time.start;obs"),
    Column("last", "time", "Its last frame, UTC", ucd="time.end;obs"),
    Column("frames", "integer", "Frames", ucd="meta.number"),
    Column("judged", "integer", "Frames whose sky could be judged", ucd="meta.number"),
    Column("cloud_cover", "number", "Mean over the frames, 0 to 1"),
    Column("aurora_occurrence", "number", "Share of the judged frames with aurora, 0 to 1"),
    Column("aurora_occurrence_unclouded", "number", "The same of frames that clouds do not hide"),
    Column("onsets", "integer", "How often aurora brightened", ucd="meta.number"),
    Column("first_onset", "time", "When it did so first, UTC", ucd="time"),
    Column("is_simulated", "boolean", "Whether a simulator made any of its frames"),
    Column("is_file_time", "boolean", "Whether any of its frames has but the time of its file"),
    Column("keogram", "text", "Address of its keogram", ucd="meta.ref.url"),
    Column("ewogram", "text", "Address of its ewogram", ucd="meta.ref.url"),
    Column("film", "text", "Address of its film", ucd="meta.ref.url"),
)


def cells(row: Mapping[str, Any], base: str) -> list[Any]:
    """One row of the table."""
    night = night_as_json(row, base)
    onsets = night["onsets"]
    values = night | {
        "date": night["date"].isoformat(),
        "first": datetime.fromisoformat(night["first"]),
        "last": datetime.fromisoformat(night["last"]),
        "onsets": len(onsets),
        "first_onset": datetime.fromisoformat(onsets[0]["time"]) if onsets else None,
        **{kind: night["links"].get(kind) for kind in KINDS},
    }
    return [values[column.name] for column in COLUMNS]


EXAMPLE = {
    "id": 12,
    "instrument": "themis-asi",
    "wavelength_nm": None,
    "date": "2026-11-20",
    "start": "2026-11-20T18:54:00Z",
    "end": "2026-11-21T18:54:00Z",
    "longitude_deg": -103.5,
    "status": "done",
    "reason": None,
    "revision": 41,
    "made_at": "2026-11-21T08:10:02.100000Z",
    "first": "2026-11-21T00:10:00Z",
    "last": "2026-11-21T08:09:57Z",
    "frames": 9590,
    "judged": 9590,
    "cadence_s": 3.0,
    "is_oriented": True,
    "is_simulated": False,
    "is_file_time": False,
    "cloud_cover": 0.1815,
    "aurora_occurrence": 0.3127,
    "aurora_occurrence_unclouded": 0.3702,
    "classes": {"arc": 1802, "discrete": 1197, "cloud": 1491, "clear": 5100},
    "hours": [
        {
            "start": "2026-11-21T00:00:00Z",
            "frames": 1000,
            "judged": 1000,
            "cloud_cover": 0.62,
            "aurora_occurrence": 0.0,
            "classes": {"cloud": 700, "clear": 300},
        }
    ],
    "gaps": [{"start": "2026-11-21T02:00:00Z", "end": "2026-11-21T02:11:00Z"}],
    "onsets": [{"time": "2026-11-21T05:12:30Z", "frame_id": 4711, "rise": 0.31, "aurora_probability": 0.97}],
    "film": {"status": "waiting", "reason": None, "frames": None, "seconds": None},
    "links": {
        "self": "/api/v1/keograms/12",
        "keogram": "/api/v1/keograms/12/keogram?v=0a1b2c3d4e5f",
        "ewogram": "/api/v1/keograms/12/ewogram?v=5f4e3d2c1b0a",
    },
}
EXAMPLES = {"items": [EXAMPLE], "next": None}
