"""Who may do what."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """What a key allows."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def with_implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """All that the scopes allow: an administrator may read and write.

    Writing does not imply reading: a camera's key only delivers.
    """
    given = frozenset(scopes)
    return frozenset(Scope) if Scope.ADMIN in given else given
