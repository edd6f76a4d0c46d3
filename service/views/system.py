"""The page *System*: what waits, who works and on what, how much room is left."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

import observatory
from observatory.settings import Device
from observatory.storage import events, workers
from observatory.storage.queues import Backlog
from service.context import Context, Here
from service.metrics import utc_now
from service.paging import base_of
from service.views.assets import templates
from service.views.models import PROVIDERS

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
_TIGHT = 0.1  # of a disk that is free
_STUCK_S = 60.0


@dataclass(frozen=True)
class Disk:
    """A file system that we write to or read from."""

    path: str
    purpose: str
    free_bytes: int
    total_bytes: int

    @property
    def used_share(self) -> float:
        """Part that is taken, 0 to 1."""
        return 1.0 - self.free_bytes / self.total_bytes if self.total_bytes else 1.0

    @property
    def is_tight(self) -> bool:
        """Whether it will soon be full."""
        return 1.0 - self.used_share < _TIGHT


@dataclass(frozen=True)
class Process:
    """A process that lives."""

    name: str
    role: str
    started_at: datetime
    seen_ago_s: float
    version: str
    models: Sequence[str]
    runs_on: Sequence[str]
    """Devices that its networks really run on."""


@dataclass(frozen=True)
class Page:
    """All of it."""

    now: datetime
    seq: int
    version: str
    database: str
    broker_fault: str | None
    wanted_device: str
    is_on_wanted: bool | None
    """Whether every network runs on the device that the settings ask for; None where none runs."""
    frames: Mapping[str, int]
    backlogs: Sequence[Backlog]
    processes: Sequence[Process]
    disks: Sequence[Disk]
    listeners: int

    @property
    def works(self) -> bool:
        """Whether a worker lives."""
        return any(one.role == "worker" for one in self.processes)

    def is_stuck(self, backlog: Backlog) -> bool:
        """Whether frames wait longer than they should."""
        return backlog.waiting > 0 and backlog.age_s(self.now) > _STUCK_S


@router.get("/system")
def page(request: Request, here: Here) -> Response:
    """The page."""
    values = {"base": base_of(request), "page": _page(here)}
    return templates.TemplateResponse(request, "system.html", values, headers=_FRESH)


def _page(here: Context) -> Page:
    now = utc_now()
    alive = workers.alive(here.db, now, here.settings.service.worker_silence_s)
    processes = [_process(row, now) for row in alive]
    wanted = here.settings.runtime.device
    on = {device for one in processes for device in one.runs_on}
    return Page(
        now=now,
        seq=events.last_seq(here.db),
        version=observatory.__version__,
        database="SQLite" if here.db.is_sqlite else "PostgreSQL",
        broker_fault=here.probe_queue(),
        wanted_device=wanted.value,
        is_on_wanted=(wanted is Device.CPU or "CPU" not in on) if on else None,
        frames=here.counts.get(),
        backlogs=here.collector.backlogs(),
        processes=processes,
        disks=_disks(here),
        listeners=here.stream.listeners,
    )


def _process(row: Mapping[str, Any], now: datetime) -> Process:
    facts = row["facts"]
    models = facts.get("models", ())
    return Process(
        name=row["name"],
        role=row["role"],
        started_at=row["started_at"],
        seen_ago_s=max(0.0, (now - row["seen_at"]).total_seconds()),
        version=str(facts.get("version", "")),
        models=sorted({f"{one.get('name')} {one.get('version')}" for one in models}),
        runs_on=sorted({PROVIDERS.get(one.get("provider"), str(one.get("provider"))) for one in models}),
    )


def _disks(here: Context) -> list[Disk]:
    """Each file system once, with the first purpose that it serves."""
    settings = here.settings
    places = [("products and data", settings.data_dir)]
    places += [("frames", folder) for folder in settings.watch]
    places += [
        (f"frames of {name}", folder) for name, one in settings.instruments.items() for folder in one.watch
    ]
    found: dict[int, Disk] = {}
    for purpose, path in places:
        there = next((one for one in (path.resolve(), *path.resolve().parents) if one.is_dir()), None)
        try:
            if there is None:
                continue  # another machine's folder
            device, usage = there.stat().st_dev, shutil.disk_usage(there)
        except OSError:
            continue
        found.setdefault(device, Disk(str(path), purpose, usage.free, usage.total))
    return list(found.values())
