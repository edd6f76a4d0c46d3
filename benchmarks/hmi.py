"""A full disk of HMI enhanced from 4096² to 8192² end to end, against the published network alone, in one run.

    python -m benchmarks.hmi [--size 4096] [--rounds 3] [--threads 2] [--quantity continuum] [--truth FILE.npy]

The original's way (Enhance, Díaz Baso & Asensio Ramos 2018) is counted by its network and nothing else:
``keepsize`` as this project trained it, in ONNX Runtime, on tiles of the frame without overlap, of the size
and with the kind of threads that suit it best. Where that takes longer than ``--patience``, a part of the
tiles is run and scaled by area, and the output says so.

Ours is a Rice-compressed FITS file to another one: read, quality, enhancement with trust map, the enhanced
FITS file written. Each runs in a process of its own, so that each has its own peak of memory. The frame is
simulated and written as the archive writes it. How right either is comes from ``models evaluate``, on the
rows of the MHD picture that trained neither.
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
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PUBLISHED = "hmi_enhancement_published"
FULL_DISK_PX = 4096
TILES_PX = (128, 256, 512)
_TRIED_PX = 512 * 512  # input pixels on which a size of tiles is tried
_REACH_ROWS = 20  # of the truth: what trained is blurred over the border, too
_MHD = Path("hmi") / "mhd" / "continuum_48km_left.npy"


@dataclass
class Stages:
    """Seconds of each stage, a list for the rounds."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - start)

    def medians(self) -> dict[str, float]:
        """One number for each stage."""
        return {name: statistics.median(taken) for name, taken in self.seconds.items()}


def write_frame(folder: Path, size: int, quantity: str) -> Path:
    """Write a simulated full disk as the archive does; of another size the middle of one."""
    from models.simulate.hmi import HmiTelescope, full_disk
    from models.simulate.hmi_fits import write_hmi_fits
    from observatory.analysis import Quantity

    edge = (FULL_DISK_PX - size) // 2
    window = None if size == FULL_DISK_PX else (edge, edge, edge + size, edge + size)
    disk = full_disk(
        np.random.default_rng(7), quantity=Quantity(quantity), telescope=HmiTelescope(window_px=window)
    )
    return write_hmi_fits(folder, disk)


