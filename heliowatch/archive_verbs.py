"""Verbs on what is stored: what they take. The work is in the modules they load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliowatch.numbers import HIGHEST
from heliowatch.options import DataDir, Format, Lines, Time, in_folder

if TYPE_CHECKING:
    from observatory.settings import Settings


def add_to(app: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    """Give an app the verbs."""

    def settings_of(data_dir: Path | None) -> Settings:
        return load_settings(**in_folder(data_dir))

    @app.command()
    def reproduce(
        results: Annotated[
            list[int] | None,
            typer.Argument(min=1, max=HIGHEST, help="numbers of results, as frames/ID/results has them"),
        ] = None,
        sample: Annotated[
            int | None, typer.Option(min=1, max=5000, help="so many results of the archive, drawn at random")
        ] = None,
        seed: Annotated[int, typer.Option(help="the same seed draws the same results")] = 0,
        tolerance: Annotated[
            float | None,
            typer.Option(min=0, help="largest difference of a number; default: 1e-6 on the CPU, else 1e-3"),
        ] = None,
        data_dir: DataDir = None,
        output: Lines = Format.TABLE,
    ) -> None:
        """Compute stored results again, each by its own model and parameters, and compare every number."""
        from heliowatch.reproduce import run_reproduce

        raise typer.Exit(
            run_reproduce(settings_of(data_dir), results or [], sample, seed, tolerance, output.value)
        )

    @app.command()
    def reprocess(
        time: Time = None,
        instrument: Annotated[
            str | None, typer.Option("--instrument", "-i", help="name of an instrument")
        ] = None,
        wavelength: Annotated[str | None, typer.Option(help="with its unit: 193A, 656.28nm")] = None,
        quality_min: Annotated[float | None, typer.Option(help="lowest score, 0 to 1 (1 is best)")] = None,
        quality_max: Annotated[float | None, typer.Option(help="highest score, 0 to 1")] = None,
        status: Annotated[str | None, typer.Option(help="done, rejected or failed")] = None,
        cause: Annotated[str | None, typer.Option(help="what spoils the frame, such as cloud")] = None,
        model: Annotated[str | None, typer.Option(help="run this model alone; default: all")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="count the frames, and do nothing")] = False,
        cancel: Annotated[int | None, typer.Option(min=1, max=HIGHEST, help="number of a job to end")] = None,
        workers: Annotated[
            int | None, typer.Option(min=1, help="embedded queue only: worker threads; default: one a core")
        ] = None,
        data_dir: DataDir = None,
    ) -> None:
        """Work on stored frames once more, after everything else; run it again to go on where it ended."""
        from heliowatch.reprocess import Wanted, run_reprocess

        filters = {
            "time": time,
            "instrument": instrument,
            "wavelength": wavelength,
            "quality_min": quality_min,
            "quality_max": quality_max,
            "status": status,
            "cause": cause,
        }
        wanted = Wanted(filters, model, dry_run, cancel, workers)
        raise typer.Exit(run_reprocess(settings_of(data_dir), wanted))
