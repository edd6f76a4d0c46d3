"""The quality of HMI frames: good ones pass, every defect is found and named, the archive is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import models.hmi_quality.inference as inference
from models.hmi_quality import HmiQuality
from models.hmi_quality.defects import DEFECTS, canvas_of, earth_shadow, lost_blocks, spoilt
from models.hmi_quality.evaluate import good_frames, measure, simulated_frames
from models.registry import action_of, options_of
from observatory.analysis import Cause, Quality, Quantity
from observatory.errors import ModelError, UnusableInputError
from observatory.frame import Frame, Pointing, RowOrder
from observatory.instruments import Limits, open_bytes, read_file
from tests.making import fits_bytes, picture_bytes
from tests.photospheric import (
    BAD_INPUTS,
    continuum_disk,
    disk_bytes,
    disk_cards,
    disk_radius,
    field_disk,
    granules,
    half_missing,
)

MODEL = HmiQuality()
UNCALIBRATED = HmiQuality(is_calibrated=False)


def continuum(size_px: int = 512, **cards: object) -> Frame:
    return open_bytes(disk_bytes(continuum_disk(size_px), **cards), "a.fits", Limits()).frame()


def field(size_px: int = 1024, **cards: object) -> Frame:
    words = {"CONTENT": "MAGNETOGRAM", "BUNIT": "Gauss"} | cards
    return open_bytes(disk_bytes(field_disk(size_px), **words), "a.fits", Limits()).frame()


def patch(pixels: np.ndarray, name: str = "hmi_continuum_patch.fits") -> Frame:
    return open_bytes(fits_bytes(pixels), name, Limits()).frame()


def causes(quality: Quality) -> list[Cause]:
    return [cause.cause for cause in quality.causes]


# -- good frames -------------------------------------------------------------------------------


@pytest.mark.parametrize("size_px", [256, 1024])
def test_good_disks_are_good_and_have_no_cause(size_px: int):
    for frame in (continuum(size_px), field(size_px)):
        quality = MODEL.analyse(frame)
        assert quality.score > 0.6 and not quality.is_degraded
        assert quality.causes == () and quality.region_map is None
        assert quality.p_value is None  # calibrated on pictures only
        assert quality.model.name == "hmi_quality"


def test_a_disk_without_limb_darkening_is_good():
    cards = disk_cards(512, BUNIT=None)
    flat = granules((512, 512), contrast=0.008)
    flat[disk_radius(cards, 512) > 1] = np.nan
    frame = open_bytes(fits_bytes(flat, cards), "hmi.ic_nolimbdark_720s.continuum.fits", Limits()).frame()
    quality = MODEL.analyse(frame)
    assert causes(quality) == []


def test_patches_of_any_shape_are_good_and_a_sliver_is_neither_good_nor_bad():
    assert MODEL.analyse(patch(granules((90, 301)))).score > 0.75
    assert MODEL.analyse(patch(granules((200, 10)))).score == pytest.approx(0.66, abs=0.01)


def test_simulated_suns_are_good_and_their_defects_are_found():
    found = measure(simulated_frames(1, 1024, seed=5), MODEL, every=1, seed=3)
    assert found["good"] == 2 and found["good_called_degraded"] == []
    of_no_light = {"spikes (field)", "underexposed (field)", "defocus (continuum)"}  # too coarse, too little
    for name, rates in found["defects_of_the_simulator"].items():
        assert rates["found"] == 1.0 or name in of_no_light, name


def test_every_real_frame_is_good(real_frames: Path):
    left_out: list[dict[str, str]] = []
    folders = [real_frames / "hmi"]
    pictures = [*good_frames([real_frames / "sdo_boxes/hmi_continuum"], left_out)][::6]
    scores = {frame.file_name: MODEL.analyse(frame) for frame in (*good_frames(folders, left_out), *pictures)}
    assert len(scores) == 31 and left_out == []
    assert [name for name, quality in scores.items() if quality.is_degraded] == []
    calibrated = [quality.p_value for quality in scores.values() if quality.p_value is not None]
    assert len(calibrated) == 25 and 0.2 < np.mean(calibrated) < 0.8


# -- defects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_of_a_disk_is_found_and_named(name: str):
    defect = DEFECTS[name]
    frames = [continuum(2048)] if name == "defocus" else [continuum(512)]
    frames += [] if name in ("particle storm", "off-point") else [field(1024)]
    for frame in frames:
        quantity = Quantity.FIELD if frame.instrument == "hmi-magnetogram" else Quantity.CONTINUUM
        if quantity not in defect.quantities:
            continue
        random = np.random.default_rng(8)
        quality = MODEL.analyse(spoilt(frame, defect, random))
        assert quality.is_degraded and defect.named & set(causes(quality)), (quantity, causes(quality))


@pytest.mark.parametrize(
    "name", [name for name, defect in DEFECTS.items() if defect.on_patches and name != "underexposure"]
)
def test_every_defect_of_a_patch_is_found_and_named(name: str):
    defect = DEFECTS[name]
    quiet = patch(granules((200, 200)))
    spots = np.nan_to_num(field_disk(1024)[400:700, 350:650])
    for frame, quantity in (
        (quiet, Quantity.CONTINUUM),
        (patch(spots, "hmi_blos_patch.fits"), Quantity.FIELD),
    ):
        if quantity in defect.quantities:
            quality = MODEL.analyse(spoilt(frame, defect, np.random.default_rng(8)))
            assert quality.is_degraded and defect.named & set(causes(quality)), (quantity, causes(quality))


def test_lost_blocks_are_mapped_where_they_are():
    frame = continuum(512)
    blocks = np.isnan(lost_blocks(canvas_of(frame), np.random.default_rng(3)))
    quality = MODEL.analyse(spoilt(frame, DEFECTS["lost blocks"], np.random.default_rng(3)))
    assert quality.region_map is not None and quality.region_extent_px == (-0.5, -0.5, 511.5, 511.5)
    found = cv2.resize(quality.region_map, (512, 512), interpolation=cv2.INTER_NEAREST) > 0.5
    inside = disk_radius(disk_cards(512), 512) < 0.97
    assert (found & blocks & inside).sum() > 0.9 * (blocks & inside).sum()
    assert (found & ~blocks).sum() < 0.1 * found.sum()


def test_a_shadow_is_no_lost_block_however_it_lies():
    frame = continuum(512)
    canvas = canvas_of(frame)
    for seed in range(6):
        shadowed = replace(frame, pixels=earth_shadow(canvas, np.random.default_rng(seed)))
        assert causes(MODEL.analyse(shadowed)) == [Cause.ECLIPSE]


def test_half_of_a_full_frame_missing_is_told_with_its_share():
    quality = MODEL.analyse(open_bytes(half_missing(2048), "a.fits", Limits()).frame())
    assert causes(quality) == [Cause.MISSING_DATA]
    assert quality.measures["missing"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("roll_deg", "is_tracked"), [(179.93, True), (-179.9, True), (0.0, True), (0.3, True), (90.0, False)]
)
def test_hmi_hangs_upside_down_or_is_turned_upright_and_nothing_between(roll_deg: float, is_tracked: bool):
    found = causes(MODEL.analyse(continuum(256, roll_deg=roll_deg)))
    assert found == ([] if is_tracked else [Cause.TRACKING])


def test_a_header_that_places_the_disk_aside_is_off_centre():
    cards = disk_cards(512, CRPIX1=330.0)
    frame = open_bytes(fits_bytes(continuum_disk(512, cards=cards), cards), "a.fits", Limits()).frame()
    assert Cause.OFF_CENTRE in causes(MODEL.analyse(frame))


def test_a_cut_out_is_not_asked_where_the_disk_is():
    whole = continuum_disk(1024)
    cards = disk_cards(1024)
    cards |= {"CRPIX1": cards["CRPIX1"] - 300, "CRPIX2": cards["CRPIX2"] - 200}
    frame = open_bytes(fits_bytes(whole[200:500, 300:700], cards), "a.fits", Limits()).frame()
    assert causes(MODEL.analyse(frame)) == []


def test_a_grey_picture_of_a_field_is_judged_by_its_texture():
    field_gauss = np.nan_to_num(field_disk(512), nan=-1e4)
    grey = np.clip(127.5 + field_gauss / 100 * 127.5, 0, 255).astype(np.uint8)[::-1]
    good = open_bytes(picture_bytes(grey), "20240508_120000_512_HMIB.png", Limits()).frame()
    assert causes(MODEL.analyse(good)) == []
    noise = np.random.default_rng(1).normal(127, 40, grey.shape)
    alone = np.where(grey == 0, 0, np.clip(noise, 1, 255)).astype(np.uint8)
    quality = MODEL.analyse(replace(good, pixels=alone))
    assert quality.is_degraded and causes(quality) == [Cause.NO_TARGET]


# -- what the archive states -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bit", "cause"),
    [
        (5, Cause.UNKNOWN),
        (8, Cause.ECLIPSE),
        (14, Cause.TRACKING),
        (25, Cause.MISSING_DATA),
        (31, Cause.MISSING_DATA),
    ],
)
def test_a_bit_of_quality_degrades_a_frame_and_names_the_cause(bit: int, cause: Cause):
    signed = (1 << bit) - (1 << 32 if bit == 31 else 0)
    assert causes(MODEL.analyse(continuum(256, QUALITY=signed))) == [cause]


@pytest.mark.parametrize("bit", [6, 10, 11, 12, 13, 15, 16])
def test_bits_of_lesser_processing_spoil_nothing(bit: int):
    assert causes(MODEL.analyse(continuum(256, QUALITY=1 << bit))) == []


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("constant", Cause.NO_TARGET),
        ("negative continuum", Cause.UNKNOWN),
        ("field in the wrong unit", Cause.UNKNOWN),
        ("half missing", Cause.MISSING_DATA),
    ],
)
def test_bad_input_that_can_be_read_is_of_no_use_and_says_why(name: str, cause: Cause):
    bad = BAD_INPUTS[name]
    quality = MODEL.analyse(open_bytes(bad.make(), bad.file_name, Limits()).frame())
    assert quality.score < 0.05 and causes(quality)[0] is cause


def test_a_picture_in_colours_of_nothing_is_refused():
    bad = BAD_INPUTS["colour JPEG"]
    with pytest.raises(UnusableInputError, match=r"colours cannot be turned into brightness: give it grey"):
        MODEL.analyse(open_bytes(bad.make(), bad.file_name, Limits()).frame())


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint16, np.float64, np.bool_, ">f4"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (33, 31), (130, 97)])
def test_no_shape_or_number_type_breaks_it(dtype: str, shape: tuple[int, int]):
    pixels = (1000 * granules(shape)).astype(dtype)
    for instrument in ("hmi-continuum", "hmi-magnetogram"):
        for pointing in (None, Pointing(3.0, 4.0, 2.0, roll_deg=180.0, source="header")):
            quality = MODEL.analyse(Frame(pixels, instrument, RowOrder.BOTTOM, pointing=pointing))
            assert 0.0 <= quality.score <= 1.0


def test_infinite_pixels_count_as_lost():
    pixels = granules((128, 128)).copy()
    pixels[20:60, 20:60] = np.inf
    assert Cause.MISSING_DATA in causes(MODEL.analyse(patch(pixels)))


# -- the family --------------------------------------------------------------------------------


def test_an_altered_calibration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("thresholds.toml", "calibration.npz"):
        (tmp_path / name).write_bytes((Path(inference.__file__).parent / name).read_bytes())
    monkeypatch.setattr(inference, "_FOLDER", tmp_path)
    assert HmiQuality().identity == MODEL.identity
    (tmp_path / "calibration.npz").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"altered.*heliowatch models export hmi_quality"):
        HmiQuality()
    (tmp_path / "calibration.npz").unlink()
    with pytest.raises(ModelError, match="missing"):
        HmiQuality()


def test_the_verbs_say_what_they_need(tmp_path: Path):
    with pytest.raises(ModelError, match="no network to train"):
        action_of("hmi_quality", "train")(options_of("hmi_quality", "train")())
    with pytest.raises(ModelError, match="too few frames"):
        action_of("hmi_quality", "export")(options_of("hmi_quality", "export")(data=tmp_path))
    evaluate = action_of("hmi_quality", "evaluate")
    with pytest.raises(ModelError, match=r"no HMI frames.*of no use: \d+$"):
        evaluate(options_of("hmi_quality", "evaluate")(data=tmp_path, simulated=0))


def test_test_data_that_is_not_there_leaves_the_simulated_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HELIOWATCH_TEST_DATA", str(tmp_path / "nowhere"))
    evaluate = action_of("hmi_quality", "evaluate")
    said = evaluate(options_of("hmi_quality", "evaluate")(simulated=1, size_px=128))
    assert (said["real"]["good"], said["simulated"]["good"], said["left_out"]) == (0, 2, [])


def test_a_real_browse_picture_spoilt_is_found_out(real_frames: Path):
    path = sorted((real_frames / "sdo_boxes/hmi_continuum").glob("*.jpg"))[7]
    frame = read_file(path, Limits()).frame()
    for name in ("lost blocks", "lunar transit", "off-point", "defocus", "underexposure"):
        quality = MODEL.analyse(spoilt(frame, DEFECTS[name], np.random.default_rng(2)))
        assert quality.is_degraded and DEFECTS[name].named & set(causes(quality)), name
        assert quality.p_value is not None and quality.p_value < 0.02


def test_without_calibration_there_is_no_p_value(real_frames: Path):
    path = next((real_frames / "sdo_boxes/hmi_continuum").glob("*.jpg"))
    assert UNCALIBRATED.analyse(read_file(path, Limits()).frame()).p_value is None
