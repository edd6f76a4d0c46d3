"""HAPI's times: what is one, which moment it is, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.hapi.times import LAST, parse_time, write_span, write_time


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("2026", (2026, 1, 1)),
        ("2026Z", (2026, 1, 1)),
        ("2026-02", (2026, 2, 1)),
        ("2024-060", (2024, 2, 29)),
        ("2026-060", (2026, 3, 1)),
        ("2024-366", (2024, 12, 31)),
        ("2000-366", (2000, 12, 31)),
        ("1900-365T23", (1900, 12, 31, 23)),
        ("2024-02-29T23:59Z", (2024, 2, 29, 23, 59)),
        ("2026-06-01T00:00:00.", (2026, 6, 1)),
        ("2026-06-01T08:07:06.5", (2026, 6, 1, 8, 7, 6, 500_000)),
        ("2026-06-01T08:07:06.000001", (2026, 6, 1, 8, 7, 6, 1)),
        ("2026-06-01T08:07:06.0000001", (2026, 6, 1, 8, 7, 6, 1)),
        ("2026-06-01T08:07:06.999999000000000001", (2026, 6, 1, 8, 7, 7)),
        ("2026-12-31T23:59:59.9999991Z", (2027, 1, 1)),
        ("2026-02-28T24", (2026, 3, 1)),
        ("2026-365T24:00:00.000", (2027, 1, 1)),
        ("2016-12-31T23:59:60Z", (2017, 1, 1)),
        ("2016-366T23:59:60.999", (2017, 1, 1)),
    ],
)
def test_a_time_is_the_moment_at_which_what_it_names_begins(word: str, expected: tuple[int, ...]) -> None:
    assert parse_time(word) == datetime(*expected, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "word",
    [
        *("", "Z", "26", "0000", "2026-00", "2026-13", "2026-000", "2026-366", "1900-366", "2100-366"),
        *("2026-02-29", "1900-02-29", "2026-06-31", "2026-6-1", "2026-06-1", "20260601", "2026-060-01"),
        *("2026T08", "2026-06T08", "2026-06-01T", "2026-06-01 08:00", "2026-06-01T8", "2026-06-01T08:0"),
        *(
            "2026-06-01T25",
            "2026-06-01T24:01",
            "2026-06-01T24:00:00.1",
            "2026-06-01T08:60",
            "2026-06-01T08.5",
        ),
        *("2026-06-01T08:00:60", "2026-06-01T22:59:60", "2026-06-01T23:59:61", "2026-06-01T08:00:00,5"),
        *("2026-06-01T08:00:00+00:00", "2026-06-01t08:00z", "2026-06-01T08:00ZZ", " 2026", "2026\n", "-2026"),
        *("٢٠٢٦", "2026-06-01T08:00:00.0000000000000000001"),
    ],
)
def test_what_is_no_time_is_refused(word: str) -> None:
    with pytest.raises(ValueError):
        parse_time(word)


def test_the_calendars_end_is_its_last_moment() -> None:
    assert parse_time("9999-12-31T24:00") == parse_time("9999-365T23:59:59.9999995") == LAST


def test_a_time_is_written_in_utc_and_always_as_long() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert write_time(datetime(2026, 1, 1, 2, tzinfo=east)) == "2025-12-31T20:30:00.000000Z"
    assert write_time(datetime(1, 1, 1, 0, 0, 0, 7, tzinfo=UTC)) == "0001-01-01T00:00:00.000007Z"


def test_a_span_is_told_to_the_millisecond() -> None:
    told = {0.0004: "PT0S", 0.25: "PT0.25S", 1.0006: "PT1.001S", 100: "PT100S", 86400.5: "PT86400.5S"}
    assert {seconds: write_span(seconds) for seconds in told} == told
