"""All-sky files: when, where and by which lens each frame was taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from observatory.camera import Camera, Lens, MaskError, OtherSizeError, Stations
from observatory.camera_clock import Clock, as_utc, by_pattern, zone
from observatory.errors import SettingsError
from observatory.frame import DateSource
from observatory.instruments import open_bytes, read_file
from observatory.settings import load_settings
from observatory.sky import Site
from observatory.skymap import Skymap, SkymapError, load_skymap
from tests.making import fits_bytes, pgm_bytes
from tests.skies import (
    FILM,
    LIMITS,
    jpeg_bytes,
    opened,
    png_bytes,
    sky_picture,
    usable,
)

# -- time -----------------------------------------------------------------------------------------

PICTURE = jpeg_bytes(sky_picture(depth=8))


def test_names_of_kho_and_the_networks_tell_the_time():
    for name, moment in (
        ("20140221192040.jpg", datetime(2014, 2, 21, 19, 20, 40, tzinfo=UTC)),
        ("20211030_060500_149606_gill_rgb-04_320ms_burst.jpg", datetime(2021, 10, 30, 6, 5, 0, 149606, UTC)),
        ("indi_20210930_224951_meteor.jpg", datetime(2021, 9, 30, 22, 49, 51, tzinfo=UTC)),
    ):
        facts = open_bytes(PICTURE, name, LIMITS, instrument="allsky").facts()
        assert (facts.date_obs, facts.date_obs_source) == (moment, DateSource.FILE_NAME)


def test_a_clock_that_was_never_set_leaves_the_frame_without_a_time():
    now = datetime(2026, 11, 20, tzinfo=UTC)
    for data, name in (
        (PICTURE, "sky_19700101_000312.jpg"),
        (jpeg_bytes(sky_picture(depth=8), {36867: "1970:01:01 00:03:12"}), "allsky.jpg"),
        (pgm_bytes([sky_picture()], [{"Image request start": "1980-01-06 00:00:10 UTC"}]), "themis19.pgm"),
    ):
        facts = open_bytes(data, name, LIMITS, instrument="allsky", file_time=now).facts()
        assert (facts.date_obs, facts.date_obs_source) == (None, DateSource.NONE)
        assert facts.date_note is not None and "never set" in facts.date_note
    frame = open_bytes(PICTURE, "sky_19700101_000312.jpg", LIMITS, instrument="allsky").frame()
    assert frame.date_note is not None


def test_local_time_in_a_name_against_a_header_in_utc_leaves_no_time_and_says_by_how_much():
    data = pgm_bytes([sky_picture()], [{"Image request start": "2014-03-10 06:00:00 UTC"}])
    facts = open_bytes(data, "sky_20140310_070003.pgm", LIMITS, instrument="allsky").facts()
    assert facts.date_obs is None
    assert facts.date_note is not None and "1 h apart" in facts.date_note
    local = opened(data, "sky_20140310_070003.pgm", Camera(clock=Clock(timezone="Europe/Oslo"))).facts()
    assert (local.date_obs, local.date_note) == (datetime(2014, 3, 10, 6, tzinfo=UTC), None)
    other = open_bytes(data, "sky_20140312_191700.pgm", LIMITS, instrument="allsky").facts()
    assert other.date_note is not None and "one of the two clocks is wrong" in other.date_note


def test_a_header_that_holds_no_time_where_one_must_stand_leaves_the_frame_undated():
    data = pgm_bytes([sky_picture()], [{"Image request start": "soon"}])
    facts = open_bytes(data, FILM, LIMITS).facts()
    assert facts.date_obs is None
    assert facts.date_note is not None and "'soon' is not a time" in facts.date_note


@pytest.mark.parametrize("unknown", ["    :  :     :  :  ", "0000:00:00 00:00:00", ""])
def test_exif_that_knows_no_time_leaves_it_to_the_name(unknown: str):
    data = jpeg_bytes(sky_picture(depth=8), {36867: unknown})
    for instrument in ("allsky", "halpha"):
        facts = open_bytes(data, "sky_20260815_121142.jpg", LIMITS, instrument=instrument).facts()
        assert facts.date_obs == datetime(2026, 8, 15, 12, 11, 42, tzinfo=UTC)
        assert (facts.date_obs_source, facts.date_note) == (DateSource.FILE_NAME, None)


def test_exif_is_local_time_unless_it_names_its_zone():
    zoned = jpeg_bytes(sky_picture(depth=8), {36867: "2026:08:15 12:11:42", 36881: "+02:00"})
    facts = open_bytes(zoned, "allsky.jpg", LIMITS).facts()
    assert (facts.date_obs, facts.date_note) == (datetime(2026, 8, 15, 10, 11, 42, tzinfo=UTC), None)
    plain = jpeg_bytes(sky_picture(depth=8), {36867: "2026:08:15 12:11:42"})
    doubtful = open_bytes(plain, "allsky.jpg", LIMITS).facts()
    assert doubtful.date_obs == datetime(2026, 8, 15, 12, 11, 42, tzinfo=UTC)
    assert doubtful.date_note is not None and "no time zone" in doubtful.date_note
    told = opened(plain, "x.jpg", Camera(clock=Clock(timezone="UTC+2"))).facts()
    assert (told.date_obs, told.date_note) == (datetime(2026, 8, 15, 10, 11, 42, tzinfo=UTC), None)


@pytest.mark.parametrize(
    ("pattern", "timezone", "name", "moment"),
    [
        ("sky_%Y%m%d_%H%M%S*", "UTC", "sky_20260103_041500_b.jpg", "2026-01-03T04:15:00"),
        ("*-%d.%m.%y-%H.%M.png", "UTC+1", "cam3-03.01.26-04.15.png", "2026-01-03T03:15:00"),
        ("%Y_%j_%H%M*", "America/Edmonton", "2026_003_0415.fits", "2026-01-03T11:15:00"),
        ("f%s.%f.jpg", "Europe/Oslo", "f1767413700.25.jpg", "2026-01-03T04:15:00.250000"),
    ],
)
def test_a_cameras_own_pattern_tells_the_time_in_its_zone(
    pattern: str, timezone: str, name: str, moment: str
):
    facts = opened(PICTURE, name, Camera(clock=Clock(pattern, timezone))).facts()
    assert facts.date_obs == datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert facts.date_obs_source is DateSource.FILE_NAME


@pytest.mark.parametrize(
    "name",
    [
        "sn12345678_901234_20150418_023955.jpg",
        "20159999_20150418_023955.jpg",
        "00000000_000000-20150418_023955.jpg",
    ],
)
def test_a_number_before_the_time_does_not_hide_it(name: str):
    assert by_pattern(Clock("*%Y%m%d_%H%M%S*"), name) == datetime.fromisoformat("2015-04-18T02:39:55")


@pytest.mark.parametrize(("name", "day"), [("2024366", "2024-12-31"), ("2023366", None), ("2023000", None)])
def test_a_day_that_its_year_does_not_have_is_no_day(name: str, day: str | None):
    found = by_pattern(Clock("%Y%j_%H%M.jpg"), f"{name}_0415.jpg")
    assert found == (None if day is None else datetime.fromisoformat(f"{day}T04:15"))


def test_the_hour_that_comes_twice_is_told_by_when_the_file_was_written():
    clock = Clock("%Y%m%d%H%M%S.jpg", "Europe/Oslo")
    moment = by_pattern(clock, "20261025023000.jpg")
    assert moment is not None
    for hour in (0, 1):
        written = datetime(2026, 10, 25, hour, 30, 20, tzinfo=UTC)
        assert as_utc(moment, clock, written).moment == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
    assert "comes twice" in str(as_utc(moment, clock).note)
    missing = by_pattern(clock, "20260329023000.jpg")
    assert missing is not None
    assert "does not exist" in str(as_utc(missing, clock).note)


@pytest.mark.parametrize("text", ["%Y%m%d", "%H%M", "%Q", "%Y%Y%m%d%H%M", "plain"])
def test_a_pattern_that_tells_no_moment_is_refused(text: str):
    with pytest.raises(ValueError, match=r"tells no moment|not understood|twice"):
        Clock(text)


def test_zones_are_names_or_offsets():
    assert zone("UTC-3:30").utcoffset(None) == timedelta(hours=-3, minutes=-30)
    with pytest.raises(ValueError, match="no time zone"):
        zone("Atlantis/Deep")


# -- camera ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latitude", "longitude", "site"),
    [
        (69.586, 18.942, Site(69.586, 18.942)),
        ("69.586", "18.942 deg", Site(69.586, 18.942)),
        ("69 35 09.6", "18 56 31.2", Site(69.586, 18.942)),
        ("+69:35:09.6", "-00:30:00", Site(69.586, -0.5)),
        ("-33 30", "70 45 00 W", Site(-33.5, -70.75)),
        ("33.5 S", "289d15m00s", Site(-33.5, -70.75)),
    ],
)
def test_a_place_may_be_written_with_minutes_and_seconds(latitude: object, longitude: object, site: Site):
    cards = {"INSTRUME": "ALLSKY", "SITELAT": latitude, "SITELONG": longitude}
    found = open_bytes(fits_bytes(sky_picture(), cards), "a.fits", LIMITS).facts().site
    assert found is not None
    assert (found.latitude_deg, found.longitude_deg) == pytest.approx((site.latitude_deg, site.longitude_deg))


def mask_file(path: Path, width: int, height: int) -> Path:
    pixels = np.zeros((height, width), np.uint8)
    pixels[: height // 2] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_a_mask_of_another_size_is_scaled_and_one_of_another_shape_refused(tmp_path: Path):
    for width, height in ((96, 96), (48, 48), (200, 200), (1000, 1001)):
        mask = mask_file(tmp_path / f"{width}.png", width, height)
        shown = opened(PICTURE, "a.jpg", Camera(mask=mask)).frame().sky_mask
        assert shown is not None
        assert (shown.shape, shown.dtype) == ((96, 96), np.bool_)
        assert shown[:46].all() and not shown[50:].any()
    wide = mask_file(tmp_path / "wide.png", 192, 96)
    with pytest.raises(OtherSizeError, match=r"wide\.png is for pictures of 192 x 96 .* has 96 x 96"):
        opened(PICTURE, "a.jpg", Camera(mask=wide)).frame()


def test_a_mask_that_is_no_picture_or_hides_all_is_refused(tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (96, 96)).save(tmp_path / "black.png")
    for name, words in (("text.png", "PNG is expected"), ("black.png", "hides the whole sky")):
        with pytest.raises(MaskError, match=words):
            opened(PICTURE, "a.jpg", Camera(mask=tmp_path / name)).frame()


def test_settings_tell_the_lens_and_it_is_scaled_to_the_frame():
    lens = Lens(100.0, 90.0, 88.0, up_azimuth_deg=350.0, width_px=192, height_px=192)
    fisheye = opened(PICTURE, "a.jpg", Camera(lens=lens)).frame().fisheye
    assert fisheye is not None
    assert (fisheye.radius_px, fisheye.up_azimuth_deg) == (44.0, 350.0)
    assert fisheye.center_x_px == pytest.approx(49.75)
    assert fisheye.is_oriented and fisheye.source == "settings"
    with pytest.raises(OtherSizeError, match="the lens is for pictures of 192 x 100"):
        other = Lens(100.0, 50.0, 48.0, width_px=192, height_px=100)
        opened(PICTURE, "a.jpg", Camera(lens=other)).frame()


def test_an_orientation_alone_is_put_on_the_circle_that_is_found():
    fisheye = (
        opened(PICTURE, "a.jpg", Camera(lens=Lens(up_azimuth_deg=10.0, is_clockwise=True))).frame().fisheye
    )
    assert fisheye is not None
    assert fisheye.radius_px == pytest.approx(44.0, rel=0.05)
    assert (fisheye.up_azimuth_deg, fisheye.is_clockwise, fisheye.is_oriented) == (10.0, True, True)


def test_settings_of_a_camera_are_read_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mask = mask_file(tmp_path / "mask.png", 96, 96)
    camera = {
        "kind": "allsky",
        "site": {"latitude_deg": 78.15, "longitude_deg": 16.04},
        "fisheye": {"center_x_px": 47, "center_y_px": 48, "radius_px": 44, "up_azimuth_deg": 0},
        "mask": str(mask),
        "name_time": "cam_%Y%m%d%H%M%S.jpg",
        "timezone": "Europe/Oslo",
    }
    settings = load_settings(instruments={"kho": camera})
    frame = open_bytes(
        PICTURE, "cam_20140221202040.jpg", LIMITS, instrument="kho", stations=settings.stations
    ).frame()
    assert frame.site == Site(78.15, 16.04)
    assert frame.date_obs == datetime(2014, 2, 21, 19, 20, 40, tzinfo=UTC)
    assert frame.fisheye is not None and frame.fisheye.center_x_px == 47
    assert frame.sky_mask is not None
    for change, words in (
        ({"mask": str(tmp_path / "nowhere.png")}, "is not there"),
        ({"timezone": "Mars"}, "no time zone"),
        ({"name_time": "%Q"}, "not understood"),
        ({"fisheye": {"center_x_px": 47}}, "belong together"),
        ({"skymap": str(mask)}, "either fisheye or skymap"),
        ({"kind": "kso-halpha"}, "all-sky cameras alone"),
    ):
        with pytest.raises(SettingsError, match=words):
            load_settings(instruments={"kho": camera | change})


# -- skymaps --------------------------------------------------------------------------------------


def skymap_arrays(size: int = 64) -> dict[str, np.ndarray]:
    """Arrays in the networks' form of a lens that is turned by 20 degrees and has oblong pixels."""
    lens = Lens(31.0, 33.0, 29.0, 30.5, up_azimuth_deg=20.0).fisheye(np.zeros((size, size)))
    assert lens is not None
    zenith, azimuth = lens.directions((size, size))
    elevation = np.where(zenith <= 92.0, 90.0 - zenith, np.nan)
    corner = np.linspace(-1.0, 1.0, size + 1)
    heights = np.array([90_000.0, 110_000.0, 150_000.0])
    return {
        "full_elevation": elevation,
        "full_azimuth": azimuth,
        "full_map_altitude": heights,
        "full_map_latitude": 62.0 + heights[:, None, None] / 4e4 * corner[None, :, None] + 0 * corner,
        "full_map_longitude": 180.0 + heights[:, None, None] / 2e4 * corner + 0 * corner[:, None],
        "site_map_latitude": np.array(62.41),
        "site_map_longitude": np.array(214.84),
    }


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_a_skymap_gives_lens_orientation_and_site(tmp_path: Path, ending: str):
    import h5py

    path = tmp_path / f"map.{ending}"
    if ending == "npz":
        np.savez(path, **skymap_arrays())
    else:
        with h5py.File(path, "w") as file:
            for name, values in skymap_arrays().items():
                file[f"skymap/{name}"] = values
    skymap = load_skymap(path)
    lens = skymap.fisheye()
    assert lens.center_x_px == pytest.approx(31.0, abs=0.05)
    assert lens.center_y_px == pytest.approx(33.0, abs=0.05)
    assert (lens.radius_px, lens.radius_y_px) == pytest.approx((29.0, 30.5), rel=1e-3)
    assert lens.up_azimuth_deg == pytest.approx(20.0, abs=0.05)
    assert not lens.is_clockwise and lens.is_oriented
    picture = png_bytes(sky_picture(128, 128))
    frame = opened(picture, "a.png", Camera(skymap=path)).frame()
    assert frame.site == Site(62.41, pytest.approx(-145.16))
    assert frame.fisheye is not None and frame.fisheye.source == "skymap"
    assert frame.fisheye.radius_px == pytest.approx(58.0, rel=1e-3)
    with pytest.raises(OtherSizeError, match=rf"the skymap map\.{ending} is for pictures of 64 x 64"):
        opened(png_bytes(sky_picture(128, 96)), "a.png", Camera(skymap=path)).frame()


