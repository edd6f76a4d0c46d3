"""The photosphere at 617 nm in its own measure: continuum in quiet Suns, field in kilogauss.

The continuum is divided by what the quiet Sun would show at each pixel: a level times the limb
darkening. A full disk says both itself; a patch whose place on the Sun is known takes the law and
fits the level; of a bare patch only the level can be had. Rows lie as in `Frame.pixels`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.errors import UnusableInputError
from observatory.frame import Frame
from observatory.photosphere_view import View, view_of

FloatArray = NDArray[np.floating]
Box = tuple[int, int, int, int]

#: Limb darkening as HMI's own products take it out (JSOC hmi_limbdark, coefficients of version 2), a
#: polynomial in ln(mu) as Pierce & Slaughter 1977, Solar Phys. 51, 25 write it.
LIMB_DARKENING_617NM = (1.0, 0.459224, 0.132395, 0.019601, 0.000802, -4.31934e-05)

LEAST_MU = 0.05  # nearer to the limb the level stays: a quarter of a pixel there halves the law
_ROWS = 256  # of a strip
_SAMPLES = 300_000  # pixels that the level is fitted to
_RINGS = 48
_FIT_MU = 0.15  # rings nearer to the limb have few pixels and the limb's own blur
_WIDE_MU = 0.35  # a patch that spans so much says its limb darkening itself
_LUT = 1 << 16
_BINS = 512
# A quiet part that is small beside a spot: how much brighter than the spot's peak it is, the valley
# between them, and its share of all pixels.
_APART, _VALLEY, _LEAST_SHARE, _LEAST_PX = 1.15, 0.92, 0.05, 60
_WIDEST = 0.07  # spread of the quiet Sun, shares of its brightness
_MOST_NEGATIVE = 0.01  # share of a continuum's pixels on the disk
_GAUSS_KG = 1e-3
_STRONGEST_KG = 8.0  # 6.25 kG is the strongest that has been measured (Okamoto & Sakurai 2018, ApJ 852, L16)
_FAINTEST_KG = 0.003  # noise alone is 0.005 to 0.01 kG in HMI's magnetograms
_UNITS_KG = {
    "g": _GAUSS_KG,
    "gauss": _GAUSS_KG,
    "mx/cm^2": _GAUSS_KG,
    "mx/cm2": _GAUSS_KG,
    "mx/cm**2": _GAUSS_KG,
    "mxcm-2": _GAUSS_KG,
    "mxcm^-2": _GAUSS_KG,
    "mxcm**-2": _GAUSS_KG,
    "maxwell/cm^2": _GAUSS_KG,
    "kg": 1.0,
    "kilogauss": 1.0,
    "t": 10.0,
    "tesla": 10.0,
    "mt": 0.01,
    "millitesla": 0.01,
}


class NotAPhotosphereError(UnusableInputError):
    """The values of a frame cannot be those of the photosphere, or their unit is unknown."""


def limb_darkening(mu: FloatArray) -> FloatArray:
    """Brightness at 617 nm relative to disk centre; `mu` above 0 to 1."""
    xi = np.log(mu)
    total = np.zeros_like(xi)
    for coefficient in reversed(LIMB_DARKENING_617NM):
        total = total * xi + coefficient
    return total


@dataclass(frozen=True)
class QuietSun:
    """How bright the quiet Sun is at each distance from the disk's centre.

    Attributes
    ----------
    table : ndarray (n,), float32
        Brightness in the frame's unit against mu squared, 0 to 1; one number where there is no
        view.
    """

    table: NDArray[np.float32]

    def at(self, mu_squared: FloatArray | None, shape: tuple[int, int]) -> NDArray[np.float32]:
        """The level of pixels; beyond the limb that of the limb."""
        if mu_squared is None or self.table.size == 1:
            return np.full(shape, self.table[-1], np.float32)
        index = np.clip(mu_squared, 0.0, 1.0) * np.float32(self.table.size - 1)
        return np.asarray(np.take(self.table, index.astype(np.int32)))


@dataclass(frozen=True)
class Normalised:
    """A frame, or a part of it, in quiet Suns or in kilogauss.

    Attributes
    ----------
    image : ndarray (h, w), float32
        NaN where there is no data.
    data_mask : ndarray (h, w), bool
        Where the frame has data.
    box : tuple (x0, y0, x1, y1)
        The part of the frame, first pixel and the one after the last.
    view : View or None
        Where its pixels lie on the Sun.
    quiet : QuietSun or None
        None for the field.
    unit_scale : float
        Frame's unit in one unit of `image`, where `quiet` is None.
    """

    image: NDArray[np.float32]
    data_mask: NDArray[np.bool_]
    box: Box
    view: View | None
    quiet: QuietSun | None
    unit_scale: float = 1.0

    def mu_squared(self, rows: slice | None = None) -> NDArray[np.float32] | None:
        """Squared cosine of the heliocentric angle in rows of the image; below 0 beyond the limb."""
        if self.view is None:
            return None
        x0, y0, x1, _ = self.box
        first, last, _ = (rows or slice(None)).indices(self.image.shape[0])
        return self.view.mu_squared((x0, y0 + first, x1, y0 + last))

    def level_rows(self, rows: slice | None = None) -> NDArray[np.float32]:
        """What one unit of `image` is in the frame's unit, in rows of the image."""
        first, last, _ = (rows or slice(None)).indices(self.image.shape[0])
        shape = (last - first, self.image.shape[1])
        if self.quiet is None:
            return np.full(shape, self.unit_scale, np.float32)
        return self.quiet.at(self.mu_squared(rows), shape)

    @property
    def mu(self) -> NDArray[np.float32] | None:
        """Cosine of the heliocentric angle, 0 beyond the limb; None where it is unknown."""
        squared = self.mu_squared()
        return None if squared is None else np.sqrt(np.clip(squared, 0.0, 1.0))

    @property
    def level(self) -> NDArray[np.float32]:
        """Map of the quiet Sun's level (of the field: of the unit) in the frame's unit."""
        return self.level_rows()


