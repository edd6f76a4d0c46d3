"""Binary PGM: one image or a film, as the THEMIS-style cameras write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits

_PGM_HEAD = re.compile(
    rb"P5\s+((?:#[^\n]*\n\s*)*)(\d+)\s+((?:#[^\n]*\n\s*)*)(\d+)\s+((?:#[^\n]*\n\s*)*)(\d+)\s"
)
_PGM_KEY = re.compile(r'#\s*"([^"]+)"\s+(.*)')


class PgmContainer(Container):
    """One or many binary PGM images in a row, as the THEMIS-style cameras write them."""

    row_order = RowOrder.TOP
    is_final = False

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._images: list[tuple[int, int, int, int, dict[str, Any]]] = []
        at = 0
        while at < len(data):
            head = _PGM_HEAD.match(data, at, at + 65536)
            if head is None:
                if not data[at:].strip(b"\0\n\r "):
                    break
                raise UnreadableFileError(f"image {len(self._images)} of the PGM file has no readable head")
            width, height, peak = int(head[2]), int(head[4]), int(head[6])
            limits.check_pixels(width * height)
            if not (width and height and 0 < peak < 65536):
                raise UnreadableFileError(f"the PGM head claims {width} x {height} pixels up to {peak}")
            length = width * height * (1 if peak < 256 else 2)
            if head.end() + length > len(data):
                raise UnreadableFileError(f"the PGM file is truncated in image {len(self._images)}")
            facts = _pgm_facts(head[1] + head[3] + head[5])
            self._images.append((head.end(), height, width, peak, facts))
            at = head.end() + length
            if len(self._images) > limits.max_images:
                raise TooLargeError("the number of images", len(self._images), limits.max_images)
        self.count = len(self._images)

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return self._images[index][4]

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._images[index][1], self._images[index][2]

    def pixels(self, index: int = 0) -> np.ndarray:
        start, height, width, peak, _ = self._images[index]
        stored = np.frombuffer(
            self._data, dtype="u1" if peak < 256 else ">u2", count=height * width, offset=start
        )
        return stored.reshape(height, width).astype(stored.dtype.newbyteorder("="))


def _pgm_facts(comments: bytes) -> dict[str, Any]:
    lines = comments.decode("latin-1").splitlines()
    return {found[1].upper(): found[2].strip() for line in lines if (found := _PGM_KEY.match(line))}
