"""A simulated night at a site: Sun, Moon and stars as they are, a substorm or two, cloud moving through.

`Night.scene_at` holds the sky of any moment; `Night.frame_at` photographs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.simulate.allsky import SimulatedSky, SkyTruth, photograph
from models.simulate.allsky_cameras import TESTING_KINDS, Camera, CameraKind, draw_camera
from models.simulate.allsky_forms import Substorm, draw_substorms, forms_at
from models.simulate.allsky_sampling import draw_cirrus
from models.simulate.allsky_scene import Cirrus, Deck, Dome, Moon, Scene, View
from models.simulate.allsky_sites import TESTING_SITES, SimulatedSite
from models.simulate.magnetometer import disturbance_nt, recorded
from models.simulate.stars import GALACTIC_POLE_DEG, directions, stars_above
from observatory.fisheye import Fisheye
from observatory.magnetometer import MagneticSeries
from observatory.moon import moon_illuminated, moon_position
from observatory.sky import sun_azimuth_deg, sun_elevation_deg

_HOUR_S = 3600.0
_CIRRUS = 1 / 6  # share of the nights


class Weather(StrEnum):
    """How the cloud of a night goes."""

    CLEAR = "clear"
    HAZE = "haze"
    BROKEN = "broken"
    PASSING = "passing"
    OVERCAST = "overcast"


@dataclass(frozen=True)
class _Cloud:
    """The decks of a night: cover at the hours from local noon, and a wind; cirrus with its own."""

    decks: tuple[Deck, ...]
    hours: NDArray[np.float64]
    covers: NDArray[np.float64]
    wind_km_s: tuple[float, float]
    sheet: Cirrus | None = None
    sheet_covers: NDArray[np.float64] | None = None
    jet_km_s: tuple[float, float] = (0.0, 0.0)


class Night:
    """One night.

    Parameters
    ----------
    place : SimulatedSite
    evening : date
        Local date of its evening.
    seed : int
        The same seed gives the same night.
    weather : Weather or None
        None: drawn.
    activity : float or None
        0 (no aurora) to 1; None: drawn about the site's own.

    Attributes
    ----------
    noon_s : float
        POSIX seconds of the mean local noon that the night follows.
    substorms : tuple of Substorm
        What the aurora does; empty for a quiet night.
    """

    def __init__(
        self,
        place: SimulatedSite,
        evening: date,
        seed: int = 1,
        *,
        weather: Weather | None = None,
        activity: float | None = None,
    ) -> None:
        random = np.random.default_rng((seed, evening.toordinal()))
        self.place, self.evening, self._seed = place, evening, seed
        noon = datetime(evening.year, evening.month, evening.day, 12, tzinfo=UTC).timestamp()
        self.noon_s = noon - place.site.longitude_deg / 15.0 * _HOUR_S
        drawn = float(np.clip(place.aurora * random.uniform(0.3, 1.5), 0, 1))
        self.activity = drawn if activity is None else activity
        self.weather = weather or list(Weather)[int(random.integers(len(Weather)))]
        self.substorms: tuple[Substorm, ...] = draw_substorms(random, self.activity, place.poleward)
        self._cloud = _draw_cloud(random, self.weather)
        if weather is None:
            # Drawn apart: nights without cirrus are the same as ever.
            self._cloud = _with_cirrus(np.random.default_rng((seed, evening.toordinal(), 5)), self._cloud)
        self._dome = Dome(dirt=float(np.exp(random.uniform(np.log(0.002), np.log(0.03)))), seed=seed)
        self._airglow_kr = float(random.uniform(0.15, 0.4))
        self._milky_way = float(random.uniform(0.5, 1.0))

    def scene_at(self, time_s: float) -> Scene:
        """The sky at a moment, POSIX seconds."""
        site, moment = self.place.site, np.asarray([time_s])
        elevation, azimuth = moon_position(moment, site)
        moon = Moon(float(elevation[0]), float(azimuth[0]), float(moon_illuminated(moment)[0]))
        ra, dec = (np.asarray([angle]) for angle in GALACTIC_POLE_DEG)
        pole = directions(ra, dec, time_s, site)[0]
        return Scene(
            sun_elevation_deg=float(sun_elevation_deg(moment, site)[0]),
            sun_azimuth_deg=float(sun_azimuth_deg(moment, site)[0]),
            stars=stars_above(time_s, site),
            moon=moon,
            airglow_kr=self._airglow_kr,
            airglow_waves=0.1,
            milky_way=(float(pole[0]), float(pole[1]), float(pole[2])),
            milky_way_level=self._milky_way,
            forms=forms_at(self.substorms, time_s - self.noon_s),
            decks=self._decks_at(time_s - self.noon_s),
            cirrus=self._cirrus_at(time_s - self.noon_s),
            towns=self.place.towns,
            lamps=self.place.lamps,
            veil=self.place.veil,
            skyline=self.place.skyline,
            dome=self._dome,
            field_dip_deg=self.place.dip_deg,
            field_poleward=self.place.poleward,
            seed=self._seed,
        )

    def frame_at(self, time: datetime, camera: Camera, *, view: View | None = None) -> SimulatedSky:
        """What a camera at the site sees.

        Parameters
        ----------
        time : datetime
            Aware.
        camera : Camera
            Oriented; see `night_camera`.
        view : View, optional
            The camera's, where many frames are taken.
        """
        time_s = time.timestamp()
        noise = np.random.default_rng((self._seed, int(time_s * 10)))
        felt = self.disturbance_nt(np.asarray([time_s]))[0]
        x, y, z = (float(value) for value in felt)
        return photograph(self.scene_at(time_s), camera, noise, view=view, disturbance_nt=(x, y, z))

    def disturbance_nt(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the site's magnetometer feels: north, east and down in nT, shape (n, 3)."""
        return disturbance_nt(self.substorms, np.asarray(times_s) - self.noon_s, self._seed)

    def magnetometer(self, times_s: NDArray[np.float64]) -> MagneticSeries:
        """What the station's magnetometer records at POSIX seconds; the whole field, marked as simulated."""
        return recorded(self.place, self.substorms, self.noon_s, times_s, self._seed)

    def onsets(self) -> tuple[datetime, ...]:
        """When its substorms break up."""
        return tuple(datetime.fromtimestamp(self.noon_s + one.onset_s, UTC) for one in self.substorms)

    def _decks_at(self, seconds: float) -> tuple[Deck, ...]:
        cloud = self._cloud
        cover = float(np.interp(seconds / _HOUR_S, cloud.hours, cloud.covers))
        if cover < 0.01:
            return ()
        east, north = (speed * seconds for speed in cloud.wind_km_s)
        return tuple(
            replace(deck, cover=min(cover * deck.cover, 1.0), offset_km=(east, north)) for deck in cloud.decks
        )

    def _cirrus_at(self, seconds: float) -> tuple[Cirrus, ...]:
        cloud = self._cloud
        if cloud.sheet is None or cloud.sheet_covers is None:
            return ()
        cover = float(np.interp(seconds / _HOUR_S, cloud.hours, cloud.sheet_covers))
        if cover < 0.02:
            return ()
        east, north = (speed * seconds for speed in cloud.jet_km_s)
        return (replace(cloud.sheet, cover=cover, offset_km=(east, north)),)


