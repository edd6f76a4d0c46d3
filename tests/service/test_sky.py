"""Skies over time, as REST and as HAPI; and what a frame tells of its own."""

from __future__ import annotations

import io
import re

import pyarrow.parquet
import pytest
from astropy.table import Table
from fastapi.testclient import TestClient

from observatory.analysis import SkyClass
from observatory.sky import Site
from observatory.storage import results
from observatory.storage.session import Database
from tests.service.telescope import on_sqlite
from tests.stored_skies import LENS, MIDNIGHT, SITE, disturbance, run_of, sky, stored

SERIES = "/api/v1/sky"
NIGHT = (SkyClass.ARC, SkyClass.ARC, SkyClass.CLOUD, None, SkyClass.DISCRETE)


def fill(db: Database, *, instrument: str = "themis-asi") -> list[int]:
    """A frame every minute after midnight, its class as `NIGHT` has it."""
    return [
        stored(
            db,
            20 * minute,
            sky(kind),
            disturbance() if kind in (SkyClass.ARC, SkyClass.DISCRETE) else None,
            instrument=instrument,
            sha256=f"{minute:04x}{instrument.encode().hex():0>60.60}",
        )
        for minute, kind in enumerate(NIGHT)
    ]


def test_skies_come_newest_first_a_page_at_a_time(client: TestClient, db: Database) -> None:
    ids = fill(db)
    stored(db, 999, sky(SkyClass.ARC), date_obs=None, date_obs_source="none")
    first = client.get(SERIES, params={"limit": 2})
    body = first.json()
    assert [point["frame_id"] for point in body["items"]] == [ids[4], ids[2]]
    newest = body["items"][0]
    assert (newest["time"], newest["sky_class"]) == ("2024-01-15T00:04:00Z", "discrete")
    assert newest["probabilities"]["discrete"] == pytest.approx(0.75)
    assert newest["aurora_probability"] == pytest.approx(0.85)
    assert newest["disturbance"] == {"x_nt": -321.5, "y_nt": 12.25, "z_nt": -88.0, "is_simulated": True}
    assert body["items"][1]["disturbance"] is None
    assert body["is_truncated"] and f"<{body['next']}>" in first.headers["link"]
    second = client.get(body["next"]).json()
    assert [point["frame_id"] for point in second["items"]] == [ids[1], ids[0]] and second["next"] is None
    oldest = client.get(SERIES, params={"order": "asc", "limit": 1}).json()
    assert oldest["items"][0]["frame_id"] == ids[0]


def test_skies_are_chosen_by_class_by_aurora_and_by_whether_they_could_be_judged(
    client: TestClient, db: Database
) -> None:
    ids = fill(db)
    fill(db, instrument="rego")

    def chosen(**asked: str) -> list[int]:
        points = client.get(SERIES, params={"instrument": "themis-asi", **asked}).json()["items"]
        return [point["frame_id"] for point in points]

    assert chosen(sky_class="arc") == [ids[1], ids[0]]
    assert chosen(sky_class="aurora") == [ids[4], ids[1], ids[0]]
    assert chosen(time="2024-01-15T00:01Z/2024-01-15T00:04Z") == [ids[2], ids[1]]
    (unjudged,) = client.get(SERIES, params={"instrument": "rego", "sky_class": "none"}).json()["items"]
    assert (unjudged["reason"], unjudged["probabilities"]) == ("daylight", {})


def test_bins_tell_the_commonest_class_and_how_often_there_was_aurora(
    client: TestClient, db: Database
) -> None:
    fill(db)
    body = client.get(SERIES, params={"bin": "3m", "order": "asc"}).json()
    assert [(p["time"], p["frames"], p["sky_class"]) for p in body["items"]] == [
        ("2024-01-15T00:00:00Z", 3, "arc"),
        ("2024-01-15T00:03:00Z", 1, "discrete"),
    ]
    first = body["items"][0]
    assert first["aurora_occurrence"] == pytest.approx(2 / 3)
    assert first["probabilities"]["arc"] == pytest.approx((0.75 + 0.75 + 0.05) / 3)
    assert first["cloud_cover"] == pytest.approx(0.25)
    assert not body["is_truncated"] and body["next"] is None
    newest = client.get(SERIES, params={"bin": "3m", "limit": 1}).json()
    assert newest["items"][0]["frames"] == 1 and newest["is_truncated"]


