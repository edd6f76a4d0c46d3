"""Is the dome before the lens covered by dew or snow: a logistic head on what the network says (numpy alone).

A covered dome looks much like cloud in a single frame, so this head is asked to be wrong seldom rather than to
find all. It belongs to one network: where another one is used, nothing is said of the dome.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from observatory.errors import ModelError

FloatArray = NDArray[np.floating]

PATH = Path(__file__).parent / "dome.npz"
FALSE_ALARMS = 0.02
"""Share of clean domes that may be called covered, at cameras and skies of the training's kinds."""
_CELLS = 4  # of the cloud map along a side
_ARRAYS = ("mean", "scale", "weights", "offset", "threshold")
_STEEPNESS = 3.0
_MOST = 1.5  # one frame leaves some doubt: no score falls below 0.23 by it


@dataclass(frozen=True)
class DomeHead:
    """A logistic regression, and the network whose words it knows.

    Attributes
    ----------
    mean, scale, weights : ndarray, shape (n,)
    offset : float
    threshold : float
        Log-odds from which a dome is called covered.
    network_sha256 : str
    """

    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    offset: float
    threshold: float
    network_sha256: str

    def log_odds(self, words: FloatArray) -> FloatArray:
        """Log-odds of a covered dome; `words` has the shape (n,) or (frames, n)."""
        return np.asarray((words - self.mean) / self.scale @ self.weights + self.offset)

    def ratio(self, words: FloatArray) -> float:
        """How far one frame is beyond the threshold, 1 is at it; at most 1.5."""
        apart = float(self.log_odds(words)) - self.threshold
        return float(min(np.exp(min(max(apart, -30.0), 30.0) / _STEEPNESS), _MOST))


def words_of(features: FloatArray, probabilities: FloatArray, cloud: FloatArray) -> FloatArray:
    """What the head looks at, of one or several frames: features, classes and a coarse map of cloud."""
    many = features.ndim == 2
    cells = cloud.shape[-1] // _CELLS
    maps = cloud.reshape(-1, _CELLS, cells, _CELLS, cells).mean(axis=(2, 4)).reshape(-1, _CELLS * _CELLS)
    words = np.concatenate([np.atleast_2d(features), np.atleast_2d(probabilities), maps], axis=1)
    return words if many else words[0]


def fitted(
    words: FloatArray, is_covered: NDArray[np.bool_], network_sha256: str, strength: float = 10.0
) -> DomeHead:
    """Fit by Newton's method with a ridge, and set the threshold on the clean domes.

    Parameters
    ----------
    words : ndarray, shape (frames, n)
    strength : float
        Of the ridge, for weights of standardised words.
    """
    mean, scale = words.mean(axis=0), words.std(axis=0) + 1e-6
    given = np.concatenate([(words - mean) / scale, np.ones((len(words), 1))], axis=1)
    ridge = np.full(given.shape[1], strength)
    ridge[-1] = 1e-6
    solution = np.zeros(given.shape[1])
    for _ in range(25):
        p = 1.0 / (1.0 + np.exp(-np.clip(given @ solution, -30, 30)))
        slope = given.T @ (p - is_covered) + ridge * solution
        bend = (given * (p * (1 - p))[:, None]).T @ given + np.diag(ridge)
        solution -= np.linalg.solve(bend, slope)
    clean = given[~is_covered] @ solution
    threshold = float(np.quantile(clean, 1.0 - FALSE_ALARMS))
    return DomeHead(mean, scale, solution[:-1], float(solution[-1]), threshold, network_sha256)


def write(head: DomeHead, path: Path = PATH) -> None:
    """Write a head to a file."""
    arrays = {name: np.asarray(getattr(head, name), np.float32) for name in _ARRAYS}
    np.savez_compressed(path, network=np.array(head.network_sha256), **arrays)  # type: ignore[arg-type]


def load(network_sha256: str, path: Path = PATH) -> DomeHead | None:
    """Read the head of a network; None where the file is of another network, or there is none.

    Raises
    ------
    ModelError
        When the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            if str(stored["network"]) != network_sha256:
                return None
            arrays = {name: stored[name].astype(np.float64) for name in _ARRAYS}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} holds no head for domes: {error}; restore it") from error
    return DomeHead(
        arrays["mean"],
        arrays["scale"],
        arrays["weights"],
        float(arrays["offset"]),
        float(arrays["threshold"]),
        network_sha256,
    )
