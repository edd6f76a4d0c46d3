"""Pictures of a night: its lines in time, and under them what each moment showed, in words and colours.

The colours of the six classes are apart for colour-blind eyes (Okabe & Ito 2008, Color Universal Design); where
there is room the word stands in them, too, and the legend names them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from observatory.analysis import SkyClass
from observatory.nights import NightSeries, NightSummary
from observatory.onset import Onset
from workers.products.night_lines import Axis, Bytes8, Levels, columns
from workers.products.preview import Picture, png

WIDTH_PX = 1600

CLASS_COLOURS: dict[SkyClass | None, tuple[int, int, int]] = {
    SkyClass.ARC: (0, 158, 115),
    SkyClass.DIFFUSE: (86, 180, 233),
    SkyClass.DISCRETE: (240, 228, 66),
    SkyClass.CLOUD: (150, 150, 150),
    SkyClass.MOON: (230, 159, 0),
    SkyClass.CLEAR: (24, 38, 80),
    None: (34, 34, 38),
}
_NOT_JUDGED = "not judged"
_LINE_PX = 2  # pixels of the picture for each degree
_LEFT, _RIGHT, _TOP, _RIBBON, _GAP = 84, 32, 64, 30, 8
_AXIS, _LEGEND = 34, 36
_GROUND, _INK, _SOFT = (13, 16, 20), (232, 234, 237), (160, 166, 174)
_OUTSIDE, _HATCH = (20, 23, 28), (62, 66, 72)
_MARK = (255, 122, 89)
_TICKS_S = (300, 600, 900, 1800, 3600, 7200, 10800)
_TICK_PX = 90
_HATCH_PX = 9
_APART = 24  # pixels between what stands on the left and on the right of the title's line


@dataclass(frozen=True)
class Line:
    """Which line of the sky a picture shows, from top to bottom.

    Attributes
    ----------
    ends : tuple of str
        Where it begins and ends.
    ends_unoriented : tuple of str
        The same where nobody knows how the camera is turned.
    """

    kind: str
    words: str
    ends: tuple[str, str]
    ends_unoriented: tuple[str, str]


KEOGRAM = Line("keogram", "Keogram: north over the zenith to south", ("N", "S"), ("up", "down"))
EWOGRAM = Line("ewogram", "Ewogram: east over the zenith to west", ("E", "W"), ("left", "right"))


def draw(
    line: Line,
    series: NightSeries,
    summary: NightSummary,
    onsets: Sequence[Onset],
    *,
    title: str,
    width_px: int = WIDTH_PX,
) -> Picture:
    """Draw one line of a night with its ribbon and its time axis.

    Parameters
    ----------
    title : str
        Instrument and night.
    """
    lines = series.north_south if line is KEOGRAM else series.east_west
    axis = Axis.of(series, width_px - _LEFT - _RIGHT)
    height = lines.shape[1] * _LINE_PX
    picture = Image.new("RGB", (width_px, _TOP + height + _GAP + _RIBBON + _AXIS + _LEGEND), _GROUND)
    pen = ImageDraw.Draw(picture)
    picture.paste(Image.fromarray(_sky(series, lines, axis)), (_LEFT, _TOP))
    _write_title(pen, line, series, title, width_px)
    _write_heights(pen, line, height, is_oriented=series.is_oriented)
    _write_gaps(pen, summary, axis, height)
    _mark_onsets(pen, onsets, axis, height)
    _draw_ribbon(pen, summary, axis, _TOP + height + _GAP)
    _draw_axis(pen, axis, _TOP + height + _GAP + _RIBBON)
    _draw_legend(pen, _TOP + height + _GAP + _RIBBON + _AXIS, has_onsets=bool(onsets))
    data = png(np.asarray(picture))
    return Picture(line.kind, "image/png", ".png", data, picture.width, picture.height)


def _sky(series: NightSeries, lines: Bytes8, axis: Axis) -> Bytes8:
    """The lines, hatched where frames are missing, plain before the first and after the last."""
    levels, is_shown = columns(series, lines, axis)
    shown = Levels.of(series).apply(levels)
    times = axis.centres_s
    is_inside = (times >= series.times_s[0]) & (times <= series.times_s[-1])
    rows, places = np.mgrid[0 : lines.shape[1] * _LINE_PX, 0 : axis.width_px]
    hatch = np.where(((rows + places) % _HATCH_PX == 0)[..., None], _HATCH, _OUTSIDE).astype(np.uint8)
    large = np.repeat(shown, _LINE_PX, axis=0)
    large[:, ~is_shown] = _OUTSIDE
    large[:, ~is_shown & is_inside] = hatch[:, ~is_shown & is_inside]
    return np.ascontiguousarray(large)


def _write_title(pen: Any, line: Line, series: NightSeries, title: str, width_px: int) -> None:
    words = line.words if series.is_oriented else f"{line.kind.capitalize()}; north is not known"
    pen.text((width_px - _RIGHT, 10), words, _SOFT, _font(18), anchor="ra")
    room = width_px - _LEFT - _RIGHT - _font(18).getlength(words) - _APART
    written, font = _fitted(title, room)
    pen.text((_LEFT, 8), written, _INK, font)


def _fitted(title: str, room: float) -> tuple[str, Any]:
    """A title and its font: smaller letters where it is long, and then without its begin, the camera's name."""
    for size in range(22, 13, -1):
        font = _font(size)
        if font.getlength(title) <= room:
            return title, font
    while font.getlength(f"…{title}") > room:
        title = title[1:]
    return f"…{title}", font