def normalise(frame: Frame, box: Box | None = None) -> Normalised:
    """A continuum frame in units of the local quiet Sun.

    Parameters
    ----------
    frame : Frame
        Any number type, any unit, grey. What is 0 or less on the disk is missing.
    box : tuple, optional
        Part of the frame that is wanted; the level is always that of the whole.

    Raises
    ------
    NotAPhotosphereError
        When the frame is in colour, or negative, or holds nothing.
    """
    _check_grey(frame)
    view = view_of(frame)
    quiet = survey(frame, view)
    box = box or (0, 0, frame.width, frame.height)
    x0, y0, x1, y1 = box
    image = np.empty((y1 - y0, x1 - x0), np.float32)
    for rows in strips(y1 - y0):
        shape = (rows.stop - rows.start, x1 - x0)
        mu_squared = None if view is None else view.mu_squared((x0, y0 + rows.start, x1, y0 + rows.stop))
        part = frame.pixels[y0 + rows.start : y0 + rows.stop, x0:x1]
        np.divide(part, quiet.at(mu_squared, shape), out=image[rows], dtype=np.float32, casting="unsafe")
        lost = image[rows] <= 0
        if mu_squared is not None:
            lost &= mu_squared > 0  # beyond the limb little light and noise may be that
        np.putmask(image[rows], lost | np.isinf(image[rows]), np.nan)
    return Normalised(image, np.isfinite(image), box, view, quiet)


def to_kilogauss(frame: Frame, box: Box | None = None) -> Normalised:
    """A line-of-sight field in kilogauss.

    Raises
    ------
    NotAPhotosphereError
        When the unit is none of the field's, or the values cannot be what the unit says.
    """
    _check_grey(frame)
    scale = _field_scale(frame)
    x0, y0, x1, y1 = box or (0, 0, frame.width, frame.height)
    image = np.multiply(frame.pixels[y0:y1, x0:x1], np.float32(scale), dtype=np.float32, casting="unsafe")
    mask = np.isfinite(image)
    if not mask.all():
        image[~mask] = np.nan
    return Normalised(image, mask, (x0, y0, x1, y1), view_of(frame), None, 1.0 / scale)


def survey(frame: Frame, view: View | None) -> QuietSun:
    """Fit the quiet Sun of a continuum frame on every n-th pixel.

    Raises
    ------
    NotAPhotosphereError
        When there is no quiet Sun to be had: negative or empty.
    """
    step = max(1, round((frame.height * frame.width / _SAMPLES) ** 0.5))
    values = np.asarray(frame.pixels[::step, ::step], np.float32)
    if view is None:
        return QuietSun(np.array([quiet_level(values)], np.float32))
    squared = np.concatenate(
        [view.mu_squared((0, y, frame.width, y + 1))[:, ::step] for y in range(0, frame.height, step)]
    )
    return fitted(values.ravel(), squared.ravel())


