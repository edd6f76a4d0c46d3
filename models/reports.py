"""Files that measurements are written into."""

from __future__ import annotations

from pathlib import Path

from observatory.errors import SettingsError


def require_place(path: Path | None) -> None:
    """Make the folder of a file that is written when all is measured, or refuse it before anything is.

    Raises
    ------
    SettingsError
        When a folder has the file's name, or its own cannot be made.
    """
    if path is None:
        return
    if path.is_dir():
        raise SettingsError(f"--output {path}: it is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--output {path}: its folder cannot be made: {error.strerror}") from error
