"""Parts of a station for tests: settings that do not wait long, a database, a folder to watch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from observatory.settings import Settings, load_settings
from observatory.storage import catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.observatory.bad_files import LIMITS
from workers.app import make_app
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.station import Station
from workers.watching import WatchFolder

QUICK = {"rest_s": 0.1, "scan_interval_s": 0.5}
SMALL = {
    "max_file_bytes": LIMITS.max_file_bytes,
    "max_unpacked_bytes": LIMITS.max_unpacked_bytes,
    "max_pixels": LIMITS.max_pixels,
}


@pytest.fixture
def quick(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a station that rests shortly, its database ready."""
    made = load_settings(data_dir=settings.data_dir, ingest=QUICK, limits=SMALL)
    lay_out(made.resolved_database_url)
    return made


@pytest.fixture
def patient(quick: Settings) -> Settings:
    """Settings whose periodic scan never comes: what arrives is told by events alone."""
    ingest = quick.ingest.model_copy(update={"scan_interval_s": 3600.0})
    return quick.model_copy(update={"ingest": ingest})


@pytest.fixture
def home(quick: Settings) -> Iterator[Database]:
    """The station's database."""
    db = Database(quick.resolved_database_url)
    yield db
    db.dispose()


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """Folder that is watched."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder.resolve()


@pytest.fixture
def rows() -> Callable[[Database], list[dict[str, Any]]]:
    """All frames of a database, oldest arrival first."""

    def find(db: Database) -> list[dict[str, Any]]:
        return sorted(catalogue.find(db, FrameFilter(), limit=10_000), key=lambda row: row["id"])

    return find


@pytest.fixture
def watching() -> Callable[..., Any]:
    """Run a real ingester on folders while inside."""

    @contextmanager
    def watch(
        settings: Settings, db: Database, *folders: Path | WatchFolder, **options: Any
    ) -> Iterator[Ingester]:
        named = [item if isinstance(item, WatchFolder) else WatchFolder(item) for item in folders]
        ingester = Ingester(settings, db, Publisher(make_app(settings)), named, **options)
        ready, scan = threading.Event(), ingester.scan
        ingester.scan = lambda: (scan(), ready.set())[0]  # after the first scan it hears events
        thread = threading.Thread(target=ingester.run, name="ingester", daemon=True)
        thread.start()
        assert ready.wait(timeout=20), "the ingester never began"
        try:
            yield ingester
            assert thread.is_alive(), "the ingester died"
        finally:
            ingester.stop()
            thread.join(timeout=10)

    return watch


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Path]]:
    """A whole station, embedded, with the real models: its database and its watched folder."""
    home = tmp_path_factory.mktemp("station")
    folder = (home / "incoming").resolve()
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HELIOWATCH_")]:
            if name != "HELIOWATCH_TEST_DATA":
                patch.delenv(name)
        patch.chdir(home)
        settings = load_settings(data_dir=home / "data", ingest=QUICK, limits=SMALL)
        lay_out(settings.resolved_database_url)
        with Station(settings, [WatchFolder(folder)]) as running:
            yield running.db, folder
