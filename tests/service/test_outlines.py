"""Outlines lie over the preview exactly, whichever way the frame lies, and can be switched without a script."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from observatory.frame import RowOrder
from observatory.orientation import preview_affine
from observatory.storage.results import NewResult
from service.outlines import position
from tests.service.corona import AR, CH, NETWORK, NOON, central, face, found, picture
from tests.service.telescope import Telescope, on_sqlite
from workers.products.preview import orient, preview

HOLES = (central(35, 14, west_deg=-15), central(-30, 9, west_deg=25))
SVG = "{http://www.w3.org/2000/svg}"

ways_to_lie = pytest.mark.parametrize(
    ("row_order", "roll_deg", "height"),
    [
        (RowOrder.BOTTOM, 0.0, 256),
        (RowOrder.BOTTOM, 33.0, 256),
        (RowOrder.BOTTOM, -120.0, 256),
        (RowOrder.BOTTOM, None, 192),
        (RowOrder.TOP, 0.0, 256),
        (RowOrder.TOP, 20.0, 192),
    ],
)


@ways_to_lie
def test_a_frame_s_pixel_lies_in_its_preview_where_the_affine_says(
    row_order: RowOrder, roll_deg: float | None, height: int
) -> None:
    frame = picture(256, row_order, roll_deg, height)
    y, x = np.mgrid[:height, :256]
    spot = (255 * np.exp(-((x - 150) ** 2 + (y - 80) ** 2) / 50)).astype(np.float32)
    shown = orient(frame, cv2.resize(spot, (128, height // 2), interpolation=cv2.INTER_AREA))
    rows, columns = np.mgrid[: height // 2, :128]
    seen = (shown * (columns + 0.5)).sum() / shown.sum(), (shown * (rows + 0.5)).sum() / shown.sum()
    a, b, c, d, e, f = preview_affine(frame)
    told = (a * 150 + b * 80 + c) * 128, (d * 150 + e * 80 + f) * (height // 2)
    assert seen == pytest.approx(told, abs=0.02)


@on_sqlite
@ways_to_lie
def test_outlines_enclose_what_the_preview_shows(
    client: TestClient, telescope: Telescope, row_order: RowOrder, roll_deg: float | None, height: int
) -> None:
    frame = picture(256, row_order, roll_deg, height)
    frame = replace(frame, pixels=face(frame, {CH: HOLES}), date_obs=NOON)
    shown = preview(frame)
    frame_id = telescope.corona(found(CH, HOLES, NOON, frame=frame), date_obs=NOON, preview=shown.data)
    answer = client.get(f"/api/v1/frames/{frame_id}/outlines.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    drawing = ElementTree.fromstring(answer.text)
    assert (drawing.get("width"), drawing.get("height")) == (str(shown.width), str(shown.height))
    inside = np.zeros((shown.height, shown.width), np.uint8)
    paths = {path.get("d") or "" for path in drawing.iter(f"{SVG}path")}
    assert len(paths) == 2
    for path in paths:
        for ring in path.split("Z"):
            points = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", ring), float)
            if len(points):
                cv2.fillPoly(inside, [np.round(points - 0.5).astype(np.int32)], 1)
    pixels = cv2.imdecode(np.frombuffer(shown.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    core = cv2.erode(inside, np.ones((5, 5), np.uint8)).astype(bool)
    around = cv2.dilate(inside, np.ones((9, 9), np.uint8)).astype(bool)
    assert pixels[core].max() < 95 and core.sum() > 500
    rim = cv2.dilate(inside, np.ones((13, 13), np.uint8)).astype(bool) & ~around
    on_disk = pixels[rim & (pixels > 60)]
    assert on_disk.min() > 95


@on_sqlite
def test_an_svg_is_only_for_frames_with_regions_and_a_preview(
    client: TestClient, telescope: Telescope
) -> None:
    bare = telescope.corona(found(CH, HOLES), date_obs=NOON)
    plain = telescope.observe(with_picture=True)
    for frame_id in (bare, plain, 999):
        answer = client.get(f"/api/v1/frames/{frame_id}/outlines.svg")
        assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"
    pictured = telescope.corona(found(CH, HOLES), found(AR, ()), date_obs=NOON, with_picture=True)
    address = f"/api/v1/frames/{pictured}/outlines.svg"
    assert client.get(f"/api/v1/frames/{pictured}").json()["links"]["outlines"] == address
    assert client.get(address, params={"event_type": "AR"}).text.count("<path") == 0
    assert client.get(address, params={"event_type": "XX"}).status_code == 422


def test_positions_are_written_as_observers_write_them() -> None:
    here = {"stonyhurst_latitude_deg": -4.6, "stonyhurst_longitude_deg": 61.2}
    assert position(here) == "S05 W61"
    assert position({"stonyhurst_latitude_deg": 20.0, "stonyhurst_longitude_deg": -8.0}) == "N20 E08"
    assert position({"stonyhurst_latitude_deg": None, "stonyhurst_longitude_deg": None}) == ""


class Page(HTMLParser):
    """Checked boxes of a page, and the addresses in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.checked: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if given.get("name") == "outlines" and given.get("type") == "checkbox" and "checked" in given:
            self.checked.append(given["value"] or "")
        if tag == "a" and given.get("href"):
            self.addresses.append(given["href"] or "")


