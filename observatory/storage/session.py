"""The database: one engine a process, short transactions, one kind of error when it is gone.

Writers that take several locks take them in one order, so that none waits for one that waits for it. The
end of a frame takes the frame's row, then its night's, then those of the night's works, then the turns of its
types of event in the order of their names, then that of the events; the pairing of frames takes the look's
turn, then the composite's row; a change of the networks that run takes the turn of those; the end of a
composite, or of a night's work, takes its row, then the turn of the events, which is always the last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.schema import Table, UniqueConstraint

from observatory.errors import (
    QueryTooLongError,
    SchemaOutdatedError,
    SettingsError,
    StorageUnavailableError,
)
from observatory.storage.schema import SCHEMA_REVISION

_PATIENCE_S = 30.0  # of whoever says nothing: what the workers found is not thrown away for a long write
_patience_s: ContextVar[float] = ContextVar("patience_s", default=_PATIENCE_S)


@contextmanager
def hurried(patience_s: float) -> Iterator[None]:
    """Wait no longer for another writer than somebody waits for the answer.

    For what is begun inside, in this thread or task and those that it starts. SQLite has one writer at
    a time; of Postgres, whose writers wait for single rows, nothing changes.

    Parameters
    ----------
    patience_s : float
        Seconds; 0: not at all.
    """
    token = _patience_s.set(patience_s)
    try:
        yield
    finally:
        _patience_s.reset(token)


_snapshot: ContextVar[tuple[Database, Connection] | None] = ContextVar("snapshot", default=None)


class Database:
    """Engine of one process; made again after a fork.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; ``sqlite:///…`` or ``postgresql://…`` (psycopg 3).
    statement_timeout_s : float or None
        Longest that Postgres may work on one statement; None: as long as it takes.
    """

    def __init__(self, url: str, *, statement_timeout_s: float | None = None) -> None:
        self.url = url
        self._statement_timeout_s = statement_timeout_s
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._engine: Engine | None = None
        self._pid = 0

    @property
    def engine(self) -> Engine:
        """The engine of this very process."""
        if self._engine is None or self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)  # the parent's connections are not ours to close
            self._engine = self._new_engine()
            self._pid = os.getpid()
        return self._engine

    def _new_engine(self) -> Engine:
        if not self.is_sqlite:
            try:
                return create_engine(
                    self.url, pool_pre_ping=True, pool_size=8, connect_args=self._connect_arguments()
                )
            except ModuleNotFoundError as error:
                raise SettingsError(
                    "Postgres needs the [postgres] extra: pip install 'heliowatch[postgres]'"
                ) from error
        path = make_url(self.url).database
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            _check_writable(Path(path))
        engine = create_engine(self.url)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _connect_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"connect_timeout": 5}
        if self._statement_timeout_s is not None:
            arguments["options"] = f"-c statement_timeout={round(self._statement_timeout_s * 1000)}"
        return arguments

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and sees one state of the database throughout.

        What is asked in two statements (which rows, then what they say) would otherwise not fit
        together on Postgres, where each statement sees what was committed before it.
        """
        held = _snapshot.get()
        if held is not None and held[0] is self:
            yield held[1]
            return
        options: dict[str, Any] = {"heliowatch_read": True}
        if not self.is_sqlite:  # SQLite's transactions are like that anyway
            options["isolation_level"] = "REPEATABLE READ"
        with as_storage_error(), self.engine.connect() as connection:
            connection = connection.execution_options(**options)
            with connection.begin():
                yield connection

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read inside, in this thread or task, see one state of the database.

        For what several questions put together, each of which opens a transaction of its own else.
        """
        with self.read() as connection:
            token = _snapshot.set((self, connection))
            try:
                yield
            finally:
                _snapshot.reset(token)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; committed at the end, rolled back by an exception."""
        with as_storage_error(), self.engine.begin() as connection:
            yield connection

    def insert_new(
        self, connection: Connection, table: Table, rows: list[dict[str, Any]], *returning: Any
    ) -> list[Any]:
        """Insert rows whose key is not there yet; return what was asked of those inserted.

        The key is the table's unique constraint, else its primary key. A number that is given twice, by a sequence
        that lags behind its table, is an error: else new rows would be lost for known ones.
        """
        if not rows:
            return []
        unique = (one for one in table.constraints if isinstance(one, UniqueConstraint))
        key = [column.name for column in next(unique, table.primary_key).columns]
        statement: Any = (sqlite if self.is_sqlite else postgresql).insert(table)
        statement = statement.on_conflict_do_nothing(index_elements=key)
        # Rows are handed over beside the statement, not inside it: SQLAlchemy then compiles it
        # once and pages the values itself (four times as fast for a burst of files).
        if returning:
            return list(connection.execute(statement.returning(*returning), rows).all())
        connection.execute(statement, rows)
        return []

    def upsert(self, connection: Connection, table: Table, row: dict[str, Any], keys: list[str]) -> None:
        """Insert a row or overwrite the one with the same key."""
        statement = (sqlite if self.is_sqlite else postgresql).insert(table).values(row)
        changed = {name: statement.excluded[name] for name in row if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))

    def revision(self) -> str | None:
        """Revision of the schema as Alembic noted it; None for an empty database, and where there is none."""
        path = make_url(self.url).database
        if self.is_sqlite and path and not Path(path).exists():
            return None  # to ask SQLite would make it
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def check_schema(self) -> None:
        """Refuse to go on with another schema than ours.

        Raises
        ------
        SchemaOutdatedError
        """
        found = self.revision()
        if found != SCHEMA_REVISION:
            raise SchemaOutdatedError(found, SCHEMA_REVISION)

    def dispose(self) -> None:
        """Close all connections."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None


def _check_writable(file: Path) -> None:
    """Name the user's lack of rights, where SQLite says of reading, too, that its database is read-only.

    Raises
    ------
    StorageUnavailableError
    """
    for place in (file.parent, file):  # its journal lies beside it
        if place.exists() and not os.access(place, os.W_OK):
            raise StorageUnavailableError(f"the database {file}", f"this user may not write to {place}")


def take_turn(connection: Connection, key: int) -> None:
    """Let nobody else who takes this turn go on until the transaction ends; SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


@contextmanager
def as_storage_error() -> Iterator[None]:
    """Turn what the drivers raise when the database is away into `StorageUnavailableError`."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _QUERY_CANCELLED:
            raise QueryTooLongError from error
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            raise StorageUnavailableError("the database", _first_line(error.orig or error)) from error
        raise
    except (PoolTimeoutError, OSError) as error:
        raise StorageUnavailableError("the database", _first_line(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "psycopg" and type(error).__name__ in _DRIVER_LOST:
            raise StorageUnavailableError("the database", _first_line(error)) from error
        raise


_QUERY_CANCELLED = "57014"
_DRIVER_LOST = {"OperationalError", "InterfaceError", "AdminShutdown"}  # psycopg's own, on a raw connection


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={round(_PATIENCE_S * 1000)}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: a lock taken half-way fails without waiting when
    # another wrote in between (SQLITE_BUSY_SNAPSHOT), whatever the busy timeout says.
    is_read = connection.get_execution_options().get("heliowatch_read", False)
    patience_ms = round(_patience_s.get() * 1000)
    connection.exec_driver_sql(f"PRAGMA busy_timeout={patience_ms}").close()
    connection.exec_driver_sql("BEGIN" if is_read else "BEGIN IMMEDIATE")
