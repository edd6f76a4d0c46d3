"""Training data: folders of good and bad frames, simulated Suns, and injected defects.

A frame is kept as the brightness of its disk on a square of twice the network's side (a base), so
that defects can be injected physically and any preparation applied afterwards. Pictures and FITS
files are read as they are; another format or preparation is one function:

>>> READERS[".raw"] = lambda path: np.fromfile(path, np.uint16).reshape(2048, 2048)
>>> PREPARATIONS["squared"] = lambda square, usable=None: (
...     np.clip(square / square.max(), 0, 1) ** 2 * 2 - 1
... )
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.halpha_quality.preparation import (
    CROP_RADII,
    NATURAL_CONTRAST,
    RAISED_CONTRAST,
    Preparation,
    analysis_grid,
    cloud_band,
    crop_disk,
    fine_contrast,
    flatten_square,
    remove_gradient,
)
from models.simulate.degrade import (
    REGION_FLOOR,
    REGION_SHARE,
    contrail_transmission,
    fractal_field,
    transmission_of_height,
)
from models.simulate.halpha import HalphaSun, HalphaTelescope, smooth_gradient
from observatory.sun import fit_limb, single_plane

FloatArray = NDArray[np.floating]

#: Causes that the head learns, in the order of `network.HEAD_CAUSES` (not imported: torch).
HEAD_CAUSES = ("cloud", "thin_cloud", "contrail", "occultation", "dust")

#: A frame counts as spoilt (target 0 to 1, logarithmic between the two) from this transmission
#: structure between R/12 and R/6; 0.7 % is what the labels of Jarolim et al. (2020) put at their
#: border, a physical scale and not a fitted one.
BAND_GOOD, BAND_BAD = 0.0012, 0.0065
#: The same for the rms over the whole disk, for defects with little power in that band.
RMS_GOOD, RMS_BAD = 0.004, 0.03


#: Last day (YYYYMMDD) of the shared real frames that may fit anything: later ones test the model.
LAST_TRAINING_DAY = "20150805"


class Reader(Protocol):
    """Reads one file to an array (height, width) or (height, width, 3)."""

    def __call__(self, path: Path) -> np.ndarray: ...


def read_picture(path: Path) -> np.ndarray:
    """PNG, JPEG and TIFF, 8 or 16 bit."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(f"{path} is not a readable picture")
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


def read_fits(path: Path) -> np.ndarray:
    """The first two-dimensional image of a FITS file (also gzipped or tile-compressed)."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as hdus:
        for hdu in hdus:
            if getattr(hdu, "data", None) is not None and hdu.data.ndim == 2:
                return np.asarray(hdu.data)
    raise ValueError(f"{path} holds no image")


READERS: dict[str, Reader] = {
    ".png": read_picture,
    ".jpg": read_picture,
    ".jpeg": read_picture,
    ".tif": read_picture,
    ".tiff": read_picture,
    ".fits": read_fits,
    ".fts": read_fits,
    ".fit": read_fits,
    ".fz": read_fits,
    ".gz": read_fits,
    ".npy": lambda path: np.asarray(np.load(path)),
}


@dataclass(frozen=True)
class BaseSet:
    """Disks on squares of twice the network's side, in units of their median brightness.

    Attributes
    ----------
    squares : ndarray, float32, shape (n, 2 side, 2 side)
    names : tuple of str
        Where each came from.
    """

    squares: FloatArray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def save(self, path: Path) -> None:
        """Write as ``.npz``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, squares=self.squares.astype(np.float16), names=np.array(self.names))

    @classmethod
    def load(cls, path: Path) -> BaseSet:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            return cls(stored["squares"].astype(np.float32), tuple(str(name) for name in stored["names"]))

    def split(self, validation_share: float) -> tuple[BaseSet, BaseSet]:
        """Split by order (names sort by time): the last part is for validation."""
        last = len(self) - max(1, round(validation_share * len(self))) if len(self) > 1 else len(self)
        first, rest = slice(0, last), slice(last, None)
        return (
            BaseSet(self.squares[first], self.names[first]),
            BaseSet(self.squares[rest], self.names[rest]),
        )

    @classmethod
    def join(cls, sets: Sequence[BaseSet]) -> BaseSet:
        """One set of several."""
        return cls(np.concatenate([s.squares for s in sets]), sum((s.names for s in sets), ()))


