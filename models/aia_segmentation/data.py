"""Training data: pictures with masks, outlines, boxes or labels grown from brightness.

A picture becomes a `Sample`: its brightness on the analysis grid, a target for each event type and
a weight that is 0 where nothing is known, so that one network learns from sources that mark one
kind of event, or a part of the disk, only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation import pseudo
from models.aia_segmentation.annotations import (
    Outline,
    draw,
    read_boxes,
    read_chimera,
    read_hek,
    read_mask,
    read_polygons,
    read_srs,
    time_in_name,
    turned,
)
from models.aia_segmentation.preparation import (
    EVENT_TYPES,
    HALF_WIDTH_RADII,
    SIDE,
    Channel,
    Prepared,
    analysis_grid,
    channel_of,
    prepare,
)
from models.aia_segmentation.registration import (
    Placement,
    Registration,
    disk_in,
    disk_of_mask,
    placed,
    size_factor,
)
from observatory import euv
from observatory.analysis import EventType
from observatory.errors import (
    AmbiguousInstrumentError,
    HeliowatchError,
    UnknownInstrumentError,
    UnusableInputError,
)
from observatory.frame import Frame, Pointing
from observatory.instruments import Limits, read_file

_log = logging.getLogger(__name__)

FloatArray = NDArray[np.floating]

CH, AR = EVENT_TYPES.index(EventType.CORONAL_HOLE), EVENT_TYPES.index(EventType.ACTIVE_REGION)

_FITS = tuple(
    f"{name}{packed}" for name in (".fits", ".fit", ".fts") for packed in ("", ".gz", ".fz", ".bz2")
)
PICTURES = (".png", ".jpg", ".jpeg", ".jp2", ".tif", ".tiff", *_FITS)

_GUESSES = ("aia-193", "aia-171")
_WITH_HEADER = (".jp2", *_FITS)

_NAMED = 5  # of the pictures that are left out
_LIMB_RADII = 0.997  # beyond it nobody knows whose the light is
_BOX_WEIGHT = 0.5  # grown inside boxes: less sure than a mask
_OUTSIDE_BOX_DARK = -0.45  # as dark as a hole, and not in a box: nobody said that it is none
_OUTSIDE_BOX_RADII = 0.88  # slivers of polar holes at the limb were not boxed


@dataclass(frozen=True)
class Sample:
    """One picture ready to learn from.

    Attributes
    ----------
    name : str
    date_obs : datetime or None
    channel : Channel
    source : str
        Where the label comes from, such as ``masks``.
    brightness : float32 ndarray (side, side)
    is_absolute : bool
        As `Prepared` has it.
    target, weight : float32 ndarray (2, side, side)
        In the order of `EVENT_TYPES`; weight 0 where nothing is known.
    """

    name: str
    date_obs: datetime | None
    channel: Channel
    source: str
    brightness: FloatArray
    is_absolute: bool
    target: FloatArray
    weight: FloatArray


def without_labels(frame: Frame, prepared: Prepared, name: str, source: str) -> Sample:
    """A picture of which nothing is known yet."""
    nothing = np.zeros((len(EVENT_TYPES), *prepared.brightness.shape), np.float32)
    date_obs = frame.date_obs or time_in_name(name)
    return Sample(
        name, date_obs, prepared.channel, source, prepared.brightness, prepared.is_absolute, nothing, nothing
    )


def stem_of(path: Path) -> str:
    """Name without its endings: what pairs a picture with its mask."""
    name = path.name
    for ending in (".gz", ".fz", ".bz2"):
        name = name.removesuffix(ending)
    return name.rsplit(".", 1)[0]


def find_pictures(folder: Path) -> list[Path]:
    """Pictures and FITS files under a folder, by name; a file alone is itself."""
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob("*") if path.name.lower().endswith(PICTURES))


def read_frame(path: Path, instrument: str | None = None) -> Frame:
    """The first frame of a file.

    A picture whose name does not tell its band is taken for the first of `_GUESSES` whose colours
    it has: whoever segments pictures means one of these.
    """
    try:
        frame = read_file(path, Limits(), instrument=instrument).frame()
        if instrument is not None or frame.header or channel_of(frame) is not None:
            return frame
        refused: HeliowatchError = UnknownInstrumentError(path.name, f"taken for {frame.instrument}")
    except (UnknownInstrumentError, AmbiguousInstrumentError) as error:
        refused = error
    if instrument is None and not path.name.lower().endswith(_WITH_HEADER):
        for guess in _GUESSES:
            frame = read_file(path, Limits(), instrument=guess).frame()
            try:
                euv.monochrome(frame)
            except UnusableInputError:
                continue
            return frame
    raise refused


def read_prepared(path: Path, instrument: str | None = None, side: int = SIDE) -> tuple[Frame, Prepared]:
    """A file as the network sees it.

    Raises
    ------
    UnusableInputError
        When it is of a band that is not segmented, or has no disk.
    """
    frame = read_frame(path, instrument)
    channel = channel_of(frame)
    if channel is None:
        raise UnusableInputError(
            f"{path.name} is {frame.instrument}: only 171, 193 (and SUVI's 171 and 195) are segmented; "
            "name the instrument if the file's name misleads"
        )
    return frame, prepare(frame, channel, side)


def oriented_mask(path: Path, frame: Frame) -> NDArray[np.uint8]:
    """A mask, 0 or 255, its rows as the frame's."""
    mask, row_order = read_mask(path)
    return mask if row_order is frame.row_order else np.ascontiguousarray(mask[::-1])


