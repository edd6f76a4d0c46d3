"""The newest frames and composites, whatever a camera with a wrong clock says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from observatory.storage import catalogue, composites
from observatory.storage.catalogue import FrameFilter
from observatory.storage.frames import Status
from service.context import Context
from service.metrics import utc_now

_AHEAD = timedelta(days=1)  # a clock set to local time is at most 14 hours ahead of UTC


def newest(
    here: Context, instrument: str, limit: int, *, status: Status | None = None
) -> list[dict[str, Any]]:
    """Newest frames of an instrument, newest first.

    A frame dated more than a day ahead would be the newest until that day comes, so such frames
    count only where an instrument has no others.
    """
    until = utc_now() + _AHEAD
    wanted = FrameFilter(instrument=instrument, status=status, time_to=until)
    return catalogue.find(here.db, wanted, limit=limit) or catalogue.find(
        here.db, FrameFilter(instrument=instrument, status=status), limit=limit
    )


def newest_composite(here: Context, look: str | None = None) -> dict[str, Any] | None:
    """Newest composite that is made, of one look or of any."""
    until = utc_now() + _AHEAD
    found = composites.find(here.db, look, None, until, limit=1)
    return next(iter(found or composites.find(here.db, look, None, None, limit=1)), None)
