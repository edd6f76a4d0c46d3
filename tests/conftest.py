"""Real parts for all tests: a Postgres and a Redis of our own, started for the session."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from observatory.settings import Settings, load_settings
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.environment import forget_settings
from tests.servers import PostgresServer, RedisServer

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def logging_ends_with_its_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loggers keep the stderr that they were given; the test runner closes it after the test."""
    configure = structlog.configure

    def without_cache(**given: Any) -> None:
        configure(**given | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", without_cache)
    yield
    structlog.reset_defaults()
    for handler in list(logging.root.handlers):
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


@pytest.fixture
def installed_iers() -> Iterator[None]:
    """Astropy takes the Earth's rotation from its installed tables, whatever their age: without this
    it tries to download newer ones, and refuses those that are older than a month."""
    from astropy.utils import iers

    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
    ):
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, SQLite and Postgres in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'heliowatch.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with the newest schema, SQLite and Postgres in turn."""
    if request.param == "sqlite":
        return lay_out(f"sqlite:///{tmp_path / 'heliowatch.db'}")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.migrated_database()


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """Database with the newest schema."""
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Embedded settings in a folder of their own, untouched by the caller's environment."""
    forget_settings(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture(scope="session")
def real_frames() -> Path:
    """Folder of real frames; tests that need it say so when it is not there."""
    named = os.environ.get("HELIOWATCH_TEST_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("HELIOWATCH_TEST_DATA names no folder of real frames")
    return Path(named)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for a fact: polls until the condition holds, fails with the message when it never does."""

    def wait(condition: Callable[[], object], message: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.02)
        pytest.fail(message)

    return wait
