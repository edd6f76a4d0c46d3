"""Regions and their tracks: written in the transaction that ends their frame.

A frame has one set of regions for each type of event: those of the run that ended last. A run of the
same model with the same parameters by the same software changes nothing. Any other run replaces the
rows; its regions take over the tracks of those that they replace, and a track that only those had seen
goes. A run that could not look takes back what former ones found. The results keep what every model
said; here stands what is shown, filtered and followed.

Which region is which from frame to frame is decided by `observatory.tracking`; here that happens
for one frame of a type at a time, in whatever order the frames are finished. Questions are asked in
`region_catalogue`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, literal, select, text, update

from observatory.analysis import EventType, Region, Segmentation, Threshold
from observatory.orientation import PreviewAffine
from observatory.storage.column_types import UtcDateTime
from observatory.storage.provenance import parameters_hash
from observatory.storage.schema import regions, segmentations, track_events, tracks
from observatory.storage.session import Database
from observatory.storage.track_repair import APART, mend_tracks, take_back_merges, take_back_splits

if TYPE_CHECKING:
    from observatory.tracking import Track, Update

_LOCK_SPACE = 0x7472616B  # "trak": the first half of the key that the frames of one type take turns by
_LEAST_POINTS = 3  # of a ring
_PIXEL_DECIMALS = 2  # and of an arcsecond
_DEGREE_DECIMALS = 3  # of a degree: 12 km on the Sun


@dataclass(frozen=True)
class NewSegmentation:
    """What was found of one type of event, ready to be written.

    Attributes
    ----------
    preview_affine : PreviewAffine or None
        `observatory.orientation.preview_affine` of the frame; without it outlines cannot be laid over
        the preview.
    """

    segmentation: Segmentation
    preview_affine: PreviewAffine | None = None


@dataclass(frozen=True)
class FrameFacts:
    """What the rows of a frame's regions repeat of the frame."""

    id: int
    instrument: str
    date_obs: datetime | None
    received_at: datetime

    @property
    def moment(self) -> datetime:
        """What lists are ordered by."""
        return self.date_obs or self.received_at


def write(
    db: Database,
    connection: Connection,
    frame: FrameFacts,
    found: Sequence[NewSegmentation],
    software_version: str,
    looked_for: Sequence[EventType] = (),
) -> dict[str, dict[str, Any]]:
    """Write what was found in a frame, inside the caller's transaction.

    Call it before the events are appended: of the two locks, that of the events is the last one.

    Parameters
    ----------
    looked_for : sequence of EventType
        Types that this run would have looked for: where it could not, what a former run found goes.

    Returns
    -------
    dict
        For the frame's event: type of event to number of regions and share of the disk.
    """
    by_type = {new.segmentation.event_type: new for new in found}
    summary = {}
    for event_type in sorted({*by_type, *looked_for}):  # in this order, so that no two wait for each other
        former = _run_of(connection, frame.id, event_type)
        if event_type not in by_type:
            if former is not None:
                _take_turn(db, connection, event_type)
                take_back_merges(connection, frame.id, event_type)
                left = _remove(connection, frame.id, event_type)
                take_back_splits(connection, frame.id, left)
                mend_tracks(connection, left)
            continue
        _take_turn(db, connection, event_type)
        new = by_type[event_type]
        row = _segmentation_row(frame, new, software_version)
        if former != _run(row):
            if former is not None:
                take_back_merges(connection, frame.id, event_type)
            track_ids = _track(connection, frame, new.segmentation)  # while the former regions still tell
            left = _remove(connection, frame.id, event_type) if former else set()
            take_back_splits(connection, frame.id, left.difference(track_ids))
            connection.execute(insert(segmentations), [row])
            _insert_regions(connection, frame, new.segmentation, track_ids)
            mend_tracks(connection, left)
        summary[event_type.value] = {"regions": row["regions"], "disk_fraction": row["disk_fraction"]}
    return summary


