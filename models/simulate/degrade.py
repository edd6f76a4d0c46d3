"""What spoils an H-alpha frame, done physically to any clean frame, with the truth beside it.

Every function takes a clean frame (real or simulated, any size), where its disk lies, and a random
generator; it returns the spoilt pixels and what was done: cause, region and severity. What lies
between telescope and Sun multiplies the light and scatters some of it; what happens in the
telescope blurs it; what happens in the camera changes counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.analysis import Cause
from observatory.frame import Pointing
from observatory.sun import disk_radius_map

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

#: Share of a region's peak opacity, and the least opacity, at which a cell counts as spoilt.
REGION_SHARE = 0.25
REGION_FLOOR = 0.004
_FIELD_SIDE = 512  # clouds have no structure worth simulating below a 512th of the picture


@dataclass(frozen=True)
class Truth:
    """What was done to a frame.

    Attributes
    ----------
    cause : Cause
    region : ndarray of bool, shape of the frame
        The spoilt pixels of the disk.
    severity : float
        0 to 1. For what dims the light: rms deviation of the transmission over the disk from
        its median; for the rest the fraction or amplitude named in `parameters`.
    transmission : ndarray, float32, or None
        The factor on the light, where there is one.
    parameters : Mapping
    """

    cause: Cause
    region: BoolArray
    severity: float
    transmission: FloatArray | None = field(default=None, repr=False)
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Degraded:
    """A spoilt frame and the truth about it."""

    pixels: np.ndarray
    truth: Truth


def fractal_field(random: np.random.Generator, side: int, slope: float, stretch: float = 1.0) -> FloatArray:
    """Gaussian random field of unit variance with power spectrum k^-slope, periodic.

    Parameters
    ----------
    slope : float
        11/3 is Kolmogorov turbulence integrated along a line of sight (Tatarskii 1961);
        clouds are measured between 2.5 and 3.7.
    stretch : float
        Elongation along one (random) direction: cirrus is streaky.
    """
    kx = np.fft.rfftfreq(side)[None, :] * side
    ky = np.fft.fftfreq(side)[:, None] * side
    angle = random.uniform(0, np.pi)
    along = kx * np.cos(angle) + ky * np.sin(angle)
    across = -kx * np.sin(angle) + ky * np.cos(angle)
    k = np.hypot(along * stretch, across)
    k[0, 0] = 1.0
    amplitude = k ** (-slope / 2.0)
    amplitude[0, 0] = 0.0
    phases = np.fft.rfft2(random.standard_normal((side, side)))
    values = np.fft.irfft2(phases * amplitude, s=(side, side))
    return (values / values.std()).astype(np.float32)


def transmission_of_height(height: FloatArray, opacity: float, cover: float) -> FloatArray:
    """Transmission of a cloud deck whose thickness follows a random field.

    Parameters
    ----------
    height : ndarray
        A field from `fractal_field`.
    opacity : float
        1 - transmission where the cloud is thickest.
    cover : float
        Share of the field under the cloud, 0 to 1; the rest transmits fully.
    """
    sample = np.sort(height[::3, ::3], axis=None)  # quantiles of a ninth are as good and much faster
    level = sample[int((1.0 - cover) * (len(sample) - 1))]
    top = sample[int(0.995 * (len(sample) - 1))]
    depth = np.clip((height - level) / max(float(top - level), 1e-6), 0.0, 1.2)
    # Beer-Lambert: the thickest part has the optical depth that gives the wanted opacity.
    return np.exp(np.log(1.0 - min(opacity, 0.98)) * depth).astype(np.float32)


def cloud_transmission(
    random: np.random.Generator, side: int, opacity: float, cover: float, slope: float, stretch: float
) -> FloatArray:
    """Transmission of a fresh fractal cloud deck on a square grid."""
    return transmission_of_height(fractal_field(random, side, slope, stretch), opacity, cover)


def contrail_transmission(random: np.random.Generator, side: int, opacity: float, width: float) -> FloatArray:
    """One or two straight, slightly ragged bands across the disk; `width` is a share of the side."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    angle = random.uniform(0, np.pi)
    apart = x * np.sin(angle) - y * np.cos(angle) - random.uniform(-0.25, 0.25)
    along = x * np.cos(angle) + y * np.sin(angle)
    ragged = fractal_field(random, side, 3.0)
    apart = apart + 0.25 * width * ragged + random.normal(0, 0.05) * along**2
    band = np.exp(-0.5 * (apart / width) ** 2)
    if random.random() < 0.4:  # a twin: engines make two before they spread
        band = np.maximum(band, np.exp(-0.5 * ((apart - 3.5 * width) / width) ** 2))
    patchy = np.clip(0.8 + 0.2 * fractal_field(random, side, 3.0), 0.3, 1.0)
    return (1.0 - opacity * band * patchy).astype(np.float32)