def with_mask(sample: Sample, event_type: EventType, covered: FloatArray, weight: FloatArray) -> Sample:
    """The sample with the label of one event type, both on the grid."""
    number = EVENT_TYPES.index(event_type)
    target, weights = sample.target.copy(), sample.weight.copy()
    target[number], weights[number] = covered, weight
    return replace(sample, target=target, weight=weights)


def on_disk(side: int) -> FloatArray:
    """Weight 1 on the disk and 0 beyond the limb."""
    return (analysis_grid(side).radius < _LIMB_RADII).astype(np.float32)


def pairs(
    images: Path,
    masks: Path,
    event_type: EventType,
    side: int = SIDE,
    instrument: str | None = None,
    registration: Registration = Registration.AUTO,
) -> list[Sample]:
    """Pictures with masks of equal names, of any size but the same aspect.

    Raises
    ------
    UnusableInputError
        When there is no pair, or a mask shows another field.
    """
    found = []
    placement = placement_of(images, masks, instrument, registration)
    for picture, mask_path in paired(images, masks):
        frame, prepared = read_prepared(picture, instrument, side)
        mask = oriented_mask(mask_path, frame)
        factor = size_factor(mask, frame, mask_path.name)
        disk = disk_of_mask(placement, frame, prepared.pointing, factor)
        covered = euv.on_grid(euv.Plane(mask), disk, side, HALF_WIDTH_RADII).pixels / np.float32(255)
        sample = without_labels(frame, prepared, stem_of(picture), "masks")
        found.append(with_mask(sample, event_type, covered, on_disk(side)))
    return found


def placement_of(
    images: Path, masks: Path, instrument: str | None = None, asked: Registration = Registration.AUTO
) -> Placement:
    """How the masks of a folder lie on their pictures; see `registration`."""

    def cases() -> Iterator[tuple[Frame, Pointing, NDArray[np.uint8], str]]:
        for picture, mask_path in paired(images, masks):
            frame = read_frame(picture, instrument)
            yield frame, disk_in(frame), oriented_mask(mask_path, frame), mask_path.name

    return placed(asked, cases())


def paired(images: Path, masks: Path) -> Iterator[tuple[Path, Path]]:
    """Pictures and masks of equal names, by name.

    Raises
    ------
    UnusableInputError
        When no name is in both folders.
    """
    by_stem = {
        stem_of(path): path
        for path in sorted(masks.rglob("*"))
        if path.name.lower().endswith((*PICTURES, ".npy"))
    }
    found = [(path, by_stem[stem_of(path)]) for path in find_pictures(images) if stem_of(path) in by_stem]
    if not found:
        raise UnusableInputError(
            f"no picture in {images} has a mask of its name in {masks}: a.png pairs with a.png (or a.fits)"
        )
    yield from found


