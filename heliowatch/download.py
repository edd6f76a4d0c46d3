"""Fetching from public archives, politely: one connection, robots honoured, whole files or resumed ones."""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import httpx2
import structlog

from observatory import __version__
from observatory.errors import UnusableInputError
from observatory.words import counted

log = structlog.get_logger(__name__)

AGENT = f"heliowatch/{__version__} (fetches frames of public archives, one at a time)"
_TIMEOUT = httpx2.Timeout(60.0, connect=20.0)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT_S = 300.0
_LONGEST_DELAY_S = 30.0
_REDIRECTS = 5
_MAX_LISTING = 64 << 20
_MAX_ROBOTS = 512 << 10
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
Progress = Callable[[int, int | None], None]
"""Told how many bytes of a file are there, of how many (None: not known)."""


class FetchError(UnusableInputError):
    """A file or a listing could not be had; the message says why, others may still work."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url}: {why}")
        self.url = url


class _AgainError(Exception):
    """A try failed; another may not."""

    def __init__(self, why: str, pause_s: float | None = None) -> None:
        super().__init__(why)
        self.pause_s = pause_s


class Fetcher:
    """Reads listings and files of archives over one connection.

    Parameters
    ----------
    max_bytes : int
        A file that is larger is not fetched.
    tries : int
        How often one address is asked at most.
    max_pages : int
        Listings that one run may read.
    pause : callable
        Waits so many seconds.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 1 << 30,
        tries: int = 5,
        backoff_s: float = 1.0,
        max_pages: int = 5000,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._max_bytes, self._tries, self._backoff_s = max_bytes, tries, backoff_s
        self._pages_left = max_pages
        self._pause = pause
        self._robots: dict[str, RobotFileParser] = {}
        self._client = httpx2.Client(
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
            timeout=_TIMEOUT,
            limits=httpx2.Limits(max_connections=1),
        )

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # -- listings ---------------------------------------------------------------------------

    def listing(self, url: str) -> str | None:
        """Text of a listing; None where there is no such folder.

        Raises
        ------
        FetchError
            When it cannot be read, is too large, or too many were read.
        """
        if self._pages_left <= 0:
            raise FetchError(url, "too many folders for one run: ask for a shorter time")
        self._pages_left -= 1
        self._ask_robots(url)
        return self._patiently(url, lambda: self._page(url, _MAX_LISTING))

    def _page(self, url: str, most: int) -> str | None:
        with self._open(url) as answer:
            if answer.status_code in (404, 410):
                return None
            _raise_for(answer)
            body = bytearray()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > most:
                    raise FetchError(url, f"the page is larger than {most >> 20} MiB")
            return body.decode("utf-8", "replace")

    def _ask_robots(self, url: str) -> None:
        """Keep to what the host's robots.txt allows.

        Raises
        ------
        FetchError
            When it does not allow the address.
        """
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if host not in self._robots:
            robots = RobotFileParser()
            address = f"{host}/robots.txt"
            robots.parse(self._patiently(address, lambda: self._robots_text(address)).splitlines())
            self._robots[host] = robots
        robots = self._robots[host]
        if not robots.can_fetch(AGENT, url):
            raise FetchError(url, "its robots.txt asks programs not to fetch it")
        delay_s = robots.crawl_delay(AGENT)
        if delay_s:
            self._pause(min(float(delay_s), _LONGEST_DELAY_S))

    def _robots_text(self, url: str) -> str:
        """What robots.txt says; nothing where it is not to be had for good (RFC 9309, 2.3.1.3)."""
        with self._open(url) as answer:
            if answer.is_client_error and answer.status_code not in _BUSY:
                return ""
            _raise_for(answer)
            return next(answer.iter_bytes(_MAX_ROBOTS), b"").decode("utf-8", "replace")

    # -- files ------------------------------------------------------------------------------

    def file(self, url: str, target: Path, on_progress: Progress | None = None) -> int:
        """Fetch a file under a temporary name and rename it when it is whole; return its length.

        What an earlier run left (`NAME.part`) is gone on with when the server says that the file is
        still the same, and else begun anew.

        Raises
        ------
        FetchError
            When it cannot be had whole.
        """
        self._ask_robots(url)
        part = target.with_name(target.name + ".part")
        return self._patiently(url, lambda: self._try_file(url, target, part, on_progress or _silent))

    def _try_file(self, url: str, target: Path, part: Path, on_progress: Progress) -> int:
        start, validator = _left_behind(url, part)
        headers = {"Range": f"bytes={start}-", "If-Range": validator} if start else {}
        with self._open(url, headers) as answer:
            if answer.status_code == 416:
                _forget(part)
                raise _AgainError("what was left of an earlier run does not fit any more", 0.0)
            _raise_for(answer)
            if "text/html" in answer.headers.get("Content-Type", "") and not target.suffix.startswith(".htm"):
                raise FetchError(url, "the server sent a page in place of the file")
            start, total = _extent(answer, start)
            if total is not None and total > self._max_bytes:
                raise FetchError(
                    url, f"it has {total:,} bytes, more than {self._max_bytes:,} (limits.max_file_bytes)"
                )
            _remember(url, part, answer)
            size = self._copy(answer, part, start, total, on_progress)
        if total is not None and size != total:
            raise _AgainError(f"{size:,} of {total:,} bytes came")
        _set_time(part, answer.headers.get("Last-Modified"))
        part.replace(target)
        _note_of(part).unlink(missing_ok=True)
        return size

    def _copy(
        self, answer: httpx2.Response, part: Path, start: int, total: int | None, on_progress: Progress
    ) -> int:
        size = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            for piece in answer.iter_raw():  # as they lie there: some servers call a .gz file an encoding
                size += len(piece)
                if size > self._max_bytes or (total is not None and size > total):
                    raise FetchError(str(answer.url), "more bytes came than it should have")
                file.write(piece)
                on_progress(size, total)
            file.flush()
            os.fsync(file.fileno())
        return size

    # -- asking -----------------------------------------------------------------------------

    @contextmanager
    def _open(self, url: str, headers: dict[str, str] | None = None) -> Iterator[httpx2.Response]:
        """One answer, redirects inside the host followed."""
        address = httpx2.URL(url)
        for _ in range(_REDIRECTS + 1):
            with self._client.stream("GET", address, headers=headers) as answer:
                if not answer.has_redirect_location:
                    yield answer
                    return
                following = address.join(answer.headers["Location"])
            if following.host != address.host or following.scheme not in ("http", "https"):
                raise FetchError(url, f"it leads to another server ({following.host}): left alone")
            address = following
        raise FetchError(url, "it leads from one address to the next without end")

    def _patiently(self, url: str, act: Callable[[], Any]) -> Any:
        why = ""
        for attempt in range(1, self._tries + 1):
            pause_s = None
            try:
                return act()
            except _AgainError as error:
                why, pause_s = str(error), error.pause_s
            except httpx2.HTTPError as error:
                why = str(error) or type(error).__name__
            if attempt < self._tries:
                log.info("fetch_delayed", url=url, reason=why, attempt=attempt)
                longest_s = min(self._backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S)
                self._pause(longest_s * random.uniform(0.5, 1.0) if pause_s is None else pause_s)
        raise FetchError(url, f"{why} (tried {counted(self._tries, 'time')})")


