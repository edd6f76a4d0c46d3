"""What a station says of its all-sky camera, and how its frames get it: lens, mask, hot pixels, site, clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from observatory.camera_clock import Clock
from observatory.errors import StorageUnavailableError, UnusableInputError
from observatory.fisheye import Fisheye, Projection
from observatory.hot_pixels import filled
from observatory.sky import Site
from observatory.sky_circle import find_circle
from observatory.skymap import load_skymap

_SAME_ASPECT = 0.015  # sides of one picture at two sizes, rounded to pixels


class OtherSizeError(UnusableInputError):
    """What settings say of a camera was measured in pictures of another shape."""

    def __init__(self, what: str, own: tuple[int, int], frame: tuple[int, int]) -> None:
        super().__init__(
            f"{what} is for pictures of {own[1]} x {own[0]} pixels, the frame has {frame[1]} x {frame[0]}, "
            "which is another shape: give the camera's settings one that fits its frames"
        )


class MaskError(UnusableInputError):
    """The mask of a camera cannot be used."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"the mask {name} cannot be used: {why}; a PNG is expected, white where the sky is seen"
        )


class HotPixelsError(UnusableInputError):
    """The map of a camera's hot pixels cannot be used."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"the map of hot pixels {name} cannot be used: {why}; `heliowatch sky hot-pixels` makes one"
        )


@dataclass(frozen=True)
class Lens:
    """What settings say of a camera's lens and of how it stands; None for what they do not.

    Attributes
    ----------
    center_x_px, center_y_px, radius_px, radius_y_px : float or None
        As of `Fisheye`; where they are not given, the sky's circle is sought in each picture.
    up_azimuth_deg : float or None
        None: the azimuths are not known.
    width_px, height_px : int or None
        Size of the pictures in which it was measured; those of another size are taken for the same
        picture, scaled. None: pixels are those of every frame.
    """

    center_x_px: float | None = None
    center_y_px: float | None = None
    radius_px: float | None = None
    radius_y_px: float | None = None
    max_zenith_deg: float = 90.0
    projection: Projection = Projection.EQUIDISTANT
    up_azimuth_deg: float | None = None
    is_clockwise: bool = False
    width_px: int | None = None
    height_px: int | None = None

    def fisheye(self, pixels: NDArray[np.generic]) -> Fisheye | None:
        """Geometry of a frame; None where no circle is found and none was given.

        Raises
        ------
        OtherSizeError
            When the frame's shape is not that of the pictures in which the lens was measured.
        """
        if self.center_x_px is None or self.center_y_px is None or self.radius_px is None:
            found = find_circle(pixels)
            return None if found is None else self._oriented(found)
        given = Fisheye(
            self.center_x_px, self.center_y_px, self.radius_px, self.radius_y_px, source="settings"
        )
        if self.width_px is not None and self.height_px is not None:
            given = scaled_to(given, "the lens", (self.height_px, self.width_px), pixels.shape[:2])
        return self._oriented(given)

    def _oriented(self, fisheye: Fisheye) -> Fisheye:
        return replace(
            fisheye,
            max_zenith_deg=self.max_zenith_deg,
            projection=self.projection,
            up_azimuth_deg=self.up_azimuth_deg or 0.0,
            is_clockwise=self.is_clockwise,
            is_oriented=self.up_azimuth_deg is not None,
        )


@dataclass(frozen=True)
class Camera:
    """All that a station says of its camera."""

    site: Site | None = None
    lens: Lens | None = None
    mask: Path | None = None
    hot_pixels: Path | None = None
    skymap: Path | None = None
    clock: Clock = field(default_factory=Clock)

    def fisheye(self, pixels: NDArray[np.generic], *, is_turned: bool = False) -> Fisheye | None:
        """Geometry of a frame as the settings or the skymap tell it; None where neither does.

        Parameters
        ----------
        is_turned : bool
            Whether the frame is stored turned by 180 degrees against the camera's own files.

        Raises
        ------
        OtherSizeError, SkymapError
        """
        if self.lens is not None:
            return self.lens.fisheye(pixels)
        if self.skymap is None:
            return None
        height, width = load_skymap(self.skymap).shape
        lens = scaled_to(
            _skymap_lens(self.skymap), f"the skymap {self.skymap.name}", (height, width), pixels.shape[:2]
        )
        return turned(lens, pixels.shape[:2]) if is_turned else lens

    @property
    def is_measured(self) -> bool:
        """Whether the geometry of a frame follows from its size alone: no circle has to be sought in it."""
        return self.lens is None or None not in (
            self.lens.center_x_px,
            self.lens.center_y_px,
            self.lens.radius_px,
        )

    @property
    def known_site(self) -> Site | None:
        """Where the camera stands, as settings or skymap tell it."""
        if self.site is not None or self.skymap is None:
            return self.site
        return load_skymap(self.skymap).site

    def sky_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Where a frame shows sky, True; None where the settings name no mask.

        Raises
        ------
        OtherSizeError, MaskError, StorageUnavailableError
        """
        return None if self.mask is None else load_mask(self.mask, shape)

    def without_hot_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """A frame's pixels, those that the settings call hot set to their surroundings.

        Raises
        ------
        HotPixelsError, StorageUnavailableError
        """
        if self.hot_pixels is None:
            return pixels
        return filled(pixels, load_hot_pixels(self.hot_pixels, (pixels.shape[0], pixels.shape[1])))


