"""Which frames are the newest, and where they stand, when a camera's clock is ahead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from observatory.storage import catalogue, frames
from observatory.storage.session import Database
from tests.observatory.test_storage import NOON, new_frame


def test_the_newest_frames_of_a_clock_that_is_ahead_are_those_that_came_last(db: Database):
    def put(number: int, second: int, ahead_s: int = 0) -> int:
        came = NOON + timedelta(seconds=second)
        dated = came + timedelta(seconds=ahead_s)
        (task,) = frames.register(db, [new_frame(number, date_obs=dated, received_at=came)], [])
        return task.frame_id

    ahead = [put(number, number, 7200) for number in range(5)]
    right = [put(number, number, -2) for number in range(10, 13)]  # its clock was put right

    def newest(limit: int, **more: Any) -> list[int]:
        return [row["id"] for row in catalogue.newest(db, "kso-halpha", limit=limit, **more)]

    assert newest(2) == right[:0:-1]
    assert newest(5) == [*right[::-1], *ahead[:2:-1]]
    assert newest(9) == newest(8) == [*right[::-1], *ahead[::-1]]
    assert newest(9, since=NOON + timedelta(seconds=2), until=NOON + timedelta(seconds=9)) == [
        right[0],
        *ahead[:1:-1],
    ]
    assert catalogue.newest_moments(db, ["kso-halpha"]) == {"kso-halpha": NOON + timedelta(seconds=10)}
    before = NOON + timedelta(seconds=4)
    assert catalogue.newest_moments(db, ["kso-halpha"], before) == {"kso-halpha": NOON + timedelta(seconds=3)}
    (told,) = catalogue.overview(db)
    assert told["last_date_obs"] == NOON + timedelta(seconds=10)
    latest = put(20, 20, 10**8)
    assert newest(1) == [latest] and newest(2) == [latest, right[-1]]
