"""TIFF files of several pages, each an image of its own (TIFF 6.0, section 2, and BigTIFF)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits, guarded

_SUBFILE, _WIDTH, _HEIGHT = 254, 256, 257  # tags
_SMALLER_OR_MASK = 0b101  # bits of the first: pages that are no images of their own
_NUMBERS = {3: "H", 4: "I", 16: "Q"}  # types of the values that are looked at


@dataclass(frozen=True)
class _Form:
    """How a file's directories of tags are written.

    Attributes
    ----------
    order : str
        Of the bytes, as `struct` knows it.
    start, entry : int
        Where the place of the first directory stands, and bytes of an entry.
    count, place : str
        Types of the number of entries and of places in the file.
    """

    order: str
    start: int
    entry: int
    count: str
    place: str

    @classmethod
    def of(cls, data: bytes) -> _Form:
        order = "<" if data[:2] == b"II" else ">"
        is_big = data[2:4] == b"+\0"
        return cls(order, 8, 20, "Q", "Q") if is_big else cls(order, 4, 12, "H", "I")

    def read(self, data: bytes, at: int, kind: str) -> int:
        """A whole number; `struct.error` beyond the data."""
        return int(struct.unpack_from(self.order + kind, data, at)[0])


@dataclass(frozen=True)
class Pages:
    """Places of the directories of a file's images.

    Attributes
    ----------
    places : tuple of int
    is_cut : bool
        Whether the file ends before its last directory, or they lead in a circle.
    """

    places: tuple[int, ...]
    is_cut: bool


def pages_of(data: bytes, limits: Limits) -> Pages:
    """Find the pages of the first one's size that are neither smaller copies nor masks.

    Raises
    ------
    TooLargeError
        When there are more than the limits allow.
    """
    form = _Form.of(data)
    places: list[int] = []
    seen: set[int] = set()
    size: tuple[Any, ...] = ()
    try:
        at = form.read(data, form.start, form.place)
        while at:
            if at in seen:
                return Pages(tuple(places), True)
            seen.add(at)
            tags, following = _directory(data, at, form)
            own = (tags.get(_WIDTH), tags.get(_HEIGHT))
            size = size or own
            if own == size and not tags.get(_SUBFILE, 0) & _SMALLER_OR_MASK:
                places.append(at)
            if len(seen) > limits.max_images:
                raise TooLargeError("the number of images", len(seen), limits.max_images)
            at = following
    except struct.error:
        return Pages(tuple(places), True)
    return Pages(tuple(places), False)


def _directory(data: bytes, at: int, form: _Form) -> tuple[dict[int, int], int]:
    """Whole numbers among a directory's tags, and where the next directory is, 0 for none."""
    count = form.read(data, at, form.count)
    first = at + struct.calcsize("<" + form.count)
    tags: dict[int, int] = {}
    for place in range(first, min(first + count * form.entry, len(data)), form.entry):
        tag, kind = (form.read(data, place + shift, "H") for shift in (0, 2))
        if tag in (_SUBFILE, _WIDTH, _HEIGHT) and kind in _NUMBERS:
            value = place + form.entry - struct.calcsize("<" + form.place)  # where there is room, at the end
            tags[tag] = form.read(data, value, _NUMBERS[kind])
    return tags, form.read(data, first + count * form.entry, form.place)


@dataclass(frozen=True)
class _Head:
    """What one page says of itself, or why it cannot be used."""

    header: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, int] = (0, 0)
    error: UnreadableFileError | None = None


def _dated(head: _Head) -> _Head:
    changed = head.header.get("EXIF-CHANGED")
    return head if changed is None else replace(head, header={"EXIF-DATE": changed, **head.header})


class TiffFilm(Container):
    """Several images in one TIFF file; one that is damaged costs itself alone.

    Where the tag DateTime differs from page to page it is the time of the images, else that of the file.

    Parameters
    ----------
    data : bytes
    limits : Limits
    pages : Pages
    open_first : callable
        Opens the first page of a TIFF file.
    """

    row_order = RowOrder.TOP

    def __init__(
        self, data: bytes, limits: Limits, pages: Pages, open_first: Callable[[bytes, Limits], Container]
    ) -> None:
        self._data, self._limits, self._places = data, limits, pages.places
        self._open_first = open_first
        self.count, self.is_cut = len(pages.places), pages.is_cut
        self._heads = [self._head(index) for index in range(self.count)]
        if len({head.header.get("EXIF-CHANGED") for head in self._heads}) > 1:
            self._heads = [_dated(head) for head in self._heads]
        faults = [head.error for head in self._heads]
        if faults[0] is not None and None not in faults:
            raise faults[0]

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return self._heads[index].header

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._heads[index].shape

    def fault(self, index: int = 0) -> str | None:
        error = self._heads[index].error
        return None if error is None else str(error)

    def pixels(self, index: int = 0) -> np.ndarray:
        error = self._heads[index].error
        if error is not None:
            raise error
        return self._page(index).pixels()

    def _head(self, index: int) -> _Head:
        try:
            page = guarded(self._page, index)
        except UnreadableFileError as error:
            return _Head(error=UnreadableFileError(f"image {index} of the TIFF film: {error}"))
        return _Head(page.header(), page.shape())

    def _page(self, index: int) -> Container:
        """The film with its head pointing to one page, which thus becomes the first for every decoder."""
        form = _Form.of(self._data)
        place = struct.pack(form.order + form.place, self._places[index])
        begun = self._data[: form.start] + place + self._data[form.start + len(place) :]
        return self._open_first(begun, self._limits)
