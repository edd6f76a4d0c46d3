"""Frames of any instrument as the pictures of one film: same place, same scale, same size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.errors import SettingsError, UnusableInputError
from observatory.euv import disk_of, monochrome
from observatory.frame import Frame, Pointing, RowOrder
from observatory.sun import fit_limb
from workers.products.film_tone import Tone, gain_of
from workers.products.preview import orient
from workers.products.sun_view import FULL_FIELD_ARCSEC, Crop, Resampler, SunView

Bytes8 = NDArray[np.uint8]

_SOLAR = ("aia", "suvi", "halpha", "hmi")
_REGION_COLOURS = {"CH": (90, 220, 255), "AR": (255, 190, 40)}
_OTHER_REGION = (255, 255, 255)


@dataclass(frozen=True)
class Outline:
    """The rings of one region, in pixels of its frame."""

    event_type: str
    rings_px: tuple[np.ndarray, ...]


def pointing_of(frame: Frame) -> Pointing | None:
    """Where the Sun is: by header, by archive, by limb; None when it is not seen."""
    if frame.pointing is not None:
        return frame.pointing
    try:
        if frame.instrument.startswith(("aia", "suvi")):
            return disk_of(frame, monochrome(frame))
        fit = fit_limb(frame.pixels)
    except UnusableInputError:
        return None
    return None if fit is None else fit.to_pointing()


@dataclass(frozen=True)
class FramePainter:
    """Paints frames as the reference frame is painted.

    Attributes
    ----------
    view : SunView | None
        What is shown of the Sun: every frame is recentred, turned north up and brought to one
        scale. None where no Sun is to be seen (all-sky): the frames lie as in the file.
    pointing : Pointing | None
        The reference frame's, for those whose limb is hidden.
    """

    tone: Tone
    width_px: int
    height_px: int
    view: SunView | None = None
    pointing: Pointing | None = None
    shape: tuple[int, int] = (0, 0)
    crop_px: Crop | None = None

    @classmethod
    def of(cls, frame: Frame, family: str, height_px: int, crop: Crop | None = None) -> FramePainter:
        """Take a frame as the reference of a film.

        Raises
        ------
        SettingsError
            When a crop in arcseconds is asked for and the frame has no Sun, or one in pixels lies outside it.
        """
        tone = Tone.of(frame)
        pointing = pointing_of(frame) if family in _SOLAR else None
        if pointing is not None:
            view = view_of(frame, pointing, height_px)
            view = view if crop is None else view.cropped(crop)
            return cls(tone, view.width_px, view.height_px, view, pointing, frame.pixels.shape[:2])
        if crop is not None and crop.is_arcsec:
            raise SettingsError(
                "no solar disk is found in the first frame: crop in pixels (512,512,300,200px)"
            )
        shape = frame.pixels.shape[:2]
        if crop is not None:
            try:
                _cut(frame.pixels, crop, shape)
            except UnusableInputError as error:
                raise SettingsError(str(error)) from error
        width, height = (crop.width, crop.height) if crop else (frame.width, frame.height)
        return cls(tone, max(1, round(width * height_px / height)), height_px, shape=shape, crop_px=crop)

    def paint(self, frame: Frame, outlines: Iterable[Outline] = ()) -> Bytes8:
        """Paint one frame, (height, width, 3)."""
        if self.view is None:
            return self._plain(frame)
        # A frame of another size cannot lie where the reference does: its limb must be seen.
        is_alike = frame.pixels.shape[:2] == self.shape
        pointing = pointing_of(frame) or (self.pointing if is_alike else None)
        if pointing is None:
            return self._plain(frame)
        is_colour = frame.pixels.ndim == 3
        pixels = frame.pixels
        if pixels.dtype.kind == "f":
            pixels = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
        seen = Resampler.of(pixels, pointing, frame.row_order, self.view).rows(0, self.height_px)
        shown = self._tone(frame).apply(seen, gain_of(frame))
        picture = shown if is_colour else cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB)
        return outlined(np.asarray(picture), outlines, self.view, pointing, frame.row_order)

    def _tone(self, frame: Frame) -> Tone:
        return self.tone if self.tone.fits(frame) else Tone.of(frame)

    def _plain(self, frame: Frame) -> Bytes8:
        """Lay a frame as in its file, up as previews have it."""
        pixels = frame.pixels
        if pixels.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
            pixels = pixels.astype(np.float32)
        upright = orient(frame, pixels)
        if self.crop_px is not None:
            upright = _cut(upright, self.crop_px, self.shape)
        scale = min(self.height_px / upright.shape[0], self.width_px / upright.shape[1])
        size = (max(1, round(upright.shape[1] * scale)), max(1, round(upright.shape[0] * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        shown = self._tone(frame).apply(cv2.resize(upright, size, interpolation=how), gain_of(frame))
        picture = shown if shown.ndim == 3 else cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB)
        canvas = np.zeros((self.height_px, self.width_px, 3), np.uint8)
        y, x = (self.height_px - size[1]) // 2, (self.width_px - size[0]) // 2
        canvas[y : y + size[1], x : x + size[0]] = picture
        return canvas


def _cut(pixels: np.ndarray, crop: Crop, shape: tuple[int, ...]) -> np.ndarray:
    """Cut out what a crop names in a frame of some shape; of a frame of another size the same share."""
    across, down = pixels.shape[1] / shape[1], pixels.shape[0] / shape[0]
    width, height = crop.width * across, crop.height * down
    x0, y0 = round(crop.center_x * across - width / 2), round(crop.center_y * down - height / 2)
    x1, y1 = x0 + max(1, round(width)), y0 + max(1, round(height))
    part = pixels[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    if part.size == 0:
        raise UnusableInputError(
            f"the crop lies outside the frame of {pixels.shape[1]} x {pixels.shape[0]} pixels: take another"
        )
    return part


def view_of(frame: Frame, pointing: Pointing, height_px: int) -> SunView:
    """What a frame shows: the whole disk in the middle of a square, or the cut-out that it is."""
    scale, radius = pointing.cdelt_arcsec, pointing.radius_px
    x, y = pointing.center_x_px, pointing.center_y_px
    is_whole = min(x, frame.width - 1 - x, y, frame.height - 1 - y) >= 0.98 * radius
    if is_whole:
        field = min(frame.width, frame.height) * scale
        if frame.instrument.startswith("aia"):
            field = FULL_FIELD_ARCSEC
        return SunView.full(height_px, field)
    middle = np.array([[(frame.width - 1) / 2, (frame.height - 1) / 2]])
    # The unit view has one arcsecond a pixel and disk centre at its pixel 0: points are arcseconds.
    east, south = SunView(1, 1, 1.0).points(middle, pointing, frame.row_order)[0]
    cdelt = frame.height * scale / height_px
    return SunView(max(1, round(frame.width * scale / cdelt)), height_px, cdelt, float(east), -float(south))


def outlined(
    picture: Bytes8, outlines: Iterable[Outline], view: SunView, pointing: Pointing, row_order: RowOrder
) -> Bytes8:
    """Draw the outlines of regions: coronal holes blue, active regions amber."""
    thickness = max(1, view.height_px // 512)
    for outline in outlines:
        colour = _REGION_COLOURS.get(outline.event_type, _OTHER_REGION)
        for ring in outline.rings_px:
            if len(ring) < 3:
                continue
            # Four fractional bits: outlines do not jump from pixel to pixel in a film.
            points = np.round(view.points(np.asarray(ring), pointing, row_order) * 16).astype(np.int32)
            cv2.polylines(picture, [points], True, colour, thickness, cv2.LINE_AA, shift=4)
    return picture
