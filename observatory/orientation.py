"""How a frame's pixels lie in its preview: what outlines need to be laid over the picture exactly."""

from __future__ import annotations

import math

from observatory.frame import Frame, RowOrder
from observatory.sky_view import picture_axes

PreviewAffine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): u = a x + b y + c to the right, v = d x + e y + f downwards."""

_Row = tuple[float, float, float]

LEAST_ROLL_DEG = 0.2  # less is not worth turning: less than a pixel at the limb of a preview


_WHOLE_DISK = 1.1  # diameters of the frame's longer side: larger disks are seen in part, by cut-outs


def turning_point(frame: Frame) -> tuple[float, float]:
    """Pixel (x, y) about which a frame is turned to have north up.

    The disk's centre, which then stays where it is; of a cut-out the middle, or the turn would carry the
    picture out of itself.
    """
    middle = (frame.width - 1) / 2, (frame.height - 1) / 2
    disk = frame.pointing
    if disk is None or 2 * disk.radius_px > _WHOLE_DISK * max(frame.width, frame.height):
        return middle
    x, y = disk.center_x_px, disk.center_y_px
    is_inside = 0 <= x < frame.width and 0 <= y < frame.height
    return (x, y) if is_inside else middle


def preview_affine(frame: Frame) -> PreviewAffine:
    """Where a pixel of the frame lies in its preview, as shares of the preview's width and height.

    Previews show solar north up when the pointing tells where it is, all-sky frames north up and east left
    when their camera's azimuths are known, else the frame as its file has it, FITS rows upwards. The shares
    count from the picture's top left corner, 0 to 1, edge to edge, and hold for a preview of
    any size.

    Returns
    -------
    PreviewAffine
        For 0-based pixel coordinates (x, y) of the frame, centres at integers, rows as in the file.
    """
    width, height = frame.width, frame.height
    if (sky := sky_affine(frame)) is not None:
        (a, b, c), (d, e, f) = sky
        return (a / width, b / width, (c + 0.5) / width, d / height, e / height, (f + 0.5) / height)
    if frame.row_order is RowOrder.TOP:
        return (1 / width, 0.0, 0.5 / width, 0.0, 1 / height, 0.5 / height)
    pointing = frame.pointing
    roll_deg = pointing.roll_deg if pointing else None
    if pointing is None or roll_deg is None or abs(roll_deg) < LEAST_ROLL_DEG:
        return (1 / width, 0.0, 0.5 / width, 0.0, -1 / height, (height - 0.5) / height)
    # CROTA2: north lies this far clockwise from up, so the picture is turned counter-clockwise.
    cos, sin = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    centre_x, centre_y = turning_point(frame)
    return (
        cos / width,
        -sin / width,
        (centre_x + 0.5 - cos * centre_x + sin * centre_y) / width,
        -sin / height,
        -cos / height,
        (height - 0.5 - centre_y + sin * centre_x + cos * centre_y) / height,
    )


def sky_affine(frame: Frame, scale: float = 1.0) -> tuple[_Row, _Row] | None:
    """Where a pixel of an oriented all-sky frame lies in its picture; the zenith stays where it is.

    Parameters
    ----------
    scale : float
        Size of the picture over that of the frame, for both.

    Returns
    -------
    tuple of two rows (a, b, c), or None
        u = a x + b y + c to the right, then v downwards, in 0-based pixels; None where the camera's
        azimuths are not known.
    """
    axes = picture_axes(frame)
    if axes is None or frame.fisheye is None:
        return None
    x = (frame.fisheye.center_x_px + 0.5) * scale - 0.5
    y = (frame.fisheye.center_y_px + 0.5) * scale - 0.5
    (a, b), (d, e) = axes.tolist()
    return (a, b, x - a * x - b * y), (d, e, y - d * x - e * y)
