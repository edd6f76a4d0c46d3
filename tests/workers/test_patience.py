"""How long work that failed waits, whether it counts, and when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from observatory.errors import StorageUnavailableError, UnreadableFileError
from workers import patience
from workers.patience import Claim, insist, see_through

MOST = 30


class Noted:
    """A claim that notes how it was ended."""

    def __init__(self, attempts: int) -> None:
        self.ends: list[tuple[str, Any]] = []
        self.claim = Claim(
            what="frame",
            attempts=attempts,
            most_attempts=MOST,
            reject=lambda reason: self.ends.append(("rejected", reason)),
            fail=lambda reason: self.ends.append(("failed", reason)),
            give_back=lambda at, *, is_counted: self.ends.append((f"again {is_counted}", at)),
        )

    def work(self, error: Exception) -> str:
        def broken() -> str:
            raise error

        return see_through(broken, self.claim, structlog.get_logger())


@pytest.mark.parametrize(
    ("error", "attempts", "seconds", "is_counted"),
    [
        (KeyError("odd"), 1, 2, True),
        (KeyError("odd"), 5, 32, True),
        (KeyError("odd"), 6, 60, True),
        (KeyError("odd"), MOST - 1, 60, True),
        (StorageUnavailableError("the disk", "full"), MOST, 5, False),
    ],
)
def test_a_defect_waits_longer_each_time_up_to_a_minute_and_what_passes_is_not_counted(
    error: Exception, attempts: int, seconds: int, is_counted: bool
):
    noted, before = Noted(attempts), datetime.now(UTC)
    assert noted.work(error) == "retried"
    ((said, retry_at),) = noted.ends
    assert said == f"again {is_counted}"
    wait = timedelta(seconds=seconds)
    assert before + wait <= retry_at <= datetime.now(UTC) + wait


def test_the_last_attempt_fails_and_what_cannot_be_read_is_rejected_at_once():
    last, first = Noted(MOST), Noted(1)
    assert last.work(KeyError("odd")) == "failed"
    assert last.ends == [("failed", "defect after 30 attempts: KeyError: 'odd'")]
    assert first.work(UnreadableFileError("no picture")) == "rejected"
    assert first.ends == [("rejected", "no picture")]


def test_a_short_write_is_repeated_until_the_database_takes_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patience, "_AWAIT_DATABASE_S", 0.0)
    answers = [
        StorageUnavailableError("the database", "away"),
        StorageUnavailableError("the database", "away"),
    ]

    def write() -> str:
        if answers:
            raise answers.pop()
        return "written"

    assert insist(write) == "written"
