"""Results and products: written with the frame's new state and its event, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from observatory.analysis import EventType, ModelIdentity, Quality
from observatory.storage import events, regions
from observatory.storage.files import StoredFile
from observatory.storage.frames import Status, held
from observatory.storage.provenance import parameters_hash
from observatory.storage.regions import FrameFacts, NewSegmentation
from observatory.storage.schema import UtcDateTime, causes, frames, products, results
from observatory.storage.session import Database


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
    """Quality as JSON, the names of the public face."""
    return {
        "score": round(quality.score, 6),
        "is_degraded": quality.is_degraded,
        "p_value": None if quality.p_value is None else round(quality.p_value, 6),
        "causes": [
            {"cause": item.cause.value, "probability": round(item.probability, 4)} for item in quality.causes
        ],
        "model": quality.model.label,
        "measures": {name: float(value) for name, value in quality.measures.items()},
        "region_extent_px": quality.region_extent_px,
    }


# Built once: to build a statement costs more than to run it on a small table.
_FINISH = (
    update(frames)
    .where(held(bindparam("frame"), bindparam("worker"), bindparam("since", type_=UtcDateTime())))
    .values(
        status=Status.DONE,
        reason=None,
        processed_at=bindparam("now"),
        claimed_by=None,
        quality_score=bindparam("score"),
        is_degraded=bindparam("degraded"),
    )
    .returning(
        frames.c.instrument,
        frames.c.file_name,
        frames.c.frame_index,
        frames.c.date_obs,
        frames.c.closed_at,
        frames.c.received_at,
    )
)
_NOTE_LATENCY = update(frames).where(frames.c.id == bindparam("frame")).values(latency_s=bindparam("latency"))
_FORGET_CAUSES = delete(causes).where(causes.c.frame_id == bindparam("frame"))


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
) -> bool:
    """End a frame as done, with everything found, or change nothing.

    Returns False when the claim was lost meanwhile (the sweeper gave the frame to another
    worker): then the other one's result counts and ours is dropped.

    Parameters
    ----------
    looked_for : sequence of EventType
        Types of event that were considered, those skipped among them: regions that a former run found
        of one that has no segmentation now are removed.
    claimed_at : datetime or None
        Of the `Claimed`: then another claim under the same name is left alone.
    """
    with db.write() as connection:
        row = connection.execute(
            _FINISH,
            {
                "frame": frame_id,
                "worker": worker,
                "since": claimed_at,
                "now": now,
                "score": None if quality is None else quality.score,
                "degraded": None if quality is None else quality.is_degraded,
            },
        ).one_or_none()
        if row is None:
            return False
        latency_s = (now - (row.closed_at or row.received_at)).total_seconds()
        connection.execute(_NOTE_LATENCY, {"frame": frame_id, "latency": latency_s})
        db.insert_new(
            connection, results, [_result_row(frame_id, item, software_version, now) for item in made]
        )
        connection.execute(_FORGET_CAUSES, {"frame": frame_id})
        if quality is not None and quality.causes:
            connection.execute(
                insert(causes),
                [
                    {"frame_id": frame_id, "cause": item.cause.value, "probability": item.probability}
                    for item in quality.causes
                ],
            )
        db.insert_new(connection, products, [_product_row(frame_id, item, now) for item in pictures])
        payload = {
            "id": frame_id,
            "instrument": row.instrument,
            "status": Status.DONE.value,
            "file_name": row.file_name,
            "frame": row.frame_index,
            "date_obs": row.date_obs,
            "latency_s": latency_s,
            "quality": None if quality is None else _short(quality),
        }
        if segmentations or looked_for:
            facts = FrameFacts(frame_id, row.instrument, row.date_obs, row.received_at)
            told = regions.write(db, connection, facts, segmentations, software_version, looked_for)
            if told:
                payload["regions"] = told
        events.append(db, connection, [events.NewEvent("result", row.instrument, frame_id, payload)])
    return True


def _short(quality: Quality) -> dict[str, Any]:
    payload = quality_payload(quality)
    return {name: payload[name] for name in ("score", "is_degraded", "p_value", "causes", "model")}


def _result_row(frame_id: int, item: NewResult, software_version: str, now: datetime) -> dict[str, Any]:
    return {
        "frame_id": frame_id,
        "analysis": item.analysis,
        "model_name": item.model.name,
        "model_version": item.model.version,
        "model_sha256": item.model.sha256,
        "parameters_hash": item.parameters_hash,
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


def of_frame(db: Database, frame_id: int) -> list[dict[str, Any]]:
    """Results of a frame, newest first."""
    with db.read() as connection:
        query = select(*results.c).where(results.c.frame_id == frame_id).order_by(results.c.id.desc())
        return [dict(row) for row in connection.execute(query).mappings()]


def newest_payloads(db: Database, frame_ids: Sequence[int], analysis: str) -> dict[int, dict[str, Any]]:
    """Newest payload of one analysis for each of some frames."""
    if not frame_ids:
        return {}
    with db.read() as connection:
        rows = connection.execute(
            select(results.c.frame_id, results.c.payload)
            .where(results.c.frame_id.in_(frame_ids), results.c.analysis == analysis)
            .order_by(results.c.id)
        ).all()
    return {row.frame_id: row.payload for row in rows}


def products_of(db: Database, frame_id: int) -> list[dict[str, Any]]:
    """Products of a frame, newest of each kind first."""
    with db.read() as connection:
        query = select(*products.c).where(products.c.frame_id == frame_id).order_by(products.c.id.desc())
        return [dict(row) for row in connection.execute(query).mappings()]


def product(db: Database, product_id: int) -> dict[str, Any] | None:
    """One product."""
    with db.read() as connection:
        row = (
            connection.execute(select(*products.c).where(products.c.id == product_id))
            .mappings()
            .one_or_none()
        )
        return None if row is None else dict(row)


def newest_products(db: Database, frame_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Newest product of each kind for each of some frames: frame to kind to product id."""
    if not frame_ids:
        return {}
    with db.read() as connection:
        rows = connection.execute(
            select(products.c.frame_id, products.c.kind, products.c.id)
            .where(products.c.frame_id.in_(frame_ids))
            .order_by(products.c.id)
        ).all()
    found: dict[int, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.frame_id, {})[row.kind] = row.id
    return found
