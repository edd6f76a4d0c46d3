"""`heliowatch composite`: colour pictures of files, paired by time."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import orjson
import typer
from rich.console import Console

from heliowatch.folders import make_folder, refuse_among_frames, write_whole
from heliowatch.progress import progress_bars
from heliowatch.series import Listed, Refused, list_frames, read_listed
from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import DateSource
from observatory.settings import LookSettings, Settings
from observatory.words import counted
from workers.pairing import Pairing, TimedSet, pair, tolerance_for
from workers.products import composite
from workers.products.composite import Channel, Levels
from workers.products.film_plan import duration_words
from workers.products.sun_view import Crop, SunView


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes
    ----------
    is_incomplete_wanted : bool
        Whether sets that lack a channel are composed, too, and marked.
    has_own_levels : bool
        Whether every set has the levels of its own frames; else all have those of one.
    reference : Path | None
        A file of the set whose levels all others have; None: the first one.
    """

    out: Path
    look: str = "aia"
    size: int = 2048
    crop: str | None = None
    tolerance_s: float | None = None
    workers: int | None = None
    is_incomplete_wanted: bool = False
    has_own_levels: bool = False
    reference: Path | None = None


@dataclass(frozen=True)
class Report:
    """What became of one set, or of one file that is in none."""

    file: str
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    unpaired: str | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        """One object."""
        said: dict[str, Any] = {"file": self.file, **self.facts}
        if self.error is not None:
            said["error"] = self.error
        if self.unpaired is not None:
            said["unpaired"] = self.unpaired
        return said


def run_composite(
    settings: Settings, sources: Sequence[Path], wanted: Wanted, instrument: str | None, form: str
) -> int:
    """Compose files; 1 if an input failed, else 3 if a frame found no partners, else 0."""
    look = look_named(settings, wanted.look)
    view = SunView.full(wanted.size)
    if wanted.crop is not None:
        view = view.cropped(Crop.parse(wanted.crop))
    name = f"20260101T000000_{wanted.look}.jpg"
    refuse_among_frames(settings, wanted.out, sources=sources, names=[name])
    make_folder(wanted.out)
    listed, refused = list_frames(settings, sources, instrument, without=wanted.out)
    reports = [Report(one.file, error=one.error) for one in refused]
    frames, others = _of_look(listed, look, wanted.look)
    reports += others
    if frames:
        pairing = pair(frames, look.channels, wanted.tolerance_s or _tolerance_s(settings, frames))
        reports += _compose_all(settings, pairing, look, view, wanted)
    elif not reports:
        reports.append(Report(str(sources[0]), error=_nothing(look, wanted.look, len(listed))))
    _print(reports, form)
    if any(report.error is not None for report in reports):
        return 1
    is_whole = all(report.unpaired is None and not report.facts.get("missing") for report in reports)
    return 0 if is_whole else 3


def look_named(settings: Settings, name: str) -> LookSettings:
    """Return a look of the settings.

    Raises
    ------
    SettingsError
        When there is none of that name.
    """
    looks = settings.composites.all_looks
    if name not in looks:
        raise SettingsError(
            f"no look is named {name}: known are {', '.join(looks)} (settings: composites.looks)"
        )
    return looks[name]


def _tolerance_s(settings: Settings, frames: Sequence[Listed]) -> float:
    return settings.composites.tolerance_s or tolerance_for(frames)


def _nothing(look: LookSettings, name: str, count: int) -> str:
    return f"none of {counted(count, 'frame')} is of {', '.join(look.channels)}, which the look {name} shows"


def _of_look(listed: Sequence[Listed], look: LookSettings, name: str) -> tuple[list[Listed], list[Report]]:
    """Frames of the look's channels; other ones are passed over in folders, and said when named."""
    frames = [one for one in listed if one.channel in look.channels]
    others = [one for one in listed if one.channel not in look.channels]
    passed = [one for one in others if not one.is_named]
    if passed:
        kinds = ", ".join(sorted({one.instrument for one in passed}))
        typer.echo(
            f"{counted(len(passed), 'frame')} passed over that the look {name} does not show: {kinds}",
            err=True,
        )
    said = [
        Report(one.label, error=f"is of {one.instrument}; the look {name} shows {', '.join(look.channels)}")
        for one in others
        if one.is_named
    ]
    return frames, said


