"""Quality over time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from observatory.storage import catalogue
from service.context import Here
from service.filters import QualityQuery, TimeRange
from service.formats import chosen_format, csv_lines
from service.shapes import json_response

router = APIRouter(tags=["quality"])

_FIRST_S = int(datetime.min.replace(tzinfo=UTC).timestamp())
_END_S = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()) + 1
_SINGLE = ["time", "instrument", "id", "score", "is_degraded"]
_BINNED = ["time", "instrument", "frames", "score", "score_min", "score_max", "degraded"]


class QualityPoint(BaseModel):
    """One frame's score, or one bin of several (then `score` is their mean)."""

    time: datetime
    instrument: str
    score: float
    id: int | None = None
    is_degraded: bool | None = None
    frames: int | None = None
    score_min: float | None = None
    score_max: float | None = None
    degraded: int | None = None


class QualitySeries(BaseModel):
    """Scores, oldest first."""

    bin_s: int | None
    is_truncated: bool
    items: list[QualityPoint]


@router.get(
    "/quality",
    responses={200: {"model": QualitySeries, "content": {"text/csv": {}}}},
    response_class=Response,
)
def get_series(request: Request, here: Here, query: Annotated[QualityQuery, Query()]) -> Response:
    """Quality scores over the time of observation, oldest first; frames without a time are left out.

    With `bin`, mean, lowest and highest score of each bin. When there are more points than `limit`,
    the newest are given and `is_truncated` is true.
    """
    time = query.time or TimeRange()
    rows = catalogue.quality_series(
        here.db, query.instrument, time.start, time.end, bin_s=query.bin, limit=query.limit + 1
    )
    is_truncated = len(rows) > query.limit
    points = [point for row in rows[-query.limit :] if (point := _point(row)) is not None]
    if chosen_format(request, query.format) == "csv":
        columns = _SINGLE if query.bin is None else _BINNED
        lines = csv_lines(columns, ([point[name] for name in columns] for point in points))
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8; header=present")
    return json_response({"bin_s": query.bin, "is_truncated": is_truncated, "items": points})


def _point(row: dict[str, Any]) -> dict[str, Any] | None:
    """Shape a row; None for a bin that lies outside the calendar, where a broken header put it."""
    point = {str(name): value for name, value in row.items()}  # the driver's names are no plain str
    if "start" in point:
        start = point.pop("start")  # NULL when SQLite rounds the last moment of 9999 up
        if start is None or not _FIRST_S <= start < _END_S:
            return None
        point["time"] = datetime.fromtimestamp(start, UTC)
    return point
