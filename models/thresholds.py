"""Quality models that are thresholds and no network: how they are read, and how a score comes of them (numpy).

A family measures how far a frame is beyond the threshold of each cause, as a ratio that is 1 at it. What follows
from the ratios is the same for all families.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models import conformal
from observatory.analysis import Cause, CauseProbability, ModelIdentity
from observatory.errors import ModelError

CERTAIN = 1e3  # ratio of a cause that leaves no doubt
PLAIN = 4.0  # ratio of a fact that is so or not, such as one that the archive states: score 0.015

_FILE = "thresholds.toml"
_BEST = -4.0  # log-odds of a frame against which nothing speaks: score 0.982
_STEEPNESS = 3.0  # score 0.5 at a threshold, 0.11 at twice it


class Thresholds:
    """What a family's ``thresholds.toml`` says, and the calibration of its p-value beside it.

    Parameters
    ----------
    family : str
    folder : Path
    is_calibrated : bool
        Read the calibration; without it there is no p-value.
    options : str
        What the command that calibrates again needs to be told.

    Attributes
    ----------
    parameters : Mapping
        All that the file says.

    Raises
    ------
    ModelError
        When thresholds or calibration are missing or altered.
    """

    def __init__(self, family: str, folder: Path, *, is_calibrated: bool, options: str = "") -> None:
        self._family = family
        path = folder / _FILE
        try:
            self.parameters: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ModelError(f"{path} cannot be read: {error}; restore it") from error
        stated = self.parameters["calibration_sha256"]
        command = f"heliowatch models export {family} {options}".rstrip()
        self._known = (
            conformal.read_calibration(folder / conformal.CALIBRATION, stated, f"calibrate again: {command}")
            if is_calibrated and stated
            else {}
        )

    def __getitem__(self, name: str) -> Any:
        """A table of thresholds."""
        return self.parameters[name]

    @cached_property
    def identity(self) -> ModelIdentity:
        """What results keep of the model: the sha256 is that of version, thresholds and calibration."""
        stated = json.dumps(self.parameters, sort_keys=True, separators=(",", ":"))
        sha256 = hashlib.sha256(stated.encode()).hexdigest()
        return ModelIdentity(self._family, str(self["version"]), sha256, self.parameters)

    def p_value(self, kind: str, strangeness: float) -> float | None:
        """Share of good frames of this kind at least as strange; None where none calibrated it."""
        known = self._known.get(kind)
        return None if known is None else conformal.p_value(strangeness, known)


def badness_of(ratios: Mapping[Cause, float]) -> float:
    """Log-odds of being degraded, by the worst ratio; 0 at a threshold."""
    worst = max(ratios.values(), default=0.0)
    return max(_BEST, _STEEPNESS * float(np.log(max(worst, 1e-6))))


def score_of(badness: float) -> float:
    """Quality from 1 (nothing speaks against it) to 0; below 0.5 a frame is degraded."""
    return float(1.0 / (1.0 + np.exp(min(badness, 60.0))))


def probable_causes(ratios: Mapping[Cause, float]) -> tuple[CauseProbability, ...]:
    """Causes beyond their thresholds, the worst first: even odds at it, 0.89 at twice it."""
    probable = {
        cause: ratio**_STEEPNESS / (1.0 + ratio**_STEEPNESS)
        for cause, ratio in ((cause, min(ratio, CERTAIN)) for cause, ratio in ratios.items())
        if ratio >= 1.0
    }
    ordered = sorted(probable.items(), key=lambda item: -item[1])
    return tuple(CauseProbability(cause, float(value)) for cause, value in ordered)


def write_calibration(folder: Path, known: Mapping[str, ArrayLike]) -> None:
    """Write the calibration of a family's p-value, and its sha256 into the thresholds.

    Parameters
    ----------
    folder : Path
    known : mapping of str to array
        Strangeness of good frames, by kind.
    """
    digest = conformal.write_calibration(folder / conformal.CALIBRATION, known)
    path = folder / _FILE
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r'calibration_sha256 = ".*"', f'calibration_sha256 = "{digest}"', text), encoding="utf-8"
    )
