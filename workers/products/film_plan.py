"""What a film shows when: its frames, and what is missing between them.

A film runs at one frame a picture, so equal spacings take equal time. Where frames are missing the
last one is held, marked and dimmed, for as long as those missing would have taken; but no shorter
than the eye needs to see the mark, and a long gap (a night) is cut to a second and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from workers.pairing import cadence_s

_IS_GAP = 1.75  # times the cadence: one frame missing makes 2
_IS_GAP_UNSTEADY = 6.0  # times the median spacing, where there is no cadence
_STEADY_SHARE, _STEADY_WITHIN = 0.6, 0.3
_LEAST_SHOWN_S = 0.25


@dataclass(frozen=True)
class Gap:
    """A time without frames.

    Attributes
    ----------
    start, end : datetime
        Times of the frames before and after.
    is_shortened : bool
        Whether it is shown for less than the missing frames would have taken.
    """

    start: datetime
    end: datetime
    is_shortened: bool

    @property
    def seconds(self) -> float:
        """Seconds from the frame before to the frame after."""
        return (self.end - self.start).total_seconds()

    @property
    def words(self) -> str:
        """What stands on the picture."""
        length = f"no frames for {duration_words(self.seconds)}"
        return f"{length} (shortened)" if self.is_shortened else length


@dataclass(frozen=True)
class Step:
    """A frame, or the gap after it, and for how many pictures it is shown."""

    frame: int
    pictures: int
    gap: Gap | None = None


def plan(
    times: Sequence[datetime], *, fps: float, longest_gap_s: float, cadence: float | None = None
) -> list[Step]:
    """Lay a film out.

    Parameters
    ----------
    times : sequence of datetime
        Of the frames, in order.
    fps : float
        Pictures a second of film.
    longest_gap_s : float
        Seconds of film that a gap takes at most.
    cadence : float | None
        Seconds between frames, where it is known; else it is what most spacings are.

    Returns
    -------
    list of Step
        A single frame is shown for a second.
    """
    if len(times) == 1:
        return [Step(0, max(1, round(fps)))]
    usual = cadence or cadence_s(times)
    limit = (_IS_GAP if cadence or _is_steady(times, usual) else _IS_GAP_UNSTEADY) * (usual or 0.0)
    longest, least = max(1, round(longest_gap_s * fps)), max(1, round(_LEAST_SHOWN_S * fps))
    steps: list[Step] = []
    for number, (time, following) in enumerate(pairwise(times)):
        steps.append(Step(number, 1))
        spacing = (following - time).total_seconds()
        if usual and spacing > limit:
            missing = max(1, round(spacing / usual) - 1)
            shown = min(max(missing, least), longest)
            steps.append(Step(number, shown, Gap(time, following, shown < missing)))
    if times:
        steps.append(Step(len(times) - 1, 1))
    return steps


def _is_steady(times: Sequence[datetime], usual: float | None) -> bool:
    """Whether most spacings are near the usual one, so that a longer one means something."""
    if not usual:
        return False
    spacings = [(after - before).total_seconds() for before, after in pairwise(times)]
    near = sum(abs(spacing - usual) <= _STEADY_WITHIN * usual for spacing in spacings)
    return near >= _STEADY_SHARE * len(spacings)


def duration_words(seconds: float) -> str:
    """A duration as people say it: ``36 s``, ``12 min``, ``5.5 h``, ``3 days``."""
    for limit, unit, name in (
        (120, 1, "s"),
        (7200, 60, "min"),
        (172_800, 3600, "h"),
        (63_072_000, 86_400, "days"),
    ):
        if abs(seconds) < limit:
            value = seconds / unit
            return f"{value:.0f} {name}" if value >= 10 or value == round(value) else f"{value:.1f} {name}"
    return f"{seconds / 31_557_600:.0f} years"
