"""Alerts: what fires, what fired, and a human's word on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from observatory.storage import acknowledgements, alert_catalogue
from observatory.storage.acknowledgements import LONGEST_NOTE, NoSuchAlertError, ResolvedAlertError
from observatory.storage.alert_catalogue import AlertFilter
from service import alert_columns
from service import alert_examples as examples
from service.auth import Identity, Scope, requires
from service.context import Context, Here
from service.described import list_answers, one_answer, problems, refusals
from service.filters import FORMAT_WORDS, MAX_ID, InstrumentName, TableFormat, TimeRange, TimeRangeText
from service.formats import chosen_format
from service.gate import note
from service.numbers import RowNumber
from service.paging import base_of, link_header, list_response, next_address
from service.problems import NotFoundError, ProblemError
from service.shapes import API, json_response
from service.tables import Rows, Table, pages, table_response

router = APIRouter(tags=["alerts"])

AlertId = Annotated[RowNumber, Path(description="number of an alert")]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]
_PAGE = 100
_PIECE = 1000  # rows of a table that are in memory at once
_ABSENT = "there is no alert 12"


class AlertQuery(BaseModel):
    """Which alerts are wanted."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["firing", "resolved"] | None = Field(None, description="firing or resolved")
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as kso-halpha")
    rule: _Word | None = Field(None, description="name of a rule")
    severity: _Word | None = Field(None, description="label of the rule, such as critical, warning, info")
    acknowledged: bool | None = Field(None, description="true or false: whether somebody knows of it")
    time: TimeRangeText | None = Field(
        None,
        description="START/END in ISO 8601 of when it fired, END not included, either side may be `..`",
        examples=["2026-11-20/.."],
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="1 to 1000 alerts a page; 100 for JSON, all for a table when left out",
    )
    cursor: int | None = Field(None, ge=1, le=MAX_ID, description="as `next` gave it")
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)


class AcknowledgementShape(BaseModel):
    """Who said when that they know of an alert."""

    id: int
    alert_id: int
    note: str | None
    author: str
    created_at: datetime


class AlertShape(BaseModel):
    """An alert: once from when it fires until it is resolved."""

    id: int
    rule: str
    alert_key: str
    instrument: str
    severity: str
    state: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    evidence: dict[str, Any]
    since: datetime
    fired_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    inhibited_by: str | None
    silenced_by: int | None
    acknowledged: AcknowledgementShape | None
    acknowledgements: list[AcknowledgementShape]
    links: dict[str, str]


class NotificationShape(BaseModel):
    """One message that an alert is told in; `due_at` of one that waits, or of its next attempt."""

    idempotency_key: str
    channel: str
    kind: Literal["fired", "resolved", "repeat", "escalation"]
    number: int
    state: Literal["waiting", "sending", "sent", "failed", "silenced", "cancelled"]
    attempts: int
    reason: str | None
    due_at: datetime
    finished_at: datetime | None


class AlertDetails(AlertShape):
    """An alert with everything that was told of it."""

    notifications: list[NotificationShape]


class AlertList(BaseModel):
    """A page of alerts, newest first."""

    items: list[AlertShape]
    next: str | None


class AckBody(BaseModel):
    """What is said of an alert."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"note": "I am on my way"}})

    note: str | None = Field(None, max_length=LONGEST_NOTE, description="what is being done")


@router.get("/alerts", responses=list_answers(AlertList, examples.ALERTS), response_class=Response)
def list_alerts(request: Request, here: Here, query: Annotated[AlertQuery, Query()]) -> Response:
    """Alerts, newest first: each once, from when it fired until it was resolved."""
    form = chosen_format(request, query.format)
    time = query.time or TimeRange()
    wanted = AlertFilter(
        state=query.state,
        instrument=query.instrument,
        rule=query.rule,
        severity=query.severity,
        is_acknowledged=query.acknowledged,
        time_from=time.start,
        time_to=time.end,
    )
    if form != "json" and query.limit is None:

        def read(before: int | None) -> tuple[Rows, int | None]:
            rows, last = _page(here, wanted, before, _PIECE)
            return [alert_columns.row(row) for row in rows], last

        return table_response(Table("alerts", alert_columns.ALERTS, pages(read, query.cursor)), form)
    rows, last = _page(here, wanted, query.cursor, query.limit or _PAGE)
    following = None if last is None else next_address(request, "alerts", str(last))
    if form != "json":
        lines = [alert_columns.row(row) for row in rows]
        table = Table("alerts", alert_columns.ALERTS, [lines], is_cut=last is not None)
        return table_response(table, form, link_header(following))
    base = base_of(request)
    return list_response(
        request, {"items": [_as_json(row, base) for row in rows], "next": following}, following
    )


def _page(
    here: Context, wanted: AlertFilter, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Alerts older than one, and the last one's number where more follow."""
    rows = alert_catalogue.page(here.db, wanted, datetime.now(UTC), limit=limit + 1, before=before)
    return rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None


@router.get(
    "/alerts/{alert_id}",
    responses=one_answer(AlertDetails, examples.ALERT_DETAILS, _ABSENT),
    response_class=Response,
)
def get_alert(request: Request, here: Here, alert_id: AlertId) -> Response:
    """One alert, who acknowledged it, and who was told of it when."""
    row = alert_catalogue.get(here.db, alert_id, datetime.now(UTC))
    if row is None:
        raise NotFoundError(f"alert {alert_id}")
    shown = _as_json(row, base_of(request))
    shown["notifications"] = [_notification_as_json(item) for item in row["notifications"]]
    return json_response(shown)


@router.post(
    "/alerts/{alert_id}/ack",
    responses={
        200: {"model": AcknowledgementShape},
        **problems(_404=_ABSENT),
        **refusals(_409="it was resolved already: only an alert that fires can be acknowledged"),
    },
    response_class=Response,
)
def acknowledge(
    request: Request,
    here: Here,
    alert_id: AlertId,
    identity: Annotated[Identity, Depends(requires(Scope.WRITE))],
    body: AckBody | None = None,
) -> Response:
    """Say that somebody knows of an alert: it is not repeated or escalated any more.

    People still hear of its end. Everybody who acknowledges is kept: `acknowledged` is the newest,
    `acknowledgements` all of them, newest first.
    """
    note(request, alert=alert_id)
    words = body.note if body is not None else None
    try:
        given = acknowledgements.put(here.db, alert_id, words, identity.name, datetime.now(UTC))
    except NoSuchAlertError as error:
        raise NotFoundError(f"alert {alert_id}") from error
    except ResolvedAlertError as error:
        raise ProblemError(409, "resolved", str(error)) from error
    return json_response(dict(vars(given)))


def _as_json(row: dict[str, Any], base: str) -> dict[str, Any]:
    address = f"{base}{API}/alerts/{row['id']}"
    return {**row, "links": {"self": address, "ack": f"{address}/ack"}}


def _notification_as_json(item: dict[str, Any]) -> dict[str, Any]:
    """A notification; of an alert that was left out of it, why."""
    dropped = item.pop("dropped")
    return {**item, "state": dropped or item["state"]}
