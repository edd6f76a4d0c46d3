"""Films: what is shown when, where it lies, and that it plays."""

from __future__ import annotations

import errno
import os
import signal
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.errors import SettingsError
from observatory.film_settings import FilmSettings
from observatory.frame import Frame, Pointing, RowOrder
from tests.films import Film, needs_ffmpeg
from tests.making import sun
from workers.products.film import FilmError, FilmWriter, find_ffmpeg, form_of
from workers.products.film_canvas import Canvas, Caption
from workers.products.film_painter import FramePainter, Outline, view_of
from workers.products.film_plan import Step, duration_words, plan
from workers.products.film_tone import Tone, gain_of
from workers.products.sun_view import Crop

NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)
RSUN = 959.63


def times(*seconds: float) -> list[datetime]:
    return [NOON + timedelta(seconds=second) for second in seconds]


def laid_out(moments: list[datetime], **more) -> list[Step]:
    return plan(moments, **({"fps": 24, "longest_gap_s": 1.0} | more))


def test_even_spacings_take_one_picture_each():
    assert laid_out(times(*range(0, 120, 12))) == [Step(number, 1) for number in range(10)]


def test_missing_frames_hold_the_one_before_for_as_long_and_say_so():
    steps = laid_out(times(0, 12, 24, 36, 48, 48 + 12 * 11, 192, 204, 216))
    (held,) = [step for step in steps if step.gap]
    assert (held.frame, held.pictures) == (4, 10)
    assert held.gap.words == "no frames for 2.2 min"
    assert [step.frame for step in steps] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]


def test_a_gap_is_shown_long_enough_to_be_seen_and_a_night_is_cut_short():
    one_lost = [step for step in laid_out(times(0, 12, 24, 48, 60)) if step.gap]
    assert one_lost[0].pictures == 6  # a quarter of a second
    night = [step for step in laid_out(times(0, 12, 24, 36, 50_000, 50_012)) if step.gap]
    assert night[0].pictures == 24
    assert night[0].gap.words == "no frames for 14 h (shortened)"


def test_jitter_is_no_gap_and_a_known_cadence_rules():
    assert not [step for step in laid_out(times(0, 11, 25, 36, 49, 60, 73)) if step.gap]
    sparse = times(0, 60, 120, 180)
    assert not [step for step in laid_out(sparse) if step.gap]
    assert len([step for step in laid_out(sparse, cadence=20) if step.gap]) == 3


def test_without_a_cadence_only_great_gaps_count():
    years = times(*(86_400 * day for day in (0, 3, 40, 45, 80, 150, 151, 220)))
    assert not [step for step in laid_out(years) if step.gap]


def test_one_frame_is_shown_for_a_second():
    assert laid_out(times(0), fps=30) == [Step(0, 30)]


