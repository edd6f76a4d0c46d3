"""What is seen in red light and with colours that the system forces, in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from observatory.storage.session import Database
from tests.observatory.test_completeness import put
from tests.service.corona import NOON
from tests.service.telescope import DAY, Telescope, jpeg, on_sqlite
from tests.service.test_browser import browser, coronal, open_page

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


@pytest.mark.parametrize("colours", ["red", "forced"])
def test_a_day_of_cloud_does_not_look_like_a_day_without_where_all_is_of_one_colour(
    db: Database, open_page: Callable[..., Any], colours: str
) -> None:
    times = DAY.timestamp() + 60.0 * np.arange(1440)
    put(db, "clear", times)
    put(db, "cloudy", times, is_degraded=True)
    page = open_page(
        "/coverage?day=2026-06-01" + "&mode=red" * (colours == "red"),
        forced_colors="active" if colours == "forced" else "none",
    )
    clear, cloudy = (reds(page, f"#ledger-{name} .ribbon")[6:-6, 300] for name in ("clear", "cloudy"))
    assert np.ptp(clear) == 0
    assert np.ptp(cloudy) > 100


def test_with_forced_colours_one_sees_the_page_one_is_on_what_is_switched_on_and_the_last_frames(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    telescope.observe(0.1, instrument="aia-193", family="aia", date_obs=NOON)
    coronal(telescope, 5)
    page = open_page("/?instrument=aia-193", forced_colors="active")
    page.wait_for_selector(LIVE)

    def told(selector: str, what: str) -> Any:
        return page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{what}")

    here, elsewhere = "nav.pages a[aria-current]", "nav.pages a:not([aria-current])"
    assert told(here, "borderBottomColor") != told(elsewhere, "borderBottomColor")
    on = told(".switchable.ch .switch", "backgroundColor")
    page.click(".switchable.ch")
    assert told(".switchable.ch .switch", "backgroundColor") != on
    for drawn in (".strip .bad", ".strip .good", ".key.bad i", ".live .dot"):
        assert told(drawn, "backgroundColor") != told("body", "backgroundColor"), drawn


@pytest.mark.parametrize("mode", ["dark", "red"])
def test_paper_is_written_on_in_dark_letters(
    telescope: Telescope, open_page: Callable[..., Any], mode: str
) -> None:
    telescope.observe(0.1, with_picture=True)
    page = open_page(f"/?instrument=kso-halpha&mode={mode}")
    page.wait_for_selector(LIVE)
    page.emulate_media(media="print")
    colours = page.evaluate(
        "['h2', 'p.legend', '.tile .verdict'].map((at) => getComputedStyle(document.querySelector(at)).color)"
    )
    for colour in colours:
        red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
        assert 0.3 * red + 0.59 * green + 0.11 * blue < 110, colour
    assert not page.is_visible("nav.pages")
    assert page.is_visible("#chart canvas") and page.is_visible("#frame .verdict")
    picture = page.evaluate("getComputedStyle(document.querySelector('img.preview')).filter")
    assert picture == "none"
