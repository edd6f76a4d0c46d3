"""All-sky frames through their pipeline: quality, sky, lines of the night, pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.aurora.inference import NO_CIRCLE, AuroraModel
from models.disturbance import station
from models.disturbance.ridge import Ridge
from models.disturbance.station import Sources, StationModel
from models.runtime import Runtime
from observatory.analysis import Cause, SkyClass
from observatory.frame import Frame, RowOrder
from tests.models.aurora_stand_in import stand_in
from tests.night_skies import NIGHT, night
from workers.pipelines.allsky import AllSkyPipeline
from workers.pipelines.base import Outcome, Stopwatch

CLEAR = {SkyClass.CLEAR: 0.7, SkyClass.MOON: 0.2}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> AuroraModel:
    return AuroraModel(Runtime(), stand_in(tmp_path_factory.mktemp("network"), CLEAR))


@pytest.fixture
def pipeline(network: AuroraModel) -> AllSkyPipeline:
    return AllSkyPipeline(Runtime(), network)


def half_cloudy(size: tuple[int, int] = (256, 256)) -> Frame:
    """A frame whose right half is bright, and so cloudy to the stand-in network."""
    frame = night(size=size, stars=0)
    pixels = frame.pixels.copy()
    right = pixels[:, size[1] // 2 :]
    right[right > 4000] += 9000
    return replace(frame, pixels=pixels)


def run(pipeline: AllSkyPipeline, frame: Frame) -> Outcome:
    return pipeline.run(frame, Stopwatch())


def test_a_frame_gets_quality_sky_lines_and_pictures(pipeline: AllSkyPipeline) -> None:
    outcome = run(pipeline, half_cloudy())
    assert outcome.quality is not None and outcome.sky is not None and outcome.slices is not None
    assert outcome.sky.sky_class is SkyClass.CLEAR
    assert outcome.slices.is_oriented and outcome.slices.north_south.max() > 0
    assert [picture.kind for picture in outcome.pictures] == ["preview", "region-map", "cloud-map"]
    assert [finding.analysis for finding in outcome.findings] == ["quality", "sky"]
    payload = outcome.findings[1].payload
    assert payload["sky_class"] == "clear" and len(payload["cloud_sectors"]) == 33
    assert payload["circle"]["source"] == "settings"
    assert payload["circle"]["center_x_px"] == pytest.approx(128.0)
    assert outcome.network == "aurora"


@pytest.mark.parametrize("size", [(256, 256), (1040, 1392)])
def test_the_cloud_map_lies_on_the_preview(pipeline: AllSkyPipeline, size: tuple[int, int]) -> None:
    outcome = run(pipeline, half_cloudy(size))
    preview, _, cloud = outcome.pictures
    assert cloud.width / cloud.height == pytest.approx(preview.width / preview.height, rel=0.01)
    alpha = np.asarray(Image.open(io.BytesIO(cloud.data)))[..., 3]
    middle = alpha[alpha.shape[0] // 2]
    width = len(middle)
    assert middle[int(0.6 * width)] > 100 and middle[int(0.4 * width)] < 40
    corner = alpha[: alpha.shape[0] // 12, : alpha.shape[1] // 12]
    assert corner.max() == 0


def test_maps_are_turned_as_the_preview_is(pipeline: AllSkyPipeline) -> None:
    frame = half_cloudy()
    assert frame.fisheye is not None
    turned = replace(frame, fisheye=replace(frame.fisheye, up_azimuth_deg=90.0))  # east is up: right is north
    outcome = run(pipeline, turned)
    alpha = np.asarray(Image.open(io.BytesIO(outcome.pictures[2].data)))[..., 3]
    half = alpha.shape[0] // 2
    assert alpha[:half].mean() > 5 * alpha[half + 8 :].mean()
    assert outcome.sky is not None
    north, south = outcome.sky.cloud_sectors[1], outcome.sky.cloud_sectors[5]
    assert north > 0.5 > south


def test_extents_are_in_pixels_of_the_frame_that_came(pipeline: AllSkyPipeline) -> None:
    outcome = run(pipeline, half_cloudy((1040, 1392)))
    assert outcome.quality is not None and outcome.quality.region_extent_px is not None
    x0, y0, x1, y1 = outcome.quality.region_extent_px
    assert (x0 + x1) / 2 == pytest.approx(696, abs=1.5) and (y0 + y1) / 2 == pytest.approx(520, abs=1.5)
    assert x1 - x0 == pytest.approx(2 * 0.46 * 1040, rel=0.01)
    assert outcome.findings[1].payload["circle"]["radius_px"] == pytest.approx(0.46 * 1040, rel=0.01)


def test_the_circle_of_a_frame_that_is_not_halved_evenly_is_told_as_it_was_given(
    pipeline: AllSkyPipeline,
) -> None:
    frame = half_cloudy((1283, 1387))
    assert frame.fisheye is not None
    told = run(pipeline, frame).findings[1].payload["circle"]
    given = frame.fisheye.center_x_px, frame.fisheye.center_y_px, frame.fisheye.radius_px
    assert (told["center_x_px"], told["center_y_px"], told["radius_px"]) == pytest.approx(given, abs=0.01)


def test_a_camera_that_sends_the_same_sky_again_is_frozen_but_a_frame_that_comes_again_is_not(
    pipeline: AllSkyPipeline,
) -> None:
    first = replace(night(), sha256="a" * 64)
    again, hung = replace(first), replace(first, sha256="b" * 64, date_obs=NIGHT.replace(minute=1))
    causes = [
        {item.cause for item in quality.causes}
        for frame in (first, again, hung, replace(hung, instrument="rego"))
        if (quality := run(pipeline, frame).quality)
    ]
    assert causes == [set(), set(), {Cause.FROZEN}, set()]


def test_a_black_frame_is_done_with_its_cause_and_no_class(pipeline: AllSkyPipeline) -> None:
    black = Frame(np.zeros((240, 320, 3), np.uint8), "allsky", RowOrder.TOP)
    outcome = run(pipeline, black)
    assert outcome.quality is not None and outcome.quality.score < 0.1
    assert outcome.quality.causes[0].cause is Cause.LENS_CAP
    assert outcome.sky is not None and outcome.sky.sky_class is None
    assert outcome.sky.reason is not None and "lens cap" in outcome.sky.reason
    assert outcome.slices is None and outcome.network is None
    assert [picture.kind for picture in outcome.pictures] == ["preview"]


def test_a_picture_of_something_else_says_that_no_sky_is_in_it(pipeline: AllSkyPipeline) -> None:
    columns = np.arange(400) + np.zeros((300, 1), int)
    outcome = run(pipeline, Frame((60 + columns // 4).astype(np.uint8), "allsky", RowOrder.TOP))
    assert outcome.quality is not None and outcome.quality.causes[0].cause is Cause.NO_TARGET
    assert outcome.sky is not None and outcome.sky.reason == NO_CIRCLE


def test_daylight_has_no_class_but_twilight_for_its_cause(pipeline: AllSkyPipeline) -> None:
    noon = night(date_obs=NIGHT.replace(hour=18), level=20000.0)
    outcome = run(pipeline, noon)
    assert outcome.sky is not None and outcome.sky.sky_class is None
    assert outcome.sky.reason is not None and outcome.sky.reason.startswith("daylight")
    assert outcome.quality is not None and outcome.quality.is_degraded
    assert outcome.quality.causes[0].cause is Cause.TWILIGHT
    assert outcome.slices is not None


def test_a_score_alone_is_what_the_whole_pipeline_says(network: AuroraModel) -> None:
    frame = half_cloudy((240, 320))
    quality, sky = AllSkyPipeline(Runtime(), network).score(frame)
    outcome = run(AllSkyPipeline(Runtime(), network), frame)
    assert outcome.quality is not None and outcome.sky is not None
    assert quality.score == outcome.quality.score and quality.measures == outcome.quality.measures
    assert sky.probabilities == outcome.sky.probabilities and sky.cloud_cover == outcome.sky.cloud_cover


def test_a_station_with_a_model_gets_its_disturbance_marked_as_simulated(tmp_path: Path) -> None:
    network = AuroraModel(Runtime(), stand_in(tmp_path, {SkyClass.ARC: 0.9}))
    ridge = Ridge(
        mean=np.zeros(7),
        scale=np.ones(7),
        weights=np.zeros((7, 3)),
        offset=np.array([-120.0, 15.0, 60.0]),
        alpha=1.0,
    )
    sources = Sources("GILL", True, "aurora 0.0.1", network.identity.sha256, "2014", "2015", 100)
    path = station.write(tmp_path, StationModel("gill", "1", ridge, sources, aurora_min=0.5, cloud_max=0.9))
    pipeline = AllSkyPipeline(Runtime(disturbance={"themis-asi": path}), network)
    outcome = run(pipeline, night())
    assert outcome.disturbance is not None and outcome.disturbance.is_simulated
    assert (outcome.disturbance.x_nt, outcome.disturbance.z_nt) == pytest.approx((-120.0, 60.0))
    assert outcome.findings[2].analysis == "disturbance" and outcome.findings[2].payload["is_simulated"]
    assert outcome.findings[2].model in pipeline.models
    assert run(pipeline, replace(night(), instrument="rego")).disturbance is None


def test_colour_frames_without_geometry_are_analysed_by_the_circle_in_the_picture(
    pipeline: AllSkyPipeline, tmp_path: Path
) -> None:
    grey = half_cloudy((480, 720))
    light = np.clip((grey.pixels.astype(np.float32) - 3400) / 60, 0, 255).astype(np.uint8)
    plain = replace(grey, pixels=np.stack([light, light, light], axis=-1), fisheye=None)
    outcome = run(pipeline, plain)
    circle = outcome.findings[1].payload["circle"]
    assert circle["source"] == "picture"
    assert circle["radius_px"] == pytest.approx(0.46 * 480, rel=0.03)
    assert outcome.slices is not None and not outcome.slices.is_oriented
