"""The log of writes, for those who administrate."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from observatory.storage import audit
from observatory.storage.audit import AuditFilter
from service.auth import Scope, requires
from service.context import Here
from service.filters import MAX_ID, TimeRangeText
from service.paging import link_header, next_address
from service.shapes import json_response

router = APIRouter(tags=["operation"])


class AuditQuery(BaseModel):
    """Which entries are wanted."""

    model_config = ConfigDict(extra="forbid")

    actor: Annotated[str, StringConstraints(max_length=128, pattern=r"^[^\x00-\x1f]+$")] | None = Field(
        None, description="name of a key or a person"
    )
    key_id: int | None = Field(None, ge=1, le=MAX_ID, description="number of a key")
    status: int | None = Field(None, ge=100, le=599, description="HTTP status of the answer")
    time: TimeRangeText | None = Field(
        None, description="START/END in ISO 8601, END not included, either side may be `..`"
    )
    limit: int = Field(100, ge=1, le=1000, description="entries a page, 1 to 1000")
    cursor: int | None = Field(None, ge=1, le=MAX_ID, description="as `next` gave it")


class AuditShape(BaseModel):
    """A write, or one that was refused."""

    id: int
    at: datetime
    actor: str
    key_id: int | None
    address: str | None
    action: str
    target: str | None
    status: int
    detail: dict[str, Any] | None


class AuditList(BaseModel):
    """A page of the log, newest first."""

    items: list[AuditShape]
    next: str | None


@router.get(
    "/audit",
    responses={200: {"model": AuditList}},
    response_class=Response,
    dependencies=[Depends(requires(Scope.ADMIN))],
)
def list_audit(request: Request, here: Here, query: Annotated[AuditQuery, Query()]) -> Response:
    """Who wrote what, newest first: with which key, from which address, and how it was answered.

    Refused writes are noted, too, in bounded number: `detail.not_listed_before` counts those between.
    """
    wanted = AuditFilter(
        actor=query.actor,
        key_id=query.key_id,
        status=query.status,
        time_from=query.time.start if query.time else None,
        time_to=query.time.end if query.time else None,
    )
    rows = audit.page(here.db, wanted, limit=query.limit + 1, before=query.cursor)
    is_more = len(rows) > query.limit
    rows = rows[: query.limit]
    following = next_address(request, "audit", str(rows[-1]["id"])) if is_more else None
    return json_response({"items": rows, "next": following}, headers=link_header(following))
