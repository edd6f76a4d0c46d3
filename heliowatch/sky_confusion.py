"""`heliowatch sky confusion`: what people say of frames against what the network says."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import typer

from heliowatch.feature_store import Features, is_store
from heliowatch.folders import make_folder
from heliowatch.sky_features import Wanted, frame_name, load, reports_of
from heliowatch.sky_figures import draw_confusion, needing_train
from observatory.analysis import AURORAL, SkyClass
from observatory.errors import SettingsError, UnreadableFileError
from observatory.settings import Settings

NOT_JUDGED = "not judged"
_LABELS = ("label", "visual_label", "sky_class", "class")
_AURORAL = tuple(name.value for name in AURORAL)


@dataclass(frozen=True)
class Label:
    """One line of labels: a file's name, or a pattern of names with ``*``, and what its frames show."""

    pattern: str
    label: str

    def fits(self, frame: str) -> bool:
        """Whether a frame, ``FOLDER/FILE#INDEX``, is meant."""
        file = frame.rpartition("#")[0] or frame
        return fnmatchcase(file, self.pattern) or fnmatchcase(file, f"*/{self.pattern}")


@dataclass(frozen=True)
class Said:
    """What the network says of one frame; the class is None where the sky could not be judged."""

    frame: str
    sky_class: str | None
    aurora_probability: float | None


def said_of(
    settings: Settings, sources: Sequence[Path], instrument: str | None, failed: list[str]
) -> Iterator[Said]:
    """What the network says of frames in files, or said of those in stores of features.

    The instrument says what the files are, and which camera's frames of the stores count; None is all.
    Files that cannot be used are told on stderr and added to ``failed``.
    """
    stores = [source for source in sources if is_store(source)]
    for store in stores:
        yield from said_by(load(settings, Wanted(store, instrument)))
    files = [source for source in sources if source not in stores]
    if not files:
        return
    for report in reports_of(settings, files, instrument):
        if report.error is not None:
            typer.echo(f"{report.file}: {report.error}", err=True)
            failed.append(report.file)
            continue
        sky, name = report.sky, frame_name(report)
        if sky is None or sky.sky_class is None:
            yield Said(name, None, None)
        else:
            yield Said(name, sky.sky_class.value, sky.aurora_probability)


def said_by(rows: Features) -> list[Said]:
    """What a store holds."""
    return [
        Said(str(frame), str(name) or None, None if np.isnan(aurora) else float(aurora))
        for frame, name, aurora in zip(rows.frame, rows.sky_class, rows.aurora_probability, strict=True)
    ]


def read_labels(path: Path) -> list[Label]:
    """Read a CSV file with columns ``file`` and ``label`` (or ``visual_label``, ``sky_class``).

    Labels come in small letters, however they are written. A line whose label is empty says nothing.

    Raises
    ------
    UnreadableFileError
        When it has no such columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(f"{path} is no CSV of labels: {error}") from error
    column = next((name for name in _LABELS if rows and name in rows[0]), None)
    if column is None or "file" not in rows[0]:
        raise UnreadableFileError(
            f"{path}: columns `file` and `label` (or {', '.join(_LABELS[1:])}) are wanted"
        )
    labels = [Label((row["file"] or "").strip(), (row[column] or "").strip().lower()) for row in rows]
    return [item for item in labels if item.pattern and item.label]


def run_confusion(said: Iterable[Said], labels: Sequence[Label], out: Path) -> dict[str, Any]:
    """Write ``confusion.csv`` and ``confusion.png``; returns the sums of two classes and the misses.

    In the two-class sense a label that begins with ``aurora``, or is arc, diffuse or discrete, is aurora, and
    any other is not; the network says aurora where the three classes sum to 0.5 and more.

    Raises
    ------
    SettingsError
        When no label fits a frame.
    """
    counts: Counter[tuple[str, str]] = Counter()
    right: Counter[bool] = Counter()
    of_kind: Counter[bool] = Counter()
    misses = []
    unlabelled = 0
    for frame in said:
        label = next((item.label for item in labels if item.fits(frame.frame)), None)
        if label is None:
            unlabelled += 1
            continue
        counts[label, frame.sky_class or NOT_JUDGED] += 1
        is_aurora = label.startswith("aurora") or label in _AURORAL
        says_aurora = (frame.aurora_probability or 0.0) >= 0.5
        of_kind[is_aurora] += 1
        right[is_aurora] += is_aurora == says_aurora
        if is_aurora != says_aurora:
            misses.append({"frame": frame.frame, "label": label, "said": frame.sky_class or NOT_JUDGED})
    if not counts:
        raise SettingsError("no label fits the name of a frame: labels name files, or patterns such as kho/*")
    make_folder(out)
    rows = sorted({label for label, _ in counts})
    columns = [name.value for name in SkyClass]
    if any(name == NOT_JUDGED for _, name in counts):
        columns.append(NOT_JUDGED)
    table = np.array([[counts[row, column] for column in columns] for row in rows])
    with needing_train("the figure"):
        draw_confusion(out / "confusion.png", table, rows, columns)
    with (out / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["label", *columns], *([row, *line] for row, line in zip(rows, table.tolist(), strict=True))]
        )
    rates = {kind: right[kind] / of_kind[kind] for kind in (True, False) if of_kind[kind]}
    return {
        "frames": sum(counts.values()),
        "unlabelled": unlabelled,
        "aurora_found": rates.get(True),
        "others_told": rates.get(False),
        "balanced_accuracy": float(np.mean(list(rates.values()))),
        "six_class_accuracy": _six_classes(counts),
        "misses": misses,
    }


def _six_classes(counts: Counter[tuple[str, str]]) -> float | None:
    """Share of right ones among frames whose label is one of the six classes."""
    known = {name.value for name in SkyClass}
    labelled = {key: count for key, count in counts.items() if key[0] in known}
    if not labelled:
        return None
    return sum(count for (label, name), count in labelled.items() if label == name) / sum(labelled.values())
