"""Results: what was said of a frame, by what, when, and what is current."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from observatory.storage import catalogue, provenance
from service.context import Context, Here
from service.filters import MAX_ID, parse_moment
from service.paging import base_of
from service.problems import NotFoundError
from service.result_shapes import ProvShape, ResultList, ResultShape, result_as_json, result_as_prov
from service.shapes import json_response

router = APIRouter(tags=["results"])

FrameId = Annotated[int, Path(ge=1, le=MAX_ID, description="number of a frame")]
ResultId = Annotated[int, Path(ge=1, le=MAX_ID, description="number of a result")]
_AS_OF_WORDS = (
    "an ISO 8601 time, UTC when no offset is given, such as 2026-11-20T08:00Z: what was known then; "
    "results made later are passed over"
)


def _moment(word: Any) -> Any:
    return parse_moment(word) if isinstance(word, str) else word


AsOfText = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string"})]
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "there is no such frame or result"}}


class ResultQuery(BaseModel):
    """As of when results are asked for."""

    model_config = ConfigDict(extra="forbid")

    as_of: AsOfText | None = Field(None, description=_AS_OF_WORDS, examples=["2026-11-20T08:00Z"])


@router.get(
    "/frames/{frame_id}/results",
    responses={200: {"model": ResultList}, **_NOT_FOUND},
    response_class=Response,
)
def list_results(
    request: Request, here: Here, frame_id: FrameId, query: Annotated[ResultQuery, Query()]
) -> Response:
    """What the analyses said of a frame, newest first, each with what made it.

    Several versions of a model stand side by side; `is_current` marks those that the frame goes by. With
    `as_of` the answer is that of then. `composites` are those that the frame is part of.
    """
    if catalogue.get(here.db, frame_id) is None:
        raise NotFoundError(f"frame {frame_id}")
    rows = provenance.of_frame(here.db, frame_id, query.as_of)
    return json_response(
        {
            "as_of": query.as_of,
            "items": [result_as_json(row, base_of(request)) for row in rows],
            "composites": provenance.composites_of(here.db, frame_id),
        }
    )


@router.get(
    "/results/{result_id}", responses={200: {"model": ResultShape}, **_NOT_FOUND}, response_class=Response
)
def get_result(request: Request, here: Here, result_id: ResultId) -> Response:
    """One result: its numbers, the frame, model, parameters and software that made them, and when.

    `heliowatch reproduce` computes it again and compares.
    """
    return json_response(result_as_json(_existing(here, result_id), base_of(request)))


@router.get(
    "/results/{result_id}/prov", responses={200: {"model": ProvShape}, **_NOT_FOUND}, response_class=Response
)
def get_prov(request: Request, here: Here, result_id: ResultId) -> Response:
    """Where a result comes from, as PROV-JSON, for tools that read the W3C's PROV."""
    return json_response(result_as_prov(_existing(here, result_id), base_of(request)))


def _existing(here: Context, result_id: int) -> dict[str, Any]:
    row = provenance.get(here.db, result_id)
    if row is None:
        raise NotFoundError(f"result {result_id}")
    return row
