"""Names of files that a server gave, made harmless, and wavelengths in its words."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import astropy.units as u

_LONGEST = 200
_PACKED = (".gz", ".bz2", ".fz")
_ODD_BYTE = re.compile(r"\\udc[89a-f][0-9a-f]")
"""How the server writes a byte of a name that is no UTF-8."""


def safe_name(word: str, otherwise: str) -> str:
    """Last part of a name, without what could lead elsewhere or hide it."""
    name = PurePosixPath(_ODD_BYTE.sub("_", word).replace("\\", "/")).name
    kept = "".join(letter if letter.isprintable() and letter not in '<>:"|?*{}' else "_" for letter in name)
    return kept.lstrip(".")[-_LONGEST:] or otherwise


def stem(name: str) -> str:
    """A file's name without its last extension, and without that of packing after it.

    Names of JSOC and others have dots within: ``hmi.ic_45s.20261121_120600_TAI.2.continuum.fits``.
    """
    plain = PurePosixPath(name)
    return (plain.with_suffix("") if plain.suffix.lower() in _PACKED else plain).stem


def numbered(name: str, number: int) -> str:
    """The name with a number before its suffixes."""
    start, dot, suffix = name.partition(".")
    return f"{start}-{number}{dot}{suffix}"


def distinct_names(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The names, those that occur more than once told apart by a number before their suffix."""
    counts = Counter(names)
    return [
        name if counts[name] == 1 else numbered(name, number)
        for name, number in zip(names, numbers, strict=True)
    ]


def wavelength_word(wavelength: u.Quantity | str | None) -> str | None:
    """A wavelength as the server takes it; energies and frequencies are turned into one.

    Raises
    ------
    ValueError
        When it has no unit, or is several.
    """
    if wavelength is None or isinstance(wavelength, str):
        return wavelength
    if not isinstance(wavelength, u.Quantity) or not wavelength.isscalar:
        raise ValueError(f"wavelength={wavelength!r}: give one with its unit, such as 193 * u.AA or '193A'")
    return f"{wavelength.to_value(u.nm, equivalencies=u.spectral()):.4f}nm"


def sha256_of(path: Path) -> str:
    """Sum of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