def base_square(pixels: np.ndarray, side: int) -> FloatArray | None:
    """Crop one frame to a base; None when it shows no disk."""
    fit = fit_limb(pixels)
    if fit is None:
        return None
    square, _ = crop_disk(single_plane(pixels), fit, 2 * side)
    middle = float(np.median(square[analysis_grid(2 * side).disk]))
    return None if middle <= 0 else (square / middle).astype(np.float32)


def convert(
    files: Sequence[Path],
    side: int = 128,
    reader: Reader | None = None,
    on_skip: Callable[[Path, str], None] | None = None,
) -> BaseSet:
    """Read frames and keep their disks.

    Parameters
    ----------
    reader : Reader, optional
        Instead of the one that `READERS` has for the file's suffix.
    on_skip : callable, optional
        Told of each file that shows no disk or cannot be read.
    """
    squares, names = [], []
    for path in sorted(files):
        read = reader or READERS.get(path.suffix.lower())
        if read is None:
            continue
        try:
            square = base_square(read(path), side)
            reason = "no disk found"
        except (OSError, ValueError) as error:
            square, reason = None, str(error)
        if square is None:
            if on_skip:
                on_skip(path, reason)
            continue
        squares.append(square)
        names.append(path.name)
    empty = np.zeros((0, 2 * side, 2 * side), np.float32)
    return BaseSet(np.stack(squares) if squares else empty, tuple(names))


def convert_folder(folder: Path, output: Path, side: int = 128, validation_share: float = 0.2) -> None:
    """Convert a folder once: ``NAME.train.npz`` and ``NAME.validation.npz`` in `output`."""
    training, validation = convert(sorted(folder.rglob("*")), side).split(validation_share)
    training.save(output / f"{folder.name}.train.npz")
    validation.save(output / f"{folder.name}.validation.npz")


def simulated_bases(count: int, side: int, seed: int, frames_per_sun: int = 4) -> BaseSet:
    """Suns of all activities through telescopes of all filters."""
    random = np.random.default_rng((seed, 11))
    squares: list[FloatArray] = []
    names: list[str] = []
    while len(squares) < count:
        sun = HalphaSun(int(random.integers(1 << 30)), float(random.beta(1.0, 1.3)), detail=512)
        for _ in range(min(frames_per_sun, count - len(squares))):
            telescope = HalphaTelescope(
                size_px=512,
                radius_px=float(random.uniform(215, 245)),
                roll_deg=float(random.uniform(-30, 30)),
                contrast=float(random.uniform(0.6, 1.5)),
                seeing_px=float(random.uniform(0.4, 1.2)),
                gradient=float(random.uniform(0, 0.05)),
                limb_u=float(random.uniform(0.35, 0.85)),
                limb_v=float(random.uniform(-0.2, 0.1)),
            )
            moment = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(days=float(random.uniform(0, 27)))
            square = base_square(sun.frame(moment, telescope).pixels, side)
            if square is not None:
                squares.append(square)
                names.append(f"simulated-{sun.seed}-{len(squares)}")
    return BaseSet(np.stack(squares), tuple(names))


@dataclass(frozen=True)
class Sample:
    """One training picture and its truth (`has_truth` 0: only `degraded` is known)."""

    image: FloatArray
    degraded: float
    region: FloatArray
    causes: FloatArray
    severity: FloatArray
    has_truth: float


@dataclass(frozen=True)
class Batch:
    """Samples stacked; first axis is the sample."""

    image: FloatArray
    degraded: FloatArray
    region: FloatArray
    causes: FloatArray
    severity: FloatArray
    has_truth: FloatArray


