"""A real server with real frames, and the client that is installed beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import heliowatch
from observatory.analysis import Cause
from observatory.settings import Settings, load_settings
from observatory.storage.files import ProductFiles
from observatory.storage.frames import Arrival, register
from observatory.storage.session import Database
from service.main import create_app
from tests.environment import forget_settings
from tests.servers import PostgresServer
from tests.service.telescope import DAY, Telescope, in_thread

SAMPLES = Path(heliowatch.__file__).parent / "samples"
GONG = SAMPLES / "20150807192114Mh.fits.fz"
AIA = SAMPLES / "aia_20200925T235957_171.fits"


@dataclass
class House:
    """A served database."""

    url: str
    db: Database
    telescope: Telescope
    settings: Settings
    ids: dict[str, int] = field(default_factory=dict)

    def take(self, name: str, path: Path, **given: object) -> int:
        """Note a real file as the ingester and a worker would."""
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        causes = given.pop("causes", ())
        frame_id = self.telescope.observe(
            given.pop("score", 0.9),
            *causes,
            sha256=digest,
            path=str(path),
            file_name=path.name,
            bytes=len(data),
            with_picture=True,
            **given,
        )
        status = path.stat()
        seen = Arrival(digest, str(path), status.st_size, status.st_mtime_ns, datetime.now(UTC))
        register(self.db, [], [seen])
        self.ids[name] = frame_id
        return frame_id


@pytest.fixture(scope="session")
def house(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Postgres, uvicorn, two real frames and a day of simulated rows."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        settings = load_settings(data_dir=tmp_path_factory.mktemp("house"))
    url = postgres.migrated_database()
    db = Database(url)
    telescope = Telescope(db, ProductFiles(settings.product_dir))
    with in_thread(create_app(settings, db)) as address:
        made = House(address, db, telescope, settings)
        made.take("gong", GONG, instrument="gong-halpha", date_obs=DAY + timedelta(hours=1))
        made.take(
            "aia",
            AIA,
            instrument="aia-171",
            family="aia",
            wavelength_nm=17.1,
            date_obs=DAY + timedelta(hours=2),
        )
        for number in range(12):
            score, causes = (0.3, [(Cause.CLOUD, 0.8)]) if number % 4 == 0 else (0.9, [])
            telescope.observe(score, *causes, date_obs=DAY + timedelta(hours=8, minutes=number))
        telescope.receive(date_obs=DAY + timedelta(hours=9))
        yield made
    db.dispose()
