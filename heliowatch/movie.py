"""`heliowatch movie`: films of what is stored, or of files, at constant memory."""

from __future__ import annotations

import csv
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
from numpy.typing import NDArray

from heliowatch.composite import look_named
from heliowatch.folders import make_folder, refuse_among_frames
from heliowatch.progress import progress_bars
from heliowatch.shots import CompositeShots, FrameShots, Painted, Shot, Shots
from heliowatch.sources import Request
from observatory.errors import SettingsError, UnusableInputError
from observatory.settings import Settings
from observatory.words import counted
from workers.products.film import FilmWriter, find_ffmpeg, form_of
from workers.products.film_canvas import Canvas, Caption
from workers.products.film_plan import Step, plan
from workers.products.sun_view import Crop

Bytes8 = NDArray[np.uint8]
COMPOSITE = "composite"


@dataclass(frozen=True)
class Wanted:
    """How the film is to be; None: as the settings say."""

    out: Path
    size: int | None = None
    crop: str | None = None
    pad: str = "none"
    fps: float | None = None
    workers: int | None = None


@dataclass
class Made:
    """What became of a film, for the report and the exit code."""

    film: str
    pictures: int = 0
    frames: int = 0
    degraded: int | None = 0  # None for files, whose frames are shown and not scored
    incomplete: int = 0
    gaps: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def run_movie(
    settings: Settings, sources: Sequence[Path], request: Request, wanted: Wanted, form: str
) -> int:
    """Make a film; 1 if a frame could not be read or there is none, else 3 if one is degraded, else 0."""
    _refuse_unused(request, are_files=bool(sources))
    find_ffmpeg(settings.films)
    form_of(wanted.out)
    refuse_among_frames(settings, wanted.out.parent, sources=[], names=[wanted.out.name])
    make_folder(wanted.out.parent)
    crop = None if wanted.crop is None else Crop.parse(wanted.crop)
    made = _film(settings, _shots(settings, sources, request), wanted, crop)
    if sources:
        made.degraded = None
    _print(made, form)
    if made.errors:
        return 1
    return 3 if made.degraded or made.incomplete else 0


def _refuse_unused(request: Request, *, are_files: bool) -> None:
    """Refuse options that would change nothing."""
    if request.instrument != COMPOSITE:
        for option, value in (("--look", request.look), ("--tolerance", request.tolerance_s)):
            if value is not None:
                raise SettingsError(f"{option} is of composites: add --instrument composite, or leave it out")
    if are_files and request.is_degraded_skipped:
        raise SettingsError(
            "--skip-degraded: files are shown without being judged; leave it out, or film what is stored"
        )


def _shots(settings: Settings, sources: Sequence[Path], request: Request) -> Shots:
    if request.instrument == COMPOSITE:
        return CompositeShots(settings, sources, request, look_named(settings, request.look or "aia"))
    return FrameShots(settings, sources, request)


def _film(settings: Settings, shots: Shots, wanted: Wanted, crop: Crop | None) -> Made:
    fps = wanted.fps or settings.films.fps
    workers = wanted.workers or os.cpu_count() or 1
    made = Made(str(wanted.out), errors=[dict(one) for one in shots.errors], left_out=dict(shots.left_out))
    with ExitStack() as stack:
        threads = cv2.getNumThreads()
        stack.callback(cv2.setNumThreads, threads)
        cv2.setNumThreads(1)  # frames are painted beside each other
        canvas = Canvas.around(*shots.prepare(wanted.size or settings.films.size, crop), wanted.pad)
        steps = plan(
            [shot.time for shot in shots.listed],
            fps=fps,
            longest_gap_s=settings.films.longest_gap_s,
            cadence=shots.cadence_s,
        )
        bars = stack.enter_context(progress_bars())
        bar = bars.add_task("frames", total=len(shots.listed))
        film = stack.enter_context(
            FilmWriter(wanted.out, canvas.width_px, canvas.height_px, fps, settings.films)
        )
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        painter = _Ahead(pool, shots, 2 * workers)
        stack.callback(painter.stop)
        _write_all(film, canvas, shots, steps, painter, made, lambda: bars.advance(bar))
        made.pictures = film.pictures
    made.facts = {
        "instrument": shots.title,
        "first": shots.listed[0].time,
        "last": shots.listed[-1].time,
        "width": canvas.width_px,
        "height": canvas.height_px,
        "fps": fps,
        "seconds": round(made.pictures / fps, 3),
    }
    return made


