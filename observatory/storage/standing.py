"""Where frames stand in time for whoever watches a camera: when they say, at the latest when they came.

No frame is observed after it came; one that says so is of a camera whose clock is ahead. Lists of what was
observed go by the time that frames tell (`moment`), whatever it is; whether a camera is alive, and which of its
frames is the newest, go by this one.

Each question is put twice, to the frames that are ahead and to the others, so that an index answers either.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select, union_all

from observatory.storage.column_types import UtcDateTime
from observatory.storage.schema import frames

Ask = Callable[[ColumnElement[datetime]], Select[Any]]
"""Makes a question about frames; given the column that says where they stand, to be labelled ``stands``."""

IS_AHEAD = frames.c.moment > frames.c.received_at  # word by word as the index of such frames has it
_EVER = literal(datetime.min.replace(tzinfo=UTC), UtcDateTime())


def both(ask: Ask, instrument: str) -> tuple[Select[Any], Select[Any]]:
    """The question put to an instrument's frames that stand at their `moment`, and to those at their `received_at`."""
    is_its = frames.c.instrument == instrument
    return ask(frames.c.moment).where(is_its, ~IS_AHEAD), ask(frames.c.received_at).where(is_its, IS_AHEAD)


def newest(
    ask: Ask, instrument: str, limit: int, until: datetime | None = None, *, since: datetime | None = None
) -> Select[Any]:
    """An instrument's newest frames that stand before a moment, newest first."""
    moment, received = frames.c.moment, frames.c.received_at
    known, ahead = (question.add_columns(frames.c.id) for question in both(ask, instrument))
    if until is not None:
        known, ahead = known.where(moment < until), ahead.where(received < until)
    if since is not None:
        known, ahead = known.where(moment >= since), ahead.where(received >= since)
    ahead = ahead.order_by(received.desc(), frames.c.id.desc())
    # Older than those: a camera that is always ahead has no others, and would be gone through to its first frame.
    floor = ahead.with_only_columns(received).offset(limit - 1).limit(1).scalar_subquery()
    known = known.where(moment >= func.coalesce(floor, _EVER))
    found = _together(known.order_by(moment.desc(), frames.c.id.desc()).limit(limit), ahead.limit(limit))
    columns = found.selected_columns
    return found.order_by(columns.stands.desc(), columns.id.desc()).limit(limit)


def first(ask: Ask, instrument: str, since: datetime | None = None) -> Select[Any]:
    """An instrument's first frame that stands at a moment or later."""
    moment, received = frames.c.moment, frames.c.received_at
    known, ahead = both(ask, instrument)
    if since is not None:
        known, ahead = known.where(moment >= since), ahead.where(received >= since)
    ahead = ahead.order_by(received)
    # Later than that, or than all that came, none is looked for: see `newest`.
    last = select(func.max(received)).where(frames.c.instrument == instrument).scalar_subquery()
    ceiling = func.coalesce(ahead.with_only_columns(received).limit(1).scalar_subquery(), last)
    found = _together(known.where(moment <= ceiling).order_by(moment).limit(1), ahead.limit(1))
    return found.order_by(found.selected_columns.stands).limit(1)


def _together(*parts: Select[Any]) -> Select[Any]:
    return select(union_all(*(select(part.subquery()) for part in parts)).subquery())
