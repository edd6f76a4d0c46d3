"""Which frames of three channels belong together in time. Pure: no I/O, any order of arrival.

Pairing by file order, or taking each frame's nearest, goes wrong as soon as one frame is lost: every
set after it is then shifted, or a frame is used twice. Here the sets of a whole series are found at
once: as many as the tolerance allows, and among those choices the one with the shortest spans; no
set overtakes another, and no frame is in two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

LEAST_TOLERANCE_S = 9.0  # three quarters of AIA's cadence of 12 s (Lemen et al. 2012)
MOST_TOLERANCE_S = 60.0  # the Sun turns by 0.2 arcsec, a flare grows visibly
_SHARE_OF_CADENCE = 0.75
_SAME_EXPOSURE_S = 1.0  # levels 1 and 1.5, or FITS and JP2, of one exposure; exposures are 2 s apart

State = tuple[int, ...]


class Timed(Protocol):
    """What pairing asks of a frame."""

    @property
    def channel(self) -> str:
        """Instrument, such as ``aia-304``."""

    @property
    def date_obs(self) -> datetime:
        """Start of the exposure."""

    @property
    def quality_score(self) -> float | None:
        """Which of two frames of one exposure is the better."""

    @property
    def set_id(self) -> int | None:
        """Incomplete set that it is in already: such a set is kept together."""


T = TypeVar("T", bound=Timed)


@dataclass(frozen=True)
class TimedSet(Generic[T]):
    """Frames that belong together.

    Attributes
    ----------
    members : Mapping[str, Timed]
        Channel to frame, in the order of the look's channels.
    is_complete : bool
        Whether every channel is there.
    """

    members: Mapping[str, T]
    is_complete: bool

    @property
    def date_obs(self) -> datetime:
        """Time of the earliest member."""
        return min(member.date_obs for member in self.members.values())

    @property
    def span_s(self) -> float:
        """Seconds from the earliest member to the latest."""
        return _span_s(self.members.values())


@dataclass(frozen=True)
class Pairing(Generic[T]):
    """What became of all frames.

    Attributes
    ----------
    sets : tuple of TimedSet
        In order of time; complete ones, pairs and single frames.
    surplus : tuple
        Frames of an exposure of which another frame was taken.
    """

    sets: tuple[TimedSet[T], ...]
    surplus: tuple[T, ...]


def pair(frames: Iterable[T], channels: Sequence[str], tolerance_s: float) -> Pairing[T]:
    """Sort frames into sets.

    Parameters
    ----------
    frames : iterable of Timed
        In any order; frames of other channels are left out. Of two frames of one channel that start
        within a second, the better one is taken, else the first.
    channels : sequence of str
        The three channels.
    tolerance_s : float
        Longest time between the earliest and the latest member of a set.
    """
    series: list[list[T]] = []
    surplus: list[T] = []
    every = list(frames)
    for channel in channels:
        kept, others = _one_an_exposure([frame for frame in every if frame.channel == channel])
        series.append(kept)
        surplus += others
    triples = _aligned(series, tolerance_s)
    taken = {id(frame) for triple in triples for frame in triple}
    free = [[frame for frame in one if id(frame) not in taken] for one in series]
    groups = [*triples, *_pairs(free, tolerance_s)]
    sets = [
        TimedSet({frame.channel: frame for frame in group}, len(group) == len(channels)) for group in groups
    ]
    return Pairing(tuple(sorted(sets, key=lambda one: one.date_obs)), tuple(surplus))


def tolerance_for(frames: Iterable[Timed]) -> float:
    """Longest span to allow: 3/4 of the slowest channel's cadence, between 9 s and 60 s.

    Three channels of one cadence have a set that spans 2/3 of it at most, however they are shifted.
    With more, a set could reach for the next turn's frames when its own are late.
    """
    by_channel: dict[str, list[datetime]] = {}
    for frame in frames:
        by_channel.setdefault(frame.channel, []).append(frame.date_obs)
    cadences = [cadence for times in by_channel.values() if (cadence := cadence_s(times)) is not None]
    return tolerance_of_cadence(max(cadences, default=None))


def tolerance_of_cadence(seconds: float | None) -> float:
    """Longest span to allow for channels of one cadence; 60 s when it is not known."""
    if seconds is None:
        return MOST_TOLERANCE_S
    return min(max(_SHARE_OF_CADENCE * seconds, LEAST_TOLERANCE_S), MOST_TOLERANCE_S)


def cadence_s(times: Iterable[datetime]) -> float | None:
    """Median spacing of a series in seconds; None for fewer than two distinct times."""
    ordered = sorted(times)
    steps = sorted(
        step
        for before, after in pairwise(ordered)
        if (step := (after - before).total_seconds()) > _SAME_EXPOSURE_S
    )
    return steps[len(steps) // 2] if steps else None


def _one_an_exposure(frames: list[T]) -> tuple[list[T], list[T]]:
    """Sort by time and keep the best frame of each exposure; also the others."""
    kept: list[T] = []
    others: list[T] = []
    for frame in sorted(frames, key=lambda frame: frame.date_obs):  # stable: the first comes first
        if not kept or (frame.date_obs - kept[-1].date_obs).total_seconds() >= _SAME_EXPOSURE_S:
            kept.append(frame)
        elif _rank(frame) > _rank(kept[-1]):
            others.append(kept[-1])
            kept[-1] = frame
        else:
            others.append(frame)
    return kept, others


def _rank(frame: Timed) -> tuple[bool, float]:
    """Frames of a set that exists stay in it; then the score counts."""
    return frame.set_id is not None, -1.0 if frame.quality_score is None else frame.quality_score


def _aligned(series: list[list[T]], tolerance_s: float) -> list[tuple[T, ...]]:
    """Complete sets of all series: the cheapest way along them.

    A state is the place reached in each series; one either takes the frames there as a set, at the
    cost of its span, or leaves one out, at the cost of the tolerance. Taking thus always pays, and
    the sets come as many and as close as they can be. States lie in a narrow band around the
    diagonal, since what is further than the tolerance behind the others can only be left out.
    """
    if not all(series):
        return []
    way = _Way(series, tolerance_s)
    layers: list[dict[State, Step]] = [{} for _ in range(sum(map(len, series)) + 1)]
    layers[0][(0,) * len(series)] = Step(0.0, 0, None, is_taken=False)
    for layer in layers:
        for state, here in layer.items():
            for following, cost, is_taken in way.steps(state):
                places = here.places + (sum(state) if is_taken else 0)
                step = Step(round(here.cost + cost, 6), places, state, is_taken)
                known = layers[sum(following)].get(following)
                if known is None or (step.cost, step.places) < (known.cost, known.places):
                    layers[sum(following)][following] = step
    return way.taken(layers)


@dataclass(frozen=True)
class Step:
    """How a place along the series is reached at the least cost.

    Where the costs are the same, sets that begin earlier are taken (`places` sums up how far along the
    series they stand): what then is left over is young and may still find its partners.
    """

    cost: float
    places: int
    before: State | None
    is_taken: bool


class _Way(Generic[T]):
    """The steps that may be taken along several series."""

    def __init__(self, series: list[list[T]], tolerance_s: float) -> None:
        self._series, self._tolerance_s = series, tolerance_s
        self._seconds = [[frame.date_obs.timestamp() for frame in one] for one in series]
        self._sizes = _set_sizes(frame for one in series for frame in one)

    def steps(self, state: State) -> Iterator[tuple[State, float, bool]]:
        """Places that can be reached from one, each with its cost and whether a set is taken."""
        heads = [
            (self._seconds[number][place], number)
            for number, place in enumerate(state)
            if place < len(self._seconds[number])
        ]
        if not heads:
            return
        earliest, first = min(heads)
        latest = max(heads)[0]
        is_close = len(heads) == len(state) and latest - earliest <= self._tolerance_s
        if is_close and self._may_be_set(state):
            yield tuple(place + 1 for place in state), latest - earliest, True
        for second, number in heads:
            if number == first or (is_close and second - earliest <= self._tolerance_s):
                after = (*state[:number], state[number] + 1, *state[number + 1 :])
                yield after, self._tolerance_s, False

    def _may_be_set(self, state: State) -> bool:
        """Whether no incomplete set would be torn: its members come together or not at all."""
        ids = [
            frame.set_id
            for one, place in zip(self._series, state, strict=True)
            if (frame := one[place]).set_id is not None
        ]
        return all(ids.count(number) == self._sizes[number] for number in ids)

    def taken(self, layers: list[dict[State, Step]]) -> list[tuple[T, ...]]:
        """Walk back along the cheapest way and collect its sets."""
        state: State | None = tuple(len(one) for one in self._series)
        found = []
        while state is not None:
            step = layers[sum(state)][state]
            if step.is_taken and step.before is not None:
                found.append(tuple(one[place] for one, place in zip(self._series, step.before, strict=True)))
            state = step.before
        return found[::-1]


def _set_sizes(frames: Iterable[Timed]) -> Counter[int]:
    return Counter(frame.set_id for frame in frames if frame.set_id is not None)


def _pairs(free: list[list[T]], tolerance_s: float) -> list[tuple[T, ...]]:
    """What is left, in pairs, the closest first, and alone; pairs that exist stay."""
    every = [frame for one in free for frame in one]
    sizes = _set_sizes(every)
    bound = {number for number, size in sizes.items() if size > 1}
    groups: list[tuple[T, ...]] = [
        tuple(frame for frame in every if frame.set_id == number) for number in sorted(bound)
    ]
    loose = sorted((frame for frame in every if frame.set_id not in bound), key=lambda frame: frame.date_obs)
    used: set[int] = set()
    for _, one, other in sorted(_close(loose, tolerance_s), key=lambda found: found[0]):
        if not {one, other} & used:
            used |= {one, other}
            groups.append((loose[one], loose[other]))
    return groups + [(frame,) for number, frame in enumerate(loose) if number not in used]


def _close(frames: Sequence[Timed], tolerance_s: float) -> Iterator[tuple[float, int, int]]:
    """Pairs of different channels within the tolerance; the frames come in order of time."""
    for number, frame in enumerate(frames):
        for further in range(number + 1, len(frames)):
            apart = (frames[further].date_obs - frame.date_obs).total_seconds()
            if apart > tolerance_s:
                break
            if frames[further].channel != frame.channel:
                yield apart, number, further


def _span_s(frames: Iterable[Timed]) -> float:
    times = [frame.date_obs for frame in frames]
    return (max(times) - min(times)).total_seconds()