def _compose_all(
    settings: Settings, pairing: Pairing[Listed], look: LookSettings, view: SunView, wanted: Wanted
) -> list[Report]:
    least = 2 if wanted.is_incomplete_wanted else len(look.channels)
    sets = [one for one in pairing.sets if len(one.members) >= least]
    left = [frame for one in pairing.sets if len(one.members) < least for frame in one.members.values()]
    paths = _paths(sets, wanted)
    workers = min(wanted.workers or os.cpu_count() or 1, max(1, len(sets)))
    bench = _Bench(settings, look, view, wanted, threads=1 if workers > 1 else os.cpu_count() or 1)
    if wanted.reference is not None:
        bench.take_levels_of(_set_of(pairing, wanted.reference))
    reports: list[Report] = []
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # sets, or bands of one, run beside each other
    try:
        with progress_bars() as bars, ThreadPoolExecutor(workers) as pool:
            bar = bars.add_task("composites", total=len(sets))
            for made in _in_order(pool, bench, sets, paths, ahead=2 * workers):
                reports += made
                bars.advance(bar)
    finally:
        cv2.setNumThreads(threads_before)
    return reports + _unpaired(left, pairing, look)


def _in_order(
    pool: ThreadPoolExecutor,
    bench: _Bench,
    sets: Sequence[TimedSet[Listed]],
    paths: Sequence[Path],
    ahead: int,
) -> Iterator[list[Report]]:
    """Reports in order of time, with no more sets in memory than are worked on."""
    waiting: list[Future[list[Report]]] = []
    wanted = {name for one in sets for name in one.members}
    for one, path in zip(sets, paths, strict=True):
        if not bench.has_levels_of(wanted):
            yield bench.make(one, path)  # its levels are those of all that follow
            continue
        waiting.append(pool.submit(bench.make, one, path))
        if len(waiting) > ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


class _Bench:
    """Makes composites of sets; keeps the levels of the first."""

    def __init__(
        self, settings: Settings, look: LookSettings, view: SunView, wanted: Wanted, threads: int
    ) -> None:
        self._settings, self._look, self._view, self._wanted = settings, look, view, wanted
        self._threads = threads
        self._levels = Levels({})
        self._lock = Lock()

    def has_levels_of(self, channels: Iterable[str]) -> bool:
        """Whether the order in which sets are made makes no difference any more."""
        known = {scale.partition(" ")[0] for scale in self._levels.of}
        return self._wanted.has_own_levels or known >= set(channels)

    def take_levels_of(self, one: TimedSet[Listed]) -> None:
        """Make a set the reference of all."""
        channels, failed = self._channels(one)
        if failed:
            raise UnusableInputError(f"the reference {failed[0].file} cannot be used: {failed[0].error}")
        self._levels = composite.levels_of(channels, self._look)

    def make(self, one: TimedSet[Listed], path: Path) -> list[Report]:
        """Read, compose and write one set; a report of it and of each frame that failed."""
        channels, failed = self._channels(one)
        least = 2 if self._wanted.is_incomplete_wanted else len(self._look.channels)
        reports = [Report(item.file, error=item.error) for item in failed]
        if len(channels) < least:
            lost = {report.file for report in reports}
            return reports + [
                Report(frame.label, _facts_of(frame), unpaired="its set lacks a frame that cannot be used")
                for frame in one.members.values()
                if frame.label not in lost
            ]
        try:
            levels = self._levels_of(channels)
            rgb = composite.compose(channels, self._look, levels, self._view, threads=self._threads)
        except UnusableInputError as error:
            return [*reports, Report(str(path), error=str(error))]
        missing = composite.missing_channels(channels, self._look)
        picture = composite.encoded(
            composite.marked(rgb, missing), "composite", self._settings.composites.jpeg_quality
        )
        write_whole(path, picture.data)
        facts = {
            "look": self._wanted.look,
            "date_obs": _iso(one),
            "date_obs_source": _least_sure(frame.date_obs_source for frame in one.members.values()).value,
            "span_s": round(one.span_s, 3),
            "missing": list(missing),
            "channels": {name: frame.label for name, frame in one.members.items()},
            "levels": {item.name: list(levels.of[item.scale]) for item in channels},
        }
        return [*reports, Report(str(path), facts)]

    def _channels(self, one: TimedSet[Listed]) -> tuple[list[Channel], list[Refused]]:
        channels: list[Channel] = []
        failed: list[Refused] = []
        for frame in one.members.values():
            try:
                channels.append(
                    composite.channel_of(
                        read_listed(self._settings, frame),
                        known_as=frame.channel,
                        degradation_table=self._settings.composites.degradation_table,
                    )
                )
            except UnusableInputError as error:
                failed.append(Refused(frame.label, str(error)))
        return channels, failed

    def _levels_of(self, channels: Sequence[Channel]) -> Levels:
        if self._wanted.has_own_levels:
            return composite.levels_of(channels, self._look)
        with self._lock:
            self._levels = self._levels.filled(channels, self._look)
            return self._levels


