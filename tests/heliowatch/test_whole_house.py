"""The commands that run the whole house: demo, backfill, ingest beside worker, up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import heliowatch
from observatory.settings import Settings, load_settings
from observatory.storage import catalogue, frames, workers
from observatory.storage.frames import NewFrame
from observatory.storage.session import Database
from tests.making import kso_frame
from tests.servers import free_port

pytestmark = pytest.mark.usefixtures("settings")


def start(*arguments: object) -> subprocess.Popen[str]:
    home = str(Path(heliowatch.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "heliowatch.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shell(*arguments: object) -> subprocess.CompletedProcess[str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_the_demo_finishes_every_sample_frame_and_ends_with_0():
    ended = shell("demo", "--exit", "--port", 0)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    samples = Path(heliowatch.__file__).parent / "samples"
    for sample in samples.iterdir():
        if sample.suffix != ".md":
            assert sample.name in ended.stdout
    assert "simulated" in ended.stdout
    assert (
        ended.stdout.count("enhanced ×2, granulation contrast") == 3
    )  # a full disk and a patch, one simulated
    assert ended.stdout.count("enhanced ×2, unsigned flux") == 1
    assert "84 frames of a night" in ended.stdout
    assert "keogram: /night?night=" in ended.stdout
    assert re.search(r"onset at \d\d:\d\d", ended.stdout)
    assert re.search(r"cloud cover by hour \(UTC\): 16h \d+ %, 17h", ended.stdout)
    assert "missing" not in ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_backfill_takes_an_archive_once_and_goes_on_where_it_ended(tmp_path: Path):
    archive = tmp_path / "archive" / "2024"
    archive.mkdir(parents=True)
    for number in range(3):
        kso_frame(archive, number)
    first = shell("backfill", tmp_path / "archive", "--workers", 1)
    assert (first.returncode, first.stdout.strip()) == (0, "3 done, 0 rejected, 0 failed")
    last = kso_frame(archive, 3)
    (archive / "broken.fits").write_bytes(b"SIMPLE  =")
    second = shell("backfill", tmp_path / "archive")
    assert (second.returncode, second.stdout.strip()) == (1, "1 done, 1 rejected, 0 failed")
    assert "3 files taken in before" in second.stderr and "known already" not in second.stderr
    (archive / f"again_{last.name}").write_bytes(last.read_bytes())
    third = shell("backfill", tmp_path / "archive")
    assert (third.returncode, third.stdout.strip()) == (0, "0 done, 0 rejected, 0 failed")
    assert "1 frame known already: the same bytes were taken in before" in third.stderr


def test_a_backfill_that_looks_again_at_refused_files_counts_what_becomes_of_them_now(tmp_path: Path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in (1, 2):
        noise = np.random.default_rng(number).integers(0, 60, (200, 200)).astype(np.uint8)
        cv2.imwrite(str(archive / f"dome-{number}.png"), noise)
    first = shell("backfill", archive, "--workers", 1)
    assert (first.returncode, first.stdout.strip()) == (1, "0 done, 2 rejected, 0 failed")
    again = shell("backfill", archive, "--rejected")
    assert (again.returncode, again.stdout.strip()) == (1, "0 done, 2 rejected, 0 failed")
    mended = shell("backfill", archive, "--rejected", "--instrument", "allsky")
    assert (mended.returncode, mended.stdout.strip()) == (0, "2 done, 0 rejected, 0 failed"), mended.stderr


def test_a_backfill_of_a_time_that_ends_before_it_begins_is_refused(tmp_path: Path):
    (tmp_path / "archive").mkdir()
    wrong = shell("backfill", tmp_path / "archive", "--since", "2026-01-02", "--until", "2026-01-01")
    assert (wrong.returncode, "is not after --since" in wrong.stderr) == (2, True)


def test_a_backfill_of_a_folder_that_is_not_there_leaves_no_database_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(tmp_path / "data"))
    wrong = shell("backfill", tmp_path / "nowhere")
    assert (wrong.returncode, "create it first" in wrong.stderr) == (2, True)
    assert not (tmp_path / "data").exists()


def test_a_backfill_neither_counts_nor_waits_for_live_frames(tmp_path: Path):
    archive = tmp_path / "archive"
    archive.mkdir()
    kso_frame(archive, 0)
    assert shell("db", "upgrade").returncode == 0
    db = Database(load_settings().resolved_database_url)
    now = datetime.now(UTC)
    live = NewFrame(
        "ab" * 32, "live.fits", "/nowhere/live.fits", 1, now, family="halpha", instrument="kso-halpha"
    )
    (task,) = frames.register(db, [live], [], now)
    alive_until = now + timedelta(
        seconds=110
    )  # farther ahead lies only what a clock wrote before it was set back
    workers.sign_on(db, "other", "worker", alive_until, {})
    assert frames.claim(db, task.frame_id, "other", alive_until)
    ended = shell("backfill", archive, "--workers", 1)
    assert (ended.returncode, ended.stdout.strip()) == (0, "1 done, 0 rejected, 0 failed")
    assert "no worker" not in ended.stderr
    assert catalogue.counts(db)["processing"] == 1


def test_a_backfill_that_no_worker_hears_says_so_once(
    tmp_path: Path, redis_server: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HELIOWATCH_BROKER_URL", redis_server.url)
    archive = tmp_path / "archive"
    archive.mkdir()
    kso_frame(archive, 0)
    assert shell("db", "upgrade").returncode == 0
    process = start("backfill", archive)
    try:
        assert process.stderr is not None
        words = next(line for line in process.stderr if "no worker" in line)
        assert "heliowatch worker" in words
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert out.strip() == "0 done, 0 rejected, 0 failed"
        assert "no worker" not in err
    finally:
        process.kill()
        process.communicate()


def test_a_backfill_of_a_time_takes_that_time_alone(tmp_path: Path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(4):
        kso_frame(archive, number)
    span = ("--since", "2024-05-08T12:00:06Z", "--until", "2024-05-08T12:00:18Z")
    ended = shell("backfill", archive, *span)
    assert ended.stdout.strip() == "2 done, 0 rejected, 0 failed"
    wrong = shell("backfill", archive, "--since", "tomorrow")
    assert (wrong.returncode, "--since 'tomorrow' is not a time" in wrong.stderr) == (2, True)


def test_up_scores_what_falls_into_its_folder_answers_and_ends_on_sigterm(
    tmp_path: Path, settings: Settings, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    port = free_port()
    process = start("up", "--watch", tmp_path / "incoming", "--port", port)
    address = f"http://127.0.0.1:{port}"
    try:

        def answers() -> bool:
            assert process.poll() is None, process.communicate()
            try:
                with urllib.request.urlopen(f"{address}/readyz", timeout=2) as answer:
                    return answer.status == 200
            except OSError:
                return False

        eventually(answers, "the service never was ready", 60)
        kso_frame(tmp_path / "incoming", 1)
        db = Database(settings.resolved_database_url)
        eventually(lambda: catalogue.counts(db)["done"] == 1, "the frame was not scored")
        with urllib.request.urlopen(f"{address}/api/v1/frames", timeout=5) as answer:
            body = json.load(answer)
        assert "kanz_halph_fi_20240508_120006.fts.gz" in json.dumps(body)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert f"The live page is at {address}" in err
        assert "watch_folder_created" in err
    finally:
        process.kill()
        process.communicate()
