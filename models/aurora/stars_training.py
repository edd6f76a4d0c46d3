"""Fit the second look through the stars, for the network that ships: ``python -m models.aurora.stars_training``.

The skies are like those of the network's training, but larger, and taken by cameras of more than 8 bits that
expose 3 to 40 times as long: such as watch the stars, and so see them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.aurora import stars
from models.aurora.data import map_of, map_targets
from models.aurora.inference import by_sector
from models.aurora.preparation import channels, lay_out
from models.aurora.stars import Compared, Counted, StarLook
from models.registry import ModelDescription, load
from models.runtime import Runtime
from models.simulate.allsky import EVIDENT, photograph
from models.simulate.allsky_cameras import TESTING_KINDS, TRAINING_KINDS, draw_camera
from models.simulate.allsky_night import scene_of_nights
from models.simulate.allsky_sampling import (
    draw_moonlit_cirrus,
    draw_moonlit_clear,
    draw_scene,
    with_fainter_stars,
)
from models.simulate.allsky_scene import Scene
from models.simulate.allsky_sites import TESTING_SITES, TRAINING_SITES
from observatory.analysis import SkyClass
from observatory.fisheye import Fisheye
from observatory.frame import Frame, RowOrder

FloatArray = NDArray[np.floating]

_SIZE_PX = (320, 640)  # across the sky, as frames are analysed
_DEEPER = (3.0, 40.0)  # times the light of the kinds' own exposures
_FAINTEST_MAG = 7.2
_OF_NIGHTS, _CIRRUS, _CLEAR = 0.5, 0.15, 0.1  # shares of the skies; the rest are single scenes of any class
_HALF = 0.5
_LEAST_CLOUD = 0.08  # share of the light that cloud stops: less counts as none
_LOWEST_DEG = 77.0
"""Lower the sky is not asked for; see `observatory.sky_sectors`."""


@dataclass(frozen=True)
class Skies:
    """Simulated deep pictures, as far as the second look needs them; arrays of shape (n, 16, 16).

    Attributes
    ----------
    found, noise : ndarray
        See `models.aurora.stars.Counted`.
    visible, said : ndarray
        Known share of the cells, and the network's map of cloud.
    stopped : ndarray
        Share of the light that cloud stops, or as much as is as evident.
    aurora : ndarray
        Light of the aurora over the rest.
    is_known : ndarray of bool
    is_night : ndarray of bool, shape (n,)
        Frame of a night; else a single scene.
    """

    found: FloatArray
    noise: FloatArray
    visible: FloatArray
    said: FloatArray
    stopped: FloatArray
    aurora: FloatArray
    is_known: NDArray[np.bool_]
    is_night: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.found)

    @property
    def is_cloudy(self) -> NDArray[np.bool_]:
        """What the map should say, as the network's training has it."""
        wanted = map_targets(np.round(255 * self.stopped[:, None]).astype(np.uint8))
        return np.asarray(wanted[:, 0] >= _HALF)

    def compared(self, number: int, noise: float, airmass: float) -> Compared | None:
        """Stars found and expected of one sky."""
        counted = Counted(self.found[number], self.noise[number])
        return stars.compare(counted, self.visible[number], noise, airmass)


