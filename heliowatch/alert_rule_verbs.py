"""Verbs on alert rules: what they take. The work is in `heliowatch.alert_rules`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliowatch.options import Format, Lines

if TYPE_CHECKING:
    from observatory.settings import Settings


def add_to(app: typer.Typer, alerts: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    """Give an app the group of rules, and the group of alerts its dry run."""
    rules = typer.Typer(help="The rules by which alerts fire.", no_args_is_help=True)
    app.add_typer(rules, name="rules")

    @rules.callback()
    def _group() -> None:
        """The rules by which alerts fire."""

    @rules.command("check")
    def check(
        files: Annotated[
            list[Path], typer.Argument(help="files of rules", dir_okay=False, metavar="FILE...")
        ],
    ) -> None:
        """Say whether rules can be used: each mistake with its line and column."""
        from heliowatch.alert_rules import check_rules

        raise typer.Exit(check_rules(load_settings(), files))

    @alerts.command("test")
    def test(
        since: Annotated[
            str, typer.Option("--since", help="a time (ISO 8601), or how long ago: 36h, 7d")
        ] = "7d",
        until: Annotated[
            str | None, typer.Option("--until", help="a time, or how long ago; default: now")
        ] = None,
        rules_file: Annotated[
            Path | None, typer.Option("--rules", help="file of rules; default: alerts.rules of the settings")
        ] = None,
        instrument: Annotated[
            str | None, typer.Option("--instrument", "-i", help="name of an instrument; default: all")
        ] = None,
        output: Lines = Format.TABLE,
    ) -> None:
        """Say which alerts rules would have raised over what is stored; nothing is written, nobody is told."""
        from heliowatch.alert_rules import try_rules

        try_rules(load_settings(), rules_file, since, until, instrument, output.value)
