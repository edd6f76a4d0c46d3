"""All-sky frames, files to classes, against the original's way of doing it, in one run.

    python -m benchmarks.allsky [--frames 96] [--rounds 3]

The original's way (TAME: Sado et al. 2022, and the README of its code): Pillow loads, the picture is resized to
224 x 224, ShuffleNetV2 x1.0 in torch makes its features, a linear SVM of scikit-learn says the probabilities of
six classes. As published, torch's DataLoader without workers hands over batches of 64: pictures are loaded in
line with the network, which has torch's own threads. "Helped" is the best that can be made of it on two cores,
beyond what was published: loaded on a thread beside the network, or two halves of the files side by side with one
thread each; the faster counts. Weights are random, as they do not change the time; the SVM is trained on features
of simulated pictures of six classes, and has fewer support vectors than the published one will have.

Ours is all that ``heliowatch score`` does: reading, the circle of the sky, Sun and Moon, quality with causes, six
calibrated probabilities, cloud by sector. Both have both cores; ours is two processes, as the workers are.
It is told twice: with the camera's lens in the settings, as at a station, and with the circle sought in the
pictures. How right each is stands in the model's card.

Sets: where ``HELIOWATCH_TEST_DATA`` names their folder the real THEMIS films (20 images of 256 x 256 and 16 bits a
file), their images as single PGM files, and KHO's JPEG; and simulated grey PGM, films, and JPEG of two sizes.
Pillow reads of a film only its first image: for the original films are cut by numpy, then go the same way.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from heliowatch.files import Desk
from models.simulate.allsky_cameras import TESTING_KINDS, CameraKind
from models.simulate.allsky_files import write_film, write_picture
from models.simulate.allsky_night import Night, Weather, night_camera
from models.simulate.allsky_sampling import sample
from models.simulate.allsky_sites import TESTING_SITES
from observatory.instruments import Limits, read_file
from observatory.settings import Settings, load_settings
from observatory.sky_circle import find_circle

_BATCH = 64
_SIDE = 224
_LEARNED = 240
_LEAST = 400  # frames of a measurement
_CORES = 2
_STATION = "benchmarked"


@dataclass(frozen=True)
class Frames:
    """One set of files.

    Attributes
    ----------
    instrument : str
        As our command is told.
    count : int
        Frames in all files.
    """

    name: str
    files: list[Path]
    instrument: str
    count: int


@dataclass(frozen=True)
class Taken:
    """Seconds on the clock, and of the processor, for one frame."""

    wall_s: float
    cpu_s: float


class Original:
    """The published way, rebuilt from its description."""

    def __init__(self) -> None:
        import torch
        from sklearn.svm import SVC

        from models.aurora.backbones import ShuffleNetV2

        self._torch = torch
        torch.manual_seed(0)
        self._network = ShuffleNetV2().eval()
        random = np.random.default_rng(7)
        given = [sample(random, 160) for _ in range(_LEARNED)]
        known = [(pixels, truth.sky_class.value) for pixels, _, truth in given if truth.sky_class]
        features = np.concatenate(
            [self._features([_resized(pixels) for pixels, _ in part]) for part in _batched(known, _BATCH)]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._head = SVC(kernel="linear", probability=True, random_state=0)
            self._head.fit(features, [name for _, name in known])

    def published(self, paths: Sequence[Path]) -> np.ndarray:
        """Probabilities of all files: a batch is loaded, then the network works on it."""
        self._torch.set_num_threads(_CORES)
        loaded = chain.from_iterable(map(_loaded, paths))
        return np.concatenate([self._said(part) for part in _batched(loaded, _BATCH)])

    def helped(self, paths: Sequence[Path], threads: int) -> np.ndarray:
        """The same; `threads` of torch's own, or (1) two threads beside each other."""
        self._torch.set_num_threads(threads)
        with ThreadPoolExecutor(_CORES) as pool:
            if threads > 1:
                loaded = chain.from_iterable(pool.map(_loaded, paths))  # goes on while the network works
                return np.concatenate([self._said(part) for part in _batched(loaded, _BATCH)])
            share = max(min(_BATCH, -(-len(paths) // _CORES)), 1)
            parts = pool.map(self._worked, _batched(paths, share))
            return np.concatenate(list(parts))

    def _worked(self, paths: Sequence[Path]) -> np.ndarray:
        loaded = chain.from_iterable(_loaded(path) for path in paths)
        return np.concatenate([self._said(part) for part in _batched(loaded, _BATCH)])

    def _said(self, pictures: list[np.ndarray]) -> np.ndarray:
        return np.asarray(self._head.predict_proba(self._features(pictures)))

    def _features(self, pictures: list[np.ndarray]) -> np.ndarray:
        torch = self._torch
        given = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(255.0)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        with torch.inference_mode():
            return self._network((given - mean) / std)[1].mean(dim=(2, 3)).numpy()


def _batched(given: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """As itertools.batched, which is younger than the oldest Python that we run on."""
    rest = iter(given)
    while part := list(islice(rest, size)):
        yield part


def _loaded(path: Path) -> list[np.ndarray]:
    """Pictures of a file as the network takes them."""
    from PIL import Image

    if "_full" in path.name:
        return [_resized(pixels) for pixels in _images(path)]
    with Image.open(path) as picture:
        if picture.mode in ("L", "RGB"):
            return [np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))]
        return [_resized(np.asarray(picture))]


def _resized(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = (pixels * (255.0 / max(int(pixels.max()), 1))).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    return np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))


def _simulated(count: int, *, is_colour: bool, size_px: int) -> list[tuple[datetime, np.ndarray]]:
    """Frames of one night with aurora and cloud, a minute apart."""
    kind = _kind(is_colour=is_colour)
    night = Night(TESTING_SITES[0], date(2025, 12, 20), 3, weather=Weather.PASSING, activity=0.9)
    camera = night_camera(kind, 2, size_px)
    first = datetime.fromtimestamp(night.noon_s, UTC) + timedelta(hours=8)
    times = [first + timedelta(minutes=number * 480 / count) for number in range(count)]
    return [(moment, night.frame_at(moment, camera).pixels) for moment in times]


def _kind(*, is_colour: bool) -> CameraKind:
    random = np.random.default_rng(1)
    for kind in TESTING_KINDS:
        pixels = sample(random, 96, [kind])[0]
        if (pixels.ndim == 3) is is_colour and (is_colour or pixels.dtype == np.uint16):
            return kind
    raise LookupError("no simulated camera is of that kind")


def _simulated_sets(folder: Path, count: int) -> list[Frames]:
    place = TESTING_SITES[0]
    films = folder / "films"
    films.mkdir()
    grey = _simulated(count, is_colour=False, size_px=250)
    films_made = [write_film(films, part, place) for part in _batched(grey, 20)]
    single = [_single_pgm(folder, f"sim{n:04d}", pixels) for n, (_, pixels) in enumerate(grey)]
    sets = [Frames(f"PGM {_size(grey)}, simulated", single, "allsky", count)]
    sets.append(Frames("the same in films of 20, gz", films_made, "allsky", count))
    for size_px, number in ((460, count), (1400, max(count // 6, 8))):
        colour = _simulated(number, is_colour=True, size_px=size_px)
        files = [
            write_picture(_made(folder / f"jpeg{size_px}"), pixels, when, place) for when, pixels in colour
        ]
        sets.append(Frames(f"JPEG {_size(colour)}, simulated", files, "allsky", number))
    return sets


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _size(frames: list[tuple[datetime, np.ndarray]]) -> str:
    height, width = frames[0][1].shape[:2]
    return f"{width}x{height}"


def _single_pgm(folder: Path, name: str, pixels: np.ndarray) -> Path:
    height, width = pixels.shape
    peak = 255 if pixels.dtype == np.uint8 else 65535
    path = folder / f"{name}.pgm"
    data = pixels.astype(np.uint8 if peak == 255 else ">u2").tobytes()
    path.write_bytes(f"P5\n{width} {height}\n{peak}\n".encode() + data)
    return path


def _real_sets(folder: Path) -> list[Frames]:
    root = os.environ.get("HELIOWATCH_TEST_DATA")
    if not root or not (Path(root) / "allsky").is_dir():
        return []
    sky = Path(root) / "allsky"
    films = sorted((sky / "themis").glob("*_full.pgm*"))
    images = list(chain.from_iterable(_images(path) for path in films))
    themis = [_single_pgm(folder, f"themis{n:02d}", pixels) for n, pixels in enumerate(images)]
    kho = sorted((sky / "kho_2014").glob("*.jpg"))[1:]  # the first is black
    return [
        Frames("PGM films 256x256, THEMIS", films, "themis-asi", len(images)),
        Frames("the same, an image a file", themis, "themis-asi", len(images)),
        Frames("JPEG 480x720, KHO", kho, "allsky", len(kho)),
    ]


def _images(path: Path) -> list[np.ndarray]:
    """Images of a film: P5, lines of comment, width and height, 65535, and then 16 bits a pixel."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found, place = [], 0
    while place < len(data):
        end = data.index(b"\n65535\n", place)
        size = data[data.rindex(b"\n", place, end) + 1 : end] if b"\n" in data[place:end] else b""
        width, height = (int(word) for word in size.split())
        place = end + len(b"\n65535\n")
        found.append(
            np.frombuffer(data, ">u2", width * height, place).reshape(height, width).astype(np.uint16)
        )
        place += 2 * width * height
    return found


def _often(frames: Frames) -> Frames:
    """The files again and again, so that to hand out and to gather weighs nothing, and both cores get as many."""
    times = 2 * -(-_LEAST // (2 * frames.count))
    return replace(frames, files=frames.files * times, count=frames.count * times)


def _time(work: Callable[[], object], count: int) -> Taken:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Taken((time.perf_counter() - wall) / count, (time.process_time() - cpu) / count)


@dataclass(frozen=True)
class Ours:
    """Our way, in processes that wait between two runs."""

    pool: ProcessPoolExecutor
    settings: Settings

    def __call__(self, frames: Frames, instrument: str) -> Taken:
        """Time of a frame; each process takes a half of the files, which come again and again."""
        share = len(frames.files) // _CORES
        start = time.perf_counter()
        parts = [
            self.pool.submit(_scored, self.settings, frames.files[n * share :][:share], instrument, core)
            for n, core in enumerate(sorted(os.sched_getaffinity(0)))
        ]
        told = [part.result() for part in parts]
        wall = time.perf_counter() - start
        if sum(count for count, _ in told) != frames.count:
            raise RuntimeError(f"{frames.name}: {told} reports of {frames.count} frames")
        return Taken(wall / frames.count, sum(cpu for _, cpu in told) / frames.count)


_desks: dict[str, Desk] = {}


def _scored(settings: Settings, files: list[Path], instrument: str, core: int) -> tuple[int, float]:
    """Reports and seconds of the processor, in a process of the pool, whose Desk stays."""
    os.sched_setaffinity(0, {core})
    key = settings.model_dump_json()
    if key not in _desks:
        _desks[key] = Desk(settings)
    desk = _desks[key]
    cpu = time.process_time()
    reports = list(desk.score(files, instrument))
    failed = next((report for report in reports if report.error), None)
    if failed is not None:
        raise RuntimeError(f"{failed.file}: {failed.error}")
    return len(reports), time.process_time() - cpu


def _with_lens(frames: Frames) -> Settings:
    """Settings of a station whose lens is that of a set's first picture."""
    first = read_file(frames.files[0], Limits(), instrument=frames.instrument).frame(0)
    circle = find_circle(first.pixels)
    if circle is None:
        raise RuntimeError(f"{frames.files[0]} shows no sky")
    lens = {name: float(getattr(circle, name)) for name in ("center_x_px", "center_y_px", "radius_px")}
    return load_settings(instruments={_STATION: {"kind": frames.instrument, "fisheye": lens}})


def _best(taken: Sequence[Taken]) -> Taken:
    return Taken(min(item.wall_s for item in taken), min(item.cpu_s for item in taken))


def _measured(frames: Frames, original: Original, pool: ProcessPoolExecutor, rounds: int) -> str:
    ours = Ours(pool, _with_lens(frames))
    ways: list[Callable[[], list[Taken]]] = [
        lambda: [_time(lambda: original.published(frames.files), frames.count)],
        lambda: [_time(lambda n=n: original.helped(frames.files, n), frames.count) for n in (_CORES, 1)],  # type: ignore[misc]
        lambda: [ours(frames, _STATION)],
        lambda: [ours(frames, frames.instrument)],
    ]
    for _ in range(2):  # both processes, for memory and kernels
        ways[2](), ways[3]()
    taken: list[list[Taken]] = [[] for _ in ways]
    for _ in range(rounds):
        for kept, way in zip(taken, ways, strict=True):
            kept += way()
    published, helped, *both = (_best(items) for items in taken)
    told = [f"{frames.name:<30}{frames.count:>5}"]
    told += [f"{1 / one.wall_s:8.1f}{1000 * one.cpu_s:7.2f}" for one in (published, helped, *both)]
    told += [f"{theirs.wall_s / one.wall_s:8.2f}" for theirs in (published, helped) for one in both]
    return "".join(told)


def main() -> None:
    """Measure both in turns and print the best of the rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
    with tempfile.TemporaryDirectory(prefix="heliowatch-bench-") as name:
        sets = _real_sets(Path(name)) + _simulated_sets(Path(name), arguments.frames)
        original = Original()
        print(f"{platform.machine()}, {_CORES} cores, Python {platform.python_version()}")
        print(
            f"load of the machine at the start: {os.getloadavg()[0]:.1f}; best of {arguments.rounds} rounds"
        )
        heads = ("as published", "helped", "ours, lens set", "ours, sought", "to published", "to helped")
        print(f"{'':<35}" + "".join(f"{head:>{15 if n < 4 else 16}}" for n, head in enumerate(heads)))
        print(f"{'set':<30}{'n':>5}" + f"{'/s':>8}{'cpu ms':>7}" * 4 + f"{'set':>8}{'sought':>8}" * 2)
        with ProcessPoolExecutor(_CORES, mp_context=multiprocessing.get_context("spawn")) as pool:
            for frames in sets:
                print(_measured(_often(frames), original, pool, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
