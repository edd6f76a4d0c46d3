"""What columns of several tables have in common: their types, and indexes of some rows alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Index,
    Integer,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out; SQLite, which has no time zones, keeps it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give aware UTC back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys by itself
Json: Any = JSON().with_variant(JSONB(), "postgresql")
PathText = Text().with_variant(Text(collation="C"), "postgresql")  # folders are ranges of paths, byte by byte


def partial_index(name: str, *columns: Any, where: str, include: tuple[str, ...] = ()) -> Index:
    """An index of some rows alone; Postgres keeps ``include`` beside its keys, SQLite knows no such thing."""
    return Index(
        name,
        *columns,
        postgresql_where=text(where),
        postgresql_include=list(include),
        sqlite_where=text(where),
    )