def add_transmission(
    pixels: np.ndarray,
    pointing: Pointing,
    transmission: FloatArray,
    cause: Cause,
    *,
    scattering: float = 0.3,
    parameters: Mapping[str, float] | None = None,
) -> Degraded:
    """Dim a frame by a transmission field and scatter a share of what was taken.

    Parameters
    ----------
    transmission : ndarray
        Any size; stretched over the frame.
    scattering : float
        Share of the removed light that returns as a broad aureole (ice and droplets scatter
        forwards).
    """
    height, width = pixels.shape[:2]
    field_ = cv2.resize(transmission, (width, height), interpolation=cv2.INTER_LINEAR)
    light = pixels.astype(np.float32)
    dimmed = light * field_
    if scattering > 0:
        dimmed += scattering * _aureole(light * (1 - field_), pointing.radius_px)
    region, severity = transmission_truth(field_, pointing)
    truth = Truth(cause, region, severity, field_, dict(parameters or {}))
    return Degraded(_like(dimmed, pixels), truth)


def transmission_truth(transmission: FloatArray, pointing: Pointing) -> tuple[BoolArray, float]:
    """Spoilt region and rms deviation of a transmission field over the disk."""
    height, width = transmission.shape
    disk = _disk((height, width), pointing)
    opacity = 1.0 - transmission
    if not disk.any():
        return np.zeros_like(disk), 0.0
    peak = float(np.quantile(opacity[disk], 0.99))
    region = disk & (opacity > max(REGION_FLOOR, REGION_SHARE * peak))
    middle = float(np.median(transmission[disk]))
    return region, float(np.std(transmission[disk])) / max(middle, 1e-3)


def cloud(pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float) -> Degraded:
    """Thick cloud: steep edges, opacity from a tenth up (`severity` is the peak opacity)."""
    field_ = cloud_transmission(
        random,
        _FIELD_SIDE,
        float(np.clip(severity, 0.1, 0.95)),
        random.uniform(0.25, 0.7),
        random.uniform(2.9, 3.6),
        random.uniform(1.0, 2.0),
    )
    return add_transmission(pixels, pointing, field_, Cause.CLOUD)