def ours(path: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Seconds of each stage from file to file, peak memory, and what was found."""
    import cv2

    from models.hmi_enhancement.inference import HmiEnhancement
    from models.hmi_quality import HmiQuality
    from models.runtime import Runtime
    from observatory.instruments import Limits, read_file
    from observatory.storage.enhancements import enhancement_payload
    from workers.products.enhanced import enhanced_fits

    cv2.setNumThreads(threads)
    quality, enhancement = HmiQuality(), HmiEnhancement(Runtime(), threads=threads)
    enhancement.warm_up()
    stages, out = Stages(), path.with_name("enhanced.fits")
    for _ in range(rounds):
        with stages.stage("whole"):
            with stages.stage("read"):
                frame = read_file(path, Limits()).frame(0)
            with stages.stage("quality"):
                quality.analyse(frame)
            with stages.stage("enhance"):
                made = enhancement.enhance(frame)
            with stages.stage("write"):
                out.write_bytes(enhanced_fits(frame, made).data)
    return {
        "stages": stages.medians(),
        "peak_mib": _peak_mib(),
        "shape": made.pixels.shape,
        "bytes": out.stat().st_size,
        "said": enhancement_payload(made),
        "model": made.model.label,
    }


def published(path: Path, threads: int, patience_s: float) -> dict[str, Any]:
    """Seconds that the published network takes for the tiles of the frame, by what suits it best."""
    from models.registry import load
    from models.runtime import Runtime
    from observatory.instruments import Limits, read_file

    network = load(PUBLISHED)
    pixels = read_file(path, Limits()).frame(0).pixels.astype(np.float32)
    level = np.nanmedian(pixels) or 1.0
    image = np.nan_to_num(pixels / level, nan=0.0).astype(np.float32)
    rates = {}
    for intra, callers in {(threads, 1), (1, threads)}:
        session = Runtime(intra_op_threads=intra, arena=False).session(network.path)
        for tile in TILES_PX:
            tiles = _tiles(image, tile)
            middle = len(tiles) // 2
            tried = tiles[middle : middle + max(2 * callers, _TRIED_PX // tile**2)]
            _run(session, tried[:callers], callers)
            rates[intra, callers, tile] = len(tried) * tile**2 / _run(session, tried, callers)
    (intra, callers, tile), rate = max(rates.items(), key=lambda item: item[1])
    session = Runtime(intra_op_threads=intra, arena=False).session(network.path)
    tiles = _tiles(image, tile)
    share = min(1.0, patience_s * rate / image.size)
    part = tiles[:: max(1, round(1 / share))] if share < 1 else tiles
    seconds = _run(session, part, callers)
    return {
        "seconds": seconds * len(tiles) / len(part),
        "share": len(part) / len(tiles),
        "disk": _share_on_disk(pixels),
        "how": f"tiles of {tile}², {callers} at once with {intra} thread{'s' * (intra > 1)} each",
        "peak_mib": _peak_mib(),
    }


def _tiles(image: np.ndarray, side: int) -> list[np.ndarray]:
    """Cut without overlap; what is left over at the far edges is left out."""
    return [
        np.ascontiguousarray(image[None, None, y : y + side, x : x + side])
        for y in range(0, image.shape[0] - side + 1, side)
        for x in range(0, image.shape[1] - side + 1, side)
    ]


def _run(session: Any, tiles: list[np.ndarray], callers: int) -> float:
    """Seconds for all tiles."""
    start = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        for _ in pool.map(lambda tile: session.run({"image": tile}), tiles):
            pass
    return time.perf_counter() - start


def _share_on_disk(pixels: np.ndarray) -> float:
    return float(np.isfinite(pixels).mean())


def figures(truth: Path | None, rows: str) -> list[str]:
    """PSNR of both networks and of bicubic interpolation on rows that trained neither, one line each."""
    from models.hmi_enhancement.evaluate import evaluate
    from models.hmi_enhancement.options import NETWORKS, EvaluateOptions

    if truth is None or not truth.exists():
        return ["no MHD picture at hand (--truth): what either network reaches stands in the card"]
    with (NETWORKS / "continuum" / "manifest.toml").open("rb") as manifest:
        trained = tomllib.load(manifest)["training"].get("truths", [])
    ends = [entry["rows"].partition(":")[2] for entry in trained if entry["name"] == truth.name]
    rows = rows or (f"{int(ends[0]) + _REACH_ROWS}:" if ends and ends[0] else "")
    found = evaluate(EvaluateOptions(truth, rows=rows, threads=os.cpu_count() or 1))
    said = [f"{truth.name}, rows {rows or 'all'}{' (TRAINED ON)' if found['trained_on'] else ''}"]
    for entry in found["methods"]:
        said.append(f"  {entry['method']:<16} {entry['psnr']:6.2f} dB   SSIM {entry['ssim']:.4f}")
    return said


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _alone(work: Any, *arguments: Any) -> Any:
    """Run in a fresh process, so that its peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    """Measure both and print the ratio."""
    data = os.environ.get("HELIOWATCH_TEST_DATA")
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=FULL_DISK_PX, help="less: the middle of the frame")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quantity", choices=("continuum", "field"), default="continuum")
    parser.add_argument("--patience", type=float, default=240.0, help="seconds for the published network")
    parser.add_argument("--truth", type=Path, default=Path(data) / _MHD if data else None)
    parser.add_argument("--rows", default="", help="FIRST:END of the truth; default: after those trained on")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heliowatch-bench-") as name:
        path = _alone(write_frame, Path(name), arguments.size, arguments.quantity)
        size_mb = path.stat().st_size / 1e6
        mine = _alone(ours, path, arguments.threads, arguments.rounds)
        theirs = _alone(published, path, arguments.threads, arguments.patience)
    _report(arguments, size_mb, mine, theirs)
    print("\n".join(figures(arguments.truth, arguments.rows)))


def _report(
    arguments: argparse.Namespace, size_mb: float, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    from heliowatch.enhancement_words import in_words

    stages, seconds = mine["stages"], theirs["seconds"]
    whole = stages["whole"]
    part = "" if theirs["share"] == 1 else f" (scaled from {100 * theirs['share']:.0f} % of the tiles)"
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"simulated HMI {arguments.quantity}, {arguments.size}², Rice-compressed ({size_mb:.1f} MB)")
    print(f"{arguments.threads} threads each; median of {arguments.rounds} rounds of ours")
    print(f"published network alone, whole frame   {seconds:8.2f} s{part}")
    print(f"  {theirs['how']}; {theirs['peak_mib']:.0f} MiB")
    print(f"published network alone, disk alone    {seconds * theirs['disk']:8.2f} s")
    print(f"ours, file to file                     {whole:8.2f} s   ({mine['model']})")
    for stage in ("read", "quality", "enhance", "write"):
        print(f"  {stage:<10} {stages[stage]:6.2f} s")
    print(f"ratio, whole frame                     {seconds / whole:8.1f}   (at least 10, goal 30)")
    print(f"ratio, disk alone                      {seconds * theirs['disk'] / whole:8.1f}")
    rows, columns = mine["shape"]
    print(f"peak memory of ours                    {mine['peak_mib']:8.0f} MiB (below 4096)")
    print(f"{columns} x {rows} px, {mine['bytes'] / 1e6:.1f} MB written; {in_words(mine['said'])}")


if __name__ == "__main__":
    main()
