"""The page Alerts: over plain HTTP, and in a real browser."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from observatory.access import Scope
from observatory.settings import Settings
from observatory.storage import acknowledgements, alert_catalogue, audit, silences
from observatory.storage.session import Database
from service.main import create_app
from tests.service.access import bearer, make_key
from tests.service.alarms import Alarms, webhook, with_channels
from tests.service.telescope import on_sqlite
from tests.service.test_browser import browser, open_page

__all__ = ["browser", "open_page"]  # fixtures
pytestmark = on_sqlite


@pytest.fixture
def alarms(db: Database, settings: Settings) -> Alarms:
    return Alarms(db, settings)


def shown(client: TestClient, query: str = "") -> str:
    answer = client.get(f"/alerts{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


def test_what_fires_is_shown_and_what_is_over_is_listed_page_by_page(
    client: TestClient, alarms: Alarms
) -> None:
    over = [alarms.fire(f"Rule{number}")[0] for number in range(30)]
    for number, alert in enumerate(over):
        alarms.resolve(alert, rule=f"Rule{number}")
    (fires,) = alarms.fire("<b>Bold</b>", annotations={"summary": "<script>alert(1)</script>"})
    text = shown(client)
    assert f'id="alert-{fires}"' in text and "<b>Bold" not in text and "<script>alert(1)" not in text
    assert [f">Rule{number}<" in text for number in (29, 5, 4)] == [True, True, False]
    older = re.search(r'href="(/alerts\?before=\d+)#history"', text)
    assert older is not None
    text = shown(client, older[1].removeprefix("/alerts"))
    assert [f">Rule{number}<" in text for number in (29, 5, 4, 0)] == [False, False, True, True]


def test_a_channel_that_tells_nobody_is_named(client: TestClient, db: Database, settings: Settings) -> None:
    alarms = Alarms(db, with_channels(settings, {"hook": webhook("http://127.0.0.1:9/")}))
    alarms.fire("Fresh")
    assert "has not delivered" not in shown(client)
    alarms.fire("One", "Two", now=datetime.now(UTC) - timedelta(minutes=10))
    text = shown(client)
    assert re.search(r"<strong>hook</strong> has not delivered 3 messages, .*>10 min</time>", text)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?instrument=gong", {"Other"}),
        ("?rule=HalphaDegraded", {"HalphaDegraded"}),
        ("?severity=critical", {"Other"}),
        ("?instrument=nobody", set()),
        ("?instrument=&severity=&rule=&day=", {"HalphaDegraded", "Other"}),
        ("?before=x&day=yesterday&rule=%00", {"HalphaDegraded", "Other"}),
    ],
)
def test_the_address_chooses_and_what_makes_no_sense_in_it_asks_for_nothing(
    query: str, wanted: set[str], client: TestClient, alarms: Alarms
) -> None:
    alarms.fire()
    alarms.fire("Other", instrument="gong", labels={"severity": "critical"})
    cards = re.findall(r'<article.*?<a href="[^"]*">([^<]*)</a>', shown(client, query), re.DOTALL)
    assert set(cards) == wanted


def test_writing_needs_a_key_no_other_origin_and_is_in_the_audit_log(
    client: TestClient, alarms: Alarms, db: Database
) -> None:
    (number,) = alarms.fire()
    form = {"data": {"note": "on my way"}, "follow_redirects": False}
    page = {"Accept": "text/html"}
    address = f"/alerts/{number}/ack?rule=HalphaDegraded"
    key = make_key(db, Scope.WRITE, name="observer")
    refused = client.post(address, headers=page, **form)
    assert refused.status_code == 401 and "Basic" in refused.headers["www-authenticate"]
    elsewhere = page | {"Sec-Fetch-Site": "cross-site"}
    assert client.post(address, headers=elsewhere, auth=("", key), **form).status_code == 403
    done = client.post(address, headers=page, auth=("", key), **form)
    assert (done.status_code, done.headers["location"]) == (
        303,
        f"/alerts?rule=HalphaDegraded#alert-{number}",
    )
    text = shown(client)
    assert "by observer" in text and "on my way" in text and f"/alerts/{number}/ack" not in text
    entries = audit.page(db, audit.AuditFilter(), limit=9)
    found = {(entry["action"], entry["actor"], entry["status"]) for entry in entries}
    assert ("POST /alerts/{alert_id}/ack", "observer", 303) in found
    assert ("POST /alerts/{alert_id}/ack", "anonymous", 401) in found


def test_what_cannot_be_done_is_said_on_the_page(client: TestClient, alarms: Alarms, db: Database) -> None:
    client.headers.update(bearer(make_key(db, Scope.WRITE)))
    (number,) = alarms.fire()
    alarms.resolve(number)
    for path, data, status, words in (
        (f"/alerts/{number}/ack", {}, 409, "is over"),
        ("/alerts/999/ack", {}, 404, "no alert 999"),
        ("/alerts/silences/9/expire", {}, 404, "no silence 9"),
        ("/alerts/silences", {"hours": "1", "comment": "snow"}, 422, "say which alerts"),
    ):
        answer = client.post(path, data=data)
        assert (answer.status_code, words in answer.text) == (status, True), path
        assert 'role="alert"' in answer.text
    assert client.post("/alerts/silences", data={"hours": "0", "instrument": "*"}).status_code == 422


def test_all_who_acknowledged_are_named_the_first_before_the_others(
    client: TestClient, alarms: Alarms, db: Database
) -> None:
    (number,) = alarms.fire()
    for author, words in (("anna", "on my way"), ("bert", None), ("anna", "mended")):
        acknowledgements.put(db, number, words, author, datetime.now(UTC))
    text = client.get("/alerts").text
    said = re.findall(r"acknowledged</span> by (\w+), .*?</time> ago(?:: ([\w ]+))?<", text)
    assert said == [("anna", "on my way"), ("bert", ""), ("anna", "mended")]
    (listed,) = client.get("/api/v1/alerts").json()["items"]
    assert [item["author"] for item in listed["acknowledgements"]] == ["anna", "bert", "anna"]
    assert (
        listed["acknowledged"] == listed["acknowledgements"][0] and listed["acknowledged"]["note"] == "mended"
    )
    alarms.resolve(number)
    assert "<td>anna, bert</td>" in client.get("/alerts").text


def test_a_silence_is_begun_and_ended_by_forms(client: TestClient, alarms: Alarms, db: Database) -> None:
    client.headers.update(bearer(make_key(db, Scope.WRITE, name="observer")))
    alarms.fire()
    form = {"instrument": "kso-*", "alertname": " ", "hours": "4", "comment": "snow"}
    text = client.post("/alerts/silences", data=form).text
    assert "instrument=kso-*" in text and "by observer: snow" in text and "#silence-1" in text
    (made,) = silences.listed(db, limit=9, now=datetime.now(UTC))
    assert dict(made.matchers) == {"instrument": "kso-*"}
    assert timedelta(hours=3.9) < made.ends_at - datetime.now(UTC) <= timedelta(hours=4)
    text = client.post(f"/alerts/silences/{made.id}/expire").text
    assert "None: nothing is held back" in text and "#silence-1" not in text


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_an_alert_is_acknowledged_in_the_browser(
    db: Database, alarms: Alarms, open_page: Callable[..., Any], scripts: bool
) -> None:
    (number,) = alarms.fire()
    page = open_page("/alerts?instrument=kso-halpha", java_script_enabled=scripts)
    page.fill(f"#alert-{number} input[name=note]", "on my way")
    page.click(f"#alert-{number} button")
    page.wait_for_selector(f"#alert-{number} .known:has-text('on my way')")
    assert "instrument=kso-halpha" in page.url
    alert = alert_catalogue.get(db, number, datetime.now(UTC))
    assert alert is not None and alert["acknowledged"]["note"] == "on my way"


def test_a_change_is_shown_at_once_unless_somebody_is_writing(
    db: Database, alarms: Alarms, open_page: Callable[..., Any]
) -> None:
    one, two = alarms.fire("One", "Two")
    page = open_page("/alerts")
    acknowledgements.put(db, one, "seen", "observer", datetime.now(UTC))
    page.wait_for_selector(f"#alert-{one} .known")
    page.fill(f"#alert-{two} input[name=note]", "half a sen")
    acknowledgements.put(db, one, "again", "observer", datetime.now(UTC))
    page.wait_for_selector("#news:visible")
    assert page.input_value(f"#alert-{two} input[name=note]") == "half a sen"


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("colours", ["dark", "light"])
def test_the_page_fits_its_window(
    width: int, colours: str, db: Database, alarms: Alarms, open_page: Callable[..., Any]
) -> None:
    long = "a-camera-with-a-name-that-is-far-too-long-for-any-telephone-0123"
    (over,) = alarms.fire("LongGone")
    alarms.resolve(over, rule="LongGone")
    alarms.fire(
        "CameraSilent",
        instrument=long,
        labels={"severity": "critical"},
        annotations={"summary": f"{long}: no frame"},
    )
    (known,) = alarms.fire()
    acknowledgements.put(db, known, "on my way", "observer", datetime.now(UTC))
    now = datetime.now(UTC)
    silences.create(db, {"instrument": "kso-*"}, now, now + timedelta(hours=2), "snow", "observer", now)
    viewport = {"width": width, "height": 800}
    page = open_page("/alerts", viewport=viewport, color_scheme=colours)
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".alert").count() == 2
    assert "critical" in page.inner_text(".alert >> nth=0")


def test_the_table_of_what_is_over_holds_what_the_page_lists(client: TestClient, alarms: Alarms) -> None:
    for rule in ("Gone", "Other"):
        alarms.resolve(alarms.fire(rule)[0], rule=rule)
    alarms.fire("Gone", "gong")
    today = datetime.now(UTC).date()
    for query, wanted in (("", 2), ("?rule=Gone", 1), (f"?rule=Gone&day={today}", 1), ("?day=2026-01-01", 0)):
        link = re.search(r'href="([^"]+)">As CSV', shown(client, query))
        assert link is not None
        answer = client.get(html.unescape(link[1]))
        assert answer.status_code == 200, answer.text
        assert len(answer.text.splitlines()) - 1 == wanted, query


def test_who_watches_nothing_is_not_told_that_nothing_fires(
    client: TestClient, settings: Settings, db: Database, tmp_path: Path
) -> None:
    assert "nothing is watched" in shown(client) and "nothing fires" not in shown(client)
    rules = tmp_path / "rules.yaml"
    rules.write_text("[]")
    alerts = settings.alerts.model_copy(update={"rules": rules})
    with TestClient(create_app(settings.model_copy(update={"alerts": alerts}), db)) as watching:
        assert "nothing fires" in shown(watching) and "nothing is watched" not in shown(watching)
