"""From light to numbers: what a simulated all-sky camera's lens, detector and software do."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.allsky_cameras import Camera, Tone
from models.simulate.allsky_scene import View
from observatory.fisheye import Fisheye

FloatArray = NDArray[np.float32]


def exposure_gain(camera: Camera, light: FloatArray, view: View) -> float:
    """How much longer than usual the camera exposes, where it follows the sky's brightness."""
    sky = light[:, ::3, ::3][:, view.is_inside[::3, ::3]]
    random = np.random.default_rng(camera.seed)
    wanted = random.uniform(0.1, 0.45) * camera.full_well
    gain = wanted / max(float(np.median(sky)) * _electrons(camera), 1e-6)
    if camera.exposes_itself:
        return float(np.clip(gain, 1e-5, 12.0))
    return min(1.0, gain) if camera.shortens else 1.0


def noise_level(camera: Camera, light: FloatArray, gain: float = 1.0) -> FloatArray:
    """Standard deviation of the noise in units of the light, per pixel."""
    scale = _electrons(camera) * gain
    return np.asarray(np.sqrt(np.maximum(light, 0) * scale + camera.read_noise**2) / scale, np.float32)


def exposed(
    camera: Camera, light: FloatArray, view: View, random: np.random.Generator
) -> NDArray[np.generic]:
    """The picture of some light.

    Parameters
    ----------
    light : ndarray, shape (channels, height, width)
        In the unit that `Camera.response` gives, before the lens darkens its rim.
    random : Generator
        For noise; what stays from frame to frame comes from the camera's own seed.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, 3)
        uint8 or uint16, colours red, green, blue.
    """
    gain = exposure_gain(camera, light, view)
    reaches = lens_transmission(camera, view)
    light = np.stack([_blurred(channel, camera.psf_px) for channel in light * reaches])
    light += np.float32(camera.leak) * np.median(light, axis=(1, 2), keepdims=True)
    electrons = light * np.float32(_electrons(camera) * gain)
    spread = np.sqrt(np.maximum(electrons, 0) + np.float32(camera.read_noise**2))
    electrons += spread * random.standard_normal(electrons.shape, np.float32)
    electrons += _fixed_pattern(camera, electrons.shape)
    share = electrons / np.float32(camera.full_well)
    if camera.kind.tone is Tone.GAMMA:
        share = _toned(camera, share, view)
    else:
        share = np.float32(camera.bias_share) + share * np.float32(1 - camera.bias_share)
    top = 2**camera.kind.bits - 1
    pixels = np.clip(np.moveaxis(share, 0, -1) * np.float32(top) + 0.5, 0, top)
    picture = pixels.astype(np.uint8 if camera.kind.bits <= 8 else np.uint16)
    if camera.is_masked:
        picture[~open_field(camera, view)] = int(top * camera.bias_share * 0.5)
    if camera.is_captioned:
        print_captions(camera, picture, top)
    if picture.shape[2] == 1:
        picture = picture[..., 0]
    return jpeg(picture, camera.jpeg_quality) if camera.jpeg_quality else picture


def lens_transmission(camera: Camera, view: View) -> FloatArray:
    """What the lens lets through: less towards the rim, nothing beyond it."""
    rim = np.clip((np.float32(camera.circle.max_zenith_deg) - view.true_zenith_deg) / 1.5, 0, 1)
    return np.asarray(
        rim * np.cos(view.zenith * np.float32(0.62)) ** np.float32(camera.vignetting), np.float32
    )


def open_field(camera: Camera, view: View) -> NDArray[np.bool_]:
    """What a mask of straight cuts leaves of the field; all of it for cameras without a mask."""
    height, width = view.shape
    kept = np.ones((height, width), np.uint8)
    if camera.is_masked:
        random = np.random.default_rng((camera.seed, 1))
        circle = camera.circle
        for _ in range(int(random.integers(1, 4))):
            turn = random.uniform(0, 2 * np.pi)
            wide = random.uniform(0.15, 0.5)
            corners = []
            for step, reach in (
                (-wide, 1.4),
                (wide, 1.4),
                (wide * 0.8, 0.85),
                (0.1, 0.75),
                (-wide * 0.9, 0.9),
            ):
                x = circle.center_x_px + reach * circle.radius_px * np.cos(turn + step)
                y = circle.center_y_px + reach * circle.radius_px * circle.aspect * np.sin(turn + step)
                corners.append((int(x), int(y)))
            cv2.fillPoly(kept, [np.asarray(corners, np.int32)], 0)
    return kept.astype(bool)


