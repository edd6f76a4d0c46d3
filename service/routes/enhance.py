"""Parts of frames, enhanced when they are asked for."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator
from starlette.concurrency import run_in_threadpool

from observatory.field_of_view import FieldOfView
from observatory.instruments import kinds
from observatory.storage import catalogue, cutouts, queues, workers
from observatory.storage.cutouts import UNDER_WAY, CutoutStatus, Wanted
from observatory.storage.frames import Status
from service import examples
from service.auth import Identity, Scope, requires
from service.broker import ENHANCE
from service.context import Context, Here
from service.described import Answers, file_answers, one_answer, problems, refusals
from service.filters import MAX_ID
from service.gate import note
from service.numbers import RowNumber, no_truth
from service.paging import base_of
from service.problems import NotFoundError, ParameterError, ProblemError
from service.routes.products import bytes_of
from service.shapes import API, json_response
from service.waiting import patience

router = APIRouter(tags=["enhancement"])

_FAMILY = "hmi"
_NETWORKS = "hmi_enhancement"  # what the names of all of them begin with
_ASK_AGAIN_S = 2
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.25
_FAR_ARCSEC = 5000.0  # no frame of the Sun reaches so far
_FAR_PX = 1 << 20


class ArcsecField(BaseModel):
    """A field of view in helioprojective arcseconds; the pixels that hold all of it are taken."""

    model_config = ConfigDict(extra="forbid", title="FieldInArcsec")

    x_arcsec: float = Field(
        ge=-_FAR_ARCSEC, le=_FAR_ARCSEC, description="its middle: arcsec west of disk centre (Tx)"
    )
    y_arcsec: float = Field(
        ge=-_FAR_ARCSEC, le=_FAR_ARCSEC, description="its middle: arcsec north of disk centre (Ty)"
    )
    width_arcsec: float = Field(gt=0, le=_FAR_ARCSEC, description="its width: arcsec, more than 0")
    height_arcsec: float = Field(gt=0, le=_FAR_ARCSEC, description="its height: arcsec, more than 0")

    _are_numbers = field_validator("*", mode="before")(no_truth)


class PixelField(BaseModel):
    """A field of view in pixels of the frame, rows as in the file."""

    model_config = ConfigDict(extra="forbid", title="FieldInPixels")

    x_px: int = Field(ge=0, le=_FAR_PX, description="its first column, from 0")
    y_px: int = Field(ge=0, le=_FAR_PX, description="its first row, from 0")
    width_px: int = Field(ge=1, le=_FAR_PX, description="how many columns, 1 or more")
    height_px: int = Field(ge=1, le=_FAR_PX, description="how many rows, 1 or more")

    _are_numbers = field_validator("*", mode="before")(no_truth)


def _is_object(given: Any) -> Any:
    if not isinstance(given, dict | BaseModel):
        raise ValueError("needs to be an object")
    return given


def _unit(given: Any) -> Literal["arcsec", "px"]:
    """Which of the two is meant: errors are then told of that one alone."""
    names = given if isinstance(given, dict) else type(given).model_fields
    return "px" if any(str(name).endswith("_px") for name in names) else "arcsec"


_FIELD_WORDS = (
    "{x_arcsec, y_arcsec, width_arcsec, height_arcsec} (the middle, helioprojective) or "
    "{x_px, y_px, width_px, height_px} (the first column and row, from 0)"
)
_Field = Annotated[
    Annotated[ArcsecField, Tag("arcsec")] | Annotated[PixelField, Tag("px")],
    Discriminator(_unit),
    BeforeValidator(_is_object),
]


class EnhanceRequest(BaseModel):
    """What is to be enhanced."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": examples.ENHANCE})

    frame: int = Field(ge=1, le=MAX_ID, description="number of a frame of HMI")
    field_of_view: _Field = Field(description=_FIELD_WORDS)

    _is_number = field_validator("frame", mode="before")(no_truth)

    @property
    def field(self) -> FieldOfView:
        """The same, as workers take it."""
        return FieldOfView.from_json(self.field_of_view.model_dump())


class CutoutShape(BaseModel):
    """A cut-out that is not there yet."""

    id: int
    frame_id: int
    status: Literal["waiting", "working"]
    field_of_view: dict[str, float]
    created_at: datetime
    links: dict[str, str]


