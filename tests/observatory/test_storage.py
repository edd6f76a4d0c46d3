"""Rows, pages and events: the same on SQLite and Postgres, whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from observatory.analysis import Cause, CauseProbability, ModelIdentity, Quality
from observatory.errors import SchemaOutdatedError, StorageUnavailableError
from observatory.storage import catalogue, events, frames, products, results
from observatory.storage import workers as heartbeats
from observatory.storage.catalogue import FrameFilter
from observatory.storage.events import NewEvent
from observatory.storage.files import ProductFiles, StoredFile
from observatory.storage.frames import Arrival, NewFrame, Priority, Status
from observatory.storage.results import NewProduct, NewResult, quality_payload
from observatory.storage.session import Database
from observatory.storage.texts import path_text, text_path
from tests.servers import PostgresServer

NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)
MODEL = ModelIdentity("halpha_quality", "1.0", "ab" * 32, {"side": 256})


def new_frame(number: int, **more: Any) -> NewFrame:
    values: dict[str, Any] = {
        "sha256": f"{number:064x}",
        "file_name": f"{number}.fits",
        "path": f"/in/{number}.fits",
        "bytes": 10,
        "received_at": NOON + timedelta(days=1),
        "instrument": "kso-halpha",
        "family": "halpha",
        "date_obs": NOON + timedelta(seconds=number),
        "wavelength_nm": 656.28,
    }
    return NewFrame(**(values | more))


def arrival(number: int, path: str, mtime_ns: int = 1) -> Arrival:
    return Arrival(f"{number:064x}", path, 10, mtime_ns, NOON)


def quality(score: float = 0.9, *causes: Cause) -> Quality:
    return Quality(
        score, score < 0.5, 0.5, tuple(CauseProbability(cause, 0.8) for cause in causes), MODEL, {"x": 1.0}
    )


def finish(db: Database, frame_id: int, worker: str = "w", said: Quality | None = None, **more: Any) -> bool:
    said = said or quality()
    return results.finish(
        db,
        frame_id,
        worker,
        quality=said,
        made=more.get("made", [NewResult("quality", MODEL, {"score": said.score})]),
        pictures=more.get(
            "pictures", [NewProduct("preview", "image/jpeg", StoredFile("cd" * 32, "p", 3), 4, 4)]
        ),
        software_version="1",
        now=more.get("now", NOON + timedelta(days=1, seconds=2)),
    )


def done(db: Database, numbers: range, **more: Any) -> list[int]:
    """Frames that are finished."""
    ids = [task.frame_id for task in frames.register(db, [new_frame(n, **more) for n in numbers], [])]
    for frame_id in ids:
        frames.claim(db, frame_id, "w", NOON)
        assert finish(db, frame_id)
    return ids


# -- arriving ---------------------------------------------------------------------------------


def test_registering_the_same_bytes_again_adds_nothing(db: Database):
    assert len(frames.register(db, [new_frame(1)], [arrival(1, "/in/1")])) == 1
    told = events.last_seq(db)
    assert frames.register(db, [new_frame(1)], [arrival(1, "/in/1")]) == []
    assert catalogue.counts(db)["received"] == 1
    assert events.last_seq(db) == told


def test_the_same_bytes_elsewhere_are_one_frame_with_every_path(db: Database):
    (task,) = frames.register(db, [new_frame(1)], [arrival(1, "/in/a")])
    frames.register(db, [new_frame(1, path="/in/b")], [arrival(1, "/in/b")])
    frames.register(db, [], [arrival(1, "/in/b", mtime_ns=2)])
    assert catalogue.get(db, task.frame_id)["paths"] == ["/in/a", "/in/b", "/in/b"]


def test_a_number_that_is_given_twice_costs_no_frame_in_silence(postgres: PostgresServer):
    database = Database(postgres.migrated_database())
    frames.register(database, [new_frame(1)], [])
    with database.write() as connection:  # as on a replica that took over
        connection.execute(text("SELECT setval(pg_get_serial_sequence('frames', 'id'), 1, false)"))
    with pytest.raises(IntegrityError):
        frames.register(database, [new_frame(2)], [arrival(2, "/2.fits")])
    assert frames.known_files(database, Path("/")) == {}
    assert len(frames.register(database, [new_frame(2)], [])) == 1
    database.dispose()


def test_the_images_of_one_file_are_frames_of_their_own(db: Database):
    assert len(frames.register(db, [new_frame(1, frame_index=n) for n in range(20)], [])) == 20


def test_a_thousand_frames_in_one_transaction_are_a_thousand(db: Database):
    assert len(frames.register(db, [new_frame(n) for n in range(1500)], [])) == 1500
    assert catalogue.counts(db)["received"] == 1500


def test_a_rejected_file_makes_no_task_but_an_event(db: Database):
    assert frames.register(db, [new_frame(1, status=Status.REJECTED, reason="empty")], []) == []
    assert events.after(db, 0)[0].payload["reason"] == "empty"


def test_an_unreadable_path_is_noted_once(db: Database):
    for _ in range(3):
        frames.register(db, [new_frame(1, sha256=None, status=Status.REJECTED, reason="gone")], [])
    assert catalogue.counts(db)["rejected"] == 1


def test_known_files_are_those_below_the_folder_alone(db: Database, tmp_path: Path):
    paths = [f"{tmp_path}/in/a", f"{tmp_path}/in/deep/b", f"{tmp_path}/in-between/c", f"{tmp_path}/inn"]
    frames.register(db, [], [arrival(n, path) for n, path in enumerate(paths)])
    frames.register(db, [], [arrival(9, paths[0], mtime_ns=7)])
    assert frames.known_files(db, tmp_path / "in") == {paths[0]: (10, 7), paths[1]: (10, 1)}


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_any_file_name_comes_back_from_its_text(name: bytes):
    path = Path(os.fsdecode(b"/in/" + name))
    text = path_text(path)
    text.encode("utf-8")
    assert text_path(text) == path


# -- asking -----------------------------------------------------------------------------------


def pages(
    db: Database, wanted: FrameFilter, limit: int, *, is_ascending: bool, between: Callable[[], None]
) -> list[int]:
    found: list[int] = []
    after = None
    while page := catalogue.find(db, wanted, limit=limit, after=after, is_ascending=is_ascending):
        found += [row["id"] for row in page]
        after = (page[-1]["moment"], page[-1]["id"])
        between()
    return found


@pytest.mark.parametrize("is_ascending", [True, False])
def test_pages_hold_each_frame_once_although_others_arrive_meanwhile(db: Database, is_ascending: bool):
    # Many frames share a moment: the id decides between them.
    tasks = frames.register(
        db, [new_frame(n, date_obs=NOON + timedelta(seconds=n // 7)) for n in range(50)], []
    )
    ids = {task.frame_id for task in tasks}
    more = iter(range(100, 1000))

    def arrive() -> None:
        early, late = next(more), next(more)
        frames.register(db, [new_frame(early, date_obs=NOON - timedelta(seconds=early))], [])
        frames.register(db, [new_frame(late, date_obs=NOON + timedelta(seconds=3))], [])

    wanted = FrameFilter(time_from=NOON, time_to=NOON + timedelta(hours=1))
    found = pages(db, wanted, 6, is_ascending=is_ascending, between=arrive)
    assert len(found) == len(set(found))
    assert ids <= set(found)


def test_frames_come_newest_first_and_those_without_a_time_by_their_arrival(db: Database):
    frames.register(
        db, [new_frame(1), new_frame(2, date_obs=None), new_frame(3, date_obs=NOON - timedelta(days=1))], []
    )
    names = [row["file_name"] for row in catalogue.find(db, FrameFilter(), limit=10)]
    assert names == ["2.fits", "1.fits", "3.fits"]


def test_each_filter_finds_its_own(db: Database):
    ids = done(db, range(3))
    other = frames.register(db, [new_frame(10, instrument="aia-193", family="aia", wavelength_nm=19.3)], [])[
        0
    ]
    frames.claim(db, other.frame_id, "w", NOON)
    finish(db, other.frame_id, said=quality(0.2, Cause.CLOUD))

    def found(**wanted: Any) -> set[int]:
        return {row["id"] for row in catalogue.find(db, FrameFilter(**wanted), limit=10)}

    assert found(instrument="aia-193") == {other.frame_id}
    assert found(wavelength_nm=656.28) == set(ids)
    assert found(cause="cloud") == {other.frame_id}
    assert found(quality_min=0.5) == set(ids)
    assert found(quality_max=0.5) == {other.frame_id}
    assert found(status=Status.DONE) == {*ids, other.frame_id}
    assert found(time_from=NOON + timedelta(seconds=1), time_to=NOON + timedelta(seconds=2)) == {ids[1]}
    assert catalogue.find(db, FrameFilter(cause="cloud"), limit=1)[0]["causes"] == [
        {"cause": "cloud", "probability": 0.8}
    ]


def test_times_come_back_aware_and_to_the_microsecond(db: Database):
    moment = datetime(2024, 5, 8, 12, 0, 0, 123456, tzinfo=UTC)
    (task,) = frames.register(db, [new_frame(1, date_obs=moment)], [])
    assert catalogue.get(db, task.frame_id)["date_obs"] == moment
    assert catalogue.get(db, task.frame_id)["date_obs"].tzinfo is not None


def test_a_naive_time_is_refused(db: Database):
    with pytest.raises(Exception, match="no time zone"):
        frames.register(db, [new_frame(1, date_obs=datetime(2024, 5, 8))], [])  # noqa: DTZ001


def test_the_quality_series_is_in_order_and_its_bins_add_up(db: Database):
    done(db, range(120))
    single = catalogue.quality_series(db, "kso-halpha", None, None, bin_s=None, limit=1000)
    assert [row["time"] for row in single] == [NOON + timedelta(seconds=n) for n in range(120)]
    binned = catalogue.quality_series(db, "kso-halpha", None, None, bin_s=60, limit=1000)
    assert [row["frames"] for row in binned] == [60, 60]
    assert binned[0]["start"] == int(NOON.timestamp())
    assert binned[0]["score"] == pytest.approx(0.9)
    newest = catalogue.quality_series(db, "kso-halpha", None, None, bin_s=None, limit=5)
    assert [row["time"].second for row in newest] == [55, 56, 57, 58, 59]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measure_that_is_no_number_is_left_out_and_its_frame_can_be_read(db: Database, value: float):
    said = Quality(0.3, True, None, (), MODEL, {"strongest": value, "spikes": 0.5})
    (task,) = frames.register(db, [new_frame(1)], [])
    frames.claim(db, task.frame_id, "w", NOON)
    assert finish(db, task.frame_id, said=said, made=[NewResult("quality", MODEL, quality_payload(said))])
    assert results.newest_payloads(db, [task.frame_id], "quality")[task.frame_id]["measures"] == {
        "spikes": 0.5
    }
    (row,), _ = catalogue.table(db, FrameFilter(), limit=5)
    assert row[catalogue.TABLE_COLUMNS.index("score")] == 0.3


def test_bins_before_1970_are_as_wide_as_all_others(db: Database):
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for number, second in enumerate((-301, -300, -1, 0, 299)):  # digitised plates
        (task,) = frames.register(db, [new_frame(number, date_obs=epoch + timedelta(seconds=second))], [])
        frames.claim(db, task.frame_id, "w", NOON)
        finish(db, task.frame_id)
    binned = catalogue.quality_series(db, "kso-halpha", None, None, bin_s=300, limit=10)
    assert [(row["start"], row["frames"]) for row in binned] == [(-600, 1), (-300, 2), (0, 2)]


def test_summaries_know_every_instrument_and_its_counts(db: Database):
    done(db, range(3))
    frames.register(db, [new_frame(7, instrument="aia-193", family="aia")], [])
    frames.register(db, [new_frame(8, instrument=None, family=None, status=Status.REJECTED, reason="x")], [])
    assert catalogue.instruments_seen(db) == [("aia-193", "aia"), ("kso-halpha", "halpha")]
    assert catalogue.newest_moments(db, ["kso-halpha", "none"]) == {"kso-halpha": NOON + timedelta(seconds=2)}
    until = NOON + timedelta(seconds=1.5)
    assert catalogue.newest_moments(db, ["kso-halpha"], until) == {"kso-halpha": NOON + timedelta(seconds=1)}
    by_name = {row["instrument"]: row for row in catalogue.overview(db)}
    assert by_name["kso-halpha"]["done"] == 3
    assert by_name["aia-193"]["waiting"] == 1
    (newest,) = catalogue.newest(db, "kso-halpha", limit=1, status=Status.DONE)
    assert newest["date_obs"] == NOON + timedelta(seconds=2)
    assert catalogue.newest(db, "aia-193", limit=1, status=Status.DONE) == []


# -- finishing --------------------------------------------------------------------------------


def test_a_frame_is_finished_with_results_products_causes_and_event_at_once(db: Database):
    (task,) = frames.register(db, [new_frame(1)], [])
    frames.claim(db, task.frame_id, "w", NOON)
    assert finish(db, task.frame_id, said=quality(0.1, Cause.CLOUD))
    row = catalogue.get(db, task.frame_id)
    assert (row["status"], row["quality_score"], row["is_degraded"]) == ("done", 0.1, True)
    assert row["latency_s"] == pytest.approx(2.0)
    assert [item["analysis"] for item in results.of_frame(db, task.frame_id)] == ["quality"]
    assert results.of_frame(db, task.frame_id)[0]["model_sha256"] == MODEL.sha256
    event = events.after(db, 0)[-1]
    assert (event.type, event.payload["quality"]["causes"][0]["cause"]) == ("result", "cloud")


def test_a_fault_in_the_middle_of_finishing_leaves_nothing(db: Database, monkeypatch: pytest.MonkeyPatch):
    (task,) = frames.register(db, [new_frame(1)], [])
    frames.claim(db, task.frame_id, "w", NOON)
    told = events.last_seq(db)

    def fault(*_: Any) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(events, "append", fault)
    with pytest.raises(RuntimeError):
        finish(db, task.frame_id)
    row = catalogue.get(db, task.frame_id)
    assert (row["status"], row["quality_score"]) == ("processing", None)
    assert results.of_frame(db, task.frame_id) == []
    assert products.of_frame(db, task.frame_id) == []
    assert events.last_seq(db) == told


def test_finishing_twice_writes_one_result(db: Database):
    (task,) = frames.register(db, [new_frame(1)], [])
    frames.claim(db, task.frame_id, "w", NOON)
    assert finish(db, task.frame_id)
    assert not finish(db, task.frame_id)
    assert len(results.of_frame(db, task.frame_id)) == 1


def test_only_the_holder_of_the_claim_can_finish(db: Database):
    (task,) = frames.register(db, [new_frame(1)], [])
    frames.claim(db, task.frame_id, "w", NOON)
    assert not finish(db, task.frame_id, worker="another")
    assert catalogue.get(db, task.frame_id)["status"] == "processing"


def test_the_order_of_parameters_makes_no_other_result():
    one = NewResult("quality", ModelIdentity("m", "1", "a", {"x": 1, "y": 2}), {})
    two = NewResult("quality", ModelIdentity("m", "1", "a", {"y": 2, "x": 1}), {})
    other = NewResult("quality", ModelIdentity("m", "1", "a", {"y": 2, "x": 3}), {})
    assert one.parameters_hash == two.parameters_hash != other.parameters_hash


# -- events -----------------------------------------------------------------------------------


def test_a_reader_beside_many_writers_sees_every_event_once_and_in_order(db: Database):
    writers, each = 6, 25
    stop = threading.Event()
    seen: list[int] = []

    def write(name: int) -> None:
        for number in range(each):
            with db.write() as connection:
                events.append(db, connection, [NewEvent("status", None, None, {"writer": name, "n": number})])

    def read() -> None:
        while not stop.is_set() or events.last_seq(db) > (seen[-1] if seen else 0):
            seen.extend(event.seq for event in events.after(db, seen[-1] if seen else 0, limit=7))

    reader = threading.Thread(target=read)
    reader.start()
    threads = [threading.Thread(target=write, args=(name,)) for name in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join(timeout=30)
    assert seen == sorted(set(seen))
    assert seen == [event.seq for event in events.after(db, 0, limit=10_000)]
    assert len(seen) == writers * each


def test_a_number_is_never_used_twice_even_after_pruning(db: Database):
    def tell() -> None:
        with db.write() as connection:
            events.append(db, connection, [NewEvent("status", None, None, {})])

    tell()
    last = events.last_seq(db)
    assert events.prune(db, datetime.now(UTC) + timedelta(days=1), 0.5) == 1
    assert (events.first_seq(db), events.last_seq(db)) == (0, 0)
    tell()
    assert events.last_seq(db) > last


def test_whoever_waits_for_a_change_is_woken(db: Database, eventually: Callable[..., None]):
    stop, woken = threading.Event(), []
    waiter = threading.Thread(target=events.wait_for_change, args=(db, stop, lambda: woken.append(1)))
    waiter.start()
    try:
        eventually(lambda: woken, "not woken at the start")
        before = len(woken)
        with db.write() as connection:
            events.append(db, connection, [NewEvent("status", None, None, {})])
        eventually(lambda: len(woken) > before, "not woken by an event", 5)
    finally:
        stop.set()
        waiter.join(timeout=10)
    assert not waiter.is_alive()


# -- heartbeats, schema, outages --------------------------------------------------------------


def test_a_heartbeat_signs_a_forgotten_worker_on_again(db: Database):
    heartbeats.sign_on(db, "w", "worker", NOON, {"version": "1"})
    assert heartbeats.forget_dead(db, NOON + timedelta(hours=2), 60) == 1
    heartbeats.beat(db, "w", "worker", NOON + timedelta(hours=3), {"version": "1"})
    (alive,) = heartbeats.alive(db, NOON + timedelta(hours=3, seconds=5), 60)
    assert (alive["name"], alive["facts"]) == ("w", {"version": "1"})
    heartbeats.sign_off(db, "w")
    assert heartbeats.alive(db, NOON + timedelta(hours=3), 60) == []


def test_an_empty_database_is_refused_and_the_command_named(empty_database_url: str):
    database = Database(empty_database_url)
    with pytest.raises(SchemaOutdatedError, match="heliowatch db upgrade"):
        database.check_schema()
    database.dispose()


def test_another_schema_is_refused(db: Database):
    from sqlalchemy import text

    db.check_schema()
    with db.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaOutdatedError, match="9999"):
        db.check_schema()


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "sqlite:////proc/none/x.db"])
def test_a_database_that_is_not_there_is_a_transient_error(url: str):
    with pytest.raises((StorageUnavailableError, OSError)), Database(url).read():
        pass


def test_whoever_may_not_write_to_a_database_is_told_so_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "access", lambda *_: False)  # who runs the tests may be root, who may everything
    with pytest.raises(StorageUnavailableError, match=f"x.db cannot .*may not write to {tmp_path}"):
        Database(f"sqlite:///{tmp_path}/x.db").engine.dispose()


def test_a_lost_connection_is_a_transient_error_and_the_next_try_works(db: Database):
    if db.is_sqlite:
        pytest.skip("SQLite has no connection to lose")
    from sqlalchemy import text

    with pytest.raises(StorageUnavailableError), db.write() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert catalogue.counts(db)["received"] == 0


# -- product files ----------------------------------------------------------------------------


def test_a_product_is_written_whole_and_found_again(tmp_path: Path):
    files = ProductFiles(tmp_path)
    stored = files.write(b"abc", ".jpg")
    found = files.find(stored.path)
    assert found is not None
    assert found.read_bytes() == b"abc"
    assert (stored.bytes, found.stem) == (3, stored.sha256)


def test_the_same_product_twice_is_one_file(tmp_path: Path):
    files = ProductFiles(tmp_path)
    assert files.write(b"abc", ".jpg") == files.write(b"abc", ".jpg")
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str):
    files = ProductFiles(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, "rename", full)
        with pytest.raises(StorageUnavailableError, match="No space left"):
            files.write(b"abc", ".jpg")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert files.find(files.write(b"abc", ".jpg").path) is not None


def test_a_product_that_was_removed_is_found_missing(tmp_path: Path):
    files = ProductFiles(tmp_path)
    stored = files.write(b"abc", ".jpg")
    (tmp_path / stored.path).unlink()
    assert files.find(stored.path) is None


def test_waiting_frames_are_counted_by_queue(db: Database):
    frames.register(db, [new_frame(n, priority=Priority.BACKFILL) for n in range(3)] + [new_frame(9)], [])
    assert {(item.family, item.priority): item.count for item in frames.waiting(db)} == {
        ("halpha", Priority.BACKFILL): 3,
        ("halpha", Priority.LIVE): 1,
    }
