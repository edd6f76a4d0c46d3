"""Starting the parts: alone for production, together for one machine."""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import structlog
import typer
import uvicorn

import migrations
from heliowatch.folders import make_folder
from observatory import uploads
from observatory.errors import HeliowatchError, SettingsError
from observatory.instruments import kind_of
from observatory.settings import Settings
from observatory.storage.files import ProductFiles
from observatory.storage.schema import SCHEMA_REVISION
from observatory.storage.session import Database
from observatory.words import counted

if TYPE_CHECKING:
    from workers.watching import WatchFolder

log = structlog.get_logger(__name__)

_MOST_FILES = 65_536


def upgrade(settings: Settings) -> None:
    """Bring the database to the newest schema."""
    migrations.upgrade(settings.resolved_database_url)
    log.info("schema_ready", revision=SCHEMA_REVISION)


def current(settings: Settings) -> int:
    """Print the revision found and wanted; 0 when they agree."""
    found = Database(settings.resolved_database_url).revision()
    typer.echo(f"found {found or 'nothing'}, wanted {SCHEMA_REVISION}")
    return 0 if found == SCHEMA_REVISION else 1


def clean(settings: Settings, older_than_days: float, *, is_rehearsal: bool) -> None:
    """Remove product files that no row names, and print how many; a rehearsal only counts them."""
    from observatory.storage import stray_files

    db = Database(settings.resolved_database_url)
    db.check_schema()
    before = datetime.now(UTC) - timedelta(days=older_than_days)
    done = stray_files.clean(db, ProductFiles(settings.product_dir), before, for_show=is_rehearsal)
    verb = "would go" if is_rehearsal else "removed"
    typer.echo(f"{counted(done.removed, 'file')} {verb}, {done.freed_bytes / 1e6:.1f} MB; {done.kept} stay")


def folders_of(settings: Settings, named: list[Path], instrument: str | None) -> list[WatchFolder]:
    """Folders named on the command line, else those of the settings.

    A named folder that the settings give to a camera stays that camera's, with its patterns.
    """
    from workers.watching import WatchFolder, watch_folders

    if instrument is not None and instrument not in settings.stations:
        kind_of(instrument, settings.stations)
    configured = watch_folders(settings)
    if not named:
        folders = configured
    elif instrument is not None:
        folders = [WatchFolder(path.resolve(), instrument) for path in named]
    else:
        cameras = [folder for folder in configured if folder.instrument is not None]
        folders = [folder for path in named for folder in _known(path.resolve(), cameras)]
    if not folders:
        raise SettingsError(
            "there is no folder to watch: name one, or set watch or instruments in the settings"
        )
    return folders


def _known(path: Path, cameras: list[WatchFolder]) -> list[WatchFolder]:
    """A folder that was named without an instrument, with what the settings say of it and of those inside it."""
    from workers.watching import WatchFolder

    around = [camera for camera in cameras if path.is_relative_to(camera.path)]
    if around:
        innermost = max((camera.path for camera in around), key=lambda place: len(place.parts))
        return [replace(camera, path=path) for camera in around if camera.path == innermost]
    inside = [camera for camera in cameras if camera.path.is_relative_to(path) and camera.path.is_dir()]
    return [*inside, WatchFolder(path)]


def uploads_of(settings: Settings) -> list[WatchFolder]:
    """Folders into which the API puts what is uploaded."""
    from workers.watching import WatchFolder

    return [WatchFolder(path, instrument) for path, instrument in uploads.folders(settings).items()]


def run_up(
    settings: Settings, watch: list[Path], instrument: str | None, host: str | None, port: int | None
) -> None:
    """Run everything in this process until Ctrl-C."""
    from workers.station import Station

    if not settings.is_embedded:
        raise SettingsError(
            "`heliowatch up` has its own queue, but broker_url names another: "
            "run `ingest`, `worker` and `serve`, or leave broker_url unset"
        )
    for folder in watch:
        if make_folder(folder):
            log.warning("watch_folder_created", folder=str(folder))
    raise_file_limit()
    with closing(open_port(settings, host, port)) as listening:
        upgrade(settings)
        folders = folders_of(settings, watch, instrument) + uploads_of(settings)
        with Station(settings, folders) as station:
            serve_until_stopped(settings, station.db, listening)


