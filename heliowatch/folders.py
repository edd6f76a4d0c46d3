"""Folders that the user names."""

from __future__ import annotations

from pathlib import Path

from observatory.errors import SettingsError


def make_folder(path: Path) -> bool:
    """Make a folder where there is none; return whether there was none.

    Raises
    ------
    SettingsError
        When a file stands there, or nothing may be written there.
    """
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise SettingsError(f"{path} is, or lies below, a file: name a folder") from error
    except OSError as error:
        raise SettingsError(f"the folder {path} cannot be made: {error.strerror}") from error
    return is_new
