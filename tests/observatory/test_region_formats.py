"""Exports of regions are read back by the programs they are for."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest

from observatory.analysis import EventType, Region
from observatory.coordinates import SunView, hpc_to_stonyhurst, stonyhurst_to_hpc, to_carrington
from observatory.region_formats import (
    ds9_regions,
    feature_collection,
    votable,
    votable_fields,
    votable_rows,
)
from observatory.region_json import region_json
from observatory.region_outline import signed_area

MOMENT = datetime(2014, 9, 5, 7, 12, tzinfo=UTC)
VIEW = SunView(MOMENT)


def region(*rings_hpc: np.ndarray, on_sun: bool = True) -> dict:
    rings_px = tuple(ring / 2.4 + 511.5 for ring in rings_hpc)
    carrington = []
    for ring in rings_hpc:
        longitude, latitude = hpc_to_stonyhurst(ring[:, 0], ring[:, 1], VIEW.b0_deg)
        carrington.append(np.stack([to_carrington(longitude, VIEW.l0_deg), latitude], axis=-1))
    built = Region(
        event_type=EventType.CORONAL_HOLE,
        rings_px=rings_px,
        centroid_px=(500.0, 500.0),
        bounding_box_px=(1.0, 2.0, 3.0, 4.0),
        area_px=100.0,
        disk_fraction=0.01,
        probability=0.9,
        intensity_mean=1.0,
        intensity_median=float("nan"),
        intensity_min=0.0,
        intensity_max=2.0,
        intensity_std=0.5,
        rings_hpc_arcsec=rings_hpc if on_sun else None,
        rings_carrington_deg=tuple(carrington) if on_sun else None,
        centroid_hpc_arcsec=(10.0, 20.0) if on_sun else None,
        area_msh=5000.0,
    )
    return region_json(built, date_obs=MOMENT, track_id=7)


def ring(x: float, y: float, radius: float, count: int = 24) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=-1)


TWO_PIECES = (ring(100, 50, 80), ring(100, 50, 30)[::-1], ring(300, 50, 60))


@pytest.mark.parametrize("coordinates", ["hpc", "carrington", "pixel"])
def test_features_have_closed_rings_outer_ones_anticlockwise(coordinates: str):
    collection = feature_collection([region(*TWO_PIECES)], coordinates)
    assert json.loads(json.dumps(collection, allow_nan=False)) == collection
    (feature,) = collection["features"]
    assert feature["properties"]["track_id"] == 7
    assert feature["geometry"]["type"] == "MultiPolygon"
    first, second = feature["geometry"]["coordinates"]
    assert (len(first), len(second)) == (2, 1)
    for polygon in (first, second):
        for index, closed in enumerate(polygon):
            assert closed[0] == closed[-1]
            assert (signed_area(np.array(closed[:-1])) > 0) is (index == 0)


def test_a_region_without_place_on_the_sun_is_left_out_there_and_kept_in_pixels():
    lost = region(ring(0, 0, 50), on_sun=False)
    assert feature_collection([lost], "hpc")["features"] == []
    assert len(feature_collection([lost], "pixel")["features"]) == 1


def test_an_outline_across_the_prime_meridian_does_not_jump():
    stonyhurst = -VIEW.l0_deg  # Carrington longitude 0
    assert abs((stonyhurst + 180) % 360 - 180) < 180
    longitude = (stonyhurst + np.array([-5.0, 5.0, 5.0, -5.0])) % 360
    raw = region(ring(0, 0, 50))
    raw["rings_carrington_deg"] = [
        np.stack([to_carrington(longitude, VIEW.l0_deg), [-5.0, -5.0, 5.0, 5.0]], axis=-1).tolist()
    ]
    raw["rings_px"] = [[[0, 0], [1, 0], [1, 1], [0, 1]]]
    (feature,) = feature_collection([raw], "carrington")["features"]
    points = np.array(feature["geometry"]["coordinates"][0][0])
    assert np.ptp(points[:, 0]) == pytest.approx(10.0, abs=1e-3)


@pytest.mark.parametrize("outer_start", [0, 1], ids=["outline from west", "outline from east"])
@pytest.mark.parametrize("hole_start", [0, 2], ids=["hole from west", "hole from east"])
def test_a_hole_across_the_prime_meridian_lies_inside_its_outline(outer_start: int, hole_start: int):
    outer, hole = [[354, -6], [6, -6], [6, 6], [354, 6]], [[358, -2], [358, 2], [2, 2], [2, -2]]
    raw = region(ring(0, 0, 50))
    raw["rings_px"] = [[[0, 0], [9, 0], [9, 9], [0, 9]], [[3, 3], [3, 6], [6, 6], [6, 3]]]
    raw["rings_carrington_deg"] = [
        one[start:] + one[:start] for one, start in ((outer, outer_start), (hole, hole_start))
    ]
    (feature,) = feature_collection([raw], "carrington")["features"]
    around, inside = (np.array(one) for one in feature["geometry"]["coordinates"][0])
    np.testing.assert_allclose(inside.min(axis=0) - around.min(axis=0), 4)
    np.testing.assert_allclose(around.max(axis=0) - inside.max(axis=0), 4)


def test_an_outline_about_the_pole_encloses_it():
    # In September the north pole is in sight.
    angle = np.linspace(0, 360, 72, endpoint=False)
    tx, ty = stonyhurst_to_hpc(angle, np.full(72, 85.0), VIEW.b0_deg)
    outline = np.stack([tx, ty], axis=-1)
    assert np.isfinite(outline).all()
    if signed_area(outline) < 0:
        outline = outline[::-1]
    (feature,) = feature_collection([region(outline)], "carrington")["features"]
    points = np.array(feature["geometry"]["coordinates"][0][0])
    assert points[:, 1].max() == 90.0
    assert np.ptp(points[:, 0]) == pytest.approx(360.0, abs=0.1)
    assert abs(signed_area(points[:-1])) == pytest.approx(360 * 5, rel=0.01)


def test_an_outline_about_the_south_pole_is_closed_along_it_whichever_way_it_turns():
    raw = region(ring(0, 0, 50))
    around = [[float(longitude), -80.0] for longitude in range(100, 460, 10)]
    for points in (around, around[::-1]):
        raw["rings_carrington_deg"] = [[[longitude % 360, latitude] for longitude, latitude in points]]
        raw["rings_px"] = [ring(0, 0, 9, len(points)).tolist()]
        (feature,) = feature_collection([raw], "carrington")["features"]
        closed = np.array(feature["geometry"]["coordinates"][0][0])
        assert closed[:, 1].min() == -90 and closed[:, 1].max() == -80
        assert signed_area(closed[:-1]) == pytest.approx(360 * 10)


def test_properties_are_facts_and_no_outlines():
    (feature,) = feature_collection([region(*TWO_PIECES)])["features"]
    properties = feature["properties"]
    assert {"event_type", "event_starttime", "hpc_x", "hgc_x", "frm_name", "area_msh"} <= properties.keys()
    assert not any(name.startswith("rings_") for name in properties)
    assert not any(name.endswith(("_boundcc", "_bbox", "chaincode")) for name in properties)
    assert not any(isinstance(value, list | dict) for value in properties.values())


def test_a_ds9_file_has_every_ring_with_pixels_counted_from_one():
    text = ds9_regions([region(*TWO_PIECES)])
    assert text.startswith("# Region file format: DS9")
    assert [line.split("(")[0] for line in text.splitlines()[3:]] == ["polygon", "-polygon", "polygon"]
    assert "text={CH 7}" in text
    first = float(text.splitlines()[3].split("(")[1].split(",")[0])
    assert first == pytest.approx(180 / 2.4 + 511.5 + 1, abs=0.01)
    degrees = ds9_regions([region(*TWO_PIECES)], "hpc").splitlines()
    assert degrees[2] == "wcs"
    assert float(degrees[3].split("(")[1].split(",")[0]) == pytest.approx(180 / 3600, abs=1e-5)


def test_in_ds9_rows_count_from_the_bottom_also_where_the_file_s_run_from_the_top():
    written = region(ring(100, 50, 80))
    from_bottom, from_top = ds9_regions([written] * 2, "image", [None, 1024]).splitlines()[3:]
    pairs = [
        np.array(line[line.index("(") + 1 : line.index(")")].split(","), float).reshape(-1, 2)
        for line in (from_bottom, from_top)
    ]
    np.testing.assert_allclose(pairs[0][:, 0], pairs[1][:, 0])
    np.testing.assert_allclose(pairs[0][:, 1] + pairs[1][:, 1], 1024 + 1)


def test_the_regions_package_reads_the_ds9_file():
    regions = pytest.importorskip("regions")
    written = region(*TWO_PIECES)
    read = regions.Regions.parse(ds9_regions([written]), format="ds9")
    assert len(read) == 3
    assert np.allclose(read[0].vertices.x, np.array(written["rings_px"][0])[:, 0], atol=0.01)


def test_astropy_reads_the_votable_back():
    from astropy.io.votable import parse_single_table

    table = parse_single_table(io.BytesIO(votable([region(*TWO_PIECES), region(ring(0, 0, 9))]))).to_table()
    assert table.colnames == [column.name for column in votable_fields()]
    assert len(table) == 2
    assert table["event_type"][0] == "CH"
    assert table["area_msh"][0] == 5000.0
    assert str(table["hpc_x"].unit) == "arcsec"
    assert np.ma.is_masked(table["intensmedian"][0]) or np.isnan(table["intensmedian"][0])
    assert table["hpc_boundcc"][1].startswith("POLYGON((")


def test_no_regions_are_empty_files():
    assert feature_collection([])["features"] == []
    assert votable_rows([]) == []
    assert b"regions" in votable([])
    assert "polygon" not in ds9_regions([])
