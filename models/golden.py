"""Golden frames: simulated frames whose right answer is known, by which a network proves itself.

A family that has a module ``golden`` with ``answers(runtime, name)`` takes part. What it asks is coarse
(a clear disk is clear, a cloud is found), so that a better network passes and a broken one does not; the
values that a network once gave are kept beside it, so that the same network on another device, or after
an update, is found out when it answers otherwise.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models import registry
from models.runtime import Runtime

TOLERANCE = 0.03
"""How far a value may lie from the one that the same network gave before, in parts of one."""


@dataclass(frozen=True)
class Answer:
    """What a network said of one golden frame.

    Attributes
    ----------
    frame : str
        What the frame is, in words.
    expected, said : str
    is_right : bool
    value : float
        The number behind the answer, 0 to 1.
    """

    frame: str
    expected: str
    said: str
    is_right: bool
    value: float


@dataclass(frozen=True)
class Proof:
    """All answers of one network.

    Attributes
    ----------
    differing : tuple of str
        Frames whose value is not the one that this network gave before.
    """

    model: str
    version: str
    sha256: str
    answers: tuple[Answer, ...]
    differing: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether every answer is right, and the same as ever."""
        return not self.differing and all(answer.is_right for answer in self.answers)

    @property
    def ratio(self) -> float:
        """Share of right answers, 0 to 1."""
        wrong = {answer.frame for answer in self.answers if not answer.is_right} | set(self.differing)
        return 1.0 - len(wrong) / len(self.answers)

    @property
    def values(self) -> dict[str, float]:
        """Numbers behind the answers, by frame."""
        return {answer.frame: answer.value for answer in self.answers}

    @property
    def complaints(self) -> list[str]:
        """What is wrong, a line each."""
        wrong = [
            f"{answer.frame}: {answer.said}, expected {answer.expected}"
            for answer in self.answers
            if not answer.is_right
        ]
        return wrong + [f"{frame}: not the value that this network gave before" for frame in self.differing]


class GoldenModule(Protocol):
    """What a family's module ``golden`` holds."""

    def answers(self, runtime: Runtime, name: str) -> Iterator[Answer]:
        """Answers of the network that `registry.load` gives for a name."""


def has_golden_frames(name: str) -> bool:
    """Whether a model's family has golden frames."""
    return _module_name(name) is not None


def prove(
    runtime: Runtime,
    name: str,
    folder: Path | None = None,
    former: Mapping[str, float] | None = None,
) -> Proof | None:
    """Ask a network about its golden frames; None where its family has none.

    Parameters
    ----------
    folder : Path, optional
        Of another network than the one that `registry.load` gives.
    former : Mapping, optional
        Values that the same network gave before, by frame.

    Raises
    ------
    ModelError
        When there is no such model, or its file is missing, altered or no network.
    """
    module_name = _module_name(name)
    if module_name is None:
        return None
    module: GoldenModule = importlib.import_module(module_name)
    with registry.with_networks({} if folder is None else {name: folder}):
        model = registry.load(name)
        answers = tuple(module.answers(runtime, name))
    differing = tuple(
        answer.frame
        for answer in answers
        if former and abs(answer.value - former.get(answer.frame, answer.value)) > TOLERANCE
    )
    return Proof(model.name, model.version, model.sha256, answers, differing)


def _module_name(name: str) -> str | None:
    models = registry.find_models()
    if name not in models:
        return None
    module_name = f"models.{models[name].family}.golden"
    return module_name if importlib.util.find_spec(module_name) is not None else None
