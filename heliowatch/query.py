"""What a server knows, on the command line: frames, regions, quality, sky."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import typer

from heliowatch.remote import Server, ServerRefusedError, ServerUnreachableError, server_of
from observatory.errors import NoSuchInstrumentError, SettingsError
from observatory.instruments import instrument_names
from observatory.settings import Settings

PAGED = ("frames", "regions", "sky")
_PAGE = 1000
_SERIES = 10_000
_SHOWN = 50  # rows of a table, when nobody says how many
_TRUNCATED = "Heliowatch-Truncated"
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_COMMON = {"time", "instrument"}
_FILTERS = {
    "frames": _COMMON
    | {"wavelength", "quality_min", "quality_max", "status", "cause", "event_type", "sky_class", "order"},
    "regions": _COMMON | {"wavelength", "quality_min", "event_type", "area_min", "track", "frame", "order"},
    "quality": _COMMON | {"bin"},
    "sky": _COMMON | {"bin", "sky_class", "order"},
}
_SHORT = {
    "frames": ("id", "instrument", "date_obs", "score", "status", "causes", "file_name"),
    "regions": ("id", "event_type", "instrument", "date_obs", "disk_fraction", "area_msh", "track_id"),
    "quality": ("time", "instrument", "frames", "score", "score_min", "score_max", "is_degraded", "degraded"),
    "sky": (
        *("time", "instrument", "frames", "sky_class", "aurora_probability", "aurora_occurrence"),
        *("cloud_cover", "reason"),
    ),
}


@dataclass(frozen=True)
class Question:
    """What is asked, and how it is told.

    Attributes
    ----------
    filters : Mapping of str to value
        By the server's names; None is not asked for.
    limit : int or None
        Rows at most; None: as many as suit the format.
    is_all : bool
        Every row there is.
    form : str
        ``table``, ``json`` (one object a line), ``csv``, ``votable`` or ``parquet``.
    out : Path or None
        File to write; default: stdout.
    """

    resource: str
    filters: Mapping[str, Any]
    limit: int | None = None
    is_all: bool = False
    form: str = "table"
    out: Path | None = None

    @property
    def is_paged(self) -> bool:
        """Whether the server gives it page after page: lists, and no bins."""
        return self.resource in PAGED and self.filters.get("bin") is None


def run_query(settings: Settings, question: Question, named: str | None, key_file: Path | None) -> int:
    """Ask and print; 0 when the server answered."""
    _check(question)
    with server_of(settings, named, key_file) as server:
        try:
            _check_instrument(server, question.filters.get("instrument"))
            if question.form in ("votable", "parquet"):
                _whole_file(server, question)
            elif question.form == "csv":
                _csv(server, question)
            elif question.form == "json":
                _json_lines(server, question)
            else:
                _table(server, question)
        except ServerRefusedError as error:
            if question.resource == "sky" and error.status == 404:
                raise ServerRefusedError(404, f"{server.url} has no sky series yet") from error
            raise
    return 0


def named_filters(words: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` filters.

    Raises
    ------
    SettingsError
        When one is not of that form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise SettingsError(f"--filter {word!r}: write NAME=VALUE")
        if name in found:
            raise SettingsError(f"--filter {name}: is given twice")
        found[name] = value
    return found


def _check(question: Question) -> None:
    """Refuse what no server could answer.

    Raises
    ------
    SettingsError
        It is the user's, and ends with 2.
    """
    given = {name for name, value in question.filters.items() if value is not None}
    odd = sorted(given & set().union(*_FILTERS.values()) - _FILTERS[question.resource])
    if odd:
        raise SettingsError(f"{question.resource} cannot be filtered by {', '.join(odd)}")
    if question.is_all and question.limit is not None:
        raise SettingsError("--all and --limit: one or the other")
    if question.is_all and not question.is_paged:
        raise SettingsError(f"--all: {question.resource} is a series; use --limit (10000 at most), or --bin")
    if question.form in ("votable", "parquet"):
        if question.limit is not None and question.is_paged and question.limit > _PAGE:
            raise SettingsError(f"--limit: a {question.form} file holds 1000 rows of a page, or --all")
        if question.out is None and question.form == "parquet" and sys.stdout.isatty():
            raise SettingsError("parquet is nothing for a terminal: write it with --out FILE or into a pipe")


def _check_instrument(server: Server, name: str | None) -> None:
    """Refuse an instrument that neither we know nor the server: to the server it is a filter that nothing passes.

    Raises
    ------
    NoSuchInstrumentError
    """
    if name is None or name in instrument_names():
        return
    theirs = [str(item.get("name")) for item in _items_of(server, server.json("instruments"))]
    if name not in theirs:
        raise NoSuchInstrumentError(name, sorted({*instrument_names(), *theirs}))


def _limit(question: Question) -> int | None:
    """Rows at most; None is no bound."""
    if question.is_all:
        return None
    if question.limit is not None:
        return question.limit
    return _SHOWN if question.form == "table" else _PAGE if question.is_paged else _SERIES


def _whole_file(server: Server, question: Question) -> None:
    """Formats that the server writes in one piece."""
    asked = {**question.filters, "format": question.form, "limit": _limit(question)}
    with server.stream(question.resource, asked) as answer, _target(question.out) as file:
        for piece in answer.iter_bytes():
            file.write(piece)
        if _TRUNCATED in answer.headers or _NEXT.search(answer.headers.get("Link", "")):
            _say_more(question)


def _csv(server: Server, question: Question) -> None:
    """The server's CSV, page after page as one file."""
    left = _limit(question)
    asked: dict[str, Any] | None = {**question.filters, "format": "csv", "limit": left}
    if left is not None and question.is_paged:
        asked = {**asked, "limit": min(left, _PAGE)} if asked else None
    path: str | None = question.resource
    is_first = True
    with _target(question.out) as file:
        while path is not None:
            with server.stream(path, asked) as answer:
                rows = _copy_csv(answer.iter_bytes(), file, None if left is None else left, is_first=is_first)
                found = _NEXT.search(answer.headers.get("Link", ""))
                is_cut = found is None and _TRUNCATED in answer.headers
            left = None if left is None else left - rows
            path, asked, is_first = found[1] if found else None, None, False
            if is_cut or (path is not None and left is not None and left <= 0):
                _say_more(question)
                return


