"""What an all-sky frame shows: the network's classes and cloud, checked against Sun and Moon (numpy alone)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aurora import dome
from models.aurora.preparation import channels, geometry_of, lay_out
from models.registry import ModelDescription, load
from models.runtime import Runtime, Session
from observatory.analysis import AURORAL, ModelIdentity, Sky, SkyClass, SkyFacts
from observatory.errors import UnusableInputError
from observatory.fisheye import Fisheye, Projection
from observatory.frame import Frame
from observatory.sky import Site
from observatory.sky_facts import DAYLIGHT_DEG, aurora_rarity, facts_of, magnetic_latitude_deg
from observatory.sky_sectors import COUNT, sector_of
from observatory.sky_view import as_seen, circle_of, for_analysis

FloatArray = NDArray[np.floating]

_CLOUDY = 0.5  # probability from which a sector counts as cloudy
_LEAST_VISIBLE = 0.3  # share of a sector that must be seen for it to be judged
_MOON_DOWN_DEG = -1.0  # its radius, refraction, and the error of a site that is known to a degree
_FINE = 64  # cells along a side that sectors are summed over: the cloud map's own are as wide as a sector
_LEAST_SUM = 1e-6

NO_CIRCLE = "the circle of the sky was not found in the picture: give the camera's geometry in its settings"


@dataclass(frozen=True)
class Look:
    """What the network says of one frame.

    Attributes
    ----------
    sky : Sky
    cloud : ndarray, shape (g, g), float32 in 0-1, or None
        Probability of cloud on the box around the circle of the sky, rows and columns as in the frame; NaN
        where the sky is hidden. None where the sky was not judged, or the map not asked for.
    dome : float or None
        How far the dome is beyond being called covered by dew or snow, 1 is at it; None where nothing is
        said of it.
    """

    sky: Sky
    cloud: FloatArray | None = None
    dome: float | None = None


@dataclass(frozen=True)
class _Found:
    """What the network gives for one or several frames."""

    probabilities: FloatArray
    cloud: FloatArray
    features: FloatArray


class AuroraModel:
    """The network of auroral classes and cloud.

    Parameters
    ----------
    runtime : Runtime
    description : ModelDescription, optional
        Another network than the shipped one.

    Raises
    ------
    ModelError
        When the network is missing or altered.
    """

    name = "aurora"

    def __init__(self, runtime: Runtime, description: ModelDescription | None = None) -> None:
        self._runtime = runtime
        self.description = description or load(self.name)
        self._dome = dome.load(self.description.sha256)

    @property
    def identity(self) -> ModelIdentity:
        """What results keep of this model."""
        return self.description.identity

    @property
    def session(self) -> Session:
        """The network's session in this process."""
        return self._runtime.session(self.description.path)

    def warm_up(self) -> None:
        """Make the session and run it once."""
        self.session.warm_up()

    def analyse(self, frame: Frame, facts: SkyFacts | None = None) -> Sky:
        """Say what one frame shows; of a camera that nothing describes the circle is looked for."""
        small = for_analysis(frame)
        return self.look(small, circle_of(small), facts_of(frame) if facts is None else facts).sky

    def look(
        self,
        frame: Frame,
        circle: Fisheye | None,
        facts: SkyFacts,
        hidden: str | None = None,
        *,
        has_map: bool = True,
    ) -> Look:
        """Say what one frame shows, and where its clouds are.

        Parameters
        ----------
        frame : Frame
            At the size of the analysis; see `observatory.sky_view.for_analysis`.
        circle : Fisheye or None
            In its pixels; None where it was not found.
        facts : SkyFacts
        hidden : str or None
            What is already known to keep the sky from being judged.
        has_map : bool
            Whether the map of cloud on the frame is wanted.
        """
        reason = hidden or (NO_CIRCLE if circle is None else too_bright(facts))
        if reason is not None or circle is None:
            return self._not_judged(facts, reason)
        try:
            square = lay_out(frame.pixels, circle, frame.sky_mask)
        except UnusableInputError as error:
            return self._not_judged(facts, str(error))
        found = self._run(channels(square)[None])
        cloud = found.cloud[0]
        seen = as_seen(circle, frame.row_order)
        sky, covered = self._interpreted(frame, square.visible, seen, facts, found, cloud)
        if not has_map:
            return Look(sky, None, covered)
        return Look(sky, on_frame(np.where(square.visible >= _LEAST_VISIBLE, cloud, np.nan), seen), covered)

    def said_of(self, given: FloatArray) -> dict[str, FloatArray]:
        """Probabilities, cloud and features of prepared squares (n, 7, 128, 128), before any check."""
        return vars(self._run(given))

    def _run(self, given: FloatArray) -> _Found:
        return _Found(**self.session.run({"image": given}, ("probabilities", "cloud", "features")))

    def _interpreted(
        self,
        frame: Frame,
        visible: FloatArray,
        seen: Fisheye,
        facts: SkyFacts,
        found: _Found,
        cloud: FloatArray,
    ) -> tuple[Sky, float | None]:
        """The sky, and how far its dome is beyond being called covered."""
        sectors = by_sector(cloud, visible, seen)
        said = {name: float(value) for name, value in zip(SkyClass, found.probabilities[0], strict=True)}
        moonless, note = against_moon(said, facts)
        checked, rare = against_place(moonless, frame.site)
        sky = Sky(
            sky_class=max(checked, key=lambda name: checked[name]),
            probabilities=checked,
            cloud_cover=cover_of(sectors),
            cloud_sectors=sectors,
            features=np.asarray(found.features[0], np.float32),
            facts=facts,
            model=self.identity,
            note=rare or note,
        )
        covered = None
        if self._dome is not None:
            words = dome.words_of(found.features, found.probabilities, found.cloud)
            covered = self._dome.ratio(words[0])
        return sky, covered

    def _not_judged(self, facts: SkyFacts, reason: str | None) -> Look:
        sky = Sky(
            sky_class=None,
            probabilities={},
            cloud_cover=None,
            cloud_sectors=np.full(COUNT, np.nan, np.float32),
            features=np.zeros(0, np.float32),
            facts=facts,
            model=self.identity,
            reason=reason,
        )
        return Look(sky)


