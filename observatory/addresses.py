"""Addresses of database and broker, as the settings take them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:/?]*)(:\d*)?([/?]|$)")


def _database(url: str) -> str:
    """Say before anything starts that an address is none; without its text, which may hold a password."""
    scheme, _, rest = url.partition("://")
    is_postgres = scheme.partition("+")[0] == "postgresql" and _names_host(rest)
    if url and not is_postgres and not (scheme.partition("+")[0] == "sqlite" and rest.startswith("/")):
        raise ValueError(
            "is no address of a database that we use: "
            "write postgresql://USER@HOST/NAME or sqlite:////PATH/FILE.db, or leave it empty"
        )
    return url


def _broker(url: str) -> str:
    """Likewise: Celery takes what has no scheme of its own for the name of a RabbitMQ, and waits for it."""
    scheme, _, rest = url.partition("://")
    if scheme != "memory" and not (scheme in ("redis", "rediss") and _names_host(rest)):
        raise ValueError(
            "is no address of a broker that we use: write redis://HOST:6379/0, or memory:// for one inside "
            "the process"
        )
    return url


def _names_host(rest: str) -> bool:
    place = rest.rpartition("@")[2]  # a password may hold anything, even what ends a host elsewhere
    return _HOST_AND_PORT.match(place) is not None


DatabaseUrl = Annotated[str, AfterValidator(_database)]
"""Postgres, SQLite, or empty."""

BrokerUrl = Annotated[str, AfterValidator(_broker)]
"""Redis, or ``memory://``."""
