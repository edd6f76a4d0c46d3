"""Which hand-drawn boxes and sunspots the regions of a model hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation import data
from models.aia_segmentation.annotations import Outline, draw, read_boxes, time_in_name
from models.aia_segmentation.inference import AiaSegmentation
from models.aia_segmentation.options import EvaluateOptions
from models.aia_segmentation.preparation import HALF_WIDTH_RADII
from models.aia_segmentation.segmented import (
    DRAWN_SIDE,
    Segmented,
    disk_mask,
    is_asked,
    segment,
    trained_share,
)
from observatory import regions
from observatory.analysis import EventType, Threshold
from observatory.errors import UnusableInputError
from observatory.sun import fit_limb, single_plane

BoolArray = NDArray[np.bool_]

_SPOT_REACH_RADII = 0.03  # a spot lies in a region that begins so near
_SPOT_RADII = 0.96  # nearer to the limb nothing can be told
_SPOT_HOURS = 7.0  # between the continuum picture and the other


def hit_boxes(
    options: EvaluateOptions, model: AiaSegmentation, kind: EventType, threshold: Threshold
) -> dict[str, Any]:
    """Share of hand-drawn boxes that hold at least half of the area of some region."""
    assert options.images is not None and options.boxes is not None
    drawn = hit = inside_any = total = 0
    trained: list[bool | None] = []
    missed: list[str] = []
    for path in data.find_pictures(options.images):
        label = options.boxes / f"{data.stem_of(path)}.xml"
        if not label.exists():
            continue
        one = segment(options, model, kind, path)
        if one is None:
            continue
        trained.append(one.is_trained_on)
        painted = _painted_regions(one, kind, threshold)
        within = [False] * len(painted)
        for box in read_boxes(label):
            rows = slice(max(0, round(box.y0_px + 0.5)), round(box.y1_px + 0.5))
            columns = slice(max(0, round(box.x0_px + 0.5)), round(box.x1_px + 0.5))
            shares = [region[rows, columns].sum() / max(region.sum(), 1) for region in painted]
            within = [was or share >= 0.5 for was, share in zip(within, shares, strict=True)]
            drawn += 1
            if any(share >= 0.5 for share in shares):
                hit += 1
            else:
                missed.append(data.stem_of(path))
        inside_any += int(sum(within))
        total += len(within)
    if not drawn:
        raise UnusableInputError(
            f"no picture in {options.images} has a VOC XML of its name in {options.boxes}"
        )
    return {
        "pictures": len(trained),
        "trained_on": trained_share(trained),
        "boxes": drawn,
        "hit": hit,
        "hit_rate": hit / drawn,
        "regions": total,
        "regions_in_a_box": inside_any,
        "missed_in": sorted(set(missed)),
    }


def _painted_regions(one: Segmented, kind: EventType, threshold: Threshold) -> list[BoolArray]:
    found = regions.find_regions(
        one.found.probability,
        one.found.extent_px,
        one.found.thresholds[threshold],
        kind,
        one.frame,
        np.zeros((one.frame.height, one.frame.width), np.float32),
        one.found.pointing,
    )
    painted = []
    for region in found:
        plane = np.zeros((one.frame.height, one.frame.width), np.uint8)
        cv2.fillPoly(plane, [np.round(ring).astype(np.int32) for ring in region.rings_px], 1)
        painted.append(plane > 0)
    return painted


def hit_spots(options: EvaluateOptions, model: AiaSegmentation, threshold: Threshold) -> dict[str, Any]:
    """Share of sunspot boxes, drawn on continuum pictures within 7 hours, that lie in an active region."""
    assert options.images is not None and options.spots is not None
    spots = list(_spot_outlines(options.spots))
    marked = hit = 0
    trained: list[bool | None] = []
    for path in data.find_pictures(options.images):
        date_obs = time_in_name(path.name)
        if date_obs is None or not is_asked(options, date_obs):
            continue
        near = data.outlines_near(spots, date_obs, EventType.ACTIVE_REGION, within_hours=_SPOT_HOURS)
        if not near:
            continue
        one = segment(options, model, EventType.ACTIVE_REGION, path)
        if one is None:
            continue
        trained.append(one.is_trained_on)
        reach = round(_SPOT_REACH_RADII * DRAWN_SIDE / (2 * HALF_WIDTH_RADII))
        ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        wide = cv2.dilate(disk_mask(one, threshold).astype(np.uint8), ball)
        for spot in near:
            centre = spot.points.mean(axis=0)
            if np.hypot(*centre) > _SPOT_RADII:
                continue
            marked += 1
            covered = draw([spot], DRAWN_SIDE, row_order=one.frame.row_order) > 0.5
            hit += int((wide[covered] > 0).mean() >= 0.5) if covered.any() else 0
    if not marked:
        raise UnusableInputError(
            f"no spot of {options.spots} lies within {_SPOT_HOURS:g} hours of a picture in {options.images} "
            "(names tell the times, as in 20110301_120030)"
        )
    return {
        "pictures": len(trained),
        "trained_on": trained_share(trained),
        "spots": marked,
        "in_a_region": hit,
        "share": hit / marked,
    }


def _spot_outlines(folder: Path) -> Iterator[Outline]:
    """Boxes of continuum pictures as outlines on the disk; the disk by its limb."""
    for label in sorted(folder.glob("*.xml")):
        picture, date_obs = label.with_suffix(".jpg"), time_in_name(label.name)
        pixels = cv2.imread(str(picture)) if picture.exists() else None
        fit = fit_limb(single_plane(pixels)) if pixels is not None else None
        if fit is None or date_obs is None:
            continue
        for number, box in enumerate(read_boxes(label)):
            corners = np.array(
                [
                    [box.x0_px, box.y0_px],
                    [box.x1_px, box.y0_px],
                    [box.x1_px, box.y1_px],
                    [box.x0_px, box.y1_px],
                ]
            )
            offset = (corners - (fit.center_x_px, fit.center_y_px)) / fit.radius_px * (1, -1)
            yield Outline(EventType.ACTIVE_REGION, date_obs, offset, f"{label.stem}/{number}", "spot box")
