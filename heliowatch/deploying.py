"""Taking networks in, promoting them and rolling back: each proves itself before it runs."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import typer

from heliowatch.sources import open_database
from models import golden, registry
from models.registry import ModelDescription
from models.runtime import Runtime
from observatory.errors import ModelError
from observatory.settings import Settings
from observatory.storage import deployments, model_checks, shadows
from observatory.storage.deployments import Deployment
from observatory.storage.model_checks import CheckKind
from observatory.storage.session import Database
from observatory.words import counted

_MANIFEST = "manifest.toml"
_BESIDE = (".onnx", ".npz", ".toml", ".md", ".data")
_MOST_BYTES = 1 << 30


class RefusedModelError(ModelError):
    """A network that does not prove itself."""


def take_in(settings: Settings, folder: Path) -> Deployment:
    """Take a network in as the candidate of its model.

    Raises
    ------
    ModelError
        When the folder holds no network of a model that we know.
    RefusedModelError
        When its golden frames refuse it; that is noted, and what runs stays.
    """
    db = open_database(settings)
    model = _described(folder)
    place = _keep(settings, folder, model)
    refusal = _refusal(settings, model.name, settings.data_dir / place)
    made = deployments.stage(
        db,
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        folder=place.as_posix(),
        author=getpass.getuser(),
        now=datetime.now(UTC),
        refusal=refusal,
    )
    if refusal is not None:
        raise RefusedModelError(f"{model.name} {model.version} is refused by its golden frames: {refusal}")
    return made


def promote(settings: Settings, name: str, folder: Path | None) -> Deployment:
    """Make a model's candidate live; with a folder, that network, without trying it first.

    Raises
    ------
    RefusedModelError
        When its golden frames refuse it: what runs stays.
    NoSuchDeploymentError
        When there is no candidate.
    ModelError
        When the folder holds another model, or none that can be read.
    """
    if folder is not None:
        described = _described(folder)
        if described.name != name:
            raise ModelError(f"{folder} holds {described.name}, not {name}")
        take_in(settings, folder)
    db = open_database(settings)
    candidate = next((one for one in deployments.line(db).candidates if one.model_name == name), None)
    if candidate is not None and folder is None:  # it may have been altered since it was taken in
        refusal = _refusal(settings, name, settings.data_dir / candidate.folder)
        if refusal is not None:
            raise RefusedModelError(f"{name} is refused by its golden frames: {refusal}")
    return deployments.promote(db, name, getpass.getuser(), datetime.now(UTC))


def roll_back(settings: Settings, name: str) -> Deployment | None:
    """Make the network live that was before; None: the one that ships.

    Raises
    ------
    NoSuchDeploymentError
        When what ships runs already.
    ModelError
        When the network before is missing or altered.
    """
    db = open_database(settings)
    return deployments.roll_back(db, name, getpass.getuser(), datetime.now(UTC))


def withdraw(settings: Settings, name: str) -> Deployment:
    """Let a model's candidate try no longer."""
    return deployments.withdraw(open_database(settings), name, getpass.getuser(), datetime.now(UTC))


def print_watch(settings: Settings, form: str) -> None:
    """Print what runs, what tries, how alike they are, what golden frames and drift say."""
    db = open_database(settings)
    line = deployments.line(db)
    rows = [_row(db, one) for one in (*line.live, *line.candidates)]
    checks: list[dict[str, Any]] = [
        {
            "check": one.subject.kind.value,
            "model": one.subject.model.label,
            "sha256": one.subject.model.sha256,
            "instrument": one.subject.instrument or None,
            "checked_at": one.checked_at,
            "ratio": round(one.ratio, 4),
            "is_good": one.is_good,
            "complaints": list(one.detail.get("complaints", ())),
        }
        for one in model_checks.newest(db)
        if one.subject.kind is CheckKind.GOLDEN or one.subject.instrument
    ]
    if form == "json":
        typer.echo(orjson.dumps({"deployments": rows, "checks": checks}, default=str).decode())
        return
    for row in rows:
        tried = (
            ""
            if row["frames"] is None
            else f"  {counted(row['frames'], 'frame')} beside it, {_share(row['alike'])} alike"
        )
        typer.echo(f"{row['role']:<10}{row['model']}  {row['sha256'][:12]}…{tried}")
    if not rows:
        typer.echo("every model runs the network that ships")
    for check in checks:
        word = "good" if check["is_good"] else "NOT GOOD"
        typer.echo(
            f"{check['check']:<10}{check['model']} {check['instrument'] or ''}  {check['ratio']}  {word}"
        )
        for complaint in check["complaints"]:
            typer.echo(f"          {complaint}")


def _row(db: Database, one: Deployment) -> dict[str, Any]:
    found = shadows.agreement(db, one.id)
    return {
        "model": f"{one.model_name} {one.model_version}",
        "sha256": one.model_sha256,
        "role": one.role.value,
        "since": one.created_at,
        "author": one.author,
        "frames": found.frames or None,
        "alike": found.share,
    }


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def as_json(made: Deployment) -> str:
    """A deployment as one line."""
    return orjson.dumps(asdict(made), default=str).decode()


def _described(folder: Path) -> ModelDescription:
    if not (folder / _MANIFEST).is_file():
        raise ModelError(f"{folder} holds no {_MANIFEST}: give the folder that a training or an export wrote")
    model = registry.read_deployed(folder)
    known = registry.find_models()
    if model.name not in known:
        raise ModelError(
            f"{folder} holds {model.name}, which nothing here runs; there are {', '.join(sorted(known))}"
        )
    return model


def _keep(settings: Settings, folder: Path, model: ModelDescription) -> Path:
    """Copy a network into the data folder, whole or not at all; its place below that folder."""
    place = Path("models") / model.name / model.sha256[:16]
    target = settings.data_dir / place
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in _BESIDE]
    if sum(path.stat().st_size for path in files) > _MOST_BYTES:
        raise ModelError(f"{folder} holds more than 1 GiB: a network with its manifest is wanted")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".taking-in-") as spare:
        made = Path(spare) / "network"
        made.mkdir()
        for path in files:
            shutil.copyfile(path, made / path.name)
        registry.read_deployed(made, model.name)
        if target.exists():  # the same network again, perhaps with another manifest
            target.rename(Path(spare) / "former")
        made.rename(target)
    return place


def _refusal(settings: Settings, name: str, folder: Path) -> str | None:
    """What golden frames have against a network; None when they pass, or there are none."""
    runtime = Runtime(device=settings.runtime.device.value, networks=settings.enhancement.networks)
    try:
        proof = golden.prove(runtime, name, folder)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  a network of other inputs fails anywhere, in any way
        return f"it cannot be asked: {type(error).__name__}: {error}"
    if proof is None or proof.is_right:
        return None
    return "; ".join(proof.complaints)
