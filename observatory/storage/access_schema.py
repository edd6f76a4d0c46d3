"""The tables of access: keys, and who wrote what. A change here needs a migration."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, Text

from observatory.storage.column_types import Json, Key, UtcDateTime
from observatory.storage.schema import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False),
    Column("prefix", String(16), nullable=False, unique=True, doc="public part, by which it is found"),
    Column("secret_sha256", String(64), nullable=False, doc="of the random part, which is kept nowhere"),
    Column("scopes", Json, nullable=False, doc="list of read, write, admin"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime, doc="to the minute or so"),
    sqlite_autoincrement=True,  # the audit log quotes the number
)

audit = Table(
    "audit",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("actor", String(128), nullable=False, doc="key's or person's name; anonymous"),
    Column("key_id", Key, doc="of the key that was shown"),
    Column("address", String(64), doc="network address of the client"),
    Column("action", String(64), nullable=False, doc="method and route, or verb of the command line"),
    Column("target", Text, doc="what was written to"),
    Column("status", Integer, nullable=False, doc="HTTP status of the answer"),
    Column("detail", Json),
    sqlite_autoincrement=True,
)
