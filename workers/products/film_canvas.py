"""The canvas of a film: how large, where the picture lies in it, and what is written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from observatory.errors import SettingsError

Bytes8 = NDArray[np.uint8]

_WHITE, _AMBER, _BLACK = (255, 255, 255), (255, 190, 40), (0, 0, 0)
_LINES_HIGH = 36  # text lines that would fit a picture's height
_LEAST_TEXT_PX = 11
_DIMMED = 0.45
_MOST_SIDE_PX = 8192  # of H.264 in common players


@dataclass(frozen=True)
class Caption:
    """What is written on a picture.

    Attributes
    ----------
    title : str
        Instrument; upper left.
    time : str
        UTC time; lower left.
    warnings : tuple of str
        Gap, missing channel, degraded frame; above the time.
    """

    title: str
    time: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Canvas:
    """Size of the film and place of the picture in it.

    Attributes
    ----------
    width_px, height_px : int
        Of the film; even, as H.264 with halved colours needs it.
    content_width_px, content_height_px : int
        Of the picture, which lies in the middle.
    """

    width_px: int
    height_px: int
    content_width_px: int
    content_height_px: int

    @classmethod
    def around(cls, content_width_px: int, content_height_px: int, pad: str = "none") -> Canvas:
        """Canvas around a picture.

        Parameters
        ----------
        pad : str
            ``none``, or the film's aspect, such as ``16:9`` or ``4:3``: black bars at the sides, or
            above and below a picture that is wider than that.

        Raises
        ------
        SettingsError
            When the aspect is none, or the film would be larger than players show.
        """
        width, height = content_width_px, content_height_px
        aspect = _aspect(pad)
        if aspect is not None:
            width, height = max(width, math.ceil(height * aspect)), max(height, math.ceil(width / aspect))
        width, height = width + width % 2, height + height % 2
        if max(width, height) > _MOST_SIDE_PX:
            raise SettingsError(
                f"the film would be {width} x {height} pixels, players show {_MOST_SIDE_PX}: take a smaller --size"
            )
        return cls(width, height, content_width_px, content_height_px)

    def paint(self, picture: Bytes8, caption: Caption, *, is_dimmed: bool = False) -> Bytes8:
        """Lay a picture (content height, content width, 3) on the canvas and write on it."""
        canvas = np.zeros((self.height_px, self.width_px, 3), np.uint8)
        y = (self.height_px - self.content_height_px) // 2
        x = (self.width_px - self.content_width_px) // 2
        content = cv2.convertScaleAbs(picture, alpha=_DIMMED) if is_dimmed else picture
        canvas[y : y + self.content_height_px, x : x + self.content_width_px] = content
        size = max(_LEAST_TEXT_PX, self.height_px // _LINES_HIGH)
        edge = size * 2 // 3
        _write(canvas, edge, edge, caption.title, _WHITE, size)
        bottom = self.height_px - edge - size
        _write(canvas, edge, bottom, caption.time, _WHITE, size)
        for number, warning in enumerate(reversed(caption.warnings), start=1):
            _write(canvas, edge, bottom - number * (size * 4 // 3), warning, _AMBER, size)
        return canvas


def _aspect(word: str) -> float | None:
    if word == "none":
        return None
    wide, colon, high = word.partition(":")
    try:
        aspect = float(wide) / float(high)
    except (ValueError, ZeroDivisionError):
        aspect = 0.0
    if not colon or not 0.2 <= aspect <= 5:
        raise SettingsError(f"--pad {word!r}: write 16:9, 4:3, another aspect, or none")
    return aspect


def _write(canvas: Bytes8, x: int, y: int, text: str, colour: tuple[int, int, int], size: int) -> None:
    """Write a line with a dark rim, its upper left corner at (x, y); what goes too far is cut."""
    if not text:
        return
    mask, rim = _letters(text, size)
    height, width = min(mask.shape[0], canvas.shape[0] - y), min(mask.shape[1], canvas.shape[1] - x)
    if y < 0 or height <= 0 or width <= 0:
        return
    part = canvas[y : y + height, x : x + width].astype(np.float32)
    for layer, ink in ((rim, _BLACK), (mask, colour)):
        share = layer[:height, :width, None].astype(np.float32) / 255.0
        part += (np.array(ink, np.float32) - part) * share
    canvas[y : y + height, x : x + width] = part.round().astype(np.uint8)


def _letters(text: str, size: int) -> tuple[Bytes8, Bytes8]:
    """How much of each pixel the letters cover, and the letters with their rim."""
    font = _font(size)
    rim = max(1, size // 10)
    width, height = math.ceil(font.getlength(text)) + 2 * rim + 2, math.ceil(size * 1.35) + 2 * rim
    layers = []
    for stroke in (0, rim):
        image = Image.new("L", (width, height), 0)
        ImageDraw.Draw(image).text((rim, rim), text, font=font, fill=255, stroke_width=stroke)
        layers.append(np.asarray(image))
    return layers[0], layers[1]


@cache
def _font(size: int) -> Any:
    """The font that Pillow carries: no film depends on what a machine has installed."""
    return ImageFont.load_default(size)
