"""The page Coverage in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from observatory.storage.session import Database
from tests.observatory.test_completeness import put
from tests.service.telescope import on_sqlite
from tests.service.test_browser import browser, open_page

__all__ = ["browser", "open_page"]  # fixtures
pytestmark = on_sqlite
DAY = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_its_window_and_keeps_its_state_in_the_address(
    db: Database, open_page: Callable[..., Any], width: int, scripts: bool
) -> None:
    times = DAY.timestamp() + 6 * 3600 + np.arange(0.0, 3 * 3600.0, 60.0)
    put(db, "aia-193", np.delete(times, np.arange(100, 107)))
    put(db, "a-camera-with-a-name-that-is-far-too-long-for-any-telephone-0123", times)
    page = open_page(
        "/coverage?day=2026-06-01", viewport={"width": width, "height": 800}, java_script_enabled=scripts
    )
    box = page.locator("html").bounding_box()
    assert box["width"] <= width
    page.select_option("select[name=instrument]", "aia-193")
    page.click("text=Show")
    assert "instrument=aia-193" in page.url and "day=2026-06-01" in page.url
    assert "7 min" in page.inner_text(".ledger table")
    page.click("text=Week")
    assert "span=7d" in page.url and "instrument=aia-193" in page.url
    assert page.locator(".ledger").count() == 1
    label = page.get_attribute(".ribbon", "aria-label")
    assert "missing" in label and "usable" in label
