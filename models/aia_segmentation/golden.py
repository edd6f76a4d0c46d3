"""Golden frames of the segmentation: simulated Suns whose coronal holes and active regions are known."""

from __future__ import annotations

from collections.abc import Iterator

from models.aia_segmentation.comparison import Overlap
from models.aia_segmentation.inference import AiaSegmentation
from models.aia_segmentation.preparation import Channel
from models.aia_segmentation.simulated import suns
from models.golden import Answer
from models.runtime import Runtime
from observatory import regions
from observatory.analysis import EventType, Threshold

_LEAST_DICE = 0.3  # a sane network reaches 0.5 to 0.8 on these; one that guesses, nothing
_SIZE_PX = 256
_SEED = 43


def answers(runtime: Runtime, name: str) -> Iterator[Answer]:
    """Answers of the network that `registry.load` gives for a name."""
    model = AiaSegmentation(runtime)
    for channel in (Channel.FE_XII, Channel.FE_IX):
        (made,) = suns(1, channel, _SIZE_PX, _SEED)
        frame = made.frame()
        truth = {EventType.CORONAL_HOLE: made.coronal_holes, EventType.ACTIVE_REGION: made.active_regions}
        for found in model.analyse(frame):
            painted = regions.mask(found, (frame.height, frame.width), Threshold.MEDIUM)
            dice = Overlap.of(painted > 0, truth[found.event_type]).dice
            yield Answer(
                frame=f"simulated {channel} {found.event_type.value}",
                expected=f"Dice of {_LEAST_DICE} and more",
                said=f"Dice {dice:.2f}",
                is_right=dice >= _LEAST_DICE,
                value=dice,
            )
