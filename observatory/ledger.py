"""What the completeness ledger holds: frames that came, slots by what became of them, gaps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from observatory.observing import EXCUSES, State
from observatory.sky import Seconds

YEARS = range(1600, 9999)
"""That spans of ledgers may lie in: a ledger looks over the edges of its span, and the calendar ends with 9999."""


class Worth(IntEnum):
    """What a frame is good for; of several in one slot the best counts."""

    FROZEN = 0
    UNUSABLE = 1
    WAITING = 2
    USABLE = 3


@dataclass(frozen=True)
class Came:
    """Frames of one instrument as they are known.

    Attributes
    ----------
    times_s : ndarray of float
        In order, POSIX seconds; the last before the span and the first after it are among them.
    worth : ndarray of int8
        Values of `Worth`.
    lateness_s : ndarray of float
        From exposure to arrival, of frames that came live and know their time.
    first_s : float or None
        The first frame ever.
    usual_s : float or None
        Spacing of the frames before the span, for where the span's own tell nothing.
    undated : int
        Frames in the span that do not know their time; those that came live stand where they came in, as do those that
        are dated later than that.
    """

    times_s: Seconds
    worth: NDArray[np.int8]
    lateness_s: NDArray[np.float64] = field(default_factory=lambda: np.array([]))
    first_s: float | None = None
    usual_s: float | None = None
    undated: int = 0


@dataclass(frozen=True)
class Count:
    """Slots in a span of time.

    Attributes
    ----------
    expected : int
        Those received and those missing, outside of what is excused.
    received, usable, waiting, unusable, frozen : int
        Expected and filled, then by the best frame in them. Frozen: by the bytes of a former frame.
    missing : int
        Expected and empty.
    excused : dict of str to int
        Empty ones for which there is a reason, by reason.
    extra : int
        Filled while none was expected.
    frames : int
        All frames; more than slots where some came twice.
    """

    start: datetime
    end: datetime
    expected: int = 0
    received: int = 0
    usable: int = 0
    waiting: int = 0
    unusable: int = 0
    frozen: int = 0
    missing: int = 0
    excused: dict[str, int] = field(default_factory=dict)
    extra: int = 0
    frames: int = 0

    def share(self, part: int) -> float | None:
        """Part of what was expected, 0 to 1; None when nothing was."""
        return part / self.expected if self.expected else None


@dataclass(frozen=True)
class Gap:
    """Slots lost in a row, for one reason.

    Attributes
    ----------
    start : datetime
        When the first of them was due.
    end : datetime
        When the next frame came or was due.
    frames_lost : int
    state : str
        missing, night, eclipse, maintenance or weather.
    is_open : bool
        Whether nothing has come since.
    """

    start: datetime
    end: datetime
    frames_lost: int
    state: str
    is_open: bool

    @property
    def length_s(self) -> float:
        """Seconds from start to end."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Gaps:
    """All gaps, oldest first, as columns: there may be very many."""

    start_s: Seconds
    end_s: Seconds
    lost: NDArray[np.int64]
    state: NDArray[np.int8]
    open_from_s: float | None

    def __len__(self) -> int:
        return len(self.lost)

    def select(self, states: Collection[State] = tuple(State), least_lost: int = 1) -> NDArray[np.int64]:
        """Places of the gaps of some states, oldest first."""
        wanted = np.isin(self.state, [int(state) for state in states]) & (self.lost >= least_lost)
        return np.flatnonzero(wanted)

    def of(self, places: Sequence[int] | NDArray[np.int64]) -> list[Gap]:
        """Gaps at some places."""
        return [self._gap(int(place)) for place in places]

    def _gap(self, place: int) -> Gap:
        start_s = float(self.start_s[place])
        return Gap(
            start=moment(start_s),
            end=moment(float(self.end_s[place])),
            frames_lost=int(self.lost[place]),
            state=State(int(self.state[place])).word,
            is_open=self.open_from_s is not None and start_s > self.open_from_s,
        )


@dataclass(frozen=True)
class Ledger:
    """What became of the frames of one instrument in a span of time.

    Attributes
    ----------
    cadence_s : float or None
        Seconds between frames; None: too few frames came to tell, and nobody said.
    is_learned : bool
        Whether it was told by the frames themselves.
    lateness_s : dict of str to float
        Percentiles (p50, p90, p95, p99) and max, of frames that came live; empty when there are none.
    due : datetime
        Frames from then on may still be on their way.
    """

    cadence_s: float | None
    is_learned: bool
    total: Count
    bins: Sequence[Count]
    gaps: Gaps
    lateness_s: dict[str, float]
    due: datetime
    undated: int


_SUMMED = ("expected", "received", "usable", "waiting", "unusable", "frozen", "missing", "extra", "frames")


def total_of(counts: Sequence[Count]) -> Count:
    """Spans that follow each other as one."""
    sums = {name: sum(getattr(count, name) for count in counts) for name in _SUMMED}
    excused = {state.word: sum(count.excused[state.word] for count in counts) for state in EXCUSES}
    return Count(counts[0].start, counts[-1].end, excused=excused, **sums)


def moment(seconds: float) -> datetime:
    """Aware UTC of POSIX seconds, to the microsecond."""
    return datetime.fromtimestamp(round(float(seconds), 6), UTC)
