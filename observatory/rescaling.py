"""World coordinates of a window of a frame that is sampled more finely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from observatory.instruments.base import number

_ALTERNATES = ("", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_AXES = (1, 2)
_WCS_WORD = re.compile(
    r"(WCSAXES|WCSNAME|CTYPE\d|CUNIT\d|CNAME\d|CRPIX\d|CRVAL\d|CDELT\d|CRDER\d|CSYER\d"
    r"|PC\d_\d|CD\d_\d|PV\d_\d+|PS\d_\d+|LONPOLE|LATPOLE)[A-Z]?|CROTA\d"
)
# Polynomials and tables in pixels (SIP, Paper IV): none of our instruments has them.
_DISTORTION = re.compile(r"(A|B|AP|BP)_(ORDER|\d+_\d+)|(CPDIS|CQDIS|DP|DQ)\d.*|CPERR.*")


def is_wcs_word(key: str) -> bool:
    """Whether a header word belongs to the description of world coordinates."""
    return _WCS_WORD.fullmatch(key) is not None or _DISTORTION.fullmatch(key) is not None


def rescaled_wcs(
    header: Mapping[str, Any], factor: float, origin_px: tuple[float, float] = (0.0, 0.0)
) -> dict[str, Any]:
    """World coordinates of a window sampled ``factor`` times as finely, as header words.

    A pixel's edge lies at its index plus and minus one half, and edges are what sampling keeps:
    CRPIX' = (CRPIX - 0.5 - origin) factor + 0.5, and CDELT or CD divided by the factor (Greisen &
    Calabretta 2002, A&A 395, 1061, eq. 1). CRVAL, CTYPE, PC, CROTA and what else there is hold for any
    sampling and stay.

    Parameters
    ----------
    header : Mapping
        Of the frame, in FITS's own count of rows, from the bottom.
    factor : float
        New pixels along an old one; 1 for a mere window.
    origin_px : tuple (x, y)
        First pixel of the window, 0-based, rows from the bottom.

    Returns
    -------
    dict
        All words of the description, alternates (``CRPIX1A``) among them; empty when the header has no
        whole one, or one with distortions, whose polynomials do not rescale.
    """
    if any(_DISTORTION.fullmatch(key) for key in header):
        return {}
    found: dict[str, Any] = {}
    for letter in _ALTERNATES:
        found |= _one(header, letter, factor, origin_px)
    return found


def _one(
    header: Mapping[str, Any], letter: str, factor: float, origin_px: tuple[float, float]
) -> dict[str, Any]:
    """One description; ``letter`` tells alternates apart."""
    reference = [number(header, f"CRPIX{axis}{letter}") for axis in _AXES]
    # Alternates may be written as multiples of the main scale only by their own CDELT: there is no default.
    steps = [number(header, f"CDELT{axis}{letter}") for axis in _AXES]
    matrix = {
        f"CD{row}_{column}{letter}": number(header, f"CD{row}_{column}{letter}")
        for row in _AXES
        for column in _AXES
    }
    has_matrix = any(value is not None for value in matrix.values())
    if None in reference or (None in steps and not has_matrix):
        return {}
    words = {key: header[key] for key in header if is_wcs_word(key) and _letter_of(key) == letter}
    for axis, place, origin in zip(_AXES, reference, origin_px, strict=True):
        assert place is not None
        words[f"CRPIX{axis}{letter}"] = (place - 0.5 - origin) * factor + 0.5
    scales = matrix if has_matrix else {f"CDELT{axis}{letter}": steps[axis - 1] for axis in _AXES}
    words |= {key: value / factor for key, value in scales.items() if value is not None}
    return words


def _letter_of(key: str) -> str:
    """Letter of the alternate description that a word belongs to; none for the main one."""
    return key[-1] if key[-1].isalpha() and key not in ("WCSNAME", "LONPOLE", "LATPOLE", "WCSAXES") else ""
