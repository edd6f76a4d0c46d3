"""The demonstration: sample frames through the real system, and a live page to look at."""

from __future__ import annotations

import hashlib
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import structlog
import uvicorn
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.table import Table

from heliowatch import demo_night
from heliowatch.enhancement_words import in_words
from heliowatch.folders import make_folder
from heliowatch.house import make_server, stop_server, upgrade, uploads_of
from heliowatch.simulation import SimulatedCorona, SimulatedObservatory, SimulatedPhotosphere
from observatory.analysis import Cause, EventType
from observatory.errors import SettingsError
from observatory.frame import DateSource
from observatory.instruments import Limits, read_file
from observatory.settings import FullDisk, Settings
from observatory.storage import catalogue, composites, enhancements, region_catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.enhancements import EnhancementOutcome
from observatory.storage.frames import Status
from observatory.storage.session import Database
from workers.station import Station
from workers.watching import WatchFolder

log = structlog.get_logger(__name__)

SAMPLES = Path(__file__).parent / "samples"
_SUFFIXES = (".fits", ".fz", ".gz", ".jpg", ".png", ".jp2", ".pgm")
_SIMULATED = (
    None,
    None,
    Cause.THIN_CLOUD,
    Cause.CLOUD,
    Cause.CLOUD,
    Cause.CONTRAIL,
    None,
    Cause.DEFOCUS,
    Cause.OFF_CENTRE,
    None,
    None,
    None,
)
_SIZE_PX = 1024
_CADENCE_S = 6.0
_PIPED_WIDTH = 210  # characters of the table where no terminal says its own
_CORONA_SETS = 2  # of three channels: each makes a composite, and regions are followed from one to the next
_CORONA_STEP = timedelta(hours=8)
_CORONA_EVERY = 5  # H-alpha frames
_PHOTOSPHERE_PX, _CUTOUT_PX = 4096, 512
_PHOTOSPHERE_EVERY = 8  # its files are named by slots of 45 s
_PATIENCE_S = 180.0
_EVENTS = {EventType.CORONAL_HOLE: "coronal holes", EventType.ACTIVE_REGION: "active regions"}
_FINISHED = (Status.DONE, Status.REJECTED, Status.FAILED)


@dataclass(frozen=True)
class Expected:
    """A sample file, and how many frames must come of it."""

    name: str
    sha256: str
    count: int


def run_demo(
    load: Callable[..., Settings], *, port: int | None, should_exit: bool, keep: Path | None = None
) -> int:
    """Run the demonstration; 0 when every sample frame has its results.

    Parameters
    ----------
    keep : Path or None
        Folder for ``incoming`` (the frames) and ``data``, left behind for other commands; None: neither is.
    """
    with _home(keep) as home:
        incoming, sky = home / "incoming", home / "sky"
        for folder in (incoming, sky):
            folder.mkdir()
        settings = load(
            data_dir=home / "data",
            database_url="",
            broker_url="memory://",
            watch=[incoming],
            enhancement={"full_disk": FullDisk.EVERY},  # there is one: a slow machine shows it, too
            **demo_night.settings(),
        )
        upgrade(settings)
        folders = [
            WatchFolder(incoming.resolve()),
            WatchFolder(sky.resolve(), demo_night.INSTRUMENT),
            *uploads_of(settings),
        ]
        with Station(settings, folders) as station:
            server, address = _serve(settings, station.db, port)
            try:
                expected = _feed(incoming)
                night = [Expected(name, sha256, 1) for name, sha256 in demo_night.feed_night(sky)]
                _wait(station.db, [*expected, *night])
                is_complete = _report(station.db, expected, night)
                is_complete &= _report_composites(station.db) and _report_night(station.db)
                is_complete &= _answers(address)
                if not should_exit:
                    _go_on(incoming, address)
                return 0 if is_complete else 1
            finally:
                stop_server(server)


@contextmanager
def _home(keep: Path | None) -> Iterator[Path]:
    """A folder of our own for the demonstration.

    Raises
    ------
    SettingsError
        When the one that is named has something in it.
    """
    if keep is None:
        # ignore_cleanup_errors: a thumbnail may still be being read when Ctrl-C comes.
        with tempfile.TemporaryDirectory(prefix="heliowatch-demo-", ignore_cleanup_errors=True) as home:
            yield Path(home)
        return
    if not make_folder(keep) and any(keep.iterdir()):
        raise SettingsError(f"--keep {keep}: there is something in that folder; name a new or an empty one")
    yield keep.resolve()


