"""The bytes of frames as the observatory wrote them, from where they lie."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from observatory.storage import originals
from observatory.storage.originals import Original, Place
from service.context import Here
from service.described import file_answers, refusals
from service.numbers import RowNumber
from service.problems import NotFoundError, ProblemError
from service.ranges import RangedFile, has_it

router = APIRouter(tags=["frames"])

FrameId = Annotated[RowNumber, PathParameter(description="number of a frame")]
_MEDIA_TYPES = {
    ".fits": "application/fits",
    ".fts": "application/fits",
    ".fit": "application/fits",
    ".fz": "application/fits",
    ".gz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".jp2": "image/jp2",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".pgm": "image/x-portable-graymap",
}
_ANY = "application/octet-stream"
_PIECE = 1 << 20
_BYTES = file_answers("", *sorted({*_MEDIA_TYPES.values(), _ANY})) | refusals(
    _403="this server does not give originals away (`service.serve_originals`)",
    _404="no such frame, or its file is no longer where it was: `detail` says which",
)
del _BYTES[410]  # what is gone may lie there again


def media_type_of(file_name: str) -> str:
    """Media type of an original, by its name."""
    return _MEDIA_TYPES.get(Path(file_name).suffix.lower(), _ANY)


class _Verified:
    """Files found, by reading them whole, to hold the bytes they should; forgets the oldest."""

    def __init__(self, size: int = 1000) -> None:
        self._known: OrderedDict[tuple[str, int, int], str] = OrderedDict()
        self._size = size
        self._lock = threading.Lock()

    def sha256(self, path: Path, status: os.stat_result) -> str:
        """Sum of a file, remembered as long as its length and time of last change stay."""
        key = (os.fspath(path), status.st_size, status.st_mtime_ns)
        with self._lock:
            if key in self._known:
                return self._known[key]
        total = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                total.update(piece)
        with self._lock:
            self._known[key] = total.hexdigest()
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return total.hexdigest()


_verified = _Verified()


@router.get("/frames/{frame_id}/data", responses=_BYTES, response_class=Response)
def get_original(request: Request, here: Here, frame_id: FrameId) -> Response:
    """The file that a frame came in, byte by byte; the ETag is its sha256, ranges may be asked for.

    A file of several frames is given whole for each of them. What lies there now is given only when
    it still is what was taken in; otherwise the answer is 404 and says so.
    """
    found = originals.original(here.db, frame_id)
    if found is None:
        raise NotFoundError(f"frame {frame_id}")
    if not here.settings.service.serve_originals:
        raise ProblemError(
            403,
            "originals-not-served",
            "this server gives no original files away (service.serve_originals); previews are there",
        )
    headers = {"ETag": f'"{found.sha256}"', "Cache-Control": "no-cache"}
    path = place_of(found, frame_id)
    if has_it(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return RangedFile(
        path,
        headers=headers,
        media_type=media_type_of(found.file_name),
        filename=found.file_name,
        content_disposition_type="attachment",  # whatever a camera wrote is nothing for a browser to run
    )


def place_of(found: Original, frame_id: int) -> Path:
    """Where the file lies unchanged.

    Raises
    ------
    NotFoundError
        When it lies nowhere, with what is the matter.
    """
    if found.sha256 is None:
        raise NotFoundError(f"file of frame {frame_id}", "it could not be read when it came")
    has_changed = False
    for place in found.places:
        try:
            status = place.path.stat()
            if not stat.S_ISREG(status.st_mode):
                continue
            if _is_same(place, status) or (
                status.st_size == found.bytes and _verified.sha256(place.path, status) == found.sha256
            ):
                return place.path
            has_changed = True
        except OSError:
            continue  # gone, or not for us to read: perhaps it lies elsewhere, too
    why = (
        "holds something else now" if has_changed else "was moved or removed, or this server may not read it"
    )
    raise NotFoundError(f"file of frame {frame_id} any more", f"it {why}")


def _is_same(place: Place, status: os.stat_result) -> bool:
    """Whether the file looks as it did when it was summed: then it need not be read again."""
    return (status.st_size, status.st_mtime_ns) == (place.bytes, place.mtime_ns) and os.access(
        place.path, os.R_OK
    )
