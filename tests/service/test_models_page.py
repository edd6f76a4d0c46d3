"""The page Models, and what REST and Prometheus say of models under watch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from fastapi.testclient import TestClient

from observatory.analysis import ModelIdentity
from observatory.storage import deployments, model_checks, shadows, workers
from observatory.storage.model_checks import Check, CheckKind, Subject
from observatory.storage.session import Database
from observatory.storage.shadows import ShadowResult
from tests.service.telescope import Telescope

LIVE = ModelIdentity("halpha_quality", "1.0.1", "ab" * 32)
NOW = datetime.now(UTC)


def watched(db: Database, telescope: Telescope) -> None:
    fact = {
        "name": LIVE.name,
        "version": LIVE.version,
        "sha256": LIVE.sha256,
        "provider": "CPUExecutionProvider",
    }
    workers.sign_on(db, "host:1:a", "worker", datetime.now(UTC), {"models": [fact]})
    golden = Subject(CheckKind.GOLDEN, LIVE, provider="CPUExecutionProvider")
    detail = {"values": {}, "complaints": ["cloud: clear, 0.90, expected degraded"]}
    _check(db, Check(golden, NOW, 0.75, False, detail))
    quantities = {"score": {"ks": 0.41, "psi": 0.6, "noise": 0.1}}
    measured = {"quantities": quantities, "reference": 1000, "recent": 300}
    drift = Check(Subject(CheckKind.DRIFT, LIVE, "kso-halpha"), NOW, 0.41, False, measured)
    _check(db, drift)
    _check(db, replace(drift, subject=replace(drift.subject, instrument="")))
    made = deployments.stage(
        db, name=LIVE.name, version="2.0.0", sha256="cd" * 32, folder="x", author="anna", now=NOW
    )
    words = "clear 0.90, the candidate says degraded 0.20"
    for alike in (True, False):
        said = ShadowResult(
            telescope.observe(0.9), LIVE.sha256, 0.3, alike, 0.9, 0.2, None if alike else words, 0.1
        )
        shadows.put(db, made.id, said, NOW)


def _check(db: Database, check: Check) -> None:
    number = model_checks.claim(db, check.subject, NOW, NOW - NOW)
    assert number is not None
    model_checks.finish(db, number, check)


def test_a_model_is_shown_with_all_that_speaks_against_it(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    assert "No worker is alive" in client.get("/models").text
    telescope.observe()
    page = client.get("/models").text
    assert "runs nowhere now" in page and "In results</dt>" in page
    watched(db, telescope)
    page = client.get("/models").text
    assert "1 process, CPU" in page and "ships with the software" in page
    assert "75.0 % right" in page and "cloud: clear, 0.90, expected degraded" in page
    assert "answers otherwise than at first" in page and "300 with 1\u202f000" in page
    assert "Candidate 2.0.0" in page and "50.0 % alike" in page and "the candidate says degraded 0.20" in page
    assert "staged by anna" in page
    deployments.promote(db, LIVE.name, "anna", NOW)
    assert "Candidate" not in client.get("/models").text


def test_rest_and_prometheus_say_the_same(client: TestClient, telescope: Telescope, db: Database) -> None:
    watched(db, telescope)
    items = {one["version"]: one for one in client.get("/api/v1/models").json()["items"]}
    assert items["1.0.1"]["role"] == "live" and items["1.0.1"]["golden"][0]["ratio"] == 0.75
    assert items["1.0.1"]["drift"][0]["instrument"] == "kso-halpha"
    assert items["2.0.0"]["role"] == "candidate" and items["2.0.0"]["shadow"]["alike"] == 0.5
    told = client.get("/metrics").text
    assert 'heliowatch_model_drift_ratio{model="halpha_quality"} 0.41' in told
    assert 'heliowatch_model_golden_ratio{model="halpha_quality"} 0.75' in told
    assert 'heliowatch_model_shadow_agreement_ratio{model="halpha_quality"} 0.5' in told