def print_captions(camera: Camera, picture: NDArray[np.generic], top: int) -> None:
    """Print what makers print: a name, a time, the points of the compass, a ring of ticks."""
    random = np.random.default_rng((camera.seed, 3))
    circle, height = camera.circle, picture.shape[0]
    size = height / 480.0
    ink = np.zeros(picture.shape[:2], np.uint8)
    words = ("SIMULATED all-sky", "2031/01/17", "21:40:20", "78N 16E", "exp 4 s", "gain 250")
    for x, y in ((0.01, 0.06), (0.6, 0.06), (0.01, 0.98), (0.7, 0.98)):
        if random.random() < 0.6:
            place = (int(x * picture.shape[1]), int(y * height))
            word = words[int(random.integers(len(words)))]
            cv2.putText(
                ink, word, place, cv2.FONT_HERSHEY_SIMPLEX, max(0.25, 0.5 * size), 255, 1, cv2.LINE_AA
            )
    if random.random() < 0.5:
        reach = random.uniform(0.93, 1.08)
        for name, azimuth in (("N", 0), ("E", 90), ("S", 180), ("W", 270)):
            place = _at(circle, reach, azimuth)
            cv2.putText(
                ink, name, place, cv2.FONT_HERSHEY_SIMPLEX, max(0.25, 0.6 * size), 255, 1, cv2.LINE_AA
            )
    if random.random() < 0.3:
        inner = random.uniform(0.99, 1.03)
        for azimuth in range(0, 360, 5):
            outer = inner + (0.05 if azimuth % 15 == 0 else 0.025)
            cv2.line(ink, _at(circle, inner, azimuth), _at(circle, outer, azimuth), 255, 1, cv2.LINE_AA)
    bright = float(top) * random.uniform(0.5, 1.0)
    share = ink[..., None].astype(np.float32) / 255
    picture[:] = (picture.astype(np.float32) * (1 - share) + bright * share).astype(picture.dtype)


def _at(circle: Fisheye, reach: float, azimuth_deg: float) -> tuple[int, int]:
    """Pixel at a share of the radius."""
    turn = np.radians(azimuth_deg - circle.up_azimuth_deg) * (1 if circle.is_clockwise else -1)
    return (
        int(circle.center_x_px + reach * circle.radius_px * np.sin(turn)),
        int(circle.center_y_px - reach * circle.radius_px * circle.aspect * np.cos(turn)),
    )


def jpeg(picture: NDArray[np.generic], quality: int) -> NDArray[np.generic]:
    """What a JPEG of that quality keeps of an 8-bit picture."""
    order = picture[..., ::-1] if picture.ndim == 3 else picture
    _, written = cv2.imencode(".jpg", order, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = np.asarray(cv2.imdecode(written, cv2.IMREAD_UNCHANGED))
    return np.ascontiguousarray(read[..., ::-1]) if picture.ndim == 3 else read


def _electrons(camera: Camera) -> float:
    """Electrons of one unit of light in a pixel of this picture."""
    return camera.electrons * (camera.degrees_a_pixel / 1.5) ** 2


def _blurred(channel: FloatArray, sigma_px: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(channel, (0, 0), sigma_px), np.float32)


def _fixed_pattern(camera: Camera, shape: tuple[int, ...]) -> FloatArray:
    """Hot pixels, stripes and bands that stay from frame to frame, electrons."""
    random = np.random.default_rng((camera.seed, 2))
    pattern = np.zeros(shape, np.float32)
    count = int(random.poisson(camera.kind.hot_pixels * shape[1] * shape[2] / 1e4))
    if count:
        rows, columns = random.integers(0, shape[1], count), random.integers(0, shape[2], count)
        pattern[int(random.integers(shape[0])), rows, columns] = camera.full_well * random.uniform(
            0.02, 0.4, count
        )
    if camera.is_striped:
        stripes = random.normal(0, 0.02, shape[2]) + 0.03 * (np.arange(shape[2]) % 2)
        pattern += (stripes * camera.electrons).astype(np.float32)
    return pattern


def _toned(camera: Camera, share: FloatArray, view: View) -> FloatArray:
    """The 8-bit picture of a colour camera: a black level taken off, a curve."""
    if camera.black > 0:
        inside = view.is_inside[::3, ::3]
        floor = camera.black * np.percentile(share[:, ::3, ::3][:, inside], 5, axis=1)
        share = share - np.maximum(floor, 0)[:, None, None].astype(np.float32)
    return np.asarray(
        np.clip(share, 0, 1) ** np.float32(1.0 / camera.gamma) + camera.bias_share * 0.5, np.float32
    )
