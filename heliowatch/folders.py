"""Folders that the user names, and files written into them."""

from __future__ import annotations

import os
import uuid
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


def write_whole(path: Path, data: bytes) -> None:
    """Write by a temporary name and rename: under its own name a file is whole or not there.

    Raises
    ------
    OSError
        That names the file; what lay there before stays, and nothing is left beside it.
    """
    temporary = path.with_name(f".{os.getpid()}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