def test_a_skymap_is_interpolated_between_its_heights_across_the_date_line(tmp_path: Path):
    np.savez(tmp_path / "map.npz", **skymap_arrays())
    skymap = load_skymap(tmp_path / "map.npz")
    latitude, longitude = skymap.corners(100.0)
    assert latitude[0, 0] == pytest.approx(62.0 - 2.5)
    assert longitude[0, 0] == pytest.approx(175.0)
    assert longitude[0, -1] == pytest.approx(-175.0)
    assert skymap.corners(110.0)[0][-1, 0] == pytest.approx(62.0 + 2.75)
    with pytest.raises(ValueError, match="90 to 150 km"):
        skymap.corners(200.0)


def test_what_is_no_skymap_is_refused_with_its_reason(tmp_path: Path):
    (tmp_path / "text.sav").write_text("no map")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    arrays = skymap_arrays()
    np.savez(tmp_path / "shape.npz", **arrays | {"full_map_latitude": np.zeros((3, 64, 64))})
    for name, words in (
        ("text.sav", "cannot be used as a skymap"),
        ("other.npz", "lacks full_elevation"),
        ("shape.npz", "is expected"),
        ("missing.npz", "No such file"),
        ("map.txt", "No such file|must end in"),
    ):
        with pytest.raises(SkymapError, match=words):
            load_skymap(tmp_path / name)


