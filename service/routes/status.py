"""The state of the whole system in one answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

import observatory
from observatory.storage import events, workers
from service import examples
from service.context import Here
from service.described import one_answer
from service.metrics import utc_now
from service.shapes import json_response

router = APIRouter(tags=["operation"])


class QueueShape(BaseModel):
    """What waits on one queue; `composites`, `cutouts` and `reprocessing` are of no one family."""

    queue: str
    family: str | None
    priority: str | None
    waiting: int
    oldest_age_s: float


class WorkerShape(BaseModel):
    """A process that lives."""

    name: str
    role: str
    started_at: datetime
    seen_at: datetime
    facts: dict[str, Any]


class StatusShape(BaseModel):
    """The state of the system."""

    time: datetime
    version: str
    frames: dict[str, int]
    queues: list[QueueShape]
    workers: list[WorkerShape]
    last_event: int
    listeners: int


@router.get("/status", responses=one_answer(StatusShape, examples.STATUS), response_class=Response)
def get_status(here: Here) -> Response:
    """Frames by status, what waits and for how long, who works, with which models."""
    now = utc_now()
    alive = workers.alive(here.db, now, here.settings.service.worker_silence_s)
    return json_response(
        {
            "time": now,
            "version": observatory.__version__,
            "frames": here.counts.get(),
            "queues": [
                {
                    "queue": item.queue,
                    "family": item.family,
                    "priority": item.priority,
                    "waiting": item.waiting,
                    "oldest_age_s": item.age_s(now),
                }
                for item in here.collector.backlogs()
                if item.waiting
            ],
            "workers": [{name: row[name] for name in WorkerShape.model_fields} for row in alive],
            "last_event": events.last_seq(here.db),
            "listeners": here.stream.listeners,
        }
    )
