"""Alembic's entry: run the migrations on the configured database."""

from alembic import context
from sqlalchemy import text

from observatory.storage import (  # noqa: F401, their tables join the others
    access_schema,
    alert_schema,
    model_schema,
    night_schema,
    notification_schema,
    sky_schema,
)
from observatory.storage.column_types import UtcDateTime
from observatory.storage.schema import metadata
from observatory.storage.session import Database, as_storage_error

_LOCK_KEY = 0x6D696772  # "migr": two services that start together migrate one after the other


def _render_item(kind: str, item: object, _: object) -> str | bool:
    """Write our own column type as the plain one that lies in the database."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run() -> None:
    """Migrate with a connection of our own kind, so that SQLite gets its pragmas."""
    db = Database(context.config.get_main_option("sqlalchemy.url") or "")
    with as_storage_error(), db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=db.is_sqlite,
            compare_type=True,
            transactional_ddl=True,
            render_item=_render_item,
        )
        with context.begin_transaction():
            if not db.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            context.run_migrations()
    db.dispose()


run()
