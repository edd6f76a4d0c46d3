"""Golden frames of the aurora network: simulated skies that leave no doubt, at a grey and a colour camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.aurora.inference import AuroraModel
from models.golden import Answer
from models.runtime import Runtime
from models.simulate.allsky import photograph
from models.simulate.allsky_cameras import STATION_KIND, TESTING_KINDS, draw_camera
from models.simulate.allsky_sampling import draw_arc, draw_discrete, draw_glow, random_stars
from models.simulate.allsky_scene import Curtain, Deck, Glow, Moon, Scene, Town
from observatory.analysis import AURORAL, SkyFacts
from observatory.frame import Frame, RowOrder

_SIZE_PX = 160
_SEED = 1
_CAMERA_SEED = 5
_CONTRAST = 5.0  # seven times what counts as evident
_HALF = 0.5  # a sane network stays far from it on each side
_KINDS = {"grey": TESTING_KINDS[0], "colour": STATION_KIND}


@dataclass(frozen=True)
class _Sky:
    words: str
    scene: Scene
    is_auroral: bool = False
    is_cloudy: bool = False


def answers(runtime: Runtime, name: str) -> Iterator[Answer]:
    """Answers of the network that `registry.load` gives for a name: aurora or not, cloud or not."""
    model = AuroraModel(runtime)
    for camera_words, kind in _KINDS.items():
        camera = draw_camera(np.random.default_rng(_CAMERA_SEED), kind, _SIZE_PX)
        for sky in _skies():
            contrast = _CONTRAST if sky.is_auroral else None
            taken = photograph(sky.scene, camera, np.random.default_rng(_SEED), contrast=contrast)
            frame = Frame(taken.pixels, f"golden-{camera_words}", RowOrder.TOP)
            look = model.look(frame, taken.circle, SkyFacts())
            aurora = sum(look.sky.probabilities[each] for each in AURORAL)
            cloud = float(np.nanmean(look.cloud)) if look.cloud is not None else float("nan")
            words = f"{camera_words}, {sky.words}"
            yield _answer(words, "aurora", aurora, is_expected=sky.is_auroral)
            yield _answer(words, "cloud", cloud, is_expected=sky.is_cloudy)


def _answer(words: str, what: str, value: float, *, is_expected: bool) -> Answer:
    return Answer(
        frame=f"{words}: {what}",
        expected=what if is_expected else f"no {what}",
        said=f"{what} {value:.2f}",
        is_right=bool(np.isfinite(value)) and (value > _HALF) is is_expected,
        value=float(np.nan_to_num(value)),
    )


def _skies() -> Iterator[_Sky]:
    moon = Moon(elevation_deg=40.0, azimuth_deg=120.0, illuminated=0.9)
    town = Town(azimuth_deg=40.0, width_deg=20.0, height_deg=8.0, level=10.0, warmth=0.8)
    random = np.random.default_rng
    yield _Sky("arc", _scene(forms=(draw_arc(random(_SEED), 60.0),)), is_auroral=True)
    yield _Sky("rays", _scene(forms=(draw_discrete(random(_SEED), 30.0),)), is_auroral=True)
    yield _Sky("glow", _scene(forms=(draw_glow(random(_SEED), 30.0),)), is_auroral=True)
    yield _Sky("overcast under the Moon", _scene(moon=moon, decks=(_deck(1.0, 1.0),)), is_cloudy=True)
    yield _Sky("broken cloud over a town", _scene(decks=(_deck(0.95, 0.3),), towns=(town,)), is_cloudy=True)
    yield _Sky("stars", _scene())
    yield _Sky("Moon", _scene(moon=moon))


def _scene(
    forms: tuple[Curtain | Glow, ...] = (),
    decks: tuple[Deck, ...] = (),
    towns: tuple[Town, ...] = (),
    moon: Moon | None = None,
) -> Scene:
    """A dark sky with stars, and what is put into it."""
    stars = random_stars(np.random.default_rng(_SEED))
    return Scene(-30.0, 0.0, stars, moon, forms=forms, decks=decks, towns=towns, seed=_SEED)


def _deck(cover: float, softness: float) -> Deck:
    return Deck(
        height_km=2.0,
        cover=cover,
        depth=3.0,
        softness=softness,
        scale_km=18.0,
        stretch=1.0,
        turn_deg=0.0,
        offset_km=(0.0, 0.0),
        seed=_SEED,
    )
