"""What candidates said beside the live models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select

from observatory.storage.model_schema import shadow_results
from observatory.storage.schema import frames
from observatory.storage.session import Database


@dataclass(frozen=True)
class ShadowResult:
    """A candidate's answer to one frame beside the live one.

    Attributes
    ----------
    agreement : float
        How alike the two are, 0 to 1.
    is_alike : bool
        Whether both decide the same.
    live_value, candidate_value : float or None
        The numbers that the answers come from.
    words : str or None
        The difference, where there is one.
    seconds : float
        That the candidate took.
    """

    frame_id: int
    live_sha256: str
    agreement: float
    is_alike: bool
    live_value: float | None
    candidate_value: float | None
    words: str | None
    seconds: float


@dataclass(frozen=True)
class Agreement:
    """All that a candidate said so far, in numbers.

    Attributes
    ----------
    frames, alike : int
    mean : float or None
        Mean agreement, 0 to 1; None before the first frame.
    seconds : float or None
        Mean time that it took.
    """

    frames: int
    alike: int
    mean: float | None
    seconds: float | None

    @property
    def share(self) -> float | None:
        """Share of frames with the same decision, 0 to 1."""
        return self.alike / self.frames if self.frames else None


@dataclass(frozen=True)
class Difference:
    """A frame of which the two decide otherwise."""

    frame_id: int
    instrument: str | None
    moment: datetime
    agreement: float
    words: str | None


def put(db: Database, deployment_id: int, result: ShadowResult, now: datetime) -> None:
    """Keep an answer; a second one to the same frame changes nothing."""
    row = {"deployment_id": deployment_id, "created_at": now, **vars(result)}
    with db.write() as connection:
        known = select(shadow_results.c.frame_id).where(
            shadow_results.c.deployment_id == deployment_id, shadow_results.c.frame_id == result.frame_id
        )
        if connection.execute(known).first() is None:
            connection.execute(insert(shadow_results).values(row))


def agreement(db: Database, deployment_id: int) -> Agreement:
    """What a candidate said so far."""
    query = select(
        func.count(),
        func.count().filter(shadow_results.c.is_alike.is_(True)),
        func.avg(shadow_results.c.agreement),
        func.avg(shadow_results.c.seconds),
    ).where(shadow_results.c.deployment_id == deployment_id)
    with db.read() as connection:
        return Agreement(*connection.execute(query).one())


def differences(db: Database, deployment_id: int, limit: int = 20) -> Sequence[Difference]:
    """The frames that a candidate judges most otherwise."""
    query = (
        select(
            shadow_results.c.frame_id,
            frames.c.instrument,
            frames.c.moment,
            shadow_results.c.agreement,
            shadow_results.c.words,
        )
        .join(frames, frames.c.id == shadow_results.c.frame_id)
        .where(shadow_results.c.deployment_id == deployment_id, shadow_results.c.is_alike.is_(False))
        .order_by(shadow_results.c.agreement, shadow_results.c.frame_id)
        .limit(limit)
    )
    with db.read() as connection:
        return [Difference(*row) for row in connection.execute(query)]
