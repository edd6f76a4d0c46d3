"""`heliowatch coverage` and `heliowatch closures`: the completeness ledger at the shell."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from heliowatch.keys import person
from heliowatch.spans import Span, to_the_minute, to_the_second
from observatory import completeness
from observatory.errors import SettingsError
from observatory.ledger import YEARS, Count, Gap, Ledger
from observatory.observing import EXCUSES, Window
from observatory.observing_settings import parse_window
from observatory.settings import Settings
from observatory.storage import audit
from observatory.storage import coverage as storage
from observatory.storage.audit import Entry
from observatory.storage.session import Database
from observatory.words import lasting

_BINS_S = {"1h": 3600.0, "1d": 86400.0}
_MOST_DAYS = 366
_NUMBERS = ("expected", "received", "usable", "waiting", "unusable", "frozen", "missing", "extra", "frames")


@dataclass(frozen=True)
class Wanted:
    """What is asked for, in the words of the command line."""

    date: str | None
    time: str | None
    instrument: str | None
    bin: str | None
    gaps: bool
    output: str


def run_coverage(settings: Settings, wanted: Wanted) -> None:
    """Print the ledger, or the gaps.

    Raises
    ------
    SettingsError
        When the time cannot be used, or there is no such instrument.
    """
    now = datetime.now(UTC)
    start, end = _span(wanted, now)
    db = Database(settings.resolved_database_url)
    db.check_schema()
    rows = _rows(db, settings, wanted, start, end, now)
    if wanted.output == "json":
        for row in rows:
            sys.stdout.write(orjson.dumps(row, option=orjson.OPT_UTC_Z).decode() + "\n")
    elif wanted.output == "csv":
        _print_csv(rows)
    elif wanted.gaps:
        _print_gaps(rows, start, end)
    else:
        _print_table(rows, start, end)


def _span(wanted: Wanted, now: datetime) -> tuple[datetime, datetime]:
    start, end = _stated(wanted, now)
    if end.year > YEARS[-1]:
        raise SettingsError(f"{wanted.time or wanted.date}: no ledger goes beyond the year {YEARS[-1]}")
    return start, end


def _stated(wanted: Wanted, now: datetime) -> tuple[datetime, datetime]:
    if wanted.time is not None:
        if wanted.date is not None:
            raise SettingsError("give either --date or --time")
        span = Span.parse(wanted.time)
        end = span.end or now
        if span.start is None or not timedelta(0) < end - span.start <= timedelta(days=_MOST_DAYS):
            raise SettingsError(
                f"--time {wanted.time}: needs a start no more than {_MOST_DAYS} days before its end"
            )
        return span.start, end
    try:
        on = now.date() if wanted.date is None else date.fromisoformat(wanted.date)
        start = datetime.combine(on, time(), UTC)
        return start, start + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"--date {wanted.date}: write a day such as 2026-11-20") from error


def _rows(
    db: Database, settings: Settings, wanted: Wanted, start: datetime, end: datetime, now: datetime
) -> Iterator[dict[str, Any]]:
    names = completeness.instruments(db, settings)
    if wanted.instrument is not None and wanted.instrument not in names:
        raise _unknown(wanted.instrument, names)
    bin_s = _BINS_S[wanted.bin] if wanted.bin else None
    for name in names if wanted.instrument is None else [wanted.instrument]:
        written = completeness.write_ledger(db, settings, name, start, end, now=now, bin_s=bin_s)
        if wanted.gaps:
            for gap in written.gaps.of(written.gaps.select()):
                yield _gap_row(name, gap)
            continue
        for count in written.bins if bin_s else [written.total]:
            yield _count_row(name, written, count, with_lateness=bin_s is None)


def _count_row(name: str, written: Ledger, count: Count, *, with_lateness: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "start": count.start,
        "end": count.end,
        "instrument": name,
        "cadence_s": written.cadence_s,
        "is_cadence_learned": written.is_learned,
    }
    row |= {word: getattr(count, word) for word in _NUMBERS}
    row |= {f"excused_{state.word}": count.excused[state.word] for state in EXCUSES}
    if with_lateness:
        row |= {f"lateness_{word}_s": written.lateness_s.get(word) for word in ("p50", "p95", "max")}
    return row


def _gap_row(name: str, gap: Gap) -> dict[str, Any]:
    return {
        "instrument": name,
        "start": gap.start,
        "end": gap.end,
        "length_s": gap.length_s,
        "frames_lost": gap.frames_lost,
        "state": gap.state,
        "is_open": gap.is_open,
    }


def _print_csv(rows: Iterator[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout)
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow([_cell(value) for value in row.values()])


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.isoformat().removesuffix('+00:00')}Z"
    return "" if value is None else value


def _print_table(rows: Iterator[dict[str, Any]], start: datetime, end: datetime) -> None:
    table = _table(
        (
            "from (UTC)",
            "instrument",
            "cadence",
            "expected",
            "received",
            "usable",
            "missing",
            "excused",
            "late",
        ),
        2,
    )
    for row in rows:
        expected = row["expected"]
        excused = ", ".join(
            f"{state.word} {row[f'excused_{state.word}']}"
            for state in EXCUSES
            if row[f"excused_{state.word}"]
        )
        late = row.get("lateness_p95_s")
        table.add_row(
            to_the_minute(row["start"]),
            Text(row["instrument"]),
            _cadence(row),
            str(expected),
            _part(row["received"], expected),
            _part(row["usable"], expected),
            _part(row["missing"], expected),
            excused or "0",
            "" if late is None else lasting(late),
        )
    _show(table, start, end)


def _print_gaps(rows: Iterator[dict[str, Any]], start: datetime, end: datetime) -> None:
    table = _table(("instrument", "from (UTC)", "to", "length", "frames lost", "why"), 1)
    for row in rows:
        table.add_row(
            Text(row["instrument"]),
            to_the_second(row["start"]),
            "now" if row["is_open"] else to_the_second(row["end"]),
            lasting(row["length_s"]),
            str(row["frames_lost"]),
            row["state"],
        )
    _show(table, start, end)


def _table(titles: Sequence[str], left: int) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place < left else "right", overflow="fold")
    return table


def _show(table: Table, start: datetime, end: datetime) -> None:
    if not table.row_count:
        typer.echo(f"nothing from {to_the_minute(start)} to {to_the_minute(end)} UTC", err=True)
        return
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _cadence(row: dict[str, Any]) -> str:
    if row["cadence_s"] is None:
        return "unknown"
    return f"{row['cadence_s']:.4g} s{' (learned)' if row['is_cadence_learned'] else ''}"


def _part(value: int, expected: int) -> str:
    return f"{value} ({value / expected:.1%})" if expected else str(value)


def _unknown(instrument: str, names: Sequence[str]) -> SettingsError:
    return SettingsError(
        f"--instrument {instrument}: no frames of it, and the settings do not name it; "
        f"there are {', '.join(names) or 'none yet'}"
    )


def add_closure(settings: Settings, word: str, instrument: str | None, reason: str) -> None:
    """Note a closure."""
    try:
        window = Window(*parse_window(word), reason)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    db = Database(settings.resolved_database_url)
    db.check_schema()
    names = completeness.instruments(db, settings)
    if instrument is not None and instrument not in names:
        raise _unknown(instrument, names)
    now = datetime.now(UTC)
    made = storage.close(db, instrument, window, person(), now)
    _note(db, "closures add", made.id, now)
    typer.echo(
        f"closure {made.id}: {instrument or 'all instruments'}, "
        f"{to_the_minute(made.start_at)} to {to_the_minute(made.end_at)} UTC"
    )


def remove_closure(settings: Settings, number: int) -> None:
    """Take a closure back."""
    db = Database(settings.resolved_database_url)
    db.check_schema()
    storage.withdraw(db, number)
    _note(db, "closures remove", number, datetime.now(UTC))
    typer.echo(f"closure {number} is taken back")


def list_closures(settings: Settings, *, as_json: bool) -> None:
    """Print closures."""
    db = Database(settings.resolved_database_url)
    db.check_schema()
    found = storage.closed(db)
    if as_json:
        for closure in found:
            typer.echo(orjson.dumps(vars(closure), option=orjson.OPT_UTC_Z).decode())
        return
    table = _table(("number", "instrument", "from (UTC)", "to", "reason", "by"), 6)
    for closure in found:
        table.add_row(
            str(closure.id),
            Text(closure.instrument or "all"),
            to_the_minute(closure.start_at),
            to_the_minute(closure.end_at),
            Text(closure.reason or ""),
            Text(closure.author),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _note(db: Database, action: str, number: int, now: datetime) -> None:
    entry = Entry(at=now, actor=person(), action=action, status=200, target=f"closures/{number}")
    audit.record(db, [entry])
