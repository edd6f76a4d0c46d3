"""How alike two masks are: Dice and IoU that are right for empty masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.regions import check_same_aspect

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """Pixels of two masks: in both, in the one that was found, in the true one."""

    both: int
    found: int
    truth: int

    @classmethod
    def of(cls, found: BoolArray, truth: BoolArray) -> Overlap:
        """Count two masks of one shape."""
        return cls(
            int(np.count_nonzero(found & truth)), int(np.count_nonzero(found)), int(np.count_nonzero(truth))
        )

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.both + other.both, self.found + other.found, self.truth + other.truth)

    @property
    def dice(self) -> float:
        """2 |A and B| / (|A| + |B|), 0 to 1; two empty masks agree: 1."""
        total = self.found + self.truth
        return 2 * self.both / total if total else 1.0

    @property
    def iou(self) -> float:
        """|A and B| / |A or B|, 0 to 1; two empty masks agree: 1."""
        either = self.found + self.truth - self.both
        return self.both / either if either else 1.0


@dataclass(frozen=True)
class Compared:
    """One picture's result.

    Attributes
    ----------
    name : str
    overlap : Overlap
    year : int or None
    is_trained_on : bool or None
        Whether the picture trained the network that is compared; None where that is not known.
    """

    name: str
    overlap: Overlap
    year: int | None = None
    is_trained_on: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """For printing."""
        return {
            "name": self.name,
            "year": self.year,
            "dice": self.overlap.dice,
            "iou": self.overlap.iou,
            "found_pixels": self.overlap.found,
            "true_pixels": self.overlap.truth,
            "trained_on": self.is_trained_on,
        }


def overall(compared: Iterable[Compared]) -> dict[str, float]:
    """Dice and IoU pooled over all pixels, and their means over pictures."""
    found = list(compared)
    pooled = sum((one.overlap for one in found), Overlap(0, 0, 0))
    return {
        "dice": pooled.dice,
        "iou": pooled.iou,
        "mean_dice": float(np.mean([one.overlap.dice for one in found])) if found else 1.0,
        "mean_iou": float(np.mean([one.overlap.iou for one in found])) if found else 1.0,
    }


def by_year(compared: Sequence[Compared]) -> dict[str, dict[str, float]]:
    """`overall` of each year."""
    years = sorted({one.year for one in compared if one.year is not None})
    return {
        str(year): overall(mine) | {"pictures": float(len(mine))}
        for year in years
        if (mine := [one for one in compared if one.year == year])
    }


def at_shape(mask: NDArray[np.uint8], shape: tuple[int, int]) -> BoolArray:
    """A mask, 0 to 255, at another size of the same aspect.

    Raises
    ------
    UnusableInputError
        When the aspect differs.
    """
    check_same_aspect(mask.shape, shape)
    if mask.shape != shape:
        way = cv2.INTER_AREA if mask.shape[0] > shape[0] else cv2.INTER_LINEAR
        mask = np.asarray(cv2.resize(mask, shape[::-1], interpolation=way), np.uint8)
    return np.asarray(mask > 127)
