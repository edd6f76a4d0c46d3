"""What people and other programs marked lands where they marked it."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from astropy.io import fits

from models.aia_segmentation.annotations import (
    Outline,
    draw,
    parse_polygons,
    read_boxes,
    read_chimera,
    read_hek,
    read_mask,
    read_polygons,
    read_srs,
    time_in_name,
    turned,
)
from models.aia_segmentation.data import outlines_near, read_outlines
from models.aia_segmentation.preparation import HALF_WIDTH_RADII
from observatory.analysis import EventType
from observatory.coordinates import SunView
from observatory.errors import UnreadableFileError
from observatory.frame import RowOrder
from observatory.settings import test_data_dir as shared_data_dir

WHEN = datetime(2015, 3, 31, 18, tzinfo=UTC)
SHARED = shared_data_dir()

POLYGONS = """DATE:  2015-03-31 18:00:00.340000
RADIUS:  1600.0
AR:    0
   2447.5  1647.5
   2647.5  1647.5
   2647.5  1847.5
   2447.5  1847.5
CH:    0
   1000.0  2000.0
   1100.0  2000.0
"""

HEK = {
    "result": [
        {
            "event_type": "CH",
            "event_starttime": "2015-03-31T18:00:00",
            "frm_name": "SPoCA",
            "frm_specificid": "SPoCA_v1.0_CH_0000012345",
            "hpc_coord": "POINT(-200 300)",
            "hpc_boundcc": "POLYGON((-300 200,-100 200,-100 400,-300 400,-300 200))",
        },
        {"event_type": "FL", "event_starttime": "2015-03-31T18:00:00", "hpc_boundcc": ""},
        {"event_type": "AR", "event_starttime": "2015-03-31T18:00:00", "hpc_boundcc": "", "hpc_bbox": ""},
    ]
}

CHIMERA = """ ID  XCEN  YCEN  CENTROID   X_EB  Y_EB  X_WB  Y_WB  X_NB  Y_NB  X_SB  Y_SB  WIDTH  WIDTH  AREA  AREA%
num  arcsec arcsec  H deg  arcsec ...
 1  -200  300  E13N12  -300  310  -100  290  -210  400  -190  200  E18-E06  12  2.4e+04  1.1
