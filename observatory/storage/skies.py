"""What all-sky frames showed: one row a frame, written with its result; and the features, for learning.

A frame has one row: what the run that ended last said of its sky. The results keep what every run said; the
features are in the row alone, as float16: a network's features differ by more between two exposures of one
sky than by the 0.05 % that this rounding takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, bindparam, select, tuple_, update

from observatory.analysis import Disturbance, Sky, SkyClass
from observatory.fisheye import Fisheye, Projection
from observatory.frame import Frame
from observatory.sky import Site
from observatory.storage.regions import FrameFacts
from observatory.storage.schema import frames
from observatory.storage.session import Database
from observatory.storage.sky_schema import PROBABILITIES, skies
from observatory.storage.texts import plain_text

ANALYSIS = "sky"
"""Name of the finding. Its payload is `sky_payload`."""

DISTURBANCE_ANALYSIS = "disturbance"
"""Name of the finding that `disturbance_payload` is the payload of."""

PICTURES = ("cloud-map",)
"""Kinds of products that show what was said of a sky."""

_DIGITS = 6
_STORED = np.dtype("<f2")
_LARGEST = float(np.finfo(_STORED).max)
_REASON_LENGTH = 2000
_PAGE = 1000


@dataclass(frozen=True)
class NewSky:
    """What a run said of a frame's sky, ready to be written.

    Attributes
    ----------
    site : Site or None
        Where the camera stands.
    fisheye : Fisheye or None
        How its lens lies on the detector.
    shape : tuple (height, width) or None
        Of the frame.
    """

    sky: Sky
    site: Site | None = None
    fisheye: Fisheye | None = None
    shape: tuple[int, int] | None = None

    @classmethod
    def of(cls, frame: Frame, sky: Sky | None) -> NewSky | None:
        """What is to be kept of a frame; None where nothing was said of its sky."""
        if sky is None:
            return None
        return cls(sky, frame.site, frame.fisheye, (frame.height, frame.width))


def sky_payload(sky: Sky) -> dict[str, Any]:
    """What a result keeps of a sky, to six digits; its features are in the frame's row of `skies`.

    Returns
    -------
    dict
        ``sky_class``, ``reason``, ``note``, ``probabilities`` (class to number, empty where the sky
        cannot be judged), ``aurora_probability``, ``cloud_cover``, ``cloud_sectors`` (33, None where hidden),
        ``sun_elevation_deg``, ``moon_elevation_deg``, ``moon_azimuth_deg``, ``moon_illuminated``,
        ``can_show_aurora`` and ``model`` (label).
    """
    facts = sky.facts
    return {
        "sky_class": None if sky.sky_class is None else sky.sky_class.value,
        "reason": sky.reason,
        "note": sky.note,
        "probabilities": {
            name.value: _rounded(sky.probabilities[name]) for name in SkyClass if name in sky.probabilities
        },
        "aurora_probability": _rounded(sky.aurora_probability),
        "cloud_cover": _rounded(sky.cloud_cover),
        "cloud_sectors": [_rounded(value) for value in np.asarray(sky.cloud_sectors).tolist()],
        "sun_elevation_deg": _rounded(facts.sun_elevation_deg),
        "moon_elevation_deg": _rounded(facts.moon_elevation_deg),
        "moon_azimuth_deg": _rounded(facts.moon_azimuth_deg),
        "moon_illuminated": _rounded(facts.moon_illuminated),
        "can_show_aurora": None if facts.can_show_aurora is None else bool(facts.can_show_aurora),
        "model": sky.model.label,
    }


def disturbance_payload(disturbance: Disturbance) -> dict[str, Any]:
    """What a result keeps of a disturbance, to a thousandth of a nanotesla."""
    return {
        "x_nt": round(float(disturbance.x_nt), 3),
        "y_nt": round(float(disturbance.y_nt), 3),
        "z_nt": round(float(disturbance.z_nt), 3),
        "is_simulated": bool(disturbance.is_simulated),
        "model": disturbance.model.label,
    }


def short(sky: Sky) -> dict[str, Any]:
    """What the event of a result tells of a sky."""
    payload = sky_payload(sky)
    return {name: payload[name] for name in ("sky_class", "reason", "aurora_probability", "cloud_cover")}


def _rounded(value: float | None) -> float | None:
    """Six decimals; None for what is no number, which JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)


def write(
    db: Database,
    connection: Connection,
    frame: FrameFacts,
    new: NewSky | None,
    disturbance: Disturbance | None,
    software_version: str,
) -> None:
    """Write what a run said of a frame's sky, inside the caller's transaction.

    A run that says nothing of it leaves what was said before, and so with the disturbance, which a sky that
    cannot be judged does not have.
    """
    felt = {} if disturbance is None else disturbance_payload(disturbance)
    if disturbance is None and new is not None and new.sky.sky_class is None:
        felt = dict.fromkeys(_DISTURBANCE)
    felt = {f"disturbance_{name}": value for name, value in felt.items()}
    if new is not None:
        db.upsert(connection, skies, _row(frame, new, software_version) | felt, ["frame_id"])
    elif felt:
        connection.execute(update(skies).where(skies.c.frame_id == frame.id).values(felt))


