"""The demonstration's night: a simulated all-sky camera from dusk to dawn, through the real ingester."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from heliowatch.simulation import SimulatedSkyCamera
from models.simulate.allsky_night import Weather
from observatory.storage import night_catalogue
from observatory.storage.night_catalogue import NightFilter
from observatory.storage.session import Database

INSTRUMENT = "svalbard-sim"

# A night with cloud that passes, stars, and two auroras; it is of the past, so that it is dark whenever the
# demonstration runs.
_DUSK, _FRAMES, _STEP = datetime(2026, 1, 23, 16, tzinfo=UTC), 84, timedelta(minutes=10)
_SEED, _SIZE_PX, _ACTIVITY = 10, 224, 0.9
_REBUILD_S = 3.0
_EVER_DAYS = 36_525.0


def _camera() -> SimulatedSkyCamera:
    return SimulatedSkyCamera(_SEED, _SIZE_PX, weather=Weather.PASSING, activity=_ACTIVITY)


def settings() -> dict[str, Any]:
    """Settings of the camera, and of nights that are made while one looks."""
    camera = _camera()
    site = camera.place.site
    return {
        "instruments": {
            INSTRUMENT: {
                "kind": "allsky",
                "site": {"latitude_deg": site.latitude_deg, "longitude_deg": site.longitude_deg},
                "fisheye": camera.lens_settings,
            }
        },
        "nights": {"rebuild_s": _REBUILD_S, "film_days": _EVER_DAYS},
    }


def feed_night(folder: Path) -> Iterator[tuple[str, str]]:
    """Take the night's frames, each moved into the folder when it is whole; yield names and SHA-256."""
    camera = _camera()
    with tempfile.TemporaryDirectory(dir=folder.parent) as dome:
        for number in range(_FRAMES):
            for exposure in camera.expose(Path(dome), _DUSK + number * _STEP):
                yield exposure.path.name, hashlib.sha256(exposure.path.read_bytes()).hexdigest()
                exposure.path.rename(folder / exposure.path.name)


def made(db: Database) -> Mapping[str, Any] | None:
    """The night, once its pictures hold all of its frames."""
    rows = night_catalogue.find(db, NightFilter(INSTRUMENT), limit=1)
    return rows[0] if rows and rows[0]["made_payload"]["frames"] >= _FRAMES else None


def report(db: Database, width: int | None) -> bool:
    """Print what the night was like; True when its keogram holds all frames."""
    row = made(db)
    if row is None:
        return False
    said = row["made_payload"]
    console = Console(width=width)
    date, following = row["date"], row["date"] + timedelta(days=1)
    onsets = ", ".join(one["time"][11:16] for one in said["onsets"])
    console.print(
        f"night of {date} to {following:%m-%d} at {INSTRUMENT} (simulated): {said['frames']} frames, "
        f"cloud cover {_percent(said['cloud_cover'])}, aurora in {_percent(said['aurora_occurrence'])} of the "
        f"judged frames; {'onset at ' + onsets + ' UTC' if onsets else 'no onset'}; keogram: /night?night={row['id']}",
        highlight=False,
    )
    hours = ", ".join(f"{one['start'][11:13]}h {_percent(one['cloud_cover'])}" for one in said["hours"])
    console.print(f"cloud cover by hour (UTC): {hours}", highlight=False)
    return True


def _percent(share: float | None) -> str:
    return "not judged" if share is None else f"{100 * share:.0f} %"
