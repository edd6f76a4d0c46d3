"""How often frames come, and which place in their row each one fills. No I/O.

A camera's clock runs fast or slow, its frames come a little early or late, it takes some twice. Frames are
therefore not laid on a grid: time is measured in cadences of the moment, and the phase of the row, a running
mean over the neighbours, is taken off before a frame is given the number of its place (its slot). A slow
drift is followed and opens no gap; two frames in one slot fill one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.sky import Seconds

DRIFT = 0.10  # share by which the true spacing may differ from the cadence that people gave
LEAST_LEARNED = 8  # spacings from which a cadence can be learned at all
_BLOCK = 64  # spacings over which it is one
_ALIKE = 0.5  # spacings that differ less from a cadence belong to it
_TWICE = 0.05  # of the longer spacings: below it, a frame came twice
_PHASE = 8  # neighbours on either side that tell the phase
_CLEAR = 0.3  # least agreement of theirs, 0 to 1
_STEADY = 0.10  # share by which a cadence may seem to change where it does not
_BREAK = 4.0  # cadences of silence after which a camera may go on at another phase
_SINGLE = 0.6  # cadences by which the spacing of two neighbours may differ from one
_NEAR = 0.75  # cadences that a frame may lie off the slot that it fills


SHORTEST_LEARNED_S = 0.25
"""Shorter spacings teach nothing: they are those of files that were copied together, without times of their own."""


@dataclass(frozen=True)
class Row:
    """Frames with their places in the row.

    Attributes
    ----------
    slots : ndarray of int64, shape (n,)
        Number of each frame's slot, never falling.
    cadence_s : ndarray of float, shape (n,)
        Cadence before each frame; that of the first is the second's.
    """

    slots: NDArray[np.int64]
    cadence_s: NDArray[np.float64]


def learn(times_s: Seconds) -> float | None:
    """Typical spacing of frames in their order; None when there are too few to tell."""
    blocks = _blocks(np.diff(times_s))
    known = blocks[np.isfinite(blocks)]
    return float(np.sort(known)[len(known) // 2]) if len(known) else None


def row(times_s: Seconds, declared_s: float | None, usual_s: float | None = None) -> Row | None:
    """Give each frame its slot.

    Parameters
    ----------
    times_s : ndarray of float
        In order.
    declared_s : float or None
        Cadence that people gave; the frames' own is taken where it is within a tenth of it.
    usual_s : float or None
        Cadence to take where the frames tell none.

    Returns
    -------
    Row or None
        None when nothing tells the cadence.
    """
    steps = np.diff(times_s)
    cadence = _local(steps, declared_s, usual_s)
    if cadence is None:
        return None
    if not len(steps):
        single = declared_s if declared_s is not None else usual_s
        return Row(np.zeros(len(times_s), np.int64), np.full(len(times_s), single))
    return Row(_slots(steps / cadence), np.concatenate([cadence[:1], cadence]))


def _local(
    steps: NDArray[np.float64], declared_s: float | None, usual_s: float | None
) -> NDArray[np.float64] | None:
    """Cadence for each spacing."""
    blocks = _blocks(steps)
    known = np.isfinite(blocks)
    if known.any():
        places = np.arange(len(blocks))
        blocks = _steadied(np.interp(places, places[known], blocks[known]))
    if declared_s is not None:
        off = np.abs(blocks / declared_s - 1.0) if known.any() else np.ones(len(blocks))
        blocks = np.where(off <= DRIFT, blocks, declared_s)
    elif not known.any():
        if usual_s is None:
            return None
        blocks = np.full(len(blocks), usual_s)
    return np.repeat(blocks, _BLOCK)[: len(steps)]


def _steadied(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cadences of blocks, each nearly that of its neighbours taken as the middle one of five."""
    padded = np.pad(blocks, 2, mode="edge")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    return np.where(np.abs(blocks / middle - 1.0) < _STEADY, middle, blocks)


