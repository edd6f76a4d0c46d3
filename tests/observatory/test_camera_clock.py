"""Which of two times is believed, how far they may be apart, and what a camera's clock may be set to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from observatory.camera_clock import UNDATED, Clock, Dated, by_pattern, judged, zone
from observatory.frame import DateSource

NIGHT = datetime(2026, 11, 20, 18, tzinfo=UTC)


def named(late_s: float) -> Dated:
    """A file name's time by which the header is some seconds late."""
    return Dated(NIGHT - timedelta(seconds=late_s), DateSource.FILE_NAME)


@pytest.mark.parametrize(
    ("late_s", "is_film", "is_believed"),
    [
        (120, False, True),
        (-120, False, True),
        (121, False, False),
        (-121, False, False),
        (3720, True, True),
        (3721, True, False),
        (-121, True, False),
        (3720, False, False),
    ],
)
def test_a_header_is_believed_that_agrees_with_the_name_or_is_of_a_later_image_of_its_film(
    late_s: int, is_film: bool, is_believed: bool
) -> None:
    told = judged(NIGHT, named(late_s), is_film=is_film)
    assert told.moment == (NIGHT if is_believed else None)
    assert told.source is (DateSource.HEADER if is_believed else DateSource.NONE)


@pytest.mark.parametrize(
    ("late_s", "said"),
    [
        (3600, "1 h apart"),
        (-3600 - 120, "1 h apart"),
        (20_700 + 120, "5.75 h apart"),
        (14 * 3600 + 60, "14 h apart"),
        (14 * 3600 + 61, "one of the two clocks is wrong"),
        (3600 + 121, "one of the two clocks is wrong"),
        (3600 - 121, "one of the two clocks is wrong"),
    ],
)
def test_of_times_that_are_quarters_of_an_hour_apart_one_is_said_to_be_local(late_s: int, said: str) -> None:
    assert said in str(judged(NIGHT, named(late_s)).note)


def test_a_clock_that_was_never_set_tells_nothing_and_contradicts_nothing() -> None:
    unset = datetime(1989, 12, 31, tzinfo=UTC)
    assert "never set" in str(judged(unset, UNDATED).note)
    assert judged(unset, named(0)).moment is None
    assert judged(NIGHT, Dated(unset, DateSource.FILE_NAME)).moment == NIGHT
    first = datetime(1990, 1, 1, tzinfo=UTC)
    assert judged(first, UNDATED).moment == first
    assert judged(None, named(0)) == named(0)
    assert judged(None, UNDATED) == UNDATED


@pytest.mark.parametrize(
    ("pattern", "name", "moment"),
    [
        ("%y%m%d_%H%M.jpg", "261120_1805.jpg", datetime(2026, 11, 20, 18, 5, tzinfo=UTC)),
        (
            "%Y%m%d_%H%M%S.%f.jpg",
            "20261120_180506.25.jpg",
            datetime(2026, 11, 20, 18, 5, 6, 250_000, tzinfo=UTC),
        ),
        ("%Y%j_%H%M.jpg", "2024366_1805.jpg", datetime(2024, 12, 31, 18, 5, tzinfo=UTC)),
        ("%Y%j_%H%M.jpg", "2026366_1805.jpg", None),
        ("%Y%j_%H%M.jpg", "2026000_1805.jpg", None),
        ("%Y%m%d_%H%M.jpg", "20260230_1805.jpg", None),
        ("%s.%f.jpg", "1795197906.5.jpg", datetime(2026, 11, 20, 18, 5, 6, 500_000, tzinfo=UTC)),
        ("100%%_%Y%m%d_%H%M*", "100%_20261120_1805_a.jpg", datetime(2026, 11, 20, 18, 5, tzinfo=UTC)),
    ],
)
def test_a_name_tells_the_moment_that_its_pattern_says(
    pattern: str, name: str, moment: datetime | None
) -> None:
    found = by_pattern(Clock(pattern), name)
    assert (found is not None and found.tzinfo is not None) == pattern.startswith("%s")
    assert (None if found is None else found.replace(tzinfo=UTC)) == moment


@pytest.mark.parametrize("pattern", ["%Y%m_%H%M", "%Y%m%d_%H", "%Y%m%d", "%m%d_%H%M", "%H%M", "%Y%m%d%H%M%q"])
def test_a_pattern_that_tells_no_moment_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"tells no moment|is not understood"):
        Clock(pattern)


@pytest.mark.parametrize(
    ("name", "hours"), [("utc", 0), ("Z", 0), ("UTC+14", 14), ("-03:30", -3.5), ("GMT-14:00", -14)]
)
def test_an_offset_is_a_time_zone(name: str, hours: float) -> None:
    assert zone(name).utcoffset(NIGHT) == timedelta(hours=hours)


@pytest.mark.parametrize("name", ["UTC+14:01", "UTC+15", "Europe/Nowhere", ""])
def test_what_is_no_time_zone_is_refused_before_a_frame_comes(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        Clock(timezone=name)
