"""`heliowatch keogram`: keograms and ewograms of files, or of what is stored."""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from heliowatch.asked import check_instrument
from heliowatch.folders import make_folder, refuse_among_frames, write_whole
from heliowatch.progress import progress_bars
from heliowatch.series import Listed, list_frames
from heliowatch.sources import open_database
from heliowatch.spans import Span
from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import DateSource
from observatory.instruments import kind_of, read_file
from observatory.nights import NightSeries, night_of, selected, summarised
from observatory.onset import onsets
from observatory.settings import Settings
from observatory.storage import night_catalogue, night_frames, nights
from observatory.storage.nights import NewSlices
from workers.nights import numbers_of, pictures_of, title_of

_PIPED_WIDTH = 160
_PAGE = 200
_FILE_TIMES = (
    "⚠ of some frames only the time of the file is known: give the camera's name_time in the settings, or keep "
    "the files' own times when you copy them"
)
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Request:
    """Which nights are asked for, and where their pictures go.

    Attributes
    ----------
    instrument : str or None
        Of files: what they are, when they do not tell themselves. Of what is stored: whose nights.
    """

    instrument: str | None
    span: Span
    out: Path


@dataclass(frozen=True)
class Found:
    """The frames of one night of one camera."""

    instrument: str
    wavelength_nm: float
    date: date
    series: NightSeries
    is_simulated: bool
    is_file_time: bool = False


@dataclass
class Report:
    """What was made, and what could not be."""

    nights: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)


def run_keogram(settings: Settings, files: Sequence[Path], request: Request, form: str) -> int:
    """Make the pictures; 1 if a file could not be used or no night was found, else 0."""
    if not files and request.instrument is None and request.span == Span():
        raise SettingsError("say of what: name files, or --instrument or --time of what is stored")
    refuse_among_frames(settings, request.out, sources=files, names=["keogram-roof-2026-01-01.png"])
    make_folder(request.out)
    report = Report()
    found = _of_files(settings, files, request, report) if files else _stored(settings, request)
    for night in found:
        report.nights.append(_write(night, request.out))
    if not report.nights and not report.errors:
        report.errors.append({"file": "", "error": _nothing(request, are_files=bool(files))})
    _print(report, form)
    return 1 if report.errors else 0


def _nothing(request: Request, *, are_files: bool) -> str:
    if are_files:
        return (
            "none of the frames shows a sky at a known time by night: a keogram needs the times of its frames"
        )
    span = "" if request.span == Span() else f" in {request.span}"
    return f"no night of {request.instrument or 'any camera'} is stored{span}"


def _of_files(settings: Settings, files: Sequence[Path], request: Request, report: Report) -> Iterator[Found]:
    """Analyse frames and put them together to nights."""
    listed, refused = list_frames(settings, files, instrument=request.instrument, without=request.out)
    report.errors += [{"file": one.file, "error": one.error} for one in refused]
    wanted = [one for one in listed if request.span.holds(one.date_obs)]
    analyser = _Analyser(settings, report)
    by_path = [list(group) for _, group in groupby(sorted(wanted, key=_place), lambda one: one.path)]
    with progress_bars() as bars, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        bar = bars.add_task("frames", total=len(wanted))
        lines: list[_Line] = []
        for made in pool.map(analyser.lines, by_path):
            lines += made.lines
            bars.advance(bar, made.count)
    lines.sort(key=lambda one: (one.camera, one.time_s))
    for camera, group in groupby(lines, lambda one: one.camera):
        mine = list(group)
        instrument, wavelength_nm, evening = camera
        yield Found(
            instrument,
            wavelength_nm,
            evening,
            _series(mine),
            is_simulated=any(one.is_simulated for one in mine),
            is_file_time=any(one.is_file_time for one in mine),
        )


def _place(one: Listed) -> tuple[Path, int]:
    return one.path, one.index


@dataclass(frozen=True)
class _Line:
    """One frame of a night."""

    camera: tuple[str, float, date]
    time_s: float
    number: int
    sky: Any
    new: NewSlices
    is_simulated: bool
    is_file_time: bool


@dataclass(frozen=True)
class _Made:
    count: int
    lines: Sequence[_Line]


class _Analyser:
    """Reads files and cuts the lines out of their frames; its network is made once."""

    def __init__(self, settings: Settings, report: Report) -> None:
        from models.runtime import Runtime
        from workers.pipelines import Pipelines

        runtime = settings.runtime
        self._settings, self._report = settings, report
        self._pipelines = Pipelines(Runtime(device=runtime.device.value, intra_op_threads=runtime.threads))

    def lines(self, listed: Sequence[Listed]) -> _Made:
        """Lines of the frames of one file."""
        try:
            return _Made(len(listed), list(self._of_file(listed)))
        except UnusableInputError as error:
            self._report.errors.append({"file": str(listed[0].path), "error": str(error)})
            return _Made(len(listed), [])

    def _of_file(self, listed: Sequence[Listed]) -> Iterator[_Line]:
        first = listed[0]
        family = kind_of(first.channel).family
        if family != "allsky":
            raise UnusableInputError(
                f"{first.instrument} is no all-sky camera: keograms are of the night's sky"
            )
        opened = read_file(
            first.path,
            self._settings.limits.as_limits,
            instrument=first.instrument,
            stations=self._settings.stations,
        )
        from workers.pipelines.base import Stopwatch

        for one in listed:
            try:
                frame = opened.frame(one.index)
                outcome = self._pipelines.of(family).run(frame, Stopwatch())
            except UnusableInputError as error:
                self._report.errors.append({"file": one.label, "error": str(error)})
                continue
            new = NewSlices.of(frame, outcome.sky, outcome.slices)
            if new is None or new.is_daylight:
                continue
            night = night_of(one.date_obs, new.longitude_deg)
            camera = (one.instrument, new.wavelength_nm, night.date)
            is_file_time = one.date_obs_source is DateSource.FILE_TIME
            yield _Line(
                camera,
                one.date_obs.timestamp(),
                one.index,
                outcome.sky,
                new,
                frame.is_simulated,
                is_file_time,
            )


