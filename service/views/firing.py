"""What fires now, as the page *Now* shows it above its tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observatory.storage import alert_catalogue
from observatory.storage.alert_catalogue import SEVERITIES, AlertFilter
from service.context import Context
from service.metrics import utc_now

_MOST = 200
_NAMED = 6


@dataclass(frozen=True)
class Firing:
    """Alerts that fire: the worst of them by name, and how many there are beside them."""

    worst: Sequence[Mapping[str, Any]]
    more: int
    is_cut: bool
    """Whether there are more still than were counted."""


def firing(here: Context) -> Firing:
    """Alerts that fire, the most severe first, and those that nobody has acknowledged before the others."""
    found = alert_catalogue.page(here.db, AlertFilter("firing"), utc_now(), limit=_MOST + 1)
    ranks = {word: rank for rank, word in enumerate(SEVERITIES)}
    ordered = sorted(
        found[:_MOST],
        key=lambda row: (row["acknowledged"] is not None, ranks.get(row["severity"], len(ranks))),
    )
    return Firing(ordered[:_NAMED], max(0, len(ordered) - _NAMED), len(found) > _MOST)
