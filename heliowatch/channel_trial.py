"""`heliowatch alerts try-channel`: find out that a channel works before an alert needs it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import typer

from heliowatch.keys import person
from observatory.errors import HeliowatchError, SettingsError
from observatory.settings import Settings
from observatory.storage.outbox import Claimed

_RULE = "TrialOfChannel"


class ChannelFailedError(HeliowatchError):
    """A channel did not take a message."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")


def try_channel(settings: Settings, name: str) -> None:
    """Send the beginning and the end of an alert that is none, without the outbox.

    Raises
    ------
    SettingsError
        When the settings have no such channel.
    ChannelFailedError
    """
    from service.notify.delivery import make_sink
    from service.notify.failures import DeliveryFailedError

    told = settings.notifications
    channel = told.channels.get(name)
    if channel is None:
        known = ", ".join(told.channels) or "none yet"
        raise SettingsError(f"notifications.channels: there is no {name[:64]!r}; there are: {known}")
    base = (told.public_url or settings.publisher.url).rstrip("/")
    sink = make_sink(channel, base, told.send_patience_s)
    for is_over in (False, True):
        try:
            sink.send(_message(name, is_over=is_over))
        except DeliveryFailedError as error:
            raise ChannelFailedError(name, str(error)) from None
    typer.echo(f"{name} took the beginning and the end of an alert that is none", err=True)


def _message(channel: str, *, is_over: bool) -> Claimed:
    now = datetime.now(UTC)
    labels = {"alertname": _RULE, "instrument": "none", "severity": "info"}
    alert = {
        "alert_id": 0,
        "kind": "resolved" if is_over else "fired",
        "status": "resolved" if is_over else "firing",
        "rule": _RULE,
        "alert_key": "instrument=none",
        "labels": labels,
        "annotations": {"summary": f"{person()} tries this channel; nothing is wrong"},
        "starts_at": now.isoformat(),
        "ends_at": now.isoformat() if is_over else None,
    }
    return Claimed(
        id=0,
        key=uuid.uuid4().hex,
        channel=channel,
        group_hash="",
        group_labels={"alertname": _RULE},
        alerts=[alert],
        attempt=1,
        created_at=now,
    )
