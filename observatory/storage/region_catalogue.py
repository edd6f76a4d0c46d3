"""Every question asked about regions: lists, a frame's, areas over time, tracks; cheap in a long archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Select,
    and_,
    cast,
    func,
    or_,
    select,
)

from observatory.analysis import EventType, Region
from observatory.storage.bins import bin_columns, newest_bins
from observatory.storage.frame_keys import instruments_at
from observatory.storage.schema import frames, regions, segmentations, track_events, tracks
from observatory.storage.session import Database

_FEW = 10_000  # so many regions are sorted faster than the archive is walked through for them


@dataclass(frozen=True)
class RegionFilter:
    """Which regions are asked for; None means any."""

    event_type: EventType | None = None
    instrument: str | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None
    track_id: int | None = None
    frame_id: int | None = None
    area_msh_min: float | None = None
    disk_fraction_min: float | None = None
    wavelength_nm: float | None = None
    quality_min: float | None = None


_FRAME_COLUMNS = ("date_obs", "observatory", "wavelength_nm", "exposure_time_s", "file_name", "sha256")
_RUN_COLUMNS = (
    "model_name",
    "model_version",
    "model_sha256",
    "parameters_hash",
    "software_version",
    "threshold",
    "preview_affine",
)
_OUTLINE_COLUMNS = ("bounding_box_px", "rings_px", "rings_hpc_arcsec", "rings_carrington_deg")


def find(
    db: Database,
    wanted: RegionFilter,
    *,
    limit: int,
    after: tuple[datetime, int] | None = None,
    is_ascending: bool = False,
    with_outlines: bool = True,
) -> list[dict[str, Any]]:
    """Regions by filter, in order of (`moment`, id), each with facts of its frame and model.

    Parameters
    ----------
    after : tuple of (datetime, int) or None
        Sort key of the last row of the page before: keyset paging.
    with_outlines : bool
        Whether the rings are wanted, which are most of a region.
    """
    with db.read() as connection:
        keys = [
            key
            for branch in _branches(db, connection, wanted)
            for key in _keys(connection, branch, limit, after, is_ascending=is_ascending)
        ]
        keys.sort(reverse=not is_ascending)
        ids = [number for _, number in keys[:limit]]
        rows = _rows(connection, ids, with_outlines=with_outlines)
    return [rows[number] for number in ids]


def _branches(db: Database, connection: Connection, wanted: RegionFilter) -> list[RegionFilter]:
    """One filter for each type of event, and for each instrument of a wavelength.

    Then an index holds the order, whatever else is asked.
    """
    if wanted.track_id is not None or wanted.frame_id is not None:
        return [wanted]
    names: list[str | None] = [wanted.instrument]
    if wanted.wavelength_nm is not None and wanted.instrument is None:
        names = [*(instruments_at(db, connection, wanted.wavelength_nm) or names)]
    kinds = tuple(EventType) if wanted.event_type is None else (wanted.event_type,)
    return [replace(wanted, event_type=kind, instrument=name) for kind in kinds for name in names]


def _keys(
    connection: Connection,
    wanted: RegionFilter,
    limit: int,
    after: tuple[datetime, int] | None,
    *,
    is_ascending: bool,
) -> list[tuple[datetime, int]]:
    source = _source(connection, wanted)
    moment, number = source.c.moment, source.c.id
    query = select(moment, number).where(*_conditions(source, wanted))
    if after is not None:
        key, last = after
        if is_ascending:
            query = query.where(moment >= key, or_(moment > key, number > last))
        else:
            query = query.where(moment <= key, or_(moment < key, number < last))
    order = (moment.asc(), number.asc()) if is_ascending else (moment.desc(), number.desc())
    return [(row[0], row[1]) for row in connection.execute(query.order_by(*order).limit(limit))]


def _source(connection: Connection, wanted: RegionFilter) -> FromClause:
    """Where a list is looked for: in all regions, or in the large ones alone when those are few.

    Otherwise the archive would be walked through by time for the few, or all of the many be sorted.
    """
    for name, column in _AREAS.items():
        least = getattr(wanted, name)
        if least is None or wanted.event_type is None:
            continue
        is_large = (regions.c.event_type == wanted.event_type, column >= least)
        # In order of the area, so that its index is used whatever the planner believes.
        first = select(regions.c.id).where(*is_large).order_by(column).limit(_FEW + 1).subquery()
        if connection.execute(select(func.count()).select_from(first)).scalar_one() <= _FEW:
            narrow = (regions.c[name] for name in _KEY_COLUMNS)
            return select(*narrow).where(*is_large).cte("large").prefix_with("MATERIALIZED")
    return regions


_AREAS = {"area_msh_min": regions.c.area_msh, "disk_fraction_min": regions.c.disk_fraction}
_KEY_COLUMNS = (
    "id",
    "moment",
    "event_type",
    "instrument",
    "track_id",
    "frame_id",
    "area_msh",
    "disk_fraction",
)


def _conditions(source: FromClause, wanted: RegionFilter) -> list[ColumnElement[bool]]:
    def of_frame(condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return select(frames.c.id).where(frames.c.id == source.c.frame_id, condition).exists()

    conditions = {
        "event_type": lambda value: source.c.event_type == value,
        "instrument": lambda value: source.c.instrument == value,
        "time_from": lambda value: source.c.moment >= value,
        "time_to": lambda value: source.c.moment < value,
        "track_id": lambda value: source.c.track_id == value,
        "frame_id": lambda value: source.c.frame_id == value,
        # Written so that no index serves them: the order by time does.
        "area_msh_min": lambda value: source.c.area_msh + 0 >= value,
        "disk_fraction_min": lambda value: source.c.disk_fraction + 0 >= value,
        "wavelength_nm": lambda value: of_frame(frames.c.wavelength_nm.between(value - 0.05, value + 0.05)),
        "quality_min": lambda value: of_frame(frames.c.quality_score >= value),
    }
    return [
        condition(value)
        for name, condition in conditions.items()
        if (value := getattr(wanted, name)) is not None
    ]


def _rows(connection: Connection, ids: Sequence[int], *, with_outlines: bool) -> dict[int, dict[str, Any]]:
    if not ids:
        return {}
    columns = [column for column in regions.c if with_outlines or column.name not in _OUTLINE_COLUMNS]
    query = (
        select(
            *columns,
            *(frames.c[name] for name in _FRAME_COLUMNS),
            *(segmentations.c[name] for name in _RUN_COLUMNS),
        )
        .join(frames, frames.c.id == regions.c.frame_id)
        .join(
            segmentations,
            and_(
                segmentations.c.frame_id == regions.c.frame_id,
                segmentations.c.event_type == regions.c.event_type,
            ),
        )
        .where(regions.c.id.in_(ids))
    )
    return {row["id"]: _plain(row) for row in connection.execute(query).mappings()}


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}  # the driver's names are no plain str


def get(db: Database, region_id: int) -> dict[str, Any] | None:
    """One region, as `find` gives it."""
    with db.read() as connection:
        return _rows(connection, [region_id], with_outlines=True).get(region_id)


def region_of(row: Mapping[str, Any]) -> Region:
    """Undo the writing: the region that a row with outlines was made from, as far as it was kept."""
    return Region(
        event_type=EventType(row["event_type"]),
        rings_px=_rings(row["rings_px"]) or (),
        rings_hpc_arcsec=_rings(row["rings_hpc_arcsec"]),
        rings_carrington_deg=_rings(row["rings_carrington_deg"]),
        centroid_px=(row["centroid_x_px"], row["centroid_y_px"]),
        centroid_hpc_arcsec=_pair(row, "hpc_x_arcsec", "hpc_y_arcsec"),
        centroid_stonyhurst_deg=_pair(row, "stonyhurst_longitude_deg", "stonyhurst_latitude_deg"),
        centroid_carrington_deg=_pair(row, "carrington_longitude_deg", "carrington_latitude_deg"),
        bounding_box_px=tuple(row["bounding_box_px"]),
        **{name: row[name] for name in _FIGURES},
        **{name: float("nan") if row[name] is None else row[name] for name in _INTENSITIES},
    )


_FIGURES = ("disk_fraction", "area_px", "area_msh", "area_atdiskcenter_mm2", "probability")
_INTENSITIES = ("intensity_mean", "intensity_median", "intensity_min", "intensity_max", "intensity_std")


def _rings(lists: list[list[list[float]]] | None) -> tuple[np.ndarray, ...] | None:
    return None if lists is None else tuple(np.asarray(ring, np.float64) for ring in lists)


def _pair(row: Mapping[str, Any], first: str, second: str) -> tuple[float, float] | None:
    return None if row[first] is None or row[second] is None else (row[first], row[second])


def of_frame(db: Database, frame_id: int) -> list[dict[str, Any]]:
    """What was found in a frame: its segmentations by type, each with `items`, its regions."""
    with db.read() as connection:
        query = (
            select(*segmentations.c)
            .where(segmentations.c.frame_id == frame_id)
            .order_by(segmentations.c.event_type)
        )
        found = [_plain(row) for row in connection.execute(query).mappings()]
        if not found:
            return []
        mine = (
            select(*regions.c)
            .where(regions.c.frame_id == frame_id)
            .order_by(regions.c.event_type, regions.c.number)
        )
        rows = [_plain(row) for row in connection.execute(mine).mappings()]
    return [one | {"items": [row for row in rows if row["event_type"] == one["event_type"]]} for one in found]


def with_segmentation(db: Database, frame_ids: Iterable[int]) -> set[int]:
    """Those of some frames in which regions were looked for."""
    with db.read() as connection:
        query = select(segmentations.c.frame_id).where(segmentations.c.frame_id.in_(list(frame_ids)))
        return set(connection.execute(query).scalars())


def area_series(
    db: Database,
    event_type: EventType | None,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    *,
    bin_s: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Areas over the time of observation, oldest first, the newest ``limit`` of each type of event.

    Frames without a time are left out; frames in which nothing was found count with 0.
    """
    kinds = tuple(EventType) if event_type is None else (event_type,)
    found: list[dict[str, Any]] = []
    with db.read() as connection:
        for kind in kinds:
            conditions = [segmentations.c.event_type == kind, segmentations.c.is_dated.is_(True)]
            if instrument is not None:
                conditions.append(segmentations.c.instrument == instrument)
            if time_to is not None:
                conditions.append(segmentations.c.moment < time_to)
            if bin_s is None:
                found += _single_areas(connection, conditions, time_from, limit)
            else:
                found += _binned_areas(db, connection, conditions, time_from, bin_s, limit)
    found.sort(key=lambda row: (row["time"], row["event_type"], row["instrument"]))
    return found


