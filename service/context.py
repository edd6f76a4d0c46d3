"""What every request handler is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.types import Scope as AsgiScope

from observatory.settings import Settings
from observatory.storage.files import ProductFiles
from observatory.storage.series import DataSet
from observatory.storage.session import Database
from observatory.uploads import Spool
from service.alerting import AlertEngine
from service.identity import Keyring
from service.limits import Limiter
from service.metrics import DatabaseCollector
from service.remembered import Remembered
from service.slots import Slots, Turns
from service.stream import EventStream
from service.trail import Trail

QueueProbe = Callable[[], str | None]
"""Asks whether the queue can be reached: None when it can, else what is wrong."""

SendTask = Callable[[str, int, str], bool]
"""Puts a task with the number of a row on a queue; False when no broker took it."""


@dataclass(frozen=True)
class Context:
    """The parts of the running service."""

    settings: Settings
    db: Database
    files: ProductFiles
    stream: EventStream
    keyring: Keyring
    limiter: Limiter
    trail: Trail
    spool: Spool
    uploads: Slots
    waiting: Slots
    turns: Turns
    probe_queue: QueueProbe
    send_task: SendTask
    collector: DatabaseCollector
    overview: Remembered[list[dict[str, Any]]]
    counts: Remembered[dict[str, int]]
    series: Remembered[list[DataSet]]
    alerting: AlertEngine


async def context(request: Request) -> Context:
    """Give the running service's parts (a coroutine, so that no thread is needed for it)."""
    return request.app.state.context


def context_of(scope: AsgiScope) -> Context:
    """Give the same to what is no route."""
    return scope["app"].state.context


Here = Annotated[Context, Depends(context)]
