"""The ingester: a settled file becomes a row, then a task. Nothing else.

Events tell quickly, scans tell surely: inotify drops events in silence when its queue overflows,
misses files in folders made a moment before, and knows nothing of network file systems. So every
path goes through the same door, whoever noticed it, and a scan compares the folders with what was
seen. A file is taken when it was closed or moved in and is whole by its own format, else when it
has rested; what cannot be read after that is recorded as rejected.
"""

from __future__ import annotations

import hashlib
import os
import queue
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from observatory.errors import (
    DefectError,
    HeliowatchError,
    OtherInstrumentError,
    TransientError,
    UnreadableFileError,
    UnusableInputError,
    VanishedFileError,
)
from observatory.instruments import Opened, open_bytes
from observatory.instruments.base import Facts
from observatory.instruments.formats import file_error, read_bytes
from observatory.settings import Settings
from observatory.storage import frames
from observatory.storage.frames import Arrival, NewFrame, Priority, Registered, Status
from observatory.storage.session import Database
from observatory.storage.texts import path_text, plain_text, text_path
from workers import metrics
from workers.publisher import Publisher
from workers.watching import Sign, Signature, Watch, WatchFolder, check_readable, target_of, walk

log = structlog.get_logger(__name__)

_LOOK_S = 0.02  # of looking at files before their rows are written
_IDLE_S = 0.05
_RETRY_S = 1.0


@dataclass
class Candidate:
    """A path that may hold a new file."""

    folder: WatchFolder
    closed_at: datetime | None
    signature: Signature | None = None
    is_open: bool = False  # a writer was seen at work, and not yet seen to close
    since: float = field(default_factory=time.monotonic)
    due: float = 0.0


@dataclass(frozen=True)
class Look:
    """What a look at a settled file found: rows to write."""

    new: tuple[NewFrame, ...] = ()
    arrival: Arrival | None = None


