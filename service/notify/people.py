"""Mail, chats and telephones, through Apprise."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from observatory.errors import SettingsError
from observatory.notification_settings import AppriseChannel
from observatory.storage.outbox import Claimed
from service.notify.failures import DeliveryFailedError, unreadable, without_secrets
from service.notify.message import text, title

_NO_ADDRESS = (
    "its address is none that Apprise knows: see its list of services, such as mailtos://… or slack://…"
)

# System's words of an error, a time-out, and a mail server's number: its text may repeat what we showed it.
_SAFE = re.compile(r"\[Errno -?\d+\] ([A-Za-z ]+)|(timed out)|\(([245]\d\d), b['\"]")


class Apprise:
    """Sends text through one address of Apprise.

    Who is named in one address is told together: when one of several recipients cannot be reached, the next
    attempt tells all of them again.
    """

    def __init__(self, channel: AppriseChannel, base: str, patience_s: float) -> None:
        self._channel = channel
        self._base = base
        self._patience_s = patience_s

    def send(self, claimed: Claimed) -> None:
        """Send a notification; returns when the service has taken it.

        Raises
        ------
        DeliveryFailedError
        """
        try:
            address = self._channel.address()
        except SettingsError as error:
            raise unreadable(claimed.channel, error) from None
        _hush()
        service = _service(address, self._patience_s)
        try:
            self._tell(service, claimed, address)
        except DeliveryFailedError:
            raise
        except Exception as error:  # noqa: BLE001, a hundred plugins: what they raise is no defect of ours
            words = without_secrets(str(error), address)
            raise DeliveryFailedError(f"{type(error).__name__}: {words}") from None

    def _tell(self, service: Any, claimed: Claimed, address: str) -> None:
        import apprise  # here: it takes a quarter of a second, which a service without channels need not pay

        if isinstance(getattr(service, "headers", None), dict):
            service.headers["X-Heliowatch-Key"] = claimed.key
        caller = apprise.Apprise()
        caller.add(service)
        is_over = all(alert["status"] == "resolved" for alert in claimed.alerts)
        result = caller.notify(
            title=title(claimed),
            body=text(claimed, self._base),
            body_format=apprise.NotifyFormat.TEXT,
            notify_type=apprise.NotifyType.SUCCESS if is_over else apprise.NotifyType.WARNING,
            log_level=logging.DEBUG,
        )
        if not result:
            words = without_secrets("; ".join(_reasons(result.logs())), address)
            raise DeliveryFailedError(words or "the service did not take it")


def _reasons(entries: Iterable[Any]) -> list[str]:
    """What the library complains of; of an exception's words only what cannot hold a secret."""
    said: list[str] = []
    for entry in entries:
        words = str(entry.message)
        if str(entry.level) in ("WARNING", "ERROR", "CRITICAL"):
            said.append(words)
        elif "Exception:" in words:
            said += [part for found in _SAFE.findall(words) for part in found if part]
    return list(dict.fromkeys(said))[-3:]


def _service(address: str, patience_s: float) -> Any:
    """The plugin for an address.

    Raises
    ------
    DeliveryFailedError
    """
    import apprise

    try:
        service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    except Exception:  # noqa: BLE001, its words repeat the address
        service = None
    if service is None:
        raise DeliveryFailedError(_NO_ADDRESS)
    for name in ("socket_connect_timeout", "socket_read_timeout"):
        setattr(service, name, min(float(getattr(service, name, patience_s) or patience_s), patience_s))
    return service


def _hush() -> None:
    """Keep the library's log lines to ourselves: they repeat addresses, passwords and all."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.DEBUG)  # what is captured for the reason
    if not log.handlers:
        log.addHandler(logging.NullHandler())
