"""Silences: which alerts they cover, from when to when, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from observatory.storage import events, silences
from observatory.storage.session import Database
from observatory.storage.silences import Silence, UnusableSilenceError
from tests.service.telescope import on_sqlite

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KSO = {"alertname": "HalphaDegraded", "instrument": "kso-halpha"}


def silence(
    db: Database, first: timedelta, last: timedelta, matchers: Mapping[str, str] | None = None
) -> Silence:
    return silences.create(
        db, matchers or {"instrument": "*"}, NOW + first, NOW + last, None, "observer", NOW
    )


@pytest.mark.parametrize(
    ("matchers", "is_covered"),
    [
        ({"instrument": "kso-*"}, True),
        ({"instrument": "KSO-*"}, False),
        ({"instrument": "kso"}, False),
        ({"instrument": "[gk]so-?alpha", "alertname": "Halpha*"}, True),
        ({"instrument": "kso-*", "alertname": "Other"}, False),
        ({"instrument": "kso-*", "severity": "critical"}, False),
        ({"instrument": "kso-*", "severity": "*"}, True),
    ],
)
def test_an_alert_is_covered_when_every_glob_fits_and_a_label_it_lacks_is_empty(
    matchers: dict[str, str], is_covered: bool
) -> None:
    assert Silence(1, matchers, NOW, NOW + HOUR, None, "x", NOW).covers(KSO) is is_covered


@on_sqlite
def test_a_silence_holds_from_its_start_on_and_no_more_at_its_end(db: Database) -> None:
    made = silence(db, HOUR, 2 * HOUR)
    told = {}
    with db.read() as connection:
        for seconds in (3599, 3600, 7199, 7200):
            moment = NOW + timedelta(seconds=seconds)
            told[seconds] = made.state(moment), len(silences.active(connection, moment))
    assert told == {3599: ("pending", 0), 3600: ("active", 1), 7199: ("active", 1), 7200: ("expired", 0)}


@on_sqlite
def test_of_several_silences_the_one_that_holds_longest_is_named(db: Database) -> None:
    silence(db, -HOUR, HOUR)
    longest = silence(db, -HOUR, 3 * HOUR, {"instrument": "kso-*"})
    silence(db, -HOUR, 2 * HOUR)
    silence(db, -HOUR, 4 * HOUR, {"instrument": "gong-*"})
    with db.read() as connection:
        found = silences.covering(silences.active(connection, NOW), KSO)
    assert found is not None and found.id == longest.id
    assert silences.covering([], KSO) is None


def test_they_are_listed_newest_first_a_page_at_a_time_with_those_that_ended_or_without(db: Database) -> None:
    ids = [silence(db, -HOUR, (number + 1) * HOUR).id for number in range(4)]

    def listed(limit: int = 9, before: int | None = None, **more: bool) -> list[int]:
        found = silences.listed(db, limit=limit, before=before, now=NOW + HOUR, **more)
        return [one.id for one in found]

    assert listed() == ids[::-1]
    assert listed(limit=2) == [ids[3], ids[2]] and listed(before=ids[2]) == [ids[1], ids[0]]
    assert listed(with_expired=False) == ids[:0:-1], "the one that ends now is over"


def test_one_that_is_ended_before_it_began_never_held(db: Database) -> None:
    made = silence(db, HOUR, 2 * HOUR)
    ended = silences.expire(db, made.id, NOW + timedelta(minutes=1))
    assert ended.starts_at == ended.ends_at == NOW + timedelta(minutes=1)
    (kept,) = silences.listed(db, limit=9, now=NOW)
    assert kept == ended and kept.state(NOW + timedelta(minutes=1)) == "expired"
    told = [event.payload["silence"] for event in events.after(db, 0)]
    assert [one["state"] for one in told][-1] == "expired"
    assert silences.expire(db, made.id, NOW + HOUR) == ended, "again, and it stays as it is"
    assert len(events.after(db, 0)) == len(told)
    with pytest.raises(silences.NoSuchSilenceError, match="no silence 4711"):
        silences.expire(db, 4711, NOW)


def test_one_that_holds_and_is_ended_keeps_its_start(db: Database) -> None:
    made = silence(db, -HOUR, HOUR)
    ended = silences.expire(db, made.id, NOW)
    assert (ended.starts_at, ended.ends_at) == (NOW - HOUR, NOW)


@on_sqlite
def test_a_year_and_a_day_is_the_longest_counted_from_now_or_from_its_later_start(db: Database) -> None:
    silence(db, -HOUR, silences.LONGEST)
    silence(db, HOUR, silences.LONGEST + HOUR)
    second = timedelta(seconds=1)
    for first, last, why in (
        (-HOUR, silences.LONGEST + second, "366 days at most"),
        (HOUR, silences.LONGEST + HOUR + second, "366 days at most"),
        (-HOUR, timedelta(0), "lies in the past"),
        (HOUR, HOUR, "must lie after starts_at"),
    ):
        with pytest.raises(UnusableSilenceError, match=why):
            silence(db, first, last)
    assert len(silences.listed(db, limit=9, now=NOW)) == 2


@on_sqlite
def test_labels_and_globs_may_be_as_long_as_they_are_said_to_be_and_no_longer(db: Database) -> None:
    silence(db, -HOUR, HOUR, {"a" * 64: "b" * silences.LONGEST_GLOB})
    silence(db, -HOUR, HOUR, {f"label{number}": "*" for number in range(silences.MOST_MATCHERS)})
    many = {f"label{number}": "*" for number in range(silences.MOST_MATCHERS + 1)}
    for matchers in ({"a" * 65: "b"}, {"a": "b" * (silences.LONGEST_GLOB + 1)}, {"a": ""}, many):
        with pytest.raises(UnusableSilenceError, match="matchers"):
            silence(db, -HOUR, HOUR, matchers)
