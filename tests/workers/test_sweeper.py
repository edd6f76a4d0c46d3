"""The sweeper puts right what broker and workers forgot, and does not flood the queue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from observatory.settings import Settings
from observatory.storage import catalogue, events, frames
from observatory.storage import workers as heartbeats
from observatory.storage.frames import NewFrame, Priority
from observatory.storage.schema import workers as workers_table
from observatory.storage.session import Database
from tests.servers import RedisServer
from workers.app import make_app
from workers.context import Context
from workers.publisher import Publisher
from workers.queues import OwnQueue
from workers.sweeper import Sweeper

NOW = datetime.now(UTC)


@pytest.fixture
def with_redis(settings: Settings, redis_server: RedisServer) -> Settings:
    """Settings of a station whose queue is a real Redis, wiped."""
    flush(redis_server)
    return settings.model_copy(update={"broker_url": redis_server.url})


def flush(server: RedisServer) -> None:
    from redis import Redis

    Redis.from_url(server.url).flushall()


def flushed(server: RedisServer) -> bool:
    """Flush a Redis that may still be loading what it kept."""
    from redis.exceptions import ConnectionError as AwayError

    try:
        flush(server)
    except AwayError:
        return False
    return True


def add(db: Database, count: int, *, published_at: datetime | None = None, **more: Any) -> list[int]:
    """Rows of frames that wait."""
    start = catalogue.counts(db)["received"]
    new = [
        NewFrame(
            sha256=f"{start + number:064x}",
            file_name=f"{number}.fits",
            path=f"/x/{number}.fits",
            bytes=1,
            received_at=NOW,
            instrument="kso-halpha",
            family="halpha",
            **more,
        )
        for number in range(count)
    ]
    return [task.frame_id for task in frames.register(db, new, [], published_at)]


def depth(settings: Settings, priority: Priority = Priority.LIVE) -> int | None:
    return Publisher(make_app(settings)).depth("halpha", priority)


def sweeper(settings: Settings, db: Database) -> Sweeper:
    return Sweeper(settings, db, Publisher(make_app(settings)))


def embedded_sweeper(settings: Settings, db: Database) -> Sweeper:
    app = make_app(settings)
    with app.connection_for_write() as connection:  # the queue outlives a test, not a process
        connection.default_channel.queue_purge("halpha.live")
    return Sweeper(settings, db, Publisher(app))


def test_what_was_never_published_is_published(with_redis: Settings, db: Database):
    ids = add(db, 3)
    assert sweeper(with_redis, db).sweep() == 3
    assert depth(with_redis) == 3
    assert catalogue.get(db, ids[0])["published_at"] is not None


def test_a_wiped_queue_is_filled_again(with_redis: Settings, db: Database, redis_server: RedisServer):
    add(db, 5, published_at=NOW - timedelta(seconds=60))
    flush(redis_server)
    assert sweeper(with_redis, db).sweep() == 5
    assert depth(with_redis) == 5


def test_what_was_published_a_moment_ago_is_left_alone(with_redis: Settings, db: Database):
    add(db, 5, published_at=datetime.now(UTC))
    assert sweeper(with_redis, db).sweep() == 0


def test_two_sweeps_do_not_flood_the_queue(with_redis: Settings, db: Database):
    add(db, 5)
    assert sweeper(with_redis, db).sweep() == 5
    assert sweeper(with_redis, db).sweep() == 0
    assert depth(with_redis) == 5


def test_a_sweep_long_after_leaves_a_full_queue_as_it_is(with_redis: Settings, db: Database):
    ids = add(db, 5, published_at=NOW - timedelta(seconds=600))
    Publisher(make_app(with_redis)).publish([frames.Task(n, "halpha", Priority.LIVE) for n in ids])
    assert sweeper(with_redis, db).sweep() == 0
    assert depth(with_redis) == 5


def test_no_more_than_a_batch_lies_on_the_queue(with_redis: Settings, db: Database):
    small = with_redis.sweeper.model_copy(update={"batch": 10})
    add(db, 25)
    made = sweeper(with_redis.model_copy(update={"sweeper": small}), db)
    assert made.sweep() == 10
    assert made.sweep() == 0
    assert depth(with_redis) == 10


def test_each_priority_has_its_own_queue(with_redis: Settings, db: Database):
    add(db, 2, priority=Priority.BACKFILL)
    sweeper(with_redis, db).sweep()
    assert (depth(with_redis), depth(with_redis, Priority.BACKFILL)) == (0, 2)


def test_what_may_not_be_tried_yet_is_not_published(with_redis: Settings, db: Database):
    (frame_id,) = add(db, 1)
    frames.claim(db, frame_id, "w", NOW)
    frames.give_back(db, frame_id, "w", datetime.now(UTC) + timedelta(seconds=60), is_counted=True)
    assert sweeper(with_redis, db).sweep() == 0
    frames.claim(db, frame_id, "w", NOW)
    frames.give_back(db, frame_id, "w", NOW - timedelta(seconds=1), is_counted=True)
    assert sweeper(with_redis, db).sweep() == 1


def test_a_claim_of_a_silent_worker_is_taken_back(with_redis: Settings, db: Database):
    (frame_id,) = add(db, 1)
    long_ago = datetime.now(UTC) - timedelta(seconds=60)
    heartbeats.sign_on(db, "dead", "worker", long_ago, {})
    frames.claim(db, frame_id, "dead", long_ago)
    assert sweeper(with_redis, db).sweep() == 1
    assert catalogue.get(db, frame_id)["status"] == "received"
    assert frames.claim(db, frame_id, "alive", datetime.now(UTC)).attempts == 2


def test_a_claim_of_a_worker_that_signed_off_is_taken_back(with_redis: Settings, db: Database):
    (frame_id,) = add(db, 1)
    frames.claim(db, frame_id, "gone", datetime.now(UTC) - timedelta(seconds=60))
    sweeper(with_redis, db).sweep()
    assert catalogue.get(db, frame_id)["status"] == "received"


def test_a_claim_of_a_living_worker_is_its_own_however_long_it_takes(with_redis: Settings, db: Database):
    (frame_id,) = add(db, 1)
    frames.claim(db, frame_id, "slow", datetime.now(UTC) - timedelta(hours=1))
    heartbeats.sign_on(db, "slow", "worker", datetime.now(UTC), {})
    sweeper(with_redis, db).sweep()
    assert frames.release_abandoned(db, datetime.now(UTC), 12.0, max_attempts=1) == (0, 0)
    assert catalogue.get(db, frame_id)["claimed_by"] == "slow"


def test_a_frame_that_kills_its_workers_fails_with_the_reason_and_an_event(
    with_redis: Settings, db: Database
):
    (frame_id,) = add(db, 1)
    long_ago = datetime.now(UTC) - timedelta(seconds=60)
    made = sweeper(with_redis, db)
    for attempt in range(with_redis.worker.max_attempts):
        assert catalogue.get(db, frame_id)["status"] == "received", attempt
        frames.claim(db, frame_id, f"victim-{attempt}", long_ago)
        made.sweep()
    failed = catalogue.get(db, frame_id)
    assert failed["status"] == "failed"
    assert "died 5 times" in failed["reason"]
    assert events.after(db, 0)[-1].payload["status"] == "failed"
    assert made.sweep() == 0


AHEAD = NOW + timedelta(hours=3)  # noted before the clock was set back


def test_a_clock_that_was_set_back_leaves_no_claim_to_the_dead(with_redis: Settings, db: Database):
    (frame_id,) = add(db, 1)
    heartbeats.sign_on(db, "dead", "worker", AHEAD, {})
    frames.claim(db, frame_id, "dead", AHEAD)
    assert heartbeats.alive(db, datetime.now(UTC), 60.0) == []
    assert sweeper(with_redis, db).sweep() == 1
    assert frames.claim(db, frame_id, "alive", datetime.now(UTC)).attempts == 2
    with db.read() as connection:
        assert connection.execute(select(workers_table.c.name)).all() == []


def test_a_clock_that_was_set_back_leaves_the_living_their_claims(with_redis: Settings, db: Database):
    (frame_id,) = add(db, 1)
    heartbeats.sign_on(db, "alive", "worker", datetime.now(UTC), {})
    frames.claim(db, frame_id, "alive", AHEAD)
    sweeper(with_redis, db).sweep()
    assert catalogue.get(db, frame_id)["claimed_by"] == "alive"


def test_a_clock_that_was_set_back_keeps_no_frame_off_the_queue(with_redis: Settings, db: Database):
    add(db, 2, published_at=AHEAD)
    (tried,) = add(db, 1)
    frames.claim(db, tried, "w", AHEAD)
    frames.give_back(db, tried, "w", AHEAD + timedelta(seconds=60), is_counted=True)
    assert sweeper(with_redis, db).sweep() == 3


def test_a_clock_that_is_set_back_fills_the_embedded_queue_once(settings: Settings, db: Database):
    made = embedded_sweeper(settings, db)
    add(db, 3, published_at=AHEAD)
    assert made.sweep() == 3
    assert made.sweep() == 0


def test_an_embedded_queue_knows_what_it_got_after_the_clock_was_set_back():
    queue = OwnQueue()
    set_back = datetime.now(UTC) - timedelta(hours=3)
    assert set_back - timedelta(minutes=10) <= queue.knows_since(set_back) <= set_back


def test_a_broker_that_is_away_is_noticed_quickly_and_healed_by_the_sweeper(
    settings: Settings, db: Database, eventually: Callable[..., None]
):
    server = RedisServer()
    try:
        patience = settings.sweeper.model_copy(update={"unclaimed_s": 0.5})
        made = settings.model_copy(update={"broker_url": server.url, "sweeper": patience})
        publisher = Publisher(make_app(made))
        ids = add(db, 3, published_at=NOW - timedelta(seconds=60))
        work = [frames.Task(n, "halpha", Priority.LIVE) for n in ids]
        assert publisher.publish(work)
        server.kill()
        began = datetime.now(UTC)
        assert not publisher.publish(work)
        assert publisher.depth("halpha", Priority.LIVE) is None
        assert not publisher.publish(work)  # it rests and does not ask again
        assert (datetime.now(UTC) - began).total_seconds() < 3
        made_sweeper = Sweeper(made, db, publisher)
        assert made_sweeper.sweep() == 0
        server.start()
        eventually(lambda: flushed(server), "Redis did not come back")
        eventually(made_sweeper.sweep, "the sweeper did not publish again")
        assert publisher.depth("halpha", Priority.LIVE) == 3
    finally:
        server.stop()


def test_old_events_and_dead_workers_are_forgotten(with_redis: Settings, db: Database):
    add(db, 1)
    heartbeats.sign_on(db, "ancient", "worker", datetime.now(UTC) - timedelta(days=1), {})
    frozen = with_redis.sweeper.model_copy(update={"keep_events_days": 1e-9})
    sweeper(with_redis.model_copy(update={"sweeper": frozen}), db).sweep()
    assert events.after(db, 0) == []
    assert heartbeats.alive(db, datetime.now(UTC), 1e6) == []


def test_the_embedded_queue_is_filled_once_with_what_an_earlier_process_left(
    settings: Settings, db: Database
):
    add(db, 4, published_at=datetime.now(UTC))
    made = embedded_sweeper(settings, db)
    assert made.sweep() == 4
    assert made.sweep() == 0


def test_a_restarted_process_never_passes_for_the_dead_one(with_redis: Settings):
    assert Context(with_redis).name != Context(with_redis).name


def test_frames_published_to_a_queue_that_ended_are_published_anew(with_redis: Settings, db: Database):
    before = datetime.now(UTC)
    ids = add(db, 2, published_at=datetime.now(UTC))
    assert frames.due(db, "halpha", Priority.LIVE, before, before, 9) == []
    assert frames.unpublish(db, before) == 2
    assert [task.frame_id for task in frames.due(db, "halpha", Priority.LIVE, before, before, 9)] == ids
