"""`heliowatch composite` and `heliowatch movie` as people call them."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heliowatch.shots import look_title
from observatory.analysis import (
    Cause,
    CauseProbability,
    EventType,
    ModelIdentity,
    Quality,
    Region,
    Segmentation,
    Threshold,
)
from observatory.settings import Settings
from observatory.storage import frames, results
from observatory.storage.frames import NewFrame, Status
from observatory.storage.regions import NewSegmentation
from observatory.storage.session import Database
from tests.coronal import NOON, aia_file
from tests.embedded import lay_out
from tests.films import Film, needs_ffmpeg
from tests.heliowatch.ended import Ended, Run
from tests.making import kso_frame, picture_bytes

pytestmark = pytest.mark.usefixtures("settings")  # a folder of our own, an environment without ours

CHANNELS = (304, 171, 193)
MODEL = ModelIdentity("m", "1", "0" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "frames"
    made.mkdir()
    return made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def sets(folder: Path, count: int, cadence: float = 12.0) -> None:
    """Sets of three channels, each a second after the other, written in any order."""
    wanted = [(channel, cadence * n + k) for n in range(count) for k, channel in enumerate(CHANNELS)]
    random.Random(1).shuffle(wanted)
    for channel, seconds in wanted:
        aia_file(folder, channel, seconds)


def composites(ended: Ended) -> list[dict]:
    return [line for line in ended.lines if "channels" in line]


def test_files_are_paired_by_time_and_named_by_it(run: Run, folder: Path, out: Path):
    sets(folder, 3)
    ended = run("composite", folder, "--out", out, "--size", 256, "--format", "json")
    assert ended.code == 0
    assert [Path(line["file"]).name for line in ended.lines] == [
        f"20240508T1200{seconds}_aia.jpg" for seconds in ("00", "12", "24")
    ]
    for line in ended.lines:
        seconds = {name: Path(path).name[13:19] for name, path in line["channels"].items()}
        assert len({int(moment) // 12 for moment in (int(s[-2:]) for s in seconds.values())}) == 1
        assert line["span_s"] == 2.0
        assert Image.open(line["file"]).size == (256, 256)
    assert ended.lines[0]["levels"] == ended.lines[2]["levels"]  # the first one's, for all
    assert "composites" in ended.err  # the bar


@pytest.mark.parametrize(
    ("channels", "title"),
    [
        (("aia-304", "aia-171", "aia-193"), "AIA 304 · 171 · 193"),
        (("suvi-304", "suvi-171", "suvi-195"), "SUVI 304 · 171 · 195"),
        (("aia-304", "suvi-171", "aia-193"), "AIA 304 · SUVI 171 · AIA 193"),
    ],
)
def test_a_composite_film_is_named_by_its_telescope(channels: tuple[str, ...], title: str):
    assert look_title(channels) == title


def test_each_set_can_have_levels_of_its_own(run: Run, folder: Path, out: Path):
    sets(folder, 2, cadence=1200)
    ended = run("composite", folder, "--out", out, "--size", 256, "--own-levels", "--format", "json")
    assert ended.lines[0]["levels"] != ended.lines[1]["levels"]


def test_a_named_reference_sets_the_levels_of_all(run: Run, folder: Path, out: Path):
    sets(folder, 2, cadence=1200)
    common = ("composite", folder, "--out", out, "--size", 256, "--format", "json")
    own = run(*common, "--own-levels").lines
    second = folder / "aia_20240508T122001_171.fits"
    assert [line["levels"] for line in run(*common, "--reference", second).lines] == [own[1]["levels"]] * 2
    ended = run(*common, "--reference", folder / "other.fits")
    assert (ended.code, "not one of the frames" in ended.err) == (2, True)


def test_threads_make_the_same_pictures(run: Run, folder: Path, tmp_path: Path):
    sets(folder, 4)
    for workers in (1, 3):
        run("composite", folder, "--out", tmp_path / str(workers), "--size", 256, "--workers", workers)
    alone, together = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("1", "3")
    )
    assert len(alone) == 4 and alone == together


def test_a_frame_without_partners_is_said_with_how_far_they_are(run: Run, folder: Path, out: Path):
    sets(folder, 2)
    aia_file(folder, 171, 400)
    aia_file(folder, 193, 0, name="AIA20240508_again_0193.fits", EXPTIME=1.0)
    (folder / "aia_20240508T120002_193.fits").unlink()
    ended = run("composite", folder, "--out", out, "--size", 256, "--tolerance", 9, "--format", "json")
    assert ended.code == 3
    left = {Path(line["file"]).name: line["unpaired"] for line in ended.lines if "unpaired" in line}
    assert "aia-304 is 6.5 min away" in left["aia_20240508T120640_171.fits"]
    assert len(composites(ended)) == 2
    table = run("composite", folder, "--out", out, "--size", 256, "--tolerance", 9)
    assert "⚠ no set" in table.out
    assert "✓ composed" in table.out


def test_two_frames_of_one_time_one_is_taken_and_the_other_named(run: Run, folder: Path, out: Path):
    sets(folder, 1)
    aia_file(folder, 193, 2, name="aia_lev1_20240508T120002_193.fits")
    ended = run("composite", folder, "--out", out, "--size", 256, "--format", "json")
    assert ended.code == 3
    (left,) = [line for line in ended.lines if "unpaired" in line]
    assert left["unpaired"] == "another frame of the same channel and time was taken"


def test_a_missing_channel_makes_nothing_unless_it_is_wanted(run: Run, folder: Path, out: Path):
    for channel in (304, 193):
        aia_file(folder, channel)
    ended = run("composite", folder, "--out", out, "--size", 256, "--format", "json")
    assert (ended.code, len(composites(ended)), len(ended.lines)) == (3, 0, 2)
    assert all("aia-171 is not there" in line["unpaired"] for line in ended.lines)
    ended = run("composite", folder, "--out", out, "--size", 256, "--incomplete", "--format", "json")
    assert ended.code == 3
    assert composites(ended)[0]["missing"] == ["aia-171"]
    assert list(out.iterdir())


def test_other_frames_in_a_folder_are_passed_over_and_refused_when_named(run: Run, folder: Path, out: Path):
    sets(folder, 1)
    stranger = kso_frame(folder)
    (folder / "notes.txt").write_text("windy")
    (folder / ".aia.fits.part").write_bytes(b"half")
    ended = run("composite", folder, "--out", out, "--size", 256, "--format", "json")
    assert (ended.code, len(ended.lines)) == (0, 1)
    assert "1 frame passed over that the look aia does not show: kso-halpha" in ended.err
    ended = run("composite", folder, stranger, "--out", out, "--size", 256, "--format", "json")
    assert ended.code == 1
    (refused,) = [line["error"] for line in ended.lines if "error" in line]
    assert "is of kso-halpha; the look aia shows" in refused


def test_a_broken_file_is_an_error_and_the_other_sets_are_made(run: Run, folder: Path, out: Path):
    sets(folder, 3)
    half = folder / "aia_20240508T120013_171.fits"
    half.write_bytes(half.read_bytes()[:-9000])
    (folder / "aia_20240508T120900_171.fits").write_bytes(b"nothing at all")
    ended = run("composite", folder, "--out", out, "--size", 256, "--format", "json")
    assert ended.code == 1
    assert len(composites(ended)) == 2
    errors = {Path(line["file"]).name for line in ended.lines if "error" in line}
    assert errors == {half.name, "aia_20240508T120900_171.fits"}


def test_a_set_that_the_crop_does_not_show_is_an_error_and_the_others_are_made(
    run: Run, folder: Path, out: Path
):
    sets(folder, 2)
    for channel in CHANNELS:
        aia_file(folder, channel, 24, CRVAL1=3000.0)  # a window beside the Sun
    ended = run("composite", folder, "--out", out, "--size", 256, "--crop", "0,0,800,800", "--format", "json")
    assert (ended.code, len(composites(ended))) == (1, 2)
    (error,) = [line for line in ended.lines if "error" in line]
    assert Path(error["file"]).name == "20240508T120024_aia.jpg"
    assert "take another crop" in error["error"]


def test_an_empty_folder_and_one_of_other_things_are_said(run: Run, folder: Path, out: Path):
    ended = run("composite", folder, "--out", out)
    assert (ended.code, "there is no FITS" in ended.err) == (2, True)
    kso_frame(folder)
    ended = run("composite", folder, "--out", out)
    assert ended.code == 1
    assert "none of 1 frame is of aia-304, aia-171, aia-193" in ended.out
    assert run("composite", folder / "nowhere", "--out", out).code == 1


def test_words_that_are_wrong_are_one_line_and_code_2(run: Run, folder: Path, out: Path):
    sets(folder, 1)
    for words, said in (
        (("--look", "sepia"), "no look is named sepia: known are aia, corona"),
        (("--crop", "1,2"), "write X,Y,WIDTH,HEIGHT"),
        (("--size", "100"), "256"),
        (("--format", "xml"), "table"),
    ):
        ended = run("composite", folder, "--out", out, *words)
        assert ended.code == 2, words
        assert said in ended.err
        assert "Traceback" not in ended.err


def test_a_look_of_the_settings_a_crop_and_csv(run: Run, folder: Path, out: Path):
    Path("heliowatch.yaml").write_text(
        "composites: {looks: {mine: {channels: [aia-193, aia-304, aia-171], stretch: 0}}}\n"
    )
    sets(folder, 1)
    ended = run(
        *("composite", folder, "--out", out, "--look", "mine", "--size", 300, "--format", "csv"),
        *("--crop", "0,0,800,400"),
    )
    assert ended.code == 0
    (row,) = list(csv.DictReader(io.StringIO(ended.out)))
    assert Path(row["file"]).name == "20240508T120000_mine.jpg"
    assert Image.open(row["file"]).size == (600, 300)


def movie(run: Run, *arguments: object) -> Ended:
    return run("movie", *arguments, "--format", "json")


@needs_ffmpeg
def test_a_film_of_files_shows_every_set_and_holds_where_some_are_missing(
    run: Run, folder: Path, tmp_path: Path
):
    sets(folder, 12)
    for path in folder.glob("aia_20240508T12010[0-9]_*"):  # the sixth set
        path.unlink()
    film = tmp_path / "film.mp4"
    ended = movie(run, folder, "-i", "composite", "--size", 128, "--pad", "16:9", "--fps", 12, "-o", film)
    (said,) = ended.lines
    assert ended.code == 0, ended.err
    assert (said["frames"], said["incomplete"], len(said["gaps"])) == (11, 0, 1)
    assert (said["first"], said["last"]) == ("2024-05-08T12:00:00Z", "2024-05-08T12:02:12Z")
    seen = Film.open(film)
    assert (seen.width, seen.height, len(seen.pictures)) == (228, 128, said["pictures"])
    assert said["pictures"] == 11 + 3  # a quarter of a second for the one that is missing
    bright = seen.pictures[:, 40:90, 90:140].mean((1, 2, 3))
    assert (bright[5:8] < 0.7 * bright[4]).all()  # held and dimmed
    assert bright[8] > 0.9 * bright[4]
    assert np.ptp(np.delete(bright, [5, 6, 7])) < 12  # nothing flickers


@needs_ffmpeg
def test_any_instrument_and_a_single_frame_make_a_film(run: Run, folder: Path, tmp_path: Path):
    film = tmp_path / "film.mov"
    kso_frame(folder)
    ended = movie(run, folder, "--size", 200, "--pad", "4:3", "-o", film, "--fps", 10)
    assert ended.code == 0, ended.err
    assert ended.lines[0]["instrument"] == "KSO H-alpha"
    seen = Film.open(film)
    assert (seen.width, seen.height, len(seen.pictures)) == (268, 200, 10)
    assert seen.pictures[0, 100, 134].min() > 50


@needs_ffmpeg
def test_tiff_pictures_of_a_folder_make_a_film(run: Run, tmp_path: Path):
    (tmp_path / "frames").mkdir()
    for second in (0, 6):
        name = f"bbso_halph_fl_20150801_1748{second:02d}.tif"
        Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "frames" / name)
    ended = run("movie", tmp_path / "frames", "-o", tmp_path / "film.mp4", "--size", 128, "--format", "json")
    assert (ended.code, ended.lines[0]["frames"]) == (0, 2), ended.err


@needs_ffmpeg
def test_all_sky_pictures_make_a_film_in_colour(run: Run, folder: Path, tmp_path: Path):
    for number in range(4):
        sky = np.zeros((90, 120, 3), np.uint8)
        sky[20:70, 30:90, 1] = 120 + 30 * number
        path = folder / f"20131204_18000{number}.png"
        path.write_bytes(picture_bytes(sky))
    film = tmp_path / "film.mkv"
    Path("heliowatch.yaml").write_text("instruments: {kho: {kind: allsky}}\n")
    ended = movie(run, *sorted(folder.iterdir()), "-o", film, "--size", 180, "-i", "kho")
    assert ended.code == 0, (ended.out, ended.err)
    assert ended.lines[0]["frames"] == 4


@needs_ffmpeg
def test_a_corrupt_file_in_the_middle_is_shown_as_unreadable(run: Run, folder: Path, tmp_path: Path):
    for seconds in range(0, 84, 12):
        aia_file(folder, 171, seconds)
    broken = folder / "aia_20240508T120036_171.fits"
    broken.write_bytes(broken.read_bytes()[:-9000])
    film = tmp_path / "film.mp4"
    ended = movie(run, folder, "--size", 128, "-o", film)
    (said,) = ended.lines
    assert ended.code == 1
    assert said["frames"] == 6
    assert [Path(one["file"]).name for one in said["errors"]] == [broken.name]
    assert film.is_file()


@needs_ffmpeg
def test_what_cannot_become_a_film_is_one_line(run: Run, folder: Path, tmp_path: Path):
    film = tmp_path / "film.mp4"
    assert "there is no FITS" in run("movie", folder, "-o", film).err
    sets(folder, 2)
    sun = kso_frame(tmp_path / "sun.fts.gz")
    for words, code, said in (
        ((folder, "-i", "aia-193", "--time", "2024-05-09/2024-05-08"), 2, "the end is not after the start"),
        ((folder, "-i", "aia-193", "--time", "0001-01-01T00:00+01:00/.."), 2, "write START/END"),
        ((folder, "-i", "aia-193", "--time", "yesterday"), 2, "write START/END"),
        ((folder, "-i", "aia-193", "--time", "0001-01-01T00:00+05:00/.."), 2, "write START/END"),
        ((folder, "-i", "aia-193", "--time", "2025-01-01/.."), 1, "no frames of aia-193 in 2025-01-01"),
        ((folder, "-i", "aia-94"), 1, "there are no frames of aia-94"),
        ((folder, "-i", "aia-95"), 2, "there is no instrument aia-95"),
        ((folder,), 2, "say which with --instrument"),
        ((folder, "-i", "aia-193", "--pad", "wide"), 2, "--pad"),
        ((folder, "-i", "composite", "--tolerance", "0.5"), 1, "widen --tolerance"),
        ((folder, "-i", "aia-193", "--reference", "x.fits"), 2, "not one of the frames"),
        ((folder, "-i", "aia-193", "--look", "aia"), 2, "--look is of composites: add --instrument"),
        ((folder, "-i", "aia-193", "--tolerance", "5"), 2, "--tolerance is of composites"),
        ((folder, "-i", "aia-193", "--skip-degraded"), 2, "without being judged"),
        ((sun, "--overlay", "regions"), 2, "frames of kso-halpha have no regions"),
        ((folder, "-i", "aia-304", "--overlay", "regions"), 2, "frames of aia-304 have no regions"),
        (("-i", "aia-193"), 2, "nothing is stored yet"),
        ((), 2, "say of what"),
    ):
        ended = run("movie", *words, "-o", film)
        assert (ended.code, said in ended.err) == (code, True), (words, ended)
        assert "Traceback" not in ended.err
    assert run("movie", folder, "-i", "aia-193", "-o", tmp_path / "film.gif").code == 2
    assert not film.exists()


@needs_ffmpeg
def test_files_that_nobody_stored_get_their_outlines_from_the_network(
    run: Run, tmp_path: Path, real_frames: Path
):
    source = real_frames / "aia/png/aia_ch_2019_09_01T00_00_00.png"
    seen, film = [], tmp_path / "film.mp4"
    for words in ((), ("--overlay", "regions")):
        assert movie(run, source, "--size", 512, "--fps", 5, "-o", film, *words).code == 0
        seen.append(Film.open(film).pictures[0].astype(int))
    blue = (seen[1] - seen[0])[..., 2] > 80
    assert blue.sum() > 200


def test_without_ffmpeg_the_package_is_named(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch):
    sets(folder, 1)
    monkeypatch.setenv("PATH", "/nowhere")
    ended = run("movie", folder, "-i", "composite")
    assert (ended.code, "apt-get install ffmpeg" in ended.err) == (2, True)


@pytest.fixture
def station(settings: Settings) -> Iterator[Database]:
    """The settings' database, with the newest schema."""
    lay_out(settings.resolved_database_url)
    db = Database(settings.resolved_database_url)
    yield db
    db.dispose()


