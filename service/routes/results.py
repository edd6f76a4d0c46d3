"""Results: what was said of a frame, by what, when, and what is current."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from observatory.storage import catalogue, provenance
from service import examples
from service.context import Context, Here
from service.described import one_answer
from service.filters import AsOfQuery
from service.numbers import RowNumber
from service.paging import base_of
from service.problems import NotFoundError
from service.result_shapes import ProvShape, ResultList, ResultShape, result_as_json, result_as_prov
from service.shapes import json_response

router = APIRouter(tags=["results"])

FrameId = Annotated[RowNumber, Path(description="number of a frame")]
ResultId = Annotated[RowNumber, Path(description="number of a result")]
_NO_RESULT = "there is no result 9001"


@router.get(
    "/frames/{frame_id}/results",
    responses=one_answer(ResultList, examples.RESULTS, "there is no frame 4711"),
    response_class=Response,
)
def list_results(
    request: Request, here: Here, frame_id: FrameId, query: Annotated[AsOfQuery, Query()]
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
    "/results/{result_id}",
    responses=one_answer(ResultShape, examples.RESULT, _NO_RESULT),
    response_class=Response,
)
def get_result(request: Request, here: Here, result_id: ResultId) -> Response:
    """One result: its numbers, the frame, model, parameters and software that made them, and when.

    `heliowatch reproduce` computes it again and compares.
    """
    return json_response(result_as_json(_existing(here, result_id), base_of(request)))


@router.get(
    "/results/{result_id}/prov",
    responses=one_answer(ProvShape, examples.PROV, _NO_RESULT),
    response_class=Response,
)
def get_prov(request: Request, here: Here, result_id: ResultId) -> Response:
    """Where a result comes from, as PROV-JSON, for tools that read the W3C's PROV."""
    return json_response(result_as_prov(_existing(here, result_id), base_of(request)))


def _existing(here: Context, result_id: int) -> dict[str, Any]:
    row = provenance.get(here.db, result_id)
    if row is None:
        raise NotFoundError(f"result {result_id}")
    return row
