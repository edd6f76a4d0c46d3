"""Previews and what is laid over them.

Solar north is up and west right when the pointing is known; of all-sky frames north is up and east left
when the camera's azimuths are; else the picture lies as in the file (FITS rows upwards). Everything laid
over a preview goes through the same `Orientation`.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from observatory.analysis import Quality
from observatory.frame import Frame, RowOrder
from observatory.orientation import LEAST_ROLL_DEG, sky_affine, turning_point
from observatory.robust import quantile

PREVIEW_SIDE_PX = 1024
_OVERLAY_SIDE_PX = 256
_JPEG_QUALITY = 88
_LEAST_SHOWN = 0.15  # of a region map
_TINT = (255, 96, 0)  # seen on the grey Sun by colour-blind eyes too

Bytes8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """An encoded picture and its size in pixels."""

    kind: str
    media_type: str
    suffix: str
    data: bytes
    width: int
    height: int


def preview(frame: Frame, side_px: int = PREVIEW_SIDE_PX) -> Picture:
    """Encode a frame as a JPEG of at most ``side_px``, stretched for the eye."""
    small = preview_pixels(frame, side_px)
    coded = cv2.imencode(
        ".jpg",
        small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
    )[1]
    return Picture("preview", "image/jpeg", ".jpg", coded.tobytes(), small.shape[1], small.shape[0])


def preview_pixels(frame: Frame, side_px: int = PREVIEW_SIDE_PX) -> Bytes8:
    """Show a frame at no more than ``side_px``: (height, width) or (height, width, 3), north up."""
    pixels = frame.pixels
    times = max(frame.height, frame.width) // side_px
    if times >= 4 and frame.quartered is not None:
        pixels = frame.quartered
    elif times >= 2 and frame.halved is not None:
        pixels = frame.halved
    return np.asarray(orient(frame, stretch(frame, reduced(pixels, side_px))), np.uint8)


def region_overlay(frame: Frame, quality: Quality) -> Picture | None:
    """Encode the spoilt region as a translucent PNG that fits the preview; None when nothing shows."""
    if quality.region_map is None or float(quality.region_map.max(initial=0.0)) < _LEAST_SHOWN:
        return None
    longest = max(frame.height, frame.width)
    size = (
        max(1, round(frame.width * _OVERLAY_SIDE_PX / longest)),
        max(1, round(frame.height * _OVERLAY_SIDE_PX / longest)),
    )
    strength = orient(frame, region_picture(frame, quality, size))
    tinted = np.empty((*strength.shape, 4), np.uint8)
    tinted[..., :3] = _TINT
    tinted[..., 3] = cv2.LUT(strength, _ALPHA)
    return Picture("region-map", "image/png", ".png", png(tinted), strength.shape[1], strength.shape[0])


_ALPHA = np.clip((np.arange(256) / 255 - _LEAST_SHOWN) / (1 - _LEAST_SHOWN) * 150, 0, 150).astype(np.uint8)


def region_mask_png(frame: Frame, quality: Quality) -> bytes:
    """Encode the region map as a grey PNG (0-255) that fits the preview of the same orientation."""
    return png(orient(frame, region_picture(frame, quality, (frame.width, frame.height))))


def png(picture: Bytes8) -> bytes:
    """Encode a grey, colour (RGB) or translucent (RGBA) picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def region_picture(frame: Frame, quality: Quality, size: tuple[int, int]) -> Bytes8:
    """Lay the region map on the frame's own grid, resized to ``size`` (width, height), as 0-255.

    Rows lie as in the file; outside the analysed square the picture is 0.
    """
    assert quality.region_map is not None and quality.region_extent_px is not None
    rows, columns = quality.region_map.shape
    x0, y0, x1, y1 = quality.region_extent_px
    scale_x, scale_y = size[0] / frame.width, size[1] / frame.height
    # From map pixels (centres at integers) to frame edges, then to the picture's pixels.
    step_x, step_y = (x1 - x0) / columns * scale_x, (y1 - y0) / rows * scale_y
    start_x = (x0 + 0.5) * scale_x + step_x / 2 - 0.5
    start_y = (y0 + 0.5) * scale_y + step_y / 2 - 0.5
    to_picture = np.array([[step_x, 0, start_x], [0, step_y, start_y]], np.float64)
    level = (np.clip(quality.region_map, 0, 1) * 255).astype(np.uint8)
    # The outer cells reach to their own edges at full strength; beyond there is nothing.
    laid = cv2.warpAffine(level, to_picture, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    laid[:, ~_is_within(size[0], scale_x, x0, x1)] = 0
    laid[~_is_within(size[1], scale_y, y0, y1)] = 0
    return np.asarray(laid, np.uint8)


def _is_within(count: int, scale: float, first: float, last: float) -> NDArray[np.bool_]:
    """Pixels along a side of the picture whose centres lie between two edges in pixels of the frame."""
    places = (np.arange(count) + 0.5) / scale - 0.5
    return (places >= first) & (places < last)


def reduced(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Reduce to at most ``side_px`` by area means; smaller pictures pass unchanged."""
    if pixels.dtype.kind == "f" or pixels.dtype.itemsize > 2:
        pixels = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    longest = max(pixels.shape[:2])
    if longest <= side_px:
        return pixels
    size = (
        max(1, round(pixels.shape[1] * side_px / longest)),
        max(1, round(pixels.shape[0] * side_px / longest)),
    )
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def stretch(frame: Frame, pixels: np.ndarray) -> Bytes8:
    """Turn counts into 8 bits: pictures of 8 bits stay, the rest is stretched by its kind."""
    if pixels.dtype == np.uint8:
        return pixels
    if frame.instrument.endswith("magnetogram"):
        low, high = -1500.0, 1500.0  # gauss: sunspots saturate at the black and white of the eye
        return _linear(pixels, low, high)
    sample = pixels[::8, ::8] if pixels.size > 1 << 18 else pixels[::4, ::4]
    low, high = quantile(sample, 0.005), quantile(sample, 0.998)
    if frame.instrument.startswith(("aia", "suvi")):
        # The corona spans three decades: asinh shows holes and flares at once.
        low, high = max(low, 0.0), max(high, 1e-6)
        return _linear(
            np.arcsinh((pixels - low) / (0.02 * (high - low) + 1e-9)), 0.0, float(np.arcsinh(50.0))
        )
    return _linear(pixels, min(low, 0.0) if low > 0 else low, high)


def _linear(pixels: np.ndarray, low: float, high: float) -> Bytes8:
    gain = 255.0 / (high - low) if high > low else 0.0
    floor = low if pixels.dtype.kind == "f" else max(math.ceil(low), np.iinfo(pixels.dtype).min)
    # OpenCV does this in a fifth of numpy's time; flat, as it takes a number for that of the first colour.
    raised = cv2.max(pixels.reshape(len(pixels), -1), float(floor))
    level = cv2.convertScaleAbs(raised, alpha=gain, beta=-low * gain).reshape(pixels.shape)  # ends at 255
    return np.asarray(level, np.uint8)


def orient(frame: Frame, picture: np.ndarray) -> np.ndarray:
    """Turn a picture that lies as the file's rows so that north, or FITS up, is up."""
    turned = sky_affine(frame, picture.shape[1] / frame.width)
    if turned is not None:
        return _as_on_the_sky(picture, np.array(turned))
    if frame.row_order is RowOrder.TOP:
        return picture
    upright = np.ascontiguousarray(picture[::-1])
    roll = frame.pointing.roll_deg if frame.pointing else None
    if roll is None or abs(roll) < LEAST_ROLL_DEG or frame.pointing is None:
        return upright
    scale = upright.shape[1] / frame.width
    x, y = turning_point(frame)
    centre = ((x + 0.5) * scale - 0.5, upright.shape[0] - 1 - ((y + 0.5) * scale - 0.5))
    # CROTA2: north lies this far clockwise from up; cv2 turns counter-clockwise for positive angles.
    turn = cv2.getRotationMatrix2D(centre, roll, 1.0)
    return np.asarray(
        cv2.warpAffine(upright, turn, (upright.shape[1], upright.shape[0]), flags=cv2.INTER_LINEAR)
    )


def _as_on_the_sky(picture: np.ndarray, affine: NDArray[np.float64]) -> np.ndarray:
    if np.allclose(affine, np.eye(2, 3), atol=1e-3):
        return picture
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, affine, size, flags=cv2.INTER_LINEAR))
