"""Product files that no row names: what reprocessing replaced, and what died before its row was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, select, union_all

from observatory.errors import UnusableInputError
from observatory.storage.files import ProductFiles
from observatory.storage.night_schema import night_pictures
from observatory.storage.schema import composite_pictures, cutouts, products
from observatory.storage.session import Database

NAMING: tuple[Column[str], ...] = (
    products.c.path,
    composite_pictures.c.path,
    cutouts.c.path,
    night_pictures.c.path,
)
"""Columns that name files below the product folder."""

_DIGITS = 16  # of the 64 that name a file: eight bytes of memory for each of some ten million files
_BATCH = 10_000


@dataclass(frozen=True)
class Cleaned:
    """What a cleaning did, or would do.

    Attributes
    ----------
    removed, kept : int
        Files. Kept are those that a row names, and those written lately.
    freed_bytes : int
    """

    removed: int
    kept: int
    freed_bytes: int


def clean(db: Database, files: ProductFiles, before: datetime, *, for_show: bool = False) -> Cleaned:
    """Remove the files that no row names and that nobody wrote since ``before``.

    A product is written before its row is: ``before`` must lie further back than any work takes.

    Raises
    ------
    StorageUnavailableError
    UnusableInputError
        When the rows name no file at all: then the folder is another database's.
    """
    known = _named(db)
    if not known.size and next(files.walk(), None) is not None:
        raise UnusableInputError(
            f"no row names any file, but {files.root} holds some: give the database that they belong to"
        )
    removed = kept = freed = 0
    for path in files.walk():
        size = None if _is_among(path, known) else files.retire(path, before.timestamp(), for_show=for_show)
        removed, kept, freed = removed + (size is not None), kept + (size is None), freed + (size or 0)
    return Cleaned(removed, kept, freed)


def _named(db: Database) -> NDArray[np.uint64]:
    """The first digits of every name that a row holds, in order."""
    found = np.fromiter(_keys(db), np.uint64)
    found.sort()
    return found


def _keys(db: Database) -> Iterator[int]:
    query = union_all(*(select(column).where(column.is_not(None)) for column in NAMING))
    with db.read() as connection:
        for path in connection.execution_options(yield_per=_BATCH).execute(query).scalars():
            yield _key(path)


def _key(path: str) -> int:
    return int(PurePath(path).name[:_DIGITS], 16)


def _is_among(path: str, known: NDArray[np.uint64]) -> bool:
    if path.endswith(".part"):
        return False
    key = np.uint64(_key(path))
    place = int(np.searchsorted(known, key))
    return place < known.size and bool(known[place] == key)
