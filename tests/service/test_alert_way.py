"""The whole way of an alert: frames, the engine, the outbox, a webhook, a human's word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi.testclient import TestClient

from observatory.access import Scope
from observatory.analysis import Cause
from observatory.settings import AlertSettings, Settings
from observatory.storage.session import Database
from service.main import create_app
from tests.service.access import bearer, make_key
from tests.service.alarms import webhook, with_channels
from tests.service.receivers import Receiver, web_server
from tests.service.telescope import Telescope

_RULES = """
- alert: HalphaDegraded
  instrument: kso-*
  when: {quality: {lt: 0.4}}
  for_frames: 3
  clear_frames: 2
  labels: {severity: critical}
  annotations: {summary: "{instrument}: {cause} for {frames} frames"}
  notify: [hook]
"""


def test_bad_frames_reach_a_webhook_an_observer_answers_and_good_ones_end_it(
    settings: Settings, db: Database, telescope: Telescope, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(_RULES)
    start = datetime.now(UTC) - timedelta(seconds=60)
    with web_server(Receiver()) as receiver:
        house = with_channels(settings, {"hook": webhook(receiver.url)}, poll_s=0.05)
        house = house.model_copy(update={"alerts": AlertSettings(rules=rules, poll_s=0.05)})
        app = create_app(house, db)
        with TestClient(app) as client:
            eventually(lambda: app.state.context.alerting.is_watching, "nobody watches")
            client.headers.update(bearer(make_key(db, Scope.WRITE, name="observer")))
            for number in range(4):
                moment = start + timedelta(seconds=6 * number)
                telescope.observe(0.1, (Cause.CLOUD, 0.9), date_obs=moment)
            eventually(lambda: receiver.posts, "nobody was told")
            (alert,) = client.get("/api/v1/alerts?state=firing").json()["items"]
            assert alert["rule"] == "HalphaDegraded" and alert["severity"] == "critical"
            assert 'heliowatch_alerts_firing{severity="critical"} 1.0' in client.get("/metrics").text
            assert client.post(alert["links"]["ack"], json={"note": "I see it"}).status_code == 200
            for number in range(4, 8):
                telescope.observe(0.95, date_obs=start + timedelta(seconds=6 * number))
            eventually(lambda: len(receiver.posts) == 2, "nobody was told of its end")
            shown = client.get(alert["links"]["self"]).json()
    fired, resolved = receiver.posts
    assert fired.body["alerts"][0]["annotations"]["summary"].startswith("kso-halpha: cloud for ")
    assert resolved.body["status"] == "resolved" and fired.key != resolved.key
    assert shown["state"] == "resolved" and shown["acknowledged"]["note"] == "I see it"
    assert {item["state"] for item in shown["notifications"]} <= {"sent", "sending"}