def _serve(settings: Settings, db: Database, port: int | None) -> tuple[uvicorn.Server, str]:
    wanted = settings.service.port if port is None else port
    chosen = wanted if wanted and _is_free(wanted) else _free_port()
    if wanted and chosen != wanted:
        log.warning("port_taken", wanted=wanted, chosen=chosen)
    server = make_server(settings, db, "127.0.0.1", chosen)
    threading.Thread(target=server.run, name="service", daemon=True).start()
    return server, f"http://127.0.0.1:{chosen}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _feed(incoming: Path) -> list[Expected]:
    """Copy the real samples and take simulated frames, as cameras write: whole, by a rename."""
    expected = []
    for sample in sorted(path for path in SAMPLES.iterdir() if path.suffix in _SUFFIXES):
        copy = incoming / f".{sample.name}.part"
        shutil.copyfile(sample, copy)
        expected.append(_expect(copy, sample.name))
        copy.rename(incoming / sample.name)
    observatory = SimulatedObservatory(seed=2026, size_px=_SIZE_PX)
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3 * len(_SIMULATED))
    with tempfile.TemporaryDirectory(dir=incoming.parent) as dome:
        for number, cause in enumerate(_SIMULATED):
            moment = first + timedelta(minutes=3 * number)
            for exposure in observatory.expose(Path(dome), number, moment, cause):
                expected.append(_deliver(exposure.path, incoming))
        corona = SimulatedCorona(seed=2026, size_px=_SIZE_PX)
        last = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
        for number in range(_CORONA_SETS):
            moment = last - _CORONA_STEP * (_CORONA_SETS - 1 - number)
            for exposure in corona.expose(Path(dome), number, moment):
                expected.append(_deliver(exposure.path, incoming))
        for exposure in _photosphere().expose(Path(dome), 0, last):
            expected.append(_deliver(exposure.path, incoming))
    return expected


def _photosphere(degraded: float = 0.0) -> SimulatedPhotosphere:
    """Cut-outs at HMI's own scale, which its enhancement needs."""
    return SimulatedPhotosphere(2026, _PHOTOSPHERE_PX, degraded, cutout_px=_CUTOUT_PX)


def _deliver(path: Path, incoming: Path) -> Expected:
    expected = _expect(path, path.name)
    path.rename(incoming / path.name)
    return expected


def _expect(path: Path, name: str) -> Expected:
    data = path.read_bytes()
    return Expected(
        name, hashlib.sha256(data).hexdigest(), read_file(path, Limits(), instrument="halpha").count
    )


def _wait(db: Database, expected: list[Expected]) -> None:
    total = sum(item.count for item in expected)
    deadline = time.monotonic() + _PATIENCE_S
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(), *Progress.get_default_columns(), TimeElapsedColumn(), console=console
    ) as progress:
        bar = progress.add_task("frames with results", total=total)
        while time.monotonic() < deadline:
            finished = sum(count for status, count in catalogue.counts(db).items() if status in _FINISHED)
            progress.update(bar, completed=finished)
            is_composed = len(_composites(db)) >= _CORONA_SETS
            if finished >= total and is_composed and demo_night.made(db) is not None:
                return
            time.sleep(0.1)


def _composites(db: Database) -> list[dict[str, Any]]:
    return composites.find(db, None, None, None, limit=100, is_ascending=True)


def _report_composites(db: Database) -> bool:
    """Print a line for each composite; True when each set has made one."""
    made = [item for item in _composites(db) if item["is_complete"]]
    for item in made:
        channels = ", ".join(sorted(frame["channel"] for frame in item["frames"]))
        Console(width=_PIPED_WIDTH).print(f"composite of {channels} at {item['date_obs']:%Y-%m-%d %H:%M:%S}")
    if len(made) < _CORONA_SETS:
        log.error("composites_missing", made=len(made), wanted=_CORONA_SETS)
    return len(made) >= _CORONA_SETS


def _report_night(db: Database) -> bool:
    """Print what the simulated night was like; True when its pictures are made."""
    is_made = demo_night.report(db, None if sys.stdout.isatty() else _PIPED_WIDTH)
    if not is_made:
        log.error("night_missing", instrument=demo_night.INSTRUMENT)
    return is_made


def _report(db: Database, expected: list[Expected], night: list[Expected]) -> bool:
    """Print one row for each sample frame, and one for the night; True when all are done.

    HMI's are done when they say what enhancement made of them.
    """
    rows = catalogue.find(db, FrameFilter(), limit=1000, is_ascending=True)
    by_file = {(row["sha256"], row["frame_index"]): row for row in rows}
    table = Table(title="What Heliowatch found", box=None, pad_edge=False, title_justify="left")
    for title in ("frame", "origin", "instrument", "time (UTC)", "status", "score", "verdict", "after"):
        table.add_column(title, justify="right" if title in ("score", "after") else "left")
    is_complete = True
    for item in expected:
        for index in range(item.count):
            row = by_file.get((item.sha256, index))
            is_complete &= row is not None and row["status"] == Status.DONE
            more = "" if row is None else _regions(db, row["id"]) or _enhancement(db, row["id"])
            if row is not None and (row["instrument"] or "").startswith("hmi"):
                is_complete &= bool(more)
            name = item.name if item.count == 1 else f"{item.name} #{index}"
            table.add_row(*_cells(name, row, more))
    is_complete &= _add_night(table, [by_file.get((item.sha256, 0)) for item in night])
    Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH).print(table)
    return is_complete


