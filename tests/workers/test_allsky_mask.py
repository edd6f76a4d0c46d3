"""A camera's mask that does not fit its frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from observatory.settings import Settings, load_settings
from observatory.storage import catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.session import Database
from tests.making import drop
from tests.skies import png_bytes, sky_picture
from workers import tasks
from workers.app import make_app
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.watching import WatchFolder


def test_a_mask_of_another_shape_rejects_the_frame_and_one_of_another_size_does_not(
    quick: Settings, home: Database, incoming: Path
):
    sites = {}
    for name, shape in (("fits", (48, 48)), ("other", (48, 96))):
        mask = incoming.parent / f"{name}.png"
        mask.write_bytes(png_bytes(np.full(shape, 255, np.uint8)))
        sites[name] = {"kind": "allsky", "mask": str(mask)}
        (incoming / name).mkdir()
    settings = load_settings(data_dir=quick.data_dir, instruments=sites)
    tasks.sit_down(settings)
    publisher = Publisher(make_app(settings))
    for name in sites:
        drop(incoming / name / f"{name}_20260103_041500.png", png_bytes(sky_picture(seed=len(name))))
        Ingester(settings, home, publisher, [WatchFolder(incoming / name, name)]).once()
    for row in catalogue.find(home, FrameFilter(), limit=10):
        tasks.process_frame(row["id"])
    done = {row["instrument"]: row for row in catalogue.find(home, FrameFilter(), limit=10)}
    assert (done["fits"]["status"], done["fits"]["reason"]) == ("done", None)
    assert done["other"]["status"] == "rejected"
    assert "the mask other.png is for pictures of 96 x 48 pixels" in done["other"]["reason"]
