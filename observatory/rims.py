"""Rims of circles: steps of brightness across thousands of them, and one laid through points; compiled by numba.

Compiling takes some seconds once and is kept on disk where that can be written.
"""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np

from observatory.compiling import compiled

MOST_MOVED = 2
"""Pixels by which `best_moved` moves a circle and changes its radius, both ways."""
_BESIDE_PX = np.float32(1.5)  # from the rim, inside and outside


@numba.njit(inline="always")
def _step(inside, outside, full_step):
    """A step counts no more than a whole one: a lamp at the horizon does not outweigh the rest of the rim."""
    return min(max((inside - outside) / full_step, np.float32(-1.0)), np.float32(1.0))


@compiled
def mean_steps(image, inner, outer, weight, full_step, found):
    """Mean step of brightness across many rims whose pixels are known.

    Parameters
    ----------
    image : float32 (pixels,)
        Logarithms of brightness.
    inner, outer : int32 (azimuths, circles)
        Places of the pixels inside and outside of each rim; both the same where one of them is not seen.
    weight : float32 (circles,)
        What each sum is multiplied by.
    full_step : float32
        Step that counts as a whole one.
    found : float32 (circles,)
        Is overwritten.
    """
    found[:] = np.float32(0.0)
    for azimuth in range(inner.shape[0]):
        for circle in range(inner.shape[1]):
            found[circle] += _step(image[inner[azimuth, circle]], image[outer[azimuth, circle]], full_step)
    for circle in range(len(found)):
        found[circle] *= weight[circle]


@compiled
def best_apart(circles, values, apart_px, most, kept):
    """Places of the best circles, no two of which are nearly the same.

    Parameters
    ----------
    circles : float64 (n, 3)
        x, y and radius.
    values : float32 (n,)
        Are spoilt.
    apart_px : float
        Largest difference of circles that count as the same, in x, y and radius.
    most : int
    kept : int64 (most,)
        Is overwritten.

    Returns
    -------
    int
        How many there are.
    """
    count = 0
    while count < min(most, len(values)):
        best = np.argmax(values)
        if values[best] == -np.inf:
            break
        kept[count] = best
        count += 1
        for other in range(len(values)):
            apart = max(
                abs(circles[other, 0] - circles[best, 0]),
                abs(circles[other, 1] - circles[best, 1]),
                abs(circles[other, 2] - circles[best, 2]),
            )
            if apart <= apart_px:
                values[other] = -np.inf
    return count


@compiled
def best_moved(image, circles, azimuths, full_step, hidden_cost, least_in_view, found):
    """Move each of some circles by whole pixels to where the mean step across its rim is largest.

    Parameters
    ----------
    image : float32 (rows, columns)
        Logarithms of brightness.
    circles : float64 (n, 3)
        x, y and radius.
    azimuths : int
        Rays on which the rim is looked at.
    full_step : float32
        Step that counts as a whole one.
    hidden_cost : float
        What a part of the rim out of the picture counts against a circle.
    least_in_view : float
        Share of the rim that must lie in the picture; circles with less have the mean -1.
    found : float64 (n, 4)
        Is overwritten: x, y, radius and mean step of the best.
    """
    rows, columns = image.shape
    side = 2 * MOST_MOVED + 1
    total, seen = np.empty((side, side), np.float32), np.empty((side, side), np.int64)
    for number in range(len(circles)):
        x, y = np.float32(circles[number, 0]), np.float32(circles[number, 1])
        found[number, 3] = -np.inf
        for larger in range(-MOST_MOVED, MOST_MOVED + 1):
            radius = np.float32(circles[number, 2] + larger)
            total[:] = np.float32(0.0)
            seen[:] = 0
            for azimuth in range(azimuths):
                angle = azimuth * (2.0 * np.pi / azimuths)
                cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
                inner_x = np.int64(np.rint(x + (radius - _BESIDE_PX) * cosine))
                inner_y = np.int64(np.rint(y + (radius - _BESIDE_PX) * sine))
                outer_x = np.int64(np.rint(x + (radius + _BESIDE_PX) * cosine))
                outer_y = np.int64(np.rint(y + (radius + _BESIDE_PX) * sine))
                for down in range(side):
                    top, bottom = inner_y + down - MOST_MOVED, outer_y + down - MOST_MOVED
                    if top < 0 or top >= rows or bottom < 0 or bottom >= rows:
                        continue
                    for right in range(side):
                        left, beyond = inner_x + right - MOST_MOVED, outer_x + right - MOST_MOVED
                        if left < 0 or left >= columns or beyond < 0 or beyond >= columns:
                            continue
                        total[down, right] += _step(image[top, left], image[bottom, beyond], full_step)
                        seen[down, right] += 1
            for down in range(side):
                for right in range(side):
                    in_view = seen[down, right]
                    mean = -1.0
                    if in_view >= least_in_view * azimuths:
                        mean = total[down, right] / max(in_view + hidden_cost * (azimuths - in_view), 1.0)
                    if mean > found[number, 3]:
                        found[number, 0] = circles[number, 0] + right - MOST_MOVED
                        found[number, 1] = circles[number, 1] + down - MOST_MOVED
                        found[number, 2] = circles[number, 2] + larger
                        found[number, 3] = mean


