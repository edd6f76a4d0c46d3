"""Sets of frames that make a composite: formed once, made once, completed by a late channel."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from observatory.storage import composites, events, frames, workers
from observatory.storage.composites import ClaimedSet, Member, SetStatus
from observatory.storage.files import ProductFiles
from observatory.storage.results import NewProduct
from observatory.storage.schema import frames as frame_table
from observatory.storage.session import Database
from tests.service.telescope import DAY, Telescope, on_sqlite

CHANNELS = {"aia-304": "red", "aia-211": "green", "aia-171": "blue"}
REACH_S = 60.0
LOOK = "aia"
NOON = DAY + timedelta(hours=12)


def now() -> datetime:
    return datetime.now(UTC)


def by_minute(members: Sequence[Member]) -> list[list[Member]]:
    """A simple rule: frames of the same minute belong together, the first of each channel."""
    groups: dict[datetime, dict[str, Member]] = {}
    for item in members:
        groups.setdefault(item.date_obs.replace(second=0, microsecond=0), {}).setdefault(item.channel, item)
    return [list(group.values()) for group in groups.values()]


RULES: dict[str, Any] = {"channels": CHANNELS, "reach_s": REACH_S, "arrange": by_minute}


@pytest.fixture
def telescope(db: Database, tmp_path: Path) -> Telescope:
    return Telescope(db, ProductFiles(tmp_path / "products"))


def observe(telescope: Telescope, instrument: str, at: datetime = NOON, **given: Any) -> int:
    return telescope.observe(0.9, instrument=instrument, family="aia", date_obs=at, **given)


def join(db: Database, frame_id: int) -> int | None:
    return composites.join(db, LOOK, frame_id, **RULES, now=now())


def overdue(db: Database, **given: Any) -> list[int]:
    limits = {"done_before": now(), "done_after": now() - timedelta(days=1), "now": now()}
    return composites.overdue(db, LOOK, **RULES, **(limits | given))


def claim(db: Database, set_id: int, worker: str = "w1") -> ClaimedSet:
    claimed = composites.claim(db, set_id, worker, now())
    assert claimed is not None
    return claimed


def finish(db: Database, telescope: Telescope, claimed: ClaimedSet, shade: int = 9) -> bool:
    stored = telescope.files.write(bytes([shade]) * 99, ".jpg")
    return composites.finish(
        db,
        claimed,
        frame_ids=[item.frame_id for item in claimed.frames],
        pictures=[NewProduct("composite-1024", "image/jpeg", stored, 1024, 1024)],
        payload={"levels": {"red": [0, 1]}},
        now=now(),
    )


def trio(telescope: Telescope, db: Database, at: datetime = NOON) -> int:
    *_, last = [join(db, observe(telescope, name, at)) for name in CHANNELS]
    assert last is not None
    return last


def test_the_last_channel_completes_the_set(telescope: Telescope, db: Database) -> None:
    first, second = (observe(telescope, name, NOON + timedelta(seconds=5)) for name in ("aia-304", "aia-211"))
    assert join(db, first) is None and join(db, second) is None
    third = observe(telescope, "aia-171", NOON)
    set_id = join(db, third)
    assert set_id is not None
    held = composites.get(db, set_id)
    assert held is not None
    assert (held["status"], held["is_complete"], held["date_obs"]) == (SetStatus.WAITING, True, NOON)
    assert {item["channel"]: item["frame_id"] for item in held["frames"]} == {
        "red": first,
        "green": second,
        "blue": third,
    }
    assert join(db, first) == join(db, third) == set_id  # while it waits, the task may be sent again


@on_sqlite
def test_frames_that_cannot_be_paired_change_nothing(telescope: Telescope, db: Database) -> None:
    observe(telescope, "aia-304"), observe(telescope, "aia-211")
    waits = telescope.receive(instrument="aia-171", family="aia", date_obs=NOON)
    undated = observe(telescope, "aia-171", None)  # type: ignore[arg-type]
    other = observe(telescope, "aia-193")
    marked = observe(telescope, "aia-171")
    with db.write() as connection:
        connection.execute(update(frame_table).where(frame_table.c.id == marked).values(mark="bad"))
    assert [join(db, one) for one in (waits, undated, other, marked, 999)] == [None] * 5
    assert composites.waiting(db, now()) == []


@on_sqlite
def test_another_frame_of_the_same_time_is_in_no_second_set(telescope: Telescope, db: Database) -> None:
    trio(telescope, db)
    assert join(db, observe(telescope, "aia-171")) is None
    assert len(composites.waiting(db, now())) == 1


def test_one_of_many_workers_claims_a_set_and_only_it_can_end_it(telescope: Telescope, db: Database) -> None:
    set_id = trio(telescope, db)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda name: composites.claim(db, set_id, name, now()), "abcd"))
    (won,) = [claim for claim in claims if claim is not None]
    assert [item.channel for item in won.frames] == ["blue", "green", "red"]
    assert won.is_complete and won.attempts == 1 and won.frames[0].path.is_absolute()
    assert not finish(db, telescope, replace(won, worker="somebody else"))
    assert finish(db, telescope, won)
    assert not finish(db, telescope, won)
    (event,) = [event for event in events.after(db, 0) if "composite" in event.payload]
    assert event.payload["composite"]["id"] == set_id
    assert join(db, won.frames[0].frame_id) is None


def test_workers_that_place_frames_at_once_form_one_set(telescope: Telescope, db: Database) -> None:
    made = [observe(telescope, name) for name in CHANNELS]
    with ThreadPoolExecutor(6) as pool:
        placed = list(pool.map(lambda one: join(db, one), made * 2))
    assert len(set(placed) - {None}) == 1
    assert len(composites.waiting(db, now())) == 1


def test_when_patience_ends_two_channels_make_a_partial_picture_that_the_third_completes(
    telescope: Telescope, db: Database
) -> None:
    observe(telescope, "aia-304"), observe(telescope, "aia-211")
    assert overdue(db, done_before=now() - timedelta(minutes=5)) == []
    (set_id,) = overdue(db)
    assert overdue(db) == []
    claimed = claim(db, set_id)
    assert not claimed.is_complete and len(claimed.frames) == 2
    assert finish(db, telescope, claimed)
    partial = composites.find(db, LOOK, None, None, limit=5)[0]
    assert (partial["is_complete"], partial["revision"]) == (False, 1)

    assert join(db, observe(telescope, "aia-171", NOON + timedelta(seconds=9))) == set_id
    (meanwhile,) = composites.find(db, LOOK, None, None, limit=5)
    assert (meanwhile["is_complete"], meanwhile["pictures"]) == (False, partial["pictures"])
    assert finish(db, telescope, claim(db, set_id, "w2"), shade=10)
    (whole,) = composites.find(db, LOOK, None, None, limit=5)
    assert (whole["is_complete"], whole["revision"], len(whole["frames"])) == (True, 2, 3)
    assert len(whole["pictures"]) == 1
    assert whole["pictures"][0]["sha256"] != partial["pictures"][0]["sha256"]
    assert composites.picture(db, partial["pictures"][0]["id"]) is None


def test_a_late_channel_takes_the_set_from_who_composes_it_without(
    telescope: Telescope, db: Database
) -> None:
    observe(telescope, "aia-304"), observe(telescope, "aia-211")
    (set_id,) = overdue(db)
    without = claim(db, set_id)
    assert join(db, observe(telescope, "aia-171")) == set_id
    assert not finish(db, telescope, without)
    assert claim(db, set_id, "w2").is_complete


def test_a_thread_that_lost_its_claim_cannot_end_that_of_another_of_its_process(
    telescope: Telescope, db: Database
) -> None:
    observe(telescope, "aia-304"), observe(telescope, "aia-211")
    (set_id,) = overdue(db)
    without = claim(db, set_id)
    assert join(db, observe(telescope, "aia-171")) == set_id
    whole = claim(db, set_id)
    assert without.worker == whole.worker
    composites.refuse(db, without, "no disk", now())
    composites.give_back(db, without, now(), is_counted=True)
    assert not finish(db, telescope, without)
    assert finish(db, telescope, whole, shade=10)
    (made,) = composites.find(db, LOOK, None, None, limit=5)
    assert (made["revision"], len(made["payload"]["frame_ids"])) == (1, 3)


def test_a_frame_without_partners_is_noted_once_and_may_still_find_them(
    telescope: Telescope, db: Database
) -> None:
    lonely = observe(telescope, "aia-304")
    assert overdue(db) == [] and overdue(db) == []
    assert composites.find(db, None, None, None, limit=5) == []
    observe(telescope, "aia-211")
    set_id = join(db, observe(telescope, "aia-171"))
    assert set_id is not None
    held = composites.get(db, set_id)
    assert held is not None and lonely in {item["frame_id"] for item in held["frames"]}


@on_sqlite
def test_an_archive_is_closed_only_when_asked_for(telescope: Telescope, db: Database) -> None:
    observe(telescope, "aia-304", priority=frames.Priority.BACKFILL)
    observe(telescope, "aia-211", priority=frames.Priority.BACKFILL)
    assert overdue(db) == []
    assert len(overdue(db, with_backfill=True)) == 1


def test_a_set_given_back_waits_for_its_time_and_one_of_a_dead_worker_is_taken_back(
    telescope: Telescope, db: Database
) -> None:
    set_id = trio(telescope, db)
    for attempt in (1, 2):
        claimed = claim(db, set_id)
        assert claimed.attempts == attempt
        later = now() + timedelta(minutes=1)
        composites.give_back(db, claimed, later, is_counted=attempt == 1)
        assert composites.waiting(db, now()) == []
        assert composites.waiting(db, later) == [set_id]
    claim(db, set_id)
    workers.sign_on(db, "w1", "worker", now(), {})
    late = now() + timedelta(minutes=10)
    assert composites.release_abandoned(db, now(), 60, 3) == 0
    assert composites.release_abandoned(db, late, 60, 3) == 1
    claim(db, set_id)
    assert composites.release_abandoned(db, late, 60, 3) == 0
    held = composites.get(db, set_id)
    assert held is not None and held["status"] == SetStatus.FAILED and "died 3 times" in held["reason"]


@on_sqlite
def test_a_refused_set_says_why_and_is_not_shown(telescope: Telescope, db: Database) -> None:
    set_id = trio(telescope, db)
    composites.refuse(db, claim(db, set_id), "no disk\0", now())
    held = composites.get(db, set_id)
    assert held is not None and (held["status"], held["reason"]) == (SetStatus.FAILED, "no disk\\0")
    assert composites.find(db, LOOK, None, None, limit=5) == []


@pytest.mark.parametrize("end", ["refused", "abandoned"])
def test_a_picture_that_cannot_be_made_anew_stays_with_the_reason(
    telescope: Telescope, db: Database, end: str
) -> None:
    observe(telescope, "aia-304"), observe(telescope, "aia-211")
    (set_id,) = overdue(db)
    assert finish(db, telescope, claim(db, set_id))
    (partial,) = composites.find(db, LOOK, None, None, limit=5)
    assert join(db, observe(telescope, "aia-171")) == set_id
    claimed = claim(db, set_id)
    if end == "refused":
        composites.refuse(db, claimed, "no disk", now())
    else:
        composites.release_abandoned(db, now() + timedelta(minutes=10), 60, 1)
    (kept,) = composites.find(db, LOOK, None, None, limit=5)
    assert (kept["status"], kept["is_complete"], kept["revision"]) == (SetStatus.DONE, False, 1)
    assert kept["reason"] and kept["pictures"] == partial["pictures"]
    assert kept["made_at"] == partial["made_at"]
    assert composites.waiting(db, now()) == []


def test_composites_are_found_by_time_and_page_after_page(telescope: Telescope, db: Database) -> None:
    made = []
    for minute in range(4):
        set_id = trio(telescope, db, NOON + timedelta(minutes=minute))
        finish(db, telescope, claim(db, set_id), shade=minute)
        made.append(set_id)
    ids = lambda **how: [row["id"] for row in composites.find(db, None, None, None, **how)]  # noqa: E731
    assert ids(limit=9) == made[::-1]
    assert ids(limit=9, is_ascending=True) == made
    assert ids(limit=2, after=(NOON + timedelta(minutes=2), made[2])) == [made[1], made[0]]
    inside = composites.find(db, LOOK, NOON + timedelta(minutes=1), NOON + timedelta(minutes=3), limit=9)
    assert [row["id"] for row in inside] == [made[2], made[1]]
    assert inside[0]["payload"]["levels"] == {"red": [0, 1]} and len(inside[0]["payload"]["frame_ids"]) == 3
    assert composites.find(db, "other", None, None, limit=9) == []
