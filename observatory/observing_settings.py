"""Settings of when an instrument is expected to observe; part of `observatory.settings`."""

from __future__ import annotations

import datetime as dt
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator, model_validator

from observatory.observing import Habit, Observing, Plan, Weekly, Window
from observatory.sky import Site

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN = (
    "write START/END in ISO 8601, UTC when no offset is given, such as 2026-11-20T08:00Z/2026-11-20T12:00Z"
)


def parse_window(word: str) -> tuple[datetime, datetime]:
    """Read a span of time, which has both sides.

    Raises
    ------
    ValueError
        When it is none, or ends before it begins.
    """
    sides = [side.strip() for side in str(word).split("/")]
    try:
        start, end = (_utc(datetime.fromisoformat(side)) for side in sides)
    except ValueError as error:
        raise ValueError(f"{str(word)[:60]!r} is no span of time: {_SPAN}") from error
    if start >= end:
        raise ValueError(f"{str(word)[:60]!r}: the end is not after the start")
    return start, end


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside the calendar in UTC") from error


class SiteSettings(BaseModel, extra="forbid"):
    """Where a station stands."""

    latitude_deg: float = Field(ge=-90, le=90, allow_inf_nan=False, description="north is positive")
    longitude_deg: float = Field(ge=-180, le=180, allow_inf_nan=False, description="east is positive")
    height_m: float = Field(default=0.0, ge=-500, le=10_000, allow_inf_nan=False)

    @property
    def as_site(self) -> Site:
        """The same, as the sky's geometry takes it."""
        return Site(self.latitude_deg, self.longitude_deg, self.height_m)


class ClosureSettings(BaseModel, extra="forbid"):
    """A span of time without frames, for the weather's sake."""

    time: str = Field(description=f"span of time: {_SPAN}")
    reason: str = Field(default="", max_length=200)

    @field_validator("time")
    @classmethod
    def _is_span(cls, value: str) -> str:
        parse_window(value)
        return value

    @property
    def as_window(self) -> Window:
        """The same, as the ledger takes it."""
        return Window(*parse_window(self.time), self.reason)


class MaintenanceSettings(BaseModel, extra="forbid"):
    """Maintenance: once (`time`), or again and again (`every`, `at`, `minutes`)."""

    time: str | None = Field(default=None, description=f"once: {_SPAN}")
    every: str | list[str] | None = Field(
        default=None, description="again and again: day, a weekday (tuesday), or a list of weekdays"
    )
    at: str | None = Field(default=None, description='when it begins, UTC, in quotes: "12:30"')
    minutes: float | None = Field(default=None, gt=0, le=7 * 1440, description="how long it takes")
    reason: str = Field(default="", max_length=200)

    @field_validator("at", mode="before")
    @classmethod
    def _is_clock(cls, value: Any) -> Any:
        if value is None:
            return value
        if not isinstance(value, str):  # YAML reads 12:30 as a number of minutes
            raise ValueError('write the time of day in quotes, such as at: "12:30"')
        try:
            clock = dt.time.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f'{value[:20]!r} is no time of day: write it such as "12:30"') from error
        if clock.utcoffset():
            there = dt.datetime.combine(dt.date(2000, 1, 2), clock)
            utc = there.astimezone(UTC)
            day = {-1: " of the day before", 1: " of the day after"}.get(utc.day - there.day, "")
            raise ValueError(f'{value[:20]!r}: write it in UTC, which is "{utc:%H:%M}"{day}')
        return value

    @field_validator("every")
    @classmethod
    def _are_weekdays(cls, value: str | list[str] | None) -> str | list[str] | None:
        words = [value] if isinstance(value, str) else value or []
        unknown = [word for word in words if word.lower() not in (*_WEEKDAYS, "day")]
        if unknown or value == []:
            raise ValueError(f"{', '.join(unknown) or 'nothing'}: write day, or of {', '.join(_WEEKDAYS)}")
        return value

    @model_validator(mode="after")
    def _is_one_of_two(self) -> MaintenanceSettings:
        repeating = (self.every, self.at, self.minutes)
        if self.time is not None and any(part is not None for part in repeating):
            raise ValueError("write either time (once), or every, at and minutes (again and again)")
        if self.time is None and any(part is None for part in repeating):
            raise ValueError("needs time (once), or all of every, at and minutes (again and again)")
        if self.time is not None:
            parse_window(self.time)
        return self

    @property
    def as_window(self) -> Window | Weekly:
        """The same, as the ledger takes it."""
        if self.time is not None:
            return Window(*parse_window(self.time), self.reason)
        assert self.every is not None and self.at is not None and self.minutes is not None
        words = [self.every.lower()] if isinstance(self.every, str) else [word.lower() for word in self.every]
        days = range(7) if "day" in words else (_WEEKDAYS.index(word) for word in words)
        at = dt.time.fromisoformat(self.at).replace(tzinfo=None)
        return Weekly(frozenset(days), at, timedelta(minutes=self.minutes), self.reason)


class ObservingSettings(BaseModel, extra="forbid"):
    """When frames of a camera are to be expected."""

    cadence_s: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="seconds between frames; empty: it is learned"
    )
    site: SiteSettings | None = Field(default=None, description="empty: the one that is known of the kind")
    observing: Habit | None = Field(
        default=None, description="day, night or always; empty: as the kind does, once its site is known"
    )
    sun_elevation_deg: Annotated[float, Field(ge=-90, le=90)] | None = Field(
        default=None,
        description="height of the Sun from which a camera of the day observes (5 when left out), or up to "
        "which one of the night does (-6)",
    )
    since: datetime | None = Field(
        default=None, description="nothing is expected before it; empty: before the first frame"
    )
    lateness_s: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="frames this late are not missing yet; empty: as late as they mostly are",
    )
    gap_frames: int = Field(
        default=3, ge=1, description="frames that must be missing in a row before listeners are told"
    )
    maintenance: list[MaintenanceSettings] = Field(default_factory=list, max_length=1000)
    closures: list[ClosureSettings] = Field(
        default_factory=list, max_length=1000, description="spans without frames, for the weather's sake"
    )

    @field_validator("since")
    @classmethod
    def _is_aware(cls, value: datetime | None) -> datetime | None:
        return None if value is None else _utc(value)

    def plan(self, kind: Observing) -> Plan:
        """All of it, as the ledger takes it, filled up with what is known of the kind."""
        return Plan(
            observing=self._observing(kind),
            cadence_s=self.cadence_s,
            since=self.since,
            lateness_s=self.lateness_s,
            maintenance=tuple(item.as_window for item in self.maintenance),
            closures=tuple(item.as_window for item in self.closures),
        )

    def check_site(self, kind: Observing) -> None:
        """Refuse a habit that needs a site where none is known.

        Raises
        ------
        ValueError
        """
        if self.observing in (Habit.DAY, Habit.NIGHT) and self._observing(kind).site is None:
            raise ValueError(
                f"observing: {self.observing.value} needs the station's site (latitude_deg, longitude_deg)"
            )

    def _observing(self, kind: Observing) -> Observing:
        habit = self.observing or kind.habit
        limit_deg = self.sun_elevation_deg
        if limit_deg is None:
            limit_deg = kind.limit_deg if habit is kind.habit else USUAL_LIMITS_DEG[habit]
        return Observing(habit, self.site.as_site if self.site else kind.site, limit_deg, kind.is_sdo)


USUAL_LIMITS_DEG = {Habit.DAY: 5.0, Habit.NIGHT: -6.0, Habit.ALWAYS: 0.0}