def _take_turn(db: Database, connection: Connection, event_type: EventType) -> None:
    """Let frames of one type be tracked one after the other; SQLite has one writer anyway."""
    if not db.is_sqlite:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, :type)"),
            {"space": _LOCK_SPACE, "type": zlib.crc32(event_type.encode()) >> 1},
        )


def _segmentation_row(frame: FrameFacts, new: NewSegmentation, software_version: str) -> dict[str, Any]:
    found = new.segmentation
    fractions = {level: _finite(found.disk_fraction.get(level)) for level in Threshold}
    areas = [region.area_msh for region in found.regions]
    known = [area for area in areas if area is not None]
    return {
        "frame_id": frame.id,
        "event_type": found.event_type.value,
        "instrument": frame.instrument,
        "moment": frame.moment,
        "is_dated": frame.date_obs is not None,
        "model_name": found.model.name,
        "model_version": found.model.version,
        "model_sha256": found.model.sha256,
        "parameters_hash": parameters_hash(found.model),
        "software_version": software_version,
        "threshold": _finite(found.thresholds.get(Threshold.MEDIUM)),
        "regions": len(found.regions),
        "disk_fraction": fractions[Threshold.MEDIUM] or 0.0,
        "disk_fraction_conservative": fractions[Threshold.CONSERVATIVE],
        "disk_fraction_liberal": fractions[Threshold.LIBERAL],
        "area_msh": sum(known) if len(known) == len(areas) else None,
        "preview_affine": None if new.preview_affine is None else list(new.preview_affine),
    }


_RUN = ("model_name", "model_version", "model_sha256", "parameters_hash", "software_version")


def _run(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in _RUN)