@given(st.lists(st.floats(0.5, 90_000), min_size=1, max_size=40), st.sampled_from([5, 24, 60]))
def test_every_frame_is_shown_once_and_in_order(spacings: list[float], fps: float):
    moments = times(*np.cumsum(spacings))
    steps = plan(moments, fps=fps, longest_gap_s=1.0)
    assert [step.frame for step in steps if step.gap is None] == list(range(len(moments)))
    assert all(1 <= step.pictures <= max(fps, 1) for step in steps)
    assert all(step.gap is None or step.gap.seconds > 0 for step in steps)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(36, "36 s"), (90, "90 s"), (150, "2.5 min"), (720, "12 min"), (7200, "2 h"), (86400 * 3, "3 days")],
)
def test_durations_are_said_as_people_do(seconds: float, words: str):
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("pad", "size"),
    [("none", (720, 720)), ("16:9", (1280, 720)), ("4:3", (960, 720)), ("1:2", (720, 1440))],
)
def test_padding_widens_the_canvas_and_never_cuts_the_picture(pad: str, size: tuple[int, int]):
    canvas = Canvas.around(720, 720, pad)
    assert (canvas.width_px, canvas.height_px) == size
    painted = canvas.paint(np.full((720, 720, 3), 99, np.uint8), Caption("", ""))
    assert (painted == 99).sum() == 720 * 720 * 3
    assert painted[size[1] // 2, size[0] // 2, 0] == 99


def test_a_film_has_even_sides():
    canvas = Canvas.around(333, 501, "4:3")
    assert (canvas.width_px % 2, canvas.height_px % 2) == (0, 0)
    assert canvas.width_px >= 333
    assert canvas.height_px >= 501


@pytest.mark.parametrize("pad", ["wide", "16x9", "0:9", "16:0", "100:1", "-16:9", ":"])
def test_an_aspect_that_is_none_is_said(pad: str):
    with pytest.raises(SettingsError, match="--pad"):
        Canvas.around(100, 100, pad)


def test_a_film_larger_than_players_show_is_said():
    with pytest.raises(SettingsError, match="smaller --size"):
        Canvas.around(8000, 8000, "16:9")


def test_title_time_and_warnings_stand_where_they_are_read():
    canvas = Canvas.around(512, 512)
    grey = np.full((512, 512, 3), 120, np.uint8)
    plain = canvas.paint(grey, Caption("", ""))
    written = canvas.paint(grey, Caption("AIA 193", "2024-05-08 12:00:00 UTC", ("no frames for 12 min",)))
    changed = (written != plain).any(-1)
    assert changed[:40, :120].any()
    assert changed[-40:, :260].any()
    amber = (written[..., 0] > 230) & (written[..., 2] < 90)
    assert amber[430:500].any()
    assert not amber[:400].any()
    assert changed.mean() < 0.05
    assert canvas.paint(grey, Caption("", ""), is_dimmed=True).mean() < 60


def test_words_too_long_for_the_picture_are_cut_and_no_error():
    painted = Canvas.around(64, 64).paint(np.zeros((64, 64, 3), np.uint8), Caption("W" * 400, "x" * 400))
    assert painted.shape == (64, 64, 3)


def counts(value: float, instrument: str = "aia-171", **more) -> Frame:
    pixels = np.random.default_rng(1).gamma(1.0, value, (64, 64)).astype(np.float32)
    return Frame(pixels, instrument, RowOrder.BOTTOM, **({"exposure_time_s": 2.0, "date_obs": NOON} | more))


def test_one_scale_keeps_a_brighter_frame_brighter_and_exposures_alike():
    tone = Tone.of(counts(100))
    frame, brighter = counts(100), counts(200)
    assert (
        tone.apply(brighter.pixels, gain_of(brighter)).mean()
        > tone.apply(frame.pixels, gain_of(frame)).mean()
    )
    longer = counts(200, exposure_time_s=4.0)
    assert (
        np.abs(
            tone.apply(longer.pixels, gain_of(longer)).astype(int) - tone.apply(frame.pixels, gain_of(frame))
        ).max()
        <= 1
    )


def test_magnetograms_have_a_fixed_scale_and_pictures_keep_theirs():
    field = Tone.of(counts(1, "hmi-magnetogram"))
    assert field.apply(np.array([[-1500.0, 0.0, 1500.0, np.nan]])).tolist() == [[0, 128, 255, 0]]
    picture = Frame(np.arange(256, dtype=np.uint8).reshape(16, 16), "hmi-continuum", RowOrder.TOP)
    assert np.array_equal(Tone.of(picture).apply(picture.pixels.astype(np.float32)), picture.pixels)
    assert Tone.of(picture).apply(np.array([[99.6, 254.8, -3.0, np.nan]])).tolist() == [[100, 255, 0, 0]]
    assert not Tone.of(picture).fits(counts(1))
    dead = Frame(np.full((16, 16), np.nan, np.float32), "halpha", RowOrder.TOP)
    assert Tone.of(dead).apply(dead.pixels).max() == 0


def disk(x: float, y: float, radius: float = 60, size: int = 200, spot: bool = True) -> Frame:
    along = np.arange(size)
    pixels = np.where(np.hypot(along[None, :] - x, along[:, None] - y) < radius, 2000, 10).astype(np.int16)
    if spot:
        pixels[round(y) + 20 : round(y) + 26, round(x) + 20 : round(x) + 26] = 300
    return Frame(pixels, "kso-halpha", RowOrder.BOTTOM, date_obs=NOON)


def middle_of(picture: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(picture[..., 0] > 128)
    return float(columns.min() + columns.max()) / 2, float(rows.min() + rows.max()) / 2


def test_a_wandering_disk_stands_still_in_the_film():
    painter = FramePainter.of(disk(99.5, 99.5), "halpha", 400)
    for x, y in ((99.5, 99.5), (95.2, 103.9), (106.0, 92.3)):
        assert middle_of(painter.paint(disk(x, y))) == pytest.approx((199.5, 199.5), abs=1.2)


def test_rows_of_fits_go_upwards():
    painter = FramePainter.of(disk(99.5, 99.5), "halpha", 200)
    picture = painter.paint(disk(99.5, 99.5))
    assert picture[77, 122, 0] < 80  # the spot, 20 rows above the middle
    assert picture[122, 122, 0] > 200


def test_a_frame_whose_limb_is_hidden_lies_where_the_reference_does():
    painter = FramePainter.of(disk(99.5, 99.5), "halpha", 200)
    clouded = Frame(np.full((200, 200), 400, np.int16), "kso-halpha", RowOrder.BOTTOM)
    assert painter.paint(clouded).shape == (200, 200, 3)
    other_size = Frame(np.full((100, 150), 400, np.int16), "kso-halpha", RowOrder.BOTTOM)
    assert painter.paint(other_size).shape == (200, 200, 3)


def test_a_cut_out_is_shown_as_such():
    frame = Frame(np.zeros((100, 200), np.int16), "aia-171", RowOrder.BOTTOM)
    pointing = Pointing(-900.5, 449.5, 1600, RSUN, 0.0)
    view = view_of(frame, pointing, 300)
    scale = pointing.cdelt_arcsec
    assert (view.width_px, view.height_px) == (600, 300)
    assert view.center_x_arcsec == pytest.approx(1000 * scale)
    assert view.center_y_arcsec == pytest.approx(-400 * scale)


def test_a_crop_in_arcseconds_needs_a_sun_and_one_in_pixels_does_not():
    sky = Frame(np.zeros((100, 100), np.uint8), "allsky", RowOrder.TOP)
    with pytest.raises(SettingsError, match="crop in pixels"):
        FramePainter.of(sky, "allsky", 200, Crop(0, 0, 500, 500))
    painter = FramePainter.of(sky, "allsky", 200, Crop(50, 50, 40, 20, is_arcsec=False))
    assert painter.paint(sky).shape == (200, 400, 3)
    with pytest.raises(SettingsError, match="outside"):
        FramePainter.of(sky, "allsky", 200, Crop(500, 50, 40, 20, is_arcsec=False))


def test_a_crop_in_pixels_shows_the_same_part_of_frames_of_another_size():
    def sky(times: int) -> Frame:
        pixels = np.kron(np.arange(0, 240, 10).reshape(4, 6), np.ones((10 * times, 10 * times)))
        return Frame(pixels.astype(np.uint8), "allsky", RowOrder.TOP)

    painter = FramePainter.of(sky(4), "allsky", 100, Crop(180, 120, 80, 80, is_arcsec=False))
    expected = painter.paint(sky(4)).astype(int)
    for times in (1, 2, 8):
        # What is enlarged more has softer edges.
        assert np.median(np.abs(painter.paint(sky(times)).astype(int) - expected)) <= 1


def test_outlines_lie_on_what_they_outline():
    frame = disk(99.5, 99.5)
    painter = FramePainter.of(frame, "halpha", 400)
    ring = np.array([[118, 118], [127, 118], [127, 127], [118, 127]], float)
    picture = painter.paint(frame, [Outline("CH", (ring,)), Outline("AR", (ring[:2],))])
    blue = (picture[..., 2].astype(int) - picture[..., 0]) > 100
    rows, columns = np.nonzero(blue)
    assert (columns.min(), columns.max()) == pytest.approx((236.5, 254.5), abs=3)
    assert (rows.min(), rows.max()) == pytest.approx((144.5, 162.5), abs=3)


def test_colour_frames_stay_in_colour():
    sky = np.zeros((60, 80, 3), np.uint8)
    sky[..., 1] = 200
    painter = FramePainter.of(Frame(sky, "allsky", RowOrder.TOP), "allsky", 120)
    assert painter.paint(Frame(sky, "allsky", RowOrder.TOP))[60, 80].tolist() == [0, 200, 0]


def test_a_simulated_h_alpha_sun_fills_the_film():
    taken = sun(0, 256)
    frame = Frame(taken.pixels, "kso-halpha", RowOrder.BOTTOM, pointing=taken.pointing, date_obs=NOON)
    picture = FramePainter.of(frame, "halpha", 300).paint(frame)
    assert picture[150, 150].min() > 60
    assert picture[2, 2].max() < 60


def moving(number: int) -> np.ndarray:
    picture = np.zeros((72, 96, 3), np.uint8)
    picture[:, 8 * number : 8 * number + 8] = (250, 120, 20)
    return picture


@needs_ffmpeg
def test_a_film_plays_with_its_colours_in_every_player(tmp_path: Path):
    path = tmp_path / "film.mp4"
    with FilmWriter(path, 96, 72, 12) as film:
        for number in range(12):
            film.write(moving(number))
        film.write(moving(11), 12)
    assert film.pictures == 24
    seen = Film.open(path)
    assert (seen.codec, seen.pixel_format) == ("h264", "yuv420p")
    assert (seen.width, seen.height) == (96, 72)
    assert seen.seconds == pytest.approx(2.0, abs=0.1)
    assert len(seen.pictures) == 24
    for number in (0, 5, 11):
        assert seen.pictures[number, 36, 8 * number + 4].astype(int) == pytest.approx([250, 120, 20], abs=14)
    assert b"moov" in path.read_bytes()[:4096]  # the index comes first: it plays while it loads
    assert [item.name for item in tmp_path.iterdir()] == ["film.mp4"]


@needs_ffmpeg
def test_a_film_that_is_not_finished_leaves_nothing_behind(tmp_path: Path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"the film of yesterday")
    with pytest.raises(RuntimeError, match="no more"), FilmWriter(path, 96, 72, 12) as film:
        film.write(moving(0))
        raise RuntimeError("no more")
    assert path.read_bytes() == b"the film of yesterday"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "kind"),
    [("av_interleaved_write_frame(): No space left on device", OSError), ("Conversion failed!", FilmError)],
)
def test_what_ffmpeg_dies_of_is_told(tmp_path: Path, words: str, kind: type[Exception]):
    """A program that takes a little and dies stands for ffmpeg on a full disk."""
    settings = shell_program(tmp_path, f'head -c 1000 >/dev/null\necho "{words}" >&2\nexit 1')
    with pytest.raises(kind) as raised, FilmWriter(tmp_path / "a.mp4", 96, 72, 12, settings) as film:
        for _ in range(200):
            film.write(moving(0))
    if kind is OSError:
        assert raised.value.errno == errno.ENOSPC
        assert raised.value.filename == str(tmp_path / "a.mp4")
    else:
        assert "Conversion failed" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def shell_program(folder: Path, script: str) -> FilmSettings:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return FilmSettings(ffmpeg=str(program))


