"""All-sky pictures decoded no finer than their analysis needs."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from observatory.camera import Camera, Lens
from observatory.instruments import Limits, Opened, open_bytes
from observatory.sky_view import circle_of, for_analysis


def jpeg(width: int, height: int, *, colour: bool = True, quality: int = 90) -> bytes:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(columns - 0.5 * width, rows - 0.48 * height) / (0.45 * height)
    picture = np.where(distance < 1, 60 + 100 * (columns / width), 8).astype(np.uint8)
    shown = np.stack([picture, picture // 2, picture], axis=-1) if colour else picture
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def opened(data: bytes, **camera: object) -> Opened:
    found = open_bytes(data, "x.jpg", Limits(), instrument="allsky")
    return Opened(
        found.container, found.instrument, found.kind, found.known_as, found.file_name,
        camera=Camera(**camera),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(("width", "height", "factor"), [(1216, 904, 2), (2201, 1603, 4), (720, 480, 1)])
@pytest.mark.parametrize("colour", [True, False])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(
    width: int, height: int, factor: int, colour: bool
) -> None:
    file = opened(jpeg(width, height, colour=colour))
    whole, small = file.frame(), file.frame_for_analysis()
    assert small.pixels.shape[:2] == (-(-height // factor), -(-width // factor))
    usual = for_analysis(whole).pixels
    cut = small.pixels[: usual.shape[0], : usual.shape[1]]
    away_from_edges = np.abs(cut.astype(int) - usual.astype(int))[..., : usual.shape[1]]
    assert np.percentile(away_from_edges, 98) <= 2
    circles = circle_of(for_analysis(whole)), circle_of(small)
    assert circles[0] is not None and circles[1] is not None
    assert circles[1].radius_px == pytest.approx(circles[0].radius_px, rel=0.01)


def test_lens_and_mask_are_made_smaller_with_the_picture(tmp_path: Path) -> None:
    mask = np.zeros((904, 1216), np.uint8)
    mask[:, 608:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    lens = Lens(600.0, 434.0, 407.0, up_azimuth_deg=30.0)
    file = opened(jpeg(1216, 904), lens=lens, mask=tmp_path / "mask.png")
    small, usual = file.frame_for_analysis(), for_analysis(file.frame())
    assert small.fisheye == usual.fisheye
    assert small.fisheye is not None and small.fisheye.is_oriented
    assert small.sky_mask is not None and (small.sky_mask == usual.sky_mask).all()
    assert not small.sky_mask[:, :300].any() and small.sky_mask[:, 310:].all()


def test_a_lens_that_has_to_be_sought_is_sought_in_the_whole_picture() -> None:
    file = opened(jpeg(1216, 904), lens=Lens(up_azimuth_deg=30.0))
    found = file.frame_for_analysis()
    assert found.pixels.shape[:2] == (904, 1216)
    assert found.fisheye is not None and found.fisheye.is_oriented


def test_other_kinds_of_frames_and_other_formats_are_read_whole() -> None:
    assert (
        open_bytes(jpeg(1216, 904), "x.jpg", Limits(), instrument="halpha").frame_for_analysis().width == 1216
    )
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((1000, 1400), np.uint8)).save(buffer, "PNG")
    assert opened(buffer.getvalue()).frame_for_analysis().width == 1400