def _run_of(connection: Connection, frame_id: int, event_type: EventType) -> tuple[str, ...] | None:
    """What made the regions that a frame has; None when nobody has looked yet."""
    query = select(*(segmentations.c[name] for name in _RUN)).where(
        segmentations.c.frame_id == frame_id, segmentations.c.event_type == event_type
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else tuple(row)


def _remove(connection: Connection, frame_id: int, event_type: EventType) -> set[int]:
    """Take back what a former run said of a frame; return the tracks that it had seen there."""
    connection.execute(
        delete(segmentations).where(
            segmentations.c.frame_id == frame_id, segmentations.c.event_type == event_type
        )
    )
    gone = connection.execute(
        delete(regions)
        .where(regions.c.frame_id == frame_id, regions.c.event_type == event_type)
        .returning(regions.c.track_id)
    ).scalars()
    return {track_id for track_id in gone if track_id is not None}


def _track(connection: Connection, frame: FrameFacts, found: Segmentation) -> list[int | None]:
    """Give each region its track; None for those without heliographic coordinates."""
    from observatory import tracking  # with OpenCV: loaded with the first frame, not by whoever only asks

    placed = [number for number, region in enumerate(found.regions) if _is_placed(region)]
    track_ids: list[int | None] = [None] * len(found.regions)
    if frame.date_obs is None or not placed:
        return track_ids
    sightings = tuple(
        tracking.Sighting.of(found.regions[number], frame.date_obs, frame.instrument) for number in placed
    )
    answer = tracking.update(
        _known_tracks(connection, frame, found.event_type),
        tracking.Observation(frame.date_obs, frame.instrument, found.event_type, sightings),
    )
    for index, track_id in _write_tracks(connection, frame, found.event_type, answer).items():
        track_ids[placed[index]] = track_id
    return track_ids


def _is_placed(region: Region) -> bool:
    return bool(region.rings_carrington_deg) and region.centroid_carrington_deg is not None


def _known_tracks(connection: Connection, frame: FrameFacts, event_type: EventType) -> list[Track]:
    """Tracks seen near a moment, each with its nearest sightings before and after by every instrument."""
    from observatory.tracking import MAX_GAP_DAYS, Track

    assert frame.date_obs is not None
    at, gap = frame.date_obs, timedelta(days=MAX_GAP_DAYS)
    near = [_nearest(name, at) for name in _instruments(connection, frame.instrument)]
    rows = connection.execute(
        select(tracks.c.id, tracks.c.merged_into_id, *(column for pair in near for column in pair)).where(
            tracks.c.event_type == event_type,
            tracks.c.last_seen >= at - gap,
            tracks.c.first_seen <= at + gap,
        )
    ).all()
    seen = _sightings(connection, {number for row in rows for number in row[2:] if number is not None})
    known = []
    for row in rows:
        theirs = [seen[number] for number in row[2:] if number in seen]
        theirs.sort(key=lambda sighting: sighting.date_obs)
        known.append(Track(row.id, event_type, tuple(theirs), row.merged_into_id))
    return [track for track in known if track.sightings]


def _nearest(instrument: str, at: datetime) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Subqueries: a track's last region up to a moment, and its first one after."""
    theirs = (
        select(regions.c.id)
        .where(regions.c.track_id == tracks.c.id, regions.c.instrument == instrument)
        .correlate(tracks)
        .limit(1)
    )
    before = theirs.where(regions.c.moment <= at).order_by(regions.c.moment.desc(), regions.c.id.desc())
    after = theirs.where(regions.c.moment > at).order_by(regions.c.moment, regions.c.id)
    return before.scalar_subquery(), after.scalar_subquery()


def _instruments(connection: Connection, own: str) -> list[str]:
    """Instruments that ever found regions, by jumps along the index."""
    name = segmentations.c.instrument
    seen = select(func.min(name).label("name")).cte("seen", recursive=True)
    following = select(func.min(name)).where(name > seen.c.name).scalar_subquery()
    seen = seen.union_all(select(following).where(seen.c.name.is_not(None)))
    names = connection.execute(select(seen.c.name).where(seen.c.name.is_not(None))).scalars()
    return sorted({*names, own})


def _sightings(connection: Connection, ids: Iterable[int]) -> dict[int, Any]:
    from observatory.tracking import Sighting

    rows = connection.execute(
        select(
            regions.c.id,
            regions.c.moment,
            regions.c.instrument,
            regions.c.rings_carrington_deg,
            regions.c.carrington_longitude_deg,
            regions.c.carrington_latitude_deg,
        ).where(regions.c.id.in_(list(ids)))
    )
    return {
        row.id: Sighting(
            date_obs=row.moment,
            instrument=row.instrument,
            rings_carrington_deg=tuple(np.asarray(ring, np.float64) for ring in row.rings_carrington_deg),
            centroid_carrington_deg=(row.carrington_longitude_deg, row.carrington_latitude_deg),
        )
        for row in rows
    }


def _write_tracks(
    connection: Connection, frame: FrameFacts, event_type: EventType, answer: Update
) -> dict[int, int]:
    """Persist what tracking decided; return each region's track."""
    track_ids = {item.region: item.track_id for item in answer.assignments}
    _note_sightings(connection, frame, track_ids.values())
    fresh = [_track_row(frame, event_type, item.parent_id) for item in answer.new]
    if fresh:
        statement = insert(tracks).returning(tracks.c.id, sort_by_parameter_order=True)
        made = connection.execute(statement, fresh).scalars()
        track_ids |= {item.region: number for item, number in zip(answer.new, made, strict=True)}
    if answer.revived:
        connection.execute(update(tracks).where(tracks.c.id.in_(answer.revived)).values(APART))
    for merge in answer.merges:
        connection.execute(
            update(tracks)
            .where(tracks.c.id == merge.absorbed_id)
            .values(merged_into_id=merge.into_id, merged_at=frame.date_obs)
        )
    events = [_event_row(frame, "return", number, None) for number in answer.revived]
    events += [_event_row(frame, "split", track_ids[item.region], item.parent_id) for item in answer.splits]
    events += [_event_row(frame, "merge", item.absorbed_id, item.into_id) for item in answer.merges]
    if events:
        connection.execute(insert(track_events), events)
    return track_ids


def _note_sightings(connection: Connection, frame: FrameFacts, track_ids: Iterable[int]) -> None:
    at = literal(frame.date_obs, UtcDateTime())
    first, last = tracks.c.first_seen, tracks.c.last_seen
    connection.execute(
        update(tracks)
        .where(tracks.c.id.in_(list(track_ids)))
        .values(
            first_seen=case((first > at, at), else_=first),
            last_seen=case((last < at, at), else_=last),
            sightings=tracks.c.sightings + 1,
        )
    )


def _track_row(frame: FrameFacts, event_type: EventType, parent_id: int | None) -> dict[str, Any]:
    return {
        "event_type": event_type.value,
        "first_seen": frame.date_obs,
        "last_seen": frame.date_obs,
        "sightings": 1,
        "parent_id": parent_id,
    }


def _event_row(frame: FrameFacts, kind: str, track_id: int, other_id: int | None) -> dict[str, Any]:
    return {
        "kind": kind,
        "moment": frame.date_obs,
        "frame_id": frame.id,
        "track_id": track_id,
        "other_id": other_id,
    }


def _insert_regions(
    connection: Connection, frame: FrameFacts, found: Segmentation, track_ids: Sequence[int | None]
) -> None:
    rows = [
        _region_row(region)
        | {
            "frame_id": frame.id,
            "event_type": found.event_type.value,
            "number": number,
            "instrument": frame.instrument,
            "moment": frame.moment,
            "track_id": track_id,
        }
        for number, (region, track_id) in enumerate(zip(found.regions, track_ids, strict=True), 1)
    ]
    if rows:
        connection.execute(insert(regions), rows)


def _region_row(region: Region) -> dict[str, Any]:
    hpc = region.centroid_hpc_arcsec or (None, None)
    stonyhurst = region.centroid_stonyhurst_deg or (None, None)
    carrington = region.centroid_carrington_deg or (None, None)
    figures = {
        "disk_fraction": region.disk_fraction,
        "area_px": region.area_px,
        "area_msh": region.area_msh,
        "area_atdiskcenter_mm2": region.area_atdiskcenter_mm2,
        "probability": region.probability,
        "intensity_mean": region.intensity_mean,
        "intensity_median": region.intensity_median,
        "intensity_min": region.intensity_min,
        "intensity_max": region.intensity_max,
        "intensity_std": region.intensity_std,
        "centroid_x_px": region.centroid_px[0],
        "centroid_y_px": region.centroid_px[1],
        "hpc_x_arcsec": hpc[0],
        "hpc_y_arcsec": hpc[1],
        "stonyhurst_longitude_deg": stonyhurst[0],
        "stonyhurst_latitude_deg": stonyhurst[1],
        "carrington_longitude_deg": carrington[0],
        "carrington_latitude_deg": carrington[1],
    }
    return {name: _finite(value) for name, value in figures.items()} | {
        "bounding_box_px": [round(float(edge), _PIXEL_DECIMALS) for edge in region.bounding_box_px],
        "rings_px": _ring_lists(region.rings_px, _PIXEL_DECIMALS),
        "rings_hpc_arcsec": _ring_lists(region.rings_hpc_arcsec, _PIXEL_DECIMALS),
        "rings_carrington_deg": _ring_lists(region.rings_carrington_deg, _DEGREE_DECIMALS),
    }


def _finite(value: Any) -> float | None:
    """Plain float; None for what is no number, which JSON and Postgres' order cannot hold."""
    return None if value is None or not math.isfinite(value) else float(value)


def _ring_lists(rings: Sequence[np.ndarray] | None, decimals: int) -> list[list[list[float]]] | None:
    """Rings as JSON, without points that are no numbers (beyond the limb) and what is left of no ring."""
    if rings is None:
        return None
    lists = []
    for ring in rings:
        points = np.round(np.asarray(ring, np.float64), decimals)
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) >= _LEAST_POINTS:
            lists.append(points.tolist())
    return lists
