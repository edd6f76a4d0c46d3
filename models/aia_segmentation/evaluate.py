"""Measure the exported network through the path that workers use, or one mask folder against another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation import data
from models.aia_segmentation.annotations import draw, read_mask, time_in_name
from models.aia_segmentation.comparison import Compared, Overlap, at_shape, by_year, overall
from models.aia_segmentation.hits import hit_boxes, hit_spots
from models.aia_segmentation.inference import AiaSegmentation
from models.aia_segmentation.options import EvaluateOptions
from models.aia_segmentation.preparation import EVENTS_OF, HALF_WIDTH_RADII
from models.aia_segmentation.registration import Placement, Registration, disk_of_mask, size_factor
from models.aia_segmentation.segmented import (
    DRAWN_SIDE,
    Segmented,
    disk_mask,
    is_asked,
    segment,
    trained_share,
)
from models.aia_segmentation.trained_on import warning_of
from models.registry import read_manifest
from models.reports import require_place
from models.runtime import Runtime
from observatory import euv, regions
from observatory.analysis import EventType, Segmentation, Threshold
from observatory.errors import UnusableInputError
from observatory.frame import Pointing

BoolArray = NDArray[np.bool_]

_SHOWN = 4  # best and worst cases
_FOUND_SHARE = 0.2  # of an outline's area: its region was found


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Compare and report; see `EvaluateOptions`.

    Returns
    -------
    dict
        ``pictures`` and ``overall`` against masks or annotations; ``boxes`` and ``spots`` where
        those were asked for. ``trained_on`` counts the pictures that trained the network, of which
        standard error warns: figures on them are not figures on new frames.

    Raises
    ------
    UnusableInputError
        When nothing pairs or is left to compare, or a mask shows another field than its picture.
    """
    require_place(options.output)
    kind, threshold = _asked(options)
    result: dict[str, Any] = {"event_type": str(kind), "threshold": str(threshold)}
    if options.other_masks is not None:
        result |= _report(options, list(_compare_folders(options)))
    elif not options.simulated and (options.images is None or not _has_truth(options)):
        raise UnusableInputError(
            "give --images DIR with --masks, --boxes, --spots or --annotations, or --simulated N"
        )
    else:
        result |= _measure(options, kind, threshold)
    warning = warning_of(result)
    if warning is not None:
        sys.stderr.write(warning + "\n")
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.format == "table":
        sys.stderr.write(table(result) + "\n")
    return result


def _has_truth(options: EvaluateOptions) -> bool:
    return any(
        given is not None for given in (options.masks, options.boxes, options.spots, options.annotations)
    )


def _asked(options: EvaluateOptions) -> tuple[EventType, Threshold]:
    if options.format not in ("json", "table"):
        raise UnusableInputError(f"format {options.format}: there are json and table")
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
        result |= how.to_dict() | _report(options, [case.compared for case in cases]) | _trained(cases)
    elif options.annotations is not None:
        cases, recall = _compare_outlines(options, model, kind, threshold)
        result |= _report(options, [case.compared for case in cases]) | {"annotations": recall}
        result |= _trained(cases)
    if options.boxes is not None:
        result["boxes"] = hit_boxes(options, model, kind, threshold)
    if options.spots is not None:
        result["spots"] = hit_spots(options, model, threshold)
    if options.simulated:
        result["simulated"] = _compare_simulated(options, model, kind, threshold)
    if options.plots is not None and cases:
        _draw_cases(options.plots, cases)
    return result


def _trained(cases: Sequence[Case]) -> dict[str, Any]:
    return {"trained_on": trained_share([case.compared.is_trained_on for case in cases])}


def _report(options: EvaluateOptions, compared: list[Compared]) -> dict[str, Any]:
    if not compared:
        raise UnusableInputError(
            f"no picture is of the time from {options.since or 'any'} to {options.until or 'any'}: "
            "there is nothing to compare (--since, --until)"
        )
    report: dict[str, Any] = {"pictures": [one.to_dict() for one in compared], "overall": overall(compared)}
    return report | ({"years": by_year(compared)} if options.by_year else {})


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
        one = segment(options, model, kind, path)
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
    compared = Compared(data.stem_of(one.path), Overlap.of(found, truth), year, one.is_trained_on)
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
        date_obs = time_in_name(path.name)
        if not is_asked(options, date_obs):
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
        date_obs = time_in_name(path.name)
        if date_obs is None or not is_asked(options, date_obs):
            continue
        near = data.outlines_near(outlines, date_obs, kind)
        if near is None:
            continue
        one = segment(options, model, kind, path)
        if one is None:
            continue
        found = disk_mask(one, threshold)
        roll = one.found.pointing.roll_deg if one.found.pointing else None
        fill = partial(draw, side=DRAWN_SIDE, row_order=one.frame.row_order, roll_deg=roll or 0.0)
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


def _grid_case(one: Segmented, found: BoolArray, truth: BoolArray) -> Case:
    plane = euv.monochrome(one.frame)
    assert one.found.pointing is not None
    gridded = euv.on_grid(plane, one.found.pointing, 512, HALF_WIDTH_RADII)
    year = one.date_obs.year if one.date_obs else None
    return Case(
        Compared(data.stem_of(one.path), Overlap.of(found, truth), year, one.is_trained_on),
        _small(gridded.pixels),
        found,
        truth,
    )


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
    from models.aia_segmentation.figures import outlined_tile
    from models.mosaic import mosaic

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
        f"{one['name']:40} dice {one['dice']:.3f}  iou {one['iou']:.3f}"
        + ("  (trained the network)" if one["trained_on"] else "")
        for one in result.get("pictures", [])
    ]
    if "overall" in result:
        lines.append(
            "overall " + "  ".join(f"{name} {value:.3f}" for name, value in result["overall"].items())
        )
    for name in ("years", "boxes", "spots", "annotations", "simulated"):
        if name in result:
            lines.append(f"{name} {json.dumps(result[name])}")
    return "\n".join(lines)
