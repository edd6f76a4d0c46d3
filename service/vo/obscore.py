"""Frames and their products as rows of ObsCore 1.1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from observatory.storage.images import SKY_FAMILY
from service.routes.originals import media_type_of
from service.shapes import API
from service.vo.position import sun_place, to_mjd
from service.vo.votable import Field

#: IVOA Recommendation ObsCore 1.1, tables 1 and 5: names, UCDs and utypes.
FIELDS = (
    Field("dataproduct_type", "char", "image", "meta.code.class", "obscore:ObsDataset.dataProductType"),
    Field(
        "dataproduct_subtype",
        "char",
        "original: the file as it came; preview, enhanced, region-map, mask-CH, …: what was made of it",
        "meta.code.class",
        "obscore:ObsDataset.dataProductSubtype",
    ),
    Field(
        "calib_level",
        "int",
        "1 as the observatory delivered it, 3 made better to look at, 4 found by analysis",
        "meta.code;obs.calib",
        "obscore:ObsDataset.calibLevel",
    ),
    Field("obs_collection", "char", "originals or products", "meta.id", "obscore:DataID.collection"),
    Field("obs_id", "char", "the frame", "meta.id", "obscore:DataID.observationID"),
    Field("obs_title", "char", "in words", "meta.title;obs", "obscore:DataID.title"),
    Field(
        "obs_publisher_did",
        "char",
        "identifier of this very file",
        "meta.ref.ivoid",
        "obscore:Curation.publisherDID",
    ),
    Field("access_url", "char", "where the file is", "meta.ref.url", "obscore:Access.reference"),
    Field("access_format", "char", "its media type", "meta.code.mime", "obscore:Access.format"),
    Field("access_estsize", "long", "its size", "phys.size;meta.file", "obscore:Access.size", "kbyte"),
    Field("target_name", "char", "Sun, or Earth for the sky above", "meta.id;src", "obscore:Target.name"),
    Field(
        "s_ra",
        "double",
        "of the Sun's centre at that time (ICRS)",
        "pos.eq.ra",
        "obscore:Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1",
        "deg",
    ),
    Field(
        "s_dec",
        "double",
        "of the Sun's centre at that time (ICRS)",
        "pos.eq.dec",
        "obscore:Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2",
        "deg",
    ),
    Field(
        "s_fov",
        "double",
        "not told",
        "phys.angSize;instr.fov",
        "obscore:Char.SpatialAxis.Coverage.Bounds.Extent.diameter",
        "deg",
    ),
    Field(
        "s_region",
        "char",
        "not told",
        "pos.outline;obs.field",
        "obscore:Char.SpatialAxis.Coverage.Support.Area",
    ),
    Field(
        "s_resolution",
        "double",
        "not told",
        "pos.angResolution",
        "obscore:Char.SpatialAxis.Resolution.Refval.value",
        "arcsec",
    ),
    Field("s_xel1", "long", "width", "meta.number", "obscore:Char.SpatialAxis.numBins1"),
    Field("s_xel2", "long", "height", "meta.number", "obscore:Char.SpatialAxis.numBins2"),
    Field(
        "t_min",
        "double",
        "start of the exposure (MJD, UTC)",
        "time.start;obs.exposure",
        "obscore:Char.TimeAxis.Coverage.Bounds.Limits.StartTime",
        "d",
    ),
    Field(
        "t_max",
        "double",
        "end of the exposure (MJD, UTC); the start where its length is unknown",
        "time.end;obs.exposure",
        "obscore:Char.TimeAxis.Coverage.Bounds.Limits.StopTime",
        "d",
    ),
    Field(
        "t_exptime",
        "double",
        "length of the exposure",
        "time.duration;obs.exposure",
        "obscore:Char.TimeAxis.Coverage.Support.Extent",
        "s",
    ),
    Field(
        "t_resolution",
        "double",
        "not told",
        "time.resolution",
        "obscore:Char.TimeAxis.Resolution.Refval.value",
        "s",
    ),
    Field("t_xel", "long", "1", "meta.number", "obscore:Char.TimeAxis.numBins"),
    Field(
        "em_min",
        "double",
        "nominal wavelength",
        "em.wl;stat.min",
        "obscore:Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit",
        "m",
    ),
    Field(
        "em_max",
        "double",
        "nominal wavelength",
        "em.wl;stat.max",
        "obscore:Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit",
        "m",
    ),
    Field(
        "em_res_power",
        "double",
        "not told",
        "spect.resolution",
        "obscore:Char.SpectralAxis.Resolution.ResolPower.refVal",
    ),
    Field("em_xel", "long", "1", "meta.number", "obscore:Char.SpectralAxis.numBins"),
    Field("o_ucd", "char", "what the pixels hold", "meta.ucd", "obscore:Char.ObservableAxis.ucd"),
    Field(
        "pol_states",
        "char",
        "not told",
        "meta.code;phys.polarization",
        "obscore:Char.PolarizationAxis.stateList",
    ),
    Field("pol_xel", "long", "not told", "meta.number", "obscore:Char.PolarizationAxis.numBins"),
    Field(
        "facility_name",
        "char",
        "observatory",
        "meta.id;instr.tel",
        "obscore:Provenance.ObsConfig.Facility.name",
    ),
    Field(
        "instrument_name",
        "char",
        "instrument, by our name",
        "meta.id;instr",
        "obscore:Provenance.ObsConfig.Instrument.name",
    ),
    Field("quality_score", "double", "of the frame, 0 (useless) to 1 (best)", "meta.code.qual"),
)

ORIGINALS, PRODUCTS = "originals", "products"
SUN, EARTH = "Sun", "Earth"
_LOOKS = dict.fromkeys(("preview", "enhanced", "compare", "compare-before", "compare-after"), 3)
_ANALYSED = 4
#: All that these columns ever hold.
POSSIBLE: Mapping[str, frozenset[str]] = {
    "dataproduct_type": frozenset({"image"}),
    "obs_collection": frozenset({ORIGINALS, PRODUCTS}),
    "target_name": frozenset({SUN, EARTH}),
    "calib_level": frozenset({"1", "3", "4"}),
}
_O_UCD = "phot.count"
_NM = 1e-9


@dataclass(frozen=True)
class Publisher:
    """What identifiers and addresses begin with."""

    authority: str
    address: str
    with_originals: bool

    def did(self, resource: str, number: int) -> str:
        """IVOA identifier of a file."""
        return f"ivo://{self.authority}/heliowatch?{resource}/{number}"


def rows_of(frame: Mapping[str, Any], publisher: Publisher) -> Iterator[dict[str, Any]]:
    """Everything that can be had of a frame: its own file, then what was made of it."""
    common = _common(frame)
    if publisher.with_originals and frame["sha256"] is not None:
        yield common | {
            "dataproduct_subtype": "original",
            "calib_level": 1,
            "obs_collection": ORIGINALS,
            "obs_title": f"{common['obs_title']}: {frame['file_name']}",
            "obs_publisher_did": publisher.did("frames", frame["id"]),
            "access_url": f"{publisher.address}{API}/frames/{frame['id']}/data",
            "access_format": media_type_of(frame["file_name"]),
            "access_estsize": _kbyte(frame["bytes"]),
            "o_ucd": _O_UCD,
        }
    for product in frame["products"]:
        kind = product["kind"]
        yield common | {
            "dataproduct_subtype": kind,
            "calib_level": _LOOKS.get(kind, _ANALYSED),
            "obs_collection": PRODUCTS,
            "obs_title": f"{common['obs_title']}: {kind}",
            "obs_publisher_did": publisher.did("products", product["id"]),
            "access_url": f"{publisher.address}{API}/products/{product['id']}/data",
            "access_format": product["media_type"],
            "access_estsize": _kbyte(product["bytes"]),
            "s_xel1": product["width"],
            "s_xel2": product["height"],
        }


def _kbyte(count: int) -> int:
    return -(-count // 1000)


def _common(frame: Mapping[str, Any]) -> dict[str, Any]:
    is_sky = frame["family"] == SKY_FAMILY
    start = to_mjd(frame["date_obs"])
    exposure_s = frame["exposure_time_s"]
    wavelength_m = None if frame["wavelength_nm"] is None else frame["wavelength_nm"] * _NM
    ra, declination = (None, None) if is_sky else map(float, sun_place(np.array(start)))
    return {
        "dataproduct_type": "image",
        "obs_id": f"frames/{frame['id']}",
        "obs_title": f"{frame['instrument']} {frame['date_obs']:%Y-%m-%d %H:%M:%S}",
        "target_name": EARTH if is_sky else SUN,
        "s_ra": ra,
        "s_dec": declination,
        "t_min": start,
        "t_max": start + (exposure_s or 0.0) / 86400,
        "t_exptime": exposure_s,
        "t_xel": 1,
        "em_min": wavelength_m,
        "em_max": wavelength_m,
        "em_xel": 1,
        "facility_name": frame["observatory"],
        "instrument_name": frame["instrument"],
        "quality_score": frame["quality_score"],
    }
