"""Completeness: what was to be expected, what came, what is usable, what is excused, what is missing."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from observatory.observing import State
from service import columns, coverage, examples
from service.context import Here
from service.described import list_answers
from service.filters import FORMAT_WORDS, DayText, InstrumentName, TableFormat, TimeRangeText
from service.formats import chosen_format
from service.paging import list_response
from service.tables import Table, table_response

router = APIRouter(tags=["coverage"])

_BINS = {"1h": 3600.0, "1d": 86400.0}
_STATES = {state.word: state for state in State}


class CoverageQuery(BaseModel):
    """Whose ledger is wanted, of which time, and how fine."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(
        None, description=coverage.TIME_WORDS, examples=["2026-11-20/2026-11-21"]
    )
    date: DayText | None = Field(None, description=coverage.DATE_WORDS)
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as kso-halpha")
    bin: Literal["1h", "1d"] | None = Field(
        None, description="1h or 1d; bins begin at full hours and days, UTC"
    )
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)


class GapQuery(BaseModel):
    """Which gaps are wanted."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(
        None, description=coverage.TIME_WORDS, examples=["2026-11-20/2026-11-21"]
    )
    date: DayText | None = Field(None, description=coverage.DATE_WORDS)
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as kso-halpha")
    state: Literal["missing", "night", "eclipse", "maintenance", "weather"] | None = Field(
        None, description="one of missing, night, eclipse, maintenance, weather"
    )
    order: Literal["asc", "desc"] = Field("desc", description="asc (oldest first) or desc (newest first)")
    limit: int = Field(1000, ge=1, le=10_000, description="1 to 10000 gaps, the first in the order")
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)


class RatioShape(BaseModel):
    """Parts of what was expected, 0 to 1; null when nothing was."""

    received: float | None
    usable: float | None
    missing: float | None


class CountShape(BaseModel):
    """Frames by what became of them; two of one moment count once, except in `frames`."""

    start: datetime
    end: datetime
    expected: int
    received: int
    usable: int
    waiting: int
    unusable: int
    frozen: int
    missing: int
    extra: int
    frames: int
    excused: dict[str, int]
    ratio: RatioShape


class LedgerShape(CountShape):
    """One instrument's ledger."""

    instrument: str
    cadence_s: float | None
    is_cadence_learned: bool
    undated: int
    gaps: dict[str, int]
    lateness_s: dict[str, float]
    due: datetime
    bins: list[CountShape] | None


class LedgerList(BaseModel):
    """Ledgers by instrument."""

    start: datetime
    end: datetime
    bin_s: float | None
    items: list[LedgerShape]


class GapShape(BaseModel):
    """A gap."""

    instrument: str
    start: datetime
    end: datetime
    length_s: float
    frames_lost: int
    state: str
    is_open: bool


class GapList(BaseModel):
    """Gaps in the order that was asked for."""

    start: datetime
    end: datetime
    is_truncated: bool
    items: list[GapShape]


@router.get("/coverage", responses=list_answers(LedgerList, examples.COVERAGE), response_class=Response)
def get_coverage(request: Request, here: Here, query: Annotated[CoverageQuery, Query()]) -> Response:
    """The completeness ledger of each instrument: expected, received, usable, missing and excused frames.

    The cadence is that of the settings, or learned from the frames (`is_cadence_learned`). `excused` counts
    lost frames by reason: `night` (for a camera of the night: day), `eclipse`, `maintenance`, `weather`.
    `extra` came when none was expected, `frozen` brought the bytes of a former frame again, `lateness_s` tells
    how long live frames took from exposure to arrival. Frames after `due` may still be on their way.
    """
    span = coverage.span_of(query.time, query.date, is_hourly=query.bin == "1h")
    bin_s = _BINS[query.bin] if query.bin else None
    form = chosen_format(request, query.format)
    found = list(coverage.ledgers(here, span, query.instrument, bin_s))
    if form != "json":
        rows = [
            coverage.row(name, written, count)
            for name, written in found
            for count in (written.bins if bin_s else [written.total])
        ]
        return table_response(Table("coverage", columns.LEDGERS, [rows]), form)
    items = [coverage.ledger_as_json(name, written, with_bins=bin_s is not None) for name, written in found]
    body = {"start": span.start, "end": span.end, "bin_s": bin_s, "items": items}
    return list_response(request, body)


@router.get("/coverage/gaps", responses=list_answers(GapList, examples.GAPS), response_class=Response)
def list_gaps(request: Request, here: Here, query: Annotated[GapQuery, Query()]) -> Response:
    """Gaps: from when the first lost frame was due until the next one came or was due, and why.

    `missing` gaps have no excuse; `is_open` ones go on.
    """
    span = coverage.span_of(query.time, query.date)
    form = chosen_format(request, query.format)
    states = [_STATES[query.state]] if query.state else list(State)
    items: list[dict[str, Any]] = []
    most = query.limit + 1
    for name, written in coverage.ledgers(here, span, query.instrument):
        places = written.gaps.select(states)
        chosen = places[:most] if query.order == "asc" else places[-most:]
        items += [coverage.gap_as_json(name, gap) for gap in written.gaps.of(chosen)]
    items.sort(key=lambda gap: (gap["start"], gap["instrument"]), reverse=query.order == "desc")
    given = items[: query.limit]
    is_truncated = len(items) > len(given)
    if form != "json":
        rows = [[gap[column.name] for column in columns.GAPS] for gap in given]
        return table_response(Table("gaps", columns.GAPS, [rows], is_cut=is_truncated), form)
    body = {"start": span.start, "end": span.end, "is_truncated": is_truncated, "items": given}
    return list_response(request, body)
