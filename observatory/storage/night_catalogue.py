"""Nights as they are read: lists, single ones with their numbers and pictures, neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from observatory.storage.frame_keys import Page
from observatory.storage.night_schema import night_pictures, night_works, nights
from observatory.storage.nights import WorkKind
from observatory.storage.session import Database


@dataclass(frozen=True)
class NightFilter:
    """Which nights; None: any.

    Attributes
    ----------
    time_from, time_to : datetime or None
        Nights of which any part lies within, END not included.
    """

    instrument: str | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None


_made = night_works.alias("made")
_film = night_works.alias("film")
_MADE = ("status", "reason", "revision", "made_at", "payload")
_FILM = ("status", "reason", "made_at", "payload", "due_at")


def _query() -> Select[Any]:
    return (
        select(
            *nights.c,
            *(_made.c[name].label(f"made_{name}") for name in _MADE),
            *(_film.c[name].label(f"film_{name}") for name in _FILM),
        )
        .join(_made, and_(_made.c.night_id == nights.c.id, _made.c.kind == WorkKind.PICTURES.value))
        .join(_film, and_(_film.c.night_id == nights.c.id, _film.c.kind == WorkKind.FILM.value), isouter=True)
    )


def _chosen(wanted: NightFilter) -> list[Any]:
    conditions = []
    if wanted.instrument is not None:
        conditions.append(nights.c.instrument == wanted.instrument)
    if wanted.time_from is not None:
        conditions.append(nights.c.end_at > wanted.time_from)
    if wanted.time_to is not None:
        conditions.append(nights.c.start_at < wanted.time_to)
    return conditions


def find(
    db: Database,
    wanted: NightFilter,
    *,
    limit: int,
    after: tuple[datetime, int] | None = None,
    is_ascending: bool = False,
    is_made: bool = True,
) -> list[dict[str, Any]]:
    """Nights in order of (`start_at`, id), each with its pictures.

    Parameters
    ----------
    is_made : bool
        Those alone whose pictures were made once.

    Returns
    -------
    list of dict
        The columns of `nights`; ``made_…`` and ``film_…`` of its works; ``pictures``, kind to row.
    """
    conditions = [*_chosen(wanted), *([_made.c.revision > 0] if is_made else [])]
    query = Page(limit, after, is_ascending).of(_query().where(*conditions), nights.c.start_at, nights.c.id)
    with db.read() as connection:
        return _with_pictures(connection, connection.execute(query).mappings().all())


def get(db: Database, night_id: int) -> dict[str, Any] | None:
    """One night whose pictures are made."""
    with db.read() as connection:
        query = _query().where(nights.c.id == night_id, _made.c.revision > 0)
        rows = connection.execute(query).mappings().all()
        return next(iter(_with_pictures(connection, rows)), None)


def _with_pictures(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {row["id"]: _plain(row) | {"pictures": {}} for row in rows}
    if found:
        shown = select(*night_pictures.c).where(night_pictures.c.night_id.in_(found))
        for picture in connection.execute(shown.order_by(night_pictures.c.kind)).mappings():
            found[picture["night_id"]]["pictures"][picture["kind"]] = _plain(picture)
    return list(found.values())


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}  # the driver's names are no plain str


def picture(db: Database, night_id: int, kind: str) -> dict[str, Any] | None:
    """One picture of a night, or its film; with the night's instrument, date and wavelength."""
    query = (
        select(*night_pictures.c, nights.c.instrument, nights.c.date, nights.c.wavelength_nm)
        .join(nights, nights.c.id == night_pictures.c.night_id)
        .where(night_pictures.c.night_id == night_id, night_pictures.c.kind == kind)
    )
    with db.read() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _plain(row)


@dataclass(frozen=True)
class Neighbours:
    """Nights of the same camera and filter before and after one; None where there is none."""

    before: int | None
    after: int | None


def neighbours(db: Database, row: Mapping[str, Any]) -> Neighbours:
    """Nights next to one of `find` or `get`."""
    of = nights.c
    mine = (
        select(of.id)
        .join(_made, and_(_made.c.night_id == of.id, _made.c.kind == WorkKind.PICTURES.value))
        .where(
            _made.c.revision > 0,
            of.instrument == row["instrument"],
            of.wavelength_nm == row["wavelength_nm"],
        )
    )
    earlier = mine.where(of.start_at < row["start_at"]).order_by(of.start_at.desc()).limit(1)
    later = mine.where(of.start_at > row["start_at"]).order_by(of.start_at).limit(1)
    with db.read() as connection:
        return Neighbours(
            connection.execute(earlier).scalar_one_or_none(), connection.execute(later).scalar_one_or_none()
        )


def cameras(db: Database) -> list[tuple[str, float]]:
    """Instruments that have nights, each with its filter's wavelength in nm (0: none is known)."""
    query = select(nights.c.instrument, nights.c.wavelength_nm).distinct()
    with db.read() as connection:
        return sorted((str(row[0]), float(row[1])) for row in connection.execute(query))
