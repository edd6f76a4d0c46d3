"""A colour picture of three 4096 x 4096 frames against the original's way of making it, in one run.

    python -m benchmarks.composite [--rounds 5] [--size 4096]

The original's way (AIA-reloaded): astropy, float64, padding and turning of the whole frame, percentiles
of it, gamma by powers, mixing, CIELab, each step on whole arrays. Ours: the same three Rice-compressed
FITS files, read to a JPEG of the same size and quality, once with all cores for one set and once with a
set a core. Each way runs in a process of its own, so that each has its own peak of memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CHANNELS = (304, 171, 193)
PERCENTILES_HIGH, GAMMA = (99.5, 99.99, 99.85), (2.8, 2.8, 2.4)
MIXING = np.array([[1.0, 0.6, -0.3], [0.0, 1.0, 0.1], [0.0, 0.1, 1.0]])
STRETCH, LAB = 20, (1.0, 0.96, 1.04)
NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)


def write_frames(folder: Path, size: int) -> list[Path]:
    """Write three Rice-compressed frames of the simulated Sun, a little turned and off the centre."""
    from models.simulate.aia import AiaSun, AiaTelescope
    from models.simulate.aia_fits import write_aia_fits

    # Drawn at 1024 and enlarged: what counts here is the number of pixels, and their noise.
    sun, random = AiaSun(3), np.random.default_rng(0)
    paths = []
    for number, channel in enumerate(CHANNELS):
        telescope = AiaTelescope(min(size, 1024), channel, roll_deg=0.2, center_offset_px=(1.5, -2.0))
        taken = sun.frame(NOON + timedelta(seconds=number), telescope)
        paths.append(write_aia_fits(folder / f"aia_{channel}.fits", taken))
        if size > 1024:
            _enlarge(paths[-1], size, random)
    return paths


def _enlarge(path: Path, size: int, random: np.random.Generator) -> None:
    from astropy.io import fits

    with fits.open(path) as opened:
        (hdu,) = [one for one in opened if one.data is not None]
        header, data = hdu.header.copy(), np.asarray(hdu.data, np.float32)
    factor = size / data.shape[0]
    large = cv2.resize(data, (size, size), interpolation=cv2.INTER_CUBIC)
    large = random.poisson(np.clip(large, 0, None)).astype(np.int16)
    for key in ("CRPIX1", "CRPIX2"):
        header[key] = (header[key] - 0.5) * factor + 0.5
    for key in ("CDELT1", "CDELT2"):
        header[key] /= factor
    if "R_SUN" in header:
        header["R_SUN"] *= factor
    for key in ("BZERO", "BSCALE", "BLANK"):
        header.remove(key, ignore_missing=True)
    packed = fits.CompImageHDU(large, header, compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path, overwrite=True)


def original(paths: Sequence[Path], out: Path) -> None:
    """Compose as published: reference levels of the very set, one JPEG."""
    planes = [_prepared(path) for path in paths]
    low = [np.percentile(plane, 25) for plane in planes]
    high = [np.percentile(plane, share) for plane, share in zip(planes, PERCENTILES_HIGH, strict=True)]
    scaled = []
    for number, plane in enumerate(planes):
        share = (plane - low[number]) / (high[number] - low[number])
        scaled.append(np.clip(share, 0, 1) ** (1 / GAMMA[number]))
    mixed = [sum(row[k] * scaled[k] for k in range(3)) for row in MIXING]
    stack = np.stack(mixed, axis=-1).astype(np.float32).clip(0, 1) * 255
    stack = ((stack - STRETCH) * 255 / (255 - STRETCH)).clip(0, 255)
    bgr = np.flipud(np.flip(stack, axis=2))
    lab = cv2.cvtColor((bgr - bgr.min()) / (bgr.max() - bgr.min()), cv2.COLOR_BGR2Lab)
    light, a, b = (lab[..., number] for number in range(3))
    lab = np.stack([light * 255 / 100 * LAB[0], (a + 128) * LAB[1], (b + 128) * LAB[2]], axis=-1)
    picture = cv2.cvtColor(lab.clip(0, 255).astype(np.uint8), cv2.COLOR_Lab2BGR)
    cv2.imwrite(str(out), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])


def _prepared(path: Path) -> np.ndarray:
    """Normalise, pad, turn and recentre a frame, cut to its size again."""
    from astropy.io import fits

    with fits.open(path) as opened:
        header, data = opened[1].header, opened[1].data.astype(np.float64)
    data /= header["EXPTIME"]
    size = data.shape[0]
    reference = np.array([header["CRPIX1"] - 1, header["CRPIX2"] - 1])
    shift = int(np.ceil(np.abs(reference - (size - 1) / 2).max() + 1 + size * 0.02))
    padded = np.zeros((size + 2 * shift, size + 2 * shift))
    padded[shift : shift + size, shift : shift + size] = data
    reference = reference + shift
    scale = header["CDELT1"] / (0.6 * 4096 / size)
    turn = cv2.getRotationMatrix2D((float(reference[0]), float(reference[1])), -header["CROTA2"], scale)
    turn[:, 2] += (padded.shape[0] - 1) / 2 - reference
    # As in the original: the flag lands in the place of the output array, so the turn is bilinear.
    turned = cv2.warpAffine(padded, turn, padded.shape)
    middle = padded.shape[0] // 2
    return turned[middle - size // 2 : middle + size // 2, middle - size // 2 : middle + size // 2]


def ours(paths: Sequence[Path], out: Path, threads: int = 1) -> None:
    """Compose as `heliowatch composite` does."""
    from observatory.instruments import Limits, read_file
    from observatory.settings import LookSettings
    from workers.products import composite
    from workers.products.sun_view import SunView

    look, limits = LookSettings(), Limits(1 << 30, 1 << 30, 1 << 28, 10)

    def channel(path: Path) -> composite.Channel:
        return composite.channel_of(read_file(path, limits).frame())

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            channels = list(pool.map(channel, paths))
    else:
        channels = [channel(path) for path in paths]
    side = channels[0].pixels.shape[0]
    levels = composite.levels_of(channels, look)
    rgb = composite.compose(channels, look, levels, SunView.full(side), threads=threads)
    out.write_bytes(composite.encoded(rgb, "composite").data)


def _process(name: str, paths: list[Path], out: Path, rounds: int, cores: int, answer: Any) -> None:
    makers: dict[str, Callable[[], None]] = {
        "original": lambda: original(paths, out),
        "ours": lambda: ours(paths, out, threads=cores),
        "ours, a set a core": lambda: _several(paths, out, cores),
    }
    if name != "original":
        cv2.setNumThreads(1)
    makers[name]()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        makers[name]()
        taken.append(time.perf_counter() - start)
    answer.put((statistics.median(taken), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _several(paths: list[Path], out: Path, cores: int) -> None:
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda number: ours(paths, out.with_suffix(f".{number}.jpg")), range(cores)))


def measure(name: str, paths: list[Path], out: Path, rounds: int, cores: int) -> tuple[float, float]:
    """Median seconds and peak MiB of one way, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_process, args=(name, paths, out, rounds, cores, answer))
    process.start()
    found: tuple[float, float] = answer.get()
    process.join()
    return found


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--keep", type=Path, help="folder for both pictures, to look at")
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="heliowatch-bench-") as name:
        home = Path(name)
        paths = write_frames(home, arguments.size)
        out = arguments.keep or home
        out.mkdir(parents=True, exist_ok=True)
        theirs = measure("original", paths, out / "original.jpg", arguments.rounds, cores)
        one = measure("ours", paths, out / "ours.jpg", arguments.rounds, cores)
        many = measure("ours, a set a core", paths, out / "ours.jpg", arguments.rounds, cores)
        apart = np.abs(
            cv2.imread(str(out / "original.jpg")).astype(int) - cv2.imread(str(out / "ours.jpg")).astype(int)
        )
    size = arguments.size
    print(
        f"{platform.machine()}, {cores} cores, Python {platform.python_version()}; 3 frames of {size}², Rice"
    )
    print(f"original                    {theirs[0]:6.2f} s a set   peak {theirs[1]:6.0f} MiB")
    print(f"ours, all cores on one set  {one[0]:6.2f} s a set   peak {one[1]:6.0f} MiB   (target 2 s)")
    print(f"ours, a set a core          {many[0] / cores:6.2f} s a set   peak {many[1]:6.0f} MiB")
    print(f"ratio                       {theirs[0] / one[0]:6.1f}")
    print(f"ratio, a set a core         {theirs[0] / (many[0] / cores):6.1f}")
    print(f"mean difference of the two pictures: {apart.mean():.1f} of 255")


if __name__ == "__main__":
    main()