def test_an_ffmpeg_that_does_not_end_is_ended_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workers.products.film._STOP_S", 0.1)
    settings = shell_program(tmp_path, "exec sleep 60")
    film = FilmWriter(tmp_path / "a.mp4", 96, 72, 12, settings)
    with pytest.raises(FilmError, match=r"did not end within 0\.1 s"), film:
        pass
    assert film._process is not None and film._process.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_an_ffmpeg_that_cannot_start_leaves_no_file_open(tmp_path: Path):
    settings = shell_program(tmp_path, "")
    (tmp_path / "ffmpeg").write_bytes(b"\x7fELF no program")
    film = FilmWriter(tmp_path / "a.mp4", 96, 72, 12, settings)
    with pytest.raises(OSError), film:
        pass
    assert film._words is not None and film._words.closed


def test_two_writers_of_one_film_write_under_names_of_their_own(tmp_path: Path):
    settings = shell_program(tmp_path, "")
    first, second = (FilmWriter(tmp_path / "a.mp4", 96, 72, 12, settings) for _ in range(2))
    assert first._temporary != second._temporary
    assert str(os.getpid()) in first._temporary.name


def test_without_ffmpeg_the_package_is_named():
    with pytest.raises(SettingsError, match="install the package ffmpeg"):
        find_ffmpeg(FilmSettings(ffmpeg="no-such-ffmpeg"))


def test_a_name_that_is_no_film_is_said():
    assert form_of(Path("a.MP4")) == "mp4"
    with pytest.raises(SettingsError, match=r"ends in \.mp4"):
        form_of(Path("film.gif"))