def _add_night(table: Table, rows: list[dict[str, Any] | None]) -> bool:
    """Add one row for all frames of the night; True when all are done."""
    done = [row for row in rows if row is not None and row["status"] == Status.DONE]
    if not done:
        table.add_row(
            demo_night.INSTRUMENT, "simulated", "", "", "missing", "", "no frame of the night is done", ""
        )
        return False
    degraded = sum(bool(row["is_degraded"]) for row in done)
    classes = Counter(row["sky_class"] or "not judged" for row in done)
    seen = ", ".join(f"{count} {name}" for name, count in classes.most_common())
    table.add_row(
        f"{len(done)} frames of a night",
        "simulated",
        demo_night.INSTRUMENT,
        _time(min(done, key=lambda row: row["date_obs"])),
        Status.DONE if len(done) == len(rows) else f"{len(rows) - len(done)} are missing",
        f"{median(row['quality_score'] or 0.0 for row in done):.2f}",
        f"{degraded} degraded; {seen}",
        f"{1000 * median(row['latency_s'] or 0.0 for row in done):.0f} ms",
    )
    return len(done) == len(rows)


def _regions(db: Database, frame_id: int) -> str:
    """What was found on the disk, in words; empty for frames in which nothing is looked for."""
    return ", ".join(
        f"{len(found['items'])} {_EVENTS[found['event_type']]}"
        + (f" ({100 * found['disk_fraction']:.1f} % of the disk)" if found["items"] else "")
        for found in region_catalogue.of_frame(db, frame_id)
    )


def _enhancement(db: Database, frame_id: int) -> str:
    """What enhancement made of a frame, or why there is none, in words; empty where nothing was said."""
    row = enhancements.of_frame(db, frame_id)
    if row is None:
        return ""
    is_made = row["outcome"] == EnhancementOutcome.ENHANCED
    return in_words(row if is_made else {row["outcome"]: row["reason"]})


def _cells(name: str, row: dict | None, more: str) -> tuple[str, ...]:
    if row is None:
        return name, "", "", "", "missing", "", "no row: the ingester never saw it", ""
    score = row["quality_score"]
    causes = ", ".join(item["cause"] for item in row["causes"])
    if row["status"] != Status.DONE:
        verdict = row["reason"] or "still waiting"
    elif score is None:
        verdict = "stored and shown; not analysed yet"
    else:
        verdict = f"⚠ degraded: {causes or 'unknown'}" if row["is_degraded"] else "✓ clear"
        verdict += f"; {more}" if more else ""
    return (
        name,
        "simulated" if row["is_simulated"] else "real",
        row["instrument"] or "",
        _time(row),
        row["status"],
        "" if score is None else f"{score:.2f}",
        verdict,
        "" if row["latency_s"] is None else f"{1000 * row['latency_s']:.0f} ms",
    )


def _time(row: dict) -> str:
    """When the frame was taken; a file's own time would be that of our copy."""
    is_told = row["date_obs"] and row["date_obs_source"] != DateSource.FILE_TIME
    return f"{row['date_obs']:%Y-%m-%d %H:%M:%S}" if is_told else "not told"


def _answers(address: str) -> bool:
    """Whether the page and the API answer as they should."""
    for path in ("/", "/readyz", "/api/v1/frames"):
        try:
            with urllib.request.urlopen(address + path, timeout=10) as answer:
                if answer.status != 200:
                    return False
        except OSError as error:
            log.error("page_unreachable", address=address + path, error=str(error))
            return False
    return True


def _go_on(incoming: Path, address: str) -> None:
    """Keep the simulated observatory observing until Ctrl-C."""
    Console(stderr=True).print(
        f"\nThe live page is at [bold]{address}[/bold]; Ctrl-C ends the demonstration."
    )
    observatory = SimulatedObservatory(seed=2026, size_px=_SIZE_PX, degraded=0.3)
    corona = SimulatedCorona(seed=2026, size_px=_SIZE_PX, degraded=0.15)
    photosphere = _photosphere(degraded=0.15)
    number = len(_SIMULATED)
    try:
        while True:
            observatory.expose(incoming, number, datetime.now(UTC), observatory.weather(number))
            if number % _CORONA_EVERY == 0:
                corona.expose(incoming, number, datetime.now(UTC), corona.weather(number))
            if number % _PHOTOSPHERE_EVERY == 0:
                photosphere.expose(incoming, number, datetime.now(UTC), photosphere.weather(number))
            number += 1
            time.sleep(_CADENCE_S)
    except KeyboardInterrupt:
        return
