"""Films: every format's images with their own times, and what is broken in them refused alone."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cdflib
import numpy as np
import pytest

from observatory.errors import UnreadableFileError, UnusableInputError
from observatory.instruments import Limits, open_bytes
from observatory.sky import Site
from tests.making import pgm_bytes
from tests.skies import (
    FILM,
    LIMITS,
    cdf_bytes,
    film_parts,
    hdf5_bytes,
    npz_bytes,
    opened,
    png_bytes,
    sky_picture,
    tar_bytes,
    usable,
)

# -- films ----------------------------------------------------------------------------------------


def garbled(part: bytes) -> bytes:
    return b"XX" + part[2:60].replace(b"\n", b" ") + b"?" * 40 + part[100:]


def of_wrong_size(part: bytes) -> bytes:
    return part.replace(b"96 96\n65535", b"96 90\n65535")


def of_absurd_size(part: bytes) -> bytes:
    return part.replace(b"96 96\n65535", b"99999999 99999999\n65535")


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (lambda part: part[: len(part) // 2], "lacks pixels of image 6"),
        (lambda part: part[:-3], "lacks pixels of image 6"),
        (garbled, "image 6 of the PGM file has no readable head"),
        (of_wrong_size, "image 6 claims a wrong size"),
        (of_absurd_size, "above the limit"),
        (lambda part: part.replace(b"96 96\n65535", b"96 96\n00000"), "up to 0"),
        (lambda part: b"\xff" * 700, "image 6 of the PGM file has no readable head"),
    ],
    ids=["half", "three bytes short", "garbled head", "wrong size", "absurd size", "no peak", "noise"],
)
def test_a_film_whose_seventh_image_is_broken_keeps_the_other_nineteen(breaking, words: str):
    parts = film_parts()
    parts[6] = breaking(parts[6])
    film = opened(b"".join(parts))
    assert film.count == 20
    assert usable(film) == [*range(6), *range(7, 20)]
    for index in usable(film):
        np.testing.assert_array_equal(film.frame(index).pixels, sky_picture(seed=index))
        assert film.facts(index).date_obs == datetime(2014, 3, 10, 6, 0, tzinfo=UTC) + timedelta(
            seconds=3 * index
        )
    assert words in str(film.container.fault(6))
    with pytest.raises(UnreadableFileError, match=r"image 6|above the limit"):
        film.frame(6)


def test_a_film_whose_first_image_is_broken_is_recognised_by_the_others():
    parts = film_parts(4)
    parts[0] = parts[0][: len(parts[0]) // 2]
    film = open_bytes(b"".join(parts), "themis19.pgm", LIMITS)
    assert (film.instrument, usable(film)) == ("themis-asi", [1, 2, 3])


@pytest.mark.parametrize("packed", [False, True], ids=["pgm", "pgm.gz"])
def test_a_truncated_film_keeps_its_whole_images(packed: bool):
    data = b"".join(film_parts(6))
    data = gzip.compress(data) if packed else data
    film = opened(data[: len(data) * 2 // 3])
    assert film.container.is_cut
    assert len(usable(film)) in (3, 4)
    assert usable(film) == list(range(len(usable(film))))
    assert "truncated" in str(film.container.fault(film.count - 1))
    film.frame(2)


def test_what_the_camera_says_of_itself_in_a_films_first_image_holds_for_all():
    film = opened(b"".join(film_parts(3)))
    facts = film.facts(2)
    assert (facts.observatory, facts.exposure_time_s) == ("Gillam", 0.999)
    assert facts.site == Site(56.3539, -94.6557)
    assert facts.sky_aspect == pytest.approx(1.0362)
    assert facts.date_obs == datetime(2014, 3, 10, 6, 0, 6, tzinfo=UTC)


def test_an_image_without_a_time_does_not_take_that_of_the_first_one():
    parts = [
        pgm_bytes([sky_picture()], [{"Image request start": "2014-03-10 06:00:00 UTC"}]),
        pgm_bytes([sky_picture(seed=2)], [{}]),
    ]
    film = open_bytes(b"".join(parts), "themis19.pgm", LIMITS)
    assert film.facts(0).date_obs is not None
    assert film.facts(1).date_obs is None


def test_all_images_of_a_film_have_the_same_circle():
    film = opened(b"".join(film_parts(5)))
    circles = [film.frame(index).fisheye for index in range(5)]
    assert circles[0] is not None
    assert set(circles) == {circles[0]}
    assert circles[0].radius_px == pytest.approx(0.46 * 96, rel=0.05)
    assert circles[0].source == "picture"


def test_a_film_of_black_images_has_no_circle():
    assert opened(pgm_bytes([np.zeros((64, 64), np.uint16)] * 3)).frame(1).fisheye is None


# -- npz ------------------------------------------------------------------------------------------


def test_an_npz_film_has_a_frame_for_each_image_and_its_time():
    images = np.stack([sky_picture(seed=n) for n in range(3)]).astype(np.float64)
    times = np.array(["2016-10-29T04:00:00.031", "2016-10-29T04:00:03.051", "2016-10-29T04:00:06"])
    for kept in (times, times.astype("datetime64[ms]"), times.astype("datetime64[ms]").astype(float) / 1e3):
        film = opened(npz_bytes(frames=images, times=kept), "x_themis19.npz")
        assert film.count == 3
        assert film.facts(1).date_obs == datetime(2016, 10, 29, 4, 0, 3, 51000, tzinfo=UTC)
        np.testing.assert_array_equal(film.frame(2).pixels, images[2])
        assert film.frame(2).pixels.dtype == np.float32


def test_an_npz_of_colour_or_of_one_image_is_read():
    colour = np.zeros((2, 20, 30, 3), np.uint8)
    assert [opened(npz_bytes(images=colour)).frame(n).pixels.shape for n in range(2)] == [(20, 30, 3)] * 2
    one = opened(npz_bytes(image=np.zeros((20, 30, 3), np.uint8)))
    assert (one.count, one.frame().pixels.shape) == (1, (20, 30, 3))
    assert opened(npz_bytes(image=np.zeros((20, 30), np.uint16))).count == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npz_bytes(names=np.array(["a", "b"])), "no array of images"),
        (npz_bytes(a=np.zeros((2, 16, 16)), b=np.zeros((2, 16, 16))), "several arrays of images"),
        (npz_bytes(frames=np.zeros((3, 32, 32)))[:-60], "truncated or damaged"),
        (npz_bytes(objects=np.array([{}, []], dtype=object)), "no array of images"),
        (b"PK\x03\x04" + b"\0" * 100, "truncated or damaged"),
    ],
    ids=["texts", "two films", "cut", "pickles", "no zip"],
)
def test_a_bad_npz_is_refused_with_its_reason(data: bytes, words: str):
    with pytest.raises(UnusableInputError, match=words):
        opened(data).frame()


def test_an_npz_bomb_is_refused_by_its_claims():
    with pytest.raises(UnusableInputError, match="above the limit"):
        open_bytes(
            npz_bytes(frames=np.zeros((400, 200, 200))),
            FILM,
            Limits(max_unpacked_bytes=1 << 20),
        )


# -- CDF ------------------------------------------------------------------------------------------

EPOCHS_MS = 62_167_219_200_000.0 + 1_294_333_200_053.0 + 3000.0 * np.arange(4)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_cdf_film_has_a_frame_for_each_record_and_its_time(is_compressed: bool, tmp_path: Path):
    images = np.stack([sky_picture(40, 32, seed=n) for n in range(4)])
    data = cdf_bytes(images, EPOCHS_MS, is_compressed=is_compressed)
    film = opened(data, "thg_l1_asf_gako_2011010617_v01.cdf")
    (tmp_path / "x.cdf").write_bytes(data)
    np.testing.assert_array_equal(cdflib.CDF(tmp_path / "x.cdf").varget("thg_asf_gako"), images)
    assert (film.instrument, film.count) == ("themis-asi", 4)
    assert film.facts(3).date_obs == datetime(2011, 1, 6, 17, 0, 9, 53000, tzinfo=UTC)
    for index in range(4):
        np.testing.assert_array_equal(film.frame(index).pixels, images[index])


def test_a_cut_cdf_keeps_its_whole_images_or_is_refused():
    data = cdf_bytes(np.stack([sky_picture(seed=n) for n in range(4)]), EPOCHS_MS)
    for share in (0.2, 0.5, 0.9):
        with pytest.raises(UnreadableFileError, match=r"truncated|beyond its end"):
            opened(data[: int(len(data) * share)], "thg_l1_asf_gako.cdf")  # its times lie behind its images


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_cdf_raises_unusable_input_or_nothing(seed: int):
    random = np.random.default_rng(seed)
    data = bytearray(cdf_bytes(np.stack([sky_picture(32, 32, seed=n) for n in range(2)]), EPOCHS_MS[:2]))
    for _ in range(4):
        at = int(random.integers(4, 1800))
        data[at : at + 1] = bytes([int(random.integers(0, 256))])
    try:
        film = opened(bytes(data), "thg_l1_asf_gako.cdf")
        for index in range(film.count):
            film.frame(index)
    except UnusableInputError:
        pass


def test_cdf_files_that_are_not_read_say_what_to_do():
    with pytest.raises(UnreadableFileError, match="unpack it"):
        opened(b"\xcd\xf3\x00\x01\xcc\xcc\x00\x01" + b"\0" * 400, "a.cdf")
    with pytest.raises(UnreadableFileError, match="convert it"):
        opened(b"\xcd\xf2\x60\x02\x00\x00\xff\xff" + b"\0" * 400, "a.cdf")


# -- HDF5 -----------------------------------------------------------------------------------------

RGB_NAME = "20230224_0615_gill_rgb-09_full.h5"
RGB_TIMES = [f"2023-02-24 06:15:{3 * n:02d}.500000 UTC" for n in range(5)]
RGB = np.stack([np.stack([sky_picture(40, 32, seed=n, depth=8)] * 3, axis=2) for n in range(5)], axis=3)
RGB[..., 0, :] //= 2


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"compression": "gzip", "chunks": (32, 40, 3, 5)},
        {"compression": "gzip", "shuffle": True, "chunks": (12, 16, 3, 2)},
        {"compression": "gzip", "fletcher32": True, "chunks": (32, 40, 1, 1)},
        {"chunks": (32, 40, 3, 1)},
    ],
    ids=["plain", "a film a piece", "small pieces", "a plane a piece", "not packed"],
)
@pytest.mark.parametrize("kind", ["u1", ">u2", "<f4"])
def test_an_hdf5_film_has_a_frame_for_each_image_and_its_time(storage: dict[str, object], kind: str):
    film = opened(hdf5_bytes(RGB.astype(kind), RGB_TIMES, **storage), RGB_NAME)
    assert (film.instrument, film.count, film.container.shape()) == ("trex-rgb", 5, (32, 40))
    for index in (4, 0, 2, 3, 1):
        np.testing.assert_array_equal(film.frame(index).pixels, RGB[..., index])
    facts = film.facts(3)
    assert facts.date_obs == datetime(2023, 2, 24, 6, 15, 9, 500000, tzinfo=UTC)
    assert facts.exposure_time_s == pytest.approx(0.043)


def test_an_hdf5_film_tells_its_camera_when_its_name_does_not():
    assert opened(hdf5_bytes(RGB, RGB_TIMES), "film.h5").instrument == "trex-rgb"


def test_where_no_frame_tells_its_time_the_list_of_times_does():
    data = hdf5_bytes(RGB, RGB_TIMES).replace(
        b"image_request_start_timestamp", b"image_request_ended_timestamp"
    )
    assert opened(data, RGB_NAME).facts(2).date_obs == datetime(2023, 2, 24, 6, 15, 6, 500000, tzinfo=UTC)


def test_an_hdf5_film_that_lost_some_images_keeps_the_others():
    data = bytearray(hdf5_bytes(RGB, RGB_TIMES, compression="gzip", chunks=(32, 40, 3, 1)))
    third = zlib.compress(np.ascontiguousarray(RGB[..., 2]).tobytes(), 4)
    at = bytes(data).index(third)
    data[at + 40 : at + 60] = bytes(20)
    film = opened(bytes(data), RGB_NAME)
    for index in (0, 1, 3, 4):
        np.testing.assert_array_equal(film.frame(index).pixels, RGB[..., index])
    with pytest.raises(UnreadableFileError):
        film.frame(2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (hdf5_bytes(RGB[..., 0], RGB_TIMES[:1]), r"shape \(32, 40, 3\): it has to be"),
        (hdf5_bytes(RGB[:4], RGB_TIMES), "is empty"),
        (hdf5_bytes(RGB, RGB_TIMES).replace(b"images", b"imagez"), "data/images of the HDF5 file is missing"),
        (hdf5_bytes(RGB, RGB_TIMES, compression="lzf"), "packed by filter 32000: repack it with gzip"),
        (hdf5_bytes(RGB, RGB_TIMES)[:300], "damaged|decoded"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "damaged|decoded"),
    ],
    ids=["three axes", "four rows", "no images", "another packing", "cut", "zeros"],
)
def test_a_bad_hdf5_film_is_refused_with_its_reason(data: bytes, words: str):
    with pytest.raises(UnusableInputError, match=words):
        opened(data, RGB_NAME).frame()


def test_an_hdf5_bomb_is_refused_by_its_claims_and_stopped_where_it_unpacks():
    dark = np.zeros((200, 200, 3, 100), np.uint8)
    packed = hdf5_bytes(dark, [""] * 100, compression="gzip", chunks=dark.shape)
    with pytest.raises(UnusableInputError, match="above the limit"):
        open_bytes(packed, RGB_NAME, Limits(max_unpacked_bytes=1 << 20))
    with pytest.raises(UnusableInputError, match="above the limit"):
        open_bytes(packed, RGB_NAME, Limits(max_images=99))
    small = hdf5_bytes(RGB, RGB_TIMES, compression="gzip", chunks=RGB.shape)
    piece = zlib.compress(RGB.tobytes(), 4)
    bomb = zlib.compress(bytes(20 * RGB.nbytes), 4)
    swollen = small.replace(piece, bomb.ljust(len(piece), b"\0"))
    assert swollen != small
    with pytest.raises(UnreadableFileError, match="larger than it may be"):
        opened(swollen, RGB_NAME).frame()


# -- tar ------------------------------------------------------------------------------------------

NASCAM = "20090209_0600{:02d}_gill_nascam-iccd02_{}_002000ms.png"


def test_an_archive_has_a_frame_for_each_picture_with_its_own_time_and_filter():
    names = [NASCAM.format(4, "4278"), NASCAM.format(9, "4278bg"), NASCAM.format(13, "6300")]
    data = tar_bytes({"night/": None} | {f"night/{name}": png_bytes(sky_picture()) for name in names})
    for packed in (data, gzip.compress(data)):
        film = opened(packed, "20090209_0600_gill_nascam-iccd02.png.tar")
        assert (film.instrument, film.count) == ("allsky", 3)
        facts = [film.facts(index) for index in range(3)]
        assert [one.wavelength_nm for one in facts] == [427.8, 427.8, 630.0]
        assert [one.date_obs.second for one in facts if one.date_obs] == [4, 9, 13]
        assert {one.exposure_time_s for one in facts} == {2.0}
        assert film.frame(1).header["MEMBER"] == f"night/{names[1]}"


def test_members_that_lead_out_of_an_archive_are_refused_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    good = png_bytes(sky_picture())
    members = {
        "../../evil.png": good,
        NASCAM.format(1, "5577"): good,
        "/etc/evil.png": good,
        "a/../../b.png": good,
        "..\\windows.png": good,
        "notes.txt": b"Dear colleague",
        "short.png": good[:-100],
        NASCAM.format(2, "5577"): good,
    }
    film = opened(tar_bytes(members, links={"link.png": "/etc/passwd"}), "nascam.tar")
    assert usable(film) == [1, 7]
    reasons = [film.container.fault(index) for index in range(film.count)]
    assert [("leads out of the archive" in str(reason)) for reason in reasons[:5]] == [True, False] + [
        True
    ] * 3
    assert "format is not recognised" in str(reasons[5])
    assert "truncated" in str(reasons[6])
    assert "link" in str(reasons[8])
    film.frame(7)
    with pytest.raises(UnreadableFileError, match="leads out"):
        film.frame(0)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_archive_keeps_its_whole_pictures():
    data = tar_bytes({NASCAM.format(n, "5577"): png_bytes(sky_picture(seed=n)) for n in range(4)})
    film = opened(data[: len(data) // 2], "nascam.tar")
    assert film.container.is_cut
    assert not film.container.is_final
    assert 0 < len(usable(film)) < 4


def test_an_archive_that_is_damaged_half_way_says_that_something_is_lost():
    data = bytearray(tar_bytes({NASCAM.format(n, "5577"): png_bytes(sky_picture(seed=n)) for n in range(4)}))
    third = data.index(NASCAM.format(2, "5577").encode())
    data[third : third + 100] = b"?" * 100
    film = opened(bytes(data), "nascam.tar")
    assert usable(film) == [0, 1]
    assert "members that follow are lost" in str(film.container.fault(2))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tar_bytes({}), "holds no file|not recognised"),
        (tar_bytes({"a.txt": b"text"}), "not recognised"),
        (tar_bytes({"../a.png": png_bytes(sky_picture())}), "leads out"),
        (tar_bytes({"inner.tar": tar_bytes({"a.png": png_bytes(sky_picture())})}), "not recognised"),
        (
            tar_bytes({f"{n}.png": png_bytes(np.zeros((8, 8), np.uint8)) for n in range(12)}),
            "number of images",
        ),
    ],
    ids=["empty", "text", "traversal alone", "archive in archive", "too many"],
)
def test_a_bad_archive_is_refused_with_its_reason(data: bytes, words: str):
    with pytest.raises(UnusableInputError, match=words):
        open_bytes(data, "nascam.tar", Limits(max_images=10))