def _least_sure(sources: Iterable[DateSource]) -> DateSource:
    """What is known least surely decides whether the pairs can be trusted."""
    return max(sources, key=list(DateSource).index)


def _set_of(pairing: Pairing[Listed], reference: Path) -> TimedSet[Listed]:
    for one in pairing.sets:
        if any(frame.path.resolve() == reference.resolve() for frame in one.members.values()):
            return one
    raise SettingsError(f"--reference {reference}: it is not one of the frames that are composed")


def _paths(sets: Sequence[TimedSet[Listed]], wanted: Wanted) -> list[Path]:
    """Names by time; the later of two sets of one second get a number."""
    taken: set[str] = set()
    found = []
    for one in sets:
        base = name = f"{one.date_obs:%Y%m%dT%H%M%S}_{wanted.look}"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        found.append(wanted.out / f"{name}.jpg")
    return found


def _unpaired(left: Sequence[Listed], pairing: Pairing[Listed], look: LookSettings) -> list[Report]:
    if left:
        typer.echo("frames without partners: --tolerance widens, --incomplete does without", err=True)
    times = {
        channel: sorted(one.members[channel].date_obs for one in pairing.sets if channel in one.members)
        for channel in look.channels
    }
    reports = [Report(frame.label, _facts_of(frame), unpaired=_why(frame, times)) for frame in left]
    reports += [
        Report(frame.label, _facts_of(frame), unpaired="another frame of the same channel and time was taken")
        for frame in pairing.surplus
    ]
    return reports


def _why(frame: Listed, times: Mapping[str, Sequence[datetime]]) -> str:
    """How far the nearest frame of each other channel is."""
    said = []
    for channel, moments in times.items():
        if channel == frame.channel:
            continue
        place = bisect_left(moments, frame.date_obs)
        apart = [
            abs((moment - frame.date_obs).total_seconds())
            for moment in moments[max(0, place - 1) : place + 1]
        ]
        said.append(f"{channel} is {f'{duration_words(min(apart))} away' if apart else 'not there'}")
    return f"no set: nearest {', '.join(said)}"


def _facts_of(frame: Listed) -> dict[str, Any]:
    return {"instrument": frame.instrument, "date_obs": frame.date_obs.isoformat().replace("+00:00", "Z")}


def _iso(one: TimedSet[Listed]) -> str:
    return one.date_obs.isoformat().replace("+00:00", "Z")


def _print(reports: Sequence[Report], form: str) -> None:
    if form == "json":
        for report in reports:
            line = orjson.dumps(report.as_json, default=str)
            sys.stdout.write(line.decode("utf-8", "replace") + "\n")
        return
    if form == "csv":
        _print_csv(reports)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("file", "time (UTC)", "span", "what"):
        table.add_column(title, overflow="fold")
    for report in reports:
        table.add_row(
            Text(report.file.encode("utf-8", "backslashreplace").decode()),
            str(report.facts.get("date_obs", ""))[:19].replace("T", " "),
            f"{report.facts['span_s']:.0f} s" if "span_s" in report.facts else "",
            Text(_verdict(report)),
        )
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160).print(table)


def _print_csv(reports: Sequence[Report]) -> None:
    import csv

    writer = csv.writer(sys.stdout)
    columns = ("file", "date_obs", "span_s", "missing", "unpaired", "error")
    writer.writerow(columns)
    for report in reports:
        said = report.as_json
        said["missing"] = " ".join(said.get("missing", ()))
        writer.writerow([said.get(column, "") for column in columns])


def _verdict(report: Report) -> str:
    if report.error is not None:
        return f"✗ {report.error}"
    if report.unpaired is not None:
        return f"⚠ {report.unpaired}"
    missing = report.facts.get("missing")
    said = f"⚠ incomplete: without {', '.join(missing)}" if missing else "✓ composed"
    by_file = report.facts.get("date_obs_source") == DateSource.FILE_TIME.value
    return f"{said}; paired by the files' own times" if by_file else said
