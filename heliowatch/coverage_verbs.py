"""Verbs of the completeness ledger: what they take. The work is in `heliowatch.coverage`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from heliowatch.numbers import HIGHEST
from heliowatch.options import Format, Lines

if TYPE_CHECKING:
    from observatory.settings import Settings


class Bin(StrEnum):
    """Width of the ledger's lines."""

    HOUR = "1h"
    DAY = "1d"


Name = Annotated[str | None, typer.Option("--instrument", "-i", help="name of an instrument; default: all")]


def add_to(app: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    """Give an app the verbs."""
    _add_coverage(app, load_settings)
    closures = typer.Typer(help="Spans of time that the weather excuses.", no_args_is_help=True)
    app.add_typer(closures, name="closures")
    _add_closures(closures, load_settings)


def _add_coverage(app: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    @app.command()
    def coverage(
        date: Annotated[str | None, typer.Option("--date", "-d", help="a day, UTC; default: today")] = None,
        time: Annotated[
            str | None, typer.Option("--time", "-t", help="START/END (ISO 8601) instead; .. ends now")
        ] = None,
        instrument: Name = None,
        bin_: Annotated[Bin | None, typer.Option("--bin", help="a line for each hour or day")] = None,
        gaps: Annotated[bool, typer.Option("--gaps", help="list the gaps instead")] = False,
        output: Lines = Format.TABLE,
    ) -> None:
        """Print the completeness ledger: expected, received, usable, missing and excused frames."""
        from heliowatch.coverage import Wanted, run_coverage

        settings = load_settings()
        wanted = Wanted(date, time, instrument, bin_.value if bin_ else None, gaps, output.value)
        run_coverage(settings, wanted)


def _add_closures(app: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    @app.command("add")
    def add(
        time: Annotated[str, typer.Argument(help="START/END (ISO 8601), UTC when no offset is given")],
        instrument: Name = None,
        reason: Annotated[str, typer.Option("--reason", "-r", help="such as snow, smoke, storm")] = "",
    ) -> None:
        """Note that frames were not to be expected in a span of time."""
        from heliowatch.coverage import add_closure

        add_closure(load_settings(), time, instrument, reason)

    @app.command("list")
    def show(
        as_json: Annotated[bool, typer.Option("--json", help="for programs: one object a line")] = False,
    ) -> None:
        """List what was noted, newest first; closures of the settings are not among them."""
        from heliowatch.coverage import list_closures

        list_closures(load_settings(), as_json=as_json)

    @app.command("remove")
    def remove(
        number: Annotated[int, typer.Argument(min=1, max=HIGHEST, help="its number, as list shows it")],
    ) -> None:
        """Take a closure back."""
        from heliowatch.coverage import remove_closure

        remove_closure(load_settings(), number)