def _write_heights(pen: Any, line: Line, height: int, *, is_oriented: bool) -> None:
    first, last = line.ends if is_oriented else line.ends_unoriented
    for share, word in (
        (0.0, first),
        (1 / 6, "30°"),
        (1 / 3, "60°"),
        (0.5, "zenith"),
        (2 / 3, "60°"),
        (5 / 6, "30°"),
        (1.0, last),
    ):
        y = _TOP + share * (height - 1)
        is_end = share in (0.0, 1.0)
        pen.line([(_LEFT - 6, y), (_LEFT - 1, y)], _SOFT)
        place = (_LEFT - 12, y + (6 if share == 0.0 else -6 if share == 1.0 else 0))
        pen.text(place, word, _INK if is_end else _SOFT, _font(20 if is_end else 16), anchor="rm")


def _write_gaps(pen: Any, summary: NightSummary, axis: Axis, height: int) -> None:
    font = _font(16)
    for start, end in summary.gaps:
        left, right = axis.x(start.timestamp()), axis.x(end.timestamp())
        if right - left > font.getlength("no frames") + 16:
            middle = (_LEFT + (left + right) / 2, _TOP + height / 2)
            box = pen.textbbox(middle, "no frames", font=font, anchor="mm")
            pen.rectangle((box[0] - 6, box[1] - 4, box[2] + 6, box[3] + 4), fill=_GROUND)
            pen.text(middle, "no frames", _SOFT, font, anchor="mm")


def _mark_onsets(pen: Any, onsets: Sequence[Onset], axis: Axis, height: int) -> None:
    font = _font(16)
    places = [_LEFT + axis.x(onset.time.timestamp()) for onset in onsets]
    taken = 0.0  # up to where something stands
    for number, (onset, x) in enumerate(zip(onsets, places, strict=True)):
        following = places[number + 1] if number + 1 < len(places) else _LEFT + axis.width_px + 10.0
        pen.polygon([(x - 7, _TOP - 13), (x + 7, _TOP - 13), (x, _TOP - 1)], fill=_MARK)
        for y in range(_TOP, _TOP + height, 12):
            pen.line([(x, y), (x, min(y + 3, _TOP + height - 1))], _MARK)
        word = f"{onset.time:%H:%M}"
        width = font.getlength(word) + 10
        if x + width < following - 10:
            pen.text((x + 10, _TOP - 9), word, _MARK, font, anchor="lm")
            taken = x + width
            continue
        if x - width > taken:
            pen.text((x - 10, _TOP - 9), word, _MARK, font, anchor="rm")
        taken = x + 10


def _draw_ribbon(pen: Any, summary: NightSummary, axis: Axis, top: int) -> None:
    font = _font(16)
    pen.rectangle((_LEFT, top, _LEFT + axis.width_px - 1, top + _RIBBON - 1), fill=_OUTSIDE)
    for run in summary.runs:
        left = _LEFT + max(0.0, axis.x(run.start.timestamp()))
        right = _LEFT + min(float(axis.width_px), axis.x(run.end.timestamp()))
        colour = CLASS_COLOURS[run.sky_class]
        pen.rectangle((round(left), top, max(round(left), round(right) - 1), top + _RIBBON - 1), fill=colour)
        word = _NOT_JUDGED if run.sky_class is None else run.sky_class.value
        if right - left > font.getlength(word) + 8:
            pen.text(((left + right) / 2, top + _RIBBON / 2), word, _readable_on(colour), font, anchor="mm")


def _readable_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = colour
    return (10, 10, 12) if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else (240, 240, 242)


def _draw_axis(pen: Any, axis: Axis, top: int) -> None:
    font = _font(17)
    span = axis.end_s - axis.start_s
    step = next((one for one in _TICKS_S if span / one * _TICK_PX <= axis.width_px), 21600)
    first = -(-axis.start_s // step) * step
    for time_s in np.arange(first, axis.end_s + 1, step):
        x = _LEFT + axis.x(time_s)
        pen.line([(x, top), (x, top + 6)], _SOFT)
        pen.text((x, top + 8), f"{datetime.fromtimestamp(time_s, UTC):%H:%M}", _INK, font, anchor="ma")
    pen.text((_LEFT - 34, top + 8), "UTC", _SOFT, font, anchor="ra")


def _draw_legend(pen: Any, top: int, *, has_onsets: bool) -> None:
    font = _font(16)
    x: float = _LEFT
    for name in (*SkyClass, None):
        word = _NOT_JUDGED if name is None else name.value
        pen.rectangle((x, top + 8, x + 22, top + 22), fill=CLASS_COLOURS[name], outline=_SOFT)
        pen.text((x + 30, top + 15), word, _SOFT, font, anchor="lm")
        x += 30 + font.getlength(word) + 26
    if has_onsets:
        pen.polygon([(x, top + 9), (x + 14, top + 9), (x + 7, top + 21)], fill=_MARK)
        pen.text((x + 22, top + 15), "onset", _SOFT, font, anchor="lm")


@cache
def _font(size: int) -> Any:
    """The font that Pillow carries: no picture depends on what a machine has installed."""
    return ImageFont.load_default(size)
