"""Simulated all-sky cameras: lenses, colours, detectors, and what the makers print into the picture.

Each kind imitates a family of instruments that exists, with wide ranges, as no two cameras are alike.
Kinds for training and kinds for testing differ in lens, colour response, noise and site.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from observatory.fisheye import Fisheye, Projection

FloatArray = NDArray[np.float32]

BANDS = ("blue", "green", "red", "557.7", "630.0", "427.8")
"""What light is made of here: three parts of the continuum, and three auroral lines."""

Range = tuple[float, float]


class Tone(StrEnum):
    """How a camera turns electrons into numbers."""

    LINEAR = "linear"
    GAMMA = "gamma"


@dataclass(frozen=True)
class CameraKind:
    """A family of cameras; ranges are drawn evenly, or evenly in the logarithm where it says so.

    Attributes
    ----------
    name : str
    response : tuple of tuples
        One row of six (`BANDS`) for a grey camera, three (red, green, blue) for a colour camera.
    projections : tuple of Projection
    max_zenith_deg : Range
        Zenith distance at the rim.
    vignetting : Range
        Exponent of the cosine of 0.62 times the zenith distance; 0 is none.
    electrons : Range (logarithmic)
        That a moonless sky gives in a pixel of a degree and a half.
    read_noise : Range (logarithmic)
        Electrons.
    full_well_skies : Range (logarithmic)
        Saturation in units of the moonless sky.
    bias_share : Range
        Zero level as a share of full scale.
    psf_px : Range
        Standard deviation at 128 px across the sky.
    tone : Tone
    gamma : Range
        Of cameras with such a tone.
    bits : int
    exposes_itself : float
        How often the exposure follows the brightness of the sky, 0 to 1.
    shortens : float
        How often it is at least cut for the Moon and for twilight, 0 to 1.
    jpeg : float
        How often the picture has been a JPEG, 0 to 1.
    aspect : float
        Height of the sky's ellipse over its width.
    cut : Range
        How far the frame cuts into the sky, as a share of the radius.
    mask : float
        How often a mask of straight edges is cut out of the field, 0 to 1.
    stripes, hot_pixels : float
        How often columns are striped; how many hot pixels per ten thousand.
    leak : Range
        Light beyond the rim as a share of the sky's.
    captions : float
        How often something is printed into the picture, 0 to 1.
    """

    name: str
    response: tuple[tuple[float, ...], ...]
    projections: tuple[Projection, ...] = (Projection.EQUIDISTANT,)
    max_zenith_deg: Range = (86.0, 92.0)
    vignetting: Range = (0.3, 1.5)
    electrons: Range = (150.0, 2500.0)
    read_noise: Range = (4.0, 15.0)
    full_well_skies: Range = (15.0, 120.0)
    bias_share: Range = (0.01, 0.06)
    psf_px: Range = (0.45, 0.8)
    tone: Tone = Tone.LINEAR
    gamma: Range = (1.5, 2.4)
    bits: int = 16
    exposes_itself: float = 0.1
    shortens: float = 0.8
    jpeg: float = 0.0
    aspect: float = 1.0
    cut: Range = (0.0, 0.0)
    mask: float = 0.0
    stripes: float = 0.0
    hot_pixels: float = 2.0
    leak: Range = (0.0, 0.03)
    captions: float = 0.0


@dataclass(frozen=True)
class Camera:
    """One camera: its geometry for a picture of some size, and its detector.

    Attributes
    ----------
    kind : CameraKind
    shape : tuple (height, width)
    circle : Fisheye
    response : ndarray, shape (channels, 6)
    vignetting, electrons, read_noise, full_well, bias_share, psf_px, leak : float
        As in `CameraKind`; ``full_well`` in electrons, ``psf_px`` in pixels of this picture.
    gamma, black : float
        Of 8-bit cameras: the exponent, and the share of the sky that is subtracted.
    exposes_itself, shortens, is_striped, is_masked, is_captioned : bool
    jpeg_quality : int or None
    """

    kind: CameraKind
    shape: tuple[int, int]
    circle: Fisheye
    response: FloatArray
    vignetting: float
    electrons: float
    read_noise: float
    full_well: float
    bias_share: float
    psf_px: float
    leak: float
    gamma: float
    black: float
    exposes_itself: bool
    shortens: bool
    is_striped: bool
    is_masked: bool
    is_captioned: bool
    jpeg_quality: int | None
    seed: int

    @property
    def is_colour(self) -> bool:
        """Whether pictures have three channels."""
        return self.response.shape[0] == 3

    @property
    def degrees_a_pixel(self) -> float:
        """Near the zenith."""
        return self.circle.max_zenith_deg / self.circle.radius_px


_WHITE = ((0.30, 0.36, 0.34, 1.0, 0.55, 0.6),)
_BLUE_SENSITIVE = ((0.45, 0.40, 0.15, 1.0, 0.25, 0.9),)
_RED_SENSITIVE = ((0.12, 0.30, 0.58, 0.9, 1.1, 0.2),)
_GREEN_FILTER = ((0.0, 0.012, 0.0, 1.0, 0.0, 0.0),)
_RED_FILTER = ((0.0, 0.0, 0.02, 0.0, 1.6, 0.0),)
_BLUE_FILTER = ((0.02, 0.0, 0.0, 0.0, 0.0, 1.0),)
_INFRARED = ((0.02, 0.1, 0.9, 0.05, 0.3, 0.55),)
_COLOUR = (
    (0.05, 0.22, 1.0, 0.12, 0.9, 0.03),
    (0.20, 1.0, 0.22, 1.0, 0.10, 0.10),
    (1.0, 0.25, 0.05, 0.10, 0.03, 0.9),
)
_PALE_COLOUR = (
    (0.15, 0.45, 1.0, 0.50, 0.75, 0.10),
    (0.30, 1.0, 0.40, 1.0, 0.20, 0.25),
    (1.0, 0.45, 0.15, 0.40, 0.08, 0.8),
)
_BURNT_COLOUR = (
    (0.10, 0.35, 1.0, 0.25, 0.8, 0.05),
    (0.25, 1.0, 0.35, 1.1, 0.15, 0.15),
    (1.0, 0.35, 0.10, 0.15, 0.03, 0.8),
)

TRAINING_KINDS = (
    CameraKind("white-ccd", _WHITE, max_zenith_deg=(85, 92), vignetting=(0.5, 3.0), leak=(0.0, 0.1)),
    CameraKind(
        "white-ellipse", _WHITE, aspect=0.5, stripes=0.6, full_well_skies=(10, 60), electrons=(80, 800)
    ),
    CameraKind("blue-ccd", _BLUE_SENSITIVE, (Projection.EQUISOLID,), psf_px=(0.5, 1.2)),
    CameraKind(
        "red-cmos",
        _RED_SENSITIVE,
        (Projection.EQUIDISTANT, Projection.EQUISOLID),
        electrons=(200, 4000),
        read_noise=(2, 6),
        tone=Tone.GAMMA,
        bits=8,
        captions=0.4,
        exposes_itself=0.6,
        jpeg=0.5,
    ),
    CameraKind(
        "big-grey-ccd",
        _WHITE,
        (Projection.EQUIDISTANT,),
        vignetting=(1.0, 4.0),
        electrons=(500, 6000),
        psf_px=(0.35, 0.6),
        full_well_skies=(8, 60),
        leak=(0.0, 0.05),
    ),
    CameraKind(
        "green-filter", _GREEN_FILTER, electrons=(400, 6000), read_noise=(3, 15), full_well_skies=(3, 40)
    ),
    CameraKind(
        "red-filter",
        _RED_FILTER,
        electrons=(600, 8000),
        read_noise=(3, 15),
        full_well_skies=(0.5, 15),
        vignetting=(1.0, 5.0),
    ),
    CameraKind(
        "blue-filter-intensified",
        _BLUE_FILTER,
        electrons=(600, 8000),
        read_noise=(2, 12),
        vignetting=(1.0, 5.0),
        full_well_skies=(0.3, 8),
        psf_px=(0.6, 1.2),
    ),
    CameraKind("infrared", _INFRARED, electrons=(40, 500), read_noise=(6, 25), mask=0.6, cut=(0.0, 0.2)),
    CameraKind(
        "colour-dslr",
        _COLOUR,
        (Projection.EQUISOLID, Projection.EQUIDISTANT),
        tone=Tone.GAMMA,
        bits=8,
        captions=0.4,
        electrons=(100, 2000),
        full_well_skies=(4, 40),
        exposes_itself=0.3,
        jpeg=0.9,
    ),
    CameraKind(
        "colour-pale",
        _PALE_COLOUR,
        (Projection.EQUIDISTANT,),
        tone=Tone.GAMMA,
        bits=8,
        captions=0.4,
        electrons=(80, 800),
        full_well_skies=(4, 30),
        exposes_itself=0.3,
        jpeg=0.8,
    ),
    CameraKind(
        "colour-video",
        _BURNT_COLOUR,
        (Projection.EQUIDISTANT, Projection.STEREOGRAPHIC),
        tone=Tone.GAMMA,
        bits=8,
        captions=0.4,
        electrons=(40, 300),
        read_noise=(2, 6),
        full_well_skies=(4, 30),
        exposes_itself=0.4,
        jpeg=0.7,
        cut=(0.0, 0.25),
        mask=0.3,
    ),
)
"""Kinds that a network may learn from."""

TESTING_KINDS = (
    CameraKind(
        "testing-grey-orthographic",
        ((0.36, 0.38, 0.26, 0.9, 0.4, 0.75),),
        (Projection.ORTHOGRAPHIC,),
        (80, 85),
        electrons=(100, 1200),
        read_noise=(6, 20),
        leak=(0.02, 0.08),
    ),
    CameraKind(
        "testing-grey-stereographic",
        ((0.2, 0.34, 0.46, 1.0, 0.8, 0.35),),
        (Projection.STEREOGRAPHIC,),
        (88, 94),
        electrons=(300, 3000),
        full_well_skies=(4, 40),
        tone=Tone.GAMMA,
        bits=8,
        captions=0.4,
        jpeg=0.4,
        exposes_itself=0.5,
    ),
    CameraKind(
        "testing-grey-oblong",
        ((0.34, 0.36, 0.30, 1.0, 0.45, 0.65),),
        (Projection.EQUISOLID,),
        aspect=0.65,
        electrons=(80, 900),
        mask=0.5,
    ),
    CameraKind(
        "testing-colour-cool",
        (
            (0.08, 0.30, 1.0, 0.20, 1.0, 0.08),
            (0.30, 1.0, 0.28, 0.95, 0.12, 0.20),
            (1.1, 0.40, 0.08, 0.25, 0.02, 1.0),
        ),
        (Projection.ORTHOGRAPHIC,),
        (82, 86),
        tone=Tone.GAMMA,
        bits=8,
        captions=0.4,
        electrons=(100, 1500),
        full_well_skies=(4, 40),
        jpeg=0.7,
        exposes_itself=0.4,
    ),
    CameraKind(
        "testing-colour-linear",
        (
            (0.03, 0.15, 0.9, 0.08, 0.8, 0.02),
            (0.15, 0.9, 0.15, 1.0, 0.06, 0.08),
            (0.9, 0.18, 0.03, 0.06, 0.01, 0.9),
        ),
        (Projection.EQUIDISTANT,),
        (78, 90),
        electrons=(150, 3000),
        cut=(0.0, 0.2),
        mask=0.3,
    ),
)
"""Kinds that no network has learnt from."""


STATION_KIND = CameraKind(
    "station-colour",
    _COLOUR,
    max_zenith_deg=(88, 88),
    vignetting=(0.6, 0.6),
    electrons=(700, 700),
    read_noise=(4, 4),
    full_well_skies=(5, 5),
    bias_share=(0.01, 0.01),
    tone=Tone.GAMMA,
    gamma=(2.2, 2.2),
    bits=8,
    exposes_itself=0.0,
    shortens=1.0,
    leak=(0.0, 0.0),
)
"""The camera of the simulated station: a good colour camera, for demonstrations; no network learns from it."""


def draw_camera(random: np.random.Generator, kind: CameraKind, size_px: int) -> Camera:
    """Draw one camera of a kind, its sky `size_px` across."""
    radius = size_px / 2.0 * random.uniform(0.85, 1.0)
    margin = radius * random.uniform(0.0, 0.08)
    width, height = 2 * (radius + margin), 2 * (radius * kind.aspect + margin)
    cut = radius * random.uniform(*kind.cut)
    height -= cut * 2 * random.uniform()
    width -= cut * 2 * random.uniform()
    circle = Fisheye(
        center_x_px=width / 2 - 0.5 + radius * random.normal(0, 0.015) + cut * random.uniform(-0.6, 0.6),
        center_y_px=height / 2 - 0.5 + radius * random.normal(0, 0.015) + cut * random.uniform(-0.6, 0.6),
        radius_px=radius,
        radius_y_px=None if kind.aspect == 1.0 else radius * kind.aspect,
        max_zenith_deg=random.uniform(*kind.max_zenith_deg),
        projection=kind.projections[int(random.integers(len(kind.projections)))],
        up_azimuth_deg=random.uniform(0, 360),
        is_clockwise=bool(random.random() < 0.3),
        is_oriented=True,
        source="settings",
    )
    response = np.asarray(kind.response, np.float32) * np.exp(random.normal(0, 0.08, (len(kind.response), 6)))
    if len(kind.response) == 3:  # white balance
        response = response * np.exp(np.clip(random.normal(0, 0.14, (3, 1)), -0.25, 0.25))
    electrons = _logarithmic(random, kind.electrons)
    return Camera(
        kind=kind,
        shape=(round(height), round(width)),
        circle=circle,
        response=response.astype(np.float32),
        vignetting=random.uniform(*kind.vignetting),
        electrons=electrons,
        read_noise=_logarithmic(random, kind.read_noise),
        full_well=electrons * _logarithmic(random, kind.full_well_skies),
        bias_share=random.uniform(*kind.bias_share),
        psf_px=random.uniform(*kind.psf_px) * max(1.0, size_px / 256),
        leak=random.uniform(*kind.leak),
        gamma=random.uniform(*kind.gamma),
        black=random.uniform(0.0, 0.4) if random.random() < 0.4 else 0.0,
        exposes_itself=bool(random.random() < kind.exposes_itself),
        shortens=bool(random.random() < kind.shortens),
        is_striped=bool(random.random() < kind.stripes),
        is_masked=bool(random.random() < kind.mask),
        is_captioned=bool(random.random() < kind.captions),
        jpeg_quality=int(random.integers(60, 96)) if random.random() < kind.jpeg else None,
        seed=int(random.integers(2**31)),
    )


def _logarithmic(random: np.random.Generator, bounds: Range) -> float:
    return float(np.exp(random.uniform(np.log(bounds[0]), np.log(bounds[1]))))