def _row(frame: FrameFacts, new: NewSky, software_version: str) -> dict[str, Any]:
    payload = sky_payload(new.sky)
    return {
        "frame_id": frame.id,
        "instrument": frame.instrument,
        "moment": frame.moment,
        "is_dated": frame.date_obs is not None,
        **{name: payload[name] for name in _OF_PAYLOAD},
        "reason": _words(new.sky.reason),
        "note": _words(new.sky.note),
        **dict(zip(PROBABILITIES, map(payload["probabilities"].get, SkyClass), strict=True)),
        "cloud_sectors": as_bytes(new.sky.cloud_sectors),
        "features": as_bytes(new.sky.features),
        **_place(new),
        "model_name": new.sky.model.name,
        "model_version": new.sky.model.version,
        "model_sha256": new.sky.model.sha256,
        "software_version": software_version,
    }


def _words(text: str | None) -> str | None:
    return None if text is None else plain_text(text[:_REASON_LENGTH])


_FACTS = (
    "sun_elevation_deg",
    "moon_elevation_deg",
    "moon_azimuth_deg",
    "moon_illuminated",
    "can_show_aurora",
)
_OF_PAYLOAD = ("sky_class", "aurora_probability", "cloud_cover", *_FACTS)


def _place(new: NewSky) -> dict[str, Any]:
    site = new.site
    return {
        "latitude_deg": None if site is None else float(site.latitude_deg),
        "longitude_deg": None if site is None else float(site.longitude_deg),
        "height_m": None if site is None else float(site.height_m),
        "geometry": _geometry(new),
    }


def _geometry(new: NewSky) -> dict[str, Any] | None:
    if new.fisheye is None or new.shape is None:
        return None
    height, width = new.shape
    said = {name: _plain(value) for name, value in asdict(new.fisheye).items()}
    if not all(math.isfinite(value) for value in said.values() if isinstance(value, float)):
        return None  # a lens that looks nowhere: JSON could not hold it
    return said | {"width_px": int(width), "height_px": int(height)}


def _plain(value: Any) -> Any:
    """A number as Python's own: fits and skymaps bring numpy's, which JSON does not know."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return float(value) if isinstance(value, int | float | np.number) else value


_DISTURBANCE = ("x_nt", "y_nt", "z_nt", "is_simulated", "model")


def as_bytes(values: NDArray[np.floating]) -> bytes:
    """Numbers as the table keeps them; what float16 cannot hold becomes its largest."""
    return np.clip(np.asarray(values, np.float32), -_LARGEST, _LARGEST).astype(_STORED).tobytes()


def from_bytes(stored: bytes) -> NDArray[np.float32]:
    """Undo `as_bytes`."""
    return np.frombuffer(stored, _STORED).astype(np.float32)


@dataclass(frozen=True)
class SkyRow:
    """One frame's sky as it is kept.

    Attributes
    ----------
    time : datetime
        Start of the exposure.
    sha256 : str or None
        Of the file's bytes; with `frame_index` the key of the frame wherever it lies.
    site : Site or None
    features : ndarray, shape (n,), float32
    sky_class : SkyClass or None
    probabilities : Mapping[SkyClass, float]
        Empty where the sky cannot be judged.
    cloud_sectors : ndarray, shape (33,), float32
        NaN where a sector is hidden.
    sun_elevation_deg, moon_elevation_deg, moon_azimuth_deg, moon_illuminated, can_show_aurora
        As `observatory.analysis.SkyFacts`.
    is_simulated : bool
        Whether a simulator made the frame.
    model : str
        Name and version of what made the features.
    model_sha256 : str
        Features of two networks do not mix.
    """

    time: datetime
    frame_id: int
    file_name: str
    sha256: str | None
    frame_index: int
    instrument: str
    site: Site | None
    features: NDArray[np.float32]
    sky_class: SkyClass | None
    probabilities: Mapping[SkyClass, float]
    aurora_probability: float | None
    cloud_cover: float | None
    cloud_sectors: NDArray[np.float32]
    sun_elevation_deg: float | None
    moon_elevation_deg: float | None
    moon_azimuth_deg: float | None
    moon_illuminated: float | None
    can_show_aurora: bool | None
    is_simulated: bool
    model: str
    model_sha256: str


def features(
    db: Database,
    instrument: str | None = None,
    time_from: datetime | None = None,
    time_to: datetime | None = None,
    *,
    page: int = _PAGE,
) -> Iterator[SkyRow]:
    """Features with all that belongs to them, oldest first; frames without a time are left out.

    Each page is a question of its own: no connection is held while somebody works on what it gave.

    Parameters
    ----------
    time_from, time_to : datetime or None
        Half-open.
    """
    moment, number = skies.c.moment, skies.c.frame_id
    conditions: list[ColumnElement[bool]] = [skies.c.is_dated.is_(True)]
    if instrument is not None:
        conditions.append(skies.c.instrument == instrument)
    if time_from is not None:
        conditions.append(moment >= time_from)
    if time_to is not None:
        conditions.append(moment < time_to)
    query = (
        select(*skies.c, *_OF_FRAME)
        .join(frames, frames.c.id == number)
        .where(*conditions)
        .order_by(moment, number)
        .limit(page)
    )
    after: tuple[datetime, int] | None = None
    while True:
        with db.read() as connection:
            asked = query if after is None else query.where(tuple_(moment, number) > _key(after))
            rows = connection.execute(asked).mappings().all()
        yield from map(_sky_row, rows)
        if len(rows) < page:
            return
        after = rows[-1]["moment"], rows[-1]["frame_id"]


_OF_FRAME = (frames.c.file_name, frames.c.sha256, frames.c.frame_index, frames.c.is_simulated)


def _key(after: tuple[datetime, int]) -> Any:
    return tuple_(
        bindparam(None, after[0], skies.c.moment.type), bindparam(None, after[1], skies.c.frame_id.type)
    )


def _sky_row(row: Mapping[Any, Any]) -> SkyRow:
    return SkyRow(
        time=row["moment"],
        frame_id=row["frame_id"],
        file_name=row["file_name"],
        sha256=row["sha256"],
        frame_index=row["frame_index"],
        instrument=row["instrument"],
        site=site_of(row),
        features=from_bytes(row["features"]),
        sky_class=None if row["sky_class"] is None else SkyClass(row["sky_class"]),
        probabilities=probabilities_of(row),
        aurora_probability=row["aurora_probability"],
        cloud_cover=row["cloud_cover"],
        cloud_sectors=from_bytes(row["cloud_sectors"]),
        **{name: row[name] for name in _FACTS},
        is_simulated=row["is_simulated"],
        model=f"{row['model_name']} {row['model_version']}",
        model_sha256=row["model_sha256"],
    )


def probabilities_of(row: Mapping[Any, Any]) -> dict[SkyClass, float]:
    """Probabilities of a row; empty where the sky could not be judged."""
    pairs = zip(SkyClass, (row[name] for name in PROBABILITIES), strict=True)
    return {name: value for name, value in pairs if value is not None}


def site_of(row: Mapping[Any, Any]) -> Site | None:
    """Place of a row's camera."""
    if row["latitude_deg"] is None or row["longitude_deg"] is None:
        return None
    return Site(row["latitude_deg"], row["longitude_deg"], row["height_m"] or 0.0)


