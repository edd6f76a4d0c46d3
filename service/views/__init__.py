"""The live pages: rendered here, kept fresh by the event stream, whole without JavaScript."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from service.auth import Scope, requires
from service.turns import in_turn
from service.views import (
    alerts,
    assets,
    calendar,
    coverage,
    docs,
    frame_page,
    instrument,
    models,
    modes,
    night,
    page,
    system,
)


def install(app: FastAPI) -> None:
    """Add the pages and their static files to an app."""
    app.mount("/static", assets.Assets(), name="static")
    for pages in (page, night, instrument, frame_page, calendar, coverage, models, system):
        app.include_router(pages.router, dependencies=[Depends(requires(Scope.READ))])
    app.include_router(alerts.router, dependencies=[Depends(requires(Scope.READ)), in_turn])
    app.include_router(docs.router)
    app.include_router(modes.router)
