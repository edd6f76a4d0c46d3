"""The page Frame as it is served, before any script runs."""

from __future__ import annotations

from datetime import timedelta

from fastapi.testclient import TestClient

from observatory.access import Scope
from observatory.analysis import Cause
from observatory.storage import marks
from observatory.storage.session import Database
from tests.service.access import bearer, make_key
from tests.service.telescope import DAY, Telescope


def test_a_frame_is_told_with_what_made_its_numbers(client: TestClient, telescope: Telescope) -> None:
    number = telescope.observe(0.2, (Cause.CLOUD, 0.81), with_picture=True, with_map=True)
    page = client.get(f"/frame/{number}").text
    assert "degraded" in page and "81 %" in page
    assert 'id="show-map"' in page
    assert "heliowatch reproduce" in page and "halpha-quality 1.0.0" in page
    assert "&#34;score&#34;: 0.2" in page


def test_one_steps_to_the_frames_of_the_same_instrument(client: TestClient, telescope: Telescope) -> None:
    first = telescope.observe(date_obs=DAY)
    last = telescope.observe(date_obs=DAY + timedelta(hours=2))
    middle = telescope.observe(date_obs=DAY + timedelta(hours=1))
    telescope.observe(date_obs=DAY + timedelta(minutes=90), instrument="aia-193", family="aia")
    page = client.get(f"/frame/{middle}", params={"outlines": "CH"}).text
    assert f'rel="prev" href="/frame/{first}?outlines=CH"' in page
    assert f'rel="next" href="/frame/{last}?outlines=CH"' in page
    assert 'rel="prev"' not in client.get(f"/frame/{first}").text
    assert 'rel="next"' not in client.get(f"/frame/{last}").text


def test_a_frame_is_marked_and_the_word_taken_back(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    number = telescope.observe(0.9)
    sent = {"mark": "bad", "note": " a bird "}
    assert client.post(f"/frame/{number}/mark", data=sent).status_code == 401
    client.headers |= bearer(make_key(db, Scope.READ, Scope.WRITE))
    answer = client.post(f"/frame/{number}/mark", data=sent, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/frame/{number}#marks")
    assert [(one.mark, one.note) for one in marks.of_frame(db, number)] == [("bad", "a bird")]
    page = client.get(f"/frame/{number}").text
    assert "now marked <strong>bad</strong>" in page and "a bird" in page
    client.post(f"/frame/{number}/mark", data={"mark": "clear"})
    assert "taken back" in client.get(f"/frame/{number}").text


def test_what_is_no_mark_or_no_frame_is_refused(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    number = telescope.observe()
    client.headers |= bearer(make_key(db, Scope.READ, Scope.WRITE))
    assert client.post(f"/frame/{number}/mark", data={"mark": "lovely"}).status_code == 422
    assert client.post("/frame/99/mark", data={"mark": "good"}).status_code == 404
    assert client.get("/frame/99").status_code == 404
    assert client.get("/frame/0").status_code == 422


def test_a_file_that_is_gone_has_no_header_and_says_so(client: TestClient, telescope: Telescope) -> None:
    number = telescope.observe()
    page = client.get(f"/frame/{number}/header")
    assert page.status_code == 200
    assert "moved or removed" in page.text
