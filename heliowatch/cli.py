"""The command line. Data goes to stdout, logs to stderr.

Everything heavy is imported inside the commands: ``heliowatch --help`` answers at once.
Exit codes: 2 usage; else 1 if any input failed; else 3 if any frame is degraded; else 0.
"""

from __future__ import annotations

import errno
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliowatch import (
    alarm_verbs,
    alert_rule_verbs,
    archive_verbs,
    coverage_verbs,
    family_verbs,
    key_verbs,
    model_verbs,
    remote_verbs,
    sky_verbs,
)
from heliowatch.options import DataDir, Format, Output, Time, in_folder

if TYPE_CHECKING:
    from observatory.settings import Settings

app = typer.Typer(
    name="heliowatch",
    help="Watches the frames of solar and auroral observatories as they arrive.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
db_app = typer.Typer(help="The database's schema, and the files that it names.", no_args_is_help=True)
models_app = typer.Typer(help="The model families.", no_args_is_help=True)
app.add_typer(db_app, name="db")
app.add_typer(models_app, name="models")
keys_app = typer.Typer(help="The keys of programs that use the API.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
alerts_app = typer.Typer(help="What fires, and a human's word on it.", no_args_is_help=True)
app.add_typer(alerts_app, name="alerts")


Files = Annotated[
    list[Path],
    typer.Argument(help="frames: FITS, PNG, JPEG, JPEG 2000, PGM, CDF, HDF5, npz, tar; also packed"),
]
Instrument = Annotated[
    str | None,
    typer.Option("--instrument", "-i", help="what the files are, when they do not tell themselves"),
]
Folders = Annotated[list[Path] | None, typer.Argument(help="folders; default: those of the settings")]


def main() -> None:
    """Run the command line; our own errors become one line and a code, never a traceback."""
    from observatory.errors import HeliowatchError, NoSuchInstrumentError, SettingsError

    try:
        app()
    except (SettingsError, NoSuchInstrumentError) as error:
        _fail(str(error), 2)
    except HeliowatchError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader left: nothing more to say
        sys.exit(0)
    except OSError as error:
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise  # not about a file that the user named: a defect, whose traceback is wanted
        _fail(f"{error.filename or 'writing'}: {error.strerror}", 1)


def _fail(message: str, code: int) -> None:
    typer.echo(f"heliowatch: {message}", err=True)
    sys.exit(code)


def _settings(**overrides: object) -> Settings:
    from heliowatch import logs
    from observatory.settings import ignored_names, load_settings

    settings = load_settings(**overrides)
    logs.configure(settings.log)
    logs.tell_ignored(ignored_names())
    return settings


@app.callback(invoke_without_command=True)
def _version(
    show: Annotated[bool, typer.Option("--version", help="print the version and end")] = False,
) -> None:
    if show:
        from observatory import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def score(files: Files, instrument: Instrument = None, output: Output = Format.TABLE) -> None:
    """Score files: quality and cause, without server or database."""
    from heliowatch.files import Desk
    from heliowatch.printing import exit_code, print_reports

    reports = Desk(_settings()).score(files, instrument)
    raise typer.Exit(exit_code(print_reports(reports, output.value)))


@app.command()
def analyse(
    files: Files,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the products")] = Path("out"),
    instrument: Instrument = None,
    output: Output = Format.TABLE,
) -> None:
    """Run the whole pipeline on files and write the products into a folder.

    Products are named after their file; of several files of one name the later ones get -2, -3, …
    """
    from heliowatch.files import Desk, stems
    from heliowatch.folders import refuse_among_frames
    from heliowatch.printing import exit_code, print_reports

    settings = _settings()
    names = [f"{stem}.{product}" for stem in stems(files) for product in ("preview.jpg", "enhanced.fits")]
    refuse_among_frames(settings, out, sources=[], names=names)
    reports = Desk(settings).analyse(files, out, instrument)
    raise typer.Exit(exit_code(print_reports(reports, output.value)))


Sources = Annotated[list[Path], typer.Argument(help="frames, or folders with all below them")]
CropOption = Annotated[
    str | None,
    typer.Option(help="X,Y,WIDTH,HEIGHT: centre and size in arcsec from disk centre, or in pixels: …px"),
]


@app.command()
def composite(
    sources: Sources,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the pictures")] = Path("out"),
    look: Annotated[str, typer.Option(help="aia, corona, or one of the settings")] = "aia",
    size: Annotated[int, typer.Option(min=256, max=4096, help="height in pixels")] = 2048,
    crop: CropOption = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0.1, help="longest span of a set in seconds; default: by the cadence")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="sets worked on at once; default: one a core")
    ] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="compose sets that lack a channel, too, and mark them")
    ] = False,
    own_levels: Annotated[
        bool, typer.Option("--own-levels", help="brightness by each set itself, not by the first one")
    ] = False,
    reference: Annotated[
        Path | None, typer.Option(help="a frame of the set that all others are as bright as; default: first")
    ] = None,
    instrument: Instrument = None,
    output: Output = Format.TABLE,
) -> None:
    """Make colour pictures of three channels, paired by time.

    Ends with 3 when frames are left without partners.
    """
    from heliowatch.composite import Wanted, run_composite

    wanted = Wanted(out, look, size, crop, tolerance, workers, incomplete, own_levels, reference)
    raise typer.Exit(run_composite(_settings(), sources, wanted, instrument, output.value))


