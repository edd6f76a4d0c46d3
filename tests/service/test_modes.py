"""The colours of the pages: said by the address, kept by a cookie, on every page."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

PAGES = ("/", "/calendar", "/coverage", "/alerts", "/models", "/system", "/docs")


@pytest.mark.parametrize("path", PAGES)
def test_an_address_says_its_mode_on_every_page(client: TestClient, path: str) -> None:
    assert "data-mode" not in client.get(path).text
    page = client.get(path, params={"mode": "red"}).text
    assert 'data-mode="red"' in page and 'id="in-red"' in page
    assert "data-mode" not in client.get(path, params={"mode": "purple"}).text


def test_a_chosen_mode_stays_until_the_browser_is_left_to_choose(client: TestClient) -> None:
    answer = client.get("/mode", params={"to": "dark", "back": "/alerts?rule=X"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts?rule=X")
    assert 'data-mode="dark"' in client.get("/coverage").text
    assert 'data-mode="light"' in client.get("/coverage?mode=light").text
    client.get("/mode", params={"to": "auto"})
    assert "data-mode" not in client.get("/coverage").text


@pytest.mark.parametrize(
    "back", ["//elsewhere.example/", "/\\elsewhere.example", "https://elsewhere.example", "x"]
)
def test_one_is_never_sent_elsewhere(client: TestClient, back: str) -> None:
    answer = client.get("/mode", params={"to": "red", "back": back}, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_the_choice_leads_back_to_the_same_state(client: TestClient) -> None:
    page = client.get("/coverage?span=7d&mode=dark").text
    assert "to=red&amp;back=%2Fcoverage%3Fspan%3D7d" in page
