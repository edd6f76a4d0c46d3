"""Keys of programs: made, found, revoked. The secret itself is kept nowhere.

A key reads ``hw_PREFIX_SECRET``. The prefix is public: it finds the row and may stand in lists and logs.
The secret is 256 random bits, so one SHA-256 of it is enough: slow hashes protect what people think up and
others can guess, nobody goes through 2^256 secrets, and every request would pay for the slowness.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, insert, or_, select, update

from observatory.access import Scope
from observatory.errors import HeliowatchError
from observatory.storage.access_schema import api_keys
from observatory.storage.session import Database

_MARK = "hw"
_PREFIX_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that people take for another
_PREFIX_LENGTH = 10
_SECRET_BYTES = 32
_KEY = re.compile(rf"{_MARK}_([{_PREFIX_LETTERS}]{{{_PREFIX_LENGTH}}})_([A-Za-z0-9_-]{{43}})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,63}")
_USED_EVERY = timedelta(minutes=1)


class KeyNameError(HeliowatchError):
    """A key cannot be called that."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"a key cannot be named {name[:80]!r}: {reason}")


class NoSuchKeyError(HeliowatchError):
    """No key has that name or prefix."""

    def __init__(self, word: str) -> None:
        super().__init__(f"there is no key {word[:80]!r}; `heliowatch keys list` shows names and prefixes")


@dataclass(frozen=True)
class Key:
    """A key as it is kept: without its secret."""

    id: int
    name: str
    prefix: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    secret_sha256: str = field(repr=False)

    def matches(self, secret: str) -> bool:
        """Whether the secret is this key's; takes the same time whatever is wrong with it."""
        return hmac.compare_digest(_digest(secret), self.secret_sha256)

    def state(self, now: datetime) -> str:
        """``live``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


class DeadKeyError(HeliowatchError):
    """The key that is meant opens nothing any more."""

    def __init__(self, key: Key, now: datetime) -> None:
        since = key.revoked_at or key.expires_at
        super().__init__(
            f"the key {key.name} ({key.prefix}) is {key.state(now)} already, since {since:%Y-%m-%d %H:%M} UTC"
        )


def split(text: str) -> tuple[str, str] | None:
    """Prefix and secret of a key as it is shown; None when it has not the form of one."""
    found = _KEY.fullmatch(text)
    return None if found is None else (found[1], found[2])


def create(
    db: Database, name: str, scopes: Collection[Scope], expires_at: datetime | None, now: datetime
) -> tuple[Key, str]:
    """Make a key; return it with its text, which cannot be had again.

    Raises
    ------
    KeyNameError
        When the name is no name, or another live key has it.
    """
    if not _NAME.fullmatch(name):
        raise KeyNameError(name, "1 to 64 letters, digits, spaces and . _ @ - are allowed")
    prefix = "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(_PREFIX_LENGTH))
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    row = {
        "name": name,
        "prefix": prefix,
        "secret_sha256": _digest(secret),
        "scopes": sorted(scopes),
        "created_at": now,
        "expires_at": expires_at,
    }
    with db.write() as connection:
        taken = select(api_keys.c.id).where(api_keys.c.name == name, _is_live(now))
        if connection.execute(taken).first() is not None:
            raise KeyNameError(name, "a live key has that name; revoke it first, or take another name")
        made = connection.execute(insert(api_keys).values(row).returning(*api_keys.c)).one()
    return _as_key(made), f"{_MARK}_{prefix}_{secret}"


def find(db: Database, prefix: str) -> Key | None:
    """The key of a prefix, whatever its state."""
    with db.read() as connection:
        row = connection.execute(select(api_keys).where(api_keys.c.prefix == prefix)).one_or_none()
    return None if row is None else _as_key(row)


def listed(db: Database) -> list[Key]:
    """All keys, oldest first."""
    with db.read() as connection:
        return [_as_key(row) for row in connection.execute(select(api_keys).order_by(api_keys.c.id))]


def is_any(db: Database) -> bool:
    """Whether a key was ever made."""
    with db.read() as connection:
        return connection.execute(select(api_keys.c.id).limit(1)).first() is not None


def revoke(db: Database, word: str, now: datetime) -> Key:
    """Revoke the key of a prefix, else the live key of a name.

    Parameters
    ----------
    word : str
        Prefix or name; or the whole key, which is what somebody has who finds it where it should not be.

    Raises
    ------
    NoSuchKeyError
    DeadKeyError
        When the keys of that name are all revoked or expired, or the one of that prefix is revoked.
    """
    word, _ = split(word) or (word, "")
    by_prefix = and_(api_keys.c.prefix == word, api_keys.c.revoked_at.is_(None))
    by_name = and_(api_keys.c.name == word, _is_live(now))
    with db.write() as connection:
        for which in (by_prefix, by_name):
            change = update(api_keys).where(which).values(revoked_at=now).returning(*api_keys.c)
            row = connection.execute(change).first()
            if row is not None:
                return _as_key(row)
        meant = or_(api_keys.c.prefix == word, api_keys.c.name == word)
        newest = select(api_keys).where(meant).order_by(api_keys.c.id.desc()).limit(1)
        dead = connection.execute(newest).first()
    if dead is None:
        raise NoSuchKeyError(word)
    raise DeadKeyError(_as_key(dead), now)


def note_use(db: Database, key_ids: Iterable[int], now: datetime) -> None:
    """Note that keys were used; to the minute, so that a busy key does not cost a write a request."""
    stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < now - _USED_EVERY)
    with db.write() as connection:
        connection.execute(
            update(api_keys).where(api_keys.c.id.in_(list(key_ids)), stale).values(last_used_at=now)
        )


def _is_live(now: datetime) -> Any:
    return and_(
        api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _as_key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=frozenset(Scope(word) for word in row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        secret_sha256=row.secret_sha256,
    )
