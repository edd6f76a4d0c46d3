"""The live page in a real browser, against a real server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from observatory.analysis import Cause
from observatory.settings import InstrumentSettings, Settings
from observatory.storage import schema
from observatory.storage.session import Database
from service.main import create_app
from tests.service import photosphere
from tests.service.corona import AR, CH, NOON, central, found
from tests.service.telescope import DAY, Telescope, in_thread, on_sqlite

pytestmark = on_sqlite


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here: `make test` installs it, or: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens a page and, at the end, insists that nothing went wrong in it."""
    complaints: list[str] = []
    contexts = []

    def visit(path: str = "/", **options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(30_000)  # a browser beside other tests on two cores
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}{path}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def fill_corona(telescope: Telescope) -> None:
    coronal(telescope)
    telescope.compose(NOON, missing="aia-171")


def fill(telescope: Telescope) -> datetime:
    start = DAY + timedelta(hours=8)
    for minute in range(5):
        telescope.observe(0.9, with_picture=True, with_map=True, date_obs=start + timedelta(minutes=minute))
    return start


def test_frames_appear_without_a_reload(telescope: Telescope, open_page: Callable[..., Any]) -> None:
    start = fill(telescope)
    page = open_page()
    page.wait_for_selector("#live[data-state=live]")
    assert "clear" in page.inner_text(".tile")
    page.evaluate("window.wasNotReloaded = true")

    cloudy = telescope.observe(
        0.12, (Cause.CLOUD, 0.8), with_picture=True, with_map=True, date_obs=start + timedelta(minutes=6)
    )
    page.wait_for_selector(f"#frame[data-frame='{cloudy}']")
    page.wait_for_selector(".tile .verdict.degraded")
    assert "0.12: cloud" in page.inner_text(".tile")
    assert "80 %" in page.inner_text("#frame")
    assert "degraded: cloud" in page.inner_text("#announce")
    telescope.refuse("the file is empty", file_name="empty.fts")
    page.wait_for_selector("#refusals:has-text('the file is empty')")
    telescope.observe(None, instrument="aia-193", family="aia", with_picture=True)
    page.wait_for_selector(".tile:has-text('aia-193')")
    assert page.evaluate("window.wasNotReloaded")


