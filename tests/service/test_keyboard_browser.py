"""The pages by keys alone, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from observatory.storage import acknowledgements, workers
from observatory.storage.session import Database
from tests.service.alarms import Alarms
from tests.service.telescope import DAY, Telescope, on_sqlite
from tests.service.test_browser import browser, open_page

__all__ = ["browser", "open_page"]  # fixtures
pytestmark = on_sqlite

LIVE = "#live[data-state=live]"
FOCUSED = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"


def test_who_tabs_through_a_page_goes_on_from_the_same_place_when_it_is_shown_anew(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    for minute in range(3):
        telescope.observe(date_obs=DAY + timedelta(minutes=minute), with_picture=True)
    instrument = open_page("/instrument/kso-halpha?day=2026-06-01")
    instrument.wait_for_selector(LIVE)
    instrument.focus("nav.days >> text=Coverage")
    now = open_page("/?instrument=kso-halpha")
    now.wait_for_selector(LIVE)
    now.click("summary")
    now.focus("#listed tr:last-child a")
    newest = open_page("/?instrument=kso-halpha")
    newest.wait_for_selector(LIVE)
    newest.focus("#frame .more a:has-text('Look closer')")

    frame_id = telescope.observe(0.2, date_obs=DAY + timedelta(minutes=3), with_picture=True)
    instrument.wait_for_selector(".sums:has-text('4 frames judged')")
    assert instrument.evaluate(FOCUSED) == "Coverage"
    now.wait_for_selector("#listed tr:has-text('00:03:00')")
    assert now.evaluate(FOCUSED) == "00:00:00"  # which stands one row lower now
    newest.wait_for_selector(f"#frame[data-frame='{frame_id}']")
    assert newest.evaluate(FOCUSED) == "Look closer"
    newest.keyboard.press("Enter")
    newest.wait_for_url(f"**/frame/{frame_id}")


def test_a_table_that_is_scrolled_sideways_stays_so_when_it_is_shown_anew(
    db: Database, open_page: Callable[..., Any]
) -> None:
    facts = {"name": "halpha_quality", "version": "1.0", "sha256": "ef" * 32, "provider": "CPU"}
    workers.sign_on(db, "a-host-with-a-long-name:1", "worker", datetime.now(UTC), {"models": [facts]})
    page = open_page("/system", viewport={"width": 360, "height": 800})
    page.wait_for_selector(LIVE)
    page.focus("#piece .wide")
    page.evaluate("document.querySelector('#piece .wide').scrollLeft = 90")
    page.clock.install()  # it looks again every few seconds
    workers.sign_on(db, "another", "ingester", datetime.now(UTC), {})
    page.clock.fast_forward(12_000)
    page.wait_for_selector("#piece td:has-text('another')")
    assert page.evaluate("document.querySelector('#piece .wide').scrollLeft") == 90
    assert page.evaluate(FOCUSED) == "Processes"


def test_alerts_that_change_take_the_focus_from_nobody(
    db: Database, alarms: Alarms, open_page: Callable[..., Any]
) -> None:
    one, two = alarms.fire("One", "Two")
    page = open_page("/alerts")
    page.wait_for_selector(LIVE)
    page.focus(f"#alert-{two} .more a")
    acknowledgements.put(db, one, "seen", "observer", datetime.now(UTC))
    page.wait_for_selector("#news:visible")
    assert page.evaluate(FOCUSED) == f"Alert {two}: who was told"


def test_one_looks_around_in_a_frame_by_arrows_and_goes_to_others_where_all_of_it_is_seen(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    first, second = (
        telescope.observe(date_obs=DAY + timedelta(minutes=minute), with_picture=True) for minute in range(2)
    )
    page = open_page(f"/frame/{second}")
    page.keyboard.press("+")
    width = page.evaluate("document.querySelector('.frame .picture').clientWidth")
    height = page.evaluate("document.querySelector('.frame .picture').clientHeight")

    def corner() -> tuple[float, float]:
        """Of the picture, in parts of its window's width and height."""
        moved = page.evaluate(
            "new DOMMatrix(getComputedStyle(document.querySelector('img.preview')).transform)"
        )
        return round(moved["e"] / width, 2), round(moved["f"] / height, 2)

    assert corner() == (-0.3, -0.3)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert corner() == (-0.5, -0.1)
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowDown")
    assert corner() == (0.0, -0.6)  # no farther than its edges
    assert page.url.endswith(f"/frame/{second}")
    page.keyboard.press("0")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/frame/{first}")


def test_the_frames_of_a_day_that_are_points_of_a_drawing_are_reached_by_keys(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    frame_id = telescope.observe(date_obs=DAY, with_picture=True)
    telescope.observe(date_obs=DAY + timedelta(days=2), with_picture=True)
    page = open_page("/instrument/kso-halpha?day=2026-06-01")
    page.focus("nav.days >> text=Frames")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?instrument=kso-halpha&day=2026-06-01")
    page.wait_for_selector(LIVE)
    page.focus("#chart")
    page.keyboard.press("Home")
    page.wait_for_url(f"**/?frame={frame_id}")
