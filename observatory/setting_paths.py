"""Paths as the settings take them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def _said(given: Any) -> Any:
    if given == "":  # which `Path` takes for the working folder
        raise ValueError("is empty: write a path, which is . for the working folder, or leave it out")
    return given


def _from_home(path: Path) -> Path:
    """Put the user's folder for ``~``, as a shell does; else a folder of that name would be made."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: nothing tells whose folder that is: write it out") from error


SettingPath = Annotated[Path, BeforeValidator(_said), AfterValidator(_from_home)]
"""A path that is not empty; ``~`` is the user's folder."""
