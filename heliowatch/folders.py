"""Folders that the user names, and files written into them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from observatory.errors import SettingsError
from observatory.settings import Settings


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


def refuse_among_frames(
    settings: Settings, out: Path, *, sources: Iterable[Path], names: Sequence[str]
) -> None:
    """Refuse a folder in which what is written would be taken for frames.

    Parameters
    ----------
    sources : iterable of Path
        Folders in which frames are looked for; files among them do not matter.
    names : sequence of str
        What the files are called, such as ``20260101T000000_aia.jpg``: a watched folder may take others alone.

    Raises
    ------
    SettingsError
        When the next call would look for frames there, or the settings have the folder watched.
    """
    from workers.watching import watch_folders

    place, temporary = out.resolve(), settings.ingest.temporary
    if place in [source.resolve() for source in sources]:
        raise SettingsError(
            f"--out {out}: the frames lie there, and the next call would take the pictures for frames: "
            "name another folder"
        )
    for folder in watch_folders(settings):
        if place.is_relative_to(folder.path) and any(folder.wants(name, temporary) for name in names):
            raise SettingsError(
                f"--out {out}: {folder.path} is watched, and what is written would be taken in as frames: "
                "name another folder"
            )


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
