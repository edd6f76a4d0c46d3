"""Nights as frames arrive: keogram, ewogram and numbers every minute or so, a film when the night has ended.

The lines of a frame are written where it ends (`observatory.storage.nights`); here are the task that makes the
pictures and the sweep that puts it on the queue. What is due is asked of the database, so a lost message costs a
sweep and a message that comes twice nothing: one worker's claim holds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from celery import shared_task

import observatory
from observatory.nights import Hour, NightSeries, NightSummary, summarised
from observatory.onset import APART_S, Onset, onsets
from observatory.settings import Settings
from observatory.storage import night_frames, nights
from observatory.storage.nights import ClaimedWork, WorkKind
from observatory.storage.session import Database
from workers import queues
from workers.app import MAKE_NIGHT, NIGHTS
from workers.patience import Claim, insist, see_through
from workers.products.stored import written

if TYPE_CHECKING:
    from workers.products.preview import Picture
    from workers.tasks import Desk

log = structlog.get_logger(__name__)

_FORGOTTEN = timedelta(minutes=2)
_DIGITS = 4


@shared_task(name=MAKE_NIGHT)
def make_night(work_id: int) -> None:
    """Make the pictures or the film of one night, if they are due."""
    from workers.tasks import desk  # with the pipelines: not for those who only sweep

    work(desk(), work_id)


def work(at: Desk, work_id: int) -> str | None:
    """Claim, make, store; return what became of the work, None when it was not ours to do."""
    claimed = insist(lambda: nights.claim(at.db, work_id, at.name, datetime.now(UTC)))
    if claimed is None:
        return None
    fail = partial(nights.fail, at.db, claimed)
    claim = Claim(
        what="night",
        attempts=claimed.attempts,
        most_attempts=at.settings.worker.max_attempts,
        reject=fail,
        fail=fail,
        give_back=partial(nights.give_back, at.db, claimed),
    )
    bound = log.bind(
        night_id=claimed.night_id,
        instrument=claimed.instrument,
        date=str(claimed.night.date),
        kind=claimed.kind,
    )
    make = _make_film if claimed.kind is WorkKind.FILM else _make_pictures
    return see_through(lambda: make(at, claimed), claim, bound)


def title_of(
    instrument: str,
    wavelength_nm: float,
    date: dt.date,
    *,
    is_simulated: bool = False,
    is_file_time: bool = False,
) -> str:
    """What stands on a night's pictures; the two marks are for a night that holds any such frame."""
    following = date + dt.timedelta(days=1)
    first = str(date.day) if date.month == following.month else f"{date.day} {date:%B}"
    year = f" {date.year}" if date.year != following.year else ""
    band = f" {wavelength_nm:g} nm" if wavelength_nm else ""
    mark = " · SIMULATED" if is_simulated else ""
    mark += " · times of the files" if is_file_time else ""
    return f"{instrument}{band} · night of {first}{year} to {following.day} {following:%B %Y}{mark}"


def _make_pictures(at: Desk, claimed: ClaimedWork) -> str:
    series = nights.series(at.db, claimed.night_id)
    if series is None:
        if insist(lambda: nights.remove_empty(at.db, claimed.night_id)):
            return "empty"
        now = datetime.now(UTC)  # a frame came just now: the next look finds it
        insist(lambda: nights.give_back(at.db, claimed, now, is_counted=False))
        return "retried"
    found = onsets(series)
    summary = summarised(series)
    marks = {
        "is_simulated": night_frames.holds_simulated(at.db, claimed.night_id),
        "is_file_time": night_frames.holds_file_times(at.db, claimed.night_id),
    }
    title = title_of(claimed.instrument, claimed.wavelength_nm, claimed.night.date, **marks)
    payload = numbers_of(summary, found) | {
        "is_oriented": series.is_oriented,
        **marks,
        "software_version": observatory.__version__,
    }
    told = [{"onset": {"night_id": claimed.night_id, **one}} for one in _new_onsets(claimed.payload, payload)]
    return _store(at, claimed, pictures_of(series, summary, found, title), payload, told)


def pictures_of(
    series: NightSeries, summary: NightSummary, found: Sequence[Onset], title: str
) -> list[Picture]:
    """Keogram and ewogram of a night."""
    from workers.products.keogram import EWOGRAM, KEOGRAM, draw

    return [draw(line, series, summary, found, title=title) for line in (KEOGRAM, EWOGRAM)]


