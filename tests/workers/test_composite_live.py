"""Composites of frames that arrive: one picture a set, whoever finishes when."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
from PIL import Image
from redis import Redis
from sqlalchemy import update

from observatory.settings import Settings, load_settings
from observatory.storage import composites as stored
from observatory.storage import frames, results
from observatory.storage.composites import SetStatus
from observatory.storage.frames import NewFrame, Priority
from observatory.storage.schema import frames as frame_table
from tests.coronal import NOON, aia_file
from tests.embedded import lay_out
from tests.servers import RedisServer
from workers import composites
from workers.app import make_app
from workers.composites import CompositeSweep, after_frame, work
from workers.publisher import Publisher
from workers.station import Station
from workers.tasks import Desk
from workers.watching import WatchFolder

LATE_S = 300.0
SIZES = [256, 300]


BOTH = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a frame: SQLite, and where a test asks for both, Postgres too."""
    if getattr(request, "param", "sqlite") == "postgres":
        return request.getfixturevalue("postgres").migrated_database()
    return lay_out(f"sqlite:///{tmp_path / 'heliowatch.db'}")


@pytest.fixture
def at(settings: Settings, url: str) -> Desk:
    """A worker's desk; its queue is the in-memory one, from which nobody takes."""
    made = load_settings(
        data_dir=settings.data_dir,
        database_url=url,
        composites={"sizes": SIZES, "late_s": LATE_S, "tolerance_s": 12},
    )
    make_app(made)
    return Desk(made)


Take = Callable[..., int]


@pytest.fixture
def take(at: Desk, tmp_path: Path) -> Take:
    """A frame that arrived and is done, but has not looked for partners yet."""

    def taken(
        channel: int, seconds: float, *, instrument: str = "", priority: Priority = Priority.LIVE
    ) -> int:
        path = aia_file(tmp_path, channel, seconds)
        data = path.read_bytes()
        moment = NOON + timedelta(seconds=seconds)
        new = NewFrame(
            hashlib.sha256(data).hexdigest(),
            path.name,
            str(path),
            len(data),
            datetime.now(UTC),
            instrument=instrument or f"aia-{channel}",
            family="aia",
            date_obs=moment,
            priority=priority,
        )
        (task,) = frames.register(at.db, [new], [])
        assert frames.claim(at.db, task.frame_id, at.name, datetime.now(UTC))
        assert results.finish(
            at.db,
            task.frame_id,
            at.name,
            quality=None,
            made=[],
            pictures=[],
            software_version="1",
            now=datetime.now(UTC),
        )
        return task.frame_id

    return taken


def arrive(at: Desk, take: Take, channel: int, seconds: float, **more) -> int:
    frame_id = take(channel, seconds, **more)
    after_frame(at, frame_id, more.get("instrument") or f"aia-{channel}")
    return frame_id


def waiting(at: Desk) -> list[int]:
    return stored.waiting(at.db, datetime.now(UTC) + timedelta(hours=1))


def done(at: Desk) -> list[dict]:
    return stored.find(at.db, "aia", None, None, limit=50, is_ascending=True)


def shown(at: Desk, one: dict, side: int) -> np.ndarray:
    (picture,) = [item for item in one["pictures"] if item["kind"] == f"composite-{side}"]
    path = at.files.find(picture["path"])
    assert path is not None
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())))


@BOTH
def test_the_third_channel_makes_the_set_and_the_task_its_pictures(at: Desk, take: Take):
    arrive(at, take, 304, 3)
    arrive(at, take, 193, 0)
    assert waiting(at) == []
    arrive(at, take, 171, 5)
    (set_id,) = waiting(at)
    assert work(at, set_id) == "done"
    assert work(at, set_id) is None  # the same message once more
    (one,) = done(at)
    assert one["is_complete"]
    assert one["date_obs"] == NOON
    assert one["payload"]["missing"] == []
    assert set(one["payload"]["levels"]) == {"aia-304", "aia-171", "aia-193"}
    assert one["payload"]["span_s"] == 5
    for side in SIZES:
        assert shown(at, one, side).shape == (side, side, 3)
    assert shown(at, one, 256).std() > 5


