"""Training data: truths, blurred by both telescopes and drawn as patches of any place and angle.

A truth is convolved once, on its own grid; patches are then sampled from it, so that no resampling
comes between the telescope and its pixels. Truths taken for larger or smaller change the scenes and
leave the telescope as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement import psf as optics
from models.hmi_enhancement.options import TrainOptions
from models.hmi_enhancement.psf import HMI_PX_ARCSEC, KM_PER_ARCSEC, PSFS, Psf
from observatory.analysis import Quantity
from observatory.errors import UnusableInputError

FloatArray = NDArray[np.floating]
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]

_COARSEST_KM = 100.0  # a target pixel is 183 km
_FINEST_KM = 5.0
_FEWEST = 16  # input pixels a side that a truth must give
_GAUSS_BEYOND = 10.0  # no photospheric field is of 10 kG
_MESOGRANULE_KM = 4000.0  # the level of the quiet Sun is the median over blocks of this size
_SIMULATED_KM = 48.0
_SIMULATED_SIDE = 750
_SPOT_SHARE = 0.3  # of the simulated pictures; with pores as often
_PLAGE_SHARE = 0.4


@dataclass(frozen=True)
class Truth:
    """A simulated photosphere at the best sampling there is.

    Attributes
    ----------
    name : str
    pixels : float64 ndarray (rows, columns)
        In quiet Suns or kG.
    pixel_km : float
    is_simulated : bool
        By our own simulator.
    """

    name: str
    pixels: FloatArray
    pixel_km: float
    is_simulated: bool = False


@dataclass(frozen=True)
class Source:
    """A truth seen through both telescopes, on the truth's own grid.

    Attributes
    ----------
    name : str
    low, high : float32 ndarray (rows, columns)
    step_px : float
        An input pixel in pixels of these.
    psf : Psf
    size : float
        How many times as large the truth was taken.
    is_simulated : bool
    weight : float
        How often it is drawn, against other sources.
    """

    name: str
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    step_px: float
    psf: Psf
    size: float = 1.0
    is_simulated: bool = False
    weight: float = 1.0


def read_truth(path: Path, pixel_km: float, quantity: Quantity, rows: str = "") -> Truth:
    """A truth in the network's unit.

    The continuum is divided by its own quiet Sun: the median over blocks of 4 Mm, so that a spot in
    it has no say. Fields beyond ±10 are taken for gauss and divided by 1000.

    Raises
    ------
    UnusableInputError
        When it is no plane of numbers, or too small, coarse or fine.
    """
    if not _FINEST_KM <= pixel_km <= _COARSEST_KM:
        raise UnusableInputError(
            f"pixel-km {pixel_km:g}: a truth has pixels of {_FINEST_KM:g} to {_COARSEST_KM:g} km; "
            f"for HMI's own pictures (366 km) there is no truth"
        )
    whole = _plane(path)
    if quantity is Quantity.CONTINUUM:
        level = quiet_level(whole, pixel_km)
        if not level > 0:
            raise UnusableInputError(f"{path.name}: a continuum has a quiet Sun above 0, not {level:g}")
        whole = whole / level
    elif np.abs(whole).max() > _GAUSS_BEYOND:
        whole = whole / 1000.0
    first, last = rows_of(rows, whole.shape[0])
    part = whole[first:last]
    least = _FEWEST * HMI_PX_ARCSEC * KM_PER_ARCSEC
    if min(part.shape) * pixel_km < least:
        raise UnusableInputError(
            f"{path.name}: {part.shape[0]} x {part.shape[1]} pixels of {pixel_km:g} km are too few; "
            f"{least / 1000:.0f} Mm a side are needed"
        )
    return Truth(path.name + (f" rows {first}:{last}" if rows else ""), part, pixel_km)


def _plane(path: Path) -> FloatArray:
    if not path.is_file():
        raise UnusableInputError(f"there is no file {path}")
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnusableInputError(
            f"{path} is no .npy file of plain numbers: write one plane with numpy.save"
        ) from error
    if not isinstance(found, np.ndarray):
        raise UnusableInputError(f"{path} holds several arrays: give a .npy file with one")
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise UnusableInputError(
            f"{path.name} has shape {found.shape} of {found.dtype}: give one plane of numbers, rows and columns"
        )
    if not np.isfinite(found).all():
        raise UnusableInputError(f"{path.name} has pixels that are no numbers: cut or fill them first")
    if found.size == 0 or found.min() == found.max():
        raise UnusableInputError(f"{path.name} is the same everywhere: there is nothing to enhance")
    return found.astype(np.float64)


def quantity_of(stated: str) -> Quantity:
    """From ``continuum`` or ``field``.

    Raises
    ------
    UnusableInputError
        When it is neither.
    """
    try:
        return Quantity(stated)
    except ValueError:
        raise UnusableInputError(f"quantity {stated}: there are {' and '.join(Quantity)}") from None


def rows_of(stated: str, count: int) -> tuple[int, int]:
    """From ``FIRST:END``, either of which may be left out.

    Raises
    ------
    UnusableInputError
        When that is not a part of the rows.
    """
    first, colon, last = stated.partition(":")
    try:
        found = (int(first or 0), int(last or count))
        if stated and not colon:
            raise ValueError
    except ValueError:
        raise UnusableInputError(f"rows {stated!r}: write FIRST:END, such as 0:720") from None
    if not 0 <= found[0] < found[1] <= count:
        raise UnusableInputError(f"rows {stated}: the truth has rows 0 to {count}")
    return found


def quiet_level(continuum: FloatArray, pixel_km: float) -> float:
    """Level of the quiet Sun: median of means over blocks of 4 Mm."""
    block = max(1, round(_MESOGRANULE_KM / pixel_km))
    rows, columns = (max(1, n // block) for n in continuum.shape)
    means = cv2.resize(continuum, (columns, rows), interpolation=cv2.INTER_AREA)
    return float(np.median(means))


def truths_of(options: TrainOptions) -> tuple[list[Truth], list[Truth]]:
    """Training and validation truths: the last rows of each file, and the last simulated ones, validate."""
    training: list[Truth] = []
    validation: list[Truth] = []
    quantity, share = quantity_of(options.quantity), options.validation_share
    for path in paths_of(options.truth):
        truth = read_truth(path, options.pixel_km, quantity, options.rows)
        kept = round(share * truth.pixels.shape[0])
        if kept:
            cut = truth.pixels.shape[0] - kept
            validation.append(replace(truth, name=f"{truth.name} last {kept}", pixels=truth.pixels[cut:]))
            truth = replace(truth, pixels=truth.pixels[:cut])
        training.append(truth)
    for number, truth in enumerate(simulated_truths(options.simulated, quantity, options.seed)):
        (training if number < round((1 - share) * options.simulated) else validation).append(truth)
    return training, validation


def paths_of(stated: str) -> list[Path]:
    """Files with commas between."""
    return [Path(word) for word in stated.split(",") if word]


def psfs_of(stated: str) -> list[Psf]:
    """From ``wachter``, ``authors`` or ``both``.

    Raises
    ------
    UnusableInputError
        When it is none of them.
    """
    if stated == "both":
        return list(PSFS.values())
    if stated not in PSFS:
        raise UnusableInputError(f"psf {stated}: there are {', '.join(PSFS)} and both")
    return [PSFS[stated]]


def scales_of(stated: str) -> list[float]:
    """From numbers with commas between.

    Raises
    ------
    UnusableInputError
        When they are none, or not about 1.
    """
    try:
        found = [float(word) for word in stated.split(",") if word]
    except ValueError:
        found = []
    if not found or not all(0.5 <= scale <= 2 for scale in found):
        raise UnusableInputError(
            f"scales {stated!r}: give numbers of 0.5 to 2 with commas, such as 0.9,1,1.1"
        )
    return found


def simulated_truths(count: int, quantity: Quantity, seed: int) -> Iterator[Truth]:
    """Photospheres of our own simulator, each of another seed: quiet Sun, pores, plage and spots."""
    from models.simulate import photosphere

    make = photosphere.granulation if quantity is Quantity.CONTINUUM else photosphere.field
    for number in range(count):
        random = np.random.default_rng((seed, number))
        made = make(
            (_SIMULATED_SIDE, _SIMULATED_SIDE),
            _SIMULATED_KM,
            random,
            spots=int(random.random() < _SPOT_SHARE),
            pores=int(random.integers(0, 5)) if random.random() < _SPOT_SHARE else 0,
            plage=float(random.uniform(0.2, 1.0)) if random.random() < _PLAGE_SHARE else 0.0,
            network=float(random.uniform(0.3, 2.0)),
        )
        yield Truth(f"simulated {number}", np.asarray(made, np.float64), _SIMULATED_KM, is_simulated=True)


def sources_of(options: TrainOptions, truths: Sequence[Truth]) -> list[Source]:
    """What patches are drawn from: each truth at each size and point spread function."""
    if not truths:
        raise UnusableInputError("there is nothing to learn from: give --truth FILE.npy or --simulated N")
    real = [truth for truth in truths if not truth.is_simulated]
    simulated = [truth for truth in truths if truth.is_simulated]
    share = options.simulated_share if real and simulated else float(not real)
    found: list[Source] = []
    for group, part in ((real, 1 - share), (simulated, share)):
        for truth in group:
            # A simulated picture may be of any size of its own; it is taken as it is.
            sizes = scales_of(options.scales) if group is real else [1.0]
            weight = part / len(group) / len(sizes)
            found += [
                source_of(truth, psf, size, weight)
                for psf in psfs_of(options.psf)
                for size in sizes
                if weight
            ]
    return found


def source_of(truth: Truth, psf: Psf, size: float = 1.0, weight: float = 1.0) -> Source:
    """A truth, taken for `size` times as large, through both telescopes."""
    pixel_km = truth.pixel_km * size
    low, high = optics.blurred(truth.pixels, pixel_km, psf)
    step_px = HMI_PX_ARCSEC * KM_PER_ARCSEC / pixel_km
    planes = (low.astype(np.float32), high.astype(np.float32))
    return Source(truth.name, *planes, step_px, psf, size, truth.is_simulated, weight)


@dataclass(frozen=True)
class Drawing:
    """How patches are drawn.

    Attributes
    ----------
    side : int
        Of the input.
    noise : float
        Rms, in the unit of the sources.
    noise_spread : float
        Noise times exp(± up to this).
    contrast_spread : float
        Contrast about `centre` times 1 ± up to this.
    centre : float
        1 for the continuum, 0 for the field (whose sign is drawn, too).
    """

    side: int = 40
    noise: float = 1e-3
    noise_spread: float = 0.0
    contrast_spread: float = 0.0
    centre: float = 1.0


def drawn(sources: Sequence[Source], how: Drawing, count: int, random: np.random.Generator) -> Pair:
    """Patches of any place, angle and mirror, with fresh noise.

    Returns
    -------
    observed : float32 ndarray (count, 1, side, side)
    target : float32 ndarray (count, 1, 2 side, 2 side)
    """
    weights = np.array([source.weight for source in sources])
    chosen = random.choice(len(sources), count, p=weights / weights.sum())
    pairs = [patch(sources[n], how, random) for n in chosen]
    observed, target = (np.stack(group)[:, None] for group in zip(*pairs, strict=True))
    return observed, target


def patch(source: Source, how: Drawing, random: np.random.Generator) -> Pair:
    """One patch and its target."""
    half = how.side * source.step_px / 2
    angle = random.uniform(0, 2 * np.pi)
    reach = half * (abs(np.cos(angle)) + abs(np.sin(angle)))
    y, x = (random.uniform(*_within(n, reach)) for n in source.low.shape)
    mirror = 1.0 if random.random() < 0.5 else -1.0
    low = _turned(source.low, (y, x), angle, mirror, how.side, source.step_px)
    high = _turned(source.high, (y, x), angle, mirror, 2 * how.side, source.step_px / 2)
    if how.contrast_spread:
        # Blurring is linear, so a stretched truth has a stretched picture.
        factor = np.float32(1 + random.uniform(-how.contrast_spread, how.contrast_spread))
        low, high = (how.centre + factor * (part - how.centre) for part in (low, high))
    if not how.centre and random.random() < 0.5:
        low, high = -low, -high
    noise = how.noise * np.exp(random.uniform(-how.noise_spread, how.noise_spread))
    low = low + np.float32(noise) * random.standard_normal(low.shape, np.float32)
    return low.astype(np.float32), high.astype(np.float32)


def _within(length: int, reach: float) -> tuple[float, float]:
    """Where a middle may lie; the very middle when the source is smaller than the patch."""
    first, last = reach - 0.5, length - 0.5 - reach
    return (first, last) if first <= last else ((length - 1) / 2, (length - 1) / 2)


def _turned(
    plane: NDArray[np.float32],
    middle: tuple[float, float],
    angle: float,
    mirror: float,
    side: int,
    step_px: float,
) -> NDArray[np.float32]:
    axis = (np.arange(side) - (side - 1) / 2) * step_px
    across, along = mirror * axis[None, :], axis[:, None]
    x = np.cos(angle) * across - np.sin(angle) * along + middle[1]
    y = np.sin(angle) * across + np.cos(angle) * along + middle[0]
    return np.asarray(
        cv2.remap(
            plane,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
    )
