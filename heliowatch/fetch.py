"""Real frames of public archives into a folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from heliowatch.archives import ARCHIVES, Archive, VsoArchive, archive_named, chosen
from heliowatch.download import Fetcher, FetchError
from heliowatch.folders import make_folder
from heliowatch.listing import RemoteFile, Span, Walk
from heliowatch.spans import Span as OpenSpan
from observatory.errors import SettingsError, UnusableInputError
from observatory.settings import Settings
from observatory.words import counted

_LIMIT = 1000
_FAILURES = 5


@dataclass
class Fetched:
    """What became of a run."""

    new: int = 0
    known: int = 0
    failed: list[str] = field(default_factory=list)
    is_more: bool = False
    failures_in_a_row: int = 0


def print_list() -> None:
    """Tell which archives there are."""
    for archive in ARCHIVES.values():
        typer.echo(f"{archive.name:<16} {archive.about}")
        for name, choice in archive.choices.items():
            usual = "all" if choice.default is None else choice.default
            typer.echo(f"{'':<16}   --with {name}=…  {choice.about} (default {usual})")
        typer.echo(f"{'':<16}   {archive.known_from}")


def run_fetch(
    settings: Settings,
    source: str,
    time: str,
    out: Path | None,
    words: list[str],
    limit: int | None,
    *,
    is_dry: bool,
    fetcher: Fetcher | None = None,
) -> int:
    """Fetch an archive's frames of a span; their paths go to stdout. 1 when something could not be had.

    Files that are there already are passed over, so running it again goes on where it ended.
    """
    archive = archive_named(source)
    given = chosen(archive, words)
    span = _closed(OpenSpan.parse(time))
    folder = out or Path("frames") / source
    most = _LIMIT if limit is None else limit
    if not is_dry:
        make_folder(folder)
    if isinstance(archive, VsoArchive):
        from heliowatch.vso import fetch_by_sunpy

        done = fetch_by_sunpy(archive, given, span, folder, most, is_dry=is_dry)
    else:
        own = Fetcher(max_bytes=settings.limits.max_file_bytes) if fetcher is None else nullcontext(fetcher)
        with own as open_fetcher, _bars() as bars:
            done = _fetch(archive, given, span, folder, most, open_fetcher, bars, is_dry=is_dry)
    _tell(done, is_default=limit is None, is_dry=is_dry)
    return 1 if done.failed else 0


def _closed(span: OpenSpan) -> Span:
    if span.start is None or span.end is None:
        raise SettingsError(f"--time {span}: both sides are needed; an archive has no end")
    return Span(span.start, span.end)


def _fetch(
    archive: Archive,
    given: dict[str, str],
    span: Span,
    folder: Path,
    most: int,
    fetcher: Fetcher,
    bars: Progress,
    *,
    is_dry: bool,
) -> Fetched:
    done = Fetched()
    looking = bars.add_task(f"{archive.name}: looking", total=None)
    walk = Walk(archive, given, span, fetcher.listing)
    try:
        for count, file in enumerate(walk, 1):
            if done.new + len(done.failed) >= most:
                done.is_more = True
                break
            bars.update(
                looking, description=f"{archive.name}: {counted(count, 'frame')}, {file.time:%Y-%m-%d %H:%M}"
            )
            if is_dry:
                typer.echo(file.url)
                done.new += 1
            else:
                _take(file, folder, fetcher, bars, done)
            if done.failures_in_a_row >= _FAILURES:
                _fail(done, "several files in a row could not be had: stopping")
                break
    except UnusableInputError as error:
        if str(error) not in walk.failed:
            _fail(done, str(error))
    for why in walk.failed:
        _fail(done, why)
    if walk.missing and not done.new + done.known + len(done.failed):
        typer.echo(f"heliowatch: no folder for that time: {walk.missing[0]}", err=True)
    return done


def _take(file: RemoteFile, folder: Path, fetcher: Fetcher, bars: Progress, done: Fetched) -> None:
    target = folder / file.name
    if target.exists():
        done.known += 1
        return
    bar: TaskID = bars.add_task(file.name, total=None)
    try:
        fetcher.file(file.url, target, lambda size, total: bars.update(bar, completed=size, total=total))
    except FetchError as error:
        _fail(done, str(error))
        done.failures_in_a_row += 1
    else:
        done.new += 1
        done.failures_in_a_row = 0
        typer.echo(str(target))
    finally:
        bars.remove_task(bar)


def _fail(done: Fetched, why: str) -> None:
    done.failed.append(why)
    typer.echo(f"heliowatch: {why}", err=True)


def _tell(done: Fetched, *, is_default: bool, is_dry: bool) -> None:
    words = [f"{done.new} {'would be fetched' if is_dry else 'fetched'}"]
    if done.known:
        words.append(f"{done.known} were there")
    if done.failed:
        words.append(f"{len(done.failed)} could not be had")
    if done.is_more:
        words.append(f"there are more: --limit N{' (default 1000)' if is_default else ''}")
    typer.echo(f"heliowatch: {', '.join(words)}", err=True)


def _bars() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=False,  # data goes to stdout, also while a bar is drawn
        transient=True,
    )
