"""Reports on stdout: a table for people, JSON lines or CSV for programs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import orjson

from heliowatch.enhancement_words import in_words
from heliowatch.files import FrameReport
from observatory.analysis import Sky

_COLUMNS = (
    "file",
    "frame",
    "instrument",
    "date_obs",
    "score",
    "is_degraded",
    "p_value",
    "causes",
    "model",
    "error",
    "sky_class",
    "aurora_probability",
    "cloud_cover",
)


def print_reports(reports: Iterable[FrameReport], form: str) -> list[FrameReport]:
    """Print reports as they come (the table at the end) and give them back."""
    kept: list[FrameReport] = []
    writer = csv.writer(sys.stdout)
    if form == "csv":
        writer.writerow(_COLUMNS)
    for report in reports:
        kept.append(report)
        if form == "json":
            sys.stdout.write(orjson.dumps(report.as_json(), default=str).decode("utf-8", "replace") + "\n")
            sys.stdout.flush()
        elif form == "csv":
            writer.writerow(_row(report))
    if form == "table":
        _print_table(kept)
    return kept


def exit_code(reports: list[FrameReport]) -> int:
    """1 if any input failed, else 3 if any frame is degraded, else 0."""
    if any(report.error for report in reports):
        return 1
    return 3 if any(report.is_degraded for report in reports) else 0


def _row(report: FrameReport) -> list[object]:
    said = report.as_json()
    said["causes"] = " ".join(f"{item['cause']}:{item['probability']}" for item in said.get("causes", []))
    return [_cell(said.get(column)) for column in _COLUMNS]


def _cell(value: object) -> object:
    """Value as programs that are not Python read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _print_table(reports: list[FrameReport]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    shows_sky = any(report.sky is not None for report in reports)
    titles = ("file", "instrument", "time (UTC)", "score", "p", *(("sky",) if shows_sky else ()), "verdict")
    for title in titles:
        table.add_column(title, justify="right" if title in ("score", "p") else "left", overflow="fold")
    for report in reports:
        file = Path(report.file).name
        name = file if report.frame == 0 else f"{file} #{report.frame}"
        table.add_row(
            Text(name.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")),
            report.instrument or "",
            f"{report.date_obs:%Y-%m-%d %H:%M:%S}" if report.date_obs else "",
            "" if report.score is None else f"{report.score:.3f}",
            "" if report.p_value is None else f"{report.p_value:.3f}",
            *((sky_in_words(report.sky),) if shows_sky else ()),
            verdict(report),
        )
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160).print(table)


def sky_in_words(sky: Sky | None) -> str:
    """What an all-sky frame shows, in a few words."""
    if sky is None:
        return ""
    if sky.sky_class is None:
        return "not judged"
    cover = "" if sky.cloud_cover is None else f", {sky.cloud_cover:.0%} cloud"
    return f"{sky.sky_class.value} {sky.probabilities[sky.sky_class]:.0%}{cover}"


def verdict(report: FrameReport) -> str:
    """Put a report into words."""
    if report.error:
        return f"✗ {report.error}"
    if report.quality is None:
        return "read; no score for this kind yet"
    causes = ", ".join(f"{item.cause.value} {item.probability:.0%}" for item in report.causes)
    good = "✓ clear" if report.sky is None else "✓ good"  # a clear sky is something else
    words = f"⚠ degraded: {causes or 'unknown'}" if report.is_degraded else good
    if report.sky is not None and report.sky.reason is not None:
        return f"{words}; {report.sky.reason}"
    return words if report.enhancement is None else f"{words}; {in_words(report.enhancement)}"
