"""HAPI: read by the unmodified hapiclient from a service that really runs, and asked for nonsense."""

from __future__ import annotations

import contextlib
import itertools
import json
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hapiclient import hapi, hapitime2datetime
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from observatory.analysis import Cause, EventType
from observatory.frame import DateSource
from observatory.settings import Settings
from observatory.storage import schema, series
from observatory.storage.files import ProductFiles
from observatory.storage.results import NewResult
from observatory.storage.series import Column, Kind, OfResult, Series
from observatory.storage.session import Database
from service.hapi.times import parse_time, write_span, write_time
from service.main import create_app
from tests.embedded import lay_out
from tests.service import corona
from tests.service.telescope import DAY, MODEL, Telescope, in_thread, on_sqlite

KSO = "kso-halpha/quality"
YEAR = {"start": "2026", "stop": "2027"}


@dataclass(frozen=True)
class Station:
    """A service over thirty H-alpha frames, some degraded, and three of the corona."""

    db: Database
    client: TestClient
    server: str


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def station(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """One for all tests that only read."""
    folder = tmp_path_factory.mktemp("station")
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").migrated_database()
    else:
        url = lay_out(f"sqlite:///{folder / 'heliowatch.db'}")
    db = Database(url)
    settings = Settings(data_dir=folder / "data")
    _observe(Telescope(db, ProductFiles(settings.product_dir)))
    app = create_app(settings, db)
    with in_thread(app) as address:
        yield Station(db, TestClient(app, raise_server_exceptions=False), f"{address}/hapi")
    db.dispose()


def _observe(telescope: Telescope) -> None:
    for number in range(30):
        causes = [(Cause.CLOUD, 0.7), (Cause.SEEING, 0.25)] if number % 3 == 0 else []
        telescope.observe(0.1 + number / 45, *causes)
    for hour in range(3):
        at = corona.NOON + timedelta(hours=hour)
        spots = tuple(corona.central(20.0 * k) for k in range(hour))
        seen = [corona.found(kind, spots, at) for kind in (corona.CH, corona.AR)]
        telescope.corona(*seen, date_obs=at)


def _read(
    server: str, tmp_path: Path, name: str, form: str, parameters: str = ""
) -> tuple[np.ndarray, dict[str, Any]]:
    known = hapi(server, name, cache=False, cachedir=str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data, meta = hapi(
            server,
            name,
            parameters,
            known["startDate"],
            known["stopDate"],
            format=form,
            cachedir=str(tmp_path),
        )
    return data, meta


def _stored(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What the database holds, asked without the code that serves it."""
    f, s, r = schema.frames.c, schema.segmentations.c, schema.results.c
    with db.read() as connection:
        judged = connection.execute(
            select(f.date_obs, f.quality_score, r.payload, f.is_degraded, f.latency_s)
            .join(schema.results, r.frame_id == f.id)
            .where(f.instrument == "kso-halpha")
            .order_by(f.date_obs)
        ).all()
        areas = {
            kind: connection.execute(
                select(s.moment, s.disk_fraction, s.area_msh, s.regions)
                .where(s.event_type == kind)
                .order_by(s.moment)
            ).all()
            for kind in EventType
        }
    return {
        KSO: [(row[0], row[1], row[2]["p_value"], row[3], row[4]) for row in judged],
        **{f"aia-193/areas-{kind}": [tuple(row) for row in rows] for kind, rows in areas.items()},
    }


@pytest.mark.parametrize("form", ["csv", "binary"])
def test_hapiclient_reads_every_data_set_and_gets_what_is_stored(
    station: Station, tmp_path: Path, form: str
) -> None:
    server = station.server
    names = [entry["id"] for entry in hapi(server, cachedir=str(tmp_path))["catalog"]]
    assert names == [
        "aia-193/quality",
        "aia-193/causes",
        "aia-193/latency",
        "aia-193/areas-CH",
        "aia-193/areas-AR",
        "kso-halpha/quality",
        "kso-halpha/causes",
        "kso-halpha/latency",
    ]
    stored = _stored(station.db)
    for name in names:
        data, meta = _read(server, tmp_path, name, form)
        assert len(data) == (30 if name.startswith("kso") else 3), name
        times = hapitime2datetime(data["Time"])
        assert all(later > sooner for sooner, later in itertools.pairwise(times)), name
        assert [parameter["name"] for parameter in meta["parameters"]] == list(data.dtype.names)
        for row, expected in zip(data, stored.get(name, []), strict=False):
            assert hapitime2datetime(row["Time"])[0] == expected[0]
            for value, wanted in zip(list(row)[1:], expected[1:], strict=False):
                assert value == wanted, name


def test_hapiclient_reads_causes_and_their_probabilities(station: Station, tmp_path: Path) -> None:
    for form in ("csv", "binary"):
        data, _ = _read(station.server, tmp_path, "kso-halpha/causes", form)
        assert list(data["cause"][:4]) == ["cloud", "none", "none", "cloud"]
        assert data["probability"][0] == data["cloud"][0] == 0.7 and data["seeing"][0] == 0.25
        assert np.isnan(data["cloud"][1]) and np.isnan(data["frozen"]).all()


def test_hapiclient_reads_some_parameters_in_their_order(station: Station, tmp_path: Path) -> None:
    for form in ("csv", "binary"):
        data, _ = _read(station.server, tmp_path, KSO, form, "score,latency_s")
        assert data.dtype.names == ("Time", "score", "latency_s") and len(data) == 30
        times, _ = _read(station.server, tmp_path, KSO, form, "Time")
        assert len(times.dtype.names or ()) == 1


def test_hapiclient_reads_a_long_range_in_days_of_its_own_choice(station: Station, tmp_path: Path) -> None:
    data, _ = hapi(
        station.server,
        "aia-193/quality",
        "score",
        "2026-06-01T11:00:00Z",
        "2026-06-01T23:59:00Z",
        dt_chunk="infer",
        cachedir=str(tmp_path),
    )
    assert len(data) == 3


def test_the_three_formats_say_the_same(station: Station) -> None:
    for name in (KSO, "kso-halpha/causes", "aia-193/areas-CH"):
        asked = {"dataset": name, **YEAR}
        lines = station.client.get("/hapi/data", params=asked).text.splitlines()
        body = station.client.get("/hapi/data", params={**asked, "format": "json"}).json()
        kinds = [parameter["type"] for parameter in body["parameters"]]
        lengths = [parameter.get("length") for parameter in body["parameters"]]
        code = {"double": "d", "integer": "i"}
        pattern = "<" + "".join(
            code.get(kind, f"{length}s") for kind, length in zip(kinds, lengths, strict=True)
        )
        packed = station.client.get("/hapi/data", params={**asked, "format": "binary"}).content
        assert lines, name
        for line, record, raw in zip(lines, body["data"], struct.iter_unpack(pattern, packed), strict=True):
            for word, value, bits in zip(line.split(","), record, raw, strict=True):
                if isinstance(value, str):
                    assert word == value == bits.rstrip(b"\0").decode()
                elif value is None:
                    assert word == "NaN" and bits != bits
                else:
                    assert float(word) == value == bits


def test_a_header_is_the_info_behind_hashes(station: Station) -> None:
    asked = {"dataset": KSO, **YEAR, "parameters": "score", "include": "header"}
    text = station.client.get("/hapi/data", params=asked).text
    head = "\n".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    told = json.loads(head)
    assert told.pop("format") == "csv"
    assert told == station.client.get("/hapi/info", params={"dataset": KSO, "parameters": "score"}).json()
    packed = station.client.get("/hapi/data", params={**asked, "format": "binary"}).content
    assert packed.index(b"\n}\n") if b"\n}\n" in packed else packed.index(b"\n#}\n")
    assert len(packed.rpartition(b"#}\n")[2]) == 30 * (27 + 8)


def test_ranges_are_half_open_and_days_of_the_year_are_days(station: Station) -> None:
    def times(**asked: str) -> list[str]:
        text = station.client.get("/hapi/data", params={"dataset": KSO, **asked}).text
        return [line.partition(",")[0] for line in text.splitlines()]

    assert times(start="2026-06-01T08:00:06Z", stop="2026-06-01T08:00:18Z") == [
        "2026-06-01T08:00:06.000000Z",
        "2026-06-01T08:00:12.000000Z",
    ]
    assert len(times(start="2026-152Z", stop="2026-153")) == 30
    assert times(**{"time.min": "2026-152T08:00:06.0000001", "time.max": "2026-152T08:00:12Z"}) == []
    assert times(start="0001", stop="9999-12-31T24:00:00Z")[0] == "2026-06-01T08:00:00.000000Z"
    assert station.client.get("/hapi/data", params={"id": KSO, **YEAR}).status_code == 200


def test_a_range_without_data_is_an_empty_answer_with_a_status(station: Station) -> None:
    asked = {"dataset": KSO, "start": "1999", "stop": "2000"}
    for form in ("csv", "binary"):
        answer = station.client.get("/hapi/data", params={**asked, "format": form})
        assert answer.status_code == 200 and answer.content == b""
    body = station.client.get("/hapi/data", params={**asked, "format": "json"}).json()
    assert body["status"]["code"] == 1201 and body["data"] == []


def test_of_frames_of_one_instant_the_last_received_speaks(client: TestClient, telescope: Telescope) -> None:
    for score in (0.2, 0.9, 0.4):
        telescope.observe(score, date_obs=DAY)
    telescope.observe(0.5, date_obs=DAY + timedelta(seconds=1))
    telescope.observe(0.6, date_obs=None, date_obs_source=DateSource.NONE)
    lines = client.get("/hapi/data", params={"dataset": KSO, **YEAR, "parameters": "score"}).text.splitlines()
    assert lines == ["2026-06-01T00:00:00.000000Z,0.4", "2026-06-01T00:00:01.000000Z,0.5"]


def test_chunks_of_any_size_give_the_same_records(db: Database, telescope: Telescope) -> None:
    for number in range(7):
        for score in (0.1, 0.3 + number / 20)[: 1 + number % 2]:
            telescope.observe(score, date_obs=DAY + timedelta(seconds=number))
    quality = series.SERIES[0]

    def read(size: int) -> list[tuple[Any, ...]]:
        start, stop = DAY, DAY + timedelta(days=1)
        chunks = series.records(db, quality, "kso-halpha", quality.columns, start, stop, chunk=size)
        return [row for rows in chunks for row in rows]

    whole = read(1000)
    assert len(whole) == len({row[0] for row in whole}) == 7
    assert all(read(chunk) == whole for chunk in range(1, 12))


@on_sqlite
def test_a_reader_who_goes_away_ends_the_questions(db: Database, telescope: Telescope) -> None:
    for _ in range(6):
        telescope.observe()
    asked: list[str] = []
    quality = series.SERIES[0]
    reading = series.records(db, quality, "kso-halpha", quality.columns[:1], DAY, None, chunk=1)
    next(reading)
    event.listen(db.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    reading.close()
    assert asked == []


def test_a_series_added_is_one_entry_more(
    settings: Settings, db: Database, telescope: Telescope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_sky = select(schema.results.c.id).where(
        schema.results.c.frame_id == schema.frames.c.id, schema.results.c.analysis == "sky"
    )
    has_sky = of_sky.correlate(schema.frames).exists()
    sky = Series(
        "night",
        "night sky",
        "What the sky shows.",
        (
            Column("sky_class", Kind.STRING, "the class", OfResult("sky", "sky_class"), length=8),
            Column("cloud_cover", Kind.DOUBLE, "share of the sky", OfResult("sky", "cloud_cover")),
            Column("stars", Kind.INTEGER, "how many", OfResult("sky", "stars")),
        ),
        schema.frames,
        (series.IS_DATED, has_sky),
    )
    monkeypatch.setattr(series, "SERIES", (*series.SERIES, sky))
    seen = [
        {"sky_class": "arc", "cloud_cover": 0.25, "stars": 40},
        {"sky_class": None, "cloud_cover": None, "stars": None},
        {"sky_class": "sky, ä", "cloud_cover": 1.0, "stars": 0},
    ]
    for payload in seen:
        telescope.observe(None, instrument="themis-asi", made=[NewResult("sky", MODEL, payload)])
    telescope.observe(0.9, instrument="themis-asi")
    with in_thread(create_app(settings, db)) as url:
        for form in ("csv", "binary"):
            data, _ = _read(f"{url}/hapi", tmp_path, "themis-asi/night", form)
            assert list(data["sky_class"]) == ["arc", "", "sky, ä"]
            assert data["cloud_cover"][0] == 0.25 and np.isnan(data["cloud_cover"][1])
            assert list(data["stars"]) == [40, -1, 0]


@on_sqlite
def test_an_instrument_of_any_name_has_data_sets_that_clients_can_ask_for(
    client: TestClient, telescope: Telescope
) -> None:
    for name in ("Kamera 2, Süd", "Kamera 2; Süd"):
        telescope.observe(0.9, instrument=name)
    names = [entry["id"] for entry in client.get("/hapi/catalog").json()["catalog"]]
    assert len(names) == len(set(names)) == 6
    for name in names:
        answer = client.get(f"/hapi/data?dataset={name}&start=2026&stop=2027")
        assert answer.status_code == 200 and answer.text


@on_sqlite
def test_info_tells_of_the_data_as_they_stand(client: TestClient, telescope: Telescope) -> None:
    telescope.observe(date_obs=DAY)
    assert "cadence" not in client.get("/hapi/info", params={"dataset": KSO}).json()
    for seconds in (2, 4, 6, 20):
        telescope.observe(date_obs=DAY + timedelta(seconds=seconds))
    told = client.get("/hapi/info", params={"dataset": KSO}).json()
    assert told["startDate"] == "2026-06-01T00:00:00.000000Z"
    assert told["stopDate"] == "2026-06-01T00:00:20.000001Z"
    assert told["cadence"] == "PT2S" and told["timeStampLocation"] == "begin"


def test_the_whole_catalogue_can_be_asked_for_at_once(station: Station) -> None:
    deep = station.client.get("/hapi/catalog", params={"depth": "all"}).json()["catalog"]
    for entry in deep:
        alone = station.client.get("/hapi/info", params={"dataset": entry["id"]}).json()
        assert {**entry["info"], "HAPI": alone["HAPI"], "status": alone["status"]} == alone
    about = station.client.get("/hapi/about").json()
    assert {"id", "title", "contact"} <= set(about) and about["status"] == {"code": 1200, "message": "OK"}
    assert station.client.get("/hapi/capabilities").json()["outputFormats"] == ["csv", "binary", "json"]


BAD = [
    ("data", {"dataset": KSO, "start": "2027", "stop": "2026"}, 400, 1404),
    ("data", {"dataset": KSO, "start": "2026", "stop": "2026"}, 400, 1404),
    ("data", {"dataset": KSO, "start": "9999-12-31T24:00", "stop": "9999-12-31T24:00"}, 400, 1404),
    ("data", {"dataset": KSO, "stop": "2026"}, 400, 1402),
    ("data", {"dataset": KSO, "start": "2026"}, 400, 1403),
    ("data", {"dataset": KSO, "start": "yesterday", "stop": "2026"}, 400, 1402),
    ("data", {"dataset": KSO, "start": "2026-06-01T08:00+02:00", "stop": "2027"}, 400, 1402),
    ("data", {"dataset": KSO, "start": "2026", "stop": "2026-13"}, 400, 1403),
    ("data", {"dataset": KSO, "start": "2026", "stop": "2026-366"}, 400, 1403),
    ("data", {"dataset": KSO, "start": "2026", "stop": "10000"}, 400, 1403),
    ("data", {"dataset": "nothing", **YEAR}, 404, 1406),
    ("data", {"dataset": "", **YEAR}, 404, 1406),
    ("data", YEAR, 400, 1400),
    ("data", {"dataset": KSO, **YEAR, "parameters": "scores"}, 404, 1407),
    ("data", {"dataset": KSO, **YEAR, "parameters": "score,"}, 404, 1407),
    ("data", {"dataset": KSO, **YEAR, "parameters": "p_value,score"}, 400, 1411),
    ("data", {"dataset": KSO, **YEAR, "parameters": "score,score"}, 400, 1411),
    ("data", {"dataset": KSO, **YEAR, "parameters": "score,Time"}, 400, 1411),
    ("data", {"dataset": KSO, **YEAR, "format": "xml"}, 400, 1409),
    ("data", {"dataset": KSO, **YEAR, "format": ""}, 400, 1409),
    ("data", {"dataset": KSO, **YEAR, "include": "body"}, 400, 1410),
    ("data", {"dataset": KSO, **YEAR, "average": "5s"}, 400, 1401),
    ("data", {"dataset": KSO, "id": KSO, **YEAR}, 400, 1400),
    ("info", {}, 400, 1400),
    ("info", {"dataset": "nothing"}, 404, 1406),
    ("info", {"dataset": KSO, "parameters": "no"}, 404, 1407),
    ("info", {"dataset": KSO, "resolve_references": "maybe"}, 400, 1412),
    ("info", {"dataset": KSO, "start": "2026"}, 400, 1401),
    ("catalog", {"depth": "deep"}, 400, 1413),
    ("about", {"why": "1"}, 400, 1401),
    ("nowhere", {}, 400, 1400),
    ("data/x", {}, 400, 1400),
]


def test_what_cannot_be_answered_is_refused_in_hapis_own_words(station: Station) -> None:
    for endpoint, asked, status, code in BAD:
        answer = station.client.get(f"/hapi/{endpoint}", params=asked)
        told = answer.json()
        assert (answer.status_code, told["status"]["code"]) == (status, code), (endpoint, asked, told)
        assert told["HAPI"] == "3.3" and told["status"]["message"].startswith("Bad request - ")
        assert answer.headers["access-control-allow-origin"] == "*"
        for word in ("yesterday", "nothing", "scores", "average", "maybe"):
            assert word not in answer.text


def test_sql_in_any_parameter_is_only_a_wrong_word(station: Station) -> None:
    attack = "kso-halpha' OR 1=1; DROP TABLE frames; --\0"
    good = {"dataset": KSO, **YEAR, "parameters": "score", "include": "header", "format": "csv"}
    for name in good:
        assert station.client.get("/hapi/data", params={**good, name: attack}).status_code in (400, 404)
    for endpoint in ("info", "catalog", "data"):
        assert station.client.get(f"/hapi/{endpoint}", params={attack: "1"}).status_code == 400
    assert station.client.get("/hapi/data", params=good).status_code == 200


def test_answers_may_be_read_by_any_page_and_slashes_too_many_lead_on(station: Station) -> None:
    for address in ("", "/about", "/capabilities", "/catalog", f"/info?dataset={KSO}"):
        answer = station.client.get(f"/hapi{address}")
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "*"
        assert station.client.head(f"/hapi{address}").status_code == 200
    assert KSO in station.client.get("/hapi").text
    for address in ("/hapi/", f"/hapi/info/?dataset={KSO}"):
        moved = station.client.get(address, follow_redirects=False)
        assert moved.status_code == 301 and station.client.get(moved.headers["location"]).status_code == 200
    assert station.client.post("/hapi/data").status_code == 405


def test_a_database_that_is_away_is_told_as_such(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Database("postgresql://nobody@127.0.0.1:1/nothing")
    client = TestClient(create_app(settings, gone), raise_server_exceptions=False)
    answer = client.get("/hapi/catalog")
    assert answer.status_code == 503 and answer.json()["status"]["code"] == 1501
    assert "retry-after" in answer.headers


def test_chunks_are_bounded_whatever_the_range(db: Database, telescope: Telescope) -> None:
    telescope.observe()
    template = schema.frames
    with db.write() as connection:
        row = dict(connection.execute(select(*template.c)).mappings().one())
        row.pop("id")
        copies = [
            {**row, "sha256": f"{number:064d}", "date_obs": at, "moment": at}
            for number in range(5000)
            for at in [DAY + timedelta(days=1, seconds=number)]
        ]
        connection.execute(template.insert(), copies)
        connection.execute(update(template).values(latency_s=1.5))
    sizes = [
        len(rows)
        for rows in series.records(db, series.SERIES[2], "kso-halpha", series.SERIES[2].columns, DAY, None)
    ]
    assert sum(sizes) == 5001 and max(sizes) <= series.CHUNK


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_being_written_and_read(moment: datetime) -> None:
    word = write_time(moment)
    assert len(word) == 27 and parse_time(word) == moment
    by_day = f"{moment.year:04d}-{moment.timetuple().tm_yday:03d}{word[10:]}"
    assert parse_time(by_day) == moment


@given(st.text(max_size=30))
def test_any_other_word_is_refused_and_breaks_nothing(word: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_time(word).tzinfo is UTC


def test_spans_are_iso_8601() -> None:
    assert [write_span(value) for value in (6, 0.04, 3600, 10)] == ["PT6S", "PT0.04S", "PT3600S", "PT10S"]


def test_every_kind_of_event_has_its_areas() -> None:
    names = {one.name for one in series.SERIES}
    assert {f"areas-{kind.value}" for kind in EventType} <= names


@hypothesis.settings(max_examples=60)
@given(
    st.sampled_from(["info", "data", "catalog", "about"]),
    st.dictionaries(
        st.sampled_from(["dataset", "parameters", "start", "stop", "format", "include", "depth", "id", "x"]),
        st.one_of(st.sampled_from([KSO, "2026", "9999", "score", "json", "all"]), st.text(max_size=12)),
    ),
)
def test_whatever_is_asked_is_answered_or_refused(
    station: Station, endpoint: str, asked: dict[str, str]
) -> None:
    answer = station.client.get(f"/hapi/{endpoint}", params=asked)
    assert answer.status_code in (200, 400, 404), asked
    if answer.status_code != 200:
        assert answer.json()["status"]["code"] // 100 == 14
