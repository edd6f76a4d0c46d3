"""Reprocessing across processes: killed in the middle it goes on, with a Redis and without."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from sqlalchemy import update

from observatory.settings import Settings, load_settings
from observatory.storage import catalogue, reprocess_jobs, schema
from observatory.storage.catalogue import FrameFilter
from observatory.storage.frames import Status
from observatory.storage.reprocess_jobs import ItemStatus, Job, JobStatus
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.making import pgm_bytes
from tests.servers import PostgresServer, RedisServer
from tests.workers.test_worker_process import command
from workers.app import make_app
from workers.dispatcher import Dispatcher
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.sweeper import Sweeper
from workers.watching import WatchFolder

FRAMES = 200  # some seconds of work: long enough to be found in the middle of it
ALL = FrameFilter()


def archive(settings: Settings, folder: Path, count: int = FRAMES) -> Database:
    """A database of frames that are done; what was found in them is what nobody asks here."""
    db = Database(settings.resolved_database_url)
    for number in range(count):
        (folder / f"themis{number:02d}.pgm").write_bytes(pgm_bytes([np.full((600, 600), number, np.uint16)]))
    Ingester(settings, db, Publisher(make_app(settings)), [WatchFolder(folder)]).once()
    with db.write() as connection:
        connection.execute(update(schema.frames).values(status=Status.DONE, processed_at=datetime.now(UTC)))
    assert catalogue.counts(db)["done"] == count
    return db


def state(db: Database) -> Job:
    (job,) = reprocess_jobs.newest(db, 5)
    return job


def done(db: Database) -> int:
    jobs = reprocess_jobs.newest(db, 1)
    return jobs[0].counts[ItemStatus.DONE] if jobs else 0


@pytest.fixture
def production(settings: Settings, postgres: PostgresServer, redis_server: RedisServer) -> Iterator[Settings]:
    """Settings as in production: an empty Postgres and an empty Redis."""
    Redis.from_url(redis_server.url).flushall()
    yield load_settings(
        data_dir=settings.data_dir,
        database_url=postgres.migrated_database(),
        broker_url=redis_server.url,
        worker={"heartbeat_s": 0.3, "lease_s": 1.0},
        sweeper={"unclaimed_s": 0.5, "interval_s": 0.3},
    )


def test_a_worker_killed_in_the_middle_of_a_job_and_a_wiped_queue_lose_no_frame(
    production: Settings,
    incoming: Path,
    redis_server: RedisServer,
    eventually: Callable[..., None],
):
    db = archive(production, incoming)
    job = reprocess_jobs.create(
        db, author="ada", wanted=ALL, model=None, families=None, now=datetime.now(UTC)
    )
    Redis.from_url(redis_server.url).flushall()
    sweeper = Sweeper(production, db, Publisher(make_app(production)))
    sweeper.sweep()
    quick = {"HELIOWATCH_WORKER__HEARTBEAT_S": "0.3", "HELIOWATCH_WORKER__LEASE_S": "1.0"}
    line, environment = command(production, "worker", "--processes", "1", **quick)
    first = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        eventually(lambda: done(db) >= 2, "the first worker did nothing", 120)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    Redis.from_url(redis_server.url).flushall()
    assert state(db).status is JobStatus.RUNNING
    assert done(db) < FRAMES
    assert catalogue.counts(db)["done"] == FRAMES  # all the while
    second = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
    sweeper.start()
    try:
        eventually(lambda: state(db).status is JobStatus.DONE, "the job did not end", 120)
    finally:
        sweeper.stop()
        second.terminate()
        second.wait(timeout=20)
    ended = state(db)
    assert (ended.id, ended.counts[ItemStatus.DONE], ended.counts[ItemStatus.FAILED]) == (job.id, FRAMES, 0)


def test_the_command_killed_in_the_middle_goes_on_where_it_was(
    settings: Settings, incoming: Path, eventually: Callable[..., None]
):
    embedded = load_settings(data_dir=settings.data_dir, worker={"heartbeat_s": 0.3, "lease_s": 1.0})
    lay_out(embedded.resolved_database_url)
    db = archive(embedded, incoming)
    quick = {"HELIOWATCH_WORKER__HEARTBEAT_S": "0.3", "HELIOWATCH_WORKER__LEASE_S": "1.0"}
    line, environment = command(
        embedded, "reprocess", "--instrument", "themis-asi", "--workers", "1", **quick
    )
    first = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        eventually(lambda: done(db) >= 2, "the first command did nothing", 120)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = done(db)
    assert before < FRAMES
    second = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=150)
    assert second.returncode == 0, second.stderr
    assert second.stdout.strip() == f"{FRAMES} done, 0 failed"
    assert f"goes on: {before}" in second.stderr
    assert state(db).status is JobStatus.DONE


def test_a_command_told_to_stop_says_how_to_go_on_and_live_stations_finish_its_job(
    settings: Settings, incoming: Path, eventually: Callable[..., None]
):
    lay_out(settings.resolved_database_url)
    db = archive(settings, incoming)
    line, environment = command(settings, "reprocess", "--workers", "1")
    process = subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: done(db) >= 2, "the command did nothing", 120)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert f"{FRAMES - done(db)} left" in out
    assert "the same command goes on" in err
    taken: list[object] = []
    other = Dispatcher(settings, db, lambda item: taken.append(item) or True, lambda: 0)  # type: ignore[func-returns-value]
    assert other.fill(datetime.now(UTC)) == settings.worker.processes  # nothing is held back


def test_a_command_with_a_redis_that_no_worker_hears_says_so(
    production: Settings, incoming: Path, eventually: Callable[..., None]
):
    db = archive(production, incoming, count=3)
    line, environment = command(production, "reprocess")
    process = subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        words = next(text for text in process.stderr if "no worker" in text)
        assert "heliowatch worker" in words
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        assert out.strip() == "0 done, 0 failed, 3 left"
        assert state(db).status is JobStatus.RUNNING
    finally:
        process.kill()
        process.communicate()
