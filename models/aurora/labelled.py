"""Real pictures with labels: what someone saw in them, or the flags of a cloud detector.

Labels come as CSV with a column ``file`` (a path below the folder, or a pattern) and either ``sky_class``
(one of the six) or ``visual_label`` (words: what begins with ``aurora`` is aurora; ``cloudy``, ``moon`` and
``clear…`` name their class; ``no_data`` and ``daylight`` are not judged; all else is no aurora).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.aurora.data import CLASSES, Skies, encode
from models.aurora.preparation import GRID, prepare
from observatory.analysis import AURORAL, SkyClass
from observatory.errors import HeliowatchError, UnusableInputError
from observatory.fisheye import Fisheye
from observatory.frame import Frame
from observatory.instruments import Limits, read_file
from observatory.sky_view import circle_of

_NOT_JUDGED = ("no_data", "daylight")
_WORDS = (("cloudy", SkyClass.CLOUD), ("moon", SkyClass.MOON), ("clear", SkyClass.CLEAR))
_ENDINGS = (".csv", ".dat", ".md", ".json", ".sav", ".txt")


@dataclass(frozen=True)
class Label:
    """What is known of the pictures that a pattern names.

    Attributes
    ----------
    pattern : str
    words : str
        As the CSV has them.
    sky_class : SkyClass or None
    is_aurora : bool or None
        None where the picture cannot be judged.
    """

    pattern: str
    words: str
    sky_class: SkyClass | None
    is_aurora: bool | None


@dataclass(frozen=True)
class Picture:
    """One labelled frame of a file."""

    path: Path
    frame: Frame
    circle: Fisheye | None
    label: Label


def read_labels(path: Path) -> list[Label]:
    """Labels of a CSV.

    Raises
    ------
    UnusableInputError
        When a column is missing, a class is none of the six, or a path is a whole one.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark before it
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableInputError(f"{path} cannot be read as labels: {error}") from error
    columns = set(rows[0]) if rows else set()
    if "file" not in columns or not columns & {"sky_class", "visual_label"}:
        raise UnusableInputError(f"{path} needs a column file and a column sky_class (or visual_label)")
    return [_label(path, row) for row in rows if (row["file"] or "").strip()]


def _label(path: Path, row: dict[str, str]) -> Label:
    pattern = row["file"].strip()
    if Path(pattern).is_absolute():
        raise UnusableInputError(f"{path}: {pattern} is a whole path; write it as it is below the folder")
    stated = (row.get("sky_class") or "").strip().lower()
    if stated:
        try:
            sky_class = SkyClass(stated)
        except ValueError as error:
            known = ", ".join(CLASSES)
            raise UnusableInputError(f"{path}: {stated} is none of {known} (of {row['file']})") from error
        return Label(pattern, stated, sky_class, sky_class in AURORAL)
    words = (row.get("visual_label") or "").strip().lower()
    found = next((kind for start, kind in _WORDS if words.startswith(start)), None)
    is_aurora = None if words in _NOT_JUDGED else words.startswith("aurora")
    return Label(pattern, words, found, is_aurora)


def pictures(folder: Path, labels: list[Label]) -> Iterator[Picture]:
    """Every frame of every file that a label names, by label and name; the first label of a file counts.

    Raises
    ------
    UnusableInputError
        When no file is named, or a file cannot be read.
    """
    seen: set[Path] = set()
    for label in labels:
        for path in sorted(folder.glob(label.pattern)):
            if path in seen or not path.is_file() or path.name.endswith(_ENDINGS):
                continue
            seen.add(path)
            for frame in frames_of(path):
                yield Picture(path, frame, circle_of(frame), label)
    if not seen:
        raise UnusableInputError(f"no label names a file in {folder}: their paths start there")


def frames_of(path: Path) -> Iterator[Frame]:
    """All frames of an all-sky file whatever its name."""
    opened = read_file(path, Limits(), instrument="allsky")
    for index in range(opened.count):
        yield opened.frame(index)


def own_skies(folder: Path, labels: Path) -> Skies:
    """Labelled pictures as the training takes them; of their maps nothing is known.

    Raises
    ------
    UnusableInputError
        When none of them has one of the six classes and a circle.
    """
    squares, classes, cameras = [], [], []
    for picture in pictures(folder, read_labels(labels)):
        if picture.label.sky_class is None or picture.circle is None:
            continue
        try:
            squares.append(encode(prepare(picture.frame, picture.circle)))
        except HeliowatchError:
            continue
        classes.append(CLASSES.index(picture.label.sky_class))
        cameras.append(picture.path.parent.name[:40])
    if not squares:
        raise UnusableInputError(f"none of the pictures that {labels} names has one of the six classes")
    count = len(squares)
    return Skies(
        np.stack(squares),
        np.array(classes, np.int8),
        np.zeros((count, 2, GRID, GRID), np.uint8),
        np.zeros((count, GRID, GRID), bool),
        np.array(cameras, "U40"),
    )