class Ingester:
    """Watches folders until it is stopped, or takes what lies in them once."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        publisher: Publisher,
        folders: list[WatchFolder],
        *,
        priority: Priority = Priority.LIVE,
        span: tuple[datetime | None, datetime | None] = (None, None),
    ) -> None:
        """Parameters beyond the obvious: ``span`` leaves out frames of other times (a backfill's)."""
        check_readable(folders)
        self._settings, self._db, self._publisher = settings, db, publisher
        self._folders, self._priority, self._span = folders, priority, span
        self._places = list(dict.fromkeys(folder.path for folder in folders))
        self._noticed: queue.SimpleQueue[tuple[str, Sign, datetime]] = queue.SimpleQueue()
        self._pending: dict[str, Candidate] = {}
        self._seen: dict[str, Signature] = {}
        self._refused: set[str] = set()  # gone or forbidden, and said so
        self._stop = threading.Event()
        self._limits = settings.limits.as_limits

    # -- noticing ---------------------------------------------------------------------------

    def _notice(self, path: str, sign: Sign) -> None:
        self._noticed.put((path, sign, datetime.now(UTC)))

    def _take_notices(self) -> None:
        """Turn what was noticed into candidates."""
        while True:
            try:
                path, sign, at = self._noticed.get_nowait()
            except queue.Empty:
                return
            if sign is Sign.GONE:
                self._pending.pop(path, None)
            elif sign is Sign.FOLDER:
                self._scan(Path(path))
            else:
                self._consider(path, at if sign is Sign.CLOSED else None)

    def _consider(self, path: str, closed_at: datetime | None) -> None:
        folder = self._taker_of(path)
        if folder is None:
            return
        known = self._pending.get(path)
        if known is None:
            is_open = closed_at is None and not self._settings.ingest.polling
            delay = 0.0 if closed_at else self._settings.ingest.rest_s
            due = time.monotonic() + delay
            self._pending[path] = Candidate(folder, closed_at, is_open=is_open, due=due)
        elif closed_at is not None:
            known.closed_at, known.is_open, known.due = closed_at, False, 0.0

    def _taker_of(self, path: str) -> WatchFolder | None:
        """Who takes a file: the innermost folder around it; where several cameras share that one, by its name."""
        inside = [folder for folder in self._folders if path.startswith(f"{folder.path}/")]
        innermost = max((len(str(folder.path)) for folder in inside), default=0)
        name = os.path.basename(path)  # noqa: PTH119 - a Path for each of 10⁵ names costs a second
        for folder in inside:
            if len(str(folder.path)) == innermost and folder.wants(name, self._settings.ingest.temporary):
                return folder
        return None

    # -- scanning ---------------------------------------------------------------------------

    def scan(self) -> int:
        """Compare all folders with what was seen; return how many files are new or changed."""
        return sum(self._scan(path, is_whole=True) for path in self._places)

    def _scan(self, start: Path, *, is_whole: bool = False) -> int:
        """Find new files below a folder; a whole scan also forgets those that are gone."""
        found = 0
        present: set[str] = set()
        for path, signature in walk(start):
            if is_whole:
                present.add(path)
            if self._seen.get(path) == signature or path in self._pending:
                continue
            folder = self._taker_of(path)
            if folder is None:
                continue
            self._pending[path] = Candidate(folder, None, signature)
            found += 1
        if present:  # an empty answer may be a file system that is away: then nothing is forgotten
            inside = f"{start}/"
            for path in [path for path in self._seen if path.startswith(inside) and path not in present]:
                del self._seen[path]
        return found

    # -- looking ----------------------------------------------------------------------------

    def _look(self, path: str, candidate: Candidate) -> Look | None:
        """Look at one candidate; None while it has to wait."""
        own: Signature | None = None
        try:
            status = os.lstat(path)
            own = (status.st_size, status.st_mtime_ns)
            if self._seen.get(path) == own and candidate.closed_at is None:
                return Look()
            if stat.S_ISLNK(status.st_mode):
                status = target_of(path, candidate.folder)
            if not stat.S_ISREG(status.st_mode):
                return Look()
            signature = (status.st_size, status.st_mtime_ns)
            if signature != candidate.signature:
                candidate.signature, candidate.since = signature, time.monotonic()
            look = self._read(path, candidate, signature)
            if look is not None and look.arrival is not None:
                self._seen[path] = own
            return look
        except (OSError, VanishedFileError, TransientError) as error:
            return self._not_to_be_had(path, candidate, error)
        except UnusableInputError as error:
            if own is not None:
                self._seen[path] = own  # a start with other settings looks again
            return self._rejected(path, candidate, None, error)
        except Exception as error:
            # A defect of ours must not stop the other files; this one waits for the next start.
            log.exception("file_defect", path=path)
            if own is not None:
                self._seen[path] = own
            defect = DefectError(f"defect while reading: {type(error).__name__}: {error}")
            return self._rejected(path, candidate, None, defect, Status.FAILED)

    def _not_to_be_had(
        self, path: str, candidate: Candidate, error: OSError | HeliowatchError
    ) -> Look | None:
        """Wait for a file that may come back; refuse one that is gone or forbidden, once."""
        name = os.path.basename(path)  # noqa: PTH119
        reason = file_error(name, error) if isinstance(error, OSError) else error
        if isinstance(reason, TransientError):
            log.warning("file_delayed", file_name=plain_text(name), reason=str(reason))
            candidate.due = time.monotonic() + _RETRY_S
            return None
        # Perhaps it is being moved on inside the folder: then its new name is noticed meanwhile.
        if self._must_rest(candidate):
            return None
        if path in self._refused:
            return Look()
        self._refused.add(path)
        return self._rejected(path, candidate, None, reason)

    def _read(self, path: str, candidate: Candidate, signature: Signature) -> Look | None:
        data = read_bytes(Path(path), self._limits)
        self._refused.discard(path)
        digest = hashlib.sha256(data).hexdigest()
        try:
            opened = open_bytes(
                data,
                os.path.basename(path),  # noqa: PTH119
                self._limits,
                instrument=candidate.folder.instrument,
                stations=self._settings.stations,
                file_time=datetime.fromtimestamp(signature[1] / 1e9, UTC),
                is_peek=True,
            )
            is_cut = opened.container.is_cut
            is_whole = opened.container.is_final and not is_cut and candidate.closed_at is not None
            if not is_whole and self._must_rest(candidate, is_broken=is_cut):
                return None
            self._check_camera(opened)
            rows = list(self._rows(path, candidate, digest, len(data), opened))
        except UnusableInputError as error:
            if isinstance(error, UnreadableFileError) and self._must_rest(candidate, is_broken=True):
                return None
            return self._rejected(path, candidate, (digest, signature), error)
        if not rows:
            return Look()  # of another time: not noted, so that another backfill may take it
        return Look(tuple(rows), self._arrival(path, digest, signature))

    def _must_rest(self, candidate: Candidate, *, is_broken: bool = False) -> bool:
        """Whether the file changed, or was noticed, too short a time ago; sets when to look again."""
        ingest = self._settings.ingest
        rest_s = ingest.open_rest_s if is_broken and candidate.is_open else ingest.rest_s
        if candidate.signature is not None and candidate.closed_at is None:
            age_s = time.time() - candidate.signature[1] / 1e9
            if age_s > rest_s:
                return False  # nobody wrote to it lately (a clock ahead of ours falls through)
        remaining = candidate.since + rest_s - time.monotonic()
        candidate.due = time.monotonic() + min(max(remaining, 0.01), ingest.rest_s)
        return remaining > 0

    def _check_camera(self, opened: Opened) -> None:
        """Refuse a frame that a camera of the settings cannot have made: it would be judged as what it is not."""
        told = opened.told_otherwise
        if told is not None and opened.instrument in self._settings.instruments:
            raise OtherInstrumentError(told, opened.instrument, opened.known_as)

    def _rows(
        self, path: str, candidate: Candidate, digest: str, size: int, opened: Opened
    ) -> Iterator[NewFrame]:
        now = datetime.now(UTC)
        for index in range(opened.count):
            facts, fault = _facts(opened, index)
            if not self._is_in_span(facts.date_obs):
                continue
            if fault is not None:
                log.info("image_rejected", file_name=plain_text(opened.file_name), frame=index, reason=fault)
            yield NewFrame(
                sha256=digest,
                frame_index=index,
                file_name=plain_text(opened.file_name),
                path=path_text(Path(path)),
                bytes=size,
                received_at=now,
                status=Status.RECEIVED if fault is None else Status.REJECTED,
                reason=None if fault is None else plain_text(fault),
                processed_at=None if fault is None else now,
                instrument=opened.instrument,
                family=opened.kind.family,
                observatory=facts.observatory,
                date_obs=facts.date_obs,
                date_obs_source=facts.date_obs_source,
                wavelength_nm=facts.wavelength_nm,
                exposure_time_s=facts.exposure_time_s,
                is_simulated=facts.is_simulated,
                priority=self._priority,
                closed_at=candidate.closed_at,
            )

    def _is_in_span(self, date_obs: datetime | None) -> bool:
        since, until = self._span
        if since is None and until is None:
            return True
        return (
            date_obs is not None
            and (since is None or date_obs >= since)
            and (until is None or date_obs < until)
        )

    def _rejected(
        self,
        path: str,
        candidate: Candidate,
        read: tuple[str, Signature] | None,
        error: HeliowatchError,
        status: Status = Status.REJECTED,
    ) -> Look:
        now = datetime.now(UTC)
        digest, signature = read if read is not None else (None, None)
        name = plain_text(os.path.basename(path))  # noqa: PTH119
        log.info("file_rejected", file_name=name, reason=str(error))
        row = NewFrame(
            sha256=digest,
            file_name=name,
            path=path_text(Path(path)),
            bytes=signature[0] if signature else 0,
            received_at=now,
            processed_at=now,
            status=status,
            reason=plain_text(str(error)),
            instrument=candidate.folder.instrument,
            priority=self._priority,
            closed_at=candidate.closed_at,
        )
        if digest is None or signature is None:
            return Look((row,))
        return Look((row,), self._arrival(path, digest, signature))

    def _arrival(self, path: str, digest: str, signature: Signature) -> Arrival:
        return Arrival(digest, path_text(Path(path)), signature[0], signature[1], datetime.now(UTC))

    # -- writing ----------------------------------------------------------------------------

    def step(self) -> int:
        """Look at the candidates that are due, a batch at most; return how many were settled.

        A batch also ends after a while, so that the first of many large files need not wait for
        the last one's sum.
        """
        self._take_notices()
        now = time.monotonic()
        batch: list[Look] = []
        settled: list[str] = []
        for path, candidate in self._pending.items():
            if candidate.due > now:
                continue
            look = self._look(path, candidate)
            if look is not None:
                batch.append(look)
                settled.append(path)
            if len(batch) >= self._settings.ingest.batch or time.monotonic() - now > _LOOK_S:
                break
        self._write(batch, is_calm=len(self._pending) <= 2 * self._settings.ingest.batch)
        for path in settled:
            del self._pending[path]
        return len(settled)

    def _write(self, batch: list[Look], *, is_calm: bool) -> Counter[Status]:
        """Write what was seen, and publish it; return the frames that are new, by status."""
        batch = [look for look in batch if look.new or look.arrival]
        written: Counter[Status] = Counter()
        if not batch:
            return written
        tasks = self._register(batch, datetime.now(UTC) if is_calm else None)
        for (instrument, status), count in tasks.counts.items():
            written[status] += count
            metrics.frames_ingested.labels(instrument or "unknown").inc(count)
            if status is Status.REJECTED:
                metrics.frames_processed.labels(instrument or "unknown", "rejected").inc(count)
        if is_calm:
            self._publisher.publish(tasks)
        # In a burst the sweeper publishes: rows first, nothing may wait behind the broker.
        return written

    def _register(self, batch: list[Look], published_at: datetime | None) -> Registered:
        """Write a batch's rows; one file that the database will not take does not hold up the others."""
        new = [row for look in batch for row in look.new]
        seen = [look.arrival for look in batch if look.arrival is not None]
        while True:
            try:
                return frames.register(self._db, new, seen, published_at)
            except HeliowatchError as error:
                log.warning("register_delayed", error=str(error))
                if self._stop.wait(_RETRY_S):
                    return Registered()  # the files stay where they are: the next start finds them
            except Exception:
                log.exception("register_defect", files=[row.file_name for row in new][:5])
                if len(batch) == 1:
                    return Registered()  # found again at the next start, by a version that knows better
                parts = [self._register([look], published_at) for look in batch]
                counts = sum((part.counts for part in parts), Counter[tuple[str | None, Status]]())
                return Registered((task for part in parts for task in part), counts)

    # -- running ----------------------------------------------------------------------------

    def remember(self) -> None:
        """Load what was seen before from the database."""
        for folder in self._folders:
            self._seen.update(
                (os.fspath(text_path(path)), signature)
                for path, signature in frames.known_files(self._db, folder.path).items()
            )

    def once(self, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Take what lies in the folders now and return how many files were settled."""
        self.remember()
        total = self.scan()
        done = 0
        while self._pending and not self._stop.is_set():
            done += self._advance()
            if on_progress is not None:
                on_progress(done, total)
        return done

    def run(self) -> None:
        """Watch until `stop`: events first, then a scan, so that nothing falls between the two."""
        with Watch(self._folders, self._settings.ingest, self._notice) as watch:
            self.remember()
            next_scan = 0.0
            while not self._stop.is_set():
                if time.monotonic() >= next_scan:
                    watch.renew()
                    self.scan()
                    next_scan = time.monotonic() + self._settings.ingest.scan_interval_s
                self._advance()

    def _advance(self) -> int:
        settled = self.step()
        if not settled:
            self._wait_for_notice()
        return settled

    def _wait_for_notice(self) -> None:
        """Sleep until something is noticed or the next candidate is due."""
        soonest = min((candidate.due for candidate in self._pending.values()), default=float("inf"))
        timeout = min(max(soonest - time.monotonic(), 0.001), _IDLE_S)
        try:
            notice = self._noticed.get(timeout=timeout)
        except queue.Empty:
            return
        self._noticed.put(notice)

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End `run` or `once` after the batch that runs."""
        self._stop.set()


def _facts(opened: Opened, index: int) -> tuple[Facts, str | None]:
    """Facts of one image, and why it alone of its film cannot be used.

    Raises
    ------
    UnusableInputError
        When the file's only image cannot be understood.
    """
    try:
        return opened.facts(index), opened.container.fault(index)
    except UnusableInputError as error:
        if opened.count == 1:
            raise
        return Facts(), opened.container.fault(index) or str(error)
