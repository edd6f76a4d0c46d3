"""Where a number comes from: which frame, which model, which parameters, which software, and when.

A frame's results are a history. Of one subject (`quality`; `segmentation` with all its types of event)
the run that was written last is current, and what was current at any time before can be told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Row, and_, func, select, tuple_

from observatory.analysis import ModelIdentity
from observatory.storage.schema import composite_frames, frames, regions, results, segmentations
from observatory.storage.session import Database

_Said = TypeVar("_Said", bound=Row[Any])


def parameters_hash(model: ModelIdentity) -> str:
    """Hash of a model's parameters in a canonical order."""
    return hash_of(dict(model.parameters))


def hash_of(parameters: dict[str, Any]) -> str:
    """Hash of parameters in a canonical order."""
    canonical = orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(canonical).hexdigest()


def plain_parameters(model: ModelIdentity) -> dict[str, Any]:
    """A model's parameters as JSON keeps them: what their hash is taken of."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(dict(model.parameters), default=str))
    return plain


def subject_of(analysis: str) -> str:
    """What an analysis is about: the types of event of a segmentation are one subject."""
    return analysis.partition("-")[0]


def current_run(rows: Sequence[_Said], subject: str) -> list[_Said]:
    """Results of one subject that were written together last.

    Parameters
    ----------
    rows : sequence of rows
        A frame's results, oldest first.
    """
    about = [row for row in rows if subject_of(row.analysis) == subject]
    return [row for row in about if row.created_at == about[-1].created_at]


def of_frame(db: Database, frame_id: int, as_of: datetime | None = None) -> list[dict[str, Any]]:
    """Results of a frame, newest first, each with `is_current` and its `lineage`.

    Parameters
    ----------
    as_of : datetime or None
        What was known then: later results are left out, and the newest of the others are current.
    """
    with db.read() as connection:
        return _with_lineage(connection, frame_id, as_of)


def get(db: Database, result_id: int) -> dict[str, Any] | None:
    """One result, as `of_frame` gives it; None when there is none."""
    with db.read() as connection:
        frame_id = connection.execute(select(results.c.frame_id).where(results.c.id == result_id)).scalar()
        if frame_id is None:
            return None
        found = _with_lineage(connection, frame_id, None)
    return next(row for row in found if row["id"] == result_id)


_FEW = 10_000  # results that are all listed to draw some of them
_FRAME_FACTS = ("id", "sha256", "frame_index", "file_name", "instrument", "date_obs")
_RUN = ("model_sha256", "parameters_hash", "software_version")


def _with_lineage(connection: Connection, frame_id: int, as_of: datetime | None) -> list[dict[str, Any]]:
    query = select(*results.c).where(results.c.frame_id == frame_id)
    if as_of is not None:
        query = query.where(results.c.created_at <= as_of)
    rows = connection.execute(query.order_by(results.c.id)).all()
    if not rows:
        return []
    subjects = {subject_of(row.analysis) for row in rows}
    current = {row.id for subject in subjects for row in current_run(rows, subject)}
    frame = connection.execute(
        select(*(frames.c[name] for name in _FRAME_FACTS)).where(frames.c.id == frame_id)
    )
    facts = _plain(frame.one())
    shown = _shown_regions(connection, frame_id)
    found = []
    for row in reversed(rows):
        run = (row.analysis, *(getattr(row, name) for name in _RUN))
        lineage = {"frame": facts} | ({"regions": shown[run]} if run in shown else {})
        found.append(_plain(row) | {"is_current": row.id in current, "lineage": lineage})
    return found


def _shown_regions(connection: Connection, frame_id: int) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Regions that a frame shows now and the tracks they continue, by the run that found them."""
    query = (
        select(
            segmentations.c.event_type,
            *(segmentations.c[name] for name in _RUN),
            regions.c.id.label("region_id"),
            regions.c.track_id,
        )
        .outerjoin(
            regions,
            and_(
                regions.c.frame_id == segmentations.c.frame_id,
                regions.c.event_type == segmentations.c.event_type,
            ),
        )
        .where(segmentations.c.frame_id == frame_id)
        .order_by(regions.c.number)
    )
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in connection.execute(query):
        run = (f"segmentation-{row.event_type}", *(getattr(row, name) for name in _RUN))
        mine = found.setdefault(run, [])
        if row.region_id is not None:
            mine.append({"region_id": row.region_id, "track_id": row.track_id})
    return found


def sample(db: Database, count: int, random: Random) -> list[int]:
    """Numbers of some results, drawn at random, in order; all of them when there are no more.

    Of a long archive as many numbers are drawn and looked up as are needed: it is never read whole.
    """
    with db.read() as connection:
        few = list(connection.execute(select(results.c.id).limit(_FEW)).scalars())
        if len(few) < _FEW:
            return sorted(random.sample(few, min(count, len(few))))
        first, last = connection.execute(select(func.min(results.c.id), func.max(results.c.id))).one()
        drawn: set[int] = set()
        while len(drawn) < min(count, _FEW // 2):
            following = select(results.c.id).where(results.c.id >= random.randint(first, last))
            drawn.add(connection.execute(following.order_by(results.c.id).limit(1)).scalar_one())
    return sorted(drawn)


def composites_of(db: Database, frame_id: int) -> list[int]:
    """Numbers of the composites that a frame is part of."""
    query = select(composite_frames.c.composite_id).where(composite_frames.c.frame_id == frame_id)
    with db.read() as connection:
        return sorted(connection.execute(query).scalars())


def models_seen(db: Database) -> list[ModelIdentity]:
    """Every version of every model that results name, by name and version.

    Jumps from one to the next along the index instead of reading every result.
    """
    names = (results.c.model_name, results.c.model_version, results.c.model_sha256)
    query = select(*names).order_by(*names).limit(1)
    found: list[ModelIdentity] = []
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
        while row is not None:
            found.append(ModelIdentity(*row))
            row = connection.execute(query.where(tuple_(*names) > tuple_(*row))).one_or_none()
    return found


def _plain(row: Row[Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row._mapping.items()}  # the driver's names are no plain str
