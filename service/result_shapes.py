"""Results with all that made them, as JSON of our own and as PROV-JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from service.shapes import API


class ModelShape(BaseModel):
    """The model that made a result."""

    name: str
    version: str
    sha256: str


class FrameOriginShape(BaseModel):
    """The frame that a result was made from: the very bytes, and which frame of theirs."""

    id: int
    sha256: str | None
    frame_index: int
    file_name: str
    instrument: str | None
    date_obs: datetime | None


class RegionOriginShape(BaseModel):
    """A region that a segmentation found, and the track that it continues."""

    region_id: int
    track_id: int | None


class LineageShape(BaseModel):
    """What a result was made from, and what shows it: `regions` for the segmentation that is shown now."""

    frame: FrameOriginShape
    regions: list[RegionOriginShape] | None = None


class ResultShape(BaseModel):
    """What one analysis said, and what made it.

    `parameters` is null for results of before they were kept; their hash tells whether they were those of
    another result.
    """

    id: int
    analysis: str
    is_current: bool
    model: ModelShape
    parameters_hash: str
    parameters: dict[str, Any] | None
    software_version: str
    created_at: datetime
    payload: dict[str, Any]
    lineage: LineageShape
    links: dict[str, str]


class ResultList(BaseModel):
    """Results of a frame, newest first."""

    as_of: datetime | None
    items: list[ResultShape]
    composites: list[int]


class ProvShape(BaseModel):
    """A PROV-JSON document (W3C member submission of 24 April 2013)."""

    prefix: dict[str, str]
    entity: dict[str, dict[str, Any]]
    activity: dict[str, dict[str, Any]]
    agent: dict[str, dict[str, Any]]
    used: dict[str, dict[str, str]]
    wasGeneratedBy: dict[str, dict[str, str]]  # noqa: N815 - the standard's names
    wasAssociatedWith: dict[str, dict[str, str]]  # noqa: N815
    wasDerivedFrom: dict[str, dict[str, str]]  # noqa: N815


_KEPT = (
    "id",
    "analysis",
    "is_current",
    "parameters_hash",
    "parameters",
    "software_version",
    "created_at",
    "payload",
    "lineage",
)


def model_as_json(row: Mapping[str, Any]) -> dict[str, str]:
    """The model of a row that names one."""
    return {name: row[f"model_{name}"] for name in ("name", "version", "sha256")}


def result_as_json(row: Mapping[str, Any], base: str = "") -> dict[str, Any]:
    """One result, a row of `provenance`."""
    path = f"{base}{API}/results/{row['id']}"
    links = {"self": path, "prov": f"{path}/prov", "frame": f"{base}{API}/frames/{row['frame_id']}"}
    if row["lineage"].get("regions"):
        links["regions"] = f"{base}{API}/regions?frame={row['frame_id']}"
    return {name: row[name] for name in _KEPT} | {"model": model_as_json(row), "links": links}


def result_as_prov(row: Mapping[str, Any], base: str = "") -> dict[str, Any]:
    """The same in the words of W3C PROV: a run used a frame and a model, and generated the result."""
    frame = row["lineage"]["frame"]
    result, run = f"hw:results/{row['id']}", f"hw:runs/{row['id']}"
    origin, model = f"hw:frames/{frame['id']}", f"hw:models/{row['model_sha256']}"
    software = f"hw:software/{row['software_version']}"
    return {
        "prefix": {"hw": f"{base}{API}/"},
        "entity": {
            result: {"prov:type": "result", "hw:analysis": row["analysis"], "hw:payload": row["payload"]},
            origin: {"prov:type": "frame"} | {f"hw:{name}": value for name, value in frame.items()},
            model: {"prov:type": "model"} | {f"hw:{key}": value for key, value in model_as_json(row).items()},
        },
        "activity": {
            run: {
                "prov:type": row["analysis"],
                "prov:endTime": row["created_at"],
                "hw:parameters": row["parameters"],
                "hw:parameters_hash": row["parameters_hash"],
            }
        },
        "agent": {
            software: {
                "prov:type": "prov:SoftwareAgent",
                "hw:name": "heliowatch",
                "hw:version": row["software_version"],
            }
        },
        "used": {
            "_:used-frame": {"prov:activity": run, "prov:entity": origin},
            "_:used-model": {"prov:activity": run, "prov:entity": model},
        },
        "wasGeneratedBy": {"_:generated": {"prov:entity": result, "prov:activity": run}},
        "wasAssociatedWith": {"_:software": {"prov:activity": run, "prov:agent": software}},
        "wasDerivedFrom": {"_:derived": {"prov:generatedEntity": result, "prov:usedEntity": origin}},
    }
