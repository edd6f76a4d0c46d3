"""The database's history, run by Alembic through `heliowatch db upgrade`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def config(url: str) -> Config:
    """Alembic's configuration for one database."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    settings.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return settings


def upgrade(url: str) -> None:
    """Bring a database to the newest schema; harmless when it is there already."""
    command.upgrade(config(url), "head")


def head() -> str | None:
    """Newest revision."""
    return ScriptDirectory(str(Path(__file__).parent)).get_current_head()
