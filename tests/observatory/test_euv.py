"""Coronal frames: colours undone, captions masked, the disk found, brought to one grid."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from observatory.errors import MissingKeywordError, UnusableInputError
from observatory.euv import Plane, disk_of, exposure_normalised, monochrome, on_grid
from observatory.euv.colours import certain_table, colour_tables, fitting_tables, tables_of, undo
from observatory.euv.disk import standard_pointing
from observatory.euv.limb import find_bend, limb_height, ring_center
from observatory.frame import DateSource, Frame, Pointing, RowOrder
from observatory.instruments import Limits, read_file
from observatory.instruments.helioprojective import wcs_pointing

RNG = np.random.default_rng(3)


def corona(size: int = 512, radius: float = 200.0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A Sun as coronal channels show it: bright limb, corona falling beyond it, some structure."""
    middle = (size - 1) / 2
    y, x = np.mgrid[:size, :size].astype(np.float32)
    r = np.hypot(x - middle - shift[0], y - middle - shift[1]) / radius
    disk = 60 + 25 * r**6
    light = np.where(r < 1.01, disk, 85 * np.exp(-(r - 1.01) / 0.12))
    grain = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 1, (size, size)), (0, 0), 2.0)
    return (light * (1 + 0.8 * grain)).astype(np.float32)


def coloured(brightness: np.ndarray, channel: int, number: int = 0) -> np.ndarray:
    table = tables_of(channel)[number].rgb
    return np.rint(table[np.clip(np.rint(brightness), 0, 255).astype(int)]).astype(np.uint8)


def picture(pixels: np.ndarray, instrument: str = "aia-193", name: str = "a.png") -> Frame:
    return Frame(
        pixels,
        instrument,
        RowOrder.TOP,
        date_obs=datetime(2012, 10, 4, tzinfo=UTC),  # the Sun at 1.0001 au
        date_obs_source=DateSource.HEADER,
        file_name=name,
    )


def counts(pixels: np.ndarray, **facts: object) -> Frame:
    return Frame(pixels, "aia-171", RowOrder.BOTTOM, **facts)  # type: ignore[arg-type]


def read(path: Path) -> Frame:
    return read_file(path, Limits()).frame()


# -- colours -----------------------------------------------------------------------------------


def test_the_tables_are_those_that_sunpy_carries():
    import astropy.units as u
    from sunpy.visualization.colormaps.color_tables import aia_color_table

    for channel in (94, 131, 171, 193, 211, 304, 335, 1600, 1700, 4500):
        theirs = aia_color_table(channel * u.angstrom)(np.arange(256))[:, :3] * 255
        assert np.abs(tables_of(channel)[0].rgb - theirs).max() <= 1.0, channel


@pytest.mark.parametrize("table", colour_tables(), ids=lambda table: table.name)
def test_undoing_a_table_gives_back_every_brightness(table):
    pixels = np.rint(table.rgb).astype(np.uint8)[None]
    # Some colours of 1600 are shared by two entries each; nothing else loses anything.
    wrong = np.abs(undo(pixels, table)[0] - np.arange(256))
    assert wrong.max() <= 1.0 and (wrong > 0.01).sum() <= (8 if table.channel == 1600 else 0)


@pytest.mark.parametrize("channel", [94, 131, 171, 193, 211, 304, 335])
def test_a_jpeg_gives_back_the_brightness_within_its_noise(channel: int):
    light = cv2.GaussianBlur(corona(), (0, 0), 1.0)
    buffer = io.BytesIO()
    Image.fromarray(coloured(light, channel)).save(buffer, "JPEG", quality=80)
    found = monochrome(picture(np.asarray(Image.open(buffer)), f"aia-{channel}")).pixels
    assert np.median(np.abs(found - light)) < 2.5
    assert abs(np.mean(found - light)) < 2.0


@pytest.mark.parametrize("channel", [94, 131, 171, 193, 211, 304, 335, 1600, 1700])
def test_a_pictures_colours_tell_its_channel(channel: int):
    fits = fitting_tables(coloured(corona(), channel))
    assert fits is not None
    found = certain_table(fits)
    assert found is not None and found.channel == channel


@pytest.mark.parametrize(
    "strange", [cv2.COLORMAP_JET, cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_PINK, cv2.COLORMAP_OCEAN]
)
def test_a_coloured_picture_of_an_unknown_table_is_refused(strange: int):
    pixels = cv2.applyColorMap(np.clip(corona() * 1.5, 0, 255).astype(np.uint8), strange)[..., ::-1]
    with pytest.raises(UnusableInputError, match=r"fit no known table.*as FITS"):
        monochrome(picture(np.ascontiguousarray(pixels)))


