"""Rules at the shell: checked, and tried on the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import Result
from sqlalchemy import insert
from typer.testing import CliRunner

from heliowatch import cli
from observatory.analysis import ModelIdentity
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import model_checks, schema
from observatory.storage.model_checks import Check, CheckKind, Subject
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.observatory.test_completeness import put

DAY = datetime(2026, 6, 1, 8, tzinfo=UTC)
PUBLISHED = """
- alert: Degraded
  instrument: aia-*
  when: {quality: {lt: 0.4}, cause: [cloud, dust]}
  for_frames: 3
  clear_frames: 5
  labels: {severity: warning}
  annotations: {summary: "{instrument}: {cause} for {frames} frames"}
  notify: [ops-mail]
- alert: Gap
  when: {gap: {gt: 5m}}
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.app, list(words), catch_exceptions=False)


@pytest.fixture
def rules(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    path = tmp_path / "r.yaml"
    path.write_text(PUBLISHED)
    return path


def test_good_rules_are_good_and_what_is_odd_is_said(rules: Path):
    result = run("rules", "check", str(rules))
    assert result.exit_code == 0
    assert result.stdout == f"{rules}: 2 rules, nothing wrong\n"
    assert "Degraded: no channel ops-mail is configured" in result.stderr
    rules.write_text(PUBLISHED.replace("aia-*", "aja-*"))
    said = run("rules", "check", str(rules)).stderr
    assert "Degraded: no instrument that is known or configured is named aja-*" in said


def test_the_rules_to_begin_with_are_good(rules: Path):
    shipped = Path(cli.__file__).parents[1] / "deploy" / "alert_rules.yaml"
    result = run("rules", "check", str(shipped))
    assert (result.exit_code, result.stdout) == (0, f"{shipped}: 7 rules, nothing wrong\n")


def test_the_doctor_reads_the_rules_that_the_service_will(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HELIOWATCH_ALERTS__RULES", str(rules))
    assert f"✓ alert rules: {rules}, 2 rules" in run("doctor").stdout
    rules.write_text("- alert: X\n  when: {qualitty: {lt: 0.4}}\n")
    broken = run("doctor")
    assert (broken.exit_code, f"✗ alert rules: {rules}: line 2" in broken.stdout) == (1, True), broken.stdout
    monkeypatch.setenv("HELIOWATCH_ALERTS__RULES", str(tmp_path / "nowhere.yaml"))
    assert "✗ alert rules: [Errno 2]" in run("doctor").stdout


def test_each_mistake_is_told_with_line_and_column_for_every_file(rules: Path, tmp_path: Path):
    bad, odd = tmp_path / "bad.yaml", tmp_path / "odd.yaml"
    bad.write_text(PUBLISHED.replace("quality", "qualty"))
    odd.write_bytes(b"- alert: A\n  when: \xff\n")
    result = run("rules", "check", str(bad), str(odd), str(tmp_path / "none.yaml"), str(rules))
    assert result.exit_code == 1
    assert f"{rules}: 2 rules" in result.stdout
    assert result.stderr.splitlines()[:3] == [
        f"{bad}: line 4, column 10: Degraded.when: 'qualty' is no field here; did you mean 'quality'?",
        f"{odd}: line 2, column 9: is no UTF-8 text",
        f"{tmp_path / 'none.yaml'}: No such file or directory",
    ]


def test_rules_are_tried_on_what_is_stored(settings: Settings, rules: Path):
    lay_out(settings.resolved_database_url)
    db = Database(settings.resolved_database_url)
    times = DAY.timestamp() + np.arange(0.0, 4 * 3600.0, 60.0)
    put(db, "aia-193", np.delete(times, np.arange(100, 120)), priority="backfill", quality_score=0.9)
    bad = DAY.timestamp() + 30 + np.arange(3000.0, 5000.0, 60.0)
    put(db, "aia-193", bad, quality_score=0.2, is_degraded=True)
    put(db, "aia-171", bad, quality_score=0.2, is_degraded=True)
    with db.write() as connection:
        spoilt = (
            connection.execute(schema.frames.select().where(schema.frames.c.quality_score < 0.3))
            .mappings()
            .all()
        )
        connection.execute(
            insert(schema.causes),
            [
                {"frame_id": row["id"], "cause": "cloud", "probability": 0.9, "moment": row["moment"]}
                for row in spoilt
            ],
        )
    since = ("--since", "2026-06-01T08:00Z", "--until", "2026-06-01T12:00Z", "--rules", str(rules))
    result = run("alerts", "test", *since, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert "alerts from 2026-06-01 08:00:00 to 2026-06-01 12:00:00 UTC" in result.stderr
    found = [orjson.loads(line) for line in result.stdout.splitlines()]
    degraded = [one for one in found if one["rule"] == "Degraded"]
    assert [(one["instrument"], one["evidence"]["cause"]) for one in degraded] == [("aia-171", "cloud")]
    # of aia-193 every second frame is good: three bad ones in a row there never are
    (gap,) = [one for one in found if one["rule"] == "Gap" and one["instrument"] == "aia-193"]
    start = DAY + timedelta(minutes=100)
    assert datetime.fromisoformat(gap["fired_at"]) == start + timedelta(minutes=5)
    assert datetime.fromisoformat(gap["resolved_at"]) == start + timedelta(minutes=20)
    assert "aia-171: cloud for 3 frames" in run("alerts", "test", *since).stdout.replace("\n", "")
    assert run("alerts", "test", *since, "-f", "csv").stdout.startswith("fired_at,resolved_at,alert,")
    only = run("alerts", "test", *since, "-f", "json", "-i", "aia-193").stdout
    assert {orjson.loads(line)["instrument"] for line in only.splitlines()} == {"aia-193"}
    db.dispose()


def test_drift_is_tried_on_what_was_measured(settings: Settings, rules: Path):
    lay_out(settings.resolved_database_url)
    db = Database(settings.resolved_database_url)
    put(db, "aia-193", [DAY.timestamp()])
    about = Subject(CheckKind.DRIFT, ModelIdentity("aia_quality", "1", "a"), "aia-193")
    for hours, ratio in ((1, 0.5), (2, 0.1)):
        moment = DAY + timedelta(hours=hours)
        number = model_checks.claim(db, about, moment, timedelta(0))
        assert number is not None
        model_checks.finish(db, number, Check(about, moment, ratio, ratio < 0.3, {}))
    rules.write_text("- alert: Drift\n  when: {drift: {gt: 0.3}}\n")
    span = ("--since", "2026-06-01T08:00Z", "--until", "2026-06-01T12:00Z", "--rules", str(rules))
    result = run("alerts", "test", *span, "--format", "json")
    (alert,) = [orjson.loads(line) for line in result.stdout.splitlines()]
    assert (alert["rule"], alert["instrument"]) == ("Drift", "aia-193")
    assert datetime.fromisoformat(alert["fired_at"]) == DAY + timedelta(hours=1)
    assert datetime.fromisoformat(alert["resolved_at"]) == DAY + timedelta(hours=2)
    db.dispose()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "--since 'yesterday': write a time"),
        (("--since", "9999999d"), "--since '9999999d'"),
        (("--since", "1h", "--until", "2h"), "--until: is not after --since"),
        (("--since", "1h"), "there are no rules"),
    ],
)
def test_what_cannot_be_tried_is_said(rules: Path, words: tuple[str, ...], said: str):
    with pytest.raises(SettingsError, match=said):
        run("alerts", "test", *words)