def test_the_archives_cdf_films_lie_turned_against_the_skymap(real_frames: Path):
    folder = real_frames / "allsky/themis"
    camera = Camera(skymap=folder / "themis_skymap_gako_20110305.sav")
    film = read_file(
        folder / "thg_l1_asf_gako_2011010617_v01.cdf",
        LIMITS,
        instrument="gako",
        stations=Stations({"gako": "themis-asi"}, {"gako": camera}),
    )
    frame = film.frame(10)
    assert frame.fisheye is not None and frame.fisheye.is_oriented
    stack = np.mean([film.frame(index).pixels.astype(float) for index in range(film.count)], axis=0)
    # Directions of stars over Gakona at 2011-01-06T17:00:33Z (apparent places, no refraction).
    for elevation, azimuth in STARS_OVER_GAKONA:
        x, y = (
            round(float(part))
            for part in frame.fisheye.pixel(np.float64(90.0 - elevation), np.float64(azimuth))
        )
        near = stack[y - 2 : y + 3, x - 2 : x + 3]
        around = stack[y - 8 : y + 9, x - 8 : x + 9]
        assert near.max() > np.median(around) + 250


STARS_OVER_GAKONA = (
    (45.8, 91.6),  # Vega
    (23.8, 328.5),  # Capella
    (46.7, 182.6),  # Arcturus
    (37.2, 61.6),  # Deneb
    (76.9, 250.2),  # Alioth
    (67.2, 290.6),  # Dubhe
    (22.6, 251.7),  # Regulus
)


