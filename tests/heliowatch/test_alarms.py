"""`heliowatch alerts`: what fires, and a human's word on it, from the shell."""

from __future__ import annotations

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from heliowatch.cli import app
from observatory.errors import HeliowatchError, SettingsError
from observatory.settings import Settings
from observatory.storage import audit
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.service.alarms import Alarms, webhook
from tests.service.receivers import Receiver, web_server


@pytest.fixture
def alarms(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Alarms:
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    lay_out(settings.resolved_database_url)
    return Alarms(Database(settings.resolved_database_url), settings)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["alerts", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_alerts_are_listed_and_acknowledged(alarms: Alarms) -> None:
    one, two = alarms.fire("Cloud", "Frozen")
    alarms.resolve(two, rule="Frozen")
    assert "Cloud" in run("list") and "Frozen" not in run("list")
    assert [json.loads(line)["id"] for line in run("list", "--all", "-f", "json").splitlines()] == [two, one]
    run("ack", str(one), "--note", "on my way")
    (row,) = csv.DictReader(io.StringIO(run("list", "-f", "csv")))
    assert row["rule"] == "Cloud" and "@" in row["acknowledged"]
    for number, word in ((two, "was resolved"), (99, "there is no alert 99")):
        with pytest.raises(HeliowatchError, match=word):
            run("ack", str(number))
    assert [entry["action"] for entry in audit.page(alarms.db, audit.AuditFilter(), limit=5)] == [
        "alerts ack"
    ]


def test_alerts_are_silenced_and_heard_again(alarms: Alarms) -> None:
    alarms.fire()
    number = run("silence", "instrument=kso-*", "severity=warning", "--for", "2h", "-c", "snow").strip()
    assert "silenced" in run("list")
    (row,) = csv.DictReader(io.StringIO(run("silence", "--list", "-f", "csv")))
    assert (row["id"], row["labels"], row["state"]) == (number, "instrument=kso-* severity=warning", "active")
    run("silence", "--expire", number)
    assert "silenced" not in run("list") and run("silence", "--list", "-f", "json") == ""


def test_a_channel_is_tried_before_an_alert_needs_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_server(Receiver()) as receiver:
        channels = {"hook": webhook(receiver.url), "dead": webhook("http://127.0.0.1:1/hunter2")}
        monkeypatch.setenv("HELIOWATCH_NOTIFICATIONS", json.dumps({"channels": channels}))
        run("try-channel", "hook")
        assert [post.body["status"] for post in receiver.posts] == ["firing", "resolved"]
        with pytest.raises(HeliowatchError, match="dead: the receiver cannot be reached"):
            run("try-channel", "dead")
        with pytest.raises(SettingsError, match="there are: hook, dead"):
            run("try-channel", "mail")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["instrument=kso"], "say how long"),
        (["instrument=kso", "--for", "2h", "--until", "2027-01-01"], "say how long"),
        (["instrument=kso", "--until", "2020-01-01"], "ends_at"),
        (["instrument=kso", "--for", "soon"], "such as 2h"),
        (["instrument=kso", "--until", "soon"], "no ISO 8601"),
        (["instrument", "--for", "2h"], "LABEL=GLOB"),
        (["a=1", "a=2", "--for", "2h"], "twice"),
        (["--for", "2h"], "name at least one label"),
    ],
)
def test_a_silence_that_cannot_be_says_what_to_write(alarms: Alarms, words: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        run("silence", *words)