def test_colours_of_another_channel_than_the_named_one_are_refused():
    with pytest.raises(UnusableInputError, match=r"colours of AIA 171 but is taken for aia-193"):
        monochrome(picture(coloured(corona(), 171), "aia-193"))


@pytest.mark.parametrize("station", ["my-telescope", "aia2", "sun-²", ""])
def test_a_station_of_any_name_is_known_by_its_colours(station: str):
    light = corona()
    assert np.abs(monochrome(picture(coloured(light, 211), station)).pixels - light).max() < 1.0
    other = replace(picture(coloured(light, 211), station), wavelength_nm=17.1)
    with pytest.raises(UnusableInputError, match="colours of AIA 211"):
        monochrome(other)


def test_suvi_195_is_shown_in_the_colours_of_193():
    light = corona()
    assert np.abs(monochrome(picture(coloured(light, 193), "suvi-195")).pixels - light).max() < 1.0


def test_a_grey_picture_of_three_planes_is_its_own_brightness():
    grey = np.clip(corona(), 0, 255).astype(np.uint8)
    plane = monochrome(picture(np.dstack([grey] * 3)))
    assert np.array_equal(plane.pixels, grey)
    assert plane.is_picture


def test_a_black_picture_has_no_colour_and_is_not_refused():
    assert monochrome(picture(np.zeros((64, 64, 3), np.uint8))).pixels.max() == 0


# -- captions and holes ------------------------------------------------------------------------


