"""The pipelines of a process as the deployments say: made anew when these change, without a pause.

A frame that is worked on keeps the pipelines that it began with; the next one takes the new. So a
promotion drops nothing, and what a frame's results name is what ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from observatory.errors import ModelError
from observatory.storage import deployments
from observatory.storage.deployments import Deployment, Line
from workers.context import Context
from workers.pipelines import Pipelines

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Shadow:
    """A candidate that runs beside the live networks."""

    deployment: Deployment
    pipelines: Pipelines
    families: frozenset[str]
    """Kinds of frames that its model works on."""


@dataclass(frozen=True)
class Deployed:
    """What a process runs.

    Attributes
    ----------
    generation : int
        Number of the change that it stands for.
    """

    generation: int
    pipelines: Pipelines
    networks: Mapping[str, Path]
    shadows: tuple[Shadow, ...]

    def warm_up(self) -> None:
        """Make every live network ready, so that what is wrong with one shows now.

        Raises
        ------
        ProviderUnavailableError, ModelError
        """
        for pipeline in self.pipelines.all():
            pipeline.warm_up()


def deployed(at: Context) -> Deployed:
    """What the deployments say now. A candidate that is missing, altered or no network is left out."""
    line = deployments.line(at.db)
    networks = {one.model_name: at.folder_of(one) for one in line.live}
    return Deployed(line.generation, Pipelines(at.runtime, networks), networks, _shadows(at, line, networks))


def _shadows(at: Context, line: Line, networks: Mapping[str, Path]) -> tuple[Shadow, ...]:
    found = []
    for candidate in line.candidates:
        try:
            pipelines = Pipelines(at.runtime, {**networks, candidate.model_name: at.folder_of(candidate)})
            families = {
                one.family
                for one in pipelines.all()
                if any(model.sha256 == candidate.model_sha256 for model in one.models)
            }
            for family in families:
                pipelines.of(family).warm_up()
        except ModelError as error:
            log.warning("candidate_left_out", model=candidate.model_name, error=str(error))
            continue
        found.append(Shadow(candidate, pipelines, frozenset(families)))
    return tuple(found)
