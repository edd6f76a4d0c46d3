"""Points of a series: the newest of them, and the ends of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from service.series import newest_points

ROWS: list[dict[str, Any]] = [{"start": 300 * number, "frames": number} for number in range(4)]


@pytest.mark.parametrize(("limit", "kept"), [(1, [3]), (3, [1, 2, 3]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 3])])
def test_the_newest_points_are_kept_and_it_is_said_when_there_were_more(limit: int, kept: list[int]) -> None:
    points, is_truncated = newest_points(ROWS, limit)
    assert [point["frames"] for point in points] == kept
    assert is_truncated is (limit < 4)
    assert points[-1] == {"frames": 3, "time": datetime(1970, 1, 1, 0, 15, tzinfo=UTC)}


def test_no_points_are_no_points() -> None:
    assert newest_points([], 9) == ([], False)


def test_single_points_are_as_they_are() -> None:
    row = {"time": datetime(2026, 6, 1, tzinfo=UTC), "score": 0.5}
    assert newest_points([row], 9) == ([row], False)


def test_bins_beyond_the_calendar_are_left_out() -> None:
    first = datetime(1, 1, 1, tzinfo=UTC)
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    edges = [int(first.timestamp()), int(last.timestamp())]
    starts: list[int | None] = [edges[0] - 1, edges[0], -1, edges[1], edges[1] + 1, None]
    points, _ = newest_points([{"start": start} for start in starts], 9)
    assert [point["time"] for point in points] == [
        first,
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        last,
    ]
