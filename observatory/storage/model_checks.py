"""What was found of the models that run: golden frames, and how far their answers drift.

A check is claimed by a row, so that of many processes one does it; one that never ended is claimed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, and_, func, insert, select, update

from observatory.analysis import ModelIdentity
from observatory.storage import events
from observatory.storage.model_schema import model_checks
from observatory.storage.schema import frames, results
from observatory.storage.session import Database, take_turn
from observatory.storage.sky_schema import skies

_LOCK_KEY = 0x636865636B73  # "checks"
_PATIENCE = timedelta(minutes=10)  # a check that was claimed and never ended is made again
_PART = 500  # results a question
REFERENCE, RECENT = 1000, 300
"""Results of a model on one instrument: its first ones, and its newest."""
_NOT_OF_A_MODEL = frozenset(
    {"p_value", "sun_elevation_deg", "moon_elevation_deg", "moon_azimuth_deg", "moon_illuminated"}
)
"""Numbers of a result that follow from others, or from an ephemeris."""


class CheckKind(StrEnum):
    """What is checked."""

    GOLDEN = "golden"
    DRIFT = "drift"


@dataclass(frozen=True)
class Subject:
    """What a check is about.

    Attributes
    ----------
    instrument : str
        Whose frames drifted; empty for golden frames.
    provider : str
        What ran the golden frames; empty for drift.
    """

    kind: CheckKind
    model: ModelIdentity
    instrument: str = ""
    provider: str = ""


@dataclass(frozen=True)
class Check:
    """A check that was made.

    Attributes
    ----------
    ratio : float
        Of golden frames the share of right answers, of drift the largest KS statistic: 0 to 1.
    """

    subject: Subject
    checked_at: datetime
    ratio: float
    is_good: bool
    detail: Mapping[str, Any]


def claim(db: Database, subject: Subject, now: datetime, good_for: timedelta) -> int | None:
    """Claim a check; None where one was made lately, or is being made."""
    with db.write() as connection:
        take_turn(connection, _LOCK_KEY)  # processes that started together look at the same time
        newest = connection.execute(
            select(model_checks).where(*_about(subject)).order_by(model_checks.c.id.desc()).limit(1)
        ).one_or_none()
        if newest is not None:
            held_until = (
                newest.claimed_at + _PATIENCE if newest.checked_at is None else newest.checked_at + good_for
            )
            if now < held_until:
                return None
        row = {
            "kind": subject.kind,
            "model_name": subject.model.name,
            "model_version": subject.model.version,
            "model_sha256": subject.model.sha256,
            "instrument": subject.instrument,
            "provider": subject.provider,
            "claimed_at": now,
        }
        return int(
            connection.execute(insert(model_checks).values(row).returning(model_checks.c.id)).scalar_one()
        )


def finish(db: Database, number: int, check: Check) -> None:
    """Note what a claimed check found, and tell listeners."""
    subject = check.subject
    told = {
        "check": subject.kind.value,
        "model": subject.model.name,
        "version": subject.model.version,
        "ratio": check.ratio,
        "is_good": check.is_good,
    }
    with db.write() as connection:
        connection.execute(
            update(model_checks)
            .where(model_checks.c.id == number)
            .values(
                checked_at=check.checked_at,
                ratio=check.ratio,
                is_good=check.is_good,
                detail=dict(check.detail),
            )
        )
        about = subject.instrument or None
        events.append(db, connection, [events.NewEvent("status", about, None, told)])


def newest(db: Database, kind: CheckKind | None = None) -> list[Check]:
    """The newest check of each subject, by model."""
    named = ("kind", "model_name", "model_sha256", "instrument", "provider")
    last = (
        select(func.max(model_checks.c.id).label("id"))
        .where(
            model_checks.c.checked_at.is_not(None), *([] if kind is None else [model_checks.c.kind == kind])
        )
        .group_by(*(model_checks.c[name] for name in named))
        .subquery()
    )
    query = select(model_checks).join(last, last.c.id == model_checks.c.id)
    with db.read() as connection:
        rows = connection.execute(query.order_by(model_checks.c.model_name, model_checks.c.instrument)).all()
    return [_check(row) for row in rows]


def drifts_of(db: Database, instrument: str, start: datetime, end: datetime) -> list[Check]:
    """Checks of an instrument's drift from a time on and before another, the oldest first."""
    query = (
        select(model_checks)
        .where(
            model_checks.c.kind == CheckKind.DRIFT,
            model_checks.c.instrument == instrument,
            model_checks.c.checked_at >= start,
            model_checks.c.checked_at < end,
        )
        .order_by(model_checks.c.checked_at, model_checks.c.id)
    )
    with db.read() as connection:
        return [_check(row) for row in connection.execute(query)]


