"""Refuse what the networks have never learned, and say why in plain words.

A picture that is no photosphere, or one seen otherwise than HMI sees it, would come out looking
sharp and be wrong. The structure of its quiet part is held against that of frames known to be of
the domain (`reference.npz`, written by `reference.write_reference`).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement.psf import HMI_PX_ARCSEC
from models.hmi_enhancement.statistics import LEAST_QUIET_PX, Statistics, measure, parts_of
from models.hmi_enhancement.trust import middle_of
from observatory.analysis import Quantity
from observatory.errors import ModelError, UnusableInputError
from observatory.frame import Frame
from observatory.photosphere_view import stated_pixel_arcsec

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

LEAST_PX = 16
#: Pixels that a frame must have: fewer granules do not tell it from other things. Of a larger one a window
#: may be as small as `LEAST_PX`.
LEAST_FRAME_PX = 80 * 80
#: Pixels that the networks take as they are, and those that are brought to HMI's first.
TAKEN_SCALES = (0.9, 1.1)
RESAMPLED_SCALES = (0.8, 1.25)
REFERENCE = Path(__file__).parent / "reference.npz"

#: By how much pictures of one kind differ in each of `Statistics`; distances are counted in it.
SPREAD = np.array([0.08, 0.08, 0.02, 0.025, 0.04, 0.02, 0.06, 0.03])
SPREAD_MU = 0.12
#: From the third nearest known picture: where the header tells what it is and where, and where nothing does.
FARTHEST = 4.0
FARTHEST_BARE = 2.4

_LEAST_DATA = 0.02  # share of the pixels
_LEAST_VALUES = 16  # different ones
_MOST_NOISE = {Quantity.CONTINUUM: 0.015, Quantity.FIELD: 0.06}
_MOST_BRIGHT, _MOST_BRIGHT_SPOT = 0.05, 0.15
_UMBRA_SHARE = 0.07
_LANES_INVERTED = 0.08
_LANES_MISSING = -0.02
_LANES_CERTAIN_PX, _LANES_UNCERTAIN = 8000, 0.016
_CENTRAL_MU = 0.85
_MOSTLY_QUIET = 0.6
# Where all is spot there are no granules to look at: only noise and structure as such.
_SPOT_LIMITS = {
    "finest": (-2.9, -1.7),
    "ratio_finest": (-0.36, -0.17),
    "ratio_fine": (-0.37, 0.05),
    "tail": (-0.1, 0.35),
    "corner": (-2.0, -0.6),
}
# Up to white noise, which quiet parts of a magnetogram are.
_FIELD_LIMITS = {
    "finest": (-3.3, -1.45),
    "ratio_finest": (-0.38, 0.3),
    "ratio_fine": (-0.42, 0.42),
    "ratio_coarse": (-0.5, 0.42),
}
_SQUARE = 0.02  # a pixel's sides may differ by as much
_FLATTEST = 15.0  # times its own spread a field's middle may be
_STRONG_KG = 0.3


class OutOfDomainError(UnusableInputError):
    """The picture is none that the networks have learned."""


def check_size(width: int, height: int) -> None:
    """Refuse what is smaller than the network's own reach.

    Raises
    ------
    OutOfDomainError
    """
    if min(width, height) < LEAST_PX:
        raise OutOfDomainError(
            f"{width} x {height} pixels are too few: at least {LEAST_PX} x {LEAST_PX} are needed"
        )


def check_frame(frame: Frame) -> None:
    """Refuse by what is known before the pixels are looked at: size, colour, scale.

    Raises
    ------
    OutOfDomainError
    """
    if frame.pixels.ndim != 2:
        raise OutOfDomainError(
            "the picture is in colour, and colours are no measure of the photosphere: give the FITS file or "
            "a grey picture"
        )
    check_size(frame.width, frame.height)
    if frame.width * frame.height < LEAST_FRAME_PX:
        raise OutOfDomainError(
            f"a frame of {frame.width} x {frame.height} pixels shows too few granules to tell whether it is the "
            f"photosphere: at least {LEAST_FRAME_PX:,} pixels are needed, such as 80 x 80; give the frame that it "
            "was cut from, and ask for that part"
        )
    scale = relative_scale(frame)
    if scale is not None and not RESAMPLED_SCALES[0] <= scale <= RESAMPLED_SCALES[1]:
        raise OutOfDomainError(
            f"pixels of {scale * HMI_PX_ARCSEC:.3g} arcsec are none of HMI's full resolution "
            f"({HMI_PX_ARCSEC} arcsec), which alone the networks know: give the frame as it was taken"
        )
    sides = [frame.header.get(word) for word in ("CDELT1", "CDELT2")]
    if all(isinstance(side, int | float) and side for side in sides):
        ratio = abs(sides[0] / sides[1])  # type: ignore[operator]
        if abs(ratio - 1) > _SQUARE:
            raise OutOfDomainError(
                f"the header says that pixels are {ratio:.3g} times as wide as high (CDELT1, CDELT2): HMI's are square"
            )


def relative_scale(frame: Frame) -> float | None:
    """Side of a pixel, as the header tells it, in that of HMI's; None where it tells nothing."""
    stated = stated_pixel_arcsec(frame)
    return None if stated is None else stated / HMI_PX_ARCSEC


