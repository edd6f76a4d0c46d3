"""What parameters mean, whatever is written in them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from observatory.storage.frame_keys import FrameFilter
from service.filters import (
    MAX_ID,
    FrameFilters,
    TimeRange,
    parse_bin,
    parse_time_range,
    parse_wavelength,
    read_cursor,
    words_of,
    write_cursor,
)
from service.problems import ParameterError
from service.remembered import Remembered

moments = st.datetimes(timezones=st.just(UTC))


@given(moments, st.integers(0, MAX_ID), st.sampled_from(["asc", "desc"]))
def test_a_cursor_comes_back_as_it_was(moment: datetime, frame_id: int, order: str) -> None:
    assert read_cursor(write_cursor(moment, frame_id, order), order) == (moment, frame_id)


@given(st.text())
def test_no_word_breaks_the_reading_of_cursors(word: str) -> None:
    with contextlib.suppress(ParameterError):
        read_cursor(word, "asc")


NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "newest",
        "é",
        write_cursor(NEW_YEAR, 7, "desc"),
        write_cursor(NEW_YEAR, -1, "asc"),
        write_cursor(NEW_YEAR, MAX_ID + 1, "asc"),
    ],
)
def test_what_is_no_cursor_of_this_order_is_refused(word: str) -> None:
    with pytest.raises(ParameterError):
        read_cursor(word, "asc")


@given(moments, moments)
def test_a_time_range_comes_back_as_it_was(start: datetime, end: datetime) -> None:
    if start < end:
        assert parse_time_range(f"{start.isoformat()}/{end.isoformat()}") == TimeRange(start, end)


@given(
    st.none() | moments,
    st.none() | moments,
    st.none() | st.floats(1e-6, 1e6),
    st.none() | st.floats(0, 1),
)
def test_filters_come_back_from_their_words(
    start: datetime | None, end: datetime | None, nm: float | None, quality: float | None
) -> None:
    assume(start is None or end is None or start < end)
    wanted = FrameFilter(time_from=start, time_to=end, wavelength_nm=nm, quality_min=quality)
    read = FrameFilters(**words_of(wanted)).as_filter
    assert read == replace(wanted, wavelength_nm=None if nm is None else pytest.approx(nm, abs=1e-9))


@given(st.text())
def test_any_word_is_a_time_range_or_a_value_error(word: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_time_range(word), TimeRange)


@pytest.mark.parametrize(
    ("word", "nm"),
    [("193A", 19.3), ("193 Angstrom", 19.3), ("6562.8Å", 656.28), ("656.28nm", 656.28), ("1.083um", 1083)],
)
def test_wavelengths_carry_their_unit(word: str, nm: float) -> None:
    assert parse_wavelength(word) == pytest.approx(nm)


@pytest.mark.parametrize(("word", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86400)])
def test_bins_are_widths_of_time(word: str, seconds: int) -> None:
    assert parse_bin(word) == seconds


def test_a_cheap_question_is_asked_every_time_and_a_failed_one_again() -> None:
    answers = iter([1, 2, ValueError("gone"), 3])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    remembered = Remembered(ask, share=float("inf"))
    assert (remembered.get(), remembered.get()) == (1, 2)
    with pytest.raises(ValueError, match="gone"):
        remembered.get()
    assert remembered.get() == 3


def test_a_dear_answer_is_kept() -> None:
    answers = iter([1, 2])
    remembered = Remembered(lambda: next(answers), share=1e-12)
    assert (remembered.get(), remembered.get()) == (1, 1)