def first_values(db: Database, subject: Subject) -> dict[str, float]:
    """What a network answered to its golden frames the first time, by frame; empty before."""
    query = (
        select(model_checks.c.detail)
        .where(*_about(replace(subject, provider="")), model_checks.c.checked_at.is_not(None))
        .order_by(model_checks.c.id)
        .limit(1)
    )
    with db.read() as connection:
        detail = connection.execute(query).scalar()
    return dict((detail or {}).get("values", {}))


def forget(db: Database, before: datetime) -> int:
    """Drop old checks; the first of each network stays, for its values are what later ones are held to."""
    first = select(func.min(model_checks.c.id)).group_by(
        model_checks.c.kind, model_checks.c.model_name, model_checks.c.model_sha256
    )
    with db.write() as connection:
        done = connection.execute(
            model_checks.delete().where(model_checks.c.claimed_at < before, model_checks.c.id.not_in(first))
        )
    return int(done.rowcount)


Values = dict[str, NDArray[np.float64]]


def answers(db: Database, model: ModelIdentity, *, is_newest: bool, count: int) -> dict[str, Values]:
    """Numbers that a model gave, by instrument and quantity: its first or its newest ones.

    Scores, measures, probabilities, areas, what its results hold; of all-sky frames the network's features, too.
    Simulated frames are left out, and those of an archive: they say nothing of the sky tonight.
    """
    gathered: dict[str, dict[str, list[float]]] = {}
    for instrument, payload in _payloads(db, model, is_newest=is_newest, count=count):
        into = gathered.setdefault(instrument, {})
        for name, value in _numbers(payload):
            into.setdefault(name, []).append(value)
    return {
        instrument: {name: np.array(values, np.float64) for name, values in found.items()}
        for instrument, found in gathered.items()
    }


def _numbers(payload: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Finite numbers of a result, and of what it holds by name."""
    for name, value in payload.items():
        if isinstance(value, Mapping):
            yield from _numbers(value)
        elif _is_number(value) and name not in _NOT_OF_A_MODEL:
            yield name, float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _payloads(
    db: Database, model: ModelIdentity, *, is_newest: bool, count: int
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Instrument and payload of a model's results, up to so many of each instrument, a part at a time."""
    left: dict[str, int] = {}
    after: int | None = None
    order = results.c.id.desc() if is_newest else results.c.id.asc()
    for _ in range(40):  # 20 000 results at most: a rare instrument among many others is told later
        query = (
            select(results.c.id, frames.c.instrument, results.c.payload, skies.c.features)
            .join(frames, frames.c.id == results.c.frame_id)
            .outerjoin(skies, and_(skies.c.frame_id == frames.c.id, results.c.analysis == "sky"))
            .where(
                results.c.model_name == model.name,
                results.c.model_version == model.version,
                results.c.model_sha256 == model.sha256,
                frames.c.is_simulated.is_(False),
                frames.c.priority == "live",
            )
        )
        if after is not None:
            query = query.where(results.c.id < after if is_newest else results.c.id > after)
        with db.read() as connection:
            rows = connection.execute(query.order_by(order).limit(_PART)).all()
        for row in rows:
            if left.setdefault(row.instrument, count) > 0:
                left[row.instrument] -= 1
                yield row.instrument, {**row.payload, "features": _named(row.features)}
        if len(rows) < _PART or all(number == 0 for number in left.values()):
            return
        after = rows[-1].id


def _named(features: bytes | None) -> dict[str, float]:
    values = np.frombuffer(features or b"", "<f2").astype(float)
    return {f"feature {place}": float(value) for place, value in enumerate(values)}


def _about(subject: Subject) -> list[Any]:
    conditions = [
        model_checks.c.kind == subject.kind,
        model_checks.c.model_name == subject.model.name,
        model_checks.c.model_sha256 == subject.model.sha256,
        model_checks.c.instrument == subject.instrument,
    ]
    if subject.provider:
        conditions.append(model_checks.c.provider == subject.provider)
    return [and_(*conditions)]


def _check(row: Row[Any]) -> Check:
    model = ModelIdentity(row.model_name, row.model_version, row.model_sha256)
    subject = Subject(CheckKind(row.kind), model, row.instrument, row.provider)
    return Check(subject, row.checked_at, row.ratio, row.is_good, row.detail or {})
