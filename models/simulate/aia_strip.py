"""The part of a simulated corona's map that can be seen: regions laid on the quiet Sun, as their changes left them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.simulate.aia_corona import HolePatch

FloatArray = NDArray[np.float32]

_CHILD_ID = 500  # a piece that splits off is labelled with its parent's id and this
_HOLE_EDGE = 0.22  # level over which a hole reaches its full depth


@dataclass(frozen=True)
class Change:
    """Something that happens to a region.

    Attributes
    ----------
    kind : str
        ``split`` (holes: the smaller piece gets the id plus 500), ``merge`` (holes: the reverse),
        ``emerge`` or ``decay``.
    region_id : int
    start : datetime
    days : float
        How long it takes.
    """

    kind: Literal["split", "merge", "emerge", "decay"]
    region_id: int
    start: datetime
    days: float = 0.5

    def progress(self, date_obs: datetime) -> float:
        """How far it has come, 0 to 1."""
        return float(np.clip((date_obs - self.start).total_seconds() / 86400.0 / self.days, 0.0, 1.0))


@dataclass
class Strip:
    """The visible part of the map while it is being composed.

    `offset` is the column of the central meridian.
    """

    brightness: FloatArray
    hole: FloatArray
    active: FloatArray
    labels: NDArray[np.int16]
    offset: float

    @classmethod
    def empty(cls, quiet: FloatArray, offset: float) -> Strip:
        """The quiet Sun alone."""
        nothing = np.full(quiet.shape, -1.0, np.float32)
        return cls(quiet.copy(), nothing, nothing.copy(), np.zeros(quiet.shape, np.int16), offset)

    def add_hole(self, level: FloatArray, labels: NDArray[np.int16], first_row: int, middle: float) -> None:
        """Lay a hole about column `middle`, from a row on; its level is above 0 inside it."""
        for into, part in self._pieces(level.shape, first_row, middle):
            deeper = level[part] > self.hole[into]
            np.copyto(self.hole[into], level[part], where=deeper)
            np.copyto(self.labels[into], labels[part], where=deeper & (level[part] > -0.25))

    def add_active(
        self, light: FloatArray, level: FloatArray, number: int, first_row: int, middle: float
    ) -> None:
        """Lay an active region about column `middle`, from a row on; its level is above 0 inside it."""
        for into, part in self._pieces(level.shape, first_row, middle):
            self.brightness[into] += light[part]
            np.copyto(
                self.labels[into], np.int16(number), where=level[part] > np.maximum(-0.1, self.active[into])
            )
            np.maximum(self.active[into], level[part], out=self.active[into])
            # Closed loops leave no room for a hole.
            np.minimum(self.hole[into], -level[part] - np.float32(0.05), out=self.hole[into])

    def darken(self, depth: float) -> None:
        """Dim what lies in holes; bright points in them keep half of their light."""
        cover = np.clip(self.hole / np.float32(_HOLE_EDGE), 0.0, 1.0)
        cover *= 3.0 - 2.0 * cover
        cover = np.minimum(cover, 1.0)
        bright = np.maximum(self.brightness - 1.8, 0.0)
        # Little of the quiet Sun's structure is left in a hole.
        inside = np.float32(depth) * np.sqrt(np.maximum(self.brightness, 0.0)) + np.float32(0.35) * bright
        self.brightness += cover * (inside - self.brightness)

    def _pieces(
        self, shape: tuple[int, ...], first_row: int, middle: float
    ) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
        """Where a patch about column `middle` lies in the strip, once for every turn of the Sun."""
        height, width = self.brightness.shape
        turn = 2 * height
        start = round(middle) - shape[1] // 2
        pieces = []
        for left in (start % turn - turn, start % turn, start % turn + turn):
            low, high = max(0, left), min(width, left + shape[1])
            if low < high:
                rows = slice(first_row, first_row + shape[0])
                pieces.append(((rows, slice(low, high)), (slice(None), slice(low - left, high - left))))
        return pieces


def changed_hole(
    patch: HolePatch, changes: Sequence[Change], date_obs: datetime
) -> tuple[FloatArray, NDArray[np.int16]]:
    """Level and labels of a hole as its changes have left it."""
    level = patch.level
    labels = np.full(level.shape, patch.place.id, np.int16)
    shrunk = 1.0 - strength_of(changes, patch.place.id, date_obs)
    if shrunk > 0:
        level = level - np.float32(1.7 * shrunk)
    for change in changes:
        if change.region_id != patch.place.id or change.kind not in ("split", "merge"):
            continue
        done = change.progress(date_obs)
        gap = done if change.kind == "split" else 1.0 - done
        from_cut = patch.across - np.float32(0.3 * patch.place.size_deg)
        width = max(1.3, 0.2 * patch.place.size_deg)
        level = level - np.float32(3.0 * gap) * np.exp(-np.square(from_cut / width), dtype=np.float32)
        if gap > 0 and level[np.abs(from_cut) < 0.4 * width].max(initial=-1.0) < 0:
            sides = [(from_cut > 0), (from_cut <= 0)]
            small = min(sides, key=lambda side: int(np.count_nonzero(side & (level > 0))))
            labels[small] += _CHILD_ID
    return level, labels


def strength_of(changes: Sequence[Change], region_id: int, date_obs: datetime) -> float:
    """Share of its full size that a region has, 0 to 1."""
    strength = 1.0
    for change in changes:
        if change.region_id == region_id and change.kind in ("emerge", "decay"):
            done = change.progress(date_obs)
            strength = min(strength, done if change.kind == "emerge" else 1.0 - done)
    return strength
