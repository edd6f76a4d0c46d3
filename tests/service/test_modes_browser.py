"""What is seen in red light and with colours that the system forces, in a real browser."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.service.telescope import Telescope, jpeg, on_sqlite
from tests.service.test_browser import browser, open_page

__all__ = ["browser", "open_page"]  # fixtures
pytestmark = on_sqlite

LIVE = "#live[data-state=live]"


def reds(page: Any, selector: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How red each pixel of an element is, 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB"), int)[..., 0]


def test_spoilt_parts_are_seen_in_red_light_on_whatever_lies_below(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    for shade in (10, 127, 255):  # in between: as light as the map's colour, seen in red
        frame_id = telescope.observe(0.1, preview=jpeg(shade), with_map=True)
        page = open_page(f"/?frame={frame_id}&mode=red")
        page.wait_for_selector(LIVE)
        with_map = reds(page, ".picture")
        page.click(".for-map")
        told = np.abs(with_map - reds(page, ".picture"))
        height = told.shape[0]
        assert (told[: height // 2 + 4] > 50).any(axis=0).mean() > 0.95, (
            shade
        )  # each column of the spoilt half
        assert told[height // 2 + 8 : height * 3 // 4].max() < 10, shade