def simulated(count: int, seed: int, *, is_testing: bool) -> Skies:
    """Deep skies at cameras and sites for training, or at those that nothing has learnt from."""
    random = np.random.default_rng([seed, int(is_testing)])
    sites = TESTING_SITES if is_testing else TRAINING_SITES
    session = Runtime().session(load("aurora").path)
    kinds = [kind for kind in (TESTING_KINDS if is_testing else TRAINING_KINDS) if kind.bits > 8]
    rows: list[tuple[Any, ...]] = []
    while len(rows) < count:
        is_night = bool(random.random() < _OF_NIGHTS)
        scene, contrast = (scene_of_nights(random, sites), None) if is_night else _single(random)
        scene = replace(scene, stars=with_fainter_stars(scene.stars, random, _FAINTEST_MAG))
        camera = draw_camera(random, kinds[int(random.integers(len(kinds)))], int(random.integers(*_SIZE_PX)))
        deeper = float(np.exp(random.uniform(*np.log(_DEEPER))))
        camera = replace(camera, electrons=camera.electrons * deeper, full_well=camera.full_well * deeper)
        taken = photograph(scene, camera, random, contrast=contrast)
        frame = Frame(taken.pixels, "allsky", RowOrder.TOP)
        if not stars.can_be_counted(frame, taken.circle):
            continue
        square = lay_out(taken.pixels, taken.circle)
        counted = stars.count(frame, taken.circle)
        stopped, is_known = map_of(taken.truth.cloud_map, taken.circle, taken.truth.is_sky)
        aurora, _ = map_of(np.minimum(taken.truth.aurora_map, 10.0), taken.circle, taken.truth.is_sky)
        said = session.run({"image": channels(square)[None]}, ("cloud",))["cloud"][0]
        rows.append((counted.found, counted.noise, square.visible, said, stopped, aurora, is_known, is_night))
    return Skies(*(np.array(column) for column in zip(*rows, strict=True)))


def _single(random: np.random.Generator) -> tuple[Scene, float | None]:
    chance = random.random() * (1.0 - _OF_NIGHTS)
    if chance < _CIRRUS:
        return draw_moonlit_cirrus(random), None
    if chance < _CIRRUS + _CLEAR:
        return draw_moonlit_clear(random), None
    return draw_scene(random, list(SkyClass)[int(random.integers(len(SkyClass)))])


def asked(skies: Skies) -> NDArray[np.bool_]:
    """Cells of which the map is known, above the lowest sky; (n, 16, 16)."""
    return np.asarray(skies.is_known & (stars.zenith_deg() < _LOWEST_DEG))


def fit(skies: Skies) -> StarLook:
    """Fit how clear skies spread their stars, then what the stars say of cloud."""
    from sklearn.linear_model import LogisticRegression

    noise, airmass = _spread(skies)
    given, wanted = [], []
    is_asked, is_cloudy = asked(skies), skies.is_cloudy
    for number in range(len(skies)):
        compared = skies.compared(number, noise, airmass)
        if compared is None:
            continue
        planes = stars.terms(skies.said[number], compared)
        given.append(np.stack([plane[is_asked[number]] for plane in planes.values()], axis=-1))
        wanted.append(is_cloudy[number][is_asked[number]])
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(np.concatenate(given), np.concatenate(wanted))
    numbers = [fitted.intercept_[0], *fitted.coef_[0]]
    weights = {name: round(float(value), 4) for name, value in zip(stars.TERMS, numbers, strict=True)}
    return StarLook(noise, airmass, weights)


def _spread(skies: Skies) -> tuple[float, float]:
    """Power of the noise and slope with airmass by which clear skies' stars are likeliest (Poisson)."""
    from scipy.optimize import minimize

    is_asked = asked(skies)
    cloudless = np.where(is_asked, skies.stopped, 0.0).max(axis=(1, 2)) < _LEAST_CLOUD
    starry = skies.found.sum(axis=(1, 2)) >= stars.LEAST_STARS
    clear = np.flatnonzero(cloudless & starry).tolist()

    def unlikely(slopes: FloatArray) -> float:
        total = 0.0
        for number in clear:
            counted = Counted(skies.found[number], skies.noise[number])
            spread = stars.clear_sky(counted, skies.visible[number], slopes[0], slopes[1])[is_asked[number]]
            found = counted.found[is_asked[number]]
            expected = spread * found.sum() / spread.sum()
            total += float((expected - found * np.log(expected + 1e-9)).sum())
        return total

    best = minimize(unlikely, [-0.5, -0.25], method="Nelder-Mead", options={"xatol": 1e-3}).x
    return round(float(best[0]), 3), round(float(best[1]), 3)


