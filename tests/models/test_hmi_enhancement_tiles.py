from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.hmi_enhancement.tiles import Tiling, enhance_tiled
from tests.models.hmi_stand_in import linear_filters

FILTERS = linear_filters(sharpening=0.8).astype(np.float32)
HALO = 3


def linear(tiles: np.ndarray) -> np.ndarray:
    """The stand-in network in numpy; beyond a tile's edge it sees zeros, as no honest network does."""
    padded = np.pad(tiles[:, 0], ((0, 0), (HALO, HALO), (HALO, HALO)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
    phases = np.einsum("nhwyx,pyx->nphw", windows, FILTERS)
    count, _, height, width = phases.shape
    fine = phases.reshape(count, 2, 2, height, width).transpose(0, 3, 1, 4, 2)
    return fine.reshape(count, 1, 2 * height, 2 * width).astype(np.float32)


def whole(image: np.ndarray) -> np.ndarray:
    """The same without tiles, the picture mirrored at its edges."""
    mirrored = np.pad(image, HALO, mode="reflect")
    return linear(mirrored[None, None])[0, 0, 2 * HALO : -2 * HALO, 2 * HALO : -2 * HALO]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (1 + 0.05 * random.standard_normal((height, width))).astype(np.float32)


@settings(max_examples=40)
@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    tile=st.sampled_from((16, 24, 40, 64)),
    align=st.sampled_from((1, 2, 4)),
    batch=st.integers(1, 5),
)
def test_tiles_of_any_size_give_what_the_whole_picture_gives(
    height: int, width: int, tile: int, align: int, batch: int
) -> None:
    image = picture(height, width)
    tiling = Tiling(tile_px=tile, halo_px=HALO, multiple=align, batch=batch)
    np.testing.assert_allclose(enhance_tiled(image, linear, tiling), whole(image), atol=1e-5)


@pytest.mark.parametrize("shift", [(0, 0), (3, 11), (17, 2), (40, 40)])
def test_moving_the_grid_changes_nothing(shift: tuple[int, int]) -> None:
    image = picture(131, 97)
    tiling = Tiling(tile_px=40, halo_px=HALO, multiple=1, shift_px=shift)
    np.testing.assert_allclose(enhance_tiled(image, linear, tiling), whole(image), atol=1e-5)


def test_a_network_that_disagrees_with_itself_at_tiles_leaves_no_step() -> None:
    """Neighbours of different brightness are blended: no two pixels differ by the whole of it."""
    calls = iter(range(1000))

    def of_two_minds(tiles: np.ndarray) -> np.ndarray:
        shape = (len(tiles), 1, 2 * tiles.shape[2], 2 * tiles.shape[3])
        return np.full(shape, next(calls) % 2, np.float32)

    made = enhance_tiled(picture(20, 200), of_two_minds, Tiling(tile_px=40, halo_px=HALO))
    assert made.min() == 0 and made.max() == 1
    assert np.abs(np.diff(made, axis=1)).max() < 0.3


def test_all_tiles_have_one_shape_and_batches_are_full() -> None:
    shapes = set()

    def noting(tiles: np.ndarray) -> np.ndarray:
        shapes.add(tiles.shape)
        return linear(tiles)

    enhance_tiled(picture(123, 77), noting, Tiling(tile_px=48, halo_px=HALO, batch=4))
    assert len(shapes) == 1
    assert next(iter(shapes))[0] == 4


def test_tiles_without_data_are_not_run_and_stay_quiet() -> None:
    wanted = np.zeros((200, 200), bool)
    wanted[:40, :40] = True
    ran = []

    def counting(tiles: np.ndarray) -> np.ndarray:
        ran.append(len(tiles))
        return linear(tiles)

    made = enhance_tiled(
        picture(200, 200), counting, Tiling(tile_px=48, halo_px=HALO), is_wanted=wanted, fill=1.0
    )
    assert sum(ran) <= 4
    np.testing.assert_allclose(made[150:, 150:], 1, rtol=1e-6)
    np.testing.assert_allclose(made[:80, :80], whole(picture(200, 200))[:80, :80], atol=1e-5)


def test_threads_give_the_same_and_run_beside_each_other() -> None:
    image = picture(150, 150)
    both = threading.Barrier(2, timeout=10)
    met = threading.Event()

    def meeting(tiles: np.ndarray) -> np.ndarray:
        if not met.is_set():
            both.wait()
            met.set()
        return linear(tiles)

    made = enhance_tiled(image, meeting, Tiling(tile_px=48, halo_px=HALO, threads=2))
    np.testing.assert_allclose(made, whole(image), atol=1e-5)


def test_flux_is_kept_in_every_pixel_of_a_flat_picture() -> None:
    made = enhance_tiled(np.full((50, 60), 0.7, np.float32), linear, Tiling(tile_px=32, halo_px=HALO))
    np.testing.assert_allclose(made, 0.7, rtol=1e-6)
