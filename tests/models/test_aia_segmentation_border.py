"""The second look moves the borders of holes to where masks have them, and touches nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.aia_segmentation.border import FEATURES, Border, features, fit, logit_of
from models.aia_segmentation.comparison import Overlap
from models.aia_segmentation.preparation import analysis_grid
from models.registry import load

SIDE = 128


def case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A smooth network's map, brightness, a mask that follows the brightness, and the disk."""
    random = np.random.default_rng(seed)
    coarse = cv2.GaussianBlur(random.normal(size=(SIDE, SIDE)), (0, 0), 9)
    fine = cv2.GaussianBlur(random.normal(size=(SIDE, SIDE)), (0, 0), 1.2)
    value = (coarse / coarse.std() + 0.5 * fine / fine.std()).astype(np.float32) / 2
    mask = (value < -0.35).astype(np.float32)
    smooth = cv2.GaussianBlur(mask, (0, 0), 3.0)
    disk = (analysis_grid(SIDE).radius < 0.95).astype(np.float32)
    return 1 / (1 + np.exp(-8 * (smooth - 0.5))), value, mask, disk


def dice(found: np.ndarray, mask: np.ndarray, disk: np.ndarray) -> float:
    return Overlap.of((found >= 0.5) & (disk > 0), (mask > 0) & (disk > 0)).dice


def test_borders_of_unseen_pictures_come_nearer_to_their_masks() -> None:
    border = fit([case(seed) for seed in range(3)])
    assert border is not None
    probability, value, mask, disk = case(9)
    assert dice(border.refined(probability, value), mask, disk) > dice(probability, mask, disk) + 0.03


def test_where_the_network_is_sure_its_word_stands() -> None:
    border = fit([case(0)])
    assert border is not None
    probability, value, _, _ = case(1)
    probability[:40], probability[-40:] = 1e-4, 1.0
    found = border.refined(probability, value)
    assert np.array_equal(found[:40], probability[:40].astype(np.float32))
    assert np.array_equal(found[-40:], probability[-40:].astype(np.float32))
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1


def test_too_few_labelled_cells_fit_nothing() -> None:
    probability, value, mask, disk = case(0)
    assert fit([]) is None
    assert fit([(probability, value, mask, np.zeros_like(disk))]) is None


def test_the_same_masks_fit_the_same_border_and_it_is_kept_whole() -> None:
    border = fit([case(2)])
    assert border is not None and border == fit([case(2)])
    assert Border.from_dict(border.to_dict()) == border


def test_lengths_do_not_depend_on_the_grid() -> None:
    probability, value, _, _ = case(3)
    small = features(logit_of(probability), value)
    twice = (2 * SIDE, 2 * SIDE)
    large = features(
        cv2.resize(logit_of(probability), twice, interpolation=cv2.INTER_CUBIC),
        cv2.resize(value, twice, interpolation=cv2.INTER_CUBIC),
    )
    for name in ("brightness_6", "logit_5", "mu"):
        shrunk = cv2.resize(large[name], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk - small[name])[8:-8, 8:-8].mean() < 0.05


def test_the_shipped_network_has_one() -> None:
    stated = load("aia_segmentation").parameters["border"]
    assert set(stated) == {"bias", *FEATURES}
    with pytest.raises(KeyError):
        Border.from_dict({"bias": 0.0})
