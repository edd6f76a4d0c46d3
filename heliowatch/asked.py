"""Names of instruments that people ask for: a slip of the pen would look like an empty answer."""

from __future__ import annotations

from observatory import completeness
from observatory.errors import NoSuchInstrumentError
from observatory.settings import Settings
from observatory.storage.session import Database


def check_instrument(db: Database, settings: Settings, name: str | None) -> None:
    """Refuse a name that is no known instrument, is not in the settings and has no frames.

    Raises
    ------
    NoSuchInstrumentError
    """
    if name is not None and name not in (known := completeness.askable(db, settings)):
        raise NoSuchInstrumentError(name, known)
