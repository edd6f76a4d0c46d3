"""Why a notification did not arrive, in words that hold no secret."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import structlog

from observatory.errors import HeliowatchError, SettingsError

_log = structlog.get_logger()

_LONGEST = 300
_SHORTEST_SECRET = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SEPARATORS = re.compile(r"[/?&=:@,;#+]+")


class DeliveryFailedError(HeliowatchError):
    """A notification did not arrive.

    Attributes
    ----------
    is_final : bool
        Whether the receiver said that it will never take it.
    retry_after_s : float or None
        Pause that the receiver asked for.
    """

    def __init__(self, reason: str, *, is_final: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(_CONTROL.sub(" ", reason)[:_LONGEST])
        self.is_final = is_final
        self.retry_after_s = retry_after_s


def unreadable(channel: str, error: SettingsError) -> DeliveryFailedError:
    """Failure of a channel whose secret cannot be read; where it lies is told to the log alone."""
    _log.error("notification_secret_unreadable", channel=channel, error=str(error))
    return DeliveryFailedError("its address or password cannot be read from its file; the log says why")


def without_secrets(words: str, *addresses: str) -> str:
    """Words of a library with everything of an address taken out that may be a secret.

    That is all of it but the scheme and the host: user, password, path and parameters.
    """
    for address in addresses:
        for part in sorted(_parts(address), key=len, reverse=True):
            words = re.sub(re.escape(part), "…", words, flags=re.IGNORECASE)
    return words


def _parts(address: str) -> set[str]:
    try:
        host = (urlsplit(address).hostname or "").lower()
    except ValueError:
        host = ""
    rest = address.partition("://")[2] or address
    words = {address, rest, *_SEPARATORS.split(rest), *rest.split("/"), *rest.split("?")}
    both = words | {unquote(word) for word in words}
    return {word for word in both if len(word) >= _SHORTEST_SECRET and word.lower() != host}
