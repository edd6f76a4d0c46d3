"""The Virtual Observatory: read by the unmodified pyvo from a service that really runs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import astropy.io.votable
import hypothesis
import numpy as np
import pytest
import pyvo
from astropy.coordinates import SkyCoord, get_sun
from astropy.io.votable import parse, parse_single_table
from astropy.time import Time
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pyvo.dal import DALOverflowWarning, DALQueryError, SIA2Service
from pyvo.io import vosi
from sqlalchemy import select, text

from observatory.frame import DateSource
from observatory.settings import Settings
from observatory.storage import schema
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database
from service.main import create_app
from service.vo import position
from service.vo.obscore import FIELDS
from service.vo.position import box, circle, polygon, sun_place, to_mjd, windows
from service.vo.sia import PARAMETERS
from tests.embedded import lay_out
from tests.servers import PostgresServer
from tests.service import corona
from tests.service.telescope import DAY, Telescope, in_thread, on_sqlite

EIGHT = DAY + timedelta(hours=8)
HALPHA_M = (655e-9, 657e-9)


@dataclass(frozen=True)
class Station:
    """Six H-alpha frames with pictures, one of the corona, one of the sky, one that could not be used."""

    db: Database
    client: TestClient
    url: str
    service: SIA2Service


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def station(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """One for all tests that only read."""
    folder = tmp_path_factory.mktemp("vo")
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").migrated_database()
    else:
        url = lay_out(f"sqlite:///{folder / 'heliowatch.db'}")
    db = Database(url)
    settings = Settings(data_dir=folder / "data")
    telescope = Telescope(db, ProductFiles(settings.product_dir))
    for number in range(6):
        telescope.observe(number / 10, with_picture=True, with_map=number == 5, exposure_time_s=0.5)
    telescope.corona(
        corona.found(corona.CH, (corona.central(),)),
        date_obs=corona.NOON,
        wavelength_nm=19.3,
        file_name="aia_193.fits",
        with_picture=True,
    )
    telescope.observe(
        0.7,
        instrument="themis-asi",
        family="allsky",
        wavelength_nm=None,
        date_obs=DAY,
        file_name="sky <1>.pgm",
    )
    telescope.observe(0.7, date_obs=None, date_obs_source=DateSource.NONE)
    telescope.refuse()
    app = create_app(settings, db)
    with in_thread(app) as address:
        client = TestClient(app, raise_server_exceptions=False)
        yield Station(db, client, f"{address}/vo", SIA2Service(f"{address}/vo/sia2"))
    db.dispose()


def _asked(station: Station, **asked: Any) -> list[tuple[str, str]]:
    """Instrument and kind of each row of an answer."""
    found = station.service.search(**asked)
    return [(row["instrument_name"], row["dataproduct_subtype"]) for row in found]


def test_pyvo_finds_images_by_time_and_band_and_what_they_tell_is_what_is_stored(station: Station) -> None:
    assert station.service.query_ep == f"{station.url}/sia2"
    first, last = Time(EIGHT), Time(EIGHT + timedelta(seconds=13))
    found = station.service.search(time=(first, last), band=HALPHA_M)
    f = schema.frames.c
    with station.db.read() as connection:
        stored = connection.execute(
            select(f.id, f.date_obs, f.quality_score, f.observatory, f.bytes)
            .where(f.instrument == "kso-halpha", f.date_obs <= EIGHT + timedelta(seconds=12))
            .order_by(f.date_obs.desc())
        ).all()
    rows = [row for row in found if row["dataproduct_subtype"] == "original"]
    assert len(rows) == len(stored) == 3 and len(found) == 6
    for row, frame in zip(rows, stored, strict=True):
        assert row["obs_id"] == f"frames/{frame.id}"
        assert abs((Time(row["t_min"], format="mjd") - Time(frame.date_obs)).sec) < 1e-4
        assert abs((row["t_max"] - row["t_min"]) * 86400 - 0.5) < 1e-4 and row["t_exptime"] == 0.5
        assert row["quality_score"] == frame.quality_score and row["facility_name"] == frame.observatory
        assert row["em_min"] == row["em_max"] == 656.28e-9
        assert row["access_format"] == "application/gzip" and row["access_estsize"] == frame.bytes / 1000
        assert row["target_name"] == "Sun" and row["calib_level"] == 1


def test_pyvo_gets_the_very_bytes_of_a_picture(station: Station) -> None:
    (row,) = station.service.search(
        time=Time(EIGHT), collection="products", instrument="kso-halpha", data_type="image"
    )
    data = row.getdataset().read()
    assert data[:2] == b"\xff\xd8" and row["access_format"] == row.getdataformat() == "image/jpeg"
    assert row.getdataurl() == row["access_url"]
    assert (row["s_xel1"], row["s_xel2"]) == (64, 64)
    original = station.service.search(time=Time(EIGHT), collection="originals")[0]
    assert "/api/v1/frames/1/data" in original["access_url"]


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 16),
        ({"instrument": "aia-193"}, 2),
        ({"instrument": ["aia-193", "themis-asi"]}, 3),
        ({"facility": "SDO"}, 2),
        ({"res_format": "image/jpeg"}, 7),
        ({"res_format": "image/png"}, 1),
        ({"res_format": "image/fits"}, 1),
        ({"calib_level": 4}, 1),
        ({"target_name": "Sun"}, 15),
        ({"target_name": "Earth"}, 1),
        ({"exptime": (0.1, 1.0)}, 13),
        ({"exptime": (1.0, float("inf"))}, 0),
        ({"band": 19.3e-9}, 2),
        ({"band": (float("-inf"), 1e-7)}, 2),
        ({"band": [(1e-9, 2e-8), HALPHA_M]}, 15),
        ({"time": (Time(EIGHT + timedelta(seconds=6.3)), Time(EIGHT + timedelta(seconds=11)))}, 2),
        ({"time": (Time(EIGHT + timedelta(seconds=6.6)), Time(EIGHT + timedelta(seconds=11)))}, 0),
        ({"data_type": "cube"}, 0),
        ({"pol": "I"}, 0),
        ({"spatial_resolution": (0.1, 1.0)}, 0),
        ({"publisher_did": "IVO://Heliowatch/heliowatch?products/1"}, 1),
        ({"publisher_did": "ivo://heliowatch/heliowatch?frames/1"}, 1),
        ({"publisher_did": "ivo://heliowatch/heliowatch?products/999"}, 0),
        ({"publisher_did": "ivo://elsewhere/data?1"}, 0),
        ({"instrument": "'; DROP TABLE frames; --"}, 0),
    ],
)
def test_each_parameter_keeps_what_it_should(station: Station, asked: dict[str, Any], count: int) -> None:
    assert len(_asked(station, **asked)) == count


def test_a_position_is_the_part_of_the_year_in_which_the_sun_stood_there(station: Station) -> None:
    sun = get_sun(Time(corona.NOON))
    here = (sun.ra.deg, sun.dec.deg, 0.1)
    assert {name for name, _ in _asked(station, pos=here)} == {"kso-halpha", "aia-193"}
    assert _asked(station, pos=(here[0], here[1] - 3, 0.5)) == []
    assert len(_asked(station, pos=[(200.0, -40.0, 1.0), here])) == 15
    assert len(_asked(station, pos=(sun.ra.deg - 1, sun.ra.deg + 1, -90.0, 90.0))) == 15
    around = (60.0, 15.0, 75.0, 15.0, 75.0, 30.0, 60.0, 30.0)
    assert len(_asked(station, pos=around)) == 15
    assert len(_asked(station, pos=around, time=Time(corona.NOON))) == 2


def test_an_answer_is_bounded_and_says_when_there_is_more(station: Station) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DALOverflowWarning)
        assert _asked(station, maxrec=2) == [("aia-193", "original"), ("aia-193", "preview")]
        empty = station.service.search(maxrec=0)
    assert len(empty) == 0 and empty.status[0] == "OVERFLOW" and len(empty.fieldnames) == len(FIELDS)
    everything = station.service.search(maxrec=10**9)
    assert everything.status[0] == "OK" and len(everything) == 16


def test_answers_and_errors_are_valid_votables(station: Station) -> None:
    folder = Path(astropy.io.votable.__file__).parent / "data"
    valid = etree.XMLSchema(etree.parse(folder / "VOTable.v1.4.xsd"))
    for query in ("", "?MAXREC=1", "?MAXREC=0", "?TIME=nonsense", "?INSTRUMENT=%01%EF%BF%BE"):
        document = station.client.get(f"/vo/sia2{query}").content
        valid.assertValid(etree.fromstring(document))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parse(io.BytesIO(document), verify="exception")
    table = parse_single_table(io.BytesIO(station.client.get("/vo/sia2").content)).to_table()
    assert [column for column in table.colnames] == [field.name for field in FIELDS]
    assert "sky <1>.pgm" in "".join(table["obs_title"])
    for field in FIELDS:
        assert (table[field.name].unit or "") == field.unit


BAD = [
    "TIME=yesterday",
    "TIME=2+1",
    "TIME=NaN",
    "TIME=1+2+3",
    "TIME=",
    "TIME=Inf",
    "BAND=-2",
    "BAND=5+4",
    "POS=CIRCLE+1+2",
    "POS=CIRCLE+400+0+1",
    "POS=CIRCLE+1+2+-1",
    "POS=RANGE+1+2+3",
    "POS=POLYGON+1+2+3+4",
    "POS=POLYGON" + "+1+2" * 33,
    "POS=ELLIPSE+1+2+3",
    "POS=",
    "POS=CIRCLE+NaN+0+1",
    "EXPTIME=x",
    "FOV=x",
    "MAXREC=-1",
    "MAXREC=1.5",
    "MAXREC=²",
    "MAXREC=1&MAXREC=2",
    "RESPONSEFORMAT=fits",
    "UPLOAD=t,http://127.0.0.1/x",
    "WHERE=1",
    "INSTRUMENT=%00",
    "&".join(["ID=x"] * 101),
    "&".join(["POS=CIRCLE+1+1+1"] * 17),
]


def test_what_makes_no_sense_is_a_fault_that_says_what_does(station: Station) -> None:
    for query in BAD:
        answer = station.client.get(f"/vo/sia2?{query}")
        assert answer.status_code == 400, query
        assert answer.headers["content-type"] == "application/x-votable+xml"
        (status,) = parse(io.BytesIO(answer.content)).resources[0].infos
        assert status.name == "QUERY_STATUS" and status.value == "ERROR"
        assert status.content.startswith("UsageFault: "), query
    with pytest.raises(DALQueryError, match="UsageFault: BAND must be"):
        station.service.search(band=-2.0)


def test_odd_but_sound_values_are_answered(station: Station) -> None:
    for query in (
        "time=1e300",
        "TIME=-1e300+1e300",
        "TIME=-Inf+%2BInf",
        "TIME=-678575+2973483",
        "BAND=0",
        "POS=RANGE+-Inf+%2BInf+-Inf+%2BInf",
        "POS=RANGE+0+360+89+%2BInf",
        "POS=POLYGON+1+1+1+1+1+1",
        "MAXREC=99999999999999999999"[:26],
        "REQUEST=doQuery&RUNID=7",
        "ID=ivo://heliowatch/heliowatch?frames/" + "9" * 5000,
        "ID=ivo://heliowatch/heliowatch?frames/9223372036854775807",
        "CALIB=x",
        "responseformat=votable",
    ):
        assert station.client.get(f"/vo/sia2?{query}").status_code == 200, query


def test_pyvo_reads_what_the_service_says_of_itself(station: Station) -> None:
    told = vosi.parse_capabilities(urlopen(f"{station.url}/capabilities").read, pedantic=True)
    by_standard = {one.standardid: one.interfaces[0].accessurls[0].content for one in told}
    assert by_standard["ivo://ivoa.net/std/SIA#query-2.0"] == f"{station.url}/sia2"
    for standard, address in by_standard.items():
        assert urlopen(f"{address}?MAXREC=0" if "SIA" in standard else address).status == 200
    available = vosi.parse_availability(urlopen(f"{station.url}/availability").read, pedantic=True)
    assert available.available is True
    (table,) = vosi.parse_tables(urlopen(f"{station.url}/tables").read, pedantic=True).iter_tables()
    assert [column.name for column in table.columns] == [field.name for field in FIELDS]
    assert pyvo.dal.SIA2Service(station.url).query_ep == f"{station.url}/sia2"


def test_addresses_are_those_by_which_the_world_knows_the_service(station: Station, tmp_path: Path) -> None:
    url = "https://sun.example.org/watch"
    settings = Settings(
        data_dir=tmp_path,
        publisher={"url": url, "authority": "example.org"},
        service={"serve_originals": False},
    )
    client = TestClient(create_app(settings, station.db))
    table = parse_single_table(io.BytesIO(client.get("/vo/sia2").content)).to_table()
    assert set(table["obs_collection"]) == {"products"}
    assert all(address.startswith(f"{url}/api/v1/products/") for address in table["access_url"])
    assert all(did.startswith("ivo://example.org/heliowatch?products/") for did in table["obs_publisher_did"])
    assert f"{url}/vo/sia2" in client.get("/vo/capabilities").text


def test_a_database_that_is_away_is_told_as_such(settings: Settings) -> None:
    gone = Database("postgresql://nobody@127.0.0.1:1/nothing")
    client = TestClient(create_app(settings, gone), raise_server_exceptions=False)
    assert "<vosi:available>false<" in client.get("/vo/availability").text
    answer = client.get("/vo/sia2")
    assert answer.status_code == 503 and "TransientFault" in answer.text and "retry-after" in answer.headers


def test_a_question_that_takes_too_long_is_given_up(postgres: PostgresServer, settings: Settings) -> None:
    url = postgres.migrated_database()
    writer, hasty = Database(url), Database(url, statement_timeout_s=0.2)
    client = TestClient(create_app(settings, hasty), raise_server_exceptions=False)
    with writer.write() as connection:  # nobody reads the frames before this ends
        connection.execute(text("LOCK TABLE frames IN ACCESS EXCLUSIVE MODE"))
        answer = client.get("/vo/sia2")
        assert answer.status_code == 400 and "UsageFault: the database needs too long" in answer.text
        answer = client.get("/hapi/catalog")
        assert answer.status_code == 400 and answer.json()["status"]["code"] == 1408
    writer.dispose()
    hasty.dispose()


@on_sqlite
def test_only_the_newest_product_of_a_kind_is_shown(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    telescope.observe(with_picture=True)
    with db.write() as connection:
        row = dict(connection.execute(select(*schema.products.c)).mappings().one())
        connection.execute(schema.products.insert(), [{**row, "id": 77, "sha256": "0" * 64}])
    table = parse_single_table(io.BytesIO(client.get("/vo/sia2").content)).to_table()
    assert list(table["access_url"])[1:] == ["http://testserver/api/v1/products/77/data"]
    with db.read() as connection:
        shown = connection.execute(text("SELECT granule_uid FROM epn_core ORDER BY 1")).scalars().all()
    assert shown == ["frame-1", "product-77"]


_EPN_RANGES = (
    *("time_", "time_sampling_step_", "time_exp_", "spectral_range_", "spectral_sampling_step_"),
    *("spectral_resolution_", "c1", "c2", "c3", "c1_resol_", "c2_resol_", "c3_resol_"),
    *("incidence_", "emergence_", "phase_"),
)
EPN_COLUMNS = {f"{name}{end}" for name in _EPN_RANGES for end in ("min", "max")} | {
    *("granule_uid", "granule_gid", "obs_id", "dataproduct_type", "target_name", "target_class"),
    *("s_region", "spatial_frame_type", "instrument_host_name", "instrument_name", "measurement_type"),
    *("processing_level", "creation_date", "modification_date", "release_date", "service_title"),
    *("access_url", "access_format", "access_estsize", "thumbnail_url", "file_name"),
}


def test_the_epn_core_view_has_the_columns_of_epn_tap_and_the_files_of_frames(station: Station) -> None:
    with station.db.write() as connection:
        if not station.db.is_sqlite:
            connection.execute(text("SET LOCAL heliowatch.public_url = 'https://sun.example.org'"))
        rows = connection.execute(text("SELECT * FROM epn_core ORDER BY time_min DESC")).mappings().all()
    assert set(rows[0]) >= EPN_COLUMNS
    assert len(rows) == 16 and len({row["granule_uid"] for row in rows}) == 16
    base = "" if station.db.is_sqlite else "https://sun.example.org"
    aia, picture = sorted(
        (row for row in rows if row["instrument_name"] == "aia-193"), key=lambda row: row["granule_uid"]
    )
    assert aia["time_min"] == pytest.approx(Time(corona.NOON).jd, abs=1e-8)
    assert aia["spectral_range_min"] == pytest.approx(299792458 / 19.3e-9)
    assert (aia["target_name"], aia["target_class"], aia["dataproduct_type"]) == ("Sun", "star", "im")
    assert aia["obs_id"] == picture["obs_id"] and picture["granule_gid"] == "preview"
    assert picture["access_url"].startswith(f"{base}/api/v1/products/")
    assert aia["thumbnail_url"] == picture["access_url"] and picture["access_format"] == "image/jpeg"
    (sky,) = (row for row in rows if row["instrument_name"] == "themis-asi")
    assert (sky["target_name"], sky["access_format"]) == ("Earth", "image/x-portable-graymap")


def test_the_sun_is_where_astropy_says() -> None:
    times = Time(np.linspace(to_mjd(datetime(1990, 1, 1, tzinfo=UTC)), 63000, 300), format="mjd", scale="utc")
    ra, declination = sun_place(times.mjd)
    real = get_sun(times)
    assert SkyCoord(ra, declination, unit="deg").separation(SkyCoord(real.ra, real.dec)).deg.max() < 0.01


def test_regions_of_the_sky_are_seasons() -> None:
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
    equinoxes = windows([circle(0.0, 0.0, 0.5)], start, end)
    assert [begin.month for begin, _ in equinoxes] == [3, 3, 3]
    assert all(timedelta(days=1) < finish - begin < timedelta(days=3) for begin, finish in equinoxes)
    through_zero = windows([box((350.0, 10.0), (-90.0, 90.0))], start, end)
    assert len(through_zero) == 3
    assert windows([box((0.0, 360.0), (-90.0, 90.0))], start, end) == [(start, end)]
    assert windows([circle(0.0, 80.0, 5.0)], start, end) == []
    corners = [(355.0, -5.0), (5.0, -5.0), (5.0, 5.0), (355.0, 5.0)]
    for turned in (corners, corners[::-1]):
        assert len(windows([polygon(turned)], start, end)) == 3
    assert position.windows([], start, end) == []


def test_the_reference_leads_to_the_standards(station: Station) -> None:
    page = station.client.get("/docs").text
    for address in ("/hapi", "/vo/sia2?MAXREC=10", "/vo/capabilities", "/vo/availability", "/vo/tables"):
        assert f'href="{address}"' in page
        assert station.client.get(address).status_code == 200


_words = st.one_of(
    st.text(max_size=12),
    st.floats().map(str),
    st.lists(st.floats(), max_size=5).map(lambda numbers: " ".join(map(str, numbers))),
    st.tuples(
        st.sampled_from(["CIRCLE", "RANGE", "POLYGON"]), st.lists(st.floats(-400, 400), max_size=8)
    ).map(lambda shape: " ".join([shape[0], *map(str, shape[1])])),
)


@hypothesis.settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(PARAMETERS), _words, max_size=3))
def test_whatever_is_asked_is_answered_or_refused(station: Station, asked: dict[str, str]) -> None:
    answer = station.client.get("/vo/sia2", params=asked)
    assert answer.status_code in (200, 400), asked
    parse(io.BytesIO(answer.content), verify="exception")