@on_sqlite
def test_every_format_has_the_same_numbers(client: TestClient, db: Database) -> None:
    fill(db)
    rows = client.get(SERIES, params={"format": "csv"}).text.splitlines()
    assert rows[0].split(",")[:5] == ["time", "instrument", "frame_id", "sky_class", "reason"]
    assert len(rows) == 5 and rows[1].startswith("2024-01-15T00:04:00Z,themis-asi,5,discrete,,0.05,")
    parquet = client.get(SERIES, params={"format": "parquet"}).content
    table = pyarrow.parquet.read_table(io.BytesIO(parquet)).to_pydict()
    assert table["cloud_cover"] == [0.25] * 4
    assert table["disturbance_is_simulated"] == [True, None, True, True]
    votable = client.get(SERIES, headers={"Accept": "application/x-votable+xml"})
    read = Table.read(io.BytesIO(votable.content), format="votable")
    assert list(read["sky_class"]) == ["discrete", "cloud", "arc", "arc"]
    binned = client.get(SERIES, params={"bin": "1h", "format": "csv"}).text.splitlines()
    assert binned[1].startswith("2024-01-15T00:00:00Z,themis-asi,4,arc,0.75,")
    cut = client.get(SERIES, params={"format": "csv", "limit": 2})
    assert len(cut.text.splitlines()) == 3 and "next" in cut.headers["link"]


@on_sqlite
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("sky_class=rain", "sky_class"),
        ("sky_class=none&bin=1h", "sky_class"),
        ("bin=1h&cursor=abc", "cursor"),
        ("cursor=abc", "cursor"),
        ("limit=0", "limit"),
        ("when=now", "when"),
    ],
)
def test_what_cannot_be_answered_names_the_parameter(client: TestClient, query: str, name: str) -> None:
    answer = client.get(f"{SERIES}?{query}")
    assert answer.status_code == 422
    assert name in [error["parameter"] for error in answer.json()["errors"]]


def test_a_frame_tells_its_sky_and_where_its_pictures_are(client: TestClient, db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), disturbance(), pictures=("preview", "cloud-map"))
    body = client.get(f"/api/v1/frames/{frame_id}").json()
    told = body["sky"]
    assert (told["sky_class"], told["cloud_cover"], told["moon_illuminated"]) == ("arc", 0.25, 0.5)
    assert told["disturbance"]["is_simulated"] is True
    assert told["model"] == "aurora 1.0.0"
    assert {"preview", "cloud_map", "footprint"} <= body["links"].keys()
    (listed,) = client.get("/api/v1/frames", params={"sky_class": "arc"}).json()["items"]
    assert listed["sky"] == told
    head, row = client.get("/api/v1/frames?format=csv").text.splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["sky_class"] == "arc"


def test_a_list_as_of_a_time_tells_the_sky_that_was_known_then(client: TestClient, db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), disturbance())
    with db.write() as connection:
        newer = run_of(sky(SkyClass.CLOUD), None, hours=2, version=2)
        assert results.finish_again(db, connection, frame_id, newer)

    def known(**asked: str) -> dict | None:
        return client.get("/api/v1/frames", params=asked).json()["items"][0]["sky"]

    assert known()["sky_class"] == "cloud"
    then = known(as_of="2024-01-16T01:00Z")
    assert (then["sky_class"], then["disturbance"]["x_nt"]) == ("arc", -321.5)
    assert then.keys() == known().keys()
    assert known(as_of="2024-01-15T01:00Z") is None


@on_sqlite
def test_the_page_tells_a_sky_in_words_and_a_good_picture_of_it_is_not_called_clear(
    client: TestClient, db: Database
) -> None:
    stored(db, 1, sky(SkyClass.CLOUD), disturbance())
    frame_id = stored(db, 2, sky(SkyClass.ARC), disturbance(), pictures=("preview", "cloud-map"))
    unjudged = stored(db, 3, sky(None))
    page = client.get(f"/?frame={frame_id}").text
    assert 'Sky: <span class="class">arc</span>' in page and "aurora 85 %" in page
    assert "31.2° below the horizon" in page and "12.5° above the horizon" in page
    assert "X \u2212322, Y +12, Z \u221288 nT" in page
    assert "simulated station" in page and "told from the sky, not measured" in page
    assert "/night?camera=themis-asi&amp;day=2024-01-14" in page  # evening in Manitoba
    assert 'id="show-clouds"' in page and "Map of the cloud" in page
    assert " good " in page and "Sky over time" in page and "Footprint" in page
    assert 'data-good="good"' in page
    series = client.get("/instrument/themis-asi").text
    assert "100 % good" in series and "100 % clear" not in series
    assert re.search(r"<title>2024-01-15 \S+ good 0\.\d\d</title>", series)
    assert "not judged" in client.get("/now/tile?instrument=themis-asi").text
    shown = client.get(f"/now/frame/{unjudged}").text
    assert "Daylight." in shown and "too light for aurora" in shown and "probabilities" not in shown.lower()