_AREA_COLUMNS = (
    "event_type",
    "instrument",
    "frame_id",
    "regions",
    "disk_fraction",
    "disk_fraction_conservative",
    "disk_fraction_liberal",
    "area_msh",
)


def _single_areas(
    connection: Connection, conditions: list[ColumnElement[bool]], time_from: datetime | None, limit: int
) -> list[dict[str, Any]]:
    query = select(segmentations.c.moment.label("time"), *(segmentations.c[name] for name in _AREA_COLUMNS))
    if time_from is not None:
        query = query.where(segmentations.c.moment >= time_from)
    query = query.where(*conditions).order_by(segmentations.c.moment.desc()).limit(limit)
    return [_plain(row) for row in connection.execute(query).mappings()]


def _binned_areas(
    db: Database,
    connection: Connection,
    conditions: list[ColumnElement[bool]],
    time_from: datetime | None,
    bin_s: int,
    limit: int,
) -> list[dict[str, Any]]:
    bins, moment = _bins(db, bin_s), segmentations.c.moment
    found = newest_bins(connection, bins, moment, conditions, time_from, bin_s=bin_s, limit=limit)
    for row in found:
        row["time"] = datetime.fromtimestamp(row.pop("start"), UTC)
    return found


def _bins(db: Database, bin_s: int) -> Select[Any]:
    place, start = bin_columns(db, segmentations.c.moment, bin_s)
    share = segmentations.c.disk_fraction
    return select(
        start,
        segmentations.c.event_type,
        segmentations.c.instrument,
        func.count().label("frames"),
        func.avg(cast(segmentations.c.regions, Float)).label("regions"),
        func.avg(share).label("disk_fraction"),
        func.min(share).label("disk_fraction_min"),
        func.max(share).label("disk_fraction_max"),
        func.avg(segmentations.c.area_msh).label("area_msh"),
    ).group_by(place, segmentations.c.event_type, segmentations.c.instrument)


def track(db: Database, track_id: int) -> dict[str, Any] | None:
    """One track with `events`: what it split from or merged into, and what did so with it."""
    with db.read() as connection:
        row = connection.execute(select(*tracks.c).where(tracks.c.id == track_id)).mappings().one_or_none()
        if row is None:
            return None
        happened = connection.execute(
            select(*track_events.c)
            .where(or_(track_events.c.track_id == track_id, track_events.c.other_id == track_id))
            .order_by(track_events.c.moment, track_events.c.id)
        ).mappings()
        return _plain(row) | {"events": [_plain(one) for one in happened]}