def store(
    db: Database,
    path: Path,
    channel: int,
    seconds: float,
    *,
    quality: Quality | None = None,
    found: Segmentation | None = None,
    status: Status = Status.RECEIVED,
) -> None:
    data = path.read_bytes()
    new = NewFrame(
        hashlib.sha256(data).hexdigest(),
        path.name,
        str(path),
        len(data),
        datetime.now(UTC),
        status=status,
        instrument=f"aia-{channel}",
        family="aia",
        date_obs=NOON + timedelta(seconds=seconds),
    )
    for task in frames.register(db, [new], []):
        assert frames.claim(db, task.frame_id, "w", datetime.now(UTC))
        results.finish(
            db,
            task.frame_id,
            "w",
            quality=quality,
            made=[],
            pictures=[],
            software_version="1",
            now=datetime.now(UTC),
            segmentations=[] if found is None else [NewSegmentation(found)],
        )


def hole(ring: np.ndarray) -> Segmentation:
    x0, y0 = ring.min(axis=0)
    x1, y1 = ring.max(axis=0)
    region = Region(
        EventType.CORONAL_HOLE,
        (ring,),
        (float(ring[:, 0].mean()), float(ring[:, 1].mean())),
        (float(x0), float(y0), float(x1), float(y1)),
        *(float(number) for number in (400, 0.05, 0.9, 1, 1, 1, 1, 0)),
    )
    return Segmentation(
        EventType.CORONAL_HOLE,
        np.zeros((8, 8), np.float32),
        (-0.5, -0.5, 95.5, 95.5),
        {Threshold.MEDIUM: 0.5},
        {Threshold.MEDIUM: 0.05},
        (region,),
        MODEL,
    )


