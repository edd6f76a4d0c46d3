"""Frames are given out as the observatory wrote them, and nothing else ever is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from observatory.settings import Settings
from observatory.storage.files import ProductFiles
from observatory.storage.frames import Arrival, register
from observatory.storage.session import Database
from service.main import create_app
from tests.service.telescope import Telescope

BYTES = b"SIMPLE  =                    T" + bytes(range(256)) * 40
DIGEST = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def client(db: Database, settings: Settings):
    with TestClient(create_app(settings, db), raise_server_exceptions=False) as open_client:
        yield open_client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kanz_halph_fi_20260601_080000.fts.gz"
    path.write_bytes(BYTES)
    return path


@pytest.fixture
def frame_id(db: Database, settings: Settings, file: Path) -> int:
    telescope = Telescope(db, ProductFiles(settings.product_dir))
    given = telescope.receive(sha256=DIGEST, path=str(file), file_name=file.name, bytes=len(BYTES))
    seen(db, file)
    return given


def seen(db: Database, path: Path) -> None:
    """Note a sighting, as the ingester does."""
    from datetime import UTC, datetime

    status = path.stat()
    register(db, [], [Arrival(DIGEST, str(path), status.st_size, status.st_mtime_ns, datetime.now(UTC))])


def test_the_file_comes_byte_by_byte_with_its_name_and_sum(client: TestClient, frame_id: int) -> None:
    answer = client.get(f"/api/v1/frames/{frame_id}/data")
    assert answer.status_code == 200
    assert answer.content == BYTES
    assert answer.headers["etag"] == f'"{DIGEST}"'
    assert answer.headers["content-type"] == "application/gzip"
    assert "kanz_halph_fi_20260601_080000.fts.gz" in answer.headers["content-disposition"]
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_part_comes_alone_and_a_known_file_not_at_all(client: TestClient, frame_id: int) -> None:
    address = f"/api/v1/frames/{frame_id}/data"
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, BYTES[10:20])
    assert client.get(address, headers={"Range": "bytes=999999-"}).status_code == 416
    assert client.get(address, headers={"If-None-Match": f'"{DIGEST}"'}).status_code == 304
    assert client.head(address).headers["content-length"] == str(len(BYTES))


def test_what_was_removed_or_replaced_is_not_given_and_says_why(
    client: TestClient, frame_id: int, file: Path
) -> None:
    address = f"/api/v1/frames/{frame_id}/data"
    file.write_bytes(bytes(len(BYTES)))  # as long as before
    answer = client.get(address)
    assert answer.status_code == 404
    assert "something else" in answer.json()["detail"]
    file.unlink()
    assert "moved or removed" in client.get(address).json()["detail"]
    file.symlink_to("/etc/passwd")
    assert client.get(address).status_code == 404


def test_a_touched_copy_and_another_place_of_the_same_bytes_will_do(
    client: TestClient, db: Database, frame_id: int, file: Path
) -> None:
    address = f"/api/v1/frames/{frame_id}/data"
    os.utime(file, (1, 1))
    assert client.get(address).content == BYTES
    other = file.rename(file.with_name("archived.fts.gz"))
    assert client.get(address).status_code == 404
    seen(db, other)
    assert client.get(address).content == BYTES


def test_an_unknown_frame_is_404(client: TestClient) -> None:
    assert client.get("/api/v1/frames/77/data").status_code == 404


def test_a_server_may_keep_its_originals(db: Database, settings: Settings, frame_id: int) -> None:
    kept = settings.model_copy(
        update={"service": settings.service.model_copy(update={"serve_originals": False})}
    )
    with TestClient(create_app(kept, db)) as client:
        answer = client.get(f"/api/v1/frames/{frame_id}/data")
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("originals-not-served")
