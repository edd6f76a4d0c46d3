"""Which format an answer has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import Request

from service.problems import ProblemError

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "votable": "application/x-votable+xml",
    "parquet": "application/vnd.apache.parquet",
}
"""What every list can be had as, by name."""


def chosen_format(request: Request, named: str | None, media_types: Mapping[str, str] = MEDIA_TYPES) -> str:
    """Name of the format: the parameter when given, else what the client likes best.

    Parameters
    ----------
    media_types : Mapping of str to str
        What there is, by name; the first one is given to those who do not mind.

    Raises
    ------
    ProblemError
        406 when the Accept header allows none of them.
    """
    if named is not None:
        return named
    ranges = _accepted(request.headers.get("accept", ""))
    best = max(media_types, key=lambda name: _liking(media_types[name], ranges))
    if _liking(media_types[best], ranges) == 0:
        allowed = ", ".join(media_types.values())
        detail = f"the Accept header allows none of {allowed}; say format= to choose one"
        raise ProblemError(406, "not-acceptable", detail)
    return best


def _accepted(header: str) -> dict[str, float]:
    """Weights of the media ranges; a header that names none minds nothing (RFC 9110, 12.5.1)."""
    ranges = {}
    for part in filter(str.strip, header.split(",")):
        media, *parameters = (word.strip() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        ranges[media.lower()] = weight
    return ranges or {"*/*": 1.0}


def _liking(media_type: str, ranges: dict[str, float]) -> float:
    kind = media_type.partition("/")[0]
    for name in (media_type, f"{kind}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def iso_z(moment: datetime) -> str:
    """ISO 8601 with Z."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