def captioned(size: int, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """A browse picture with its caption, and where the letters are."""
    letters = np.zeros((size, size), np.uint8)
    place, scale = (round(0.02 * size), round(0.982 * size)), size / 1024 * 0.75
    cv2.putText(letters, "SDO/AIA 193 2011-06-16 12:00:07 UT", place, 0, scale, 255, max(1, size // 700))
    pixels = coloured(corona(size, 0.39 * size), channel)
    pixels[letters > 0] = 255
    return pixels, letters > 0


@pytest.mark.parametrize("size", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("channel", [193, 304])
def test_a_burnt_in_caption_is_masked_at_every_size(size: int, channel: int):
    pixels, letters = captioned(size, channel)
    valid = monochrome(picture(pixels, f"aia-{channel}")).is_valid
    assert valid is not None
    assert not valid[letters].any()
    assert 1 - valid.mean() < 0.04
    assert valid[: int(0.93 * size)].all()


def test_nothing_is_masked_where_there_is_no_caption():
    assert monochrome(picture(coloured(corona(1024, 400), 193))).is_valid is None


def test_the_captions_of_real_browse_pictures_are_masked_and_nothing_else(real_frames: Path):
    for pattern, every in (("aia/browse_20250205", 1), ("sdo_boxes/aia_193", 97), ("sdo_boxes/aia_304", 59)):
        paths = sorted((real_frames / pattern).glob("*.jpg"))[::every]
        assert paths, pattern
        for path in paths:
            frame = read(path)
            valid = monochrome(frame).is_valid
            assert valid is not None, path.name
            y, x = np.nonzero(~valid)
            assert y.min() > 0.94 * frame.height and 0.45 < x.max() / frame.width < 0.58, path.name
    plain = sorted((real_frames / "aia/png").glob("*.png"))
    assert plain
    for path in plain:
        assert monochrome(read(path)).is_valid is None, path.name


def test_nan_is_marked_and_everything_else_is_valid():
    pixels = corona()
    assert monochrome(counts(pixels)).is_valid is None
    pixels[3, 5] = np.nan
    valid = monochrome(counts(pixels)).is_valid
    assert valid is not None
    assert (~valid).sum() == 1 and not valid[3, 5]


@pytest.mark.parametrize(
    ("dtype", "kept"), [(np.int16, np.int16), (np.int32, np.int16), (np.float64, np.float32)]
)
def test_counts_come_in_a_type_that_can_be_averaged(dtype: type, kept: type):
    assert monochrome(counts(corona().astype(dtype))).pixels.dtype == kept
    assert monochrome(counts(np.full((64, 64), 1 << 20, np.int32))).pixels.dtype == np.float32


# -- exposure ----------------------------------------------------------------------------------


def test_counts_are_divided_by_the_exposure_and_rates_are_not():
    one = np.ones(3, np.int16)
    assert exposure_normalised(counts(one, exposure_time_s=2.0), one).tolist() == [0.5] * 3
    assert exposure_normalised(counts(one, unit="DN", exposure_time_s=2.0), one).tolist() == [0.5] * 3
    for unit in ("DN/s", "DN / s", "dn s^-1", "W m-2 sr-1"):
        assert exposure_normalised(counts(one, unit=unit, exposure_time_s=2.0), one).tolist() == [1.0] * 3


@pytest.mark.parametrize("exposure", [None, 0.0, -1.0, float("nan")])
def test_counts_without_an_exposure_time_are_refused(exposure: float | None):
    with pytest.raises(MissingKeywordError, match="EXPTIME"):
        exposure_normalised(counts(np.ones(3), exposure_time_s=exposure), np.ones(3))


# -- disk --------------------------------------------------------------------------------------


def test_the_limb_of_real_frames_lies_where_their_headers_say(real_frames: Path):
    for name in (
        "aia/fits/aia_20200925T235957_171.fits",
        "aia/jp2/2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2",
    ):
        frame = read(real_frames / name)
        assert frame.pointing is not None
        said = frame.pointing
        plane = monochrome(frame)
        height = limb_height(171 if "171" in name else 193)
        for guess in (0.97, 1.0, 1.03):
            place = (said.center_x_px + 4, said.center_y_px - 3, said.radius_px * guess)
            found = find_bend(plane.pixels, *place, height)
            assert found is not None and found.is_certain
            assert abs(found.radius_px / said.radius_px - 1) < 0.005
            away = np.hypot(found.center_x_px - said.center_x_px, found.center_y_px - said.center_y_px)
            assert away < 0.005 * said.radius_px


def test_browse_pictures_have_their_archives_plate_scale(real_frames: Path):
    """Disks of nine months: the limb lies within 0.3 % of what scale and day say."""
    ratios = []
    for path in sorted((real_frames / "sdo_boxes/aia_193").glob("*.jpg"))[::20]:
        frame = read(path)
        plane, standard = monochrome(frame), standard_pointing(frame)
        found = find_bend(
            plane.pixels, standard.center_x_px, standard.center_y_px, standard.radius_px, limb_height(193)
        )
        assert found is not None and found.is_certain, path.name
        ratios.append(found.radius_px / standard.radius_px)
        assert disk_of(frame, plane).source == "archive", path.name
    assert abs(np.mean(ratios) - 1) < 0.002 and np.std(ratios) < 0.003


def test_pictures_scaled_to_one_disk_size_are_fitted_and_not_trusted(real_frames: Path):
    """Another archive's pictures show a Sun of the same size in January as in July."""
    radii = []
    for path in sorted((real_frames / "aia/coronal_hole_masks/images").glob("*.png")):
        frame = read(path)
        radii.append(disk_of(frame, monochrome(frame)).radius_px)
    # 0.7 % is what the archive's plate scale may differ before the limb is believed.
    assert np.ptp(radii) < 0.016 * np.mean(radii)


def test_a_suvi_picture_has_a_smaller_disk(real_frames: Path):
    frame = read(real_frames / "aia/png/suvi_ar_2023_10_12T18_00_09.png")
    assert frame.instrument == "suvi-171"
    assert disk_of(frame, monochrome(frame)).radius_px / frame.width == pytest.approx(0.3015, abs=0.003)


def test_a_disk_far_from_the_middle_is_found():
    frame = picture(coloured(corona(shift=(70.0, -45.0)), 193))
    found = disk_of(frame, monochrome(frame))
    assert found.source == "limb"
    assert found.center_x_px == pytest.approx(255.5 + 70, abs=1.5)
    assert found.center_y_px == pytest.approx(255.5 - 45, abs=1.5)
    assert ring_center(corona(shift=(70.0, -45.0)), 201.0) == pytest.approx((325.5, 210.5), abs=6)


@pytest.mark.parametrize("radius", [100.0, 150.0, 240.0])
def test_a_disk_of_any_size_is_found_in_counts_without_a_header(radius: float):
    found = disk_of(counts(corona(radius=radius)), Plane(corona(radius=radius)))
    assert found.radius_px == pytest.approx(radius, rel=0.01)
    assert found.roll_deg is None


@pytest.mark.parametrize("grain", [0.0, 1.0, 4.0, 12.0])
def test_no_disk_is_an_error_that_says_what_to_give(grain: float):
    noise = RNG.normal(100, 20, (256, 256)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), grain) if grain else np.full_like(noise, 100)
    frame = picture(np.clip(noise, 0, 255).astype(np.uint8), "aia-193")
    with pytest.raises(UnusableInputError, match=r"no solar limb.*give it with its header"):
        disk_of(frame, monochrome(frame))


# -- grid --------------------------------------------------------------------------------------

CENTRED = Pointing(255.5, 255.5, 200.0, roll_deg=0.0, source="header")


def test_the_grid_keeps_place_and_mean_brightness():
    image = corona()
    gridded = on_grid(Plane(image), CENTRED, 128, 1.25)
    assert gridded.extent_px == (5.5, 5.5, 505.5, 505.5)
    assert gridded.pointing.radius_px == pytest.approx(128 / 2.5)
    assert gridded.pointing.center_x_px == gridded.pointing.center_y_px == 63.5
    assert gridded.is_valid.all()
    assert gridded.pixels.mean() == pytest.approx(image[6:506, 6:506].mean(), rel=2e-3)
    limb = find_bend(gridded.pixels, 63.5, 63.5, 51.2)
    assert limb is not None and limb.radius_px == pytest.approx(51.2, rel=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_every_number_type_gives_the_same_grid(dtype: type):
    image = corona().clip(0, 255).astype(dtype)
    expected = on_grid(Plane(image.astype(np.float32)), CENTRED, 100, 1.2).pixels
    assert np.abs(on_grid(Plane(image), CENTRED, 100, 1.2).pixels - expected).max() < 0.6


def test_what_lies_beyond_the_frame_is_not_valid():
    off = replace(CENTRED, center_x_px=50.0)
    gridded = on_grid(Plane(corona()), off, 64, 1.25)
    cells_outside = (1.25 * 200 - 50.5) / (2.5 * 200) * 64
    assert gridded.is_valid[32].sum() == pytest.approx(64 - cells_outside, abs=1)
    assert (gridded.pixels[~gridded.is_valid] == 0).all()


def test_holes_do_not_darken_their_surroundings():
    image = np.full((512, 512), 80.0, np.float32)
    valid = RNG.random((512, 512)) > 0.3
    valid[100:200, 100:200] = False
    image[~valid] = np.nan
    gridded = on_grid(Plane(np.nan_to_num(image), valid), CENTRED, 64, 1.25)
    assert np.allclose(gridded.pixels[gridded.is_valid], 80.0, rtol=0.02)
    hole = on_grid(Plane(image, valid), CENTRED, 64, 1.25)  # NaN itself counts for nothing either
    assert np.allclose(hole.pixels[hole.is_valid], 80.0, rtol=0.02)
    assert 0.02 < (~gridded.is_valid).mean() < 0.06


def test_north_up_is_the_same_sun_whichever_way_the_rows_run():
    image = corona()
    image[60:120, 240:270] = 255.0  # a mark north of the middle, rows downwards
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((255.5, 255.5), -25, 1), (512, 512))
    rolled = replace(CENTRED, roll_deg=25.0)  # north 25 degrees clockwise from up
    top = on_grid(Plane(turned, row_order=RowOrder.TOP), rolled, 128, 1.2, north_up=True)
    bottom = on_grid(Plane(turned[::-1].copy()), rolled, 128, 1.2, north_up=True)
    upright = on_grid(Plane(image), CENTRED, 128, 1.2).pixels
    assert top.pointing.roll_deg == 0.0
    assert np.corrcoef(top.pixels.ravel(), upright.ravel())[0, 1] > 0.995
    assert np.corrcoef(bottom.pixels[::-1].ravel(), upright.ravel())[0, 1] > 0.995


def test_rotation_and_scale_agree_with_sunpy(real_frames: Path):
    import astropy.units as u
    import sunpy.map
    from astropy.coordinates import SkyCoord

    frame = read(real_frames / "aia/fits/aia_20200925T235957_171.fits")
    header = {"ctype1": "HPLN-TAN", "ctype2": "HPLT-TAN", "cunit1": "arcsec", "cunit2": "arcsec"}
    header |= {"cdelt1": 2.4, "cdelt2": 2.4, "crpix1": 530.5, "crpix2": 500.5, "crval1": 12.0, "crval2": -7.0}
    header |= {
        "crota2": 11.0,
        "rsun_obs": 957.18,
        "date-obs": "2020-09-25T23:58:09",
        "naxis1": 1024,
        "naxis2": 1024,
    }
    header |= {"dsun_obs": 149982921008.88, "hgln_obs": 0.0, "hglt_obs": 7.0, "telescop": "SDO/AIA"}
    pointing = wcs_pointing({key.upper(): value for key, value in header.items()})
    assert pointing is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        turned = sunpy.map.Map(frame.pixels, header).rotate(recenter=False, order=1, missing=0.0)
        centre = SkyCoord(0 * u.arcsec, 0 * u.arcsec, frame=turned.coordinate_frame)
        x0, y0 = (float(value.value) for value in turned.world_to_pixel(centre))
    ours = on_grid(Plane(frame.pixels), pointing, 256, 128 * 3 * 2.4 / 957.18, north_up=True)
    shift = np.array([[3.0, 0, x0 - 127.5 * 3], [0, 3.0, y0 - 127.5 * 3]])
    smooth = cv2.blur(np.nan_to_num(turned.data).astype(np.float32), (3, 3))
    theirs = cv2.warpAffine(smooth, shift, (256, 256), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inside = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 120
    difference = (ours.pixels - theirs)[inside]
    assert np.corrcoef(ours.pixels[inside], theirs[inside])[0, 1] > 0.998
    assert np.sqrt(np.mean(difference**2)) < 0.05 * theirs[inside].mean()


def test_registration_agrees_with_aiapy(real_frames: Path):
    """aiapy's level 1 to 1.5: turned, recentred, 0.6 arcsec a pixel."""
    from aiapy.calibrate import register
    from sunpy.map import Map

    path = real_frames / "aia/fits/aia_20200925T235957_171.fits"
    frame = read(path)
    header = dict(frame.header) | {
        "CDELT1": 0.615,
        "CDELT2": 0.615,
        "CROTA2": 4.0,
        "CRPIX1": 515.0,
        "CRPIX2": 509.0,
    }
    header |= {"RSUN_OBS": 957.181121 / 4, "DSUN_OBS": 149982921008.88 * 4, "LVL_NUM": 1.0}
    header |= {"CUNIT1": "arcsec", "CUNIT2": "arcsec", "HGLN_OBS": 0.0, "HGLT_OBS": 7.0}
    for key in [
        key for key in header if key.startswith(("Z", "T", "PCOUNT", "GCOUNT", "XTENSION", "B", "N"))
    ]:
        if key not in ("T_OBS", "TELESCOP"):
            del header[key]
    header = {
        key: value for key, value in header.items() if not (isinstance(value, float) and np.isnan(value))
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = register(Map(frame.pixels, header), order=1, missing=0.0)
    pointing = wcs_pointing(header)
    assert pointing is not None
    side = theirs.data.shape[0]
    assert theirs.scale[0].value == pytest.approx(0.6)
    ours = on_grid(Plane(frame.pixels), pointing, side, side * 0.6 / 2 / pointing.rsun_arcsec, north_up=True)
    small = [
        cv2.resize(np.asarray(a, np.float32), (256, 256), interpolation=cv2.INTER_AREA)
        for a in (ours.pixels, theirs.data)
    ]
    inside = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 118
    assert np.corrcoef(small[0][inside], small[1][inside])[0, 1] > 0.999
    assert small[0][inside].mean() == pytest.approx(small[1][inside].mean(), rel=0.01)


def test_a_cut_out_lies_where_its_header_says(real_frames: Path):
    frame = read(real_frames / "aia/fits/aia_171_cutout.fits")
    gridded = on_grid(monochrome(frame), disk_of(frame, monochrome(frame)), 256, 1.25)
    y, x = np.nonzero(gridded.is_valid)
    pointing = frame.pointing
    assert pointing is not None
    cell = 2.5 * pointing.radius_px / 256
    assert (x.min() - 127.5) * cell == pytest.approx(-pointing.center_x_px, abs=1.5 * cell)
    assert len(np.unique(x)) == pytest.approx(frame.width / cell, abs=1.5)
    assert len(np.unique(y)) == pytest.approx(frame.height / cell, abs=1.5)


def test_faint_counts_are_averaged_without_rounding():
    counts = np.random.default_rng(3).poisson(0.4, (1024, 1024)).astype(np.int16)
    frame = Frame(counts, "aia-94", RowOrder.BOTTOM)
    for averaged, side in ((frame.halved, 2), (frame.quartered, 4)):
        exact = counts.reshape(1024 // side, side, 1024 // side, side).mean(axis=(1, 3))
        np.testing.assert_allclose(averaged, exact, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_the_grid_of_whole_counts_is_that_of_the_same_counts_as_floats(dtype: type):
    counts = np.random.default_rng(4).poisson(2.5, (1000, 1000)).astype(dtype)
    disk = Pointing(499.5, 499.5, 400.0, source="header")
    whole = on_grid(Plane(counts), disk, 128, 1.1)
    real = on_grid(Plane(counts.astype(np.float32)), disk, 128, 1.1)
    np.testing.assert_allclose(whole.pixels, real.pixels, atol=1e-4)
