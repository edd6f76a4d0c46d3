"""One frame of the photosphere through its pipeline: quality, then an enhancement, a refusal or a turn to wait for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from astropy.io import fits

from models.hmi_enhancement import inference
from models.runtime import Runtime
from models.simulate.hmi import HmiSun, HmiTelescope, SimulatedHmi
from models.simulate.hmi_defects import spoil_hmi
from observatory.analysis import Cause, Quantity
from observatory.frame import Frame
from observatory.storage.enhancements import NUMBERS
from tests.models.hmi_stand_in import stand_ins
from workers.pace import Pace
from workers.pipelines import hmi
from workers.pipelines.base import Outcome, Stopwatch
from workers.pipelines.hmi import HmiPipeline

WHEN = datetime(2023, 1, 31, 3, 39, 23, tzinfo=UTC)
SIDE = 320  # large enough for granulation to be told from what only looks like it
PICTURES = ["preview", "enhanced", "compare", "compare-before", "compare-after"]


@cache
def taken(side: int = SIDE) -> tuple[SimulatedHmi, SimulatedHmi]:
    """Continuum and field of the middle of the disk, in HMI's own sampling."""
    low = 2048 - side // 2
    return HmiSun(5, 0.0).pair(WHEN, HmiTelescope(window_px=(low, low, low + side, low + side)))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HmiPipeline]:
    """With exact little networks in place of the learned ones: what flows is the same, in no time."""
    networks = stand_ins(tmp_path_factory.mktemp("networks"))
    named = {inference.HmiEnhancement.names[quantity]: each for quantity, each in networks.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "load", named.__getitem__)
        made = HmiPipeline(Runtime())
    made.warm_up()
    yield made


def run(pipeline: HmiPipeline, frame: Frame) -> Outcome:
    return pipeline.run(frame, Stopwatch())


def enhancement_finding(outcome: Outcome) -> dict[str, object]:
    return next(item.payload for item in outcome.findings if item.analysis == "enhancement")


@pytest.mark.parametrize("quantity", Quantity)
def test_a_good_frame_has_a_score_numbers_a_file_and_pictures(pipeline: HmiPipeline, quantity: Quantity):
    frame = taken()[quantity is Quantity.FIELD].frame()
    outcome = run(pipeline, frame)
    assert outcome.quality is not None and not outcome.quality.is_degraded
    assert [item.analysis for item in outcome.findings] == ["quality", "enhancement"]
    assert [picture.kind for picture in outcome.pictures] == PICTURES
    told = enhancement_finding(outcome)
    assert told["quantity"] == quantity.value
    assert told["window_px"] == told["compare_window_px"] == [0, 0, SIDE, SIDE]
    assert set(NUMBERS) <= set(told)
    is_field = quantity is Quantity.FIELD
    assert (told["contrast_after"] is None, told["unsigned_flux_after_mx"] is None) == (
        is_field,
        not is_field,
    )
    file = next(picture for picture in outcome.pictures if picture.kind == "enhanced")
    with fits.open(io.BytesIO(file.data)) as hdus:
        assert hdus[1].data.shape == (2 * SIDE, 2 * SIDE) and hdus[2].data.shape == (SIDE, SIDE)
        assert hdus[1].header["BUNIT"] == frame.unit
    assert outcome.network == outcome.findings[-1].model.name
    assert not outcome.is_behind


def test_the_models_that_it_names_are_those_that_its_findings_name(pipeline: HmiPipeline):
    named = {model.sha256 for model in pipeline.models}
    for simulated in taken():
        found = {item.model.sha256 for item in run(pipeline, simulated.frame()).findings}
        assert found and found <= named


def test_the_same_frame_gives_the_same_numbers_and_bytes(pipeline: HmiPipeline):
    first, second = (run(pipeline, taken()[0].frame()) for _ in range(2))
    assert first.findings == second.findings
    assert [picture.data for picture in first.pictures] == [picture.data for picture in second.pictures]


def test_a_frame_that_hides_the_sun_is_scored_and_not_enhanced(pipeline: HmiPipeline):
    whole = HmiSun(3, 0.3).frame(WHEN, HmiTelescope(size_px=512))
    spoilt = spoil_hmi(whole.pixels, whole.pointing, Cause.ECLIPSE, np.random.default_rng(3), 0.6)
    outcome = run(pipeline, replace(whole, pixels=np.asarray(spoilt.pixels)).frame())
    assert outcome.quality is not None and outcome.quality.is_degraded
    assert "eclipse" in str(enhancement_finding(outcome)["refused"])
    assert "enhanced" not in [picture.kind for picture in outcome.pictures]
    assert outcome.network is None and not outcome.is_behind


def in_furlongs() -> Frame:
    return replace(taken()[1].frame(), unit="furlong")


