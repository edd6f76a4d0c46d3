"""Join of two series by time: for every row of one the row of the other that is nearest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_TOLERANCE_S = 86_400.0
"""A day, the default of TAME (Sado et al. 2022)."""


def nearest(
    times_s: ArrayLike, others_s: ArrayLike, tolerance_s: float = DEFAULT_TOLERANCE_S
) -> NDArray[np.intp]:
    """For each of some times the index of the nearest of others; -1 where none is near enough.

    Times are POSIX seconds, so that midnight and the turn of a year are nothing special. Neither side needs
    to be sorted. Of two that are equally near the earlier is taken, of several at one instant the first
    in the order given. NaN, a row without a time, is near to nothing.

    Parameters
    ----------
    times_s : array_like, shape (n,)
    others_s : array_like, shape (m,)
        May be empty.
    tolerance_s : float
        Largest distance that counts, itself included; 0 wants the very same time.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        When the tolerance is negative or no number.
    """
    if not tolerance_s >= 0.0:
        raise ValueError(f"a tolerance of {tolerance_s} s: write a number of seconds, 0 or more")
    wanted = np.asarray(times_s, np.float64)
    given = np.asarray(others_s, np.float64)
    order = np.argsort(given, kind="stable")
    order = order[: np.count_nonzero(~np.isnan(given))]  # NaN sorts last
    if not order.size:
        return np.full(wanted.shape, -1, np.intp)
    ordered = given[order]
    after = np.searchsorted(ordered, wanted, side="left")
    later = np.minimum(after, ordered.size - 1)
    # The first of those at the instant before: `after - 1` would be the last of them.
    earlier = np.searchsorted(ordered, ordered[np.maximum(after - 1, 0)], side="left")
    is_earlier = np.abs(wanted - ordered[earlier]) <= np.abs(ordered[later] - wanted)
    chosen = np.where(is_earlier, earlier, later)
    is_near = np.abs(ordered[chosen] - wanted) <= tolerance_s  # False for NaN
    return np.where(is_near, order[chosen], -1)
