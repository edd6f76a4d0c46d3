"""Frames of a night that are done, for tests: small pictures on disk, and what was said of them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from observatory.analysis import ModelIdentity, Sky, SkyClass, SkyFacts
from observatory.frame import DateSource
from observatory.keogram import LINE, SkySlices
from observatory.sky_sectors import COUNT
from observatory.storage import frames, results
from observatory.storage.frames import NewFrame
from observatory.storage.nights import NewSlices
from observatory.storage.skies import NewSky
from workers.context import Context

EVENING = datetime(2026, 11, 20, 17, tzinfo=UTC)
MODEL = ModelIdentity("aurora", "1.0.0", "a" * 64)


def sky(name: SkyClass | None, cloud: float = 0.1, sun_deg: float = -20.0) -> Sky:
    """What was said of a frame."""
    rest = {one: 0.02 for one in SkyClass}
    return Sky(
        sky_class=name,
        probabilities={} if name is None else rest | {name: 0.9},
        cloud_cover=None if name is None else cloud,
        cloud_sectors=np.full(COUNT, cloud, np.float32),
        features=np.zeros(8, np.float32),
        facts=SkyFacts(sun_elevation_deg=sun_deg),
        model=MODEL,
    )


def lines(arc: float = 0.0, number: int = 0) -> SkySlices:
    """Lines of a dark sky with a green band in the north."""
    random = np.random.default_rng(number)
    both = random.normal(30, 1.5, (2, LINE, 3))
    both[:, 40:60] += np.array([0.4, 1.0, 0.5]) * arc
    level = np.clip(both, 0, 255).astype(np.uint8)
    return SkySlices(level[0], level[1], is_oriented=True)


def take(
    at: Context,
    folder: Path,
    minute: float,
    *,
    instrument: str = "kho",
    name: SkyClass | None = SkyClass.CLEAR,
    arc: float = 0.0,
    cloud: float = 0.1,
    sun_deg: float = -20.0,
    longitude_deg: float = 15.0,
    wavelength_nm: float = 0.0,
    is_dated: bool = True,
    date_source: DateSource = DateSource.FILE_NAME,
    begin: datetime = EVENING,
) -> int:
    """Register a frame, claim it, and end it as done with its lines."""
    moment = begin + timedelta(minutes=minute)
    random = np.random.default_rng([int(moment.timestamp()), len(instrument), int(wavelength_nm)])
    picture = random.integers(0, 60, (48, 64, 3), np.uint8)
    path = folder / f"{instrument}_{moment:%Y%m%dT%H%M%S}_{wavelength_nm:g}.png"
    cv2.imwrite(str(path), picture)
    data = path.read_bytes()
    new = NewFrame(
        hashlib.sha256(data).hexdigest(),
        path.name,
        str(path),
        len(data),
        datetime.now(UTC),
        instrument=instrument,
        family="allsky",
        date_obs=moment if is_dated else None,
        date_obs_source=date_source if is_dated else DateSource.NONE,
    )
    (task,) = frames.register(at.db, [new], [])
    assert frames.claim(at.db, task.frame_id, at.name, datetime.now(UTC))
    said = sky(name, cloud, sun_deg)
    slices = NewSlices(lines(arc, int(minute)), longitude_deg, wavelength_nm, is_daylight=sun_deg > 0)
    assert results.finish(
        at.db,
        task.frame_id,
        at.name,
        quality=None,
        made=[],
        pictures=[],
        software_version="1",
        now=datetime.now(UTC),
        sky=NewSky(said),
        slices=slices,
    )
    return task.frame_id
