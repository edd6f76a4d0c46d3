"""Which network runs for each model, which one tries beside it, and how that came about.

A network begins as the candidate of its model: it runs beside the live one and decides nothing. To
promote it makes it the live one, at once and for all workers; to roll back makes the one before it live
again, which may be the network that ships with the software (then there is no live row).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from observatory.errors import HeliowatchError
from observatory.storage import events
from observatory.storage.model_schema import deployment_steps, deployments
from observatory.storage.session import Database, take_turn
from observatory.storage.texts import plain_text

# Changes of all models take one turn: none is made of what another has changed, and workers compare the number of
# the last change, so that numbers must become visible in their order.
_LOCK_KEY = 0x6465706C6F79  # "deploy"


class Role(StrEnum):
    """What a network is to its model."""

    CANDIDATE = "candidate"
    LIVE = "live"
    FORMER = "former"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class Step(StrEnum):
    """What was done."""

    STAGED = "staged"
    REFUSED = "refused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    WITHDRAWN = "withdrawn"


class NoSuchDeploymentError(HeliowatchError):
    """What is asked for does not stand as it would have to."""


@dataclass(frozen=True)
class Deployment:
    """A network that was given to the system.

    Attributes
    ----------
    folder : str
        Below the data folder; it holds manifest and network.
    """

    id: int
    model_name: str
    model_version: str
    model_sha256: str
    folder: str
    role: Role
    reason: str | None
    created_at: datetime
    author: str


@dataclass(frozen=True)
class StepTaken:
    """One line of the history; without a deployment it is about the network that ships."""

    id: int
    model_name: str
    deployment_id: int | None
    step: Step
    created_at: datetime
    author: str


@dataclass(frozen=True)
class Line:
    """What stands now.

    Attributes
    ----------
    generation : int
        Grows with every change.
    live, candidates : tuple of Deployment
        At most one for each model; a model without a live one runs what ships.
    """

    generation: int
    live: tuple[Deployment, ...]
    candidates: tuple[Deployment, ...]


def generation(db: Database) -> int:
    """Number of the last change; 0 when there never was one."""
    with db.read() as connection:
        return int(connection.execute(select(func.coalesce(func.max(deployment_steps.c.id), 0))).scalar_one())


def line(db: Database) -> Line:
    """What runs and what tries, now."""
    with db.read() as connection:
        number = connection.execute(select(func.coalesce(func.max(deployment_steps.c.id), 0))).scalar_one()
        query = select(deployments).where(deployments.c.role.in_([Role.LIVE, Role.CANDIDATE]))
        found = [_deployment(row) for row in connection.execute(query.order_by(deployments.c.model_name))]
    return Line(
        int(number),
        tuple(one for one in found if one.role is Role.LIVE),
        tuple(one for one in found if one.role is Role.CANDIDATE),
    )


def stage(
    db: Database,
    *,
    name: str,
    version: str,
    sha256: str,
    folder: str,
    author: str,
    now: datetime,
    refusal: str | None = None,
) -> Deployment:
    """Take a network in as the candidate of its model; the candidate before it is withdrawn.

    Parameters
    ----------
    refusal : str or None
        Why it may not become the candidate: then only that is noted.
    """
    with db.write() as connection:
        take_turn(connection, _LOCK_KEY)
        if refusal is None:
            _change_role(connection, name, Role.CANDIDATE, Role.WITHDRAWN)
        row = connection.execute(
            insert(deployments)
            .values(
                model_name=name,
                model_version=version[:32],
                model_sha256=sha256,
                folder=folder,
                role=Role.CANDIDATE if refusal is None else Role.REFUSED,
                reason=None if refusal is None else plain_text(refusal),
                created_at=now,
                author=_author(author),
            )
            .returning(*deployments.c)
        ).one()
        step = Step.STAGED if refusal is None else Step.REFUSED
        _note(db, connection, name, row.id, step, author, now)
        return _deployment(row)


def promote(db: Database, name: str, author: str, now: datetime) -> Deployment:
    """Make a model's candidate the live network.

    Raises
    ------
    NoSuchDeploymentError
        When the model has no candidate.
    """
    with db.write() as connection:
        take_turn(connection, _LOCK_KEY)
        row = _of_role(connection, name, Role.CANDIDATE)
        if row is None:
            raise NoSuchDeploymentError(
                f"{name} has no candidate; `heliowatch models candidate FOLDER` takes one in"
            )
        _change_role(connection, name, Role.LIVE, Role.FORMER)
        _change_role(connection, name, Role.CANDIDATE, Role.LIVE)
        _note(db, connection, name, row.id, Step.PROMOTED, author, now)
        return _deployment(_of_role(connection, name, Role.LIVE) or row)


def roll_back(db: Database, name: str, author: str, now: datetime) -> Deployment | None:
    """Make the network live that was before the last promotion; None: the one that ships.

    Raises
    ------
    NoSuchDeploymentError
        When the model runs what ships already.
    """
    with db.write() as connection:
        take_turn(connection, _LOCK_KEY)
        row = _of_role(connection, name, Role.LIVE)
        if row is None:
            raise NoSuchDeploymentError(f"{name} runs the network that ships with the software already")
        before = _live_before(connection, name, row.id)
        _change_role(connection, name, Role.LIVE, Role.FORMER)
        if before is not None:
            connection.execute(
                update(deployments).where(deployments.c.id == before.id).values(role=Role.LIVE)
            )
        _note(db, connection, name, before.id if before else None, Step.ROLLED_BACK, author, now)
        return None if before is None else _deployment(_of_role(connection, name, Role.LIVE) or before)


def withdraw(db: Database, name: str, author: str, now: datetime) -> Deployment:
    """Let a model's candidate try no longer.

    Raises
    ------
    NoSuchDeploymentError
        When the model has none.
    """
    with db.write() as connection:
        take_turn(connection, _LOCK_KEY)
        row = _of_role(connection, name, Role.CANDIDATE)
        if row is None:
            raise NoSuchDeploymentError(f"{name} has no candidate")
        _change_role(connection, name, Role.CANDIDATE, Role.WITHDRAWN)
        _note(db, connection, name, row.id, Step.WITHDRAWN, author, now)
        return _deployment(row)


def listed(db: Database, name: str | None = None, limit: int = 50) -> list[Deployment]:
    """The newest networks that were given to the system."""
    query = select(deployments).order_by(deployments.c.id.desc()).limit(limit)
    if name is not None:
        query = query.where(deployments.c.model_name == name)
    with db.read() as connection:
        return [_deployment(row) for row in connection.execute(query)]


def with_network(db: Database, name: str, sha256: str) -> Deployment | None:
    """The newest deployment of one very network, whatever became of it; None where it was never given."""
    query = (
        select(deployments)
        .where(deployments.c.model_name == name, deployments.c.model_sha256 == sha256)
        .order_by(deployments.c.id.desc())
        .limit(1)
    )
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _deployment(row)


def history(db: Database, name: str | None = None, limit: int = 50) -> list[StepTaken]:
    """The newest changes."""
    query = select(deployment_steps).order_by(deployment_steps.c.id.desc()).limit(limit)
    if name is not None:
        query = query.where(deployment_steps.c.model_name == name)
    with db.read() as connection:
        rows = connection.execute(query).all()
    return [StepTaken(**{**dict(row._mapping), "step": Step(row.step)}) for row in rows]


def _of_role(connection: Connection, name: str, role: Role) -> Row[Any] | None:
    query = select(deployments).where(deployments.c.model_name == name, deployments.c.role == role)
    return connection.execute(query).one_or_none()


def _change_role(connection: Connection, name: str, old: Role, new: Role) -> None:
    connection.execute(
        update(deployments)
        .where(deployments.c.model_name == name, deployments.c.role == old)
        .values(role=new)
    )


def _live_before(connection: Connection, name: str, number: int) -> Row[Any] | None:
    """The network that was live when this one was first promoted; None: what ships, or an older history."""
    steps = connection.execute(
        select(deployment_steps)
        .where(
            deployment_steps.c.model_name == name,
            deployment_steps.c.step.in_([Step.PROMOTED, Step.ROLLED_BACK]),
        )
        .order_by(deployment_steps.c.id)
    ).all()
    stack: list[int] = []
    for step in steps:
        if step.step == Step.PROMOTED:
            stack.append(step.deployment_id)
        elif stack:
            stack.pop()
    before = _before(stack, number)
    if before is None:
        return None
    return connection.execute(select(deployments).where(deployments.c.id == before)).one_or_none()


def _before(stack: Sequence[int], number: int) -> int | None:
    return stack[-2] if len(stack) > 1 and stack[-1] == number else None


def _note(
    db: Database,
    connection: Connection,
    name: str,
    number: int | None,
    step: Step,
    author: str,
    now: datetime,
) -> None:
    connection.execute(
        insert(deployment_steps).values(
            model_name=name, deployment_id=number, step=step, created_at=now, author=_author(author)
        )
    )
    told = {"model": name, "step": step.value, "deployment": number}
    events.append(db, connection, [events.NewEvent("status", None, None, told)])


def _author(name: str) -> str:
    return plain_text(name)[:128]


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(**{**dict(row._mapping), "role": Role(row.role)})