@on_sqlite
@pytest.mark.parametrize(
    ("query", "checked"),
    [
        ("", ["CH", "AR"]),
        ("&outlines=CH,AR", ["CH", "AR"]),
        ("&outlines=AR", ["AR"]),
        ("&outlines=none", []),
        ("&outlines=", []),
        ("&outlines=none&outlines=CH", ["CH"]),  # as a form without a script sends it
        ("&outlines=<script>,CH", ["CH"]),
    ],
)
def test_the_address_says_which_outlines_are_shown(
    client: TestClient, telescope: Telescope, query: str, checked: list[str]
) -> None:
    telescope.corona(found(CH, HOLES), date_obs=NOON)
    frame_id = telescope.corona(found(CH, HOLES), found(AR, HOLES), date_obs=NOON, with_picture=True)
    for path in (f"/?frame={frame_id}{query}", f"/now/frame/{frame_id}?pinned=1{query}"):
        page = Page(client.get(path).text)
        assert page.checked == checked
    page = Page(client.get(f"/?frame={frame_id}{query}").text)
    others = [address for address in page.addresses if address.startswith("/?frame=")]
    assert others and all(("outlines=" in address) is bool(query) for address in others)


@on_sqlite
def test_the_page_lists_a_frame_s_regions_and_draws_the_day_s_areas(
    client: TestClient, telescope: Telescope
) -> None:
    frame_id = telescope.corona(found(CH, HOLES), found(AR, ()), date_obs=NOON, with_picture=True)
    text = client.get(f"/?frame={frame_id}").text
    assert "CH 1" in text and "N35 E15" in text and "aia-segmentation 1.0.0" in text
    assert "Outlines: 2 coronal holes, 0 active regions" in text
    assert 'id="areas"' in text and "Areas as CSV" in text
    empty = telescope.corona(found(CH, ()), date_obs=NOON, with_picture=True)
    assert "No regions on this frame" in client.get(f"/now/frame/{empty}").text
    reason = {"skipped": "the frame is degraded: eclipse"}
    dark = telescope.observe(with_picture=True, made=[NewResult("segmentation", NETWORK, reason)])
    assert "not looked for: the frame is degraded: eclipse." in client.get(f"/now/frame/{dark}").text
    telescope.again(frame_id, looked_for=(CH, AR), made=[NewResult("segmentation", NETWORK, reason)])
    hidden = client.get(f"/now/frame/{frame_id}").text
    assert "not looked for: the frame is degraded: eclipse." in hidden and "N35 E15" not in hidden
    plain = telescope.observe(with_picture=True)
    other = client.get(f"/?frame={plain}").text
    assert 'class="layers"' not in other and "Areas as CSV" not in other


@on_sqlite
def test_the_newest_composite_has_a_tile(client: TestClient, telescope: Telescope) -> None:
    assert "hidden" in client.get("/now/composite").text
    telescope.compose(NOON, missing="aia-171")
    partial = client.get("/now/composite").text
    assert "a channel is missing" in partial and "aia-211 · aia-304" in partial
    telescope.compose(NOON.replace(hour=13))
    text = client.get("/now/composite").text
    assert "complete" in text and "composite</span>" in text  # the look that all have is not named
    assert 'id="composite"' in client.get("/").text
