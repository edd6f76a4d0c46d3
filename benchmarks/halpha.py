"""One H-alpha frame end to end against the original's way of doing it, in one run.

    python -m benchmarks.halpha [--frames 300] [--size 2048]

The original's way is that of SIQA's published code (github.com/RobertJaro/SolarImageQualityAssessment, its
KSO provider and its evaluation): sunpy `Map`, `submap` of +-1000 arcsec, as float through scikit-image's
pyramid reduction (third-order splines) to 128 x 128, contrast normalisation, then generator and classifiers
at their published size, in torch with torch's own threads; once more as two processes of one thread each,
its best case on two cores. Ours: file moved into a watched folder to result and preview committed, the
embedded house with all its parts on SQLite.
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
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from heliowatch import logs
from heliowatch.house import upgrade
from models.simulate.halpha import HalphaSun, HalphaTelescope
from models.simulate.kso_fits import write_kso_fits
from observatory.settings import LogSettings, load_settings
from observatory.storage import catalogue
from observatory.storage.catalogue import FrameFilter
from observatory.storage.frames import Status
from workers.station import Station
from workers.watching import WatchFolder

_WARM_UP = 4


def write_frames(folder: Path, count: int, size: int) -> list[Path]:
    """Write gzipped KSO-style frames that differ by their noise."""
    taken = HalphaSun(seed=5).frame(datetime(2026, 6, 1, 6, tzinfo=UTC), HalphaTelescope(size))
    random = np.random.default_rng(0)
    return [
        write_kso_fits(
            folder,
            taken.pixels + random.integers(-3, 4, taken.pixels.shape, dtype=np.int16),
            taken.date_obs + timedelta(seconds=6 * number),
            taken.pointing,
        )
        for number in range(count)
    ]


class Original:
    """The published pipeline, rebuilt from its description."""

    def __init__(self, threads: int | None = None) -> None:
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self._torch = torch
        self._generator, self._classifier = _published_networks()

    def __call__(self, path: Path) -> tuple[float, float]:
        """Return the content loss of one frame and what the classifiers say of it."""
        import astropy.units as u
        import sunpy.map
        from astropy.coordinates import SkyCoord
        from skimage.transform import pyramid_reduce

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chart = sunpy.map.Map(path)
            chart.meta["waveunit"] = "angstrom"
            corners = SkyCoord(
                [-1000, 1000] * u.arcsec, [-1000, 1000] * u.arcsec, frame=chart.coordinate_frame
            )
            square = chart.submap(corners).data
        small = pyramid_reduce(square.astype(float), downscale=square.shape[0] / 128, order=3)[:128, :128]
        image = np.clip((small - np.median(small)) / small.std(), -1.5, 1.5) / 1.5
        torch = self._torch
        with torch.no_grad():
            tensor = torch.from_numpy(image[None, None].astype(np.float32))
            logits, features = self._classifier(tensor)
            _, others = self._classifier(self._generator(tensor))
            content = sum((a - b).abs().mean() for a, b in zip(features, others, strict=True))
            return float(content), float(sum(logit.mean() for logit in logits))


def _published_networks() -> tuple[Any, Any]:
    """Generator and classifiers of the published size, instance-normalised as published."""
    from torch import nn

    from models.halpha_quality.network import PRESETS, Generator, MultiScale

    generator, classifier = Generator(PRESETS["full"]), MultiScale(PRESETS["full"])
    widest = generator.decoder[0].out_channels
    generator.decoder[0] = nn.Sequential(generator.decoder[0], nn.InstanceNorm2d(widest, affine=True))
    for scale in classifier.scales:
        for index in range(1, len(scale.layers)):
            layer = scale.layers[index]
            scale.layers[index] = nn.Sequential(layer, nn.InstanceNorm2d(layer.out_channels, affine=True))
    return generator.eval(), classifier.eval()


def time_original(paths: list[Path]) -> list[float]:
    """Seconds of each frame, one after the other, torch's own threads."""
    original = Original()
    for path in paths[:_WARM_UP]:
        original(path)
    taken = []
    for path in paths[_WARM_UP:]:
        start = time.perf_counter()
        original(path)
        taken.append(time.perf_counter() - start)
    return taken


