"""Three coronal channels as one colour picture.

The method is that of AIA-reloaded (R. Attie and M. Kirk, 2018): brightness between two percentiles of a
reference frame, a gamma for each channel, a mixing matrix, a stretch, gains in CIELab. What is changed:
the interpolation is cubic indeed, everything between brightness and colour is a look-up table, and
rows are worked on in bands, so that three frames of 4096 x 4096 cost little memory beside themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from observatory.errors import SettingsError, UnusableInputError
from observatory.euv import disk_of, monochrome
from observatory.euv.plane import exposure_normalised
from observatory.frame import Frame, Pointing, RowOrder
from observatory.settings import LookSettings
from workers.products.preview import Picture
from workers.products.sun_view import Resampler, SunView, bands

Bytes8 = NDArray[np.uint8]
Level = tuple[float, float]

_SAMPLES_ACROSS = 1024  # of a frame, for its percentiles: 1e6 pixels place 99.99 % to 100 of them
_MOST = 65535.0


@dataclass(frozen=True)
class Channel:
    """One channel's frame, ready to be composed.

    Attributes
    ----------
    name : str
        Instrument, such as ``aia-304``.
    pixels : ndarray, shape (height, width)
        Counts, or 0 to 255 of a browse picture; 0 where nothing was measured.
    is_valid : ndarray of bool, or None
        Pixels that count for the levels; None when all do.
    is_picture : bool
        Whether the brightness is a browse picture's.
    gain : float
        Counts to DN/s as a new instrument would have given them; 1 for pictures.
    """

    name: str
    pixels: np.ndarray
    is_valid: np.ndarray | None
    is_picture: bool
    pointing: Pointing
    row_order: RowOrder
    gain: float = 1.0

    @property
    def scale(self) -> str:
        """What levels belong to: counts and browse pictures of one channel have their own."""
        return f"{self.name} picture" if self.is_picture else self.name


def channel_of(
    frame: Frame, *, known_as: str | None = None, degradation_table: Path | None = None
) -> Channel:
    """Prepare a frame: colours undone, captions and NaN blanked, the disk found, the exposure known.

    Parameters
    ----------
    known_as : str | None
        The look's name for the channel, where the frame comes from a station with a name of its own.
    degradation_table : Path | None
        aiapy's table: counts are raised by what the instrument has lost since its launch.

    Raises
    ------
    UnusableInputError
        When the frame has no disk, no exposure time, or colours that are not the channel's.
    """
    plane = monochrome(frame)
    pointing = disk_of(frame, plane)
    gain = 1.0
    if not plane.is_picture:
        gain = float(exposure_normalised(frame, np.ones(1, np.float32))[0])
        if degradation_table is not None:
            gain /= _sensitivity(frame, degradation_table)
    pixels = plane.pixels
    if plane.is_valid is not None:
        pixels = np.where(plane.is_valid, pixels, pixels.dtype.type(0))
    return Channel(
        name=known_as or frame.instrument,
        pixels=pixels,
        is_valid=plane.is_valid,
        is_picture=plane.is_picture,
        pointing=pointing,
        row_order=plane.row_order,
        gain=gain,
    )


def _sensitivity(frame: Frame, table: Path) -> float:
    """What is left of a channel's sensitivity, 1 at launch (aiapy's table of W. Liu's calibration)."""
    if frame.date_obs is None or frame.wavelength_nm is None:
        raise UnusableInputError("without time and wavelength the loss of sensitivity is not known")
    try:
        import astropy.units as u
        from aiapy.calibrate import degradation
        from astropy.time import Time
        from astropy.utils import iers
    except ModuleNotFoundError as error:
        raise SettingsError(
            "composites.degradation_table is set, but aiapy is not installed: pip install aiapy, or unset it"
        ) from error
    if not table.is_file():
        raise SettingsError(
            f"composites.degradation_table: {table} is no file: name aiapy's table, or unset it"
        )
    try:
        # Months after its installation astropy would look for newer leap seconds on the internet: a worker that
        # reaches none waits for that, and a second more or less changes nothing here.
        with iers.conf.set_temp("auto_download", False):
            left = degradation(
                frame.wavelength_nm * 10 * u.angstrom, Time(frame.date_obs), correction_table=_table(table)
            )
    except (ValueError, OSError, KeyError) as error:
        raise SettingsError(f"composites.degradation_table: {table} is of no use: {error}") from error
    return float(np.asarray(left).ravel()[0])