def _series(lines: Sequence[_Line]) -> NightSeries:
    by_time = {one.time_s: one for one in lines}
    kept = list(by_time.values())

    def numbers(values: Iterator[float | None]) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in values], np.float64)

    return NightSeries(
        frame_ids=np.array([one.number for one in kept]),
        times_s=np.array([one.time_s for one in kept]),
        sky_classes=tuple(one.sky.sky_class for one in kept),
        aurora_probability=numbers(one.sky.aurora_probability for one in kept),
        cloud_cover=numbers(one.sky.cloud_cover for one in kept),
        sun_elevation_deg=numbers(one.sky.facts.sun_elevation_deg for one in kept),
        north_south=np.stack([one.new.slices.north_south for one in kept]),
        east_west=np.stack([one.new.slices.east_west for one in kept]),
        is_oriented=all(one.new.slices.is_oriented for one in kept),
    )


def _stored(settings: Settings, request: Request) -> Iterator[Found]:
    """Nights of the database, cut to the span; of frames that are stored, whether pictures were made or not."""
    db = open_database(settings)
    check_instrument(db, settings, request.instrument)
    span = request.span
    wanted = night_catalogue.NightFilter(request.instrument, span.start, span.end)
    after = None
    while True:
        page = night_catalogue.find(db, wanted, limit=_PAGE, after=after, is_ascending=True, is_made=False)
        for row in page:
            series = nights.series(db, row["id"])
            cut = None if series is None else _cut(series, span)
            if cut is not None:
                yield Found(
                    row["instrument"],
                    row["wavelength_nm"],
                    row["date"],
                    cut,
                    is_simulated=night_frames.holds_simulated(db, row["id"]),
                    is_file_time=night_frames.holds_file_times(db, row["id"]),
                )
        if len(page) < _PAGE:
            return
        after = page[-1]["start_at"], page[-1]["id"]


def _cut(series: NightSeries, span: Span) -> NightSeries | None:
    start = -np.inf if span.start is None else span.start.timestamp()
    end = np.inf if span.end is None else span.end.timestamp()
    return selected(series, (series.times_s >= start) & (series.times_s < end))


def _write(night: Found, out: Path) -> dict[str, Any]:
    found = onsets(night.series)
    summary = summarised(night.series)
    title = title_of(
        night.instrument,
        night.wavelength_nm,
        night.date,
        is_simulated=night.is_simulated,
        is_file_time=night.is_file_time,
    )
    band = f"-{night.wavelength_nm:g}nm" if night.wavelength_nm else ""
    stem = _UNSAFE.sub("_", f"{night.instrument}{band}-{night.date}")
    said: dict[str, Any] = {
        "instrument": night.instrument,
        "wavelength_nm": night.wavelength_nm or None,
        "date": night.date.isoformat(),
        "is_simulated": night.is_simulated,
        "is_file_time": night.is_file_time,
        **numbers_of(summary, found),
    }
    for picture in pictures_of(night.series, summary, found, title):
        path = out / f"{picture.kind}-{stem}{picture.suffix}"
        write_whole(path, picture.data)
        said[picture.kind] = str(path)
    return said


_COLUMNS = {
    "instrument": "instrument",
    "date": "night of",
    "frames": "frames",
    "first": "first (UTC)",
    "last": "last (UTC)",
    "cloud_cover": "cloud",
    "aurora_occurrence": "aurora",
    "onsets": "onsets",
    "keogram": "keogram",
}


def _print(report: Report, form: str) -> None:
    if form == "json":
        for one in (*report.nights, *report.errors):
            sys.stdout.write(orjson.dumps(one).decode() + "\n")
        return
    if form == "csv":
        rows = csv.DictWriter(sys.stdout, [*_COLUMNS, "ewogram", "error"], extrasaction="ignore", restval="")
        rows.writeheader()
        rows.writerows(one | {"onsets": len(one["onsets"])} for one in report.nights)
        rows.writerows({"keogram": one["file"], "error": one["error"]} for one in report.errors)
        return
    table = Table(box=None, pad_edge=False)
    for title in _COLUMNS.values():
        table.add_column(title)
    for one in report.nights:
        table.add_row(*(_cell(name, one[name]) for name in _COLUMNS))
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    if report.nights:
        console.print(table)
    if any(one["is_file_time"] for one in report.nights):
        console.print(_FILE_TIMES, markup=False)
    for one in report.errors:
        console.print(
            f"✗ {one['file']}: {one['error']}" if one["file"] else f"✗ {one['error']}", markup=False
        )


def _cell(name: str, value: Any) -> str:
    if name in ("cloud_cover", "aurora_occurrence"):
        return "–" if value is None else f"{100 * value:.0f} %"
    if name in ("first", "last"):
        return str(value)[11:16]
    if name == "onsets":
        return ", ".join(one["time"][11:16] for one in value) or "none"
    return str(value)
