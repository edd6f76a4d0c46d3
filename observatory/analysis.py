"""What an analysis says of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np


class Cause(StrEnum):
    """Why a frame is degraded: one list for all instruments."""

    CLOUD = "cloud"
    THIN_CLOUD = "thin_cloud"
    CONTRAIL = "contrail"
    SEEING = "seeing"
    DEFOCUS = "defocus"
    OVEREXPOSED = "overexposed"
    UNDEREXPOSED = "underexposed"
    OCCULTATION = "occultation"
    ECLIPSE = "eclipse"
    OFF_CENTRE = "off_centre"
    TRACKING = "tracking"
    FROZEN = "frozen"
    DUST = "dust"
    MISSING_DATA = "missing_data"
    SPIKES = "spikes"
    MOON_GLARE = "moon_glare"
    TWILIGHT = "twilight"
    DEW_OR_SNOW = "dew_or_snow"
    LENS_CAP = "lens_cap"
    NO_TARGET = "no_target"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class CauseProbability:
    """One cause and how likely it is, 0 to 1."""

    cause: Cause
    probability: float


@dataclass(frozen=True)
class ModelIdentity:
    """What made a result: enough to find the very same network again."""

    name: str
    version: str
    sha256: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """``name version`` for tables."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Quality:
    """How good a frame is, and why not.

    Attributes
    ----------
    score : float
        0 (useless) to 1 (best).
    is_degraded : bool
        Whether the frame should not be used without a second look.
    p_value : float | None
        Share of good calibration frames at least as bad as this one; None where no
        calibration exists.
    causes : tuple of CauseProbability
        Most likely first; empty for a clear frame.
    model : ModelIdentity
    measures : Mapping[str, float]
        The numbers behind the score, such as ``content_loss``.
    region_map : ndarray, shape (n, n), float32 in 0-1, or None
        How likely each part is spoilt, on the analysis grid.
    region_extent_px : tuple (x0, y0, x1, y1) or None
        Edges of the map in 0-based pixels of the frame, row 0 of the map at y0; pixel
        edges, so a map that covers the frame exactly has (-0.5, -0.5, w - 0.5, h - 0.5).
    """

    score: float
    is_degraded: bool
    p_value: float | None
    causes: tuple[CauseProbability, ...]
    model: ModelIdentity
    measures: Mapping[str, float] = field(default_factory=dict)
    region_map: np.ndarray | None = None
    region_extent_px: tuple[float, float, float, float] | None = None
