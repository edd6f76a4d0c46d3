"""The page Night in a real browser: it follows the night, and fits a telephone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from observatory.analysis import SkyClass
from observatory.settings import Settings, load_settings
from observatory.storage import nights
from observatory.storage.night_schema import night_works
from observatory.storage.nights import WorkKind
from observatory.storage.session import Database
from tests.service.telescope import on_sqlite
from tests.workers.nights import EVENING, take
from workers.app import make_app
from workers.nights import work
from workers.tasks import Desk

pytestmark = on_sqlite


@pytest.fixture
def at(settings: Settings, db: Database) -> Desk:
    """A worker's desk on the service's database."""
    made = load_settings(data_dir=settings.data_dir, database_url=db.url)
    make_app(made)
    return Desk(made)


@pytest.fixture
def browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here: `make test` installs it, or: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def make(at: Desk) -> None:
    now = datetime.now(UTC)
    with at.db.write() as connection:
        connection.execute(update(night_works).values(due_at=now))
    for work_id in nights.due(at.db, now, now, [WorkKind.PICTURES]):
        work(at, work_id)


def test_the_page_follows_its_night_without_losing_its_place(
    browser: Any, address: str, at: Desk, tmp_path: Path
):
    for minute in range(25):
        take(at, tmp_path, minute)
    make(at)
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(f"{address}/night")
    assert "25 frames" in page.inner_text("#told")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    strip = page.locator(".strip").first
    strip.evaluate("one => { one.scrollLeft = 120; window.isHere = true; }")
    before = page.locator("img[alt^=Keogram]").get_attribute("src")
    for minute in range(25, 32):
        take(at, tmp_path, minute, name=SkyClass.ARC, arc=90)
    make(at)
    page.locator("#told", has_text="32 frames").wait_for(timeout=20_000)
    assert "1 onset" in page.inner_text("#told")
    assert page.locator("img[alt^=Keogram]").get_attribute("src") != before
    assert page.locator(".strip").first.evaluate("one => one.scrollLeft") == 120
    assert page.evaluate("window.isHere")  # it was not loaded anew
    assert complaints == []


def test_a_page_that_names_no_night_goes_on_to_the_next_one(
    browser: Any, address: str, at: Desk, tmp_path: Path
):
    evenings = [EVENING - timedelta(days=1), EVENING]
    for minute in range(10):
        take(at, tmp_path, minute, begin=evenings[0])
    make(at)
    pinned, following = browser.new_page(), browser.new_page()
    pinned.goto(f"{address}/night?day=2026-11-19")
    following.goto(f"{address}/night")
    for page in (pinned, following):
        assert "19 to 20 November" in page.inner_text(".date")
    for minute in range(12):
        take(at, tmp_path, minute, begin=evenings[1])
    make(at)
    following.wait_for_selector(".date:has-text('20 to 21 November')", timeout=20_000)
    assert "12 frames" in following.inner_text("#told")
    assert "19 to 20 November" in pinned.inner_text(".date")
