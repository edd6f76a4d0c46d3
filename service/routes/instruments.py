"""Instruments: those configured and those that have frames."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from observatory.instruments import family_of
from service import examples
from service.context import Here
from service.described import one_answer
from service.paging import list_response
from service.shapes import API

router = APIRouter(tags=["instruments"])


class InstrumentShape(BaseModel):
    """An instrument and how its frames fare."""

    name: str
    family: str | None
    kind: str | None
    is_configured: bool
    cadence_s: float | None
    frames: int
    done: int
    waiting: int
    rejected: int
    failed: int
    degraded: int
    last_date_obs: datetime | None
    last_received_at: datetime | None
    links: dict[str, str]


class InstrumentList(BaseModel):
    """All instruments, by name."""

    items: list[InstrumentShape]


_COUNTS = ("frames", "done", "waiting", "rejected", "failed", "degraded")
_TIMES = ("last_date_obs", "last_received_at")


@router.get(
    "/instruments", responses=one_answer(InstrumentList, examples.INSTRUMENTS), response_class=Response
)
def list_instruments(request: Request, here: Here) -> Response:
    """Instruments that are configured or have frames, with counts and newest times."""
    base = f"{request.scope.get('root_path', '')}{API}"
    seen = {row["instrument"]: row for row in here.overview.get()}
    configured = here.settings.instruments
    items = []
    for name in sorted(seen.keys() | configured.keys()):
        row = seen.get(name, {})
        station = configured.get(name)
        items.append(
            {
                "name": name,
                "family": row.get("family") or (family_of(station.kind) if station else None),
                "kind": station.kind if station else None,
                "is_configured": station is not None,
                "cadence_s": station.cadence_s if station else None,
                **{key: row.get(key, 0) for key in _COUNTS},
                **{key: row.get(key) for key in _TIMES},
                "links": _links(base, name, has_frames=bool(row)),
            }
        )
    return list_response(request, {"items": items})


def _links(base: str, name: str, *, has_frames: bool) -> dict[str, str]:
    links = {"frames": f"{base}/frames?instrument={quote(name, safe='')}"}
    if has_frames:
        links["latest"] = f"{base}/latest/{quote(name, safe='')}.json"
    return links
