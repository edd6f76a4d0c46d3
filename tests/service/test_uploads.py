"""Files that are brought: whole or not at all, under a name that is none of a path, one frame each."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient

from heliowatch.house import uploads_of
from observatory.access import Scope
from observatory.settings import LimitsSettings, Settings
from observatory.storage import audit, catalogue
from observatory.storage.audit import AuditFilter
from observatory.storage.catalogue import FrameFilter
from observatory.storage.session import Database
from service.main import create_app
from tests.making import kso_frame
from tests.service.access import bearer, house, make_key, with_service
from tests.service.telescope import on_sqlite
from workers.station import IngestRoom

pytestmark = on_sqlite
Wait = Callable[..., None]


@pytest.fixture
def writer(client: TestClient, db: Database) -> TestClient:
    client.headers.update(bearer(make_key(db, Scope.WRITE)))
    return client


@pytest.fixture
def frame_file(tmp_path: Path) -> Path:
    (tmp_path / "camera").mkdir()
    return kso_frame(tmp_path / "camera")


def kept(settings: Settings) -> list[Path]:
    """Files below the data folder that came through the API."""
    folders = (settings.upload_dir, settings.spool_dir)
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if path.name != ".turn"]


def bring(client: Any, name: str = "a.fits", data: bytes = b"frame", **fields: str) -> Any:
    return client.post("/api/v1/frames", files={"file": (name, data)}, data=fields)


def test_a_file_is_kept_whole_and_answered_with_its_sum(writer: TestClient, settings: Settings) -> None:
    data = os.urandom(3_000_000)
    answer = bring(writer, "kanz_halph_fi_20260601_080000.fts", data)
    assert answer.status_code == 202
    body = answer.json()
    digest = hashlib.sha256(data).hexdigest()
    assert (body["sha256"], body["bytes"]) == (digest, len(data))
    assert body["links"]["frames"] == f"/api/v1/frames?sha256={digest}" == answer.headers["location"]
    (path,) = kept(settings)
    assert path.read_bytes() == data
    assert path.name == "kanz_halph_fi_20260601_080000.fts"
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_upload_becomes_a_frame_once_however_often_it_is_brought(
    writer: TestClient, settings: Settings, db: Database, frame_file: Path
) -> None:
    settings = settings.model_copy(update={"database_url": db.url})
    data = frame_file.read_bytes()
    for name in (frame_file.name, frame_file.name, "another.fits"):
        assert bring(writer, name, data).status_code == 202
    assert bring(writer, "nothing.bin", data + b"x", instrument="kso-halpha").status_code == 202
    with IngestRoom(settings, uploads_of(settings)) as room:
        assert room.ingester.once() == 3
    rows = catalogue.find(db, FrameFilter(), limit=10)
    assert len(rows) == 2
    assert {row["instrument"] for row in rows} == {"kso-halpha"}
    digest = hashlib.sha256(data).hexdigest()
    assert sum(row["sha256"] == digest for row in rows) == 1


def test_the_same_name_with_other_bytes_stands_beside_the_first(
    writer: TestClient, settings: Settings
) -> None:
    for data in (b"one", b"two", b"two", b"three"):
        assert bring(writer, "a.fits", data).status_code == 202
    assert sorted(path.read_bytes() for path in kept(settings)) == [b"one", b"three", b"two"]
    assert {path.name for path in kept(settings)} == {"a.fits"}


NAMES = [
    ("../../etc/passwd", "passwd"),
    ("/etc/passwd", "passwd"),
    ("..\\..\\boot.ini", "boot.ini"),
    ("C:\\frames\\a.fits", "a.fits"),
    ("a\0b.fits", "a_b.fits"),
    ("a\x1b[31m.fits", "a_[31m.fits"),
    ("sonne*?.fits", "sonne__.fits"),
    ("Kanzelhöhe.fits", "Kanzelhöhe.fits"),
    ("....fits", None),
    (".hidden", None),
    ("a.part", None),
    ("..", None),
    ("", None),
    ("/", None),
    ("a" * 5000 + ".fits", None),
    ("'; DROP TABLE frames; --.fits", "'; DROP TABLE frames; --.fits"),
]


def test_a_name_is_never_a_path(writer: TestClient, settings: Settings) -> None:
    for given_name, kept_as in NAMES:
        form = part("file", given_name, "frame") + "--x--\r\n"
        answer = writer.post("/api/v1/frames", content=form.encode(), headers={"Content-Type": FORM})
        found = kept(settings)
        if kept_as is None:
            assert answer.status_code == 422, (given_name, answer.text)
            assert answer.json()["errors"][0]["parameter"] == "file"
            assert found == []
        else:
            assert answer.status_code == 202, (given_name, answer.text)
            assert answer.json()["file_name"] == kept_as
            assert [path.name for path in found] == [kept_as]
        for path in found:
            path.unlink()


FORM = "multipart/form-data; boundary=x"


def part(name: str, file_name: str | None = None, body: str = "x") -> str:
    more = "" if file_name is None else f'; filename="{file_name}"'
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{body}\r\n'


BAD = [
    ("no file", FORM, part("instrument") + "--x--\r\n", 422),
    ("two files", FORM, part("file", "a.fits") + part("file", "b.fits") + "--x--\r\n", 422),
    ("an empty file", FORM, part("file", "a.fits", "") + "--x--\r\n", 422),
    ("a file without a name", FORM, part("file") + "--x--\r\n", 422),
    ("another field", FORM, part("file", "a.fits") + part("path", None, "/etc") + "--x--\r\n", 422),
    ("a field twice", FORM, part("instrument") * 2 + part("file", "a.fits") + "--x--\r\n", 422),
    ("a long field", FORM, part("instrument", None, "y" * 2000) + "--x--\r\n", 422),
    ("an unknown instrument", FORM, part("instrument", None, "../x") + part("file", "a") + "--x--\r\n", 422),
    (
        "an unknown instrument",
        FORM,
        part("instrument", None, "' OR 1=1") + part("file", "a") + "--x--\r\n",
        422,
    ),
    ("many parts", FORM, part("instrument") * 17 + "--x--\r\n", 422),
    ("no last line", FORM, part("file", "a.fits"), 400),
    ("nothing", FORM, "", 400),
    ("no form", FORM, "hello", 400),
    ("JSON", "application/json", "{}", 415),
    ("no type", "", "x", 415),
    ("plain form", "application/x-www-form-urlencoded", "file=x", 415),
    ("no boundary", "multipart/form-data", "x", 400),
    ("a long boundary", f"multipart/form-data; boundary={'b' * 1000}", "x", 400),
]


def test_a_bad_form_is_refused_and_leaves_nothing(writer: TestClient, settings: Settings) -> None:
    for what, kind, body, status in BAD:
        answer = writer.post("/api/v1/frames", content=body.encode(), headers={"Content-Type": kind})
        assert answer.status_code == status, (what, answer.text)
        assert answer.headers["content-type"] == "application/problem+json", what
        assert kept(settings) == [], what


def test_bringing_needs_a_key_with_the_scope(client: TestClient, db: Database, settings: Settings) -> None:
    assert bring(client).status_code == 401
    client.headers.update(bearer(make_key(db, Scope.READ)))
    assert bring(client).status_code == 403
    assert kept(settings) == []


def test_a_file_above_the_limit_is_refused_while_it_streams(settings: Settings, db: Database) -> None:
    small = settings.model_copy(update={"limits": LimitsSettings(max_file_bytes=100_000)})
    with TestClient(create_app(small, db), headers=bearer(make_key(db, Scope.WRITE))) as client:
        assert bring(client, data=b"x" * 100_000).status_code == 202
        answer = bring(client, data=b"x" * 100_001)
        assert answer.status_code == 413
        assert "limits.max_file_bytes" in answer.json()["detail"]
        head = part("file", "b.fits", "").removesuffix("\r\n").encode()
        pieces: Iterator[bytes] = iter([head, *[b"x" * 50_000] * 50, b"\r\n--x--\r\n"])
        answer = client.post("/api/v1/frames", content=pieces, headers={"Content-Type": FORM})
        assert answer.status_code == 413
    assert len(kept(settings)) == 1


def test_an_upload_that_is_cut_off_leaves_nothing(settings: Settings, db: Database, eventually: Wait) -> None:
    key = make_key(db, Scope.WRITE)
    with house(settings, db) as address:
        place = urlsplit(address)
        head = (
            f"POST /api/v1/frames HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: {FORM}\r\nContent-Length: 9000000\r\n\r\n"
        )
        with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
            connection.sendall(head.encode() + part("file", "a.fits", "x" * 3_000_000).encode())
            eventually(lambda: kept(settings), "nothing arrived")
        eventually(lambda: not kept(settings), "the cut-off file was kept")
    (entry,) = audit.page(db, AuditFilter(), limit=5)
    assert entry["status"] == 400


def test_no_more_arrive_at_once_than_allowed(settings: Settings, db: Database) -> None:
    app = create_app(with_service(settings, max_uploads=1), db)
    with TestClient(app, headers=bearer(make_key(db, Scope.WRITE))) as client:
        with app.state.context.uploads.slot(1):
            answer = bring(client)
            assert answer.status_code == 503 and answer.headers["retry-after"]
        assert bring(client).status_code == 202


def test_a_full_disk_is_said_and_leaves_nothing(
    writer: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("observatory.uploads.os.fsync", full)
    answer = bring(writer)
    assert answer.status_code == 507
    assert str(settings.data_dir) not in answer.text
    assert kept(settings) == []


def test_real_clients_can_bring_files(settings: Settings, db: Database, frame_file: Path) -> None:
    import subprocess

    key = make_key(db, Scope.WRITE)
    with house(settings, db) as address:
        command = ["curl", "-sS", "-H", f"Authorization: Bearer {key}", "-F", f"file=@{frame_file}"]
        said = subprocess.run(
            [*command, f"{address}/api/v1/frames"], capture_output=True, text=True, check=True
        )
        assert hashlib.sha256(frame_file.read_bytes()).hexdigest() in said.stdout
        with frame_file.open("rb") as file:
            answer = httpx2.post(f"{address}/api/v1/frames", files={"file": file}, headers=bearer(key))
        assert answer.status_code == 202
    assert len(kept(settings)) == 1
