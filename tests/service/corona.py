"""Coronal holes and active regions at given places on the Sun, as a network would find them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

import cv2
import numpy as np

from observatory.analysis import EventType, ModelIdentity, Threshold
from observatory.coordinates import SunView, hpc_to_stonyhurst, pixel_to_hpc, to_carrington
from observatory.frame import Frame, Pointing, RowOrder
from observatory.orientation import preview_affine
from observatory.regions import segmentation
from observatory.storage.regions import NewSegmentation

NETWORK = ModelIdentity("aia-segmentation", "1.0.0", "cd" * 32, {"side": 512})
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CH, AR = EventType.CORONAL_HOLE, EventType.ACTIVE_REGION
THRESHOLDS = {Threshold.CONSERVATIVE: 0.7, Threshold.MEDIUM: 0.5, Threshold.LIBERAL: 0.3}


@dataclass(frozen=True)
class Spot:
    """A round region: Carrington longitude, latitude and radius."""

    longitude_deg: float
    latitude_deg: float
    radius_deg: float = 10.0


def central(latitude_deg: float = 0.0, radius_deg: float = 10.0, west_deg: float = 0.0) -> Spot:
    """A spot near the middle of the disk at noon."""
    return Spot((SunView(NOON).l0_deg + west_deg) % 360, latitude_deg, radius_deg)


@cache
def picture(
    size_px: int = 128, row_order: RowOrder = RowOrder.BOTTOM, roll_deg: float | None = 0.0, height: int = 0
) -> Frame:
    """A frame without anything on it: only where the disk lies matters here."""
    height = height or size_px
    pointing = Pointing(size_px / 2 - 0.5, height / 2 - 0.5, 0.43 * min(size_px, height), roll_deg=roll_deg)
    pixels = np.zeros((height, size_px), np.uint8)
    return Frame(pixels, "aia-193", row_order, pointing=pointing)


def likelihood(frame: Frame, spots: Sequence[Spot], at: datetime) -> np.ndarray:
    """Probability of every pixel to lie in one of the spots; rows as the frame's."""
    assert frame.pointing is not None
    y, x = np.mgrid[: frame.height, : frame.width].astype(float)
    view = SunView(at)
    pointing = replace(frame.pointing, roll_deg=frame.pointing.roll_deg or 0.0)
    tx, ty = pixel_to_hpc(x, y, pointing, frame.row_order)
    longitude, latitude = hpc_to_stonyhurst(tx, ty, view.b0_deg, frame.pointing.rsun_arcsec)
    longitude, latitude = np.radians(to_carrington(longitude, view.l0_deg)), np.radians(latitude)
    best = np.zeros(x.shape)
    for spot in spots:
        centre = np.radians([spot.longitude_deg, spot.latitude_deg])
        cosine = np.sin(latitude) * np.sin(centre[1]) + np.cos(latitude) * np.cos(centre[1]) * np.cos(
            longitude - centre[0]
        )
        distance = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        best = np.maximum(best, np.nan_to_num(1 / (1 + np.exp((distance - spot.radius_deg) * 2))))
    return best.astype(np.float32)


def found(
    event_type: EventType,
    spots: tuple[Spot, ...],
    at: datetime = NOON,
    model_sha256: str = NETWORK.sha256,
    frame: Frame | None = None,
) -> NewSegmentation:
    """What a network finds where the spots are."""
    return (
        _found_by_default(event_type, spots, at, model_sha256)
        if frame is None
        else _found(event_type, spots, at, model_sha256, frame)
    )


@cache
def _found_by_default(
    event_type: EventType, spots: tuple[Spot, ...], at: datetime, model_sha256: str
) -> NewSegmentation:
    return _found(event_type, spots, at, model_sha256, picture())


def _found(
    event_type: EventType, spots: tuple[Spot, ...], at: datetime, model_sha256: str, frame: Frame
) -> NewSegmentation:
    model = ModelIdentity(NETWORK.name, NETWORK.version, model_sha256, NETWORK.parameters)
    side = min(frame.width, frame.height)
    x0, y0 = (frame.width - side) // 2, (frame.height - side) // 2
    extent = (x0 - 0.5, y0 - 0.5, x0 + side - 0.5, y0 + side - 0.5)
    dated = Frame(frame.pixels, frame.instrument, frame.row_order, date_obs=at, pointing=frame.pointing)
    probability = likelihood(dated, spots, at)[y0 : y0 + side, x0 : x0 + side]
    seen = segmentation(probability, extent, THRESHOLDS, event_type, model, dated, None, dated.pointing)
    return NewSegmentation(seen, preview_affine(dated))


def face(frame: Frame, found_there: Mapping[EventType, Sequence[Spot]], at: datetime = NOON) -> np.ndarray:
    """The Sun as a picture of the frame's size and row order: holes dark, active regions bright."""
    assert frame.pointing is not None
    y, x = np.mgrid[: frame.height, : frame.width]
    radius = np.hypot(x - frame.pointing.center_x_px, y - frame.pointing.center_y_px)
    level = np.where(radius < frame.pointing.radius_px, 120.0, 20.0)
    level -= 90 * likelihood(frame, found_there.get(CH, ()), at)
    level += 110 * likelihood(frame, found_there.get(AR, ()), at)
    return np.asarray(cv2.GaussianBlur(np.clip(level, 0, 255).astype(np.uint8), (3, 3), 0))
