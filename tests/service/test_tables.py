"""Lists as tables: what astropy, pandas and the csv module read from a running server."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pandas
import pytest
from astropy import units
from astropy.io.votable import parse, validate
from astropy.io.votable.ucd import parse_ucd
from astropy.table import Table as AstropyTable
from fastapi.testclient import TestClient

from observatory.analysis import Cause
from observatory.frame import DateSource
from observatory.storage import workers
from observatory.storage.session import Database
from service import alert_columns, columns
from service.metrics import utc_now
from service.tables import Column, Rows, Table, pages, table_response
from service.vo import votable as virtual
from service.votable import votable_pieces
from tests.service.corona import AR, CH, NOON, central, found
from tests.service.telescope import DAY, MODEL, Telescope, on_postgres, on_sqlite

API = "/api/v1"
HOSTILE = 'a <b> & "quoted", \x01name\nwith ☉.fts'


@pytest.fixture
def observed(telescope: Telescope) -> Telescope:
    """A bit of everything: good, bad, refused, undated, with regions, composed."""
    telescope.observe(0.93)
    telescope.observe(0.2, (Cause.CLOUD, 0.9), (Cause.SEEING, 0.3), file_name=HOSTILE)
    telescope.observe(0.5, date_obs=None, date_obs_source=DateSource.NONE)
    telescope.refuse()
    telescope.receive()
    telescope.corona(found(CH, (central(), central(30, 6))), found(AR, ()), date_obs=NOON)
    telescope.compose(DAY + timedelta(hours=9))
    return telescope


LISTS = [
    "frames",
    "quality",
    "quality?bin=5m",
    "regions",
    "regions/series",
    "regions/series?bin=1h",
    "composites",
]


def with_format(path: str, form: str) -> str:
    return f"{API}/{path}{'&' if '?' in path else '?'}format={form}"


@on_postgres
@pytest.mark.usefixtures("observed")
def test_every_list_is_the_same_in_every_format(address: str, client: TestClient) -> None:
    for path in LISTS:
        items = client.get(f"{API}/{path}").json()["items"]
        lines = list(csv.DictReader(io.StringIO(client.get(with_format(path, "csv")).text, newline="")))
        votable = AstropyTable.read(f"{address}{with_format(path, 'votable')}", format="votable")
        frame = pandas.read_parquet(f"{address}{with_format(path, 'parquet')}")
        assert len(items) == len(lines) == len(votable) == len(frame) > 0, path
        assert list(frame.columns) == list(lines[0]), path
        if path == "regions":  # whose VOTable has the names of the HEK, outlines, and seven digits
            for name in ("id", "frame_id", "track_id"):
                assert votable[name].filled(0).tolist() == [item[name] or 0 for item in items]
            continue
        assert votable.colnames == list(frame.columns), path
        for name in set(lines[0]) & {"score", "disk_fraction", "area_msh"}:
            said = [float(line[name]) if line[name] else np.nan for line in lines]
            np.testing.assert_array_equal(frame[name].to_numpy(float, na_value=np.nan), said)
            np.testing.assert_array_equal(np.ma.filled(votable[name].astype(float), np.nan), said)


@on_postgres
@pytest.mark.usefixtures("observed")
def test_types_and_what_is_unknown_survive_the_way(address: str) -> None:
    frame = pandas.read_parquet(f"{address}{with_format('frames?order=asc', 'parquet')}")
    assert str(frame["date_obs"].dtype).startswith("datetime64[us, UTC")
    cloudy = frame[frame["causes"] == "cloud seeing"].iloc[0]
    assert (cloudy["score"], cloudy["is_degraded"], cloudy["file_name"]) == (0.2, True, HOSTILE)
    assert cloudy["model"] == MODEL.label and cloudy["p_value"] == 0.001
    refused = frame[frame["status"] == "rejected"].iloc[0]
    assert pandas.isna(refused["score"]) and pandas.isna(refused["date_obs"])
    table = AstropyTable.read(
        f"{address}{with_format('frames?status=rejected', 'votable')}", format="votable"
    )
    assert np.ma.is_masked(table["score"][0]) and np.ma.is_masked(table["is_degraded"][0])
    assert table["latency_s"].unit == "s"
    assert table["id"].dtype == np.int64


@on_sqlite
@pytest.mark.usefixtures("observed")
def test_every_votable_is_valid_and_says_when_it_was_cut(client: TestClient) -> None:
    for path in LISTS:
        document = client.get(with_format(path, "votable")).content
        assert validate(io.BytesIO(document), output=None), path
        parse(io.BytesIO(document), verify="exception")
        assert b"OVERFLOW" not in document
    cut = client.get(f"{API}/frames?format=votable&limit=1")
    assert b'value="OVERFLOW"' in cut.content and 'rel="next"' in cut.headers["link"]
    assert "\ufffdname" in client.get(f"{API}/frames?format=votable&cause=cloud").text


@on_sqlite
@pytest.mark.usefixtures("observed")
def test_a_list_that_has_not_changed_is_not_sent_again(client: TestClient, telescope: Telescope) -> None:
    for path in [*LISTS, "instruments", "models"]:
        etag = client.get(f"{API}/{path}").headers["etag"]
        again = client.get(f"{API}/{path}", headers={"If-None-Match": etag})
        assert again.status_code == 304 and not again.content and again.headers["etag"] == etag
    etag = client.get(f"{API}/frames").headers["etag"]
    telescope.observe()
    assert client.get(f"{API}/frames", headers={"If-None-Match": etag}).status_code == 200


@on_sqlite
def test_empty_tables_are_tables(client: TestClient) -> None:
    for path in LISTS:
        assert len(client.get(with_format(path, "csv")).text.splitlines()) == 1
        assert len(AstropyTable.read(io.BytesIO(client.get(with_format(path, "votable")).content))) == 0
        assert len(pandas.read_parquet(io.BytesIO(client.get(with_format(path, "parquet")).content))) == 0


@on_sqlite
def test_accept_chooses_tables_too(client: TestClient) -> None:
    for media_type in ("application/x-votable+xml", "application/vnd.apache.parquet", "text/csv"):
        answer = client.get(f"{API}/quality", headers={"Accept": media_type})
        assert answer.headers["content-type"].startswith(media_type)


NUMBERS = (Column("number", "integer"),)


@pytest.mark.parametrize("form", ["csv", "votable", "parquet"])
def test_a_table_is_read_no_further_than_it_is_written(form: str) -> None:
    read = 0

    def endless(after: int | None) -> tuple[Rows, int | None]:
        nonlocal read
        read += 1
        return [(number,) for number in range(1000)], read

    answer: Any = table_response(Table("numbers", NUMBERS, pages(endless, None)), form)
    assert read == 1

    async def some() -> None:
        iterator = answer.body_iterator
        for _ in range(5):
            await anext(iterator)

    import asyncio

    asyncio.run(some())
    assert read <= 51  # five row groups of ten pieces, and one piece ahead


def test_a_table_of_several_row_groups_is_whole() -> None:
    from service.parquet import parquet_pieces

    def pieces() -> Iterator[Rows]:
        for start in range(0, 25_000, 1000):
            yield [(number, None) for number in range(start, start + 1000)]

    table = Table("numbers", (*NUMBERS, Column("nothing", "text")), pieces())
    data = b"".join(parquet_pieces(table))
    frame = pandas.read_parquet(io.BytesIO(data))
    assert frame["number"].tolist() == list(range(25_000))
    assert frame["nothing"].isna().all()


def test_no_columns_of_a_table_share_a_name() -> None:
    for name in columns.__all__:
        names = [column.name for column in getattr(columns, name)]
        assert len(set(names)) == len(names)
    empty = Table("none", NUMBERS, itertools.repeat([], 3))
    assert b"".join(votable_pieces(empty)).count(b"<TR>") == 0


def test_a_votable_keeps_every_kind_of_line_end() -> None:
    words = "one\rtwo\r\nthree\n<&>"
    document = b"".join(votable_pieces(Table("words", (Column("word", "text"),), [[(words,)]])))
    assert AstropyTable.read(io.BytesIO(document), format="votable")["word"][0] == words
    observed = "".join(virtual.table([virtual.Field("word", "char", "")], [{"word": words}]))
    assert AstropyTable.read(io.BytesIO(observed.encode()), format="votable")["word"][0] == words


@on_sqlite
def test_models_are_those_that_run_and_those_that_results_name(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    telescope.observe()
    running = {
        "name": MODEL.name,
        "version": "1.1.0",
        "sha256": "ef" * 32,
        "provider": "CPUExecutionProvider",
    }
    for name in ("w1", "w2"):
        workers.sign_on(db, name, "worker", utc_now(), {"models": [running, running]})
    workers.sign_on(db, "ingester", "ingester", utc_now(), {})
    old, new = client.get(f"{API}/models").json()["items"]
    assert (old["version"], old["is_running"], old["has_results"]) == ("1.0.0", False, True)
    assert (new["version"], new["workers"], new["has_results"]) == ("1.1.0", 2, False)
    assert new["providers"] == ["CPUExecutionProvider"]


@on_sqlite
def test_every_list_refuses_the_impossible_and_says_what_is_allowed(client: TestClient) -> None:
    impossible = {
        "limit": ["0", "-1", "1000000000", "1e3", "ten", "' OR 1=1 --"],
        "format": ["xml", "../../etc/passwd", "JSON "],
        "time": [
            "2026-06-02/2026-06-01",
            "2026-06-01/2026-06-01",
            "today",
            "a/b/c",
            "10000-01-01/..",
            "'/..",
        ],
        "nonsense": ["1"],
    }
    paged = {
        "cursor": ["x", "ZDA6LTE", "ZDE6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "%00", "a" * 201],
        "order": ["up"],
    }
    for path in ("frames", "quality", "regions", "regions/series", "composites"):
        wrong = impossible | (paged if path in ("frames", "regions", "composites") else {})
        for name, words in wrong.items():
            for word in words:
                answer = client.get(f"{API}/{path}", params={name: word})
                assert answer.status_code == 422, f"{path}?{name}={word}"
                assert answer.headers["content-type"] == "application/problem+json"
                (problem,) = answer.json()["errors"]
                assert problem["parameter"] == name and problem["allowed"], f"{path}?{name}={word}"


@on_sqlite
@pytest.mark.usefixtures("observed")
def test_every_list_understands_any_time_that_there_is(client: TestClient) -> None:
    for path in ("frames", "quality", "quality?bin=366d", "regions", "regions/series", "composites"):
        everything = len(client.get(f"{API}/{path}").json()["items"])
        join = "&" if "?" in path else "?"
        for time, is_all in (
            ("../..", True),
            ("0001-01-01/..", True),
            ("0001-01-01/9999-12-31T23:59:59.999999Z", True),
            ("2026-06-01T14:00%2B14:00/..", path != "quality?bin=366d"),
            ("9999-12-31T23:59:59-14:00/..", None),
            ("../0001-01-01T00:00:01", False),
        ):
            answer = client.get(f"{API}/{path}{join}time={time}")
            if is_all is None:  # a moment after the last one of the calendar
                assert answer.status_code == 422
            elif is_all:
                assert len(answer.json()["items"]) == everything, f"{path} {time}"
            else:
                assert answer.status_code == 200, f"{path} {time}"


def every_column() -> list[Column]:
    lists = [
        value
        for room in (columns, alert_columns)
        for value in vars(room).values()
        if isinstance(value, tuple)
    ]
    return [column for one in lists for column in one if isinstance(column, Column)]


@pytest.mark.parametrize("ucd", sorted({column.ucd for column in every_column() if column.ucd}))
def test_every_column_is_called_what_ivoas_vocabulary_knows(ucd: str):
    assert parse_ucd(ucd, check_controlled_vocabulary=True)


@pytest.mark.parametrize("unit", sorted({column.unit for column in every_column() if column.unit}))
def test_every_unit_is_one_that_the_virtual_observatory_knows(unit: str):
    assert units.Unit(unit, format="vounit")
