"""For the machinery around us: is the process up, can it work, how does it fare."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from service import metrics, readiness
from service.context import Here
from service.described import Answers, refusals
from service.problems import problem_response
from service.shapes import json_response

router = APIRouter(tags=["operation"])


class CheckShape(BaseModel):
    """One part of readiness."""

    name: str
    is_ok: bool
    detail: str


class Readiness(BaseModel):
    """All parts of readiness."""

    is_ready: bool
    checks: list[CheckShape]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


_READY: Answers = {
    200: {"model": Readiness},
    **refusals(_503="not ready; `detail` and `checks` name the parts that failed"),
}


@router.get("/healthz", responses={200: {"model": Alive}}, response_class=Response)
async def healthz() -> Response:
    """The process answers."""
    return json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get("/readyz", responses=_READY, response_class=Response)
def readyz(here: Here) -> Response:
    """Database, queue and a worker's heartbeat."""
    checks = [
        readiness.check_database(here.db),
        readiness.check_queue(here.probe_queue()),
        readiness.check_worker(here.db, here.settings),
        readiness.check_rules(here.alerting.problem),
    ]
    failed = [check for check in checks if not check.is_ok]
    if not failed:
        return json_response(
            {"is_ready": True, "checks": [vars(check) for check in checks]},
            headers={"Cache-Control": "no-store"},
        )
    detail = "; ".join(f"{check.name}: {check.detail}" for check in failed)
    return problem_response(
        503, "not-ready", detail, extra={"is_ready": False, "checks": [vars(check) for check in checks]}
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def get_metrics(request: Request, here: Here) -> Response:
    """Metrics for Prometheus."""
    body, content_type = metrics.exposition(here.collector, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
