"""The p-value of a frame: the share of good calibration frames at least as strange (Vovk et al. 2005; numpy).

The frame itself is counted among them, so that it is never 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.errors import ModelError

FloatArray = NDArray[np.floating]

CALIBRATION = "calibration.npz"

_TIE = 1e-9  # strangeness as near as this is the same: kept numbers are float32
_LEVELS = (0.05, 0.1, 0.25, 0.5)


def p_value(strangeness: float, known: FloatArray) -> float:
    """Share of good frames at least as strange.

    Parameters
    ----------
    strangeness : float
    known : ndarray, shape (n,)
        Strangeness of good frames, rising.
    """
    at_least = len(known) - int(np.searchsorted(known, strangeness - _TIE))
    return (at_least + 1) / (len(known) + 1)


def p_values(strangeness: ArrayLike, known: ArrayLike) -> NDArray[np.float64]:
    """`p_value` of each of several frames; `known` in any order."""
    found, good = np.asarray(strangeness, np.float64), np.sort(np.asarray(known, np.float64))
    at_least = len(good) - np.searchsorted(good, found - _TIE)
    return np.asarray((at_least + 1) / (len(good) + 1))


def p_values_by_month(strangeness: ArrayLike, months: ArrayLike) -> NDArray[np.float64]:
    """p-value of each good frame by a calibration on those of all other months.

    Frames of one month resemble each other too much to check each other.
    """
    found, named = np.asarray(strangeness, np.float64), np.asarray(months)
    p = np.empty(len(found))
    for name in np.unique(named):
        own = named == name
        p[own] = p_values(found[own], found[~own])
    return p


def shares(p: NDArray[np.float64]) -> dict[str, float]:
    """Shares of p-values of at most 0.05, 0.1, 0.25 and 0.5; of good frames those are the shares themselves."""
    return {str(level): round(float(np.mean(p <= level)), 3) for level in _LEVELS}


def write_calibration(path: Path, known: Mapping[str, ArrayLike]) -> str:
    """Keep the strangeness of good frames by the kind of frame; returns the file's sha256."""
    stored: dict[str, Any] = {name: np.asarray(values, np.float32) for name, values in known.items()}
    np.savez_compressed(path, **stored)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_calibration(path: Path, sha256: str, remedy: str) -> dict[str, FloatArray]:
    """Strangeness of good frames, rising, by the kind of frame.

    Parameters
    ----------
    path : Path
    sha256 : str
        Of the file, as stated elsewhere.
    remedy : str
        What gives a new file, in words.

    Raises
    ------
    ModelError
        When it is missing or altered.
    """
    if not path.exists():
        raise ModelError(f"{path} is missing: restore it, or {remedy}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ModelError(f"{path} was altered: restore it, or {remedy}")
    with np.load(path) as stored:
        return {name: np.sort(stored[name].astype(np.float64)) for name in stored.files}
