"""Which disk a mask shows: its picture's, or that of the frame the picture was made from.

A mask of the same aspect usually fits its picture pixel by pixel. But some archives scale every
picture to one disk size, while masks were made from the frames themselves, whose disk breathes by
3 % through the year and need not lie in the middle: laid over each other pixel by pixel, the two are
up to 10 pixels of 1024 apart at the limb. Masks end at the limb, so a folder of masks itself says
which of the two it shows, and where its disk's centre is; it is then compared where the Sun is, not
where the pixels are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory import euv
from observatory.errors import UnusableInputError
from observatory.euv.disk import standard_pointing
from observatory.frame import Frame, Pointing
from observatory.regions import check_same_aspect
from observatory.sun import disk_radius_map

_BEYOND = 1.002  # of the radius: the disk's edge is known to a pixel or so
_CLEARLY_BEYOND = 0.004  # share of the masks' area that cannot be drawing error
_EVIDENCE_SIDE = 1024
_ARC_HEIGHT = 0.012  # radii from the limb: edges that may be the limb's
_LEAST_ARC = 400


class Registration(StrEnum):
    """How a mask is laid on its picture."""

    AUTO = "auto"
    PICTURE = "picture"  # pixel by pixel
    FRAME = "frame"  # by the plate scale of the frames of its archive


@dataclass(frozen=True)
class Placement:
    """How the masks of a folder lie on their pictures.

    Attributes
    ----------
    registration : Registration
        `PICTURE` or `FRAME`.
    offset_radii : tuple (x, y)
        Where the disk's centre lies from the middle of the frame, for `FRAME`.
    """

    registration: Registration = Registration.PICTURE
    offset_radii: tuple[float, float] = (0.0, 0.0)

    def to_dict(self) -> dict[str, object]:
        """For printing."""
        return {"registration": str(self.registration), "offset_radii": list(self.offset_radii)}


@dataclass(frozen=True)
class Evidence:
    """What one mask says of its disk.

    Attributes
    ----------
    area, beyond_picture, beyond_frame : float
        Of the mask, and of what lies beyond the limb of either disk, in cells.
    arc : ndarray (n, 2)
        Angle in radians and height in radii of the mask's edge near the frame's limb.
    """

    area: float
    beyond_picture: float
    beyond_frame: float
    arc: NDArray[np.floating]


def scaled_pointing(pointing: Pointing, factor: float) -> Pointing:
    """The same disk in a picture that is `factor` times as large."""
    return replace(
        pointing,
        center_x_px=(pointing.center_x_px + 0.5) * factor - 0.5,
        center_y_px=(pointing.center_y_px + 0.5) * factor - 0.5,
        radius_px=pointing.radius_px * factor,
    )


def size_factor(mask: NDArray[np.generic], frame: Frame, name: str) -> float:
    """How many times larger the mask is than the picture.

    Raises
    ------
    UnusableInputError
        When it has another aspect, so shows another field.
    """
    try:
        check_same_aspect(mask.shape, (frame.height, frame.width), f"mask {name}")
    except UnusableInputError as error:
        raise UnusableInputError(
            f"{error}; a mask shows the same field as its picture, at any size"
        ) from error
    return mask.shape[1] / frame.width


def disk_of_mask(how: Placement, frame: Frame, pointing: Pointing, factor: float) -> Pointing:
    """The disk in the mask's pixels; `pointing` is the picture's own."""
    if how.registration is not Registration.FRAME or frame.pointing is not None:
        return scaled_pointing(pointing, factor)
    disk = scaled_pointing(standard_pointing(frame), factor)
    x, y = (offset * disk.radius_px for offset in how.offset_radii)
    return replace(disk, center_x_px=disk.center_x_px + x, center_y_px=disk.center_y_px + y)


def evidence_of(mask: NDArray[np.uint8], frame: Frame, pointing: Pointing, factor: float) -> Evidence:
    """What one mask, 0 or 255, says of its disk."""
    shrink = _EVIDENCE_SIDE / mask.shape[1]
    small = cv2.resize(mask, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) > 127
    shown = disk_of_mask(Placement(), frame, pointing, factor * shrink)
    disk = disk_of_mask(Placement(Registration.FRAME), frame, pointing, factor * shrink)
    outside = [float((small & (_radius_map(small, one) > _BEYOND)).sum()) for one in (shown, disk)]
    lines, _ = cv2.findContours(small.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate([line[:, 0] for line in lines]) if lines else np.zeros((0, 2))
    x, y = (points - (disk.center_x_px, disk.center_y_px)).T / disk.radius_px
    height = np.hypot(x, y) - 1
    near = np.abs(height) < _ARC_HEIGHT
    arc = np.stack([np.arctan2(y, x), height], axis=1)[near]
    return Evidence(float(small.sum()), outside[0], outside[1], arc)


def _radius_map(mask: NDArray[np.bool_], disk: Pointing) -> NDArray[np.floating]:
    height, width = mask.shape
    return disk_radius_map(height, width, disk.center_x_px, disk.center_y_px, disk.radius_px)


def decide(evidence: Iterable[Evidence]) -> Placement:
    """What a folder of masks shows: its pictures' disks unless the limb clearly says otherwise."""
    found = list(evidence)
    area = sum(one.area for one in found)
    picture, frame = sum(one.beyond_picture for one in found), sum(one.beyond_frame for one in found)
    if picture > _CLEARLY_BEYOND * area and frame < 0.25 * picture:
        return Placement(Registration.FRAME, centre_offset(np.concatenate([one.arc for one in found])))
    return Placement()


def centre_offset(arc: NDArray[np.floating]) -> tuple[float, float]:
    """Centre (x, y) in radii of the circle that the masks' edges at the limb lie on; zero when few do.

    Least absolute deviations, for most edges near the limb are not the limb's.
    """
    if len(arc) < _LEAST_ARC:
        return 0.0, 0.0
    angle, height = arc.T
    terms = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=1)
    weight = np.ones_like(height)
    fit = np.zeros(3)
    for _ in range(20):
        fit = np.linalg.lstsq(terms * weight[:, None], height * weight, rcond=None)[0]
        weight = 1 / np.sqrt(np.maximum(np.abs(height - terms @ fit), 5e-4))
    x, y = (float(np.clip(part, -_ARC_HEIGHT, _ARC_HEIGHT)) for part in fit[:2])
    return round(x, 5), round(y, 5)


def placed(asked: Registration, cases: Iterable[tuple[Frame, Pointing, NDArray[np.uint8], str]]) -> Placement:
    """How the masks lie: pixel by pixel where `PICTURE` is asked for, else as they themselves say."""
    if asked is Registration.PICTURE:
        return Placement()
    found = [
        evidence_of(mask, frame, pointing, size_factor(mask, frame, name))
        for frame, pointing, mask, name in cases
    ]
    if asked is Registration.FRAME:
        return Placement(Registration.FRAME, centre_offset(np.concatenate([one.arc for one in found])))
    return decide(found)


def disk_in(frame: Frame) -> Pointing:
    """The disk of a frame; see `euv.disk_of`."""
    return euv.disk_of(frame, euv.monochrome(frame))
