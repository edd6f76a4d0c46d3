"""Measure the exported network through the path that workers use, or one mask folder against another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation import data
from models.aia_segmentation.annotations import Outline, draw, read_boxes, read_mask
from models.aia_segmentation.comparison import Compared, Overlap, at_shape, by_year, overall
from models.aia_segmentation.inference import AiaSegmentation
from models.aia_segmentation.options import EvaluateOptions
from models.aia_segmentation.preparation import EVENTS_OF, HALF_WIDTH_RADII
from models.aia_segmentation.registration import Placement, Registration, disk_of_mask, size_factor
from models.registry import read_manifest
from models.runtime import Runtime
from observatory import euv, regions
from observatory.analysis import EventType, Segmentation, Threshold
from observatory.errors import UnusableInputError
from observatory.frame import DateSource, Frame, Pointing
from observatory.sun import fit_limb, single_plane

BoolArray = NDArray[np.bool_]

_SHOWN = 4  # best and worst cases
_FOUND_SHARE = 0.2  # of an outline's area: its region was found
_SPOT_REACH_RADII = 0.03  # a spot lies in a region that begins so near
_SPOT_RADII = 0.96  # nearer to the limb nothing can be told
_DRAWN_SIDE = 1024


@dataclass(frozen=True)
class Segmented:
    """One picture and what the model says of it."""

    path: Path
    frame: Frame
    date_obs: datetime | None
    found: Segmentation


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Compare and report; see `EvaluateOptions`.

    Returns
    -------
    dict
        ``pictures`` and ``overall`` against masks or annotations; ``boxes`` and ``spots`` where
        those were asked for.

    Raises
    ------
    UnusableInputError
        When nothing pairs, or a mask shows another field than its picture.
    """
    kind, threshold = _asked(options)
    result: dict[str, Any] = {"event_type": str(kind), "threshold": str(threshold)}
    if options.other_masks is not None:
        result |= _report(options, list(_compare_folders(options)))
    elif options.images is None and not options.simulated:
        raise UnusableInputError(
            "give --images DIR with --masks, --boxes, --spots or --annotations, or --simulated N"
        )
    else:
        result |= _measure(options, kind, threshold)
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.format == "table":
        sys.stderr.write(table(result) + "\n")
    return result


def _asked(options: EvaluateOptions) -> tuple[EventType, Threshold]:
    try:
        Registration(options.registration)
        return EventType(options.event_type), Threshold(options.threshold)
    except ValueError as error:
        allowed = ", ".join((*EventType, *Threshold, *Registration))
        raise UnusableInputError(f"{error}; there are {allowed}") from error


def _measure(options: EvaluateOptions, kind: EventType, threshold: Threshold) -> dict[str, Any]:
    """All that was asked of the model."""
    model = AiaSegmentation(Runtime(options.device), read_manifest(options.family / "manifest.toml"))
    result: dict[str, Any] = {"model": model.identity.label}
    cases: list[Case] = []
    if options.images is not None and options.masks is not None:
        asked = Registration(options.registration)
        how = data.placement_of(options.images, options.masks, options.instrument, asked)
        cases = list(_compare_masks(options, model, kind, threshold, how))
        result |= how.to_dict() | _report(options, [case.compared for case in cases])
    elif options.annotations is not None:
        cases, recall = _compare_outlines(options, model, kind, threshold)
        result |= _report(options, [case.compared for case in cases]) | {"annotations": recall}
    if options.boxes is not None:
        result["boxes"] = _hit_boxes(options, model, kind, threshold)
    if options.spots is not None:
        result["spots"] = _hit_spots(options, model, threshold)
    if options.simulated:
        result["simulated"] = _compare_simulated(options, model, kind, threshold)
    if options.plots is not None and cases:
        _draw_cases(options.plots, cases)
    return result


def _report(options: EvaluateOptions, compared: list[Compared]) -> dict[str, Any]:
    report: dict[str, Any] = {"pictures": [one.to_dict() for one in compared], "overall": overall(compared)}
    return report | ({"years": by_year(compared)} if options.by_year else {})


