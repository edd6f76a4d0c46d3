"""Let writers of a database meet: one holds what the others need until all of them wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, text

from observatory.storage.session import Database

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def waiting(db: Database) -> int:
    """How many transactions wait for another one's lock; Postgres alone."""
    with db.read() as connection:
        return int(connection.execute(_WAITING).scalar_one())


def meet(
    db: Database,
    hold: Callable[[Connection], object],
    works: Sequence[Callable[[], Any]],
    eventually: Callable[..., None],
) -> list[Any]:
    """Begin works one after the other while something is held, then let all go on.

    Returns
    -------
    list
        What each gave, or the exception that it raised.
    """
    with ThreadPoolExecutor(len(works)) as pool:
        begun: list[Future[Any]] = []
        with db.write() as connection:
            hold(connection)
            for number, work in enumerate(works, 1):
                begun.append(pool.submit(work))
                eventually(lambda n=number: waiting(db) >= n or begun[-1].done(), "nobody waits")
        return [one.exception() or one.result() for one in begun]
