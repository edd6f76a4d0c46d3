"""Two real processes watch the same telescope and are killed again and again: each alert is told once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from observatory.storage.alert_schema import alert_cursor
from observatory.storage.session import Database
from tests.servers import PostgresServer
from tests.service.observing_night import Night, outbox, raised, told

_FRAMES = 120
_RULES = 4
_RULE = (
    "- alert: A{0}\n  when: {{quality: {{lt: 0.4}}}}\n  for_frames: 2\n  clear_frames: 2\n  notify: [hook]\n"
)
_WATCHER = """
import sys
from pathlib import Path
from observatory.settings import load_settings
from observatory.storage.session import Database
from service.alerting import AlertEngine

settings = load_settings(database_url=sys.argv[1])
given = {"rules": Path(sys.argv[2]), "poll_s": 0.02, "lease_s": 1.0, "batch": 5}
settings = settings.model_copy(update={"alerts": settings.alerts.model_copy(update=given)})
engine = AlertEngine(settings, Database(sys.argv[1]))
engine.start()
sys.stdin.read()
"""


class Watchers:
    """Processes that run the engine."""

    def __init__(self, url: str, rules: Path) -> None:
        self._command = [sys.executable, "-c", _WATCHER, url, str(rules)]
        self.running = [self._start(), self._start()]

    def _start(self) -> subprocess.Popen[bytes]:
        home, silent = Path(__file__).parents[2], subprocess.DEVNULL
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=silent, stderr=silent, cwd=home)

    def kill(self, number: int) -> None:
        self.running[number].kill()
        self.running[number].wait()
        self.running[number] = self._start()

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


def _expected(scores: Iterable[float]) -> Counter[str]:
    """How often one rule fires and ends, counted by hand."""
    counted: Counter[str] = Counter()
    bad = good = 0
    is_firing = False
    for score in scores:
        bad, good = (bad + 1, 0) if score < 0.4 else (0, good + 1)
        if not is_firing and bad >= 2:
            is_firing = True
            counted["fired"] += 1
        elif is_firing and good >= 2:
            is_firing = False
            counted["resolved"] += 1
    return counted


@pytest.mark.usefixtures("settings")
def test_each_alert_is_told_once_though_processes_are_killed(
    postgres: PostgresServer, tmp_path: Path, eventually: Callable[..., None]
):
    url = postgres.migrated_database()
    db = Database(url)
    rules = tmp_path / "rules.yaml"
    rules.write_text("".join(_RULE.format(number) for number in range(_RULES)))
    watchers = Watchers(url, rules)
    try:
        eventually(lambda: not _is_unheld(db), "nobody watches")
        night, draw = Night(db), random.Random(5)
        scores = [0.1 if number // 3 % 2 else 0.9 for number in range(_FRAMES)]
        for number, score in enumerate(scores):
            night.clock.now = datetime.now(UTC)
            night.see(score)
            if number % 30 == 20:
                watchers.kill(draw.randrange(2))
        expected = _expected(scores)
        eventually(lambda: len(told(db)) >= _RULES * expected.total(), "not all was told")
    finally:
        watchers.stop()
    counted = Counter(told(db))
    assert counted == {
        (f"A{rule}", kind): count for rule in range(_RULES) for kind, count in expected.items()
    }
    assert len(raised(db)) == _RULES * expected["fired"]
    assert len(outbox(db)) == len(set(outbox(db))) == _RULES * expected.total()
    db.dispose()


def _is_unheld(db: Database) -> bool:
    with db.read() as connection:
        row = connection.execute(alert_cursor.select()).mappings().one_or_none()
    return row is None or row["holder"] is None