def fitted(values: FloatArray, mu_squared: FloatArray) -> QuietSun:
    """The quiet Sun under scattered pixels of known place: law, level, and a slow correction of the law.

    Raises
    ------
    NotAPhotosphereError
        When no pixel lies on the disk, or the values are no intensities.
    """
    on_disk = (mu_squared > LEAST_MU**2) & np.isfinite(values)
    if not on_disk.any():
        raise NotAPhotosphereError(
            "no pixel with data lies on the Sun's disk as the header places it: correct CRPIX, CRVAL, "
            "CDELT and RSUN_OBS, or leave the WCS out"
        )
    values, mu = values[on_disk], np.sqrt(mu_squared[on_disk])
    _check_positive(values)
    table_mu = np.sqrt(np.clip(np.linspace(0.0, 1.0, _LUT), LEAST_MU**2, None))
    profile = _profile(values, mu)
    if profile is None:
        level = quiet_level(values / limb_darkening(mu))
        return QuietSun((level * limb_darkening(table_mu)).astype(np.float32))
    ring_mu, ring_level = profile
    # Some archives keep pictures without limb darkening: the law that needs less mending holds.
    laws = (limb_darkening, np.ones_like)
    scatters = [np.std(np.log(ring_level / law(ring_mu))) for law in laws]
    law = laws[int(np.argmin(scatters))]
    mended = _robust_polynomial(1.0 - ring_mu, ring_level / law(ring_mu))
    bend = np.polyval(mended, 1.0 - np.clip(table_mu, ring_mu.min(), 1.0))
    return QuietSun((law(table_mu) * bend).astype(np.float32))


