"""A station with something on every page: frames of all kinds, a night, alerts, models under watch, a worker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import update

from observatory.analysis import Cause, SkyClass
from observatory.settings import Settings, load_settings
from observatory.storage import acknowledgements, nights, silences, workers
from observatory.storage.night_schema import night_works
from observatory.storage.nights import WorkKind
from observatory.storage.results import NewProduct
from tests import stored_skies
from tests.making import KSO_CARDS, fits_bytes
from tests.observatory.test_completeness import put
from tests.service import photosphere
from tests.service.alarms import Alarms
from tests.service.corona import AR, CH, NOON, central, found
from tests.service.telescope import Telescope, jpeg, region_map
from tests.service.test_models_page import watched
from tests.workers.nights import take
from workers.app import make_app
from workers.nights import work
from workers.tasks import Desk

LONG = "a-camera-with-a-name-that-is-far-too-long-for-any-telephone-0123"
MORNING = datetime(2026, 6, 1, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Shown:
    """What stands in the station."""

    first: int
    cloudy: int
    hmi: int
    corona: int
    sky: int
    alert: int

    @property
    def paths(self) -> tuple[str, ...]:
        """Every page, those that show different things more than once."""
        return (
            "/?instrument=kso-halpha",
            f"/?frame={self.hmi}",
            f"/frame/{self.corona}",
            f"/frame/{self.sky}",
            f"/frame/{self.cloudy}/header",
            "/night",
            "/instrument/kso-halpha",
            "/calendar?instrument=aia-94&month=2026-06",
            "/coverage?span=7d&day=2026-06-01",
            "/alerts",
            "/models",
            "/system",
            "/docs",
        )


def built(telescope: Telescope, settings: Settings, folder: Path) -> Shown:
    """Fill every page."""
    db = telescope.db
    watched(db, telescope)
    first, *_ = [
        telescope.observe(
            0.9,
            with_picture=True,
            with_map=True,
            is_simulated=True,
            date_obs=MORNING + timedelta(minutes=minute),
        )
        for minute in range(4)
    ]
    cloudy = a_file(telescope, folder, 0.12, (Cause.CLOUD, 0.8), date_obs=MORNING + timedelta(minutes=5))
    hmi = photosphere.shown(telescope, with_picture=True, date_obs=MORNING)
    photosphere.with_pictures(telescope, hmi)
    corona = telescope.corona(
        found(CH, (central(20, 14), central(-35, 9, west_deg=30)), NOON),
        found(AR, (central(-10, 6, west_deg=-30),), NOON),
        date_obs=NOON,
        with_picture=True,
    )
    telescope.compose(NOON, missing="aia-171")
    telescope.refuse("x" * 300, file_name="y" * 200 + ".fits")
    telescope.receive(instrument=LONG, date_obs=MORNING)
    put(db, "aia-94", np.delete(MORNING.timestamp() + np.arange(0.0, 7200.0, 60.0), np.arange(50, 57)))
    sky = a_sky(telescope)
    a_night(telescope, settings, folder)
    workers.beat(db, "host:1:a", "worker", datetime.now(UTC), {})
    return Shown(first, cloudy, hmi, corona, sky, alarmed(telescope, settings))


def a_file(telescope: Telescope, folder: Path, *judged: object, **given: object) -> int:
    """A frame whose file lies where it came."""
    data = fits_bytes(np.zeros((64, 64), np.int16), KSO_CARDS | {"OBSERVER": "the night assistant"})
    path = folder / "kanz_halph_fi_20260601.fits"
    path.write_bytes(data)
    facts = {"path": str(path), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return telescope.observe(*judged, with_picture=True, with_map=True, **facts, **given)  # type: ignore[arg-type]


def a_sky(telescope: Telescope) -> int:
    """An all-sky frame with its maps."""
    files = telescope.files
    pictures = [
        NewProduct(kind, media_type, files.write(data, suffix), 64, 64)
        for kind, media_type, suffix, data in (
            ("preview", "image/jpeg", ".jpg", jpeg()),
            ("region-map", "image/png", ".png", region_map()),
            ("cloud-map", "image/png", ".png", region_map()),
        )
    ]
    felt = stored_skies.disturbance()
    return stored_skies.stored(
        telescope.db, 1, stored_skies.sky(SkyClass.CLOUD), felt, pictures=pictures, date_obs=MORNING
    )


def a_night(telescope: Telescope, settings: Settings, folder: Path) -> None:
    """A night with an arc and its pictures."""
    made = load_settings(data_dir=settings.data_dir, database_url=telescope.db.url)
    make_app(made)
    desk = Desk(made)
    for minute in range(16):
        is_arc = minute > 9
        take(desk, folder, minute, name=SkyClass.ARC if is_arc else SkyClass.CLEAR, arc=90.0 * is_arc)
    now = datetime.now(UTC)
    with desk.db.write() as connection:
        connection.execute(update(night_works).values(due_at=now))
    for number in nights.due(desk.db, now, now, [WorkKind.PICTURES]):
        work(desk, number)


def alarmed(telescope: Telescope, settings: Settings) -> int:
    """Alerts of every state, and a silence; return the number of one that fires."""
    db, now = telescope.db, datetime.now(UTC)
    alarms = Alarms(db, settings)
    (over,) = alarms.fire("LongGone")
    alarms.resolve(over, rule="LongGone")
    alarms.fire("CameraSilent", instrument=LONG, labels={"severity": "critical"})
    (known,) = alarms.fire("Known")
    acknowledgements.put(db, known, "on my way", "observer", now)
    silences.create(db, {"instrument": "kso-*"}, now, now + timedelta(hours=2), "snow", "observer", now)
    (number,) = alarms.fire()
    return number
