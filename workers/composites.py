"""Composites as frames arrive: sets are formed when a frame is done, made by a task of their own.

A frame that is done looks for its partners. When they are all there the set is put on the queue at
once; when one stays away, the sweep forms the set without it after a while, and its picture says so;
when that one comes after all, the picture is made anew in the same place. Forming and claiming are
decided by the database: two workers that finish at once make one set, and a message that comes twice
makes one picture. Each set has the levels of its own frames, so that its picture can be made again
from nothing else; films keep those of their first set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog
from celery import shared_task

import observatory
from observatory.errors import TransientError, UnusableInputError
from observatory.settings import LookSettings, Settings
from observatory.storage import catalogue, composites
from observatory.storage.catalogue import FrameFilter
from observatory.storage.composites import ClaimedSet, Member
from observatory.storage.frames import Priority, Status
from observatory.storage.session import Database
from workers import queues
from workers.app import COMPOSE, COMPOSITES
from workers.context import Context
from workers.pairing import cadence_s, pair, tolerance_of_cadence
from workers.patience import Claim, insist, see_through
from workers.products import composite
from workers.products.composite import Channel
from workers.products.preview import Picture
from workers.products.stored import written
from workers.products.sun_view import SunView
from workers.stored_frames import read_stored

if TYPE_CHECKING:
    from workers.tasks import Desk

log = structlog.get_logger(__name__)

_LOOKED_AT_AGAIN_S = 5.0
_FORGOTTEN_S = 60.0  # a set that was put on the queue and is still waiting is put there again
_FORGOTTEN_EMBEDDED_S = 600.0  # this process's own queue forgets nothing, and its depth tells nothing
_OVERDUE_DAYS = 1.0  # older frames without partners are left alone: they were never live
_CADENCE_FRAMES = 12


def channels_of(settings: Settings, look: LookSettings) -> dict[str, str]:
    """Instruments that can fill the look's channels, with the channel: stations have names of their own."""
    stations = {name: kind for name, kind in settings.stations.items() if kind in look.channels}
    return {channel: channel for channel in look.channels} | stations


def after_frame(at: Context, frame_id: int, instrument: str) -> None:
    """Look whether a frame that is done completes a set, and put that on the queue.

    Raises nothing: the frame is done, whatever becomes of its composite, and what is missed here
    the sweep finds when the patience with late channels has ended.
    """
    try:
        _join(at, frame_id, instrument)
    except TransientError as error:
        log.warning("pairing_delayed", frame_id=frame_id, error=str(error))
    except Exception:
        log.exception("pairing_defect", frame_id=frame_id)


def _join(at: Context, frame_id: int, instrument: str) -> None:
    wanted = at.settings.composites
    for name in wanted.live:
        look = wanted.all_looks[name]
        channels = channels_of(at.settings, look)
        if instrument not in channels:
            continue
        frame = catalogue.get(at.db, frame_id)
        if frame is None or (frame["priority"] == Priority.BACKFILL and not wanted.with_backfill):
            return
        tolerance_s = _tolerance_s(at.db, at.settings, instrument)
        set_id = composites.join(
            at.db,
            name,
            frame_id,
            channels=channels,
            reach_s=2 * tolerance_s,
            arrange=_arrangement(look, tolerance_s),
            now=datetime.now(UTC),
        )
        if set_id is not None:
            publish(set_id)


def _arrangement(look: LookSettings, tolerance_s: float) -> composites.Arrange:
    def arrange(members: Sequence[Member]) -> list[list[Member]]:
        found = pair(members, look.channels, tolerance_s)
        groups = [list(one.members.values()) for one in found.sets]
        return groups + [[frame] for frame in found.surplus]

    return arrange


def _tolerance_s(db: Database, settings: Settings, instrument: str) -> float:
    """Longest span of a set: as set, else by the cadence that is configured or seen lately."""
    wanted = settings.composites.tolerance_s
    if wanted is not None:
        return wanted
    station = settings.instruments.get(instrument)
    if station is not None and station.cadence_s is not None:
        return tolerance_of_cadence(station.cadence_s)
    lately = catalogue.find(db, FrameFilter(instrument=instrument, status=Status.DONE), limit=_CADENCE_FRAMES)
    return tolerance_of_cadence(cadence_s(row["date_obs"] for row in lately if row["date_obs"]))


def publish(set_id: int) -> bool:
    """Put a set on the queue; False when the broker did not take it, and the sweep does later."""
    return queues.send(COMPOSE, (set_id,), COMPOSITES)


def depth() -> int | None:
    """Messages on the queue of composites; None when the broker cannot be asked."""
    return queues.depth(COMPOSITES)


