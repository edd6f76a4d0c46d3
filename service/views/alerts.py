"""The page *Alerts*: what fires, what fired, what is silenced, and forms to say that somebody knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from observatory import completeness
from observatory.storage import acknowledgements, alert_catalogue, events, outbox, silences
from observatory.storage.acknowledgements import LONGEST_NOTE, NoSuchAlertError, ResolvedAlertError
from observatory.storage.alert_catalogue import SEVERITIES, AlertFilter
from observatory.storage.silences import (
    LONGEST_COMMENT,
    LONGEST_GLOB,
    NoSuchSilenceError,
    Silence,
    UnusableSilenceError,
)
from service.auth import Identity, Scope, requires
from service.context import Context, Here
from service.filters import MAX_ID
from service.gate import note
from service.metrics import utc_now
from service.numbers import RowNumber
from service.paging import base_of
from service.views.assets import templates

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
_PATIENCE_S = 60.0  # a message that is late for longer is worth a word
_MOST_FIRING = 200
_MOST_SILENCES = 100
_LISTED = 25
_LONGEST_NAME = 128
_SPANS = {1: "an hour", 4: "4 hours", 12: "12 hours", 24: "a day", 72: "3 days", 168: "a week"}
_MATCHED = {"alertname": "Rule", "instrument": "Instrument", "severity": "Severity"}

Writer = Annotated[Identity, Depends(requires(Scope.WRITE))]
Number = Annotated[RowNumber, Path()]


@dataclass(frozen=True)
class Wish:
    """What the address asks for; what makes no sense in it asks for nothing."""

    instrument: str | None = None
    rule: str | None = None
    severity: str | None = None
    day: dt.date | None = None
    before: int | None = None
    """Number that the history goes on below."""

    @property
    def query(self) -> dict[str, str]:
        """As the address says it."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Page:
    """All of it."""

    now: datetime
    seq: int
    wish: Wish
    firing: Sequence[Mapping[str, Any]]
    is_firing_cut: bool
    history: Sequence[Mapping[str, Any]]
    following: int | None
    silences: Sequence[Silence]
    untold: Sequence[tuple[str, int, datetime]]
    """Channels that have failed for a while: their names, the messages that wait, and since when."""
    instruments: Sequence[str]
    is_watched: bool
    refusal: str | None
    draft: Mapping[str, str] | None
    """What the form of a silence held that was refused."""

    def ago_s(self, moment: datetime) -> float:
        """Seconds since then."""
        return (self.now - moment).total_seconds()


@router.get("/alerts")
def page(request: Request, here: Here) -> Response:
    """The page. An address that makes no sense shows everything instead of an error."""
    return _render(request, here)


@router.post("/alerts/{alert_id}/ack")
def acknowledge(
    request: Request,
    here: Here,
    alert_id: Number,
    identity: Writer,
    words: Annotated[str, Form(alias="note", max_length=LONGEST_NOTE)] = "",
) -> Response:
    """Say that somebody knows of an alert, and show the page again."""
    note(request, alert=alert_id)
    try:
        acknowledgements.put(here.db, alert_id, words.strip() or None, identity.name, utc_now())
    except NoSuchAlertError:
        return _render(request, here, f"There is no alert {alert_id}.", 404)
    except ResolvedAlertError:
        return _render(request, here, f"Alert {alert_id} is over: only one that fires is acknowledged.", 409)
    return _back(request, f"alert-{alert_id}")


@router.post("/alerts/silences")
def silence(
    request: Request,
    here: Here,
    identity: Writer,
    hours: Annotated[int, Form(ge=1, le=silences.LONGEST.days * 24)],
    alertname: Annotated[str, Form(max_length=LONGEST_GLOB)] = "",
    instrument: Annotated[str, Form(max_length=LONGEST_GLOB)] = "",
    severity: Annotated[str, Form(max_length=LONGEST_GLOB)] = "",
    comment: Annotated[str, Form(max_length=LONGEST_COMMENT)] = "",
) -> Response:
    """Let nobody be told of certain alerts from now on, and show the page again."""
    now = utc_now()
    draft = {"alertname": alertname.strip(), "instrument": instrument.strip(), "severity": severity.strip()}
    matchers = {name: glob for name, glob in draft.items() if glob}
    ends_at = now + timedelta(hours=hours)
    try:
        made = silences.create(here.db, matchers, now, ends_at, comment.strip() or None, identity.name, now)
    except UnusableSilenceError:
        draft |= {"comment": comment}
        words = "A silence needs a rule, an instrument or a severity: say which alerts it is for."
        return _render(request, here, words, 422, draft)
    note(request, silence=made.id, matchers=matchers, ends_at=ends_at.isoformat())
    return _back(request, "silences")


