"""Order statistics of some hundred or thousand numbers, where numpy's own mostly cost their preparation.

Both take the number that stands at the place asked for and do not interpolate between two.
"""

from __future__ import annotations

import numpy as np


def median(values: np.ndarray) -> float:
    """Middle number; of an even count the upper of the two. NaN counts as the largest."""
    return quantile(values, 0.5)


def quantile(values: np.ndarray, share: float) -> float:
    """Number below which a share (0 to 1) of the values lies.

    Raises
    ------
    ValueError
        When there are no values.
    """
    if not values.size:
        raise ValueError("no values have no quantile")
    place = min(int(share * values.size), values.size - 1)
    ordered = values.flatten()
    ordered.partition(place)
    return float(ordered[place])
