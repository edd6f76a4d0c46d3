"""What the page *Now* shows of the corona: outlines over a frame, areas over a day, the newest composite."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from observatory.analysis import EventType
from observatory.storage import region_catalogue
from service.context import Context
from service.metrics import utc_now
from service.newest import newest_composite
from service.outlines import NAMES, Outline, label, outlines, position
from service.routes.composites import nearest_picture, picture_path

_BIN_S = 120
_MAX_BINS = 2 * 86400 // _BIN_S  # of a day, from two instruments of one name at most
_LEAST_SPAN_S = 3600.0
_GAP_S = 1800.0  # a longer silence is shown as a gap
_WIDTH = 1000  # of the drawing, whatever the preview's: lines and letters look the same on all
_LABELLED = 8  # largest regions of a layer that carry their label
_THUMB_PX, _LARGE_PX = 256, 2048


@dataclass(frozen=True)
class Layer:
    """Regions of one type in a frame, to be laid over its preview."""

    event_type: EventType
    name: str
    is_shown: bool
    disk_fraction: float
    outlines: Sequence[Outline]
    labelled: Sequence[Outline]
    regions: Sequence[Mapping[str, Any]]
    """Rows of the table: `id`, `label`, `position`, `disk_fraction`, `area_msh`, `track_id`."""
    model: str


@dataclass(frozen=True)
class Overlay:
    """All that was found in a frame, drawn on a picture that is 1000 wide."""

    height: int
    layers: Sequence[Layer]

    @property
    def words(self) -> str:
        """What the outlines are, for those who do not see them."""
        return ", ".join(f"{len(layer.regions)} {layer.name}" for layer in self.layers)

    @property
    def is_laid_over(self) -> bool:
        """Whether there is anything to lay over the picture."""
        return any(layer.outlines for layer in self.layers)


def overlay(
    here: Context, frame_id: int, width: int | None, height: int | None, shown: Collection[str] | None
) -> Overlay | None:
    """What was found in a frame; None when nobody looked.

    Parameters
    ----------
    width, height : int or None
        Of the preview; None when there is none.
    shown : collection of str or None
        Types whose outlines are switched on; None means all.
    """
    found = region_catalogue.of_frame(here.db, frame_id)
    if not found:
        return None
    drawn = round(_WIDTH * height / width) if width and height else 0
    layers = [_layer(one, drawn, shown) for one in reversed(found)]  # coronal holes first
    return Overlay(drawn, layers)


def _layer(found: Mapping[str, Any], height: int, shown: Collection[str] | None) -> Layer:
    kind = EventType(found["event_type"])
    laid = outlines(found, _WIDTH, height) if height else []
    names = ("id", "track_id", "disk_fraction", "area_msh")
    rows = [
        {name: row[name] for name in names} | {"label": label(row), "position": position(row)}
        for row in found["items"]
    ]
    return Layer(
        event_type=kind,
        name=NAMES[kind],
        is_shown=shown is None or kind.value in shown,
        disk_fraction=found["disk_fraction"],
        outlines=laid,
        labelled=[replace(one, y=max(one.y - 8, 24)) for one in laid[:_LABELLED]],
        regions=rows,
        model=f"{found['model_name']} {found['model_version']}",
    )


@dataclass(frozen=True)
class Line:
    """Share of the disk of one type of event over time."""

    event_type: EventType
    name: str
    path: str
    """SVG path data in a box of 1000 by 100, y downwards; a lone point is a short dash."""
    newest: float


@dataclass(frozen=True)
class Areas:
    """Areas of a day as a drawing: x in thousandths of the width, y in percent of the height."""

    lines: Sequence[Line]
    levels: Sequence[tuple[float, str]]
    hours: Sequence[tuple[float, str]]
    start: datetime
    end: datetime


def areas(here: Context, instrument: str, start: datetime, end: datetime) -> Areas | None:
    """Areas of an instrument's day; None when no regions were looked for."""
    points = region_catalogue.area_series(
        here.db, None, instrument, start, end, bin_s=_BIN_S, limit=_MAX_BINS
    )
    if not points:
        return None
    first_s, last_s = points[0]["time"].timestamp(), points[-1]["time"].timestamp()
    span_s = max(last_s - first_s, _LEAST_SPAN_S)
    left_s, width_s = last_s - 1.03 * span_s, 1.06 * span_s  # a young day grows from the right
    top = _nice_top(max(point["disk_fraction"] for point in points))

    def place(point: Mapping[str, Any]) -> tuple[float, float]:
        x = 1000 * (point["time"].timestamp() - left_s) / width_s
        return x, 100 * (1 - point["disk_fraction"] / top)

    lines = []
    for kind, name in NAMES.items():
        theirs = [point for point in points if point["event_type"] == kind]
        if theirs:
            lines.append(Line(kind, name, _path(theirs, place), theirs[-1]["disk_fraction"]))
    levels = [(100 * (1 - share), f"{100 * top * share:.3g} %") for share in (0.0, 0.5, 1.0)]
    hours = [(1000 * (tick - left_s) / width_s, _clock(tick)) for tick in _ticks(left_s, width_s)]
    return Areas(lines, levels, hours, start, end)


def _nice_top(value: float) -> float:
    """The next 1, 2 or 5 above a value, so that the scale has round numbers."""
    if value <= 0:
        return 0.01
    scale = 10 ** math.floor(math.log10(value))
    return next((step * scale for step in (1, 2, 5) if step * scale >= value), 10 * scale)


def _path(points: Sequence[Mapping[str, Any]], place: Any) -> str:
    parts: list[str] = []
    before: datetime | None = None
    for point in points:
        x, y = place(point)
        is_new = before is None or point["time"] - before > timedelta(seconds=_GAP_S)
        # Every piece begins with a short dash, so that a lone point is seen, too.
        parts.append(f"M{x - 3:.1f} {y:.2f}h3" if is_new else f"L{x:.1f} {y:.2f}")
        before = point["time"]
    return "".join(parts)


def _ticks(left_s: float, width_s: float) -> list[float]:
    """Round times, four to eight of them."""
    step_s = next(step for step in (600, 900, 1800, 3600, 10800, 21600) if width_s / step <= 8)
    first = math.ceil((left_s + 0.02 * width_s) / step_s)
    return [tick * step_s for tick in range(first, math.floor((left_s + 0.98 * width_s) / step_s) + 1)]


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M}"


@dataclass(frozen=True)
class CompositeTile:
    """The newest composite at a glance."""

    id: int
    look: str
    date_obs: datetime
    seen_at: datetime
    """When its frames were observed, as they say; at the latest when they came together."""
    age_s: float
    is_complete: bool
    instruments: Sequence[str]
    thumb: str | None
    large: str | None


def composite_tile(here: Context, base: str) -> CompositeTile | None:
    """The newest composite; None when none was made yet."""
    row = newest_composite(here)
    if row is None:
        return None
    has_picture = bool(row["pictures"])
    seen_at = min(row["date_obs"], row["created_at"])
    return CompositeTile(
        id=row["id"],
        look=row["look"],
        date_obs=row["date_obs"],
        seen_at=seen_at,
        age_s=(utc_now() - seen_at).total_seconds(),
        is_complete=row["is_complete"],
        instruments=[one["instrument"] for one in row["frames"]],
        thumb=base + picture_path(nearest_picture(row, _THUMB_PX)) if has_picture else None,
        large=base + picture_path(nearest_picture(row, _LARGE_PX)) if has_picture else None,
    )
