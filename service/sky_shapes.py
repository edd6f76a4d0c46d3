"""What is said of a sky, as the public face tells it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from observatory.analysis import SkyClass


class DisturbanceShape(BaseModel):
    """What a station's magnetometer would feel, told from the sky and not measured, nT.

    `is_simulated`: the station's model learned from a simulated magnetometer.
    """

    x_nt: float
    y_nt: float
    z_nt: float
    is_simulated: bool
    model: str | None = None


class SiteShape(BaseModel):
    """Where a camera stands; longitudes count eastwards."""

    latitude_deg: float
    longitude_deg: float
    height_m: float


class SkyShape(BaseModel):
    """What an all-sky frame shows.

    `sky_class` is null where the sky cannot be judged, and `reason` says why; `note` says what is known from
    elsewhere and changed the class. Sun and Moon: heights above the horizon without refraction.
    """

    sky_class: SkyClass | None
    reason: str | None
    note: str | None
    probabilities: dict[SkyClass, float]
    aurora_probability: float | None
    cloud_cover: float | None
    sun_elevation_deg: float | None
    moon_elevation_deg: float | None
    moon_azimuth_deg: float | None
    moon_illuminated: float | None
    can_show_aurora: bool | None
    site: SiteShape | None
    model: str | None
    disturbance: DisturbanceShape | None


class SkyPoint(BaseModel):
    """One frame's sky, or one bin of several.

    Of a bin `sky_class` is the commonest, `aurora_occurrence` the share of frames that show aurora, and the
    other numbers are means.
    """

    time: datetime
    instrument: str
    sky_class: SkyClass | None
    probabilities: dict[SkyClass, float]
    aurora_probability: float | None
    cloud_cover: float | None
    frame_id: int | None = None
    reason: str | None = None
    sun_elevation_deg: float | None = None
    moon_elevation_deg: float | None = None
    disturbance: DisturbanceShape | None = None
    frames: int | None = None
    aurora_occurrence: float | None = None


class SkySeries(BaseModel):
    """Skies over time. `is_truncated`: there are more than were asked for."""

    bin_s: int | None
    is_truncated: bool
    items: list[SkyPoint]
    next: str | None


class FootprintProperties(BaseModel):
    """What a footprint is of.

    `site` is [longitude, latitude] of the camera; `is_oriented` says whether the camera's azimuths are known:
    otherwise the whole circle is given, also where the picture's edges cut it.
    """

    frame_id: int
    instrument: str | None
    date_obs: datetime | None
    altitude_km: float
    elevation_min_deg: float
    is_oriented: bool
    site: tuple[float, float]


class FootprintGeometry(BaseModel):
    """GeoJSON's: a polygon, or several where the date line cuts it."""

    type: str
    coordinates: list[list[tuple[float, float]]] | list[list[list[tuple[float, float]]]]


class FootprintShape(BaseModel):
    """A GeoJSON feature."""

    type: str
    id: int
    geometry: FootprintGeometry
    properties: FootprintProperties
