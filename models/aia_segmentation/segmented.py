"""One picture through the path that workers use, as evaluation asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation import data
from models.aia_segmentation.annotations import time_in_name
from models.aia_segmentation.inference import AiaSegmentation
from models.aia_segmentation.options import EvaluateOptions
from models.aia_segmentation.trained_on import training_pictures
from observatory import regions
from observatory.analysis import EventType, Segmentation, Threshold
from observatory.errors import UnusableInputError
from observatory.frame import DateSource, Frame

BoolArray = NDArray[np.bool_]

#: Side on which masks and outlines are compared, of the analysis grid's field.
DRAWN_SIDE = 1024


@dataclass(frozen=True)
class Segmented:
    """One picture and what the model says of it.

    Attributes
    ----------
    path : Path
    frame : Frame
    date_obs : datetime or None
    found : Segmentation
    is_trained_on : bool or None
        Whether the picture trained the network; None where the manifest does not tell.
    """

    path: Path
    frame: Frame
    date_obs: datetime | None
    found: Segmentation
    is_trained_on: bool | None


def is_asked(options: EvaluateOptions, date_obs: datetime | None) -> bool:
    """Whether a picture lies between `since` and `until`; one of unknown time does not."""
    if not options.since and not options.until:
        return True
    if date_obs is None:
        return False
    since = _time(options.since) if options.since else datetime.min.replace(tzinfo=UTC)
    until = _time(options.until) if options.until else datetime.max.replace(tzinfo=UTC)
    return since <= date_obs < until


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnusableInputError(f"{text!r} is no time: give ISO 8601, such as 2015-03-01") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def segment(
    options: EvaluateOptions, model: AiaSegmentation, kind: EventType, path: Path
) -> Segmented | None:
    """None for a picture of another time than asked for."""
    date_obs = time_in_name(path.name)
    if date_obs is not None and not is_asked(options, date_obs):
        return None
    frame = data.read_frame(path, options.instrument)
    if frame.date_obs is not None and frame.date_obs_source is not DateSource.FILE_TIME:
        date_obs = frame.date_obs  # a copy's file time is any day's
    if not is_asked(options, date_obs):
        return None
    for found in model.analyse(frame):
        if found.event_type is kind:
            names = training_pictures(options.family)
            return Segmented(
                path, frame, date_obs, found, None if names is None else data.stem_of(path) in names
            )
    raise UnusableInputError(
        f"{path.name} is {frame.instrument}: {kind} is not looked for there; "
        "name the instrument (--instrument aia-193) if the file's name misleads"
    )


def model_mask(one: Segmented, shape: tuple[int, int], threshold: Threshold) -> BoolArray:
    """The model's mask as it is delivered, at any size of the picture's aspect."""
    painted = regions.mask(one.found, shape, threshold, frame_shape=(one.frame.height, one.frame.width))
    return np.asarray(painted > 0)


def disk_mask(one: Segmented, threshold: Threshold) -> BoolArray:
    """The mask on the analysis grid's field, its rows as the frame's."""
    whole = model_mask(one, (one.frame.height, one.frame.width), threshold)
    x0, y0, x1, y1 = one.found.extent_px
    scale_x, scale_y = (x1 - x0) / DRAWN_SIDE, (y1 - y0) / DRAWN_SIDE
    matrix = np.array([[scale_x, 0, x0 + scale_x / 2], [0, scale_y, y0 + scale_y / 2]])
    moved = cv2.warpAffine(
        whole.astype(np.uint8),
        matrix,
        (DRAWN_SIDE, DRAWN_SIDE),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    return np.asarray(moved > 0)


def trained_share(flags: Sequence[bool | None]) -> dict[str, int] | None:
    """How many of some pictures trained the network; None where that is not known."""
    known = [flag for flag in flags if flag is not None]
    return {"trained": sum(known), "pictures": len(known)} if len(known) == len(flags) else None
