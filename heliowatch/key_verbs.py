"""The verbs of `heliowatch keys`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer


class KeyScope(StrEnum):
    """What a key may allow."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def add_to(app: typer.Typer, settings_of: Callable[..., Any]) -> None:
    """Add the verbs."""

    @app.command()
    def create(
        name: Annotated[str, typer.Argument(help="whose it is, such as kso-camera")],
        scope: Annotated[list[KeyScope], typer.Option("--scope", "-s", help="what it may; once for each")],
        expires: Annotated[
            str | None, typer.Option(help="after how long, such as 12h, 90d or 1y; default: never")
        ] = None,
    ) -> None:
        """Make a key and print it, this once."""
        from heliowatch import keys
        from observatory.access import Scope

        keys.create(settings_of(), name, [Scope(item.value) for item in scope], expires)

    @app.command("list")
    def list_(as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
        """List all keys: names, prefixes, scopes, when they end and were last used."""
        from heliowatch import keys

        keys.show(settings_of(), as_json=as_json)

    @app.command()
    def revoke(key: Annotated[str, typer.Argument(help="name or prefix, or the key itself")]) -> None:
        """Revoke a key; a service that runs refuses it within seconds."""
        from heliowatch import keys

        keys.revoke(settings_of(), key)
