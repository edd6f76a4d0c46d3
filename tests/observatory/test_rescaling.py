"""World coordinates of a window that is sampled more finely: every point of the sky stays where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from observatory.rescaling import is_wcs_word, rescaled_wcs

FULL_DISK = {
    "CTYPE1": "HPLN-TAN",
    "CTYPE2": "HPLT-TAN",
    "CRPIX1": 2040.7,
    "CRPIX2": 2056.3,
    "CRVAL1": 0.0,
    "CRVAL2": 0.0,
    "CDELT1": 0.504273,
    "CDELT2": 0.504273,
    "CUNIT1": "arcsec",
    "CUNIT2": "arcsec",
    "CROTA2": 179.93,
}
SHARP = {
    "CTYPE1": "CRLN-CEA",
    "CTYPE2": "CRLT-CEA",
    "CRPIX1": 372.5,
    "CRPIX2": 189.0,
    "CRVAL1": 34.879105,
    "CRVAL2": -21.0769,
    "CDELT1": 0.03,
    "CDELT2": 0.03,
    "CUNIT1": "degree",
    "CUNIT2": "degree",
    "CROTA2": 0.0,
}
_TURN = np.deg2rad(30.0)
_TURNED = {
    "1_1": np.cos(_TURN),
    "1_2": -np.sin(_TURN),
    "2_1": np.sin(_TURN),
    "2_2": np.cos(_TURN),
}
_PLAIN = {key: value for key, value in FULL_DISK.items() if not key.startswith(("CDELT", "CROTA"))}
MATRIX = _PLAIN | {f"CD{at}": 0.5 * value for at, value in _TURNED.items()}
PC = {key: value for key, value in FULL_DISK.items() if key != "CROTA2"}
PC |= {f"PC{at}": value for at, value in _TURNED.items()}
HEADERS = {"full disk": FULL_DISK, "SHARP": SHARP, "CD matrix": MATRIX, "PC matrix": PC}


def sky(header: dict[str, Any]) -> WCS:
    return WCS({key: value for key, value in header.items() if value is not None}, fix=True)


def shift_px(header: dict[str, Any], factor: float, origin: tuple[float, float], size: int) -> float:
    """How far the corners and ten points of a window move, in pixels of the input."""
    points = np.random.default_rng(1).uniform(-0.5, size * factor - 0.5, (10, 2))
    corners = np.array([[-0.5, -0.5], [size * factor - 0.5] * 2])
    fine = np.vstack([points, corners])
    world = sky(rescaled_wcs(header, factor, origin)).all_pix2world(fine, 0)
    back = sky(header).all_world2pix(world, 0)
    wanted = (fine + 0.5) / factor - 0.5 + np.array(origin)
    return float(np.abs(back - wanted).max())


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("origin", [(0, 0), (140, 75)], ids=["whole", "window"])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_every_point_stays_where_it_is(name: str, origin: tuple[int, int], factor: int):
    assert shift_px(HEADERS[name], factor, origin, 200) < 1e-6


@given(
    factor=st.integers(1, 8),
    x=st.integers(0, 4000),
    y=st.integers(0, 4000),
    roll=st.floats(-180, 180),
    reference=st.floats(-5000, 5000),
)
def test_no_roll_window_or_factor_moves_the_sky(factor: int, x: int, y: int, roll: float, reference: float):
    header = FULL_DISK | {"CROTA2": roll, "CRPIX1": reference}
    rescaled = rescaled_wcs(header, factor, (x, y))
    assert rescaled["CRPIX1"] == pytest.approx((reference - 0.5 - x) * factor + 0.5)
    assert rescaled["CDELT2"] * factor == pytest.approx(header["CDELT2"])
    assert rescaled["CROTA2"] == roll


def test_a_window_of_a_window_is_a_window():
    once = rescaled_wcs(FULL_DISK, 2, (100, 50))
    assert rescaled_wcs(once, 3, (8, 6)) == pytest.approx(rescaled_wcs(FULL_DISK, 6, (104, 53)))


def test_an_alternate_description_is_rescaled_with_the_main_one():
    header = FULL_DISK | {"CRPIX1A": 10.0, "CRPIX2A": 12.0, "CDELT1A": 4.0, "CDELT2A": 4.0, "CTYPE1A": "X"}
    rescaled = rescaled_wcs(header, 2)
    assert (rescaled["CRPIX1A"], rescaled["CDELT1A"], rescaled["CTYPE1A"]) == (19.5, 2.0, "X")
    assert rescaled["CRPIX1"] == pytest.approx(2 * 2040.7 - 0.5)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"CTYPE1": "HPLN-TAN"},
        {key: value for key, value in FULL_DISK.items() if key != "CRPIX2"},
        {key: value for key, value in FULL_DISK.items() if key != "CDELT1"},
        FULL_DISK | {"A_ORDER": 2, "A_2_0": 1e-6},
    ],
    ids=["nothing", "a name", "no reference", "no scale", "a distortion"],
)
def test_nothing_is_written_without_a_whole_description(header: dict[str, Any]):
    assert rescaled_wcs(header, 2) == {}


def test_only_words_of_the_description_are_called_so():
    assert all(is_wcs_word(key) for key in (*FULL_DISK, "PC1_2A", "CD2_2", "LONPOLE", "WCSNAMEB", "PV2_1"))
    assert not any(is_wcs_word(key) for key in ("CRLN_OBS", "CROTATE", "PCOUNT", "IMCRPIX1", "CDELTA", "A"))
