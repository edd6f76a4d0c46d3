"""Folders in which what is written would be taken for frames are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coronal import aia_file
from tests.films import needs_ffmpeg
from tests.heliowatch.ended import Run
from tests.making import kso_frame

pytestmark = pytest.mark.usefixtures("settings")  # a folder of our own, an environment without ours


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "frames"
    made.mkdir()
    return made


def one_set(folder: Path) -> None:
    """One frame of each channel."""
    for seconds, channel in enumerate((304, 171, 193)):
        aia_file(folder, channel, seconds)


def test_composites_are_not_put_among_the_frames(run: Run, folder: Path):
    one_set(folder)
    before = set(folder.iterdir())
    ended = run("composite", folder, "--out", folder, "--size", 256)
    assert ended.code == 2 and "the next call would take the pictures for frames" in ended.err
    assert set(folder.iterdir()) == before


def test_composites_are_not_put_where_the_settings_have_them_taken_in(run: Run, folder: Path, tmp_path: Path):
    one_set(folder)
    watched = tmp_path / "watched"
    words = ("composite", folder, "--out", watched / "pictures", "--size", 256)
    Path("heliowatch.yaml").write_text(f"watch: [{watched}]")
    ended = run(*words)
    assert ended.code == 2 and f"{watched} is watched, and what is written would be taken" in ended.err
    assert not watched.exists()
    Path("heliowatch.yaml").write_text(
        f"instruments: {{sun: {{kind: aia-193, watch: [{watched}], patterns: ['*.fits']}}}}"
    )
    assert run(*words).code == 0


@needs_ffmpeg
def test_a_film_is_not_put_where_the_settings_have_it_taken_in(run: Run, folder: Path):
    Path("heliowatch.yaml").write_text(f"watch: [{folder}]")
    ended = run("movie", aia_file(folder, 193), "--out", folder / "day.mp4")
    assert ended.code == 2 and f"{folder} is watched" in ended.err
    assert not (folder / "day.mp4").exists()


@pytest.mark.parametrize(("patterns", "is_taken_in"), [("*", True), ("*.fits", True), ("*.pgm", False)])
def test_products_are_not_put_where_the_settings_have_them_taken_in(
    run: Run, tmp_path: Path, patterns: str, is_taken_in: bool
):
    path = kso_frame(tmp_path)
    Path("heliowatch.yaml").write_text(
        f"instruments: {{mine: {{kind: kso-halpha, watch: [{tmp_path}], patterns: ['{patterns}']}}}}"
    )
    ended = run("analyse", path, "--out", "made")
    assert (ended.code == 2 and f"{tmp_path} is watched" in ended.err) is is_taken_in
    assert (tmp_path / "made").exists() is not is_taken_in
