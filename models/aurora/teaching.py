"""What a larger network says of skies, for a smaller one to learn beside the truth.

Teacher and learner look at the very same changed copies of the skies (Hinton et al. 2015, arXiv:1503.02531; Beyer
et al. 2022, CVPR, arXiv:2106.05237). A sky, its turns and its mirror images show the same: the teacher's mean over
all eight is steadier than any one of them, and the learner says it in one look.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.aurora import data
from models.aurora.augment import Augmentation, Batch, augmented, class_shares
from models.aurora.data import Skies, decode, encode
from models.registry import read_manifest
from models.runtime import Runtime, Session

FloatArray = NDArray[np.float32]

_VALID = -1  # number of the plane
_BATCH = 20
_TURNS, _VIEWS = 4, 8
_LEAST = 1e-6
_TAUGHT_CLASSES, _TAUGHT_MAPS = 0.75, 0.5  # of the targets, where the truth is known and the sky is not worn
_MIXED, _MIXING = 0.2, (0.3, 0.7)  # share of the worn skies that another one shines through, and how much


@dataclass(frozen=True)
class Lessons:
    """Changed copies of skies, what is known of them, and what the teacher says of each.

    Attributes
    ----------
    squares : ndarray, shape (n, 7, 128, 128), uint8
        See `models.aurora.data.encode`.
    classes : ndarray, shape (n,), int8
        Of the sky that was changed, -1 where it is not known.
    maps : ndarray, shape (n, 2, 16, 16), uint8
        What the maps should say by the truth, 0 to 255.
    is_known : ndarray, shape (n, 16, 16), bool
        Where the maps are to be learnt.
    is_worn : ndarray, shape (n,), bool
        Where the truth is no longer sure to be seen: the teacher is believed alone.
    probabilities : ndarray, shape (n, 6), float32
        Teacher's, geometric mean over eight views.
    said : ndarray, shape (n, 2, 16, 16), uint8
        Teacher's maps, mean over eight views, 0 to 255.
    features : ndarray, shape (n, f), float16
        Teacher's, mean over eight views.
    """

    squares: NDArray[np.uint8]
    classes: NDArray[np.int8]
    maps: NDArray[np.uint8]
    is_known: NDArray[np.bool_]
    is_worn: NDArray[np.bool_]
    probabilities: FloatArray
    said: NDArray[np.uint8]
    features: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.classes)


def lessons(skies: Skies, session: Session, how: Augmentation, seed: int, *, is_worn: bool) -> Lessons:
    """Change every sky once, and ask the teacher about it; the same seed changes it in the same way."""
    random = np.random.default_rng(seed)
    parts = [augmented(skies, number, how, random) for number in range(len(skies))]
    images, maps, weights = (np.stack(group) for group in zip(*parts, strict=True))
    if is_worn:
        _mix(images, weights, random)
    squares = np.stack([encode(image) for image in images])
    seen = decode(squares)
    asked = [_asked(session, seen[first : first + _BATCH]) for first in range(0, len(seen), _BATCH)]
    probabilities, said, features = (np.concatenate(group) for group in zip(*asked, strict=True))
    return Lessons(
        squares,
        skies.classes,
        np.round(255 * np.clip(maps, 0, 1)).astype(np.uint8),
        weights > 0,
        np.full(len(skies), is_worn),
        probabilities,
        said,
        features,
    )


def _mix(images: FloatArray, weights: FloatArray, random: np.random.Generator) -> None:
    """Let other skies shine through some; of these nothing is known but what the teacher says."""
    for number in np.flatnonzero(random.random(len(images)) < _MIXED):
        share = np.float32(random.uniform(*_MIXING))
        other = images[int(random.integers(len(images)))]
        both = images[number, _VALID] * other[_VALID]
        images[number] = (share * images[number] + (1 - share) * other) * both
        images[number, _VALID] = both
        weights[number] = 0.0


def _asked(session: Session, images: FloatArray) -> tuple[FloatArray, NDArray[np.uint8], NDArray[np.float16]]:
    """Mean of what is said of the eight views of each square: probabilities, maps and features."""
    logarithms, maps, features = [], [], []
    for view in range(_VIEWS):
        said = session.run(
            {"image": np.ascontiguousarray(_seen(images, view))},
            ("probabilities", "cloud", "aurora", "features"),
        )
        logarithms.append(np.log(np.maximum(said["probabilities"], _LEAST)))
        maps.append(_as_was(np.stack([said["cloud"], said["aurora"]], axis=1), view))
        features.append(said["features"])
    mean = np.exp(np.mean(logarithms, axis=0))
    mean /= mean.sum(axis=1, keepdims=True)
    return (
        mean.astype(np.float32),
        np.round(255 * np.mean(maps, axis=0)).astype(np.uint8),
        np.mean(features, axis=0).astype(np.float16),
    )


def _seen(planes: np.ndarray, view: int) -> np.ndarray:
    """One of eight views of planes (..., side, side): four turns, and the same of the mirror image."""
    return np.rot90(planes[..., ::-1] if view >= _TURNS else planes, view % _TURNS, (-2, -1))


def _as_was(planes: np.ndarray, view: int) -> np.ndarray:
    """What `_seen` was made of."""
    back = np.rot90(planes, -(view % _TURNS), (-2, -1))
    return back[..., ::-1] if view >= _TURNS else back


def cached_lessons(
    folder: Path, teacher: Path, first: int, last: int, seed: int, *, size: int, how: Augmentation
) -> Lessons:
    """Lessons on skies number `first` to before `last` of a folder, once plain and once worn each.

    Skies and lessons that are missing are made, file by file, with progress. Worn skies lie in ``worn``, and
    lessons beside their skies, by the teacher's hash.

    Raises
    ------
    ModelError
        When the teacher is missing, altered, or none of this family.
    UnusableInputError
        When the folder holds skies of another seed or size.
    """
    from rich.console import Console
    from rich.progress import track

    description = read_manifest(teacher / "manifest.toml")
    description.verify()
    session = Runtime().session(description.path)
    found: dict[str, list[np.ndarray]] = {one.name: [] for one in fields(Lessons)}
    for is_worn in (False, True):
        place = folder / "worn" if is_worn else folder
        files = data.filled(place, last, seed, size=size, is_worn=is_worn)
        kept = place / f"lessons-{description.sha256[:12]}"
        kept.mkdir(exist_ok=True)
        for number, path in enumerate(track(files, "asking the teacher", console=Console(stderr=True))):
            if not (kept / path.name).exists():
                told = lessons(data.load(path), session, how, seed + number, is_worn=is_worn)
                data.write(kept / path.name, vars(told))
            begin, end = (min(max(one - number * data.SHARD, 0), data.SHARD) for one in (first, last))
            with np.load(kept / path.name) as stored:
                for name, parts in found.items():
                    parts.append(stored[name][begin:end])
    return Lessons(**{name: _joined(parts) for name, parts in found.items()})


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """As numpy's concatenate, but each part is let go once it is copied: squares are most of the memory."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    place = 0
    while parts:
        part = parts.pop(0)
        whole[place : place + len(part)] = part
        place += len(part)
    return whole


