"""`heliowatch sky hot-pixels`: found while stars move on, left out of every frame that comes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from heliowatch.cli import app
from observatory.camera import Camera, HotPixelsError
from observatory.errors import HeliowatchError, SettingsError, StorageUnavailableError
from observatory.hot_pixels import filled
from observatory.instruments import Limits, read_file
from observatory.settings import load_settings
from tests.night_skies import night
from tests.skies import jpeg_bytes, opened, png_bytes, sky_picture

FIRST = datetime(2014, 3, 2, 20, tzinfo=UTC)
HOT = ([60, 61, 120, 190], [80, 170, 130, 90])
CAPTION = ([20, 20, 23], [20, 24, 20])  # beyond the sky
SIZE = (240, 260)


def archive(folder: Path, count: int = 10, *, minutes: int = 20, form: str = "png") -> list[Path]:
    """Frames of one camera; every sky has stars of its own."""
    folder.mkdir()
    files = []
    for number in range(count):
        pixels = night(number, size=SIZE).pixels.astype(np.uint16).copy()
        pixels[HOT] = pixels[CAPTION] = 30_000
        name = f"{FIRST + timedelta(minutes=minutes * number):%Y%m%d_%H%M%S}.{form}"
        shown = np.repeat((pixels >> 8)[..., None], 3, axis=2).astype(np.uint8)
        (folder / name).write_bytes(png_bytes(pixels) if form == "png" else jpeg_bytes(shown))
        files.append(folder / name)
    return files


def run(files: Sequence[Path], *words: str) -> str:
    result = CliRunner().invoke(app, ["sky", "hot-pixels", *map(str, files), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def points(is_hot: np.ndarray) -> set[tuple[int, int]]:
    return {(int(y), int(x)) for y, x in zip(*np.nonzero(is_hot), strict=True)}


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_the_map_holds_what_stays_while_stars_move_on(tmp_path: Path, form: str) -> None:
    files = archive(tmp_path / "nights", form=form)
    (tmp_path / "nights" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "maps" / "hot.png"
    said = run([*files, tmp_path / "nights" / "cut.png"], "--out", str(out))
    assert "cut.png" in said and "frames: 10" in said
    assert ("hot_pixels: 4" in said) or form == "jpg"
    assert f"instruments.allsky.hot_pixels: {out}" in said
    is_hot = np.asarray(Image.open(out)) > 0
    assert is_hot.shape == SIZE
    assert {
        (y + i, x + j) for y, x in zip(*HOT, strict=True) for i in (-1, 0, 1) for j in (-1, 0, 1)
    } <= points(is_hot)
    assert np.count_nonzero(is_hot) < 4 * 36  # nothing else


def test_a_camera_with_a_map_shows_what_is_about_its_hot_pixels_and_all_else_as_it_is(tmp_path: Path) -> None:
    files, out = archive(tmp_path / "nights"), tmp_path / "hot.png"
    run(files, "--out", str(out))
    settings = load_settings(instruments={"roof": {"kind": "allsky", "hot_pixels": str(out)}})
    whole, spoilt = (
        read_file(files[0], Limits(), instrument=name, stations=settings.stations).frame_for_analysis().pixels
        for name in ("roof", "allsky")
    )
    is_hot = np.asarray(Image.open(out)) > 0
    np.testing.assert_array_equal(whole[~is_hot], spoilt[~is_hot])
    assert (spoilt[HOT] == 30_000).all() and (whole[CAPTION] == 30_000).all()
    np.testing.assert_allclose(whole[HOT].astype(float), 5050.0, atol=450.0)


@pytest.mark.parametrize(
    ("count", "minutes", "words"),
    [(7, 20, "7 usable frames tell too little"), (10, 2, "span 18 min, in which stars hardly move")],
)
def test_too_little_to_tell_is_said(tmp_path: Path, count: int, minutes: int, words: str) -> None:
    files = archive(tmp_path / "nights", count, minutes=minutes)
    with pytest.raises(SettingsError, match=words):
        run(files, "--out", str(tmp_path / "hot.png"))
    assert not (tmp_path / "hot.png").exists()


def test_a_map_is_not_put_where_it_would_be_taken_for_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOWATCH_WATCH", f'["{tmp_path}"]')
    with pytest.raises(SettingsError, match="is watched"):
        run([tmp_path / "a.png"], "--out", str(tmp_path / "hot.png"))


def test_frames_without_a_time_of_their_own_are_taken_at_their_word(tmp_path: Path) -> None:
    files = archive(tmp_path / "nights")
    named = [file.rename(file.with_name(f"sky{number}.png")) for number, file in enumerate(files)]
    assert "hot_pixels: 4" in run(named, "--out", str(tmp_path / "hot.png"))


def test_frames_of_two_sizes_other_instruments_and_textures_are_refused(tmp_path: Path) -> None:
    files = archive(tmp_path / "nights", 9)
    small = tmp_path / "nights" / "20140303_010000.png"
    small.write_bytes(png_bytes(sky_picture(96, 96)))
    with pytest.raises(SettingsError, match="has 96 x 96 pixels, the frames before it 260 x 240"):
        run([*files, small])
    with pytest.raises(SettingsError, match="no all-sky camera"):
        run(files, "--instrument", "gong-halpha")
    grid = np.zeros(SIZE, np.uint16)
    grid[::3, ::3] = 9000
    for file in files:
        file.write_bytes(png_bytes(grid))
    with pytest.raises(SettingsError, match=r"11 % of the pixels stand out"):
        run(files)


def test_a_map_of_another_size_or_none_at_all_is_refused(tmp_path: Path) -> None:
    for name, data in (("small.png", png_bytes(sky_picture(48, 48, depth=8))), ("text.png", b"no picture")):
        (tmp_path / name).write_bytes(data)
    picture = jpeg_bytes(sky_picture(depth=8))
    for name, error, words in (
        ("small.png", HotPixelsError, "it has 48 x 48 pixels, the frame 96 x 96.*sky hot-pixels"),
        ("text.png", HotPixelsError, "cannot identify"),
        ("gone.png", StorageUnavailableError, "the map of hot pixels gone.png"),
    ):
        with pytest.raises(error, match=words):
            opened(picture, "a.jpg", Camera(hot_pixels=tmp_path / name)).frame()
    with pytest.raises(HeliowatchError, match=r"gone\.png is not there"):
        load_settings(instruments={"roof": {"kind": "allsky", "hot_pixels": str(tmp_path / "gone.png")}})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("colours", [(), (3,)], ids=["grey", "colours"])
def test_hot_pixels_become_the_mean_of_those_about_them(
    dtype: type[np.generic], colours: tuple[int, ...]
) -> None:
    pixels = np.full((30, 40, *colours), 50).astype(dtype)
    is_hot = np.zeros((30, 40), bool)
    is_hot[[0, 10, 11], [0, 20, 20]] = True
    pixels[is_hot] = 255
    found = filled(pixels, is_hot)
    assert found.dtype == pixels.dtype and (found == 50).all() and (pixels[is_hot] == 255).all()
    is_hot[:, 20:] = True  # no other within reach of most of them: these stay
    assert (filled(pixels, is_hot)[:, 24:] == pixels[:, 24:]).all()