def _original_worker(paths: list[Path], ready: object, go: object) -> None:
    original = Original(threads=1)
    original(paths[0])
    ready.release()  # type: ignore[attr-defined]
    go.wait()  # type: ignore[attr-defined]
    for path in paths:
        original(path)


def rate_original_two(paths: list[Path]) -> float:
    """Frames a second of two processes with one thread each."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    halves = [paths[::2], paths[1::2]]
    processes = [context.Process(target=_original_worker, args=(half, ready, go)) for half in halves]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    start = time.perf_counter()
    go.set()
    for process in processes:
        process.join()
    return len(paths) / (time.perf_counter() - start)


def time_ours(home: Path, single: list[Path], many: list[Path]) -> tuple[list[float], float]:
    """Latencies of frames that come one at a time, and frames a second of many at once."""
    logs.configure(LogSettings(level="ERROR"))
    incoming = home / "incoming"
    incoming.mkdir()
    settings = load_settings(data_dir=home / "data", watch=[incoming])
    upgrade(settings)
    with Station(settings, [WatchFolder(incoming.resolve())]) as station:
        time.sleep(1)
        for number, path in enumerate(single):
            path.rename(incoming / path.name)
            _until_done(station, number + 1)
            time.sleep(0.1)
        rows = catalogue.find(station.db, FrameFilter(), limit=1000, is_ascending=True)
        latencies = [row["latency_s"] for row in rows][_WARM_UP:]
        start = time.perf_counter()
        for path in many:
            path.rename(incoming / path.name)
        _until_done(station, len(single) + len(many))  # asks every 50 ms towards the end
        return latencies, len(many) / (time.perf_counter() - start)


def _until_done(station: Station, count: int) -> None:
    deadline = time.monotonic() + 300
    missing = 1
    while missing > 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not done within 300 s: {catalogue.counts(station.db)}")
        time.sleep(0.05 if missing < 10 else 0.005 * missing)  # asking costs the house time
        missing = count - catalogue.counts(station.db)[Status.DONE]


def _apart(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """Run in a process of its own, so that neither way has the other's threads and memory; also its peak, MiB."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        found = other.submit(work, *given).result()
        return found, other.submit(_peak_mib).result()


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--original-frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=2048)
    arguments = parser.parse_args()
    logs.configure(LogSettings(level="ERROR"))
    with tempfile.TemporaryDirectory(prefix="heliowatch-bench-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        staged = home / "staged"
        staged.mkdir()
        paths = write_frames(staged, 30 + _WARM_UP + arguments.frames, arguments.size)
        originals = paths[: arguments.original_frames + _WARM_UP]
        theirs, peak_theirs = _apart(time_original, originals)
        rate_two = rate_original_two(originals)
        (ours, rate), peak = _apart(time_ours, home, paths[: 30 + _WARM_UP], paths[30 + _WARM_UP :])
    latency_original, latency_ours = statistics.median(theirs), statistics.median(ours)
    rate_original = 1 / latency_original
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; frames {arguments.size}²"
    )
    print(
        f"original, one process, torch's threads   {1000 * latency_original:7.1f} ms   {1 / latency_original:6.2f} /s"
    )
    print(f"original, two processes of one thread    {'':10s}   {rate_two:6.2f} /s")
    print(f"ours, file moved in to result committed  {1000 * latency_ours:7.1f} ms   {rate:6.2f} /s")
    print(f"latency ratio                            {latency_original / latency_ours:7.1f}   (target 10)")
    print(f"throughput ratio                         {rate / rate_original:7.1f}   (target 20)")
    print(f"throughput ratio to two processes        {rate / rate_two:7.1f}")
    print(f"peak memory                              {peak:7.0f} MiB (original {peak_theirs:.0f})")


if __name__ == "__main__":
    main()
