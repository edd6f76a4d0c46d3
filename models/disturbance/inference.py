"""Tell a disturbance from what a frame shows of the sky (numpy, no network of its own)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from models.disturbance import station
from models.disturbance.station import StationModel
from observatory.analysis import Disturbance, ModelIdentity, Sky


class DisturbanceModel:
    """A station's model at work.

    Parameters
    ----------
    model : StationModel
        As `load_disturbance` reads it.
    """

    def __init__(self, model: StationModel) -> None:
        self.model = model

    @cached_property
    def identity(self) -> ModelIdentity:
        """What results keep of it."""
        return ModelIdentity(self.model.name, self.model.version, self.model.sha256, self.model.parameters)

    def predict(self, sky: Sky) -> Disturbance | None:
        """Disturbance at the station while a frame was exposed.

        None where the model may not be asked: the sky could not be judged, shows no aurora or too much
        cloud, or was read by another network than the one whose features the model was trained on.
        """
        if not self.may_be_asked(sky):
            return None
        x, y, z = self.model.ridge.predict(np.asarray(sky.features)[None])[0]
        return Disturbance(float(x), float(y), float(z), self.model.sources.is_simulated, self.identity)

    def may_be_asked(self, sky: Sky) -> bool:
        """Whether a frame is one of those that the model was trained for."""
        aurora = sky.aurora_probability
        return (
            sky.sky_class is not None
            and aurora is not None
            and aurora >= self.model.aurora_min
            and (sky.cloud_cover is None or sky.cloud_cover <= self.model.cloud_max)
            and self.reads(sky.model)
            and np.shape(sky.features) == self.model.ridge.mean.shape
        )

    def reads(self, network: ModelIdentity) -> bool:
        """Whether it was trained on features of this very network."""
        return network.sha256 == self.model.sources.features_sha256


def load_disturbance(path: Path) -> DisturbanceModel:
    """Read a station's model, by its ``.toml`` or ``.npz``.

    Raises
    ------
    ModelError
        When a file is missing or altered.
    """
    return DisturbanceModel(station.read(path))
