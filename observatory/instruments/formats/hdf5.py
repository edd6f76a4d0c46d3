"""Films in HDF5, as the colour cameras of TREx write them: a minute of images, and what is known of each.

Layout as trex-imager-readfile 1.6 reads it: ``data/images`` of shape (height, width, 3, n), ``data/timestamp``,
and attributes of ``metadata/file`` and of ``metadata/frame/frame0`` and so on. Read by pyfive: HDF5's own library
ends the process on damaged files, and follows links to other files.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyfive  # type: ignore[import-untyped]
from isal import isal_zlib

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits, guarded

_IMAGES, _TIMES = "data/images", "data/timestamp"
_OF_FILE, _OF_IMAGE = "metadata/file", "metadata/frame/frame{}"
_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3  # filters, HDF5 File Format Specification, IV.A.2.l
_CHECKSUM_BYTES = 4
_MOST_CHUNKS, _MOST_ATTRIBUTES, _LONGEST_TEXT = 100_000, 200, 256
_LEAST_SIDE = 8


class Hdf5Container(Container):
    """The images of an HDF5 film; one that was cut off is mostly lost as a whole, as its index may lie anywhere."""

    row_order = RowOrder.TOP

    def __init__(self, data: bytes, limits: Limits) -> None:
        file = guarded(_opened, data)
        images = _item(file, _IMAGES)
        shape: tuple[int, ...] = getattr(images, "shape", ())
        if len(shape) != 4 or shape[2] not in (1, 3) or images.dtype.kind not in "uif":
            held = f"{images.dtype} of shape {shape}" if shape else "missing"
            raise UnreadableFileError(
                f"{_IMAGES} of the HDF5 file is {held}: it has to be numbers of shape (height, width, 1 or 3, n)"
            )
        self._images = images
        self._height, self._width, _, self.count = shape
        limits.check_pixels(self._height * self._width)
        if self.count > limits.max_images:
            raise TooLargeError("the number of images", self.count, limits.max_images)
        if min(self._height, self._width) < _LEAST_SIDE or not self.count:
            raise UnreadableFileError(f"{_IMAGES} of the HDF5 file is empty: its shape is {shape}")
        self._chunk: tuple[int, ...] = images.chunks or (*shape[:3], 1)
        _check(self._chunk, shape, images.dtype.itemsize, limits)
        self._first, self._block = -1, np.zeros(0, np.uint8)
        self._headers = list(_headers(file, self.count))

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return self._headers[index]

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._height, self._width

    def pixels(self, index: int = 0) -> np.ndarray:
        first = index - index % self._chunk[3]  # images that are packed together are unpacked together, once
        if first != self._first:
            self._block, self._first = guarded(self._read, first), first
        image = self._block[..., index - first]
        image = image[..., 0] if image.shape[2] == 1 else image
        kind = np.float32 if image.dtype.kind == "f" else image.dtype.newbyteorder("=")
        return np.array(image, dtype=kind, order="C")

    def _read(self, first: int) -> np.ndarray:
        """Images that are packed together, shape (height, width, channels, n)."""
        last = min(first + self._chunk[3], self.count)
        if not self._images.chunks:
            return np.asarray(self._images[..., first:last])
        block = np.zeros((*self._images.shape[:3], last - first), self._images.dtype)
        stored = self._images.id
        for number in range(stored.get_num_chunks()):
            at = stored.get_chunk_info(number).chunk_offset
            if at[3] == first:
                rows, columns, channels = (
                    slice(begin, begin + side) for begin, side in zip(at[:3], self._chunk, strict=False)
                )
                part = block[rows, columns, channels]
                whole = _unpacked(self._images, at, self._chunk)
                part[...] = whole[tuple(slice(0, side) for side in part.shape)]
        return block


def _opened(data: bytes) -> pyfive.File:
    return pyfive.File(io.BytesIO(data))


def _item(file: pyfive.File, path: str) -> Any:
    """What lies at a path; None where there is nothing."""
    try:
        return guarded(file.get, path)
    except UnreadableFileError as error:
        raise UnreadableFileError(
            f"{path} of the HDF5 file cannot be read: it is truncated or damaged"
        ) from error


def _check(chunk: tuple[int, ...], shape: tuple[int, ...], itemsize: int, limits: Limits) -> None:
    """Raise `TooLargeError` where unpacking would take more than is allowed, or never end."""
    together = (
        max(chunk[0], shape[0]) * max(chunk[1], shape[1]) * max(chunk[2], shape[2]) * chunk[3] * itemsize
    )
    if together > limits.max_unpacked_bytes:
        raise TooLargeError("the unpacked size in bytes", together, limits.max_unpacked_bytes)
    pieces = int(np.prod([-(-side // piece) for side, piece in zip(shape, chunk, strict=True)], dtype=object))
    if pieces > _MOST_CHUNKS:
        raise TooLargeError("the number of pieces of the HDF5 file", pieces, _MOST_CHUNKS)


def _unpacked(images: pyfive.Dataset, at: tuple[int, ...], chunk: tuple[int, ...]) -> np.ndarray:
    """One piece of the images: as pyfive would, but within the size that it may have."""
    dtype = images.dtype
    size = int(np.prod(chunk, dtype=object)) * dtype.itemsize
    mask, data = images.id.read_direct_chunk(at)
    for number, entry in reversed(list(enumerate(images.id.filter_pipeline or ()))):
        kind = entry["filter_id"]
        if mask & (1 << number):
            continue
        if kind == _FLETCHER:
            data = data[:-_CHECKSUM_BYTES]  # not verified: deflate has a sum of its own
        elif kind == _DEFLATE:
            packer = isal_zlib.decompressobj()
            data = packer.decompress(data, size + _CHECKSUM_BYTES)
            if not packer.eof:
                raise UnreadableFileError("a piece of the HDF5 file is truncated, or larger than it may be")
        elif kind == _SHUFFLE:
            data = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
        else:
            raise UnreadableFileError(
                f"the HDF5 file is packed by filter {kind}: repack it with gzip (h5repack)"
            )
    return np.frombuffer(data, dtype).reshape(chunk)


def _headers(file: pyfive.File, count: int) -> Iterator[dict[str, Any]]:
    """What is known of each image, in the words of the networks' PGM films."""
    of_all = _attributes(_item(file, _OF_FILE))
    times = _item(file, _TIMES)
    listed = guarded(times.__getitem__, slice(None)) if getattr(times, "shape", ()) == (count,) else None
    for index in range(count):
        known = of_all | _attributes(_item(file, _OF_IMAGE.format(index)))
        if listed is not None and isinstance(told := _plain(listed[index]), str):
            known.setdefault("IMAGE REQUEST START", told)
        yield known


def _attributes(item: Any) -> dict[str, Any]:
    """Numbers and short texts among attributes: ``image_request_start_timestamp`` is IMAGE REQUEST START."""
    if item is None:
        return {}
    given = guarded(lambda: dict(item.attrs))
    known = {
        name.upper().replace("_", " ").removesuffix(" TIMESTAMP"): _plain(value)
        for name, value in list(given.items())[:_MOST_ATTRIBUTES]
    }
    return {name: value for name, value in known.items() if value is not None}


def _plain(value: Any) -> str | float | int | None:
    """A number or a text; None for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return value.strip("\0 ")[:_LONGEST_TEXT]
    return value.item() if isinstance(value, np.integer | np.floating) else None
