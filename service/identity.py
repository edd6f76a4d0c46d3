"""From what somebody shows to who they are; looked up seldom, forgotten soon."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from starlette.concurrency import run_in_threadpool

from observatory.access import Scope, with_implied
from observatory.errors import StorageUnavailableError
from observatory.storage import keys
from observatory.storage.keys import Key
from observatory.storage.session import Database, hurried

_log = structlog.get_logger()

_TRUSTED_S = 2.0  # a revoked key is refused after so long at most
_REMEMBERED = 4096
_NOTED_S = 60.0
_NOTING_PATIENCE_S = 0.5  # who asks does not wait for our book-keeping
_LONGEST = 8192


@dataclass(frozen=True)
class Identity:
    """Who asks.

    Attributes
    ----------
    name : str
        Of the key or the person; ``anonymous`` or ``local`` (this machine) without either.
    key_id : int or None
        Of a key of ours.
    scopes : frozenset of Scope
        All that they may do, implied scopes among them.
    prefix : str
        Public part of the key.
    expires_at : datetime or None
        When a token ends by itself.
    """

    name: str
    key_id: int | None = None
    scopes: frozenset[Scope] = frozenset()
    prefix: str = ""
    expires_at: datetime | None = None

    @property
    def is_known(self) -> bool:
        """Whether a key or a token was shown."""
        return self.key_id is not None or self.expires_at is not None

    def may(self, scope: Scope) -> bool:
        """Whether they may."""
        return scope in self.scopes


@dataclass(frozen=True)
class Refusal:
    """Why nobody is who they say; it tells nothing that they did not know."""

    detail: str


class Issuer(Protocol):
    """Somebody else who tells who people are."""

    async def identify(self, token: str) -> Identity | Refusal:
        """Who shows a token."""
        ...


_UNKNOWN = Refusal("the key is not known here: it may be mistyped, or of another server")


class Keyring:
    """Finds keys, and remembers them for two seconds: one query for all requests of a busy pipeline."""

    def __init__(self, db: Database, issuer: Issuer | None = None, *, trusted_s: float = _TRUSTED_S) -> None:
        self._db = db
        self._issuer = issuer
        self._trusted_s = trusted_s
        self._known: OrderedDict[str, tuple[float, Key | None]] = OrderedDict()
        self._noted: dict[int, float] = {}
        self._asked: dict[str, asyncio.Future[Key | None]] = {}
        self._is_any: tuple[float, bool] | None = None

    async def identify(self, shown: str) -> Identity | Refusal:
        """Who shows a key, or a token."""
        parts = keys.split(shown) if len(shown) <= _LONGEST else None
        if parts is None:
            if self._issuer is not None and len(shown) <= _LONGEST and shown.count(".") == 2:
                return await self._issuer.identify(shown)
            return Refusal("that is no key of ours: keys begin with hw_ and are 57 characters long")
        prefix, secret = parts
        key = await self._find(prefix)
        if key is None or not key.matches(secret):
            return _UNKNOWN
        now = datetime.now(UTC)
        state = key.state(now)
        if state != "live":
            moment = key.revoked_at if state == "revoked" else key.expires_at
            return Refusal(f"the key {key.name} ({prefix}) is {state} since {moment:%Y-%m-%dT%H:%M:%SZ}")
        await self._note_use(key, now)
        return Identity(key.name, key.id, with_implied(key.scopes), prefix)

    async def is_still_good(self, identity: Identity) -> bool:
        """Whether an identity of a moment ago would still be given."""
        now = datetime.now(UTC)
        if identity.expires_at is not None and identity.expires_at <= now:
            return False
        if identity.key_id is None:
            return True
        key = await self._find(identity.prefix)
        return key is not None and key.id == identity.key_id and key.state(now) == "live"

    def is_remembered(self, header: str) -> bool:
        """Whether an Authorization header has a key that was right a moment ago."""
        parts = keys.split(header.rpartition(" ")[2])
        until, key = self._known.get(parts[0], (0.0, None)) if parts else (0.0, None)
        return parts is not None and key is not None and time.monotonic() < until and key.matches(parts[1])

    async def is_any(self) -> bool:
        """Whether a key was ever made."""
        now = time.monotonic()
        if self._is_any is None or (not self._is_any[1] and now >= self._is_any[0]):
            self._is_any = now + self._trusted_s, await run_in_threadpool(keys.is_any, self._db)
        return self._is_any[1]

    async def _find(self, prefix: str) -> Key | None:
        now = time.monotonic()
        until, key = self._known.get(prefix, (0.0, None))
        if now < until:
            self._known.move_to_end(prefix)
            return key
        question = self._asked.get(prefix)
        if question is None:  # else somebody asks already, and a thousand streams need one answer
            question = asyncio.ensure_future(run_in_threadpool(keys.find, self._db, prefix))
            self._asked[prefix] = question
            question.add_done_callback(lambda _: self._asked.pop(prefix, None))
        key = await asyncio.shield(question)
        self._known[prefix] = now + self._trusted_s, key  # from before the question: never older than that
        self._known.move_to_end(prefix)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return key

    async def _note_use(self, key: Key, now: datetime) -> None:
        moment = time.monotonic()
        if moment < self._noted.get(key.id, 0.0):
            return
        self._noted[key.id] = moment + _NOTED_S
        try:
            with hurried(_NOTING_PATIENCE_S):
                await run_in_threadpool(keys.note_use, self._db, [key.id], now)
        except StorageUnavailableError as error:
            _log.warning("key_use_not_noted", key=key.name, error=str(error))
