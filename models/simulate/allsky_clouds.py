"""Simulated cloud: how much light it stops, and what lights it."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models.simulate.allsky_scene import Deck, View, noise

FloatArray = NDArray[np.float32]


def optical_depth(deck: Deck, view: View) -> tuple[FloatArray, FloatArray]:
    """Optical depth of a deck along every line of sight, and how light its underside is (about 0)."""
    east, north = view.ground_km(deck.height_km)
    turn = np.radians(deck.turn_deg)
    where = {"turn": float(turn), "offset_km": deck.offset_km}
    coarse = noise(east, north, deck.seed, deck.scale_km, 33, stretch=deck.stretch, **where)  # type: ignore[arg-type]
    fine = noise(east, north, deck.seed + 1, 0.23 * deck.scale_km, 28, stretch=deck.stretch, **where)  # type: ignore[arg-type]
    texture = 0.9 * coarse + 0.35 * fine
    side = np.zeros_like(texture)
    if deck.lean > 0:
        towards = np.radians(deck.lean_deg)
        side = np.float32(deck.lean) * (
            view.east * np.float32(np.sin(towards)) + view.north * np.float32(np.cos(towards))
        )
    if deck.cover >= 0.995:
        thickness = np.clip(1.0 + np.float32(0.7 * deck.relief) * texture + side, 0.0, 2.0)
    else:
        level = -NormalDist().inv_cdf(min(max(deck.cover, 0.004), 0.99))
        thickness = np.clip(
            (texture + 2.0 * side - np.float32(level)) / np.float32(0.15 + 1.6 * deck.softness), 0.0, 1.5
        )
    # Seen slantwise a deck is thicker, but its sides and gaps hide each other: less than the air mass.
    depth = thickness * np.float32(deck.depth) * np.sqrt(np.minimum(view.airmass, 12.0))
    return np.asarray(depth, np.float32), np.float32(deck.relief) * texture