CutoutId = Annotated[RowNumber, Path(description="number of a cut-out")]
Writer = Annotated[Identity, Depends(requires(Scope.WRITE))]
Prefer = Annotated[
    str | None,
    Header(
        max_length=200,
        description="`wait=N`: wait up to N seconds for the file; `respond-async`: do not wait (RFC 7240)",
    ),
]
_WAITING: Answers = {
    202: one_answer(CutoutShape, examples.CUTOUT)[200]
    | {"description": "not there yet; `Location` says where to ask again, `Retry-After` when"}
}
_REFUSED = refusals(
    _422="a parameter cannot be used, or the part that was asked for is nothing to enhance: `detail` says why",
    _500="all attempts to make it failed; the workers' log tells more. Ask (POST) again to try anew",
    _503="too many cut-outs are under way, or the database cannot be used now; come again in a moment",
)


@router.post(
    "/enhance",
    responses={
        200: file_answers("", "application/fits")[200],
        **_WAITING,
        **problems(_404="there is no frame 7"),
        **refusals(_410="the frame's file is no longer where it was"),
        **_REFUSED,
    },
    response_class=Response,
)
async def enhance(
    request: Request, here: Here, wanted: EnhanceRequest, identity: Writer, prefer: Prefer = None
) -> Response:
    """Enhance a part of a frame of HMI; the answer is a FITS file, of twice as many pixels each way.

    This needs a key with the scope `write`: nothing of the archive changes, but every part costs some
    seconds of a worker's time and room on its disk, which is not for everybody to spend. The same part
    of the same frame is made once and given again, by every key.

    The answer waits for some seconds (`cutouts.patience_s`; `Prefer: wait=N`), and then is 202 with
    the address where the file will be.
    """
    wish = patience(prefer, here.settings.cutouts.patience_s, here.settings.cutouts)
    cutout_id = await _ask(here, wanted, identity)
    note(request, frame=wanted.frame, cutout=cutout_id)
    row = await _settled(here, cutout_id, wish.seconds)
    applied = {} if wish.applied is None else {"Preference-Applied": wish.applied}
    return await run_in_threadpool(_answer, request, here, row, cutout_id, applied)


async def _ask(here: Context, wanted: EnhanceRequest, identity: Identity) -> int:
    """Note the wish and let the workers know; return the cut-out's number."""
    await here.turns.take()
    try:
        row = await run_in_threadpool(_noted, here, wanted, identity)
    finally:
        here.turns.give_back()
    if row["status"] == CutoutStatus.WAITING and row["published_at"] is None:
        await run_in_threadpool(_publish, here, row["id"])
    return int(row["id"])


def _noted(here: Context, wanted: EnhanceRequest, identity: Identity) -> dict[str, Any]:
    _check_frame(here, wanted.frame)
    most = here.settings.cutouts.max_under_way
    request = Wanted(wanted.frame, _checked_field(here, wanted), _networks(here))
    row = cutouts.ask(here.db, request, identity.name, datetime.now(UTC), most_under_way=most)
    if row is None:
        raise ProblemError(
            503,
            "busy",
            f"{most} cut-outs are under way already; come again in a moment, or raise cutouts.max_under_way",
            headers={"Retry-After": str(_ASK_AGAIN_S)},
        )
    if row["status"] == CutoutStatus.DONE and here.files.find(row["path"]) is None:
        cutouts.make_anew(here.db, row["id"], datetime.now(UTC))
        row = cutouts.get(here.db, row["id"]) or row
    return row


def _check_frame(here: Context, frame_id: int) -> None:
    """Refuse what no worker need look at.

    Raises
    ------
    NotFoundError, ParameterError
    """
    frame = catalogue.get(here.db, frame_id)
    if frame is None:
        raise NotFoundError(f"frame {frame_id}")
    if frame["family"] != _FAMILY:
        known = {name for kind in kinds() if kind.family == _FAMILY for name in kind.names}
        stations = {name for name, kind in here.settings.stations.items() if kind in known}
        raise ParameterError(
            "frame",
            f"frame {frame_id} is of {frame['instrument'] or 'no recognised instrument'}, "
            "and only frames of HMI are enhanced",
            f"a frame of {', '.join(sorted(known | stations))}",
        )
    if frame["status"] in (Status.REJECTED, Status.FAILED):
        raise ParameterError(
            "frame", f"frame {frame_id} was {frame['status']}: {frame['reason']}", "a frame that can be read"
        )


def _checked_field(here: Context, wanted: EnhanceRequest) -> FieldOfView:
    """What is asked for, unless it is too large whatever the frame is."""
    asked, most = wanted.field_of_view, here.settings.cutouts.max_pixels
    if isinstance(asked, PixelField) and asked.width_px * asked.height_px > most:
        raise ParameterError(
            "field_of_view",
            f"has {asked.width_px} x {asked.height_px} pixels",
            f"at most {most:,} pixels at once (cutouts.max_pixels)",
        )
    return wanted.field