def boxed(folder: Path, side: int = SIDE, instrument: str | None = "aia-193") -> list[Sample]:
    """193 Å pictures with coronal-hole boxes: what is dark inside them is a hole.

    Outside of boxes only what is not dark counts as no hole, at the full weight of the rest.
    """
    found = []
    for picture in find_pictures(folder):
        label = picture.with_suffix(".xml")
        if not label.exists():
            continue
        frame, prepared = read_prepared(picture, instrument, side)
        boxes = [
            grid_box(prepared, (box.x0_px, box.y0_px, box.x1_px, box.y1_px)) for box in read_boxes(label)
        ]
        dark = pseudo.coronal_holes_in(prepared.brightness, boxes)
        inside = np.zeros(dark.shape, bool)
        for x0, y0, x1, y1 in boxes:
            inside[max(0, int(y0)) : int(y1) + 1, max(0, int(x0)) : int(x1) + 1] = True
        edge = analysis_grid(side).radius > _OUTSIDE_BOX_RADII
        is_open = ~inside & (edge | (prepared.brightness < _OUTSIDE_BOX_DARK))
        weight = on_disk(side) * np.where(is_open, np.float32(0), np.float32(_BOX_WEIGHT))
        sample = without_labels(frame, prepared, stem_of(picture), "boxes")
        found.append(with_mask(sample, EventType.CORONAL_HOLE, dark.astype(np.float32), weight))
    return found


