"""Single random skies at random cameras, for training: `sample`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.simulate.allsky import SkyTruth, photograph
from models.simulate.allsky_cameras import TRAINING_KINDS, CameraKind, draw_camera
from models.simulate.allsky_scene import (
    Cirrus,
    Curtain,
    Deck,
    Dome,
    Fold,
    Glow,
    Lamp,
    Moon,
    Scene,
    Skyline,
    Stars,
    Town,
)
from observatory.analysis import SkyClass
from observatory.fisheye import Fisheye

_SHARES = {
    SkyClass.ARC: 0.18,
    SkyClass.DIFFUSE: 0.18,
    SkyClass.DISCRETE: 0.18,
    SkyClass.CLOUD: 0.19,
    SkyClass.MOON: 0.11,
    SkyClass.CLEAR: 0.16,
}
_RINGS = (0, 0, 1, 2, 3)
_FAINTEST_MAG = 5.2
_CIRRUS, _CIRRUS_ELSE = {SkyClass.CLOUD: 0.15, SkyClass.MOON: 0.15}, 0.08  # how often skies have some


def sample(
    random: np.random.Generator, size_px: int = 128, kinds: Sequence[CameraKind] = TRAINING_KINDS
) -> tuple[NDArray[np.generic], Fisheye, SkyTruth]:
    """One random sky at one random camera.

    Parameters
    ----------
    size_px : int
        About the diameter of the sky in the picture.
    kinds : sequence of CameraKind
        `TRAINING_KINDS`, or `TESTING_KINDS` of which no network has seen any.

    Returns
    -------
    pixels : ndarray, shape (height, width) or (height, width, 3), uint8 or uint16
    circle : Fisheye
    truth : SkyTruth
        Its `sky_class` is None for about one sky in ten.
    """
    camera = draw_camera(random, kinds[int(random.integers(len(kinds)))], size_px)
    wanted = list(_SHARES)[int(random.choice(len(_SHARES), p=list(_SHARES.values())))]
    scene, contrast = draw_scene(random, wanted)
    taken = photograph(scene, camera, random, contrast=contrast)
    return taken.pixels, taken.circle, taken.truth


def draw_scene(random: np.random.Generator, wanted: SkyClass) -> tuple[Scene, float | None]:
    """A random scene in which one class is likely, and the contrast that its aurora should have."""
    is_auroral = wanted in (SkyClass.ARC, SkyClass.DIFFUSE, SkyClass.DISCRETE)
    forms: tuple[Curtain | Glow, ...] = ()
    contrast: float | None = None
    if is_auroral:
        forms = _forms(random, wanted)
        contrast = float(
            np.exp(
                random.uniform(
                    np.log(0.65 if wanted is SkyClass.DIFFUSE else 0.55),
                    np.log(12.0 if random.random() < 0.5 else 3.0),
                )
            )
        )
    elif random.random() < 0.12:
        forms, contrast = _forms(random, SkyClass.DIFFUSE), 0.03
    twilight = 0.1 if is_auroral else 0.22
    cirrus = _CIRRUS.get(wanted, _CIRRUS_ELSE)
    scene = Scene(
        sun_elevation_deg=float(
            random.uniform(-15, -3) if random.random() < twilight else random.uniform(-45, -15)
        ),
        sun_azimuth_deg=float(random.uniform(0, 360)),
        stars=random_stars(random),
        moon=_moon(random, 1.0 if wanted is SkyClass.MOON else 0.3),
        airglow_kr=float(np.exp(random.uniform(np.log(0.1), np.log(0.6)))),
        airglow_waves=float(random.uniform(0, 0.25) if random.random() < 0.4 else 0.0),
        natural=float(np.exp(random.normal(0, 0.2))),
        milky_way=_direction(random) if random.random() < 0.6 else None,
        milky_way_level=float(random.uniform(0.3, 1.2)),
        forms=forms,
        decks=_decks(random, wanted),
        cirrus=(draw_cirrus(random),) if random.random() < cirrus else (),
        towns=_towns(random),
        veil=float(np.exp(random.uniform(np.log(0.1), np.log(6.0))) if random.random() < 0.5 else 0.0),
        veil_warmth=float(random.uniform(0.2, 1.0)),
        lamps=_lamps(random),
        skyline=_skyline(random),
        dome=_dome(random),
        field_dip_deg=float(random.uniform(72, 85)),
        seed=int(random.integers(2**30)),
    )
    return scene, contrast


def random_stars(random: np.random.Generator, count: int = 900) -> Stars:
    """Stars anywhere, as many of each magnitude as the sky has (about three times more for each fainter one)."""
    upward = random.uniform(0, 1, count)
    turn = random.uniform(0, 2 * np.pi, count)
    flat = np.sqrt(1 - upward**2)
    directions = np.stack([flat * np.cos(turn), flat * np.sin(turn), upward], axis=-1)
    # log N = 0.5 m for half a sky with about 900 stars to the magnitude 5.2.
    magnitudes = _FAINTEST_MAG + np.log10(random.uniform(1e-4, 1, count)) / 0.5
    warmth = np.clip(random.normal(0, 0.5, count), -1, 1)
    return Stars(directions.astype(np.float32), magnitudes.astype(np.float32), warmth.astype(np.float32))


def _forms(random: np.random.Generator, wanted: SkyClass) -> tuple[Curtain | Glow, ...]:
    """Forms of one kind, and fainter company."""
    turned = 1 if random.random() < 0.85 else -1
    forms: list[Curtain | Glow] = []
    far = float(random.choice([-1, 1]) * random.uniform(350, 900))
    if wanted is SkyClass.ARC:
        north = far if random.random() < 0.25 else float(random.normal(60, 220)) * turned
        for _ in range(int(random.choice([1, 1, 1, 2, 2, 3]))):
            forms.append(draw_arc(random, north))
            north += float(random.choice([-1, 1]) * random.uniform(25, 160))
    elif wanted is SkyClass.DISCRETE:
        north = far if random.random() < 0.2 else float(random.normal(30, 180)) * turned
        for _ in range(int(random.choice([1, 2, 3, 4]))):
            forms.append(draw_discrete(random, north))
            north += float(random.choice([-1, 1]) * random.uniform(20, 150))
    else:
        forms.append(draw_glow(random, float(random.normal(60, 250)) * turned))
    if wanted is not SkyClass.DIFFUSE and random.random() < 0.4:
        forms.append(draw_glow(random, float(random.normal(0, 250)), 0.25))
    elif wanted is SkyClass.DIFFUSE and random.random() < 0.15:
        forms.append(draw_arc(random, float(random.normal(150, 250)), 0.25))
    return tuple(forms)


def draw_arc(random: np.random.Generator, north_km: float, brightness: float = 1.0) -> Curtain:
    """A smooth band across the sky."""
    folds = tuple(
        Fold(float(random.uniform(2, 22)), float(random.uniform(350, 1500)), float(random.uniform(0, 6.3)))
        for _ in range(int(random.integers(0, 3)))
    )
    return Curtain(
        sky_class=SkyClass.ARC,
        north_km=north_km,
        tilt=float(random.normal(0, 0.2)),
        from_km=float(-1300 if random.random() < 0.7 else -random.uniform(100, 900)),
        to_km=float(1300 if random.random() < 0.7 else random.uniform(100, 900)),
        bend_km=float(random.uniform(-30, 160)),
        folds=folds,
        curl=0.0,
        width_km=float(np.exp(random.uniform(np.log(3), np.log(25)))),
        brightness_kr=float(np.exp(random.normal(1.5, 0.3))) * brightness,
        rays=float(random.uniform(0, 0.2)),
        ray_km=float(random.uniform(300, 900)),
        ray_offset_km=0.0,
        bottom_km=float(random.uniform(98, 118)),
        depth_km=float(random.uniform(8, 22)),
        red=_red(random),
        blue=float(random.uniform(0.05, 0.3)),
        seed=int(random.integers(2**30)),
    )


def draw_discrete(random: np.random.Generator, north_km: float, brightness: float = 1.0) -> Curtain:
    """A rayed, folded, curled or broken band."""
    folds = tuple(
        Fold(
            float(random.uniform(0.08, 0.22) * length),
            float(length),
            float(random.uniform(0, 6.3)),
        )
        for length in np.exp(random.uniform(np.log(50), np.log(600), int(random.integers(1, 4))))
    )
    middle, half = random.normal(0, 150), np.exp(random.uniform(np.log(60), np.log(1000)))
    return Curtain(
        sky_class=SkyClass.DISCRETE,
        north_km=north_km,
        tilt=float(random.normal(0, 0.7)),
        from_km=float(middle - half),
        to_km=float(middle + half),
        bend_km=float(random.uniform(-60, 160)),
        folds=folds,
        curl=float(random.uniform(0, 1.6)),
        width_km=float(np.exp(random.uniform(np.log(1.5), np.log(9)))),
        brightness_kr=float(np.exp(random.normal(2.0, 0.5))) * brightness,
        rays=float(random.uniform(0.35, 1.0)),
        ray_km=float(np.exp(random.uniform(np.log(300), np.log(1500)))),
        ray_offset_km=0.0,
        bottom_km=float(random.uniform(95, 120)),
        depth_km=float(random.uniform(12, 60)),
        red=_red(random),
        blue=float(random.uniform(0.05, 0.35)),
        seed=int(random.integers(2**30)),
    )


def draw_glow(random: np.random.Generator, north_km: float, brightness: float = 1.0) -> Glow:
    """Diffuse aurora."""
    return Glow(
        north_km=north_km,
        half_width_km=float(np.exp(random.uniform(np.log(60), np.log(400)))),
        tilt=float(random.normal(0, 0.2)),
        patchiness=float(random.choice([0.0, random.uniform(0, 1), random.uniform(0.6, 1)])),
        patch_km=float(np.exp(random.uniform(np.log(250), np.log(1400)))),
        offset_km=(0.0, 0.0),
        pulse=float(random.uniform()),
        pulsation=float(random.uniform(0.2, 0.9) if random.random() < 0.4 else 0.0),
        brightness_kr=float(np.exp(random.normal(0.5, 0.4))) * brightness,
        red=float(random.uniform(0.05, 0.5)) if random.random() < 0.85 else float(random.uniform(1, 3)),
        blue=float(random.uniform(0.05, 0.3)),
        seed=int(random.integers(2**30)),
    )


def _red(random: np.random.Generator) -> float:
    """Share of 630.0 nm: mostly little, at times most of the light."""
    return float(random.uniform(0.05, 0.6) if random.random() < 0.85 else random.uniform(0.8, 3.0))


def _decks(random: np.random.Generator, wanted: SkyClass) -> tuple[Deck, ...]:
    """Cloud for a class: overcast and broken for ``cloud``, mostly little for the rest."""
    if wanted is SkyClass.CLOUD:
        if random.random() < 0.45:
            return (_overcast(random),)
        deck = _broken(random, random.uniform(0.75, 0.99))
        return (deck, _overcast(random)) if random.random() < 0.2 else (deck,)
    chance = random.random()
    if chance < 0.5:
        return ()
    if chance < 0.7:
        return (_haze(random),)
    if wanted in (SkyClass.MOON, SkyClass.CLEAR):
        return (_broken(random, random.uniform(0.03, 0.35)),)
    if chance < 0.9:
        return (_broken(random, random.uniform(0.05, 0.9)),)
    # Overcast that opens towards one side: aurora shows in the gap above the horizon.
    deck = _overcast(random) if random.random() < 0.5 else _broken(random, random.uniform(0.7, 0.95))
    return (replace(deck, lean=float(random.uniform(0.6, 1.3)), lean_deg=float(random.uniform(0, 360))),)


def draw_cirrus(random: np.random.Generator) -> Cirrus:
    """A sheet of cirrus: scattered tufts and streaks, or a veil over all of the sky; thin more often than thick."""
    height = float(random.uniform(6.0, 12.0))
    is_wide = random.random() < 0.6
    return Cirrus(
        height_km=height,
        cover=float(random.uniform(0.75, 0.99) if is_wide else random.uniform(0.1, 0.75)),
        depth=float(np.exp(random.uniform(np.log(0.1), np.log(1.5)))),
        scale_km=height * float(np.exp(random.uniform(np.log(8), np.log(30)))),
        fibre_km=height * float(np.exp(random.uniform(np.log(1.5), np.log(8)))),
        stretch=float(np.exp(random.uniform(np.log(2.5), np.log(14)))),
        turn_deg=float(random.uniform(0, 360)),
        bend=float(random.uniform(0, 1)),
        texture=float(random.uniform(0.5, 1.2) if random.random() < 0.8 else random.uniform(0.15, 0.5)),
        halo=float(random.uniform(0.2, 1.0) if random.random() < 0.25 else 0.0),
        offset_km=(0.0, 0.0),
        seed=int(random.integers(2**30)),
    )


def _moon_of_any_height(random: np.random.Generator) -> Moon:
    """Every second one is low."""
    low = random.random() < 0.5
    return Moon(
        float(random.uniform(1, 20) if low else random.uniform(15, 75)),
        float(random.uniform(0, 360)),
        float(random.uniform(0.3, 1.0)),
    )


def draw_moonlit_cirrus(random: np.random.Generator) -> Scene:
    """A sky of cirrus, without aurora, that mostly a Moon of any height shines on."""
    scene, _ = draw_scene(random, SkyClass.MOON)
    moon = _moon_of_any_height(random)
    sheets = tuple(draw_cirrus(random) for _ in range(1 + int(random.random() < 0.35)))
    decks = () if random.random() < 0.8 else (_broken(random, random.uniform(0.03, 0.3)),)
    return replace(scene, moon=moon if random.random() < 0.85 else None, cirrus=sheets, decks=decks, forms=())


def draw_moonlit_clear(random: np.random.Generator) -> Scene:
    """A cloudless sky without aurora under a Moon of any height, often with the Milky Way."""
    scene, _ = draw_scene(random, SkyClass.CLEAR)
    moon = _moon_of_any_height(random)
    return replace(scene, moon=moon, cirrus=(), decks=(), forms=())


def _overcast(random: np.random.Generator) -> Deck:
    return _deck(random, 1.0, float(np.exp(random.uniform(np.log(0.9), np.log(6.0)))), 1.0)


def _broken(random: np.random.Generator, cover: float) -> Deck:
    return _deck(
        random, cover, float(np.exp(random.uniform(np.log(0.8), np.log(6.0)))), random.uniform(0, 0.8)
    )


def _haze(random: np.random.Generator) -> Deck:
    return _deck(random, 1.0, float(np.exp(random.uniform(np.log(0.03), np.log(0.4)))), 1.0)


def _deck(random: np.random.Generator, cover: float, depth: float, softness: float) -> Deck:
    height = float(np.exp(random.uniform(np.log(0.8), np.log(9.0))))
    return Deck(
        height_km=height,
        cover=float(cover),
        depth=float(depth),
        softness=float(softness),
        scale_km=height * float(np.exp(random.uniform(np.log(5), np.log(25)))),
        stretch=float(random.uniform(1, 5) if random.random() < 0.4 else 1.0),
        turn_deg=float(random.uniform(0, 360)),
        offset_km=(0.0, 0.0),
        seed=int(random.integers(2**30)),
        relief=float(np.exp(random.uniform(np.log(0.02), np.log(0.4)))),
        lean=float(random.uniform(0, 0.6) if random.random() < 0.3 else 0.0),
        lean_deg=float(random.uniform(0, 360)),
    )


def _moon(random: np.random.Generator, chance: float) -> Moon | None:
    if random.random() > chance:
        return None
    illuminated = random.uniform(0.25, 1.0) if chance == 1.0 else random.uniform(0.0, 1.0)
    low = random.random() < 0.35
    return Moon(
        float(random.uniform(0.5, 14) if low else random.uniform(5, 65)),
        float(random.uniform(0, 360)),
        float(illuminated),
    )


def _towns(random: np.random.Generator) -> tuple[Town, ...]:
    count = int(random.choice([0, 1, 1, 2, 3]))
    return tuple(
        Town(
            float(random.uniform(0, 360)),
            float(random.uniform(5, 35)),
            float(random.uniform(3, 20)),
            float(np.exp(random.uniform(np.log(0.3), np.log(12.0)))),
            float(random.uniform(0, 1) ** 0.5),
        )
        for _ in range(count)
    )


def _lamps(random: np.random.Generator) -> tuple[Lamp, ...]:
    count = int(random.choice([0, 0, 1, 2, 4]))
    return tuple(
        Lamp(
            float(random.uniform(-1, 5)),
            float(random.uniform(0, 360)),
            float(np.exp(random.uniform(np.log(10), np.log(1500)))),
            float(random.uniform(0, 1)),
        )
        for _ in range(count)
    )


def _skyline(random: np.random.Generator) -> Skyline:
    blocks = tuple(
        (float(random.uniform(0, 360)), float(random.uniform(3, 14)), float(random.uniform(5, 28)))
        for _ in range(int(random.choice([0, 0, 1, 2])))
    )
    masts = tuple(
        (float(random.uniform(0, 360)), float(random.uniform(8, 45)))
        for _ in range(int(random.choice([0, 0, 1, 3])))
    )
    return Skyline(
        base_deg=float(random.uniform(0, 4)),
        trees_deg=float(random.uniform(1, 8) if random.random() < 0.5 else 0.0),
        blocks=blocks,
        masts=masts,
        glow=float(random.uniform(0.0, 0.3)),
        seed=int(random.integers(2**30)),
    )


def _dome(random: np.random.Generator) -> Dome:
    dome = Dome(
        snow=float(random.uniform(0.02, 0.4) if random.random() < 0.06 else 0.0),
        dew=float(random.uniform(0.05, 0.5) if random.random() < 0.05 else 0.0),
        dirt=float(np.exp(random.uniform(np.log(0.002), np.log(0.05)))),
        seed=int(random.integers(2**30)),
        ghosts=int(random.choice([1, 1, 2, 4])),
    )
    return replace(dome, rings=_RINGS[dome.seed % len(_RINGS)])


def _direction(random: np.random.Generator) -> tuple[float, float, float]:
    vector = random.normal(0, 1, 3)
    east, north, up = vector / np.linalg.norm(vector)
    return float(east), float(north), float(up)
