"""Enhanced frames in the database, and a worker for cut-outs without networks."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from observatory.analysis import ModelIdentity
from observatory.field_of_view import FieldOfView, FieldUnit
from observatory.storage import cutouts, results
from observatory.storage.cutouts import CutoutStatus, Wanted
from observatory.storage.enhancements import ANALYSIS, NUMBERS
from observatory.storage.files import ProductFiles
from observatory.storage.results import NewProduct, NewResult
from observatory.storage.session import Database
from tests.service.telescope import Telescope

NETWORK = ModelIdentity("hmi_enhancement", "1.0.0", "ef" * 32, {"halo_px": 24})
RUNNING = {"models": [{"name": NETWORK.name, "version": "1.0.0", "sha256": NETWORK.sha256, "family": "hmi"}]}
FITS = b"SIMPLE  =                    T" + b" " * 2850


def numbers(contrast: float = 0.036, **more: Any) -> dict[str, Any]:
    """What a result says of an enhanced continuum."""
    found = dict.fromkeys(NUMBERS) | {
        "quantity": "continuum",
        "model": NETWORK.label,
        "window_px": [0, 0, 64, 64],
        "contrast_before": contrast,
        "contrast_after": 1.9 * contrast,
        "residual": 0.0011,
        "noise": 0.0013,
        "trusted_fraction": 0.998,
    }
    return found | more


def shown(telescope: Telescope, payload: dict[str, Any] | None = None, **given: Any) -> int:
    """Return the id of a frame of HMI that is done, and whose enhancement is what the payload says."""
    made = [NewResult(ANALYSIS, NETWORK, payload or numbers())]
    facts = {"instrument": "hmi-continuum", "family": "hmi", "observatory": "SDO", "wavelength_nm": 617.33}
    return telescope.observe(made=made, **(facts | given))


def with_pictures(telescope: Telescope, frame_id: int, width: int = 320, height: int = 200) -> None:
    """Add what the page lays over each other: dark before, bright after."""
    pictures = [
        NewProduct(f"compare-{name}", "image/jpeg", telescope.files.write(data, ".jpg"), width, height)
        for name, shade in (("before", 60), ("after", 190))
        for data in [_stripes(width, height, shade)]
    ]
    pictures.append(NewProduct("enhanced", "application/fits", telescope.files.write(FITS, ".fits")))
    run = results.NewRun([], "0.1.0", datetime.now(UTC), None, pictures)
    with telescope.db.write() as connection:
        results._add_pictures(telescope.db, connection, frame_id, run)


def _stripes(width: int, height: int, shade: int) -> bytes:
    pixels = np.full((height, width), shade, np.uint8)
    pixels[:, ::16] = 250 - shade
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def cut_out(telescope: Telescope, frame_id: int) -> int:
    """Return the number of a cut-out that is made."""
    field = FieldOfView(8, 8, 32, 32, FieldUnit.PIXEL)
    row = cutouts.ask(telescope.db, Wanted(frame_id, field), "ada", datetime.now(UTC), most_under_way=9)
    assert row is not None
    CutoutWorker(telescope.db, telescope.files).make(row["id"])
    return int(row["id"])


class CutoutWorker:
    """Makes cut-outs as fast as they come, in a thread, or when it is told to; says what it is told to say."""

    def __init__(self, db: Database, files: ProductFiles) -> None:
        self._db, self._files = db, files
        self.sent: list[tuple[str, int, str]] = []
        self.ending: CutoutStatus | None = CutoutStatus.DONE
        self.is_reachable = True

    def send(self, task: str, number: int, queue: str) -> bool:
        """Stand in for the broker: what is sent is made at once, beside whoever sent it."""
        if not self.is_reachable:
            return False
        self.sent.append((task, number, queue))
        if self.ending is not None:
            threading.Thread(target=self.make, args=(number,)).start()
        return True

    def make(self, number: int) -> None:
        """Make one."""
        now = datetime.now(UTC)
        claimed = cutouts.claim(self._db, number, "worker-1", now)
        if claimed is None:
            return
        if self.ending in (None, CutoutStatus.DONE):
            data = FITS + str(claimed.field).encode()
            file = self._files.write(data, ".fits")
            product = NewProduct("enhanced", "application/fits", file)
            cutouts.finish(self._db, claimed, product, numbers(), now)
        else:
            assert self.ending is not None
            cutouts.end(self._db, claimed, self.ending, "all of it is NaN", now)