def _silent(_: int, __: int | None) -> None:
    pass


def _raise_for(answer: httpx2.Response) -> None:
    if answer.is_success:
        return
    if answer.status_code in _BUSY:
        raise _AgainError(
            f"the server said {answer.status_code} {answer.reason_phrase}", _asked_pause_s(answer)
        )
    raise FetchError(str(answer.url), f"the server said {answer.status_code} {answer.reason_phrase}")


def _asked_pause_s(answer: httpx2.Response) -> float | None:
    word = answer.headers.get("Retry-After", "")
    if word.isdigit():
        return min(float(word), _LONGEST_WAIT_S)
    with contextlib.suppress(ValueError):
        wait_s = email.utils.parsedate_to_datetime(word).timestamp() - time.time()
        return min(max(wait_s, 0.0), _LONGEST_WAIT_S)
    return None


def _extent(answer: httpx2.Response, start: int) -> tuple[int, int | None]:
    """Where the bytes that come belong, and how many the whole file has."""
    if answer.status_code == 206:
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None or found[1] is None or int(found[1]) != start:
            raise FetchError(str(answer.url), "the server sent another part than it was asked for")
        return start, None if found[3] == "*" else int(found[3])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _note_of(part: Path) -> Path:
    """Where it stands which file a part is of; a hidden name, which watchers of folders pass over."""
    return part.with_name(f".{part.name}.json")


def _left_behind(url: str, part: Path) -> tuple[int, str]:
    """How much is there of an earlier run, and what tells the server which file that was."""
    try:
        note = json.loads(_note_of(part).read_text())
        if note["url"] == url and note["validator"]:
            return part.stat().st_size, str(note["validator"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, ""


def _remember(url: str, part: Path, answer: httpx2.Response) -> None:
    etag = answer.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    _note_of(part).write_text(json.dumps({"url": url, "validator": validator}))


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note_of(part).unlink(missing_ok=True)


def _set_time(part: Path, word: str | None) -> None:
    """Give the file the time of last change that it has in the archive: a frame's last resort for its own."""
    if word:
        with contextlib.suppress(ValueError, OSError, OverflowError):
            moment = email.utils.parsedate_to_datetime(word).timestamp()
            os.utime(part, (moment, moment))