class _Ahead:
    """Pictures in the order of the frames, painted a few ahead by several threads."""

    def __init__(self, pool: ThreadPoolExecutor, shots: Shots, most: int) -> None:
        self._pool, self._shots, self._most = pool, shots, most
        self._next = 0
        self._futures: deque[Future[Painted]] = deque()

    def take(self) -> Painted:
        """Picture of the next frame.

        Raises
        ------
        UnusableInputError
            When it cannot be read.
        """
        while self._next < len(self._shots.listed) and len(self._futures) < self._most:
            self._futures.append(self._pool.submit(self._shots.paint, self._shots.listed[self._next]))
            self._next += 1
        return self._futures.popleft().result()

    def stop(self) -> None:
        """Begin nothing more."""
        for future in self._futures:
            future.cancel()


def _write_all(
    film: FilmWriter,
    canvas: Canvas,
    shots: Shots,
    steps: Sequence[Step],
    painter: _Ahead,
    made: Made,
    advance: Callable[[], None],
) -> None:
    held: Bytes8 | None = None
    for step in steps:
        shot = shots.listed[step.frame]
        if step.gap is not None:
            gap = step.gap
            made.gaps.append({"start": gap.start, "end": gap.end, "seconds": gap.seconds})
            _hold(film, canvas, shots, shot, held, gap.words, step.pictures)
            continue
        try:
            painted = painter.take()
        except UnusableInputError as error:
            made.errors.append({"file": shot.label, "error": str(error)})
            _hold(film, canvas, shots, shot, held, "this frame cannot be read", step.pictures)
        else:
            made.frames += 1
            made.degraded = (made.degraded or 0) + bool(painted.degraded)
            made.incomplete += bool(painted.missing)
            held = painted.picture
            caption = Caption(shots.title, shot.clock, painted.warnings)
            film.write(canvas.paint(held, caption), step.pictures)
        advance()


def _hold(
    film: FilmWriter, canvas: Canvas, shots: Shots, shot: Shot, held: Bytes8 | None, words: str, pictures: int
) -> None:
    """Show the last frame, dimmed, with the reason; black before the first."""
    if held is None:
        held = np.zeros((canvas.content_height_px, canvas.content_width_px, 3), np.uint8)
    film.write(canvas.paint(held, Caption(shots.title, shot.clock, (words,)), is_dimmed=True), pictures)


def _print(made: Made, form: str) -> None:
    said = {
        "film": made.film,
        **made.facts,
        "pictures": made.pictures,
        "frames": made.frames,
        "degraded": made.degraded,
        "incomplete": made.incomplete,
        "gaps": made.gaps,
        "left_out": made.left_out,
        "errors": made.errors,
    }
    if form == "json":
        sys.stdout.write(orjson.dumps(said, option=orjson.OPT_UTC_Z).decode() + "\n")
        return
    if form == "csv":
        numbers = {name: len(value) if isinstance(value, list) else value for name, value in said.items()}
        row = {name: value for name, value in numbers.items() if not isinstance(value, dict)}
        rows = csv.DictWriter(sys.stdout, list(row))
        rows.writeheader()
        rows.writerow(row)
        return
    lines = [
        f"{made.film}: {made.facts['instrument']}, {made.facts['width']} x {made.facts['height']}, "
        f"{counted(made.pictures, 'picture')}, {made.facts['seconds']:.1f} s",
        f"{counted(made.frames, 'frame')}, {made.facts['first']:%Y-%m-%d %H:%M:%S} to "
        f"{made.facts['last']:%Y-%m-%d %H:%M:%S} UTC; {counted(len(made.gaps), 'gap')}, "
        f"{'' if made.degraded is None else f'{made.degraded} degraded, '}{made.incomplete} incomplete",
        *(f"left out: {count} {why}" for why, count in made.left_out.items() if count),
        *(f"✗ {one['file']}: {one['error']}" for one in made.errors),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
