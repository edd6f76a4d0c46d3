"""A form with one file, taken in piece by piece: nothing of the file is kept in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from service.problems import ParameterError, ProblemError

_FORM = b"multipart/form-data"
_LONGEST_HEADER = 32_768
_LONGEST_FIELD = 1_024
_MOST_PARTS = 16
_PIECE = 1 << 20

Write = Callable[[bytes], Awaitable[None]]


class FormError(ProblemError):
    """The body is no form, or not a whole one."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(status, "invalid-form", detail)


@dataclass
class _Part:
    """What is known of one part of the form."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    file_name: str | None = None


class OneFile:
    """Reads a form: one file, in the field ``file``, and short fields beside it.

    Parameters
    ----------
    allowed : tuple of str
        Names of the fields beside the file.
    write : callable
        Takes the file's bytes.
    """

    def __init__(self, request: Request, allowed: tuple[str, ...], write: Write) -> None:
        self._request, self._allowed, self._write = request, allowed, write
        self._part = _Part()
        self._parts = 0
        self._header = b"", b""
        self._piece = bytearray()
        self._is_whole = False
        self.file_name: str | None = None
        self.fields: dict[str, str] = {}

    async def read(self) -> None:
        """Take the form in.

        Raises
        ------
        ProblemError
            415 when it is no form, 400 when it is broken or cut off, 422 when it lacks the file or has
            what it ought not to have.
        """
        parser = MultipartParser(
            self._boundary(),
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
            max_header_size=_LONGEST_HEADER,
        )
        try:
            async for data in self._request.stream():
                if data:
                    parser.write(data)
                    if len(self._piece) >= _PIECE:
                        await self._hand_over()
            parser.finalize()
        except FormParserError as error:
            raise FormError(f"the body is no well-formed multipart form: {error}") from error
        except ClientDisconnect as error:
            raise FormError("the upload was cut off") from error
        if not self._is_whole:
            raise FormError("the form was cut off: its last boundary did not come")
        if self.file_name is None:
            raise ParameterError("file", "is missing", "one file, with its name")
        await self._hand_over()

    def _boundary(self) -> bytes:
        kind, options = parse_options_header(self._request.headers.get("content-type", ""))
        if kind != _FORM:
            raise FormError("send the file as multipart/form-data, in the field `file`", 415)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 200:
            raise FormError("the Content-Type has no boundary of 1 to 200 letters")
        return boundary

    async def _hand_over(self) -> None:
        if self._piece:
            data, self._piece = bytes(self._piece), bytearray()
            await self._write(data)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise FormError(f"the form has more than {_MOST_PARTS} parts")
        self._part, self._header = _Part(), (b"", b"")

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0] + data[start:end], self._header[1]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0], self._header[1] + data[start:end]

    def _on_header_end(self) -> None:
        name, value = self._header
        self._part.headers[name.lower()] = value
        self._header = b"", b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(
            self._part.headers.get(b"content-disposition", b"").decode("latin-1")
        )
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            self._part.file_name = options[b"filename"].decode("utf-8", "replace")
        if self._part.name == "file":
            if self.file_name is not None:
                raise ParameterError("file", "is there twice", "one file a request")
            if self._part.file_name is None:
                raise ParameterError("file", "has no file name", "a file, with its name")
            self.file_name = self._part.file_name
        elif self._part.name not in self._allowed:
            name = self._part.name[:40] or "a field without a name"
            raise ParameterError(
                name, "is not a field here", f"fields: {', '.join(('file', *self._allowed))}"
            )
        elif self._part.name in self.fields:
            raise ParameterError(self._part.name, "is there twice", "once")
        else:
            self.fields[self._part.name] = ""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == "file":
            self._piece += memoryview(data)[start:end]
            return
        value = self.fields[self._part.name] + data[start:end].decode("utf-8", "replace")
        if len(value) > _LONGEST_FIELD:
            raise ParameterError(self._part.name, "is too long", f"at most {_LONGEST_FIELD} letters")
        self.fields[self._part.name] = value

    def _on_end(self) -> None:
        self._is_whole = True
