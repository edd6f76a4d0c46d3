"""The live stream of events, picked up again where it broke."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from heliowatch_fido.errors import HeliowatchError, RefusedError, UnreachableError
from heliowatch_fido.transport import Connection

_SILENCE_S = 60.0  # a living server says something every 15 s
_LONGEST_LINE = 4 << 20
_FAILURES = 10
_FIRST_PAUSE_S = 0.5
_FOR_EVER = (400, 401, 403, 404, 406, 422)


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes
    ----------
    id : int or None
        Its number in the server's database: what to go on from.
    type : str
        ``frame``, ``result``, ``alert``, ``coverage`` or ``status``.
    data : dict
        What the server tells of it.
    """

    id: int | None
    type: str
    data: dict[str, Any]


def events(connection: Connection, instrument: str | None, after: int | None) -> Iterator[Event]:
    """Yield events for ever; a broken stream is opened again after the last event seen.

    Raises
    ------
    RefusedError
        When the server will not have us.
    UnreachableError
        After ten failures in a row.
    """
    failures = 0
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            with _open(connection, instrument, after) as answer:
                for field in _events(answer):
                    if isinstance(field, float):
                        pause_s = field
                        continue
                    failures = 0
                    number, event = field
                    after = number if number is not None else after
                    if event is not None:
                        yield event
        except RefusedError as error:
            if error.status in _FOR_EVER:
                raise
            failures = _count(failures, error)
        except (UnreachableError, OSError, http.client.HTTPException) as error:
            failures = _count(failures, error)
        time.sleep(min(pause_s * 2 ** max(failures - 1, 0), 60.0))


def _count(failures: int, error: Exception) -> int:
    if failures + 1 < _FAILURES:
        return failures + 1
    if isinstance(error, HeliowatchError):
        raise error
    raise UnreachableError("the event stream", str(error)) from error


def _open(connection: Connection, instrument: str | None, after: int | None) -> HTTPResponse:
    headers = {"Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    patient = Connection(connection.url, connection.key, timeout_s=_SILENCE_S, tries=1)
    return patient.open("events", {"instrument": instrument}, headers)


def _events(answer: HTTPResponse) -> Iterator[float | tuple[int | None, Event | None]]:
    """Numbers with events (None: the number alone), and the pause in seconds that the server asks for."""
    number: int | None = None
    kind = "message"
    lines: list[str] = []
    while line := answer.readline(_LONGEST_LINE):
        word = line.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = word.partition(":")
        value = value.removeprefix(" ")
        if not word:
            if lines or number is not None:
                yield number, Event(number, kind, _data(lines)) if lines else None
            kind, lines, number = "message", [], None
        elif name == "data":
            lines.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and value.isdigit():
            number = int(value)
        elif name == "retry" and value.isdigit():
            yield int(value) / 1000.0


def _data(lines: list[str]) -> dict[str, Any]:
    try:
        said = json.loads("\n".join(lines))
    except ValueError:
        return {"text": "\n".join(lines)}
    return said if isinstance(said, dict) else {"value": said}
