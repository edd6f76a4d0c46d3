"""Files and arrays in, answers out: no server, no database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson

from heliowatch.folders import make_folder, write_whole
from models.registry import sha256_of
from models.runtime import Runtime
from observatory.analysis import CauseProbability, Quality, Sky, Threshold
from observatory.camera import camera_of
from observatory.errors import UnusableInputError
from observatory.frame import Frame, RowOrder
from observatory.instruments import Opened, instrument_names, kind_of, kinds, read_file
from observatory.regions import mask, region_json
from observatory.settings import Settings, load_settings
from observatory.sky import Site
from observatory.storage.enhancements import ANALYSIS as ENHANCEMENT
from observatory.storage.results import quality_payload
from observatory.storage.skies import sky_payload
from workers.pipelines import Pipelines
from workers.pipelines.base import Outcome, Stopwatch
from workers.products.outlines import draw_outlines
from workers.products.preview import orient, png, preview_pixels, region_mask_png

Source = str | os.PathLike[str] | np.ndarray
Work = Callable[[str, Frame, str], "FrameReport"]


@dataclass(frozen=True)
class FrameReport:
    """What is known of one frame of one input.

    Attributes
    ----------
    file : str
        Path as given; ``array`` for arrays.
    frame : int
        0-based index within the file.
    quality : Quality | None
        None when there is no score for this kind of frame yet, or the input failed.
    error : str | None
        Why the input could not be used.
    products : tuple of Path
        What `analyse` wrote.
    enhancement : Mapping | None
        What `analyse` says of the frame's enhancement, its numbers or why there is none; None for
        frames of other kinds.
    sky : Sky | None
        What an all-sky frame shows; None for frames of other kinds.
    site : Site | None
        Where its camera stands.
    is_simulated : bool
        Whether the frame says of itself that a simulator made it.
    date_note : str | None
        Why there is no time, or why it is in doubt.
    """

    file: str
    frame: int = 0
    instrument: str | None = None
    date_obs: datetime | None = None
    quality: Quality | None = None
    error: str | None = None
    products: tuple[Path, ...] = ()
    enhancement: Mapping[str, Any] | None = None
    sky: Sky | None = None
    site: Site | None = None
    is_simulated: bool = False
    date_note: str | None = None

    @property
    def score(self) -> float | None:
        """Quality, 0 to 1, 1 is best."""
        return self.quality.score if self.quality else None

    @property
    def is_degraded(self) -> bool | None:
        """Whether the frame should not be used without a second look."""
        return self.quality.is_degraded if self.quality else None

    @property
    def p_value(self) -> float | None:
        """Share of good calibration frames at least as bad."""
        return self.quality.p_value if self.quality else None

    @property
    def causes(self) -> tuple[CauseProbability, ...]:
        """Why it is degraded, most likely first."""
        return self.quality.causes if self.quality else ()

    def as_json(self) -> dict[str, Any]:
        """One object with the names of the public face."""
        if self.error is not None:
            of_film = {"frame": self.frame} if self.frame else {}
            return {"file": _text(self.file), **of_film, "error": _text(self.error)}
        said = quality_payload(self.quality) if self.quality else {}
        return {
            "file": _text(self.file),
            "frame": self.frame,
            "instrument": self.instrument,
            "date_obs": self.date_obs.isoformat().replace("+00:00", "Z") if self.date_obs else None,
            **({} if self.date_note is None else {"date_obs_note": self.date_note}),
            "score": said.get("score"),
            "is_degraded": said.get("is_degraded"),
            "p_value": said.get("p_value"),
            "causes": said.get("causes", []),
            "model": said.get("model"),
            **({} if self.enhancement is None else {"enhancement": dict(self.enhancement)}),
            **({} if self.sky is None else sky_json(self.sky)),
        }


def sky_json(sky: Sky) -> dict[str, Any]:
    """What an all-sky frame's object says of its sky; `reason` only where the sky cannot be judged."""
    said = sky_payload(sky)
    names = ("sky_class", "probabilities", "aurora_probability", "cloud_cover")
    why = {"reason": sky.reason} if sky.sky_class is None else {}
    return {name: said[name] for name in names} | why


def _text(name: str) -> str:
    """Write a name that is no UTF-8 with its odd bytes escaped, as JSON and terminals need it."""
    return name.encode("utf-8", "backslashreplace").decode()


