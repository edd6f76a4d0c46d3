"""The verbs of `heliowatch models` on what is installed: what there is, and how it is trained and measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from heliowatch.options import DataDir, Format, Output, in_folder

Family = Annotated[str, typer.Argument(help="model family, such as halpha_quality")]

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer, settings_of: Callable[..., Any]) -> None:
    """Add the verbs."""

    def pass_on(verb: str, family: str, context: typer.Context) -> None:
        from heliowatch.families import run

        settings_of()  # logs go to stderr
        run(verb, family, context.args)

    @app.command("list")
    def list_(
        output: Output = Format.TABLE,
        data_dir: DataDir = None,
    ) -> None:
        """List the models that are installed, and every version that stored results name."""
        from heliowatch.families import print_list

        print_list(output.value, settings_of(**in_folder(data_dir)))

    @app.command()
    def verify() -> None:
        """Check every model's files: networks, thresholds and calibrations."""
        from heliowatch import families

        raise typer.Exit(families.verify())

    @app.command(context_settings=_PASS_ON)
    def train(context: typer.Context, family: Family) -> None:
        """Train a family: `heliowatch models train FAMILY --help` lists its options."""
        pass_on("train", family, context)

    @app.command(context_settings=_PASS_ON)
    def evaluate(context: typer.Context, family: Family) -> None:
        """Measure a family on frames with known answers."""
        pass_on("evaluate", family, context)

    @app.command(context_settings=_PASS_ON)
    def export(context: typer.Context, family: Family) -> None:
        """Turn a checkpoint into ONNX, checked against torch."""
        pass_on("export", family, context)

    @app.command("import", context_settings=_PASS_ON)
    def import_(context: typer.Context, family: Family) -> None:
        """Take weights that other software trained: `heliowatch models import hmi_enhancement FILE.hdf5`."""
        pass_on("import", family, context)
