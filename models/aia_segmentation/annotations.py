"""Readers of what people and other programs have marked on the Sun.

All become one kind of thing: an `Outline`, a closed line on the disk as seen at its own time, in
solar radii from disk centre (x to solar west, y to north). `draw` turns it to the time of another
frame and fills it on the analysis grid. Sources: the polygon text files of SCSS-Net, events of HEK
(SPoCA and others), CHIMERA's property lists, NOAA's Solar Region Summaries, boxes in VOC XML.
Masks (Region Growth, CHIMERA's maps, any network's) are pictures or FITS: `read_mask`.
"""

from __future__ import annotations

import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation.preparation import HALF_WIDTH_RADII
from observatory.analysis import EventType
from observatory.coordinates import SunView, hpc_to_stonyhurst, rotate_stonyhurst, stonyhurst_to_hpc
from observatory.errors import UnreadableFileError
from observatory.frame import RowOrder

FloatArray = NDArray[np.floating]

_POLYGON_CENTRE_PX = 2047.5  # of 4096 pixels, disk centred
_DRAWN_FINER = 4  # outlines are filled on a finer grid, then averaged
_LEAST_SPOT_EXTENT_DEG = 6.0  # a region is wider than its spots
_MARGIN_DEG = 3.0
_NAME_TIME = re.compile(  # looks ahead alone: a number before the time may hold its first digits
    r"(?=((?:19|20)\d{2})[-_]?(\d{2})[-_]?(\d{2})[T_]+(\d{2})[-_:]?(\d{2})[-_:]?(\d{2}))"
)
_LIMB_RADII = 0.99  # what is drawn at or beyond the limb is taken to be here


@dataclass(frozen=True)
class Outline:
    """One marked region.

    Attributes
    ----------
    event_type : EventType
    date_obs : datetime or None
    points : ndarray (n, 2)
        Solar radii from disk centre, west and north.
    name : str
        The source's own number or name.
    source : str
    """

    event_type: EventType
    date_obs: datetime | None
    points: FloatArray
    name: str = ""
    source: str = ""


@dataclass(frozen=True)
class Box:
    """A hand-drawn box in pixels of a picture (VOC): edges, rows from the top."""

    name: str
    x0_px: float
    y0_px: float
    x1_px: float
    y1_px: float


# ---- polygon text files


def read_polygons(path: Path) -> list[Outline]:
    """Outlines of SCSS-Net's text files: one file, a folder of them, or a ZIP.

    Each has ``DATE:``, ``RADIUS:`` (solar radius in pixels) and polygons under ``AR:`` or ``CH:``
    in pixels of a 4096 x 4096 picture, rows from the top.

    Raises
    ------
    UnreadableFileError
    """
    found: list[Outline] = []
    for name, text in _texts(path):
        found.extend(parse_polygons(text, name))
    return found


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.txt")):
            yield file.name, file.read_text(encoding="utf-8", errors="replace")
    elif path.suffix == ".zip":
        try:
            with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
                for name in sorted(n for n in archive.namelist() if n.endswith(".txt")):
                    yield name, archive.read(name).decode("utf-8", errors="replace")
        except zipfile.BadZipFile as error:
            raise UnreadableFileError(f"{path.name} is no whole ZIP file: {error}") from error
    else:
        yield path.name, path.read_text(encoding="utf-8", errors="replace")


