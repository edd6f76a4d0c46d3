"""How quality models are measured: good frames in folders, and defects laid over them that are found and named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from observatory.analysis import Cause, Quality
from observatory.errors import ModelError, UnusableInputError
from observatory.frame import Frame
from observatory.instruments import Limits, read_file
from observatory.settings import test_data_dir

_ENDINGS = (".fits", ".fit", ".fts", ".jp2", ".jpg", ".jpeg", ".png", ".tif", ".tiff")
_PACKED = (".gz", ".fz", ".bz2")

LeftOut = dict[str, str]
"""``file`` and ``error`` of what could not be used."""


def folders_of(data: Path | None, named: Sequence[str]) -> list[Path]:
    """The folder asked for, else those of the test data that hold good frames.

    Parameters
    ----------
    data : Path or None
    named : sequence of str
        Folders of the test data.

    Raises
    ------
    ModelError
        When neither is there.
    """
    if data is not None:
        return [data]
    root = test_data_dir()
    if root is None:
        raise ModelError("no frames: name a folder of good ones with --data, or set HELIOWATCH_TEST_DATA")
    return [root / folder for folder in named]


def frames_in(
    folders: Sequence[Path],
    family: str,
    left_out: list[LeftOut],
    passed_over: tuple[type[UnusableInputError], ...] = (),
) -> Iterator[Frame]:
    """All frames of a family of instruments in folders, by name.

    Parameters
    ----------
    folders : sequence of Path
    family : str
        Of the instruments, such as ``aia``.
    left_out : list
        What cannot be read, or is of another family, is added to it.
    passed_over : tuple of exceptions
        Files that are refused so are not even named.
    """
    for folder in folders:
        if not folder.is_dir():
            left_out.append({"file": str(folder), "error": "there is no such folder"})
        for path in sorted(path for path in folder.rglob("*") if _is_frame(path.name)):
            try:
                opened = read_file(path, Limits())
                if opened.kind.family == family:
                    yield opened.frame()
                else:
                    left_out.append({"file": str(path), "error": f"is of {opened.instrument}"})
            except passed_over:
                continue
            except UnusableInputError as error:
                left_out.append({"file": str(path), "error": str(error)})


def _is_frame(name: str) -> bool:
    plain = name.lower()
    for ending in _PACKED:
        plain = plain.removesuffix(ending)
    return plain.endswith(_ENDINGS)


class Tally:
    """Counts how many spoilt frames are found and named, by defect.

    Parameters
    ----------
    analyse : callable
        The model's judgement of a frame.
    """

    def __init__(self, analyse: Callable[[Frame], Quality]) -> None:
        self._analyse = analyse
        self._total, self._found, self._named = Counter[str](), Counter[str](), Counter[str]()

    def add(self, name: str, frame: Frame, causes: Collection[Cause]) -> None:
        """Judge a spoilt frame, of which one of the causes is to be named."""
        quality = self._analyse(frame)
        self._total[name] += 1
        self._found[name] += quality.is_degraded
        self._named[name] += any(cause.cause in causes for cause in quality.causes)

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """How many there were of each defect, and which shares were found and named."""
        return {
            name: {
                "n": count,
                "found": round(self._found[name] / count, 3),
                "named": round(self._named[name] / count, 3),
            }
            for name, count in self._total.items()
        }