@on_sqlite
def test_a_tile_tells_aurora_and_cloud_without_escapes(client: TestClient, db: Database) -> None:
    stored(db, 1, sky(SkyClass.ARC))
    tile = client.get("/now/tile?instrument=themis-asi").text
    assert re.search(r'class="soft">aurora 85\u00a0%, cloud \d+\u00a0%</span>', tile)


@on_sqlite
def test_a_frame_of_the_sun_has_no_sky(client: TestClient, telescope) -> None:
    body = client.get(f"/api/v1/frames/{telescope.observe(0.9)}").json()
    assert body["sky"] is None and "footprint" not in body["links"]


@on_sqlite
def test_a_footprint_is_a_geojson_polygon_around_the_site(client: TestClient, db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC))
    answer = client.get(f"/api/v1/frames/{frame_id}/footprint")
    assert answer.headers["content-type"] == "application/geo+json"
    feature = answer.json()
    assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Polygon")
    (ring,) = feature["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert min(x for x, _ in ring) < SITE.longitude_deg < max(x for x, _ in ring)
    assert feature["properties"]["altitude_km"] == 110.0
    assert feature["properties"]["is_oriented"] is LENS.is_oriented
    higher = client.get(f"/api/v1/frames/{frame_id}/footprint", params={"altitude_km": 250}).json()
    assert max(y for _, y in higher["geometry"]["coordinates"][0]) > max(y for _, y in ring)


@on_sqlite
@pytest.mark.parametrize(("site", "altitude_km"), [(Site(-89.99, -44.7), 110), (Site(78.2, 16.0), 1000)])
def test_a_footprint_around_a_pole_is_told_too(
    client: TestClient, db: Database, site: Site, altitude_km: float
) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), site=site)
    answer = client.get(f"/api/v1/frames/{frame_id}/footprint", params={"altitude_km": altitude_km})
    assert answer.status_code == 200
    geometry = answer.json()["geometry"]
    pieces = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    assert max(abs(latitude) for piece in pieces for ring in piece for _, latitude in ring) == 90.0


@on_sqlite
def test_a_frame_whose_site_nobody_told_has_no_footprint(client: TestClient, db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), site=None)
    answer = client.get(f"/api/v1/frames/{frame_id}/footprint")
    assert answer.status_code == 404 and "set `site`" in answer.json()["detail"]
    assert client.get("/api/v1/frames/4711/footprint").status_code == 404
    assert client.get(f"/api/v1/frames/{frame_id}/footprint?altitude_km=5").status_code == 422


@on_sqlite
def test_sky_and_disturbance_are_data_sets_of_hapi(client: TestClient, db: Database) -> None:
    fill(db)
    span = {"start": "2024-01-15", "stop": "2024-01-16"}
    info = client.get("/hapi/info", params={"dataset": "themis-asi/sky"}).json()
    names = [parameter["name"] for parameter in info["parameters"]]
    assert names[1:4] == ["sky_class", "aurora_probability", "cloud_cover"]
    assert names[-1] == "probability_clear"
    data = client.get("/hapi/data", params={"dataset": "themis-asi/sky", **span}).text.splitlines()
    assert [line.split(",")[1] for line in data] == ["arc", "arc", "cloud", "discrete"]
    felt = client.get("/hapi/data", params={"dataset": "themis-asi/disturbance", **span}).text.splitlines()
    assert [line.split(",")[1:] for line in felt] == [["-321.5", "12.25", "-88.0", "1"]] * 3
    assert data[0].startswith(MIDNIGHT.strftime("%Y-%m-%dT%H:%M:%S"))
