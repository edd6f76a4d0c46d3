"""Settings of when a camera observes: what they mean, and what is said of those that cannot work."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from observatory.errors import SettingsError
from observatory.observing import Habit, Observing, Plan, Weekly, Window
from observatory.settings import load_settings
from observatory.sky import Site

pytestmark = pytest.mark.usefixtures("settings")


def plan(text: str, name: str = "mine") -> Plan:
    Path("heliowatch.yaml").write_text(f"instruments:\n  mine:\n    kind: halpha\n{text}")
    return load_settings().plan(name)


def test_a_station_says_all_of_it() -> None:
    made = plan("""
    cadence_s: 60
    site: {latitude_deg: -31.27, longitude_deg: 149.06, height_m: 1165}
    sun_elevation_deg: 10
    since: 2020-01-01
    lateness_s: 120
    maintenance:
      - {time: 2026-11-20T08:00Z/2026-11-20T12:00+01:00, reason: new filter}
      - {every: [tuesday, friday], at: "09:30", minutes: 45}
      - {every: day, at: "12:00", minutes: 5}
    closures:
      - {time: 2026-12-01/2026-12-24, reason: snow}
""")
    assert made.observing == Observing(Habit.DAY, Site(-31.27, 149.06, 1165), 10.0)
    assert (made.cadence_s, made.lateness_s, made.since) == (60, 120, datetime(2020, 1, 1, tzinfo=UTC))
    once, twice, daily = made.maintenance
    assert once == Window(
        datetime(2026, 11, 20, 8, tzinfo=UTC), datetime(2026, 11, 20, 11, tzinfo=UTC), "new filter"
    )
    assert twice == Weekly(frozenset({1, 4}), time(9, 30), timedelta(minutes=45))
    assert isinstance(daily, Weekly) and len(daily.weekdays) == 7
    assert made.closures[0].reason == "snow"


def test_known_instruments_bring_their_sites_and_orbits() -> None:
    settings = load_settings()
    kanzelhoehe = settings.plan("kso-halpha").observing
    assert kanzelhoehe.habit is Habit.DAY and kanzelhoehe.site is not None
    assert settings.plan("aia-193").observing == Observing(is_sdo=True)
    assert settings.plan("hmi-continuum").observing.is_sdo and not settings.plan("suvi-195").observing.is_sdo
    assert settings.plan("gong-halpha").observing == Observing()
    assert settings.plan("nobody-knows-it") == Plan()
    assert (
        plan("    observing: night\n    site: {latitude_deg: 1, longitude_deg: 2}\n").observing.limit_deg
        == -6
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    site: {latitude_deg: 91, longitude_deg: 0}", r"instruments\.mine\.site\.latitude_deg.*90"),
        ("    site: {latitude_deg: 9}", r"site\.longitude_deg.*required"),
        ("    site: {latitude: 9, longitude_deg: 1}", r"site\.latitude:"),
        ("    observing: noon", r"observing.*day.*night.*always"),
        ("    observing: night", "needs the station's site"),
        ("    cadence_s: 0", "cadence_s.*greater than 0"),
        ("    cadence_s: .inf", "cadence_s.*finite"),
        ("    maintenance: [{every: tuesday}]", "needs time .once., or all of every, at and minutes"),
        ("    maintenance: [{every: tusday, at: '09:00', minutes: 5}]", "tusday.*monday"),
        ("    maintenance: [{every: day, at: 12:30, minutes: 5}]", "in quotes"),
        ("    maintenance: [{every: day, at: noon, minutes: 5}]", "no time of day"),
        ("    maintenance: [{every: day, at: '12:30+02:00', minutes: 5}]", "in UTC.*10:30"),
        ("    maintenance: [{time: 2026-01-01/2026-01-02, minutes: 5}]", "either time"),
        ("    closures: [{time: 2026-01-02/2026-01-01}]", "the end is not after the start"),
        ("    closures: [{time: '2026-01-02'}]", "no span of time: write START/END"),
        ("    closures: [{time: 2026-01-02/..}]", "no span of time"),
        ("    closures: [{time: '0001-01-01T00:00+05:00/2026-01-01'}]", "no span of time"),
        ("    since: yesterday", "since"),
        ("    since: 0001-01-01T00:00:00+05:00", "since.*outside the calendar"),
    ],
)
def test_what_cannot_work_is_named(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"(?s){words}"):
        plan(text)