@cache
def _table(path: Path) -> Any:
    from aiapy.calibrate.util import get_correction_table

    return get_correction_table(path)


@dataclass(frozen=True)
class Levels:
    """Black and full brightness by `Channel.scale`, in DN/s (or 0 to 255 for pictures)."""

    of: Mapping[str, Level]

    def filled(self, channels: Sequence[Channel], look: LookSettings) -> Levels:
        """These levels, with those of channels that are not among them."""
        missing = [channel for channel in channels if channel.scale not in self.of]
        return Levels({**self.of, **levels_of(missing, look).of}) if missing else self


def levels_of(channels: Sequence[Channel], look: LookSettings) -> Levels:
    """Levels of a reference frame in each channel: the look's own, else its percentiles.

    Percentiles are of every pixel of the frame that was measured, the corona beyond the limb too.

    Raises
    ------
    UnusableInputError
        When a channel is none of the look's, or has no two brightnesses.
    """
    found: dict[str, Level] = {}
    for channel in channels:
        if channel.name not in look.channels:
            raise UnusableInputError(
                f"{channel.name} is no channel of the look ({', '.join(look.channels)}): "
                "the look was changed after the frames were put together"
            )
        number = look.channels.index(channel.name)
        if look.levels is not None and not channel.is_picture:
            found[channel.scale] = look.levels[number]
            continue
        step = max(1, min(channel.pixels.shape) // _SAMPLES_ACROSS)
        sample = channel.pixels[step // 2 :: step, step // 2 :: step]
        if channel.is_valid is not None:
            sample = sample[channel.is_valid[step // 2 :: step, step // 2 :: step]]
        if not sample.size:
            raise UnusableInputError(f"{channel.name}: no pixel was measured")
        low, high = np.percentile(sample, (look.percentiles_low[number], look.percentiles_high[number]))
        if not high > low:
            raise UnusableInputError(f"{channel.name}: all pixels have one brightness ({low:g})")
        found[channel.scale] = (float(low) * channel.gain, float(high) * channel.gain)
    return Levels(found)


def compose(
    channels: Sequence[Channel],
    look: LookSettings,
    levels: Levels,
    view: SunView,
    *,
    threads: int = 1,
) -> Bytes8:
    """Compose a picture.

    Parameters
    ----------
    channels : sequence of Channel
        One, two or three of the look's, in any order. A channel that is missing stays dark, so that
        the colours of the others keep their meaning; say so on the picture (`marked`).
    levels : Levels
        Of a reference frame: the same for all pictures of a film, else it flickers.
    threads : int
        Bands of rows that are worked on beside each other.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        Red, green, blue; row 0 on top, solar north up.
    """
    if not channels:
        raise UnusableInputError("a composite needs at least one channel")
    by_name = {channel.name: channel for channel in channels}
    painters = [
        _Painter.of(by_name[name], look, number, levels.of[by_name[name].scale], view)
        if name in by_name
        else None
        for number, name in enumerate(look.channels)
    ]
    matrix = _mixing(look)
    picture = np.empty((view.height_px, view.width_px, 3), np.uint8)

    def paint(band: tuple[int, int]) -> None:
        start, stop = band
        shape = (stop - start, view.width_px)
        planes = [
            np.zeros(shape, np.uint8) if painter is None else painter.rows(start, stop)
            for painter in painters
        ]
        # Mixing and stretch are one affine map: what either clips, the whole map clips, too.
        picture[start:stop] = _balanced(cv2.transform(cv2.merge(planes), matrix), look.lab_gains)

    if threads == 1:
        for band in bands(view.height_px):
            paint(band)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(paint, bands(view.height_px)))
    return picture


@dataclass(frozen=True)
class _Painter:
    """One channel on its way from counts to 8 bits."""

    resampler: Resampler
    scale: float
    offset: float
    table: Bytes8

    @classmethod
    def of(cls, channel: Channel, look: LookSettings, number: int, level: Level, view: SunView) -> _Painter:
        low, high = level
        scale = _MOST / (high - low)
        gamma = (look.picture_gamma if channel.is_picture else look.gamma)[number]
        return cls(
            Resampler.of(channel.pixels, channel.pointing, channel.row_order, view),
            scale * channel.gain,
            -low * scale,
            _gamma_table(gamma),
        )

    def rows(self, start: int, stop: int) -> Bytes8:
        values = self.resampler.rows(start, stop)
        # Saturating: below black 0, above full brightness 65535; NaN is blanked before.
        index = cv2.addWeighted(values, self.scale, values, 0.0, self.offset, dtype=cv2.CV_16U)
        return self.table[index]


@cache
def _gamma_table(gamma: float) -> Bytes8:
    """8-bit brightness of all 65536 levels."""
    table = (np.linspace(0.0, 1.0, 65536) ** (1.0 / gamma) * 255.0).round().astype(np.uint8)
    table.flags.writeable = False
    return table


def _mixing(look: LookSettings) -> NDArray[np.float32]:
    """Mixing and stretch as one matrix (3, 4) on 0 to 255."""
    stretch = 255.0 / (255.0 - look.stretch)
    mixing = np.asarray(look.mixing, np.float64) * stretch
    return np.column_stack([mixing, np.full(3, -look.stretch * stretch)]).astype(np.float32)


def _balanced(rgb: Bytes8, gains: tuple[float, float, float]) -> Bytes8:
    if gains == (1.0, 1.0, 1.0):
        return rgb
    lab = cv2.LUT(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), _gain_table(gains))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.uint8)


@cache
def _gain_table(gains: tuple[float, float, float]) -> Bytes8:
    table = np.arange(256)[:, None] * np.asarray(gains)[None, :]
    return np.clip(table.round(), 0, 255).astype(np.uint8)[None]


def missing_channels(channels: Sequence[Channel], look: LookSettings) -> tuple[str, ...]:
    """Channels of the look that are not there."""
    names = {channel.name for channel in channels}
    return tuple(name for name in look.channels if name not in names)


def marked(picture: Bytes8, missing: Sequence[str]) -> Bytes8:
    """Say on the picture itself, at its lower left, which channels it lacks."""
    if not missing:
        return picture
    image = Image.fromarray(picture)
    size = max(11, picture.shape[0] // 40)
    text = f"incomplete: without {' and '.join(name.upper().replace('-', ' ') for name in missing)}"
    ImageDraw.Draw(image).text(
        (size, picture.shape[0] - size),
        text,
        font=ImageFont.load_default(size),
        fill=(255, 200, 0),
        anchor="ls",
        stroke_width=max(1, size // 12),
        stroke_fill=(0, 0, 0),
    )
    return np.asarray(image)


def encoded(rgb: Bytes8, kind: str, jpeg_quality: int = 95) -> Picture:
    """Encode as JPEG."""
    coded = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    )[1]
    return Picture(kind, "image/jpeg", ".jpg", coded.tobytes(), rgb.shape[1], rgb.shape[0])


def in_sizes(rgb: Bytes8, sides_px: Sequence[int]) -> Iterator[tuple[int, Bytes8]]:
    """Smaller copies of a square picture by area means, largest first."""
    for side in sorted(sides_px, reverse=True):
        small = rgb if side == rgb.shape[0] else cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
        yield side, np.asarray(small, np.uint8)