UNKNOWN = Camera()


class Stations(dict[str, str]):
    """Configured instruments, own name to the kind's name, and what is said of their cameras."""

    def __init__(self, kinds: Mapping[str, str], cameras: Mapping[str, Camera]) -> None:
        super().__init__(kinds)
        self.cameras = dict(cameras)


def camera_of(stations: Mapping[str, str] | None, instrument: str) -> Camera:
    """What is said of an instrument's camera; a camera of which nothing is known where nothing is."""
    return stations.cameras.get(instrument, UNKNOWN) if isinstance(stations, Stations) else UNKNOWN


def scaled_to(fisheye: Fisheye, what: str, own: tuple[int, int], frame: tuple[int, int]) -> Fisheye:
    """Geometry for a picture of another size and the same shape.

    Raises
    ------
    OtherSizeError
        When the shapes differ.
    """
    if own == frame:
        return fisheye
    if not _is_same_shape(own, frame):
        raise OtherSizeError(what, own, frame)
    return fisheye.scaled(frame[1] / own[1])


def turned(fisheye: Fisheye, shape: tuple[int, int]) -> Fisheye:
    """Geometry of the same picture turned by 180 degrees."""
    return replace(
        fisheye,
        center_x_px=shape[1] - 1 - fisheye.center_x_px,
        center_y_px=shape[0] - 1 - fisheye.center_y_px,
        up_azimuth_deg=(fisheye.up_azimuth_deg + 180.0) % 360.0,
    )


def load_mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask and scale it to a frame; white (128 and more) is sky.

    Raises
    ------
    StorageUnavailableError
        When it cannot be read now.
    MaskError, OtherSizeError
    """
    try:
        status = path.stat()
    except OSError as error:
        raise StorageUnavailableError(f"the mask {path.name}", error.strerror or str(error)) from error
    return _mask(path, shape, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _mask(path: Path, shape: tuple[int, int], _mtime_ns: int, _size: int) -> NDArray[np.bool_]:
    try:
        with Image.open(path) as picture:
            own = (picture.height, picture.width)
            if not _is_same_shape(own, shape):
                raise OtherSizeError(f"the mask {path.name}", own, shape)
            grey = np.asarray(picture.convert("L"))
    except UnusableInputError:
        raise
    except Exception as error:  # whatever a decoder says of a broken picture
        raise MaskError(path.name, str(error)[:200] or type(error).__name__) from error
    if own != shape:
        grey = np.asarray(cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_LINEAR))
    is_sky = grey >= 128
    if not is_sky.any():
        raise MaskError(path.name, "it hides the whole sky")
    is_sky.flags.writeable = False
    return is_sky


def load_hot_pixels(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a map of hot pixels, white (128 and more), of the frames' own size.

    Raises
    ------
    StorageUnavailableError
        When it cannot be read now.
    HotPixelsError
    """
    try:
        status = path.stat()
    except OSError as error:
        raise StorageUnavailableError(
            f"the map of hot pixels {path.name}", error.strerror or str(error)
        ) from error
    is_hot = _hot_pixels(path, status.st_mtime_ns, status.st_size)
    if is_hot.shape != shape:
        (height, width), (own_height, own_width) = shape, is_hot.shape
        why = f"it has {own_width} x {own_height} pixels, the frame {width} x {height}"
        raise HotPixelsError(path.name, why)
    return is_hot


@lru_cache(maxsize=16)
def _hot_pixels(path: Path, _mtime_ns: int, _size: int) -> NDArray[np.bool_]:
    try:
        with Image.open(path) as picture:
            is_hot = np.asarray(picture.convert("L")) >= 128
    except Exception as error:  # whatever a decoder says of a broken picture
        raise HotPixelsError(path.name, str(error)[:200] or type(error).__name__) from error
    is_hot.flags.writeable = False
    return is_hot


@lru_cache(maxsize=32)
def _lens_of(path: Path, _mtime_ns: int) -> Fisheye:
    return load_skymap(path).fisheye()


def _skymap_lens(path: Path) -> Fisheye:
    return _lens_of(path, path.stat().st_mtime_ns)


def _is_same_shape(own: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Whether two sizes are of one picture, sides rounded to whole pixels."""
    if own == frame:
        return True
    ratio = (own[0] * frame[1]) / (own[1] * frame[0])
    return abs(ratio - 1.0) <= max(_SAME_ASPECT, 1.5 / min(*own, *frame))
