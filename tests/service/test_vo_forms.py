"""SIA 2.0 by POST: a query as a form, as DALI wants it, is read like one in the address."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

from astropy.io.votable import parse
from astropy.time import Time
from fastapi.testclient import TestClient
from pyvo.dal.sia2 import SIA2Query, SIA2Results

from observatory.access import Scope
from observatory.settings import Settings
from observatory.storage import audit
from observatory.storage.session import Database
from service.main import create_app
from tests.service.access import bearer, make_key, with_service
from tests.service.telescope import DAY, Telescope, in_thread, on_sqlite

pytestmark = on_sqlite

SIA = "/vo/sia2"
EIGHT = DAY + timedelta(hours=8)


def rows(answer: Any) -> int:
    assert answer.status_code == 200, answer.text
    return len(parse(io.BytesIO(answer.content)).get_first_table().array)


def test_pyvo_asks_by_form_and_is_told_the_same(telescope: Telescope, db: Database, settings: Settings):
    for number in range(4):
        telescope.observe(number / 10, with_picture=True)
    with in_thread(create_app(settings, db)) as address:
        query = SIA2Query(f"{address}{SIA}", time=(Time(EIGHT), Time(EIGHT + timedelta(seconds=13))))
        posted, got = SIA2Results(query.execute_votable(post=True)), query.execute()
    assert len(posted) == len(got) > 0
    assert list(posted["access_url"]) == list(got["access_url"])


def test_fields_of_a_form_and_of_the_address_are_one_query(client: TestClient, telescope: Telescope):
    telescope.observe(0.7)
    telescope.observe(0.7, instrument="gong-halpha")
    assert rows(client.post(SIA)) == 2
    assert rows(client.post(SIA, data={"INSTRUMENT": "kso-halpha"})) == 1
    assert rows(client.post(f"{SIA}?instrument=kso-halpha", data={"INSTRUMENT": "gong-halpha"})) == 2
    assert rows(client.post(f"{SIA}?INSTRUMENT=kso-halpha", data={"CALIB": "9"})) == 0
    several = {"INSTRUMENT": (None, "kso-halpha"), "MAXREC": (None, "5")}
    assert rows(client.post(SIA, files=several)) == 1  # multipart/form-data


def test_what_is_no_form_of_plain_fields_is_a_fault(client: TestClient):
    form = "application/x-www-form-urlencoded"
    bad: list[dict[str, Any]] = [
        {"json": {"MAXREC": 1}},
        {"content": b"MAXREC=1"},
        {"files": {"UPLOAD": ("t.xml", b"<x/>")}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"MAXREC=1&MAXREC=2", "headers": {"Content-Type": form}},
        {"content": b"INSTRUMENT=%00", "headers": {"Content-Type": form}},
        {"content": b"&".join([b"A=1"] * 2000), "headers": {"Content-Type": form}},
        {"data": {"WHERE": "1"}},
    ]
    for given in bad:
        answer = client.post(SIA, **given)
        assert answer.status_code == 400, given
        (status,) = parse(io.BytesIO(answer.content)).resources[0].infos
        assert status.value == "ERROR" and status.content.startswith("UsageFault: ")


def test_a_form_needs_what_reading_needs_and_is_no_write(
    settings: Settings, db: Database, telescope: Telescope
):
    telescope.observe(0.7)
    closed = TestClient(create_app(with_service(settings, open_reading=False), db))
    assert closed.post(SIA).status_code == 401
    assert rows(closed.post(SIA, headers=bearer(make_key(db, Scope.READ)))) == 1
    open_ = TestClient(create_app(settings, db))
    foreign = {"Origin": "https://aladin.example"}  # a page that asks, as it may by GET
    assert rows(open_.post(SIA, headers=foreign)) == 1
    assert audit.page(db, audit.AuditFilter(), limit=9) == []
    assert open_.post("/vo/capabilities").status_code in (401, 405)
    assert open_.post("/api/v1/reprocess", json={}).status_code == 401
    assert open_.put(SIA).status_code == 405


def test_forms_are_counted_with_what_is_read(settings: Settings, db: Database):
    limits = settings.service.rate_limits.model_copy(update={"read": "3/minute", "write": "100/minute"})
    client = TestClient(create_app(with_service(settings, rate_limits=limits), db))
    assert [client.post(SIA).status_code for _ in range(4)] == [200, 200, 200, 429]
