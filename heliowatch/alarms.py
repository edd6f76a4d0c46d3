"""`heliowatch alerts list|ack|silence`: what fires, and a human's word on it."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from heliowatch.asked import check_instrument
from heliowatch.keys import person
from observatory.alerts.rules import UNRECOGNISED
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import acknowledgements, alert_catalogue, audit, silences
from observatory.storage.alert_catalogue import AlertFilter
from observatory.storage.audit import Entry
from observatory.storage.session import Database
from observatory.storage.silences import Silence, UnusableSilenceError

_SPAN = re.compile(r"([1-9]\d{0,4})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_COLUMNS = (
    "id",
    "state",
    "severity",
    "rule",
    "instrument",
    "fired_at",
    "resolved_at",
    "acknowledged",
    "summary",
)


def list_alerts(
    settings: Settings, *, with_resolved: bool, instrument: str | None, limit: int, output: str
) -> None:
    """Print what fires, or the history, newest first."""
    wanted = AlertFilter(state=None if with_resolved else "firing", instrument=instrument)
    db = _database(settings)
    found = alert_catalogue.page(db, wanted, datetime.now(UTC), limit=limit)
    if not found and instrument != UNRECOGNISED:
        check_instrument(db, settings, instrument)
    if output == "json":
        for alert in found:
            typer.echo(orjson.dumps(alert, option=orjson.OPT_UTC_Z).decode())
        return
    rows = [_row(alert) for alert in found]
    if output == "csv":
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows([_COLUMNS, *rows])
        typer.echo(written.getvalue(), nl=False)
        return
    _print(_COLUMNS, rows)
    if not found:
        typer.echo("no alert " + ("yet" if with_resolved else "fires"), err=True)


def _row(alert: Mapping[str, Any]) -> list[str]:
    known = alert["acknowledged"]
    state = f"{alert['state']}, silenced" if alert["silenced_by"] else str(alert["state"])
    return [
        str(alert["id"]),
        state,
        alert["severity"],
        alert["rule"],
        alert["instrument"],
        _second(alert["fired_at"]),
        _second(alert["resolved_at"]),
        known["author"] if known else "",
        alert["annotations"].get("summary", ""),
    ]


def acknowledge(settings: Settings, number: int, note: str | None) -> None:
    """Acknowledge an alert that fires."""
    db = _database(settings)
    given = acknowledgements.put(db, number, note, person(), datetime.now(UTC))
    _note(db, "alerts ack", f"alerts/{number}", {"alert": number})
    typer.echo(
        f"alert {number}: {given.author} knows of it; it is not repeated or escalated any more", err=True
    )


def silence(
    settings: Settings,
    words: Sequence[str],
    *,
    start: str | None,
    until: str | None,
    span: str | None,
    comment: str | None,
) -> None:
    """Silence alerts with certain labels for a while; prints the number of the silence."""
    now = datetime.now(UTC)
    starts_at = now if start is None else _moment("--from", start)
    if (until is None) == (span is None):
        raise SettingsError("alerts silence: say how long: either --for 2h or --until 2026-11-20T18:00Z")
    ends_at = starts_at + _span(span) if span is not None else _moment("--until", until or "")
    db = _database(settings)
    try:
        made = silences.create(db, _matchers(words), starts_at, ends_at, comment, person(), now)
    except UnusableSilenceError as error:
        raise SettingsError(f"alerts silence: {error}") from error
    _note(db, "alerts silence", f"silences/{made.id}", {"silence": made.id, "matchers": dict(made.matchers)})
    typer.echo(f"silenced until {_second(made.ends_at)} UTC", err=True)
    typer.echo(str(made.id))


def expire(settings: Settings, number: int) -> None:
    """End a silence now."""
    db = _database(settings)
    silences.expire(db, number, datetime.now(UTC))
    _note(db, "alerts silence --expire", f"silences/{number}", {"silence": number})
    typer.echo(f"silence {number} has ended", err=True)


def list_silences(settings: Settings, output: str) -> None:
    """Print the silences that hold or are to come, newest first."""
    now = datetime.now(UTC)
    found = silences.listed(_database(settings), limit=1000, with_expired=False, now=now)
    if output == "json":
        for item in found:
            row = {**vars(item), "matchers": dict(item.matchers), "state": item.state(now)}
            typer.echo(orjson.dumps(row, option=orjson.OPT_UTC_Z).decode())
        return
    columns = ("id", "state", "labels", "from", "until", "author", "comment")
    rows = [_silence_row(item, now) for item in found]
    if output == "csv":
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows([columns, *rows])
        typer.echo(written.getvalue(), nl=False)
        return
    _print(columns, rows)


def _silence_row(item: Silence, now: datetime) -> list[str]:
    labels = " ".join(f"{name}={glob}" for name, glob in item.matchers.items())
    span = (_second(item.starts_at), _second(item.ends_at))
    return [str(item.id), item.state(now), labels, *span, item.author, item.comment or ""]


def _matchers(words: Sequence[str]) -> dict[str, str]:
    """Labels and globs of ``NAME=GLOB``.

    Raises
    ------
    SettingsError
    """
    found: dict[str, str] = {}
    for word in words:
        name, is_given, glob = word.partition("=")
        if not is_given or not name or not glob:
            raise SettingsError(
                f"alerts silence: {word[:60]!r}: write LABEL=GLOB, such as instrument=kso-halpha"
            )
        if found.setdefault(name, glob) != glob:
            raise SettingsError(f"alerts silence: {name} is given twice")
    return found


def _span(word: str) -> timedelta:
    found = _SPAN.fullmatch(word)
    if found is None:
        raise SettingsError(f"--for {word[:20]}: write a number with s, m, h, d or w, such as 2h")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def _moment(option: str, word: str) -> datetime:
    try:
        moment = datetime.fromisoformat(word.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{option} {word[:40]!r} is no ISO 8601 time") from error


def _database(settings: Settings) -> Database:
    db = Database(settings.resolved_database_url)
    db.check_schema()
    return db


def _note(db: Database, action: str, target: str, detail: dict[str, Any]) -> None:
    entry = Entry(
        at=datetime.now(UTC), actor=person(), action=action, status=200, target=target, detail=detail
    )
    audit.record(db, [entry])


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in columns:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _second(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