class Desk:
    """Reads and analyses inputs on all cores, in input order."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self._stations = self.settings.stations
        runtime = Runtime(
            device=self.settings.runtime.device.value,
            intra_op_threads=self.settings.runtime.threads,
            networks=self.settings.enhancement.networks,
            disturbance=self.settings.disturbance_models,
        )
        self._pipelines = Pipelines(runtime)

    def score(self, sources: Iterable[Source], instrument: str | None = None) -> Iterator[FrameReport]:
        """Score every frame of every input."""
        return self._each([(source, self._score) for source in sources], instrument, is_whole=False)

    def analyse(
        self, sources: Iterable[Source], out: Path, instrument: str | None = None
    ) -> Iterator[FrameReport]:
        """Run the whole pipeline on every frame and write its products into ``out``.

        Their names begin with the input's (see `stems`).
        """
        make_folder(out)
        sources = list(sources)
        jobs = [
            (source, partial(self._analyse, start=out / start))
            for source, start in zip(sources, stems(sources), strict=True)
        ]
        return self._each(jobs, instrument)

    def _each(
        self, jobs: Sequence[tuple[Source, Work]], instrument: str | None, *, is_whole: bool = True
    ) -> Iterator[FrameReport]:
        if instrument is not None:
            self._check(instrument)
        with _beside_each_other(len(jobs)) as each:
            for reports in each(
                lambda job: self._frames(job[0], job[1], instrument, is_whole=is_whole), jobs
            ):
                yield from reports

    def _check(self, instrument: str) -> None:
        if instrument not in self._stations:
            kind_of(instrument, self._stations)

    def _frames(
        self, source: Source, work: Work, instrument: str | None, *, is_whole: bool
    ) -> list[FrameReport]:
        if isinstance(source, np.ndarray):
            stations = self._stations
            return [
                self._guarded("array", 0, lambda: work("array", *_array_frame(source, instrument, stations)))
            ]
        name = os.fspath(source)
        try:
            opened = self._open(Path(name), instrument)
        except UnusableInputError as error:
            return [FrameReport(name, error=str(error))]
        read = opened.frame if is_whole else opened.frame_for_analysis
        return [
            self._guarded(name, index, lambda n=index: work(name, read(n), opened.kind.family))
            for index in range(opened.count)
        ]

    def _open(self, path: Path, instrument: str | None) -> Opened:
        return read_file(path, self.settings.limits.as_limits, instrument=instrument, stations=self._stations)

    def _guarded(self, name: str, index: int, work: Any) -> FrameReport:
        try:
            return work()
        except UnusableInputError as error:
            return FrameReport(name, index, error=str(error))

    def _score(self, name: str, frame: Frame, family: str) -> FrameReport:
        quality, sky = self._pipelines.of(family).score(frame)
        return _report(name, frame, quality, sky)

    def _analyse(self, name: str, frame: Frame, family: str, start: Path) -> FrameReport:
        if name != "array":  # the products that name their input name its bytes, too
            frame = replace(frame, sha256=sha256_of(Path(name)))
        outcome = self._pipelines.of(family).run(frame, Stopwatch())
        report = _report(name, frame, outcome.quality, outcome.sky)
        written = _write(report, frame, outcome, start)
        enhancement = next((item.payload for item in outcome.findings if item.analysis == ENHANCEMENT), None)
        return replace(report, products=tuple(written), enhancement=enhancement)


@contextmanager
def _beside_each_other(jobs: int) -> Iterator[Callable[..., Iterator[list[FrameReport]]]]:
    """A map with a thread for each core that this process may use; OpenCV's own would only get in their way."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    before = cv2.getNumThreads()
    if jobs > 1:
        cv2.setNumThreads(1)
    try:
        if min(cores, jobs) > 1:
            with ThreadPoolExecutor(cores) as pool:
                yield pool.map
        else:
            yield map
    finally:
        cv2.setNumThreads(before)


def _report(name: str, frame: Frame, quality: Quality | None, sky: Sky | None) -> FrameReport:
    """What a frame says of itself, and what is said of it."""
    return FrameReport(
        name,
        frame.index,
        frame.instrument,
        frame.date_obs,
        quality,
        sky=sky,
        site=frame.site,
        is_simulated=frame.is_simulated,
        date_note=frame.date_note,
    )


