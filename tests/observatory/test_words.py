"""Numbers in words."""

from __future__ import annotations

import pytest

from observatory.words import counted, lasting


@pytest.mark.parametrize(
    ("value_s", "words"),
    [
        (-1.0, "0 µs"),
        (2.5e-6, "2.5 µs"),
        (0.03, "30 ms"),
        (1.5, "1.50 s"),
        (12.3, "12 s"),
        (59.6, "60 s"),
        (60.0, "1 min"),
        (7500.0, "2 h 5 min"),
        (3 * 86400.0, "3 d"),
        (355_600_000.0, "11 y 97 d"),
    ],
)
def test_a_length_of_time_is_told_in_its_two_largest_units(value_s: float, words: str):
    assert lasting(value_s) == words


def test_one_is_no_plural():
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