def quiet_level(values: FloatArray) -> float:
    """Brightness of the quiet Sun among pixels that may be mostly spot.

    The brightest peak of the histogram that is no accident, then the mean of what is near it: spots
    are darker, and faculae too few to matter.

    Raises
    ------
    NotAPhotosphereError
        When the values are no intensities, or all the same.
    """
    kept = np.asarray(values, np.float64).ravel()
    kept = kept[np.isfinite(kept)]
    _check_positive(kept)
    kept = kept[kept > 0]
    kept = kept[:: max(1, kept.size // 200_000)]
    centre, is_beside_spot = _quiet_peak(kept)
    above = kept[kept > centre]
    spread = 1.4826 * float(np.median(above - centre)) if above.size else 0.0
    # What is darker than a quiet part beside a large spot is spot.
    below = 2.0 if is_beside_spot else 2.5
    for _ in range(6):
        spread = min(max(spread, 1e-3 * centre), _WIDEST * centre)
        near = kept[(kept >= centre - below * spread) & (kept <= centre + 2.5 * spread)]
        if near.size < 8:
            break
        centre, spread = float(near.mean()), float(near.std()) * 1.1
    return centre


def _quiet_peak(values: FloatArray) -> tuple[float, bool]:
    """Brightness of the quiet Sun's peak in the histogram, and whether a spot's is higher."""
    top = float(np.quantile(values, 0.998)) * 1.05
    counts, edges = np.histogram(values, bins=_BINS, range=(0.0, top))
    middles = (edges[1:] + edges[:-1]) / 2
    # Fewer pixels, wider smoothing: or each granule would make a peak of its own.
    highest = int(np.argmax(_smoothed(counts, 0.012 if values.size > 20_000 else 0.025)))
    fine = _smoothed(counts, 0.012)
    inner = fine[1:-1]
    peaks = 1 + np.flatnonzero((inner >= fine[:-2]) & (inner > fine[2:]))
    for peak in (int(p) for p in peaks[::-1] if middles[p] > _APART * middles[highest]):
        near = np.abs(middles - middles[peak]) < 0.06 * middles[peak]
        is_peak = fine[highest:peak].min() < _VALLEY * fine[peak]
        if is_peak and counts[near].sum() >= max(_LEAST_SHARE * values.size, _LEAST_PX):
            return float(middles[peak]), True
    return float(middles[highest]), False


def _smoothed(counts: np.ndarray, share: float) -> FloatArray:
    width = _BINS * share
    reach = np.arange(-int(4 * width), int(4 * width) + 1)
    return np.convolve(counts, np.exp(-0.5 * (reach / width) ** 2), mode="same")


def _profile(values: FloatArray, mu: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Quiet level in rings of equal area; None where too little of the disk is seen."""
    usable = mu > _FIT_MU
    values, mu = values[usable], mu[usable]
    if mu.size < 50 * _RINGS or mu.max() - mu.min() < _WIDE_MU:
        return None
    squared = np.square(mu)
    low, high = squared.min(), squared.max()
    ring = np.minimum(((squared - low) / (high - low) * _RINGS).astype(np.int32), _RINGS - 1)
    order = np.argsort(ring, kind="stable")
    edges = np.cumsum(np.bincount(ring, minlength=_RINGS))[:-1]
    found = [
        (float(np.sqrt(np.mean(np.square(m)))), _ring_level(v))
        for v, m in zip(np.split(values[order], edges), np.split(mu[order], edges), strict=True)
        if v.size >= 50
    ]
    if len(found) < _RINGS // 2:
        return None
    ring_mu, level = np.array(found).T
    return ring_mu[level > 0], level[level > 0]


def _ring_level(values: FloatArray) -> float:
    """Mean of a ring's middle: spots are in its tail."""
    middle, spread = float(np.median(values)), 0.0
    for _ in range(4):
        spread = 1.4826 * float(np.median(np.abs(values - middle)))
        near = values[np.abs(values - middle) <= 2.5 * spread + 1e-9]
        middle = float(near.mean()) if near.size else middle
    return middle


def _robust_polynomial(x: FloatArray, y: FloatArray, degree: int = 3) -> FloatArray:
    """Coefficients, highest first; points far off the curve are left out."""
    kept = np.ones(x.size, bool)
    coefficients = np.array([float(np.median(y))])
    for _ in range(4):
        coefficients = np.polyfit(x[kept], y[kept], degree)
        off = np.abs(y - np.polyval(coefficients, x))
        kept = off <= max(3.0 * 1.4826 * float(np.median(off)), 1e-4 * float(np.median(y)))
        if kept.sum() < x.size // 2:
            break
    return coefficients


def strips(height: int, rows: int = _ROWS) -> Iterator[slice]:
    """Slices of some rows that cover a picture: work on them needs little memory."""
    for first in range(0, height, rows):
        yield slice(first, min(first + rows, height))


def _check_grey(frame: Frame) -> None:
    if frame.pixels.ndim != 2:
        raise NotAPhotosphereError(
            "the picture is in colour, which is no measure of the photosphere: give the FITS file or a grey "
            "picture"
        )


def _check_positive(values: FloatArray) -> None:
    if not values.size or not (values > 0).any():
        raise NotAPhotosphereError("the frame holds nothing above 0, so no continuum: look at its units")
    negative = float((values < 0).mean())
    if negative > _MOST_NEGATIVE:
        raise NotAPhotosphereError(
            f"{negative:.0%} of the pixels are negative, which no continuum is: if the frame is a "
            "magnetogram, name it (--instrument hmi-magnetogram); if it was offset, undo that"
        )


def _field_scale(frame: Frame) -> float:
    """Kilogauss in one unit of the frame."""
    strongest = _strength(frame)
    unit = "" if frame.unit is None else frame.unit.strip()
    scale = _UNITS_KG.get(unit.lower().replace(" ", "").replace("(", "").replace(")", ""))
    if unit and scale is None:
        raise NotAPhotosphereError(
            f"the unit {unit!r} is none of a magnetic field: BUNIT must be Gauss, kG, Mx/cm^2, T or mT"
        )
    if not unit and (frame.pixels.dtype == np.uint8 or not _FAINTEST_KG <= strongest * 1e-3 <= _STRONGEST_KG):
        raise NotAPhotosphereError(
            f"the field has no unit and values of {strongest:.3g} are no gauss: write BUNIT (Gauss, kG, "
            "Mx/cm^2, T or mT) into the header"
        )
    scale = _GAUSS_KG if scale is None else scale
    if not _FAINTEST_KG <= strongest * scale <= _STRONGEST_KG:
        raise NotAPhotosphereError(
            f"values of {strongest:.3g} {unit} cannot be a field of the photosphere, which with its noise has "
            f"{_FAINTEST_KG * 1e3:.0f} to {_STRONGEST_KG * 1e3:,.0f} gauss: correct BUNIT"
        )
    return scale


def _strength(frame: Frame) -> float:
    """Strength that one pixel in two thousand reaches."""
    step = max(1, round((frame.height * frame.width / _SAMPLES) ** 0.5))
    values = np.abs(np.asarray(frame.pixels[::step, ::step], np.float64)).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        raise NotAPhotosphereError("the field holds no number at all")
    return float(np.quantile(values, 0.9995))
