"""One frame, one worker, one result: whatever message comes twice, late, or in the middle of a fault."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from observatory.errors import StorageUnavailableError, UnusableInputError
from observatory.settings import Settings
from observatory.storage import catalogue, events, frames, products, region_catalogue, results, schema
from observatory.storage.frames import Priority, Status
from observatory.storage.session import Database
from tests.making import drop, pgm_bytes, tiled_fits_bytes, with_card
from tests.service.corona import CH, central, found
from workers import patience, tasks
from workers.app import make_app
from workers.ingester import Ingester
from workers.pipelines.allsky import AllSkyPipeline
from workers.pipelines.base import Outcome
from workers.publisher import Publisher
from workers.tasks import process_frame
from workers.watching import WatchFolder


def sky(number: int = 0) -> bytes:
    """A small all-sky frame: the whole way of a frame, without a network."""
    return pgm_bytes([np.full((32, 32), 100 + number, np.uint16)])


@pytest.fixture
def home(settings: Settings, db: Database) -> Database:
    """SQLite and Postgres in turn, as this process's desk knows them."""
    tasks.sit_down(settings.model_copy(update={"database_url": db.url}))
    return db


@pytest.fixture
def received(settings: Settings, home: Database, incoming: Path) -> Callable[..., int]:
    """Take a file in and give its frame's id."""

    def take(name: str = "themis01.pgm", data: bytes | None = None, folder: Path = incoming) -> int:
        before = events.last_seq(home)
        drop(folder / name, sky() if data is None else data)
        Ingester(settings, home, Publisher(make_app(settings)), [WatchFolder(folder)]).once()
        return events.after(home, before)[0].payload["id"]

    return take


def row(db: Database, frame_id: int) -> dict[str, Any]:
    found = catalogue.get(db, frame_id)
    assert found is not None
    return found


def test_a_frame_is_done_with_its_preview_and_its_event(home: Database, received: Callable[..., int]):
    frame_id = received()
    process_frame(frame_id)
    done = row(home, frame_id)
    assert (done["status"], done["attempts"], done["claimed_by"]) == ("done", 1, None)
    assert done["latency_s"] >= 0
    (product,) = products.of_frame(home, frame_id)
    assert product["kind"] == "preview"
    assert tasks.desk().files.find(product["path"]) is not None
    last = events.after(home, 0)[-1]
    assert (last.type, last.payload["status"]) == ("result", "done")


