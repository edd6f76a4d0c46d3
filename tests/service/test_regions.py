"""Regions over REST: filters, formats, areas, tracks, and what cannot be asked."""

from __future__ import annotations

import csv
import io
import warnings
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from fastapi.testclient import TestClient

from observatory.frame import RowOrder
from service.region_shapes import RegionShape
from service.routes import regions
from tests.service.corona import AR, CH, NOON, central, found, picture
from tests.service.telescope import Telescope, on_sqlite

REGIONS = "/api/v1/regions"
SERIES = f"{REGIONS}/series"
TRACKS = f"{REGIONS}/tracks"
BIG, SMALL = central(20, 14), central(-25, 7, west_deg=20)


def observe(telescope: Telescope, minutes: float = 0, **given: Any) -> int:
    """A frame with two coronal holes and an active region."""
    at = NOON + timedelta(minutes=minutes)
    made = found(CH, (BIG, SMALL), at), found(AR, (SMALL,), at)
    return telescope.corona(*made, date_obs=at, wavelength_nm=19.3, **given)


def items(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(REGIONS, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@on_sqlite
def test_a_region_has_the_names_of_hek_and_its_outlines(client: TestClient, telescope: Telescope) -> None:
    frame_id = observe(telescope)
    region = items(client, event_type="CH")[-1]
    assert (region["frame_id"], region["instrument"], region["event_type"]) == (frame_id, "aia-193", "CH")
    assert region["date_obs"] == "2026-06-01T12:00:00Z"
    assert region["event_starttime"] == "2026-06-01T12:00:00"
    assert region["hpc_boundcc"].startswith("POLYGON((") and region["hpc_coord"].startswith("POINT(")
    assert (region["frm_name"], region["frm_versionnumber"]) == ("Heliowatch aia-segmentation", "1.0.0")
    assert (region["obs_meanwavel"], region["obs_wavelunit"]) == (193.0, "Angstrom")
    assert region["area_unit"] == "Mm2" and region["area_atdiskcenter"] > region["area_msh"] > 1000
    assert len(region["rings_px"][0]) == len(region["rings_hpc_arcsec"][0]) > 10
    assert client.get(region["links"]["self"]).json() == region
    assert client.get(region["links"]["frame"]).json()["links"]["regions"] == f"{REGIONS}?frame={frame_id}"
    assert client.get(region["links"]["track"]).json()["id"] == region["track_id"]


@on_sqlite
def test_every_name_of_a_region_is_described(client: TestClient, telescope: Telescope) -> None:
    observe(telescope)
    for region in items(client):
        assert set(region) == set(RegionShape.model_fields)


def test_filters_narrow_the_list(client: TestClient, telescope: Telescope) -> None:
    first, second = observe(telescope), observe(telescope, 10, instrument="aia-171")
    assert len(items(client)) == 6
    assert {one["frame_id"] for one in items(client, instrument="aia-171")} == {second}
    assert {one["frame_id"] for one in items(client, time="2026-06-01T12:00Z/2026-06-01T12:10Z")} == {first}
    assert len(items(client, event_type="AR")) == 2
    clouded = observe(telescope, 20, score=0.2)
    assert {one["frame_id"] for one in items(client, quality_min=0.5)} == {first, second}
    assert {one["frame_id"] for one in items(client, quality_min=0.1)} == {first, second, clouded}
    assert items(client, wavelength="171A") == [] and len(items(client, wavelength="193A", frame=first)) == 3
    assert len(items(client, frame=first)) == 3
    large = items(client, event_type="CH", frame=first)[-1]
    assert [one["id"] for one in items(client, track=large["track_id"])][-1] == large["id"]
    for least in ("3%", "15000msh", "45000 Mm2"):
        assert {one["track_id"] for one in items(client, area_min=least)} == {large["track_id"]}, least
    assert items(client, area_min="99%") == []
    plain = client.get(f"/api/v1/frames/{telescope.observe()}").json()
    assert "regions" not in plain["links"]


@on_sqlite
def test_pages_are_linked_until_the_last(client: TestClient, telescope: Telescope) -> None:
    for minute in range(3):
        observe(telescope, minute)
    seen, address, pages = [], f"{REGIONS}?limit=4&order=asc", 0
    while address:
        answer = client.get(address)
        seen += [one["id"] for one in answer.json()["items"]]
        address, pages = answer.json()["next"], pages + 1
        assert (f'<{address}>; rel="next"' == answer.headers.get("link")) is bool(address)
    assert pages == 3 and len(seen) == len(set(seen)) == 9
    assert seen == [one["id"] for one in items(client)][::-1]


@on_sqlite
def test_csv_has_every_region_and_no_outline(client: TestClient, telescope: Telescope) -> None:
    observe(telescope), observe(telescope, 5)
    rows = list(csv.DictReader(io.StringIO(client.get(REGIONS, params={"format": "csv"}).text)))
    assert len(rows) == 6 and "rings_px" not in rows[0]
    assert rows[0]["date_obs"] == "2026-06-01T12:05:00Z" and float(rows[0]["area_msh"]) > 1000
    page = client.get(REGIONS, params={"limit": 4}, headers={"Accept": "text/csv"})
    assert len(page.text.splitlines()) == 5 and 'rel="next"' in page.headers["link"]


@on_sqlite
def test_astropy_reads_the_votable_from_its_address(telescope: Telescope, address: str) -> None:
    observe(telescope)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(f"{address}{REGIONS}?format=votable&event_type=CH", format="votable")
    assert len(table) == 2
    assert {"event_type", "area_msh", "frm_specificid"} <= set(table.colnames)
    assert table["area_msh"].max() > 10_000


@on_sqlite
def test_other_programs_formats_hold_the_same_regions(client: TestClient, telescope: Telescope) -> None:
    frame_id = observe(telescope)
    collection = client.get(REGIONS, params={"format": "geojson", "coordinates": "carrington"})
    assert collection.headers["content-type"] == "application/geo+json"
    assert len(collection.json()["features"]) == 3
    by_accept = client.get(REGIONS, headers={"Accept": "application/geo+json"})
    assert by_accept.json()["coordinate_system"]["unit"] == "arcsec"
    sky = client.get(REGIONS, params={"format": "ds9"})
    pixel = client.get(REGIONS, params={"format": "ds9", "frame": frame_id})
    assert sky.text.lower().count("polygon") == pixel.text.lower().count("polygon") >= 3
    assert "\nimage" in pixel.text and "\nimage" not in sky.text
    assert 'filename="regions.reg"' in pixel.headers["content-disposition"]
    paged = client.get(REGIONS, params={"format": "geojson", "limit": 2})
    assert 'rel="next"' in paged.headers["link"]
    refused = client.get(REGIONS, params={"format": "ds9", "coordinates": "carrington"})
    assert refused.json()["errors"][0]["parameter"] == "coordinates"


@on_sqlite
@pytest.mark.parametrize(
    ("order", "roll_deg", "is_above"),
    [(RowOrder.BOTTOM, 0.0, True), (RowOrder.TOP, 0.0, True), (RowOrder.BOTTOM, 180.0, False)],
)
def test_in_ds9_a_northern_region_lies_where_the_frame_shows_it(
    client: TestClient, telescope: Telescope, order: RowOrder, roll_deg: float, is_above: bool
) -> None:
    frame = picture(128, order, roll_deg, height=100)
    frame_id = telescope.corona(found(CH, (central(40),), frame=frame), date_obs=NOON)
    text = client.get(REGIONS, params={"format": "ds9", "frame": frame_id}).text
    numbers = text[text.index("polygon(") + 8 : text.index(")")].split(",")
    y = np.array(numbers[1::2], float)
    distance = y.mean() - (100 + 1) / 2
    assert bool(distance > 0) is is_above
    assert abs(distance) == pytest.approx(27, abs=3)


@on_sqlite
def test_a_file_in_one_piece_is_refused_above_a_bound_instead_of_being_cut(
    client: TestClient, telescope: Telescope, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe(telescope)
    monkeypatch.setattr(regions, "_WHOLE", 2)
    refused = client.get(REGIONS, params={"format": "geojson"})
    assert refused.status_code == 422 and refused.json()["errors"][0]["parameter"] == "limit"
    assert client.get(REGIONS, params={"format": "geojson", "event_type": "CH"}).status_code == 200
    assert client.get(REGIONS, params={"format": "geojson", "limit": 2}).status_code == 200


@on_sqlite
@pytest.mark.parametrize("form", ["votable", "geojson", "ds9", "csv", "json"])
def test_no_regions_are_an_answer_in_every_format(client: TestClient, form: str) -> None:
    answer = client.get(REGIONS, params={"format": form})
    assert answer.status_code == 200 and "link" not in answer.headers
    if form == "votable":
        assert len(Table.read(io.BytesIO(answer.content), format="votable")) == 0


@on_sqlite
@pytest.mark.parametrize(
    ("parameter", "word"),
    [
        ("time", "2026-06-02/2026-06-01"),
        ("time", "2026-06-01"),
        ("time", "yesterday/.."),
        ("event_type", "FI"),
        ("event_type", ""),
        ("cursor", "AAAA"),
        ("cursor", "🌞"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "1000000000"),
        ("format", "xlsx"),
        ("coordinates", "galactic"),
        ("area_min", "0.01"),
        ("area_min", "-1%"),
        ("area_min", "nan%"),
        ("area_min", "1km2"),
        ("track", "0"),
        ("track", "9223372036854775808"),
        ("frame", "one"),
        ("order", "random"),
        ("instrument", ""),
        ("what", "1"),
    ],
)
def test_what_cannot_be_asked_is_a_problem_that_says_what_can(
    client: TestClient, parameter: str, word: str
) -> None:
    answer = client.get(REGIONS, params={parameter: word})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (problem,) = answer.json()["errors"]
    assert problem["parameter"] == parameter and problem["allowed"]


@on_sqlite
@pytest.mark.parametrize(
    "span", ["../..", "1000-01-01/..", "../9999-12-31T23:59:59Z", "0001-01-01/9999-12-31"]
)
def test_a_time_without_bounds_is_all_of_it(client: TestClient, telescope: Telescope, span: str) -> None:
    observe(telescope)
    assert len(items(client, time=span)) == 3
    for width in ("1s", "366d"):
        answer = client.get(SERIES, params={"time": span, "bin": width})
        assert answer.status_code == 200 and len(answer.json()["items"]) == 2


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [f"{REGIONS}/999", f"{TRACKS}/999", f"{REGIONS}/{2**63 - 1}", f"{TRACKS}/{2**63 - 1}"],
)
def test_what_does_not_exist_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@on_sqlite
@pytest.mark.parametrize("path", [f"{REGIONS}/{2**63}", f"{TRACKS}/0", f"{TRACKS}/x", f"{TRACKS}/1?limit=0"])
def test_what_can_be_no_number_is_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 422


def test_areas_over_time_come_single_and_binned(client: TestClient, telescope: Telescope) -> None:
    for minute in (0, 4, 5):
        observe(telescope, minute)
    telescope.corona(found(CH, ()), date_obs=NOON + timedelta(minutes=9))
    body = client.get(SERIES, params={"event_type": "CH", "instrument": "aia-193"}).json()
    assert [point["regions"] for point in body["items"]] == [2, 2, 2, 0]
    assert body["items"][0]["time"] == "2026-06-01T12:00:00Z" and not body["is_truncated"]
    binned = client.get(SERIES, params={"bin": "5m"}).json()["items"]
    assert [(point["time"][11:16], point["event_type"], point["frames"]) for point in binned] == [
        ("12:00", "AR", 2),
        ("12:00", "CH", 2),
        ("12:05", "AR", 1),
        ("12:05", "CH", 2),
    ]
    assert binned[3]["disk_fraction_min"] == 0 < binned[3]["disk_fraction"] < binned[3]["disk_fraction_max"]
    cut = client.get(SERIES, params={"limit": 1}).json()
    assert [point["event_type"] for point in cut["items"]] == ["AR", "CH"] and cut["is_truncated"]
    text = client.get(SERIES, params={"bin": "1h", "format": "csv"}).text.splitlines()
    assert text[0].startswith("time,event_type,instrument,frames,regions,disk_fraction,") and len(text) == 3


@on_sqlite
def test_a_track_tells_its_history_and_what_became_of_it(client: TestClient, telescope: Telescope) -> None:
    for minute in range(3):
        observe(telescope, minute)
    track_id = items(client, event_type="CH")[0]["track_id"]
    track = client.get(f"{TRACKS}/{track_id}").json()
    assert (track["event_type"], track["sightings"], track["events"]) == ("CH", 3, [])
    assert [one["time"][14:16] for one in track["history"]] == ["00", "01", "02"]
    assert track["history"][0]["area_msh"] > 1000 and not track["is_truncated"]
    assert len(client.get(track["links"]["regions"]).json()["items"]) == 3
    cut = client.get(f"{TRACKS}/{track_id}", params={"limit": 1}).json()
    assert [one["time"][14:16] for one in cut["history"]] == ["02"] and cut["is_truncated"]


@on_sqlite
def test_the_description_names_regions_and_composites(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/v1/regions", "/api/v1/regions/series", "/api/v1/regions/tracks/{track_id}"} <= set(paths)
    assert {"/api/v1/composites", "/api/v1/latest/composite.jpg"} <= set(paths)
    assert "text/csv" in paths["/api/v1/regions"]["get"]["responses"]["200"]["content"]
    assert "hpc_boundcc" in client.get("/docs").text
