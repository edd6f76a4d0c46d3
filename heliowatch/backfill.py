"""Taking an archive in: after everything live, with a progress bar, resumable."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import structlog
import typer
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from heliowatch.house import folders_of, stop_on_signals, upgrade
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import catalogue
from observatory.storage import workers as workers_heard
from observatory.storage.frames import Priority, Status
from observatory.storage.session import Database
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
        before = _ended(room.db)
        taking = bars.add_task("files taken", total=None)
        room.ingester.once(lambda done, total: bars.update(taking, completed=done, total=total))
        _wait(settings, room, bars)
        after = _ended(room.db)
    new = {status: after[status] - before[status] for status in after}
    typer.echo(", ".join(f"{count} {status}" for status, count in new.items()))
    return 1 if new["rejected"] or new["failed"] else 0


def _ended(db: Database) -> dict[str, int]:
    """Archive frames that are finished; live ones beside them are not ours to count."""
    return catalogue.counts_of(db, Priority.BACKFILL, (Status.DONE, Status.REJECTED, Status.FAILED))


def _left(db: Database) -> int:
    waiting = catalogue.counts_of(db, Priority.BACKFILL, (Status.RECEIVED, Status.PROCESSING))
    return sum(waiting.values())


def _wait(settings: Settings, room: IngestRoom, bars: Progress) -> None:
    bar = bars.add_task("frames worked on", total=None)
    total = max(_left(room.db), 1)
    is_said = settings.is_embedded  # its worker is this process
    while not room.ingester.is_stopped:
        left = _left(room.db)
        bars.update(bar, total=total, completed=max(total - left, 0))
        if not left:
            return
        if not is_said and not _is_worked_on(settings, room.db):
            is_said = True
            bars.console.print("no worker is heard of: start `heliowatch worker`; this waits for it")
        time.sleep(0.2)


def _is_worked_on(settings: Settings, db: Database) -> bool:
    alive = workers_heard.alive(db, datetime.now(UTC), settings.worker.lease_s)
    return any(row["role"] == "worker" for row in alive)


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
