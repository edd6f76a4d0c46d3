"""Segment one frame: grid, network, regions (numpy, OpenCV and ONNX Runtime)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation.border import Border
from models.aia_segmentation.preparation import (
    EVENT_TYPES,
    EVENTS_OF,
    Prepared,
    analysis_grid,
    channel_of,
    planes,
    prepare_plane,
)
from models.registry import ModelDescription, load
from models.runtime import Runtime, Session
from observatory import euv, regions
from observatory.analysis import EventType, ModelIdentity, Region, Segmentation, Threshold
from observatory.errors import MissingKeywordError
from observatory.frame import Frame, Pointing


class AiaSegmentation:
    """Coronal holes and active regions of AIA and SUVI frames.

    Parameters
    ----------
    runtime : Runtime
    description : ModelDescription, optional
        Another network than the shipped one.

    Raises
    ------
    ModelError
        When the network is missing or altered.
    """

    name = "aia_segmentation"

    def __init__(self, runtime: Runtime, description: ModelDescription | None = None) -> None:
        self._runtime = runtime
        self.description = description or load(self.name)
        parameters: Mapping[str, Any] = self.description.parameters
        self.side = int(parameters["side"])
        self._learned = {EventType(name) for name in parameters["event_types"]}
        self.thresholds = {
            event_type: {name: float(parameters["thresholds"][event_type][name]) for name in Threshold}
            for event_type in EVENT_TYPES
            if event_type in self._learned
        }
        border = parameters.get("border")
        self._border = None if border is None else Border.from_dict(border)

    @property
    def identity(self) -> ModelIdentity:
        """What results keep of this model."""
        return self.description.identity

    @property
    def session(self) -> Session:
        """The network's session in this process."""
        return self._runtime.session(self.description.path)

    def warm_up(self) -> None:
        """Make the session and run it once."""
        self.session.warm_up()

    def events_of(self, frame: Frame) -> tuple[EventType, ...]:
        """What is looked for in a frame: holes and regions in 193 (195), regions in 171, else nothing."""
        channel = channel_of(frame)
        if channel is None:
            return ()
        return tuple(kind for kind in EVENTS_OF[channel] if kind in self._learned)

    def analyse(
        self, frame: Frame, plane: euv.Plane | None = None, pointing: Pointing | None = None
    ) -> tuple[Segmentation, ...]:
        """Segment one frame; empty for channels that are not segmented.

        Parameters
        ----------
        frame : Frame
        plane, pointing : optional
            What `euv.monochrome` and `euv.disk_of` said of the frame, where the caller has asked
            them already.

        Raises
        ------
        UnusableInputError
            When no disk is in the frame, or its colours are unknown.
        """
        channel = channel_of(frame)
        wanted = self.events_of(frame)
        if channel is None or not wanted:
            return ()
        plane = plane or euv.monochrome(frame)
        pointing = pointing or euv.disk_of(frame, plane)
        prepared = prepare_plane(frame, plane, pointing, channel, self.side)
        found = self.probabilities(prepared)
        pixels = plane.pixels
        if plane.is_valid is not None:
            pixels = np.where(plane.is_valid, pixels, np.float32(np.nan)).astype(np.float32)
        made = (
            regions.segmentation(
                found[kind],
                prepared.extent_px,
                self.thresholds[kind],
                kind,
                self.identity,
                frame,
                pixels,
                pointing,
            )
            for kind in wanted
        )
        scale = _per_second(frame, is_picture=plane.is_picture)
        return tuple(replace(s, regions=tuple(_scaled(r, scale) for r in s.regions)) for s in made)

    def probabilities(self, prepared: Prepared) -> dict[EventType, NDArray[np.float32]]:
        """Maps (side, side), 0 to 1, on the grid of `prepared`; 0 beyond the limb.

        The network's, that of coronal holes with its borders looked at again (`border`).
        """
        given = self.session.run({"planes": planes(prepared.brightness, prepared.channel)[None]})
        maps = given["probability"][0]
        disk = analysis_grid(self.side).disk
        wanted = [kind for kind in EVENTS_OF[prepared.channel] if kind in self._learned]
        found = {kind: maps[EVENT_TYPES.index(kind)] for kind in wanted}
        hole = EventType.CORONAL_HOLE
        if self._border is not None and hole in found:
            found[hole] = self._border.refined(found[hole], prepared.brightness)
        return {kind: np.where(disk, one, np.float32(0)) for kind, one in found.items()}


def _per_second(frame: Frame, *, is_picture: bool) -> float:
    """Factor to DN/s; 1 for pictures and for counts of unknown exposure, which stay as they are."""
    if is_picture:
        return 1.0
    try:
        return float(euv.exposure_normalised(frame, np.ones(1, np.float32))[0])
    except MissingKeywordError:
        return 1.0


def _scaled(region: Region, factor: float) -> Region:
    """The region's intensities in another unit: cheaper than dividing 16 million pixels."""
    if factor == 1.0:
        return region
    names = ("mean", "median", "min", "max", "std")
    return replace(region, **{f"intensity_{n}": getattr(region, f"intensity_{n}") * factor for n in names})
