"""Frames worked on once more: beside the life of the frames, resumable, harmless when it happens twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from models.registry import ModelDescription
from observatory.errors import StorageUnavailableError
from observatory.settings import Settings
from observatory.storage import catalogue, events, provenance, reprocess, reprocess_jobs, results, schema
from observatory.storage import workers as heartbeats
from observatory.storage.catalogue import FrameFilter
from observatory.storage.frames import NewFrame, Status, register
from observatory.storage.reprocess import Item
from observatory.storage.reprocess_jobs import ItemStatus, Job, JobStatus
from observatory.storage.session import Database
from tests.making import drop, kso_frame, pgm_bytes
from tests.servers import RedisServer
from workers import reprocess as again
from workers import tasks
from workers.app import REPROCESSING, make_app
from workers.dispatcher import Dispatcher
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.queues import depth
from workers.sweeper import Sweeper
from workers.tasks import process_frame
from workers.watching import WatchFolder

NOW = datetime.now(UTC)
ALL = FrameFilter()


@pytest.fixture
def home(settings: Settings, db: Database) -> Database:
    """SQLite and Postgres in turn, as this process's desk knows them."""
    tasks.sit_down(settings.model_copy(update={"database_url": db.url}))
    return db


@pytest.fixture
def done(settings: Settings, home: Database, incoming: Path) -> Callable[..., list[int]]:
    """Frames that were taken in and worked on: their ids."""

    def take(suns: int = 1, skies: int = 0) -> list[int]:
        for number in range(suns):
            kso_frame(incoming, number)
        for number in range(skies):
            film = pgm_bytes([np.full((32, 32), 100 + number, np.uint16)])
            drop(incoming / f"themis{number:02d}.pgm", film)
        Ingester(settings, home, Publisher(make_app(settings)), [WatchFolder(incoming)]).once()
        rows = catalogue.find(home, ALL, limit=100)
        for row in rows:
            process_frame(row["id"])
        return sorted(row["id"] for row in rows)

    return take


def start(db: Database, wanted: FrameFilter = ALL, model: str | None = None) -> Job:
    """A job whose frames are written down."""
    job = reprocess_jobs.create(db, author="ada", wanted=wanted, model=model, families=None, now=NOW)
    while reprocess_jobs.select_more(db, job.id):
        pass
    return state(db, job)


def state(db: Database, job: Job) -> Job:
    found = reprocess_jobs.get(db, job.id)
    assert found is not None
    return found


def run(db: Database, job: Job) -> list[str | None]:
    """Work on all that waits, in this thread."""
    items = reprocess.window(db, datetime.now(UTC), 1000)
    both = [*items.due, *(item for item, _ in items.published)]
    outcomes = [again.work(tasks.desk(), item) for item in both if item.job_id == job.id]
    reprocess_jobs.close_finished(db, datetime.now(UTC))
    return outcomes


