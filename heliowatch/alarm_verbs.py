"""Verbs of alerts for the people on shift: what they take. The work is in `heliowatch.alarms`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from heliowatch.numbers import HIGHEST
from heliowatch.options import Format, Lines

if TYPE_CHECKING:
    from observatory.settings import Settings


def add_to(alerts: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    """Give the group of alerts its verbs for people."""
    _add_list(alerts, load_settings)
    _add_silence(alerts, load_settings)

    @alerts.command("try-channel")
    def try_(channel: Annotated[str, typer.Argument(help="its name in notifications.channels")]) -> None:
        """Send a message through a channel, to see that it works; ends with 1 when it does not."""
        from heliowatch.channel_trial import try_channel

        try_channel(load_settings(), channel)


def _add_list(alerts: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    @alerts.command("list")
    def show(
        all_: Annotated[bool, typer.Option("--all", help="those that were resolved, too")] = False,
        instrument: Annotated[
            str | None, typer.Option("--instrument", "-i", help="name of an instrument; default: all")
        ] = None,
        limit: Annotated[int, typer.Option(min=1, max=100_000, help="how many at most")] = 100,
        output: Lines = Format.TABLE,
    ) -> None:
        """List the alerts that fire, newest first."""
        from heliowatch.alarms import list_alerts

        list_alerts(
            load_settings(), with_resolved=all_, instrument=instrument, limit=limit, output=output.value
        )

    @alerts.command("ack")
    def ack(
        number: Annotated[int, typer.Argument(min=1, max=HIGHEST, help="its number, as list shows it")],
        note: Annotated[str | None, typer.Option("--note", help="what is being done")] = None,
    ) -> None:
        """Say that you know of an alert: it is not repeated or escalated any more."""
        from heliowatch.alarms import acknowledge

        acknowledge(load_settings(), number, note)


def _add_silence(alerts: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    @alerts.command("silence")
    def silence(
        labels: Annotated[
            list[str] | None, typer.Argument(help="LABEL=GLOB: instrument='kso-*' severity=warning; all fit")
        ] = None,
        span: Annotated[str | None, typer.Option("--for", help="how long: 30m, 2h, 3d")] = None,
        until: Annotated[str | None, typer.Option("--until", help="or until when (ISO 8601, UTC)")] = None,
        start: Annotated[str | None, typer.Option("--from", help="from when on; default: now")] = None,
        comment: Annotated[str | None, typer.Option("--comment", "-c", help="why")] = None,
        list_: Annotated[bool, typer.Option("--list", help="list those that hold or are to come")] = False,
        expire: Annotated[
            int | None, typer.Option("--expire", min=1, max=HIGHEST, help="end the silence of that number")
        ] = None,
        output: Lines = Format.TABLE,
    ) -> None:
        """Let nobody be told of certain alerts for a while; they fire and are listed all the same."""
        from heliowatch import alarms

        settings = load_settings()
        if list_:
            alarms.list_silences(settings, output.value)
        elif expire is not None:
            alarms.expire(settings, expire)
        else:
            alarms.silence(settings, labels or [], start=start, until=until, span=span, comment=comment)
