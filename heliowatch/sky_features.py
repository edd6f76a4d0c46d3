"""`heliowatch sky features`: what the network says of all-sky frames, gathered for programs that learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from heliowatch.feature_store import (
    Features,
    Row,
    StoreFormat,
    in_chunks,
    joined,
    read_features,
    write_months,
)
from heliowatch.files import Desk, FrameReport
from heliowatch.folders import make_folder
from heliowatch.progress import progress_bars
from heliowatch.sources import open_database
from heliowatch.spans import Span
from observatory.analysis import Sky, SkyClass
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage.skies import SkyRow
from observatory.storage.skies import features as stored_features
from observatory.words import counted


@dataclass(frozen=True)
class Wanted:
    """Which rows are asked for; the command line's words.

    Attributes
    ----------
    store : Path or None
        File or folder of `heliowatch sky features`; None: what the database holds.
    """

    store: Path | None = None
    instrument: str | None = None
    span: Span = field(default_factory=Span)


def load(settings: Settings, wanted: Wanted) -> Features:
    """Features of a store, or of the database.

    Raises
    ------
    SettingsError
        When there are none.
    """
    if wanted.store is None:
        parts = list(in_chunks(_rows_of_database(settings, wanted)))
        if not parts:
            raise SettingsError(
                "no frame with features is stored for that: name a folder that `heliowatch sky features` "
                "wrote, or ask for another --instrument or --time"
            )
        return joined(parts)
    rows = read_features(wanted.store)
    times, span = rows.times_s, wanted.span
    is_wanted = times >= (span.start.timestamp() if span.start else float("-inf"))
    is_wanted &= times < (span.end.timestamp() if span.end else float("inf"))
    if wanted.instrument is not None:
        is_wanted &= rows.instrument == wanted.instrument
    if not is_wanted.any():
        known = ", ".join(sorted(set(rows.instrument.tolist())))
        raise SettingsError(f"{wanted.store} holds no frame of that instrument and time; it has {known}")
    return rows.at(is_wanted)


def check_one_camera(rows: Features) -> None:
    """Refuse frames of several cameras where they would be taken for those of one place.

    Raises
    ------
    SettingsError
    """
    cameras = sorted(set(rows.instrument.tolist()))
    if len(cameras) > 1:
        raise SettingsError(f"the frames are of {', '.join(cameras)}: name one camera (--instrument)")


def run_features(
    settings: Settings, files: Sequence[Path], wanted: Wanted, out: Path, form: StoreFormat
) -> int:
    """Write features into monthly files, and say into which; 1 when a file could not be used, else 0."""
    written, tally = gather(settings, files, wanted, out, form)
    for path in written:
        typer.echo(str(path))
    typer.echo(tally.in_words(), err=True)
    return 1 if tally.failed else 0


def gather(
    settings: Settings, files: Sequence[Path], wanted: Wanted, out: Path, form: StoreFormat
) -> tuple[list[Path], Tally]:
    """Write features of files, or without any of the database, into monthly files."""
    make_folder(out)
    tally = Tally()
    rows = rows_of_files(settings, files, wanted, tally) if files else _rows_of_database(settings, wanted)
    written: set[Path] = set()
    for part in in_chunks(rows):
        tally.kept += len(part)
        written.update(write_months(out, part, form))
    return sorted(written), tally


@dataclass
class Tally:
    """Frames that get into the store, and those that do not, and why."""

    kept: int = 0
    failed: int = 0
    not_judged: int = 0
    undated: int = 0
    elsewhen: int = 0

    def in_words(self) -> str:
        """Tell them."""
        told = {
            "could not be used": self.failed,
            "whose sky could not be judged": self.not_judged,
            "without a time": self.undated,
            "of another time": self.elsewhen,
        }
        others = "".join(f"; {count} {words}" for words, count in told.items() if count)
        return f"{counted(self.kept, 'frame')} with features{others}"


def rows_of_files(settings: Settings, files: Sequence[Path], wanted: Wanted, tally: Tally) -> Iterator[Row]:
    """Rows of files' frames; those that have none are counted, and failures are told on stderr."""
    for report in reports_of(settings, files, wanted.instrument):
        if report.error is not None:
            typer.echo(f"{report.file}: {report.error}", err=True)
            tally.failed += 1
        elif report.date_obs is None:
            tally.undated += 1
        elif not wanted.span.holds(report.date_obs):
            tally.elsewhen += 1
        elif report.sky is None or not report.sky.features.size:
            tally.not_judged += 1
        else:
            yield _row_of_report(report, report.sky)


def reports_of(settings: Settings, files: Sequence[Path], instrument: str | None) -> Iterator[FrameReport]:
    """Reports of files' frames, with a bar of how far it has come."""
    with progress_bars() as bars:
        task = bars.add_task("frames", total=len(files))
        before = None
        for report in Desk(settings).score(files, instrument):
            if report.file != before:
                bars.advance(task)
                before = report.file
            yield report


def frame_name(report: FrameReport) -> str:
    """Name of a report's frame that does not depend on where the command was called."""
    return "/".join(Path(report.file).resolve().parts[-2:]) + f"#{report.frame}"


def _row_of_report(report: FrameReport, sky: Sky) -> Row:
    assert report.date_obs is not None  # whoever calls has looked
    return Row(
        time=report.date_obs,
        instrument=report.instrument or "",
        frame=frame_name(report),
        latitude_deg=None if report.site is None else report.site.latitude_deg,
        longitude_deg=None if report.site is None else report.site.longitude_deg,
        is_simulated=report.is_simulated,
        features=sky.features,
        model=sky.model.label,
        model_sha256=sky.model.sha256,
        **_said(sky.sky_class, sky.probabilities, sky.cloud_cover, sky.cloud_sectors),
        sun_elevation_deg=sky.facts.sun_elevation_deg,
        moon_elevation_deg=sky.facts.moon_elevation_deg,
    )


def _row_of_stored(row: SkyRow) -> Row:
    return Row(
        time=row.time,
        instrument=row.instrument,
        frame=f"{row.file_name}#{row.frame_index}",
        latitude_deg=None if row.site is None else row.site.latitude_deg,
        longitude_deg=None if row.site is None else row.site.longitude_deg,
        is_simulated=row.is_simulated,
        features=row.features,
        model=row.model,
        model_sha256=row.model_sha256,
        **_said(row.sky_class, row.probabilities, row.cloud_cover, row.cloud_sectors),
        sun_elevation_deg=row.sun_elevation_deg,
        moon_elevation_deg=row.moon_elevation_deg,
    )


def _said(
    sky_class: SkyClass | None, probabilities: Any, cover: float | None, sectors: Any
) -> dict[str, Any]:
    is_judged = sky_class is not None and len(probabilities) == len(SkyClass)
    return {
        "sky_class": sky_class,
        "probabilities": [float(probabilities[name]) for name in SkyClass] if is_judged else None,
        "cloud_cover": cover,
        "zenith_cloud": float(sectors[0]) if len(sectors) else None,
    }


def _rows_of_database(settings: Settings, wanted: Wanted) -> Iterator[Row]:
    db = open_database(settings)
    stored = stored_features(db, wanted.instrument, wanted.span.start, wanted.span.end)
    return (_row_of_stored(row) for row in stored if row.features.size)
