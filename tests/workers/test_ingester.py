"""A settled file becomes a row, however it came: by event, by scan, in pieces, twice, while we were down."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage import catalogue, frames
from observatory.storage.frames import Priority, Status
from observatory.storage.session import Database
from observatory.storage.texts import text_path
from tests.making import drop, fits_bytes, kso_bytes, kso_frame, pgm_bytes, picture_bytes, sun_picture
from tests.workers.ingesting import Eventually, Rows, Watching, once
from workers.app import make_app
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.watching import WatchFolder


def test_a_file_that_is_written_and_closed_gets_its_row_by_an_event(
    patient: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    with watching(patient, home, incoming):
        (incoming / "kanz_halph_fi_a.fts.gz").write_bytes(kso_bytes(1))
        eventually(lambda: rows(home), "no row")
    row = rows(home)[0]
    assert (row["instrument"], row["status"], row["file_name"]) == (
        "kso-halpha",
        "received",
        "kanz_halph_fi_a.fts.gz",
    )
    assert row["closed_at"] is not None
    assert row["date_obs"] == datetime(2024, 5, 8, 12, tzinfo=UTC)
    assert row["published_at"] is not None


def test_a_file_that_is_moved_in_gets_its_row_by_an_event(
    patient: Settings,
    home: Database,
    incoming: Path,
    rows: Rows,
    watching: Watching,
    eventually: Eventually,
    tmp_path: Path,
):
    outside = kso_frame(tmp_path)
    with watching(patient, home, incoming):
        outside.rename(incoming / outside.name)
        eventually(lambda: rows(home), "no row")
    assert rows(home)[0]["is_simulated"]
    assert rows(home)[0]["closed_at"] is not None


def test_a_file_written_in_pieces_is_one_frame_of_the_whole_file(
    patient: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    data = kso_bytes(2)
    with watching(patient, home, incoming) as ingester:
        with (incoming / "kanz_halph_fi_slow.fts.gz").open("wb") as file:
            for start in range(0, len(data), len(data) // 5):
                file.write(data[start : start + len(data) // 5])
                file.flush()
                # The ingester has noticed this piece before the next one is written.
                eventually(lambda: ingester._noticed.empty(), "the events are not taken")
                assert rows(home) == []
        eventually(lambda: rows(home), "no row")
    assert [row["bytes"] for row in rows(home)] == [len(data)]


def test_a_film_that_grows_is_taken_when_it_has_rested(
    patient: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    film = [np.full((32, 32), n, np.uint16) for n in range(4)]
    whole = pgm_bytes(film, [{"Image request start": f"2014-03-10 06:00:0{n} UTC"} for n in range(4)])
    with watching(patient, home, incoming):
        path = incoming / "20140310_0600_gill_themis19_full.pgm"
        path.write_bytes(whole[: len(whole) // 2])  # two whole images: nothing says that more will come
        with path.open("ab") as file:
            file.write(whole[len(whole) // 2 :])
        eventually(lambda: len(rows(home)) >= 4, "not all images of the film got their row")
    found = rows(home)
    assert [row["frame_index"] for row in found] == [0, 1, 2, 3]
    assert [row["date_obs"].second for row in found] == [0, 1, 2, 3]
    assert {row["instrument"] for row in found} == {"themis-asi"}
    assert len({row["sha256"] for row in found}) == 1


def test_files_that_came_while_we_were_down_are_found_at_the_start(
    patient: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    for number in range(3):
        kso_frame(incoming, number)
    with watching(patient, home, incoming):
        eventually(lambda: len(rows(home)) == 3, "the start-up scan missed files")
    kso_frame(incoming, 3)
    with watching(patient, home, incoming):
        eventually(lambda: len(rows(home)) == 4, "the second start-up scan missed a file")


def test_the_periodic_scan_finds_what_events_missed(
    quick: Settings,
    home: Database,
    incoming: Path,
    rows: Rows,
    watching: Watching,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(Ingester, "_notice", lambda *_: None)  # an overflowed inotify queue says nothing
    with watching(quick, home, incoming):
        kso_frame(incoming, 1)
        eventually(lambda: rows(home), "the scan did not find the file")
        kso_frame(incoming, 2)
        eventually(lambda: len(rows(home)) == 2, "the next scan did not find the next file")


def test_a_folder_without_events_is_polled(
    patient: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    ingest = patient.ingest.model_copy(update={"polling": True, "polling_interval_s": 0.1})
    with watching(patient.model_copy(update={"ingest": ingest}), home, incoming):
        kso_frame(incoming, 1)
        eventually(lambda: rows(home), "polling did not find the file")


def test_the_same_bytes_under_two_names_are_one_frame_with_two_arrivals(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    (incoming / "kanz_halph_a.fts.gz").write_bytes(kso_bytes(1))
    (incoming / "kanz_halph_b.fts.gz").write_bytes(kso_bytes(1))
    assert once(quick, home, incoming) == 2
    found = rows(home)
    assert len(found) == 1
    whole = catalogue.get(home, found[0]["id"])
    assert whole is not None
    assert sorted(Path(path).name for path in whole["paths"]) == [
        "kanz_halph_a.fts.gz",
        "kanz_halph_b.fts.gz",
    ]


def test_a_link_inside_the_folder_is_another_arrival_of_the_same_frame(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    target = kso_frame(incoming, 1)
    (incoming / "kanz_halph_latest.fts.gz").symlink_to(target)
    once(quick, home, incoming)
    assert len(rows(home)) == 1


def test_a_changed_file_is_a_new_frame(
    quick: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    path = incoming / "kanz_halph_latest.fts.gz"
    with watching(quick, home, incoming):
        path.write_bytes(kso_bytes(1))
        eventually(lambda: len(rows(home)) == 1, "no first row")
        path.write_bytes(kso_bytes(2))
        eventually(lambda: len(rows(home)) == 2, "the changed file got no row")
    first, second = rows(home)
    assert first["sha256"] != second["sha256"]
    assert first["path"] == second["path"]


def test_a_file_touched_but_not_changed_makes_no_second_row(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    path = kso_frame(incoming, 1)
    once(quick, home, incoming)
    os.utime(path, (1, 1))
    assert once(quick, home, incoming) == 1
    assert len(rows(home)) == 1


def test_what_was_seen_before_is_not_read_again(
    quick: Settings, home: Database, incoming: Path, monkeypatch: pytest.MonkeyPatch
):
    kso_frame(incoming, 1)
    once(quick, home, incoming)
    monkeypatch.setattr("workers.ingester.read_bytes", lambda *_: pytest.fail("read again"))
    assert once(quick, home, incoming) == 0


def test_a_rejected_file_is_looked_at_again_at_a_start_and_keeps_its_one_row(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    (incoming / "notes.txt").write_text("nothing to see")
    once(quick, home, incoming)
    once(quick, home, incoming)
    assert [row["status"] for row in rows(home)] == ["rejected"]


def test_a_rejected_file_is_not_read_again_while_we_run(
    quick: Settings, home: Database, incoming: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
):
    (incoming / "notes.txt").write_text("nothing to see")
    ingester = Ingester(quick, home, Publisher(make_app(quick)), [WatchFolder(incoming)])
    ingester.once()
    monkeypatch.setattr("workers.ingester.read_bytes", lambda *_: pytest.fail("read again"))
    assert ingester.scan() == 0


def test_a_file_that_went_away_before_it_was_worked_on_is_taken_when_it_comes_back(
    quick: Settings, home: Database, incoming: Path, rows: Rows, tmp_path: Path
):
    path = kso_frame(incoming)
    ingester = Ingester(quick, home, Publisher(make_app(quick)), [WatchFolder(incoming)])
    ingester.once()
    (row,) = rows(home)
    frames.claim(home, row["id"], "w", datetime.now(UTC))
    frames.refuse(home, row["id"], "w", Status.REJECTED, "not there", datetime.now(UTC))
    path.rename(tmp_path / path.name)
    (incoming / ".keep").touch()  # the folder itself is there
    ingester.scan()
    (tmp_path / path.name).rename(path)
    ingester.scan()
    while ingester.step():
        pass
    assert [row["status"] for row in rows(home)] == ["received"]


def test_other_bytes_of_the_same_length_and_time_under_the_same_name_are_another_frame(
    patient: Settings,
    home: Database,
    incoming: Path,
    rows: Rows,
    watching: Watching,
    eventually: Eventually,
    tmp_path: Path,
):
    for number in (1, 2):
        path = tmp_path / f"{number}.fits"
        path.write_bytes(fits_bytes(np.full((40, 40), number, np.int16), {"OBS_TYPE": "HALPH"}))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    with watching(patient, home, incoming):
        for number in (1, 2):
            (tmp_path / f"{number}.fits").rename(incoming / "latest.fits")
            eventually(lambda: len(rows(home)) == number, "the second file was not seen")  # noqa: B023


def test_an_unfinished_file_that_its_writer_holds_open_is_waited_for(
    patient: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    data = fits_bytes(np.full((400, 400), 7, np.int16), {"OBS_TYPE": "HALPH"})
    with watching(patient, home, incoming) as ingester:
        with (incoming / "slow.fits").open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            began = time.monotonic()
            eventually(lambda: time.monotonic() - began > 3 * patient.ingest.rest_s, "time stands still")
            assert ingester._pending and rows(home) == []
            file.write(data[len(data) // 2 :])
        eventually(lambda: rows(home), "no row")
    assert [row["status"] for row in rows(home)] == ["received"]


def test_a_new_folder_with_files_in_it_is_taken_at_once(
    patient: Settings,
    home: Database,
    incoming: Path,
    rows: Rows,
    watching: Watching,
    eventually: Eventually,
    tmp_path: Path,
):
    with watching(patient, home, incoming):
        deep = incoming / "2024" / "05" / "08"
        deep.mkdir(parents=True)
        for number in range(5):
            kso_frame(deep, number)
        eventually(lambda: len(rows(home)) == 5, "files in a folder just made were missed")


def test_a_burst_of_three_thousand_files_loses_none(
    quick: Settings, home: Database, incoming: Path, watching: Watching, eventually: Eventually
):
    pixels = np.arange(64, dtype=np.int16).reshape(8, 8)
    template = fits_bytes(pixels, {"OBS_TYPE": "HALPH", "FRAMENO": 0})
    at = template.index(b"FRAMENO")
    with watching(quick, home, incoming):
        for number in range(3000):
            card = f"FRAMENO = {number:>20}".ljust(80).encode()
            (incoming / f"{number:05d}.fits").write_bytes(template[:at] + card + template[at + 80 :])
        eventually(lambda: catalogue.counts(home)["received"] >= 3000, "a burst lost files", 60)
    assert catalogue.counts(home) == {
        "received": 3000,
        "processing": 0,
        "done": 0,
        "rejected": 0,
        "failed": 0,
    }


def test_a_backfills_frames_wait_on_their_own_queue(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    kso_frame(incoming, 1)
    once(quick, home, incoming, priority=Priority.BACKFILL)
    assert rows(home)[0]["priority"] == "backfill"
    assert [(queue.family, queue.priority) for queue in frames.waiting(home)] == [
        ("halpha", Priority.BACKFILL)
    ]


def test_a_span_leaves_other_times_out_and_another_span_takes_them(
    quick: Settings, home: Database, incoming: Path, rows: Rows
):
    for number in range(4):
        kso_frame(incoming, number)  # six seconds apart
    noon = datetime(2024, 5, 8, 12, tzinfo=UTC)
    once(quick, home, incoming, span=(noon + timedelta(seconds=6), noon + timedelta(seconds=18)))
    assert [row["date_obs"].second for row in rows(home)] == [6, 12]
    once(quick, home, incoming, span=(None, None))
    assert len(rows(home)) == 4


def test_a_missing_watch_folder_is_a_setting_to_correct(quick: Settings, home: Database, tmp_path: Path):
    with pytest.raises(SettingsError, match="create it first"):
        once(quick, home, tmp_path / "nowhere")


def test_a_watched_folder_that_is_removed_stops_nothing(
    quick: Settings, home: Database, incoming: Path, rows: Rows, watching: Watching, eventually: Eventually
):
    other = incoming.parent / "other"
    other.mkdir()
    with watching(quick, home, incoming, other):
        kso_frame(other, 0)
        eventually(lambda: rows(home), "no row")
        shutil.rmtree(other)
        kso_frame(incoming, 1)
        eventually(lambda: len(rows(home)) == 2, "the other folder is not watched any more")


def test_a_defect_in_reading_one_file_does_not_stop_the_others(
    quick: Settings,
    home: Database,
    incoming: Path,
    rows: Rows,
    watching: Watching,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
):
    from workers import ingester as module

    real = module.open_bytes

    def brittle(data: bytes, name: str, *args: Any, **options: Any) -> Any:
        if "brittle" in name:
            raise ZeroDivisionError("a defect of ours")
        return real(data, name, *args, **options)

    monkeypatch.setattr(module, "open_bytes", brittle)
    with watching(quick, home, incoming):
        drop(incoming / "kanz_halph_brittle.fts.gz", kso_bytes(1))
        drop(incoming / "kanz_halph_sound.fts.gz", kso_bytes(2))
        eventually(lambda: len(rows(home)) == 2, "the defect stopped the ingester")
    by_name = {row["file_name"]: row for row in rows(home)}
    assert by_name["kanz_halph_sound.fts.gz"]["status"] == "received"
    broken = by_name["kanz_halph_brittle.fts.gz"]
    assert broken["status"] == "failed"
    assert "ZeroDivisionError" in broken["reason"]


ODD = os.fsdecode(b"odd_\xff\xfe")


@pytest.mark.parametrize("fault", ["none", "unknown", "ambiguous", "link", "defect"])
def test_a_name_that_is_no_utf8_has_its_row_whatever_is_wrong_with_it(
    db: Database,
    settings: Settings,
    incoming: Path,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
):
    noise = np.random.default_rng(1).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    path = incoming / f"{ODD}.png"
    if fault == "link":
        path.symlink_to(incoming / f"{ODD}_gone.png")
    elif fault == "none":
        path.write_bytes(sun_picture())
    else:
        path.write_bytes(picture_bytes(noise if fault == "unknown" else noise[..., 0]))
    if fault == "defect":
        monkeypatch.setattr("workers.ingester.open_bytes", lambda _, name, *__, **___: {}[name])
    once(settings, db, incoming)
    (row,) = rows(db)
    assert row["status"] == {"none": "received", "defect": "failed"}.get(fault, "rejected")
    assert row["file_name"] == "odd_\\udcff\\udcfe.png"
    assert text_path(row["path"]) == path


@pytest.mark.parametrize("site", ["x" * 500, "nul\0inside"], ids=["long", "nul"])
def test_a_header_text_that_no_column_holds_stops_nothing(
    db: Database,
    settings: Settings,
    incoming: Path,
    rows: Rows,
    site: str,
):
    film = pgm_bytes([np.zeros((8, 8), np.uint8)], [{"Site name": site}])
    (incoming / "themis01.pgm").write_bytes(film)
    kso_frame(incoming, 1)
    once(settings, db, incoming)
    assert len(rows(db)) == 2
