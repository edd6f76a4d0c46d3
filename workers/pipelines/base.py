"""What a pipeline is: a frame in, results and pictures out. No database, no queue."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from models.runtime import Runtime
from observatory.analysis import Disturbance, EventType, ModelIdentity, Quality, Segmentation, Sky
from observatory.frame import Frame
from observatory.keogram import SkySlices
from observatory.orientation import PreviewAffine
from workers.pace import Pace
from workers.products.preview import Picture


@dataclass(frozen=True)
class Finding:
    """One analysis' result as it is stored."""

    analysis: str
    model: ModelIdentity
    payload: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """All that a pipeline made of one frame.

    Attributes
    ----------
    quality : Quality | None
    findings : tuple of Finding
    pictures : tuple of Picture
    segmentations : tuple of Segmentation
        One for each type of event that was looked for and could be seen.
    looked_for : tuple of EventType
        Types of event that frames like this one are searched for, also when this one hides them.
    preview_affine : PreviewAffine | None
        How the frame lies in its preview; needed where there are segmentations.
    network : str | None
        Model whose network the stage ``inference`` timed.
    is_behind : bool
        Whether something was left out for want of time; its finding says what.
    sky : Sky | None
        Of all-sky frames.
    slices : SkySlices | None
        What a frame adds to its night's keogram and ewogram.
    disturbance : Disturbance | None
        Where the station has a model of its magnetometer.
    """

    quality: Quality | None = None
    findings: tuple[Finding, ...] = ()
    pictures: tuple[Picture, ...] = ()
    segmentations: tuple[Segmentation, ...] = ()
    looked_for: tuple[EventType, ...] = ()
    preview_affine: PreviewAffine | None = None
    network: str | None = None
    is_behind: bool = False
    sky: Sky | None = None
    slices: SkySlices | None = None
    disturbance: Disturbance | None = None


@dataclass
class Stopwatch:
    """Seconds spent in each stage of one frame."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Pipeline(ABC):
    """Everything done to one kind of frame; made once a process.

    Attributes
    ----------
    family : str
        Kind of frame, as `observatory.instruments` names it.
    """

    family: ClassVar[str]

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @property
    def models(self) -> tuple[ModelIdentity, ...]:
        """Networks that this pipeline runs."""
        return ()

    def warm_up(self) -> None:
        """Make the sessions and run them once, so that a device not given shows now.

        Raises
        ------
        ProviderUnavailableError, ModelError
        """
        return None

    def quality(self, frame: Frame) -> Quality | None:
        """Score one frame and nothing else; None where there is no score yet for its kind."""
        return None

    def score(self, frame: Frame) -> tuple[Quality | None, Sky | None]:
        """Quality, and of an all-sky frame its sky, of one frame; nothing else."""
        return self.quality(frame), None

    @abstractmethod
    def run(self, frame: Frame, watch: Stopwatch) -> Outcome:
        """Analyse one frame.

        Raises
        ------
        UnusableInputError
            When the frame cannot be analysed, now or later.
        """

    def run_live(self, frame: Frame, watch: Stopwatch, pace: Pace) -> Outcome:
        """Analyse a frame that has just come, leaving out what would hold up those that follow.

        Raises
        ------
        UnusableInputError
            When the frame cannot be analysed, now or later.
        """
        return self.run(frame, watch)
