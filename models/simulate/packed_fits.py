"""What the writers of compressed simulated FITS files share."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.io import fits


def override(header: fits.Header, overrides: Mapping[str, Any] | None) -> None:
    """Set keywords to other values, or leave them out (None): for tests of bad headers."""
    for keyword, value in (overrides or {}).items():
        if value is None:
            header.remove(keyword, ignore_missing=True)
        else:
            header[keyword] = value


def write_image(path: Path, image: fits.CompImageHDU) -> Path:
    """Write an image behind an empty primary one, under a temporary name first; returns the file."""
    packed = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(packed, output_verify="silentfix")
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(packed.getbuffer())
    temporary.replace(path)
    return path
