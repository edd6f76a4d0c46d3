"""Walking an archive's HTML listings: which files it has of a span of time."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urljoin, urlsplit

import structlog

from heliowatch.archives import Archive, filled
from observatory.errors import UnusableInputError

log = structlog.get_logger(__name__)

_HREF = re.compile(r"""<a\s[^>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.+\-]+/?")
_END = re.compile(r"</html\s*>\s*\Z", re.IGNORECASE)
_FAILURES = 3  # in a row
Read = Callable[[str], str | None]
"""Reads a listing: its text, None where there is no such folder."""


class ListingError(UnusableInputError):
    """A page that should list an archive's files does not."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that an archive lists."""

    url: str
    name: str
    time: datetime


@dataclass(frozen=True)
class Span:
    """From ``start`` on, before ``end``; both known."""

    start: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.start <= moment < self.end

    def shared(self, other: Span) -> Span:
        """The part that lies in both; empty when its end is not after its start."""
        return Span(max(self.start, other.start), min(self.end, other.end))


class Walk:
    """Lists an archive's files of a span, folder by folder, in order of the folders' dates.

    Parameters
    ----------
    read : callable
        Gives a listing's text, or None where there is no such folder (a day without frames).

    Attributes
    ----------
    missing : list of str
        Folders that are not there.
    failed : list of str
        Why listings could not be had, or may lack something; the others were walked nevertheless.
    """

    def __init__(self, archive: Archive, given: Mapping[str, str], span: Span, read: Read) -> None:
        self._archive, self._span, self._read = archive, span, read
        self._steps = [filled(archive, step, given) for step in archive.folders]
        self._pattern = re.compile(filled(archive, archive.files, given))
        self.missing: list[str] = []
        self.failed: list[str] = []
        self._failures = 0

    def __iter__(self) -> Iterator[RemoteFile]:
        """Yield the files of the span, those of one folder in order of time.

        Raises
        ------
        UnusableInputError
            When several listings in a row could not be had: the archive is away, or has moved.
        """
        for folder in self._folders(self._archive.root, self._steps, self._names_span()):
            yield from self._files(folder)

    def _names_span(self) -> Span:
        """The span by the clock of the names."""
        if not self._archive.is_tai:
            return self._span
        return Span(*(to_tai(side) for side in (self._span.start, self._span.end)))

    def _folders(self, url: str, steps: list[str], span: Span) -> Iterator[str]:
        if not steps:
            yield url
            return
        step, rest = steps[0], steps[1:]
        if step.startswith("~"):
            pattern = re.compile(step[1:])
            for name, address in sorted(self._links(url)):
                if pattern.fullmatch(name):
                    yield from self._folders(address, rest, span)
            return
        for period in periods(step, span):
            # A choice may have left a pattern's escapes in the step: names of folders have none.
            name = period.start.strftime(step.replace("\\", ""))
            yield from self._folders(url + name, rest, span.shared(period))

    def _files(self, folder: str) -> list[RemoteFile]:
        span, form = self._names_span(), self._archive.time_format
        # Times in names are digits from year to second, so they sort as words: few need to be understood.
        first, last = span.start.strftime(form), span.end.strftime(form)
        found = []
        for name, address in self._links(folder):
            match = self._pattern.fullmatch(name)
            if match is None or not first <= match["time"] <= last:
                continue
            moment = _moment(match["time"], form)
            if moment is not None and span.holds(moment):
                found.append(RemoteFile(address, name, from_tai(moment) if self._archive.is_tai else moment))
        return sorted(found, key=lambda file: (file.time, file.name))

    def _links(self, url: str) -> list[tuple[str, str]]:
        try:
            text = self._read(url)
            found = [] if text is None else links(text, url)
        except UnusableInputError as error:
            self.failed.append(str(error))
            self._failures += 1
            if self._failures >= _FAILURES:
                raise
            return []
        self._failures = 0
        if text is None:
            self.missing.append(url)
        elif "<html" in text[:2000].lower() and not _END.search(text):
            self.failed.append(f"{url}: the listing looks cut off; what it names was taken")
        return found


def links(text: str, url: str) -> list[tuple[str, str]]:
    """Names that a listing gives directly below itself, with their addresses; folders end in a slash.

    Raises
    ------
    ListingError
        When the page has no link at all.
    """
    base = urlsplit(url)
    found: dict[str, str] = {}
    count = 0
    for match in _HREF.finditer(text):
        count += 1
        word = html.unescape(next(group for group in match.groups() if group is not None))
        is_plain = _PLAIN.fullmatch(word)  # as nearly all are: the rest of the work is saved
        name = word if is_plain else _name_below(word, url, base.scheme, base.netloc, base.path)
        if name not in ("", ".", "..", "./", "../"):
            found.setdefault(name, url + word if is_plain else urljoin(url, word))
    if not count:
        raise ListingError(f"{url} lists nothing: the page is no listing (the archive may have moved)")
    return list(found.items())


def _name_below(word: str, url: str, scheme: str, netloc: str, path: str) -> str:
    """Name of what a link leads to when that lies directly below; else nothing."""
    try:
        target = urlsplit(urljoin(url, word))
    except ValueError:
        return ""
    if (target.scheme, target.netloc) != (scheme, netloc) or target.query or not target.path.startswith(path):
        return ""
    name = unquote(target.path[len(path) :])
    is_one = "/" not in name.removesuffix("/") and "\\" not in name and "\0" not in name
    return name if is_one else ""


def periods(step: str, span: Span) -> Iterator[Span]:
    """The hours, days, months or years, whichever a step names last, that a span touches."""
    start = span.start.replace(minute=0, second=0, microsecond=0)
    is_hourly, is_daily, is_monthly = "%H" in step, "%d" in step or "%j" in step, "%m" in step
    if not is_hourly:
        start = start.replace(hour=0)
    if not is_hourly and not is_daily:
        start = start.replace(day=1)
        if not is_monthly:
            start = start.replace(month=1)
    while start < span.end:
        if is_hourly:
            end = start + timedelta(hours=1)
        elif is_daily:
            end = start + timedelta(days=1)
        else:
            end = (start + timedelta(days=32 if is_monthly else 367)).replace(day=1)
            end = end if is_monthly else end.replace(month=1)
        yield Span(start, end)
        start = end


def _moment(word: str, time_format: str) -> datetime | None:
    try:
        return datetime.strptime(word, time_format).replace(tzinfo=UTC)
    except ValueError:
        return None  # fits the pattern and is no time, such as the 31st of June


def to_tai(moment: datetime) -> datetime:
    """What clocks of atomic time show at a moment, written as if it were UTC."""
    from astropy.time import Time

    return Time(moment).tai.to_datetime().replace(tzinfo=UTC)


def from_tai(shown: datetime) -> datetime:
    """Undo `to_tai`."""
    from astropy.time import Time

    return Time(shown.replace(tzinfo=None), scale="tai").utc.to_datetime().replace(tzinfo=UTC)
