"""Where the disk lies by a header's description of helioprojective coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.errors import MissingKeywordError
from observatory.frame import Pointing
from observatory.instruments.base import RSUN_1AU_ARCSEC, number

_RSUN_ARCSEC = (100.0, 20_000.0)  # of any spacecraft; what lies beyond is in another unit (RSUN in metres)
_AXES = (1, 2)
_SQUARE = 0.01
#: What units of angles begin with, in arcseconds. Old solar headers without any mean arcseconds.
_UNITS_ARCSEC = {"arcsec": 1.0, "asec": 1.0, "arcmin": 60.0, "amin": 60.0, "deg": 3600.0, "mas": 1e-3}


def is_helioprojective(header: Mapping[str, Any]) -> bool:
    """Whether the first axis counts westwards on the sky: ``HPLN-TAN``, formerly ``SOLAR-X`` or ``solar_x``."""
    return str(header.get("CTYPE1", "")).strip().upper().startswith(("HPLN", "SOLAR"))


def wcs_pointing(header: Mapping[str, Any]) -> Pointing | None:
    """Disk from a helioprojective WCS (Thompson 2006, A&A 449, 791); None without any WCS.

    Raises
    ------
    MissingKeywordError
        When only half of the WCS is there, or when it cannot be.
    """
    reference = number(header, "CRPIX1"), number(header, "CRPIX2")
    if not is_helioprojective(header):
        if number(header, "CDELT1") is not None and None in reference:
            raise MissingKeywordError("CRPIX1", "the header has CDELT1 without CRPIX: half a WCS")
        return None
    matrix = pixel_matrix_arcsec(header)
    if matrix is None or reference[0] is None or reference[1] is None:
        raise MissingKeywordError("CRPIX1, CDELT1", "half a WCS says nothing certain about the pointing")
    values = [(number(header, f"CRVAL{axis}") or 0.0) * _unit_arcsec(header, axis) for axis in _AXES]
    to_centre = np.linalg.solve(matrix, np.negative(values))
    rsun = number(header, "RSUN_OBS", "RSUN")
    rsun = rsun if rsun and _RSUN_ARCSEC[0] < rsun < _RSUN_ARCSEC[1] else RSUN_1AU_ARCSEC
    return Pointing(
        center_x_px=float(reference[0] - 1 + to_centre[0]),
        center_y_px=float(reference[1] - 1 + to_centre[1]),
        radius_px=rsun / float(np.hypot(matrix[0, 0], matrix[1, 0])),
        rsun_arcsec=rsun,
        roll_deg=float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0]))),
        source="header",
    )


def check_square(header: Mapping[str, Any]) -> None:
    """Refuse pixels that are not as high as wide: outlines and areas are reckoned with one scale.

    Raises
    ------
    MissingKeywordError
        When they differ by more than a hundredth.
    """
    matrix = pixel_matrix_arcsec(header) if is_helioprojective(header) else None
    if matrix is None:
        return
    wide, high = np.hypot(*matrix[:, 0]), np.hypot(*matrix[:, 1])
    if abs(wide / high - 1.0) > _SQUARE:
        raise MissingKeywordError(
            "CDELT1, CDELT2",
            f"pixels of {wide:.4g} x {high:.4g} arcsec are not square: resample the picture to square ones",
        )


def pixel_matrix_arcsec(header: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """What a pixel to the right and one upwards mean in arcseconds to the west and to the north.

    Of PC, CD and CROTA2 the first that is there counts, as in wcslib (Greisen & Calabretta 2002, A&A 395,
    1061, section 2.1 and 6.1); what is left out of a matrix is that of the unit matrix, or 0 of CD.

    Returns
    -------
    ndarray, shape (2, 2), or None
        None without a plate scale.

    Raises
    ------
    MissingKeywordError
        When the scale is none, is mirrored, or is in a unit that is no angle.
    """
    steps = [number(header, f"CDELT{axis}") for axis in _AXES]
    turned = _matrix(header, "PC", np.eye(2))
    stated = _matrix(header, "CD", np.zeros((2, 2))) if turned is None else None
    if stated is None:
        if None in steps:
            return None
        roll = np.deg2rad(number(header, "CROTA2") or 0.0)
        scale = np.diag(np.asarray(steps, np.float64))
        # CROTA2 turns what is scaled already, PC what is not.
        rotation = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        stated = rotation @ scale if turned is None else scale @ turned
    matrix = np.diag([_unit_arcsec(header, axis) for axis in _AXES]) @ stated
    area = float(np.linalg.det(matrix))
    if not (np.isfinite(matrix).all() and abs(area) > 0.0):
        raise MissingKeywordError("CDELT1, CDELT2", f"{_words(matrix)} arcsec per pixel cannot be")
    if area < 0.0:
        raise MissingKeywordError(
            "CDELT1, CDELT2", f"{_words(matrix)} arcsec per pixel is a mirrored picture: none is read"
        )
    return np.asarray(matrix, np.float64)


def _words(matrix: NDArray[np.float64]) -> str:
    return f"{matrix[0, 0]:g} x {matrix[1, 1]:g}"


def _matrix(
    header: Mapping[str, Any], letters: str, left_out: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """PCi_j or CDi_j; None when the header has none of them."""
    given = {(row, column): number(header, f"{letters}{row}_{column}") for row in _AXES for column in _AXES}
    if all(value is None for value in given.values()):
        return None
    matrix = left_out.copy()
    for (row, column), value in given.items():
        if value is not None:
            matrix[row - 1, column - 1] = value
    return matrix


def _unit_arcsec(header: Mapping[str, Any], axis: int) -> float:
    word = str(header.get(f"CUNIT{axis}") or "arcsec").strip().lower()
    for name, arcsec in _UNITS_ARCSEC.items():
        if not word or word.startswith(name):
            return arcsec
    raise MissingKeywordError(f"CUNIT{axis}", f"{word!r} is no unit of an angle (arcsec or deg is expected)")
