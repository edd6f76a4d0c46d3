"""Every bad file that we know of, and words that its refusal must hold."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable

import numpy as np
from astropy.io import fits

from observatory.instruments import Limits
from tests.making import (
    KSO_CARDS,
    claim,
    fits_bytes,
    gzip_bomb,
    kso_bytes,
    pgm_bytes,
    png_bomb,
    png_claim,
    sun,
    sun_picture,
    tiled_fits_bytes,
    with_card,
    wrong_crc,
)

LIMITS = Limits(max_file_bytes=16 << 20, max_unpacked_bytes=32 << 20, max_pixels=20_000_000)
PLAIN = fits_bytes(sun().pixels, KSO_CARDS)
TILED = tiled_fits_bytes(sun().pixels, KSO_CARDS)


def tiled_bomb() -> bytes:
    """A tile-compressed image of 16 x 16 pixels, one tile of which unpacks to 64 MB."""
    data = tiled_fits_bytes(
        np.random.default_rng(1).integers(0, 9999, (16, 16)).astype(np.int16),
        KSO_CARDS,
        compression_type="GZIP_1",
        tile_shape=(16, 16),
    )
    with fits.open(io.BytesIO(data), disable_image_compression=True) as hdus:
        table = hdus[1]
        packed = np.frombuffer(gzip.compress(b"\0" * (64 << 20)), np.uint8)
        column = fits.Column(name="COMPRESSED_DATA", format="1PB()", array=np.array([packed], object))
        new = fits.BinTableHDU.from_columns([column])
        for card in table.header.cards:
            if card.keyword.startswith("Z") or card.keyword in KSO_CARDS:
                new.header[card.keyword] = card.value
        buffer = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), new]).writeto(buffer)
    return buffer.getvalue()


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "only zeros": (lambda: b"\0" * 10_000, "format is not recognised"),
    "text": (lambda: b"Dear colleague,\nthe camera is broken.\n", "format is not recognised"),
    "html": (lambda: b"<html>404 Not Found</html>", "format is not recognised"),
    "truncated FITS data": (lambda: PLAIN[: len(PLAIN) // 2], "truncated"),
    "truncated FITS header": (lambda: PLAIN[:1000], "truncated inside its header"),
    "FITS header without END": (lambda: PLAIN[:80] * 36 * 3, "truncated|no END"),
    "truncated tiled FITS": (lambda: TILED[: len(TILED) // 2], "truncated"),
    "truncated gzip": (lambda: kso_bytes()[:-2000], "gzip file is truncated"),
    "gzip without its trailer": (lambda: kso_bytes()[:-8], "gzip file is truncated"),
    "gzip head alone": (lambda: kso_bytes()[:10], "truncated"),
    "gzip of nothing": (lambda: gzip.compress(b""), "empty"),
    "gzip with wrong CRC": (lambda: wrong_crc(kso_bytes()), "gzip data is damaged"),
    "gzip with wrong length": (lambda: kso_bytes()[:-4] + b"\1\2\3\4", "gzip data is damaged"),
    "truncated bzip2": (lambda: bz2.compress(PLAIN)[:-50], "bzip2 file is truncated"),
    "damaged bzip2": (lambda: b"BZh9" + b"\0" * 100, "bzip2 data is damaged"),
    "gzip of very many members": (lambda: gzip.compress(b"") * 5000, "more than 1000 members"),
    "gzip bomb": (
        lambda: gzip_bomb(beginning=PLAIN),
        "unpacked size in bytes is .*above the limit",
    ),
    "bzip2 bomb": (
        lambda: bz2.compress(PLAIN + b"\0" * (64 << 20)),
        "unpacked size in bytes is .*above the limit",
    ),
    "gzip bomb of zeros alone": (gzip_bomb, "the format is not recognised"),
    "gzip bomb of zeros after an empty member": (
        lambda: gzip.compress(b"") + gzip_bomb(),
        "the format is not recognised",
    ),
    "bzip2 bomb of zeros alone": (
        lambda: bz2.compress(b"\0" * (64 << 20)),
        "the format is not recognised",
    ),
    "FITS without data": (lambda: fits_bytes(None, KSO_CARDS), "holds no image"),
    "FITS of NaN only": (
        lambda: fits_bytes(np.full((64, 64), np.nan, np.float32), KSO_CARDS),
        "NaN everywhere",
    ),
    "3-D cube": (lambda: fits_bytes(np.ones((4, 64, 64), np.int16), KSO_CARDS), "3 axes.*one flat image"),
    "1-D spectrum": (lambda: fits_bytes(np.ones(640, np.int16), KSO_CARDS), "1 axes.*one flat image"),
    "a table": (
        lambda: tiled_fits_bytes(sun().pixels).replace(
            b"ZIMAGE  =                    T", b"ZIMAGE  =                    F"
        ),
        "holds no image",
    ),
    "absurd NAXIS": (lambda: claim(NAXIS=12345), "NAXIS 12345"),
    "negative NAXIS": (lambda: claim(NAXIS=-1), "NAXIS -1"),
    "NAXIS as text": (lambda: claim(NAXIS="two"), "no whole numbers where its size must stand"),
    "negative side": (lambda: claim(NAXIS=2, NAXIS1=-10, NAXIS2=10), "NAXIS1 is negative"),
    "missing side": (lambda: claim(NAXIS=2, NAXIS1=10), "NAXIS2"),
    "a side of nothing": (lambda: claim(NAXIS=2, NAXIS1=0, NAXIS2=10), "holds no image|claims 0 x 10"),
    "no NAXIS": (lambda: claim(), "NAXIS"),
    "forbidden BITPIX": (
        lambda: claim(NAXIS=2, NAXIS1=4, NAXIS2=4).replace(
            b"                  16", b"                  24", 1
        ),
        "BITPIX 24",
    ),
    "absurd PCOUNT": (lambda: claim(NAXIS=2, NAXIS1=4, NAXIS2=4, PCOUNT=10**15, GCOUNT=1), "truncated"),
    "negative PCOUNT": (lambda: claim(NAXIS=2, NAXIS1=4, NAXIS2=4, PCOUNT=-100, GCOUNT=1), "negative"),
    "50 000 squared FITS": (
        lambda: claim(NAXIS=2, NAXIS1=50_000, NAXIS2=50_000),
        "truncated|above the limit",
    ),
    "50 000 squared tiled FITS": (
        lambda: with_card(with_card(TILED, "ZNAXIS1", "50000"), "ZNAXIS2", "50000"),
        "above the limit of 20,000,000",
    ),
    "absurd ZNAXIS": (lambda: with_card(TILED, "ZNAXIS", "77"), "lacks ZNAXIS"),
    "huge ZNAXIS": (lambda: with_card(TILED, "ZNAXIS", "999999999"), "."),
    "negative ZNAXIS1": (lambda: with_card(TILED, "ZNAXIS1", "-5"), "claims"),
    "ZTILE of nothing": (lambda: with_card(TILED, "ZTILE1", "0"), "claims tiles"),
    "ZTILE beyond the image": (lambda: with_card(TILED, "ZTILE1", "2000000000"), "claims tiles"),
    "unknown compression": (lambda: with_card(TILED, "ZCMPTYPE", "'ZIP_99  '"), "decoded"),
    "absurd tiled PCOUNT": (lambda: with_card(TILED, "PCOUNT", "999999999999"), "truncated"),
    "a tile that is a gzip bomb": (tiled_bomb, "unpacked size .* above the limit of 2,048"),
    "50 000 squared PNG": (lambda: png_claim(50_000, 50_000), "2,500,000,000, above the limit"),
    "PNG bomb": (lambda: png_bomb(8000), "64,000,000, above the limit"),
    "PNG with too little data": (lambda: png_claim(500, 500), "decoded|truncated"),
    "truncated PNG": (lambda: sun_picture()[:-200], "truncated"),
    "truncated JPEG": (lambda: sun_picture("JPEG")[:-200], "truncated"),
    "truncated JPEG 2000": (lambda: sun_picture("JPEG2000")[:-2000], "decoded|truncated"),
    "JPEG head alone": (lambda: b"\xff\xd8\xff\xe0" + b"\0" * 40, "head is damaged"),
    "truncated PGM": (lambda: pgm_bytes([sun().pixels.astype(np.uint16)])[:-10], "truncated in image 0"),
    "PGM of 50 000 squared": (lambda: b"P5\n50000 50000\n255\n", "above the limit"),
    "PGM film without end": (lambda: b"P5 1 1 255\nx" * 20_000, "number of images is .*above the limit"),
    "PGM of no peak": (lambda: b"P5\n4 4\n0\n" + b"\0" * 16, "claims 4 x 4 pixels up to 0"),
    "PGM of nothing": (lambda: b"P5\n0 0\n255\n", "claims 0 x 0"),
    "PGM with text for numbers": (lambda: b"P5\nwide high\n255\n", "no readable head"),
    "DATE-OBS of a broken clock": (
        lambda: with_card(PLAIN, "DATE-OBS", "'9999-12-31T23:59:59'"),
        "no date of an observation",
    ),
    "broken DATE-OBS": (lambda: with_card(PLAIN, "DATE-OBS", "'soon'"), "DATE-OBS.*'soon' is not a time"),
}
