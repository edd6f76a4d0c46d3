"""Taking an archive in: after everything live, with a progress bar, resumable."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import structlog
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from heliowatch.house import folders_of, stop_on_signals, upgrade
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import catalogue
from observatory.storage import workers as workers_heard
from observatory.storage.frames import Priority, Status
from observatory.storage.session import Database
from observatory.words import counted
from workers.app import make_app
from workers.archive import ArchiveIngester, ArchiveRoom, Taken, count_files
from workers.publisher import Publisher
from workers.watching import WatchFolder, check_readable
from workers.worker import EmbeddedWorker

log = structlog.get_logger(__name__)


def run_backfill(
    settings: Settings,
    folders: list[Path],
    since: str | None,
    until: str | None,
    instrument: str | None,
    workers: int | None,
    *,
    with_rejected: bool = False,
) -> int:
    """Ingest an archive at low priority and wait until all of it is worked on.

    Files seen before and not changed since are passed over unread, so running it again goes on where it
    ended, whatever ended it. With a Redis the running workers do the work; embedded, this process does.
    1 when a file was refused or could not be read.

    Parameters
    ----------
    with_rejected : bool
        Whether files that were refused before are looked at again.
    """
    span = _span(since, until)
    watched = folders_of(settings, folders, instrument)
    check_readable(watched)
    if settings.is_embedded:
        upgrade(settings)
        if workers is not None:
            settings = settings.model_copy(
                update={"worker": settings.worker.model_copy(update={"processes": workers})}
            )
    app = make_app(settings)
    with ExitStack() as stack:
        if settings.is_embedded:
            worker = EmbeddedWorker(settings, app)
            worker.start()
            stack.callback(worker.stop)
        room = stack.enter_context(
            ArchiveRoom(settings, watched, priority=Priority.BACKFILL, publisher=Publisher(app), span=span)
        )
        stack.enter_context(stop_on_signals(room.ingester.stop))
        bars = stack.enter_context(_bars())
        before = _ended(room.db)
        taken = _take(room.ingester, watched, bars, with_rejected=with_rejected)
        _wait(settings, room, bars)
        after = _ended(room.db)
    new = {status: after[status] - before[status] for status in after}
    new["rejected"] += taken.refused_before  # they were counted before, and are refused again or no longer
    typer.echo(", ".join(f"{count} {status}" for status, count in new.items()))
    if taken.known:
        typer.echo(f"heliowatch: {counted(taken.known, 'file')} taken in before", err=True)
    if taken.repeated:
        frames = counted(taken.repeated, "frame")
        typer.echo(f"heliowatch: {frames} known already: the same bytes were taken in before", err=True)
    if taken.left:
        typer.echo(f"heliowatch: {counted(taken.left, 'file')} could not be read now: run it again", err=True)
    return 1 if new["rejected"] or new["failed"] or taken.left else 0


def _take(
    ingester: ArchiveIngester, folders: list[WatchFolder], bars: Progress, *, with_rejected: bool
) -> Taken:
    """Take the files in, while another thread counts how many there are: the time left needs that."""
    bar = bars.add_task("files looked at", total=None)
    is_over = threading.Event()

    def count() -> None:
        total = count_files(folders, lambda: not is_over.is_set())
        if total is not None:
            bars.update(bar, total=total)

    counter = threading.Thread(target=count, name="count", daemon=True)
    counter.start()
    try:
        taken = ingester.take(
            lambda done: bars.update(bar, completed=done.files), with_rejected=with_rejected
        )
    finally:
        is_over.set()
        counter.join()
    bars.update(bar, total=taken.files, completed=taken.files)
    return taken


class _Rate(ProgressColumn):
    """How many a second, lately."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _ended(db: Database) -> dict[str, int]:
    """Archive frames that are finished; live ones beside them are not ours to count."""
    return catalogue.counts_of(db, Priority.BACKFILL, (Status.DONE, Status.REJECTED, Status.FAILED))


def _left(db: Database) -> int:
    waiting = catalogue.counts_of(db, Priority.BACKFILL, (Status.RECEIVED, Status.PROCESSING))
    return sum(waiting.values())


def _wait(settings: Settings, room: ArchiveRoom, bars: Progress) -> None:
    bar = bars.add_task("frames worked on", total=None)
    total = max(_left(room.db), 1)
    is_said = settings.is_embedded  # its worker is this process
    while not room.ingester.is_stopped:
        asked = time.monotonic()
        left = _left(room.db)
        bars.update(bar, total=total, completed=max(total - left, 0))
        if not left:
            return
        if not is_said and not _is_worked_on(settings, room.db):
            is_said = True
            bars.console.print("no worker is heard of: start `heliowatch worker`; this waits for it")
        time.sleep(max(0.2, 10 * (time.monotonic() - asked)))  # a long archive is not counted all the time


def _is_worked_on(settings: Settings, db: Database) -> bool:
    alive = workers_heard.alive(db, datetime.now(UTC), settings.worker.lease_s)
    return any(row["role"] == "worker" for row in alive)


def _span(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    first, last = _moment("--since", since), _moment("--until", until)
    if first is not None and last is not None and last <= first:
        raise SettingsError(f"--until {until}: it is not after --since {since}")
    return first, last


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
