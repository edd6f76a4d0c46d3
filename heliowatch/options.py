"""Options that many verbs take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Output = Annotated[Format, typer.Option("--format", "-f", help="table, or json or csv for programs")]
Lines = Annotated[Format, typer.Option("--format", "-f", help="json is one object a line")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="a station's data folder; default: the settings'")
]
Time = Annotated[
    str | None, typer.Option("--time", "-t", help="START/END (ISO 8601), END not included; .. is open")
]


def in_folder(data_dir: Path | None) -> dict[str, Path]:
    """The setting that `DataDir` overrides; none where it is not given."""
    return {} if data_dir is None else {"data_dir": data_dir}
