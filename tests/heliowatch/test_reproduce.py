"""Stored results are computed again from the frames' bytes and come out the same; what cannot be says why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import select, update

import heliowatch
from heliowatch import deploying, doctor
from heliowatch.comparison import SAME_DEVICE, compare
from heliowatch.families import print_list
from heliowatch.reproduce import Report, Reproducer, run_reproduce
from models import registry
from models.aia_quality.inference import AiaQuality
from observatory.errors import SettingsError
from observatory.settings import Settings, load_settings
from observatory.storage import catalogue, provenance, schema
from observatory.storage.catalogue import FrameFilter
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.environment import forget_settings
from tests.making import drop, kso_bytes
from tests.workers.test_model_watch import made_of
from workers import tasks
from workers.app import make_app
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.tasks import process_frame
from workers.watching import WatchFolder

SAMPLES = Path(heliowatch.__file__).parent / "samples"
SHOWN = ("20150807192114Mh.fits.fz", "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2")


def take_in(settings: Settings, folders: Sequence[WatchFolder]) -> Database:
    """Take files in and work on them, in this process."""
    lay_out(settings.resolved_database_url)
    db = Database(settings.resolved_database_url)
    Ingester(settings, db, Publisher(make_app(settings)), list(folders)).once()
    tasks.sit_down(settings)
    for row in catalogue.find(db, FrameFilter(), limit=1000):
        process_frame(row["id"])
    return db


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Path]]:
    """Settings of an archive of two real frames, H-alpha and AIA, and the folder where these lie."""
    home = tmp_path_factory.mktemp("archive")
    incoming = (home / "incoming").resolve()
    incoming.mkdir()
    for name in SHOWN:
        shutil.copy(SAMPLES / name, incoming)
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        patch.chdir(home)
        settings = load_settings(data_dir=home / "data")
        take_in(settings, [WatchFolder(incoming)]).dispose()
    yield settings, incoming


@pytest.fixture
def copy(archive: tuple[Settings, Path], settings: Settings, tmp_path: Path) -> Settings:
    """The archive's database, for a test to spoil."""
    shutil.copytree(archive[0].data_dir, tmp_path / "copy")
    return load_settings(data_dir=tmp_path / "copy")


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]


def reports(settings: Settings) -> dict[str, Report]:
    """One report of every result, by its analysis and model."""
    db = Database(settings.resolved_database_url)
    numbers = provenance.sample(db, 100, Random(1))
    found = list(Reproducer(settings, db, SAME_DEVICE).each(numbers))
    return {f"{report.analysis} {report.model.split()[0]}": report for report in found if report.model}


def spoil(settings: Settings, analysis: str, **values: Any) -> int:
    """Change what is stored of one analysis; return the number of its result."""
    results = schema.results
    chosen = results.c.analysis == analysis, results.c.model_name.in_(["halpha_quality", "aia_segmentation"])
    with Database(settings.resolved_database_url).write() as connection:
        number = connection.execute(select(results.c.id).where(*chosen)).scalar_one()
        connection.execute(update(results).where(results.c.id == number).values(**values))
    return int(number)


def test_every_number_of_real_frames_comes_out_the_same(
    archive: tuple[Settings, Path], capsys: pytest.CaptureFixture[str]
):
    settings, _ = archive
    assert run_reproduce(settings, [], 50, 0, None, "json") == 0
    told = printed(capsys)
    analyses = {(one["analysis"], one["model"].split()[0]) for one in told}
    assert analyses == {
        ("quality", "halpha_quality"),
        ("quality", "aia_quality"),
        ("segmentation-CH", "aia_segmentation"),
        ("segmentation-AR", "aia_segmentation"),
    }
    assert all(one["is_reproduced"] and one["compared"] > 10 for one in told)
    regions = reports(settings)["segmentation-CH aia_segmentation"].compared
    assert {"regions[0].area_msh", "disk_fraction.medium"} <= {item.name for item in regions}


