"""`heliowatch reprocess`: stored frames are worked on once more, after everything else; resumable."""

from __future__ import annotations

import getpass
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer
from pydantic import ValidationError
from rich.progress import Progress

from heliowatch.asked import check_instrument
from heliowatch.house import stop_on_signals
from heliowatch.progress import progress_bars
from heliowatch.sources import open_database
from models.runtime import Runtime
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import reprocess_jobs
from observatory.storage import workers as workers_heard
from observatory.storage.reprocess_jobs import Job, JobStatus
from observatory.storage.session import Database
from observatory.words import counted
from service.filters import FrameFilters
from workers.app import make_app
from workers.dispatcher import Dispatcher
from workers.pipelines import Pipelines
from workers.worker import EmbeddedWorker

_LOOK_S = 0.3
_STOPPED = 130


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes
    ----------
    filters : Mapping
        As the API takes them; None for those not given.
    """

    filters: Mapping[str, Any]
    model: str | None = None
    is_dry_run: bool = False
    cancel: int | None = None
    workers: int | None = None


def run_reprocess(settings: Settings, wanted: Wanted) -> int:
    """Start a job, or go on with the one that asked for the same, and wait for its end.

    Embedded, this process does the work, and where it stops the next one goes on; with a Redis the
    running workers do, and go on without us. 1 when a frame could not be worked on again.
    """
    db = open_database(settings)
    if wanted.cancel is not None:
        return _cancel(db, wanted.cancel)
    choice = _choice(wanted.filters)
    check_instrument(db, settings, choice.instrument)
    families = None if wanted.model is None else families_of(settings, wanted.model)
    if wanted.is_dry_run:
        typer.echo(counted(reprocess_jobs.count(db, choice.as_filter, families), "frame"))
        return 0
    job = reprocess_jobs.same_as(db, choice.as_filter, wanted.model)
    if job is None:
        job = reprocess_jobs.create(
            db,
            author=getpass.getuser(),
            wanted=choice.as_filter,
            model=wanted.model,
            families=families,
            now=datetime.now(UTC),
        )
        typer.echo(f"job {job.id}: {counted(job.frames, 'frame')}", err=True)
    else:
        typer.echo(
            f"job {job.id} goes on: {job.ended} of {counted(job.frames, 'frame')} ended before", err=True
        )
    return _follow(settings, db, job, wanted.workers)


def _choice(filters: Mapping[str, Any]) -> FrameFilters:
    """Read the filters with the API's own words.

    Raises
    ------
    SettingsError
        With what is wrong, and what is allowed.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    try:
        return FrameFilters(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        allowed = FrameFilters.model_fields[name].description
        flag = f"--{name.replace('_', '-')}"
        raise SettingsError(
            f"{flag} {given[name]}: {first['msg'].removeprefix('Value error, ')}; {allowed}"
        ) from error


def families_of(settings: Settings, model: str) -> list[str]:
    """Kinds of frame that an installed model is for.

    Raises
    ------
    SettingsError
        When it is not installed.
    """
    runtime = Runtime(
        device=settings.runtime.device.value,
        intra_op_threads=settings.runtime.threads,
        networks=settings.enhancement.networks,
        disturbance=settings.disturbance_models,
    )
    found: dict[str, list[str]] = {}
    for pipeline in Pipelines(runtime).all():
        for known in pipeline.models:
            found.setdefault(known.name, []).append(pipeline.family)
    if model not in found:
        raise SettingsError(f"--model {model}: not installed; there are {', '.join(sorted(found))}")
    return found[model]


def _cancel(db: Database, number: int) -> int:
    job = reprocess_jobs.cancel(db, number, datetime.now(UTC))
    if job is None:
        raise SettingsError(f"--cancel {number}: there is no such job")
    typer.echo(f"job {number} is {job.status.value}: {_counts(job)}")
    return 0 if job.status is JobStatus.CANCELLED else 1


def _follow(settings: Settings, db: Database, job: Job, workers: int | None) -> int:
    stopped = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(stop_on_signals(stopped.set))
        dispatcher = stack.enter_context(_hands(settings, db, workers))
        _watch(settings, db, job, dispatcher, stopped, stack.enter_context(progress_bars()))
    reprocess_jobs.close_finished(db, datetime.now(UTC))  # the threads may have ended the last ones since
    job = reprocess_jobs.get(db, job.id) or job
    typer.echo(_counts(job))
    for failure in reprocess_jobs.failures(db, job.id, 10):
        typer.echo(f"frame {failure['frame_id']}: {failure['reason']}", err=True)
    if job.is_active:
        typer.echo(f"job {job.id} is not done: the same command goes on with it", err=True)
        return _STOPPED
    is_whole = job.status is JobStatus.DONE and job.ended == job.frames
    return 0 if is_whole and not job.counts[reprocess_jobs.ItemStatus.FAILED] else 1


@contextmanager
def _hands(settings: Settings, db: Database, workers: int | None) -> Iterator[Dispatcher]:
    """Who works: embedded, threads of this process."""
    if workers is not None:
        changed = settings.worker.model_copy(update={"processes": workers})
        settings = settings.model_copy(update={"worker": changed})
    app = make_app(settings)
    dispatcher = Dispatcher(settings, db)
    if not settings.is_embedded:
        yield dispatcher
        return
    worker = EmbeddedWorker(settings, app)
    worker.start()
    try:
        yield dispatcher
    finally:
        worker.stop()
        dispatcher.take_back()


def _watch(
    settings: Settings,
    db: Database,
    job: Job,
    dispatcher: Dispatcher,
    stopped: threading.Event,
    bars: Progress,
) -> None:
    """Show how far the job is until it ends or we are stopped."""
    bar = bars.add_task("frames worked on again", total=max(job.frames, 1), completed=job.ended)
    is_said = settings.is_embedded  # its worker is this process
    while True:
        began = time.monotonic()
        dispatcher.sweep(datetime.now(UTC))
        job = reprocess_jobs.get(db, job.id) or job
        bars.update(bar, total=max(job.frames, job.ended, 1), completed=job.ended)
        if not job.is_active or stopped.is_set():
            return
        if not is_said and not _is_worked_on(settings, db):
            is_said = True
            bars.console.print("no worker is heard of: start `heliowatch worker`; this waits for it")
        # To count a million frames takes a while: no more than a tenth of the time goes into it.
        stopped.wait(max(_LOOK_S, 10 * (time.monotonic() - began)))


def _is_worked_on(settings: Settings, db: Database) -> bool:
    alive = workers_heard.alive(db, datetime.now(UTC), settings.worker.lease_s)
    return any(row["role"] == "worker" for row in alive)


def _counts(job: Job) -> str:
    left = job.frames - job.ended
    return ", ".join(
        [
            f"{job.counts[reprocess_jobs.ItemStatus.DONE]} done",
            f"{job.counts[reprocess_jobs.ItemStatus.FAILED]} failed",
            *([f"{left} left"] if left > 0 else []),
        ]
    )
