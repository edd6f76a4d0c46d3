"""The shared real frames as training data, and where they are split in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.aia_segmentation.data import Sample, boxed, pairs, unlabelled
from models.aia_segmentation.preparation import SIDE
from observatory.analysis import EventType

#: Boxed frames before this day train the model; those from April on test it, and those of the month between
#: are left alone, so that the last training frame and the first test frame are more than a solar rotation apart.
BOXES_TRAIN_UNTIL = datetime(2011, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SharedData:
    """The folders of the shared real frames (`aia/`, `sdo_boxes/`)."""

    root: Path

    def samples(self, side: int = SIDE) -> list[Sample]:
        """Mask pairs, boxed frames of the training months, and pictures without labels."""
        masks = self.root / "aia/coronal_hole_masks"
        found = pairs(
            masks / "images", masks / "masks", EventType.CORONAL_HOLE, side=side, instrument="aia-193"
        )
        for sample in boxed(self.root / "sdo_boxes/aia_193", side):
            if sample.date_obs is not None and sample.date_obs < BOXES_TRAIN_UNTIL:
                found.append(sample)
        # Of 171 the picture of 2021 stays unseen, and SUVI's and the FITS frame with it.
        aia = self.root / "aia"
        found += unlabelled(sorted((aia / "png").glob("aia_ar_2020*")), side, "aia-171")
        found += unlabelled(sorted((aia / "png").glob("aia_ch_2019*")), side, "aia-193")
        found += unlabelled(sorted((aia / "browse_20250205").glob("*_0171.jpg")), side, "aia-171")
        return found
