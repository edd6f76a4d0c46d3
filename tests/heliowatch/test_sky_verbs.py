"""`heliowatch sky …`: clusters, clouds, confusion and the disturbance, from features to figures."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from heliowatch import sky_disturbance, sky_figures
from heliowatch.cli import app
from heliowatch.feature_store import Row, StoreFormat, gathered, read_features, write_months
from models.disturbance.inference import load_disturbance
from observatory.analysis import ModelIdentity, Sky, SkyClass, SkyFacts
from observatory.errors import HeliowatchError, ModelError, SettingsError, UnreadableFileError
from observatory.magnetometer import MagneticSeries, read_many, write_iaga2002
from observatory.settings import Settings
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.skies import hdf5_bytes, sky_picture
from tests.stored_skies import sky, stored

START = datetime(2026, 11, 29, 18, tzinfo=UTC)
NETWORK = "ab" * 32
PNG = b"\x89PNG\r\n\x1a\n"


def row(number: int, kind: SkyClass, random: np.random.Generator, **other: Any) -> Row:
    """A frame every five minutes whose first features say its class and whose fifth an electric current."""
    place = list(SkyClass).index(kind)
    given = random.normal(size=8) * 0.2
    given[place % 4] += 4.0 + place
    given[4] = 3.0 * np.sin(number / 9.0)
    probabilities = np.full(6, 0.02)
    probabilities[place] = 0.9
    said = {
        "time": START + timedelta(minutes=5 * number),
        "instrument": "kho",
        "frame": f"nights/{number:04d}.png#0",
        "latitude_deg": 78.2,
        "longitude_deg": 15.8,
        "is_simulated": True,
        "sky_class": kind,
        "probabilities": probabilities.tolist(),
        "cloud_cover": 0.9 if kind is SkyClass.CLOUD else 0.1,
        "zenith_cloud": 0.8 if kind is SkyClass.CLOUD else 0.2,
        "sun_elevation_deg": -20.0,
        "moon_elevation_deg": None,
        "features": given.astype(np.float32),
        "model": "aurora 1",
        "model_sha256": NETWORK,
    }
    return Row(**said | other)


KINDS = (SkyClass.ARC, SkyClass.CLOUD, SkyClass.CLEAR)


@pytest.fixture
def store(settings: object, tmp_path: Path) -> Path:
    """Features of three nights: arcs, cloud and clear sky in turn, an hour each."""
    random = np.random.default_rng(4)
    rows = [row(n, KINDS[n // 12 % 3], random) for n in range(720)]
    (tmp_path / "features").mkdir()
    write_months(tmp_path / "features", gathered(rows), StoreFormat.PARQUET)
    return tmp_path / "features"


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """A simulated magnetometer whose disturbance is what the fifth feature says."""
    times = START.timestamp() + 60.0 * np.arange(-60, 5 * 720 + 10)
    current = 3.0 * np.sin((times - START.timestamp()) / 300.0 / 9.0)
    field = [8000.0 - 60.0 * current, 900.0 + 10.0 * current, 53_000.0 + 25.0 * current]
    path = tmp_path / "sim.min"
    write_iaga2002(path, MagneticSeries("SIM", "Simulated", None, times, *field, is_simulated=True))
    return path


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def told(*words: object) -> dict[str, Any]:
    return json.loads(run(*words, "--format", "json"))


def failing(kind: type[HeliowatchError], said: str, *words: object) -> None:
    with pytest.raises(kind, match=said):
        run(*words)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["kmeans", "agglomerative"])
def test_clusters_of_three_kinds_of_sky_are_those_kinds(store: Path, tmp_path: Path, method: str) -> None:
    found = told("sky", "cluster", store, "-k", 3, "--method", method, "--out", tmp_path / "c")
    assert found["agreement_with_classes"] > 0.95
    assert found["frames_of_cluster"] == [240, 240, 240]
    assert len(table(tmp_path / "c" / "clusters.csv")) == 720
    assert (tmp_path / "c" / "clusters.png").read_bytes().startswith(PNG)
    failing(SettingsError, "ask for fewer", "sky", "cluster", store, "-k", 90, "-t", "../2026-11-29T18:30Z")


def test_no_two_clusters_of_a_figure_look_the_same() -> None:
    looks = {(sky_figures._colour(number), sky_figures._marker(number)) for number in range(64)}
    assert len(looks) == 64


def test_a_figure_of_a_hundred_clusters_has_room_for_all_their_names(tmp_path: Path) -> None:
    cluster = np.arange(300) % 100
    plane = np.random.default_rng(4).normal(size=(300, 2))
    with warnings.catch_warnings(action="error"):  # matplotlib's, that nothing is left for the axes
        sky_figures.draw_clusters(tmp_path / "c.png", plane, cluster, np.full(300, "arc"))
    assert (tmp_path / "c.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_dates_of_a_figure_stand_below_the_bars_of_their_days(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = sky_figures._figure(4.0, 3.0)
    monkeypatch.setattr(sky_figures, "_figure", lambda *size: drawn)
    days = np.datetime64("2026-11-29") + np.arange(count)
    sky_figures.draw_clouds(tmp_path / "c.png", days, np.full(count, 0.5), None)
    axis = drawn.axes[0]
    middles = {bar.get_x() + bar.get_width() / 2 for bar in axis.containers[0]}
    low, high = axis.get_xlim()
    ticks = {tick for tick in axis.get_xticks() if low <= tick <= high}
    assert ticks
    assert ticks <= middles


def test_clouds_are_summed_by_day_and_held_against_a_ceilometer(store: Path, tmp_path: Path) -> None:
    frames = read_features(store)
    heights = tmp_path / "ceilometer.csv"
    lines = [
        f"{START + timedelta(minutes=5 * n, seconds=40)},{300 if kind == 'cloud' else 2000}"
        for n, kind in enumerate(frames.sky_class)
    ]
    heights.write_text("\n".join(["time,cloud_base_m", *lines]))
    found = told("sky", "clouds", store, "--ceilometer", heights, "--out", tmp_path / "c")
    assert found["days"] == 4
    assert found["ceilometer"]["accuracy"] == 1.0
    assert found["ceilometer"]["roc_area_cloud_at_the_zenith"] == 1.0
    days = table(tmp_path / "c" / "clouds.csv")
    assert [day["day"] for day in days] == ["2026-11-29", "2026-11-30", "2026-12-01", "2026-12-02"]
    assert float(days[1]["ceilometer_cloudy_share"]) == pytest.approx(1 / 3, abs=0.01)
    assert float(days[1]["cloud_cover"]) == pytest.approx(0.1 + 0.8 / 3, abs=0.01)
    for name in ("clouds.png", "ceilometer-roc.png"):
        assert (tmp_path / "c" / name).read_bytes().startswith(PNG)
    heights.write_text("time,cbh\n2026-11-29T18:00,300\n")
    one_kind = run("sky", "clouds", store, "-c", heights, "--out", tmp_path / "c")
    assert "roc_area_cloud_cover: not known" in one_kind
    heights.write_text("time,cbh\n2020-01-01,300\n")
    failing(SettingsError, "check both times", "sky", "clouds", store, "-c", heights)


def test_confusion_counts_labels_by_pattern_and_sums_two_classes(store: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    names = {SkyClass.ARC: "aurora_weak", SkyClass.CLOUD: "cloudy", SkyClass.CLEAR: "clear"}
    lines = [f"{n:04d}.png,{names[KINDS[n // 12 % 3]]},a note" for n in range(36)]
    lines[0] = "nights/0000.png,cloudy,wrong on purpose"
    labels.write_text("\n".join(["file,visual_label,note", *lines, "elsewhere/*,aurora,"]))
    found = told("sky", "confusion", store, "--labels", labels, "--out", tmp_path / "c")
    assert (found["frames"], found["unlabelled"]) == (36, 684)
    assert found["balanced_accuracy"] == pytest.approx((1.0 + 24 / 25) / 2)
    assert found["misses"] == [{"frame": "nights/0000.png#0", "label": "cloudy", "said": "arc"}]
    assert found["six_class_accuracy"] == 1.0  # of the label that is one of the six
    rows = table(tmp_path / "c" / "confusion.csv")
    assert [(item["label"], item["arc"], item["cloud"], item["clear"]) for item in rows] == [
        ("aurora_weak", "11", "0", "0"),
        ("clear", "0", "0", "12"),
        ("cloudy", "1", "12", "0"),
    ]
    assert (tmp_path / "c" / "confusion.png").read_bytes().startswith(PNG)
    labels.write_text("file,label\n0001.png,Arc\n0013.png,Aurora (weak)\n")
    capitals = told("sky", "confusion", store, "--labels", labels, "--out", tmp_path / "c")
    assert (capitals["aurora_found"], capitals["others_told"]) == (0.5, None)
    labels.write_text("file,label\n0001.png,arc\n0013.png,\n0025.png\n")
    begun = told("sky", "confusion", store, "--labels", labels, "--out", tmp_path / "c")
    assert (begun["frames"], begun["others_told"]) == (1, None)  # what has no label yet is no other sky
    labels.write_text("file,label\nnone.png,arc\n")
    failing(SettingsError, "no label fits", "sky", "confusion", store, "-l", labels)
    labels.write_text("name,what\nnone.png,arc\n")
    failing(UnreadableFileError, "are wanted", "sky", "confusion", store, "-l", labels)


def test_confusion_and_clouds_are_of_the_camera_that_is_named(store: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    second = gathered([row(n, SkyClass.CLOUD, random, instrument="yxu") for n in range(5)])
    write_months(store, second, StoreFormat.PARQUET)
    (tmp_path / "labels.csv").write_text("file,label\n*,cloud\n")
    words = ["sky", "confusion", store, "-l", tmp_path / "labels.csv", "--out", tmp_path / "c"]
    assert (told(*words)["frames"], told(*words, "-i", "yxu")["frames"]) == (725, 5)
    failing(SettingsError, "it has kho, yxu", *words, "-i", "gill")
    words = ["sky", "clouds", store, "--out", tmp_path / "d"]
    failing(SettingsError, "name one camera", *words)
    assert told(*words, "-i", "yxu")["cloudy_share"] == 1.0


def test_confusion_takes_films_and_stores_that_both_are_hdf(settings: object, tmp_path: Path) -> None:
    images = np.stack(
        [np.stack([sky_picture(96, 96, seed=n, depth=8)] * 3, axis=2) for n in range(2)], axis=3
    )
    film = tmp_path / "20230224_0615_gill_rgb-09_full.h5"
    film.write_bytes(hdf5_bytes(images, [f"2023-02-24 06:15:{3 * n:02d}.500000 UTC" for n in range(2)]))
    rows = gathered([row(n, SkyClass.CLEAR, np.random.default_rng(4)) for n in range(5)])
    [months] = write_months(tmp_path, rows, StoreFormat.HDF)
    (tmp_path / "labels.csv").write_text("file,label\n*,clear\n")
    words = ["-l", tmp_path / "labels.csv", "--out", tmp_path / "c"]
    assert told("sky", "confusion", film, months, *words)["frames"] == 7


def test_confusion_ends_with_1_when_a_file_cannot_be_used(settings: object, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "labels.csv").write_text("file,label\n*,clear\n")
    (tmp_path / "own").mkdir()
    mine = gathered([row(0, SkyClass.CLEAR, np.random.default_rng(4), instrument="allsky")])
    write_months(tmp_path / "own", mine, StoreFormat.PARQUET)
    words = ["sky", "confusion", tmp_path / "own", tmp_path / "broken.png", "-l", tmp_path / "labels.csv"]
    ended = CliRunner().invoke(app, [*map(str, words), "-i", "allsky", "-o", str(tmp_path / "c")])
    assert (ended.exit_code, "broken.png: the format" in ended.stderr) == (1, True)


def test_a_station_is_trained_judged_and_installed_and_is_simulated_wherever_it_shows(
    store: Path, station: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = "../2026-12-01T06:00Z", "2026-12-01T06:00Z/.."
    out = tmp_path / "d"
    words = ["sky", "disturbance", "train", store, "-m", station, "--out", out, "--name", "sim", "-t", early]
    found = told(*words)
    assert found["is_simulated"] is True
    assert found["skill_over_mean"] > 0.9
    assert found["storm_roc_area"] > 0.95
    assert "SIMULATED" in run(*words)
    for name in ("sim.toml", "disturbance.csv"):
        assert "SIMULATED" in (out / name).read_text()
    assert (out / "disturbance.png").read_bytes().startswith(PNG)

    model = load_disturbance(out / "sim.toml")
    frame = read_features(store).at(np.arange(1))
    probabilities = dict(zip(SkyClass, frame.probabilities[0], strict=True))
    network = ModelIdentity("aurora", "1", NETWORK)
    seen = Sky(SkyClass.ARC, probabilities, 0.1, np.zeros(33), frame.features[0], SkyFacts(), network)
    felt = model.predict(seen)
    assert felt is not None
    assert felt.is_simulated

    judge = [
        "sky",
        "disturbance",
        "evaluate",
        out / "sim.toml",
        store,
        "-m",
        station,
        "--out",
        tmp_path / "e",
    ]
    assert told(*judge)["left_out"] > 0
    assert told(*judge, "-t", late)["skill_over_mean"] > 0.9
    failing(SettingsError, "that the model was trained on", *judge, "-t", "../2026-11-30T00:00Z")

    failing(SettingsError, "no instrument", "sky", "disturbance", "install", out / "sim.toml", "-i", "kho")
    monkeypatch.setenv("HELIOWATCH_INSTRUMENTS", '{"kho": {"kind": "allsky"}}')
    place = tmp_path / "station"
    place_words = ["sky", "disturbance", "install", out / "sim.toml", "-i", "kho", "--data-dir", place]
    installed = told(*place_words)
    assert load_disturbance(Path(installed["installed"])).identity == model.identity
    assert told(*place_words)["installed"] == installed["installed"]  # again
    (out / "sim.npz").write_bytes(b"x")
    failing(ModelError, "altered", *place_words)


def test_what_a_simulated_stations_model_tells_of_true_frames_of_another_is_called_so(
    store: Path, station: Path, tmp_path: Path
) -> None:
    out, early = tmp_path / "d", "../2026-12-01T06:00Z"
    run("sky", "disturbance", "train", store, "-m", station, "--out", out, "--name", "sim", "-t", early)
    measured = replace(read_many([station]), station="TRO", is_simulated=False)
    write_iaga2002(tmp_path / "true.min", measured)
    (tmp_path / "true").mkdir()
    frames = replace(read_features(store), is_simulated=np.zeros(720, bool))
    write_months(tmp_path / "true", frames, StoreFormat.PARQUET)
    words = ["sky", "disturbance", "evaluate", out / "sim.toml", tmp_path / "true"]
    judged = told(*words, "-m", tmp_path / "true.min", "--out", tmp_path / "e")
    assert judged["is_simulated"] is True
    assert (judged["trained_at"], judged["judged_at"]) == (read_many([station]).station, "TRO")
    assert (tmp_path / "e" / "disturbance.csv").read_text().startswith("# SIMULATED")


def test_what_a_station_cannot_be_trained_on_is_said(store: Path, station: Path, tmp_path: Path) -> None:
    base: Sequence[object] = ("sky", "disturbance", "train", store, "--out", tmp_path / "d")
    failing(SettingsError, "60 are needed", *base, "-m", station, "--aurora-min", 0.99)
    failing(SettingsError, "60 are needed", *base, "-m", station, "-t", "2026-12-01T00:00Z/2026-12-01T02:00Z")
    failing(SettingsError, "letters", *base, "-m", station, "--name", "../sim")
    failing(UnreadableFileError, "not IAGA-2002", *base, "-m", store / "202611.parquet")
    two = gathered([row(n, SkyClass.ARC, np.random.default_rng(n), instrument="yxu") for n in range(80)])
    write_months(store, two, StoreFormat.PARQUET)
    failing(SettingsError, "name one camera", *base, "-m", station)
    failing(SettingsError, "it has kho, yxu", *base, "-m", station, "-i", "gill")


def test_features_of_two_networks_do_not_come_into_one_file(store: Path) -> None:
    other = row(1, SkyClass.ARC, np.random.default_rng(1), model="aurora 2", model_sha256="cd" * 32)
    with pytest.raises(SettingsError, match="do not mix"):
        write_months(store, gathered([other]), StoreFormat.PARQUET)
    mine = row(2, SkyClass.ARC, np.random.default_rng(1))
    with pytest.raises(SettingsError, match="do not mix"):
        gathered([other, mine])


@pytest.mark.parametrize("form", list(StoreFormat))
def test_nor_into_another_month_of_one_folder_which_could_not_be_read_as_a_whole(
    store: Path, form: StoreFormat
) -> None:
    before = len(read_features(store))
    later = row(20_000, SkyClass.ARC, np.random.default_rng(1), model="aurora 2", model_sha256="cd" * 32)
    with pytest.raises(SettingsError, match="do not mix"):
        write_months(store, gathered([later]), form)
    assert len(read_features(store)) == before


def test_columns_and_rows_of_a_file_may_stand_in_any_order(store: Path) -> None:
    path = store / "202611.parquet"
    before = read_features(path)
    table = parquet.read_table(path)
    turned = table.select(table.column_names[::-1]).take(np.arange(len(table))[::-1])
    parquet.write_table(turned, path)
    after = read_features(path)
    np.testing.assert_array_equal(after.features, before.features)
    np.testing.assert_array_equal(after.time_us, before.time_us)
    parquet.write_table(turned.drop_columns(["feature_003"]), path)
    with pytest.raises(UnreadableFileError, match="feature_003"):
        read_features(path)


@pytest.mark.parametrize("form", list(StoreFormat))
def test_adding_rows_again_changes_nothing_and_a_damaged_file_is_said(
    tmp_path: Path, form: StoreFormat
) -> None:
    random = np.random.default_rng(4)
    rows = gathered([row(n, SkyClass.ARC, random) for n in range(40)])
    first = write_months(tmp_path, rows, form)
    before = read_features(tmp_path)
    write_months(tmp_path, rows.at(np.arange(40)[::-1]), form)
    after = read_features(tmp_path)
    for name in ("time_us", "frame", "features", "probabilities", "moon_elevation_deg", "is_simulated"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert len(after) == 40
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in first]
    first[0].write_bytes(first[0].read_bytes()[:500])
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_features(tmp_path)
    with pytest.raises(UnreadableFileError, match="damaged"):
        write_months(tmp_path, rows, form)


def test_an_empty_folder_and_an_empty_database_are_said(settings: object, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    failing(UnreadableFileError, "holds no features", "sky", "cluster", tmp_path / "none")
    failing(SettingsError, "nothing is stored|no frame", "sky", "cluster")


def test_the_whole_path_is_rehearsed_on_a_simulated_station(
    settings: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sky_disturbance, "_LEAST_ROWS", 8)  # a night of this test has few frames
    out = tmp_path / "r"
    words = ["--nights", 3, "--step", 1200, "--size", 96, "--seed", 3, "--out", out]
    found = told("sky", "disturbance", "rehearse", *words)
    assert found["is_simulated"]
    assert found["trained"]["is_simulated"]
    assert found["evaluated"]["is_simulated"]
    assert found["evaluated"]["left_out"] == 0
    for name in ("trained", "evaluated"):
        assert (out / name / "disturbance.png").read_bytes().startswith(PNG)
        assert "SIMULATED" in (out / name / "disturbance.csv").read_text()
    assert read_features(out / "features").is_simulated.all()


def test_what_the_database_holds_is_gathered_by_month_and_again_without_harm(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    lay_out(settings.resolved_database_url)
    db = Database(settings.resolved_database_url)
    stored(db, 1, sky(SkyClass.ARC))
    stored(db, 2, sky(SkyClass.CLOUD), site=None)
    stored(db, 3, sky(None, features=np.zeros(0, np.float32)))
    db.dispose()
    for form in ("parquet", "hdf", "hdf"):
        run("sky", "features", "--out", tmp_path / form, "--format", form)
        rows = read_features(tmp_path / form)
        assert rows.frame.tolist() == ["1.pgm#0", "2.pgm#0"]
        assert rows.sky_class.tolist() == ["arc", "cloud"]
        assert rows.features.shape == (2, 16)
        np.testing.assert_array_equal(rows.latitude_deg, [56.38, np.nan])
        assert rows.model_sha256 == NETWORK
    assert [path.name for path in (tmp_path / "hdf").iterdir()] == ["202401.h5"]
    assert told("sky", "clouds", "--out", tmp_path / "c")["frames"] == 2
    failing(SettingsError, "no frame with features", "sky", "clouds", "-t", "2025-01-01/..")
