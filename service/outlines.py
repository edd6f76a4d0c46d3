"""Outlines of regions as SVG that lies over the preview of their frame exactly, at any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from observatory.analysis import EventType

NAMES = {EventType.CORONAL_HOLE: "coronal holes", EventType.ACTIVE_REGION: "active regions"}
_SINGULAR = {EventType.CORONAL_HOLE: "coronal hole", EventType.ACTIVE_REGION: "active region"}
# Told apart by colour-blind eyes (Okabe & Ito 2008, "Color universal design"), and by their dashes.
_COLOURS = {EventType.CORONAL_HOLE: "#56b4e9", EventType.ACTIVE_REGION: "#f0e442"}
_DASHES = {EventType.CORONAL_HOLE: "", EventType.ACTIVE_REGION: ' stroke-dasharray="12 7"'}


@dataclass(frozen=True)
class Outline:
    """One region in units of the preview's pixels, from its top left corner.

    Attributes
    ----------
    path : str
        Data of an SVG path: all rings, closed.
    x, y : float
        Where its label stands: the middle of its upper edge.
    """

    region_id: int
    event_type: EventType
    label: str
    words: str
    path: str
    x: float
    y: float


def outlines(found: Mapping[str, Any], width: int, height: int) -> list[Outline]:
    """Outlines of what was found of one type in a frame, the largest region first.

    Parameters
    ----------
    found : Mapping
        A segmentation of `region_catalogue.of_frame`; without `preview_affine` nothing can be laid over
        the preview.
    width, height : int
        Size of the preview.
    """
    if found["preview_affine"] is None:
        return []
    a, b, c, d, e, f = found["preview_affine"]
    to_picture = (a * width, b * width, c * width, d * height, e * height, f * height)
    return [_outline(row, to_picture) for row in found["items"]]


def _outline(row: Mapping[str, Any], to_picture: Sequence[float]) -> Outline:
    a, b, c, d, e, f = to_picture
    rings = [[(a * x + b * y + c, d * x + e * y + f) for x, y in ring] for ring in row["rings_px"]]
    points = [point for ring in rings for point in ring] or [(0.0, 0.0)]
    across = [x for x, _ in points]
    return Outline(
        region_id=row["id"],
        event_type=EventType(row["event_type"]),
        label=label(row),
        words=words(row),
        path="".join(f"M{'L'.join(f'{x:.1f} {y:.1f}' for x, y in ring)}Z" for ring in rings),
        x=round((min(across) + max(across)) / 2, 1),
        y=round(min(y for _, y in points), 1),
    )


def label(row: Mapping[str, Any]) -> str:
    """Type and number of its track, such as ``CH 12``; without a track, its place in the frame."""
    number = row["track_id"]
    return f"{row['event_type']} {number if number is not None else '#' + str(row['number'])}"


def words(row: Mapping[str, Any]) -> str:
    """What a region is, in a line."""
    parts = [
        f"{label(row)}, {_SINGULAR[EventType(row['event_type'])]}: {100 * row['disk_fraction']:.2g} % of the disk"
    ]
    return ", ".join([*parts, *filter(None, [position(row)])])


def position(row: Mapping[str, Any]) -> str:
    """Latitude and longitude from the centre of the disk as observers write them, such as ``N20 W05``."""
    latitude, longitude = row["stonyhurst_latitude_deg"], row["stonyhurst_longitude_deg"]
    if latitude is None or longitude is None:
        return ""
    return (
        f"{'N' if latitude >= 0 else 'S'}{abs(latitude):02.0f} "
        f"{'W' if longitude >= 0 else 'E'}{abs(longitude):02.0f}"
    )


def svg(found: Sequence[Mapping[str, Any]], width: int, height: int) -> str:
    """A picture of its own with all outlines: transparent, of the preview's size, styled without CSS."""
    layers = "".join(_layer(one, width, height) for one in found)
    unit = max(width, height) / 1024
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" fill="none" stroke-linejoin="round" '
        f'stroke-width="{2.5 * unit:.2f}">{layers}</svg>'
    )


def _layer(found: Mapping[str, Any], width: int, height: int) -> str:
    kind = EventType(found["event_type"])
    unit = max(width, height) / 1024
    paths = []
    for one in outlines(found, width, height):
        title = f"<title>{escape(one.words)}</title>"
        casing = f'<path d="{one.path}" stroke="#000" stroke-opacity="0.55" stroke-width="{5 * unit:.2f}"/>'
        paths.append(f'<g>{title}{casing}<path d="{one.path}"{_DASHES[kind]}/></g>')
    return f'<g id="{kind.value}" stroke="{_COLOURS[kind]}">{"".join(paths)}</g>'
