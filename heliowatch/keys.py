"""`heliowatch keys`: make, list and revoke the keys of programs."""

from __future__ import annotations

import getpass
import os
import re
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from observatory.access import Scope
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import audit, keys
from observatory.storage.audit import Entry
from observatory.storage.keys import Key
from observatory.storage.session import Database

_SPAN = re.compile(r"([1-9]\d{0,4})([hdwy])")
_HOURS = {"h": 1, "d": 24, "w": 168, "y": 8766}


def create(settings: Settings, name: str, scopes: Sequence[Scope], expires: str | None) -> None:
    """Make a key and print it, this once."""
    db = _database(settings)
    now = datetime.now(UTC)
    key, text = keys.create(db, name, set(scopes), _end(expires, now), now)
    _note(db, "keys create", key, scopes=sorted(key.scopes))
    until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "without end"
    typer.echo(
        f"The key {key.name} may {', '.join(sorted(key.scopes))}, {until}. It is shown this once:", err=True
    )
    typer.echo(text)


def show(settings: Settings, *, as_json: bool) -> None:
    """Print all keys, without what would open anything."""
    now = datetime.now(UTC)
    found = keys.listed(_database(settings))
    if as_json:
        for key in found:
            row = {name: value for name, value in vars(key).items() if name != "secret_sha256"}
            row |= {"scopes": sorted(key.scopes), "state": key.state(now)}
            typer.echo(orjson.dumps(row, option=orjson.OPT_UTC_Z).decode())
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "prefix", "scopes", "state", "made", "expires", "last used"):
        table.add_column(title, overflow="fold")
    for key in found:
        table.add_row(
            Text(key.name),
            key.prefix,
            " ".join(sorted(key.scopes)),
            key.state(now),
            *(_minute(moment) for moment in (key.created_at, key.expires_at, key.last_used_at)),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def revoke(settings: Settings, word: str) -> None:
    """Revoke a key by its name or prefix; a service that runs refuses it within seconds."""
    db = _database(settings)
    key = keys.revoke(db, word, datetime.now(UTC))
    _note(db, "keys revoke", key)
    typer.echo(f"{key.name} ({key.prefix}) is revoked", err=True)


def person() -> str:
    """Who sits at this shell, as far as the system knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:128]


def _database(settings: Settings) -> Database:
    db = Database(settings.resolved_database_url)
    db.check_schema()
    return db


def _note(db: Database, action: str, key: Key, **detail: object) -> None:
    entry = Entry(
        at=datetime.now(UTC),
        actor=person(),
        action=action,
        status=200,
        target=f"{key.name} ({key.prefix})",
        detail={"key_id": key.id, **detail},
    )
    audit.record(db, [entry])


def _end(expires: str | None, now: datetime) -> datetime | None:
    """When a key ends.

    Raises
    ------
    SettingsError
        When the word is no span of time, or ends beyond the calendar: a usage error.
    """
    if expires is None:
        return None
    found = _SPAN.fullmatch(expires)
    if found is None:
        raise SettingsError(f"--expires {expires}: write a number with h, d, w or y, such as 90d")
    try:
        return now + timedelta(hours=int(found[1]) * _HOURS[found[2]])
    except OverflowError as error:
        words = f"--expires {expires}: ends beyond the year 9999; leave it out for a key without end"
        raise SettingsError(words) from error


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
