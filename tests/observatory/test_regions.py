"""Regions are where the map says, as large as they truly are, and known by HEK's names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from observatory.analysis import EventType, ModelIdentity, Region, Segmentation, Threshold
from observatory.coordinates import SunView, stonyhurst_to_hpc
from observatory.frame import Frame, Pointing, RowOrder
from observatory.region_outline import Patch, signed_area
from observatory.regions import (
    MaskShapeError,
    check_same_aspect,
    find_regions,
    mask,
    region_from_json,
    region_json,
    segmentation,
)

MOMENT = datetime(2014, 9, 5, 7, 12, tzinfo=UTC)
SIDE, SIZE = 256, 1024
EXTENT = (-0.5, -0.5, SIZE - 0.5, SIZE - 0.5)
DISK = Pointing(511.5, 511.5, 400.0, 952.0, 0.0, "header")
THRESHOLDS = {Threshold.CONSERVATIVE: 0.7, Threshold.MEDIUM: 0.5, Threshold.LIBERAL: 0.3}
MODEL = ModelIdentity("aia_segmentation", "1.2.0", "00ff", {"grid": SIDE})
CH = EventType.CORONAL_HOLE


def frame(pointing: Pointing | None = DISK, rows: RowOrder = RowOrder.BOTTOM, date=MOMENT) -> Frame:
    y = np.arange(SIZE, dtype=np.float32)[:, None]
    return Frame(
        np.repeat(y, SIZE, axis=1), "aia-193", rows, date, unit="DN/s", pointing=pointing, wavelength_nm=19.3
    )


def blob(*places: tuple[float, float, float], pointing: Pointing = DISK) -> np.ndarray:
    """Soft circles (x, y, radius) in frame pixels, 0 beyond the limb: one half on their circle."""
    centres = (np.arange(SIDE) + 0.5) * (SIZE / SIDE) - 0.5
    x, y = np.meshgrid(centres, centres)
    value = np.zeros((SIDE, SIDE), np.float32)
    for x0, y0, radius in places:
        value = np.maximum(value, 1 / (1 + np.exp((np.hypot(x - x0, y - y0) - radius) / 6)))
    value[np.hypot(x - pointing.center_x_px, y - pointing.center_y_px) > pointing.radius_px] = 0
    return value


def segmented(
    probability: np.ndarray, pointing: Pointing | None = DISK, seen: Frame | None = None
) -> Segmentation:
    return segmentation(probability, EXTENT, THRESHOLDS, CH, MODEL, seen or frame(pointing), None, pointing)


def only(segmentation_: Segmentation) -> Region:
    (region,) = segmentation_.regions
    return region


def test_an_empty_map_has_no_regions_and_that_is_an_answer():
    found = segmented(np.zeros((SIDE, SIDE), np.float32))
    assert found.regions == ()
    assert set(found.disk_fraction.values()) == {0.0}
    assert not mask(found, (SIZE, SIZE)).any()


def test_a_circle_comes_out_with_its_place_area_and_outline():
    region = only(segmented(blob((600.0, 450.0, 60.0))))
    assert region.area_px == pytest.approx(np.pi * 60**2, rel=0.01)
    assert region.disk_fraction == pytest.approx((60 / 400) ** 2, rel=0.01)
    (ring,) = region.rings_px
    distance = np.hypot(ring[:, 0] - 600, ring[:, 1] - 450)
    assert abs(distance - 60).max() < 0.6  # a cell of the map is 4 pixels wide
    assert signed_area(ring) == pytest.approx(region.area_px, rel=0.01)
    assert region.bounding_box_px == pytest.approx((540, 390, 660, 510), abs=0.7)
    assert region.centroid_px == pytest.approx((600, 450), abs=1.5)
    assert 0.5 < region.probability <= 1.0


def test_true_area_does_not_depend_on_where_on_the_disk_a_region_lies():
    view = SunView(MOMENT)
    angle = np.linspace(0, 2 * np.pi, 721)
    expected = 1e6 * (1 - np.cos(np.radians(12)))  # a cap of 12 degrees
    for longitude in (0.0, 40.0, 65.0):
        tx, ty = stonyhurst_to_hpc(longitude + 12 * np.cos(angle), 12 * np.sin(angle), view.b0_deg, 952.0)
        ring = np.stack([511.5 + tx / DISK.cdelt_arcsec, 511.5 + ty / DISK.cdelt_arcsec], axis=-1)
        painted = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillPoly(painted, [np.rint(ring).astype(np.int32)], 255)
        probability = cv2.resize(painted, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / np.float32(255)
        region = only(segmented(probability))
        assert region.area_msh == pytest.approx(expected, rel=0.04), longitude
        assert region.area_atdiskcenter_mm2 == pytest.approx(region.area_msh * 3.041, rel=1e-3)
        assert region.centroid_stonyhurst_deg == pytest.approx((longitude, 0.0), abs=0.8)


def test_a_region_at_the_limb_ends_on_the_limb():
    region = only(segmented(blob((511.5 + 390, 511.5, 50.0))))
    (ring,) = region.rings_px
    distance = np.hypot(*(ring - 511.5).T)
    assert distance.max() <= 400.0
    assert (distance > 398.5).sum() >= 3
    assert region.rings_carrington_deg is not None
    assert np.isfinite(np.concatenate(region.rings_carrington_deg)).all()
    assert np.isfinite(region.centroid_carrington_deg).all()
    painted = mask(segmented(blob((511.5 + 390, 511.5, 50.0))), (SIZE, SIZE))
    y, x = np.nonzero(painted)
    assert np.hypot(x - 511.5, y - 511.5).max() <= 400.0
    assert x.max() >= 910


def test_what_lies_beyond_the_limb_is_no_region():
    everywhere = segmented(np.ones((SIDE, SIDE), np.float32))
    assert only(everywhere).disk_fraction == pytest.approx(1.0, abs=0.005)
    assert everywhere.probability[0, 0] == 0
    beyond = np.ones((SIDE, SIDE), np.float32)
    beyond[blob((511.5, 511.5, 405.0), pointing=replace(DISK, radius_px=900.0)) > 0.5] = 0
    assert segmented(beyond).regions == ()


def test_specks_go_by_their_true_area():
    speck = blob((511.5, 511.5, 6.0))
    assert segmented(speck).regions == ()
    kept = find_regions(speck, EXTENT, 0.3, CH, frame(), pointing=DISK, min_area_msh=20.0)
    assert len(kept) == 1
    # The same speck seen far from the centre is a larger region.
    assert find_regions(blob((511.5 + 396, 511.5, 9.0)), EXTENT, 0.3, CH, frame(), pointing=DISK)


def test_a_hole_in_a_region_is_a_ring_that_turns_the_other_way():
    probability = blob((500.0, 500.0, 120.0))
    probability = np.minimum(probability, 1 - blob((500.0, 500.0, 50.0)))
    region = only(segmented(probability))
    assert [np.sign(signed_area(ring)) for ring in region.rings_px] == [1, -1]
    assert region.area_px == pytest.approx(np.pi * (120**2 - 50**2), rel=0.02)
    assert mask(segmented(probability), (SIZE, SIZE))[500, 500] == 0


def test_the_largest_outline_comes_first_and_each_is_followed_by_its_own_holes():
    y, x = np.mgrid[:90, :200].astype(np.float32)

    def disc(x0: float, y0: float, radius: float) -> np.ndarray:
        return (radius - np.hypot(x - x0, y - y0)).astype(np.float32)

    rings = ((30, 45, 20), (130, 45, 40)), ((30, 45, 6), (115, 45, 8), (150, 45, 12))
    solid, holes = (np.maximum.reduce([disc(*one) for one in some]) for some in rings)
    level = np.minimum(solid, -holes)
    patch = Patch(slice(1000, 1090), slice(500, 700), level, level)
    found = [(*one.mean(axis=0), signed_area(one)) for one in patch.rings()]
    assert [area > 0 for _, _, area in found] == [True, False, False, True, False]
    assert [round(abs(area) / np.pi) for _, _, area in (found[0], found[3])] == [
        pytest.approx(1600, rel=0.01),
        pytest.approx(400, rel=0.01),
    ]
    assert sorted(x for x, _, _ in found[1:3]) == [pytest.approx(615, abs=0.5), pytest.approx(650, abs=0.5)]
    assert found[4][:2] == (pytest.approx(530, abs=0.5), pytest.approx(1045, abs=0.5))
    assert -found[4][2] == pytest.approx(np.pi * 36, rel=0.03)


def test_a_region_of_nothing_has_no_outline():
    nothing = np.full((5, 5), -1.0, np.float32)
    assert Patch(slice(0, 5), slice(0, 5), nothing, nothing).rings() == []
    nothing[2, 2] = 1.0  # one cell alone is noise
    assert Patch(slice(0, 5), slice(0, 5), nothing, nothing).rings() == []


def test_near_pieces_are_one_region_and_far_ones_are_two():
    near = segmented(blob((450.0, 500.0, 40.0), (537.0, 500.0, 40.0)))
    assert len(only(near).rings_px) == 2
    assert all(signed_area(ring) > 0 for ring in only(near).rings_px)
    far = segmented(blob((450.0, 500.0, 40.0), (560.0, 500.0, 40.0)))
    assert len(far.regions) == 2
    assert [len(region.rings_px) for region in far.regions] == [1, 1]


@pytest.mark.parametrize(("apart_px", "regions"), [(18.0, 1), (30.0, 2)])
def test_pieces_are_bridged_over_the_stated_distance_and_not_over_twice_that(apart_px: float, regions: int):
    two = blob((450.0, 500.0, 40.0), (530.0 + apart_px, 500.0, 40.0))
    found = find_regions(two, EXTENT, 0.5, CH, frame(), pointing=DISK, bridge_radii=20.0 / 400.0)
    assert len(found) == regions


def test_the_three_thresholds_nest():
    found = segmented(blob((450.0, 500.0, 40.0), (600.0, 300.0, 70.0), (250.0, 600.0, 90.0)))
    fractions = [found.disk_fraction[t] for t in Threshold]
    assert fractions == sorted(fractions)
    masks = [mask(found, (SIZE, SIZE), t) > 0 for t in Threshold]
    assert not (masks[0] & ~masks[1]).any()
    assert not (masks[1] & ~masks[2]).any()
    assert [r.area_msh for r in found.regions] == sorted([r.area_msh for r in found.regions], reverse=True)


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_the_mask_covers_what_the_outlines_enclose(size: int):
    found = segmented(blob((450.0, 500.0, 40.0), (640.0, 300.0, 70.0)))
    painted = mask(found, (size, size), frame_shape=(SIZE, SIZE))
    assert painted.shape == (size, size)
    assert painted.dtype == np.uint8
    assert set(np.unique(painted)) == {0, 255}
    share = (painted > 0).mean() * SIZE**2
    assert share == pytest.approx(sum(r.area_px for r in found.regions), rel=0.01)


def test_a_mask_of_another_aspect_is_refused():
    found = segmented(blob((450.0, 500.0, 40.0)))
    with pytest.raises(MaskShapeError, match="aspect"):
        mask(found, (512, 1024), frame_shape=(SIZE, SIZE))
    with pytest.raises(MaskShapeError, match="4096 x 4000"):
        check_same_aspect((4000, 4096), (1024, 1024))
    check_same_aspect((4096, 4096), (1024, 1024))
    check_same_aspect((341, 512), (1023, 1536))


def test_without_pointing_there_are_regions_but_no_coordinates():
    region = only(segmented(blob((450.0, 500.0, 40.0)), None, frame(None)))
    assert region.rings_hpc_arcsec is None
    assert region.rings_carrington_deg is None
    assert region.area_msh is None
    assert region.disk_fraction == pytest.approx(np.pi * 40**2 / SIZE**2, rel=0.02)
    json.dumps(region_json(region), allow_nan=False)


def test_without_a_date_or_a_roll_what_they_tell_is_missing_and_areas_are_not():
    timeless = only(segmented(blob((450.0, 500.0, 40.0)), DISK, frame(date=None)))
    assert timeless.centroid_hpc_arcsec is not None
    assert timeless.centroid_carrington_deg is None
    rollless = only(segmented(blob((450.0, 500.0, 40.0)), replace(DISK, roll_deg=None)))
    assert rollless.centroid_hpc_arcsec is None
    assert rollless.area_msh == pytest.approx(timeless.area_msh)


def test_half_a_turn_of_the_camera_changes_nothing_on_the_sun():
    upright = only(segmented(blob((600.0, 450.0, 60.0))))
    turned = only(segmented(blob((1023 - 600.0, 1023 - 450.0, 60.0)), replace(DISK, roll_deg=180.0)))
    assert turned.centroid_hpc_arcsec == pytest.approx(upright.centroid_hpc_arcsec, abs=0.5)
    assert turned.centroid_carrington_deg == pytest.approx(upright.centroid_carrington_deg, abs=0.05)
    assert turned.area_msh == pytest.approx(upright.area_msh, rel=1e-3)


def test_a_picture_with_the_top_row_first_has_its_north_at_the_top():
    region = only(segmented(blob((511.5, 300.0, 60.0)), DISK, frame(rows=RowOrder.TOP)))
    assert region.centroid_hpc_arcsec[1] == pytest.approx(211.5 * DISK.cdelt_arcsec, abs=15)
    assert region.centroid_stonyhurst_deg[1] > 20


def test_intensities_are_those_of_the_frame_inside():
    region = only(segmented(blob((600.0, 450.0, 60.0))))  # brightness is the row number
    assert region.intensity_median == pytest.approx(450, abs=2)
    assert region.intensity_mean == pytest.approx(450, abs=2)
    assert region.intensity_min == pytest.approx(391, abs=3)
    assert region.intensity_max == pytest.approx(509, abs=3)
    assert region.intensity_std == pytest.approx(30, abs=1.5)
    holes = np.full((SIZE, SIZE), np.nan, np.float32)
    holes[:450] = 7.0
    found = find_regions(blob((600.0, 450.0, 60.0)), EXTENT, 0.5, CH, frame(), holes, DISK)
    assert (found[0].intensity_mean, found[0].intensity_std) == (7.0, 0.0)


def test_intensities_are_those_of_the_columns_inside_too_however_uneven_they_are():
    columns = np.arange(SIZE, dtype=np.float32)[None, :]
    for plane in (
        np.repeat(np.exp((columns - 600.0) / 30.0), SIZE, axis=0),
        1000.0 - frame().pixels + columns,
    ):
        found = find_regions(blob((600.0, 450.0, 60.0)), EXTENT, 0.5, CH, frame(), plane, DISK)
        y, x = np.mgrid[:SIZE, :SIZE]
        inside = plane[np.hypot(x - 600.0, y - 450.0) < 60.0]
        assert found[0].intensity_mean == pytest.approx(inside.mean(), rel=0.01)
        assert found[0].intensity_median == pytest.approx(np.median(inside), rel=0.03)
        assert found[0].intensity_std == pytest.approx(inside.std(), rel=0.02)
        assert found[0].intensity_max == pytest.approx(inside.max(), rel=0.1)


def test_intensities_do_not_depend_on_how_a_plane_lies_in_memory():
    seen = frame()
    flipped = replace(seen, pixels=np.ascontiguousarray(seen.pixels[::-1])[::-1])
    assert not flipped.pixels.flags.c_contiguous
    probability = blob((430, 600, 90), (560, 420, 40))
    for one, other in zip(
        segmented(probability, seen=seen).regions, segmented(probability, seen=flipped).regions, strict=True
    ):
        assert (one.intensity_mean, one.intensity_median) == (other.intensity_mean, other.intensity_median)


@pytest.mark.parametrize("turned", range(4))
def test_a_region_partly_outside_the_picture_is_measured_on_what_there_is(turned: int):
    extent = (-100.5, -100.5, SIZE + 99.5, SIZE + 99.5)
    probability = np.zeros((SIDE, SIDE), np.float32)
    probability[100:140, 5:60] = 1.0  # beyond the left edge
    rows, columns = np.mgrid[:SIZE, :SIZE]
    plane = np.float32(columns + 3 * rows)
    seen, turned_map = np.rot90(plane, turned), np.ascontiguousarray(np.rot90(probability, turned))
    (region,) = find_regions(turned_map, extent, 0.5, CH, frame(None), seen, None)
    outside = region.bounding_box_px[0] < -0.5, region.bounding_box_px[1] < -0.5
    assert outside == (turned == 0, turned == 3)
    left, top = 0, 100 * 1224 / SIDE - 100.5
    right, bottom = 60 * 1224 / SIDE - 100.5, 140 * 1224 / SIDE - 100.5
    assert region.intensity_mean == pytest.approx((left + right) / 2 + 3 * (top + bottom) / 2, rel=0.01)


def test_a_mask_of_another_size_ends_on_the_limb_of_that_size():
    pointing = Pointing(430.0, 610.0, 300.0, 952.0, 0.0, "header")
    found = segmented(np.ones((SIDE, SIDE), np.float32), pointing)
    painted = mask(found, (256, 256), frame_shape=(SIZE, SIZE))
    y, x = np.mgrid[:256, :256]
    reach = np.hypot(4 * x + 1.5 - 430.0, 4 * y + 1.5 - 610.0)
    assert (painted > 0)[reach < 299.9].all()
    assert not painted[reach > 300.1].any()


def test_region_json_has_heks_names_and_their_meaning():
    region = only(segmented(blob((600.0, 450.0, 60.0))))
    written = region_json(
        region,
        date_obs=MOMENT,
        exposure_time_s=2.0,
        observatory="SDO",
        instrument="aia-193",
        wavelength_nm=19.3,
        model=MODEL,
        threshold=Threshold.MEDIUM,
        track_id=12,
    )
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["event_type"] == "CH"
    assert written["event_starttime"] == "2014-09-05T07:12:00"
    assert written["event_endtime"] == "2014-09-05T07:12:02"
    assert written["event_coordsys"] == "UTC-HPC-TOPO"
    assert written["event_coord1"] == pytest.approx(region.centroid_hpc_arcsec[0], abs=1e-3)
    assert written["hpc_boundcc"].startswith("POLYGON((")
    assert written["area_unit"] == "Mm2"
    assert written["area_raw"] < written["area_atdiskcenter"]
    assert written["frm_name"] == "Heliowatch aia_segmentation"
    assert "threshold=medium" in written["frm_paramset"]
    assert written["frm_specificid"] == "12"
    assert written["obs_meanwavel"] == 193.0
    assert written["boundbox_c1ll"] < written["hpc_x"] < written["boundbox_c1ur"]


def test_required_names_are_those_that_sunpys_hek_client_knows():
    hek = pytest.importorskip("sunpy.net.hek.utils")
    known = {entry["name"] for entry in (*hek._get_unit_attributes(), *hek._get_coord_attributes())}
    written = region_json(only(segmented(blob((600.0, 450.0, 60.0)))), date_obs=MOMENT, model=MODEL)
    prefixes = ("event_", "area_r", "area_u", "frm_", "obs_", "bound", "intens")
    ours = {
        name
        for name in written
        if name.startswith(prefixes) and not name.startswith(("bounding_box", "intensity_"))
    }
    assert ours <= known, ours - known


def test_a_region_comes_back_from_its_json():
    region = only(segmented(blob((600.0, 450.0, 60.0))))
    back = region_from_json(json.loads(json.dumps(region_json(region, date_obs=MOMENT))))
    assert back.event_type == region.event_type
    assert back.area_msh == pytest.approx(region.area_msh, rel=1e-5)
    assert np.allclose(back.rings_carrington_deg[0], region.rings_carrington_deg[0], atol=1e-4)
    assert np.allclose(back.centroid_px, region.centroid_px, atol=1e-3)


def test_outlines_agree_with_those_of_an_independent_tracer():
    measure = pytest.importorskip("skimage.measure")
    probability = blob((450.0, 500.0, 55.0), (640.0, 300.0, 70.0))
    found = segmented(probability)
    contours = measure.find_contours(probability, 0.5)
    assert len(contours) == 2
    for theirs in contours:
        points = (theirs[:, ::-1] + 0.5) * (SIZE / SIDE) - 0.5
        apart = [
            max(abs(cv2.pointPolygonTest(ring.astype(np.float32), point, True)) for point in points.tolist())
            for region in found.regions
            for ring in region.rings_px
        ]
        assert min(apart) < 0.7  # a cell of the map is 4 pixels wide


@pytest.mark.parametrize("name", ["2014_07_15T21_59_55", "2015_06_06T18_59_55", "2016_09_02T14_00_18"])
def test_a_real_mask_of_coronal_holes_survives_being_cut_into_regions(real_frames, name: str):
    path = real_frames / "aia" / "coronal_hole_masks" / "masks" / f"sdo_aia193_{name}.png"
    if not path.exists():
        pytest.skip(f"{path.name} is not among the real frames")
    drawn = cv2.resize(cv2.imread(str(path), 0), (1024, 1024), interpolation=cv2.INTER_AREA)
    disk = Pointing(511.5, 511.5, 396.3, 952.0, 0.0)
    y, x = np.mgrid[:1024, :1024] - 511.5
    truth = (drawn > 127) & (np.hypot(x, y) < 396.3)
    probability = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / np.float32(255)
    found = segmented(probability, disk, frame(disk, RowOrder.TOP, datetime(2015, 6, 6, 19, tzinfo=UTC)))
    painted = mask(found, (1024, 1024)) > 0
    dice = 2 * (painted & truth).sum() / (painted.sum() + truth.sum())
    assert dice > 0.95  # specks go, and a quarter of the resolution rounds corners
    assert 1 <= len(found.regions) <= 8
    for region in found.regions:
        painted_here = np.zeros((1024, 1024), np.uint8)
        cv2.fillPoly(painted_here, [np.rint(ring).astype(np.int32) for ring in region.rings_px], 1)
        assert (truth & (painted_here > 0)).sum() > 0.8 * region.area_px
        assert np.isfinite(np.concatenate(region.rings_carrington_deg)).all()
