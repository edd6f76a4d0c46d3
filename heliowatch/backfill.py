"""Taking an archive in: after everything live, with a progress bar, resumable."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import structlog
import typer
from rich.console import Console
from rich.progress import Progress, TaskID, TimeElapsedColumn, TimeRemainingColumn

from heliowatch.house import folders_of, stop_on_signals, upgrade
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import catalogue, frames
from observatory.storage.frames import Priority
from workers.app import make_app
from workers.publisher import Publisher
from workers.station import IngestRoom
from workers.worker import EmbeddedWorker

log = structlog.get_logger(__name__)


def run_backfill(
    settings: Settings,
    folders: list[Path],
    since: str | None,
    until: str | None,
    instrument: str | None,
    workers: int | None,
) -> int:
    """Ingest an archive at low priority and wait until all of it is worked on.

    Files seen before are passed over, so running it again goes on where it ended. With a Redis
    the running workers do the work; embedded, this process does. 1 when a file was refused.
    """
    if settings.is_embedded:
        upgrade(settings)
        if workers is not None:
            settings = settings.model_copy(
                update={"worker": settings.worker.model_copy(update={"processes": workers})}
            )
    app = make_app(settings)
    span = (_moment("--since", since), _moment("--until", until))
    with ExitStack() as stack:
        if settings.is_embedded:
            worker = EmbeddedWorker(settings, app)
            worker.start()
            stack.callback(worker.stop)
        room = stack.enter_context(
            IngestRoom(
                settings,
                folders_of(settings, folders, instrument),
                priority=Priority.BACKFILL,
                publisher=Publisher(app),
                span=span,
            )
        )
        stack.enter_context(stop_on_signals(room.ingester.stop))
        bars = stack.enter_context(
            Progress(
                *Progress.get_default_columns()[:-1],
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
        )
        before = catalogue.counts(room.db)
        taking = bars.add_task("files taken", total=None)
        room.ingester.once(lambda done, total: bars.update(taking, completed=done, total=total))
        _wait(room, bars, bars.add_task("frames worked on", total=None))
        after = catalogue.counts(room.db)
    new = {
        status: after[status] - before[status] for status in after if status in ("done", "rejected", "failed")
    }
    typer.echo(", ".join(f"{count} {status}" for status, count in new.items()))
    return 1 if new["rejected"] or new["failed"] else 0


def _left(room: IngestRoom) -> int:
    waiting = sum(queue.count for queue in frames.waiting(room.db) if queue.priority is Priority.BACKFILL)
    return waiting + catalogue.counts(room.db)["processing"]


def _wait(room: IngestRoom, bars: Progress, bar: TaskID) -> None:
    total = max(_left(room), 1)
    while not room.ingester.is_stopped:
        left = _left(room)
        bars.update(bar, total=total, completed=max(total - left, 0))
        if not left:
            return
        time.sleep(0.2)


def _moment(flag: str, word: str | None) -> datetime | None:
    if word is None:
        return None
    try:
        moment = datetime.fromisoformat(word)
    except ValueError as error:
        raise SettingsError(
            f"{flag} {word!r} is not a time; write 2026-11-20 or 2026-11-20T10:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
