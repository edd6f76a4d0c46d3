"""A field of view and the pixels that hold it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.coordinates import hpc_to_pixel, pixel_to_hpc
from observatory.field_of_view import (
    FieldOfView,
    FieldUnit,
    LargeFieldError,
    NoPointingError,
    OutsideFrameError,
)
from observatory.frame import Frame, Pointing, RowOrder

ANY = 1 << 30


def frame(pointing: Pointing | None, side: int = 400, row_order: RowOrder = RowOrder.BOTTOM) -> Frame:
    return Frame(np.zeros((side, side), np.uint8), "hmi-continuum", row_order, pointing=pointing)


def disk(roll_deg: float | None = 0.0) -> Pointing:
    return Pointing(200.3, 199.1, 160.0, roll_deg=roll_deg)


@given(
    roll=st.floats(-360, 360),
    x=st.floats(-300, 300),
    y=st.floats(-300, 300),
    width=st.floats(0.1, 300),
    height=st.floats(0.1, 300),
    row_order=st.sampled_from(RowOrder),
)
def test_the_pixels_hold_the_field_and_hardly_more(
    roll: float, x: float, y: float, width: float, height: float, row_order: RowOrder
) -> None:
    whole = frame(disk(roll), row_order=row_order)
    field = FieldOfView(x, y, width, height, FieldUnit.ARCSEC)
    x0, y0, x1, y1 = field.window(whole, ANY)
    corners_x = np.array([-1, 1, 1, -1]) * width / 2 + x
    corners_y = np.array([-1, -1, 1, 1]) * height / 2 + y
    px, py = hpc_to_pixel(corners_x, corners_y, disk(roll), row_order)
    assert x0 - 0.51 < px.min() < x0 + 0.51 and x1 - 1.51 < px.max() < x1 - 0.49
    assert y0 - 0.51 < py.min() < y0 + 0.51 and y1 - 1.51 < py.max() < y1 - 0.49
    middle = pixel_to_hpc((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, disk(roll), row_order)
    assert np.allclose(middle, (x, y), atol=0.8 * disk().cdelt_arcsec)


@given(st.sampled_from(FieldUnit), st.lists(st.floats(0, 4000), min_size=4, max_size=4))
def test_what_is_written_as_json_is_read_as_the_same(unit: FieldUnit, sides: list[float]) -> None:
    field = FieldOfView(*sides, unit=unit)
    assert FieldOfView.from_json(field.to_json()) == field


def test_a_field_in_pixels_is_taken_as_it_is() -> None:
    field = FieldOfView(10, 20, 390, 380, FieldUnit.PIXEL)
    assert field.window(frame(None), ANY) == (10, 20, 400, 400)


@pytest.mark.parametrize("pointing", [None, disk(None)], ids=["none", "no roll"])
def test_arcseconds_need_to_know_where_they_are(pointing: Pointing | None) -> None:
    with pytest.raises(NoPointingError, match="x_px"):
        FieldOfView(0, 0, 10, 10, FieldUnit.ARCSEC).window(frame(pointing), ANY)


@pytest.mark.parametrize(
    "field",
    [
        FieldOfView(399, 0, 2, 1, FieldUnit.PIXEL),
        FieldOfView(0, 400, 1, 1, FieldUnit.PIXEL),
        FieldOfView(1300, 0, 10, 10, FieldUnit.ARCSEC),
        FieldOfView(0, 0, 2500, 10, FieldUnit.ARCSEC),
    ],
)
def test_what_does_not_lie_on_the_frame_is_refused_with_what_does(field: FieldOfView) -> None:
    with pytest.raises(OutsideFrameError, match="columns 0 to 399 and rows 0 to 399"):
        field.window(frame(disk()), ANY)


def test_more_pixels_than_may_be_asked_for_are_refused() -> None:
    field = FieldOfView(0, 0, 100, 11, FieldUnit.PIXEL)
    assert field.window(frame(None), 1100)
    with pytest.raises(LargeFieldError, match="100 x 11 pixels; 1,099 at most"):
        field.window(frame(None), 1099)
