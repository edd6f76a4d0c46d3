"""Frames of the whole sky as tests store them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from observatory.analysis import (
    Disturbance,
    ModelIdentity,
    Quality,
    Sky,
    SkyClass,
    SkyFacts,
)
from observatory.fisheye import Fisheye, Projection
from observatory.sky import Site
from observatory.storage import frames, results
from observatory.storage.files import StoredFile
from observatory.storage.frames import NewFrame
from observatory.storage.results import NewProduct, NewResult, NewRun, quality_payload
from observatory.storage.session import Database
from observatory.storage.skies import (
    ANALYSIS,
    DISTURBANCE_ANALYSIS,
    NewSky,
    disturbance_payload,
    sky_payload,
)

MIDNIGHT = datetime(2024, 1, 15, tzinfo=UTC)
NETWORK = ModelIdentity("aurora", "1.0.0", "ab" * 32, {"size_px": 128})
STATION = ModelIdentity("disturbance-gill", "1.0.0", "ef" * 32)
SITE = Site(56.38, -94.64, 40.0)
LENS = Fisheye(128.0, 127.5, 120.0, projection=Projection.EQUISOLID, is_oriented=True, source="skymap")
FELT = (-321.5, 12.25, -88.0)
QUALITY = Quality(0.9, False, 0.5, (), ModelIdentity("allsky_quality", "1.0.0", "cd" * 32))


def sky(sky_class: SkyClass | None, **more: Any) -> Sky:
    """A sky of a class; None: one that cannot be judged."""
    others = 0.25 / 5
    share = {name: 0.75 if name is sky_class else others for name in SkyClass}
    facts: dict[str, Any] = {
        "sky_class": sky_class,
        "probabilities": {} if sky_class is None else share,
        "cloud_cover": None if sky_class is None else 0.25,
        "cloud_sectors": np.r_[np.full(8, 0.9), np.full(24, 0.1), np.nan].astype(np.float32),
        "features": np.linspace(-2.0, 2.0, 16, dtype=np.float32),
        "facts": SkyFacts(-31.25, 12.5, 200.0, 0.5, can_show_aurora=sky_class is not None),
        "reason": "daylight" if sky_class is None else None,
        "model": NETWORK,
    }
    return Sky(**(facts | more))


def disturbance(x_nt: float = FELT[0]) -> Disturbance:
    """What a simulated station would feel."""
    return Disturbance(x_nt, *FELT[1:], is_simulated=True, model=STATION)


def picture(kind: str, version: int = 1) -> NewProduct:
    """A picture that lies nowhere."""
    return NewProduct(kind, "image/png", StoredFile(f"{version:064x}", f"{kind}{version}", 3), 4, 4)


def run_of(
    shown: Sky,
    felt: Disturbance | None,
    *,
    hours: int = 0,
    pictures: Sequence[str | NewProduct] = (),
    version: int = 1,
    site: Site | None = SITE,
    fisheye: Fisheye | None = LENS,
) -> NewRun:
    """All that a run said of an all-sky frame."""
    made = [
        NewResult("quality", QUALITY.model, quality_payload(QUALITY)),
        NewResult(ANALYSIS, shown.model, sky_payload(shown)),
    ]
    if felt is not None:
        made.append(NewResult(DISTURBANCE_ANALYSIS, felt.model, disturbance_payload(felt)))
    return NewRun(
        made,
        str(version),
        MIDNIGHT + timedelta(days=1, hours=hours),
        QUALITY,
        [one if isinstance(one, NewProduct) else picture(one, version) for one in pictures],
        sky=NewSky(shown, site, fisheye, (256, 256)),
        disturbance=felt,
    )


def stored(
    db: Database,
    number: int,
    shown: Sky,
    felt: Disturbance | None = None,
    *,
    pictures: Sequence[str | NewProduct] = (),
    site: Site | None = SITE,
    fisheye: Fisheye | None = LENS,
    **more: Any,
) -> int:
    """Store a frame with its sky, three seconds after midnight for each number; return its number."""
    facts: dict[str, Any] = {
        "sha256": f"{number:064x}",
        "file_name": f"{number}.pgm",
        "path": f"/in/{number}.pgm",
        "bytes": 10,
        "received_at": MIDNIGHT + timedelta(days=1),
        "instrument": "themis-asi",
        "family": "allsky",
        "date_obs": MIDNIGHT + timedelta(seconds=3 * number),
        "date_obs_source": "header",
    }
    (task,) = frames.register(db, [NewFrame(**(facts | more))], [])
    frames.claim(db, task.frame_id, "w", MIDNIGHT)
    run = run_of(shown, felt, pictures=pictures, site=site, fisheye=fisheye)
    assert results.finish(
        db,
        task.frame_id,
        "w",
        quality=run.quality,
        made=run.made,
        pictures=run.pictures,
        software_version=run.software_version,
        now=run.now,
        sky=run.sky,
        disturbance=run.disturbance,
    )
    return task.frame_id
