"""Fit the head that tells covered domes, for the network that ships: ``python -m models.aurora.dome_training``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.aurora import dome
from models.aurora.preparation import prepare
from models.registry import ModelDescription, load
from models.runtime import Runtime
from models.simulate.allsky import photograph
from models.simulate.allsky_cameras import TESTING_KINDS, TRAINING_KINDS, CameraKind, draw_camera
from models.simulate.allsky_sampling import draw_scene
from observatory.analysis import SkyClass
from observatory.frame import Frame, RowOrder

_DARKEST_SUN_DEG = -10.0
_SNOW, _DEW = (0.3, 0.6), (0.4, 0.9)  # what hides so much of the sky that its class is not to be told
_CLEAN, _SNOWY = 0.5, 0.25  # shares of the frames
_BATCH = 64


def domes(
    frames: int, kinds: Sequence[CameraKind], seed: int, size_px: int = 150
) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    """Prepared simulated skies of all classes, half of them behind a covered dome.

    Returns
    -------
    images : ndarray, shape (frames, 7, 128, 128)
    covers : ndarray, shape (frames,)
        0 clean, 1 snow, 2 dew.
    """
    random = np.random.default_rng(seed)
    images: list[NDArray[np.float16]] = []
    covers: list[int] = []
    while len(images) < frames:
        camera = draw_camera(random, kinds[int(random.integers(len(kinds)))], size_px)
        scene, contrast = draw_scene(random, list(SkyClass)[int(random.integers(len(SkyClass)))])
        chance = random.random()
        cover = 0 if chance < _CLEAN else 1 if chance < _CLEAN + _SNOWY else 2
        if scene.sun_elevation_deg > _DARKEST_SUN_DEG:
            continue
        covered = replace(
            scene.dome,
            snow=float(random.uniform(*_SNOW)) if cover == 1 else 0.0,
            dew=float(random.uniform(*_DEW)) if cover == 2 else 0.0,
        )
        taken = photograph(replace(scene, dome=covered), camera, random, contrast=contrast)
        frame = Frame(taken.pixels, "allsky", RowOrder.TOP, fisheye=taken.circle)
        images.append(prepare(frame, taken.circle).astype(np.float16))
        covers.append(cover)
    return np.stack(images), np.array(covers, np.int8)


def words(images: NDArray[np.float16], network: ModelDescription) -> NDArray[np.float64]:
    """What a network says of prepared skies; see `models.aurora.dome.words_of`."""
    session = Runtime().session(network.path)
    found = []
    for start in range(0, len(images), _BATCH):
        said = session.run({"image": images[start : start + _BATCH].astype(np.float32)})
        found.append(dome.words_of(said["features"], said["probabilities"], said["cloud"]))
    return np.concatenate(found).astype(np.float64)


def measured(head: dome.DomeHead, given: NDArray[np.float64], covers: NDArray[np.int8]) -> dict[str, float]:
    """False alarms, and the shares of snow and dew found."""
    called = head.log_odds(given) >= head.threshold
    names = ("false_alarms", "snow_found", "dew_found")
    return {name: round(float(called[covers == kind].mean()), 3) for kind, name in enumerate(names)}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, measure on cameras of unseen kinds, and write the head beside the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2600)
    parser.add_argument("--seed", type=int, default=21)
    given = parser.parse_args(arguments)
    network = load("aurora")
    images, covers = domes(given.frames, TRAINING_KINDS, given.seed)
    head = dome.fitted(words(images, network), covers > 0, network.sha256)
    dome.write(head)
    others, their_covers = domes(max(200, given.frames // 4), TESTING_KINDS, given.seed + 1)
    return measured(head, words(others, network), their_covers)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()) + "\n")
