"""A real worker, forked, on a real Redis and a real Postgres: it works, it stops, it refuses to start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from sqlalchemy import text

import migrations
from models.runtime import Runtime
from observatory.errors import ProviderUnavailableError, SettingsError, StorageUnavailableError
from observatory.settings import Settings
from observatory.storage import catalogue, events
from observatory.storage import workers as heartbeats
from observatory.storage.frames import Priority, Task
from observatory.storage.session import Database
from tests.making import kso_frame, pgm_bytes
from tests.servers import PostgresServer, RedisServer
from workers import metrics, tasks
from workers.app import make_app
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.sweeper import Sweeper
from workers.watching import WatchFolder


@pytest.fixture
def production(settings: Settings, postgres: PostgresServer, redis_server: RedisServer) -> Settings:
    """Settings as in production: an empty Postgres and an empty Redis."""
    Redis.from_url(redis_server.url).flushall()
    url = postgres.migrated_database()
    return settings.model_copy(update={"database_url": url, "broker_url": redis_server.url})


@pytest.fixture
def db(production: Settings) -> Iterator[Database]:
    database = Database(production.resolved_database_url)
    yield database
    database.dispose()


def command(settings: Settings, *arguments: str, **more: str) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of one of our processes."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HELIOWATCH_")},
        "PYTHONPATH": os.pathsep.join(
            [str(Path(migrations.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        ),
        "HELIOWATCH_DATA_DIR": str(settings.data_dir),
        "HELIOWATCH_DATABASE_URL": settings.database_url,
        "HELIOWATCH_BROKER_URL": settings.broker_url,
        **more,
    }
    return [sys.executable, "-m", "heliowatch.cli", *arguments], environment


def ingest(settings: Settings, db: Database, folder: Path) -> None:
    Ingester(settings, db, Publisher(make_app(settings)), [WatchFolder(folder)]).once()


def test_a_forked_worker_works_and_ends_gracefully_on_sigterm(
    production: Settings, db: Database, incoming: Path, eventually: Callable[..., None]
):
    kso_frame(incoming, 1)
    for number in range(4):
        film = pgm_bytes([np.full((32, 32), number * 10 + n, np.uint16) for n in range(5)])
        (incoming / f"themis0{number}.pgm").write_bytes(film)
    ingest(production, db, incoming)
    line, environment = command(production, "worker", "--processes", "2")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, cwd=production.data_dir.parent)
    try:
        eventually(lambda: catalogue.counts(db)["done"] == 21, "the worker did not finish the frames", 60)
        alive = heartbeats.alive(db, datetime.now(UTC), 60)
        assert {worker["role"] for worker in alive} == {"worker"}
        assert alive[0]["facts"]["models"][0]["provider"] == "CPUExecutionProvider"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
    assert heartbeats.alive(db, datetime.now(UTC), 60) == []
    done = [event for event in events.after(db, 0, 1000) if event.type == "result"]
    assert len(done) == len({event.payload["id"] for event in done}) == 21


def test_a_killed_worker_and_a_wiped_queue_lose_no_frame(
    production: Settings,
    db: Database,
    incoming: Path,
    redis_server: RedisServer,
    eventually: Callable[..., None],
):
    for number in range(40):
        (incoming / f"themis{number:02d}.pgm").write_bytes(
            pgm_bytes([np.full((600, 600), number, np.uint16)])
        )
    quick = production.model_copy(
        update={
            "worker": production.worker.model_copy(update={"heartbeat_s": 0.3, "lease_s": 1.0}),
            "sweeper": production.sweeper.model_copy(update={"unclaimed_s": 0.5}),
        }
    )
    ingest(quick, db, incoming)
    line, environment = command(
        quick,
        "worker",
        "--processes",
        "1",
        HELIOWATCH_WORKER__HEARTBEAT_S="0.3",
        HELIOWATCH_WORKER__LEASE_S="1.0",
    )
    first = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        eventually(lambda: catalogue.counts(db)["done"] >= 2, "the first worker did nothing", 60)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    Redis.from_url(redis_server.url).flushall()
    assert catalogue.counts(db)["done"] < 40
    sweeper = Sweeper(quick, db, Publisher(make_app(quick)))
    second = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: (sweeper.sweep(), catalogue.counts(db)["done"] == 40)[1], "frames were lost", 60)
    finally:
        second.terminate()
        second.wait(timeout=20)
    done = [event for event in events.after(db, 0, 1000) if event.type == "result"]
    assert len(done) == 40


def test_children_may_take_long_to_warm_up(production: Settings):
    # On a device the first session takes many seconds; Celery kills children that are not up in time.
    assert make_app(production).conf.worker_proc_alive_timeout >= 60


def test_live_frames_go_before_an_archives(
    production: Settings, db: Database, tmp_path: Path, eventually: Callable[..., None]
):
    app = make_app(production)
    for name, first, priority in (("archive", 0, Priority.BACKFILL), ("live", 20, Priority.LIVE)):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(first, first + 20):
            (folder / f"themis{number:02d}.pgm").write_bytes(
                pgm_bytes([np.full((300, 300), number, np.uint16)])
            )
        Ingester(production, db, Publisher(app), [WatchFolder(folder)], priority=priority).once()
    line, environment = command(production, "worker", "--processes", "1")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: catalogue.counts(db)["done"] == 40, "not all frames were finished", 60)
    finally:
        process.terminate()
        process.wait(timeout=20)
    order = [event.payload["file_name"] for event in events.after(db, 0, 1000) if event.type == "result"]
    live = [place for place, name in enumerate(order) if int(name[6:8]) >= 20]
    assert max(live) < 20 + 3  # but for what was handed out in the first moment


def cut_connections(db: Database) -> None:
    """End every session of the database but this one, as a restart of Postgres does."""
    with db.write() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def test_a_database_that_cuts_its_connections_while_we_work_loses_and_strands_nothing(
    production: Settings,
    db: Database,
    incoming: Path,
    redis_server: RedisServer,
    eventually: Callable[..., None],
):
    for number in range(40):
        (incoming / f"themis{number:02d}.pgm").write_bytes(
            pgm_bytes([np.full((600, 600), number, np.uint16)])
        )
    quick = production.model_copy(
        update={"sweeper": production.sweeper.model_copy(update={"unclaimed_s": 0.5})}
    )
    ingest(quick, db, incoming)
    line, environment = command(quick, "worker", "--processes", "2")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
    sweeper = Sweeper(quick, db, Publisher(make_app(quick)))

    def goes_on(least: int) -> Callable[[], bool]:
        def is_there() -> bool:
            try:
                sweeper.sweep()
                return catalogue.counts(db)["done"] >= least
            except StorageUnavailableError:
                return False  # our own connection was cut, too

        return is_there

    try:
        for least in (3, 10, 20):
            eventually(goes_on(least), "the worker stopped", 60)
            cut_connections(db)
        eventually(goes_on(40), "frames were lost or stranded", 60)
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert catalogue.counts(db)["failed"] == catalogue.counts(db)["rejected"] == 0
    done = [event for event in events.after(db, 0, 1000) if event.type == "result"]
    assert len(done) == 40


def test_a_worker_told_to_stop_amid_messages_does_not_wait_for_those_it_gave_up(
    production: Settings, db: Database, incoming: Path, eventually: Callable[..., None]
):
    # A child that is at such a message would wait half a minute for its parent to hear of it.
    (incoming / "themis00.pgm").write_bytes(pgm_bytes([np.full((300, 300), 7, np.uint16)]))
    ingest(production, db, incoming)
    line, environment = command(production, "worker", "--processes", "4")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: catalogue.counts(db)["done"] == 1, "the worker did not start", 60)
        Publisher(make_app(production)).publish([Task(1, "allsky", Priority.LIVE)] * 2000)
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_worker_goes_on_when_redis_was_away_while_its_frames_ended(
    production: Settings,
    db: Database,
    incoming: Path,
    tmp_path: Path,
    redis_server: RedisServer,
    eventually: Callable[..., None],
):
    # Redis cannot be told that they are done: their places with the worker must become free all the same.
    for number in range(6):
        (incoming / f"themis{number:02d}.pgm").write_bytes(pgm_bytes([np.full((64, 64), number, np.uint16)]))
    ingest(production, db, incoming)
    line, environment = command(production, "worker", "--processes", "2")
    said = tmp_path / "worker.log"
    with db.write() as connection, said.open("wb") as log:
        connection.execute(text("LOCK TABLE frames IN SHARE MODE"))  # nobody can claim a frame
        process = subprocess.Popen(line, env=environment, stderr=log)
        eventually(lambda: _claims_that_wait(db) == 2, "the worker took no frames", 60)
        redis_server.kill()
    try:
        try:
            # Once one place is free the worker looks for Redis and leaves the other frame's end for later.
            eventually(lambda: catalogue.counts(db)["done"] == 2, "the frames did not end", 60)
            eventually(lambda: "Couldn't ack" in said.read_text(), "Redis was told after all", 60)
        finally:
            redis_server.start()
        eventually(lambda: catalogue.counts(db)["done"] == 6, "the worker stands still", 60)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _claims_that_wait(db: Database) -> int:
    """Claims of frames that another transaction holds up."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE frames SET%attempts=(frames.attempts + %'"
    )
    with db.read() as connection:
        return int(connection.execute(waiting).scalar_one())