def grid_box(
    prepared: Prepared, box_px: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """A box in cells of the grid (edges; 0 is the grid's first edge)."""
    x0, y0, x1, y1 = prepared.extent_px
    scale_x = prepared.brightness.shape[1] / (x1 - x0)
    scale_y = prepared.brightness.shape[0] / (y1 - y0)
    return (
        (box_px[0] - x0) * scale_x,
        (box_px[1] - y0) * scale_y,
        (box_px[2] - x0) * scale_x,
        (box_px[3] - y0) * scale_y,
    )


def unlabelled(paths: Iterable[Path], side: int = SIDE, instrument: str | None = None) -> list[Sample]:
    """Pictures of the segmented bands.

    Others, those without a disk and those that cannot be read are left out, counted and named in
    a warning of the log.
    """
    found, refused = [], []
    for path in paths:
        try:
            frame, prepared = read_prepared(path, instrument, side)
        except HeliowatchError as error:
            refused.append(f"{path.name} ({error})")
            continue
        found.append(without_labels(frame, prepared, stem_of(path), "pictures"))
    if refused:
        more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        count = f"{len(refused)} of {len(refused) + len(found)}"
        _log.warning("%s pictures are left out: %s%s", count, "; ".join(refused[:_NAMED]), more)
    return found


def with_grown_regions(sample: Sample) -> Sample:
    """The sample with active regions grown from its brightness, where it has none yet."""
    if sample.weight[AR].any():
        return sample
    grown = pseudo.active_regions(sample.brightness, pseudo.GROWTH[sample.channel]).astype(np.float32)
    return with_mask(sample, EventType.ACTIVE_REGION, grown, on_disk(grown.shape[0]) * 0.5)


def with_teacher(sample: Sample, probability: FloatArray) -> Sample:
    """The sample with coronal holes as another network sees them (self-training).

    Parameters
    ----------
    sample : Sample
        Of boxes: a hole counts only where the box's label does not contradict it; without any
        label (193 only) the map counts as it is. Others are returned unchanged.
    probability : ndarray (side, side)
        The other network's map; what it is unsure of (0.2 to 0.8) trains nothing.
    """
    if sample.channel is not Channel.FE_XII or sample.source not in ("boxes", "pictures"):
        return sample
    is_hole = probability >= 0.5
    is_sure = np.abs(probability - 0.5) > 0.3
    weight = on_disk(len(probability)) * is_sure * np.float32(_BOX_WEIGHT)
    if sample.source == "boxes":
        is_boxed = cv2.dilate(sample.target[CH].astype(np.float32), np.ones((9, 9), np.uint8)) > 0.5
        # A hole that nobody boxed: one of the two errs.
        weight = np.where(is_hole & ~is_boxed, np.float32(0), weight)
        # A box in which the network sees nothing at all keeps its grown label.
        _, boxes = cv2.connectedComponents(is_boxed.astype(np.uint8))
        seen = np.isin(boxes, np.unique(boxes[is_hole]))
        is_hole = np.where(is_boxed & ~seen, sample.target[CH] > 0.5, is_hole)
        weight = np.where(is_boxed & ~seen, sample.weight[CH], weight)
    return with_mask(sample, EventType.CORONAL_HOLE, is_hole.astype(np.float32), weight)


def read_outlines(path: Path) -> list[Outline]:
    """Outlines of any of the annotation sources, told apart by their form."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found: list[Outline] = []
    for file in files:
        if file.suffix == ".zip":
            found += read_polygons(file)
        elif file.suffix == ".json":
            found += read_hek(file)
        elif file.suffix == ".txt":
            start = file.read_text(encoding="utf-8", errors="replace")[:400]
            if ":Product:" in start or "Region Summary" in start:
                found += [line for spot in read_srs(file) if (line := spot.outline()) is not None]
            elif "RADIUS:" in start:
                found += read_polygons(file)
            else:
                found += read_chimera(file)
    return found


def outlines_near(
    outlines: Sequence[Outline], date_obs: datetime, event_type: EventType, within_hours: float = 24.0
) -> list[Outline] | None:
    """The set nearest in time, turned to `date_obs`; None where none is near.

    Outlines of one kind and time are one set: what it does not show was not there.
    """
    of_kind = [o for o in outlines if o.event_type is event_type and o.date_obs is not None]
    times = {o.date_obs for o in of_kind if o.date_obs is not None}
    if not times:
        return None
    nearest = min(times, key=lambda time: abs((time - date_obs).total_seconds()))
    if abs((nearest - date_obs).total_seconds()) > within_hours * 3600:
        return None
    moved = (turned(o, date_obs) for o in of_kind if o.date_obs == nearest)
    return [outline for outline in moved if outline is not None]


def outlined(
    images: Path,
    outlines: Sequence[Outline],
    event_type: EventType,
    side: int = SIDE,
    instrument: str | None = None,
    within_hours: float = 24.0,
) -> list[Sample]:
    """Pictures with outlines within some hours, carried along by rotation."""
    found = []
    for picture in find_pictures(images):
        frame, prepared = read_prepared(picture, instrument, side)
        sample = without_labels(frame, prepared, stem_of(picture), "outlines")
        if sample.date_obs is None:
            continue
        near = outlines_near(outlines, sample.date_obs, event_type, within_hours)
        if near is None:
            continue
        roll = prepared.pointing.roll_deg or 0.0
        covered = draw(near, side, row_order=frame.row_order, roll_deg=roll)
        found.append(with_mask(sample, event_type, covered, on_disk(side)))
    if not found:
        raise UnusableInputError(
            f"no {event_type} outline lies within {within_hours:g} hours of a picture in {images}"
        )
    return found


# ---- sets


def save(path: Path, samples: Sequence[Sample], asked: str = "") -> None:
    """Keep prepared samples, half precision, and what was asked for (see `asked_of`)."""
    np.savez_compressed(
        path,
        asked=asked,
        name=[s.name for s in samples],
        date_obs=[s.date_obs.isoformat() if s.date_obs else "" for s in samples],
        channel=[str(s.channel) for s in samples],
        source=[s.source for s in samples],
        brightness=np.stack([s.brightness for s in samples]).astype(np.float16),
        is_absolute=[s.is_absolute for s in samples],
        target=np.stack([s.target for s in samples]).astype(np.float16),
        weight=np.stack([s.weight for s in samples]).astype(np.float16),
    )


def load(path: Path) -> list[Sample]:
    """What `save` kept."""
    with np.load(path) as kept:
        parts = {name: kept[name] for name in kept.files if name != "asked"}
    return [
        Sample(
            str(parts["name"][n]),
            datetime.fromisoformat(str(parts["date_obs"][n])) if parts["date_obs"][n] else None,
            Channel(str(parts["channel"][n])),
            str(parts["source"][n]),
            parts["brightness"][n].astype(np.float32),
            bool(parts["is_absolute"][n]),
            parts["target"][n].astype(np.float32),
            parts["weight"][n].astype(np.float32),
        )
        for n in range(len(parts["name"]))
    ]


def asked_of(path: Path) -> str:
    """What was asked for when samples were kept; nothing where that, or part of a sample, was not kept yet."""
    with np.load(path) as kept:
        return str(kept["asked"]) if {"asked", "is_absolute"} <= set(kept.files) else ""


def split_by_time(samples: Sequence[Sample], last_share: float) -> tuple[list[Sample], list[Sample]]:
    """Earlier and latest pictures; never at random, for neighbours in time look alike."""
    ordered = sorted(samples, key=lambda s: (s.date_obs or datetime.min.replace(tzinfo=UTC), s.name))
    kept = len(ordered) - round(len(ordered) * last_share)
    return ordered[:kept], ordered[kept:]
