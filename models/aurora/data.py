"""Skies to learn from: simulated ones, kept on disk as the network sees them.

A `Skies` holds squares in bytes, which is finer than their noise, and what is known of each: its class, and
how much of each cell of the map is covered by cloud and by aurora.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aurora.preparation import CHANNELS, GRID, SIDE, Square, channels, lay_out
from observatory.analysis import AURORAL, SkyClass
from observatory.errors import UnusableInputError
from observatory.fisheye import Fisheye

if TYPE_CHECKING:
    from models.simulate.allsky import SkyTruth
    from models.simulate.allsky_cameras import CameraKind
    from models.simulate.allsky_scene import Scene

FloatArray = NDArray[np.float32]

CLASSES = tuple(SkyClass)
MAPS = ("cloud", "aurora")
UNKNOWN = -1
SHARD = 500  # skies in a file
_SIGNED = np.array([name in ("brightness", "contrast", "green", "red") for name in CHANNELS])
_OF_NIGHTS = 0.5  # of the skies to train on; the rest are single scenes, more even in their classes
_MOONLIT_CLOUD, _MOONLIT_CIRRUS, _MOONLIT_CLEAR = 0.12, 0.3, 0.13  # of the single scenes
_MISJUDGED, _TOO_WIDE = 0.3, (-0.02, 0.06)  # share of the circles that are not the lens's, and by how much
_EVIDENT, _EVIDENT_BEHIND_CLOUD = 0.7, 1.5  # light of the aurora over the rest, in the best places
_HAZE, _THICK = 0.1, 0.5  # share of the light that cloud stops
_LEAST_VALID = 0.3  # of a cell: less, and nothing is asked of it
_WORN = 2  # begins the seed of what makes pictures worse


@dataclass(frozen=True)
class Skies:
    """Squares with what is known of them.

    Attributes
    ----------
    squares : ndarray, shape (n, 7, 128, 128), uint8
        See `encode`.
    classes : ndarray, shape (n,), int8
        Number in `CLASSES`; -1 where it is not known.
    maps : ndarray, shape (n, 2, 16, 16), uint8
        Share of each cell covered by cloud and by aurora, 0 to 255.
    is_known : ndarray, shape (n, 16, 16), bool
        Where the maps are known.
    cameras : ndarray, shape (n,), str
    """

    squares: NDArray[np.uint8]
    classes: NDArray[np.int8]
    maps: NDArray[np.uint8]
    is_known: NDArray[np.bool_]
    cameras: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.classes)

    def span(self, first: int, last: int) -> Skies:
        """Those from `first` to before `last`, without a copy."""
        return Skies(*(values[first:last] for values in vars(self).values()))

    def taken(self, numbers: Sequence[int] | NDArray[np.integer]) -> Skies:
        """Some of them."""
        return Skies(
            self.squares[numbers],
            self.classes[numbers],
            self.maps[numbers],
            self.is_known[numbers],
            self.cameras[numbers],
        )


def encode(found: FloatArray) -> NDArray[np.uint8]:
    """Channels (7, side, side) as bytes; signed ones around 127.5."""
    scaled = np.where(_SIGNED[:, None, None], (found + 1) * 127.5, found * 255)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def decode(stored: NDArray[np.uint8]) -> FloatArray:
    """Channels (..., 7, side, side) of bytes; what is not valid is 0 again."""
    values = stored.astype(np.float32)
    found = np.where(_SIGNED[:, None, None], values / 127.5 - 1, values / 255)
    return np.asarray(found * (stored[..., -1:, :, :] > 127), np.float32)


def map_targets(maps: NDArray[np.uint8]) -> FloatArray:
    """What the network's maps (..., 2, g, g) should say of shares of cloud and aurora in bytes, 0 to 1.

    Cloud that stops three tenths of the light (0.4 magnitudes, a veil that still shows stars) counts as half
    cloudy, half of the light as wholly, a tenth as not at all.
    """
    found = maps.astype(np.float32) / np.float32(255)
    found[..., 0, :, :] = np.clip((found[..., 0, :, :] - _HAZE) / (_THICK - _HAZE), 0, 1)
    return found


def cells(square: Square, values: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Mean of a fine map over each cell of the grid, and where enough of the cell is seen."""
    weight = cv2.resize(square.is_valid.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
    mean = cv2.resize(values * square.is_valid, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(mean / np.maximum(weight, 1e-3), np.float32), weight >= _LEAST_VALID


def map_of(
    coverage: FloatArray, circle: Fisheye, sky_mask: NDArray[np.bool_] | None
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """A map on the frame's pixels as cells of the grid, and where they are known."""
    laid = lay_out(np.ascontiguousarray(coverage, np.float32), circle, sky_mask)
    return cells(laid, laid.pixels)


def simulated_shard(
    number: int, count: int, seed: int, size: int, *, is_testing: bool, is_worn: bool = False
) -> Skies:
    """Simulated skies of one file of the cache; the same seed and number give the same ones.

    Parameters
    ----------
    number, count, seed : int
    size : int
        Pixels across the largest of them; the smallest have five eighths.
    is_testing : bool
        Frames of nights at cameras and sites that are kept from training, instead of those for it.
    is_worn : bool
        The same skies in pictures made worse; see `models.simulate.allsky_wear`.
    """
    from models.simulate.allsky_cameras import TESTING_KINDS, TRAINING_KINDS
    from models.simulate.allsky_night import sample_of_nights
    from models.simulate.allsky_sites import TESTING_SITES, TRAINING_SITES
    from models.simulate.allsky_wear import worn

    random = np.random.default_rng([seed, number, int(is_testing)])
    wearing = np.random.default_rng([seed, number, _WORN])
    kinds = TESTING_KINDS if is_testing else TRAINING_KINDS
    sites = TESTING_SITES if is_testing else TRAINING_SITES
    squares, classes, maps, known, cameras = [], np.full(count, UNKNOWN, np.int8), [], [], []
    for place in range(count):
        kind = kinds[int(random.integers(len(kinds)))]
        across = int(random.integers(size * 5 // 8, size + 1))
        if is_testing or random.random() < _OF_NIGHTS:
            pixels, circle, truth = sample_of_nights(random, across, (kind,), sites)
        else:
            pixels, circle, truth = _single(random, kind, across)
        if not is_testing and random.random() < _MISJUDGED:
            # Circles that are found in pictures take some of the dark rim, seldom too little of the sky.
            circle = replace(circle, radius_px=circle.radius_px * (1 + random.uniform(*_TOO_WIDE)))
        shown = worn(pixels, circle, wearing) if is_worn else pixels
        squares.append(encode(channels(lay_out(shown, circle))))
        cloud, is_seen = map_of(truth.cloud_map, circle, truth.is_sky)
        aurora, _ = map_of(np.minimum(truth.aurora_map, 1.0), circle, truth.is_sky)
        maps.append(np.clip(np.round(255 * np.stack([cloud, aurora])), 0, 255).astype(np.uint8))
        if truth.sky_class is not None and _is_evident(truth):
            classes[place] = CLASSES.index(truth.sky_class)
        known.append(is_seen)
        cameras.append(kind.name)
    return Skies(np.stack(squares), classes, np.stack(maps), np.stack(known), np.array(cameras))


def _single(
    random: np.random.Generator, kind: CameraKind, across: int
) -> tuple[NDArray[np.generic], Fisheye, SkyTruth]:
    """A single scene, more often than nature has it one of those that are hard to tell apart under a Moon."""
    from models.simulate.allsky import photograph
    from models.simulate.allsky_cameras import draw_camera
    from models.simulate.allsky_sampling import draw_moonlit_cirrus, draw_moonlit_clear, sample

    chance = random.random() - _MOONLIT_CLOUD
    if chance < 0:
        scene = _moonlit_cloud(random)
    elif chance < _MOONLIT_CIRRUS:
        scene = draw_moonlit_cirrus(random)
    elif chance < _MOONLIT_CIRRUS + _MOONLIT_CLEAR:
        scene = draw_moonlit_clear(random)
    else:
        return sample(random, across, (kind,))
    taken = photograph(scene, draw_camera(random, kind, across), random)
    return taken.pixels, taken.circle, taken.truth


def _moonlit_cloud(random: np.random.Generator) -> Scene:
    """A cloudy sky with the Moon behind it: single scenes have it seldom, real nights often."""
    from models.simulate.allsky_sampling import draw_scene
    from models.simulate.allsky_scene import Moon

    scene, _ = draw_scene(random, SkyClass.CLOUD)
    moon = Moon(*(float(random.uniform(*bounds)) for bounds in ((5, 80), (0, 360), (0.4, 1.0))))
    return replace(scene, moon=moon, forms=())


def _is_evident(truth: SkyTruth) -> bool:
    """Whether a viewer would see the aurora that names the class; weaker ones teach the maps alone."""
    if truth.sky_class not in AURORAL:
        return True
    return truth.aurora_contrast >= (_EVIDENT_BEHIND_CLOUD if truth.cloud_cover > 0.6 else _EVIDENT)


def cached(folder: Path, count: int, seed: int, *, size: int = 256, is_testing: bool = False) -> Skies:
    """Simulated skies of a folder; what is missing is made, shard by shard, with progress.

    Raises
    ------
    UnusableInputError
        When the folder holds skies of another seed or size.
    """
    filled(folder, count, seed, size=size, is_testing=is_testing)
    return _read(folder, count)


def filled(
    folder: Path, count: int, seed: int, *, size: int, is_testing: bool = False, is_worn: bool = False
) -> list[Path]:
    """Files of a folder that hold so many simulated skies, whole shards; what is missing is made.

    Raises
    ------
    UnusableInputError
        When the folder holds skies of another seed or size.
    """
    from rich.console import Console
    from rich.progress import track

    folder.mkdir(parents=True, exist_ok=True)
    stated = {"seed": seed, "size": size, "is_testing": is_testing} | ({"is_worn": True} if is_worn else {})
    note = folder / "skies.json"
    is_other = note.exists() and json.loads(note.read_text()) != stated
    if is_other and any(folder.glob("*.npz")):
        raise UnusableInputError(
            f"{folder} holds skies of {note.read_text()}, not {stated}: give another folder"
        )
    note.write_text(json.dumps(stated))
    files = [folder / f"{number:04d}.npz" for number in range(-(-count // SHARD))]
    missing = [path for path in files if not path.exists()]
    for path in track(missing, "simulating skies", console=Console(stderr=True)) if missing else ():
        # Always whole shards: a later call may ask for more.
        number = int(path.stem)
        save(path, simulated_shard(number, SHARD, seed, size, is_testing=is_testing, is_worn=is_worn))
    return files


def _read(folder: Path, count: int) -> Skies:
    """The first skies of a folder, in memory once only."""
    found = Skies(
        np.empty((count, len(CHANNELS), SIDE, SIDE), np.uint8),
        np.empty(count, np.int8),
        np.empty((count, len(MAPS), GRID, GRID), np.uint8),
        np.empty((count, GRID, GRID), bool),
        np.empty(count, "U40"),
    )
    for first in range(0, count, SHARD):
        shard = load(folder / f"{first // SHARD:04d}.npz")
        last = min(count, first + SHARD)
        for name, values in vars(shard).items():
            getattr(found, name)[first:last] = values[: last - first]
    return found


def save(path: Path, skies: Skies) -> None:
    """Write skies whole or not at all."""
    write(path, vars(skies))


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays whole or not at all."""
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.replace(path)


def load(path: Path) -> Skies:
    """Read what `save` wrote."""
    with np.load(path) as stored:
        return Skies(**{name: stored[name] for name in stored.files})


def joined(parts: Sequence[Skies]) -> Skies:
    """Several as one."""
    names = ("squares", "classes", "maps", "is_known", "cameras")
    return Skies(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