def thin_cloud(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """Cirrus: streaky, up to a tenth opaque (`severity` is the peak opacity)."""
    field_ = cloud_transmission(
        random,
        _FIELD_SIDE,
        float(np.clip(severity, 0.002, 0.1)),
        random.uniform(0.35, 0.8),
        random.uniform(2.6, 3.3),
        random.uniform(1.0, 4.0),
    )
    return add_transmission(pixels, pointing, field_, Cause.THIN_CLOUD)


def contrail(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """Aircraft trail (`severity` is the peak opacity)."""
    width = random.uniform(0.008, 0.03) * 2 * pointing.radius_px / min(pixels.shape[:2])
    field_ = contrail_transmission(random, _FIELD_SIDE, float(np.clip(severity, 0.01, 0.6)), width)
    return add_transmission(pixels, pointing, field_, Cause.CONTRAIL, scattering=0.1)


def occultation(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """A dome's edge or a tree, near the telescope and so out of focus (`severity`: share covered)."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:_FIELD_SIDE, 0:_FIELD_SIDE].astype(np.float32)
    x, y = x * (width / _FIELD_SIDE), y * (height / _FIELD_SIDE)
    angle = random.uniform(0, 2 * np.pi)
    along = (x - pointing.center_x_px) * np.cos(angle) + (y - pointing.center_y_px) * np.sin(angle)
    along = along / pointing.radius_px
    if random.random() < 0.4:  # foliage
        # Leaves are as far out of focus as the edge.
        along = along + 0.12 * cv2.GaussianBlur(fractal_field(random, _FIELD_SIDE, 2.4), (0, 0), 4)
    edge = 1.0 - 2.0 * float(np.clip(severity, 0.04, 0.7))
    field_ = 1.0 / (1.0 + np.exp(np.clip((along - edge) / random.uniform(0.01, 0.05), -50, 50)))
    return add_transmission(
        pixels, pointing, np.maximum(field_, 0.01).astype(np.float32), Cause.OCCULTATION, scattering=0.0
    )


def dust(pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float) -> Degraded:
    """Dark discs and rings of dust near the focus (`severity`: their depth)."""
    height, width = pixels.shape[:2]
    field_ = np.ones((_FIELD_SIDE, _FIELD_SIDE), np.float32)
    scale = _FIELD_SIDE / max(height, width)
    for _ in range(1 + random.poisson(3)):
        # uniform over the disk
        distance = 0.85 * pointing.radius_px * np.sqrt(random.random())
        angle = random.uniform(0, 2 * np.pi)
        x = (pointing.center_x_px + distance * np.cos(angle)) * scale
        y = (pointing.center_y_px + distance * np.sin(angle)) * scale
        outer = random.uniform(0.03, 0.09) * pointing.radius_px * scale
        blob = np.zeros_like(field_)
        cv2.circle(blob, (int(16 * x), int(16 * y)), int(16 * outer), 1.0, -1, cv2.LINE_AA, 4)
        if random.random() < 0.6:  # an obstructed aperture casts rings
            cv2.circle(blob, (int(16 * x), int(16 * y)), int(8 * outer), 0.3, -1, cv2.LINE_AA, 4)
        field_ *= 1.0 - float(np.clip(severity, 0.01, 0.6)) * cv2.GaussianBlur(
            blob, (0, 0), 0.12 * outer + 0.3
        )
    return add_transmission(pixels, pointing, field_, Cause.DUST, scattering=0.0)


def seeing(pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float) -> Degraded:
    """Kolmogorov seeing: long-exposure blur and image motion that differs across the field.

    `severity` is the seeing's full width at half maximum as a share of the solar radius; the
    long-exposure profile is the transform of exp(-3.44 (lambda f / r0)^(5/3)) (Fried 1966).
    """
    fwhm = float(severity) * pointing.radius_px
    light = _fried_blur(pixels.astype(np.float32), fwhm)
    height, width = light.shape[:2]
    side = 64
    tilt = 0.35 * fwhm  # rms differential image motion
    shift = [cv2.resize(fractal_field(random, side, 11 / 3) * tilt, (width, height)) for _ in range(2)]
    x = np.arange(width, dtype=np.float32)[None, :] + shift[0]
    y = np.arange(height, dtype=np.float32)[:, None] + shift[1]
    warped = cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _everywhere(warped, pixels, pointing, Cause.SEEING, severity, {"fwhm_px": fwhm})


def defocus(pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float) -> Degraded:
    """Defocus: the uniform disc of a geometric blur; `severity` is its radius in solar radii."""
    radius = max(0.6, float(severity) * pointing.radius_px)
    half = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    light = cv2.filter2D(
        pixels.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE
    )
    return _everywhere(light, pixels, pointing, Cause.DEFOCUS, severity, {"radius_px": radius})


def tracking(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """The telescope moves during the exposure; `severity` is the way in solar radii."""
    length = max(2.0, float(severity) * pointing.radius_px)
    angle = random.uniform(0, np.pi)
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(int(v) for v in np.round((half + s * reach) * 16)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    light = cv2.filter2D(
        pixels.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE
    )
    return _everywhere(light, pixels, pointing, Cause.TRACKING, severity, {"length_px": length})


def overexposed(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """Exposure so long that a share `severity` of the disk reaches the camera's full scale."""
    disk = _disk(pixels.shape, pointing)
    full = _full_scale(pixels)
    level = float(np.quantile(pixels[disk], 1.0 - np.clip(severity, 0.01, 0.999)))
    light = pixels.astype(np.float32) * (full / max(level, 1.0))
    region = disk & (light >= full)
    out = np.clip(light, 0, full)
    return Degraded(_like(out, pixels), Truth(Cause.OVEREXPOSED, region, float(region.sum() / disk.sum())))


def underexposed(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """Light divided until 1 - `severity` of it is left, in whole counts with the camera's noise."""
    left = max(1.0 - float(severity), 0.0)
    light = pixels.astype(np.float32) * left
    noise = random.standard_normal(pixels.shape, dtype=np.float32) * (0.002 * _full_scale(pixels))
    return _everywhere(
        np.maximum(light + noise, 0), pixels, pointing, Cause.UNDEREXPOSED, severity, {"light_left": left}
    )


def off_centre(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """The pointing slips until a share `severity` of the diameter leaves the picture."""
    height, width = pixels.shape[:2]
    share = 2.0 * float(np.clip(severity, 0.02, 0.8)) * pointing.radius_px
    direction = random.integers(4)
    slack = (
        width - 1 - pointing.center_x_px - pointing.radius_px,
        pointing.center_x_px - pointing.radius_px,
        height - 1 - pointing.center_y_px - pointing.radius_px,
        pointing.center_y_px - pointing.radius_px,
    )[direction]
    way = max(slack, 0.0) + share
    dx, dy = ((way, 0.0), (-way, 0.0), (0.0, way), (0.0, -way))[direction]
    sky = float(np.quantile(pixels, 0.005))
    matrix = np.array([[1, 0, round(dx)], [0, 1, round(dy)]], np.float64)
    moved = cv2.warpAffine(
        pixels.astype(np.float32), matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=sky
    )
    region = np.zeros((height, width), bool)
    parameters = {"shift_x_px": float(round(dx)), "shift_y_px": float(round(dy))}
    return Degraded(_like(moved, pixels), Truth(Cause.OFF_CENTRE, region, float(severity), None, parameters))


def missing_data(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """Blocks or rows that never arrived, at zero (NaN in floating arrays)."""
    height, width = pixels.shape[:2]
    hole = np.zeros((height, width), bool)
    disk = _disk((height, width), pointing)
    wanted = float(np.clip(severity, 0.005, 0.9)) * disk.sum()
    while (hole & disk).sum() < wanted:
        rows = max(1, int(random.uniform(0.02, 0.12) * height))
        y = int(random.integers(0, height))
        if random.random() < 0.5:
            hole[y : y + rows] = True
        else:
            x = int(random.integers(0, width))
            hole[y : y + rows, x : x + max(1, int(random.uniform(0.1, 0.5) * width))] = True
    out = pixels.copy()
    out[hole] = np.nan if out.dtype.kind == "f" else 0
    region = hole & disk
    return Degraded(out, Truth(Cause.MISSING_DATA, region, float(region.sum() / disk.sum())))


def spikes(pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float) -> Degraded:
    """Cosmic rays and hot pixels on a share `severity` of the frame."""
    hit = random.random(pixels.shape) < float(severity)
    out = pixels.copy()
    full = _full_scale(pixels)
    values = random.uniform(0.7, 1.0, int(hit.sum())) * full
    out[hit] = values.astype(pixels.dtype)
    region = hit & _disk(pixels.shape, pointing)
    return Degraded(out, Truth(Cause.SPIKES, region, float(severity)))


def no_target(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, severity: float
) -> Degraded:
    """No Sun: dome closed or pointed at the sky."""
    dark = float(np.quantile(pixels, 0.01))
    sky = dark + 0.01 * _full_scale(pixels) * random.random()
    noise = random.standard_normal(pixels.shape, dtype=np.float32) * (1 + 0.001 * _full_scale(pixels))
    return _everywhere(np.maximum(sky + noise, 0), pixels, pointing, Cause.NO_TARGET, 1.0, {})


Degradation = Callable[[np.ndarray, Pointing, np.random.Generator, float], Degraded]

#: Every degradation by its cause, with the range its severity is drawn from: strong enough to be
#: seen and to matter; weaker ones are had by giving the severity.
DEGRADATIONS: Mapping[Cause, tuple[Degradation, tuple[float, float]]] = {
    Cause.CLOUD: (cloud, (0.15, 0.9)),
    Cause.THIN_CLOUD: (thin_cloud, (0.05, 0.1)),
    Cause.CONTRAIL: (contrail, (0.08, 0.4)),
    Cause.OCCULTATION: (occultation, (0.05, 0.6)),
    Cause.DUST: (dust, (0.1, 0.4)),
    Cause.SEEING: (seeing, (0.02, 0.05)),
    Cause.DEFOCUS: (defocus, (0.02, 0.06)),
    Cause.TRACKING: (tracking, (0.04, 0.15)),
    Cause.OVEREXPOSED: (overexposed, (0.1, 0.95)),
    Cause.UNDEREXPOSED: (underexposed, (0.97, 0.99)),
    Cause.OFF_CENTRE: (off_centre, (0.08, 0.6)),
    Cause.MISSING_DATA: (missing_data, (0.02, 0.5)),
    Cause.SPIKES: (spikes, (2e-4, 5e-3)),
    Cause.NO_TARGET: (no_target, (1.0, 1.0)),
}


def degrade(
    pixels: np.ndarray,
    pointing: Pointing,
    cause: Cause,
    random: np.random.Generator,
    severity: float | None = None,
) -> Degraded:
    """Spoil a frame by one cause; the severity is drawn log-uniformly when not given.

    Raises
    ------
    KeyError
        When there is no model of that cause.
    """
    function, (low, high) = DEGRADATIONS[cause]
    if severity is None:
        severity = float(np.exp(random.uniform(np.log(low), np.log(high))))
    return function(pixels, pointing, random, severity)


def _disk(shape: tuple[int, ...], pointing: Pointing) -> BoolArray:
    height, width = shape[:2]
    radius = disk_radius_map(height, width, pointing.center_x_px, pointing.center_y_px, pointing.radius_px)
    return radius < 0.96


def _everywhere(
    light: FloatArray,
    pixels: np.ndarray,
    pointing: Pointing,
    cause: Cause,
    severity: float,
    parameters: Mapping[str, float],
) -> Degraded:
    """What spoils the whole disk evenly."""
    truth = Truth(cause, _disk(pixels.shape, pointing), float(severity), None, parameters)
    return Degraded(_like(light, pixels), truth)


def _aureole(light: FloatArray, radius_px: float) -> FloatArray:
    """Blur over a third of the solar radius, at a sixteenth of the resolution or 64 cells."""
    factor = max(1, min(light.shape[:2]) // 64)
    small = cv2.resize(
        light, (light.shape[1] // factor, light.shape[0] // factor), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), max(0.5, radius_px / 3.0 / factor))
    return cv2.resize(small, (light.shape[1], light.shape[0]), interpolation=cv2.INTER_LINEAR)


def _fried_blur(light: FloatArray, fwhm_px: float) -> FloatArray:
    """Convolve with the long-exposure seeing profile; fwhm = 0.98 lambda / r0."""
    half = min(int(np.ceil(4 * fwhm_px)) + 2, min(light.shape[:2]) // 2 - 1)
    side = 2 * half + 1
    k = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    transfer = np.exp(-3.44 * (fwhm_px / 0.98 * k) ** (5 / 3))
    kernel = np.fft.fftshift(np.fft.ifft2(transfer).real)
    kernel = np.maximum(kernel, 0)
    return cv2.filter2D(
        light, -1, (kernel / kernel.sum()).astype(np.float32), borderType=cv2.BORDER_REPLICATE
    )


def _full_scale(pixels: np.ndarray) -> float:
    """Largest count the camera can write: 255, 4095, 16383 or 65535, by what the frame holds."""
    if pixels.dtype == np.uint8:
        return 255.0
    top = float(np.nanmax(pixels))
    return next((full for full in (1.0, 255.0, 4095.0, 16383.0, 32767.0) if top <= full), 65535.0)


def _like(values: FloatArray, pixels: np.ndarray) -> np.ndarray:
    """Back to the frame's own number type."""
    if pixels.dtype.kind == "f":
        return values.astype(pixels.dtype)
    information = np.iinfo(pixels.dtype)
    return np.clip(np.rint(values), information.min, information.max).astype(pixels.dtype)
