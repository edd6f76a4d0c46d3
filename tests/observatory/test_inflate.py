"""The compiled inflater gives what the library gives, or nothing; and keeps to the memory it was given."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest
from isal import isal_zlib
from isal.igzip_lib import IsalError

from observatory.errors import UnreadableFileError
from observatory.instruments.formats import inflate
from observatory.instruments.formats.container import Limits
from observatory.instruments.formats.packing import unpack

GUARD = 64
MANY = 1 << 30


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    if not inflate.compile_inflater():
        pytest.skip("numba is not installed, or cannot compile here")


def frame_bytes(seed: int, kind: str, size: int = 150_000) -> bytes:
    """Bytes as files have them: counts with noise, text that repeats, noise, zeros, or some of each."""
    random = np.random.default_rng(seed)
    smooth = 5000 + 3000 * np.sin(np.arange(size // 2) / 900)
    counts = (smooth + random.integers(-3, 4, size // 2)).astype(">i2").tobytes()
    words = b" ".join(random.choice([b"SIMPLE", b"T", b"BITPIX", b"16", b"the Sun"], size // 5))
    noise = random.integers(0, 256, size, np.uint8).tobytes()
    few = random.integers(0, 3, size, np.uint8).tobytes()
    skewed = np.minimum(random.geometric(0.5, size), 255).astype(np.uint8).tobytes()  # codes of all lengths
    parts = {"counts": counts, "words": words, "noise": noise, "few": few, "zeros": bytes(size)}
    return {**parts, "skewed": skewed, "mixed": b"".join(part[: size // 5] for part in parts.values())}[kind]


KINDS = ("counts", "words", "noise", "few", "zeros", "skewed", "mixed")


def deflated(data: bytes, level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return packer.compress(data) + packer.flush()


def undo(packed: bytes, length: int) -> tuple[int, bytes]:
    """Call the compiled code with memory of ours around its target, and look whether that stays as it is."""
    from observatory.instruments.formats.inflate_compiled import inflate as compiled

    source = np.frombuffer(packed or b"\0", np.uint8)
    memory = np.full(length + 2 * GUARD, 0xA5, np.uint8)
    taken = compiled(
        np.uint64(source.ctypes.data),
        np.uint64(len(packed)),
        np.uint64(memory.ctypes.data + GUARD),
        np.uint64(length),
    )
    assert (memory[:GUARD] == 0xA5).all() and (memory[-GUARD:] == 0xA5).all()
    return taken, memory[GUARD:-GUARD].tobytes()


@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_was_packed_comes_back(kind: str, strategy: int):
    data = frame_bytes(1, kind)
    for level in (0, 1, 6, 9):
        packed = deflated(data, level, strategy)
        assert undo(packed, len(data)) == (len(packed), data)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 15, 31, 33, 257, 258, 259, 300, 301, 333, 700])
def test_the_last_bytes_are_right_at_every_length(size: int):
    for kind in KINDS:
        data = frame_bytes(2, kind)[:size]
        for level in (0, 1, 9):
            packed = deflated(data, level, zlib.Z_DEFAULT_STRATEGY)
            assert undo(packed, size) == (len(packed), data)


def test_another_length_than_was_said_is_noticed_and_nothing_is_written_beyond():
    from observatory.instruments.formats import inflate_compiled as code

    for kind in KINDS:
        data = frame_bytes(3, kind)
        packed = deflated(data, 6, zlib.Z_DEFAULT_STRATEGY)
        for less in (1, 2, 100, 299, 301, len(data)):
            assert undo(packed, len(data) - less)[0] == code.TOO_LONG
        assert undo(packed, len(data) + 1)[0] == code.TOO_SHORT


def test_what_is_cut_off_or_altered_is_given_up_or_as_the_library_has_it():
    random = np.random.default_rng(4)
    agreed = 0
    for kind in KINDS:
        data = frame_bytes(5, kind, 20_000)
        packed = bytearray(deflated(data, 6, zlib.Z_DEFAULT_STRATEGY))
        for cut in random.integers(0, len(packed), 20):
            assert undo(bytes(packed[:cut]), len(data))[0] < 0
        for _ in range(120):
            altered = packed.copy()
            for place in random.integers(
                0, min(len(packed), random.choice([60, 10**6])), random.integers(1, 4)
            ):
                altered[place] ^= 1 << random.integers(0, 8)
            taken, found = undo(bytes(altered), len(data))
            if taken >= 0:
                agreed += 1
                library = zlib.decompressobj(-15)
                assert library.decompress(bytes(altered)) == found and library.eof
                assert len(altered) - len(library.unused_data) == taken
    assert agreed > 50  # altered literals are as sound as others


def test_noise_is_no_deflate_and_does_no_harm():
    random = np.random.default_rng(6)
    for size in random.integers(1, 3000, 500):
        noise = random.integers(0, 256, size, np.uint8).tobytes()
        taken, found = undo(noise, 5000)
        if taken >= 0:
            assert zlib.decompressobj(-15).decompress(noise) == found


def test_thousands_of_empty_blocks_are_left_to_the_library():
    from observatory.instruments.formats import inflate_compiled as code

    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = (
        b"".join(packer.flush(zlib.Z_FULL_FLUSH) + packer.compress(b"a") for _ in range(3000))
        + packer.flush()
    )
    assert undo(packed, 3000)[0] == code.TOO_SLOW


@pytest.mark.parametrize("kind", ["counts", "noise", "mixed"])
def test_a_plain_gzip_file_is_unpacked_with_and_without_a_name(kind: str, tmp_path):
    data = frame_bytes(7, kind, 400_000)
    assert inflate.gunzip(gzip.compress(data, 1), MANY) == data
    with gzip.open(tmp_path / "kanz_halph.fts.gz", "wb") as file:
        file.write(data)
    assert inflate.gunzip((tmp_path / "kanz_halph.fts.gz").read_bytes(), MANY) == data


def test_what_is_not_plain_is_left_to_the_library():
    data = frame_bytes(8, "counts", 400_000)
    packed = gzip.compress(data, 6)
    commented = packed[:3] + b"\x10" + packed[4:10] + b"by hand\0" + packed[10:]
    wrong_sum = packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]
    wrong_length = packed[:-4] + (len(data) - 2).to_bytes(4, "little")
    others = (packed + packed, packed + bytes(8), packed + b"rest", commented, packed[:-1], packed[:-9])
    for file in (*others, wrong_sum, wrong_length, gzip.compress(b"small")):
        assert inflate.gunzip(file, MANY) is None
    assert inflate.gunzip(packed, len(data) - 1) is None
    assert inflate.gunzip(packed, len(data)) == data


def test_unpacking_means_the_same_with_and_without_the_compiled_code(monkeypatch: pytest.MonkeyPatch):
    data = frame_bytes(9, "counts", 400_000)
    packed = gzip.compress(data, 6)
    damaged = packed[:90_000] + bytes([packed[90_000] ^ 4]) + packed[90_001:]
    cases = (packed, packed + packed, packed + bytes(100), packed + b"rest", packed[:-20], damaged)

    def found(file: bytes) -> bytes | str:
        try:
            return unpack(file, Limits())
        except UnreadableFileError as error:
            return str(error)

    quick = [found(file) for file in cases]
    monkeypatch.setattr(inflate, "_is_ready", False)
    assert quick == [found(file) for file in cases]
    assert quick[0] == data and quick[1] == data + data
    with pytest.raises(IsalError):
        isal_zlib.decompressobj(wbits=31).decompress(damaged)
