"""The verbs of `heliowatch models` that change what runs."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from heliowatch.options import DataDir, in_folder


class WatchFormat(StrEnum):
    """How it is printed what runs."""

    TABLE = "table"
    JSON = "json"


Name = Annotated[str, typer.Argument(help="name of a model, such as halpha_quality")]


def add_to(app: typer.Typer, settings_of: Callable[..., Any]) -> None:
    """Add the verbs."""

    def settings(data_dir: Path | None) -> Any:
        return settings_of(**in_folder(data_dir))

    @app.command()
    def candidate(
        folder: Annotated[Path, typer.Argument(help="folder with manifest.toml and the network")],
        data_dir: DataDir = None,
    ) -> None:
        """Let a network run beside the live one: it decides nothing, and what it says is kept.

        Its golden frames are asked first; one that fails them is refused.
        """
        from heliowatch import deploying

        typer.echo(deploying.as_json(deploying.take_in(settings(data_dir), folder)))

    @app.command()
    def promote(
        name: Name,
        folder: Annotated[
            Path | None, typer.Argument(help="network to promote at once; default: the model's candidate")
        ] = None,
        back: Annotated[bool, typer.Option("--back", help="roll back to the network before")] = False,
        data_dir: DataDir = None,
    ) -> None:
        """Make a network the live one, for all workers and without a pause; --back undoes it."""
        from heliowatch import deploying

        if back and folder is not None:
            raise typer.BadParameter("--back takes no folder")
        if back:
            before = deploying.roll_back(settings(data_dir), name)
            typer.echo(f"{name}: the network that ships" if before is None else deploying.as_json(before))
        else:
            typer.echo(deploying.as_json(deploying.promote(settings(data_dir), name, folder)))

    @app.command()
    def withdraw(name: Name, data_dir: DataDir = None) -> None:
        """Let a model's candidate run no longer."""
        from heliowatch import deploying

        typer.echo(deploying.as_json(deploying.withdraw(settings(data_dir), name)))

    @app.command()
    def watch(
        output: Annotated[
            WatchFormat, typer.Option("--format", "-f", help="table or json")
        ] = WatchFormat.TABLE,
        data_dir: DataDir = None,
    ) -> None:
        """What runs, what tries, how alike they are; what golden frames and drift say."""
        from heliowatch import deploying

        deploying.print_watch(settings(data_dir), output.value)
