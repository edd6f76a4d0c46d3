"""Dice and IoU are right, for empty masks too, at any size, and say what does not fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from astropy.io import fits

from models.aia_segmentation.comparison import Compared, Overlap, at_shape, by_year, overall
from models.aia_segmentation.data import read_frame, read_prepared
from models.aia_segmentation.evaluate import evaluate, table
from models.aia_segmentation.options import EvaluateOptions
from models.aia_segmentation.registration import (
    Placement,
    Registration,
    decide,
    disk_of_mask,
    evidence_of,
    placed,
)
from models.registry import action_of, options_of, trainable_families
from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import Frame, Pointing, RowOrder
from observatory.settings import test_data_dir as shared_data_dir

SHARED = shared_data_dir()
needs_frames = pytest.mark.skipif(SHARED is None, reason="HELIOWATCH_TEST_DATA is not set: no real frames")


def disk(side: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.indices((side, side))
    return np.where(np.hypot(columns - x * side, rows - y * side) < radius * side, 255, 0).astype(np.uint8)


def write(folder: Path, name: str, mask: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / name), mask)


def test_dice_and_iou_of_known_masks() -> None:
    one = np.zeros((4, 4), bool)
    other = one.copy()
    one[0, :2], other[0, 1:3] = True, True
    overlap = Overlap.of(one, other)
    assert (overlap.dice, overlap.iou) == (0.5, pytest.approx(1 / 3))


def test_two_empty_masks_agree_and_one_empty_mask_does_not() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert (Overlap.of(empty, empty).dice, Overlap.of(empty, empty).iou) == (1.0, 1.0)
    assert (Overlap.of(empty, full).dice, Overlap.of(full, empty).iou) == (0.0, 0.0)


def test_pooled_figures_weigh_pixels_and_means_weigh_pictures() -> None:
    compared = [Compared("a", Overlap(0, 0, 0), 2014), Compared("b", Overlap(50, 100, 100), 2015)]
    found = overall(compared)
    assert found == {
        "dice": 0.5,
        "iou": pytest.approx(1 / 3),
        "mean_dice": 0.75,
        "mean_iou": pytest.approx(2 / 3),
    }
    assert by_year(compared)["2014"]["dice"] == 1.0


def test_masks_of_another_size_are_compared_and_of_another_aspect_refused() -> None:
    mask = disk(64, 0.5, 0.5, 0.2)
    assert Overlap.of(at_shape(mask, (256, 256)), disk(256, 0.5, 0.5, 0.2) > 0).dice > 0.95
    with pytest.raises(UnusableInputError):
        at_shape(mask, (256, 200))


def test_two_mask_folders_are_compared_by_name_at_any_size_and_format(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth", tmp_path / "found"
    write(truth, "a_2015_01_01T00_00_00.png", disk(256, 0.4, 0.3, 0.2))
    write(found, "a_2015_01_01T00_00_00.png", disk(64, 0.4, 0.3, 0.2))
    write(truth, "b.png", np.zeros((64, 64), np.uint8))
    fits.PrimaryHDU(np.zeros((32, 32), np.int16)).writeto(found / "b.fits")
    write(truth, "only.png", disk(64, 0.5, 0.5, 0.1))
    result = evaluate(EvaluateOptions(masks=truth, other_masks=found, by_year=True))
    assert [one["name"] for one in result["pictures"]] == ["a_2015_01_01T00_00_00", "b"]
    assert result["overall"]["dice"] > 0.95 and result["pictures"][1]["dice"] == 1.0
    assert set(result["overall"]) == {"dice", "iou", "mean_dice", "mean_iou"}
    assert list(result["years"]) == ["2015"]
    assert "overall" in table(result)


def test_fits_masks_are_turned_to_the_rows_of_pictures(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth", tmp_path / "found"
    mask = disk(128, 0.3, 0.2, 0.1)
    write(truth, "a.png", mask)
    found.mkdir()
    fits.PrimaryHDU(mask[::-1].astype(np.int16)).writeto(found / "a.fits")
    assert evaluate(EvaluateOptions(masks=truth, other_masks=found))["overall"]["dice"] == 1.0


def test_folders_without_a_pair_or_with_another_aspect_say_so(tmp_path: Path) -> None:
    write(tmp_path / "truth", "a.png", disk(64, 0.5, 0.5, 0.2))
    write(tmp_path / "found", "b.png", disk(64, 0.5, 0.5, 0.2))
    with pytest.raises(UnusableInputError, match="name"):
        evaluate(EvaluateOptions(masks=tmp_path / "truth", other_masks=tmp_path / "found"))
    write(tmp_path / "found", "a.png", disk(64, 0.5, 0.5, 0.2)[:40])
    with pytest.raises(UnusableInputError, match=r"a\.png"):
        evaluate(EvaluateOptions(masks=tmp_path / "truth", other_masks=tmp_path / "found"))
    with pytest.raises(UnusableInputError, match="--images"):
        evaluate(EvaluateOptions(masks=tmp_path / "truth"))
    with pytest.raises(UnusableInputError, match="medium"):
        evaluate(EvaluateOptions(masks=tmp_path / "truth", threshold="high"))


def polar(side: int, radius: float, x: float, y: float) -> np.ndarray:
    """Both polar caps of a disk, as a mask cut at its limb."""
    rows, columns = np.indices((side, side))
    inside = np.hypot(columns - (side - 1) / 2 - x, rows - (side - 1) / 2 - y) < radius
    return np.where(inside & (np.abs(rows - side / 2) > 0.3 * side), 255, 0).astype(np.uint8)


JANUARY = Frame(
    np.zeros((512, 512), np.uint8),
    "aia-193",
    RowOrder.TOP,
    datetime(2015, 1, 4, tzinfo=UTC),
    wavelength_nm=19.3,
)
ONE_SIZE = Pointing(255.5, 255.5, 198.2)  # every picture of the archive scaled to this disk
FRAMES_RADIUS = 4 * 203.3  # of the frame itself in January, in a mask of four times the size


def test_masks_that_end_at_the_frames_limb_show_the_frames_disk() -> None:
    evidence = evidence_of(polar(2048, FRAMES_RADIUS, 0, 0), JANUARY, ONE_SIZE, 4.0)
    assert evidence.beyond_picture > 0.05 * evidence.area and evidence.beyond_frame == 0
    assert decide([evidence]).registration is Registration.FRAME
    inside = polar(2048, 4 * 198.0, 0, 0)
    assert decide([evidence_of(inside, JANUARY, ONE_SIZE, 4.0)]) == Placement()
    assert decide([]) == Placement() == decide([replace(evidence, beyond_picture=0.0)])
    nothing = evidence_of(np.zeros((2048, 2048), np.uint8), JANUARY, ONE_SIZE, 4.0)
    assert decide([nothing]).registration is Registration.PICTURE


def test_the_masks_limb_tells_where_their_disk_lies() -> None:
    moved = evidence_of(polar(2048, FRAMES_RADIUS, -3, 4), JANUARY, ONE_SIZE, 4.0)
    found = decide([moved])
    assert found.offset_radii == pytest.approx((-3 / FRAMES_RADIUS, 4 / FRAMES_RADIUS), abs=6e-4)
    disk = disk_of_mask(found, JANUARY, ONE_SIZE, 4.0)
    assert disk.center_x_px == pytest.approx(1023.5 - 3, abs=0.6)
    assert disk.radius_px == pytest.approx(FRAMES_RADIUS, rel=1e-3)
    with_header = replace(JANUARY, pointing=ONE_SIZE)  # a header is believed
    assert disk_of_mask(found, with_header, ONE_SIZE, 4.0).radius_px == 4 * ONE_SIZE.radius_px


def test_pixel_by_pixel_is_what_was_asked_for() -> None:
    cases = [(JANUARY, ONE_SIZE, polar(2048, FRAMES_RADIUS, 0, 0), "a.png")]
    assert placed(Registration.PICTURE, cases) == Placement()
    assert placed(Registration.AUTO, cases).registration is Registration.FRAME
    with pytest.raises(UnusableInputError, match="aspect"):
        placed(Registration.AUTO, [(JANUARY, ONE_SIZE, np.zeros((64, 50), np.uint8), "a.png")])


def test_the_family_is_found_by_the_command_line() -> None:
    assert "aia_segmentation" in trainable_families()
    for verb in ("train", "evaluate", "export"):
        assert options_of("aia_segmentation", verb) is not None
        assert callable(action_of("aia_segmentation", verb))


def test_simulated_frames_are_compared_with_their_truth() -> None:
    found = evaluate(EvaluateOptions(event_type="AR", simulated=1))["simulated"]
    assert set(found) == {"193", "171"}
    assert all(part["frames"] == 1 and part["dice"] > 0.4 for part in found.values())


def test_a_picture_whose_name_tells_nothing_is_known_by_its_colours(tmp_path: Path) -> None:
    rows, columns = np.indices((256, 256))
    radius = np.hypot(rows - 127.5, columns - 127.5) / 100
    level = np.where(radius < 1, 110, 110 * np.exp(-(radius - 1) / 0.15)).astype(np.uint8)
    level[90:120, 100:140] = 10
    cv2.imwrite(str(tmp_path / "picture.png"), level)
    assert read_frame(tmp_path / "picture.png").instrument == "aia-193"
    assert read_frame(tmp_path / "picture.png", "aia-171").instrument == "aia-171"
    with pytest.raises(UnusableInputError, match="segmented"):
        read_prepared(tmp_path / "picture.png", "aia-304")


@needs_frames
def test_real_pairs_give_dice_per_picture_and_overall(tmp_path: Path) -> None:
    assert SHARED is not None
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for path in sorted((SHARED / "aia/coronal_hole_masks" / kind).glob("*2016_1[0-2]*.png")):
            (tmp_path / kind / path.name).symlink_to(path)
    result = evaluate(
        EvaluateOptions(
            images=tmp_path / "images",
            masks=tmp_path / "masks",
            since="2016-12-19",
            until="2016-12-29",
            plots=tmp_path / "plots",
        )
    )
    assert len(result["pictures"]) == 2 and result["registration"] == "frame"
    assert result["overall"]["dice"] > 0.85  # these two trained the network: only the path is tested
    assert result["trained_on"] == {"trained": 2, "pictures": 2}
    assert (tmp_path / "plots/best.jpg").exists() and (tmp_path / "plots/worst.jpg").exists()


@needs_frames
def test_most_boxes_of_days_that_trained_nothing_are_hit() -> None:
    assert SHARED is not None
    folder = SHARED / "sdo_boxes/aia_193"
    days = {"since": "2011-06-16", "until": "2011-06-20"}
    boxes = evaluate(EvaluateOptions(images=folder, boxes=folder, **days))["boxes"]
    assert boxes["boxes"] >= 8 and boxes["hit_rate"] >= 0.6
    assert boxes["trained_on"] == {"trained": 0, "pictures": boxes["pictures"]}


@needs_frames
def test_human_polygons_near_in_time_are_compared() -> None:
    assert SHARED is not None
    result = evaluate(
        EvaluateOptions(
            images=SHARED / "aia/coronal_hole_masks/images",
            annotations=SHARED / "aia/annotations/ar_custom.zip",
            event_type="AR",
            since="2015-04-01",
            until="2015-07-01",
        )
    )
    assert len(result["pictures"]) == 2
    assert result["annotations"]["share"] > 0.5


def test_pictures_without_anything_to_compare_them_with_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="--masks, --boxes"):
        evaluate(EvaluateOptions(images=tmp_path))


def test_what_leaves_nothing_to_compare_is_no_perfect_agreement(tmp_path: Path) -> None:
    name = "a_20150301_120000.png"
    write(tmp_path / "true", name, disk(64, 0.5, 0.5, 0.2))
    write(tmp_path / "found", name, disk(64, 0.5, 0.5, 0.2))
    asked = EvaluateOptions(masks=tmp_path / "true", other_masks=tmp_path / "found", since="2020-01-01")
    with pytest.raises(UnusableInputError, match="nothing to compare"):
        evaluate(asked)
    assert evaluate(replace(asked, since=""))["overall"]["dice"] == 1.0
    with pytest.raises(UnusableInputError, match="no spot"):
        evaluate(EvaluateOptions(images=tmp_path / "found", spots=tmp_path))


def test_a_format_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="json and table"):
        evaluate(EvaluateOptions(masks=tmp_path, other_masks=tmp_path, format="xml"))


def test_a_reports_folder_is_made_and_a_folder_in_its_place_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    write(tmp_path / "masks", "a.png", disk(64, 0.5, 0.5, 0.2))
    asked = EvaluateOptions(masks=tmp_path / "masks", other_masks=tmp_path / "masks")
    evaluate(replace(asked, output=tmp_path / "new" / "report.json"))
    assert (tmp_path / "new" / "report.json").stat().st_size
    for family in ("aurora", "halpha_quality", "hmi_enhancement", "aia_segmentation"):
        options = options_of(family, "evaluate")
        more = {"truth": tmp_path / "none.npy"} if family == "hmi_enhancement" else {}
        with pytest.raises(SettingsError, match="name a file"):
            action_of(family, "evaluate")(options(output=tmp_path, **more))
