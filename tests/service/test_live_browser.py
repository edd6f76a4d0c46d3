"""What all live pages share, in a real browser: the sign of the connection, trying again, the server's time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from observatory.settings import Settings
from observatory.storage import acknowledgements
from observatory.storage.session import Database
from service.main import create_app
from service.stream import EventStream
from tests.service.telescope import Telescope, in_thread, on_sqlite
from tests.service.test_browser import browser, open_page
from tests.service.whole_station import MORNING, built

__all__ = ["browser", "open_page"]  # fixtures
pytestmark = on_sqlite
LIVE, LOST = "#live[data-state=live]", "#live[data-state=lost]"
PATIENCE_MS = 60_000  # the machine may be busy


def test_every_live_page_shows_when_it_hears_nothing_more_and_comes_back(
    settings: Settings, db: Database, telescope: Telescope, tmp_path: Path, browser: Any
) -> None:
    shown = built(telescope, settings, tmp_path)
    paths = (
        "/",
        "/night",
        "/alerts",
        f"/frame/{shown.cloudy}",
        "/instrument/kso-halpha",
        "/system",
        "/models",
    )
    with in_thread(create_app(settings, db)) as address:
        pages = [browser.new_page() for _ in paths]
        for page, path in zip(pages, paths, strict=True):
            page.goto(f"{address}{path}")
            page.wait_for_selector(LIVE)
            assert page.inner_text("#live-word") == "live"
    for page in pages:
        page.wait_for_selector(LOST)
        assert page.inner_text("#live-word").startswith("no news since ")
    with in_thread(create_app(settings, db), urlsplit(address).port or 0):
        for page in pages:
            page.wait_for_selector(LIVE, timeout=PATIENCE_MS)
            page.close()


def test_a_connection_that_dies_without_a_word_is_noticed_and_opened_again(
    app: FastAPI, db: Database, browser: Any
) -> None:
    app.state.context = replace(app.state.context, stream=EventStream(db, keep_alive_s=3600))
    with in_thread(app) as address:
        page = browser.new_page()
        page.clock.install()
        page.goto(f"{address}/alerts")
        page.wait_for_selector(LIVE)
        page.clock.fast_forward(45_000)
        page.wait_for_selector(LOST)
        page.clock.fast_forward(10_000)
        page.wait_for_selector(LIVE)
        page.close()


@pytest.mark.parametrize("failure", ["no answer", "503"])
@pytest.mark.parametrize(
    "path", ["/?instrument=kso-halpha", "/instrument/kso-halpha?day=2026-06-01", "/alerts"]
)
def test_what_could_not_be_fetched_is_fetched_again(
    settings: Settings,
    telescope: Telescope,
    tmp_path: Path,
    address: str,
    browser: Any,
    path: str,
    failure: str,
) -> None:
    shown = built(telescope, settings, tmp_path)
    page = browser.new_page()
    page.goto(f"{address}{path}")
    page.wait_for_selector(LIVE)
    lost: set[str] = set()

    def drop_the_first(route: Any) -> None:
        request = route.request
        if request.resource_type not in ("xhr", "fetch") or request.url in lost:
            route.continue_()
            return
        lost.add(request.url)
        if failure == "503":
            route.fulfill(status=503)
        else:
            route.abort()

    page.route("**/*", drop_the_first)
    telescope.observe(0.2, date_obs=MORNING + timedelta(minutes=30), with_picture=True)
    acknowledgements.put(telescope.db, shown.alert, None, "the one on shift", datetime.now(UTC))
    news = {
        "/": ".tile:has-text('0.20')",
        "/instrument/kso-halpha": ".sums:has-text('0.20')",
        "/alerts": ".known:has-text('the one on shift')",
    }
    page.wait_for_selector(news[urlsplit(path).path], timeout=PATIENCE_MS)
    assert lost
    page.close()


def test_ages_go_by_the_servers_clock_whatever_the_viewers_says(
    app: FastAPI, db: Database, telescope: Telescope, browser: Any
) -> None:
    app.state.context = replace(app.state.context, stream=EventStream(db, keep_alive_s=0.1))
    telescope.observe(date_obs=datetime.now(UTC) - timedelta(hours=3))
    with in_thread(app) as address:
        page = browser.new_page()
        page.clock.install(time=datetime.now(UTC) + timedelta(hours=5))
        page.goto(address)
        page.wait_for_selector(LIVE)
        assert page.inner_text(".tile time") == "3 h"
        page.clock.set_system_time(
            datetime.now(UTC) + timedelta(days=30)
        )  # as when it is set while one looks
        page.clock.run_for(2_000)
        page.wait_for_selector(".tile time:text-is('3 h')")
        page.close()


def test_a_frames_header_is_shown_when_the_connection_is_back(
    settings: Settings, telescope: Telescope, tmp_path: Path, address: str, browser: Any
) -> None:
    shown = built(telescope, settings, tmp_path)
    page = browser.new_page()
    page.goto(f"{address}/frame/{shown.cloudy}")
    asked: list[str] = []

    def lose_the_first(route: Any) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route("**/header", lose_the_first)
    page.click("#file-header summary")
    page.wait_for_selector("#header :text('the night assistant')", timeout=PATIENCE_MS)
    assert asked == 2 * [f"{address}/frame/{shown.cloudy}/header"]
    page.close()