"""

SRS = """:Product: 0401SRS.txt
:Issued: 2015 Apr 01 0030 UTC
I.  Regions with Sunspots.  Locations Valid at 31/2400Z
Nmbr Location  Lo  Area  Z   LL   NN Mag Type
2297 N10W20   190  0350 Dki  12   15 Beta-Gamma
2298 S15E30   240  0010 Axx  02   01 Alpha
IA. H-alpha Plages without Spots.  Locations Valid at 31/2400Z Mar
Nmbr  Location  Lo
2292  S08W84   013
"""


def test_polygon_texts_put_rows_downwards_and_leave_lines_out() -> None:
    (outline,) = parse_polygons(POLYGONS, "a.txt")
    assert outline.event_type is EventType.ACTIVE_REGION
    assert outline.date_obs == WHEN + timedelta(microseconds=340000)
    assert outline.points[0] == pytest.approx((0.25, 0.25))  # right of and above the centre


@pytest.mark.parametrize("text", ["", "hello", "DATE: 2015-01-01 00:00:00\nRADIUS: x\n", "1 2\n3 4\n"])
def test_a_text_that_is_no_polygon_file_says_so(text: str) -> None:
    with pytest.raises(UnreadableFileError, match="RADIUS"):
        parse_polygons(text, "b.txt")


def test_polygons_are_read_from_a_zip_and_a_folder_alike(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text(POLYGONS)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "in/a.txt", "set/a.txt")
    assert len(read_polygons(tmp_path / "a.zip")) == len(read_polygons(tmp_path / "in")) == 1


@pytest.mark.skipif(SHARED is None, reason="HELIOWATCH_TEST_DATA is not set: no real annotations")
def test_all_shared_polygon_files_are_read() -> None:
    assert SHARED is not None
    regions = read_polygons(SHARED / "aia/annotations/ar_custom.zip")
    holes = read_polygons(SHARED / "aia/annotations/ch_custom.zip")
    assert len({o.date_obs for o in regions}) > 500 and len({o.date_obs for o in holes}) > 500
    assert {o.event_type for o in holes} == {EventType.CORONAL_HOLE}
    assert max(float(np.hypot(*o.points.T).max()) for o in regions) < 1.4


def test_hek_events_become_outlines_in_solar_radii(tmp_path: Path) -> None:
    path = tmp_path / "hek.json"
    path.write_text(json.dumps(HEK))
    (outline,) = read_hek(path)
    assert (outline.event_type, outline.source) == (EventType.CORONAL_HOLE, "HEK SPoCA")
    assert outline.points[0] == pytest.approx(np.array([-300, 200]) / SunView(WHEN).rsun_arcsec)
    path.write_text("{}")
    with pytest.raises(UnreadableFileError, match="result"):
        read_hek(path)


@pytest.mark.parametrize("event", ['{"event_type": "CH", "hpc_boundcc": "POLYGON((0 0,9 0,9 9))"}', "17"])
def test_a_hek_event_that_lacks_its_time_or_is_none_is_said(tmp_path: Path, event: str) -> None:
    (tmp_path / "hek.json").write_text(f'{{"result": [{event}]}}')
    with pytest.raises(UnreadableFileError, match=r"hek\.json has an event"):
        read_hek(tmp_path / "hek.json")


def test_boxes_and_masks_that_are_none_are_said(tmp_path: Path) -> None:
    (tmp_path / "box.xml").write_text("<annotation><object><bndbox/></object></annotation>")
    with pytest.raises(UnreadableFileError, match=r"box\.xml"):
        read_boxes(tmp_path / "box.xml")
    (tmp_path / "mask.npy").write_bytes(b"no numbers")
    with pytest.raises(UnreadableFileError, match=r"mask\.npy"):
        read_mask(tmp_path / "mask.npy")


def test_digits_in_a_name_that_are_no_time_are_none() -> None:
    assert time_in_name("frame_20151399_259999.png") is None


@pytest.mark.parametrize(
    "name",
    [
        "aia_20150418T023955_193.png",
        "frame_20151399_259999_20150418_023955.png",
        "frame_20159999_2015_04_18T02_39_55.png",
    ],
)
def test_the_first_digits_in_a_name_that_are_a_time_are_taken(name: str) -> None:
    assert time_in_name(name) == datetime(2015, 4, 18, 2, 39, 55, tzinfo=UTC)


def test_a_list_of_holes_finds_its_time_behind_a_number_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "run_20991399_999999_20150331_180000.txt"
    path.write_text(CHIMERA)
    assert read_chimera(path)[0].date_obs == datetime(2015, 3, 31, 18, tzinfo=UTC)


def test_chimera_lists_become_quadrilaterals(tmp_path: Path) -> None:
    path = tmp_path / "ch_summary_20150331_180000.txt"
    path.write_text(CHIMERA)
    (outline,) = read_chimera(path)
    assert outline.date_obs == WHEN
    rsun = SunView(WHEN).rsun_arcsec
    assert outline.points[:, 0].min() == pytest.approx(-300 / rsun)
    assert outline.points[:, 1].max() == pytest.approx(400 / rsun)
    with pytest.raises(UnreadableFileError, match="time"):
        read_chimera(path.rename(tmp_path / "list.txt"))


def test_srs_gives_regions_with_spots_alone_at_the_end_of_the_day(tmp_path: Path) -> None:
    path = tmp_path / "0401SRS.txt"
    path.write_text(SRS)
    first, second = read_srs(path)
    assert (first.number, first.latitude_deg, first.stonyhurst_longitude_deg) == (2297, 10.0, 20.0)
    assert first.date_obs == datetime(2015, 4, 1, tzinfo=UTC)
    assert (first.area_msh, second.stonyhurst_longitude_deg) == (350.0, -30.0)
    outline = first.outline()
    assert outline is not None
    view = SunView(first.date_obs)
    x, y = outline.points.mean(axis=0)
    assert x == pytest.approx(np.sin(np.radians(20)) * np.cos(np.radians(10)), abs=0.02)
    assert y == pytest.approx(np.sin(np.radians(10 - view.b0_deg * np.cos(np.radians(20)))), abs=0.02)


def test_all_shared_summaries_are_read() -> None:
    if SHARED is None:
        pytest.skip("HELIOWATCH_TEST_DATA is not set: no real summaries")
    found = {path.name: len(read_srs(path)) for path in sorted((SHARED / "srs").glob("*SRS.txt"))}
    assert found["20150306SRS.txt"] == 2 and sum(found.values()) > 20


def test_sources_are_told_apart_by_their_form(tmp_path: Path) -> None:
    for name, text in (("a.txt", POLYGONS), ("0401SRS.txt", SRS), ("x_20150331_180000.txt", CHIMERA)):
        (tmp_path / name).write_text(text)
    (tmp_path / "hek.json").write_text(json.dumps(HEK))
    assert {o.source for o in read_outlines(tmp_path)} == {"polygons", "NOAA SRS", "CHIMERA", "HEK SPoCA"}


def test_boxes_are_edges_of_whole_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        "<annotation><object><name>coronal_hole</name><bndbox><xmin>56</xmin><ymin>153</ymin>"
        "<xmax>121</xmax><ymax>210</ymax></bndbox></object></annotation>"
    )
    (box,) = read_boxes(path)
    assert (box.name, box.x0_px, box.y1_px) == ("coronal_hole", 55.5, 210.5)
    path.write_text("<annotation>")
    with pytest.raises(UnreadableFileError, match="VOC"):
        read_boxes(path)


def test_masks_are_what_is_not_zero_in_pictures_fits_and_npy(tmp_path: Path) -> None:
    numbered = np.zeros((8, 6), np.int16)
    numbered[2:4, 1:3] = 7  # as CHIMERA numbers its holes
    fits.PrimaryHDU(numbered).writeto(tmp_path / "a.fits")
    np.save(tmp_path / "a.npy", numbered)
    cv2.imwrite(str(tmp_path / "a.png"), (numbered > 0).astype(np.uint8) * 255)
    cv2.imwrite(str(tmp_path / "b.png"), (numbered > 0).astype(np.uint8))
    expected = {
        "a.fits": RowOrder.BOTTOM,
        "a.npy": RowOrder.TOP,
        "a.png": RowOrder.TOP,
        "b.png": RowOrder.TOP,
    }
    for name, row_order in expected.items():
        mask, order = read_mask(tmp_path / name)
        assert order is row_order
        assert np.array_equal(mask > 127, numbered > 0), name
    (tmp_path / "c.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableFileError, match="mask"):
        read_mask(tmp_path / "c.png")


def test_a_region_is_carried_west_by_rotation_and_over_the_limb() -> None:
    square = np.array([[-0.05, -0.05], [0.05, -0.05], [0.05, 0.05], [-0.05, 0.05]])
    outline = Outline(EventType.ACTIVE_REGION, WHEN, square)
    later = turned(outline, WHEN + timedelta(days=2))
    assert later is not None
    assert later.points[:, 0].mean() == pytest.approx(np.sin(np.radians(2 * 13.4)), abs=0.02)
    assert turned(outline, WHEN + timedelta(days=9)) is None


def test_the_nearest_set_counts_and_only_within_its_hours() -> None:
    square = np.array([[-0.05, -0.05], [0.05, -0.05], [0.05, 0.05]])
    sets = [Outline(EventType.ACTIVE_REGION, WHEN + timedelta(hours=h), square) for h in (-30, -5, -5, 20)]
    near = outlines_near(sets, WHEN, EventType.ACTIVE_REGION)
    assert near is not None and len(near) == 2
    assert outlines_near(sets, WHEN, EventType.CORONAL_HOLE) is None
    assert outlines_near(sets, WHEN - timedelta(days=9), EventType.ACTIVE_REGION) is None


@pytest.mark.parametrize("row_order", list(RowOrder))
def test_outlines_are_drawn_where_the_frames_rows_have_them(row_order: RowOrder) -> None:
    square = np.array([[0.4, 0.3], [0.6, 0.3], [0.6, 0.5], [0.4, 0.5]])
    covered = draw([Outline(EventType.CORONAL_HOLE, WHEN, square)], 128, row_order=row_order)
    y, x = (np.average(axis.ravel(), weights=covered.ravel()) for axis in np.indices(covered.shape))
    cells = 128 / (2 * HALF_WIDTH_RADII)
    up = -1 if row_order is RowOrder.TOP else 1
    assert (x - 63.5) / cells == pytest.approx(0.5, abs=0.01)
    assert up * (y - 63.5) / cells == pytest.approx(0.4, abs=0.01)
    assert covered.sum() / cells**2 == pytest.approx(0.04, rel=0.05)


def test_a_roll_turns_what_is_drawn() -> None:
    east = Outline(
        EventType.CORONAL_HOLE, WHEN, np.array([[0.4, -0.05], [0.6, -0.05], [0.6, 0.05], [0.4, 0.05]])
    )
    covered = draw([east], 128, row_order=RowOrder.BOTTOM, roll_deg=90.0)
    y, x = (np.average(axis.ravel(), weights=covered.ravel()) - 63.5 for axis in np.indices(covered.shape))
    assert abs(x) < 1 and y < -20