def test_frames_are_followed_after_a_clock_that_was_ahead_was_put_right(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    now = datetime.now(UTC)

    def observe(second: int, ahead: timedelta = timedelta()) -> int:
        came = now + timedelta(seconds=second)
        return telescope.observe(0.9, date_obs=came + ahead, received_at=came, with_picture=True)

    observe(0)
    page = open_page()
    page.wait_for_selector("#live[data-state=live]")
    for second, ahead in ((6, timedelta(hours=2)), (12, timedelta()), (18, timedelta())):
        newest = observe(second, ahead)
        page.wait_for_selector(f"#frame[data-frame='{newest}']")
    page.wait_for_selector(f"#listed tr:first-child a[data-select='{newest}']", state="attached")


def test_a_first_frame_fills_an_empty_page(telescope: Telescope, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.wait_for_selector("#live[data-state=live]")
    assert "Nothing has arrived yet" in page.inner_text("main")
    telescope.observe(with_picture=True, date_obs=datetime.now(UTC))
    page.wait_for_selector(".tile .verdict.clear")
    page.wait_for_selector("#plot canvas")


def test_a_frame_is_chosen_by_key_and_by_click_and_stays(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    start = fill(telescope)
    page = open_page()
    page.wait_for_selector("#live[data-state=live]")
    page.focus("#chart")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#frame[data-frame='4']")
    assert "frame=4" in page.url
    assert "clear 0.90" in page.get_attribute("#chart", "aria-valuetext")
    page.keyboard.press("Home")
    page.wait_for_selector("#frame[data-frame='1']")
    telescope.observe(0.3, date_obs=start + timedelta(minutes=9))
    page.wait_for_selector(".tile .verdict.degraded")
    assert page.get_attribute("#frame", "data-frame") == "1"
    box = page.locator("#chart .u-over").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 5, box["y"] + box["height"] - 5)
    page.wait_for_selector("#frame:not([data-frame='1'])")
    page.click("text=Back to live")
    page.wait_for_selector("#frame[data-frame='6']")


def test_the_map_lies_over_the_picture_and_can_be_taken_away(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    fill(telescope)
    page = open_page()
    page.wait_for_selector("#live[data-state=live]")
    assert page.locator("img.map").bounding_box() == page.locator("img.preview").bounding_box()
    page.click("label.toggle")
    assert not page.is_visible("img.map")
    page.focus("#chart")
    page.keyboard.press("Home")
    page.wait_for_selector("#frame[data-frame='1']")
    assert not page.is_visible("img.map")  # the choice is kept from frame to frame
    page.focus("#show-map")
    page.keyboard.press("Space")
    assert page.is_visible("img.map")


@pytest.mark.parametrize("path", ["/", "/?instrument=aia-193", "/docs"])
def test_a_phone_shows_it_without_scrolling_sideways(
    telescope: Telescope, open_page: Callable[..., Any], path: str
) -> None:
    fill(telescope)
    telescope.observe(0.1, (Cause.DEW_OR_SNOW, 0.9), date_obs=datetime.now(UTC))
    telescope.refuse("x" * 300, file_name="y" * 200 + ".fits")
    fill_corona(telescope)
    page = open_page(path, viewport={"width": 375, "height": 812})
    assert page.evaluate("document.documentElement.scrollWidth") == 375


@pytest.mark.parametrize(
    "path", ["/?instrument=kso-halpha", "/?instrument=aia-193", "/?instrument=hmi-continuum"]
)
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_all_words_have_contrast(
    telescope: Telescope, open_page: Callable[..., Any], scheme: str, path: str
) -> None:
    fill(telescope)
    fill_corona(telescope)
    photosphere.with_pictures(telescope, photosphere.shown(telescope))
    telescope.observe(0.1, (Cause.CLOUD, 0.9), date_obs=datetime.now(UTC), is_simulated=True)
    telescope.refuse()
    page = open_page(path, color_scheme=scheme)
    page.wait_for_selector("#live[data-state=live]")
    poor = page.evaluate(_CONTRAST)
    assert poor == []


_CONTRAST = """() => {
  const light = (c) => { const v = c / 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const parse = (word) => word.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ground = (e) => {
    for (let up = e; up; up = up.parentElement) {
      const colour = parse(getComputedStyle(up).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.8) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const isWord = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!isWord || !e.checkVisibility() || e.matches(".step.off, script, svg *")) continue;
    const a = luminance(parse(getComputedStyle(e).color));
    const b = luminance(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${e.className || e.tagName} ${e.textContent.trim().slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


def coronal(telescope: Telescope, minutes: int = 0, **given: Any) -> int:
    at = NOON + timedelta(minutes=minutes)
    spots = central(20, 14), central(-35, 9, west_deg=30)
    made = found(CH, spots, at), found(AR, (central(-10, 6, west_deg=-30),), at)
    return telescope.corona(*made, date_obs=at, with_picture=True, **given)


def outlines_shown(page: Any) -> list[bool]:
    return [page.is_visible(f".layer.{kind} .edge >> nth=0") for kind in ("ch", "ar")]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_switch_of_the_map_lies_on_the_picture_and_covers_no_other(
    telescope: Telescope, open_page: Callable[..., Any], width: int
) -> None:
    coronal(telescope, with_map=True)
    page = open_page(viewport={"width": width, "height": 900})
    switch, picture = (page.locator(at).bounding_box() for at in (".for-map", "img.preview"))
    assert switch["y"] + switch["height"] <= picture["y"] + picture["height"]
    page.click(".switchable.ar .what", timeout=2000)
    assert outlines_shown(page) == [True, False]


def test_outlines_lie_on_the_picture_and_are_switched_by_key_and_kept_in_the_address(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    first, second = coronal(telescope), coronal(telescope, 5)
    page = open_page()
    page.wait_for_selector("#live[data-state=live]")
    assert page.locator("svg.outlines").bounding_box() == page.locator("img.preview").bounding_box()
    assert outlines_shown(page) == [True, True]
    page.focus("input[value=CH]")
    page.keyboard.press("Space")
    assert outlines_shown(page) == [False, True]
    assert page.url.endswith("/?outlines=AR")
    page.focus("#chart")
    page.keyboard.press("Home")
    page.wait_for_selector(f"#frame[data-frame='{first}']")
    assert outlines_shown(page) == [False, True]  # the choice is kept from frame to frame
    assert page.url.endswith(f"/?frame={first}&outlines=AR")
    page.reload()
    page.wait_for_selector("#live[data-state=live]")
    assert outlines_shown(page) == [False, True]
    page.click(".switchable.ar")
    assert outlines_shown(page) == [False, False] and "outlines=none" in page.url
    page.click(".switchable.ar")
    page.click(".switchable.ch")
    assert outlines_shown(page) == [True, True] and page.url.endswith(f"/?frame={first}")
    assert second > first


@pytest.mark.parametrize("mode", ["light", "dark", "red"])
def test_outlines_are_seen_over_the_picture_in_every_light(
    telescope: Telescope, open_page: Callable[..., Any], mode: str
) -> None:
    coronal(telescope)
    page = open_page(f"/?mode={mode}")
    page.wait_for_selector("#live[data-state=live]")
    picture = page.locator(".picture")
    with_holes = picture.screenshot()
    page.click(".switchable.ch")
    assert picture.screenshot() != with_holes


def test_regions_and_composites_appear_without_a_reload(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    telescope.observe(instrument="aia-193", family="aia", date_obs=NOON, with_picture=True)
    page = open_page("/?instrument=aia-193&outlines=CH")
    page.wait_for_selector("#live[data-state=live]")
    assert not page.is_visible("#areas") and not page.is_visible("#composite")
    coronal(telescope, 5)
    page.wait_for_selector(".layer.ch .edge")
    page.wait_for_selector("#areas .drawing path.ch", state="attached")
    assert outlines_shown(page) == [True, False]
    telescope.compose(NOON + timedelta(minutes=6))
    page.wait_for_selector("#composite:has-text('complete')")


def test_outlines_are_switched_without_javascript_too(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    frame_id = coronal(telescope)
    page = open_page(f"/?frame={frame_id}", java_script_enabled=False)
    assert outlines_shown(page) == [True, True]
    page.click(".switchable.ch")
    assert outlines_shown(page) == [False, True]
    page.click(".layers button")
    assert "outlines=none&outlines=AR" in page.url
    assert outlines_shown(page) == [False, True]
    assert page.get_attribute("#frame", "data-frame") == str(frame_id)


def test_the_seam_between_before_and_enhanced_is_moved_by_key_and_by_pointer(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    first, second = (photosphere.shown(telescope, with_picture=True) for _ in range(2))
    for frame_id in (first, second):
        photosphere.with_pictures(telescope, frame_id)
    page = open_page(f"/?frame={second}", viewport={"width": 360, "height": 800})
    page.wait_for_selector("#live[data-state=live]")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("img.before").bounding_box() == page.locator("img.after").bounding_box()
    page.focus(".place")
    page.keyboard.press("Home")
    assert seam(page) == (0, "0 % before, 100 % enhanced")
    page.keyboard.press("ArrowRight")
    assert seam(page) == (1, "1 % before, 99 % enhanced")
    box = page.locator(".place").bounding_box()
    page.locator(".place").click(position={"x": 0.75 * box["width"], "y": 20})
    at, words = seam(page)
    assert at == pytest.approx(75, abs=1) and words.startswith(f"{at:.0f} % before")
    page.focus("#chart")
    page.keyboard.press("Home")
    page.wait_for_selector(f"#frame[data-frame='{first}']")
    assert seam(page) == (at, words)  # it stays from frame to frame
    assert page.inner_text(".told .figure >> nth=0") == "3.6 % → 6.8 %"


def seam(page: Any) -> tuple[float, str]:
    """Where before ends, in percent of the picture's width, and what is said of it."""
    clip = page.evaluate("getComputedStyle(document.querySelector('img.after')).clipPath")
    found = re.fullmatch(r"inset\(0px 0px 0px ([\d.]+)%\)", clip)
    return float(found[1]) if found else 0.0, page.get_attribute(".place", "aria-valuetext")


def test_without_javascript_before_and_enhanced_lie_beside_each_other(
    telescope: Telescope, open_page: Callable[..., Any]
) -> None:
    frame_id = photosphere.shown(telescope, with_picture=True)
    photosphere.with_pictures(telescope, frame_id)
    page = open_page(f"/?frame={frame_id}", java_script_enabled=False)
    before, after = (page.locator(f"img.{side}").bounding_box() for side in ("before", "after"))
    assert before["x"] + before["width"] <= after["x"] and before["y"] == after["y"]
    assert not page.is_visible(".place")


def test_a_frame_that_was_refused_says_why(telescope: Telescope, open_page: Callable[..., Any]) -> None:
    photosphere.shown(telescope, {"refused": "<b>the continuum is negative</b>"})
    page = open_page()
    assert "Refused: <b>the continuum is negative</b>" in page.inner_text("#enhanced")
    assert page.locator(".place").count() == 0


def test_without_javascript_everything_is_there(telescope: Telescope, open_page: Callable[..., Any]) -> None:
    fill(telescope)
    page = open_page(java_script_enabled=False)
    assert "clear 0.90" in page.inner_text(".tile")
    assert page.locator("svg.sketch circle").count() == 5
    page.click("summary")
    page.click("#listed tr:last-child a")
    assert page.get_attribute("#frame", "data-frame") == "1"
    assert "frame=1" in page.url


def test_a_camera_that_falls_silent_is_called_late_without_a_reload(
    settings: Settings, db: Database, telescope: Telescope, browser: Any
) -> None:
    station = {"roof": InstrumentSettings(kind="halpha", cadence_s=60.0)}  # nobody knows its nights
    number = telescope.observe(date_obs=datetime.now(UTC), instrument="roof")
    with in_thread(create_app(settings.model_copy(update={"instruments": station}), db)) as url:
        page = browser.new_page()
        page.clock.install()
        page.goto(url)
        page.wait_for_selector("#live[data-state=live]")
        assert "every 1 min" in page.inner_text(".tile") and "late" not in page.inner_text(".tile")
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        with db.write() as connection:  # no event tells that time has passed
            moved = update(schema.frames).where(schema.frames.c.id == number)
            connection.execute(moved.values(date_obs=long_ago, moment=long_ago))
        page.clock.run_for(30_000)
        page.wait_for_selector(".tile:has-text('late: 60 min')", timeout=8_000)
        page.close()


def test_a_camera_without_frames_is_waited_for_and_a_refused_file_stays(
    settings: Settings, db: Database, telescope: Telescope, browser: Any
) -> None:
    station = {"roof": InstrumentSettings(kind="halpha")}
    telescope.observe()
    refused = telescope.refuse("the file is empty")
    with in_thread(create_app(settings.model_copy(update={"instruments": station}), db)) as url:
        for path in ("/?instrument=roof", f"/?frame={refused}"):
            page = browser.new_page()
            page.clock.install()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(f"{url}{path}")
            page.wait_for_selector("#live[data-state=live]")
            is_roof = "roof" in path
            assert ("No frame of roof has arrived yet" in page.inner_text("#now")) is is_roof
            assert (page.locator(".tile.current").count() == 1) is is_roof
            before = len(asked)
            with page.expect_request("**/now/tile?instrument=kso-halpha"):
                telescope.observe()  # of another camera
            page.clock.run_for(5_000)
            assert f"{url}{path}" not in asked[before:]
            if is_roof:
                telescope.observe(instrument="roof", date_obs=datetime.now(UTC))
                page.wait_for_selector("#day-title:has-text('roof')", timeout=8_000)
            page.close()