@needs_ffmpeg
def test_a_film_of_what_is_stored_marks_degraded_frames_and_outlines_regions(
    run: Run, folder: Path, tmp_path: Path, settings: Settings, station: Database
):
    bad = Quality(0.1, True, None, (CauseProbability(Cause.ECLIPSE, 0.9),), MODEL)
    ring = np.array([[36, 36], [60, 36], [60, 60], [36, 60]], float)
    for number in range(6):
        path = aia_file(folder, 193, 12 * number)
        store(station, path, 193, 12 * number, quality=bad if number == 2 else None, found=hole(ring))
    store(station, aia_file(folder, 193, 72), 193, 72, status=Status.REJECTED)
    film = tmp_path / "film.mp4"
    where = ("--data-dir", settings.data_dir, "-i", "aia-193", "--size", 256, "-o", film)
    plain = movie(run, *where, "--time", "2024-05-08T12:00/2024-05-08T13:00")
    assert plain.code == 3
    (said,) = plain.lines
    assert (said["frames"], said["degraded"], said["left_out"]["rejected"]) == (6, 1, 1)
    without = Film.open(film).pictures
    amber = (without[..., 0] > 180) & (without[..., 2] < 120)
    assert amber[2].sum() > 50 + amber[1].sum()  # "degraded: eclipse"

    assert movie(run, *where, "--overlay", "regions").code == 3
    outlined = Film.open(film).pictures
    changed = np.abs(outlined[0].astype(int) - without[0]).max(-1) > 60
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max()) == pytest.approx((94, 161), abs=4)
    assert (columns.min(), columns.max()) == pytest.approx((94, 161), abs=4)

    skipped = movie(run, *where, "--skip-degraded")
    assert (skipped.code, skipped.lines[0]["frames"], skipped.lines[0]["left_out"]["degraded"]) == (0, 5, 1)

    nothing = run("movie", *where, "--time", "2025-01-01/2025-01-02")
    assert nothing.code == 1
    assert "were taken from 2024-05-08 12:00 to 2024-05-08 12:01 UTC" in nothing.err


