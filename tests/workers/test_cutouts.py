"""Cut-outs made by a worker: the right part, refused or lost with the reason, sent again, forgotten."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from models.hmi_enhancement import inference
from models.runtime import Runtime
from models.simulate.hmi import HmiSun, HmiTelescope, hmi_patch
from models.simulate.hmi_fits import write_hmi_fits
from models.simulate.hmi_out_of_domain import out_of_domain
from observatory.analysis import Quantity
from observatory.coordinates import pixel_to_hpc
from observatory.field_of_view import FieldOfView, FieldUnit
from observatory.frame import Frame
from observatory.settings import Settings
from observatory.storage import catalogue, cutouts
from observatory.storage import workers as heartbeats
from observatory.storage.catalogue import FrameFilter
from observatory.storage.cutouts import CutoutStatus, Wanted
from observatory.storage.session import Database
from tests.making import drop, fits_bytes
from tests.models.hmi_stand_in import stand_ins
from workers import cutouts as maker
from workers import tasks
from workers.app import make_app
from workers.cutouts import CutoutSweep
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.watching import WatchFolder

WHEN = datetime(2023, 1, 31, 3, 39, 23, tzinfo=UTC)
SIDE = 160
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Of exact little networks in place of the learned ones."""
    networks = stand_ins(tmp_path_factory.mktemp("networks"))
    named = {inference.HmiEnhancement.names[quantity]: each for quantity, each in networks.items()}
    made = Runtime()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "load", named.__getitem__)
        yield made


@pytest.fixture
def desk(settings: Settings, db: Database, runtime: Runtime) -> tasks.Desk:
    """This process's desk, on SQLite and Postgres in turn."""
    made = tasks.sit_down(settings.model_copy(update={"database_url": db.url}))
    made.__dict__["runtime"] = runtime
    return made


@cache
def sun() -> Any:
    """The middle of the disk in HMI's own sampling, solar north down as HMI has it."""
    low = 2048 - SIDE // 2
    return HmiSun(3, 0.0).pair(WHEN, HmiTelescope(window_px=(low, low, low + SIDE, low + SIDE)))[0]


@pytest.fixture
def take(desk: tasks.Desk, incoming: Path) -> Callable[[], int]:
    """Take what lies in the folder in; gives the number of the only frame."""

    def ingest() -> int:
        Ingester(desk.settings, desk.db, Publisher(make_app(desk.settings)), [WatchFolder(incoming)]).once()
        (row,) = catalogue.find(desk.db, FrameFilter(), limit=9)
        assert row["status"] == "received", row["reason"]
        return int(row["id"])

    return ingest


@pytest.fixture
def frame_id(take: Callable[[], int], incoming: Path) -> int:
    write_hmi_fits(incoming / "hmi.ic_45s.20230131_034000_TAI.2.continuum.fits", sun())
    return take()


def ask(desk: tasks.Desk, frame_id: int, *field: float, unit: FieldUnit = FieldUnit.PIXEL) -> int:
    wanted = Wanted(frame_id, FieldOfView(*field, unit=unit))
    row = cutouts.ask(desk.db, wanted, "ada", datetime.now(UTC), most_under_way=9)
    assert row is not None
    return int(row["id"])


def row(desk: tasks.Desk, number: int) -> dict[str, Any]:
    found = cutouts.get(desk.db, number)
    assert found is not None
    return found


def opened(desk: tasks.Desk, number: int) -> fits.HDUList:
    path = desk.files.find(row(desk, number)["path"])
    assert path is not None
    return fits.open(io.BytesIO(path.read_bytes()))


def test_the_part_that_was_asked_for_is_made_and_stored(desk: tasks.Desk, frame_id: int) -> None:
    number = ask(desk, frame_id, 16, 8, 112, 96)
    maker.enhance(number)
    made = row(desk, number)
    assert (made["status"], made["media_type"]) == ("done", "application/fits")
    assert made["payload"]["window_px"] == [16, 8, 128, 104]
    assert made["payload"]["quantity"] == "continuum"
    with opened(desk, number) as hdus:
        enhanced = next(hdu for hdu in hdus if hdu.name == "ENHANCED").data
        assert enhanced.shape == (192, 224)
        own = sun().frame().pixels[8:104, 16:128]
        paired = enhanced.reshape(96, 2, 112, 2).mean((1, 3))
        assert np.corrcoef(paired.ravel(), own.ravel())[0, 1] > 0.95


