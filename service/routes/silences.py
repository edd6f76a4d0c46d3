"""Silences: alerts of which nobody is told for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from observatory.storage import silences
from observatory.storage.silences import (
    LONGEST_COMMENT,
    LONGEST_GLOB,
    MOST_MATCHERS,
    NoSuchSilenceError,
    Silence,
    UnusableSilenceError,
)
from service import alert_examples as examples
from service.auth import Identity, Scope, requires
from service.context import Here
from service.described import one_answer, problems
from service.filters import MAX_ID, MomentText
from service.gate import note
from service.numbers import RowNumber
from service.paging import list_response, next_address
from service.problems import NotFoundError, ParameterError
from service.shapes import json_response

router = APIRouter(tags=["alerts"])

_MOMENT_WORDS = "an ISO 8601 time, UTC when no offset is given, such as 2026-11-20T08:00Z"
_MATCHER_WORDS = (
    'labels and globs, such as {"alertname": "Halpha*", "instrument": "kso-halpha"}; all must fit'
)
_Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Glob = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_GLOB)]
SilenceId = Annotated[RowNumber, Path(description="number of a silence")]
Writer = Annotated[Identity, Depends(requires(Scope.WRITE))]


class SilenceQuery(BaseModel):
    """Which silences are wanted."""

    model_config = ConfigDict(extra="forbid")

    expired: bool = Field(False, description="true: those that ended, too")
    limit: int = Field(100, ge=1, le=1000, description="silences a page, 1 to 1000")
    cursor: int | None = Field(None, ge=1, le=MAX_ID, description="as `next` gave it")


class SilenceBody(BaseModel):
    """What is to be silenced, and until when."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "matchers": {"instrument": "kso-halpha"},
                "ends_at": "2026-11-21T08:00Z",
                "comment": "mirror is cleaned",
            }
        },
    )

    matchers: dict[_Label, _Glob] = Field(min_length=1, max_length=MOST_MATCHERS, description=_MATCHER_WORDS)
    starts_at: MomentText | None = Field(None, description=f"{_MOMENT_WORDS}; now when left out")
    ends_at: MomentText = Field(description=_MOMENT_WORDS)
    comment: str | None = Field(None, max_length=LONGEST_COMMENT, description="why")


class SilenceShape(BaseModel):
    """A silence."""

    id: int
    state: Literal["pending", "active", "expired"]
    matchers: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    comment: str | None
    author: str
    created_at: datetime


class SilenceList(BaseModel):
    """A page of silences, newest first."""

    items: list[SilenceShape]
    next: str | None


@router.get("/silences", responses=one_answer(SilenceList, examples.SILENCES), response_class=Response)
def list_silences(request: Request, here: Here, query: Annotated[SilenceQuery, Query()]) -> Response:
    """Silences that hold or are to come, newest first; with `expired`, those that ended, too."""
    now = datetime.now(UTC)
    found = silences.listed(
        here.db, limit=query.limit + 1, before=query.cursor, with_expired=query.expired, now=now
    )
    is_more = len(found) > query.limit
    found = found[: query.limit]
    following = next_address(request, "silences", str(found[-1].id)) if is_more else None
    items = [_as_json(silence, now) for silence in found]
    return list_response(request, {"items": items, "next": following}, following)


@router.post(
    "/silences",
    responses=one_answer(SilenceShape, examples.SILENCE) | {201: {"model": SilenceShape}},
    response_class=Response,
    status_code=201,
)
def create_silence(request: Request, here: Here, body: SilenceBody, identity: Writer) -> Response:
    """Let nobody be told of certain alerts for a while.

    They fire and are listed all the same. One that still fires when the silence ends is told then.
    """
    now = datetime.now(UTC)
    try:
        made = silences.create(
            here.db,
            body.matchers,
            body.starts_at or now,
            body.ends_at,
            body.comment,
            identity.name,
            now,
        )
    except UnusableSilenceError as error:
        allowed = _MATCHER_WORDS if error.field == "matchers" else f"{_MOMENT_WORDS}, after now and starts_at"
        raise ParameterError(error.field, error.why, allowed) from error
    note(request, silence=made.id, matchers=dict(made.matchers), ends_at=made.ends_at.isoformat())
    return json_response(_as_json(made, now), 201)


@router.delete(
    "/silences/{silence_id}",
    responses=one_answer(SilenceShape, examples.SILENCE) | problems(_404="there is no silence 3"),
    response_class=Response,
)
def expire_silence(request: Request, here: Here, silence_id: SilenceId, _: Writer) -> Response:
    """End a silence now: what it held back, and still fires, is told at once. It stays in the list."""
    now = datetime.now(UTC)
    try:
        ended = silences.expire(here.db, silence_id, now)
    except NoSuchSilenceError as error:
        raise NotFoundError(f"silence {silence_id}") from error
    note(request, silence=silence_id)
    return json_response(_as_json(ended, now))


def _as_json(silence: Silence, now: datetime) -> dict[str, Any]:
    return {**vars(silence), "matchers": dict(silence.matchers), "state": silence.state(now)}
