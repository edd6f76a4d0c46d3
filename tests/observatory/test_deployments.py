"""Which network runs: candidates, promotion, rolling back, and what is found of models."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, text

from observatory.alerts.facts import DriftTold
from observatory.analysis import ModelIdentity, Sky, SkyClass, SkyFacts
from observatory.storage import alert_facts, deployments, events, model_checks, past_facts, shadows
from observatory.storage.deployments import Deployment, NoSuchDeploymentError, Role, Step
from observatory.storage.model_checks import Check, CheckKind, Subject
from observatory.storage.session import Database
from observatory.storage.shadows import ShadowResult
from tests.meeting import meet
from tests.service.conftest import telescope
from tests.service.telescope import MODEL, Telescope, on_postgres

__all__ = ["telescope"]  # a fixture

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NAME = "halpha_quality"


def stage(db: Database, sha256: str, **more: Any) -> Deployment:
    return deployments.stage(
        db,
        name=NAME,
        version="2.0.0",
        sha256=sha256,
        folder=f"models/{NAME}/{sha256}",
        author="somebody",
        now=NOW,
        **more,
    )


def live(db: Database) -> list[str]:
    return [one.model_sha256 for one in deployments.line(db).live]


def test_a_candidate_becomes_live_and_steps_back_one_by_one(db: Database) -> None:
    assert deployments.generation(db) == 0 and live(db) == []
    for sha256 in ("a", "b"):
        stage(db, sha256)
        assert [one.model_sha256 for one in deployments.line(db).candidates] == [sha256]
        assert deployments.promote(db, NAME, "somebody", NOW).role is Role.LIVE
        assert live(db) == [sha256] and deployments.line(db).candidates == ()
    before = deployments.roll_back(db, NAME, "somebody", NOW)
    assert before is not None and before.model_sha256 == "a" and live(db) == ["a"]
    assert deployments.roll_back(db, NAME, "somebody", NOW) is None and live(db) == []
    with pytest.raises(NoSuchDeploymentError, match="ships"):
        deployments.roll_back(db, NAME, "somebody", NOW)
    taken = [step.step for step in deployments.history(db, NAME)][::-1]
    rolled = [Step.ROLLED_BACK, Step.ROLLED_BACK]
    assert taken == [Step.STAGED, Step.PROMOTED, Step.STAGED, Step.PROMOTED, *rolled]
    assert deployments.generation(db) == deployments.history(db)[0].id


def test_after_rolling_back_another_promotion_has_its_own_way_back(db: Database) -> None:
    for sha256 in ("a", "b"):
        stage(db, sha256)
        deployments.promote(db, NAME, "somebody", NOW)
    deployments.roll_back(db, NAME, "somebody", NOW)
    stage(db, "c")
    deployments.promote(db, NAME, "somebody", NOW)
    assert live(db) == ["c"]
    deployments.roll_back(db, NAME, "somebody", NOW)
    assert live(db) == ["a"]


def test_a_new_candidate_takes_the_place_of_the_one_before(db: Database) -> None:
    stage(db, "a")
    stage(db, "b")
    roles = {one.model_sha256: one.role for one in deployments.listed(db)}
    assert roles == {"a": Role.WITHDRAWN, "b": Role.CANDIDATE}
    deployments.withdraw(db, NAME, "somebody", NOW)
    with pytest.raises(NoSuchDeploymentError, match="candidate"):
        deployments.promote(db, NAME, "somebody", NOW)


def test_what_is_refused_neither_tries_nor_runs(db: Database) -> None:
    stage(db, "a")
    refused = stage(db, "b", refusal="clear disk: degraded")
    assert refused.role is Role.REFUSED and refused.reason == "clear disk: degraded"
    assert [one.model_sha256 for one in deployments.line(db).candidates] == ["a"]


def test_what_a_candidate_says_is_counted(db: Database, telescope: Telescope) -> None:
    number = stage(db, "a").id
    for score in (0.9, 0.8, 0.1):
        alike = score > 0.5
        words = None if alike else "clear, the candidate says degraded"
        said = ShadowResult(telescope.observe(0.9), "ab", 1 - abs(0.9 - score), alike, 0.9, score, words, 0.5)
        shadows.put(db, number, said, NOW)
        shadows.put(db, number, said, NOW)
    found = shadows.agreement(db, number)
    assert (found.frames, found.alike) == (3, 2)
    assert found.mean == pytest.approx((1.0 + 0.9 + 0.2) / 3) and found.seconds == pytest.approx(0.5)
    (difference,) = shadows.differences(db, number)
    assert difference.instrument == "kso-halpha" and "degraded" in (difference.words or "")


def test_of_many_processes_one_makes_a_check(db: Database) -> None:
    subject = Subject(CheckKind.GOLDEN, ModelIdentity(NAME, "1", "a"), provider="CPU")
    day = timedelta(days=1)
    number = model_checks.claim(db, subject, NOW, day)
    assert number is not None and model_checks.claim(db, subject, NOW, day) is None
    again = model_checks.claim(db, subject, NOW + timedelta(minutes=11), day)
    assert again is not None  # the first one never ended
    detail = {"values": {"cloud": 0.1}, "complaints": []}
    model_checks.finish(db, again, Check(subject, NOW, 1.0, True, detail))
    assert model_checks.claim(db, subject, NOW + timedelta(hours=23), day) is None
    assert model_checks.claim(db, subject, NOW + timedelta(hours=25), day) is not None
    assert model_checks.first_values(db, subject) == {"cloud": 0.1}
    (found,) = model_checks.newest(db)
    assert found.is_good and found.subject == subject


def test_alert_rules_hear_of_the_drift_of_an_instrument_now_and_afterwards(db: Database) -> None:
    model = ModelIdentity(NAME, "1", "a")
    for minutes, kind, instrument, ratio in (
        (0, CheckKind.DRIFT, "kso-halpha", 0.4),
        (0, CheckKind.DRIFT, "", 0.4),  # the worst of all instruments is no instrument's
        (5, CheckKind.GOLDEN, "", 0.9),
        (10, CheckKind.DRIFT, "gong-halpha", 0.1),
        (20, CheckKind.DRIFT, "kso-halpha", 0.2),
    ):
        subject, moment = Subject(kind, model, instrument), NOW + timedelta(minutes=minutes)
        number = model_checks.claim(db, subject, moment, timedelta(0))
        assert number is not None
        model_checks.finish(db, number, Check(subject, moment, ratio, ratio < 0.3, {}))
    batch = alert_facts.after(db, 0, 0, 500, NOW)
    told = [(fact.instrument, fact.ratio) for fact in batch.facts if isinstance(fact, DriftTold)]
    assert told == [("kso-halpha", 0.4), ("gong-halpha", 0.1), ("kso-halpha", 0.2)]
    assert batch.unreadable == []
    hour = timedelta(hours=1)
    past = list(past_facts.of_drifts(db, "kso-halpha", NOW, NOW + hour))
    later = NOW + timedelta(minutes=20)
    assert past == [DriftTold("kso-halpha", NOW, 0.4), DriftTold("kso-halpha", later, 0.2)]
    assert list(past_facts.of_drifts(db, "kso-halpha", NOW - hour, NOW)) == []


def test_scores_are_told_apart_by_instrument_first_ones_and_newest(
    db: Database, telescope: Telescope
) -> None:
    for place in range(6):
        telescope.observe(place / 10, date_obs=NOW + timedelta(minutes=place))
    telescope.observe(0.9, instrument="gong-halpha")
    telescope.observe(0.7, is_simulated=True)
    first = model_checks.answers(db, MODEL, is_newest=False, count=4)
    newest = model_checks.answers(db, MODEL, is_newest=True, count=2)
    np.testing.assert_allclose(first["kso-halpha"]["score"], [0.0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(newest["kso-halpha"]["score"], [0.5, 0.4])
    np.testing.assert_allclose(newest["gong-halpha"]["score"], [0.9])


def test_features_of_skies_are_among_the_answers_and_ephemerides_are_not(
    db: Database, telescope: Telescope
) -> None:
    features = np.arange(4, dtype=np.float32)
    probabilities = {name: 0.9 if name is SkyClass.ARC else 0.02 for name in SkyClass}
    facts = SkyFacts(sun_elevation_deg=-20.0, moon_elevation_deg=3.0)
    told = Sky(SkyClass.ARC, probabilities, 0.25, np.zeros(33, np.float32), features, facts, MODEL)
    telescope.observe(0.9, instrument="dome", family="allsky", sky=told)
    found = model_checks.answers(db, MODEL, is_newest=True, count=9)["dome"]
    assert found["arc"].tolist() == [0.9] and found["cloud_cover"].tolist() == [0.25]
    assert found["feature 3"].tolist() == [3.0]
    assert not any("sun" in name or "moon_" in name for name in found)


def hold_events(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": events._LOCK_KEY})


@on_postgres
def test_two_who_promote_at_once_make_one_step_and_one_way_back(
    db: Database, eventually: Callable[..., None]
) -> None:
    stage(db, "a")
    promotions = [lambda: deployments.promote(db, NAME, "somebody", NOW)] * 2
    first, second = meet(db, hold_events, promotions, eventually)
    assert isinstance(first, Deployment) and isinstance(second, NoSuchDeploymentError)
    assert deployments.roll_back(db, NAME, "somebody", NOW) is None and live(db) == []


@on_postgres
def test_of_two_candidates_given_at_once_the_later_one_stays(
    db: Database, eventually: Callable[..., None]
) -> None:
    given = [lambda sha256=sha256: stage(db, sha256) for sha256 in ("a", "b")]
    made = meet(db, hold_events, given, eventually)
    assert [one.model_sha256 for one in made] == ["a", "b"]
    assert [one.model_sha256 for one in deployments.line(db).candidates] == ["b"]


@on_postgres
def test_a_check_that_is_due_for_two_processes_at_once_is_made_by_one(
    db: Database, eventually: Callable[..., None]
) -> None:
    subject = Subject(CheckKind.GOLDEN, ModelIdentity(NAME, "1", "a"), provider="CPU")

    def hold(connection: Connection) -> None:
        connection.execute(text("LOCK TABLE model_checks IN SHARE MODE"))  # read it, but write nothing

    claims = [lambda: model_checks.claim(db, subject, NOW, timedelta(days=1))] * 2
    numbers = meet(db, hold, claims, eventually)
    assert [number is None for number in numbers] == [False, True]