def _is_asked(options: EvaluateOptions, date_obs: datetime | None) -> bool:
    if not options.since and not options.until:
        return True
    if date_obs is None:
        return False
    since = _time(options.since) if options.since else datetime.min.replace(tzinfo=UTC)
    until = _time(options.until) if options.until else datetime.max.replace(tzinfo=UTC)
    return since <= date_obs < until


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _segment(
    options: EvaluateOptions, model: AiaSegmentation, kind: EventType, path: Path
) -> Segmented | None:
    """None for a picture of another time than asked for."""
    date_obs = data.time_in_name(path.name)
    if date_obs is not None and not _is_asked(options, date_obs):
        return None
    frame = data.read_frame(path, options.instrument)
    if frame.date_obs is not None and frame.date_obs_source is not DateSource.FILE_TIME:
        date_obs = frame.date_obs  # a copy's file time is any day's
    if not _is_asked(options, date_obs):
        return None
    for found in model.analyse(frame):
        if found.event_type is kind:
            return Segmented(path, frame, date_obs, found)
    raise UnusableInputError(
        f"{path.name} is {frame.instrument}: {kind} is not looked for there; "
        "name the instrument (--instrument aia-193) if the file's name misleads"
    )


def model_mask(one: Segmented, shape: tuple[int, int], threshold: Threshold) -> BoolArray:
    """The model's mask as it is delivered, at any size of the picture's aspect."""
    painted = regions.mask(one.found, shape, threshold, frame_shape=(one.frame.height, one.frame.width))
    return np.asarray(painted > 0)


# ---- masks


@dataclass(frozen=True)
class Case:
    """A comparison and what is needed to draw it."""

    compared: Compared
    picture: NDArray[np.generic]
    found: BoolArray
    truth: BoolArray


def _compare_masks(
    options: EvaluateOptions, model: AiaSegmentation, kind: EventType, threshold: Threshold, how: Placement
) -> Iterator[Case]:
    assert options.images is not None and options.masks is not None
    for path, mask_path in data.paired(options.images, options.masks):
        one = _segment(options, model, kind, path)
        if one is None or one.found.pointing is None:
            continue
        truth = data.oriented_mask(mask_path, one.frame)
        factor = size_factor(truth, one.frame, mask_path.name)
        disk = disk_of_mask(how, one.frame, one.found.pointing, factor)
        painted = regions.mask(on_disk(one.found, disk), (truth.shape[0], truth.shape[1]), threshold)
        yield _case(one, painted > 0, truth > 127)


def on_disk(found: Segmentation, disk: Pointing) -> Segmentation:
    """The same map laid on another picture of the same Sun."""
    half = disk.radius_px * HALF_WIDTH_RADII
    x, y = disk.center_x_px, disk.center_y_px
    return replace(found, pointing=disk, extent_px=(x - half, y - half, x + half, y + half))


def _case(one: Segmented, found: BoolArray, truth: BoolArray) -> Case:
    year = one.date_obs.year if one.date_obs else None
    compared = Compared(data.stem_of(one.path), Overlap.of(found, truth), year)
    shown = cv2.resize(found.astype(np.uint8), (512, 512), interpolation=cv2.INTER_AREA) > 0
    true = cv2.resize(truth.astype(np.uint8), (512, 512), interpolation=cv2.INTER_AREA) > 0
    plane = euv.monochrome(one.frame).pixels
    return Case(compared, _small(plane), shown, true)


def _small(plane: np.ndarray) -> NDArray[np.uint8]:
    small = cv2.resize(plane.astype(np.float32), (512, 512), interpolation=cv2.INTER_AREA)
    low, high = np.nanpercentile(small, (1, 99.5))
    return np.clip(255 * (small - low) / max(high - low, 1e-6), 0, 255).astype(np.uint8)


def _compare_folders(options: EvaluateOptions) -> Iterator[Compared]:
    """One folder of masks against another, on the second one's grid."""
    if options.masks is None or options.other_masks is None:
        raise UnusableInputError("to compare masks give --masks (the truth) and --other-masks")
    for path, truth_path in data.paired(options.other_masks, options.masks):
        date_obs = data.time_in_name(path.name)
        if not _is_asked(options, date_obs):
            continue
        (truth, truth_order), (found, order) = read_mask(truth_path), read_mask(path)
        found = found if order is truth_order else found[::-1]
        try:
            overlap = Overlap.of(at_shape(found, truth.shape), truth > 127)
        except UnusableInputError as error:
            raise UnusableInputError(f"{path.name}: {error}") from error
        yield Compared(data.stem_of(path), overlap, date_obs.year if date_obs else None)


# ---- annotations


