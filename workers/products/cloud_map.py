"""Where an all-sky frame shows cloud: a translucent picture that fits the frame's preview."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aurora.inference import Look
from observatory.fisheye import Fisheye
from observatory.frame import Frame
from workers.products.preview import Picture, orient, png

_SIDE_PX = 256
_TINT = (90, 170, 255)  # blue as on weather maps, told apart from aurora by colour-blind eyes too
_FULL_ALPHA = 150
_LEAST_SHOWN = 0.2


def cloud_overlay(frame: Frame, look: Look, circle: Fisheye | None) -> Picture | None:
    """Encode the probability of cloud as a PNG, more opaque where it is higher; None where there is none.

    Parameters
    ----------
    frame : Frame
        That was analysed, at whatever size.
    circle : Fisheye or None
        Where the sky lies in it.
    """
    if look.cloud is None or circle is None:
        return None
    probability = np.nan_to_num(look.cloud, nan=0.0).astype(np.float32)
    longest = max(frame.height, frame.width)
    scale = _SIDE_PX / longest
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    laid = orient(frame, _on_frame(probability, frame, circle, size))
    strength = np.clip((laid - _LEAST_SHOWN) / (1.0 - _LEAST_SHOWN), 0.0, 1.0)
    if not strength.any():
        return None
    tinted = np.empty((*laid.shape, 4), np.uint8)
    tinted[..., :3] = _TINT
    tinted[..., 3] = np.rint(strength * _FULL_ALPHA)
    return Picture("cloud-map", "image/png", ".png", png(tinted), laid.shape[1], laid.shape[0])


def _on_frame(
    box: NDArray[np.float32], frame: Frame, circle: Fisheye, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Lay a map of the box around the circle on a small picture of the frame."""
    rows, columns = box.shape
    scale_x, scale_y = size[0] / frame.width, size[1] / frame.height
    step_x = 2.0 * circle.radius_px / columns * scale_x
    step_y = 2.0 * circle.radius_px * circle.aspect / rows * scale_y
    start_x = (circle.center_x_px + 0.5 - circle.radius_px) * scale_x + step_x / 2 - 0.5
    start_y = (circle.center_y_px + 0.5 - circle.radius_px * circle.aspect) * scale_y + step_y / 2 - 0.5
    to_picture = np.array([[step_x, 0.0, start_x], [0.0, step_y, start_y]])
    return np.asarray(cv2.warpAffine(box, to_picture, size, flags=cv2.INTER_LINEAR), np.float32)
