"""Enhancements of frames: what was made of each, in numbers; and the numbers over time.

A frame has one row: what the run that ended last said of it, as with its regions. The results keep what
every run said. A frame that was refused or skipped has a row, too, which says why; but one that had been
enhanced before and is skipped now, for want of time, keeps its numbers and its pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from observatory.analysis import Enhancement
from observatory.storage.bins import bin_columns, instruments_of, newest_bins
from observatory.storage.frame_keys import Key, Page
from observatory.storage.regions import FrameFacts
from observatory.storage.schema import enhancements
from observatory.storage.session import Database
from observatory.storage.texts import plain_text

if TYPE_CHECKING:
    from observatory.storage.results import NewResult

ANALYSIS = "enhancement"
"""Name of the finding. Its payload is `enhancement_payload`, ``{"refused": why}`` or ``{"skipped": why}``."""

NUMBERS = (
    "contrast_before",
    "contrast_after",
    "unsigned_flux_before_mx",
    "unsigned_flux_after_mx",
    "residual",
    "noise",
    "trusted_fraction",
)
"""Fields of `observatory.analysis.EnhancementNumbers` in the order of tables."""

PICTURES = ("enhanced", "enhanced-preview", "compare", "compare-before", "compare-after")
"""Kinds of products that show an enhancement."""

_DIGITS = 6


class EnhancementOutcome(StrEnum):
    """What became of a frame that might have been enhanced."""

    ENHANCED = "enhanced"
    REFUSED = "refused"
    SKIPPED = "skipped"


def enhancement_payload(enhancement: Enhancement) -> dict[str, Any]:
    """What a result keeps of an enhancement; its pixels are a product of the frame.

    Returns
    -------
    dict
        ``quantity``, ``model`` (label), ``window_px`` [x0, y0, x1, y1] and `NUMBERS`, to six digits; None
        for a number that there is not.
    """
    numbers = enhancement.numbers
    return {
        "quantity": enhancement.quantity.value,
        "model": enhancement.model.label,
        "window_px": [int(edge) for edge in enhancement.window_px],
        **{name: _rounded(getattr(numbers, name)) for name in NUMBERS},
    }


def _rounded(value: Any) -> float | None:
    """Six digits; None for what is no number, which JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else float(f"{float(value):.{_DIGITS}g}")


def write(
    db: Database,
    connection: Connection,
    frame: FrameFacts,
    made: Sequence[NewResult],
    software_version: str,
) -> None:
    """Write what a run said of a frame's enhancement, inside the caller's transaction.

    A run that says nothing of it, or that it was skipped, leaves what was said before.
    """
    said = next((item for item in made if item.analysis == ANALYSIS), None)
    if said is None:
        return
    outcome, reason = outcome_of(said.payload)
    row = {
        "frame_id": frame.id,
        "instrument": frame.instrument,
        "moment": frame.moment,
        "is_dated": frame.date_obs is not None,
        "outcome": outcome.value,
        "reason": None if reason is None else plain_text(reason[:2000]),
        "quantity": said.payload.get("quantity"),
        **{name: said.payload.get(name) for name in NUMBERS},
        "window_px": said.payload.get("window_px"),
        "model_name": said.model.name,
        "model_version": said.model.version,
        "model_sha256": said.model.sha256,
        "software_version": software_version,
    }
    if outcome is EnhancementOutcome.SKIPPED:
        db.insert_new(connection, enhancements, [row])
    else:
        db.upsert(connection, enhancements, row, ["frame_id"])


def is_told(made: Sequence[NewResult]) -> bool:
    """Whether a run tried to enhance its frame, so that what was made before is no longer shown."""
    return any(
        item.analysis == ANALYSIS and outcome_of(item.payload)[0] is not EnhancementOutcome.SKIPPED
        for item in made
    )


def outcome_of(payload: Mapping[str, Any]) -> tuple[EnhancementOutcome, str | None]:
    """Outcome that a finding tells of, and the reason where there is none to show."""
    for outcome in (EnhancementOutcome.REFUSED, EnhancementOutcome.SKIPPED):
        if payload.get(outcome.value) is not None:
            return outcome, str(payload[outcome.value])
    return EnhancementOutcome.ENHANCED, None


def of_frame(db: Database, frame_id: int) -> dict[str, Any] | None:
    """What was said last of a frame's enhancement; None when nothing was."""
    with db.read() as connection:
        query = select(*enhancements.c).where(enhancements.c.frame_id == frame_id)
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _plain(row)


_POINT = ("frame_id", "instrument", "quantity", "outcome", "reason", *NUMBERS)


def series(
    db: Database,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    outcome: EnhancementOutcome,
    page: Page,
) -> list[dict[str, Any]]:
    """Numbers over the time of observation, a page at a time; frames without a time are left out."""
    moment, number = enhancements.c.moment, enhancements.c.frame_id
    query = select(moment.label("time"), *(enhancements.c[name] for name in _POINT))
    query = query.where(*_conditions(instrument, outcome, time_to))
    if time_from is not None:
        query = query.where(moment >= time_from)
    with db.read() as connection:
        return [_plain(row) for row in connection.execute(page.of(query, moment, number)).mappings()]


def key_of(point: Mapping[str, Any]) -> Key:
    """Where a point of `series` stands in it."""
    return point["time"], point["frame_id"]


def _conditions(
    instrument: str | None, outcome: EnhancementOutcome, time_to: datetime | None
) -> list[ColumnElement[bool]]:
    conditions = [enhancements.c.outcome == outcome.value, enhancements.c.is_dated.is_(True)]
    if instrument is not None:
        conditions.append(enhancements.c.instrument == instrument)
    if time_to is not None:
        conditions.append(enhancements.c.moment < time_to)
    return conditions


def binned(
    db: Database,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    *,
    bin_s: int,
    limit: int,
) -> list[dict[str, Any]]:
    """Means of the numbers in bins of ``bin_s`` seconds, oldest first, the newest ``limit``.

    Returns
    -------
    list of dict
        ``start`` in seconds since 1970, instrument, ``frames``, `NUMBERS`.
    """
    conditions = _conditions(instrument, EnhancementOutcome.ENHANCED, time_to)
    with db.read() as connection:
        if instrument is None:
            names = instruments_of(connection, enhancements.c.instrument)
            conditions.append(enhancements.c.instrument.in_(names))  # then the index alone answers
        bins, moment = _bins(db, bin_s), enhancements.c.moment
        return newest_bins(connection, bins, moment, conditions, time_from, bin_s=bin_s, limit=limit)


def _bins(db: Database, bin_s: int) -> Select[Any]:
    place, start = bin_columns(db, enhancements.c.moment, bin_s)
    return select(
        start,
        enhancements.c.instrument,
        func.count().label("frames"),
        *(func.avg(enhancements.c[name]).label(name) for name in NUMBERS),
    ).group_by(place, enhancements.c.instrument)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}  # the driver's names are no plain str


__all__ = [
    "ANALYSIS",
    "NUMBERS",
    "PICTURES",
    "EnhancementOutcome",
    "binned",
    "enhancement_payload",
    "is_told",
    "key_of",
    "of_frame",
    "outcome_of",
    "series",
    "write",
]
