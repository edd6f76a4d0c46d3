"""What the shipped H-alpha model says of simulated, broken and real frames."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.halpha_quality.calibrate import as_frame
from models.halpha_quality.inference import HalphaQuality
from models.registry import load, with_parameters
from models.runtime import Runtime
from models.simulate.degrade import DEGRADATIONS, degrade
from models.simulate.halpha import HalphaSun, HalphaTelescope
from observatory.analysis import Cause
from observatory.errors import ModelError
from observatory.frame import Frame, Pointing, RowOrder
from observatory.sun import disk_radius_map

MOMENT = datetime(2019, 3, 3, 12, tzinfo=UTC)
DATA = os.environ.get("HELIOWATCH_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="HELIOWATCH_TEST_DATA is unset: no real frames to test on")


@pytest.fixture(scope="module")
def model() -> HalphaQuality:
    return HalphaQuality(Runtime())


@pytest.fixture(scope="module")
def clean():
    telescope = HalphaTelescope(size_px=512, gradient=0.03)
    return HalphaSun(21, 0.4, detail=512).frame(MOMENT, telescope)


def test_a_good_frame_is_good_and_measured(model: HalphaQuality, clean):
    frame = Frame(clean.pixels, "halpha", RowOrder.BOTTOM, pointing=clean.pointing)
    quality = model.analyse(frame)
    assert quality.score > 0.5 and not quality.is_degraded and quality.causes == ()
    assert quality.p_value is not None and quality.p_value > 0.02
    assert quality.measures["radius_px"] == pytest.approx(clean.pointing.radius_px, abs=1.0)
    assert quality.measures["header_offset_px"] < 0.5
    assert quality.region_map is not None and quality.region_map.shape == (128, 128)
    assert quality.region_map.dtype == np.float32
    assert quality.region_extent_px is not None
    x0, _, x1, _ = quality.region_extent_px
    assert (x1 + x0) / 2 == pytest.approx(clean.pointing.center_x_px, abs=0.5)
    assert (x1 - x0) / 2 == pytest.approx(clean.pointing.radius_px * 1000 / 959.63, rel=0.01)
    assert quality.model.sha256 == load("halpha_quality").sha256


@pytest.mark.parametrize("scale", [1.0, 1.0 / 4095.0, 1e-6])
def test_spikes_are_found_in_floats_of_any_range(model: HalphaQuality, clean, scale: float):
    pixels = clean.pixels.astype(np.float32)
    at = clean.pointing
    near = disk_radius_map(*pixels.shape, at.center_x_px, at.center_y_px, at.radius_px) < 0.6
    hit = near & (np.random.default_rng(5).random(pixels.shape) < 0.003)
    spoilt = np.where(hit, pixels.max(), pixels) * np.float32(scale)
    for values, is_hit in ((pixels * np.float32(scale), False), (spoilt, True)):
        quality = model.analyse(Frame(values, "halpha", RowOrder.BOTTOM, pointing=clean.pointing))
        assert (Cause.SPIKES in {item.cause for item in quality.causes}) == is_hit


def test_parameters_of_before_find_spikes_as_they_did(clean):
    former = {key: value for key, value in load("halpha_quality").parameters.items()}
    former["thresholds"] = {k: v for k, v in former["thresholds"].items() if k != "spike_floor_share"}
    with with_parameters({"halpha_quality": former}):
        model = HalphaQuality(Runtime())
    pixels = (clean.pixels / np.float32(clean.pixels.max())).astype(np.float32)
    pixels[::7, ::11] = 1.0
    quality = model.analyse(Frame(pixels, "halpha", RowOrder.BOTTOM, pointing=clean.pointing))
    assert quality.measures["spike_fraction"] == 0.0


@pytest.mark.parametrize("cause", list(DEGRADATIONS), ids=str)
def test_each_degradation_is_found_and_named(model: HalphaQuality, clean, cause: Cause):
    low, high = DEGRADATIONS[cause][1]
    done = degrade(clean.pixels, clean.pointing, cause, np.random.default_rng(12), (low * high**2) ** (1 / 3))
    quality = model.analyse(as_frame(done.pixels))
    # A thin cloud is seen and named, though frames with one are still of use to many.
    assert quality.is_degraded or cause == Cause.THIN_CLOUD
    assert quality.p_value is not None and quality.p_value < 0.2
    assert cause in [entry.cause for entry in quality.causes]


def test_a_thicker_cloud_scores_no_better(model: HalphaQuality, clean):
    scores = []
    for opacity in (0.02, 0.08, 0.3, 0.7):
        done = degrade(clean.pixels, clean.pointing, Cause.CLOUD, np.random.default_rng(7), max(opacity, 0.1))
        scores.append(model.analyse(as_frame(done.pixels)).score)
    assert all(later <= earlier + 0.05 for earlier, later in pairwise(scores))


@pytest.mark.parametrize(
    ("picture", "cause"),
    [
        (np.zeros((300, 300), np.uint8), Cause.UNDEREXPOSED),
        (np.full((300, 300), 255, np.uint8), Cause.OVEREXPOSED),
        (np.full((300, 300), np.nan, np.float32), Cause.MISSING_DATA),
        (np.random.default_rng(0).normal(200, 9, (300, 300)).astype(np.int16), Cause.NO_TARGET),
        (np.zeros((64, 64), np.int16), Cause.UNDEREXPOSED),
        (np.tile(np.arange(200.0), (200, 1)), Cause.NO_TARGET),
    ],
    ids=["black", "white", "nan", "noise", "smallest", "ramp"],
)
def test_no_sun_scores_near_zero_with_its_cause(model: HalphaQuality, picture: np.ndarray, cause: Cause):
    quality = model.analyse(as_frame(picture))
    assert quality.score < 0.05 and quality.is_degraded
    assert quality.causes[0].cause == cause
    assert quality.region_map is None


def test_all_number_types_and_colour_agree(model: HalphaQuality, clean):
    eight = np.clip(clean.pixels / 12.5, 0, 255).astype(np.uint8)
    expected = model.analyse(as_frame(eight)).score
    for picture in (
        eight.astype(np.int16),
        eight.astype(">i2"),
        eight.astype(np.float64),
        np.stack([eight] * 3, axis=-1),
    ):
        assert model.analyse(as_frame(picture)).score == pytest.approx(expected, abs=0.02)


def test_holes_are_missing_data_and_shown_in_the_region(model: HalphaQuality, clean):
    holes = clean.pixels.astype(np.float32)
    holes[200:240, 180:330] = np.nan
    quality = model.analyse(as_frame(holes))
    assert quality.causes[0].cause == Cause.MISSING_DATA
    assert quality.region_map is not None and quality.region_extent_px is not None
    x0, y0, x1, y1 = quality.region_extent_px
    row = int((220 - y0) / (y1 - y0) * 128)
    column = int((255 - x0) / (x1 - x0) * 128)
    assert quality.region_map[row, column] == 1.0


def test_a_wrong_header_is_told(model: HalphaQuality, clean):
    wrong = Pointing(200.0, 300.0, 220.0, source="header")
    quality = model.analyse(Frame(clean.pixels, "halpha", RowOrder.BOTTOM, pointing=wrong))
    assert quality.measures["header_offset_px"] == pytest.approx(
        np.hypot(200 - clean.pointing.center_x_px, 300 - clean.pointing.center_y_px), abs=1.0
    )
    assert not quality.is_degraded


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("count", [50, 5000])
def test_pixels_beyond_all_counts_make_a_bad_frame(model: HalphaQuality, clean, count: int):
    pixels = clean.pixels.astype(np.float32)
    pixels.flat[np.random.default_rng(1).integers(0, pixels.size, count)] = 3e38  # what stands for no value
    quality = model.analyse(Frame(pixels, "halpha", RowOrder.BOTTOM, pointing=clean.pointing))
    assert quality.score < 0.1 and quality.is_degraded and quality.causes
    assert all(np.isfinite(value) for value in quality.measures.values())


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), quarter=st.integers(1, 3), mirrored=st.booleans())
def test_turning_or_mirroring_a_picture_hardly_moves_its_score(
    model: HalphaQuality, seed: int, quarter: int, mirrored: bool
):
    frame = HalphaSun(seed, 0.4, detail=256).frame(MOMENT, HalphaTelescope(size_px=400, gradient=0.02))
    pixels = degrade(frame.pixels, frame.pointing, Cause.CLOUD, np.random.default_rng(seed), 0.3).pixels
    turned = np.rot90(pixels[:, ::-1] if mirrored else pixels, quarter)
    first = model.analyse(as_frame(pixels))
    second = model.analyse(as_frame(np.ascontiguousarray(turned)))
    assert first.score == pytest.approx(second.score, abs=0.1)
    assert first.is_degraded == second.is_degraded


def test_the_answer_does_not_depend_on_the_batch(model: HalphaQuality):
    image = np.random.default_rng(2).normal(0, 0.2, (5, 1, 128, 128)).astype(np.float32).clip(-1, 1)
    together = model.session.run({"image": image})
    for index in range(5):
        alone = model.session.run({"image": image[index : index + 1]})
        for name, value in alone.items():
            np.testing.assert_allclose(value[0], together[name][index], rtol=1e-3, atol=1e-4)


def test_an_altered_calibration_is_refused(tmp_path: Path):
    import dataclasses
    import shutil

    description = load("halpha_quality")
    copy = tmp_path / description.path.name
    shutil.copy(description.path, copy)
    with pytest.raises(ModelError, match="missing"):
        HalphaQuality(Runtime(), dataclasses.replace(description, path=copy))
    np.savez(tmp_path / "calibration.npz", badness=np.arange(3.0))
    with pytest.raises(ModelError, match="altered"):
        HalphaQuality(Runtime(), dataclasses.replace(description, path=copy))


def test_a_cloud_is_shown_where_it_is(model: HalphaQuality, clean):
    from models.halpha_quality.calibrate import spoil
    from models.halpha_quality.evaluate import region_overlap

    overlaps = []
    for seed in range(6):
        done = spoil(clean.pixels, clean.pointing, Cause.CLOUD, np.random.default_rng(seed), 0.5)
        assert done.degraded is not None
        quality = model.analyse(as_frame(done.pixels))
        overlaps.append(region_overlap(quality, done.degraded.truth.region, done.pixels))
    assert np.mean(overlaps) > 0.55
    disk = disk_radius_map(128, 128, 63.5, 63.5, 64 / (1000 / 959.63))
    assert quality.region_map is not None and quality.region_map[disk > 1].max() == 0


@needs_data
def test_real_frames_meet_the_promise(model: HalphaQuality):
    from models.halpha_quality.evaluate import evaluate_good, evaluate_labelled_kso

    root = Path(str(DATA)) / "halpha"
    kso = evaluate_labelled_kso(model, root / "kso_20190126")
    assert kso["frames"] == 330
    assert kso["balanced_accuracy"] >= 0.985
    assert kso["spearman_all"] >= 0.8
    assert kso["spearman_above_0.3"] >= 0.9
    good = evaluate_good(model, root)
    assert good["called_degraded"] == []


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 30),
    kind=st.sampled_from(["u1", "i2", "u2", ">i2", "i4", "f4", "f8", "?"]),
    side=st.integers(64, 180),
    scale=st.sampled_from([1e-6, 1.0, 200.0, 3e4, 1e25]),
    disks=st.integers(0, 3),
    holes=st.booleans(),
)
def test_no_picture_raises(
    model: HalphaQuality, seed: int, kind: str, side: int, scale: float, disks: int, holes: bool
):
    random = np.random.default_rng(seed)
    picture = random.normal(0, 0.1, (side, side + int(random.integers(60))))
    y, x = np.indices(picture.shape)
    for _ in range(disks):
        cx, cy, radius = random.uniform(-20, side + 20, 3)
        picture += np.hypot(x - cx, y - cy) < radius
    picture = picture * scale
    if "f" in kind and holes:
        picture[random.random(picture.shape) < 0.2] = random.choice([np.nan, np.inf, -np.inf])
    elif "f" not in kind:
        picture = np.clip(picture, 0, 250)
    quality = model.analyse(as_frame(picture.astype(kind)))
    assert 0 <= quality.score <= 1
    assert quality.p_value is not None and 0 < quality.p_value <= 1
    assert all(np.isfinite(value) for value in quality.measures.values())
    assert all(0 <= entry.probability <= 1 for entry in quality.causes)