@BOTH
def test_two_workers_that_finish_at_once_make_one_set(at: Desk, take: Take):
    other = Desk(at.settings)
    ids = {channel: take(channel, 0) for channel in (304, 171, 193)}
    for turn in range(1, 4):
        ids |= {(channel, turn): take(channel, 12 * turn) for channel in (304, 171, 193)}
    gate = Barrier(2)

    def finish(desk: Desk, channels: tuple[int, ...]) -> None:
        gate.wait()
        for turn in range(4):
            for channel in channels:
                after_frame(desk, ids[channel if turn == 0 else (channel, turn)], f"aia-{channel}")

    threads = [Thread(target=finish, args=(at, (304, 171))), Thread(target=finish, args=(other, (193, 171)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sets = waiting(at)
    assert len(sets) == 4
    made = [work(desk, set_id) for set_id in sets for desk in (at, other)]
    assert made.count("done") == 4
    used = [frame["frame_id"] for one in done(at) for frame in one["frames"]]
    assert sorted(used) == sorted(ids.values())


@BOTH
def test_a_late_channel_is_waited_for_then_left_out_and_put_in_when_it_comes(at: Desk, take: Take):
    arrive(at, take, 304, 0)
    arrive(at, take, 193, 4)
    sent: list[int] = []
    sweep = CompositeSweep(at.settings, at.db, lambda set_id: sent.append(set_id) is None)
    now = datetime.now(UTC)
    sweep.sweep(now)
    assert sent == []
    sweep.sweep(now + timedelta(seconds=LATE_S + 5))
    (set_id,) = sent
    assert work(at, set_id) == "done"
    (one,) = done(at)
    assert not one["is_complete"]
    assert one["payload"]["missing"] == ["aia-171"]
    without = shown(at, one, 300)
    assert (without[260:, :, 0] > 200).any()  # it says so on itself

    arrive(at, take, 171, 2)
    assert waiting(at) == [set_id]
    assert work(at, set_id) == "done"
    (one,) = done(at)
    assert one["is_complete"]
    assert (one["revision"], one["payload"]["missing"]) == (2, [])
    assert shown(at, one, 300)[..., 1].mean() > without[..., 1].mean() + 5


def test_a_station_of_one_channel_waits_for_nobody(at: Desk, take: Take):
    arrive(at, take, 304, 0)
    CompositeSweep(at.settings, at.db, lambda _: True).sweep(datetime.now(UTC) + timedelta(hours=1))
    assert stored.get(at.db, 1) is None


def test_a_frame_without_any_partner_makes_no_picture_and_is_asked_about_once(at: Desk, take: Take):
    arrive(at, take, 304, 0)
    take(193, 9000)
    sent: list[int] = []
    sweep = CompositeSweep(at.settings, at.db, lambda set_id: sent.append(set_id) is None)
    later = datetime.now(UTC) + timedelta(seconds=LATE_S + 5)
    sweep.sweep(later)
    assert sent == []
    assert [stored.get(at.db, number)["status"] for number in (1, 2)] == [SetStatus.ALONE] * 2
    sweep.sweep(later + timedelta(seconds=5))
    assert stored.get(at.db, 3) is None


def test_channels_minutes_apart_and_a_second_frame_of_one_time_make_no_set(at: Desk, take: Take):
    for channel, seconds in ((304, 0), (171, 120), (193, 240), (193, 240.5)):
        arrive(at, take, channel, seconds)
    assert waiting(at) == []


def test_of_two_frames_of_one_time_one_is_used(at: Desk, take: Take):
    ids = [arrive(at, take, channel, seconds) for channel, seconds in ((304, 0), (171, 0), (171, 0.5))]
    arrive(at, take, 193, 1)
    (set_id,) = waiting(at)
    work(at, set_id)
    (one,) = done(at)
    assert ids[1] in {frame["frame_id"] for frame in one["frames"]}
    assert ids[2] not in {frame["frame_id"] for frame in one["frames"]}


def test_a_file_that_vanished_meanwhile_is_a_missing_channel_and_two_are_the_end(
    at: Desk, take: Take, tmp_path: Path
):
    for turn in (0, 12):
        for channel in (304, 171, 193):
            arrive(at, take, channel, turn)
    first, second = waiting(at)
    for name in ("aia_20240508T120000_193", "aia_20240508T120012_193", "aia_20240508T120012_171"):
        (tmp_path / f"{name}.fits").unlink()
    assert work(at, first) == "done"
    assert done(at)[0]["payload"]["missing"] == ["aia-193"]
    assert "could not be opened" in done(at)[0]["payload"]["problems"]["aia-193"]
    assert work(at, second) == "rejected"
    assert "could not be opened" in stored.get(at.db, second)["reason"]


def test_a_full_disk_delays_a_set_and_costs_it_no_attempt(at: Desk, take: Take):
    for channel in (304, 171, 193):
        arrive(at, take, channel, 0)
    (set_id,) = waiting(at)
    at.settings.product_dir.parent.mkdir(parents=True, exist_ok=True)
    at.settings.product_dir.symlink_to("/proc")  # nothing can be made there
    assert work(at, set_id) == "retried"
    assert stored.get(at.db, set_id)["attempts"] == 0
    at.settings.product_dir.unlink()
    assert work(at, set_id) == "done"


def test_an_archive_is_not_composed_unless_it_is_wanted(at: Desk, take: Take):
    for channel in (304, 171, 193):
        arrive(at, take, channel, 0, priority=Priority.BACKFILL)
    assert waiting(at) == []


def test_a_station_with_a_name_of_its_own_fills_its_channel(at: Desk, take: Take):
    wanted = at.settings.model_dump(include={"composites", "data_dir", "database_url"})
    own = Desk(load_settings(**wanted, instruments={"my-aia": {"kind": "aia-304"}}))
    arrive(own, take, 304, 0, instrument="my-aia")
    arrive(own, take, 171, 1)
    arrive(own, take, 193, 2)
    (set_id,) = waiting(own)
    assert work(own, set_id) == "done"
    assert {frame["instrument"] for frame in done(own)[0]["frames"]} == {"my-aia", "aia-171", "aia-193"}


@pytest.mark.parametrize(("broker", "patience_s"), [("memory://", 600), ("redis://localhost", 60)])
def test_a_set_whose_message_is_lost_is_sent_again_and_not_at_every_sweep(
    at: Desk, take: Take, broker: str, patience_s: float
):
    for channel in (304, 171, 193):
        arrive(at, take, channel, 0)
    sent: list[int] = []
    settings = at.settings.model_copy(update={"broker_url": broker})
    sweep = CompositeSweep(settings, at.db, lambda set_id: sent.append(set_id) is None, lambda: 0)
    now = datetime.now(UTC)
    for seconds in (0, 2, 5, 10, 15, 20, 40, 60, patience_s + 4):
        sweep.sweep(now + timedelta(seconds=seconds))
    assert len(sent) == 1
    sweep.sweep(now + timedelta(seconds=patience_s + 10))
    assert len(sent) == 2


def test_while_no_worker_takes_them_messages_do_not_multiply(at: Desk, take: Take, redis_server: RedisServer):
    """On a queue of their own: frames that wait are not taken for published because of them."""
    Redis.from_url(redis_server.url).flushall()
    settings = at.settings.model_copy(update={"broker_url": redis_server.url})
    publisher = Publisher(make_app(settings))
    for turn in (0, 12):
        for channel in (304, 171, 193):
            arrive(at, take, channel, turn)
    sweep = CompositeSweep(settings, at.db)
    now = datetime.now(UTC)
    for minutes in range(0, 60, 5):
        sweep.sweep(now + timedelta(minutes=minutes))
    assert composites.depth() == len(waiting(at)) == 2
    assert publisher.depth("aia", Priority.LIVE) == 0
    Redis.from_url(redis_server.url).flushall()
    assert sweep.sweep(now + timedelta(hours=2)) == 2
    assert composites.depth() == 2


def test_a_broker_that_refuses_is_tried_at_the_next_sweep(at: Desk, take: Take):
    for channel in (304, 171, 193):
        arrive(at, take, channel, 0)
    sweep = CompositeSweep(at.settings, at.db, lambda set_id: False)
    now = datetime.now(UTC)
    assert [sweep.sweep(now + timedelta(seconds=seconds)) for seconds in (0, 5, 10)] == [0, 0, 0]


def test_the_cadence_seen_lately_sets_the_tolerance(at: Desk, take: Take):
    wanted = at.settings.model_dump(include={"data_dir", "database_url"})
    own = Desk(load_settings(**wanted, composites={"sizes": [256]}))
    for turn in range(4):
        take(193, 12 * turn)
    assert composites._tolerance_s(own.db, own.settings, "aia-193") == 9
    assert composites._tolerance_s(own.db, own.settings, "aia-304") == 60
    station = load_settings(**wanted, instruments={"aia-304": {"kind": "aia-304", "cadence_s": 24}})
    assert composites._tolerance_s(own.db, station, "aia-304") == 18


def test_a_running_station_makes_the_composite_by_itself(settings: Settings, tmp_path: Path, eventually):
    """From files that are dropped to the picture: ingester, queue and worker of one process."""
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    made = load_settings(
        data_dir=settings.data_dir,
        composites={"sizes": [256]},
        ingest={"rest_s": 0.1, "scan_interval_s": 0.5},
    )
    lay_out(made.resolved_database_url)
    with Station(made, [WatchFolder(incoming.resolve())]) as station:
        for number, channel in enumerate((193, 304, 171)):
            aia_file(incoming, channel, number)
        eventually(lambda: stored.find(station.db, "aia", None, None, limit=9), "no composite was made")
        (one,) = stored.find(station.db, "aia", None, None, limit=9)
        assert (one["is_complete"], one["status"]) == (True, SetStatus.DONE)


@BOTH
def test_a_set_waits_for_the_nearer_frame_that_is_still_worked_on(at: Desk, take: Take):
    first = take(304, 0)
    with at.db.write() as connection:  # as if its worker were slower than those of the frames after it
        connection.execute(update(frame_table).where(frame_table.c.id == first).values(status="processing"))
    ids = [arrive(at, take, channel, seconds) for channel, seconds in ((171, 4), (193, 8), (304, 12))]
    assert waiting(at) == []
    with at.db.write() as connection:
        connection.execute(update(frame_table).where(frame_table.c.id == first).values(status="done"))
    after_frame(at, first, "aia-304")
    (set_id,) = waiting(at)
    held = stored.get(at.db, set_id)
    assert held is not None
    assert {item["frame_id"] for item in held["frames"]} == {first, *ids[:2]}
