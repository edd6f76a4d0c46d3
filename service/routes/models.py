"""Models: those that workers run now and those that results name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from observatory.storage import provenance, workers
from service import examples
from service.context import Here
from service.described import one_answer
from service.metrics import utc_now
from service.paging import list_response

router = APIRouter(tags=["models"])


class KnownModelShape(BaseModel):
    """One version of a model: its weights are told apart by their SHA-256."""

    name: str
    version: str
    sha256: str
    is_running: bool
    workers: int
    providers: list[str]
    has_results: bool


class KnownModelList(BaseModel):
    """Models by name and version."""

    items: list[KnownModelShape]


_Identity = tuple[str, str, str]


@router.get("/models", responses=one_answer(KnownModelList, examples.MODELS), response_class=Response)
def list_models(request: Request, here: Here) -> Response:
    """Models that workers run now (and on which provider), and those that any result names."""
    known: dict[_Identity, dict[str, Any]] = {}
    for model in provenance.models_seen(here.db):
        _entry(known, (model.name, model.version, model.sha256))["has_results"] = True
    for worker in workers.alive(here.db, utc_now(), here.settings.service.worker_silence_s):
        for identity, provider in _running(worker["facts"]).items():
            entry = _entry(known, identity)
            entry["is_running"] = True
            entry["workers"] += 1
            if provider not in entry["providers"]:
                entry["providers"].append(provider)
    return list_response(request, {"items": [known[identity] for identity in sorted(known)]})


def _entry(known: dict[_Identity, dict[str, Any]], identity: _Identity) -> dict[str, Any]:
    name, version, sha256 = identity
    nothing = {"is_running": False, "workers": 0, "providers": [], "has_results": False}
    return known.setdefault(identity, {"name": name, "version": version, "sha256": sha256} | nothing)


def _running(facts: dict[str, Any]) -> dict[_Identity, str]:
    """Models of one worker, each with its provider; several pipelines may share one."""
    found = {}
    for model in facts.get("models", ()):
        name, version, sha256 = (str(model.get(key, "")) for key in ("name", "version", "sha256"))
        found[name, version, sha256] = str(model.get("provider", ""))
    return found
