"""The nearest row in time: across midnight, in any order, as far as the tolerance goes."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from observatory.nearest import nearest

TIMES = some.lists(some.one_of(some.integers(-50, 50).map(float), some.just(float("nan"))), max_size=12)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_row_before_midnight_finds_its_neighbour_after_it() -> None:
    others = [at("2026-11-20 12:00"), at("2026-11-21 00:00:30")]
    assert nearest([at("2026-11-20 23:59:30")], others).tolist() == [1]


def test_the_turn_of_the_year_is_nothing_special() -> None:
    others = [at("2026-12-31 18:00"), at("2027-01-01 00:10")]
    assert nearest([at("2026-12-31 23:50")], others, 1200).tolist() == [1]


def test_rows_further_than_a_day_have_no_partner_by_default() -> None:
    assert nearest([0.0, 0.0], [86_401.0]).tolist() == [-1, -1]
    assert nearest([0.0], [86_400.0]).tolist() == [0]


def test_nothing_is_near_to_an_empty_series() -> None:
    assert nearest([1.0, 2.0], []).tolist() == [-1, -1]
    assert nearest([], [1.0]).tolist() == []


def test_a_tolerance_below_zero_is_refused() -> None:
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="0 or more"):
            nearest([0.0], [0.0], wrong)


@example(times=[0.0], others=[1.0, -1.0], tolerance=1)
@example(times=[9.0], others=[5.0, 5.0], tolerance=9)
@given(times=TIMES, others=TIMES, tolerance=some.integers(0, 30))
def test_it_is_the_nearest_the_earlier_of_two_and_the_first_of_equals(
    times: list[float], others: list[float], tolerance: int
) -> None:
    found = nearest(times, others, float(tolerance))
    for time, index in zip(times, found, strict=True):
        distances = [(abs(other - time), other, n) for n, other in enumerate(others) if not np.isnan(other)]
        best = min(distances, default=None) if not np.isnan(time) else None
        assert index == (best[2] if best is not None and best[0] <= tolerance else -1)
