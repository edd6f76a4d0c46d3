"""The panel of an all-sky frame in a real browser: switches and news."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from observatory.analysis import SkyClass
from observatory.storage.results import NewProduct
from tests.service.telescope import Telescope, jpeg, on_sqlite, region_map
from tests.service.test_browser import browser, open_page
from tests.stored_skies import disturbance, sky, stored

__all__ = ["browser", "open_page"]  # fixtures

pytestmark = on_sqlite


def shown(telescope: Telescope, number: int, kind: SkyClass) -> int:
    """Store a frame of today with real pictures."""

    def picture(kind: str, media_type: str, data: bytes) -> NewProduct:
        return NewProduct(kind, media_type, telescope.files.write(data, media_type), 64, 64)

    pictures = [
        picture("preview", "image/jpeg", jpeg()),
        picture("region-map", "image/png", region_map()),
        picture("cloud-map", "image/png", region_map()),
    ]
    now = datetime.now(UTC)
    taken = now - timedelta(seconds=100 - number)
    return stored(
        telescope.db, number, sky(kind), disturbance(), pictures=pictures, date_obs=taken, received_at=now
    )


def test_the_cloud_is_laid_over_the_picture_when_it_is_asked_for_and_stays_so(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    shown(telescope, 1, SkyClass.CLOUD)
    page = open_page(viewport={"width": 375, "height": 812})
    page.wait_for_selector("#live[data-state=live]")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    assert not page.is_visible("img.clouds") and page.is_visible("img.map:not(.clouds)")
    page.click("label.for-map")
    page.focus("#show-clouds")
    page.keyboard.press("Space")
    assert page.locator("img.clouds").bounding_box() == page.locator("img.preview").bounding_box()
    assert not page.is_visible("img.map:not(.clouds)")
    newer = shown(telescope, 2, SkyClass.ARC)
    page.wait_for_selector(f"#frame[data-frame='{newer}']")
    assert page.inner_text("#sky-title .class") == "arc"
    assert page.is_visible("img.clouds") and not page.is_visible("img.map:not(.clouds)")
    page.wait_for_selector(".tile .said:has-text('arc')")
    assert "sky arc" in page.inner_text("#announce")