def _networks(here: Context) -> list[str]:
    """Sums of the networks that workers enhance with now."""
    alive = workers.alive(here.db, datetime.now(UTC), here.settings.service.worker_silence_s)
    running = (item for worker in alive for item in worker["facts"].get("models", ()))
    return sorted({str(item["sha256"]) for item in running if _is_network(item)})


def _is_network(item: dict[str, Any]) -> bool:
    return str(item.get("name", "")).startswith(_NETWORKS) and "sha256" in item


def _publish(here: Context, cutout_id: int) -> None:
    cutouts.mark_published(here.db, cutout_id, datetime.now(UTC))
    if not here.send_task(ENHANCE, cutout_id, queues.CUTOUTS):
        cutouts.mark_published(here.db, cutout_id, None)  # the workers' sweep puts it there


async def _settled(here: Context, cutout_id: int, wait_s: float) -> dict[str, Any] | None:
    """A cut-out when it is no longer under way, or when the time is up."""
    row = await run_in_threadpool(cutouts.get, here.db, cutout_id)
    if not _is_under_way(row) or wait_s <= 0 or here.waiting.taken >= here.settings.cutouts.most_waiting:
        return row
    with here.waiting.slot(here.settings.cutouts.most_waiting):
        until, pause_s = time.monotonic() + wait_s, _FIRST_PAUSE_S
        while _is_under_way(row) and (left_s := until - time.monotonic()) > 0:
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)
            row = await run_in_threadpool(cutouts.get, here.db, cutout_id)
    return row


def _is_under_way(row: dict[str, Any] | None) -> bool:
    return row is not None and row["status"] in UNDER_WAY


@router.get(
    "/enhance/{cutout_id}",
    responses={**file_answers("there is no cut-out 7", "application/fits"), **_WAITING, **_REFUSED},
    response_class=Response,
)
async def get_cutout(request: Request, here: Here, cutout_id: CutoutId, prefer: Prefer = None) -> Response:
    """The FITS file of a cut-out; 202 while it is made, and a problem with the reason when it was refused.

    The ETag is the SHA-256 of the bytes; ranges may be asked for. Cut-outs that nobody has asked for in
    a month (`cutouts.keep_days`) are removed.
    """
    wish = patience(prefer, 0.0, here.settings.cutouts)
    row = await _settled(here, cutout_id, wish.seconds)
    applied = {} if wish.applied is None else {"Preference-Applied": wish.applied}
    return await run_in_threadpool(_answer, request, here, row, cutout_id, applied)


def _answer(
    request: Request, here: Context, row: dict[str, Any] | None, cutout_id: int, headers: dict[str, str]
) -> Response:
    if row is None:
        raise NotFoundError(f"cut-out {cutout_id}", "those that nobody asks for are removed after a while")
    address = f"{base_of(request)}{API}/enhance/{cutout_id}"
    if row["status"] in UNDER_WAY:
        place = {"Location": address, "Retry-After": str(_ASK_AGAIN_S)}
        return json_response(_as_json(row, base_of(request)), 202, headers | place)
    if row["status"] != CutoutStatus.DONE:
        raise _problem(row)
    name = f"frame-{row['frame_id']}-enhanced-{cutout_id}"
    gone = f"the file of cut-out {cutout_id} was removed; ask (POST {API}/enhance) for it again"
    answer = bytes_of(request, here, row, name, gone)
    answer.headers["Content-Location"] = address
    answer.headers.update(headers)
    return answer


def _problem(row: dict[str, Any]) -> ProblemError:
    reason = row["reason"] or "no reason was noted"
    if row["status"] == CutoutStatus.REFUSED:
        return ProblemError(422, "not-enhanced", reason)
    if row["status"] == CutoutStatus.LOST:
        return ProblemError(410, "gone", f"the frame cannot be read any more: {reason}")
    return ProblemError(500, "enhancement-failed", f"{reason}; ask (POST {API}/enhance) again to try anew")


def _as_json(row: dict[str, Any], base: str) -> dict[str, Any]:
    kept = ("id", "frame_id", "status", "field_of_view", "created_at")
    links = {
        "self": f"{base}{API}/enhance/{row['id']}",
        "frame": f"{base}{API}/frames/{row['frame_id']}",
    }
    return {name: row[name] for name in kept} | {"links": links}