def check_data(image: FloatArray, is_certain: BoolArray) -> None:
    """Refuse pictures without data, and those of one value or a few.

    Raises
    ------
    OutOfDomainError
    """
    share = float(is_certain.mean())
    if share < _LEAST_DATA or int(is_certain.sum()) < LEAST_PX**2:
        raise OutOfDomainError(f"only {share:.1%} of the pixels have data on the Sun's disk")
    rows, columns = middle_of(is_certain)
    values = image[rows, columns][is_certain[rows, columns]]
    different = np.unique(values[:: max(1, values.size // 20_000)]).size
    if different == 1:
        raise OutOfDomainError("all pixels have the same value: there is no picture in it")
    if different < _LEAST_VALUES:
        raise OutOfDomainError(
            f"the picture has only {different} different values: its shades were thrown away"
        )


def check_window(image: FloatArray, is_certain: BoolArray) -> None:
    """Refuse windows of a good frame in which there is nothing; few pixels need not be many values.

    Raises
    ------
    OutOfDomainError
    """
    share = float(is_certain.mean())
    if share < _LEAST_DATA:
        raise OutOfDomainError(f"only {share:.1%} of the window's pixels have data on the Sun's disk")
    values = image[is_certain]
    if values.min() == values.max():
        raise OutOfDomainError("all pixels of the window have the same value: there is no picture in it")


def check_picture(
    image: FloatArray,
    is_certain: BoolArray,
    quantity: Quantity,
    noise: float,
    mu: float | None = None,
) -> None:
    """Refuse pictures whose structure is not that of the photosphere as HMI sees it.

    Parameters
    ----------
    image : ndarray (h, w), float32
        In quiet Suns or kilogauss, gaps filled.
    noise : float
        Rms of its noise.
    mu : float, optional
        Cosine of the heliocentric angle in its middle; without, it is taken to be near the disk's
        centre.

    Raises
    ------
    OutOfDomainError
    """
    if noise > _MOST_NOISE[quantity]:
        told = (
            f"{noise:.1%} of the quiet Sun" if quantity is Quantity.CONTINUUM else f"{noise * 1e3:.0f} gauss"
        )
        raise OutOfDomainError(f"noise of {told} is too much: structure cannot be told from it")
    rows, columns = middle_of(is_certain)
    part, certain = image[rows, columns], is_certain[rows, columns]
    if quantity is Quantity.FIELD:
        _check_field(part, certain)
    else:
        _check_continuum(part, certain, mu)


def _check_continuum(image: FloatArray, is_certain: BoolArray, mu: float | None) -> None:
    parts = parts_of(image, is_certain, Quantity.CONTINUUM)
    # Where nearly all is spot, penumbra may have been taken for the quiet Sun.
    is_spot = parts.dark_fraction > _UMBRA_SHARE
    if parts.bright_fraction > (_MOST_BRIGHT_SPOT if is_spot else _MOST_BRIGHT):
        raise OutOfDomainError(
            f"{parts.bright_fraction:.0%} of the picture is far brighter than its quiet part: no continuum of "
            "the photosphere has that, but chromosphere and corona do"
        )
    count, is_mostly_quiet = int(parts.quiet.sum()), parts.quiet_fraction > _MOSTLY_QUIET
    if count < LEAST_QUIET_PX and not is_mostly_quiet:
        _check_spot(image, is_certain)
        return
    found = measure(image, parts.quiet)
    if found.lanes > _LANES_INVERTED and is_mostly_quiet:
        raise OutOfDomainError(
            "bright lanes run between dark cells: the picture is a negative of granulation"
        )
    far = distance(found, count, mu)
    # Beside spots the quiet Sun is not quite itself.
    if far > (FARTHEST_BARE if mu is None and is_mostly_quiet else FARTHEST):
        raise OutOfDomainError(_reason(found))
    # Few pixels tell the asymmetry badly.
    uncertain = max(0.0, _LANES_CERTAIN_PX / count - 1.0) * _LANES_UNCERTAIN
    if mu is None and is_mostly_quiet and found.lanes > _LANES_MISSING + uncertain:
        raise OutOfDomainError(
            "its dark lanes are no narrower than its bright cells: this is noise or another surface, not granulation"
        )


def distance(found: Statistics, pixels: int, mu: float | None = None) -> float:
    """How far a picture's structure is from that of the third nearest known picture.

    Parameters
    ----------
    pixels : int
        That it was measured on: few say less.
    mu : float, optional
        Where it lies; without, nearer to the disk's centre than `_CENTRAL_MU`.
    """
    known, places = _known()
    tolerance = SPREAD * np.sqrt(1.0 + 1500.0 / pixels)
    squares = np.square((known - found.to_vector()) / tolerance).sum(axis=1)
    aside = np.clip(_CENTRAL_MU - places, 0.0, None) if mu is None else places - mu
    squares += np.square(aside / SPREAD_MU)
    return float(np.sqrt(np.partition(squares, 2)[2]))


@lru_cache(maxsize=1)
def _known() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Statistics (n, 8) of known pictures and where they lie (n,)."""
    try:
        with np.load(REFERENCE) as stored:
            known, places = stored["continuum"].astype(np.float64), stored["mu"].astype(np.float64)
            if tuple(stored["names"]) != Statistics.names():
                raise ModelError(f"{REFERENCE} was written by another version: write it again")
            return known, places
    except OSError as error:
        raise ModelError(f"{REFERENCE} is missing: restore it ({error})") from error


def _reason(found: Statistics) -> str:
    """The statistic that is farthest from all that is known, in words."""
    known, _ = _known()
    low, high = known.min(axis=0), known.max(axis=0)
    vector = found.to_vector()
    excess = np.maximum(low - vector, vector - high) / SPREAD
    name = Statistics.names()[int(np.argmax(excess))]
    strength, usual = 10**found.strength, (10 ** low[1], 10 ** high[1])
    if name in ("finest", "strength") and excess.max() > 0:
        word = "weaker" if vector[1] < low[1] else "stronger"
        return (
            f"structure of the size of granules' edges has a contrast of {strength:.2%}, {word} than in any "
            f"known picture of HMI ({usual[0]:.2%} to {usual[1]:.2%}): no photosphere, or out of focus, or "
            "stretched"
        )
    is_sharp = found.ratio_finest + found.ratio_fine + found.ratio_coarse > 0.1
    kind = "finer, or noisier," if is_sharp else "coarser"
    if name in ("tail", "lanes"):
        return "its bright and dark are not spread as granules and lanes are: this is no photosphere"
    return (
        f"its structure is {kind} than granulation in HMI's pixels: another scale, another instrument, "
        "processed before, or no photosphere"
    )


def _check_spot(image: FloatArray, is_certain: BoolArray) -> None:
    found = measure(image, is_certain)
    if not all(low <= getattr(found, name) <= high for name, (low, high) in _SPOT_LIMITS.items()):
        raise OutOfDomainError(
            "hardly any quiet Sun is in view, and the rest has not the structure of a sunspot as HMI sees it"
        )


def _check_field(image: FloatArray, is_certain: BoolArray) -> None:
    values = image[is_certain]
    middle, spread = abs(float(np.median(values))), float(values.std())
    if middle > _STRONG_KG and middle > _FLATTEST * spread:
        raise OutOfDomainError(
            f"the field is {middle * 1e3:,.0f} gauss everywhere with hardly a change: this is no magnetogram, "
            "perhaps a continuum"
        )
    found = measure(image, is_certain)
    if found.finest < _FIELD_LIMITS["finest"][0]:
        raise OutOfDomainError(
            "the field is smoother than any magnetogram: there is no noise in it, so no measurement"
        )
    for name, (low, high) in _FIELD_LIMITS.items():
        if not low <= getattr(found, name) <= high:
            raise OutOfDomainError(
                "the structure of the field is not that of a magnetogram of HMI: another scale, another "
                "instrument, processed before, or no field at all"
            )
