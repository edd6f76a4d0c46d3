"""Rice-compressed FITS images, decoded on two threads.

Only the plain case is done here: whole numbers, one column of compressed tiles, tiles of whole rows.
That is how SDO, GONG and most others write; whatever else there is goes to astropy.

Two decoders give the same numbers. `rice_compiled` takes a third of the time and is used where numba
is installed, once a process has decoded so much that compiling pays (or `compile_decoder` was called).
Until then, and without it, it is imagecodecs'. That one knows where its input ends only after each
block of pixels, so it may read past a damaged tile; what it may reach is always memory of ours.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

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
# Width of the field that says how a block is coded, and its value for blocks not coded, by bits of a pixel.
_FIELDS = {8: (3, 7), 16: (4, 15), 32: (5, 26)}
# Sixteen frames of 4096 x 4096: the C decoder has then lost by what compiling costs (half a second, or
# two where nothing is kept on disk).
_PIXELS_WORTH_COMPILING = 1 << 28
# The C decoder's longest block takes under 170 bytes where bits are set: so many bytes that are not
# zero end it for certain. The margin is three times that.
_STOPPING_BYTES = 512
_TAIL_BYTES = 1 << 16
_LOADED_BYTES = 8  # that the compiled decoder may read beyond a tile


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
    compiled = _compiled_if_worth_it(layout.dtype, image.size)
    if compiled is None:
        _decode_tiles(_readable(data, heap + offsets, lengths, end), image, layout)
    else:
        _decode_compiled(compiled, data, heap + offsets, lengths, image, layout)
    return image


def compile_decoder(dtype: DTypeLike = np.int16) -> bool:
    """Have the compiled decoder ready from now on; False where it cannot be had.

    Takes half a second, or two the first time: for processes that will decode many frames.
    """
    return _compiled(np.dtype(dtype)) is not None


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

    def decode(first: int, last: int) -> None:
        for n in range(first, last):
            rows = image[n * layout.rows : (n + 1) * layout.rows]
            imagecodecs.rcomp_decode(tiles[n], nblock=layout.block, out=rows)  # type: ignore[arg-type]

    _share(decode, len(tiles), image.size)


def _decode_compiled(
    compiled: Callable[..., int],
    data: bytes,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    image: NDArray[np.integer],
    layout: _Layout,
) -> None:
    margin = int((starts + lengths).max()) + _LOADED_BYTES - len(data)
    source = np.frombuffer(data if margin <= 0 else data + bytes(margin), np.uint8)
    pixels, step = image.reshape(-1), layout.rows * layout.width
    fields = (layout.block, *_fields(layout.dtype))

    def decode(first: int, last: int) -> None:
        out = pixels[first * step : last * step]
        bad = compiled(source, starts[first:last], lengths[first:last], step, out, *fields)
        if bad >= 0:
            raise UnreadableFileError(f"compressed tile {first + bad} ends too early")

    _share(decode, len(starts), image.size)


def _fields(dtype: np.dtype[Any]) -> tuple[np.uint64, np.uint64, np.uint64]:
    bits = 8 * dtype.itemsize
    width, raw = _FIELDS[bits]
    return np.uint64(bits), np.uint64(width), np.uint64(raw)


_decoded: Counter[np.dtype[Any]] = Counter()  # pixels, by the C decoder


def _compiled_if_worth_it(dtype: np.dtype[Any], pixels: int) -> Callable[..., int] | None:
    if pixels < _LEAST_PIXELS_TO_SHARE:
        return None
    if _decoded[dtype] < _PIXELS_WORTH_COMPILING:
        _decoded[dtype] += pixels
        return None
    return _compiled(dtype)


@lru_cache(maxsize=len(_TYPES))
def _compiled(dtype: np.dtype[Any]) -> Callable[..., int] | None:
    """The compiled decoder, proved on a small tile; None where it cannot be had."""
    import imagecodecs

    pixels = np.array([7, 7, 9, -4, 7, 100, 7, 8] * 4, np.int64).astype(dtype)
    tile = imagecodecs.rcomp_encode(pixels, nblock=32)
    source, found = np.frombuffer(bytes(tile) + bytes(_LOADED_BYTES), np.uint8), np.zeros_like(pixels)
    start, length = np.zeros(1, np.int64), np.array([len(tile)], np.int64)
    try:
        from observatory.instruments.formats.rice_compiled import decode_tiles

        bad = decode_tiles(source, start, length, len(pixels), found, 32, *_fields(dtype))
    except Exception:  # noqa: BLE001 - not installed, switched off, or whatever compilers fail of: there is the other
        return None
    if bad >= 0 or not np.array_equal(found, pixels):
        return None
    _decoded[dtype] = _PIXELS_WORTH_COMPILING
    return decode_tiles


def _share(work: Callable[[int, int], None], count: int, pixels: int) -> None:
    """Do the numbers from 0 to `count` on two threads: `work` gets the first and the end of a part."""
    threads = min(_THREADS, os.cpu_count() or 1, count)
    if threads < 2 or pixels < _LEAST_PIXELS_TO_SHARE:
        work(0, count)
        return
    edges = [count * part // threads for part in range(threads + 1)]
    first, *others = pairwise(edges)
    helped = [_helpers(os.getpid()).submit(work, *part) for part in others]
    try:
        work(*first)
    finally:
        wait(helped)  # they write into the image: none may go on alone
    for part in helped:
        part.result()


@lru_cache(maxsize=1)
def _helpers(process: int) -> ThreadPoolExecutor:
    """Threads that decode beside those who ask; a fork has none of its parent's, so it makes its own."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix=f"rice-{process}")
