"""`heliowatch reproduce`: a stored result is computed again from the frame's very bytes, and compared."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import cv2
import orjson
import typer
from threadpoolctl import threadpool_limits

from heliowatch.comparison import OTHER_DEVICE, SAME_DEVICE, Compared, compare, explained
from heliowatch.progress import progress_bars
from heliowatch.sources import open_database
from models.registry import read_deployed, with_parameters
from models.runtime import Runtime
from observatory.analysis import ModelIdentity, Region
from observatory.errors import HeliowatchError, ModelError, SettingsError, UnusableInputError
from observatory.settings import Device, Settings
from observatory.storage import catalogue, deployments, enhancements, provenance, region_catalogue
from observatory.storage.session import Database
from observatory.storage.texts import text_path
from observatory.words import counted
from workers.pipelines import Pipelines
from workers.pipelines.base import Outcome, Pipeline, Stopwatch
from workers.stored_frames import read_stored

_Key = tuple[tuple[str, Path], ...]
_REGION_NUMBERS = (
    "area_px",
    "area_msh",
    "area_atdiskcenter_mm2",
    "disk_fraction",
    "probability",
    "intensity_mean",
    "intensity_median",
    "intensity_min",
    "intensity_max",
    "intensity_std",
)


class NotReproducibleError(HeliowatchError):
    """A result cannot be computed again here; the message says why."""


@dataclass(frozen=True)
class Report:
    """What became of one result.

    Attributes
    ----------
    compared : tuple of Compared
    error : str or None
        Why it could not be computed again.
    """

    result_id: int
    frame_id: int | None = None
    analysis: str = ""
    model: str = ""
    file_name: str = ""
    compared: tuple[Compared, ...] = ()
    error: str | None = None

    @property
    def is_reproduced(self) -> bool:
        """Whether every number came out the same."""
        return self.error is None and all(item.is_same for item in self.compared)

    @property
    def differing(self) -> list[Compared]:
        """What did not come out the same."""
        return [item for item in self.compared if not item.is_same]

    @property
    def largest_difference(self) -> float:
        """Of all numbers, as large as it is."""
        return max((item.difference or 0.0 for item in self.compared), default=0.0)


def run_reproduce(
    settings: Settings,
    numbers: Sequence[int],
    count: int | None,
    seed: int,
    tolerance: float | None,
    form: str,
) -> int:
    """Compute results again and print what differs; 0 when nothing does, else 1."""
    db = open_database(settings)
    if bool(numbers) == (count is not None):
        raise SettingsError("name results by their numbers, or draw some with --sample N")
    chosen = list(numbers) if count is None else provenance.sample(db, count, Random(seed))
    if not chosen:
        raise SettingsError("there is no result yet")
    allowed = tolerance if tolerance is not None else _default_tolerance(settings)
    for words in explained(allowed):
        typer.echo(f"tolerance: {words}", err=True)
    if count is not None and len(chosen) < count:
        typer.echo(f"only {counted(len(chosen), 'result')} there: all are computed again", err=True)
    reports = []
    with progress_bars() as bars:
        bar = bars.add_task("results computed again", total=len(chosen))
        for report in Reproducer(settings, db, allowed).each(chosen):
            reports.append(report)
            bars.advance(bar)
    _print(reports, form)
    return 0 if all(report.is_reproduced for report in reports) else 1


def _default_tolerance(settings: Settings) -> float:
    return SAME_DEVICE if settings.runtime.device is Device.CPU else OTHER_DEVICE


class Reproducer:
    """Computes results again, each by the model and with the parameters that it names."""

    def __init__(self, settings: Settings, db: Database, tolerance: float) -> None:
        _compute_as_workers_do()
        self._settings, self._db, self._tolerance = settings, db, tolerance
        self._runtime = Runtime(
            device=settings.runtime.device.value,
            intra_op_threads=settings.runtime.threads,
            networks=settings.enhancement.networks,
            disturbance=settings.disturbance_models,
        )
        self._installed = Pipelines(self._runtime)
        self._given: dict[_Key, Pipelines] = {}
        self._former: dict[tuple[str, str, str, _Key], Pipeline] = {}
        self._last: tuple[int, Pipeline, Outcome] | None = None

    def each(self, numbers: Sequence[int]) -> Iterator[Report]:
        """One report for each result."""
        for number in numbers:
            yield self.reproduce(number)

    def reproduce(self, number: int) -> Report:
        """Compute one result again; what hinders it is said in the report."""
        row = provenance.get(self._db, number)
        if row is None:
            return Report(number, error=f"there is no result {number}")
        label = f"{row['model_name']} {row['model_version']}"
        name = row["lineage"]["frame"]["file_name"]
        report = Report(number, row["frame_id"], row["analysis"], label, name)
        try:
            return replace(report, compared=tuple(self._compare(row)))
        except (NotReproducibleError, UnusableInputError, ModelError) as error:
            return replace(report, error=str(error))

    def _compare(self, row: Mapping[str, Any]) -> Iterator[Compared]:
        if is_skipped(row["analysis"], row["payload"]):
            return
        frame = catalogue.get(self._db, row["frame_id"])
        assert frame is not None  # results go with their frames
        if frame["family"] is None or frame["instrument"] is None:
            raise NotReproducibleError("the frame is of no known kind any more")
        outcome = self._run(frame, self._pipeline(frame["family"], row))
        found = {item.analysis: item for item in outcome.findings}
        if row["analysis"] not in found:
            said = "; ".join(f"{item.analysis}: {item.payload}" for item in outcome.findings)
            raise NotReproducibleError(f"this run has no {row['analysis']}; it says {said or 'nothing'}")
        now = orjson.loads(orjson.dumps(found[row["analysis"]].payload))
        yield from compare(row["payload"], now, self._tolerance)
        if row["lineage"].get("regions") is not None:
            yield from self._compare_regions(row, outcome)

    def _pipeline(self, family: str, row: Mapping[str, Any]) -> Pipeline:
        """The pipeline with the result's own model and parameters.

        Raises
        ------
        NotReproducibleError
            When that very model is neither installed nor deployed, or its parameters are not known.
        """
        name = row["model_name"]
        networks = self._networks(family, row)
        pipeline = self._pipelines(networks).of(family)
        model = _model_of(pipeline, name)
        if model is None or model.sha256 != row["model_sha256"]:
            raise NotReproducibleError(_not_installed(row, model))  # the settings name another in its place
        if provenance.parameters_hash(model) == row["parameters_hash"]:
            return pipeline
        parameters = row["parameters"]
        if parameters is None:
            raise NotReproducibleError(
                f"the parameters that {name} had then were not kept, and those of now are others"
            )
        if provenance.hash_of(parameters) != row["parameters_hash"]:
            raise NotReproducibleError("the stored parameters do not fit their hash: the row was altered")
        key = family, name, row["parameters_hash"], _key(networks)
        if key not in self._former:
            with with_parameters({name: parameters}):
                self._former[key] = Pipelines(self._runtime, networks).of(family)
        former = _model_of(self._former[key], name)
        if former is None or provenance.parameters_hash(former) != row["parameters_hash"]:
            raise NotReproducibleError(f"{name} cannot be run with other parameters than its own")
        return self._former[key]

    def _networks(self, family: str, row: Mapping[str, Any]) -> Mapping[str, Path]:
        """Folders of the networks that made a result, where they are not those that ship.

        What one model says may rest on another's word, as the quality of a sky does; so those that ran beside
        it on the frame are taken, too, while they are at hand.

        Raises
        ------
        NotReproducibleError
            When the result's own network never was deployed here, or its files are gone or altered.
        """
        installed = self._installed.of(family)
        found: dict[str, Path] = {}
        for other in provenance.of_frame(self._db, row["frame_id"]):
            model = _model_of(installed, other["model_name"])
            if other["created_at"] != row["created_at"] or model is None:
                continue  # of another run
            if model.sha256 != other["model_sha256"] and other["model_name"] != row["model_name"]:
                with suppress(NotReproducibleError):
                    found[other["model_name"]] = self._deployed(other, model)
        own = _model_of(installed, row["model_name"])
        if own is None or own.sha256 != row["model_sha256"]:
            found[row["model_name"]] = self._deployed(row, own)
        return found

    def _deployed(self, row: Mapping[str, Any], installed: ModelIdentity | None) -> Path:
        """The folder of a network that was given to the system."""
        given = deployments.with_network(self._db, row["model_name"], row["model_sha256"])
        if given is None:
            raise NotReproducibleError(_not_installed(row, installed))
        folder = self._settings.data_dir / given.folder
        try:
            read_deployed(folder, row["model_name"])
        except ModelError as error:
            raise NotReproducibleError(
                f"it was made by {_label(row)}, which was taken in on {given.created_at:%Y-%m-%d}, but its "
                f"files are gone or altered: restore {folder} from a backup ({error})"
            ) from error
        return folder

    def _pipelines(self, networks: Mapping[str, Path]) -> Pipelines:
        if not networks:
            return self._installed
        key = _key(networks)
        if key not in self._given:
            self._given[key] = Pipelines(self._runtime, networks)
        return self._given[key]

    def _run(self, frame: Mapping[str, Any], pipeline: Pipeline) -> Outcome:
        """Run a pipeline on a frame; results of one frame that follow each other share the run."""
        if self._last is not None and self._last[:2] == (frame["id"], pipeline):
            return self._last[2]
        read = read_stored(
            self._db,
            self._settings,
            sha256=frame["sha256"],
            path=text_path(frame["path"]),
            file_name=frame["file_name"],
            frame_index=frame["frame_index"],
            instrument=frame["instrument"],
        )
        outcome = pipeline.run(read, Stopwatch())
        self._last = frame["id"], pipeline, outcome
        return outcome

    def _compare_regions(self, row: Mapping[str, Any], outcome: Outcome) -> Iterator[Compared]:
        """Compare the regions that the result is shown by, the largest first."""
        event_type = row["analysis"].partition("-")[2]
        shown = [
            one
            for one in region_catalogue.of_frame(self._db, row["frame_id"])
            if one["event_type"] == event_type
        ]
        found = [one for one in outcome.segmentations if one.event_type == event_type]
        then = [{name: item[name] for name in _REGION_NUMBERS} for one in shown for item in one["items"]]
        now = [_numbers_of(region) for one in found for region in one.regions]
        yield from compare(then, now, self._tolerance, "regions")


def _compute_as_workers_do() -> None:
    """One thread for each sum: several of them add in another order."""
    cv2.setNumThreads(1)
    threadpool_limits(1, "blas")


def _model_of(pipeline: Pipeline, name: str) -> ModelIdentity | None:
    return next((model for model in pipeline.models if model.name == name), None)


def _not_installed(row: Mapping[str, Any], installed: ModelIdentity | None) -> str:
    made_by = _label(row)
    if installed is None:
        return f"it was made by {made_by}, which is not installed any more"
    return (
        f"it was made by {made_by}; installed is {installed.version} (sha256 {installed.sha256[:12]}…): "
        "restore that version to compute it again, or `heliowatch reprocess` for a result of this one"
    )


def _key(networks: Mapping[str, Path]) -> _Key:
    return tuple(sorted(networks.items()))


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['model_name']} {row['model_version']} (sha256 {row['model_sha256'][:12]}…)"


def is_skipped(analysis: str, payload: Mapping[str, Any]) -> bool:
    """Whether a result only says that nothing was computed, for want of time or by the settings of then."""
    return analysis == enhancements.ANALYSIS and "skipped" in payload


def _numbers_of(region: Region) -> dict[str, Any]:
    values = {name: getattr(region, name) for name in _REGION_NUMBERS}
    return {
        name: None if value is None or value != value else float(value)  # NaN is kept as null
        for name, value in values.items()
    }


def _print(reports: Sequence[Report], form: str) -> None:
    if form == "json":
        for report in reports:
            sys.stdout.write(orjson.dumps(_as_json(report)).decode() + "\n")
    elif form == "csv":
        _print_csv(reports)
    else:
        _print_table(reports)
    same = sum(report.is_reproduced for report in reports)
    typer.echo(f"{same} of {counted(len(reports), 'result')} reproduced", err=True)


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "result": report.result_id,
        "frame": report.frame_id,
        "file": report.file_name,
        "analysis": report.analysis,
        "model": report.model,
        "is_reproduced": report.is_reproduced,
        "compared": len(report.compared),
        "largest_difference": report.largest_difference,
        "differences": [
            {"name": item.name, "then": item.then, "now": item.now, "allowed": item.allowed}
            for item in report.differing
        ],
        "error": report.error,
    }


_COLUMNS = (
    "result",
    "frame",
    "file",
    "analysis",
    "model",
    "is_reproduced",
    "compared",
    "largest_difference",
    "error",
)


def _print_csv(reports: Sequence[Report]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(_COLUMNS)
    for report in reports:
        said = _as_json(report) | {"is_reproduced": "true" if report.is_reproduced else "false"}
        writer.writerow(said[name] for name in _COLUMNS)


def _print_table(reports: Sequence[Report]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("result", "frame", "analysis", "model", "numbers", "largest difference", "verdict"):
        is_number = title in ("result", "frame", "numbers", "largest difference")
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for report in reports:
        table.add_row(
            str(report.result_id),
            "" if report.frame_id is None else str(report.frame_id),
            report.analysis,
            report.model,
            str(len(report.compared)) if report.compared else "",
            f"{report.largest_difference:.2g}" if report.compared else "",
            Text(_verdict(report)),
        )
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160).print(table)


def _verdict(report: Report) -> str:
    if report.error is not None:
        return f"✗ {report.error}"
    if report.is_reproduced:
        return "✓ the same" if report.compared else "– nothing was computed"
    told = ", ".join(f"{item.name}: {item.then} → {item.now}" for item in report.differing[:3])
    more = len(report.differing) - 3
    return f"✗ {told}{f' and {more} more' if more > 0 else ''}"