def test_fifty_random_results_of_a_real_day_reproduce(
    real_frames: Path, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "incoming"
    folder.mkdir()
    for number in range(0, 330, 6):
        shutil.copy(real_frames / f"halpha/kso_20190126/kso_20190126_{number:04d}.png", folder)
    take_in(settings, [WatchFolder(folder.resolve(), "kso-halpha")]).dispose()
    assert run_reproduce(settings, [], 50, 7, None, "json") == 0
    told = printed(capsys)
    assert len({one["result"] for one in told}) == 50
    assert max(one["largest_difference"] for one in told) <= SAME_DEVICE


def test_a_number_that_differs_is_named_with_both_values(copy: Settings, capsys: pytest.CaptureFixture[str]):
    db = Database(copy.resolved_database_url)
    stored = next(
        one
        for row in catalogue.find(db, FrameFilter(), limit=9)
        for one in provenance.of_frame(db, row["id"])
        if one["model_name"] == "halpha_quality"
    )
    moved = stored["payload"] | {"score": stored["payload"]["score"] - 1e-5, "is_degraded": "maybe"}
    number = spoil(copy, "quality", payload=moved)
    assert run_reproduce(copy, [number], None, 0, None, "json") == 1
    (told,) = printed(capsys)
    assert {one["name"] for one in told["differences"]} == {"score", "is_degraded"}
    assert run_reproduce(copy, [number], None, 0, 1.0, "json") == 1  # what is no number has no tolerance
    (told,) = printed(capsys)
    assert {one["name"] for one in told["differences"]} == {"is_degraded"}


def test_a_region_that_was_altered_is_found(copy: Settings):
    regions = schema.regions
    with Database(copy.resolved_database_url).write() as connection:
        connection.execute(
            update(regions).where(regions.c.event_type == "CH").values(area_msh=regions.c.area_msh * 1.01)
        )
    found = reports(copy)
    assert not found["segmentation-CH aia_segmentation"].is_reproduced
    assert found["segmentation-AR aia_segmentation"].is_reproduced


def test_a_version_that_is_not_installed_any_more_is_named(copy: Settings):
    spoil(copy, "quality", model_sha256="ab" * 32, model_version="0.9.0")
    error = reports(copy)["quality halpha_quality"].error
    assert error is not None
    assert "halpha_quality 0.9.0 (sha256 abababababab…)" in error
    assert "installed is" in error


def test_what_a_network_said_is_computed_again_by_it_after_it_was_rolled_back(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    name, given = "halpha_quality", made_of(tmp_path / "given", lambda values: values * np.float32(1.01))
    lay_out(settings.resolved_database_url)
    made = deploying.promote(settings, name, given)
    checks = {check.name: check for check in doctor.checks(settings)}
    assert f"{name} 9.0.0" in checks["deployed models"].detail and checks["device"].is_ok
    incoming = (tmp_path / "incoming").resolve()
    incoming.mkdir()
    drop(incoming / "kanz_halph_fi_20260601_120000.fts", kso_bytes(0))
    db = take_in(settings, [WatchFolder(incoming)])
    print_list("json", settings)
    roles = {one["version"]: (one["role"], one["in_results"]) for one in of_name(printed(capsys), name)}
    shipped = registry.load(name).version
    assert roles == {shipped: (None, False), "9.0.0": ("live", True)}
    deploying.roll_back(settings, name)
    deploying.take_in(settings, given)
    print_list("json", settings)
    roles = {one["version"]: (one["role"], one["in_results"]) for one in of_name(printed(capsys), name)}
    assert roles == {shipped: ("live", False), "9.0.0": ("candidate", True)}
    (number,) = provenance.sample(db, 10, Random(1))
    report = Reproducer(settings, db, SAME_DEVICE).reproduce(number)
    assert report.model == f"{name} 9.0.0" and report.is_reproduced and len(report.compared) > 10
    shutil.rmtree(settings.data_dir / made.folder)
    gone = Reproducer(settings, db, SAME_DEVICE).reproduce(number).error
    assert gone is not None and f"restore {settings.data_dir / made.folder} from a backup" in gone
    checks = {check.name: check for check in doctor.checks(settings)}
    assert not checks["deployed models"].is_ok and made.folder in checks["deployed models"].detail
    db.dispose()


def of_name(rows: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["name"] == name]


def test_the_list_of_models_has_every_version_that_results_name(
    copy: Settings, capsys: pytest.CaptureFixture[str]
):
    spoil(copy, "quality", model_sha256="ab" * 32, model_version="0.9.0")
    print_list("json", copy)
    listed = [(one["name"], one["version"], one["installed"], one["in_results"]) for one in printed(capsys)]
    halpha = [one for one in listed if one[0] == "halpha_quality"]
    assert [one[2:] for one in halpha] == [(True, False), (False, True)]
    assert halpha[1][1] == "0.9.0"
    assert ("aia_quality", AiaQuality().identity.version, True, True) in listed
    print_list("table", copy)
    assert "0.9.0" in capsys.readouterr().out


def test_a_model_that_is_gone_is_named(copy: Settings):
    number = spoil(copy, "quality", model_name="siqa", model_version="1.0")
    db = Database(copy.resolved_database_url)
    error = Reproducer(copy, db, SAME_DEVICE).reproduce(number).error
    assert error is not None and "siqa 1.0" in error and "not installed any more" in error


def test_a_former_runs_parameters_are_used_and_not_those_of_now(copy: Settings):
    found = reports(copy)["segmentation-CH aia_segmentation"]
    db = Database(copy.resolved_database_url)
    stored = provenance.get(db, found.result_id)
    assert stored is not None
    parameters = stored["parameters"]
    parameters["thresholds"]["CH"]["medium"] += 0.2
    spoil(copy, "segmentation-CH", parameters=parameters, parameters_hash=provenance.hash_of(parameters))
    again = reports(copy)["segmentation-CH aia_segmentation"]
    assert again.error is None
    differing = {item.name: item for item in again.differing}
    assert differing["thresholds.medium"].now == pytest.approx(parameters["thresholds"]["CH"]["medium"])
    assert differing["disk_fraction.medium"].now < differing["disk_fraction.medium"].then


def test_parameters_that_were_not_kept_or_were_altered_are_not_guessed(copy: Settings):
    from sqlalchemy import null

    spoil(copy, "segmentation-CH", parameters=null(), parameters_hash="c" * 64)
    assert "were not kept" in str(reports(copy)["segmentation-CH aia_segmentation"].error)
    spoil(copy, "segmentation-CH", parameters={"side": 1})
    assert "do not fit their hash" in str(reports(copy)["segmentation-CH aia_segmentation"].error)


def test_old_rows_without_parameters_reproduce_while_these_are_the_same(copy: Settings):
    from sqlalchemy import null

    spoil(copy, "quality", parameters=null())
    assert reports(copy)["quality halpha_quality"].is_reproduced


def test_a_frame_is_found_by_its_bytes_wherever_they_were_seen(copy: Settings, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(SAMPLES / SHOWN[0], elsewhere / "renamed.fits.fz")
    db = Database(copy.resolved_database_url)
    Ingester(copy, db, Publisher(make_app(copy)), [WatchFolder(elsewhere.resolve())]).once()
    with db.write() as connection:
        connection.execute(update(schema.frames).values(path="/gone/away"))
        gone = schema.arrivals.c.path.not_like("%elsewhere%")
        connection.execute(update(schema.arrivals).where(gone).values(path=schema.arrivals.c.path + ".gone"))
    found = reports(copy)
    assert found["quality halpha_quality"].is_reproduced
    assert "could not be opened" in str(found["quality aia_quality"].error)
    (elsewhere / "renamed.fits.fz").write_bytes(b"SIMPLE  = other bytes")
    assert "changed" in str(reports(copy)["quality halpha_quality"].error)


def test_what_cannot_be_asked_is_said(
    archive: tuple[Settings, Path], settings: Settings, capsys: pytest.CaptureFixture[str]
):
    stored, _ = archive
    with pytest.raises(SettingsError, match="--sample"):
        run_reproduce(stored, [], None, 0, None, "table")
    with pytest.raises(SettingsError, match="nothing is stored"):
        run_reproduce(settings, [1], None, 0, None, "table")
    assert run_reproduce(stored, [4711], None, 0, None, "table") == 1
    assert "there is no result 4711" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("then", "now", "is_same"),
    [
        (0.5, 0.5 + 0.9e-6, True),
        (0.5, 0.5 + 1.1e-6, False),
        (1000.0, 1000.0009, True),
        (1000.0, 1000.0011, False),
        (3, 4, False),
        (3, 3.0, True),
        (True, 1, False),
        ("clear", "cloud", False),
        (None, 0.0, False),
        ([1.0, 2.0], [1.0], False),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0}, False),
        ({"causes": [{"probability": 0.5}]}, {"causes": [{"probability": 0.5001}]}, True),
        ({"causes": [{"probability": 0.5}]}, {"causes": [{"probability": 0.5002}]}, False),
        ({"probabilities": {"arc": 0.5}}, {"probabilities": {"arc": 0.500009}}, True),
        ({"probabilities": {"arc": 0.5}}, {"probabilities": {"arc": 0.50002}}, False),
        ({"cloud_sectors": [None, 0.5]}, {"cloud_sectors": [None, 0.500009]}, True),
        ({"cloud_sectors": [None, 0.5]}, {"cloud_sectors": [0.5, 0.5]}, False),
        ({"x_nt": 10.001}, {"x_nt": 10.002}, True),
        ({"sky_class": "arc"}, {"sky_class": "moon"}, False),
    ],
)
def test_numbers_may_differ_a_little_and_nothing_else_at_all(then: Any, now: Any, is_same: bool):
    assert all(item.is_same for item in compare(then, now, 1e-6)) is is_same
