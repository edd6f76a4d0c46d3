"""The film of a night that has ended: its frames one after another, north up, with gaps that say so."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import Frame
from observatory.instruments import Opened
from observatory.settings import Settings
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database
from observatory.storage.texts import text_path
from workers.products.film import FilmWriter, find_ffmpeg
from workers.products.film_canvas import Canvas, Caption
from workers.products.film_painter import FramePainter
from workers.products.film_plan import plan
from workers.products.preview import Picture
from workers.stored_frames import open_stored

Bytes8 = NDArray[np.uint8]

MOST_FRAMES = 2400
"""Of one film: of a night with more, so many at even distances are shown."""
_FOLDER, _LEFT_BEHIND_S = ".film-", 86_400.0
_TRIED_FIRST = 20  # frames that may be unreadable before the film is given up


@dataclass(frozen=True)
class Film:
    """A film and what became of its frames."""

    picture: Picture
    facts: Mapping[str, Any]


def film_of(
    db: Database, settings: Settings, files: ProductFiles, rows: Sequence[Mapping[str, Any]], title: str
) -> Film:
    """Make the film of a night.

    Parameters
    ----------
    rows : sequence of Mapping
        As `observatory.storage.night_frames.film_frames`.
    title : str
        What stands on every picture.

    Raises
    ------
    UnusableInputError
        When none of its first frames can be read, or there is no ffmpeg.
    """
    try:
        find_ffmpeg(settings.films)
    except SettingsError as error:
        raise UnusableInputError(str(error)) from error
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, MOST_FRAMES).round().astype(int))]
    reader = _Reader(db, settings)
    painter = _painter(reader, chosen, settings.nights.film_size)
    canvas = Canvas.around(painter.width_px, painter.height_px)
    files.root.mkdir(parents=True, exist_ok=True)
    _clear(files.root)
    with tempfile.TemporaryDirectory(dir=files.root, prefix=_FOLDER) as folder:
        path = Path(folder) / "night.mp4"
        with FilmWriter(
            path, canvas.width_px, canvas.height_px, settings.nights.film_fps, settings.films
        ) as film:
            unread = _write(film, canvas, painter, reader, chosen, settings, title)
        data = path.read_bytes()
        facts = {
            "frames": len(chosen),
            "frames_of_night": len(rows),
            "unreadable": unread,
            "seconds": round(film.pictures / settings.nights.film_fps, 3),
        }
    return Film(Picture("film", "video/mp4", ".mp4", data, canvas.width_px, canvas.height_px), facts)


def _clear(root: Path) -> None:
    """Remove what films left behind whose process was killed."""
    for folder in root.glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LEFT_BEHIND_S:
                shutil.rmtree(folder, ignore_errors=True)


class _Reader:
    """Reads frames one after another; a file of many frames is opened once."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db, self._settings = db, settings
        self._sha256 = ""
        self._opened: Opened | None = None

    def read(self, row: Mapping[str, Any]) -> Frame:
        """Read one frame.

        Raises
        ------
        UnusableInputError
            When its file is gone or cannot be decoded.
        """
        if self._opened is None or row["sha256"] != self._sha256:
            self._opened = None
            self._opened = open_stored(
                self._db,
                self._settings,
                sha256=row["sha256"],
                path=text_path(row["path"]),
                file_name=row["file_name"],
                instrument=row["instrument"],
            )
            self._sha256 = row["sha256"]
        return replace(self._opened.frame(row["frame_index"]), sha256=row["sha256"])


def _painter(reader: _Reader, rows: Sequence[Mapping[str, Any]], size: int) -> FramePainter:
    """Painter with the scale of a frame in the middle of the night, which is dark."""
    problem: UnusableInputError | None = None
    middle = len(rows) // 2
    for row in [*rows[middle:], *rows[:middle]][:_TRIED_FIRST]:
        try:
            return FramePainter.of(reader.read(row), "allsky", size)
        except UnusableInputError as error:
            problem = problem or error
    raise problem or UnusableInputError("the night has no frames")


def _write(
    film: FilmWriter,
    canvas: Canvas,
    painter: FramePainter,
    reader: _Reader,
    rows: Sequence[Mapping[str, Any]],
    settings: Settings,
    title: str,
) -> int:
    """Write all frames and gaps; return how many frames could not be read."""
    steps = plan(
        [row["moment"] for row in rows],
        fps=settings.nights.film_fps,
        longest_gap_s=settings.films.longest_gap_s,
    )
    held: Bytes8 = np.zeros((canvas.content_height_px, canvas.content_width_px, 3), np.uint8)
    unread = 0
    for step in steps:
        row = rows[step.frame]
        clock = f"{row['moment']:%Y-%m-%d %H:%M:%S} UTC"
        marks = ("simulated",) if row["is_simulated"] else ()
        if step.gap is not None:
            words = Caption(title, clock, (*marks, step.gap.words))
            film.write(canvas.paint(held, words, is_dimmed=True), step.pictures)
            continue
        try:
            held = painter.paint(reader.read(row))
        except UnusableInputError:
            unread += 1
            words = Caption(title, clock, (*marks, "this frame cannot be read"))
            film.write(canvas.paint(held, words, is_dimmed=True), step.pictures)
            continue
        film.write(canvas.paint(held, Caption(title, clock, marks)), step.pictures)
    return unread
