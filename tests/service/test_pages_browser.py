"""Every page in a real browser, filled and alive: nothing reloads, everything can be reached by everybody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from observatory.analysis import Cause
from observatory.settings import Settings
from observatory.storage import acknowledgements, marks, workers
from tests.service.telescope import Telescope, on_sqlite
from tests.service.test_browser import browser, open_page, seam
from tests.service.whole_station import MORNING, Shown, built

__all__ = ["browser", "open_page"]  # fixtures
pytestmark = on_sqlite

AXE = Axe()
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
LIVE = "#live[data-state=live]"
NEW = timedelta(minutes=30)


@pytest.fixture
def shown(telescope: Telescope, settings: Settings, tmp_path: Path) -> Shown:
    """A station with something on every page."""
    return built(telescope, settings, tmp_path)


def faults(page: Any) -> list[str]:
    """What axe calls serious or critical, with the first place of each."""
    return [
        f"{found['id']}: {found['nodes'][0]['html'][:200]} {found['nodes'][0]['failureSummary']}"
        for found in AXE.run(page, options=RULES).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


def too_wide(page: Any) -> list[str]:
    """Widths of a telephone, a tablet, a desk and a wall at which the page must be scrolled sideways."""
    found = []
    for width in (2560, 1280, 768, 360):
        page.set_viewport_size({"width": width, "height": 900})
        needed = page.evaluate("document.documentElement.scrollWidth")
        if needed > width:
            found.append(f"{needed} px of {width}")
    return found


@pytest.mark.parametrize("mode", ["light", "dark", "red"])
def test_every_page_fits_every_window_and_hides_nothing_from_anybody(
    shown: Shown, address: str, open_page: Callable[..., Any], mode: str
) -> None:
    page = open_page(f"/mode?to={mode}&back=/frame/{shown.cloudy}/header")
    found = {}
    for path in shown.paths:
        page.goto(f"{address}{path}")
        assert page.get_attribute("html", "data-mode") == mode
        found[path] = [*faults(page), *too_wide(page)]
    assert {path: what for path, what in found.items() if what} == {}


def test_every_page_shows_what_it_knows_without_javascript(
    shown: Shown, address: str, open_page: Callable[..., Any]
) -> None:
    page = open_page("/system", java_script_enabled=False)
    told = {
        "/system": "a worker is alive",
        "/?instrument=kso-halpha": "0.12: cloud",
        f"/?frame={shown.hmi}": "3.6 % → 6.8 %",
        f"/frame/{shown.corona}": "Coronal holes",
        f"/frame/{shown.cloudy}/header": "the night assistant",
        "/night": "16 frames",
        "/instrument/kso-halpha": "degraded",
        "/calendar?instrument=aia-94&month=2026-06": "June 2026",
        "/coverage?day=2026-06-01": "aia-94",
        "/alerts": "CameraSilent",
        "/models": "halpha_quality",
        "/docs": "/api/v1/frames",
    }
    for path, words in told.items():
        page.goto(f"{address}{path}")
        assert words in page.inner_text("main"), path
    page.goto(f"{address}/frame/{shown.cloudy}")
    page.click("#files-title >> xpath=../.. >> summary")
    page.click("#header a")
    assert page.url.endswith("/header")


def test_now_and_its_overlays_live(
    shown: Shown, telescope: Telescope, address: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(f"/?instrument=kso-halpha&day={MORNING:%Y-%m-%d}")
    page.wait_for_selector(LIVE)
    page.evaluate("window.wasNotReloaded = true")
    telescope.observe(0.2, (Cause.CONTRAIL, 0.9), with_picture=True, date_obs=MORNING + NEW)
    page.wait_for_selector(".tile .verdict.degraded:has-text('contrail')")
    assert "critical" in page.text_content("#firing li >> nth=0")
    acknowledgements.put(telescope.db, shown.alert, None, "observer", datetime.now(UTC))
    page.wait_for_selector("#firing a:has-text('HalphaDegraded'):has-text('acknowledged')")
    assert page.evaluate("window.wasNotReloaded")
    page.goto(f"{address}/?frame={shown.sky}")
    assert page.is_visible("img.map:not(.clouds)") and not page.is_visible("img.clouds")
    page.click("label.for-map")
    page.click("label.for-clouds")
    assert not page.is_visible("img.map:not(.clouds)") and page.is_visible("img.clouds")
    page.goto(f"{address}/?frame={shown.hmi}")
    page.wait_for_selector(LIVE)
    page.focus(".place")
    page.keyboard.press("Home")
    assert seam(page)[0] == 0


def test_a_frame_is_opened_looked_into_stepped_through_and_marked(
    shown: Shown, telescope: Telescope, address: str, open_page: Callable[..., Any]
) -> None:
    page = open_page("/instrument/kso-halpha?day=2026-06-01")
    page.locator(f".timeline a[href$='/frame/{shown.cloudy}']").dispatch_event("click")
    page.wait_for_url(f"**/frame/{shown.cloudy}")
    page.keyboard.press("+")
    assert page.inner_text("#zoom-word") == "1.6 ×"
    assert "scale(1.6)" in page.get_attribute("img.preview", "style")
    assert page.get_attribute("img.preview", "style") == page.get_attribute("img.map", "style")
    page.keyboard.press("0")
    assert page.inner_text("#zoom-word") == "1 ×"
    page.click("#files-title >> xpath=../.. >> summary")
    page.wait_for_selector("#header :text('the night assistant')")
    page.fill("#marks input[name=note]", "a bird")
    page.click("#marks button[value=bad]")
    page.wait_for_selector("#marks li:has-text('a bird')")
    assert [one.mark for one in marks.of_frame(telescope.db, shown.cloudy)] == ["bad"]
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/frame/{shown.first + 3}")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/frame/{shown.cloudy}")
    page.goto(f"{address}/frame/{shown.corona}")
    page.click(".switchable.ch")
    assert not page.is_visible(".layer.ch .edge >> nth=0") and page.is_visible(".layer.ar .edge >> nth=0")
    assert page.url.endswith(f"/frame/{shown.corona}?outlines=AR")


def test_instrument_system_and_models_change_without_a_reload(
    shown: Shown, telescope: Telescope, address: str, open_page: Callable[..., Any]
) -> None:
    page = open_page("/instrument/kso-halpha?day=2026-06-01")
    page.wait_for_selector(LIVE)
    page.evaluate("window.wasNotReloaded = true")
    newer = telescope.observe(0.3, (Cause.SEEING, 0.7), date_obs=MORNING + NEW)
    page.wait_for_selector(f".timeline a[href$='/frame/{newer}']", state="attached")
    page.wait_for_selector("#piece .causes :text('seeing')")
    assert page.evaluate("window.wasNotReloaded")
    page.clock.install()  # they look again every few seconds, which we need not wait for
    for path, selector in (("/system", "#piece td"), ("/models", "#piece h2")):
        page.goto(f"{address}{path}")
        page.wait_for_selector(LIVE)
        page.evaluate("window.wasNotReloaded = true")
        name = f"new_{path[1:]}"
        fact = {"name": name, "version": "3.0", "sha256": "ef" * 32, "provider": "CPUExecutionProvider"}
        workers.sign_on(telescope.db, f"host:{path}", "worker", datetime.now(UTC), {"models": [fact]})
        page.clock.fast_forward(12_000)
        page.wait_for_selector(f"{selector}:has-text('{name}')")
        assert page.evaluate("window.wasNotReloaded")


def test_one_finds_the_way_from_the_calendar_to_a_day_by_any_pointer_or_key(
    shown: Shown, open_page: Callable[..., Any]
) -> None:
    page = open_page("/calendar?instrument=aia-94&month=2026-06", viewport={"width": 360, "height": 800})
    page.focus("a[aria-label^='Monday 1 June 2026']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/instrument/aia-94?day=2026-06-01")
    assert "Monday 1 June 2026" in page.inner_text("h1")


def test_colours_are_chosen_and_kept_and_the_page_is_in_view_in_its_navigation(
    address: str, open_page: Callable[..., Any]
) -> None:
    page = open_page("/system?mode=light", viewport={"width": 360, "height": 800})
    page.click("nav.modes a[href*='to=red']")
    page.wait_for_url("**/system")
    for path in ("/system", "/docs", "/night", "/"):
        page.goto(f"{address}{path}")
        assert page.get_attribute("html", "data-mode") == "red"
        link = page.locator("nav.pages a[aria-current=page]").bounding_box()
        assert link["x"] >= 0 and link["x"] + link["width"] <= 360
    page.goto(f"{address}/night?mode=dark")
    assert page.get_attribute("html", "data-mode") == "dark"  # for this once, as the address says
    page.click("nav.modes a[href*='to=auto']")
    page.wait_for_url("**/night")
    assert page.get_attribute("html", "data-mode") is None
