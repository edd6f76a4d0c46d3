"""Stored files as answers: whole, in part, or not at all when the client has them."""

from __future__ import annotations

from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable
from starlette.types import Receive, Scope, Send

from service.problems import ParameterProblem, ProblemError


class RangedFile(FileResponse):
    """A file whose ranges fail as problems, and in which a unit that nobody knows asks for the whole.

    So does a range that is asked for by anything but GET (RFC 9110, 14.2).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the part of it that was asked for."""
        word = Headers(scope=scope).get("range")
        is_known = word is not None and word.partition("=")[0].strip().lower() == "bytes"
        if word is not None and not (is_known and scope["method"] == "GET"):
            kept = [(name, value) for name, value in scope["headers"] if name != b"range"]
            scope = {**scope, "headers": kept}  # RFC 9110, 14.2: a unit not understood is passed over
        await super().__call__(scope, receive, send)

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except RangeNotSatisfiable as error:
            raise ProblemError(
                416,
                "range-not-satisfiable",
                f"the file has {file_size} bytes; the range begins after them",
                headers={"Content-Range": f"bytes */{file_size}", "Accept-Ranges": "bytes"},
            ) from error
        except MalformedRangeHeader as error:
            problem = ParameterProblem(
                parameter="Range",
                detail="is no range of bytes",
                allowed="bytes=FIRST-LAST, such as bytes=0-999",
            )
            raise ProblemError(
                400, "malformed-range", "Range: is no range of bytes", errors=[problem]
            ) from error


def has_it(header: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` header names what we would send."""
    if header is None:
        return False
    return header.strip() == "*" or etag in (word.strip().removeprefix("W/") for word in header.split(","))
