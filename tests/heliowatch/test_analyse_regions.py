"""What `analyse` leaves of a coronal frame: masks on the input's grid, outlines, regions."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heliowatch import analyse
from models.simulate.aia import AiaSun, AiaTelescope, write_aia_fits

REAL = os.environ.get("HELIOWATCH_TEST_DATA")


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("analysed")
    taken = AiaSun(seed=11, detail=512).frame(datetime(2026, 6, 1, tzinfo=UTC), AiaTelescope(512, 193))
    source = write_aia_fits(home, taken)
    (report,) = analyse(source, out=home / "out")
    assert report.error is None
    return home / "out", source.stem


def test_masks_overlay_and_regions_are_written_and_listed(products: tuple[Path, str]):
    out, stem = products
    told = json.loads((out / f"{stem}.results.json").read_text())
    for ending in ("mask-CH.png", "mask-AR.png", "overlay.png", "regions.json", "preview.jpg"):
        assert (out / f"{stem}.{ending}").exists()
        assert f"{stem}.{ending}" in told["products"]


def test_a_mask_holds_0_and_255_at_the_size_of_the_input(products: tuple[Path, str]):
    out, stem = products
    for kind in ("CH", "AR"):
        mask = np.asarray(Image.open(out / f"{stem}.mask-{kind}.png"))
        assert mask.shape == (512, 512)
        assert set(np.unique(mask)) == {0, 255}


def test_regions_carry_heks_names_and_sum_to_the_mask(products: tuple[Path, str]):
    out, stem = products
    regions = json.loads((out / f"{stem}.regions.json").read_text())["regions"]
    results = json.loads((out / f"{stem}.results.json").read_text())["results"]
    for kind in ("CH", "AR"):
        mine = [item for item in regions if item["event_type"] == kind]
        stated = next(item for item in results if item["analysis"] == f"segmentation-{kind}")
        assert len(mine) == stated["regions"] > 0
        mask = np.asarray(Image.open(out / f"{stem}.mask-{kind}.png")) > 0
        assert sum(item["area_px"] for item in mine) == pytest.approx(mask.sum(), rel=0.05)
    for name in ("event_starttime", "hpc_boundcc", "frm_name", "frm_versionnumber", "area_atdiskcenter"):
        assert all(item[name] for item in regions)


def test_the_mask_of_a_picture_lies_on_it_pixel_by_pixel(tmp_path: Path):
    if REAL is None:
        pytest.skip("HELIOWATCH_TEST_DATA is unset: no real frames to test on")
    source = Path(REAL) / "aia" / "png" / "aia_ch_2019_09_06T06_00_00.png"
    (report,) = analyse(source, out=tmp_path)
    assert report.error is None
    picture = np.asarray(Image.open(source).convert("L")).astype(float)
    mask = np.asarray(Image.open(tmp_path / f"{source.stem}.mask-CH.png")) > 0
    assert mask.shape == picture.shape
    assert mask[: len(mask) // 4].any(), "the polar hole at the top of the picture was not found"
    assert picture[mask].mean() < 0.6 * picture[~mask & (picture > 0)].mean()
