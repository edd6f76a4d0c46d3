"""Verbs on all-sky frames' features: what they take. The work is in the modules they load."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliowatch.options import DataDir, Time, in_folder

if TYPE_CHECKING:
    from heliowatch.feature_store import Features
    from observatory.settings import Settings


_HIGHEST_SEED = 2**32 - 1  # that scikit-learn takes


class TableFormat(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"


class StoredAs(StrEnum):
    """How features are written."""

    PARQUET = "parquet"
    HDF = "hdf"


class ClusterMethod(StrEnum):
    """How clusters are found."""

    KMEANS = "kmeans"
    AGGLOMERATIVE = "agglomerative"


Instrument = Annotated[str | None, typer.Option("--instrument", "-i", help="name of a camera")]
Store = Annotated[
    Path | None,
    typer.Argument(help="folder or file that `sky features` wrote; default: what the database holds"),
]
Output = Annotated[TableFormat, typer.Option("--format", "-f", help="table, or json for programs")]
Magnetometer = Annotated[
    list[Path],
    typer.Option(
        "--magnetometer", "-m", help="IAGA-2002 file of the station, once for each; or a folder of them"
    ),
]
Threshold = Annotated[float, typer.Option(min=0, help="nT from which a disturbance is a storm")]
Tolerance = Annotated[float, typer.Option(min=0, help="seconds between a frame and its measurement at most")]
Lead = Annotated[
    float, typer.Option(min=60, help="seconds; persistence says what was measured so long before")
]


def add_to(app: typer.Typer, load_settings: Callable[..., Settings]) -> None:
    """Give an app the group ``sky``."""
    sky = typer.Typer(help="Features of all-sky frames, and what they are joined with.", no_args_is_help=True)
    disturbance = typer.Typer(
        help="A station's magnetic disturbance, told from its sky.", no_args_is_help=True
    )
    app.add_typer(sky, name="sky")
    sky.add_typer(disturbance, name="disturbance")

    def settings_of(data_dir: Path | None) -> Settings:
        return load_settings(**in_folder(data_dir))

    def rows_of(
        store: Path | None, instrument: str | None, time: str | None, data_dir: Path | None
    ) -> Features:
        from heliowatch.sky_features import Wanted, load
        from heliowatch.spans import Span

        span = Span() if time is None else Span.parse(time)
        return load(settings_of(data_dir), Wanted(store, instrument, span))

    @sky.command()
    def features(
        files: Annotated[
            list[Path] | None, typer.Argument(help="frames; default: what the database holds")
        ] = None,
        instrument: Instrument = None,
        time: Time = None,
        out: Annotated[Path, typer.Option("--out", "-o", help="folder of the monthly files")] = Path(
            "features"
        ),
        form: Annotated[StoredAs, typer.Option("--format", "-f", help="parquet or hdf")] = StoredAs.PARQUET,
        data_dir: DataDir = None,
    ) -> None:
        """Gather features into one file a month; running it again adds what is new."""
        from heliowatch.feature_store import StoreFormat
        from heliowatch.sky_features import Wanted, run_features
        from heliowatch.spans import Span

        wanted = Wanted(None, instrument, Span() if time is None else Span.parse(time))
        settings = settings_of(data_dir)
        raise typer.Exit(run_features(settings, files or [], wanted, out, StoreFormat(form.value)))

    @sky.command()
    def join(
        left: Annotated[
            Path,
            typer.Argument(help="features, CSV, Parquet or IAGA-2002 (a file, or a folder): its rows stay"),
        ],
        right: Annotated[Path, typer.Argument(help="the same: each row gets the nearest of these")],
        out: Annotated[Path, typer.Option("--out", "-o", help=".csv or .parquet")] = Path("joined.csv"),
        tolerance: Annotated[float, typer.Option(min=0, help="seconds between two rows at most")] = 86_400.0,
        keep_all: Annotated[
            bool, typer.Option("--keep-all", help="keep rows without a partner, with empty cells")
        ] = False,
    ) -> None:
        """Join two series by the nearest time, across midnight, whatever their order."""
        from heliowatch.time_table import join as join_tables
        from heliowatch.time_table import read_table, write_table

        load_settings()  # logs go to stderr
        first = read_table(left)
        together = join_tables(first, read_table(right), tolerance, keeps_all=keep_all)
        write_table(out, together)
        typer.echo(f"{out}: {len(together)} of {len(first)} rows")

    @sky.command()
    def cluster(
        store: Store = None,
        clusters: Annotated[int, typer.Option("--clusters", "-k", min=2, max=100)] = 6,
        method: Annotated[ClusterMethod, typer.Option(help="kmeans or agglomerative")] = ClusterMethod.KMEANS,
        seed: Annotated[
            int, typer.Option(min=0, max=_HIGHEST_SEED, help="the same seed gives the same clusters")
        ] = 0,
        instrument: Instrument = None,
        time: Time = None,
        out: Annotated[Path, typer.Option("--out", "-o", help="folder")] = Path("clusters"),
        data_dir: DataDir = None,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Group frames that look alike; writes clusters.csv and clusters.png."""
        from heliowatch.sky_cluster import Method, run_cluster

        rows = rows_of(store, instrument, time, data_dir)
        _print(run_cluster(rows, out, clusters, Method(method.value), seed), output)

    @sky.command()
    def clouds(
        store: Store = None,
        ceilometer: Annotated[
            list[Path] | None, typer.Option("--ceilometer", "-c", help="CSV of cloud bases; once for each")
        ] = None,
        tolerance: Tolerance = 600.0,
        instrument: Instrument = None,
        time: Time = None,
        out: Annotated[Path, typer.Option("--out", "-o", help="folder")] = Path("clouds"),
        data_dir: DataDir = None,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Cloud cover by day, and against a ceilometer; writes clouds.csv, clouds.png, ceilometer-roc.png."""
        from heliowatch.sky_clouds import run_clouds

        rows = rows_of(store, instrument, time, data_dir)
        _print(run_clouds(rows, out, ceilometer or [], tolerance), output)

    @sky.command()
    def confusion(
        sources: Annotated[list[Path], typer.Argument(help="frames, or a folder that `sky features` wrote")],
        labels: Annotated[Path, typer.Option("--labels", "-l", help="CSV: file (or a pattern), label")],
        instrument: Instrument = None,
        out: Annotated[Path, typer.Option("--out", "-o", help="folder")] = Path("confusion"),
        data_dir: DataDir = None,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Count what people say of frames against what the network says; writes confusion.csv and .png.

        Ends with 1 when a file could not be used.
        """
        from heliowatch.sky_confusion import read_labels, run_confusion, said_of

        known, failed = read_labels(labels), list[str]()
        said = said_of(settings_of(data_dir), sources, instrument, failed)
        _print(run_confusion(said, known, out), output)
        raise typer.Exit(1 if failed else 0)

    @sky.command("hot-pixels")
    def hot_pixels(
        files: Annotated[list[Path], typer.Argument(help="frames of one camera, by night, over some hours")],
        instrument: Annotated[str, typer.Option("--instrument", "-i", help="name of the camera")] = "allsky",
        out: Annotated[Path, typer.Option("--out", "-o", help="the map, a PNG")] = Path("hot-pixels.png"),
        data_dir: DataDir = None,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Find pixels that stand out in nearly all frames of a camera, while stars move on; writes their map."""
        from heliowatch.sky_hot_pixels import run_hot_pixels

        _print(run_hot_pixels(settings_of(data_dir), files, instrument, out), output)

    @disturbance.command()
    def train(
        magnetometer: Magnetometer,
        store: Store = None,
        name: Annotated[str, typer.Option(help="of the model and its files")] = "disturbance",
        aurora_min: Annotated[float, typer.Option(min=0, max=1, help="least probability of aurora")] = 0.5,
        cloud_max: Annotated[float, typer.Option(min=0, max=1, help="most cloud cover")] = 0.5,
        tolerance: Tolerance = 60.0,
        threshold: Threshold = 100.0,
        lead: Lead = 3600.0,
        folds: Annotated[int, typer.Option(min=3, max=50, help="blocks of time for cross-validation")] = 5,
        instrument: Instrument = None,
        time: Time = None,
        out: Annotated[Path, typer.Option("--out", "-o", help="folder")] = Path("disturbance"),
        data_dir: DataDir = None,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Train the disturbance of X, Y and Z on features of clear auroral frames, and judge it."""
        from heliowatch.sky_disturbance import Limits, run_train

        rows = rows_of(store, instrument, time, data_dir)
        limits = Limits(aurora_min, cloud_max, tolerance, threshold, lead)
        _print(run_train(rows, magnetometer, out, name, limits, folds), output)

    @disturbance.command()
    def evaluate(
        model: Annotated[Path, typer.Argument(help="a model's .toml")],
        magnetometer: Magnetometer,
        store: Store = None,
        tolerance: Tolerance = 60.0,
        threshold: Threshold = 100.0,
        lead: Lead = 3600.0,
        instrument: Instrument = None,
        time: Time = None,
        out: Annotated[Path, typer.Option("--out", "-o", help="folder")] = Path("disturbance"),
        data_dir: DataDir = None,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Judge a model on frames of another time than it was trained on."""
        from heliowatch.sky_disturbance import Limits, run_evaluate

        rows = rows_of(store, instrument, time, data_dir)
        limits = Limits(tolerance_s=tolerance, threshold_nt=threshold, lead_s=lead)
        _print(run_evaluate(model, rows, magnetometer, out, limits), output)

    @disturbance.command()
    def install(
        model: Annotated[Path, typer.Argument(help="a model's .toml")],
        instrument: Annotated[str, typer.Option("--instrument", "-i", help="camera of the settings")],
        data_dir: DataDir = None,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Copy a model to the data folder and say which setting makes frames use it."""
        from heliowatch.sky_disturbance import run_install

        _print(run_install(settings_of(data_dir), model, instrument), output)

    @disturbance.command()
    def rehearse(
        out: Annotated[Path, typer.Option("--out", "-o", help="folder")] = Path("rehearsal"),
        nights: Annotated[int, typer.Option(min=3, max=60, help="simulated nights in a row")] = 10,
        step: Annotated[float, typer.Option(min=10, help="seconds between frames")] = 150.0,
        size: Annotated[int, typer.Option(min=64, max=1024, help="diameter of the sky in pixels")] = 200,
        seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same nights")] = 1,
        threshold: Threshold = 100.0,
        output: Output = TableFormat.TABLE,
    ) -> None:
        """Go the whole way on a simulated station: frames, features, training, judging by the last nights."""
        from heliowatch.sky_disturbance import Limits
        from heliowatch.sky_rehearsal import Rehearsal, run_rehearsal

        wanted, limits = Rehearsal(nights, step, size, seed), Limits(threshold_nt=threshold)
        _print(run_rehearsal(load_settings(), wanted, out, limits), output)


def _print(told: dict[str, Any], output: TableFormat) -> None:
    """One object of JSON, or a line for each fact; simulated stations are named so first."""
    import orjson

    if output is TableFormat.JSON:
        typer.echo(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY).decode())
        return
    if told.get("is_simulated"):
        typer.echo("SIMULATED station: these figures say nothing of any real field")
    for name, value in told.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                typer.echo(f"{name} {inner}: {_word(number)}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            typer.echo(f"{name}: {len(value)}")
            for item in value:
                typer.echo("  " + "  ".join(str(part) for part in item.values()))
        else:
            typer.echo(f"{name}: {_word(value)}")


def _word(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