@router.post("/alerts/silences/{silence_id}/expire")
def expire(request: Request, here: Here, silence_id: Number, _: Writer) -> Response:
    """End a silence now, and show the page again."""
    try:
        silences.expire(here.db, silence_id, utc_now())
    except NoSuchSilenceError:
        return _render(request, here, f"There is no silence {silence_id}.", 404)
    note(request, silence=silence_id)
    return _back(request, "silences")


def _back(request: Request, place: str) -> Response:
    """Where a browser goes after a form, so that a reload sends nothing twice."""
    query = urlencode(_wish(request).query)
    address = f"{base_of(request)}/alerts{'?' + query if query else ''}#{place}"
    return RedirectResponse(address, 303, headers=_FRESH)


def _render(
    request: Request,
    here: Context,
    refusal: str | None = None,
    status: int = 200,
    draft: Mapping[str, str] | None = None,
) -> Response:
    shown = _page(request, here, refusal, draft)
    base = base_of(request)

    def address(path: str = "", **changes: Any) -> str:
        given = {name: value for name, value in (shown.wish.query | changes).items() if value is not None}
        return f"{base}/alerts{path}{'?' + urlencode(given) if given else ''}"

    values = {
        "base": base,
        "csv": f"{base}/api/v1/alerts?{urlencode(_of_history(shown.wish))}",
        "page": shown,
        "address": address,
        "severities": SEVERITIES,
        "spans": _SPANS,
        "matched": _MATCHED,
    }
    return templates.TemplateResponse(request, "alerts.html", values, status_code=status, headers=_FRESH)


def _page(request: Request, here: Context, refusal: str | None, draft: Mapping[str, str] | None) -> Page:
    wish = _wish(request)
    now = utc_now()
    seq = events.last_seq(here.db)  # before all else: what comes meanwhile is shown again
    firing = alert_catalogue.page(here.db, _filter(wish, "firing"), now, limit=_MOST_FIRING + 1)
    past = alert_catalogue.page(
        here.db, _filter(wish, "resolved"), now, limit=_LISTED + 1, before=wish.before
    )
    ranks = {word: rank for rank, word in enumerate(SEVERITIES)}
    return Page(
        now=now,
        seq=seq,
        wish=wish,
        firing=sorted(firing[:_MOST_FIRING], key=lambda row: ranks.get(row["severity"], len(ranks))),
        is_firing_cut=len(firing) > _MOST_FIRING,
        history=past[:_LISTED],
        following=past[_LISTED - 1]["id"] if len(past) > _LISTED else None,
        silences=silences.listed(here.db, limit=_MOST_SILENCES, with_expired=False, now=now),
        untold=[
            (channel, number, now - timedelta(seconds=age_s))
            for channel, (number, age_s) in sorted(outbox.backlog(here.db, now).items())
            if age_s > _PATIENCE_S
        ],
        instruments=completeness.instruments(here.db, here.settings),
        is_watched=here.settings.alerts.rules is not None,
        refusal=refusal,
        draft=draft,
    )


def _of_history(wish: Wish) -> dict[str, str]:
    """Filters of the API that choose what the history shows, on all its pages."""
    names = ("instrument", "rule", "severity")
    given = {name: word for name, word in wish.query.items() if name in names}
    if wish.day is not None:
        given["time"] = f"{wish.day}/{wish.day + timedelta(days=1)}"
    return {"state": "resolved", **given, "format": "csv"}


def _filter(wish: Wish, state: str) -> AlertFilter:
    """Alerts of one state; the day chooses among those that are over."""
    start = None
    if wish.day is not None and state == "resolved":
        start = datetime.combine(wish.day, time(), UTC)
    return AlertFilter(
        state=state,
        instrument=wish.instrument,
        rule=wish.rule,
        severity=wish.severity,
        time_from=start,
        time_to=None if start is None else start + timedelta(days=1),
    )


def _wish(request: Request) -> Wish:
    given = request.query_params
    return Wish(
        instrument=_name(given.get("instrument", "")),
        rule=_name(given.get("rule", "")),
        severity=_name(given.get("severity", "")),
        day=_day(given.get("day", "")),
        before=_number(given.get("before", "")),
    )


def _name(word: str) -> str | None:
    return word if 0 < len(word) <= _LONGEST_NAME and word.isprintable() else None


def _day(word: str) -> dt.date | None:
    try:
        found = dt.date.fromisoformat(word)
    except ValueError:
        return None
    return found if 1600 < found.year < 9998 else None


def _number(word: str) -> int | None:
    is_number = word.isascii() and word.isdigit() and len(word) < 20
    return int(word) if is_number and 0 < int(word) <= MAX_ID else None
