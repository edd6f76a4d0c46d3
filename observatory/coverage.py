"""The completeness ledger: what was to be expected, what came, what is usable, what is excused. No I/O.

Frames are laid into the slots of their row (`observatory.cadence`); slots that stay empty are lost. Each
slot, filled or lost, belongs to the piece of the instrument's line of time (`observatory.observing`) that it
lies in, which says whether it was expected. Everything that is counted is a slot, so two frames of one
moment count once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory import cadence
from observatory.ledger import Came, Count, Gaps, Ledger, Worth, moment, total_of
from observatory.observing import EXCUSES, Plan, State, Timeline, timeline
from observatory.sky import Seconds

LAPSE_S = 30 * 86400.0
"""Silence after which an instrument whose cadence nobody gave is no longer expected to send."""

_EDGE = 0.5  # cadences: a slot so near to sunset or sunrise may fall on either side
_LATE = 1.5  # cadences after the last frame before the next one is missed
_PERCENTILES = (50, 90, 95, 99)


def ledger(
    plan: Plan, came: Came, start_s: float, end_s: float, *, due_s: float, bin_s: float | None = None
) -> Ledger:
    """Write the ledger of one instrument.

    Parameters
    ----------
    start_s, end_s : float
        Half-open span in POSIX seconds.
    due_s : float
        Frames of times from here on need not have come yet.
    bin_s : float or None
        Width of the bins, which begin at multiples of it; None: no bins.
    """
    begin_s, until_s = _known_span(plan, came, start_s, end_s, due_s)
    row = cadence.row(came.times_s, plan.cadence_s, came.usual_s)
    edges = _bin_edges(start_s, end_s, bin_s)
    if row is None or begin_s is None or until_s <= begin_s:
        return _empty(plan, came, row, edges, due_s, with_bins=bin_s is not None)
    line = timeline(plan, begin_s, until_s)
    cells = _Cells(line, edges)
    holes = _holes(plan, came, row, begin_s, until_s)
    lost, gaps = cells.spread(holes)
    counts = _counts(cells, lost, cells.fill(came, row), _frames(came, edges), edges)
    inside = (came.times_s >= start_s) & (came.times_s < end_s)
    told = row.cadence_s[inside] if inside.any() else row.cadence_s
    return Ledger(
        cadence_s=float(np.median(told)) if len(told) else (plan.cadence_s or came.usual_s),
        is_learned=plan.cadence_s is None,
        total=total_of(counts),
        bins=counts if bin_s is not None else (),
        gaps=gaps,
        lateness_s=_lateness(came.lateness_s),
        due=moment(due_s),
        undated=came.undated,
    )


def _known_span(
    plan: Plan, came: Came, start_s: float, end_s: float, due_s: float
) -> tuple[float | None, float]:
    """From when on, and until when, something can be expected."""
    inside = came.times_s[came.times_s < end_s]
    last_s = float(inside[-1]) if len(inside) else due_s
    until_s = min(end_s, max(due_s, np.nextafter(last_s, np.inf)))
    if plan.since is not None:
        return max(start_s, plan.since.timestamp()), until_s
    if came.first_s is None:
        return (start_s if plan.cadence_s is not None else None), until_s
    return max(start_s, came.first_s), until_s


def _bin_edges(start_s: float, end_s: float, bin_s: float | None) -> Seconds:
    if bin_s is None:
        return np.array([start_s, end_s])
    inner = np.arange(np.floor(start_s / bin_s) + 1, np.ceil(end_s / bin_s)) * bin_s
    return np.concatenate([[start_s], inner, [end_s]])


@dataclass(frozen=True)
class _Holes:
    """Runs of empty slots: slot j of a hole, 1 to count, lies at origin + j * step."""

    origin: Seconds
    step: Seconds
    count: NDArray[np.int64]
    trailing_s: float | None
    """Where the last one begins, when no frame follows it."""


def _holes(plan: Plan, came: Came, row: cadence.Row, begin_s: float, until_s: float) -> _Holes:
    times = came.times_s
    jump = np.diff(row.slots)
    at = np.flatnonzero(jump >= 2)
    origin, count = times[at], jump[at] - 1
    step = (times[at + 1] - origin) / jump[at]
    usual = plan.cadence_s or came.usual_s or 0.0
    trailing_s = None
    if not len(times):
        whole = max(0, round((until_s - begin_s) / usual))
        origin, step, count = np.array([begin_s - usual / 2]), np.array([usual]), np.array([whole])
        trailing_s = begin_s - usual / 2
    else:
        first, last, usual = times[0], times[-1], float(row.cadence_s[-1])
        before = int(np.ceil((first - begin_s) / row.cadence_s[0] - _LATE))
        if before > 0:
            reach = first - (before + 1) * row.cadence_s[0]
            origin = np.concatenate([[reach], origin])
            step = np.concatenate([row.cadence_s[:1], step])
            count = np.concatenate([[before], count])
        after = int(np.ceil((until_s - last) / usual - _LATE))
        if after > 0:
            trailing_s = float(last)
            origin = np.concatenate([origin, [last]])
            step, count = np.concatenate([step, [usual]]), np.concatenate([count, [after]])
    if plan.cadence_s is None:
        most = (LAPSE_S / step).astype(np.int64)
        if trailing_s is not None and count[-1] > most[-1]:
            trailing_s = None  # it does not go on: nothing is expected any more
        count = np.minimum(count, most)
    return _Holes(origin, step, count.astype(np.int64), trailing_s)


class _Cells:
    """Pieces of the line of time, cut once more at the edges of the bins."""

    def __init__(self, line: Timeline, bin_edges: Seconds) -> None:
        begin, end = line.edges_s[0], line.edges_s[-1]
        inner = bin_edges[(bin_edges > begin) & (bin_edges < end)]
        self.edges = np.unique(np.concatenate([line.edges_s, inner]))
        middles = (self.edges[:-1] + self.edges[1:]) / 2
        self.state = line.states[np.searchsorted(line.edges_s, middles) - 1]
        self.bin = np.searchsorted(bin_edges, middles) - 1
        # Slots that lie half a cadence or less inside an end of what is expected are not expected; an eclipse
        # has its margin already.
        is_due = np.isin(self.state, (State.EXPECTED, State.ECLIPSE)).astype(np.float64)
        self._shift = np.concatenate([[0.0], is_due[1:] - is_due[:-1], [0.0]]) * _EDGE
        is_turn = np.concatenate([[True], self.state[1:] != self.state[:-1], [True]])
        self._turns = np.flatnonzero(is_turn)
        # Of each edge the turn at it or before it, and the one at it or after it.
        self._turn_before = np.cumsum(is_turn) - 1
        self._turn_after = np.where(is_turn, self._turn_before, self._turn_before + 1)

    def __len__(self) -> int:
        return len(self.state)

    def place(self, times_s: Seconds) -> NDArray[np.int64]:
        """Cell of each time; -1 or the number of cells outside."""
        return np.searchsorted(self.edges, times_s, side="right") - 1

    def fill(self, came: Came, row: cadence.Row) -> NDArray[np.int64]:
        """Filled slots by cell and worth, shape (cells, 4)."""
        inside = (came.times_s >= self.edges[0]) & (came.times_s < self.edges[-1])
        slots, times, worth = row.slots[inside], came.times_s[inside], came.worth[inside]
        table = np.zeros((len(self), len(Worth)), np.int64)
        if not len(slots):
            return table
        first = np.concatenate([[0], np.flatnonzero(np.diff(slots)) + 1])
        best = np.maximum.reduceat(worth, first)
        np.add.at(table, (self.place(times[first]), best), 1)
        return table

    def spread(self, holes: _Holes) -> tuple[NDArray[np.int64], Gaps]:
        """Lost slots by cell, and the gaps."""
        lost = np.zeros(len(self), np.int64)
        first = holes.origin + holes.step
        last = holes.origin + holes.count * holes.step
        begin, end = self.place(first), self.place(last)
        cell = np.clip(begin, 0, len(self) - 1)
        turns = self.edges[self._turns]
        low = np.maximum(self.edges[cell], turns[self._turn_before[cell]] + _EDGE * holes.step)
        high = np.minimum(self.edges[cell + 1], turns[self._turn_after[cell + 1]] - _EDGE * holes.step)
        # Nearly all holes lie in one cell, and far from its ends; only others are walked through one by one.
        is_whole = (begin == end) & (begin == cell) & (first >= low) & (last < high) & (holes.count > 0)
        np.add.at(lost, cell[is_whole], holes.count[is_whole])
        whole = np.flatnonzero(is_whole)
        found = _Found()
        found.add_all(
            first[whole], last[whole] + holes.step[whole], holes.count[whole], self.state[cell[whole]]
        )
        outside = (end < 0) | (begin >= len(self)) | (holes.count <= 0)
        for number in np.flatnonzero(~is_whole & ~outside):
            hole = holes.origin[number], holes.step[number], int(holes.count[number])
            self._walk(hole, lost, found)
        return lost, found.as_gaps(holes.trailing_s)

    def _shifted(self, first: int, last: int, step: float) -> Seconds:
        """Edges between which the slots of a hole are counted: turns are shifted, and none overtakes another.

        An edge of a bin that a turn is shifted over goes with it: the slots between are counted once, and for
        the same reason as without bins.
        """
        low, high = self._turn_before[first], self._turn_after[last]
        turns = self._turns[low : high + 1]
        shifted = np.maximum.accumulate(self.edges[turns] + self._shift[turns] * step)
        edges = slice(first, last + 1)
        before, after = shifted[self._turn_before[edges] - low], shifted[self._turn_after[edges] - low]
        return np.clip(self.edges[edges], before, after)

    def _walk(self, hole: tuple[float, float, int], lost: NDArray[np.int64], found: _Found) -> None:
        origin, step, count = hole
        ends = self.place(np.array([origin + (1 - _EDGE) * step, origin + (count + _EDGE) * step]))
        begin, end = np.clip(ends, 0, len(self) - 1)
        at = self._shifted(int(begin), int(end) + 1, step)
        before = np.clip(np.ceil((at - origin) / step) - 1, 0, count).astype(int)  # slots before each edge
        former: State | None = None
        for cell, start, stop in zip(
            range(begin, end + 1), before[:-1].tolist(), before[1:].tolist(), strict=True
        ):
            if stop <= start:
                continue
            lost[cell] += stop - start
            state = State(int(self.state[cell]))
            found.add(origin + (start + 1) * step, origin + (stop + 1) * step, stop - start, state, former)
            former = state


class _Found:
    """Gaps as they are found."""

    def __init__(self) -> None:
        self._bulk: tuple[Any, ...] = ()
        self._rows: list[list[Any]] = []

    def add_all(self, start: Seconds, end: Seconds, lost: NDArray[np.int64], state: NDArray[np.int8]) -> None:
        """Add many."""
        self._bulk = start, end, lost, state

    def add(self, start: float, end: float, lost: int, state: State, former: State | None) -> None:
        """Add one, or lengthen the one before it when that goes on (a bin ended inside it)."""
        if former is state:
            self._rows[-1][1] = end
            self._rows[-1][2] += lost
        else:
            self._rows.append([start, end, lost, int(state)])

    def as_gaps(self, open_from_s: float | None) -> Gaps:
        """All of them, oldest first."""
        more = np.array(self._rows, np.float64).reshape(-1, 4).T
        columns = [np.concatenate([bulk, extra]) for bulk, extra in zip(self._bulk, more, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        start, end, lost, state = (column[order] for column in columns)
        return Gaps(start, end, lost.astype(np.int64), state.astype(np.int8), open_from_s)


def _frames(came: Came, edges: Seconds) -> NDArray[np.int64]:
    """All frames by bin, expected or not; one on an edge is of the bin that begins there."""
    return np.diff(np.searchsorted(came.times_s, edges))


def _counts(
    cells: _Cells,
    lost: NDArray[np.int64],
    filled: NDArray[np.int64],
    frames: NDArray[np.int64],
    edges: Seconds,
) -> list[Count]:
    number = len(edges) - 1
    is_due = cells.state == State.EXPECTED

    def by_bin(values: NDArray[np.int64], where: NDArray[np.bool_]) -> list[int]:
        sums = np.bincount(cells.bin[where], weights=values[where], minlength=number)
        return [int(value) for value in np.rint(sums)]

    worth = {kind: by_bin(filled[:, kind], is_due) for kind in Worth}
    missing = by_bin(lost, is_due)
    received = by_bin(filled.sum(axis=1), is_due)
    extra = by_bin(filled.sum(axis=1), ~is_due)
    excused = {state: by_bin(lost, cells.state == state) for state in EXCUSES}
    return [
        Count(
            start=moment(edges[place]),
            end=moment(edges[place + 1]),
            expected=received[place] + missing[place],
            received=received[place],
            usable=worth[Worth.USABLE][place],
            waiting=worth[Worth.WAITING][place],
            unusable=worth[Worth.UNUSABLE][place],
            frozen=worth[Worth.FROZEN][place],
            missing=missing[place],
            excused={state.word: values[place] for state, values in excused.items()},
            extra=extra[place],
            frames=int(frames[place]),
        )
        for place in range(number)
    ]


def _empty(
    plan: Plan,
    came: Came,
    row: cadence.Row | None,
    edges: Seconds,
    due_s: float,
    *,
    with_bins: bool,
) -> Ledger:
    """The ledger of a span in which nothing can be expected; what came nevertheless is counted."""
    nothing = {state.word: 0 for state in EXCUSES}
    counts = [
        Count(moment(begin), moment(end), excused=nothing, frames=int(number))
        for begin, end, number in zip(edges[:-1], edges[1:], _frames(came, edges), strict=True)
    ]
    told = float(np.median(row.cadence_s)) if row is not None and len(row.cadence_s) else None
    none = np.array([])
    return Ledger(
        cadence_s=told or plan.cadence_s,
        is_learned=plan.cadence_s is None,
        total=total_of(counts),
        bins=counts if with_bins else (),
        gaps=Gaps(none, none, none.astype(np.int64), none.astype(np.int8), None),
        lateness_s=_lateness(came.lateness_s),
        due=moment(due_s),
        undated=came.undated,
    )


def _lateness(values: NDArray[np.float64]) -> dict[str, float]:
    if not len(values):
        return {}
    found = np.percentile(values, _PERCENTILES)
    return {f"p{name}": round(float(value), 3) for name, value in zip(_PERCENTILES, found, strict=True)} | {
        "max": round(float(values.max()), 3)
    }
