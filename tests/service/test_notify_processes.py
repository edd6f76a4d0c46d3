"""Two service processes in a storm of alerts, one of which dies: nothing is lost, and only what it had is repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from observatory.settings import Settings
from observatory.storage.notification_schema import notifications as rows
from observatory.storage.session import Database
from tests.servers import PostgresServer
from tests.service.alarms import Alarms, webhook, with_channels
from tests.service.receivers import Post, Receiver, web_server

ALERTS = 40
_CONFIG = """
database_url: {database}
data_dir: {data}
notifications:
  channels:
    one: {{kind: webhook, url: "{url}/one"}}
    two: {{kind: webhook, url: "{url}/two"}}
  group_wait_s: 0
  group_interval_s: 0
  poll_s: 0.05
  lease_s: 1
  retry_first_s: 0.1
"""


class Held:
    """Answers at once, but for the one post that comes as the so manieth."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._lock = threading.Lock()
        self.key = ""
        self.came, self.go_on = threading.Event(), threading.Event()

    def __call__(self, post: Post) -> int:
        with self._lock:
            self._left -= 1
            is_held = self._left == 0
        if is_held:
            self.key = post.key
            self.came.set()
            self.go_on.wait(30)
        return 200


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HELIOWATCH_")
        }
        environment["HELIOWATCH_CONFIG"] = str(tmp_path / "heliowatch.yaml")
        command = [sys.executable, "-m", "heliowatch.cli", "serve", "--port", "0"]
        with (tmp_path / f"log-{len(started)}").open("wb") as log:
            started.append(subprocess.Popen(command, env=environment, stderr=log, stdout=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_after_a_kill_in_a_storm_each_notification_came_and_only_what_was_in_flight_came_twice(
    postgres: PostgresServer,
    settings: Settings,
    tmp_path: Path,
    services: Callable[[], subprocess.Popen[bytes]],
    eventually: Callable[..., None],
) -> None:
    url = postgres.migrated_database()
    db = Database(url)
    held = Held(30)
    with web_server(Receiver(answer=held)) as receiver:
        config = _CONFIG.format(database=url, data=tmp_path / "data", url=receiver.url)
        (tmp_path / "heliowatch.yaml").write_text(config)
        told = with_channels(settings, {"one": webhook(receiver.url), "two": webhook(receiver.url)})
        alarms = Alarms(db, told)
        alarms.storm([(f"Rule{number}", "kso") for number in range(ALERTS)], notify=("one", "two"))
        processes = {process.pid: process for process in (services(), services())}
        assert held.came.wait(60), "the storm did not reach the receiver"
        owner = in_flight(db)[held.key]
        dead = processes[int(owner.rsplit("-", 2)[1])]
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        lost = {key for key, name in in_flight(db).items() if name == owner}
        assert held.key in lost and len(lost) <= 2
        services()
        alarms.storm([(f"Later{number}", "kso") for number in range(10)], notify=("one",))
        held.go_on.set()
        eventually(lambda: not unsent(db), "some were never sent", timeout_s=60)
        with db.read() as connection:
            attempts = dict(connection.execute(select(rows.c.idempotency_key, rows.c.attempts)).all())
        assert len(attempts) == 2 * ALERTS + 10
        assert set(receiver.keys) == set(attempts), "what the database says was sent is what came"
        twice = {key for key, number in receiver.keys.items() if number > 1}
        assert held.key in twice and twice <= lost
        assert {key for key, number in attempts.items() if number > 1} == lost, "the retry is visible"
        bodies = [post.body for post in receiver.posts if post.key == held.key]
        assert len(bodies) == 2 and bodies[0] == bodies[1]
    db.dispose()


def in_flight(db: Database) -> dict[str, str]:
    query = select(rows.c.idempotency_key, rows.c.claimed_by).where(rows.c.state == "sending")
    with db.read() as connection:
        return dict(connection.execute(query).all())


def unsent(db: Database) -> list[str]:
    with db.read() as connection:
        return list(
            connection.execute(select(rows.c.idempotency_key).where(rows.c.state != "sent")).scalars()
        )
