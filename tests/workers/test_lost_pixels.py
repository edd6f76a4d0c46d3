"""Frames of which pixels were lost, as the archive marks them, on their way to quality and pictures."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.aia_quality import AiaQuality
from models.simulate.aia import AiaSun, AiaTelescope, write_aia_fits
from models.simulate.aia_defects import spoil
from observatory.analysis import Cause
from observatory.frame import Frame
from observatory.instruments import Limits, read_file
from observatory.settings import Settings
from workers.products import composite
from workers.products.film_painter import FramePainter
from workers.products.preview import preview
from workers.products.sun_view import SunView

SIDE = 512
MOMENT = datetime(2014, 9, 5, tzinfo=UTC)
SUN = AiaSun(1, 0.7, detail=256)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Frame, Frame]:
    """A good frame and the same one with lost pixels, whose header says nothing of them, from files."""
    folder: Path = tmp_path_factory.mktemp("lost")
    clean = SUN.frame(MOMENT, AiaTelescope(SIDE, 193))
    spoilt = spoil(clean.pixels, clean.pointing, Cause.MISSING_DATA, np.random.default_rng(3), 0.2).pixels
    silent = {"MISSVALS": None, "DATAVALS": None, "PERCENTD": None}
    paths = (
        write_aia_fits(folder / "good.fits", clean),
        write_aia_fits(folder / "lost.fits", clean, pixels=spoilt, overrides=silent),
    )
    good, lost = (read_file(path, Limits()).frame() for path in paths)
    return good, lost


def test_quality_names_missing_data_by_the_pixels_alone(pair: tuple[Frame, Frame]):
    good, lost = (AiaQuality().analyse(frame) for frame in pair)
    assert not good.is_degraded
    assert lost.is_degraded
    assert [cause.cause for cause in lost.causes] == [Cause.MISSING_DATA]


def test_lost_pixels_are_black_in_a_preview_and_change_nothing_else(pair: tuple[Frame, Frame]):
    good, lost = (np.asarray(Image.open(io.BytesIO(preview(frame).data))).astype(int) for frame in pair)
    nothing = np.isnan(pair[1].pixels)[::-1]
    assert lost[nothing].mean() < 6
    assert np.abs(lost - good)[~nothing].mean() < 6
    assert good[nothing].mean() > 60


def test_lost_pixels_move_no_levels_of_a_composite_and_lie_black_in_it(pair: tuple[Frame, Frame]):
    look = Settings().composites.all_looks["aia"]
    channels = [composite.channel_of(frame) for frame in pair]
    levels = [composite.levels_of([channel], look).of["aia-193"] for channel in channels]
    assert levels[1] == pytest.approx(levels[0], rel=0.15, abs=0.002 * levels[0][1])
    view = SunView.full(SIDE)
    shared = composite.Levels({"aia-193": levels[0]})
    good, lost = (composite.compose([channel], look, shared, view).astype(int) for channel in channels)
    assert lost.mean() < good.mean()
    changed = np.abs(lost - good).max(axis=2) > 24
    assert changed.mean() == pytest.approx(0.2, abs=0.15)  # the lost fifth, where the corona is seen


def test_lost_pixels_are_black_in_a_film(pair: tuple[Frame, Frame]):
    painter = FramePainter.of(pair[0], "aia", SIDE)
    good, lost = (painter.paint(frame)[..., 0].astype(int) for frame in pair)
    assert (lost == 0).mean() > (good == 0).mean() + 0.1
    assert np.median(np.abs(lost - good)) == 0
