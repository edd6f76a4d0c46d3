"""Verbs that speak to other machines: what they take. The work is in the modules they load."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliowatch.numbers import HIGHEST
from heliowatch.options import Time

if TYPE_CHECKING:
    from observatory.settings import Settings


class Resource(StrEnum):
    """What can be asked for."""

    FRAMES = "frames"
    REGIONS = "regions"
    QUALITY = "quality"
    SKY = "sky"


class AnswerFormat(StrEnum):
    """How a server's answer is given."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    VOTABLE = "votable"
    PARQUET = "parquet"


def add_to(app: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    """Give an app the verbs."""

    @app.command()
    def query(
        resource: Annotated[Resource, typer.Argument(help="what to ask for")],
        time: Time = None,
        instrument: Annotated[
            str | None, typer.Option("--instrument", "-i", help="name of an instrument")
        ] = None,
        wavelength: Annotated[str | None, typer.Option(help="with its unit: 193A, 656.28nm")] = None,
        quality_min: Annotated[float | None, typer.Option(help="lowest score, 0 to 1 (1 is best)")] = None,
        quality_max: Annotated[float | None, typer.Option(help="highest score, 0 to 1")] = None,
        status: Annotated[
            str | None, typer.Option(help="received, processing, done, rejected or failed")
        ] = None,
        cause: Annotated[str | None, typer.Option(help="what spoils the frame, such as cloud")] = None,
        event_type: Annotated[str | None, typer.Option(help="CH or AR")] = None,
        area_min: Annotated[
            str | None, typer.Option(help="least area of a region: 1%, 500msh or 20000Mm2")
        ] = None,
        track: Annotated[
            int | None, typer.Option(min=1, max=HIGHEST, help="number of a track of regions")
        ] = None,
        frame: Annotated[
            int | None, typer.Option(min=1, max=HIGHEST, help="number of the frame of regions")
        ] = None,
        sky_class: Annotated[
            str | None,
            typer.Option(help="arc, diffuse, discrete, cloud, moon, clear; of the sky also aurora, none"),
        ] = None,
        bin_: Annotated[str | None, typer.Option("--bin", help="of a series: 30s, 5m, 1h")] = None,
        order: Annotated[str | None, typer.Option(help="asc (oldest first) or desc")] = None,
        more: Annotated[
            list[str] | None, typer.Option("--filter", help="NAME=VALUE: any other filter of the server")
        ] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="rows at most; pages are followed")] = None,
        all_: Annotated[bool, typer.Option("--all", help="every row, page after page")] = False,
        output: Annotated[
            AnswerFormat, typer.Option("--format", "-f", help="json is one object a line")
        ] = AnswerFormat.TABLE,
        out: Annotated[Path | None, typer.Option("--out", "-o", help="file to write")] = None,
        server: Annotated[
            str | None, typer.Option(help="http://HOST:PORT; default: HELIOWATCH_SERVER, else this machine's")
        ] = None,
        key_file: Annotated[
            Path | None, typer.Option(help="file with the key; default: HELIOWATCH_KEY")
        ] = None,
    ) -> None:
        """Ask a server for frames, regions, quality or the sky.

        Ends with 1 when the server refuses or cannot be reached.
        """
        from heliowatch.query import Question, named_filters, run_query
        from observatory.errors import SettingsError

        filters = {
            "time": time,
            "instrument": instrument,
            "wavelength": wavelength,
            "quality_min": quality_min,
            "quality_max": quality_max,
            "status": status,
            "cause": cause,
            "event_type": event_type,
            "area_min": area_min,
            "track": track,
            "frame": frame,
            "sky_class": sky_class,
            "bin": bin_,
            "order": order,
        }
        settings = load_settings()
        asked = {name: value for name, value in filters.items() if value is not None}
        others = named_filters(more or [])
        for name in sorted(asked.keys() & others.keys()):
            raise SettingsError(f"--filter {name}: is given by --{name.replace('_', '-')}, too")
        question = Question(resource.value, asked | others, limit, all_, output.value, out)
        raise typer.Exit(run_query(settings, question, server, key_file))

    @app.command()
    def fetch(
        source: Annotated[str | None, typer.Argument(help="an archive: see --list")] = None,
        time: Time = None,
        out: Annotated[
            Path | None, typer.Option("--out", "-o", help="folder; default: frames/SOURCE")
        ] = None,
        with_: Annotated[
            list[str] | None, typer.Option("--with", help="NAME=VALUE: channel, site, size, …: see --list")
        ] = None,
        limit: Annotated[
            int | None, typer.Option(min=1, help="frames fetched at most; default: 1000")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="print addresses, fetch nothing")] = False,
        list_: Annotated[bool, typer.Option("--list", help="tell which archives there are")] = False,
    ) -> None:
        """Fetch real frames from public archives; what is there already is passed over.

        One connection at a time. Ends with 1 when something could not be had.
        """
        from heliowatch.fetch import print_list, run_fetch
        from observatory.errors import SettingsError

        if list_:
            print_list()
            return
        if source is None or time is None:
            raise SettingsError(
                "fetch needs a SOURCE and --time START/END; `heliowatch fetch --list` tells the sources"
            )
        settings = load_settings()
        raise typer.Exit(run_fetch(settings, source, time, out, with_ or [], limit, is_dry=dry_run))