def _copy_csv(pieces: Iterator[bytes], file: BinaryIO, most: int | None, *, is_first: bool) -> int:
    """Write a page's rows, its header only when it is the first; return how many rows there were.

    A row may hold line breaks inside quotes; only quotes tell, and they come in pairs.
    """
    rows, quotes, buffer, is_header = 0, 0, b"", True
    for piece in pieces:
        buffer += piece
        lines = buffer.split(b"\n")
        buffer = lines.pop()
        for line in lines:
            quotes += line.count(b'"')
            if (not is_header or is_first) and (most is None or is_header or rows < most):
                file.write(line + b"\n")
            if quotes % 2 == 0:
                rows += not is_header
                is_header = False
    if buffer and (most is None or rows < most):
        file.write(buffer)
    return rows


def _json_lines(server: Server, question: Question) -> None:
    with _target(question.out) as file:
        for item in _items(server, question):
            file.write(orjson.dumps(item) + b"\n")


def _items(server: Server, question: Question) -> Iterator[dict[str, Any]]:
    """Rows, page after page."""
    left = _limit(question)
    most = _PAGE if question.is_paged else _SERIES
    page = server.json(
        question.resource, {**question.filters, "limit": most if left is None else min(left, most)}
    )
    while True:
        items = _items_of(server, page)
        yield from items[:left]
        left = None if left is None else left - len(items)
        following = page.get("next")
        if page.get("is_truncated") or (following and left is not None and left <= 0):
            _say_more(question)
        if not following or (left is not None and left <= 0):
            return
        page = server.json(following)


def _items_of(server: Server, page: Any) -> Sequence[dict[str, Any]]:
    if not isinstance(page, dict) or not isinstance(page.get("items"), list):
        raise ServerUnreachableError(server.url, "its answer is no list: is it a Heliowatch server?")
    items: Sequence[dict[str, Any]] = page["items"]
    return items


def _say_more(question: Question) -> None:
    """Tell who named no limit that theirs is not all."""
    if question.limit is not None:
        return
    how = (
        "--limit N or --all" if question.is_paged else "--limit N (10000 at most), a shorter --time or --bin"
    )
    typer.echo(f"heliowatch: there are more {question.resource}; {how} gives them", err=True)


def _table(server: Server, question: Question) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [_flat(item) for item in _items(server, question)]
    known = [name for name in _SHORT[question.resource] if any(name in row for row in rows)]
    columns = known or list(rows[0] if rows else _SHORT[question.resource])[:8]
    if question.out is not None:
        _write_plain(question.out, columns, rows)
        return
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_word(name, row.get(name))) for name in columns))
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160).print(table)


def _write_plain(out: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with out.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(columns)
        writer.writerows([_word(name, row.get(name)) for name in columns] for row in rows)


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    """A row with its quality beside the rest."""
    quality = item.get("quality")
    if not isinstance(quality, dict):
        return item
    causes = " ".join(str(one.get("cause")) for one in quality.get("causes") or ())
    return item | {"score": quality.get("score"), "causes": causes, "is_degraded": quality.get("is_degraded")}


def _word(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2%}" if name.endswith("fraction") else f"{value:.4g}"
    word = str(value)
    if name in ("time", "date_obs"):
        return word.replace("T", " ").removesuffix("Z")[:19]
    return word if word.isprintable() else word.encode("unicode_escape").decode()


class _target:  # noqa: N801 - reads as the function it stands for
    """The file that is written: stdout, or one that appears whole or not at all."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self._part = None if out is None else out.with_name(f".{out.name}.part")

    def __enter__(self) -> BinaryIO:
        self._file: BinaryIO = sys.stdout.buffer if self._part is None else self._part.open("wb")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        if self._part is None or self._out is None:
            sys.stdout.buffer.flush()
            return
        self._file.close()
        if kind is None:
            self._part.replace(self._out)
        else:
            self._part.unlink(missing_ok=True)