def test_the_real_skymap_is_read(real_frames: Path):
    skymap: Skymap = load_skymap(real_frames / "allsky/themis/themis_skymap_gako_20110305.sav")
    assert (skymap.shape, skymap.site_id, skymap.imager_id) == ((256, 256), "gako", "themis20")
    lens = skymap.fisheye()
    assert lens.up_azimuth_deg == pytest.approx(22.6, abs=0.05)  # what its authors note as the orientation
    zenith, _ = lens.directions(skymap.shape)
    high = skymap.elevation_deg > 10.0
    assert np.abs(90.0 - zenith - skymap.elevation_deg)[high].max() < 1.0
    latitude, longitude = skymap.corners(110.0)
    assert latitude[128, 124] == pytest.approx(62.4, abs=0.1)
    assert longitude[128, 124] == pytest.approx(-145.2, abs=0.2)


REAL = {
    "allsky/kho_2014/20140221192040.jpg": (1, "2014-02-21T19:20:40", None),
    "allsky/lowell/000.fits.bz2": (1, "2018-07-29T04:08:29.014", Site(34.4773, -111.4332, 2361.0)),
    "allsky/nascam/20090209_0600_gill_nascam-iccd02.png.tar": (
        10,
        "2009-02-09T06:00:01",
        Site(56.38, -94.64),
    ),
    "allsky/rainbow/20130205_0500_rabb_rainbow-08_full.pgm.gz": (
        10,
        "2013-02-05T05:00:00.012687",
        Site(58.17, -103.66),
    ),
    "allsky/themis/20140310_0605_gill_themis19_full.pgm": (20, None, Site(56.3539, -94.6557)),
    "allsky/themis/test_load_images_themis.npz": (20, "2016-10-29T04:00:00.031", None),
    "allsky/themis/thg_l1_asf_gako_2011010617_v01.cdf": (
        23,
        "2011-01-06T17:00:00.053",
        Site(62.4, -145.2),
    ),
    "allsky/trex_nir/20220307_0600_gill_nir-216_8446.pgm.gz": (
        10,
        "2022-03-07T06:00:00",
        Site(56.376723, -94.643664),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_give_all_their_frames_with_time_and_site(real_frames: Path, name: str):
    count, moment, site = REAL[name]
    film = read_file(real_frames / name, LIMITS, instrument="allsky")
    assert (film.count, usable(film)) == (count, list(range(count)))
    assert film.facts().site == site
    if moment is not None:
        assert film.facts().date_obs == datetime.fromisoformat(moment).replace(tzinfo=UTC)
    times = [film.facts(index).date_obs for index in range(count)]
    assert times == sorted(set(times))  # type: ignore[type-var]


def test_real_all_sky_files_are_read_when_the_instrument_is_named(real_frames: Path):
    files = sorted((real_frames / "allsky").rglob("*"))
    assert files
    for path in files:
        if path.is_dir() or path.suffix in (".csv", ".dat", ".sav", ".bz2"):
            continue
        if path.parent.name == "kho_20131204" and not path.stem.endswith("01"):
            continue
        film = read_file(path, LIMITS, instrument="allsky")
        assert min(film.frame(film.count - 1).pixels.shape[:2]) >= 240, path