@on_sqlite
@pytest.mark.parametrize("side", [16, 24, 47])
def test_a_part_of_a_few_granules_is_made_for_the_sake_of_what_lies_around_it(
    desk: tasks.Desk, frame_id: int, side: int
) -> None:
    for x, y in ((0, 0), (70, 61), (SIDE - side, 30)):
        number = ask(desk, frame_id, x, y, side, side)
        assert maker.work(desk, number) == "done", row(desk, number)["reason"]
        with opened(desk, number) as hdus:
            assert next(hdu for hdu in hdus if hdu.name == "ENHANCED").data.shape == (2 * side, 2 * side)


@on_sqlite
def test_a_part_of_what_is_no_photosphere_is_refused(
    desk: tasks.Desk, take: Callable[[], int], incoming: Path
) -> None:
    _, pixels = out_of_domain(np.random.default_rng(5), Quantity.CONTINUUM, SIDE, "h-alpha")
    header = {"TELESCOP": "SDO/HMI", "CONTENT": "CONTINUUM INTENSITY", "BUNIT": "DN/s"}
    drop(incoming / "hmi.ic_45s.continuum.fits", fits_bytes(50_000 * pixels, header))
    number = ask(desk, take(), 60, 60, 20, 20)
    assert maker.work(desk, number) == "rejected"
    assert row(desk, number)["status"] == "refused"


def test_arcseconds_are_found_on_a_frame_that_is_upside_down(desk: tasks.Desk, frame_id: int) -> None:
    frame: Frame = sun().frame()
    assert frame.pointing is not None
    tx, ty = (float(value) for value in pixel_to_hpc(90.0, 70.0, frame.pointing, frame.row_order))
    number = ask(desk, frame_id, tx, ty, 40.0, 30.0, unit=FieldUnit.ARCSEC)
    assert maker.work(desk, number) == "done"
    x0, y0, x1, y1 = row(desk, number)["payload"]["window_px"]
    assert ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2) == (pytest.approx(90, abs=1), pytest.approx(70, abs=1))
    assert 40 / 0.504 <= x1 - x0 <= 40 / 0.504 + 3
    with opened(desk, number) as hdus:
        header = next(hdu for hdu in hdus if hdu.name == "ENHANCED").header
        middle = header["NAXIS1"] / 2 - 0.5, header["NAXIS2"] / 2 - 0.5
        degrees = WCS(header).wcs_pix2world([middle], 0)[0]
    found = [(value + 180) % 360 - 180 for value in degrees]
    assert [3600 * value for value in found] == pytest.approx([tx, ty], abs=1.0)


@on_sqlite
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ((150, 0, 17, 8), "columns 150 to 166.*columns 0 to 159"),
        ((0, 155, 8, 8), "rows 155 to 162.*rows 0 to 159"),
        ((0, 0, 96, 96), "9,000 at most"),
    ],
)
def test_a_part_that_does_not_lie_on_the_frame_or_is_too_large_is_refused(
    desk: tasks.Desk, frame_id: int, field: tuple[float, ...], words: str
) -> None:
    desk.settings.cutouts.max_pixels = 9_000
    number = ask(desk, frame_id, *field)
    assert maker.work(desk, number) == "rejected"
    told = row(desk, number)
    assert told["status"] == "refused"
    assert re.search(words, told["reason"]), told["reason"]


@on_sqlite
def test_arcseconds_on_a_frame_without_pointing_are_refused_and_pixels_are_not(
    desk: tasks.Desk, take: Callable[[], int], incoming: Path
) -> None:
    light, _ = hmi_patch(np.random.default_rng(3), Quantity.CONTINUUM, SIDE, spots=1)
    drop(
        incoming / "hmi.ic_45s.continuum.fits",
        fits_bytes(
            50_000 * light, {"TELESCOP": "SDO/HMI", "CONTENT": "CONTINUUM INTENSITY", "BUNIT": "DN/s"}
        ),
    )
    frame_id = take()
    number = ask(desk, frame_id, 0, 0, 10, 10, unit=FieldUnit.ARCSEC)
    assert maker.work(desk, number) == "rejected"
    assert "no pointing" in row(desk, number)["reason"] and "x_px" in row(desk, number)["reason"]
    assert maker.work(desk, ask(desk, frame_id, 8, 8, 128, 128)) == "done"


