"""The live stream."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.auth import identify
from service.context import Here
from service.described import Answers, refusals
from service.filters import MAX_ID, InstrumentName
from service.listening import Listening
from service.problems import ParameterError, ProblemError

router = APIRouter(tags=["events"])

_RETRY_AFTER_S = 30

_STREAM: Answers = {
    200: {
        "description": "server-sent events",
        "content": {
            "text/event-stream": {
                "example": 'event: result\ndata: {"id": 7, "instrument": "kso-halpha", …}\nid: 42\n\n'
            }
        },
    },
    **refusals(_503="too many streams are open; `Retry-After` says when to ask again"),
}


class EventQuery(BaseModel):
    """Which events are wanted."""

    model_config = ConfigDict(extra="forbid")

    after: int | None = Field(
        None, ge=0, le=MAX_ID, description="number of the last event seen; 0 for all kept"
    )
    instrument: InstrumentName | None = Field(None, description="name of one instrument")
    pulse: bool = Field(
        False, description="tell the time at the beginning and after each silence: `status` with `now`"
    )


@router.get("/events", responses=_STREAM, response_class=Response)
async def stream_events(
    request: Request,
    here: Here,
    query: Annotated[EventQuery, Query()],
    last_event_id: Annotated[str | None, Header(description="a whole number, as `id:` gave it")] = None,
) -> Response:
    """What happens, as it happens: `frame`, `result`, `alert`, `coverage` and `status`.

    `id:` is the event's number. A client that comes back with `Last-Event-ID` (browsers do by
    themselves) gets first what it missed; when some of that is no longer kept, a `status` event
    with `missed: true` says so. Without a number the stream begins now, and tells its number at once.

    A client that reads nothing for a while, or falls far behind, is told so by a `status` event with
    `dropped: true` and let go; it comes back with the last number it saw. A stream ends when its key does.
    With `pulse` no 15 s pass without an event, so that one who hears no comments knows that the stream lives.

    A `result` tells of one frame (with `regions` where they were looked for) or, with `composite` alone,
    of a composite.
    """
    limit = here.settings.service.max_listeners
    if here.stream.listeners >= limit:
        raise ProblemError(
            503,
            "too-many-listeners",
            f"{limit} streams are open already; ask again later, or raise service.max_listeners",
            headers={"Retry-After": str(_RETRY_AFTER_S)},
        )
    after = query.after if not last_event_id else _number(last_event_id)
    identity = await identify(request, here)
    is_good = partial(here.keyring.is_still_good, identity) if identity.is_known else None
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    chunks = here.stream.listen(after, query.instrument, is_good, with_pulse=query.pulse)
    return Listening(chunks, headers, patience_s=here.settings.service.listener_patience_s)


def _number(word: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 18:
        raise ParameterError("Last-Event-ID", "is no event's number", "a whole number, as `id:` gave it")
    return int(word)