def test_a_worker_on_the_embedded_queue_refuses_to_start(production: Settings):
    line, environment = command(production.model_copy(update={"broker_url": "memory://"}), "worker")
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "broker_url" in ended.stderr


def test_a_worker_on_an_old_schema_refuses_to_start(production: Settings, postgres: PostgresServer):
    empty = production.model_copy(update={"database_url": postgres.new_database()})
    line, environment = command(empty, "worker")
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "heliowatch db upgrade" in ended.stderr


def test_a_metrics_port_that_another_process_has_is_one_line_and_no_traceback():
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"worker.metrics_port: .* {port}: Address already in use"):
            metrics.serve(port)


def test_a_worker_told_to_use_a_gpu_that_is_not_given_refuses_to_start_and_says_why(production: Settings):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine gives a GPU")
    line, environment = command(production, "worker", HELIOWATCH_RUNTIME__DEVICE="cuda")
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "CUDAExecutionProvider was asked for" in ended.stderr
    assert "nvidia-smi" in ended.stderr
    assert "Traceback" not in ended.stderr


class _FallenBack:
    """A session that took the CPU in silence, as ONNX Runtime does without CUDA's libraries."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def get_inputs(self) -> list[Any]:
        return []

    get_outputs = get_inputs


def test_a_session_that_fell_back_to_the_cpu_in_silence_is_an_error_at_the_start(
    production: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
):
    from workers import worker

    cuda = production.model_copy(update={"runtime": production.runtime.model_copy(update={"device": "cuda"})})
    stand_in = Runtime(
        device="cuda",
        available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        session_factory=lambda *_: _FallenBack(),
    )
    monkeypatch.setattr(tasks.Desk, "runtime", stand_in)
    with pytest.raises(ProviderUnavailableError, match="gave CPUExecutionProvider"):
        worker.start_desk(cuda)
    assert heartbeats.alive(db, datetime.now(UTC), 60) == []  # it never said that it works
