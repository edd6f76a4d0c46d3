"""Frames in the database, as the ingester and the workers would leave them there."""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import update

from observatory.analysis import Cause, CauseProbability, EventType, ModelIdentity, Quality
from observatory.frame import DateSource
from observatory.storage import catalogue, composites, frames, results, schema
from observatory.storage.files import ProductFiles
from observatory.storage.frames import Arrival, NewFrame, Status
from observatory.storage.regions import NewSegmentation
from observatory.storage.results import NewProduct, NewResult
from observatory.storage.session import Database
from observatory.storage.skies import NewSky, sky_payload

CHANNELS = {"aia-304": "red", "aia-211": "green", "aia-171": "blue"}
MODEL = ModelIdentity("halpha-quality", "1.0.0", "ab" * 32)
DAY = datetime(2026, 6, 1, tzinfo=UTC)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests whose fact does not touch the database."""

on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""For tests of what only a server can do: go away."""


def jpeg(shade: int = 128, size: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size), shade).save(buffer, "JPEG")
    return buffer.getvalue()


def region_map(size: int = 64) -> bytes:
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[: size // 2] = (255, 80, 40, 120)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def quality(score: float = 0.93, *causes: tuple[Cause, float]) -> Quality:
    return Quality(
        score=score,
        is_degraded=score < 0.5,
        p_value=0.42 if score >= 0.5 else 0.001,
        causes=tuple(CauseProbability(cause, probability) for cause, probability in causes),
        model=MODEL,
        measures={"content_loss": 1 - score},
    )


@dataclass
class Telescope:
    """Puts frames into the database."""

    db: Database
    files: ProductFiles
    _count: Iterator[int] = field(default_factory=itertools.count)

    def receive(self, **given: Any) -> int:
        """Return the id of a frame that waits (or is refused, when its status says so)."""
        number = next(self._count)
        sha256 = given.pop("sha256", hashlib.sha256(f"frame {number}".encode()).hexdigest())
        name = given.pop("file_name", f"kanz_halph_fi_{number:04d}.fts.gz")
        now = datetime.now(UTC)
        defaults: dict[str, Any] = {
            "instrument": "kso-halpha",
            "family": "halpha",
            "observatory": "Kanzelhöhe",
            "date_obs": DAY + timedelta(hours=8, seconds=6 * number),
            "date_obs_source": DateSource.HEADER,
            "wavelength_nm": 656.28,
            "bytes": 4_200_000,
            "path": f"/srv/secret/{name}",
            "received_at": now,
            "closed_at": now,
        }
        new = NewFrame(sha256=sha256, file_name=name, **(defaults | given))
        frames.register(self.db, [new], [Arrival(sha256 or "", new.path, new.bytes, number, now)])
        newest = catalogue.find(self.db, catalogue.FrameFilter(), limit=1000)
        return max(row["id"] for row in newest)

    def observe(
        self,
        score: float | None = 0.93,
        *causes: tuple[Cause, float],
        with_picture: bool = False,
        with_map: bool = False,
        found: Sequence[NewSegmentation] = (),
        preview: bytes | None = None,
        **given: Any,
    ) -> int:
        """Return the id of a frame that is done."""
        judged = None if score is None else quality(score, *causes)
        made = list(given.pop("made", ()))
        if judged:
            made.append(NewResult("quality", MODEL, results.quality_payload(judged)))
        sky = given.pop("sky", None)
        if sky is not None:
            made.append(NewResult("sky", sky.model, sky_payload(sky)))
        frame_id = self.receive(**given)
        claimed = frames.claim(self.db, frame_id, "worker-1", datetime.now(UTC))
        assert claimed is not None
        pictures = []
        if with_picture or preview:
            data = preview or jpeg(frame_id % 200)
            width, height = Image.open(io.BytesIO(data)).size
            stored = self.files.write(data, ".jpg")
            pictures.append(NewProduct("preview", "image/jpeg", stored, width, height))
        if with_map:
            pictures.append(
                NewProduct("region-map", "image/png", self.files.write(region_map(), ".png"), 64, 64)
            )
        assert results.finish(
            self.db,
            frame_id,
            "worker-1",
            quality=judged,
            made=made,
            pictures=pictures,
            software_version="0.1.0",
            now=datetime.now(UTC),
            segmentations=found,
            sky=None if sky is None else NewSky(sky),
        )
        return frame_id

    def again(
        self, frame_id: int, *found: NewSegmentation, looked_for: Sequence[EventType] = (), **given: Any
    ) -> None:
        """Let a frame that is done be worked on once more."""
        with self.db.write() as connection:
            connection.execute(
                update(schema.frames).where(schema.frames.c.id == frame_id).values(status=Status.RECEIVED)
            )
        assert frames.claim(self.db, frame_id, "worker-2", datetime.now(UTC)) is not None
        assert results.finish(
            self.db,
            frame_id,
            "worker-2",
            quality=given.get("quality"),
            made=list(given.get("made", ())),
            pictures=[],
            software_version="0.1.0",
            now=datetime.now(UTC),
            segmentations=found,
            looked_for=looked_for,
        )

    def corona(self, *found: NewSegmentation, **given: Any) -> int:
        """Return the id of a coronal frame that is done."""
        return self.observe(
            found=found,
            **({"score": 0.9, "instrument": "aia-193", "family": "aia", "observatory": "SDO"} | given),
        )

    def compose(self, at: datetime, *, missing: str = "", picture: bytes | None = None) -> int:
        """Return the id of a composite that is made, of three channels or of two."""
        for name in CHANNELS:
            if name != missing:
                self.observe(instrument=name, family="aia", date_obs=at)
        (set_id,) = self.close()
        claimed = composites.claim(self.db, set_id, "worker-1", datetime.now(UTC))
        assert claimed is not None
        pictures = [
            NewProduct(f"composite-{size}", "image/jpeg", self.files.write(data, ".jpg"), size, size)
            for size in (256, 1024)
            for data in [picture or jpeg(set_id, size)]
        ]
        assert composites.finish(
            self.db,
            claimed,
            frame_ids=[frame.frame_id for frame in claimed.frames],
            pictures=pictures,
            payload={},
            now=datetime.now(UTC),
        )
        return set_id

    def close(self) -> list[int]:
        """Form sets of the frames that wait for partners, each with all that has come."""
        now = datetime.now(UTC)
        return composites.overdue(
            self.db,
            "aia",
            channels=CHANNELS,
            done_before=now,
            done_after=now - timedelta(days=1),
            reach_s=10,
            arrange=lambda members: [members],
            now=now,
        )

    def refuse(self, reason: str = "the file ends early: 2 880 of 8 640 bytes", **given: Any) -> int:
        """Return the id of a frame that could not be used."""
        given = {
            "instrument": None,
            "family": None,
            "date_obs": None,
            "date_obs_source": DateSource.NONE,
        } | given
        return self.receive(status=Status.REJECTED, reason=reason, **given)


@contextmanager
def in_thread(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Serve an app for real, on a free port unless one is given; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the server did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        app.state.context.stream.close()
        thread.join(10)
        assert not thread.is_alive(), "the server did not stop"