def night_camera(kind: CameraKind, seed: int = 1, size_px: int = 240) -> Camera:
    """A camera that stands level with north up and east left, its whole sky in the picture, nothing printed."""
    plain = replace(kind, cut=(0.0, 0.0), captions=0.0, mask=0.0)
    camera = draw_camera(np.random.default_rng((seed, 29)), plain, size_px)
    circle: Fisheye = replace(camera.circle, up_azimuth_deg=0.0, is_clockwise=False)
    return replace(camera, circle=circle)


def sample_of_nights(
    random: np.random.Generator,
    size_px: int = 128,
    kinds: Sequence[CameraKind] = TESTING_KINDS,
    sites: Sequence[SimulatedSite] = TESTING_SITES,
) -> tuple[NDArray[np.generic], Fisheye, SkyTruth]:
    """One frame of a random night at a random site, the Sun at least 6 degrees down; often of a substorm.

    Returns
    -------
    pixels, circle, truth
        As `models.simulate.allsky_sampling.sample`.
    """
    scene = scene_of_nights(random, sites)
    camera = draw_camera(random, kinds[int(random.integers(len(kinds)))], size_px)
    taken = photograph(scene, camera, random)
    return taken.pixels, taken.circle, taken.truth


def scene_of_nights(random: np.random.Generator, sites: Sequence[SimulatedSite] = TESTING_SITES) -> Scene:
    """A moment of a random night at a random site, the Sun at least 6 degrees down; often of a substorm."""
    place = sites[int(random.integers(len(sites)))]
    while True:
        evening = date.fromordinal(date(2010, 1, 1).toordinal() + int(random.integers(5500)))
        night = Night(place, evening, int(random.integers(2**31)))
        time_s = night.noon_s + _moment(random, night)
        if float(sun_elevation_deg(np.asarray([time_s]), place.site)[0]) < -6.0:
            return night.scene_at(time_s)