def lesson_batch(given: Lessons, size: int, shares: NDArray[np.float64], seed: tuple[int, int]) -> Batch:
    """Draw a batch, each lesson from one of its eight views; the same seed draws the same one."""
    random = np.random.default_rng(seed)
    drawn = random.choice(len(given), size, p=shares)
    image, weight = decode(given.squares[drawn]), given.is_known[drawn].astype(np.float32)
    taught = np.where(given.is_worn[drawn], 1.0, _TAUGHT_MAPS).astype(np.float32)[:, None, None, None]
    maps = taught * _shares(given.said[drawn]) + (1 - taught) * _shares(given.maps[drawn])
    for number, view in enumerate(random.integers(_VIEWS, size=size)):
        for planes in (image, maps, weight):
            planes[number] = _seen(planes[number], int(view)).copy()
    return Batch(image, _class_targets(given, drawn), maps, weight, given.features[drawn].astype(np.float32))


def _shares(stored: NDArray[np.uint8]) -> FloatArray:
    return stored.astype(np.float32) / np.float32(255)


def _class_targets(given: Lessons, drawn: NDArray[np.integer]) -> FloatArray:
    """Shares of the classes (n, 6): the teacher's, and the truth's where it is known."""
    found = given.probabilities[drawn].copy()
    is_known = (given.classes[drawn] >= 0) & ~given.is_worn[drawn]
    truth = class_shares(given.classes[drawn])
    found[is_known] += np.float32(1 - _TAUGHT_CLASSES) * (truth - found)[is_known]
    return found
