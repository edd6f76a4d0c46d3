"""A human's word on a frame."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from observatory.storage import catalogue, marks
from observatory.storage.marks import LONGEST_NOTE, Mark, Marked, NoSuchFrameError
from service.auth import Identity, Scope, requires
from service.context import Here
from service.described import problems
from service.gate import note
from service.numbers import RowNumber
from service.problems import NotFoundError
from service.shapes import json_response

router = APIRouter(tags=["frames"])

FrameId = Annotated[RowNumber, Path(description="number of a frame")]


class MarkBody(BaseModel):
    """What is said of a frame."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"mark": "bad", "note": "a bird"}}
    )

    mark: Mark = Field(description="good, bad, or clear to take the last word back")
    note: str | None = Field(None, max_length=LONGEST_NOTE, description="why")


class MarkShape(BaseModel):
    """A mark as it was given; `mark` is null where a word was taken back."""

    id: int
    frame_id: int
    mark: str | None
    note: str | None
    author: str
    created_at: datetime


class MarkList(BaseModel):
    """Marks of a frame, newest first."""

    items: list[MarkShape]


_NOT_FOUND = problems(_404="there is no frame 4711")


@router.put(
    "/frames/{frame_id}/mark", responses={200: {"model": MarkShape}, **_NOT_FOUND}, response_class=Response
)
def mark_frame(
    request: Request,
    here: Here,
    frame_id: FrameId,
    body: MarkBody,
    identity: Annotated[Identity, Depends(requires(Scope.WRITE))],
) -> Response:
    """Mark a frame good or bad, or take the mark back.

    The mark stands beside the machine's score and changes no result. All marks are kept; the frame
    shows the newest.
    """
    note(request, mark=body.mark.value)
    try:
        given = marks.put(here.db, frame_id, body.mark, body.note, identity.name, datetime.now(UTC))
    except NoSuchFrameError as error:
        raise NotFoundError(f"frame {frame_id}") from error
    return json_response(_as_json(given))


@router.get(
    "/frames/{frame_id}/marks", responses={200: {"model": MarkList}, **_NOT_FOUND}, response_class=Response
)
def list_marks(
    here: Here,
    frame_id: FrameId,
    limit: Annotated[int, Query(ge=1, le=1000, description="how many at most, 1 to 1000")] = 100,
) -> Response:
    """Who marked a frame how, when and why, newest first."""
    given = marks.of_frame(here.db, frame_id, limit)
    if not given and catalogue.get(here.db, frame_id) is None:
        raise NotFoundError(f"frame {frame_id}")
    return json_response({"items": [_as_json(item) for item in given]})


def _as_json(given: Marked) -> dict[str, Any]:
    return dict(vars(given))
