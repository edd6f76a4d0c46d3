"""How often one may ask: by key, else by network address."""

from __future__ import annotations

import ipaddress
import math
import time
from enum import StrEnum

import limits
import structlog
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from observatory.service_settings import RateLimitSettings
from service.identity import Identity
from service.problems import ProblemError

_log = structlog.get_logger()

_MOST_CALLERS = 20_000  # of those counted in this process; more are the work of one who changes addresses
_REDIS_TIMEOUT_S = 0.5
_REDIS_PAUSE_S = 10.0


class Kind(StrEnum):
    """What is counted apart."""

    READ = "read"
    WRITE = "write"
    REFUSED = "refused"


class TooOftenError(ProblemError):
    """One asks more often than the settings allow."""

    def __init__(self, kind: Kind, allowed: str, retry_after_s: int) -> None:
        words = {
            Kind.READ: f"no more than {allowed} may be asked",
            Kind.WRITE: f"no more than {allowed} may be written",
            Kind.REFUSED: f"no more than {allowed} wrong keys may be shown",
        }
        detail = f"{words[kind]}; ask again in {retry_after_s} s (settings: service.rate_limits.{kind.value})"
        headers = {"Retry-After": str(retry_after_s)}
        super().__init__(429, "too-many-requests", detail, headers=headers)


class Limiter:
    """Counts in this process, or in a Redis that several service processes share.

    When that Redis is away each process counts for itself: nobody is refused because of it.
    """

    def __init__(self, settings: RateLimitSettings) -> None:
        self._words = {kind: getattr(settings, kind.value) for kind in Kind}
        self._items = {kind: limits.parse(word) for kind, word in self._words.items()}
        self._here = MemoryStorage()
        self._counting = SlidingWindowCounterRateLimiter(self._here)
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._shared_from = 0.0
        if not settings.storage.startswith("memory:"):
            storage = RedisStorage(
                f"async+{settings.storage}",
                implementation="redispy",
                key_prefix="heliowatch-limits",
                wrap_exceptions=True,
                socket_timeout=_REDIS_TIMEOUT_S,
                socket_connect_timeout=_REDIS_TIMEOUT_S,
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, kind: Kind, caller: str) -> None:
        """Count one.

        Raises
        ------
        TooOftenError
        """
        await self._ask(kind, caller, is_counted=True)

    async def check(self, kind: Kind, caller: str) -> None:
        """Refuse as `hit` would, and count nothing."""
        await self._ask(kind, caller, is_counted=False)

    async def _ask(self, kind: Kind, caller: str, *, is_counted: bool) -> None:
        if self._shared is not None and time.monotonic() >= self._shared_from:
            try:
                await self._ask_of(self._shared, kind, caller, is_counted=is_counted)
                return
            except StorageError as error:
                self._shared_from = time.monotonic() + _REDIS_PAUSE_S
                reason = type(error.storage_error).__name__
                _log.warning("rate_limits_not_shared", reason=reason, retry_in_s=_REDIS_PAUSE_S)
        if len(self._here.storage) > 2 * _MOST_CALLERS:
            await self._here.reset()
        await self._ask_of(self._counting, kind, caller, is_counted=is_counted)

    async def _ask_of(
        self, counting: SlidingWindowCounterRateLimiter, kind: Kind, caller: str, *, is_counted: bool
    ) -> None:
        item = self._items[kind]
        question = counting.hit if is_counted else counting.test
        if await question(item, kind.value, caller):
            return
        stats = await counting.get_window_stats(item, kind.value, caller)
        wait_s = min(max(1, math.ceil(stats.reset_time - time.time())), item.get_expiry())
        raise TooOftenError(kind, self._words[kind].replace("/", " a "), wait_s)


def caller_of(identity: Identity, address: str) -> str:
    """Whom a request counts for."""
    if identity.key_id is not None:
        return f"key:{identity.key_id}"
    return f"token:{identity.name}" if identity.is_known else f"address:{network_of(address)}"


def network_of(address: str) -> str:
    """An address as it is counted: of IPv6 the network, since each customer has 2^64 addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return address
