"""Cut-outs on demand: one row for one wish, claimed by one worker, forgotten when nobody asks any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from observatory.field_of_view import FieldOfView, FieldUnit
from observatory.storage import cutouts, frames, queues
from observatory.storage import workers as heartbeats
from observatory.storage.cutouts import CutoutStatus, Wanted
from observatory.storage.files import StoredFile
from observatory.storage.frames import NewFrame
from observatory.storage.results import NewProduct
from observatory.storage.schema import cutouts as table
from observatory.storage.session import Database
from tests.meeting import meet
from tests.service.telescope import on_postgres

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIELD = FieldOfView(10, 20, 64, 32, FieldUnit.PIXEL)


@pytest.fixture
def frame_id(db: Database) -> int:
    new = NewFrame(
        sha256="a" * 64,
        file_name="hmi.fits",
        path="/in/hmi.fits",
        bytes=10,
        received_at=NOW,
        instrument="hmi-continuum",
        family="hmi",
        date_obs=NOW,
    )
    (task,) = frames.register(db, [new], [])
    return task.frame_id


def ask(db: Database, frame_id: int, at: datetime = NOW, most: int = 9, **given: Any) -> dict[str, Any]:
    wanted = Wanted(frame_id, **({"field": FIELD, "networks": ["n" * 64]} | given))
    row = cutouts.ask(db, wanted, "ada", at, most_under_way=most)
    assert row is not None
    return row


def made(number: int = 1) -> NewProduct:
    return NewProduct("enhanced", "application/fits", StoredFile(f"{number:064x}", f"{number}.fits", 2880))


def finish(db: Database, cutout_id: int, number: int = 1) -> None:
    claimed = cutouts.claim(db, cutout_id, "w", NOW)
    assert claimed is not None
    assert cutouts.finish(db, claimed, made(number), {"residual": 0.1}, NOW)


def status(db: Database, cutout_id: int) -> str:
    row = cutouts.get(db, cutout_id)
    assert row is not None
    return str(row["status"])


def test_the_same_wish_is_one_row_and_another_one_is_another(db: Database, frame_id: int) -> None:
    first = ask(db, frame_id)
    assert ask(db, frame_id, NOW + timedelta(hours=1))["id"] == first["id"]
    others = [
        ask(db, frame_id, field=FieldOfView(10, 20, 64, 33, FieldUnit.PIXEL)),
        ask(db, frame_id, field=FieldOfView(10, 20, 64, 32, FieldUnit.ARCSEC)),
        ask(db, frame_id, networks=["m" * 64]),
    ]
    assert len({first["id"], *(row["id"] for row in others)}) == 4
    kept = cutouts.get(db, first["id"])
    assert kept is not None and kept["used_at"] == NOW + timedelta(hours=1)


def test_a_wish_survives_the_way_into_the_row_and_out_of_it(db: Database, frame_id: int) -> None:
    field = FieldOfView(-120.5, 310.0, 200.0, 150.0, FieldUnit.ARCSEC)
    row = ask(db, frame_id, field=field)
    assert row["field_of_view"]["x_arcsec"] == -120.5
    claimed = cutouts.claim(db, row["id"], "w", NOW)
    assert claimed is not None
    assert (claimed.field, claimed.instrument, claimed.file_name) == (field, "hmi-continuum", "hmi.fits")


def test_one_worker_has_it_and_only_its_claim_ends_it(db: Database, frame_id: int) -> None:
    number = ask(db, frame_id)["id"]
    claimed = cutouts.claim(db, number, "w", NOW)
    assert claimed is not None
    assert cutouts.claim(db, number, "other", NOW) is None
    cutouts.give_back(db, claimed, NOW, is_counted=False)
    second = cutouts.claim(db, number, "other", NOW + timedelta(seconds=1))
    assert second is not None and second.attempts == 1
    assert not cutouts.finish(db, claimed, made(), {}, NOW)
    assert cutouts.finish(db, second, made(), {"residual": 0.1}, NOW)
    row = cutouts.get(db, number)
    assert row is not None
    assert (row["status"], row["path"], row["payload"]) == ("done", "1.fits", {"residual": 0.1})


def test_what_was_refused_stays_refused_and_what_failed_is_tried_anew(db: Database, frame_id: int) -> None:
    for ending, expected in (
        (CutoutStatus.REFUSED, "refused"),
        (CutoutStatus.LOST, "waiting"),
        (CutoutStatus.FAILED, "waiting"),
    ):
        number = ask(db, frame_id, networks=[ending.value])["id"]
        claimed = cutouts.claim(db, number, "w", NOW)
        assert claimed is not None
        cutouts.end(db, claimed, ending, "a reason", NOW)
        assert status(db, number) == ending.value
        row = ask(db, frame_id, networks=[ending.value])
        assert (row["id"], row["status"], row["attempts"]) == (number, expected, int(expected == "refused"))


def test_no_more_are_under_way_than_may_be(db: Database, frame_id: int) -> None:
    first = ask(db, frame_id, most=1)
    assert ask(db, frame_id, most=1)["id"] == first["id"]
    other = Wanted(frame_id, FIELD, ["m"])
    assert cutouts.ask(db, other, "ada", NOW, most_under_way=1) is None
    finish(db, first["id"])
    assert cutouts.ask(db, other, "ada", NOW, most_under_way=1) is not None


def test_a_worker_that_falls_silent_loses_its_cutout_and_in_the_end_it_fails(
    db: Database, frame_id: int
) -> None:
    number = ask(db, frame_id)["id"]
    later = NOW + timedelta(seconds=60)
    assert cutouts.claim(db, number, "dead", NOW) is not None
    assert cutouts.release_abandoned(db, NOW + timedelta(seconds=12), 12, 2) == 0
    assert cutouts.release_abandoned(db, later, 12, 2) == 1
    assert cutouts.claim(db, number, "dead", NOW) is not None
    assert cutouts.release_abandoned(db, later, 12, 2) == 0
    assert status(db, number) == "failed"
    living = ask(db, frame_id, networks=["m"])["id"]
    heartbeats.sign_on(db, "alive", "worker", later, {})
    assert cutouts.claim(db, living, "alive", NOW) is not None
    for at, most in ((later, 2), (later, 1), (later + timedelta(seconds=12), 1)):
        assert cutouts.release_abandoned(db, at, 12, most) == 0
        assert status(db, living) == "working"
    assert cutouts.release_abandoned(db, later + timedelta(seconds=13), 12, 2) == 1


def test_what_waits_is_due_until_it_was_published_and_again_when_that_is_long_ago(
    db: Database, frame_id: int
) -> None:
    number = ask(db, frame_id)["id"]
    before = NOW - timedelta(seconds=10)
    assert cutouts.due(db, NOW, before, 9) == [number]
    cutouts.mark_published(db, number, NOW)
    assert cutouts.due(db, NOW, before, 9) == []
    assert cutouts.due(db, NOW, NOW + timedelta(seconds=1), 9) == [number]
    assert (cutouts.count_waiting(db), queues.of_cutouts(db).waiting) == (1, 1)
    assert queues.of_cutouts(db).age_s(NOW + timedelta(seconds=5)) == 5
    claimed = cutouts.claim(db, number, "w", NOW)
    assert claimed is not None
    cutouts.give_back(db, claimed, NOW + timedelta(seconds=5), is_counted=True)
    assert cutouts.due(db, NOW, before, 9) == []
    assert cutouts.due(db, NOW + timedelta(seconds=6), before, 9) == [number]


def test_what_nobody_asks_for_is_removed_and_shared_files_stay(db: Database, frame_id: int) -> None:
    old, shared, waiting = (ask(db, frame_id, networks=[name])["id"] for name in ("a", "b", "c"))
    finish(db, old, 1)
    finish(db, shared, 2)
    fresh = ask(db, frame_id, NOW + timedelta(days=40), networks=["d"])["id"]
    finish(db, fresh, 2)
    removed = cutouts.forget(db, NOW + timedelta(days=30))
    assert removed is not None
    assert (removed.count, removed.files) == (2, ("1.fits",))
    assert cutouts.get(db, old) is cutouts.get(db, shared) is None
    assert (status(db, waiting), status(db, fresh)) == ("waiting", "done")
    assert cutouts.forget(db, NOW + timedelta(days=30)) is None
    assert ask(db, frame_id, networks=["a"])["id"] > fresh  # a number never names other bytes


@on_postgres
def test_a_cutout_that_is_asked_for_while_old_ones_are_removed_stays(
    db: Database, frame_id: int, eventually: Callable[..., None]
) -> None:
    old = ask(db, frame_id)["id"]
    finish(db, old)

    def hold(connection: Connection) -> None:
        again = NOW + timedelta(days=31)
        connection.execute(update(table).where(table.c.id == old).values(used_at=again))

    meet(db, hold, [lambda: cutouts.forget(db, NOW + timedelta(days=30))], eventually)
    assert status(db, old) == "done"