def row(db: Database, frame_id: int) -> dict[str, Any]:
    found = catalogue.get(db, frame_id)
    assert found is not None
    return found


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install another version of the H-alpha model: other parameters, other scores."""

    def install(version: str = "9.9.9", steepness: float = 0.5) -> None:
        pipeline = tasks.desk().pipelines.of("halpha")
        model = pipeline._quality  # type: ignore[attr-defined]
        before: ModelDescription = model.description
        parameters = dict(before.parameters) | {"temperature": steepness}
        monkeypatch.setattr(
            model, "description", dataclasses.replace(before, version=version, parameters=parameters)
        )
        judge = type(model).judge
        monkeypatch.setattr(
            model,
            "judge",
            lambda *given: dataclasses.replace(judge(model, *given), score=steepness, is_degraded=False),
        )

    return install


def test_the_same_again_changes_nothing_and_says_nothing(home: Database, done: Callable[..., list[int]]):
    (frame_id,) = done()
    before, said, seen = row(home, frame_id), results.of_frame(home, frame_id), events.last_seq(home)
    job = start(home)
    assert (job.status, job.frames) == (JobStatus.RUNNING, 1)
    assert run(home, job) == ["done"]
    assert state(home, job).status is JobStatus.DONE
    assert row(home, frame_id) == before
    assert results.of_frame(home, frame_id) == said
    assert events.last_seq(home) == seen


def test_a_new_model_speaks_beside_the_old_one_and_the_frame_follows_it(
    home: Database, done: Callable[..., list[int]], newer: Callable[..., None]
):
    (frame_id,) = done()
    before = row(home, frame_id)
    newer("9.9.9", 0.625)
    start(home)
    assert run(home, start(home)) == ["done"]
    after = row(home, frame_id)
    assert after["quality_score"] == 0.625 != before["quality_score"]
    assert (after["status"], after["processed_at"], after["latency_s"]) == (
        "done",
        before["processed_at"],
        before["latency_s"],
    )
    new, old = results.of_frame(home, frame_id)
    assert (new["model_version"], new["is_current"], old["is_current"]) == ("9.9.9", True, False)
    assert new["parameters"]["temperature"] == 0.625
    assert provenance.hash_of(new["parameters"]) == new["parameters_hash"]
    told = events.after(home, 0)[-1]
    assert (told.type, told.payload["is_reprocessed"]) == ("result", True)
    assert [model.version for model in provenance.models_seen(home)] == [old["model_version"], "9.9.9"]
    between = old["created_at"] + (new["created_at"] - old["created_at"]) / 2
    (then,) = results.of_frame(home, frame_id, between)
    assert (then["id"], then["is_current"]) == (old["id"], True)
    known = results.quality_as_of(home, [frame_id], between)[frame_id]
    assert known["score"] == pytest.approx(before["quality_score"], abs=1e-6)
    assert results.quality_as_of(home, [frame_id], NOW - timedelta(days=1)) == {}


def test_a_former_model_that_returns_is_current_again(
    home: Database,
    done: Callable[..., list[int]],
    newer: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
):
    (frame_id,) = done()
    before = row(home, frame_id)
    newer()
    run(home, start(home))
    monkeypatch.undo()
    run(home, start(home))
    back, newer_one, first = results.of_frame(home, frame_id)
    assert back["is_current"] and not newer_one["is_current"] and not first["is_current"]
    assert (back["model_sha256"], back["parameters_hash"]) == (
        first["model_sha256"],
        first["parameters_hash"],
    )
    assert back["payload"] == first["payload"]
    assert row(home, frame_id)["quality_score"] == before["quality_score"]


def test_a_frame_is_served_as_it_was_while_it_is_worked_on(home: Database, done: Callable[..., list[int]]):
    (frame_id,) = done()
    before = row(home, frame_id)
    job = start(home)
    assert reprocess.claim(home, Item(job.id, frame_id), "w", NOW) is not None
    assert reprocess.claim(home, Item(job.id, frame_id), "other", NOW) is None
    assert row(home, frame_id) == before
    assert state(home, job).counts[ItemStatus.WORKING] == 1


def test_a_vanished_file_ends_as_failed_with_its_reason_and_keeps_the_old_result(
    home: Database, done: Callable[..., list[int]], incoming: Path
):
    (frame_id,) = done()
    said = results.of_frame(home, frame_id)
    for file in incoming.iterdir():
        file.unlink()
    job = start(home)
    assert run(home, job) == ["rejected"]
    (failure,) = reprocess_jobs.failures(home, job.id, 10)
    assert failure["frame_id"] == frame_id
    assert "could not be opened" in failure["reason"]
    assert results.of_frame(home, frame_id) == said
    assert row(home, frame_id)["status"] == "done"
    assert state(home, job).status is JobStatus.DONE


def test_only_the_model_that_is_named_runs_and_one_that_is_not_installed_says_so(
    home: Database, done: Callable[..., list[int]], newer: Callable[..., None]
):
    (frame_id,) = done()
    newer()
    job = start(home, model="halpha_siqa")
    assert run(home, job) == ["rejected"]
    reason = reprocess_jobs.failures(home, job.id, 1)[0]["reason"]
    assert "halpha_siqa" in reason and "halpha_quality" in reason
    assert len(results.of_frame(home, frame_id)) == 1
    assert run(home, start(home, model="halpha_quality")) == ["done"]
    assert len(results.of_frame(home, frame_id)) == 2


def test_a_failed_frame_that_can_be_worked_on_now_is_done(home: Database, done: Callable[..., list[int]]):
    (frame_id,) = done()
    with home.write() as connection:
        connection.execute(delete_results())
        connection.execute(
            update(schema.frames).values(status="failed", reason="a defect", quality_score=None)
        )
    assert run(home, start(home)) == ["done"]
    after = row(home, frame_id)
    assert (after["status"], after["reason"]) == ("done", None)
    assert after["quality_score"] is not None
    assert len(results.of_frame(home, frame_id)) == 1


def delete_results() -> Any:
    from sqlalchemy import delete

    return delete(schema.results)


def test_two_jobs_over_the_same_frame_write_its_results_once(
    home: Database, done: Callable[..., list[int]], newer: Callable[..., None]
):
    (frame_id,) = done()
    newer()
    first, second = start(home), start(home)
    assert run(home, first) == run(home, second) == ["done"]
    assert len(results.of_frame(home, frame_id)) == 2


def test_frames_that_wait_or_come_later_are_no_part_of_a_job(home: Database, done: Callable[..., list[int]]):
    done()
    waiting = NewFrame("f" * 64, "late.fits", "/late.fits", 1, NOW, instrument="kso-halpha", family="halpha")
    register(home, [waiting], [])
    job = reprocess_jobs.create(home, author="a", wanted=ALL, model=None, families=None, now=NOW)
    later = dataclasses.replace(waiting, sha256="e" * 64, status=Status.FAILED)
    register(home, [later], [])
    reprocess_jobs.select_more(home, job.id)
    assert state(home, job).frames == 1
    assert reprocess_jobs.count(home, ALL) == 2
    assert reprocess_jobs.count(home, ALL, ["aia"]) == 0
    assert reprocess_jobs.count(home, FrameFilter(quality_min=2.0)) == 0


def test_a_cancelled_job_gives_out_no_more_frames_and_those_at_hand_are_finished(
    home: Database, done: Callable[..., list[int]], newer: Callable[..., None]
):
    first, second = done(2)
    newer()
    job = start(home)
    claimed = reprocess.claim(home, Item(job.id, first), "w", NOW)
    assert claimed is not None
    cancelled = reprocess_jobs.cancel(home, job.id, NOW)
    assert cancelled is not None and cancelled.status is JobStatus.CANCELLED
    assert reprocess.finish(home, claimed, again.analyse(tasks.desk(), claimed))
    assert again.work(tasks.desk(), Item(job.id, second)) is None
    assert reprocess.window(home, NOW, 10) == reprocess.Window((), ())
    assert [len(results.of_frame(home, number)) for number in (first, second)] == [2, 1]
    assert reprocess_jobs.cancel(home, job.id + 1, NOW) is None


def test_transient_troubles_do_not_count_and_defects_do(
    home: Database, done: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
):
    (frame_id,) = done()
    job = start(home)
    pipeline = tasks.desk().pipelines.of("halpha")

    def fail(error: Exception) -> Callable[..., Any]:
        def run_badly(*_: Any) -> Any:
            raise error

        return run_badly

    monkeypatch.setattr(pipeline, "run", fail(StorageUnavailableError("the disk", "full")))
    assert again.work(tasks.desk(), Item(job.id, frame_id)) == "retried"
    assert reprocess.window(home, datetime.now(UTC), 10).due == ()  # not before its time
    monkeypatch.setattr(pipeline, "run", fail(ValueError("odd")))
    attempts = tasks.desk().settings.worker.max_attempts
    outcomes = [again.work(tasks.desk(), Item(job.id, frame_id)) for _ in range(attempts)]
    assert outcomes == ["retried"] * (attempts - 1) + ["failed"]
    assert "ValueError: odd" in reprocess_jobs.failures(home, job.id, 1)[0]["reason"]
    assert row(home, frame_id)["status"] == "done"


def test_a_claim_of_a_dead_worker_is_taken_back_and_what_it_still_finds_is_dropped(
    home: Database, done: Callable[..., list[int]], newer: Callable[..., None]
):
    (frame_id,) = done()
    newer()
    job = start(home)
    long_ago = datetime.now(UTC) - timedelta(seconds=60)
    heartbeats.sign_on(home, "dead", "worker", long_ago, {})
    claimed = reprocess.claim(home, Item(job.id, frame_id), "dead", long_ago)
    assert claimed is not None
    found = again.analyse(tasks.desk(), claimed)
    settings = tasks.desk().settings
    Sweeper(settings, home, Publisher(make_app(settings))).sweep()
    assert state(home, job).counts[ItemStatus.WAITING] == 1
    assert not reprocess.finish(home, claimed, found)
    assert len(results.of_frame(home, frame_id)) == 1
    assert again.work(tasks.desk(), Item(job.id, frame_id)) == "done"


def dispatcher(settings: Settings, db: Database, sent: list[Item] | None = None) -> Dispatcher:
    """A dispatcher that hands out to a list, or to nobody."""
    taken = [] if sent is None else sent
    return Dispatcher(settings, db, lambda item: taken.append(item) or True, lambda: len(taken))  # type: ignore[func-returns-value]


def many(db: Database, count: int) -> None:
    new = [
        NewFrame(
            f"{number:064x}",
            f"{number}.fits",
            f"/x/{number}.fits",
            1,
            NOW,
            status=Status.FAILED,
            instrument="kso-halpha",
            family="halpha",
        )
        for number in range(count)
    ]
    register(db, new, [])


def test_no_more_than_a_batch_of_a_large_job_lies_on_the_queue(
    settings: Settings, db: Database, redis_server: RedisServer
):
    from redis import Redis

    Redis.from_url(redis_server.url).flushall()
    small = settings.sweeper.model_copy(update={"batch": 20, "unclaimed_s": 0.0001})
    made = settings.model_copy(update={"broker_url": redis_server.url, "sweeper": small})
    make_app(made)
    many(db, 100)
    start(db)
    swept = Dispatcher(made, db)
    assert swept.sweep(datetime.now(UTC)) == 20
    assert swept.sweep(datetime.now(UTC)) == 0
    assert depth(REPROCESSING) == 20
    Redis.from_url(redis_server.url).flushall()
    assert swept.sweep(datetime.now(UTC)) == 20  # the broker forgot them
    assert published(db) == 20


def published(db: Database) -> int:
    items = schema.reprocess_frames
    with db.read() as connection:
        return int(
            connection.execute(
                select(func.count()).select_from(items).where(items.c.published_at.is_not(None))
            ).scalar_one()
        )


def test_frames_sent_before_the_clock_was_set_back_are_sent_again(settings: Settings, db: Database):
    many(db, 3)
    start(db)
    sent: list[Item] = []
    dispatcher(settings, db, sent).sweep(datetime.now(UTC))
    seen = reprocess.window(db, datetime.now(UTC) - timedelta(hours=3), 9)
    assert sent
    assert set(sent) <= set(seen.due)


def test_embedded_as_many_are_handed_out_as_there_are_threads(settings: Settings, db: Database):
    many(db, 20)
    start(db)
    sent: list[Item] = []
    made = dispatcher(settings, db, sent)
    now = datetime.now(UTC)
    assert made.sweep(now) == made.sweep(now) + len(sent) == settings.worker.processes
    for item in sent:
        reprocess.claim(db, item, "w", now)
    assert made.fill(now) == settings.worker.processes
    made.take_back()
    assert published(db) == settings.worker.processes


def test_a_broker_that_is_away_leaves_the_frames_unpublished(settings: Settings, db: Database):
    many(db, 3)
    start(db)
    assert Dispatcher(settings, db, lambda _: False, lambda: 0).sweep(datetime.now(UTC)) == 0
    assert published(db) == 0
    away = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    assert Dispatcher(away, db, lambda _: True, lambda: None).sweep(datetime.now(UTC)) == 0


def test_a_job_written_down_in_pieces_takes_each_frame_once(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reprocess_jobs, "_PIECE", 4)
    many(db, 10)
    job = reprocess_jobs.create(db, author="a", wanted=ALL, model=None, families=None, now=NOW)
    pieces: Sequence[int] = [reprocess_jobs.select_more(db, job.id) for _ in range(4)]
    assert pieces == [4, 4, 2, 0]
    assert (state(db, job).status, state(db, job).frames) == (JobStatus.RUNNING, 10)
    assert state(db, job).counts[ItemStatus.WAITING] == 10


def test_the_same_request_goes_on_with_the_job_that_runs(db: Database):
    many(db, 2)
    wanted = FrameFilter(instrument="kso-halpha", time_from=NOW - timedelta(days=1), status=Status.FAILED)
    job = start(db, wanted, "m")
    found = reprocess_jobs.same_as(db, wanted, "m")
    assert found is not None and found.id == job.id
    assert reprocess_jobs.same_as(db, wanted, None) is None
    reprocess_jobs.cancel(db, job.id, NOW)
    assert reprocess_jobs.same_as(db, wanted, "m") is None
