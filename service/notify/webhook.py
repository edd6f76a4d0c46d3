"""A webhook that takes what Alertmanager sends."""

from __future__ import annotations

import asyncio
import email.utils
import ssl
import time
from functools import cache
from http import HTTPStatus

import httpx2

import observatory
from observatory.errors import SettingsError
from observatory.notification_settings import WebhookChannel
from observatory.storage.outbox import Claimed
from service.notify.failures import DeliveryFailedError, unreadable
from service.notify.message import webhook_body

_TRY_AGAIN = frozenset({408, 425, 429})
_LONGEST_ASKED_S = 3600.0


class Webhook:
    """Posts notifications to one address.

    The status decides: what a receiver writes after it is not read. Redirects are not followed, for they
    would take the alert, and the token with it, to an address that nobody wrote down.
    """

    def __init__(self, channel: WebhookChannel, base: str, patience_s: float) -> None:
        self._channel = channel
        self._base = base
        self._patience_s = patience_s

    def send(self, claimed: Claimed) -> None:
        """Post a notification; no longer than the patience, however slowly the receiver answers.

        Raises
        ------
        DeliveryFailedError
        """
        try:
            address, bearer = self._channel.address(), self._channel.bearer()
        except SettingsError as error:
            raise unreadable(claimed.channel, error) from None
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"heliowatch/{observatory.__version__}",
            "Idempotency-Key": claimed.key,
            "Heliowatch-Attempt": str(claimed.attempt),
        }
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        status, retry_after = asyncio.run(self._post(address, headers, webhook_body(claimed, self._base)))
        _judge(status, retry_after)

    async def _post(self, address: str, headers: dict[str, str], body: bytes) -> tuple[int, str | None]:
        try:
            async with (
                asyncio.timeout(self._patience_s),
                httpx2.AsyncClient(
                    timeout=self._patience_s, follow_redirects=False, verify=_trusted()
                ) as client,
                client.stream("POST", address, content=body, headers=headers) as answer,
            ):
                return answer.status_code, answer.headers.get("Retry-After")
        except (TimeoutError, httpx2.TimeoutException):
            reason = f"did not answer within {self._patience_s:g} s"
        except httpx2.ConnectError as error:
            reason = f"cannot be reached: {_system_reason(error)}"
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            reason = "its address is none"
        except (httpx2.HTTPError, OSError) as error:
            reason = f"broke the connection off ({type(error).__name__})"
        # Not chained: what the library says repeats the address, which may hold a secret.
        raise DeliveryFailedError(f"the receiver {reason}") from None


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed; read once, for it takes longer than the sending."""
    return httpx2.create_ssl_context()


def _system_reason(error: BaseException) -> str:
    """What the system says, without the library's words around it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return "certificate or connection refused" if "certificate" in str(error).lower() else "no connection"


def _judge(status: int, retry_after: str | None) -> None:
    """Take 2xx as delivered.

    Raises
    ------
    DeliveryFailedError
    """
    if 200 <= status < 300:
        return
    try:
        words = f"the receiver answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = f"the receiver answered {status}"
    if 300 <= status < 400:
        raise DeliveryFailedError(
            f"{words}: redirects are not followed, so write the new address into the settings", is_final=True
        )
    is_final = 400 <= status < 500 and status not in _TRY_AGAIN
    raise DeliveryFailedError(words, is_final=is_final, retry_after_s=_asked_s(retry_after))


def _asked_s(word: str | None) -> float | None:
    if not word:
        return None
    try:
        asked_s = float(word)
    except ValueError:
        try:
            asked_s = email.utils.parsedate_to_datetime(word).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(asked_s, 0.0), _LONGEST_ASKED_S) if asked_s == asked_s else None