@on_sqlite
def test_a_frame_whose_file_is_gone_is_lost_and_made_when_it_is_back(
    desk: tasks.Desk, frame_id: int, incoming: Path
) -> None:
    (path,) = incoming.iterdir()
    data = path.read_bytes()
    path.unlink()
    number = ask(desk, frame_id, 0, 0, 128, 128)
    assert maker.work(desk, number) == "lost"
    assert row(desk, number)["status"] == CutoutStatus.LOST and path.name in row(desk, number)["reason"]
    path.write_bytes(data)
    assert ask(desk, frame_id, 0, 0, 128, 128) == number
    assert maker.work(desk, number) == "done"


def test_a_message_that_comes_twice_makes_one_file(desk: tasks.Desk, frame_id: int) -> None:
    number = ask(desk, frame_id, 0, 0, 128, 128)
    assert [maker.work(desk, number), maker.work(desk, number)] == ["done", None]
    assert maker.work(desk, 4711) is None


@on_sqlite
def test_a_defect_is_tried_again_and_in_the_end_told(
    desk: tasks.Desk, frame_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.settings.worker.max_attempts = 2

    def break_down(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(maker.enhancer_of(desk), "enhance", break_down)
    number = ask(desk, frame_id, 0, 0, 128, 128)
    assert [maker.work(desk, number) for _ in range(2)] == ["retried", "failed"]
    assert "ZeroDivisionError: of ours" in row(desk, number)["reason"]


@on_sqlite
def test_a_part_is_made_by_the_network_that_runs_now(desk: tasks.Desk, frame_id: int) -> None:
    before = maker.enhancer_of(desk)
    assert maker.enhancer_of(desk) is before
    desk.deployed = replace(desk.deployed, generation=1, pipelines=type(desk.pipelines)(desk.runtime))
    after = maker.enhancer_of(desk)
    assert after is not before and maker.enhancer_of(desk) is after
    number = ask(desk, frame_id, 0, 0, 128, 128)
    assert maker.work(desk, number) == "done"


class Queue:
    """A queue that says what is on it."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.is_reachable = True

    def send(self, number: int) -> bool:
        if self.is_reachable:
            self.sent.append(number)
        return self.is_reachable

    def depth(self) -> int | None:
        return len(self.sent) if self.is_reachable else None


def sweep_of(desk: tasks.Desk, queue: Queue, **changed: Any) -> CutoutSweep:
    settings = desk.settings.model_copy(update=changed)
    return CutoutSweep(settings, desk.db, queue.send, queue.depth)


def test_what_the_queue_lost_or_never_had_is_sent_again(desk: tasks.Desk, frame_id: int) -> None:
    queue, now = Queue(), datetime.now(UTC)
    sweep = sweep_of(desk, queue, broker_url="redis://nowhere")
    first = ask(desk, frame_id, 0, 0, 128, 128)
    queue.is_reachable = False
    assert sweep.sweep(now) == 0
    queue.is_reachable = True
    assert sweep.sweep(now) == 1 and queue.sent == [first]
    assert sweep.sweep(now + timedelta(hours=1)) == 0  # it lies there, nobody takes it
    queue.sent.clear()
    assert sweep.sweep(now) == 0  # a moment ago it was sent
    assert sweep.sweep(now + timedelta(hours=1)) == 1


@on_sqlite
def test_within_one_process_only_what_another_one_sent_is_sent_again(desk: tasks.Desk, frame_id: int) -> None:
    queue, now = Queue(), datetime.now(UTC)
    number = ask(desk, frame_id, 0, 0, 128, 128)
    cutouts.mark_published(desk.db, number, now - timedelta(hours=1))
    sweep = sweep_of(desk, queue)
    assert sweep.sweep(datetime.now(UTC)) == 1
    assert sweep.sweep(datetime.now(UTC)) == 0


@on_sqlite
def test_the_sweep_takes_back_what_a_dead_worker_held_and_removes_what_is_old(
    desk: tasks.Desk, frame_id: int
) -> None:
    queue, now = Queue(), datetime.now(UTC)
    old, held = ask(desk, frame_id, 0, 0, 128, 128), ask(desk, frame_id, 8, 8, 128, 128)
    maker.work(desk, old)
    path = row(desk, old)["path"]
    heartbeats.sign_on(desk.db, "dead", "worker", now, {})
    assert cutouts.claim(desk.db, held, "dead", now) is not None
    later = now + timedelta(days=31)
    assert sweep_of(desk, queue).sweep(later) == 1 and queue.sent == [held]
    assert cutouts.get(desk.db, old) is None and desk.files.find(path) is None