@needs_ffmpeg
def test_stored_channels_make_a_film_of_composites_and_moved_files_are_said(
    run: Run, folder: Path, tmp_path: Path, settings: Settings, station: Database
):
    for number in range(4):
        for channel in CHANNELS:
            store(station, aia_file(folder, channel, 12 * number), channel, 12 * number)
    (folder / "aia_20240508T120012_171.fits").unlink()
    for channel in CHANNELS:
        (folder / f"aia_20240508T120024_{channel}.fits").unlink()
    film = tmp_path / "film.mp4"
    ended = movie(run, "--data-dir", settings.data_dir, "-i", "composite", "--size", 128, "-o", film)
    assert ended.code == 1, ended.err
    (said,) = ended.lines
    assert (said["frames"], said["incomplete"], len(said["errors"])) == (3, 1, 1)
    assert "could not be opened" in said["errors"][0]["error"]


def test_pictures_above_their_frames_hide_none_and_those_below_are_not_taken_for_frames(
    run: Run, folder: Path
):
    sets(folder, 1)
    for out in (folder.parent, folder / "made", folder / "made"):
        assert run("composite", folder, "--out", out, "--size", 256).code == 0


@needs_ffmpeg
def test_a_films_report_can_be_csv(run: Run, folder: Path, tmp_path: Path):
    kso_frame(folder)
    ended = run("movie", folder, "--size", 128, "-o", tmp_path / "film.mp4", "--format", "csv")
    (row,) = csv.DictReader(ended.out.splitlines())
    assert (row["instrument"], row["frames"], row["gaps"], row["errors"]) == ("KSO H-alpha", "1", "0", "0")
