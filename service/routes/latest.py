"""The newest frame of an instrument, at an address that never changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import RedirectResponse, Response

from observatory.storage import catalogue, products
from observatory.storage.frames import Status
from service.context import Context, Here
from service.described import redirect_answers
from service.problems import NotFoundError
from service.shapes import API

router = APIRouter(tags=["frames"])

_LOOK_BACK = 20  # frames in which a picture must be found
_REDIRECT = redirect_answers("there is no finished frame of soho; instruments with frames: kso-halpha")
Instrument = Annotated[
    str, Path(max_length=64, pattern=r"^[^\x00-\x1f]+$", description="an instrument's name")
]


@router.get("/latest/{instrument:path}.jpg", responses=_REDIRECT, response_class=Response, status_code=307)
def latest_picture(request: Request, here: Here, instrument: Instrument) -> Response:
    """Redirect to the preview of an instrument's newest frame that has one."""
    ids = [row["id"] for row in _newest(here, instrument, _LOOK_BACK)]
    pictures = products.newest(here.db, ids)
    for frame_id in ids:
        if "preview" in pictures.get(frame_id, {}):
            return _to(request, f"{API}/products/{pictures[frame_id]['preview']}/data")
    raise NotFoundError(f"picture of {instrument}")


@router.get("/latest/{instrument:path}.json", responses=_REDIRECT, response_class=Response, status_code=307)
def latest_frame(request: Request, here: Here, instrument: Instrument) -> Response:
    """Redirect to an instrument's newest finished frame."""
    return _to(request, f"{API}/frames/{_newest(here, instrument, 1)[0]['id']}")


def _newest(here: Context, instrument: str, limit: int) -> list[dict[str, Any]]:
    found = catalogue.newest(here.db, instrument, limit=limit, status=Status.DONE)
    if not found:
        known = ", ".join(name for name, _ in catalogue.instruments_seen(here.db)) or "none yet"
        raise NotFoundError(f"finished frame of {instrument}", f"instruments with frames: {known}")
    return found


def _to(request: Request, path: str) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}{path}", 307, {"Cache-Control": "no-cache"})
