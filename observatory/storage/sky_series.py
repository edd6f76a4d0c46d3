"""Aurora and cloud over time: frame by frame, and in bins."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select

from observatory.analysis import AURORAL, SkyClass
from observatory.storage.bins import bin_columns, instruments_of, newest_bins
from observatory.storage.frame_keys import Key, Page
from observatory.storage.session import Database
from observatory.storage.skies import probabilities_of
from observatory.storage.sky_schema import PROBABILITIES, skies


class SkyChoice(StrEnum):
    """Which skies are asked for: one of the classes, all that are aurora, or those that cannot be judged."""

    ARC = "arc"
    DIFFUSE = "diffuse"
    DISCRETE = "discrete"
    CLOUD = "cloud"
    MOON = "moon"
    CLEAR = "clear"
    AURORA = "aurora"
    NONE = "none"


_DISTURBANCE = ("x_nt", "y_nt", "z_nt", "is_simulated")
_POINT = (
    *("frame_id", "instrument", "sky_class", "reason", *PROBABILITIES, "aurora_probability", "cloud_cover"),
    *("sun_elevation_deg", "moon_elevation_deg"),
    *(f"disturbance_{name}" for name in _DISTURBANCE),
)


def series(
    db: Database,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    choice: SkyChoice | None,
    page: Page,
) -> list[dict[str, Any]]:
    """Skies over the time of observation, a page at a time; frames without a time are left out.

    Parameters
    ----------
    choice : SkyChoice or None
        None: all that could be judged.

    Returns
    -------
    list of dict
        ``time``, columns of the table, and ``probabilities`` (class to number).
    """
    moment, number = skies.c.moment, skies.c.frame_id
    query = select(moment.label("time"), *(skies.c[name] for name in _POINT))
    query = query.where(*_conditions(instrument, choice, time_to))
    if time_from is not None:
        query = query.where(moment >= time_from)
    with db.read() as connection:
        return [_point(row) for row in connection.execute(page.of(query, moment, number)).mappings()]


def key_of(point: Mapping[str, Any]) -> Key:
    """Where a point of `series` stands in it."""
    return point["time"], point["frame_id"]


def _point(row: Mapping[Any, Any]) -> dict[str, Any]:
    point = {str(name): value for name, value in row.items()}  # the driver's names are no plain str
    return point | {"probabilities": {name.value: value for name, value in probabilities_of(row).items()}}


def _conditions(
    instrument: str | None, choice: SkyChoice | None, time_to: datetime | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [skies.c.is_dated.is_(True), _is_chosen(choice)]
    if instrument is not None:
        conditions.append(skies.c.instrument == instrument)
    if time_to is not None:
        conditions.append(skies.c.moment < time_to)
    return conditions


def _is_chosen(choice: SkyChoice | None) -> ColumnElement[bool]:
    if choice is None:
        return skies.c.sky_class.is_not(None)
    if choice is SkyChoice.NONE:
        return skies.c.sky_class.is_(None)
    if choice is SkyChoice.AURORA:
        return skies.c.sky_class.in_([name.value for name in AURORAL])
    return skies.c.sky_class == choice.value


def binned(
    db: Database,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    choice: SkyChoice | None,
    *,
    bin_s: int,
    limit: int,
) -> list[dict[str, Any]]:
    """Bins of ``bin_s`` seconds, oldest first, the newest ``limit``.

    Returns
    -------
    list of dict
        ``start`` in seconds since 1970, ``instrument``, ``frames``, ``sky_class`` (the commonest), the
        share of frames with aurora (``aurora_occurrence``), and means of the probabilities and of the
        cloud cover.
    """
    conditions = _conditions(instrument, choice, time_to)
    with db.read() as connection:
        if instrument is None:
            names = instruments_of(connection, skies.c.instrument)
            conditions.append(skies.c.instrument.in_(names))  # then the index alone answers
        bins, moment = _bins(db, bin_s), skies.c.moment
        rows = newest_bins(connection, bins, moment, conditions, time_from, bin_s=bin_s, limit=limit)
    return [_bin(row) for row in rows]


_MEANS = (*PROBABILITIES, "aurora_probability", "cloud_cover")


def _bins(db: Database, bin_s: int) -> Select[Any]:
    place, start = bin_columns(db, skies.c.moment, bin_s)
    counts = (
        func.sum(case((skies.c.sky_class == name.value, 1), else_=0)).label(f"frames_{name.value}")
        for name in SkyClass
    )
    return select(
        start,
        skies.c.instrument,
        func.count().label("frames"),
        *counts,
        *(func.avg(skies.c[name]).label(name) for name in _MEANS),
    ).group_by(place, skies.c.instrument)


def _bin(row: dict[str, Any]) -> dict[str, Any]:
    counts = {name: int(row.pop(f"frames_{name.value}")) for name in SkyClass}
    commonest = max(counts, key=lambda name: counts[name])
    return row | {
        "sky_class": commonest.value,
        "aurora_occurrence": sum(counts[name] for name in AURORAL) / row["frames"],
        "probabilities": {name.value: value for name, value in probabilities_of(row).items()},
    }


__all__ = ["SkyChoice", "binned", "key_of", "series"]