def _compare_outlines(
    options: EvaluateOptions, model: AiaSegmentation, kind: EventType, threshold: Threshold
) -> tuple[list[Case], dict[str, Any]]:
    """Against outlines within 24 hours, carried along by rotation; on the analysis grid's field."""
    assert options.images is not None and options.annotations is not None
    outlines = data.read_outlines(options.annotations)
    cases: list[Case] = []
    marked = hit = 0
    for path in data.find_pictures(options.images):
        date_obs = data.time_in_name(path.name)
        if date_obs is None or not _is_asked(options, date_obs):
            continue
        near = data.outlines_near(outlines, date_obs, kind)
        if near is None:
            continue
        one = _segment(options, model, kind, path)
        if one is None:
            continue
        found = _on_grid(one, threshold)
        roll = one.found.pointing.roll_deg if one.found.pointing else None
        fill = partial(draw, side=_DRAWN_SIDE, row_order=one.frame.row_order, roll_deg=roll or 0.0)
        truth = fill(near) > 0.5
        for outline in near:
            covered = fill([outline]) > 0.5
            if covered.sum() < 40:
                continue  # at the very limb
            marked += 1
            hit += int((covered & found).sum() >= _FOUND_SHARE * covered.sum())
        cases.append(_grid_case(one, found, truth))
    if not cases:
        raise UnusableInputError(
            f"no {kind} annotation lies within 24 hours of a picture in {options.images}"
        )
    return cases, {"marked": marked, "found": hit, "share": hit / marked if marked else 1.0}


