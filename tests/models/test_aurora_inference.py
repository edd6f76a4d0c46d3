"""The aurora model: what it makes of the network's words, of Sun, Moon, mask and lens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.aurora.inference import NO_CIRCLE, AuroraModel, by_sector, on_frame
from models.runtime import Runtime
from observatory.analysis import SkyClass, SkyFacts
from observatory.fisheye import Fisheye, Projection
from observatory.frame import Frame, RowOrder
from observatory.sky import Site
from observatory.sky_sectors import COUNT, WEDGES, edges_deg
from observatory.sky_view import as_seen
from tests.models.aurora_stand_in import stand_in

CIRCLE = Fisheye(150.0, 125.0, 110.0, is_oriented=True)
NIGHT = SkyFacts(-30.0, 20.0, 100.0, 0.5, can_show_aurora=True)
MOONLESS = replace(NIGHT, moon_elevation_deg=-12.0)
FIRST_OF_RINGS = np.concatenate([[0], np.cumsum(WEDGES)])


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture(scope="module")
def model(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> AuroraModel:
    said = {SkyClass.MOON: 0.5, SkyClass.ARC: 0.3, SkyClass.CLEAR: 0.1}
    return AuroraModel(runtime, stand_in(tmp_path_factory.mktemp("network"), said))


def sky(order: RowOrder = RowOrder.TOP, circle: Fisheye = CIRCLE) -> Frame:
    """A frame whose west is bright, and so cloudy to the stand-in."""
    zenith, azimuth = circle.directions((250, 300))
    bright = (azimuth > 180) & (zenith < 90)
    pixels = np.where(np.nan_to_num(zenith, nan=999) < 90, np.where(bright, 200, 40), 5).astype(np.uint8)
    return Frame(pixels, "allsky", order, fisheye=circle)


def test_probabilities_are_the_networks_and_aurora_is_the_sum_of_three(model: AuroraModel) -> None:
    found = model.analyse(sky(), NIGHT)
    assert found.sky_class is SkyClass.MOON and found.note is None and found.reason is None
    assert sum(found.probabilities.values()) == pytest.approx(1.0, abs=1e-6)
    assert found.aurora_probability == pytest.approx(0.3 + 2 * 0.1 / 3, abs=1e-5)
    assert found.features.shape == (7,) and found.features.dtype == np.float32


def test_a_moon_below_the_horizon_falls_to_the_next_class_with_a_note(model: AuroraModel) -> None:
    found = model.analyse(sky(), MOONLESS)
    assert found.sky_class is SkyClass.ARC
    assert found.probabilities[SkyClass.MOON] == 0.0
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert found.probabilities[SkyClass.ARC] == pytest.approx(0.6, abs=1e-5)
    assert found.note == "looked like the Moon, which stands 12° below the horizon"


def test_even_a_network_that_is_sure_of_a_moon_that_is_down_gives_a_class(
    runtime: Runtime, tmp_path: Path
) -> None:
    sure = AuroraModel(runtime, stand_in(tmp_path, {SkyClass.MOON: 1.0}))
    found = sure.analyse(sky(), MOONLESS)
    assert found.sky_class is not SkyClass.MOON and found.note is not None
    assert sum(found.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("sun_deg", "words"),
    [(30.0, "daylight: the Sun stands 30° above"), (-3.3, "bright twilight: the Sun stands 3.3° below")],
)
def test_a_sky_that_is_too_bright_is_not_judged(model: AuroraModel, sun_deg: float, words: str) -> None:
    found = model.analyse(sky(), SkyFacts(sun_elevation_deg=sun_deg, can_show_aurora=False))
    assert found.sky_class is None and found.probabilities == {} and found.cloud_cover is None
    assert found.aurora_probability is None
    assert np.isnan(found.cloud_sectors).all() and found.cloud_sectors.shape == (COUNT,)
    assert found.reason is not None and found.reason.startswith(words)


def test_a_picture_without_a_circle_is_not_judged_and_says_what_to_do(model: AuroraModel) -> None:
    flat = Frame(np.full((200, 300), 90, np.uint8), "allsky", RowOrder.TOP)
    found = model.analyse(flat, NIGHT)
    assert found.sky_class is None and found.reason == NO_CIRCLE


def test_a_circle_outside_the_frame_is_not_judged(model: AuroraModel) -> None:
    frame = replace(sky(), fisheye=replace(CIRCLE, center_x_px=2000.0))
    found = model.analyse(frame, NIGHT)
    assert found.sky_class is None and found.reason is not None and "outside the frame" in found.reason


@pytest.mark.parametrize("up_azimuth_deg", [0.0, 135.0])
@pytest.mark.parametrize("is_clockwise", [False, True])
@pytest.mark.parametrize("projection", list(Projection))
def test_cloud_lies_in_the_sectors_where_it_is_seen(
    model: AuroraModel, up_azimuth_deg: float, is_clockwise: bool, projection: Projection
) -> None:
    circle = replace(CIRCLE, up_azimuth_deg=up_azimuth_deg, is_clockwise=is_clockwise, projection=projection)
    found = model.analyse(sky(circle=circle), NIGHT)
    for sector in range(1, COUNT):
        near, _, east, west = edges_deg(sector)
        is_cloudy = bool(found.cloud_sectors[sector] >= 0.5)
        if near >= 20 and not ((east < 190 and west > 170) or west > 350 or east < 10):
            assert is_cloudy == (east >= 180), (sector, found.cloud_sectors[sector])
    assert found.cloud_cover == pytest.approx(0.5, abs=0.1)


def test_a_camera_that_nothing_orients_counts_from_the_top_of_the_shown_picture(model: AuroraModel) -> None:
    oriented = model.analyse(sky(), NIGHT)
    plain = replace(CIRCLE, is_oriented=False)
    assert model.analyse(replace(sky(), fisheye=plain), NIGHT).cloud_sectors == pytest.approx(
        oriented.cloud_sectors, abs=1e-6
    )
    upside_down = replace(
        sky(),
        pixels=sky().pixels[::-1],
        row_order=RowOrder.BOTTOM,
        fisheye=replace(plain, center_y_px=249 - 125.0),
    )
    assert model.analyse(upside_down, NIGHT).cloud_sectors == pytest.approx(oriented.cloud_sectors, abs=0.02)


def test_hidden_sectors_are_not_counted(model: AuroraModel) -> None:
    zenith, azimuth = CIRCLE.directions((250, 300))
    masked = replace(sky(), sky_mask=(azimuth < 180) & (zenith < 90))
    found = model.analyse(masked, NIGHT)
    hidden = np.isnan(found.cloud_sectors)
    west = [sector for sector in range(1, COUNT) if edges_deg(sector)[2] >= 180]
    east = [sector for sector in range(1, COUNT) if edges_deg(sector)[3] <= 180]
    assert hidden[west].all() and not hidden[east].any()


def test_sectors_are_means_over_their_own_cells() -> None:
    cells = np.zeros((16, 16), np.float32)
    cells[:, 8:] = 1.0
    seen = as_seen(Fisheye(0.0, 0.0, 1.0), RowOrder.TOP)  # east is left
    sectors = by_sector(cells, np.ones((16, 16), np.float32), seen)
    assert sectors[0] == pytest.approx(0.5, abs=0.02)
    ring = sectors[FIRST_OF_RINGS[1] : FIRST_OF_RINGS[2]]
    assert ring[:4].max() < 0.2 and ring[4:].min() > 0.8


def test_a_map_is_laid_on_the_frame_as_the_lens_bends_it() -> None:
    geometry = Fisheye(31.5, 31.5, 32.0)
    zenith, _ = geometry.directions((64, 64))
    cells = (zenith < 45).astype(np.float32)
    straight = on_frame(cells, Fisheye(0.0, 0.0, 100.0))
    bent = on_frame(cells, Fisheye(0.0, 0.0, 100.0, projection=Projection.ORTHOGRAPHIC))
    assert np.isnan(straight[0, 0])
    widths = [float((np.nan_to_num(each[32]) > 0.5).sum()) / 64 for each in (straight, bent)]
    assert widths == pytest.approx([0.5, np.sin(np.radians(45))], abs=0.04)


def test_aurora_over_a_desert_far_south_has_to_be_more_than_likely(runtime: Runtime, tmp_path: Path) -> None:
    far, near = Site(34.5, -111.4), Site(65.0, -147.0)
    likely = AuroraModel(runtime, stand_in(tmp_path, {SkyClass.ARC: 0.6, SkyClass.CLEAR: 0.3}))
    found = likely.analyse(replace(sky(), site=far), NIGHT)
    assert found.sky_class is SkyClass.CLEAR
    assert found.note is not None and found.note.startswith("looked like aurora (arc), which is rare at 4")
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert likely.analyse(replace(sky(), site=near), NIGHT).sky_class is SkyClass.ARC
    (tmp_path / "sure").mkdir()
    sure = AuroraModel(runtime, stand_in(tmp_path / "sure", {SkyClass.ARC: 0.998}))
    great_storm = sure.analyse(replace(sky(), site=far), NIGHT)
    assert great_storm.sky_class is SkyClass.ARC and great_storm.note is None
