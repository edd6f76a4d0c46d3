"""Regions as other programs read them: GeoJSON-like features, DS9 region files, VOTables.

All take the objects of `region_json`, so that what is stored can be exported as it is. Regions
without the coordinates that are asked for are left out: they lie nowhere in that system.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from observatory.region_outline import signed_area

Coordinates = Literal["hpc", "carrington", "pixel"]
Json = Mapping[str, Any]

_RINGS = {"hpc": "rings_hpc_arcsec", "carrington": "rings_carrington_deg", "pixel": "rings_px"}
_SYSTEMS = {
    "hpc": {"name": "helioprojective", "unit": "arcsec", "axes": ["Tx west", "Ty north"]},
    "carrington": {"name": "heliographic Carrington", "unit": "deg", "axes": ["longitude", "latitude"]},
    "pixel": {"name": "0-based pixels, rows as in the file", "unit": "pixel", "axes": ["x", "y"]},
}
_DS9_COLOURS = {"CH": "cyan", "AR": "red"}


def feature_collection(regions: Sequence[Json], coordinates: Coordinates = "hpc") -> dict[str, Any]:
    """Return a FeatureCollection in the form of RFC 7946, but on the Sun.

    Parameters
    ----------
    regions : sequence of objects from `region_json`
    coordinates : str
        ``hpc`` (arcseconds), ``carrington`` (degrees; longitudes run on beyond 0 or 360 where an
        outline crosses the prime meridian) or ``pixel``.

    Returns
    -------
    dict
        Features are MultiPolygons, outer rings anticlockwise, rings closed; their properties are
        HEK's fields. The member ``coordinate_system`` says what RFC 7946 has no word for.
    """
    features = [
        {"type": "Feature", "geometry": geometry, "properties": _properties(region)}
        for region in regions
        if (geometry := _geometry(region, coordinates)) is not None
    ]
    return {
        "type": "FeatureCollection",
        "coordinate_system": _SYSTEMS[coordinates],
        "features": features,
    }


def _properties(region: Json) -> dict[str, Any]:
    left_out = ("rings_", "centroid_", "bounding_box", "intensity_", "area_px", "area_atdiskcenter_mm2")
    polygons = ("_boundcc", "_bbox", "chaincode")
    return {
        name: value
        for name, value in region.items()
        if not name.startswith(left_out) and not name.endswith(polygons)
    }


def _geometry(region: Json, coordinates: Coordinates) -> dict[str, Any] | None:
    polygons = _polygons(region, coordinates)
    if not polygons:
        return None
    return {
        "type": "MultiPolygon",
        "coordinates": [
            [np.concatenate([ring, ring[:1]]).round(4).tolist() for ring in polygon] for polygon in polygons
        ],
    }


def _polygons(region: Json, coordinates: Coordinates) -> list[list[np.ndarray]]:
    """Rings by piece, each piece's outer ring first and anticlockwise, its holes clockwise.

    Which rings are holes shows in pixels: there holes turn against their outer ring.
    """
    rings = region.get(_RINGS[coordinates])
    pixels = region.get("rings_px")
    if not rings or not pixels:
        return []
    polygons: list[list[np.ndarray]] = []
    for ring, in_pixels in zip(rings, pixels, strict=True):
        points = np.array(ring, np.float64)
        if coordinates == "carrington":
            points = _unwrapped(points)
        is_hole = signed_area(np.array(in_pixels)) < 0 and bool(polygons)
        if (signed_area(points) < 0) is not is_hole:
            points = points[::-1]
        if is_hole:
            if coordinates == "carrington":
                points = _turned_into(points, polygons[-1][0])
            polygons[-1].append(points)
        else:
            polygons.append([points])
    return polygons


def _unwrapped(points: np.ndarray) -> np.ndarray:
    """Longitudes without a jump; a ring about a pole is closed along the pole."""
    longitude = np.degrees(np.unwrap(np.radians(points[:, 0])))
    closing = np.degrees(np.unwrap(np.radians([points[-1, 0], points[0, 0]])))
    turned = longitude[-1] + (closing[1] - closing[0]) - longitude[0]
    ring = np.stack([longitude, points[:, 1]], axis=-1)
    if abs(turned) < 180.0:
        return ring
    pole = 90.0 if points[:, 1].mean() > 0 else -90.0
    last = longitude[0] + turned
    return np.concatenate([ring, [[last, points[0, 1]], [last, pole], [longitude[0], pole]]])


def _turned_into(hole: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """A hole by whole turns about the Sun to where its outer ring, unwrapped by itself, has come to lie."""
    apart = outer[:, 0].min() + outer[:, 0].max() - hole[:, 0].min() - hole[:, 0].max()
    return hole + np.array([360.0 * np.rint(apart / 720.0), 0.0])


def ds9_regions(
    regions: Sequence[Json],
    coordinates: Literal["image", "hpc"] = "image",
    heights_px: Sequence[int | None] = (),
) -> str:
    """Return a DS9 region file: a polygon for every outer ring, holes as excluded polygons.

    Parameters
    ----------
    coordinates : str
        ``image``: FITS pixels, the first one is 1; ``hpc``: degrees in the image's own WCS.
    heights_px : sequence of int or None
        For each region the height of its frame where the rows of the file run from the top (JPEG, PNG,
        JPEG 2000): DS9 counts them from the bottom whatever the file. None, or none given: they do.
    """
    lines = ["# Region file format: DS9 version 4.1", "global width=2 dash=0 fixed=0 edit=1 move=1 delete=1"]
    lines.append("image" if coordinates == "image" else "wcs")
    name: Coordinates = "pixel" if coordinates == "image" else "hpc"
    for region, height in zip(regions, heights_px or [None] * len(regions), strict=True):
        label = f"{region['event_type']} {region.get('track_id') or ''}".strip()
        colour = _DS9_COLOURS.get(str(region["event_type"]), "green")
        for polygon in _polygons(region, name):
            for index, ring in enumerate(polygon):
                values = _image_pixels(ring, height) if coordinates == "image" else ring / 3600.0
                digits = 3 if coordinates == "image" else 7
                numbers = ",".join(f"{value:.{digits}f}" for value in values.ravel())
                sign = "-" if index else ""
                lines.append(f"{sign}polygon({numbers}) # color={colour} text={{{label}}}")
    return "\n".join(lines) + "\n"


def _image_pixels(ring: np.ndarray, height_px: int | None) -> np.ndarray:
    """0-based pixels of a file as DS9 counts them: from 1, rows from the bottom."""
    if height_px is None:
        return ring + 1.0
    return np.stack([ring[:, 0] + 1.0, height_px - ring[:, 1]], axis=-1)


@dataclass(frozen=True)
class Column:
    """A column of the table of regions.

    Attributes
    ----------
    name : str
        The key in `region_json`.
    datatype : str
        VOTable's: ``char``, ``double`` or ``long``.
    unit, ucd : str
        As VOUnits and UCD1+; empty for none.
    """

    name: str
    datatype: str
    unit: str
    ucd: str
    description: str


_COLUMNS = (
    Column("event_type", "char", "", "src.class", "HEK event type: CH or AR"),
    Column("event_starttime", "char", "", "time.start;obs", "Start of the exposure, UTC"),
    Column("event_endtime", "char", "", "time.end;obs", "End of the exposure, UTC"),
    Column("frm_specificid", "char", "", "meta.id", "Id of the region, kept under solar rotation"),
    Column("event_probability", "double", "", "stat.probability", "Mean probability inside"),
    Column("hpc_x", "double", "arcsec", "pos.cartesian.x", "Centre, helioprojective west"),
    Column("hpc_y", "double", "arcsec", "pos.cartesian.y", "Centre, helioprojective north"),
    Column("hgs_x", "double", "deg", "pos.bodyrc.lon", "Centre, Stonyhurst longitude"),
    Column("hgs_y", "double", "deg", "pos.bodyrc.lat", "Centre, heliographic latitude"),
    Column("hgc_x", "double", "deg", "pos.bodyrc.lon", "Centre, Carrington longitude"),
    Column("area_atdiskcenter", "double", "Mm**2", "phys.area", "Area, foreshortening corrected"),
    Column("area_raw", "double", "Mm**2", "phys.area", "Area as seen"),
    Column("area_msh", "double", "", "phys.area", "Area in millionths of the solar hemisphere"),
    Column("disk_fraction", "double", "", "phys.area;arith.ratio", "Area as seen over the disk's"),
    Column("intensmean", "double", "", "phot.count;stat.mean", "Mean of the frame's pixels inside"),
    Column("intensmedian", "double", "", "phot.count;stat.median", "Median of the frame's pixels inside"),
    Column("intensmin", "double", "", "phot.count;stat.min", "Least of the frame's pixels inside"),
    Column("intensmax", "double", "", "phot.count;stat.max", "Greatest of the frame's pixels inside"),
    Column("obs_observatory", "char", "", "meta.id;instr.obsty", "Observatory"),
    Column("obs_instrument", "char", "", "meta.id;instr", "Instrument"),
    Column("obs_meanwavel", "double", "0.1nm", "em.wl", "Wavelength"),
    Column("frm_name", "char", "", "meta.id;meta.software", "Model that found the region"),
    Column("frm_versionnumber", "char", "", "meta.version;meta.software", "Version of the model"),
    Column("frm_paramset", "char", "", "meta.note", "Parameters"),
    Column("hpc_boundcc", "char", "", "pos.outline", "Outline in arcsec"),
    Column("hgc_boundcc", "char", "", "pos.outline", "Outline in Carrington degrees"),
)


def votable_fields() -> tuple[Column, ...]:
    """Columns of the table of regions, in order."""
    return _COLUMNS


def votable_rows(regions: Sequence[Json]) -> list[tuple[str | float, ...]]:
    """Rows in the order of `votable_fields`; an unknown number is NaN, an unknown text is empty."""
    return [
        tuple(_cell(region.get(column.name), column.datatype) for column in _COLUMNS) for region in regions
    ]


def _cell(value: Any, datatype: str) -> str | float:
    if datatype == "char":
        return "" if value is None else str(value)
    return float("nan") if value is None else float(value)


def votable(regions: Sequence[Json]) -> bytes:
    """Return a VOTable 1.4 document of the regions."""
    # Imported here: the rest of this module is used without astropy.
    from astropy.io.votable import writeto
    from astropy.io.votable.tree import Field as VoField
    from astropy.io.votable.tree import Resource, TableElement, VOTableFile

    document = VOTableFile(version="1.4")
    resource = Resource(type="results")
    document.resources.append(resource)
    table = TableElement(document, name="regions")
    resource.tables.append(table)
    for column in _COLUMNS:
        text = {"arraysize": "*"} if column.datatype == "char" else {}
        element = VoField(
            document,
            name=column.name,
            ID=column.name,
            datatype=column.datatype,
            unit=column.unit or None,
            ucd=column.ucd,
            **text,
        )
        element.description = column.description
        table.fields.append(element)
    table.create_arrays(len(regions))
    for index, row in enumerate(votable_rows(regions)):
        table.array[index] = row
    stream = io.BytesIO()
    writeto(document, stream)
    return stream.getvalue()
