"""How long the end of a frame waits for a database that will not take it."""

from __future__ import annotations

import threading

import pytest

from observatory.errors import StorageUnavailableError
from observatory.settings import Settings
from workers import worker
from workers.app import make_app
from workers.patience import insist, insist_no_more
from workers.worker import EmbeddedWorker


def test_a_station_that_ends_waits_no_longer_for_a_disk_with_room(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
):
    is_tried, is_left = threading.Event(), threading.Event()
    app = make_app(quick)

    def write() -> None:
        is_tried.set()
        raise StorageUnavailableError("the database", "database or disk is full")

    @app.task(name="tests.end_a_frame")
    def end_a_frame() -> None:
        try:
            insist(write)
        finally:
            is_left.set()

    monkeypatch.setattr(worker, "_FINISH_S", 0.1)
    station = EmbeddedWorker(quick, app)
    station.start()
    try:
        end_a_frame.delay()
        assert is_tried.wait(timeout=60) and not is_left.is_set()
        station.stop()
        assert is_left.wait(timeout=60)
    finally:
        insist_no_more()  # a failure ends, too
        is_left.wait(timeout=60)
        insist_no_more(is_ending=False)
