"""The application: parts put together, started and stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import observatory
from observatory.settings import Settings
from observatory.storage import catalogue, series
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database
from observatory.uploads import Spool
from service import coverage, hapi, problems, readiness, views, vo
from service.alerting import AlertEngine
from service.auth import guard
from service.bodies import Bodies
from service.broker import TaskSender
from service.context import Context, QueueProbe
from service.described import restore_examples
from service.filters import once_each
from service.gate import AuditTrail, RateLimits
from service.identity import Issuer, Keyring
from service.limits import Limiter
from service.methods import HeadAndOptions
from service.metrics import DatabaseCollector
from service.notify.delivery import Delivery
from service.problems import Defects
from service.remembered import Remembered
from service.routes import (
    alerts,
    audit,
    composites,
    enhance,
    enhancement,
    events,
    health,
    instruments,
    keograms,
    latest,
    marks,
    models,
    originals,
    products,
    quality,
    regions,
    reprocess,
    results,
    silences,
    sky,
    status,
    uploads,
)
from service.routes import coverage as coverage_routes
from service.routes import frames as frame_routes
from service.security import SecurityHeaders
from service.shapes import API
from service.slots import Slots, Turns
from service.stream import EventStream
from service.trail import Trail
from service.turns import in_turn
from service.views.refused import for_people

_ABOUT = (
    "Frames of solar and auroral observatories: what arrived, how good it is, and why not. "
    "Times are UTC and end in Z. Errors are `application/problem+json`."
)
_LAST_TURN_S = 5.0  # of the alert engine, which hands its lease over
_FAREWELL_S = 0.2  # the stream's thread only reads, and may notice the end a second later
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": _PROBLEM}
    for status, words in {
        400: "the request cannot be read: its body is broken or was cut off",
        401: "a key is needed, or the one shown is wrong; `WWW-Authenticate` and `detail` say which",
        403: "the key has not the scope, or a page of another origin wants to write",
        413: "the body is larger than the settings allow",
        422: "a parameter cannot be used: which, and what is allowed",
        429: "too many requests of one key or address; `Retry-After` says when to ask again",
        503: "the database cannot be used now; ask again in a moment",
    }.items()
}


def create_app(
    settings: Settings, db: Database | None = None, *, probe_queue: QueueProbe | None = None
) -> FastAPI:
    """Build the service.

    Parameters
    ----------
    db : Database | None
        Shared with the rest of an embedded process; else one of our own.
    probe_queue : callable or None
        Asks whether the queue can be reached; else the broker of the settings is asked.
    """
    patience_s = settings.service.query_patience_s
    db = db or Database(settings.resolved_database_url, statement_timeout_s=patience_s)
    here = _context(settings, db, probe_queue)
    app = FastAPI(
        title="Heliowatch",
        version=observatory.__version__,
        description=_ABOUT,
        docs_url=None,  # our own page: the usual ones load their scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
        responses=_PROBLEMS,
    )
    app.state.context = here
    problems.install(app, for_people)
    for routes in (
        instruments,
        results,
        frame_routes,
        uploads,  # they have places of their own, and write files
        marks,
        originals,
        products,
        quality,
        enhancement,
        enhance,  # it waits, and takes its turn for the moment that it writes
        coverage_routes,
        regions,
        sky,
        composites,  # before latest, which takes any instrument's name
        keograms,
        latest,
        models,
        status,
        events,
        reprocess,
        alerts,
        silences,
        audit,
    ):
        writing = [in_turn] if routes in (marks, reprocess, alerts, silences) else []
        app.include_router(
            routes.router, prefix=API, dependencies=[Depends(guard), Depends(once_each), *writing]
        )
    app.include_router(hapi.router, dependencies=[Depends(guard)])
    app.include_router(vo.router, dependencies=[Depends(guard)])
    app.include_router(health.router)
    views.install(app)
    app.add_middleware(Bodies)
    app.add_middleware(RateLimits)
    app.add_middleware(Defects)
    app.add_middleware(AuditTrail)
    app.add_middleware(HeadAndOptions)
    app.add_middleware(SecurityHeaders)
    if settings.service.proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.service.proxies)
    _document_problems(app)
    return app


def _context(settings: Settings, db: Database, probe_queue: QueueProbe | None) -> Context:
    return Context(
        settings=settings,
        db=db,
        files=ProductFiles(settings.product_dir),
        stream=EventStream(db),
        keyring=Keyring(db, _issuer(settings)),
        limiter=Limiter(settings.service.rate_limits),
        trail=Trail(db),
        spool=Spool(settings),
        uploads=Slots("uploads", "service.max_uploads"),
        waiting=Slots("requests that wait", "cutouts.most_waiting"),
        turns=Turns(),
        probe_queue=probe_queue or readiness.QueueProbe(settings),
        send_task=TaskSender(settings),
        collector=DatabaseCollector(
            db, settings.service.worker_silence_s, shares=lambda: coverage.shares(settings, db)
        ),
        overview=Remembered(lambda: catalogue.overview(db)),
        counts=Remembered(lambda: catalogue.counts(db)),
        series=Remembered(lambda: series.available(db)),
        alerting=AlertEngine(settings, db),
    )


def _issuer(settings: Settings) -> Issuer | None:
    if settings.service.oidc is None:
        return None
    from service.oidc import Provider  # what it needs is imported only where a provider is configured

    return Provider(settings.service.oidc)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    here: Context = app.state.context
    await run_in_threadpool(here.db.check_schema)
    await run_in_threadpool(here.spool.sweep)
    here.stream.start()
    delivery = Delivery(here.settings, here.db)
    delivery.start()
    await run_in_threadpool(here.alerting.start)
    restore = _close_on_signal(here.stream)
    try:
        yield
    finally:
        restore()
        here.alerting.close()
        await run_in_threadpool(here.alerting.join, _LAST_TURN_S)
        await run_in_threadpool(delivery.stop)
        here.stream.close()
        await run_in_threadpool(here.stream.join, _FAREWELL_S)


def _close_on_signal(stream: EventStream) -> Any:
    """End the open streams when the server is told to stop, then let the server's handler act.

    Servers wait for open answers before they tell us of the end; an endless answer would make
    them wait for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        stream.close()
        before = former[signal.Signals(number)]
        if callable(before):
            before(number, frame)
        elif before == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in former:
        signal.signal(number, handle)

    def restore() -> None:
        for number, before in former.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, before)

    return restore


def _document_problems(app: FastAPI) -> None:
    """Name the shape of errors in the published description."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        description = build()
        schemas = description.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            shape = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= shape.pop("$defs", {})
            schemas["Problem"] = shape
            restore_examples(description)
        return description

    app.openapi = openapi  # type: ignore[method-assign]
