"""The page *Models*: what runs, what tries beside it, and whether its answers are what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from observatory.storage import events, model_overview
from observatory.storage.model_overview import Overview
from service.context import Here
from service.metrics import utc_now
from service.paging import base_of
from service.views.assets import templates

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
PROVIDERS = {"CPUExecutionProvider": "CPU", "CUDAExecutionProvider": "GPU (CUDA)"}


@dataclass(frozen=True)
class Page:
    """All of it."""

    now: datetime
    seq: int
    models: Sequence[Overview]
    drift_limit: float
    shadow_share: float


@router.get("/models")
def page(request: Request, here: Here) -> Response:
    """The page."""
    now = utc_now()
    shown = Page(
        now=now,
        seq=events.last_seq(here.db),
        models=model_overview.overview(here.db, now, here.settings.service.worker_silence_s),
        drift_limit=here.settings.models.drift_limit,
        shadow_share=here.settings.models.shadow_share,
    )
    values = {"base": base_of(request), "page": shown, "providers": PROVIDERS}
    return templates.TemplateResponse(request, "models.html", values, headers=_FRESH)