def too_bright(facts: SkyFacts) -> str | None:
    """Why the Sun keeps a sky from being judged; None where it does not, or where it is not known."""
    if facts.can_show_aurora is not False or facts.sun_elevation_deg is None:
        return None
    height = facts.sun_elevation_deg
    if height > DAYLIGHT_DEG:
        return f"daylight: the Sun stands {max(height, 0.0):.0f}° above the horizon"
    return f"bright twilight: the Sun stands {-height:.1f}° below the horizon"


def against_moon(said: Mapping[SkyClass, float], facts: SkyFacts) -> tuple[dict[SkyClass, float], str | None]:
    """Probabilities without the Moon where it is known to be down, and a note where that changes the class."""
    height = facts.moon_elevation_deg
    if height is None or height > _MOON_DOWN_DEG:
        return dict(said), None
    others: dict[SkyClass, float] = {name: value for name, value in said.items() if name is not SkyClass.MOON}
    whole = sum(others.values())
    rest: dict[SkyClass, float] = {
        name: value / whole if whole > _LEAST_SUM else 1.0 / len(others) for name, value in others.items()
    }
    checked = {name: rest.get(name, 0.0) for name in said}
    if max(said, key=lambda name: said[name]) is not SkyClass.MOON:
        return checked, None
    return checked, f"looked like the Moon, which stands {-height:.0f}° below the horizon"


def on_frame(cells: FloatArray, circle: Fisheye) -> FloatArray:
    """Lay a map of the square on the box around the circle in the frame, which differs by the lens.

    Parameters
    ----------
    cells : ndarray, shape (g, g)
        On the square, whose distance from the middle is the zenith distance.

    Returns
    -------
    ndarray, shape (g, g), float32
        Its edges are the edges of the box of the circle; NaN beyond the circle.
    """
    x, y = _places(circle.projection, circle.max_zenith_deg, cells.shape[0])
    laid = cv2.remap(cells.astype(np.float32), x, y, cv2.INTER_NEAREST, borderValue=float("nan"))
    return np.asarray(laid)


