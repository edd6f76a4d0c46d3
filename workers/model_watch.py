"""Keeps an eye on the models of a process: takes over changes, proves them by golden frames, measures drift.

One thread in each working process, at a low priority. Which process makes a check is decided by the
database; what was found stands there, for metrics, pages and alerts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from models import golden, registry
from models.runtime import Runtime
from observatory import drift
from observatory.analysis import ModelIdentity
from observatory.errors import HeliowatchError, ModelError
from observatory.storage import deployments, model_checks
from observatory.storage.model_checks import RECENT, REFERENCE, Check, CheckKind, Subject
from workers.context import Heartbeat
from workers.deployed import deployed

if TYPE_CHECKING:
    from workers.tasks import Desk

log = structlog.get_logger(__name__)

_LOOK_S = 60.0  # between two looks whether a check is due; the first comes when the start is over
_NICE = 10
_DAY = timedelta(days=1)
_KEPT = timedelta(days=90)
_LISTED = 6  # quantities that a check of drift names


class ModelWatch:
    """The thread."""

    def __init__(self, at: Desk, heartbeat: Heartbeat) -> None:
        self._at, self._heartbeat = at, heartbeat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; a check that is being made ends with its network call."""
        self._stop.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)  # Linux: of this thread alone
        patience_s = self._at.settings.worker.heartbeat_s
        looked = passed = 0.0
        while not self._stop.wait(patience_s):
            passed += patience_s
            try:
                self.take_over()
                if passed - looked >= _LOOK_S:
                    looked = passed
                    self.check(datetime.now(UTC))
            except HeliowatchError as error:
                log.warning("model_watch_delayed", error=str(error))
            except Exception:
                log.exception("model_watch_defect")

    def take_over(self) -> bool:
        """Run what the deployments say now, if it is something else; whether it was.

        When it cannot be made ready, the process goes on with what it has, and says so.
        """
        if deployments.generation(self._at.db) == self._at.deployed.generation:
            return False
        try:
            made = deployed(self._at)
            made.warm_up()
        except ModelError as error:
            log.error("models_not_taken_over", error=str(error))
            self._heartbeat.tell(model_fault=str(error))
            return False
        self._at.deployed = made
        self._heartbeat.tell(models=model_facts(self._at), model_fault=None)
        self._at.runtime.forget(_paths(self._at))
        log.info("models_taken_over", generation=made.generation)
        return True

    def check(self, now: datetime) -> None:
        """Make the checks that are due and that nobody else makes."""
        every = timedelta(seconds=self._at.settings.models.drift_interval_s)
        for model in _running(self._at):
            self._prove(model, now)
            self._measure(model, now, every)
        model_checks.forget(self._at.db, now - _KEPT)

    def _prove(self, model: ModelIdentity, now: datetime) -> None:
        if self._stop.is_set() or not golden.has_golden_frames(model.name):
            return
        subject = Subject(CheckKind.GOLDEN, _plain(model), provider=self._at.runtime.provider)
        number = model_checks.claim(self._at.db, subject, now, _DAY)
        if number is None:
            return
        former = model_checks.first_values(self._at.db, subject)
        folder = self._at.deployed.networks.get(model.name)
        runtime = Runtime(
            self._at.runtime.device, networks=self._at.runtime.networks
        )  # not in the frames' way
        try:
            proof = golden.prove(runtime, model.name, folder, former)
        except ModelError as error:
            proof, detail = None, {"complaints": [str(error)], "values": {}}
        if proof is None:
            found = Check(subject, datetime.now(UTC), 0.0, False, detail)
        else:
            detail = {"complaints": proof.complaints, "values": proof.values}
            found = Check(subject, datetime.now(UTC), proof.ratio, proof.is_right, detail)
        if not found.is_good:
            log.error("golden_frames_failed", model=model.label, complaints=detail["complaints"])
        model_checks.finish(self._at.db, number, found)

    def _measure(self, model: ModelIdentity, now: datetime, every: timedelta) -> None:
        """Drift of what a model says, for each instrument of its own."""
        subject = Subject(CheckKind.DRIFT, _plain(model))
        number = None if self._stop.is_set() else model_checks.claim(self._at.db, subject, now, every)
        if number is None:
            return
        worst: Check | None = None
        recent = model_checks.answers(self._at.db, model, is_newest=True, count=RECENT)
        first = model_checks.answers(self._at.db, model, is_newest=False, count=REFERENCE + RECENT)
        for instrument, values in sorted(recent.items()):
            before = {
                name: column[: min(REFERENCE, max(0, len(column) - RECENT))]  # never both at once
                for name, column in first.get(instrument, {}).items()
            }
            found = drift.drifts(before, values)
            if not found:
                continue
            check = self._as_check(replace(subject, instrument=instrument), found)
            mine = model_checks.claim(self._at.db, check.subject, now, timedelta(0))
            if mine is not None:
                model_checks.finish(self._at.db, mine, check)
            if worst is None or check.ratio > worst.ratio:
                worst = check
        if worst is None:
            detail = {"words": f"fewer than {drift.LEAST} live frames of one instrument on either side"}
            model_checks.finish(self._at.db, number, Check(subject, datetime.now(UTC), 0.0, True, detail))
        else:
            detail = {**worst.detail, "instrument": worst.subject.instrument}
            model_checks.finish(self._at.db, number, replace(worst, subject=subject, detail=detail))

    def _as_check(self, subject: Subject, found: dict[str, drift.Drift]) -> Check:
        limit = self._at.settings.models.drift_limit
        named = dict(list(found.items())[:_LISTED])
        detail = {
            "quantities": {
                name: {"ks": round(one.ks, 4), "psi": round(one.psi, 4), "noise": round(one.noise, 4)}
                for name, one in named.items()
            },
            "reference": max(one.reference for one in found.values()),
            "recent": max(one.recent for one in found.values()),
        }
        beyond = [one.ks for one in found.values() if one.is_beyond_chance]
        ratio = max(beyond, default=0.0)
        return Check(subject, datetime.now(UTC), ratio, ratio <= limit, detail)


def model_facts(at: Desk) -> list[dict[str, str]]:
    """What a process tells of its models with every heartbeat."""
    return [
        {
            "name": model.name,
            "version": model.version,
            "sha256": model.sha256,
            "provider": at.runtime.provider,
            "family": pipeline.family,
        }
        for pipeline in at.deployed.pipelines.all()
        for model in pipeline.models
    ]


def _running(at: Desk) -> Iterable[ModelIdentity]:
    seen: set[str] = set()
    for pipeline in at.deployed.pipelines.all():
        for model in pipeline.models:
            if model.name not in seen:
                seen.add(model.name)
                yield model


def _plain(model: ModelIdentity) -> ModelIdentity:
    return ModelIdentity(model.name, model.version, model.sha256)


def _paths(at: Desk) -> list[Path]:
    """Network files that this process still runs: of the live line and of the candidates."""
    folders = dict(at.deployed.networks)
    paths = []
    for name, model in registry.find_models().items():
        folder = folders.get(name)
        paths.append(model.path if folder is None else registry.read_manifest(folder / "manifest.toml").path)
    for shadow in at.deployed.shadows:
        paths.append(registry.read_manifest(at.folder_of(shadow.deployment) / "manifest.toml").path)
    return paths
