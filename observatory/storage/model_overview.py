"""All models at a glance: what runs where, what tries beside it, what was found of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from observatory.analysis import ModelIdentity
from observatory.storage import deployments, model_checks, provenance, shadows, workers
from observatory.storage.deployments import Deployment, StepTaken
from observatory.storage.model_checks import Check, CheckKind
from observatory.storage.session import Database
from observatory.storage.shadows import Agreement, Difference

_STEPS = 10
_DIFFERENCES = 8


@dataclass(frozen=True)
class Running:
    """A network that workers run now."""

    model: ModelIdentity
    workers: int
    providers: tuple[str, ...]
    family: str


@dataclass(frozen=True)
class Candidate:
    """A network that tries, with what it said so far."""

    deployment: Deployment
    agreement: Agreement
    differences: Sequence[Difference]


@dataclass(frozen=True)
class Overview:
    """One model.

    Attributes
    ----------
    running : tuple of Running
        More than one while a change is being taken over.
    deployed : Deployment or None
        The live network, where it is not the one that ships.
    drifts : tuple of Check
        One for each instrument.
    former : tuple of ModelIdentity
        Other versions that results name.
    """

    name: str
    running: tuple[Running, ...] = ()
    deployed: Deployment | None = None
    candidate: Candidate | None = None
    golden: tuple[Check, ...] = ()
    drifts: tuple[Check, ...] = ()
    steps: tuple[StepTaken, ...] = ()
    former: tuple[ModelIdentity, ...] = ()


@dataclass(frozen=True)
class Ratios:
    """Of each model that runs the number that matters, 0 to 1."""

    drift: Mapping[str, float] = field(default_factory=dict)
    golden: Mapping[str, float] = field(default_factory=dict)
    shadow: Mapping[str, float] = field(default_factory=dict)


def running(db: Database, now: datetime, silence_s: float) -> list[Running]:
    """Networks that live workers say they run."""
    found: dict[tuple[str, str, str], tuple[int, set[str], str]] = {}
    for worker in workers.alive(db, now, silence_s):
        told = {  # several pipelines of one worker may share a network
            (str(one.get("name")), str(one.get("version")), str(one.get("sha256"))): one
            for one in worker["facts"].get("models", ())
        }
        for key, one in told.items():
            count, providers, _ = found.get(key, (0, set(), ""))
            found[key] = count + 1, providers | {str(one.get("provider"))}, str(one.get("family"))
    return [
        Running(ModelIdentity(*key), count, tuple(sorted(providers)), family)
        for key, (count, providers, family) in sorted(found.items())
    ]


def overview(db: Database, now: datetime, silence_s: float) -> list[Overview]:
    """Every model that runs or that results name, by name."""
    at_work = running(db, now, silence_s)
    line = deployments.line(db)
    seen = provenance.models_seen(db)
    current = {one.model.sha256 for one in at_work}
    checks = [one for one in model_checks.newest(db) if one.subject.model.sha256 in current]
    steps = deployments.history(db)
    names = {one.model.name for one in at_work} | {model.name for model in seen}
    names |= {one.model_name for one in (*line.live, *line.candidates)}
    candidates = {one.model_name: one for one in line.candidates}
    return [
        Overview(
            name=name,
            running=tuple(one for one in at_work if one.model.name == name),
            deployed=next((one for one in line.live if one.model_name == name), None),
            candidate=_candidate(db, candidates[name]) if name in candidates else None,
            golden=tuple(one for one in _of(checks, name) if one.subject.kind is CheckKind.GOLDEN),
            drifts=tuple(
                one
                for one in _of(checks, name)
                if one.subject.kind is CheckKind.DRIFT and one.subject.instrument
            ),
            steps=tuple(one for one in steps if one.model_name == name)[:_STEPS],
            former=tuple(model for model in seen if model.name == name and model.sha256 not in current),
        )
        for name in sorted(names)
    ]


def ratios(db: Database, silence_s: float, now: datetime) -> Ratios:
    """The newest numbers of the models that run."""
    current = {one.model.sha256 for one in running(db, now, silence_s)}
    drift: dict[str, float] = {}
    golden: dict[str, float] = {}
    for one in model_checks.newest(db):
        name = one.subject.model.name
        if one.subject.model.sha256 not in current:
            continue
        if one.subject.kind is CheckKind.GOLDEN:
            golden[name] = min(one.ratio, golden.get(name, 1.0))
        elif not one.subject.instrument:  # the worst of all instruments
            drift[name] = one.ratio
    found = {one.model_name: shadows.agreement(db, one.id) for one in deployments.line(db).candidates}
    shadow = {name: one.share for name, one in found.items() if one.share is not None}
    return Ratios(drift, golden, shadow)


def _of(checks: Sequence[Check], name: str) -> list[Check]:
    return [one for one in checks if one.subject.model.name == name]


def _candidate(db: Database, one: Deployment) -> Candidate:
    return Candidate(one, shadows.agreement(db, one.id), shadows.differences(db, one.id, _DIFFERENCES))