@lru_cache(maxsize=32)
def _places(projection: Projection, max_zenith_deg: float, side: int) -> tuple[FloatArray, FloatArray]:
    """Cell (x, y) of the square that each cell of the box around the circle looks at; far off beyond 90°."""
    middle = side / 2 - 0.5
    lens = Fisheye(middle, middle, side / 2, max_zenith_deg=max_zenith_deg, projection=projection)
    zenith, azimuth = lens.directions((side, side))
    beyond = ~(zenith <= 90.0)  # also where the lens cannot look at all
    x, y = geometry_of(lens, side).pixel(np.where(beyond, 999.0, zenith), azimuth)
    return x.astype(np.float32), y.astype(np.float32)


def against_place(
    said: Mapping[SkyClass, float], site: Site | None
) -> tuple[dict[SkyClass, float], str | None]:
    """Probabilities with what is known of how often a place has aurora, and a note where that changes the class.

    The network learned where every other sky has aurora; over places far from the auroral zone as much
    light of the same look is something else nearly every time (Bayes).
    """
    rarity = aurora_rarity(site)
    if site is None or rarity >= 1.0:
        return dict(said), None
    weighed = {name: value * (rarity if name in AURORAL else 1.0) for name, value in said.items()}
    whole = sum(weighed.values())
    if whole <= _LEAST_SUM:
        return dict(said), None
    checked = {name: value / whole for name, value in weighed.items()}
    before, after = (max(each, key=lambda name: each[name]) for each in (said, checked))
    if before is after or before not in AURORAL:
        return checked, None
    latitude = magnetic_latitude_deg(site)
    return checked, f"looked like aurora ({before.value}), which is rare at {latitude:.0f}° magnetic latitude"


def by_sector(cloud: FloatArray, visible: FloatArray, seen: Fisheye) -> NDArray[np.float32]:
    """Mean probability of cloud in each of the 33 sectors; NaN where a sector is hidden.

    Parameters
    ----------
    cloud, visible : ndarray, shape (g, g)
        On the square laid over the circle.
    seen : Fisheye
        Geometry of the camera with its azimuths; see `observatory.sky_view.as_seen`.
    """
    share = np.ascontiguousarray(visible, np.float32)
    means = _sector_means(
        share.tobytes(), share.shape[0], seen.up_azimuth_deg, is_clockwise=seen.is_clockwise
    )
    return np.clip(means @ cloud.ravel(), 0.0, 1.0).astype(np.float32)


def cover_of(sectors: FloatArray) -> float | None:
    """Share of the visible sectors that are cloudy; None where none is visible."""
    known = sectors[np.isfinite(sectors)]
    return float(np.count_nonzero(known >= _CLOUDY) / known.size) if known.size else None


@lru_cache(maxsize=64)
def _sector_means(
    visible: bytes, side: int, up_azimuth_deg: float, *, is_clockwise: bool
) -> NDArray[np.float64]:
    """What each cell of a map of ``side`` by ``side`` adds to the mean of each sector; NaN for hidden sectors.

    Returns
    -------
    ndarray, shape (33, side * side)
    """
    sector, count = _sectors(up_azimuth_deg, is_clockwise=is_clockwise)
    share = _enlarged(np.frombuffer(visible, np.float32).reshape(side, side)).ravel()
    weight = np.bincount(sector, share, COUNT + 1)[:COUNT]
    weight[weight < _LEAST_VISIBLE * count] = np.nan
    means = np.empty((COUNT, side * side))
    for cell in range(side * side):
        alone = np.zeros(side * side, np.float32)
        alone[cell] = 1.0
        filled = _enlarged(alone.reshape(side, side)).ravel()
        means[:, cell] = np.bincount(sector, share * filled, COUNT + 1)[:COUNT] / weight
    return means


def _enlarged(cells: FloatArray) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(cells, (_FINE, _FINE), interpolation=cv2.INTER_LINEAR), np.float32)


@lru_cache(maxsize=64)
def _sectors(up_azimuth_deg: float, *, is_clockwise: bool) -> tuple[NDArray[np.intp], FloatArray]:
    """Sector of every fine cell, `COUNT` for none, and how many cells each has."""
    known = Fisheye(0.0, 0.0, 1.0, up_azimuth_deg=up_azimuth_deg, is_clockwise=is_clockwise, is_oriented=True)
    sector = sector_of(*geometry_of(known, _FINE).directions((_FINE, _FINE))).astype(np.intp).ravel()
    sector[sector < 0] = COUNT
    return sector, np.bincount(sector, minlength=COUNT + 1)[:COUNT].astype(float)