@compiled
def conic_through(u, v, is_ellipse, least_spread, rounds):
    """Circle or upright ellipse through points most of which lie on it, by weighted least squares.

    Points far from the others' curve are weighed down until they count nothing (Tukey's biweight).

    Parameters
    ----------
    u, v : float64 (points,)
        About the unit circle around 0.
    is_ellipse : bool
    least_spread : float
        Misfits that are normal even where the points lie on the curve.
    rounds : int

    Returns
    -------
    float64 (4,)
        d, e, f, g of (1 - g) u^2 + (1 + g) v^2 + d u + e v + f = 0; g is 0 for a circle.
    """
    size = 4 if is_ellipse else 3
    row, solution = np.empty(4), np.zeros(4)
    weights, misfits = np.ones(len(u)), np.empty(len(u))
    for _ in range(rounds):
        normal = np.zeros((size, size + 1))
        for point in range(len(u)):
            _conic_row(u[point], v[point], row)
            squared = weights[point] * weights[point]
            wanted = -(u[point] * u[point] + v[point] * v[point])
            for i in range(size):
                for j in range(size):
                    normal[i, j] += squared * row[i] * row[j]
                normal[i, size] += squared * row[i] * wanted
        trace = 0.0
        for i in range(size):
            trace += normal[i, i]
        for i in range(size):
            normal[i, i] += 1e-12 * trace  # points on a short arc leave it all but singular
        _solve(normal, solution)
        for point in range(len(u)):
            _conic_row(u[point], v[point], row)
            misfit = u[point] * u[point] + v[point] * v[point]
            for i in range(size):
                misfit += row[i] * solution[i]
            misfits[point] = abs(misfit)
        ordered = np.sort(misfits)
        spread = max(4.685 * 1.483 * ordered[min(len(u) - 1, len(u) // 2)], least_spread)
        for point in range(len(u)):
            weights[point] = max(1.0 - (misfits[point] / spread) ** 2, 0.0)
    return solution


@numba.njit(inline="always")
def _conic_row(u, v, row):
    row[0], row[1], row[2], row[3] = u, v, 1.0, v * v - u * u


@numba.njit(inline="always")
def _solve(normal, solution):
    """Solve positive definite equations whose right side is the last column, by elimination."""
    size = normal.shape[0]
    for i in range(size):
        for j in range(i + 1, size):
            share = normal[j, i] / max(normal[i, i], 1e-300)
            for k in range(i, size + 1):
                normal[j, k] -= share * normal[i, k]
    for i in range(size - 1, -1, -1):
        rest = normal[i, size]
        for j in range(i + 1, size):
            rest -= normal[i, j] * solution[j]
        solution[i] = rest / max(normal[i, i], 1e-300)