def _make_film(at: Desk, claimed: ClaimedWork) -> str:
    from workers.night_film import film_of

    rows = night_frames.film_frames(at.db, claimed.night_id)
    if not rows:
        return _store(at, claimed, [], None)
    title = (
        f"{claimed.instrument} {claimed.wavelength_nm:g} nm" if claimed.wavelength_nm else claimed.instrument
    )
    film = film_of(at.db, at.settings, at.files, rows, title)
    return _store(at, claimed, [film.picture], film.facts)


def _store(
    at: Desk,
    claimed: ClaimedWork,
    pictures: Sequence[Picture],
    payload: Mapping[str, Any] | None,
    told: Sequence[Mapping[str, Any]] = (),
) -> str:
    products = written(at.files, pictures)
    ended = insist(
        lambda: nights.finish(
            at.db,
            claimed,
            pictures=products,
            payload=payload,
            told=told,
            rest_s=at.settings.nights.rebuild_s,
            now=datetime.now(UTC),
        )
    )
    for path in ended.unused:
        at.files.remove(path)
    return "done" if ended.is_ours else "superseded"


def numbers_of(summary: NightSummary, found: Sequence[Onset]) -> dict[str, Any]:
    """A night in numbers as JSON, shares to four digits."""
    return {
        "first": _moment(summary.first),
        "last": _moment(summary.last),
        "frames": summary.frames,
        "judged": summary.judged,
        "cadence_s": round(summary.cadence_s, 3),
        "cloud_cover": _share(summary.cloud_cover),
        "aurora_occurrence": _share(summary.aurora),
        "aurora_occurrence_unclouded": _share(summary.aurora_of_clear),
        "classes": {name.value: count for name, count in summary.classes.items()},
        "hours": [_hour(one) for one in summary.hours],
        "gaps": [{"start": _moment(start), "end": _moment(end)} for start, end in summary.gaps],
        "onsets": [_onset(one) for one in found],
    }


def _hour(one: Hour) -> dict[str, Any]:
    return {
        "start": _moment(one.start),
        "frames": one.frames,
        "judged": one.judged,
        "cloud_cover": _share(one.cloud_cover),
        "aurora_occurrence": _share(one.aurora),
        "classes": {name.value: count for name, count in one.classes.items()},
    }


def _onset(one: Onset) -> dict[str, Any]:
    return {
        "time": _moment(one.time),
        "frame_id": one.frame_id,
        "rise": _share(one.rise),
        "aurora_probability": _share(one.aurora_probability),
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _new_onsets(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Onsets that the last making did not know; one whose time was a little different then is no new one."""
    known = [datetime.fromisoformat(one["time"]) for one in before.get("onsets", ())]

    def is_known(one: Mapping[str, Any]) -> bool:
        moment = datetime.fromisoformat(one["time"])
        return any(abs((moment - other).total_seconds()) < APART_S for other in known)

    return [one for one in now["onsets"] if not is_known(one)]


def publish(work_id: int) -> bool:
    """Put a work on the queue; False when the broker did not take it."""
    return queues.send(MAKE_NIGHT, (work_id,), NIGHTS)


class NightSweep:
    """Puts works that are due on the queue, takes them back from dead workers, passes old films over."""

    def __init__(self, settings: Settings, db: Database, send: Callable[[int], bool] = publish) -> None:
        self._settings, self._db, self._send = settings, db, send
        self._own_queue = queues.OwnQueue()

    def sweep(self, now: datetime) -> int:
        """Sweep once; return how many works were put on the queue."""
        worker, wanted = self._settings.worker, self._settings.nights
        back = nights.release_abandoned(self._db, now, worker.lease_s, worker.max_attempts)
        if back:
            log.warning("abandoned_nights", waiting=back)
        oldest = now - timedelta(days=wanted.film_days) if wanted.films else now
        nights.films_passed_over(self._db, oldest)
        sent = 0
        for work_id in nights.due(self._db, now, self._stale(now)):
            nights.mark_published(self._db, [work_id], now)
            if not self._send(work_id):
                nights.mark_published(self._db, [work_id], None)
                break
            sent += 1
        return sent

    def _stale(self, now: datetime) -> datetime:
        """What was put on the queue before this moment counts as forgotten."""
        if self._settings.is_embedded:
            return self._own_queue.knows_since(now)
        return now - _FORGOTTEN