class Overlay(StrEnum):
    """What is drawn over a film."""

    REGIONS = "regions"


@app.command()
def movie(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(help="frames, or folders with all below them; default: what is stored"),
    ] = None,
    instrument: Annotated[
        str | None, typer.Option("--instrument", "-i", help="name of an instrument, or composite")
    ] = None,
    time: Time = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="the film: .mp4, .mov or .mkv")] = Path("film.mp4"),
    size: Annotated[
        int | None, typer.Option(min=64, max=8192, help="height in pixels; default: the settings'")
    ] = None,
    crop: CropOption = None,
    pad: Annotated[str, typer.Option(help="16:9, 4:3, another aspect, or none")] = "none",
    fps: Annotated[float | None, typer.Option(min=0.1, max=120, help="pictures a second")] = None,
    overlay: Annotated[
        Overlay | None, typer.Option(help="outlines of coronal holes and active regions")
    ] = None,
    skip_degraded: Annotated[
        bool, typer.Option("--skip-degraded", help="of stored frames: leave degraded out; default: mark them")
    ] = False,
    look: Annotated[str | None, typer.Option(help="of composites: aia, corona, or of the settings")] = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0.1, help="of composites: longest span of a set in seconds")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="file name of the frame that sets brightness; default: first good one")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="frames worked on at once; default: one a core")
    ] = None,
    data_dir: DataDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a film of stored frames or of files, with its time in the picture.

    Gaps hold the last frame, dimmed, and say how long they are. Needs ffmpeg.
    """
    from heliowatch.movie import Wanted, run_movie
    from heliowatch.sources import Request
    from heliowatch.spans import Span

    settings = _settings(**in_folder(data_dir))
    span = Span() if time is None else Span.parse(time)
    request = Request(instrument, span, look, overlay is not None, skip_degraded, tolerance, reference)
    wanted = Wanted(out, size, crop, pad, fps, workers)
    raise typer.Exit(run_movie(settings, sources or [], request, wanted, output.value))


@app.command()
def keogram(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(help="all-sky frames, or folders with all below them; default: what is stored"),
    ] = None,
    instrument: Annotated[
        str | None, typer.Option("--instrument", "-i", help="what the files are, or whose stored nights")
    ] = None,
    time: Time = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the pictures")] = Path("out"),
    data_dir: DataDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Make keograms and ewograms, a pair for each night of each camera.

    With the class of each moment under them, cloud cover and aurora by the hour, and onsets.
    """
    from heliowatch.keogram import Request, run_keogram
    from heliowatch.spans import Span

    settings = _settings(**in_folder(data_dir))
    request = Request(instrument, Span() if time is None else Span.parse(time), out)
    raise typer.Exit(run_keogram(settings, sources or [], request, output.value))


@app.command()
def up(
    watch: Annotated[list[Path] | None, typer.Option("--watch", "-w", help="folder to watch")] = None,
    instrument: Instrument = None,
    host: Annotated[str | None, typer.Option(help="address to answer on")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="port to answer on; 0 picks a free one")
    ] = None,
) -> None:
    """Run everything in one process: ingester, worker, API and pages, on SQLite."""
    from heliowatch.house import run_up

    run_up(_settings(), watch or [], instrument, host, port)


@app.command()
def ingest(
    folders: Folders = None,
    once: Annotated[bool, typer.Option("--once", help="take what is there now, then end")] = False,
    instrument: Instrument = None,
) -> None:
    """Watch folders: each settled file becomes a row and a task."""
    from heliowatch.house import run_ingest

    run_ingest(_settings(), folders or [], instrument, once=once)


@app.command()
def worker(
    queues: Annotated[
        str | None, typer.Option("--queues", "-Q", help="comma-separated; default: all")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="default: the settings', else one a core")
    ] = None,
) -> None:
    """Work on queued frames."""
    from heliowatch.house import run_workers

    raise typer.Exit(run_workers(_settings(), queues.split(",") if queues else None, processes))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="address to answer on")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="port to answer on; 0 picks a free one")
    ] = None,
) -> None:
    """Answer the API and the pages."""
    from heliowatch.house import run_service

    run_service(_settings(), host, port)


