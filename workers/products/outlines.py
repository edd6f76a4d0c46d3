"""Outlines of regions drawn into a picture of their frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.analysis import EventType, Region, Segmentation
from observatory.frame import Frame
from observatory.orientation import PreviewAffine, preview_affine

Bytes8 = NDArray[np.uint8]

#: Told apart by colour-blind eyes (Okabe & Ito 2008, "Color universal design"), and by their letters.
COLOURS: Mapping[EventType, tuple[int, int, int]] = {
    EventType.CORONAL_HOLE: (86, 180, 233),
    EventType.ACTIVE_REGION: (240, 228, 66),
}
_HALO = (0, 0, 0)
_SUBPIXEL_BITS = 4  # OpenCV draws to a sixteenth of a pixel
_LABELLED = 6  # largest regions of a kind that get a label
_REFERENCE_SIDE_PX = 1024  # lines and letters grow with the picture


def draw_outlines(picture: Bytes8, frame: Frame, segmentations: Sequence[Segmentation]) -> Bytes8:
    """Lay the outlines of all regions over a picture of the frame.

    Parameters
    ----------
    picture : ndarray, shape (height, width) or (height, width, 3)
        The frame as its preview shows it, of any size.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        Red, green, blue; a new array.
    """
    drawn = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) if picture.ndim == 2 else picture.copy()
    affine = preview_affine(frame)
    for segmentation in segmentations:
        for number, region in enumerate(segmentation.regions):
            _outline(drawn, region, affine)
            if number < _LABELLED:
                _label(drawn, region, affine, f"{region.event_type.value}{number + 1}")
    return np.asarray(drawn, np.uint8)


def on_picture(points: np.ndarray, affine: PreviewAffine, width: int, height: int) -> np.ndarray:
    """Place frame pixels (n, 2) in a picture of a size: pixels (n, 2), centres at integers, downwards."""
    a, b, c, d, e, f = affine
    x, y = points[:, 0], points[:, 1]
    return np.column_stack([(a * x + b * y + c) * width - 0.5, (d * x + e * y + f) * height - 0.5])


def _outline(drawn: np.ndarray, region: Region, affine: PreviewAffine) -> None:
    height, width = drawn.shape[:2]
    thickness = max(1, round(1.5 * max(width, height) / _REFERENCE_SIDE_PX))
    rings = [
        np.round(on_picture(ring, affine, width, height) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        for ring in region.rings_px
    ]
    for colour, more in ((_HALO, 2), (COLOURS[region.event_type], 0)):
        cv2.polylines(drawn, rings, True, colour, thickness + more, cv2.LINE_AA, _SUBPIXEL_BITS)


def _label(drawn: np.ndarray, region: Region, affine: PreviewAffine, text: str) -> None:
    height, width = drawn.shape[:2]
    size = max(width, height) / _REFERENCE_SIDE_PX * 0.55
    place = on_picture(np.array([region.centroid_px]), affine, width, height)[0]
    origin = (int(place[0] - 18 * size), int(place[1] + 8 * size))
    for colour, thickness in ((_HALO, 3), (COLOURS[region.event_type], 1)):
        thick = max(1, round(thickness * size / 0.55))
        cv2.putText(drawn, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)
