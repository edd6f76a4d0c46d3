"""One pipeline for each kind of frame, found by themselves in this package."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from models.registry import with_networks
from models.runtime import Runtime
from observatory.errors import DefectError
from workers.pipelines.base import Pipeline


@cache
def _classes() -> dict[str, type[Pipeline]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {kind.family: kind for kind in Pipeline.__subclasses__()}


class Pipelines:
    """The pipelines of one process, each made when its first frame comes.

    Parameters
    ----------
    networks : Mapping
        Name of a model to the folder of a network that stands in for the shipped one.
    """

    def __init__(self, runtime: Runtime, networks: Mapping[str, Path] | None = None) -> None:
        self._runtime = runtime
        self._networks = dict(networks or {})
        self._made: dict[str, Pipeline] = {}
        self._lock = threading.Lock()

    def of(self, family: str) -> Pipeline:
        """Pipeline for a kind of frame."""
        with self._lock:
            if family not in self._made:
                if family not in _classes():
                    raise DefectError(f"no pipeline for frames of kind {family}")
                with with_networks(self._networks):
                    self._made[family] = _classes()[family](self._runtime)
            return self._made[family]

    def all(self) -> list[Pipeline]:
        """Every pipeline, made now: a worker that cannot load a model says so when it starts."""
        return [self.of(family) for family in sorted(_classes())]
