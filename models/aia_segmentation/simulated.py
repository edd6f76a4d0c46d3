"""Simulated Suns: a few hundred lines of truth where nobody has drawn any."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from models.aia_segmentation.comparison import Compared, Overlap
from models.aia_segmentation.data import Sample, on_disk, with_mask, without_labels
from models.aia_segmentation.inference import AiaSegmentation
from models.aia_segmentation.preparation import HALF_WIDTH_RADII, SIDE, Channel, prepare
from models.simulate.aia import AiaSun, AiaTelescope, SimulatedAia
from observatory import euv, regions
from observatory.analysis import EventType, Threshold

_EPOCH = datetime(2014, 1, 1, tzinfo=UTC)


def suns(count: int, channel: Channel, size_px: int, seed: int) -> Iterator[SimulatedAia]:
    """Simulated frames, each of another Sun, activity and day."""
    random = np.random.default_rng(seed)
    telescope = AiaTelescope(size_px=size_px, channel=193 if channel is Channel.FE_XII else 171)
    for number in range(count):
        sun = AiaSun(seed * 1000 + number, activity=float(random.uniform(0.1, 0.9)))
        yield sun.frame(_EPOCH + timedelta(days=float(random.uniform(0, 700))), telescope)


def samples(count: int, side: int = SIDE, seed: int = 0) -> list[Sample]:
    """Simulated 171 frames with their active regions, for of these few real ones are at hand."""
    found = []
    for number, made in enumerate(suns(count, Channel.FE_IX, 2 * side, seed)):
        frame = made.frame()
        prepared = prepare(frame, Channel.FE_IX, side)
        truth = euv.Plane(made.active_regions.astype(np.uint8) * np.uint8(255))
        covered = euv.on_grid(truth, prepared.pointing, side, HALF_WIDTH_RADII).pixels / np.float32(255)
        sample = without_labels(frame, prepared, f"simulated-{number}", "simulated")
        found.append(with_mask(sample, EventType.ACTIVE_REGION, covered, on_disk(side)))
    return found


def compare(
    model: AiaSegmentation,
    count: int,
    channel: Channel,
    kind: EventType,
    threshold: Threshold,
    seed: int = 77,
) -> Iterator[Compared]:
    """The model against the truth of simulated frames that trained nothing."""
    for number, made in enumerate(suns(count, channel, 512, seed)):
        frame = made.frame()
        truth = made.active_regions if kind is EventType.ACTIVE_REGION else made.coronal_holes
        for found in model.analyse(frame):
            if found.event_type is kind:
                painted = regions.mask(found, (frame.height, frame.width), threshold)
                yield Compared(f"simulated-{channel}-{number}", Overlap.of(painted > 0, truth))