def _blocks(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Typical spacing in each block of spacings; NaN where it cannot be told."""
    count = -(-len(steps) // _BLOCK)
    padded = np.full(count * _BLOCK, np.inf)
    padded[: len(steps)] = steps
    if count > 1:
        padded[-_BLOCK:] = steps[
            -_BLOCK:
        ]  # the last block is as long as the others and overlaps the one before
    ordered = padded.reshape(count, _BLOCK)
    table = np.sort(ordered, axis=1)
    rows = np.arange(count)
    valid = np.isfinite(table).sum(axis=1)
    upper = table[rows, np.maximum(valid * 3 // 4 - 1, 0)]
    doubles = (table <= _TWICE * upper[:, None]).sum(axis=1)
    told = valid - doubles
    # From the short side: gaps make spacings long, and there may be more gaps than frames.
    typical = table[rows, np.minimum(doubles + told // 4, _BLOCK - 1)]
    for _ in range(5):
        low = (table < (1 - _ALIKE) * typical[:, None]).sum(axis=1)
        high = (table <= (1 + _ALIKE) * typical[:, None]).sum(axis=1)
        typical = table[rows, np.minimum((low + high) // 2, _BLOCK - 1)]
    is_told = (told >= LEAST_LEARNED) & np.isfinite(typical) & (typical >= SHORTEST_LEARNED_S)
    return np.where(is_told, _finer(ordered, np.where(is_told, typical, 1.0)), np.nan)


def _finer(table: NDArray[np.float64], typical: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cadence of each block from the time that it took, which jitter touches at its two ends alone."""
    for _ in range(2):
        steps = table / typical[:, None]
        is_counted = steps < _BREAK
        slots = np.where(np.abs(steps - 1.0) < _SINGLE, 1.0, np.rint(np.where(is_counted, steps, 0.0)))
        number = np.maximum((slots * is_counted).sum(axis=1), 1.0)
        took = np.where(is_counted, table, 0.0).sum(axis=1)
        typical = np.where(took > 0, took / number, typical)
    return typical


def _slots(steps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers of the slots, from spacings in cadences."""
    clock = np.concatenate([[0.0], np.cumsum(steps)])
    phase, is_clear = _phase(clock, steps)
    slots = np.rint(clock - phase)
    off = clock - phase - slots
    jump = np.diff(slots)
    # A frame so late that it fell into its neighbour's slot leaves a hole on one side and a double on the
    # other: it belongs into the hole, when it is near enough.
    late = np.flatnonzero((jump[:-1] >= 2) & (jump[1:] == 0) & is_clear[1:-1]) + 1
    slots[late[off[late] < _NEAR - 1.0]] -= 1
    jump = np.diff(slots)
    early = np.flatnonzero((jump[:-1] == 0) & (jump[1:] >= 2) & is_clear[1:-1]) + 1
    slots[early[off[early] > 1.0 - _NEAR]] += 1
    return np.maximum.accumulate(slots).astype(np.int64)


def _phase(
    clock: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Phase of the row at each frame, in cadences, without jumps, and where the neighbours agree on it.

    Where they do not (a camera far faster or slower than it should be) it is held.
    """
    number = len(clock)
    sums = np.concatenate([[0.0], np.cumsum(np.exp(2j * np.pi * clock))])
    breaks = np.flatnonzero(steps >= _BREAK) + 1
    edges = np.concatenate([[0], breaks, [number]])
    places = np.arange(number)
    piece = np.searchsorted(breaks, places, side="right")
    first = np.maximum(places - _PHASE, edges[piece])
    end = np.minimum(places + _PHASE + 1, edges[piece + 1])
    mean: Any = (sums[end] - sums[first]) / (end - first)
    is_clear = np.abs(mean) > _CLEAR
    clear = np.flatnonzero(is_clear)
    if not len(clear):
        return np.zeros(number), is_clear
    unwrapped = np.unwrap(np.angle(mean[clear]) / (2 * np.pi), period=1.0)
    return np.interp(places, clear, unwrapped), is_clear
