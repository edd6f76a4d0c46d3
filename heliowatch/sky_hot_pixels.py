"""`heliowatch sky hot-pixels`: the map of a camera's hot pixels, from frames of some hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from heliowatch.folders import make_folder, refuse_among_frames, write_whole
from heliowatch.progress import progress_bars
from observatory.errors import SettingsError, UnusableInputError
from observatory.fisheye import Fisheye
from observatory.frame import DateSource
from observatory.hot_pixels import standing_out
from observatory.instruments import Opened, kind_of, read_file
from observatory.settings import Settings
from observatory.sky_view import circle_of
from observatory.words import lasting
from workers.products.preview import png

_LEAST_FRAMES = 8
_LEAST_SPAN = timedelta(hours=1)  # the sky turns by fifteen degrees: stars are elsewhere, but for the pole's
_NEARLY_ALL = 0.7  # of the frames
_MOST = 0.05  # of the pixels
_SPREAD = np.ones((3, 3), np.uint8)  # colours and JPEG spread a pixel over its neighbours


def run_hot_pixels(settings: Settings, files: Sequence[Path], instrument: str, out: Path) -> dict[str, Any]:
    """Write the map and say what was found.

    Parameters
    ----------
    settings : Settings
    files : sequence of Path
        Frames of one camera; films count by their images. Those that cannot be used are told on stderr.
    instrument : str
    out : Path

    Returns
    -------
    dict

    Raises
    ------
    SettingsError
        When there are too few frames, of too short a time or of several sizes, or when hot pixels are not what
        stands out.
    """
    if kind_of(settings.stations.get(instrument, instrument), settings.stations).family != "allsky":
        raise SettingsError(f"{instrument} is no all-sky camera: others need no map of hot pixels")
    refuse_among_frames(settings, out.parent, sources=[], names=[out.name])
    found, limits, stations = _Found(), settings.limits.as_limits, settings.stations
    with progress_bars() as bars:
        for file in bars.track(files, description="frames"):
            try:
                opened = read_file(file, limits, instrument=instrument, stations=stations)
                for index in range(opened.count):
                    if opened.container.fault(index) is None:
                        found.add(opened, index)
            except UnusableInputError as error:
                typer.echo(f"{file}: {error}", err=True)
    is_hot = found.hot()
    make_folder(out.parent)
    write_whole(out, png(np.where(is_hot, np.uint8(255), np.uint8(0))))
    return {
        "map": str(out),
        "frames": found.frames,
        "hot_pixels": found.points,
        "pixels_left_out": int(np.count_nonzero(is_hot)),
        "setting": f"instruments.{instrument}.hot_pixels: {out.resolve()}",
    }


class _Found:
    """How often each pixel stood out."""

    def __init__(self) -> None:
        self.frames = 0
        self.points = 0
        self._count: NDArray[np.uint16] = np.zeros((0, 0), np.uint16)
        self._times: list[datetime] = []
        self._circle: Fisheye | None = None

    def add(self, opened: Opened, index: int) -> None:
        """Count one frame, as its camera sent it."""
        stands_out = standing_out(opened.container.pixels(index))
        if not self.frames:
            self._count = np.zeros(stands_out.shape, np.uint16)
        elif stands_out.shape != self._count.shape:
            (height, width), (first_height, first_width) = stands_out.shape, self._count.shape
            raise SettingsError(
                f"{opened.file_name} has {width} x {height} pixels, the frames before it {first_width} x "
                f"{first_height}: make a map for each size"
            )
        if self._circle is None:
            self._circle = circle_of(opened.frame(index))
        self._count += stands_out
        self.frames += 1
        facts = opened.facts(index)
        if facts.date_obs is not None and facts.date_obs_source is not DateSource.FILE_TIME:
            self._times.append(facts.date_obs)

    def hot(self) -> NDArray[np.bool_]:
        """Pixels that stood out in nearly all frames, and their neighbours; captions beyond the sky are left alone."""
        if self.frames < _LEAST_FRAMES:
            raise SettingsError(
                f"{self.frames} usable frames tell too little: name {_LEAST_FRAMES} or more, by night, over some hours"
            )
        span = max(self._times) - min(self._times) if self._times else _LEAST_SPAN
        if span < _LEAST_SPAN:
            raise SettingsError(
                f"the frames span {lasting(span.total_seconds())}, in which stars hardly move: "
                "name frames of an hour or more"
            )
        is_hot = self._count >= np.ceil(_NEARLY_ALL * self.frames)
        if is_hot.mean() > _MOST:
            raise SettingsError(
                f"{100 * is_hot.mean():.0f} % of the pixels stand out in nearly all frames: these are no pictures "
                "of the night sky, or not of one camera"
            )
        if self._circle is not None:
            is_hot &= self._circle.directions(is_hot.shape)[0] <= self._circle.max_zenith_deg
        self.points = cv2.connectedComponents(is_hot.view(np.uint8))[0] - 1
        return np.asarray(cv2.dilate(is_hot.view(np.uint8), _SPREAD)) > 0