def _moment(random: np.random.Generator, night: Night) -> float:
    """Seconds from noon: two in three in one of the phases of a substorm, where there is one."""
    if not night.substorms or random.random() < 1 / 3:
        return float(random.uniform(4, 20) * _HOUR_S)
    storm = night.substorms[int(random.integers(len(night.substorms)))]
    spans = (
        (storm.start_s, storm.onset_s),
        (storm.onset_s, storm.onset_s + storm.expansion_s),
        (storm.onset_s + storm.expansion_s, storm.end_s),
    )
    return float(random.uniform(*spans[int(random.integers(3))]))


def _with_cirrus(random: np.random.Generator, cloud: _Cloud) -> _Cloud:
    """The same night, in one of six with cirrus that comes and goes along its fibres with the jet stream."""
    if random.random() > _CIRRUS:
        return cloud
    swing = np.convolve(random.normal(0, 1, len(cloud.hours) + 6), np.ones(7) / 7, mode="valid")
    sheet = draw_cirrus(random)
    covers = np.clip(sheet.cover + 0.7 * swing, 0.0, 0.99)
    towards, speed = np.radians(sheet.turn_deg), random.uniform(0.01, 0.05)
    jet = (float(speed * np.cos(towards)), float(speed * np.sin(towards)))
    return replace(cloud, sheet=sheet, sheet_covers=covers, jet_km_s=jet)


def _draw_cloud(random: np.random.Generator, weather: Weather) -> _Cloud:
    """Decks and covers of a night."""
    hours = np.arange(0.0, 25.0)
    swing = np.convolve(random.normal(0, 1, len(hours) + 4), np.ones(5) / 5, mode="valid")
    height = float(np.exp(random.uniform(np.log(1.0), np.log(6.0))))
    deck = Deck(
        height_km=height,
        cover=1.0,
        depth=float(random.uniform(1.5, 5.0)),
        softness=float(random.uniform(0.1, 0.6)),
        scale_km=height * float(random.uniform(8, 20)),
        stretch=float(random.uniform(1, 3)),
        turn_deg=float(random.uniform(0, 180)),
        offset_km=(0.0, 0.0),
        seed=int(random.integers(2**30)),
        relief=float(random.uniform(0.08, 0.35)),
    )
    if weather is Weather.CLEAR:
        covers = np.zeros(len(hours))
    elif weather is Weather.HAZE:
        covers, deck = np.ones(len(hours)), replace(deck, depth=float(random.uniform(0.04, 0.3)), relief=0.05)
    elif weather is Weather.BROKEN:
        covers = np.clip(0.5 + 0.6 * swing, 0.08, 0.97)
    elif weather is Weather.PASSING:
        middle, width = random.uniform(7, 18), random.uniform(1.0, 3.0)
        covers = np.clip(1.5 * np.exp(-(((hours - middle) / width) ** 2)), 0, 1)
    else:
        covers = np.clip(1.05 + 0.15 * swing, 0.85, 1.0)
    speed, towards = random.uniform(0.004, 0.02), random.uniform(0, 2 * np.pi)
    wind = (float(speed * np.sin(towards)), float(speed * np.cos(towards)))
    return _Cloud((deck,), hours, covers, wind)