def measured(look: StarLook, skies: Skies) -> dict[str, Any]:
    """What is right without and with the second look, of the nights and of the single scenes that show stars.

    Returns
    -------
    dict
        For each kind ``with_stars``, the number of its skies, and pairs without and with the look: the shares of
        ``cells`` and ``sectors`` that are right, and of the cells of cloudless skies (``clear``) and of aurora
        without cloud (``aurora``) that are called cloudy.
    """
    report: dict[str, Any] = {"skies": len(skies)}
    for kind, is_kind in (("nights", skies.is_night), ("single scenes", ~skies.is_night)):
        found = [_of_one(look, skies, number) for number in np.flatnonzero(is_kind).tolist()]
        rows = [one for one in found if one is not None]
        report[kind] = {"with_stars": len(rows)}
        for name in ("cells", "sectors", "clear", "aurora"):
            pairs = np.concatenate([row[name] for row in rows] or [np.zeros((0, 2))])
            if len(pairs):
                report[kind][name] = [round(float(share), 4) for share in pairs.mean(axis=0)]
    return report


def _of_one(look: StarLook, skies: Skies, number: int) -> dict[str, FloatArray] | None:
    """Of each cell or sector of one sky, without and with the look, (n, 2) of 0 and 1; None without stars."""
    compared = skies.compared(number, look.noise, look.airmass)
    if compared is None:
        return None
    visible, said, is_asked = skies.visible[number], skies.said[number], asked(skies)[number]
    is_true = skies.is_cloudy[number]
    maps = (said, look.judged(said, visible, compared))
    calls = np.stack([(map_ >= _HALF)[is_asked] for map_ in maps], axis=-1)
    seen = Fisheye(0.0, 0.0, 1.0, is_clockwise=True, is_oriented=True)
    sectors = [by_sector(map_, visible, seen) for map_ in (*maps, is_true.astype(np.float32))]
    *called, wanted = (sector[np.isfinite(sectors[-1])] >= _HALF for sector in sectors)
    is_aurora = ((skies.aurora[number] > EVIDENT) & (skies.stopped[number] < _LEAST_CLOUD))[is_asked]
    return {
        "cells": calls == is_true[is_asked][:, None],
        "sectors": np.stack(called, axis=-1) == wanted[:, None],
        "clear": calls if not is_true[is_asked].any() else calls[:0],
        "aurora": calls[is_aurora],
    }


def install(look: StarLook, network: ModelDescription, version: str) -> None:
    """Write the coefficients and a version into the network's manifest."""
    path = network.path.with_name("manifest.toml")
    lines = path.read_text(encoding="utf-8").split("\n[parameters.stars]")[0].rstrip("\n").split("\n")
    lines = [f'version = "{version}"' if line.startswith("version = ") else line for line in lines]
    table = [f"{name} = {value}" for name, value in look.to_dict().items()]
    path.write_text("\n".join([*lines, "", "[parameters.stars]", *table, ""]), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, measure on cameras and sites that trained nothing, and write the coefficients into the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder that keeps the simulated skies")
    parser.add_argument("--version", help="write coefficients and this version into the manifest")
    given = parser.parse_args(arguments)
    training, testing = (_of_several(given, is_testing=is_testing) for is_testing in (False, True))
    look = fit(training)
    if given.version:
        install(look, load("aurora"), given.version)
    return {
        "fitted": look.to_dict(),
        "training": measured(look, training),
        "testing": measured(look, testing),
    }


def _of_several(given: argparse.Namespace, *, is_testing: bool) -> Skies:
    """Simulated skies, made by several processes or kept from before."""
    count = given.frames if not is_testing else max(given.frames // 2, given.processes)
    kept = None
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        kept = given.keep / f"stars-{'testing' if is_testing else 'training'}-{given.seed}-{count}.npz"
        if kept.exists():
            with np.load(kept) as stored:
                return Skies(**{name: stored[name] for name in stored.files})
    share = count // given.processes
    with ProcessPoolExecutor(given.processes) as pool:
        seeds = [1000 * given.seed + number for number in range(given.processes)]
        parts = list(pool.map(partial(simulated, share, is_testing=is_testing), seeds))
    names = vars(parts[0])
    skies = Skies(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    if kept is not None:
        np.savez_compressed(kept, **vars(skies))
    return skies


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(), indent=1) + "\n")