class CompositeSweep:
    """Forms the sets whose patience has ended, and puts forgotten ones on the queue again.

    No more than wait: while no worker takes anything, the queue does not grow by what is on it.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        send: Callable[[int], bool] = publish,
        measure: Callable[[], int | None] = depth,
    ) -> None:
        self._settings, self._db, self._send, self._measure = settings, db, send, measure
        self._forgotten_s = _FORGOTTEN_EMBEDDED_S if settings.is_embedded else _FORGOTTEN_S
        self._sent_at: dict[int, datetime] = {}

    def sweep(self, now: datetime) -> int:
        """Sweep once; return how many sets were put on the queue."""
        worker = self._settings.worker
        composites.release_abandoned(self._db, now, worker.lease_s, worker.max_attempts)
        for name in self._settings.composites.live:
            self._form_overdue(name, now)
        waiting = composites.waiting(self._db, now)
        self._sent_at = {set_id: at for set_id, at in self._sent_at.items() if set_id in waiting}
        forgotten = []
        for set_id in waiting:
            if set_id not in self._sent_at:
                # Whoever formed it a moment ago has most likely sent it: the next sweep looks again.
                self._sent_at[set_id] = now - timedelta(seconds=self._forgotten_s - _LOOKED_AT_AGAIN_S)
            elif (now - self._sent_at[set_id]).total_seconds() >= self._forgotten_s:
                forgotten.append(set_id)
        return self._send_again(forgotten, len(waiting), now) if forgotten else 0

    def _send_again(self, forgotten: Sequence[int], waiting: int, now: datetime) -> int:
        on_queue = self._measure()
        missing = 0 if on_queue is None else max(0, waiting - on_queue)
        sent = 0
        for set_id in forgotten[:missing]:
            if not self._send(set_id):
                break
            self._sent_at[set_id] = now
            sent += 1
        return sent

    def _form_overdue(self, name: str, now: datetime) -> None:
        wanted = self._settings.composites
        look = wanted.all_looks[name]
        channels = channels_of(self._settings, look)
        seen = catalogue.newest_moments(self._db, list(channels))
        if len({channels[instrument] for instrument in seen}) < 2:
            return  # a station of one channel: nobody is late
        tolerance_s = min(_tolerance_s(self._db, self._settings, instrument) for instrument in seen)
        formed = composites.overdue(
            self._db,
            name,
            channels=channels,
            done_before=now - timedelta(seconds=wanted.late_s),
            done_after=now - timedelta(days=_OVERDUE_DAYS),
            reach_s=2 * tolerance_s,
            arrange=_arrangement(look, tolerance_s),
            now=now,
            with_backfill=wanted.with_backfill,
        )
        if formed:
            log.info("incomplete_sets", look=name, sets=len(formed))
        for set_id in formed:
            if self._send(set_id):
                self._sent_at[set_id] = now


@shared_task(name=COMPOSE)
def compose_set(set_id: int) -> None:
    """Make the picture of one set, if it still waits."""
    from workers.tasks import desk  # tasks knows this module, which it asks after every frame

    work(desk(), set_id)


def work(at: Desk, set_id: int) -> str | None:
    """Claim, compose, store; return what became of the set, None when it was not ours to make."""
    claimed = insist(lambda: composites.claim(at.db, set_id, at.name, datetime.now(UTC)))
    if claimed is None:
        return None

    def compose() -> str:
        return "done" if _store(at, claimed, make(at, claimed)) else "superseded"

    def refuse(reason: str) -> None:
        composites.refuse(at.db, claimed, reason, datetime.now(UTC))

    claim = Claim(
        what="composite",
        attempts=claimed.attempts,
        most_attempts=at.settings.worker.max_attempts,
        reject=refuse,
        fail=refuse,
        give_back=partial(composites.give_back, at.db, claimed),
    )
    return see_through(compose, claim, log.bind(composite_id=set_id, look=claimed.look))


@dataclass(frozen=True)
class Made:
    """A set's pictures and what is to be known of them.

    Attributes
    ----------
    frame_ids : tuple of int
        Frames that the pictures show.
    payload : dict
        Levels, look, channels missing, span: enough to make them again.
    """

    frame_ids: tuple[int, ...]
    pictures: tuple[Picture, ...]
    payload: dict[str, object]


def make(at: Context, claimed: ClaimedSet) -> Made:
    """Read a set's frames and compose them in every size.

    Raises
    ------
    UnusableInputError
        When fewer than two of them can be read.
    """
    wanted = at.settings.composites
    look = wanted.all_looks.get(claimed.look)
    if look is None:
        raise UnusableInputError(f"the look {claimed.look} is not in the settings any more")
    channels: list[Channel] = []
    frame_ids: list[int] = []
    problems: dict[str, str] = {}
    for item in claimed.frames:
        try:
            frame = read_stored(
                at.db,
                at.settings,
                sha256=item.sha256,
                path=item.path,
                file_name=item.file_name,
                frame_index=item.frame_index,
                instrument=item.instrument,
            )
            channels.append(
                composite.channel_of(frame, known_as=item.channel, degradation_table=wanted.degradation_table)
            )
            frame_ids.append(item.frame_id)
        except UnusableInputError as error:
            problems[item.channel] = str(error)
    if len(channels) < 2:
        raise UnusableInputError("; ".join(problems.values()) or "a composite needs two channels at least")
    levels = composite.levels_of(channels, look)
    missing = composite.missing_channels(channels, look)
    rgb = composite.compose(channels, look, levels, SunView.full(max(wanted.sizes)))
    pictures = tuple(
        composite.encoded(composite.marked(small, missing), f"composite-{side}", wanted.jpeg_quality)
        for side, small in composite.in_sizes(rgb, wanted.sizes)
    )
    times = [item.date_obs for item in claimed.frames]
    payload = {
        "levels": {name: list(level) for name, level in levels.of.items()},
        "look": look.model_dump(mode="json"),
        "missing": list(missing),
        "problems": problems,
        "span_s": (max(times) - min(times)).total_seconds(),
        "software_version": observatory.__version__,
    }
    return Made(tuple(frame_ids), pictures, payload)


def _store(at: Desk, claimed: ClaimedSet, made: Made) -> bool:
    pictures = written(at.files, made.pictures)
    return insist(
        lambda: composites.finish(
            at.db,
            claimed,
            frame_ids=made.frame_ids,
            pictures=pictures,
            payload=made.payload,
            now=datetime.now(UTC),
        )
    )
