"""Pages that cannot be had: a person is told on a page, a program as everywhere."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/frame/99999", "There is no frame 99999"),
        ("/nothing", "There is no page at this address"),
        ("/instrument/x", "There is no instrument of that name"),
    ],
)
def test_a_person_sees_a_page_with_a_way_on(client: TestClient, path: str, words: str) -> None:
    answer = client.get(path, headers=PERSON)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert words in answer.text and "what arrives now" in answer.text


def test_a_program_is_told_as_everywhere(client: TestClient) -> None:
    for path, headers in (
        ("/frame/99999", {}),
        ("/frame/99999", {"HX-Request": "true", **PERSON}),
        ("/api/v1/frames/99999", PERSON),
    ):
        answer = client.get(path, headers=headers)
        assert answer.headers["content-type"] == "application/problem+json", path
        assert answer.json()["status"] == 404


def test_a_refusal_keeps_its_headers_and_its_status(client: TestClient) -> None:
    answer = client.put("/calendar", headers=PERSON)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "This page takes no such request" in answer.text
