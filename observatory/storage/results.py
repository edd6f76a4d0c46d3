"""Results of a run: written with its products, the frame's new state and its event, in one transaction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)

from observatory.analysis import Disturbance, EventType, ModelIdentity, Quality
from observatory.storage import enhancements, events, nights, regions, skies
from observatory.storage.column_types import UtcDateTime
from observatory.storage.files import StoredFile
from observatory.storage.frames import Status, held
from observatory.storage.nights import NewSlices
from observatory.storage.provenance import current_run, parameters_hash, plain_parameters, subject_of
from observatory.storage.provenance import of_frame as of_frame  # beside the other questions about a frame
from observatory.storage.regions import FrameFacts, NewSegmentation
from observatory.storage.schema import causes, frames, products, results
from observatory.storage.session import Database
from observatory.storage.skies import NewSky
from observatory.storage.texts import plain_text


@dataclass(frozen=True)
class NewResult:
    """What one analysis said, ready to be written."""

    analysis: str
    model: ModelIdentity
    payload: Mapping[str, Any]

    @property
    def parameters_hash(self) -> str:
        """Hash of the parameters in a canonical order."""
        return parameters_hash(self.model)


@dataclass(frozen=True)
class NewProduct:
    """A picture or file that is already on disk."""

    kind: str
    media_type: str
    file: StoredFile
    width: int | None = None
    height: int | None = None


def quality_payload(quality: Quality) -> dict[str, Any]:
    """Quality as JSON, the names of the public face; measures that are no numbers are left out."""
    return {
        "score": round(quality.score, 6),
        "is_degraded": quality.is_degraded,
        "p_value": None if quality.p_value is None else round(quality.p_value, 6),
        "causes": [
            {"cause": item.cause.value, "probability": round(item.probability, 4)} for item in quality.causes
        ],
        "model": quality.model.label,
        # Of pixels as large as 1e38 sums are infinite, which neither JSON nor Postgres can hold.
        "measures": {name: float(value) for name, value in quality.measures.items() if math.isfinite(value)},
        "region_extent_px": quality.region_extent_px,
    }


# Built once: to build a statement costs more than to run it on a small table.
_FINISH_COLUMNS = (
    frames.c.instrument,
    frames.c.file_name,
    frames.c.frame_index,
    frames.c.date_obs,
    frames.c.closed_at,
    frames.c.received_at,
)
_FINISH = (
    update(frames)
    .where(held(bindparam("frame"), bindparam("worker"), bindparam("since", type_=UtcDateTime())))
    .values(
        status=Status.DONE,
        reason=bindparam("note"),
        processed_at=bindparam("now"),
        claimed_by=None,
        quality_score=bindparam("score"),
        is_degraded=bindparam("degraded"),
        sky_class=bindparam("sky_class"),
    )
    .returning(*_FINISH_COLUMNS)
)
_NOTE_LATENCY = update(frames).where(frames.c.id == bindparam("frame")).values(latency_s=bindparam("latency"))
_FORGET_CAUSES = delete(causes).where(causes.c.frame_id == bindparam("frame"))


@dataclass(frozen=True)
class NewRun:
    """All that one run found in a frame, ready to be written.

    Attributes
    ----------
    quality : Quality or None
        None where the run did not judge the frame: what was said before stays.
    looked_for : sequence of EventType
        Types of event that were considered, those skipped among them: regions that a former run found
        of one that has no segmentation now are removed.
    sky : NewSky or None
        None where the run said nothing of it: what was said before stays.
    disturbance : Disturbance or None
        The same.
    slices : NewSlices or None
        What the frame adds to the pictures of its night; the same.
    """

    made: Sequence[NewResult]
    software_version: str
    now: datetime
    quality: Quality | None = None
    pictures: Sequence[NewProduct] = ()
    segmentations: Sequence[NewSegmentation] = ()
    looked_for: Sequence[EventType] = ()
    sky: NewSky | None = None
    disturbance: Disturbance | None = None
    slices: NewSlices | None = None


def finish(
    db: Database,
    frame_id: int,
    worker: str,
    *,
    quality: Quality | None,
    made: Sequence[NewResult],
    pictures: Sequence[NewProduct],
    software_version: str,
    now: datetime,
    segmentations: Sequence[NewSegmentation] = (),
    looked_for: Sequence[EventType] = (),
    claimed_at: datetime | None = None,
    sky: NewSky | None = None,
    disturbance: Disturbance | None = None,
    slices: NewSlices | None = None,
    note: str | None = None,
) -> bool:
    """End a frame as done, with everything found, or change nothing.

    Returns False when the claim was lost meanwhile (the sweeper gave the frame to another
    worker): then the other one's result counts and ours is dropped.

    Parameters
    ----------
    looked_for : sequence of EventType
        See `NewRun`.
    claimed_at : datetime or None
        Of the `Claimed`: then another claim under the same name is left alone.
    sky, disturbance, slices
        Of all-sky frames; see `NewRun`.
    note : str or None
        What stands as the frame's reason though it is done, such as why it has no time.
    """
    run = NewRun(
        made, software_version, now, quality, pictures, segmentations, looked_for, sky, disturbance, slices
    )
    with db.write() as connection:
        row = connection.execute(
            _FINISH,
            {
                "frame": frame_id,
                "worker": worker,
                "since": claimed_at,
                "now": now,
                "note": None if note is None else plain_text(note[:2000]),
                "score": None if quality is None else quality.score,
                "degraded": None if quality is None else quality.is_degraded,
                "sky_class": None if sky is None else sky.sky.sky_class,
            },
        ).one_or_none()
        if row is None:
            return False
        latency_s = (now - (row.closed_at or row.received_at)).total_seconds()
        connection.execute(_NOTE_LATENCY, {"frame": frame_id, "latency": latency_s})
        _add_results(connection, frame_id, run)
        _write_enhancement(db, connection, frame_id, row, run)
        _write_sky(db, connection, frame_id, row, run)
        if quality is not None:
            _write_causes(connection, frame_id, row, quality)
        else:
            connection.execute(_FORGET_CAUSES, {"frame": frame_id})
        _add_pictures(db, connection, frame_id, run)
        found = _write_regions(db, connection, frame_id, row, run)
        _tell(db, connection, frame_id, row, run, found, latency_s=latency_s)
    return True


def _outdated(run: NewRun) -> list[ColumnElement[bool]]:
    """Conditions: products of a frame that those of another run replace.

    The pictures of an enhancement follow it alone, as those of a sky: whoever only judges a frame anew leaves
    them, and whoever only enhances it anew leaves the others.
    """
    made_now = [
        and_(products.c.kind == item.kind, products.c.sha256 == item.file.sha256) for item in run.pictures
    ]
    conditions = [~or_(*made_now)] if made_now else []
    told = {
        enhancements.PICTURES: enhancements.is_told(run.made),
        skies.PICTURES: run.sky is not None,
    }
    apart = {kind for kinds in told for kind in kinds}
    follow = {kind for kinds, is_told in told.items() if is_told for kind in kinds}
    if follow and all(item.kind in apart for item in run.pictures):
        return [*conditions, products.c.kind.in_(sorted(follow))]
    return [*conditions, products.c.kind.not_in(sorted(apart - follow))]


_WORK_AGAIN = (
    update(frames)
    .where(
        frames.c.id == bindparam("frame"), frames.c.status.in_([Status.DONE, Status.FAILED, Status.REJECTED])
    )
    .values(
        # What was done keeps the time and the latency of its first result.
        processed_at=case(
            (frames.c.status == Status.DONE, frames.c.processed_at),
            else_=bindparam("now", type_=UtcDateTime()),
        ),
        status=Status.DONE,
        reason=case((frames.c.status == Status.DONE, frames.c.reason), else_=None),
    )
    .returning(*_FINISH_COLUMNS, frames.c.processed_at)
)


def finish_again(db: Database, connection: Connection, frame_id: int, run: NewRun) -> bool:
    """Write what another run found in a frame that was worked on before, in the caller's transaction.

    The former results stay beside the new ones; score, causes, regions and pictures follow the new.
    Returns False, and writes nothing, when the frame waits or is worked on anyway.
    """
    row = connection.execute(_WORK_AGAIN, {"frame": frame_id, "now": run.now}).one_or_none()
    if row is None:
        return False
    if run.pictures or run.sky is not None or enhancements.is_told(run.made):
        connection.execute(delete(products).where(products.c.frame_id == frame_id, *_outdated(run)))
        _add_pictures(db, connection, frame_id, run)
    new = _add_results(connection, frame_id, run)
    _write_enhancement(db, connection, frame_id, row, run)
    _write_sky(db, connection, frame_id, row, run)
    if run.sky is not None:
        said = update(frames).where(frames.c.id == frame_id).values(sky_class=run.sky.sky.sky_class)
        connection.execute(said)
    if run.quality is not None and "quality" in new:
        connection.execute(
            update(frames)
            .where(frames.c.id == frame_id)
            .values(quality_score=run.quality.score, is_degraded=run.quality.is_degraded)
        )
        _write_causes(connection, frame_id, row, run.quality)
    found = _write_regions(db, connection, frame_id, row, run)
    if new or row.processed_at == run.now:
        _tell(db, connection, frame_id, row, run, found, is_reprocessed=True)
    return True


def _write_causes(connection: Connection, frame_id: int, row: Row[Any], quality: Quality) -> None:
    connection.execute(_FORGET_CAUSES, {"frame": frame_id})
    if quality.causes:
        connection.execute(
            insert(causes),
            [
                {
                    "frame_id": frame_id,
                    "cause": item.cause.value,
                    "probability": item.probability,
                    "instrument": row.instrument,  # with the moment, what lists of frames go by
                    "moment": row.date_obs or row.received_at,
                }
                for item in quality.causes
            ],
        )


def _add_pictures(db: Database, connection: Connection, frame_id: int, run: NewRun) -> None:
    db.insert_new(connection, products, [_product_row(frame_id, item, run.now) for item in run.pictures])


def _write_regions(
    db: Database, connection: Connection, frame_id: int, row: Row[Any], run: NewRun
) -> dict[str, dict[str, Any]]:
    if not run.segmentations and not run.looked_for:
        return {}
    facts = _facts(frame_id, row)
    return regions.write(db, connection, facts, run.segmentations, run.software_version, run.looked_for)


def _write_enhancement(
    db: Database, connection: Connection, frame_id: int, row: Row[Any], run: NewRun
) -> None:
    enhancements.write(db, connection, _facts(frame_id, row), run.made, run.software_version)


def _write_sky(db: Database, connection: Connection, frame_id: int, row: Row[Any], run: NewRun) -> None:
    if run.sky is not None or run.disturbance is not None:
        facts = _facts(frame_id, row)
        skies.write(db, connection, facts, run.sky, run.disturbance, run.software_version)
    if run.slices is not None:
        nights.write(db, connection, _facts(frame_id, row), run.slices, run.now)


def _facts(frame_id: int, row: Row[Any]) -> FrameFacts:
    return FrameFacts(frame_id, row.instrument, row.date_obs, row.received_at)


def _tell(
    db: Database,
    connection: Connection,
    frame_id: int,
    row: Row[Any],
    run: NewRun,
    found: Mapping[str, Any],
    **more: Any,
) -> None:
    """Write the event, the last step of a transaction."""
    payload = {
        "id": frame_id,
        "instrument": row.instrument,
        "status": Status.DONE.value,
        "file_name": row.file_name,
        "frame": row.frame_index,
        "date_obs": row.date_obs,
        "received_at": row.received_at,
        **more,
        "quality": None if run.quality is None else _short(run.quality),
    }
    if found:
        payload["regions"] = found
    if run.sky is not None:
        payload["sky"] = skies.short(run.sky.sky)
    events.append(db, connection, [events.NewEvent("result", row.instrument, frame_id, payload)])


def _add_results(connection: Connection, frame_id: int, run: NewRun) -> set[str]:
    """Write the results of those subjects of which something else was said last; return these subjects.

    The frame's row is locked: nobody else adds to its results meanwhile.
    """
    if not run.made:
        return set()
    former = connection.execute(_FORMER, {"frame": frame_id}).all()
    rows = []
    written = set()
    for subject, items in groupby(sorted(run.made, key=_subject_of), _subject_of):
        new = list(items)
        if not _is_said_already(new, current_run(former, subject), run.software_version):
            rows += [_result_row(frame_id, item, run.software_version, run.now) for item in new]
            written.add(subject)
    if rows:
        connection.execute(insert(results), rows)
    return written


_FORMER = select(*results.c).where(results.c.frame_id == bindparam("frame")).order_by(results.c.id)


def _subject_of(item: NewResult) -> str:
    return subject_of(item.analysis)


def _is_said_already(new: Sequence[NewResult], said: Sequence[Row[Any]], software_version: str) -> bool:
    """Whether the last run was of the same models, parameters and software, or had the same to say."""
    before = {(row.analysis, row.model_sha256, row.parameters_hash): row for row in said}
    keys = {(item.analysis, item.model.sha256, item.parameters_hash): item for item in new}
    return before.keys() == keys.keys() and all(
        before[key].software_version == software_version
        or _canonical(before[key].payload) == _canonical(item.payload)
        for key, item in keys.items()
    )


def _canonical(payload: Mapping[str, Any]) -> bytes:
    return orjson.dumps(dict(payload), option=orjson.OPT_SORT_KEYS)


_SHORT = ("score", "is_degraded", "p_value", "causes", "model")


def _short(quality: Quality) -> dict[str, Any]:
    payload = quality_payload(quality)
    return {name: payload[name] for name in _SHORT}


def _result_row(frame_id: int, item: NewResult, software_version: str, now: datetime) -> dict[str, Any]:
    return {
        "frame_id": frame_id,
        "analysis": item.analysis,
        "model_name": item.model.name,
        "model_version": item.model.version,
        "model_sha256": item.model.sha256,
        "parameters_hash": item.parameters_hash,
        "parameters": plain_parameters(item.model),
        "software_version": software_version,
        "payload": dict(item.payload),
        "created_at": now,
    }


def _product_row(frame_id: int, item: NewProduct, now: datetime) -> dict[str, Any]:
    return {
        "frame_id": frame_id,
        "kind": item.kind,
        "media_type": item.media_type,
        "sha256": item.file.sha256,
        "path": item.file.path,
        "bytes": item.file.bytes,
        "width": item.width,
        "height": item.height,
        "created_at": now,
    }


def newest_payloads(
    db: Database, frame_ids: Sequence[int], analysis: str, as_of: datetime | None = None
) -> dict[int, dict[str, Any]]:
    """Newest payload of one analysis for each of some frames.

    Parameters
    ----------
    as_of : datetime or None
        What was the newest then: results made later are passed over.
    """
    if not frame_ids:
        return {}
    query = select(results.c.frame_id, results.c.payload).where(
        results.c.frame_id.in_(frame_ids), results.c.analysis == analysis
    )
    if as_of is not None:
        query = query.where(results.c.created_at <= as_of)
    with db.read() as connection:
        rows = connection.execute(query.order_by(results.c.id)).all()
    return {row.frame_id: row.payload for row in rows}


def quality_as_of(db: Database, frame_ids: Sequence[int], as_of: datetime) -> dict[int, dict[str, Any]]:
    """What was known of the quality of some frames at a time; frames not judged by then are left out.

    Returns
    -------
    dict
        Frame to ``score``, ``is_degraded``, ``p_value``, ``causes`` and ``model``, as `quality_payload`.
    """
    found = newest_payloads(db, frame_ids, "quality", as_of)
    return {frame_id: {name: payload.get(name) for name in _SHORT} for frame_id, payload in found.items()}


def sky_as_of(db: Database, frame_ids: Sequence[int], as_of: datetime) -> dict[int, dict[str, Any]]:
    """What was known of the skies of some frames at a time, as `skies.of_frames`.

    Where a camera stands is told as it is known now.
    """
    now = skies.of_frames(db, frame_ids)
    then = newest_payloads(db, list(now), skies.ANALYSIS, as_of)
    felt = newest_payloads(db, list(then), skies.DISTURBANCE_ANALYSIS, as_of)
    return {
        frame_id: {name: payload.get(name) for name in now[frame_id]}
        | {"site": now[frame_id]["site"], "disturbance": felt.get(frame_id)}
        for frame_id, payload in then.items()
    }
