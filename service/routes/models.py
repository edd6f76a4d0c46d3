"""Models: those that workers run now and those that results name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from observatory.analysis import ModelIdentity
from observatory.storage import model_overview, provenance
from observatory.storage.model_checks import Check
from service import examples
from service.context import Here
from service.described import one_answer
from service.metrics import utc_now
from service.paging import list_response

router = APIRouter(tags=["models"])


class CheckShape(BaseModel):
    """Golden frames answered rightly, or drift (Kolmogorov-Smirnov), 0 to 1."""

    ratio: float
    is_good: bool
    checked_at: datetime
    instrument: str | None


class ShadowShape(BaseModel):
    """What a candidate said beside the live model; `alike` is the share of frames with the same decision."""

    frames: int
    alike: float | None
    agreement: float | None


class KnownModelShape(BaseModel):
    """One version of a model: its weights are told apart by their SHA-256."""

    name: str
    version: str
    sha256: str
    is_running: bool
    workers: int
    providers: list[str]
    has_results: bool
    role: str
    golden: list[CheckShape]
    drift: list[CheckShape]
    shadow: ShadowShape | None


class KnownModelList(BaseModel):
    """Models by name and version."""

    items: list[KnownModelShape]


_Identity = tuple[str, str, str]


@router.get("/models", responses=one_answer(KnownModelList, examples.MODELS), response_class=Response)
def list_models(request: Request, here: Here) -> Response:
    """Models that workers run now (and on which provider), those that try, and those that any result names.

    `role` is live, candidate or former. Of the live ones golden frames and drift are told.
    """
    known: dict[_Identity, dict[str, Any]] = {}
    for model in provenance.models_seen(here.db):
        _entry(known, model)["has_results"] = True
    for one in model_overview.overview(here.db, utc_now(), here.settings.service.worker_silence_s):
        for running in one.running:
            _entry(known, running.model).update(
                is_running=True,
                workers=running.workers,
                providers=list(running.providers),
                role="live",
                golden=[_check(check) for check in one.golden if _is_of(check, running.model)],
                drift=[_check(check) for check in one.drifts if _is_of(check, running.model)],
            )
        if one.candidate is not None:
            given, said = one.candidate.deployment, one.candidate.agreement
            identity = ModelIdentity(given.model_name, given.model_version, given.model_sha256)
            shadow = {"frames": said.frames, "alike": said.share, "agreement": said.mean}
            _entry(known, identity).update(role="candidate", shadow=shadow)
    return list_response(request, {"items": [known[identity] for identity in sorted(known)]})


def _entry(known: dict[_Identity, dict[str, Any]], model: ModelIdentity) -> dict[str, Any]:
    identity = (model.name, model.version, model.sha256)
    nothing = {
        "is_running": False,
        "workers": 0,
        "providers": [],
        "has_results": False,
        "role": "former",
        "golden": [],
        "drift": [],
        "shadow": None,
    }
    facts = {"name": model.name, "version": model.version, "sha256": model.sha256}
    return known.setdefault(identity, facts | nothing)


def _is_of(check: Check, model: ModelIdentity) -> bool:
    return check.subject.model.sha256 == model.sha256


def _check(check: Check) -> dict[str, Any]:
    return {
        "ratio": check.ratio,
        "is_good": check.is_good,
        "checked_at": check.checked_at,
        "instrument": check.subject.instrument or None,
    }
