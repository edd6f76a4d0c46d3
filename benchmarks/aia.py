"""Segmentation of a 4096² AIA frame end to end against the original's way of doing it, in one run.

    python -m benchmarks.aia [--frames 12] [--size 4096]

The original's way (SCSS-Net, Mackovjak et al. 2021): sunpy `Map`, resampled to 256 x 256, scaled to 0-1,
the U-Net of 32 filters and 4 levels of its published code (github.com/space-lab-sk/scss-net) in torch with
torch's own threads, threshold 0.5. Its weights are random here, as they do not change the time.

Ours: the file's bytes to regions with outlines, areas and coordinates of both kinds of event (``analysis``),
and the whole pipeline with quality and preview (``pipeline``). How right either is stands in the model's
card. Frames are simulated, written as the archive writes them: Rice-compressed int16. They are decoded
by the compiled decoder where numba is installed (``--decoder c`` measures without it).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.aia_segmentation.inference import AiaSegmentation
from models.runtime import Runtime
from models.simulate.aia import AiaSun, AiaTelescope, write_aia_fits
from observatory.frame import Frame
from observatory.instruments import Limits, read_file
from observatory.instruments.formats.rice import compile_decoder
from workers.memory import keep_memory
from workers.pipelines.aia import AiaPipeline
from workers.pipelines.base import Stopwatch

_WARM_UP = 2
_LIMITS = Limits()


def write_frames(folder: Path, count: int, size: int) -> list[Path]:
    """Write AIA 193 frames some hours apart."""
    sun, first = AiaSun(seed=11), datetime(2026, 6, 1, tzinfo=UTC)
    times = [first + timedelta(hours=7 * number) for number in range(count)]
    return [write_aia_fits(folder, sun.frame(time, AiaTelescope(size))) for time in times]


class Original:
    """The published pipeline, rebuilt from its description."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._network = _published_network()

    def __call__(self, path: Path) -> np.ndarray:
        """Return the mask of one frame, 256 x 256."""
        import astropy.units as u
        import sunpy.map

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chart = sunpy.map.Map(path)
            small = chart.resample([256, 256] * u.pix).data.astype(np.float32)
        low, high = np.percentile(small, (1, 99))
        image = np.clip((small - low) / (high - low), 0, 1).astype(np.float32)
        with self._torch.no_grad():
            logits = self._network(self._torch.from_numpy(image[None, None]))
            return (self._torch.sigmoid(logits)[0, 0] > 0.5).numpy()


def _published_network(filters: int = 32, levels: int = 4) -> Any:
    """The U-Net as published: nearest enlarging, joined at full width, transposed 3x3 convolutions."""
    import torch
    from torch import nn

    def block(kind: type[nn.Module], given: int, wanted: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for inputs in (given, wanted):
            layers += [kind(inputs, wanted, 3, padding=1), nn.BatchNorm2d(wanted), nn.ReLU()]
        return nn.Sequential(*layers)

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [filters * 2**level for level in range(levels + 1)]
            self.down = nn.ModuleList(
                block(nn.Conv2d, given, wanted) for given, wanted in pairwise([1, *widths])
            )
            self.up = nn.ModuleList(
                block(nn.ConvTranspose2d, wide + narrow, narrow)
                for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True)
            )
            self.exit = nn.Conv2d(filters, 1, 1)

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            kept = []
            for level, layer in enumerate(self.down):
                value = layer(value)
                if level < levels:
                    kept.append(value)
                    value = nn.functional.max_pool2d(value, 2)
            for layer in self.up:
                enlarged = nn.functional.interpolate(value, scale_factor=2.0)
                value = layer(torch.cat([enlarged, kept.pop()], dim=1))
            return self.exit(value)

    return Published().eval()


def _time(work: Callable[[Path], object], paths: list[Path]) -> float:
    """Median seconds of a frame, one after the other."""
    for path in paths[:_WARM_UP]:
        work(path)
    taken = []
    for path in paths:
        start = time.perf_counter()
        work(path)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _rate(work: Callable[[Path], object], paths: list[Path], threads: int) -> float:
    """Frames a second of several threads."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in pool.map(work, paths):
            pass
        return len(paths) / (time.perf_counter() - start)


def _read(path: Path) -> Frame:
    return read_file(path, _LIMITS).frame(0)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--decoder", choices=("best", "c"), default="best")
    arguments = parser.parse_args()
    if arguments.decoder == "c":
        sys.modules["numba"] = None  # type: ignore[assignment]  # as if it were not installed
    is_compiled = compile_decoder()
    keep_memory()  # as in the worker, like one thread a frame
    cv2.setNumThreads(1)
    runtime = Runtime(intra_op_threads=1)
    model, pipeline = AiaSegmentation(runtime), AiaPipeline(runtime)
    with tempfile.TemporaryDirectory(prefix="heliowatch-bench-") as name:
        # In a process of its own: what simulating takes is not part of our peak.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as studio:
            paths = studio.submit(write_frames, Path(name), arguments.frames, arguments.size).result()
        analysis = _time(lambda path: model.analyse(_read(path)), paths)
        whole = _time(lambda path: pipeline.run(_read(path), Stopwatch()), paths)
        peak_of_one = _peak_mib()
        rate = _rate(lambda path: pipeline.run(_read(path), Stopwatch()), paths * 2, os.cpu_count() or 1)
        decoding = _time(_read, paths)
        peak_of_all = _peak_mib()
        theirs = _time(Original(), paths)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{arguments.frames} simulated AIA 193 frames of {arguments.size}², Rice-compressed; medians")
    print(f"decoder: {'compiled' if is_compiled else 'C, on two threads'}")
    print(f"original, Map to mask                     {1000 * theirs:7.1f} ms")
    print(f"ours, file to regions (analysis)          {1000 * analysis:7.1f} ms")
    print(f"ours, with quality and preview (pipeline) {1000 * whole:7.1f} ms   {rate:.1f} /s on all cores")
    print(f"of that reading and decoding              {1000 * decoding:7.1f} ms")
    print(f"ratio, analysis                           {theirs / analysis:7.1f}   (at least 4, goal 6)")
    print(f"ratio, pipeline                           {theirs / whole:7.1f}")
    print(
        f"peak memory, one frame at a time          {peak_of_one:7.0f} MiB; on all cores {peak_of_all:.0f} MiB"
    )
    print(f"peak memory with the original             {_peak_mib():7.0f} MiB")


if __name__ == "__main__":
    main()
