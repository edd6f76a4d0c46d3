"""Writing films: pictures go to ffmpeg one by one, the file appears when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from observatory.errors import HeliowatchError, SettingsError
from observatory.film_settings import FilmSettings

Bytes8 = NDArray[np.uint8]

_ENDINGS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_STOP_S = 600.0  # coding what is still in its memory may take ffmpeg a while
_NO_SPACE = re.compile(rb"no space left|disk quota|error writing trailer.*space", re.IGNORECASE)


class FilmError(HeliowatchError):
    """ffmpeg failed; the message holds its last words."""

    def __init__(self, path: Path, words: str) -> None:
        super().__init__(f"the film {path} could not be written: ffmpeg said: {words or 'nothing'}")


class FilmWriter:
    """A film that is being written; use it as a context.

    H.264 with halved colours and the index in front, which every browser and player shows.
    It is written under a temporary name and renamed when it is whole; a film that was not finished
    leaves nothing behind.

    Parameters
    ----------
    path : Path
        Ends in mp4, m4v, mov or mkv.
    width_px, height_px : int
        Of all pictures; even numbers.

    Raises
    ------
    SettingsError
        When there is no ffmpeg, or the file's ending is none of those.
    """

    def __init__(
        self, path: Path, width_px: int, height_px: int, fps: float, settings: FilmSettings | None = None
    ) -> None:
        self._settings = settings or FilmSettings()
        self._form = form_of(path)
        self._program = find_ffmpeg(self._settings)
        self._path, self._fps = path, fps
        self._shape = (height_px, width_px, 3)
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.{uuid.uuid4().hex}.part{path.suffix}")
        self._process: subprocess.Popen[bytes] | None = None
        self._words: IO[bytes] | None = None
        self.pictures = 0

    def __enter__(self) -> FilmWriter:
        # A file, not a pipe, for its words: a pipe that nobody reads would stop it when it is full.
        self._words = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._words
            )
        except BaseException:
            self._words.close()
            raise
        return self

    def _command(self) -> list[str]:
        height, width, _ = self._shape
        return [
            *(self._program, "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
            *("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}"),
            *("-framerate", f"{self._fps:g}", "-i", "pipe:0", "-an"),
            # Colours as BT.709 and said so: players otherwise guess by the picture's size.
            *("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"),
            *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
            *("-c:v", "libx264", "-preset", self._settings.preset, "-crf", str(self._settings.crf)),
            *("-movflags", "+faststart", "-f", self._form, f"file:{self._temporary}"),
        ]

    def write(self, picture: Bytes8, times: int = 1) -> None:
        """Add a picture (height, width, 3), shown so many times.

        Raises
        ------
        OSError
            With ``ENOSPC`` when the disk is full.
        FilmError
            When ffmpeg ended early for another reason.
        """
        if picture.shape != self._shape:
            raise ValueError(f"a picture of {picture.shape} in a film of {self._shape}")
        assert self._process is not None and self._process.stdin is not None
        data = np.ascontiguousarray(picture).data
        try:
            for _ in range(times):
                self._process.stdin.write(data)
                self.pictures += 1
        except (BrokenPipeError, ConnectionError) as error:
            self._finished()
            raise self._problem() from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None and self._words is not None
        try:
            if kind is not None:
                self._process.kill()
            with contextlib.suppress(BrokenPipeError, ConnectionError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            code = self._finished()
            if kind is None:
                if code != 0:
                    raise self._problem()
                self._temporary.rename(self._path)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._words.close()
            self._temporary.unlink(missing_ok=True)

    def _finished(self) -> int:
        """Wait for ffmpeg to end; return its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired as error:
            raise FilmError(self._path, f"nothing, and did not end within {_STOP_S:g} s") from error

    def _problem(self) -> Exception:
        assert self._words is not None
        self._words.seek(0)
        said = self._words.read()[-4000:]
        if _NO_SPACE.search(said):
            return OSError(errno.ENOSPC, "no space left on the device", str(self._path))
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return FilmError(self._path, "; ".join(lines[-2:]))


def find_ffmpeg(settings: FilmSettings) -> str:
    """Path of the program.

    Raises
    ------
    SettingsError
        When it is not there.
    """
    found = shutil.which(settings.ffmpeg)
    if found is None:
        raise SettingsError(
            f"films need the program {settings.ffmpeg}, which is not here: install the package ffmpeg "
            "(apt-get install ffmpeg), or name its place in the settings (films.ffmpeg)"
        )
    return found


def form_of(path: Path) -> str:
    """Container of a film by its file's ending.

    Raises
    ------
    SettingsError
        When the ending is none of those that are written.
    """
    form = _ENDINGS.get(path.suffix.lower())
    if form is None:
        raise SettingsError(f"{path}: a film's name ends in {', '.join(_ENDINGS)}")
    return form
