"""The quality of coronal frames: good ones pass, every defect is found and named."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import models.aia_quality.inference as inference
from models.aia_quality import AiaQuality
from models.aia_quality.defects import DEFECTS, earth_shadow, lost_blocks, lost_half
from models.aia_quality.evaluate import good_frames, measure
from models.aia_quality.header import causes_of
from models.measuring import LeftOut
from models.registry import action_of, options_of
from models.simulate.aia import AiaSun, AiaTelescope, write_aia_fits
from observatory.analysis import Cause, Quality
from observatory.errors import ModelError, UnusableInputError
from observatory.euv import disk_of, monochrome
from observatory.frame import DateSource, Frame, Pointing, RowOrder
from observatory.instruments import Limits, open_bytes, read_file
from tests.making import picture_bytes, tiled_fits_bytes
from tests.observatory.test_euv import coloured, corona

MODEL = AiaQuality()
DISK = Pointing(255.5, 255.5, 200.0, 959.63, 0.0, source="header")
RANDOM = np.random.default_rng(5)


def counts(pixels: np.ndarray | None = None, **header: object) -> Frame:
    """A level-1 frame of 193: 3 counts for each of brightness, with noise."""
    light = 3.0 * corona() if pixels is None else pixels
    noisy = np.random.default_rng(2).poisson(np.clip(light, 0, None)) if pixels is None else light
    return Frame(
        np.clip(np.rint(noisy), -100, 16383).astype(np.int16),
        "aia-193",
        RowOrder.BOTTOM,
        date_obs=datetime(2012, 10, 4, tzinfo=UTC),
        date_obs_source=DateSource.HEADER,
        exposure_time_s=2.0,
        pointing=DISK,
        header=header,
    )


def causes(quality: Quality) -> list[Cause]:
    return [cause.cause for cause in quality.causes]


def spoilt(name: str, frame: Frame, seed: int) -> Frame:
    plane = monochrome(frame)
    full = 255.0 if plane.is_picture else 16383.0
    image = DEFECTS[name][0](
        plane.pixels.astype(np.float32), disk_of(frame, plane), full, np.random.default_rng(seed)
    )
    pixels = np.clip(np.rint(image), -32768, full).astype(np.uint8 if plane.is_picture else np.int16)
    return replace(frame, pixels=pixels)


def test_a_good_frame_is_good_and_has_no_cause():
    quality = MODEL.analyse(counts())
    assert quality.score > 0.9 and not quality.is_degraded
    assert quality.causes == () and quality.region_map is None
    assert quality.p_value is None  # calibrated on pictures only
    assert quality.model.name == "aia_quality"


def test_a_good_coloured_picture_is_good_and_has_a_p_value():
    frame = replace(counts(), pixels=coloured(corona(), 193), row_order=RowOrder.TOP, pointing=None)
    quality = MODEL.analyse(frame)
    assert quality.score > 0.8
    assert quality.p_value is not None and 0.05 < quality.p_value <= 1.0


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_is_found_and_named_in_counts(name: str, seed: int):
    quality = MODEL.analyse(spoilt(name, counts(), seed))
    assert quality.is_degraded, name
    assert DEFECTS[name][1] & set(causes(quality)), (name, causes(quality))


def test_real_good_frames_are_not_called_degraded_and_their_defects_are_found(real_frames: Path):
    folders = [real_frames / "aia" / name for name in ("png", "browse_20250205", "fits")]
    frames = [*good_frames(folders, [])]
    found = measure(frames, MODEL, every=6, seed=3)
    assert found["good"] == 19
    assert found["good_called_degraded"] == []
    assert found["left_out"] == []
    simulators = found["defects_of_the_simulator"]
    assert {name for name, rates in simulators.items() if rates["named"] == 1.0} >= {
        "eclipse",
        "lens_cap",
        "off_centre",
        "spikes",
    }
    for name, rates in found["defects"].items():
        if name != "particle hits":  # the rarest cannot be told from bright points
            assert rates["found"] == 1.0, name


def test_a_jpeg2000_of_the_full_size_is_good(real_frames: Path):
    path = real_frames / "aia/jp2/2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2"
    quality = MODEL.analyse(read_file(path, Limits()).frame())
    assert quality.score > 0.9
    assert quality.measures["quality_word"] == 1 << 30  # near real time: no reason to doubt it


def test_a_cut_out_is_judged_by_what_it_shows(real_frames: Path):
    frame = read_file(real_frames / "aia/fits/aia_171_cutout.fits", Limits()).frame()
    quality = MODEL.analyse(frame)
    assert quality.score > 0.9
    assert quality.measures["is_cut_out"] == 1.0


@pytest.mark.parametrize("half_arcsec", [600.0, 800.0])
def test_a_cut_out_of_the_middle_of_the_disk_need_not_show_a_limb(real_frames: Path, half_arcsec: float):
    frame = read_file(real_frames / "aia/fits/aia_20200925T235957_171.fits", Limits()).frame()
    assert frame.pointing is not None
    half = round(half_arcsec / frame.pointing.cdelt_arcsec)
    first = round(frame.pointing.center_x_px) - half
    pixels = np.ascontiguousarray(frame.pixels[first : first + 2 * half, first : first + 2 * half])
    x, y = frame.pointing.center_x_px - first, frame.pointing.center_y_px - first
    pointing = replace(frame.pointing, center_x_px=x, center_y_px=y)
    header = {key: value for key, value in frame.header.items() if key not in ("TOTVALS", "DATAVALS")}
    quality = MODEL.analyse(replace(frame, pixels=pixels, pointing=pointing, header=header))
    assert quality.measures["is_cut_out"] == 1.0 and quality.measures["in_frame"] > 0.5
    assert not quality.is_degraded and not quality.causes


def test_results_of_the_version_that_wanted_a_limb_of_every_cut_out_are_told_from_those_of_now():
    former = "725bc88ee9aaaa56106a05889d2776b8a524791dc6767326fa749105c2180065"  # 1.0.0
    assert MODEL.identity.sha256 != former and MODEL.identity.version == "1.1.0"


# -- what the archive states -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bit", "cause"),
    [
        (9, Cause.MISSING_DATA),
        (11, Cause.MISSING_DATA),
        (12, Cause.OFF_CENTRE),
        (13, Cause.ECLIPSE),
        (14, Cause.NO_TARGET),
        (16, Cause.LENS_CAP),
        (17, Cause.TRACKING),
        (18, Cause.UNKNOWN),
        (20, Cause.DEFOCUS),
        (31, Cause.MISSING_DATA),
    ],
)
def test_a_bit_of_quality_degrades_a_level_1_frame_and_names_the_cause(bit: int, cause: Cause):
    signed = (1 << bit) - (1 << 32 if bit == 31 else 0)
    data = tiled_fits_bytes(
        counts().pixels,
        {"TELESCOP": "SDO/AIA", "INSTRUME": "AIA_2", "WAVELNTH": 193, "LVL_NUM": 1.0, "EXPTIME": 2.0}
        | {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CRPIX1": 256.5, "CRPIX2": 256.5}
        | {"CDELT1": 4.79815, "CDELT2": 4.79815, "RSUN_OBS": 959.63, "QUALITY": signed},
        tile_shape=(1, 512),
    )
    quality = MODEL.analyse(open_bytes(data, "aia_lev1_193.fits", Limits()).frame())
    assert quality.is_degraded
    assert causes(quality) == [cause]


@pytest.mark.parametrize("bit", [0, 1, 2, 3, 4, 8, 19, 22, 23, 30])
def test_bits_that_spoil_nothing_change_nothing(bit: int):
    assert MODEL.analyse(counts(QUALITY=1 << bit)).score == MODEL.analyse(counts(QUALITY=0)).score


def test_keywords_say_the_same_where_there_is_no_quality_word():
    found = causes_of({"ACS_ECLP": "YES", "IMG_TYPE": "DARK"}, {}, is_whole=True)
    assert set(found) == {Cause.ECLIPSE, Cause.LENS_CAP}
    lost = {"TOTVALS": 1000, "MISSVALS": 300}
    assert causes_of(lost, {}, is_whole=True)[Cause.MISSING_DATA] == pytest.approx(30)
    assert causes_of(lost, {}, is_whole=False) == {}


# -- what the pixels show ----------------------------------------------------------------------


def test_half_a_frame_missing_is_missing_data_with_its_region():
    image = lost_half(3.0 * corona(), DISK, 16383.0, np.random.default_rng(0))
    quality = MODEL.analyse(counts(image))
    assert causes(quality)[0] is Cause.MISSING_DATA
    assert quality.measures["missing"] == pytest.approx(0.5, abs=0.04)
    assert quality.region_map is not None and quality.region_extent_px == (-0.5, -0.5, 511.5, 511.5)
    inside = np.hypot(*(np.mgrid[:256, :256] * 2 + 0.5 - 255.5)) < 180
    lost = image[::2, ::2] == 0
    assert ((quality.region_map > 0.5) == lost)[inside].mean() > 0.96


def test_lost_values_that_are_nan_are_missing_data():
    image = lost_blocks(3.0 * corona(), DISK, 16383.0, np.random.default_rng(1))
    image[image == 0] = np.nan
    quality = MODEL.analyse(replace(counts(), pixels=image.astype(np.float32)))
    assert causes(quality)[0] is Cause.MISSING_DATA


def test_nothing_but_nan_on_the_disk_is_missing_data_and_no_crash():
    image = corona()
    image[np.hypot(*(np.mgrid[:512, :512] - 255.5)) < 230] = np.nan
    quality = MODEL.analyse(replace(counts(), pixels=image))
    assert causes(quality) == [Cause.MISSING_DATA] and quality.score < 0.01


def test_an_eclipse_shadow_is_shown_where_it_lies():
    image = earth_shadow(3.0 * corona(), DISK, 16383.0, np.random.default_rng(4))
    quality = MODEL.analyse(counts(image + RANDOM.normal(0, 1, image.shape)))
    assert causes(quality)[0] is Cause.ECLIPSE
    assert quality.region_map is not None
    dark = image[::2, ::2] < 0.02 * 180
    on_disk = np.hypot(*(np.mgrid[:256, :256] * 2 + 0.5 - 255.5)) < 190
    assert ((quality.region_map > 0.5) == dark)[on_disk].mean() > 0.9


def test_a_coronal_hole_at_the_pole_is_no_shadow():
    y, x = np.mgrid[:512, :512] - 255.5
    hole = (np.hypot(x, y) < 198) & (np.hypot(x, y + 190) < 90)
    image = np.where(hole, 0.12, 1.0) * 3.0 * corona()
    quality = MODEL.analyse(counts(RANDOM.poisson(image)))
    assert not quality.is_degraded, quality.measures


@pytest.mark.parametrize("level", [0, 255])
def test_an_empty_picture_is_useless_and_says_why(level: int):
    frame = Frame(np.full((256, 256), level, np.uint8), "aia-193", RowOrder.TOP)
    quality = MODEL.analyse(frame)
    assert quality.score < 0.05
    assert {Cause.UNDEREXPOSED, Cause.OVEREXPOSED, Cause.NO_TARGET} & set(causes(quality))


def test_infinite_values_are_no_measurement():
    image = corona()
    image[::7, ::5] = np.inf
    quality = MODEL.analyse(replace(counts(), pixels=image))
    assert np.isfinite(list(quality.measures.values())).all()
    assert quality.score > 0.5  # a fiftieth of single pixels: no cell is lost


def test_a_header_that_points_beside_the_sun_is_off_centre():
    quality = MODEL.analyse(replace(counts(), pointing=replace(DISK, center_x_px=262.0)))
    assert causes(quality) == [Cause.OFF_CENTRE]
    assert quality.measures["offset"] == pytest.approx(6.5 / 200, abs=0.006)


def test_a_picture_of_an_unknown_table_is_refused_here_too():
    strange = np.dstack([corona().clip(0, 255), 255 - corona().clip(0, 255), corona() * 0 + 90]).astype(
        np.uint8
    )
    with pytest.raises(UnusableInputError, match="no known table"):
        MODEL.analyse(Frame(strange, "aia-193", RowOrder.TOP))


@pytest.mark.parametrize("shape", [(40, 300), (300, 2), (1, 1), (17, 17), (130, 131)])
def test_small_and_narrow_frames_are_judged_without_a_crash(shape: tuple[int, int]):
    pixels = RANDOM.poisson(200, shape).astype(np.int16)
    assert 0.0 <= MODEL.analyse(Frame(pixels, "aia-171", RowOrder.BOTTOM)).score <= 1.0
    pointed = Frame(pixels, "aia-171", RowOrder.BOTTOM, pointing=replace(DISK, radius_px=1600.0))
    assert 0.0 <= MODEL.analyse(pointed).score <= 1.0


# -- the model itself --------------------------------------------------------------------------


def test_an_altered_calibration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("thresholds.toml", "calibration.npz"):
        (tmp_path / name).write_bytes((Path(inference.__file__).parent / name).read_bytes())
    monkeypatch.setattr(inference, "_FOLDER", tmp_path)
    AiaQuality()
    (tmp_path / "calibration.npz").write_bytes(b"other")
    with pytest.raises(ModelError, match="altered"):
        AiaQuality()
    (tmp_path / "calibration.npz").unlink()
    with pytest.raises(ModelError, match=r"missing.*heliowatch models export aia_quality"):
        AiaQuality()


def test_frames_that_cannot_be_used_are_left_out_of_a_measurement_and_named(tmp_path: Path):
    write_aia_fits(tmp_path, AiaSun(1, detail=256).frame(datetime(2014, 9, 5, tzinfo=UTC), AiaTelescope(128)))
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE  =                    T")
    (tmp_path / "sky.jpg").write_bytes(picture_bytes(np.zeros((64, 64, 3), np.uint8), "JPEG"))
    left_out: list[dict[str, str]] = []
    assert len([*good_frames([tmp_path, tmp_path / "none"], left_out)]) == 1
    names = sorted(Path(one["file"]).name for one in left_out)
    assert names == ["broken.fits", "none", "sky.jpg"]
    assert all(one["error"] for one in left_out)


def test_a_folder_without_frames_is_said(tmp_path: Path):
    for verb in ("evaluate", "export"):
        with pytest.raises(ModelError, match="files or folders of no use: 1"):
            action_of("aia_quality", verb)(options_of("aia_quality", verb)(data=tmp_path / "none"))


def test_there_is_nothing_to_train():
    with pytest.raises(ModelError, match="no network to train"):
        action_of("aia_quality", "train")(options_of("aia_quality", "train")())


def test_packed_frames_and_pictures_of_all_endings_are_found_in_folders(tmp_path: Path) -> None:
    packed = write_aia_fits(
        tmp_path, AiaSun(1, detail=256).frame(datetime(2014, 1, 1, tzinfo=UTC), AiaTelescope(128))
    )
    (tmp_path / f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    (tmp_path / "noise.JPEG").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("windy")
    left_out: list[LeftOut] = []
    assert len(list(good_frames([tmp_path], left_out))) == 1
    assert [Path(item["file"]).name for item in left_out] == ["noise.JPEG"]
