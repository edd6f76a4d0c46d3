"""An all-sky frame from its file to its answers; its results are computed again and come out the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from heliowatch import deploying
from heliowatch.comparison import SAME_DEVICE
from heliowatch.reproduce import Reproducer, run_reproduce
from observatory.settings import Settings, load_settings
from observatory.storage import provenance, reprocess_jobs, schema, skies
from observatory.storage.catalogue import FrameFilter
from observatory.storage.reprocess import Item
from observatory.storage.session import Database
from observatory.storage.sky_schema import skies as skies_table
from service.main import create_app
from tests.embedded import lay_out
from tests.environment import forget_settings
from tests.heliowatch.test_reproduce import take_in
from tests.models.test_aurora_golden import spoilt
from tests.night_skies import GILLAM, night
from workers import reprocess as again
from workers import tasks
from workers.watching import WatchFolder

CAMERA = {
    "kind": "allsky",
    "site": {"latitude_deg": GILLAM.latitude_deg, "longitude_deg": GILLAM.longitude_deg},
    "name_time": "gill_%Y%m%d_%H%M%S*",
    "fisheye": {"center_x_px": 128.0, "center_y_px": 128.0, "radius_px": 117.76, "up_azimuth_deg": 0.0},
}


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Database]]:
    """A station whose camera left two frames, worked on by the shipped network."""
    home = tmp_path_factory.mktemp("station")
    incoming = (home / "incoming").resolve()
    incoming.mkdir()
    for seed in range(2):
        cv2.imwrite(str(incoming / f"gill_20140302_0600{3 * seed:02d}.png"), night(seed).pixels)
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        patch.chdir(home)
        settings = load_settings(data_dir=home / "data", instruments={"gill": CAMERA})
        db = take_in(settings, [WatchFolder(incoming, "gill")])
        yield settings, db
        db.dispose()


def test_a_frames_sky_is_answered_with_what_made_it(station: tuple[Settings, Database]) -> None:
    settings, db = station
    with TestClient(create_app(settings, db)) as client:
        points = client.get("/api/v1/sky").json()["items"]
        assert [point["time"] for point in points] == ["2014-03-02T06:00:03Z", "2014-03-02T06:00:00Z"]
        frame = client.get(f"/api/v1/frames/{points[0]['frame_id']}").json()
        assert frame["sky"]["site"]["latitude_deg"] == GILLAM.latitude_deg
        assert frame["sky"]["sun_elevation_deg"] < -30.0
        assert sum(frame["sky"]["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)
        ground = client.get(frame["links"]["footprint"]).json()
        assert ground["properties"]["is_oriented"] is True
        said = client.get(frame["links"]["results"]).json()["items"]
        assert {item["analysis"] for item in said} >= {"quality", "sky"}
    rows = list(skies.features(db, "gill"))
    assert len(rows) == 2
    assert rows[0].features.size > 16


def test_a_stored_sky_is_computed_again_and_comes_out_the_same(
    station: tuple[Settings, Database], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, _ = station
    assert run_reproduce(settings, [], 10, 1, None, "json") == 0
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(report["analysis"] for report in reports) == ["quality", "quality", "sky", "sky"]
    assert all(report["compared"] > 10 for report in reports if report["analysis"] == "sky")


def test_a_sky_that_was_altered_is_found_and_put_right_by_the_network_run_again(
    station: tuple[Settings, Database],
) -> None:
    settings, db = station
    rows = list(skies.features(db, "gill"))
    wrong = schema.results.c.payload["sky_class"]
    number = rows[0].frame_id
    is_its = (schema.results.c.frame_id == number) & (schema.results.c.analysis == "sky")
    with db.write() as connection:
        payload = connection.execute(select(schema.results.c.payload).where(is_its)).scalar_one()
        told = payload | {"sky_class": "moon"}
        connection.execute(update(schema.results).where(is_its).values(payload=told, software_version="old"))
        connection.execute(update(skies_table).values(sky_class="moon"))
        assert connection.execute(select(wrong.as_string()).where(is_its)).scalar_one() == "moon"
    assert run_reproduce(settings, [], 10, 1, None, "json") == 1
    tasks.sit_down(settings)
    job = reprocess_jobs.create(
        db, author="ada", wanted=FrameFilter(), model="aurora", families=None, now=datetime.now(UTC)
    )
    while reprocess_jobs.select_more(db, job.id):
        pass
    assert [again.work(tasks.desk(), Item(job.id, row.frame_id)) for row in rows] == ["done", "done"]
    assert [row.sky_class for row in skies.features(db, "gill")] == [row.sky_class for row in rows]
    now = [item for item in provenance.of_frame(db, number) if item["analysis"] == "sky"]
    assert [item["is_current"] for item in now] == [True, False]
    assert now[0]["payload"] == payload


def test_a_skys_quality_is_computed_again_beside_the_network_that_ran_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_settings(monkeypatch)
    settings = load_settings(data_dir=tmp_path / "data", instruments={"gill": CAMERA})
    lay_out(settings.resolved_database_url)
    given = spoilt(tmp_path / "given", lambda values: values * np.float32(1.001))
    deploying.promote(settings, "aurora", given)
    incoming = (tmp_path / "incoming").resolve()
    incoming.mkdir()
    cv2.imwrite(str(incoming / "gill_20140302_060000.png"), night(0).pixels)
    db = take_in(settings, [WatchFolder(incoming, "gill")])
    deploying.roll_back(settings, "aurora")
    numbers = {one["analysis"]: one["id"] for one in provenance.of_frame(db, 1)}
    asked = Reproducer(settings, db, SAME_DEVICE)
    reports = list(asked.each([numbers["quality"], numbers["sky"]]))
    assert [report.is_reproduced for report in reports] == [True, True], reports
    shutil.rmtree(settings.data_dir / "models")
    without = Reproducer(settings, db, SAME_DEVICE)
    assert "from a backup" in str(without.reproduce(numbers["sky"]).error)
    assert without.reproduce(numbers["quality"]).error is None  # asked beside the network that is at hand
    db.dispose()
