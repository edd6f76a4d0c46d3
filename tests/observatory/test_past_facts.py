"""Facts of the past, read for many instruments side by side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from observatory.storage import past_facts
from observatory.storage.session import Database
from tests.service.conftest import telescope
from tests.service.telescope import Telescope

__all__ = ["telescope"]  # fixture


def test_more_instruments_than_connections_are_read_side_by_side(db: Database, telescope: Telescope) -> None:
    names = [f"camera-{number}" for number in range(20)]
    for name in names:
        telescope.receive(instrument=name)
    end = datetime.now(UTC) + timedelta(hours=1)
    streams = [past_facts.of_sightings(db, name, end - timedelta(days=1), end) for name in names]
    assert {fact.instrument for fact in past_facts.in_order(streams)} == set(names)


def test_sightings_come_once_each_and_in_order_page_after_page(
    db: Database, telescope: Telescope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_facts, "_PAGE", 2)
    for _ in range(5):
        telescope.receive()
    end = datetime.now(UTC) + timedelta(hours=1)
    found = list(past_facts.of_sightings(db, "kso-halpha", end - timedelta(days=1), end))
    assert len({fact.sha256 for fact in found}) == len(found) == 5
    assert [fact.at for fact in found] == sorted(fact.at for fact in found)
    assert list(past_facts.of_sightings(db, "kso-halpha", end, end + timedelta(days=1))) == []
