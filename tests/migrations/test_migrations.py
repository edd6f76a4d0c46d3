"""The migrations make the very schema that the code speaks of, and can be undone."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text

import migrations
from observatory.errors import SchemaOutdatedError
from observatory.storage import catalogue, frames
from observatory.storage.frames import NewFrame
from observatory.storage.schema import SCHEMA_REVISION, metadata
from observatory.storage.session import Database
from tests.servers import PostgresServer


def test_the_code_wants_the_newest_revision():
    assert migrations.head() == SCHEMA_REVISION


def test_after_an_upgrade_nothing_is_left_to_migrate(empty_database_url: str):
    migrations.upgrade(empty_database_url)
    command.check(migrations.config(empty_database_url))


def test_an_upgrade_of_a_new_schema_changes_nothing(empty_database_url: str):
    migrations.upgrade(empty_database_url)
    migrations.upgrade(empty_database_url)
    database = Database(empty_database_url)
    database.check_schema()
    database.dispose()


def test_a_downgrade_to_the_base_leaves_no_table_and_can_be_upgraded_again(empty_database_url: str):
    migrations.upgrade(empty_database_url)
    command.downgrade(migrations.config(empty_database_url), "base")
    database = Database(empty_database_url)
    with database.read() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version", "sqlite_sequence"}
    assert database.revision() is None
    migrations.upgrade(empty_database_url)
    with database.read() as connection:
        assert set(metadata.tables) <= set(inspect(connection).get_table_names())
    database.dispose()


def test_an_archive_of_the_first_release_is_kept_by_the_upgrade(empty_database_url: str):
    command.upgrade(migrations.config(empty_database_url), "0001")
    database = Database(empty_database_url)
    new = NewFrame(sha256="a" * 64, file_name="a.fts", path="/a.fts", bytes=9, received_at=datetime.now(UTC))
    with pytest.raises(SchemaOutdatedError, match="0001"):
        database.check_schema()
    frames.register(database, [new], [])
    migrations.upgrade(empty_database_url)
    database.check_schema()
    (kept,) = catalogue.find(database, catalogue.FrameFilter(), limit=9)
    assert kept["sha256"] == "a" * 64
    command.downgrade(migrations.config(empty_database_url), "0001")
    with database.read() as connection:  # the catalogue asks for columns that are gone again
        assert connection.execute(text("SELECT sha256 FROM frames")).scalar_one() == "a" * 64
    database.dispose()


def test_services_that_start_together_migrate_one_after_the_other(postgres: PostgresServer):
    url = postgres.new_database()
    script = f"import migrations; migrations.upgrade({url!r})"
    home = Path(migrations.__file__).parents[1]
    started = [subprocess.Popen([sys.executable, "-c", script], cwd=home) for _ in range(3)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]
    database = Database(url)
    database.check_schema()
    database.dispose()
