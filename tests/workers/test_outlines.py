"""Outlines lie where their region lies, whatever way the picture is turned."""

from __future__ import annotations

import numpy as np
import pytest

from observatory.analysis import EventType, ModelIdentity, Threshold
from observatory.frame import Frame, Pointing, RowOrder
from observatory.regions import segmentation
from workers.products.outlines import draw_outlines
from workers.products.preview import orient

SIDE = 256


@pytest.mark.parametrize("roll_deg", [0.0, 30.0, 180.0])
@pytest.mark.parametrize("row_order", list(RowOrder))
def test_the_outline_surrounds_what_the_preview_shows(row_order: RowOrder, roll_deg: float):
    bright = np.zeros((SIDE, SIDE), np.uint8)
    bright[150:190, 60:100] = 255
    pointing = Pointing(127.5, 127.5, 110.0, roll_deg=roll_deg, source="header")
    frame = Frame(bright, "aia-193", row_order, pointing=pointing)
    found = segmentation(
        (bright > 0).astype(np.float32),
        (-0.5, -0.5, SIDE - 0.5, SIDE - 0.5),
        dict.fromkeys(Threshold, 0.5),
        EventType.CORONAL_HOLE,
        ModelIdentity("test", "1", "0"),
        frame,
        pointing=pointing,
    )
    shown = orient(frame, bright)
    drawn = draw_outlines(np.zeros_like(shown), frame, [found])
    rows, columns = np.nonzero(drawn.max(axis=2))
    seen_rows, seen_columns = np.nonzero(shown > 127)
    for line, seen in ((rows, seen_rows), (columns, seen_columns)):
        assert abs(line.min() - seen.min()) <= 3
        assert abs(line.max() - seen.max()) <= 3
