"""Frames that are brought."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from observatory import uploads
from observatory.errors import StorageUnavailableError
from observatory.uploads import Arriving, UploadNameError
from service.auth import Identity, Scope, requires
from service.context import Context, Here
from service.described import Answers, refusals
from service.forms import OneFile
from service.gate import note
from service.paging import base_of
from service.problems import ParameterError, ProblemError
from service.shapes import API, json_response

router = APIRouter(tags=["frames"])

_RETRY_AFTER_S = 5
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "one frame's file"},
                        "instrument": {
                            "type": "string",
                            "description": "what it is, when neither its header nor its name tells",
                            "example": "kso-halpha",
                        },
                    },
                }
            }
        },
    }
}


class UploadShape(BaseModel):
    """A file that was taken; its frames are found by its SHA-256."""

    sha256: str
    bytes: int
    file_name: str
    instrument: str | None
    links: dict[str, str]


_ANSWERS: Answers = {
    202: {"model": UploadShape, "description": "the file is safe; its frames appear in a moment"},
    **refusals(
        _400="the form is broken or was cut off",
        _408="the body came too slowly",
        _413="the file is larger than `limits.max_file_bytes` allows",
        _415="the body is no multipart form",
        _503="too many files arrive at once; `Retry-After` says when to come again",
        _507="the disk is full",
    ),
}


@router.post("/frames", status_code=202, responses=_ANSWERS, response_class=Response, openapi_extra=_FORM)
async def upload_frame(
    request: Request, here: Here, identity: Annotated[Identity, Depends(requires(Scope.WRITE))]
) -> Response:
    """Bring a file: `curl -H "Authorization: Bearer KEY" -F file=@FILE …/api/v1/frames`.

    The file goes the way of all others: it is recognised, judged, and refused with a reason when it cannot
    be read. The same bytes again are the same frame. The name is kept without any folder.
    """
    with here.uploads.slot(here.settings.service.max_uploads):
        try:
            arriving = await run_in_threadpool(here.spool.open)
            try:
                done, instrument = await _take(request, here, arriving)
            finally:
                arriving.discard()
        except StorageUnavailableError as error:
            raise _no_room(error) from error
    note(request, sha256=done.sha256, bytes=done.bytes, file_name=done.file_name)
    frames = f"{base_of(request)}{API}/frames?{urlencode({'sha256': done.sha256})}"
    body = {**vars(done), "instrument": instrument, "links": {"frames": frames}}
    return json_response(body, status=202, headers={"Location": frames})


async def _take(request: Request, here: Context, arriving: Arriving) -> tuple[uploads.Uploaded, str | None]:
    async def write(data: bytes) -> None:
        if arriving.bytes + len(data) > here.settings.limits.max_file_bytes:
            raise ProblemError(
                413,
                "too-large",
                f"the file is larger than {here.settings.limits.max_file_bytes:,} bytes; "
                "raise limits.max_file_bytes in the settings if it is genuine",
            )
        await run_in_threadpool(arriving.write, data)

    form = OneFile(request, ("instrument",), write)
    await form.read()
    name = _name(form.file_name or "", here)
    instrument = form.fields.get("instrument") or None
    known = uploads.instruments(here.settings)
    if instrument is not None and instrument not in known:
        raise ParameterError("instrument", "is none that is known here", f"one of {', '.join(known)}")
    if arriving.bytes == 0:
        raise ParameterError("file", "is empty", "a file with a frame in it")
    return await run_in_threadpool(arriving.place, name, instrument), instrument


def _name(given: str, here: Context) -> str:
    try:
        return uploads.clean_name(given, here.settings.ingest.temporary)
    except UploadNameError as error:
        raise ParameterError("file", str(error), "a plain file name of at most 200 bytes") from error


def _no_room(error: StorageUnavailableError) -> ProblemError:
    return ProblemError(
        507,
        "no-room",
        "the file cannot be kept now: the disk is full or away; nothing of it was kept, send it again later",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )
