"""What aurora does in a simulated night: quiet arcs, break-up, pulsating patches.

The course of a substorm after Akasofu (1964, Planetary and Space Science 12, 273): an arc drifts towards the
equator for an hour, brightens within a minute, breaks up into folds and rays that rush polewards, and fades
through patches that pulse and drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.simulate.allsky_scene import Curtain, Fold, Glow
from observatory.analysis import SkyClass

_HOUR_S = 3600.0
_LOADING_S = 5400.0  # between two break-ups the tail has to load again


@dataclass(frozen=True)
class Substorm:
    """One substorm; times in seconds from local noon.

    Attributes
    ----------
    onset_s : float
    growth_s, expansion_s, recovery_s : float
        How long its phases last.
    far_km, near_km : float
        Where its arc comes from, and where it breaks up; poleward of the site.
    strength_kr : float
        Brightness of the break-up.
    poleward : int
        1 in the north, -1 in the south.
    seed : int
    """

    onset_s: float
    growth_s: float
    expansion_s: float
    recovery_s: float
    far_km: float
    near_km: float
    strength_kr: float
    poleward: int
    seed: int

    @property
    def start_s(self) -> float:
        """When its arc appears."""
        return self.onset_s - self.growth_s

    @property
    def end_s(self) -> float:
        """When nothing is left of it."""
        return self.onset_s + self.expansion_s + self.recovery_s

    def arc_km(self, seconds: float) -> float:
        """Where its arc, later its middle, lies: poleward of the site."""
        if seconds <= self.onset_s:
            share = np.clip((seconds - self.start_s) / self.growth_s, 0, 1)
            return float(self.far_km + (self.near_km - self.far_km) * share)
        share = np.clip((seconds - self.onset_s) / self.expansion_s, 0, 1)
        return float(self.near_km + 220.0 * share)

    def brightness_kr(self, seconds: float) -> tuple[float, float, float]:
        """Of its arc, its break-up and its patches."""
        since = seconds - self.onset_s
        if since < 0:
            arc = np.clip((seconds - self.start_s) / 600.0, 0, 1) * (
                2.5 + 5.0 * np.clip(1 + since / self.growth_s, 0, 1)
            )
            # The last two minutes before it breaks up.
            return float(arc * (1.0 + np.clip(1.0 + since / 120.0, 0, 1))), 0.0, 0.0
        rise, fall = (
            np.clip(since / 60.0, 0, 1),
            np.clip((since - 0.6 * self.expansion_s) / self.expansion_s, 0, 1),
        )
        bright = self.strength_kr * rise * (1.0 - fall)
        into = np.clip((since - 0.4 * self.expansion_s) / (0.6 * self.expansion_s), 0, 1)
        out = np.clip((since - self.expansion_s) / self.recovery_s, 0, 1)
        return 0.0, float(bright), float(0.12 * self.strength_kr * into * (1.0 - out))


def draw_substorms(random: np.random.Generator, activity: float, poleward: int) -> tuple[Substorm, ...]:
    """The substorms of a night, about local midnight."""
    count = int(random.poisson(2.2 * activity)) if activity > 0.05 else 0
    if activity > 0.45:
        count = max(count, 1)
    storms: list[Substorm] = []
    for hours in np.sort(random.uniform(7.5, 15.5, count)):
        if storms and hours * _HOUR_S < storms[-1].onset_s + _LOADING_S:
            continue
        storms.append(
            Substorm(
                onset_s=float(hours * _HOUR_S),
                growth_s=float(random.uniform(2400, 5400)),
                expansion_s=float(random.uniform(700, 1800)),
                recovery_s=float(random.uniform(2400, 6000)),
                far_km=float(random.uniform(250, 600)),
                near_km=float(random.normal(20, 120)),
                strength_kr=float(np.exp(random.normal(3.1, 0.45)) * (0.5 + activity)),
                poleward=poleward,
                seed=int(random.integers(2**30)),
            )
        )
    return tuple(storms)


def forms_at(storms: tuple[Substorm, ...], seconds: float) -> tuple[Curtain | Glow, ...]:
    """What of the substorms can be seen, seconds after local noon."""
    forms: list[Curtain | Glow] = []
    for storm in storms:
        if storm.start_s < seconds < storm.end_s:
            arc, bright, patches = storm.brightness_kr(seconds)
            if arc > 0.05:
                forms.extend(_arcs(storm, seconds, arc))
            if bright > 0.1:
                forms.extend(_broken(storm, seconds, bright))
            if patches > 0.05:
                forms.append(_patches(storm, seconds, patches))
    return tuple(forms)


def _arcs(storm: Substorm, seconds: float, brightness_kr: float) -> list[Curtain]:
    """The quiet arc, and a fainter neighbour."""
    random = np.random.default_rng((storm.seed, 1))
    north = storm.poleward * storm.arc_km(seconds)
    tilt, phase, length = random.normal(0, 0.12), random.uniform(0, 6.3), random.uniform(500, 1300)
    arcs = []
    for number in range(1 + int(random.random() < 0.5)):
        arcs.append(
            Curtain(
                sky_class=SkyClass.ARC,
                north_km=north + storm.poleward * 70.0 * number,
                tilt=float(tilt),
                from_km=-1300.0,
                to_km=1300.0,
                bend_km=storm.poleward * float(random.uniform(20, 120)),
                folds=(Fold(float(random.uniform(3, 14)), float(length), float(phase + seconds / 240.0)),),
                curl=0.0,
                width_km=float(random.uniform(5, 14)),
                brightness_kr=brightness_kr * (0.5 if number else 1.0),
                rays=0.1,
                ray_km=float(random.uniform(400, 800)),
                ray_offset_km=0.15 * (seconds - storm.onset_s),
                bottom_km=float(random.uniform(102, 112)),
                depth_km=float(random.uniform(9, 16)),
                red=float(random.uniform(0.1, 0.5)),
                blue=0.12,
                seed=storm.seed + number,
            )
        )
    return arcs


def _broken(storm: Substorm, seconds: float, brightness_kr: float) -> list[Curtain]:
    """Folded and rayed bands that rush polewards."""
    random = np.random.default_rng((storm.seed, 2))
    since = seconds - storm.onset_s
    spread = 0.25 + 0.75 * np.clip(since / storm.expansion_s, 0, 1)
    bands = []
    for _ in range(int(random.integers(2, 5))):
        offset, length = random.uniform(-120, 260), np.exp(random.uniform(np.log(90), np.log(500)))
        speed = random.choice([-1, 1]) * random.uniform(0.3, 1.5)
        folds = (
            Fold(
                float(random.uniform(0.08, 0.2) * length * spread),
                float(length),
                float(since / random.uniform(20, 60)),
            ),
            Fold(
                float(random.uniform(15, 60) * spread), float(random.uniform(600, 1400)), float(since / 150.0)
            ),
        )
        bands.append(
            Curtain(
                sky_class=SkyClass.DISCRETE,
                north_km=storm.poleward * (storm.arc_km(seconds) + offset * spread),
                tilt=float(random.normal(0, 0.35)),
                from_km=float(-400 - 900 * spread),
                to_km=float(300 + 900 * spread),
                bend_km=storm.poleward * float(random.uniform(-40, 120)),
                folds=folds,
                curl=float(random.uniform(0, 1.4)),
                width_km=float(random.uniform(2, 7)),
                brightness_kr=brightness_kr * float(random.uniform(0.5, 1.0)),
                rays=float(random.uniform(0.5, 1.0)),
                ray_km=float(random.uniform(300, 900)),
                ray_offset_km=float(speed * since),
                bottom_km=float(random.uniform(96, 108)),
                depth_km=float(random.uniform(15, 45)),
                red=float(random.uniform(0.1, 0.7)),
                blue=float(random.uniform(0.1, 0.22)),
                seed=int(random.integers(2**30)),
            )
        )
    return bands


def _patches(storm: Substorm, seconds: float, brightness_kr: float) -> Glow:
    """Diffuse aurora of the recovery: patches that pulse every ten seconds and drift eastwards."""
    random = np.random.default_rng((storm.seed, 3))
    since = seconds - storm.onset_s
    return Glow(
        north_km=storm.poleward * (storm.near_km + 60.0),
        half_width_km=float(random.uniform(180, 380)),
        tilt=float(random.normal(0, 0.1)),
        patchiness=float(random.uniform(0.5, 1.0)),
        patch_km=float(random.uniform(450, 1100)),
        offset_km=(0.5 * since, -storm.poleward * 0.05 * since),
        pulse=since / float(random.uniform(6, 14)),
        pulsation=float(random.uniform(0.2, 0.7)),
        brightness_kr=brightness_kr,
        red=float(random.uniform(0.1, 0.3)),
        blue=float(random.uniform(0.08, 0.18)),
        seed=storm.seed,
    )