def of_frames(db: Database, frame_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What was said last of the skies of some frames, as the public face tells it.

    Returns
    -------
    dict
        Frame to ``sky_class``, ``reason``, ``note``, ``probabilities``, ``aurora_probability``,
        ``cloud_cover``, facts of Sun and Moon, ``site``, ``model`` and ``disturbance`` (``x_nt``, ``y_nt``,
        ``z_nt``, ``is_simulated``, ``model``; None where there is none). Frames without a sky are left out.
    """
    if not frame_ids:
        return {}
    with db.read() as connection:
        query = select(*_TOLD).where(skies.c.frame_id.in_(frame_ids))
        rows = connection.execute(query).mappings().all()
    return {row["frame_id"]: _told(row) for row in rows}


_TOLD = tuple(column for column in skies.c if column.name not in ("features", "cloud_sectors", "geometry"))


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    is_felt = row["disturbance_x_nt"] is not None
    site = site_of(row)
    return {
        **{name: row[name] for name in ("sky_class", "reason", "note")},
        "probabilities": {name.value: value for name, value in probabilities_of(row).items()},
        **{name: row[name] for name in ("aurora_probability", "cloud_cover", *_FACTS)},
        "site": None if site is None else asdict(site),
        "model": f"{row['model_name']} {row['model_version']}",
        "disturbance": {name: row[f"disturbance_{name}"] for name in _DISTURBANCE} if is_felt else None,
    }


@dataclass(frozen=True)
class Place:
    """Where a frame's camera stands and how it looks.

    Attributes
    ----------
    fisheye : Fisheye or None
    shape : tuple (height, width) or None
    """

    site: Site | None
    fisheye: Fisheye | None
    shape: tuple[int, int] | None


def place_of(db: Database, frame_id: int) -> Place | None:
    """Place of a frame; None where nothing was said of its sky."""
    columns = (skies.c.latitude_deg, skies.c.longitude_deg, skies.c.height_m, skies.c.geometry)
    with db.read() as connection:
        row = (
            connection.execute(select(*columns).where(skies.c.frame_id == frame_id)).mappings().one_or_none()
        )
    if row is None:
        return None
    geometry = row["geometry"]
    if geometry is None:
        return Place(site_of(row), None, None)
    said = dict(geometry)
    shape = said.pop("height_px"), said.pop("width_px")
    return Place(site_of(row), Fisheye(**said | {"projection": Projection(said["projection"])}), shape)


__all__ = [
    "ANALYSIS",
    "DISTURBANCE_ANALYSIS",
    "PICTURES",
    "NewSky",
    "Place",
    "SkyRow",
    "disturbance_payload",
    "features",
    "of_frames",
    "place_of",
    "probabilities_of",
    "short",
    "site_of",
    "sky_payload",
    "write",
]
