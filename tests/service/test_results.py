"""Every number says where it comes from, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from observatory.analysis import Cause, ModelIdentity
from observatory.storage import provenance, results
from observatory.storage.results import NewResult, NewRun
from tests.service.corona import CH, central, found
from tests.service.telescope import Telescope, on_sqlite, quality

FRAMES = "/api/v1/frames"
RESULTS = "/api/v1/results"
FIRST = ModelIdentity("one", "1.0.0", "ab" * 32, {"side": 128, "steps": [0.5, 1.5]})
SECOND = ModelIdentity("one", "2.0.0", "cd" * 32, {"side": 256})


def said(model: ModelIdentity, score: float = 0.5) -> NewResult:
    return NewResult("quality", model, {"score": score, "model": model.label})


def items(client: TestClient, frame_id: int, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{FRAMES}/{frame_id}/results", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_a_result_names_frame_model_parameters_software_and_time(client: TestClient, telescope: Telescope):
    frame_id = telescope.observe(None, made=[said(FIRST)], file_name="sun.fts.gz", sha256="e" * 64)
    (result,) = items(client, frame_id)
    assert result["model"] == {"name": "one", "version": "1.0.0", "sha256": "ab" * 32}
    assert result["parameters"] == {"side": 128, "steps": [0.5, 1.5]}
    assert (
        result["parameters_hash"]
        == provenance.parameters_hash(FIRST)
        == provenance.hash_of(result["parameters"])
    )
    assert result["software_version"] == "0.1.0"
    assert result["is_current"] is True
    origin = result["lineage"]["frame"]
    assert (origin["sha256"], origin["frame_index"], origin["file_name"]) == ("e" * 64, 0, "sun.fts.gz")
    assert datetime.fromisoformat(result["created_at"]) <= datetime.now(UTC)
    alone = client.get(result["links"]["self"])
    assert alone.json() == result


def test_versions_stand_side_by_side_and_as_of_tells_what_was_known(client: TestClient, telescope: Telescope):
    frame_id = telescope.observe(None, made=[said(FIRST)])
    telescope.again(frame_id, made=[said(SECOND)])
    new, old = items(client, frame_id)
    assert [(one["model"]["version"], one["is_current"]) for one in (new, old)] == [
        ("2.0.0", True),
        ("1.0.0", False),
    ]
    (then,) = items(client, frame_id, as_of=old["created_at"])
    assert (then["id"], then["is_current"]) == (old["id"], True)
    before = datetime.fromisoformat(old["created_at"]) - timedelta(seconds=1)
    assert items(client, frame_id, as_of=before.isoformat()) == []
    assert [one["id"] for one in items(client, frame_id, as_of="9999-12-31T23:59:59Z")] == [
        new["id"],
        old["id"],
    ]
    assert items(client, frame_id, as_of="0001-01-01") == []


def test_a_segmentation_names_its_regions_and_their_tracks(client: TestClient, telescope: Telescope):
    segmentation = found(CH, (central(),))
    model = segmentation.segmentation.model
    made = [NewResult("segmentation-CH", model, {"regions": 1})]
    frame_id = telescope.corona(segmentation, made=made)
    result = next(one for one in items(client, frame_id) if one["analysis"] == "segmentation-CH")
    (region,) = result["lineage"]["regions"]
    shown = client.get(f"/api/v1/regions/{region['region_id']}").json()
    assert shown["track_id"] == region["track_id"]
    assert result["links"]["regions"].endswith(f"frame={frame_id}")
    telescope.again(frame_id, made=[NewResult("segmentation", model, {"skipped": "cloud"})], looked_for=[CH])
    newest, *_ = items(client, frame_id)
    assert (newest["analysis"], newest["is_current"]) == ("segmentation", True)
    former = next(one for one in items(client, frame_id) if one["analysis"] == "segmentation-CH")
    assert former["is_current"] is False
    assert "regions" not in former["lineage"]


def test_a_frame_names_the_composites_that_it_is_part_of(client: TestClient, telescope: Telescope):
    set_id = telescope.compose(datetime(2026, 6, 1, 12, tzinfo=UTC))
    frames = client.get(f"/api/v1/composites/{set_id}").json()["frames"]
    answer = client.get(f"{FRAMES}/{frames[0]['frame_id']}/results").json()
    assert answer["composites"] == [set_id]


def test_prov_says_that_a_run_used_frame_and_model_and_generated_the_result(
    client: TestClient, telescope: Telescope
):
    frame_id = telescope.observe(None, made=[said(FIRST)])
    (result,) = items(client, frame_id)
    document = client.get(result["links"]["prov"]).json()
    (run,) = document["activity"]
    used = {item["prov:entity"] for item in document["used"].values()}
    assert used == {f"hw:frames/{frame_id}", f"hw:models/{'ab' * 32}"}
    (generated,) = document["wasGeneratedBy"].values()
    assert generated == {"prov:entity": f"hw:results/{result['id']}", "prov:activity": run}
    assert document["activity"][run]["hw:parameters"] == result["parameters"]
    named = {*document["entity"], *document["activity"], *document["agent"]}
    for relation in ("used", "wasGeneratedBy", "wasAssociatedWith", "wasDerivedFrom"):
        for ends in document[relation].values():
            assert set(ends.values()) <= named


@pytest.mark.parametrize("word", ["yesterday", "2026-13-01", "", "2026-01-01T00:00:00+99:00", "10000-01-01"])
def test_a_time_that_is_none_is_refused_with_what_is_allowed(
    client: TestClient, telescope: Telescope, word: str
):
    frame_id = telescope.observe(0.9)
    answer = client.get(f"{FRAMES}/{frame_id}/results", params={"as_of": word})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == "as_of"
    assert "ISO 8601" in error["allowed"]


@pytest.mark.parametrize(
    "path", [f"{RESULTS}/99", f"{RESULTS}/99/prov", f"{FRAMES}/99/results", f"{RESULTS}/{2**63 - 1}"]
)
def test_what_is_not_there_is_a_problem(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("number", ["0", "-1", "abc", "1e9", str(2**63), "1;drop table results"])
def test_a_number_that_is_none_is_refused(client: TestClient, number: str):
    assert client.get(f"{RESULTS}/{number}").status_code == 422


def test_old_rows_without_parameters_say_so(client: TestClient, telescope: Telescope):
    from sqlalchemy import null, update

    from observatory.storage import schema

    frame_id = telescope.observe(0.9)
    with telescope.db.write() as connection:
        connection.execute(update(schema.results).values(parameters=null()))
    (result,) = items(client, frame_id)
    assert result["parameters"] is None
    assert result["parameters_hash"] == provenance.parameters_hash(quality().model)


def test_lists_and_series_tell_the_quality_that_was_known_at_a_time(client: TestClient, telescope: Telescope):
    frame_id = telescope.observe(0.25, (Cause.CLOUD, 0.9))
    (first,) = items(client, frame_id)
    then = first["created_at"]
    later = telescope.observe(0.75)
    with telescope.db.write() as connection:
        assert results.finish_again(
            telescope.db,
            connection,
            frame_id,
            NewRun([said(SECOND, 0.875)], "0.2.0", datetime.now(UTC), quality(0.875)),
        )
    now = {one["id"]: one for one in client.get(FRAMES).json()["items"]}
    assert now[frame_id]["quality"]["score"] == 0.875
    known = {one["id"]: one for one in client.get(FRAMES, params={"as_of": then}).json()["items"]}
    assert known[frame_id]["quality"] == {
        "score": 0.25,
        "p_value": 0.001,
        "is_degraded": True,
        "causes": [{"cause": "cloud", "probability": 0.9}],
        "model": "halpha-quality 1.0.0",
    }
    assert known[later]["quality"] is None
    for one in (frame_id, later):
        alone = client.get(f"{FRAMES}/{one}", params={"as_of": then}).json()
        assert alone["quality"] == known[one]["quality"]
    assert client.get(f"{FRAMES}/{frame_id}", params={"as_of": "then"}).status_code == 422
    series = client.get("/api/v1/quality", params={"as_of": then}).json()["items"]
    assert [(point["id"], point["score"]) for point in series] == [(frame_id, 0.25)]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (FRAMES, {"quality_min": 0.5}),
        (FRAMES, {"cause": "cloud"}),
        (FRAMES, {"event_type": "CH"}),
        (FRAMES, {"sky_class": "arc"}),
        (FRAMES, {"format": "csv"}),
        ("/api/v1/quality", {"bin": "5m"}),
    ],
)
@on_sqlite
def test_what_goes_by_the_newest_results_is_not_asked_as_of_another_time(
    client: TestClient, path: str, query: dict[str, Any]
):
    answer = client.get(path, params={"as_of": "2026-01-01"} | query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "as_of"


def test_regions_and_composites_name_what_they_were_made_from(client: TestClient, telescope: Telescope):
    telescope.corona(found(CH, (central(),)))
    (region,) = client.get("/api/v1/regions").json()["items"]
    model = found(CH, (central(),)).segmentation.model
    assert region["model"] == {"name": model.name, "version": model.version, "sha256": model.sha256}
    assert region["parameters_hash"] == provenance.parameters_hash(model)
    assert region["software_version"] == "0.1.0"
    assert client.get(region["links"]["results"]).status_code == 200
    set_id = telescope.compose(datetime(2026, 6, 1, 12, tzinfo=UTC))
    for frame in client.get(f"/api/v1/composites/{set_id}").json()["frames"]:
        parent = client.get(f"{FRAMES}/{frame['frame_id']}").json()
        assert (frame["sha256"], frame["file_name"]) == (parent["sha256"], parent["file_name"])
