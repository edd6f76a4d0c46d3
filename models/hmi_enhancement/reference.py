"""Write what the domain's check holds pictures against: the structure of known photospheres.

::

    python -c "from models.hmi_enhancement.reference import write_reference; write_reference()"

with ``HELIOWATCH_TEST_DATA`` naming the folder of real frames. Stored are statistics of pieces, not
pictures: of the simulator's patches and full disks (faculae near the limb and spots too), of the
simulated snapshot, all degraded with both sets of the point spread function, and of the real patches
and full disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement.domain import REFERENCE, TAKEN_SCALES, relative_scale
from models.hmi_enhancement.gaps import certain, fill_gaps
from models.hmi_enhancement.psf import AUTHORS, WACHTER, degrade
from models.hmi_enhancement.resampling import Seen, resampled
from models.hmi_enhancement.statistics import LEAST_QUIET_PX, Statistics, measure, parts_of
from observatory.analysis import Quantity
from observatory.errors import UnusableInputError
from observatory.frame import Frame
from observatory.instruments import read_file
from observatory.instruments.formats.container import Limits
from observatory.photosphere import normalise
from observatory.settings import test_data_dir

_SIDES = (48, 64, 96, 160, 256)
_PIECES = 6  # of each side and picture
_LIMB_MU = 0.5  # nearer to the limb lies a quarter of the disk as it is seen
_SPOT = 0.7  # of the quiet Sun's light: darker is no granule
_FACULA = 1.03  # the same over some pixels near the limb, where granulation is faint
_DISKS = 2  # of each set of the point spread function
_PATCHES = 220
_NOISES = (3e-4, 1e-3, 2e-3)  # in quiet Suns, about what HMI's frames have
_REAL = ("enhance_samples/*continuum*", "sharp_377/*continuum*", "jp2/*continuum*")
_MHD_KM = 48.0

Piece = tuple[str, NDArray[np.float32], NDArray[np.bool_], float]


def write_reference(folder: Path | None = None, target: Path = REFERENCE, seed: int = 1) -> Path:
    """Measure known pictures and keep the numbers.

    Parameters
    ----------
    folder : Path, optional
        Of real frames and the snapshot; ``HELIOWATCH_TEST_DATA`` by default.

    Raises
    ------
    UnusableInputError
        When the folder is not there.
    """
    folder = folder or test_data_dir()
    if folder is None or not (folder / "hmi").is_dir():
        raise UnusableInputError(f"no folder hmi in {folder}: set HELIOWATCH_TEST_DATA to the real frames")
    vectors, places, sources = [], [], []
    random = np.random.default_rng(seed)
    for source, image, is_certain, mu in _pieces(folder / "hmi", random):
        quiet = parts_of(image, is_certain, Quantity.CONTINUUM).quiet
        if int(quiet.sum()) >= LEAST_QUIET_PX:
            vectors.append(measure(image, quiet).to_vector())
            places.append(mu)
            sources.append(source)
    np.savez_compressed(
        target,
        continuum=np.array(vectors, np.float32),
        mu=np.array(places, np.float32),
        sources=np.array(sources),
        names=np.array(Statistics.names()),
    )
    return target


@dataclass(frozen=True)
class Known:
    """A picture as a network is given it, and where its pixels lie.

    Attributes
    ----------
    seen : Seen
    mu : ndarray (h, w) or None
        Cosine of the heliocentric angle; None takes the disk's centre.
    """

    seen: Seen
    mu: NDArray[np.float32] | None = None


def known_of(frame: Frame) -> Known:
    """A continuum of known origin."""
    normalised = normalise(frame)
    is_certain = certain(normalised)
    fill_gaps(normalised, is_certain, 1.0)
    scale, mu = relative_scale(frame), normalised.mu
    if scale is None or TAKEN_SCALES[0] <= scale <= TAKEN_SCALES[1]:
        return Known(Seen(normalised.image, is_certain), mu)
    seen = resampled(normalised.image, is_certain, scale)
    if mu is not None:
        mu = np.asarray(cv2.resize(mu, seen.image.shape[::-1], interpolation=cv2.INTER_LINEAR))
    return Known(seen, mu)


def _pieces(folder: Path, random: np.random.Generator) -> Iterator[Piece]:
    from models.simulate.hmi import HmiTelescope, full_disk, hmi_patch  # not needed to infer

    for number in range(_PATCHES):
        psf = (WACHTER, AUTHORS)[number % 2]
        noise = float(random.choice(_NOISES))
        patch, _ = hmi_patch(random, Quantity.CONTINUUM, int(random.choice(_SIDES)), psf, noise)
        yield "simulated patch", patch, np.ones(patch.shape, bool), 1.0
    for psf in (WACHTER, AUTHORS) * _DISKS:
        known = known_of(full_disk(random, activity=1.0, telescope=HmiTelescope(psf=psf)).frame())
        assert known.mu is not None  # simulated frames tell their pointing
        is_limb = known.mu < _LIMB_MU
        is_bright = cv2.GaussianBlur(known.seen.image, (0, 0), 3.0) > _FACULA
        yield from _cut("simulated disk", known, random, _PIECES)
        yield from _cut("simulated limb", known, random, 2 * _PIECES, is_limb)
        yield from _cut("simulated faculae", known, random, 3 * _PIECES, is_limb & is_bright)
        yield from _cut("simulated spots", known, random, _PIECES, known.seen.image < _SPOT)
    for path in sorted(folder.glob("mhd/*.npy")):
        truth = np.load(path).astype(np.float64)
        truth /= truth.mean()
        for psf in (WACHTER, AUTHORS):
            for noise in _NOISES:
                observed, _ = degrade(truth, _MHD_KM, psf, noise, random)
                yield from _cut("simulated snapshot", _whole(observed), random, 3)
    for path in (found for pattern in _REAL for found in sorted(folder.glob(pattern))):
        frame = read_file(path, Limits()).frame()
        is_disk = frame.pointing is not None
        yield from _cut(path.parent.name, known_of(frame), random, 4 * _PIECES if is_disk else 2 * _PIECES)


def _whole(image: NDArray[np.float32]) -> Known:
    return Known(Seen(image, np.ones(image.shape, bool)))


def _cut(
    source: str,
    known: Known,
    random: np.random.Generator,
    count: int,
    about: NDArray[np.bool_] | None = None,
) -> Iterator[Piece]:
    """Square pieces of several sides, wholly on the disk; where something is to be in them, about that."""
    image, is_certain = known.seen.image, known.seen.is_certain
    height, width = image.shape
    places = None if about is None else np.argwhere(about & is_certain)
    for side in _SIDES:
        found = 0
        for _ in range(50 * count):
            if found == count or side > min(height, width):
                break
            y, x = int(random.integers(0, height - side + 1)), int(random.integers(0, width - side + 1))
            if places is not None:
                within = places[random.integers(len(places))] - random.integers(0, side, 2)
                y, x = (int(at) for at in np.clip(within, 0, (height - side, width - side)))
            part = slice(y, y + side), slice(x, x + side)
            if is_certain[part].all():
                found += 1
                mu = 1.0 if known.mu is None else float(np.median(known.mu[part]))
                yield source, np.ascontiguousarray(image[part]), is_certain[part], mu