def run_ingest(settings: Settings, named: list[Path], instrument: str | None, *, once: bool) -> None:
    """Watch until SIGTERM or Ctrl-C, or take what is there once."""
    from workers import metrics
    from workers.station import IngestRoom

    if settings.is_embedded:
        log.warning("embedded_queue", hint="nobody hears this queue: set broker_url to a Redis, or use `up`")
    if settings.worker.metrics_port is not None:
        metrics.serve(settings.worker.metrics_port)
    folders = folders_of(settings, named, instrument) + uploads_of(settings)
    with IngestRoom(settings, folders) as room, stop_on_signals(room.ingester.stop):
        if once:
            typer.echo(f"{counted(room.ingester.once(), 'file')} taken")
        else:
            log.info("watching", folders=[str(folder.path) for folder in folders])
            room.ingester.run()


def run_workers(settings: Settings, queues: list[str] | None, processes: int | None) -> int:
    """Work until told to stop."""
    if settings.is_embedded:
        raise SettingsError("a worker of its own needs broker_url to name a Redis (redis://…)")
    if processes is not None:
        settings = settings.model_copy(
            update={"worker": settings.worker.model_copy(update={"processes": processes})}
        )
    # Set before prometheus_client is imported, so that the pool's processes add their numbers up.
    with tempfile.TemporaryDirectory(prefix="heliowatch-metrics-") as folder:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        from workers.worker import run_worker

        return run_worker(settings, queues)


def run_service(settings: Settings, host: str | None, port: int | None) -> None:
    """Answer until told to stop."""
    patience_s = settings.service.query_patience_s
    db = Database(settings.resolved_database_url, statement_timeout_s=patience_s)
    db.check_schema()
    raise_file_limit()
    with closing(open_port(settings, host, port)) as listening:
        serve_until_stopped(settings, db, listening)


class AddressUnavailableError(HeliowatchError):
    """The service cannot answer where it was told to."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot answer on {host} port {port}: {reason}; name another with --port (0 picks a free one)"
        )


def open_port(settings: Settings, host: str | None, port: int | None) -> socket.socket:
    """Take the address before anything else starts, so that nothing has to be stopped again.

    Raises
    ------
    AddressUnavailableError
        When another process has it, or it is no address of this machine.
    """
    host = host or settings.service.host
    port = settings.service.port if port is None else port
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=2048)
    except socket.gaierror as error:
        raise AddressUnavailableError(host, port, error.strerror or str(error)) from error
    except OSError as error:
        # asked by number: Python's own text repeats the address
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise AddressUnavailableError(host, port, reason) from error


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: every browser that listens holds one.

    No more than some ten thousand: in containers the hard limit may be a thousand million, and there are
    libraries that walk through all of them when they start a process.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:
        log.warning("file_limit_stays", error=str(error))


def serve_until_stopped(settings: Settings, db: Database, listening: socket.socket) -> None:
    """Run the service in this thread until SIGTERM or Ctrl-C."""
    server = make_server(settings, db, listening.getsockname()[0])
    _say_where(settings, listening)
    # uvicorn raises the signal once more when it has stopped; unheard, it would kill this process
    # before the worker beside it has finished its frames and signed off.
    with stop_on_signals(lambda: None):
        server.run(sockets=[listening])


def _answering_on(settings: Settings, host: str) -> Settings:
    """Settings that say where the service really answers, whatever the command line said."""
    service = settings.service.model_copy(update={"host": host})
    return settings.model_copy(update={"service": service})


def _say_where(settings: Settings, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if settings.log.as_json:
        log.info("serving", address=address)
    else:
        typer.echo(f"The live page is at {address}; Ctrl-C ends it.", err=True)


def make_server(
    settings: Settings, db: Database, host: str | None = None, port: int | None = None
) -> uvicorn.Server:
    """Build the HTTP server."""
    if host is not None:
        settings = _answering_on(settings, host)
    from service.main import create_app
    from service.protocol import bounded_http

    db.check_schema()
    config = uvicorn.Config(
        create_app(settings, db),
        host=settings.service.host,
        port=settings.service.port if port is None else port,
        log_level="warning",
        log_config=None,
        timeout_graceful_shutdown=3,
        server_header=False,
        access_log=False,  # addresses may hold what is nobody's business; the proxy before us logs better
        proxy_headers=False,  # the application believes the proxies of the settings alone
        http=bounded_http(settings.service),
        ws="none",
    )
    return uvicorn.Server(config)


def stop_server(server: uvicorn.Server) -> None:
    """End a server that runs in another thread, with the streams that browsers hold open."""
    server.config.app.state.context.stream.close()  # type: ignore[union-attr]
    server.should_exit = True


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on SIGTERM and SIGINT while inside."""

    def handle(number: int, _: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
