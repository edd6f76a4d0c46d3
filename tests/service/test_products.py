"""Products' bytes: cached for ever, in ranges, and gone with a reason."""

from __future__ import annotations

import hashlib

import pytest
from fastapi.testclient import TestClient

from observatory.storage.session import Database
from tests.service.telescope import Telescope, on_sqlite


@pytest.fixture
def product(client: TestClient, telescope: Telescope) -> dict[str, object]:
    frame_id = telescope.observe(with_picture=True)
    found: dict[str, object] = client.get(f"/api/v1/frames/{frame_id}/products").json()["items"][0]
    return found


def data(product: dict[str, object]) -> str:
    return f"/api/v1/products/{product['id']}/data"


def test_the_etag_is_the_hash_of_the_bytes(client: TestClient, product: dict[str, object]) -> None:
    answer = client.get(data(product))
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.head(data(product)).headers["content-length"] == str(product["bytes"])


@on_sqlite
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_it_gets_nothing(client: TestClient, product: dict[str, object], form: str) -> None:
    known = form.format(f'"{product["sha256"]}"')
    answer = client.get(data(product), headers={"If-None-Match": known})
    assert answer.status_code == 304
    assert answer.content == b""
    assert client.get(data(product), headers={"If-None-Match": '"other"'}).status_code == 200


def test_ranges_are_served(client: TestClient, product: dict[str, object]) -> None:
    whole = client.get(data(product)).content
    part = client.get(data(product), headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == whole[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    changed = client.get(data(product), headers={"Range": "bytes=10-19", "If-Range": '"other"'})
    assert changed.status_code == 200
    beyond = client.get(data(product), headers={"Range": "bytes=999999-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"
    assert beyond.json()["status"] == 416
    assert beyond.headers["content-type"] == "application/problem+json"


@on_sqlite
@pytest.mark.parametrize("word", ["bytes=5-2", "bytes=", "bytes", "bytes=x-y", "bytes=-"])
def test_a_range_that_is_none_is_a_problem(client: TestClient, product: dict[str, object], word: str) -> None:
    answer = client.get(data(product), headers={"Range": word})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["parameter"] == "Range"
    assert client.head(data(product), headers={"Range": word}).status_code == 400


@on_sqlite
@pytest.mark.parametrize("word", ["lines=1-2", "seconds=0-", "x"])
def test_a_range_in_an_unknown_unit_gives_the_whole(
    client: TestClient, product: dict[str, object], word: str
) -> None:
    answer = client.get(data(product), headers={"Range": word})
    assert (answer.status_code, len(answer.content)) == (200, product["bytes"])


def test_the_preview_of_a_picture_is_itself(client: TestClient, product: dict[str, object]) -> None:
    assert client.get(data(product).replace("data", "preview")).content == client.get(data(product)).content


def test_a_removed_file_is_gone_and_says_what_to_do(
    client: TestClient, product: dict[str, object], telescope: Telescope, db: Database
) -> None:
    for path in telescope.files.root.rglob("*.jpg"):
        path.unlink()
    answer = client.get(data(product))
    assert answer.status_code == 410
    assert "reprocess" in answer.json()["detail"]
    assert str(telescope.files.root) not in answer.text