def _array_frame(
    pixels: np.ndarray, instrument: str | None, stations: Mapping[str, str]
) -> tuple[Frame, str]:
    """Wrap an array, row 0 at the bottom, in a frame of the named or the recognised instrument.

    Lens and mask of the settings are not used: they are measured by the rows of the camera's files.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise UnusableInputError(f"an array of shape {pixels.shape}; (height, width) or (…, 3) is expected")
    if pixels.size == 0 or pixels.dtype.kind not in "fiu":
        raise UnusableInputError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no picture: whole or real numbers are"
        )
    if isinstance(pixels, np.ma.MaskedArray):
        pixels = np.where(np.ma.getmaskarray(pixels), np.nan, pixels.data)
    name = instrument or next(filter(None, (kind.claim_content(pixels) for kind in kinds())), None)
    if name is None:
        known = ", ".join((*stations, *instrument_names()))
        raise UnusableInputError(f"name the instrument of an array: one of {known}")
    family = kind_of(stations.get(name, name), stations).family
    site = camera_of(stations, name).known_site if family == "allsky" else None
    return Frame(pixels=pixels, instrument=name, row_order=RowOrder.BOTTOM, site=site), family


def stems(sources: Sequence[Source]) -> list[str]:
    """Beginnings of the inputs' product names: the file's name without its extensions.

    Where several inputs would share one (``x.fts.gz`` and ``x.fts``, or ``a/x.fits`` and ``b/x.fits``),
    the later ones get a number: ``x``, ``x-2``, ``x-3``.
    """
    found: list[str] = []
    taken: set[str] = set()
    for source in sources:
        base = chosen = "array" if isinstance(source, np.ndarray) else _stem(os.fspath(source))
        number = 1
        while chosen in taken:
            number += 1
            chosen = f"{base}-{number}"
        taken.add(chosen)
        found.append(chosen)
    return found


def _stem(file: str) -> str:
    name = Path(file).name
    for ending in (".gz", ".bz2", ".fz"):
        name = name.removesuffix(ending)
    return Path(name).stem


_ENDINGS = {
    "preview": ".preview.jpg",
    "enhanced": ".enhanced.fits",
    "compare": ".compare.jpg",
    "cloud-map": ".cloud-map.png",
}
"""Of the pictures that `analyse` writes: further ones are there for the pages."""


def _write(report: FrameReport, frame: Frame, outcome: Outcome, start: Path) -> list[Path]:
    if report.frame:
        start = start.with_name(f"{start.name}.{report.frame:03d}")
    written = []
    for picture in outcome.pictures:
        if picture.kind in _ENDINGS:
            written.append(_save(_beside(start, _ENDINGS[picture.kind]), picture.data))
    if outcome.quality is not None and outcome.quality.region_map is not None:
        written.append(_save(_beside(start, ".region-map.png"), region_mask_png(frame, outcome.quality)))
    if outcome.segmentations:
        written += _write_regions(frame, outcome, start)
    results = report.as_json() | {
        "date_obs_source": frame.date_obs_source.value,
        "results": [
            {"analysis": item.analysis, "model_sha256": item.model.sha256, **item.payload}
            for item in outcome.findings
        ],
        "products": [_text(path.name) for path in written],
    }
    written.append(
        _save(_beside(start, ".results.json"), orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    )
    return written


def _write_regions(frame: Frame, outcome: Outcome, start: Path) -> list[Path]:
    """Masks on the input's grid, outlines over the preview, and the regions with all that is known of them."""
    shape = (frame.height, frame.width)
    written = []
    for segmentation in outcome.segmentations:
        painted = orient(frame, mask(segmentation, shape))
        name = f".mask-{segmentation.event_type.value}.png"
        written.append(_save(_beside(start, name), png(np.where(painted > 127, 255, 0).astype(np.uint8))))
    overlay = draw_outlines(preview_pixels(frame), frame, outcome.segmentations)
    written.append(_save(_beside(start, ".overlay.png"), png(overlay)))
    regions = [
        region_json(
            region,
            date_obs=frame.date_obs,
            exposure_time_s=frame.exposure_time_s,
            observatory=frame.observatory,
            instrument=frame.instrument,
            wavelength_nm=frame.wavelength_nm,
            model=segmentation.model,
            threshold=Threshold.MEDIUM,
        )
        for segmentation in outcome.segmentations
        for region in segmentation.regions
    ]
    told = {"file": _text(start.name), "instrument": frame.instrument, "regions": regions}
    text = orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n"
    return [*written, _save(_beside(start, ".regions.json"), text)]


def _beside(start: Path, ending: str) -> Path:
    return start.with_name(start.name + ending)  # with_suffix would cut a name with dots


def _save(path: Path, data: bytes) -> Path:
    write_whole(path, data)
    return path


def score(
    sources: Iterable[Source] | Source, *, instrument: str | None = None, settings: Settings | None = None
) -> list[FrameReport]:
    """Score files or arrays: quality and its cause for every frame of every input.

    Parameters
    ----------
    sources : paths or arrays, or one of them
        Arrays have shape (height, width) or (height, width, 3), row 0 at the bottom.
    instrument : str | None
        What the inputs are, when neither header nor name says it. Of an array's camera in the settings its
        kind and site are used; lens and mask are those of its files.

    Returns
    -------
    list of FrameReport
        In input order. An input that cannot be used has its `error` set.

    Raises
    ------
    NoSuchInstrumentError
        When ``instrument`` names none.
    """
    return list(Desk(settings).score(_as_list(sources), instrument))


def analyse(
    sources: Iterable[Source] | Source,
    *,
    out: str | os.PathLike[str] = "out",
    instrument: str | None = None,
    settings: Settings | None = None,
) -> list[FrameReport]:
    """Run the whole pipeline on files or arrays and write products into ``out``; see `score`."""
    return list(Desk(settings).analyse(_as_list(sources), Path(out), instrument))


def _as_list(sources: Iterable[Source] | Source) -> list[Source]:
    if isinstance(sources, str | os.PathLike | np.ndarray):
        return [sources]
    return list(sources)
