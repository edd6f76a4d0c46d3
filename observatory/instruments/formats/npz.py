"""Films as NumPy archives (``.npz``): an array of images, and one of times beside it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cached_property
from typing import IO, Any

import numpy as np

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits, guarded

_TIMES = ("times", "time", "timestamps", "timestamp", "date_obs")
_LEAST_SIDE = 8  # of an image; a smaller array is a table
_EPOCH = (1e8, 4.2e9)  # POSIX seconds of 1973 to 2103: what else a list of times may hold is no time
_LONGEST_HEAD = 1 << 16


class NpzContainer(Container):
    """Images of shape (n, height, width), (n, height, width, 3) or (height, width) in a zip of arrays.

    Nothing pickled is read, and no array whose claimed size is above the limit.
    """

    row_order = RowOrder.TOP

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._limits = limits
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise UnreadableFileError("the .npz file is truncated or damaged") from error
        shapes = self._shapes()
        self._name = _pictures(shapes)
        shape = shapes[self._name]
        self._is_film = len(shape) == 4 or (len(shape) == 3 and shape[2] not in (3, 4))
        self.count = shape[0] if self._is_film else 1
        self._height, self._width = shape[1:3] if self._is_film else shape[:2]
        limits.check_pixels(self._height * self._width)
        if self.count > limits.max_images:
            raise TooLargeError("the number of images", self.count, limits.max_images)
        self._times = self._read_times(shapes)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays of numbers or texts, as their heads claim them."""
        found: dict[str, tuple[int, ...]] = {}
        for entry in self._zip.infolist()[:1000]:
            if not entry.filename.endswith(".npy") or entry.flag_bits & 1:
                continue
            with self._zip.open(entry) as stream:
                shape, _, dtype = _head(stream)
            if dtype.kind not in "biufUSM":
                continue  # objects would have to be unpickled
            size = int(np.prod([1, *shape], dtype=object)) * dtype.itemsize
            if size > self._limits.max_unpacked_bytes or entry.file_size > self._limits.max_unpacked_bytes:
                raise TooLargeError(
                    "the unpacked size in bytes",
                    max(size, entry.file_size),
                    self._limits.max_unpacked_bytes,
                )
            found[entry.filename] = shape
        return found

    def _read(self, name: str) -> np.ndarray:
        with self._zip.open(name) as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))

    def _read_times(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str | None]:
        for word in _TIMES:
            name = f"{word}.npy"
            if int(np.prod([1, *shapes.get(name, (0,))])) == self.count:
                return [_iso(value) for value in self._read(name).ravel()]
        return [None] * self.count

    def header(self, index: int = 0) -> Mapping[str, Any]:
        time = self._times[index]
        return {} if time is None else {"DATE-OBS": time}

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._height, self._width

    @cached_property
    def _images(self) -> np.ndarray:
        images: np.ndarray = guarded(self._read, self._name)
        return images if self._is_film else images[None]

    def pixels(self, index: int = 0) -> np.ndarray:
        image = self._images[index]
        if image.ndim == 3:
            image = image[..., 0] if image.shape[2] == 1 else image[..., :3]
        kind = {"b": np.uint8, "f": np.float32}.get(image.dtype.kind, image.dtype.newbyteorder("="))
        return np.ascontiguousarray(image, dtype=kind)


def _head(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type that the head of an array claims."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream, max_header_size=_LONGEST_HEAD)


def _pictures(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Name of the one array that holds images."""
    found = [
        name for name, shape in shapes.items() if 2 <= len(shape) <= 4 and min(_sides(shape)) >= _LEAST_SIDE
    ]
    if len(found) == 1:
        return found[0]
    arrays = ", ".join(f"{name.removesuffix('.npy')} {shape}" for name, shape in list(shapes.items())[:8])
    if not found:
        raise UnreadableFileError(
            "the zip file holds no array of images, of shape (n, height, width[, 3]) or (height, width): "
            f"{arrays or 'no array at all'}"
        )
    raise UnreadableFileError(f"the .npz file holds several arrays of images ({arrays}): keep one of them")


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) == 4:
        return (shape[1], shape[2]) if shape[3] in (1, 3, 4) else (0, 0)
    if len(shape) == 3 and shape[2] not in (3, 4):
        return shape[1], shape[2]
    return shape[0], shape[1]


def _iso(value: Any) -> str | None:
    """A time as ISO 8601; None for what is none."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value.astype("datetime64[us]"))
    if isinstance(value, str | bytes):
        return value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if _EPOCH[0] < float(value) < _EPOCH[1]:
        return str(np.datetime64(round(float(value) * 1e6), "us"))
    return None