def _on_grid(one: Segmented, threshold: Threshold) -> BoolArray:
    """The mask on the analysis grid's field, its rows as the frame's."""
    whole = model_mask(one, (one.frame.height, one.frame.width), threshold)
    x0, y0, x1, y1 = one.found.extent_px
    scale_x, scale_y = (x1 - x0) / _DRAWN_SIDE, (y1 - y0) / _DRAWN_SIDE
    matrix = np.array([[scale_x, 0, x0 + scale_x / 2], [0, scale_y, y0 + scale_y / 2]])
    moved = cv2.warpAffine(
        whole.astype(np.uint8),
        matrix,
        (_DRAWN_SIDE, _DRAWN_SIDE),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    return np.asarray(moved > 0)


def _grid_case(one: Segmented, found: BoolArray, truth: BoolArray) -> Case:
    plane = euv.monochrome(one.frame)
    assert one.found.pointing is not None
    gridded = euv.on_grid(plane, one.found.pointing, 512, HALF_WIDTH_RADII)
    year = one.date_obs.year if one.date_obs else None
    return Case(
        Compared(data.stem_of(one.path), Overlap.of(found, truth), year), _small(gridded.pixels), found, truth
    )


# ---- boxes and spots


def _hit_boxes(
    options: EvaluateOptions, model: AiaSegmentation, kind: EventType, threshold: Threshold
) -> dict[str, Any]:
    """Share of hand-drawn boxes that hold at least half of the area of some region."""
    assert options.images is not None and options.boxes is not None
    drawn = hit = pictures = inside_any = total = 0
    missed: list[str] = []
    for path in data.find_pictures(options.images):
        label = options.boxes / f"{data.stem_of(path)}.xml"
        if not label.exists():
            continue
        one = _segment(options, model, kind, path)
        if one is None:
            continue
        pictures += 1
        painted = _painted_regions(one, kind, threshold)
        within = [False] * len(painted)
        for box in read_boxes(label):
            rows = slice(max(0, round(box.y0_px + 0.5)), round(box.y1_px + 0.5))
            columns = slice(max(0, round(box.x0_px + 0.5)), round(box.x1_px + 0.5))
            shares = [region[rows, columns].sum() / max(region.sum(), 1) for region in painted]
            within = [was or share >= 0.5 for was, share in zip(within, shares, strict=True)]
            drawn += 1
            if any(share >= 0.5 for share in shares):
                hit += 1
            else:
                missed.append(data.stem_of(path))
        inside_any += int(sum(within))
        total += len(within)
    if not drawn:
        raise UnusableInputError(
            f"no picture in {options.images} has a VOC XML of its name in {options.boxes}"
        )
    return {
        "pictures": pictures,
        "boxes": drawn,
        "hit": hit,
        "hit_rate": hit / drawn,
        "regions": total,
        "regions_in_a_box": inside_any,
        "missed_in": sorted(set(missed)),
    }


def _painted_regions(one: Segmented, kind: EventType, threshold: Threshold) -> list[BoolArray]:
    found = regions.find_regions(
        one.found.probability,
        one.found.extent_px,
        one.found.thresholds[threshold],
        kind,
        one.frame,
        np.zeros((one.frame.height, one.frame.width), np.float32),
        one.found.pointing,
    )
    painted = []
    for region in found:
        plane = np.zeros((one.frame.height, one.frame.width), np.uint8)
        cv2.fillPoly(plane, [np.round(ring).astype(np.int32) for ring in region.rings_px], 1)
        painted.append(plane > 0)
    return painted


def _hit_spots(options: EvaluateOptions, model: AiaSegmentation, threshold: Threshold) -> dict[str, Any]:
    """Share of sunspot boxes, drawn on continuum pictures within a day, that lie in an active region."""
    assert options.images is not None and options.spots is not None
    spots = list(_spot_outlines(options.spots))
    marked = hit = pictures = 0
    for path in data.find_pictures(options.images):
        date_obs = data.time_in_name(path.name)
        if date_obs is None or not _is_asked(options, date_obs):
            continue
        near = data.outlines_near(spots, date_obs, EventType.ACTIVE_REGION, within_hours=7)
        if not near:
            continue
        one = _segment(options, model, EventType.ACTIVE_REGION, path)
        if one is None:
            continue
        pictures += 1
        reach = round(_SPOT_REACH_RADII * _DRAWN_SIDE / (2 * HALF_WIDTH_RADII))
        ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        wide = cv2.dilate(_on_grid(one, threshold).astype(np.uint8), ball)
        for spot in near:
            centre = spot.points.mean(axis=0)
            if np.hypot(*centre) > _SPOT_RADII:
                continue
            marked += 1
            covered = draw([spot], _DRAWN_SIDE, row_order=one.frame.row_order) > 0.5
            hit += int((wide[covered] > 0).mean() >= 0.5) if covered.any() else 0
    return {
        "pictures": pictures,
        "spots": marked,
        "in_a_region": hit,
        "share": hit / marked if marked else 1.0,
    }


def _spot_outlines(folder: Path) -> Iterator[Outline]:
    """Boxes of continuum pictures as outlines on the disk; the disk by its limb."""
    for label in sorted(folder.glob("*.xml")):
        picture, date_obs = label.with_suffix(".jpg"), data.time_in_name(label.name)
        pixels = cv2.imread(str(picture)) if picture.exists() else None
        fit = fit_limb(single_plane(pixels)) if pixels is not None else None
        if fit is None or date_obs is None:
            continue
        for number, box in enumerate(read_boxes(label)):
            corners = np.array(
                [
                    [box.x0_px, box.y0_px],
                    [box.x1_px, box.y0_px],
                    [box.x1_px, box.y1_px],
                    [box.x0_px, box.y1_px],
                ]
            )
            offset = (corners - (fit.center_x_px, fit.center_y_px)) / fit.radius_px * (1, -1)
            yield Outline(EventType.ACTIVE_REGION, date_obs, offset, f"{label.stem}/{number}", "spot box")


# ---- simulation


def _compare_simulated(
    options: EvaluateOptions, model: AiaSegmentation, kind: EventType, threshold: Threshold
) -> dict[str, Any]:
    from models.aia_segmentation import simulated

    found: dict[str, Any] = {}
    for channel, kinds in EVENTS_OF.items():
        if kind in kinds:
            compared = list(simulated.compare(model, options.simulated, channel, kind, threshold))
            found[str(channel)] = overall(compared) | {"frames": len(compared)}
    return found


# ---- drawing and printing


def _draw_cases(folder: Path, cases: Sequence[Case]) -> None:
    from models.aia_segmentation.figures import mosaic, outlined_tile

    folder.mkdir(parents=True, exist_ok=True)
    ranked = sorted(cases, key=lambda case: -case.compared.overlap.dice)
    for name, chosen in (("best", ranked[:_SHOWN]), ("worst", ranked[::-1][:_SHOWN])):
        tiles = [
            outlined_tile(c.picture, c.found, c.truth, f"{c.compared.name} {c.compared.overlap.dice:.3f}")
            for c in chosen
        ]
        cv2.imwrite(str(folder / f"{name}.jpg"), mosaic(tiles, 2))


def table(result: dict[str, Any]) -> str:
    """The same for reading."""
    lines = [
        f"{one['name']:40} dice {one['dice']:.3f}  iou {one['iou']:.3f}" for one in result.get("pictures", [])
    ]
    if "overall" in result:
        lines.append(
            "overall " + "  ".join(f"{name} {value:.3f}" for name, value in result["overall"].items())
        )
    for name in ("years", "boxes", "spots", "annotations", "simulated"):
        if name in result:
            lines.append(f"{name} {json.dumps(result[name])}")
    return "\n".join(lines)
