"""Which of the costly works a process may begin, so that the rest of its frames need not wait.

The work earns time as the clock runs, a share of it, and spends what it takes. Frames for which nothing
has been earned are passed over; they are told so, and the next ones have their turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from observatory.settings import Device, FullDisk, Settings

_ROUNDING = 1 - 1e-9  # what is saved up at most is a sum in another order
_OFF = "full disks are not enhanced here: enhancement.full_disk is off"
_BEHIND = (
    "there was no time for it: this worker gives full disks a share of its time (enhancement.cpu_share); "
    "`heliowatch reprocess` enhances this frame"
)


@dataclass(frozen=True)
class Turn:
    """Whether a work may begin.

    Attributes
    ----------
    denied : str | None
        Why it may not.
    is_behind : bool
        Whether that is for want of time, and not by the settings.
    """

    denied: str | None = None
    is_behind: bool = False


class Pace:
    """Gives turns to costly work; safe for the threads of a process.

    Frames of several instruments come at the same moment again and again, such as continuum and field
    every 45 seconds. When there is time for one only, the one that was passed over longest goes first.

    Parameters
    ----------
    share : float | None
        Of the process's time, above 0 to 1; 0 gives no turn at all, None gives every one.
    clock : callable
        Seconds that only grow.
    """

    def __init__(self, share: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._lock = threading.Lock()
        self._earned_s = 0.0
        self._counted_at = clock()
        self._cost_s: dict[str, float] = {}
        self._waiting: list[str] = []  # passed over, the longest ago first

    @classmethod
    def of(cls, settings: Settings) -> Pace:
        """As the settings say: by default every full disk on a GPU, and a share of the time on a CPU."""
        wanted = settings.enhancement.full_disk
        if wanted is FullDisk.OFF:
            return cls(0.0)
        is_held_back = wanted is FullDisk.AUTO and settings.runtime.device is Device.CPU
        return cls(settings.enhancement.cpu_share if is_held_back else None)

    @contextmanager
    def turn(self, name: str, alone: AbstractContextManager[Any] | None = None) -> Iterator[Turn]:
        """Ask for a turn; what is done inside it is the work.

        Work that ends by an error counts, but says nothing of what the next will take.

        Parameters
        ----------
        name : str
            Of the instrument.
        alone : context manager, optional
            Such as a lock that is held while the work is done; to wait for it is no work.
        """
        if self._share == 0:
            yield Turn(denied=_OFF)
            return
        reserved = 0.0 if self._share is None else self._begin(name)
        if reserved is None:
            yield Turn(_BEHIND, is_behind=True)
            return
        with alone or nullcontext():
            start, is_whole = self._clock(), False
            try:
                yield Turn()
                is_whole = True
            finally:
                if self._share:
                    self._end(name, self._clock() - start, reserved, is_whole=is_whole)

    def _begin(self, name: str) -> float | None:
        """Seconds that are set aside for the turn; None when it is not given."""
        with self._lock:
            self._earn()
            before = self._waiting[: self._waiting.index(name)] if name in self._waiting else self._waiting
            cost = self._expected(name)
            if self._earned_s < (cost + sum(map(self._expected, before))) * _ROUNDING:
                self._cost_s.setdefault(name, cost)
                if name not in self._waiting:
                    self._waiting.append(name)
                return None
            if name in self._waiting:
                self._waiting.remove(name)
            self._earned_s -= cost  # at once: another thread must not spend it again
            return cost

    def _end(self, name: str, seconds: float, reserved: float, *, is_whole: bool) -> None:
        with self._lock:
            self._earn()
            if self._cost_s:  # the very first turn is a gift: nobody could know what it takes
                self._earned_s -= seconds - reserved
            if is_whole:
                self._cost_s[name] = seconds

    def _earn(self) -> None:
        """Count the time since the last look; more than one turn of each instrument is not saved up."""
        now = self._clock()
        self._earned_s += (now - self._counted_at) * (self._share or 0.0)
        if self._cost_s:
            self._earned_s = min(self._earned_s, sum(self._cost_s.values()))
        self._counted_at = now

    def _expected(self, name: str) -> float:
        """Seconds that a turn takes: as the last one did, or the longest of the others'; 0 at first."""
        return self._cost_s.get(name, max(self._cost_s.values(), default=0.0))


UNHURRIED = Pace(None)
"""Gives every turn: for what a person asked for."""