def test_a_later_run_that_could_not_look_takes_the_former_regions_back(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    seen = found(CH, (central(),)).segmentation
    outcomes = iter([Outcome(segmentations=(seen,), looked_for=(CH,)), Outcome(looked_for=(CH,))])
    monkeypatch.setattr(AllSkyPipeline, "run", lambda *_: next(outcomes))
    frame_id = received()
    process_frame(frame_id)
    assert len(region_catalogue.of_frame(home, frame_id)) == 1
    with home.write() as connection:
        connection.execute(update(schema.frames).values(status=Status.RECEIVED))
    process_frame(frame_id)
    assert row(home, frame_id)["attempts"] == 2
    assert region_catalogue.of_frame(home, frame_id) == []


def test_a_message_that_comes_twice_changes_nothing(home: Database, received: Callable[..., int]):
    frame_id = received()
    process_frame(frame_id)
    before, told = row(home, frame_id), events.last_seq(home)
    process_frame(frame_id)
    assert row(home, frame_id) == before
    assert events.last_seq(home) == told


def test_a_message_for_no_frame_changes_nothing(home: Database, received: Callable[..., int]):
    received()
    process_frame(10**9)
    assert catalogue.counts(home)["received"] == 1


def test_of_many_threads_one_claims_a_frame(home: Database, received: Callable[..., int]):
    frame_id = received()
    barrier = threading.Barrier(8)
    claims: list[Any] = []

    def claim(number: int) -> None:
        barrier.wait()
        claims.append(frames.claim(home, frame_id, f"worker-{number}", datetime.now(UTC)))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [item for item in claims if item is not None]
    assert len(won) == 1
    assert row(home, frame_id)["attempts"] == 1


def test_a_result_whose_claim_was_lost_is_dropped(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    frame_id = received()
    real = AllSkyPipeline.run

    def slow(self: AllSkyPipeline, *args: Any) -> Any:
        later = datetime.now(UTC) + timedelta(hours=1)  # an hour later this worker counts as silent
        assert frames.release_abandoned(home, later, 12.0, 5) == (1, 0)
        assert frames.claim(home, frame_id, "another", later) is not None
        return real(self, *args)

    monkeypatch.setattr(AllSkyPipeline, "run", slow)
    process_frame(frame_id)
    assert (row(home, frame_id)["status"], row(home, frame_id)["claimed_by"]) == ("processing", "another")
    assert products.of_frame(home, frame_id) == []


@pytest.mark.parametrize("problem", [None, UnusableInputError("gone"), StorageUnavailableError("it", "x")])
def test_a_thread_that_lost_its_claim_cannot_end_that_of_another_of_its_process(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch, problem: Exception | None
):
    frame_id = received()
    real = AllSkyPipeline.run

    def slow(self: AllSkyPipeline, *args: Any) -> Any:
        later = datetime.now(UTC) + timedelta(hours=1)
        assert frames.release_abandoned(home, later, 12.0, 5) == (1, 0)
        assert frames.claim(home, frame_id, tasks.desk().name, later) is not None
        if problem is not None:
            raise problem
        return real(self, *args)

    monkeypatch.setattr(AllSkyPipeline, "run", slow)
    process_frame(frame_id)
    held = row(home, frame_id)
    assert (held["status"], held["claimed_by"]) == ("processing", tasks.desk().name)


def test_a_file_changed_before_the_work_is_rejected_with_the_reason(
    home: Database, received: Callable[..., int], incoming: Path
):
    frame_id = received()
    (incoming / "themis01.pgm").write_bytes(sky(7))
    process_frame(frame_id)
    assert row(home, frame_id)["status"] == "rejected"
    assert "changed after it arrived" in row(home, frame_id)["reason"]


def test_a_file_gone_before_the_work_is_rejected_with_the_reason(
    home: Database, received: Callable[..., int], incoming: Path
):
    frame_id = received()
    (incoming / "themis01.pgm").unlink()
    process_frame(frame_id)
    assert row(home, frame_id)["status"] == "rejected"
    assert "themis01.pgm could not be opened" in row(home, frame_id)["reason"]


def test_the_same_bytes_elsewhere_are_used_when_the_file_is_gone(
    home: Database, received: Callable[..., int], incoming: Path, settings: Settings
):
    frame_id = received()
    (incoming / "themis01_copy.pgm").write_bytes(sky())
    Ingester(settings, home, Publisher(make_app(settings)), [WatchFolder(incoming)]).once()
    (incoming / "themis01.pgm").unlink()
    process_frame(frame_id)
    assert row(home, frame_id)["status"] == "done"


def due(db: Database, seconds: float) -> list[int]:
    now = datetime.now(UTC) + timedelta(seconds=seconds)
    before = datetime.now(UTC) - timedelta(hours=1)
    return [task.frame_id for task in frames.due(db, "allsky", Priority.LIVE, now, before, 100)]


def test_a_full_disk_delays_the_frame_and_loses_nothing(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    frame_id = received()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(10):  # more often than the bounded attempts
            process_frame(frame_id)
    waiting = row(home, frame_id)
    assert (waiting["status"], waiting["attempts"]) == ("received", 0)
    assert products.of_frame(home, frame_id) == []
    leftovers = [path for path in tasks.desk().files.root.rglob("*") if path.is_file()]
    assert leftovers == []
    assert due(home, 0) == []
    assert due(home, 10) == [frame_id]
    process_frame(frame_id)
    assert row(home, frame_id)["status"] == "done"


def test_too_little_memory_counts_as_a_try_so_that_it_ends_some_day(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    frame_id = received()

    def greedy(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(AllSkyPipeline, "run", greedy)
    process_frame(frame_id)
    assert (row(home, frame_id)["status"], row(home, frame_id)["attempts"]) == ("received", 1)


def test_a_defect_is_tried_again_later_each_time_and_fails_after_the_bounded_attempts(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    frame_id = received()

    def broken(*_: Any) -> Any:
        raise KeyError("a defect of ours")

    monkeypatch.setattr(AllSkyPipeline, "run", broken)
    for attempt in range(1, 5):
        before = datetime.now(UTC)
        process_frame(frame_id)
        found = row(home, frame_id)
        assert (found["status"], found["attempts"]) == ("received", attempt)
        delay = timedelta(seconds=2**attempt)
        assert before + delay <= found["retry_at"] <= datetime.now(UTC) + delay
    process_frame(frame_id)
    failed = row(home, frame_id)
    assert failed["status"] == "failed"
    assert "KeyError" in failed["reason"]
    assert "5 attempts" in failed["reason"]
    process_frame(frame_id)
    assert row(home, frame_id)["attempts"] == 5


def test_unusable_input_found_by_an_analysis_is_rejected(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    frame_id = received()

    def refuse(*_: Any) -> Any:
        raise UnusableInputError("too small to be judged")

    monkeypatch.setattr(AllSkyPipeline, "run", refuse)
    process_frame(frame_id)
    assert (row(home, frame_id)["status"], row(home, frame_id)["reason"]) == (
        "rejected",
        "too small to be judged",
    )


@pytest.mark.parametrize("step", ["claim", "give_back", "refuse"])
def test_a_database_that_is_away_for_a_moment_strands_no_frame(
    home: Database, received: Callable[..., int], incoming: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    frame_id = received()
    if step == "refuse":
        (incoming / "themis01.pgm").unlink()
    elif step == "give_back":
        monkeypatch.setattr(AllSkyPipeline, "run", lambda *_: (_ for _ in ()).throw(MemoryError()))
    real, failures = getattr(frames, step), iter([True, True])

    def away(*args: Any, **options: Any) -> Any:
        if next(failures, False):
            raise StorageUnavailableError("the database", "it restarts")
        return real(*args, **options)

    monkeypatch.setattr(patience, "_AWAIT_DATABASE_S", 0.001)
    monkeypatch.setattr(frames, step, away)
    process_frame(frame_id)
    expected = {"claim": "done", "give_back": "received", "refuse": "rejected"}[step]
    assert row(home, frame_id)["status"] == expected


def test_a_result_that_the_database_refuses_for_a_moment_is_made_again(
    home: Database, received: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    frame_id = received()
    with monkeypatch.context() as patch:

        def away(*_: Any, **__: Any) -> bool:
            raise StorageUnavailableError("the database", "it restarts")

        patch.setattr(results, "finish", away)
        process_frame(frame_id)
    assert (row(home, frame_id)["status"], row(home, frame_id)["attempts"]) == ("received", 0)
    process_frame(frame_id)
    assert row(home, frame_id)["status"] == "done"
    assert len(products.of_frame(home, frame_id)) == 1


def test_a_reason_with_bytes_that_no_text_holds_is_kept_all_the_same(
    home: Database, received: Callable[..., int]
):
    data = tiled_fits_bytes(np.arange(256, dtype=np.int16).reshape(16, 16), {"INSTRUME": "ALLSKY"})
    frame_id = received("themis01.fits", with_card(data, "ZCMPTYPE", "'ZI\0P    '"))
    process_frame(frame_id)
    found = row(home, frame_id)
    assert found["status"] == Status.REJECTED
    assert "\0" not in found["reason"]