@dataclass
class InjectedDefects:
    """Draws clean and spoilt pictures from bases.

    Parameters
    ----------
    bases : BaseSet
    preparation : Preparation
    side : int
    seed : int
        Sample k of step n is the same in every run with the same seed.
    """

    bases: BaseSet
    preparation: Preparation
    side: int = 128
    seed: int = 0
    _fields: list[FloatArray] = field(init=False, repr=False)
    _contrasts: FloatArray = field(init=False, repr=False)
    #: Share of samples drawn from real frames where both kinds exist.
    real_share: float = 0.4

    def __post_init__(self) -> None:
        random = np.random.default_rng((self.seed, 5))
        double = 2 * self.side
        self._fields = [
            fractal_field(random, double, random.uniform(2.5, 3.7), float(np.exp(random.uniform(0, 1.4))))
            for _ in range(160)
        ]
        self._contrasts = np.stack([_base_contrast(square, self.side) for square in self.bases.squares])
        real = [i for i, name in enumerate(self.bases.names) if not name.startswith("simulated")]
        self._real = np.array(real, dtype=int)
        self._simulated = np.setdiff1d(np.arange(len(self.bases)), self._real)

    def batch(self, size: int, step: int, spoilt: float = 0.6) -> Batch:
        """Batch number `step`; a share `spoilt` of it has defects."""
        random = np.random.default_rng((self.seed, 17, step))
        samples = [self.sample(random, spoil=k < round(spoilt * size)) for k in range(size)]
        return stack(samples)

    def sample(self, random: np.random.Generator, *, spoil: bool) -> Sample:
        """One picture, clean or with one or two defects."""
        light = self._clean(random)
        transmission, causes = self._defects(random) if spoil else (None, np.zeros(len(HEAD_CAUSES)))
        if transmission is not None:
            taken = light * (1.0 - transmission)
            light = (
                light
                - taken
                + random.uniform(0, 0.4)
                * cv2.GaussianBlur(cv2.resize(taken, (32, 32), interpolation=cv2.INTER_AREA), (0, 0), 5)
                .repeat(light.shape[0] // 32, axis=0)
                .repeat(light.shape[0] // 32, axis=1)
            )
        square = cv2.resize(_camera(light, random), (self.side, self.side), interpolation=cv2.INTER_AREA)
        image = self.preparation(square, None)
        return _with_truth(image, transmission, causes, self.side)

    def _clean(self, random: np.random.Generator) -> FloatArray:
        """A base turned, mirrored, with its contrast scaled and another instrument's gradient."""
        both = len(self._real) and len(self._simulated)
        pool = np.arange(len(self.bases))
        if both:
            pool = self._real if random.random() < self.real_share else self._simulated
        contrast = self._contrasts[random.choice(pool)]
        centre = (contrast.shape[0] - 1) / 2.0
        turn = cv2.getRotationMatrix2D(
            (centre, centre), float(random.uniform(0, 360)), float(random.uniform(0.996, 1.004))
        )
        turn[:, 2] += random.normal(0, 0.3, 2)
        contrast = cv2.warpAffine(contrast, turn, contrast.shape, flags=cv2.INTER_LINEAR)
        if random.random() < 0.5:
            contrast = contrast[:, ::-1]
        fine = float(np.exp(random.uniform(np.log(0.25), np.log(1.3))))
        if random.random() < 0.4:  # wide filters and film compression flatten fine structure most
            contrast = cv2.GaussianBlur(contrast, (0, 0), random.uniform(0.5, 2.0))
        light = _limb_profile(self.side, random) * np.maximum(1 + fine * contrast, 0.02)
        amplitude = float(np.exp(random.uniform(np.log(0.004), np.log(0.2))))
        return light * smooth_gradient(light.shape, amplitude, int(random.integers(1 << 31)))

    def _defects(self, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Transmission on the base's grid and which causes made it."""
        count = 2 if random.random() < 0.12 else 1
        chosen = random.choice(len(HEAD_CAUSES), count, replace=False, p=(0.27, 0.31, 0.17, 0.12, 0.13))
        transmission: FloatArray = np.ones((2 * self.side, 2 * self.side), np.float32)
        causes = np.zeros(len(HEAD_CAUSES))
        for index in chosen:
            transmission = transmission * self._one_defect(HEAD_CAUSES[index], random)
            causes[index] = 1.0
        return transmission, causes

    def _one_defect(self, cause: str, random: np.random.Generator) -> FloatArray:
        if cause in ("cloud", "thin_cloud"):
            height = self._fields[random.integers(len(self._fields))]
            height = np.roll(height, random.integers(0, height.shape[0], 2), axis=(0, 1))
            height = np.rot90(height, int(random.integers(4)))
            low, high = (0.12, 0.9) if cause == "cloud" else (0.004, 0.11)
            opacity = float(np.exp(random.uniform(np.log(low), np.log(high))))
            return transmission_of_height(height, opacity, random.uniform(0.25, 0.95))
        if cause == "contrail":
            opacity = float(np.exp(random.uniform(np.log(0.02), np.log(0.45))))
            width = float(np.exp(random.uniform(np.log(0.007), np.log(0.03))))
            return contrail_transmission(random, 2 * self.side, opacity, width)
        if cause == "occultation":
            return _edge(2 * self.side, random, self._fields[random.integers(len(self._fields))])
        return _dust(2 * self.side, random)


def _base_contrast(square: FloatArray, side: int) -> FloatArray:
    """Contrast of a base, as a narrow filter would show it.

    Raised contrast is undone here: a defect must be as strong against the Sun as its truth says.
    """
    contrast = remove_gradient(flatten_square(square))
    fine = fine_contrast(cv2.resize(contrast, (side, side), interpolation=cv2.INTER_AREA))
    return contrast * np.float32(NATURAL_CONTRAST / fine) if fine > RAISED_CONTRAST else contrast


def _limb_profile(side: int, random: np.random.Generator) -> FloatArray:
    mu = np.sqrt(np.clip(1 - np.square(analysis_grid(2 * side).radius), 0, None))
    u, v = random.uniform(0.3, 0.9), random.uniform(-0.2, 0.15)
    return np.maximum(1 - u * (1 - mu) - v * (1 - mu) ** 2, 0.05).astype(np.float32)


def _edge(double: int, random: np.random.Generator, ragged: FloatArray) -> FloatArray:
    """A dome's edge or foliage, as `simulate.degrade.occultation` draws it."""
    half = (double - 1) / 2.0
    y, x = np.mgrid[0:double, 0:double].astype(np.float32)
    angle = random.uniform(0, 2 * np.pi)
    along = ((x - half) * np.cos(angle) + (y - half) * np.sin(angle)) / (half / CROP_RADII)
    if random.random() < 0.4:
        along = along + 0.12 * ragged
    edge = 1.0 - 2.0 * random.uniform(0.04, 0.65)
    steep = random.uniform(0.01, 0.05)
    return np.maximum(1 / (1 + np.exp(np.clip((along - edge) / steep, -50, 50))), 0.01).astype(np.float32)


def _dust(double: int, random: np.random.Generator) -> FloatArray:
    """Discs and rings, as `simulate.degrade.dust` draws them."""
    half = (double - 1) / 2.0
    radius = half / CROP_RADII
    field_ = np.ones((double, double), np.float32)
    depth = float(np.exp(random.uniform(np.log(0.03), np.log(0.45))))
    for _ in range(1 + random.poisson(3)):
        distance, angle = 0.85 * radius * np.sqrt(random.random()), random.uniform(0, 2 * np.pi)
        centre = (half + distance * np.cos(angle), half + distance * np.sin(angle))
        outer = random.uniform(0.03, 0.09) * radius
        blob = np.zeros_like(field_)
        at = (int(16 * centre[0]), int(16 * centre[1]))
        cv2.circle(blob, at, int(16 * outer), 1.0, -1, cv2.LINE_AA, 4)
        if random.random() < 0.6:
            cv2.circle(blob, at, int(8 * outer), 0.3, -1, cv2.LINE_AA, 4)
        field_ *= 1 - depth * cv2.GaussianBlur(blob, (0, 0), 0.12 * outer + 0.3)
    return field_


def _camera(light: FloatArray, random: np.random.Generator) -> FloatArray:
    """Noise, eight bits and JPEG, as archives and films have them."""
    peak = random.uniform(150, 245)
    counts = light * np.float32(peak / max(float(np.quantile(light[::4, ::4], 0.98)), 1e-6))
    kind = random.random()
    noise = random.uniform(0.0, 1.2)
    counts = counts + random.standard_normal(light.shape, dtype=np.float32) * np.float32(noise)
    if kind < 0.35:
        return counts.astype(np.float32)  # 12 to 16 bit
    bytes_ = np.clip(np.rint(counts), 0, 255).astype(np.uint8)
    if kind < 0.6:
        return bytes_.astype(np.float32)
    quality = int(random.uniform(55, 96))
    _, packed = cv2.imencode(".jpg", bytes_, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)).astype(np.float32)


def transmission_severity(transmission: FloatArray, side: int) -> tuple[float, float]:
    """Rms deviation over the disk, and rms between R/12 and R/6 with slow gradients removed."""
    small = cv2.resize(transmission, (side, side), interpolation=cv2.INTER_AREA)
    disk = analysis_grid(side).radius < 0.96
    middle = max(float(np.median(small[disk])), 1e-3)
    contrast = np.where(analysis_grid(side).disk, small / middle - 1.0, 0.0).astype(np.float32)
    band = cloud_band(remove_gradient(contrast))
    inside = analysis_grid(band.shape[0]).radius < 0.96
    return float(contrast[disk].std()), float(band[inside].std())


def _with_truth(image: FloatArray, transmission: FloatArray | None, causes: FloatArray, side: int) -> Sample:
    if transmission is None:
        region = np.zeros((side, side), np.float32)
        return Sample(image, 0.0, region, causes, np.full(2, -4.0), 1.0)
    rms, band = transmission_severity(transmission, side)
    opacity = 1.0 - cv2.resize(transmission, (side, side), interpolation=cv2.INTER_AREA)
    disk = analysis_grid(side).radius < 0.96
    peak = float(np.quantile(opacity[disk], 0.99))
    region = disk & (opacity > max(REGION_FLOOR, REGION_SHARE * peak))
    by_band = np.log(max(band, 1e-6) / BAND_GOOD) / np.log(BAND_BAD / BAND_GOOD)
    by_rms = np.log(max(rms, 1e-6) / RMS_GOOD) / np.log(RMS_BAD / RMS_GOOD)
    degraded = float(np.clip(max(by_band, by_rms), 0, 1))
    if degraded < 0.15:  # nobody could see it
        region, causes = np.zeros_like(region), np.zeros_like(causes)
    severity = np.log10(np.maximum([rms, band], 1e-4))
    return Sample(image, degraded, region.astype(np.float32), causes, severity, 1.0)


def stack(samples: Sequence[Sample]) -> Batch:
    """Samples to one batch of float32."""
    return Batch(
        np.stack([s.image for s in samples])[:, None].astype(np.float32),
        np.array([s.degraded for s in samples], np.float32),
        np.stack([s.region for s in samples]).astype(np.float32),
        np.stack([s.causes for s in samples]).astype(np.float32),
        np.stack([s.severity for s in samples]).astype(np.float32),
        np.array([s.has_truth for s in samples], np.float32),
    )


@dataclass
class LabelledBad:
    """Bad frames of one's own: known to be spoilt, not how."""

    bases: BaseSet
    preparation: Preparation
    side: int = 128
    seed: int = 0

    def batch(self, size: int, step: int) -> Batch:
        """Turned and mirrored bad frames."""
        random = np.random.default_rng((self.seed, 23, step))
        samples = []
        for index in random.integers(0, len(self.bases), size):
            square = np.rot90(self.bases.squares[index], int(random.integers(4)))
            square = square[:, ::-1] if random.random() < 0.5 else square
            small = cv2.resize(
                np.ascontiguousarray(square), (self.side, self.side), interpolation=cv2.INTER_AREA
            )
            empty = np.zeros((self.side, self.side), np.float32)
            causes = np.zeros(len(HEAD_CAUSES))
            samples.append(Sample(self.preparation(small, None), 1.0, empty, causes, np.full(2, -2.0), 0.0))
        return stack(samples)
