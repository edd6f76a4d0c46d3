"""What the engine is told: frames came, were judged, came again; gaps opened and closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class RegionTotals:
    """What was found of one type of event in a frame; zeros are an answer, too."""

    regions: float | None = None
    disk_fraction: float | None = None
    area_msh: float | None = None


@dataclass(frozen=True)
class Judged:
    """A frame of which is known what it shows, or why it was refused.

    Attributes
    ----------
    at : datetime
        When that became known.
    status : str
        done, rejected or failed.
    quality : float or None
        Score, 0 to 1 (1 is best); None where nothing judged it.
    causes : mapping
        Cause to probability; None with a frame that nothing judged.
    regions : mapping
        Type of event to `RegionTotals`; types that were not looked for are not in it.
    enhancement : mapping
        ``outcome`` and the numbers; empty where none was tried.
    sky : mapping
        ``cloud_cover``, ``aurora_probability`` and ``disturbance_nt`` (length of the vector); empty where
        nothing was said of a sky.
    """

    instrument: str
    at: datetime
    frame_id: int
    status: str = "done"
    date_obs: datetime | None = None
    received_at: datetime | None = None
    file_name: str = ""
    quality: float | None = None
    is_degraded: bool | None = None
    p_value: float | None = None
    causes: Mapping[str, float] | None = None
    sky_class: str | None = None
    latency_s: float | None = None
    regions: Mapping[str, RegionTotals] = field(default_factory=dict)
    enhancement: Mapping[str, float | str | None] = field(default_factory=dict)
    sky: Mapping[str, float] = field(default_factory=dict)

    @property
    def leading_cause(self) -> str | None:
        """The most likely cause; None for a clear frame."""
        if not self.causes:
            return None
        return max(self.causes, key=lambda name: (self.causes or {})[name])


@dataclass(frozen=True)
class Arrived:
    """A new frame came, of a time of observation if it knows it."""

    instrument: str
    at: datetime
    frame_id: int
    date_obs: datetime | None = None


@dataclass(frozen=True)
class Sighted:
    """A file was seen: bytes that were seen before make no frame, and are known by this alone."""

    instrument: str
    at: datetime
    sha256: str


@dataclass(frozen=True)
class GapTold:
    """The ledger says that frames are missing since a time, or (None) that they are no longer."""

    instrument: str
    at: datetime
    start: datetime | None


@dataclass(frozen=True)
class OnsetTold:
    """The pictures of a night say that aurora brightened.

    Attributes
    ----------
    time : datetime
        Of the first frame that is brighter.
    """

    instrument: str
    at: datetime
    time: datetime


@dataclass(frozen=True)
class DriftTold:
    """How far a model's answers to an instrument's frames differ from its own first ones.

    Attributes
    ----------
    ratio : float
        Largest KS statistic of all quantities that is beyond chance, 0 to 1.
    """

    instrument: str
    at: datetime
    ratio: float


Fact = Judged | Arrived | Sighted | GapTold | OnsetTold | DriftTold
