"""The newest composite, whatever a camera with a wrong clock says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from observatory.storage import composites
from service.context import Context
from service.metrics import utc_now

_AHEAD = timedelta(days=1)  # a clock set to local time is at most 14 hours ahead of UTC


def newest_composite(here: Context, look: str | None = None) -> dict[str, Any] | None:
    """Newest composite that is made, of one look or of any.

    One dated more than a day ahead would be the newest until that day comes, so it counts only where there is
    no other.
    """
    until = utc_now() + _AHEAD
    found = composites.find(here.db, look, None, until, limit=1)
    return next(iter(found or composites.find(here.db, look, None, None, limit=1)), None)