def parse_polygons(text: str, name: str = "") -> list[Outline]:
    """Outlines of one such text; a line with fewer than three points is left out."""
    date_obs: datetime | None = None
    radius = 0.0
    parts: list[tuple[EventType, list[tuple[float, float]]]] = []
    try:
        for line in text.splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == "DATE:":
                date_obs = datetime.fromisoformat(" ".join(words[1:])).replace(tzinfo=UTC)
            elif words[0] == "RADIUS:":
                radius = float(words[1])
            elif words[0].endswith(":"):
                parts.append((EventType(words[0][:-1]), []))
            else:
                parts[-1][1].append((float(words[0]), float(words[1])))
    except (ValueError, IndexError) as error:
        raise UnreadableFileError(
            f"{name} is no polygon file (DATE:, RADIUS:, then AR: or CH: with two numbers a line): {error}"
        ) from error
    if radius <= 0 or date_obs is None:
        raise UnreadableFileError(f"{name} lacks DATE: or RADIUS:, so its polygons have no place on the Sun")
    outlines = []
    for number, (event_type, points) in enumerate(parts):
        if len(points) < 3:
            continue
        offset = (np.array(points) - _POLYGON_CENTRE_PX) / radius
        outlines.append(
            Outline(event_type, date_obs, offset * (1, -1), f"{Path(name).stem}/{number}", "polygons")
        )
    return outlines


# ---- HEK


def read_hek(path: Path) -> list[Outline]:
    """Outlines of HEK events (SPoCA's and others') as the HEK API gives them in JSON.

    ``hpc_boundcc`` is used, else ``hpc_bbox``; events without either are left out.

    Raises
    ------
    UnreadableFileError
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"{path.name} is no JSON of HEK events: {error}") from error
    events = stated.get("result") if isinstance(stated, Mapping) else stated
    if not isinstance(events, list):
        raise UnreadableFileError(f"{path.name} holds no list of events under 'result', as HEK gives it")
    try:
        return [outline for event in events if (outline := _hek_outline(event)) is not None]
    except (AttributeError, KeyError, ValueError) as error:
        raise UnreadableFileError(
            f"{path.name} has an event without event_starttime in ISO 8601, as HEK gives it: {error}"
        ) from error


def _hek_outline(event: Mapping[str, Any]) -> Outline | None:
    known = {str(kind) for kind in EventType}
    bound = str(event.get("hpc_boundcc") or event.get("hpc_bbox") or "")
    numbers = [float(word) for word in re.findall(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?", bound)]
    if event.get("event_type") not in known or len(numbers) < 6 or "POLYGON" not in bound.upper():
        return None
    start = datetime.fromisoformat(str(event["event_starttime"])).replace(tzinfo=UTC)
    points = np.array(numbers[: len(numbers) // 2 * 2]).reshape(-1, 2) / SunView(start).rsun_arcsec
    return Outline(
        EventType(event["event_type"]),
        start,
        points,
        str(event.get("frm_specificid") or event.get("kb_archivid") or ""),
        f"HEK {event.get('frm_name', '')}".strip(),
    )


# ---- CHIMERA


def read_chimera(path: Path, date_obs: datetime | None = None) -> list[Outline]:
    """Coronal holes of a CHIMERA property list (Garton et al. 2018, J. Space Weather 8, A02).

    The list has each hole's easternmost, westernmost, northernmost and southernmost point in arcsec
    (columns 5 to 12) and no outline: the result is the quadrilateral of these, good enough to say
    whether a hole was found, not how large it is. For outlines read CHIMERA's mask instead.

    Parameters
    ----------
    path : Path
    date_obs : datetime, optional
        Default: the day and time in the file's name (``…_20160902_140005…``).

    Raises
    ------
    UnreadableFileError
        When no line has the columns, or nothing tells the time.
    """
    when = date_obs or time_in_name(path.name)
    if when is None:
        raise UnreadableFileError(f"{path.name} does not say its time; give it (date_obs)")
    outlines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        try:
            numbers = [float(word) for word in (*words[1:3], *words[4:12])]
        except ValueError:
            continue  # headings and units
        if len(numbers) != 10:
            continue
        east, west, north, south = np.array(numbers[2:]).reshape(4, 2)
        points = np.array([north, west, south, east]) / SunView(when).rsun_arcsec
        outlines.append(Outline(EventType.CORONAL_HOLE, when, points, words[0], "CHIMERA"))
    if not outlines and path.stat().st_size:
        text = path.read_text(encoding="utf-8", errors="replace")
        if not re.search(r"\bXCEN\b|\bCENTROID\b", text, re.IGNORECASE):
            raise UnreadableFileError(f"{path.name} has no line with CHIMERA's columns (ID XCEN YCEN …)")
    return outlines


def time_in_name(name: str) -> datetime | None:
    """First time that a file name tells, such as ``2015_04_18T02_39_55`` or ``20110301_120030``."""
    for found in _NAME_TIME.finditer(name):
        year, month, day, hour, minute, second = (int(part) for part in found.groups())
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            continue  # digits that are no time, such as a serial number
    return None


# ---- NOAA Solar Region Summary


@dataclass(frozen=True)
class SpotRegion:
    """One line of part I of a Solar Region Summary: a numbered region with spots."""

    number: int
    date_obs: datetime
    latitude_deg: float
    stonyhurst_longitude_deg: float
    area_msh: float
    extent_deg: float

    def outline(self) -> Outline | None:
        """An ellipse around its spots, as seen at the summary's time; None behind the limb."""
        half = max(self.extent_deg, _LEAST_SPOT_EXTENT_DEG) / 2 + _MARGIN_DEG
        angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        stretch = 1 / max(math.cos(math.radians(self.latitude_deg)), 0.2)
        longitude = self.stonyhurst_longitude_deg + half * stretch * np.cos(angle)
        latitude = self.latitude_deg + 0.6 * half * np.sin(angle)
        points = _on_disk(longitude, latitude, self.date_obs)
        if len(points) < 3:
            return None
        return Outline(EventType.ACTIVE_REGION, self.date_obs, points, str(self.number), "NOAA SRS")


