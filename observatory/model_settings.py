"""Settings of the models under watch; part of `observatory.settings`."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ModelSettings(BaseModel, extra="forbid"):
    """How candidates are tried and the models that run are watched."""

    shadow_share: float = Field(
        default=0.2, ge=0, le=1, description="of the frames that a candidate looks at beside the live model"
    )
    drift_interval_s: float = Field(default=600.0, ge=10, description="between two measurements of drift")
    drift_limit: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Kolmogorov-Smirnov statistic between a model's first and its newest answers that is too much",
    )
