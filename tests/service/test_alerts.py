"""Alerts and silences over the API: what fires, a human's word on it, and what Prometheus is told."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from observatory.access import Scope
from observatory.settings import Settings
from observatory.storage import audit, events, outbox
from observatory.storage.session import Database
from service.routes import alerts as routes
from tests.service.access import bearer, make_key
from tests.service.alarms import Alarms
from tests.service.telescope import on_sqlite


@pytest.fixture
def alarms(db: Database, settings: Settings) -> Alarms:
    return Alarms(db, settings)


@pytest.fixture
def writer(client: TestClient, db: Database) -> TestClient:
    client.headers.update(bearer(make_key(db, Scope.WRITE, name="observer")))
    return client


def numbers(client: TestClient, query: str = "") -> list[int]:
    given = client.get(f"/api/v1/alerts{query}")
    assert given.status_code == 200, given.text
    return [item["id"] for item in given.json()["items"]]


def test_alerts_are_listed_newest_first_and_filtered(writer: TestClient, alarms: Alarms) -> None:
    one, two = alarms.fire("A", "B")
    (three,) = alarms.fire("A", instrument="gong", labels={"severity": "critical"})
    alarms.resolve(two, rule="B")
    writer.post(f"/api/v1/alerts/{one}/ack")
    assert numbers(writer) == [three, two, one]
    for query, wanted in (
        ("?state=firing", [three, one]),
        ("?state=resolved", [two]),
        ("?instrument=gong", [three]),
        ("?rule=A", [three, one]),
        ("?severity=critical", [three]),
        ("?acknowledged=true", [one]),
        ("?acknowledged=false", [three, two]),
        ("?time=2020-01-01/2020-01-02", []),
        ("?time=2026-01-01/..", [three, two, one]),
    ):
        assert numbers(writer, query) == wanted, query
    first = writer.get("/api/v1/alerts?limit=2")
    assert [item["id"] for item in first.json()["items"]] == [three, two]
    assert first.links["next"]["url"] == first.json()["next"]
    rest = writer.get(first.json()["next"]).json()
    assert ([item["id"] for item in rest["items"]], rest["next"]) == ([one], None)
    lines = list(csv.DictReader(io.StringIO(writer.get("/api/v1/alerts?format=csv").text)))
    assert [(line["id"], line["state"], line["cause"]) for line in lines] == [
        (str(three), "firing", "cloud"),
        (str(two), "resolved", "cloud"),
        (str(one), "firing", "cloud"),
    ]
    assert lines[2]["acknowledged_by"] == "observer"
    again = writer.get(
        "/api/v1/alerts", headers={"If-None-Match": writer.get("/api/v1/alerts").headers["etag"]}
    )
    assert again.status_code == 304


@on_sqlite
def test_a_table_of_alerts_is_whole_unless_a_page_of_it_is_asked_for(
    client: TestClient, alarms: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_PIECE", 40)
    alarms.fire(*(f"Rule{number}" for number in range(120)))

    def rules(address: str) -> list[str]:
        return [line["rule"] for line in csv.DictReader(io.StringIO(client.get(address).text))]

    newest_first = [f"Rule{number}" for number in reversed(range(120))]
    assert rules("/api/v1/alerts?format=csv") == newest_first
    page = client.get("/api/v1/alerts?format=csv&limit=70")
    assert rules(str(page.url)) + rules(page.links["next"]["url"]) == newest_first


def test_acknowledging_is_noted_told_and_kept(writer: TestClient, alarms: Alarms, db: Database) -> None:
    (number,) = alarms.fire(notify=("ops",))
    last = events.last_seq(db)
    for note in ("on my way \u0000", None):
        given = writer.post(f"/api/v1/alerts/{number}/ack", json={"note": note})
        assert given.status_code == 200, given.text
    shown = writer.get(f"/api/v1/alerts/{number}").json()
    assert shown["acknowledged"]["author"] == "observer" and shown["state"] == "firing"
    assert [item["note"] for item in shown["acknowledgements"]] == [None, "on my way \\0"]
    (told,) = shown["notifications"]
    assert (told["channel"], told["kind"], told["state"], told["attempts"]) == ("ops", "fired", "waiting", 0)
    heard = events.after(db, last)
    assert [event.type for event in heard] == ["alert", "alert"]
    assert heard[0].payload["id"] == number and heard[0].payload["acknowledged"]["author"] == "observer"
    entry = audit.page(db, audit.AuditFilter(), limit=1)[0]
    assert entry["action"] == "POST /api/v1/alerts/{alert_id}/ack" and entry["detail"] == {"alert": number}


def test_an_alert_that_is_over_or_is_none_cannot_be_acknowledged(
    writer: TestClient, alarms: Alarms, db: Database
) -> None:
    (number,) = alarms.fire()
    alarms.resolve(number)
    refused = writer.post(f"/api/v1/alerts/{number}/ack", json={"note": "late"})
    assert refused.status_code == 409 and "was resolved at" in refused.json()["detail"]
    assert writer.post("/api/v1/alerts/999/ack").status_code == 404
    assert writer.get("/api/v1/alerts/999").status_code == 404
    assert writer.post("/api/v1/alerts/0/ack").status_code == 422
    assert writer.get(f"/api/v1/alerts/{number}").json()["acknowledgements"] == []
    for body in ({"note": "x" * 2001}, {"words": "x"}, [1]):
        assert writer.post(f"/api/v1/alerts/{number}/ack", json=body).status_code == 422


@on_sqlite
def test_whoever_may_only_read_neither_acknowledges_nor_silences(
    client: TestClient, alarms: Alarms, db: Database
) -> None:
    (number,) = alarms.fire()
    key = bearer(make_key(db, Scope.READ))
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"matchers": {"instrument": "*"}, "ends_at": until}
    assert client.post(f"/api/v1/alerts/{number}/ack", headers=key).status_code == 403
    assert client.post("/api/v1/silences", json=body, headers=key).status_code == 403
    assert client.delete("/api/v1/silences/1", headers=key).status_code == 403
    assert client.post("/api/v1/silences", json=body).status_code == 401
    assert client.get("/api/v1/alerts").status_code == 200


def test_a_silence_is_made_listed_and_ended(writer: TestClient, alarms: Alarms, db: Database) -> None:
    (number,) = alarms.fire()
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = writer.post(
        "/api/v1/silences",
        json={
            "matchers": {"instrument": "kso-*", "severity": "warning"},
            "ends_at": until,
            "comment": "snow",
        },
    )
    assert made.status_code == 201, made.text
    silence = made.json()
    assert (silence["state"], silence["author"], silence["comment"]) == ("active", "observer", "snow")
    assert writer.get(f"/api/v1/alerts/{number}").json()["silenced_by"] == silence["id"]
    assert [item["id"] for item in writer.get("/api/v1/silences").json()["items"]] == [silence["id"]]
    for _ in range(2):
        ended = writer.delete(f"/api/v1/silences/{silence['id']}")
        assert ended.status_code == 200 and ended.json()["state"] == "expired"
    assert ended.json()["ends_at"] < until
    assert writer.get("/api/v1/silences").json()["items"] == []
    assert len(writer.get("/api/v1/silences?expired=true").json()["items"]) == 1
    assert writer.get(f"/api/v1/alerts/{number}").json()["silenced_by"] is None
    assert writer.delete("/api/v1/silences/77").status_code == 404
    actions = [entry["action"] for entry in audit.page(db, audit.AuditFilter(), limit=9)]
    assert "POST /api/v1/silences" in actions


@on_sqlite
@pytest.mark.parametrize(
    ("changed", "parameter"),
    [
        ({"ends_at": "2020-01-01T00:00Z"}, "ends_at"),
        ({"ends_at": "9999-12-31T23:59:59Z"}, "ends_at"),
        ({"ends_at": "soon"}, "ends_at"),
        ({"ends_at": None}, "ends_at"),
        ({"starts_at": "2999-01-01T00:00Z"}, "ends_at"),
        ({"matchers": {}}, "matchers"),
        ({"matchers": {"a": ""}}, None),
        ({"matchers": {"a": 1}}, None),
        ({"matchers": {str(i): "x" for i in range(21)}}, "matchers"),
        ({"comment": "x" * 2001}, "comment"),
        ({"regex": True}, "regex"),
    ],
)
def test_a_silence_that_cannot_be_says_which_word_is_wrong(
    writer: TestClient, changed: dict[str, Any], parameter: str | None
) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    refused = writer.post(
        "/api/v1/silences", json={"matchers": {"instrument": "x"}, "ends_at": until} | changed
    )
    assert refused.status_code == 422
    problem = refused.json()["errors"][0]
    assert parameter is None or problem["parameter"] == parameter
    assert problem["detail"]
    assert writer.get("/api/v1/silences?expired=true").json()["items"] == []


def test_prometheus_is_told_what_fires_and_what_was_sent(
    client: TestClient, alarms: Alarms, db: Database
) -> None:
    one, _ = alarms.fire("A", "B")
    alarms.fire("C", labels={"severity": "critical"}, instrument="gong")
    alarms.resolve(one, rule="A")
    later = datetime.now(UTC) + timedelta(minutes=1)
    claimed = outbox.claim(db, "hook", "me", later, 30)
    assert claimed is not None and outbox.note_sent(db, claimed, "me", later)
    words = client.get("/metrics").text
    assert 'heliowatch_alerts_firing{severity="warning"} 1.0' in words
    assert 'heliowatch_alerts_firing{severity="critical"} 1.0' in words
    assert 'heliowatch_alerts_firing{severity="info"} 0.0' in words
    assert 'heliowatch_notifications_total{channel="hook",outcome="sent"} 1.0' in words
