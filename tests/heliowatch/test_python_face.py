"""``from heliowatch import score, analyse``: the same answers as dataclasses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliowatch import FrameReport, analyse, score
from observatory.analysis import Cause
from observatory.errors import NoSuchInstrumentError
from tests.making import kso_frame, sun

pytestmark = pytest.mark.usefixtures("settings")


def test_paths_as_text_or_path_alone_or_many_are_scored(tmp_path: Path):
    path = kso_frame(tmp_path)
    one, two = score([path, str(path)])
    assert isinstance(one, FrameReport)
    assert one.score == two.score == score(path)[0].score
    assert one.instrument == "kso-halpha"
    assert one.quality is not None
    assert one.quality.model.name == "halpha_quality"


def test_an_array_is_scored_like_the_file_that_holds_it(tmp_path: Path):
    path = kso_frame(tmp_path, 3)
    (of_file,) = score(path)
    (of_array,) = score(sun(3).pixels, instrument="halpha")
    assert of_array.file == "array"
    assert of_array.score == pytest.approx(of_file.score, abs=0.02)  # the file also tells the pointing


def test_an_array_of_a_disk_needs_no_name():
    (report,) = score(sun(1).pixels)
    assert report.instrument == "halpha"


def test_many_inputs_come_back_in_their_order(tmp_path: Path):
    paths = [kso_frame(tmp_path, number) for number in range(6)]
    assert [report.file for report in score(paths)] == [str(path) for path in paths]


def test_the_score_does_not_depend_on_what_else_is_asked(tmp_path: Path):
    paths = [kso_frame(tmp_path, number) for number in range(4)]
    together = {report.file: report.score for report in score(paths)}
    alone = {report.file: report.score for path in reversed(paths) for report in score(path)}
    assert together == alone


def test_black_is_degraded_and_says_why():
    (report,) = score(np.zeros((300, 300), np.uint8), instrument="halpha")
    assert report.is_degraded
    assert report.causes[0].cause is Cause.UNDEREXPOSED
    assert report.score is not None
    assert report.score < 0.1


@pytest.mark.parametrize("shape", [(10,), (3, 10, 10), (10, 10, 4), (2, 10, 10, 3)])
def test_an_array_of_another_shape_has_its_error_set(shape: tuple[int, ...]):
    (report,) = score(np.zeros(shape))
    assert report.score is None
    assert "shape" in str(report.error)


@pytest.mark.parametrize(
    "pixels", [np.zeros((0, 0)), np.ones((32, 32), bool), np.full((32, 32), "x"), np.ones((32, 32), complex)]
)
def test_an_array_of_no_numbers_has_its_error_set(pixels: np.ndarray):
    good = sun().pixels
    broken, other = score([pixels, good], instrument="halpha")
    assert "no picture" in str(broken.error)
    assert other.score is not None


def test_masked_pixels_count_as_missing():
    frame = sun().pixels.astype(float)
    frame[100:160] = np.nan
    masked = np.ma.masked_invalid(frame)
    assert score(masked, instrument="halpha")[0].score == score(frame, instrument="halpha")[0].score


def test_a_file_that_cannot_be_read_has_its_error_set(tmp_path: Path):
    (tmp_path / "x.fits").write_bytes(b"")
    (report,) = score(tmp_path / "x.fits")
    assert report.error == "the file is empty"
    assert (report.score, report.is_degraded, report.p_value, report.causes) == (None, None, None, ())


def test_an_array_of_an_instrument_of_the_settings_is_of_its_kind_and_place(tmp_path: Path):
    Path("heliowatch.yaml").write_text(
        "instruments:\n"
        "  my-halpha: {kind: halpha}\n"
        "  dome-cam: {kind: allsky, site: {latitude_deg: 69.7, longitude_deg: 18.9}}\n"
    )
    (disk,) = score(sun().pixels, instrument="my-halpha")
    assert (disk.error, disk.instrument, disk.quality is not None) == (None, "my-halpha", True)
    (sky,) = analyse(np.zeros((300, 300), np.uint8), instrument="dome-cam", out=tmp_path / "made")
    assert (sky.error, sky.instrument) == (None, "dome-cam")
    assert sky.sky is not None and sky.site is not None and sky.site.latitude_deg == 69.7


def test_an_instrument_that_nobody_knows_raises():
    with pytest.raises(NoSuchInstrumentError):
        score([], instrument="hubble")


def test_analyse_writes_and_names_its_products(tmp_path: Path):
    (report,) = analyse(kso_frame(tmp_path), out=tmp_path / "made")
    assert report.products
    assert all(path.is_file() for path in report.products)
    assert {path.parent for path in report.products} == {tmp_path / "made"}


def test_analysing_again_overwrites_its_own_products(tmp_path: Path):
    path = kso_frame(tmp_path)
    first = analyse(path, out=tmp_path / "made")[0].products
    assert analyse(path, out=tmp_path / "made")[0].products == first
