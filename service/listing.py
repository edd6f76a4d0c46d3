"""Lists that are answered page by page as JSON, or as a table: all that was asked for, or a page of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from fastapi import Request
from fastapi.responses import Response

from service.filters import write_cursor
from service.paging import link_header, next_address
from service.tables import Column, Rows, Table, pages, table_response

Key = tuple[datetime, int]
"""Place of a row in its list: a time, and the row's number."""

_Row = TypeVar("_Row")


class PageQuery(Protocol):
    """What the queries of such lists have in common."""

    limit: int | None

    @property
    def order(self) -> str:
        """``asc`` (oldest first) or ``desc``."""

    @property
    def after(self) -> Key | None:
        """Place that the page starts after."""


def page_of(rows: list[_Row], limit: int, key_of: Callable[[_Row], Key]) -> tuple[list[_Row], Key | None]:
    """A page, and the place of its last row; None when nothing follows.

    Parameters
    ----------
    rows : list
        One more than the page has, where there is more.
    limit : int
        Rows of a page.
    key_of : callable
        Place of a row.
    """
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], key_of(rows[limit - 1])


def following(request: Request, resource: str, last: Key | None, order: str) -> str | None:
    """Address of the page after the one that ends with `last`; None where nothing follows."""
    return None if last is None else next_address(request, resource, write_cursor(*last, order))


def table_of(
    request: Request,
    query: PageQuery,
    form: str,
    name: str,
    columns: Sequence[Column],
    read: Callable[[Key | None, int], tuple[Rows, Key | None]],
    piece: int,
) -> Response:
    """Answer with a list as a table: a page where a limit is stated, else all, read while it is written.

    Parameters
    ----------
    form : str
        ``csv``, ``votable`` or ``parquet``.
    name : str
        Of the list's address and of the table.
    read : callable
        Takes the place to start after and the most rows to give; gives them and the place of the last one, None
        when nothing follows.
    piece : int
        Rows that are in memory at once.
    """
    if query.limit is None:
        whole = pages(lambda after: read(after, piece), query.after)
        return table_response(Table(name, columns, whole), form)
    rows, last = read(query.after, query.limit)
    table = Table(name, columns, [rows], is_cut=last is not None)
    return table_response(table, form, link_header(following(request, name, last, query.order)))


def cells_of(rows: Sequence[Any], columns: Sequence[Column]) -> Rows:
    """Rows of a table from mappings that have the columns' names."""
    names = [column.name for column in columns]
    return [[row[name] for name in names] for row in rows]
