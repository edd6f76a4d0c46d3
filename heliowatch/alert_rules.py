"""`heliowatch rules check` and `heliowatch alerts test`: rules before they count."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import typer

from heliowatch.asked import check_instrument
from heliowatch.spans import to_the_second
from observatory import cadence, completeness
from observatory.alerts.conditions import Change, Condition, Drift, Frozen, Gap, Number, Onset, Rate, leaves
from observatory.alerts.facts import Fact, GapTold
from observatory.alerts.replay import PastAlert, replay
from observatory.alerts.rule_file import read_rules
from observatory.alerts.rule_nodes import Problem
from observatory.alerts.rules import UNRECOGNISED, Rules
from observatory.errors import HeliowatchError, SettingsError
from observatory.instruments import instrument_names
from observatory.observing import State
from observatory.settings import Settings
from observatory.storage import coverage, past_facts
from observatory.storage.session import Database

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LARGEST = 1 << 21
_LONGEST = timedelta(days=20_000)
_COLUMNS = (
    "fired_at",
    "resolved_at",
    "alert",
    "severity",
    "instrument",
    "cause",
    "frames",
    "announced",
    "summary",
)


@dataclass(frozen=True)
class Past:
    """The span of time that rules are tried on."""

    start: datetime
    end: datetime


def check_rules(settings: Settings, paths: Sequence[Path]) -> int:
    """Read files of rules, and say what is wrong or odd about each; 1 when one cannot be used."""
    code = 0
    for path in paths:
        try:
            rules = read_file(settings, path)
        except (HeliowatchError, OSError) as error:
            said = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            typer.echo(said, err=True)
            code = 1
            continue
        for warning in _oddities(settings, rules):
            typer.echo(f"{path}: warning: {warning}", err=True)
        count = len(rules.rules)
        typer.echo(f"{path}: {count} rule{'' if count == 1 else 's'}, nothing wrong")
    return code


def read_file(settings: Settings, path: Path) -> Rules:
    """Read a file of rules as the service would.

    Raises
    ------
    HeliowatchError
        When it is no text, or (`RuleFileError`) holds mistakes.
    OSError
        When it cannot be read.
    """
    with path.open("rb") as opened:
        data = opened.read(_LARGEST)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise HeliowatchError(f"{path}: {Problem(line, column, '', 'is no UTF-8 text')}") from error
    return read_rules(text, str(path), settings.notifications.channels.keys() or None)


def _oddities(settings: Settings, rules: Rules) -> Iterator[str]:
    known = {*instrument_names(), *settings.instruments, UNRECOGNISED}
    configured = settings.notifications.channels.keys()
    for rule in rules.rules:
        if not any(rule.means(name) for name in known):
            yield f"{rule.name}: no instrument that is known or configured is named {rule.instrument}"
        named = [*rule.notify, *(name for step in rule.escalations for name in step.notify)]
        for name in dict.fromkeys(named):
            if name not in configured:
                yield f"{rule.name}: no channel {name} is configured (notifications.channels): nobody is told"
        if not named:
            yield f"{rule.name}: it notifies nobody; its alerts are listed alone"


def try_rules(
    settings: Settings, path: Path | None, since: str, until: str | None, instrument: str | None, output: str
) -> None:
    """Print the alerts that rules would have raised."""
    now = datetime.now(UTC)
    past = Past(_moment("--since", since, now), now if until is None else _moment("--until", until, now))
    if past.end <= past.start:
        raise SettingsError("--until: is not after --since")
    path = path or settings.alerts.rules
    if path is None:
        raise SettingsError("there are no rules: name their file with --rules, or set alerts.rules")
    rules = read_file(settings, path)
    db = Database(settings.resolved_database_url)
    db.check_schema()
    if instrument != UNRECOGNISED:
        check_instrument(db, settings, instrument)
    names = [
        name
        for name in completeness.instruments(db, settings)
        if rules.of(name) and instrument in (None, name)
    ]
    facts = past_facts.in_order(
        [stream for name in names for stream in _streams(db, settings, rules, name, past)]
    )
    found = replay(rules, facts, past.start, past.end, cadence_of=_cadences(db, settings, rules, past))
    if instrument is not None:
        found = [alert for alert in found if alert.instrument == instrument]
    _print(found, output)
    span = f"{to_the_second(past.start)} to {to_the_second(past.end)} UTC"
    typer.echo(f"{len(found)} alert{'' if len(found) == 1 else 's'} from {span}", err=True)


def _moment(option: str, word: str, now: datetime) -> datetime:
    """A time, or how long ago: 7d, 36h."""
    ago = _AGO.fullmatch(word.strip())
    try:
        if ago:
            length = timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
            if length > _LONGEST:
                raise ValueError(word)
            return now - length
        moment = datetime.fromisoformat(word.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"{option} {word!r}: write a time (2026-11-13T00:00Z), or how long ago: 36h, 7d"
        ) from error


def _streams(
    db: Database, settings: Settings, rules: Rules, name: str, past: Past
) -> Iterator[Iterator[Fact]]:
    yield past_facts.of_frames(db, name, past.start, past.end, with_p_value=_asks_p_value(rules))
    if rules.uses(Frozen):
        yield past_facts.of_sightings(db, name, past.start, past.end)
    if rules.uses(Gap):
        yield _gaps(db, settings, name, past)
    if rules.uses(Onset):
        yield past_facts.of_onsets(db, name, past.start, past.end)
    if rules.uses(Drift):
        yield past_facts.of_drifts(db, name, past.start, past.end)


def _asks_p_value(rules: Rules) -> bool:
    def asks(condition: Condition | None) -> bool:
        parts = [] if condition is None else leaves(condition)
        return any(isinstance(leaf, Number | Change) and leaf.name == "p_value" for leaf in parts)

    return any(asks(rule.when) or asks(rule.clear_when) for rule in rules.rules)


def _gaps(db: Database, settings: Settings, name: str, past: Past) -> Iterator[Fact]:
    """Gaps as the ledger tells of them: when enough frames were missing, and when there were frames again."""
    written = completeness.write_ledger(db, settings, name, past.start, past.end, now=past.end)
    least = completeness.least_told(settings, name)
    late = past.end - written.due
    if written.cadence_s is None:
        return
    told_after = (least - 1) * timedelta(seconds=written.cadence_s) + max(late, timedelta(0))
    for gap in written.gaps.of(written.gaps.select([State.EXPECTED], least)):
        told = gap.start + told_after
        if gap.is_open or told < gap.end:
            yield GapTold(name, told, gap.start)
            if not gap.is_open:
                yield GapTold(name, gap.end, None)


def _cadences(db: Database, settings: Settings, rules: Rules, past: Past) -> Any:
    if not rules.uses(Rate):
        return lambda _: None

    @cache
    def ask(name: str) -> float | None:
        said = settings.plan(name).cadence_s
        if said is not None:
            return said
        for until in (past.start, past.start + (past.end - past.start) / 4, past.end):
            came, _ = coverage.recent(db, name, until)
            if (found := cadence.learn(came.times_s)) is not None:
                return found
        return None

    return ask


def _print(found: Sequence[PastAlert], output: str) -> None:
    if output == "json":
        for alert in found:
            sys.stdout.write(orjson.dumps(vars(alert), option=orjson.OPT_UTC_Z).decode() + "\n")
        return
    rows = [_row(alert) for alert in found]
    if output == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows([_COLUMNS, *rows])
        return
    _table(rows)


def _row(alert: PastAlert) -> list[str]:
    return [
        to_the_second(alert.fired_at, "T") + "Z",
        "" if alert.resolved_at is None else to_the_second(alert.resolved_at, "T") + "Z",
        alert.rule,
        alert.severity,
        alert.instrument,
        str(alert.evidence.get("cause") or ""),
        str(alert.evidence.get("frames") or ""),
        "true" if alert.is_announced else "false",
        alert.annotations.get("summary", ""),
    ]


def _table(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in _COLUMNS:
        table.add_column(
            title.replace("_", " "), justify="right" if title == "frames" else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(cell.replace("\n", " ")) for cell in row))
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else 180).print(table)