@app.command()
def backfill(
    folders: Annotated[list[Path], typer.Argument(help="archive folders")],
    since: Annotated[str | None, typer.Option(help="only files whose time is not before (ISO 8601)")] = None,
    until: Annotated[str | None, typer.Option(help="only files whose time is before (ISO 8601)")] = None,
    instrument: Instrument = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="embedded queue only: worker threads; default: one a core")
    ] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="look again at files that were refused before")
    ] = False,
) -> None:
    """Take an archive in, after everything live; run it again to go on where it ended."""
    from heliowatch.backfill import run_backfill

    raise typer.Exit(
        run_backfill(_settings(), folders, since, until, instrument, workers, with_rejected=rejected)
    )


@app.command()
def demo(
    exit_: Annotated[
        bool, typer.Option("--exit", help="end when every sample frame has its results")
    ] = False,
    port: Annotated[int | None, typer.Option(help="port to answer on; 0 picks a free one")] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="new folder that keeps frames and data; default: none does")
    ] = None,
) -> None:
    """Feed the sample frames through the real system and show the live page."""
    from heliowatch.demo import run_demo

    raise typer.Exit(run_demo(_settings, port=port, should_exit=exit_, keep=keep))


class Simulated(StrEnum):
    """What can be simulated."""

    HALPHA = "kso-halpha"
    AIA = "aia"
    HMI = "hmi"
    ALLSKY = "allsky"


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="folder to write frames into")],
    frames: Annotated[int | None, typer.Option(min=1, help="end after so many; default: go on")] = None,
    cadence: Annotated[
        float, typer.Option(min=0, help="seconds between frames; 0: as fast as it goes")
    ] = 6.0,
    size: Annotated[
        int | None, typer.Option(min=128, max=8192, help="pixels on a side; default: 2048, allsky 480")
    ] = None,
    degraded: Annotated[float, typer.Option(min=0, max=1, help="share of the time that is spoilt")] = 0.25,
    seed: Annotated[
        int, typer.Option(min=0, help="the same seed gives the same Sun, nights and weather")
    ] = 1,
    start: Annotated[
        str | None, typer.Option(help="time of the first frame (ISO 8601); default: now")
    ] = None,
    what: Annotated[
        Simulated, typer.Option("--instrument", "-i", help="aia: sets of 304, 171 and 193; hmi: pairs")
    ] = Simulated.HALPHA,
    step: Annotated[
        float | None,
        typer.Option(
            min=1, help="seconds between frames on the simulated clock (hmi: from 45); default: the cadence"
        ),
    ] = None,
    magnetometer: Annotated[
        Path | None,
        typer.Option(help="allsky: folder for what its magnetometer feels (IAGA-2002), written at the end"),
    ] = None,
) -> None:
    """Play an observatory at real cadence: Kanzelhöhe H-alpha, the Sun as AIA or HMI sees it, a sky at night."""
    from heliowatch.simulation import Simulation, run_simulation

    _settings()  # logs go to stderr
    size = size or (480 if what is Simulated.ALLSKY else 2048)
    wanted = Simulation(what.value, frames, cadence, size, degraded, seed, start, step, magnetometer)
    run_simulation(folder, wanted)


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to this software's schema."""
    from heliowatch.house import upgrade

    upgrade(_settings())


@db_app.command("current")
def db_current() -> None:
    """Print the database's revision, and whether it is this software's."""
    from heliowatch.house import current

    raise typer.Exit(current(_settings()))


@db_app.command("clean")
def db_clean(
    older_than_days: Annotated[
        float,
        typer.Option("--older-than", min=0.1, help="days since a file was written; work under way is newer"),
    ] = 1.0,
    is_rehearsal: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
) -> None:
    """Remove product files that no row names any more, such as pictures that reprocessing replaced."""
    from heliowatch.house import clean

    clean(_settings(), older_than_days, is_rehearsal=is_rehearsal)


class MarkWord(StrEnum):
    """A human's word."""

    GOOD = "good"
    BAD = "bad"
    CLEAR = "clear"


@app.command()
def mark(
    word: Annotated[MarkWord, typer.Argument(help="clear takes the last mark back")],
    frame: Annotated[str, typer.Argument(help="number, SHA-256 or file name of a frame")],
    note: Annotated[str | None, typer.Option("--note", help="why")] = None,
) -> None:
    """Mark a frame good or bad, beside what the machine says of it."""
    from heliowatch.mark import run_mark
    from observatory.storage.marks import Mark

    run_mark(_settings(), Mark(word.value), frame, note)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Check the installation and print the effective settings and where each came from."""
    from heliowatch.doctor import run_doctor

    raise typer.Exit(run_doctor(_settings(), as_json=as_json))


family_verbs.add_to(models_app, _settings)
model_verbs.add_to(models_app, _settings)
key_verbs.add_to(keys_app, _settings)
alarm_verbs.add_to(alerts_app, _settings)
alert_rule_verbs.add_to(app, alerts_app, _settings)
archive_verbs.add_to(app, _settings)
coverage_verbs.add_to(app, _settings)
remote_verbs.add_to(app, _settings)
sky_verbs.add_to(app, _settings)


if __name__ == "__main__":
    main()