def ten_pixels_wide() -> Frame:
    return replace(taken()[0].frame(), pixels=np.ascontiguousarray(taken()[0].pixels[:, :10]), pointing=None)


@pytest.mark.parametrize(("make", "words"), [(in_furlongs, "furlong"), (ten_pixels_wide, "10")])
def test_what_cannot_be_enhanced_is_told_why_and_shown_all_the_same(
    pipeline: HmiPipeline, make: Callable[[], Frame], words: str
):
    outcome = run(pipeline, make())
    assert words in str(enhancement_finding(outcome)["refused"])
    assert outcome.quality is not None
    assert outcome.pictures[0].kind == "preview"
    assert "enhanced" not in [picture.kind for picture in outcome.pictures]


def test_a_field_in_the_wrong_unit_is_not_called_dark_alone(pipeline: HmiPipeline):
    field = taken()[1].frame()
    outcome = run(pipeline, replace(field, unit="T"))  # gauss that are said to be tesla
    reason = str(enhancement_finding(outcome)["refused"])
    assert "BUNIT" in reason, reason


def test_a_rolled_frame_is_enhanced_as_it_lies(pipeline: HmiPipeline):
    frame = taken()[0].frame()
    assert frame.pointing is not None
    rolled = replace(frame, pointing=replace(frame.pointing, roll_deg=45.0))
    assert "contrast_after" in enhancement_finding(run(pipeline, rolled))


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def slow(pipeline: HmiPipeline, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock by which every enhancement takes ten seconds, and frames of 320 pixels count as full disks."""
    clock = Clock()
    enhance = pipeline._enhancement.enhance

    def slowly(frame: Frame) -> object:
        clock.now += 10.0
        return enhance(frame)

    monkeypatch.setattr(pipeline._enhancement, "enhance", slowly)
    monkeypatch.setattr(hmi, "FULL_DISK_PX", 100)
    return clock


def test_full_disks_are_enhanced_at_the_pace_that_a_cpu_holds(pipeline: HmiPipeline, slow: Clock):
    pace = Pace(0.5, slow)
    outcomes = []
    for number in range(8):
        slow.now = max(slow.now, 5.0 * number)
        outcomes.append(pipeline.run_live(taken()[0].frame(), Stopwatch(), pace))
    is_enhanced = ["numbers" if "noise" in enhancement_finding(each) else "skipped" for each in outcomes]
    assert is_enhanced[0] == "numbers"
    assert is_enhanced.count("numbers") == pytest.approx(slow.now / 20, abs=1)
    for each in outcomes:
        assert each.quality is not None
        assert each.is_behind == ("skipped" in enhancement_finding(each))


def test_a_skipped_frame_says_so_and_how_to_have_it_enhanced(pipeline: HmiPipeline, slow: Clock):
    pace = Pace(0.5, slow)
    for _ in range(2):
        outcome = pipeline.run_live(taken()[0].frame(), Stopwatch(), pace)
    told = enhancement_finding(outcome)
    assert list(told) == ["skipped"]
    assert "cpu_share" in str(told["skipped"]) and "heliowatch reprocess" in str(told["skipped"])
    assert outcome.is_behind
    assert [picture.kind for picture in outcome.pictures] == ["preview"]


def test_continuum_and_field_of_one_moment_take_turns(pipeline: HmiPipeline, slow: Clock):
    pace = Pace(0.5, slow)
    enhanced = {"hmi-continuum": 0, "hmi-magnetogram": 0}
    for number in range(12):
        slow.now = max(slow.now, 22.5 * number)
        for simulated in taken():
            outcome = pipeline.run_live(simulated.frame(), Stopwatch(), pace)
            enhanced[simulated.frame().instrument] += not outcome.is_behind
    assert abs(enhanced["hmi-continuum"] - enhanced["hmi-magnetogram"]) <= 1
    assert sum(enhanced.values()) >= 12


def test_patches_never_wait(pipeline: HmiPipeline, slow: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hmi, "FULL_DISK_PX", 2048)
    pace = Pace(0.01, slow)
    for _ in range(3):
        assert "noise" in enhancement_finding(pipeline.run_live(taken()[0].frame(), Stopwatch(), pace))


def test_full_disks_can_be_left_out(pipeline: HmiPipeline, slow: Clock):
    outcome = pipeline.run_live(taken()[0].frame(), Stopwatch(), Pace(0.0, slow))
    assert "enhancement.full_disk" in str(enhancement_finding(outcome)["skipped"])
    assert not outcome.is_behind


def test_what_a_person_asks_for_is_always_enhanced(pipeline: HmiPipeline, slow: Clock):
    for _ in range(3):
        assert "noise" in enhancement_finding(run(pipeline, taken()[0].frame()))