def read_srs(path: Path) -> list[SpotRegion]:
    """Numbered regions with spots of a Solar Region Summary, valid at 24:00 of the day before issue.

    Raises
    ------
    UnreadableFileError
        When it is none.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    issued = re.search(r":Issued:\s*(\d{4} \w{3} \d{1,2})", text)
    if issued is None:
        raise UnreadableFileError(f"{path.name} is no Solar Region Summary (no ':Issued:')")
    valid = datetime.strptime(issued[1], "%Y %b %d").replace(tzinfo=UTC)
    if not re.search(r"/2400Z", text):
        valid -= timedelta(days=1)
    first = re.split(r"^IA?\.\s*(?=H-alpha)|^IA\.", text, maxsplit=1, flags=re.MULTILINE)[0]
    line = re.compile(
        r"^\s*(\d{4,5})\s+([NS])(\d{2})([EW])(\d{2,3})\s+(\d{1,3})\s+(\d{1,4})\s+\w+\s+(\d{1,2})"
    )
    found = []
    for row in first.splitlines():
        part = line.match(row)
        if part is None:
            continue
        latitude = float(part[3]) * (1 if part[2] == "N" else -1)
        longitude = float(part[5]) * (1 if part[4] == "W" else -1)
        found.append(SpotRegion(int(part[1]), valid, latitude, longitude, float(part[7]), float(part[8])))
    return found


# ---- boxes and masks


def read_boxes(path: Path) -> list[Box]:
    """Boxes of one VOC XML file.

    Raises
    ------
    UnreadableFileError
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
        return [
            Box(
                entry.findtext("name", ""),
                *(
                    float(entry.findtext(f"bndbox/{edge}", "")) + shift
                    # VOC counts pixels and includes the last one; ours are edges.
                    for edge, shift in (("xmin", -0.5), ("ymin", -0.5), ("xmax", 0.5), ("ymax", 0.5))
                ),
            )
            for entry in root.iter("object")
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise UnreadableFileError(f"{path.name} is no VOC XML: {error}") from error


def read_mask(path: Path) -> tuple[NDArray[np.uint8], RowOrder]:
    """A mask, 0 or 255: whatever is not 0 in a picture, an ``.npy`` or a FITS file.

    Region Growth's masks and CHIMERA's maps (whose values number the holes) are read so.

    Returns
    -------
    mask : uint8 ndarray (height, width)
    row_order : RowOrder

    Raises
    ------
    UnreadableFileError
    """
    suffix = "".join(path.suffixes[-2:]).lower()
    if ".fit" in suffix or ".fts" in suffix:
        from astropy.io import fits

        try:
            with fits.open(path, memmap=False) as units:
                values = next(unit.data for unit in units if unit.data is not None)
        except (OSError, StopIteration, TypeError) as error:
            raise UnreadableFileError(f"{path.name} holds no image: {error}") from error
        return _as_mask(np.asarray(values), path), RowOrder.BOTTOM
    if suffix.endswith(".npy"):
        try:
            kept = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UnreadableFileError(f"{path.name} is no .npy file of plain numbers: {error}") from error
        return _as_mask(np.asarray(kept), path), RowOrder.TOP
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UnreadableFileError(f"{path.name} is no readable mask (PNG, TIFF, FITS or npy)")
    return _as_mask(values, path), RowOrder.TOP


def _as_mask(values: np.ndarray, path: Path) -> NDArray[np.uint8]:
    if values.ndim == 3:
        values = values[..., :3].max(axis=2) if values.shape[2] in (3, 4) else np.squeeze(values)
    if values.ndim != 2:
        raise UnreadableFileError(f"{path.name} has {values.ndim} dimensions; a mask has two")
    # JPEG leaves ringing near 0: what is faint is not marked.
    least = 127 if values.dtype == np.uint8 and values.max() == 255 else 0
    return np.where(np.nan_to_num(values) > least, 255, 0).astype(np.uint8)


# ---- drawing


def turned(outline: Outline, date_obs: datetime) -> Outline | None:
    """The same region at another time, carried along by the Sun's rotation; None behind the limb."""
    if outline.date_obs is None or outline.date_obs == date_obs:
        return outline
    days = (date_obs - outline.date_obs).total_seconds() / 86400
    radius = np.hypot(*outline.points.T)
    shrink = np.where(radius > _LIMB_RADII, _LIMB_RADII / np.maximum(radius, 1e-9), 1.0)
    view = SunView(outline.date_obs)
    x, y = (outline.points * shrink[:, None]).T * view.rsun_arcsec
    longitude, latitude = hpc_to_stonyhurst(x, y, view.b0_deg, view.rsun_arcsec)
    points = _on_disk(rotate_stonyhurst(longitude, latitude, days), latitude, date_obs)
    return replace(outline, date_obs=date_obs, points=points) if len(points) >= 3 else None


def _on_disk(longitude_deg: FloatArray, latitude_deg: FloatArray, date_obs: datetime) -> FloatArray:
    """Points (n, 2) in solar radii; those on the far side are left out."""
    view = SunView(date_obs)
    points = np.stack(stonyhurst_to_hpc(longitude_deg, latitude_deg, view.b0_deg, view.rsun_arcsec), axis=1)
    return np.asarray(points[np.isfinite(points).all(axis=1)] / view.rsun_arcsec)


def draw(
    outlines: Iterable[Outline],
    side: int,
    *,
    row_order: RowOrder = RowOrder.TOP,
    roll_deg: float = 0.0,
) -> FloatArray:
    """Fill outlines on the analysis grid of a frame.

    Parameters
    ----------
    outlines : iterable of Outline
        Already at the frame's time.
    side : int
    row_order, roll_deg
        Of the frame: the grid's rows run along the frame's.

    Returns
    -------
    float32 ndarray (side, side)
        Share of each cell that is covered, 0 to 1.
    """
    angle = math.radians(roll_deg)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    flip = np.array([1.0, -1.0 if row_order is RowOrder.TOP else 1.0])
    fine = np.zeros((side * _DRAWN_FINER, side * _DRAWN_FINER), np.uint8)
    scale = side * _DRAWN_FINER / (2 * HALF_WIDTH_RADII)
    for outline in outlines:
        points = (outline.points @ turn.T) * flip * scale + (side * _DRAWN_FINER - 1) / 2
        cv2.fillPoly(fine, [np.round(points).astype(np.int32)], 255)
    return cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
