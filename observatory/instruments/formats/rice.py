"""Rice-compressed FITS images, decoded tile by tile on two threads (imagecodecs).

Only the plain case is done here: whole numbers, one column of compressed tiles, tiles of whole rows.
That is how SDO, GONG and most others write; whatever else there is goes to astropy.
The C decoder knows where its input ends only after each block of pixels, so it may read
past a damaged tile; what it may reach is always memory of ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.errors import UnreadableFileError

_TYPES: dict[int, np.dtype[Any]] = {
    8: np.dtype(np.uint8),
    16: np.dtype(np.int16),
    32: np.dtype(np.int32),
}
_BLOCK_PIXELS = (16, 32)
_FORMS = {"1PB": ">i4", "PB": ">i4", "1QB": ">i8", "QB": ">i8"}
_THREADS = 2  # a third gains nothing: taking the tiles apart holds the interpreter
_LEAST_PIXELS_TO_SHARE = 1 << 18
# zero end it for certain. The margin is three times that.
_STOPPING_BYTES = 512
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class _Layout:
    """How the tiles of a plain Rice image lie."""

    width: int
    height: int
    rows: int  # of a tile
    dtype: np.dtype[Any]
    block: int
    form: str


def decode_rice(data: bytes, start: int, header: Mapping[str, Any]) -> NDArray[np.integer] | None:
    """Decode a tile-compressed image (FITS standard 4.0, sections 10.1 and 10.4.1).

    Parameters
    ----------
    data : bytes
        The file.
    start : int
        Where the table's data begins.
    header : Mapping
        The table's header, whose sizes have been checked against the file's.

    Returns
    -------
    ndarray, shape (height, width), or None
        Whole numbers as stored, not scaled; None when the image is not of the plain case.

    Raises
    ------
    UnreadableFileError
        When a tile lies outside the file's heap.
    RcompError
        When a tile ends too early.
    """
    layout = _layout(header)
    if layout is None:
        return None
    tiles = -(-layout.height // layout.rows)
    size = int(header["NAXIS1"]) * int(header["NAXIS2"])
    if int(header["NAXIS2"]) != tiles or int(header["NAXIS1"]) != 2 * np.dtype(layout.form).itemsize:
        return None
    heap, end = start + int(header.get("THEAP", size)), start + size + int(header.get("PCOUNT", 0))
    entries = np.frombuffer(data, layout.form, 2 * tiles, start).astype(np.int64).reshape(tiles, 2)
    lengths, offsets = entries[:, 0], entries[:, 1]
    if (lengths == 0).any():
        return None  # such a tile is kept in another column
    outside = heap < start or end > len(data) or bool((entries < 0).any())
    if outside or bool((offsets > end - heap - lengths).any()):
        raise UnreadableFileError("a compressed tile lies outside the FITS table's heap")
    image = np.empty((layout.height, layout.width), layout.dtype)
    _decode_tiles(_readable(data, heap + offsets, lengths, end), image, layout)
    return image


def _layout(header: Mapping[str, Any]) -> _Layout | None:
    """The plain layout that a header states; None when it states another one."""
    dtype = _TYPES.get(header.get("ZBITPIX", 0))
    form = _FORMS.get(str(header.get("TFORM1", "")).partition("(")[0].strip())
    if dtype is None or form is None or str(header.get("ZCMPTYPE", "")).strip() not in ("RICE_1", "RICE_ONE"):
        return None
    plain = (
        header.get("ZNAXIS") == 2
        and header.get("TFIELDS") == 1
        and str(header.get("TTYPE1", "")).strip() == "COMPRESSED_DATA"
        and not any(key in header for key in ("ZQUANTIZ", "ZSCALE", "ZZERO", "ZMASKCMP"))
        and header.get("ZTILE1", header["ZNAXIS1"]) == header["ZNAXIS1"]
    )
    options = {str(header.get(f"ZNAME{n}", "")).strip(): header.get(f"ZVAL{n}") for n in range(1, 10)}
    block = options.get("BLOCKSIZE", 32)
    if not plain or block not in _BLOCK_PIXELS or options.get("BYTEPIX", 4) != dtype.itemsize:
        return None
    return _Layout(
        int(header["ZNAXIS1"]), int(header["ZNAXIS2"]), int(header.get("ZTILE2", 1)), dtype, int(block), form
    )


def _readable(
    data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], end: int
) -> list[memoryview]:
    """Each tile's bytes, followed in memory by enough that stops a decoder that runs on."""
    tail = max(0, end - _TAIL_BYTES)
    stops = int(np.count_nonzero(np.frombuffer(data, np.uint8, end - tail, tail))) >= _STOPPING_BYTES
    late = starts + lengths > tail if stops else np.ones(len(starts), bool)
    base = int(starts[late].min(initial=end))
    whole, padded = memoryview(data), memoryview(data[base:end] + b"\xff" * _STOPPING_BYTES)
    return [
        padded[start - base : start - base + length] if is_late else whole[start : start + length]
        for start, length, is_late in zip(starts.tolist(), lengths.tolist(), late.tolist(), strict=True)
    ]


def _decode_tiles(tiles: list[memoryview], image: NDArray[np.integer], layout: _Layout) -> None:
    import imagecodecs  # costs 0.1 s: only where it is needed

    def decode(numbers: range) -> None:
        for n in numbers:
            rows = image[n * layout.rows : (n + 1) * layout.rows]
            imagecodecs.rcomp_decode(tiles[n], nblock=layout.block, out=rows)  # type: ignore[arg-type]

    threads = min(_THREADS, os.cpu_count() or 1, len(tiles))
    if threads < 2 or image.size < _LEAST_PIXELS_TO_SHARE:
        decode(range(len(tiles)))
        return
    edges = [len(tiles) * part // threads for part in range(threads + 1)]
    first, *others = (range(a, b) for a, b in pairwise(edges))
    helped = [_helpers(os.getpid()).submit(decode, part) for part in others]
    try:
        decode(first)
    finally:
        wait(helped)  # they write into the image: none may go on alone
    for part in helped:
        part.result()


@lru_cache(maxsize=1)
def _helpers(process: int) -> ThreadPoolExecutor:
    """Threads that decode beside those who ask; a fork has none of its parent's, so it makes its own."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix=f"rice-{process}")
