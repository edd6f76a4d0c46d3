"""Enhancements are computed again from the frames' bytes and come out the same; what was skipped can be made up for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

import pytest

from heliowatch.comparison import SAME_DEVICE
from heliowatch.reproduce import Report, Reproducer
from models.simulate.hmi import HmiSun, HmiTelescope
from models.simulate.hmi_fits import write_hmi_fits
from observatory.settings import Settings, load_settings
from observatory.storage import catalogue, enhancements, products, provenance, reprocess_jobs
from observatory.storage.catalogue import FrameFilter
from observatory.storage.reprocess import Item
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.environment import forget_settings
from workers import reprocess as again
from workers import tasks
from workers.app import make_app
from workers.ingester import Ingester
from workers.pace import Pace
from workers.pipelines import hmi
from workers.publisher import Publisher
from workers.tasks import process_frame
from workers.watching import WatchFolder

WHEN = datetime(2023, 1, 31, 3, 39, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an archive of a continuum, which was enhanced, and of a field, for which there was no time."""
    home = tmp_path_factory.mktemp("archive")
    incoming = (home / "incoming").resolve()
    incoming.mkdir()
    pair = HmiSun(5, 0.0).pair(WHEN, HmiTelescope(window_px=(1888, 1888, 2208, 2208)))
    for simulated in pair:
        write_hmi_fits(incoming, simulated)
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        patch.chdir(home)
        settings = load_settings(data_dir=home / "data")
        lay_out(settings.resolved_database_url)
        db = Database(settings.resolved_database_url)
        Ingester(settings, db, Publisher(make_app(settings)), [WatchFolder(incoming)]).once()
        tasks.sit_down(settings).pace = Pace(1e-6)
        with pytest.MonkeyPatch.context() as small:
            small.setattr(hmi, "FULL_DISK_PX", 100)
            for row in sorted(catalogue.find(db, FrameFilter(), limit=10), key=lambda row: row["instrument"]):
                process_frame(row["id"])
        db.dispose()
    yield settings


@pytest.fixture
def db(archive: Settings) -> Iterator[Database]:
    database = Database(archive.resolved_database_url)
    yield database
    database.dispose()


def reports(settings: Settings, db: Database) -> dict[tuple[str, str], Report]:
    found = Reproducer(settings, db, SAME_DEVICE).each(provenance.sample(db, 100, Random(1)))
    return {(report.file_name.rsplit(".", 2)[-2], report.analysis): report for report in found}


def test_numbers_of_an_enhancement_come_out_the_same(archive: Settings, db: Database):
    report = reports(archive, db)["continuum", "enhancement"]
    assert report.is_reproduced, report
    assert {"contrast_after", "residual", "trusted_fraction"} <= {item.name for item in report.compared}
    assert report.largest_difference == 0


def test_what_was_skipped_has_nothing_to_compute_again(archive: Settings, db: Database):
    report = reports(archive, db)["magnetogram", "enhancement"]
    assert report.is_reproduced and not report.compared


def test_reprocessing_enhances_what_was_skipped(
    archive: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
):
    (frame,) = [row for row in catalogue.find(db, FrameFilter(), limit=10) if "magnet" in row["instrument"]]
    said = enhancements.of_frame(db, frame["id"])
    assert said is not None and said["outcome"] == "skipped"
    monkeypatch.setattr(hmi, "FULL_DISK_PX", 100)
    job = reprocess_jobs.create(
        db, author="ada", wanted=FrameFilter(), model=None, families=None, now=datetime.now(UTC)
    )
    while reprocess_jobs.select_more(db, job.id):
        pass
    assert again.work(tasks.desk(), Item(job.id, frame["id"])) == "done"
    said = enhancements.of_frame(db, frame["id"])
    assert said is not None and said["outcome"] == "enhanced"
    assert "enhanced" in {item["kind"] for item in products.of_frame(db, frame["id"])}
