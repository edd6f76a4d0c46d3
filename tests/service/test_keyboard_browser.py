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
