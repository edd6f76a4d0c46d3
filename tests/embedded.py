"""Embedded databases with the newest schema: copies of one that was migrated once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.engine import make_url

import migrations


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "heliowatch.db"
        migrations.upgrade(f"sqlite:///{file}")
        return file.read_bytes()


def lay_out(url: str) -> str:
    """Make the SQLite database of a URL unless it is there; returns the URL."""
    file = Path(make_url(url).database or "")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_migrated())
    return url
