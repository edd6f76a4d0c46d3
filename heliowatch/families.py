"""`heliowatch models …`: the families' own options become command-line options."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import typer

from models import registry
from models.thresholds import Thresholds
from observatory.analysis import ModelIdentity
from observatory.errors import HeliowatchError, ModelError
from observatory.settings import Settings
from observatory.storage import deployments
from observatory.storage.deployments import Role

_MOST_LISTED = 500
_COLUMNS = ("name", "version", "family", "sha256", "bytes", "opset", "installed", "role", "in_results")


def print_list(form: str, settings: Settings) -> None:
    """Print the models that are installed or deployed, and every other version that stored results name."""
    rows = _listed(settings)
    if form == "json":
        for row in rows:
            typer.echo(orjson.dumps(row).decode())
        return
    separator = "," if form == "csv" else "  "
    typer.echo(separator.join(_COLUMNS))
    for row in rows:
        digest = row["sha256"] if form == "csv" else f"{row['sha256'][:12]}…"
        typer.echo(separator.join(_cell(value) for value in (row | {"sha256": digest}).values()))


def _listed(settings: Settings) -> list[dict[str, Any]]:
    seen = {(model.name, model.version, model.sha256) for model in _seen(settings)}
    rows: list[dict[str, Any]] = [
        {
            "name": model.name,
            "version": model.version,
            "family": model.family,
            "sha256": model.sha256,
            "bytes": model.path.stat().st_size if model.path.exists() else None,
            "opset": model.opset,
            "installed": True,
        }
        for model in registry.find_models().values()
    ]
    without_network = [
        model for model in _at_work(settings) if model.name not in {row["name"] for row in rows}
    ]
    rows += [_row(model, is_installed=True) for model in without_network]
    installed = {_key(row) for row in rows}
    given = _given(settings)
    families = {row["name"]: row["family"] for row in rows}
    at_hand = {key for key, role in given.items() if role in (Role.LIVE, Role.CANDIDATE)}
    for key in sorted((seen | at_hand) - installed):
        row = _row(ModelIdentity(*key), is_installed=False)
        rows.append(row | {"family": families.get(key[0]) if key in given else None})
    rows.sort(key=lambda row: (row["name"], not row["installed"], row["version"]))
    return [row | {"role": _role(row, given), "in_results": _key(row) in seen} for row in rows]


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["name"], row["version"], row["sha256"]


def _role(row: dict[str, Any], given: dict[tuple[str, str, str], Role]) -> str | None:
    """What a network is to its model; what ships is live where nothing was promoted in its place."""
    if (said := given.get(_key(row))) is not None and not (row["installed"] and said is not Role.LIVE):
        return said.value
    if not row["installed"]:
        return None
    has_other = any(name == row["name"] and role is Role.LIVE for (name, _, _), role in given.items())
    return None if has_other else Role.LIVE.value


def _row(model: ModelIdentity, *, is_installed: bool) -> dict[str, Any]:
    facts = {"name": model.name, "version": model.version, "family": model.name if is_installed else None}
    return facts | {"sha256": model.sha256, "bytes": None, "opset": None, "installed": is_installed}


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _at_work(settings: Settings) -> list[ModelIdentity]:
    """Models that the pipelines run, those without a network among them; none when one is altered."""
    from models.runtime import Runtime
    from workers.pipelines import Pipelines

    try:
        pipelines = Pipelines(Runtime(networks=settings.enhancement.networks))
        return [model for pipeline in pipelines.all() for model in pipeline.models]
    except ModelError as error:
        typer.echo(f"{error}", err=True)
        return []


def _seen(settings: Settings) -> list[ModelIdentity]:
    """Models that stored results name; none where nothing is stored or the database is away."""
    from heliowatch.sources import NothingStoredError, open_database
    from observatory.storage.provenance import models_seen

    try:
        return models_seen(open_database(settings))
    except NothingStoredError:
        return []
    except HeliowatchError as error:
        typer.echo(f"versions in results are not known: {error}", err=True)
        return []


def _given(settings: Settings) -> dict[tuple[str, str, str], Role]:
    """What became last of each network that was given to the system."""
    from heliowatch.sources import open_database

    try:
        found = deployments.listed(open_database(settings), limit=_MOST_LISTED)
    except HeliowatchError:
        return {}  # `_seen` has told
    return {(one.model_name, one.model_version, one.model_sha256): one.role for one in reversed(found)}


def verify() -> int:
    """Check every model's files, networks and calibrations; 1 when one is missing or altered."""
    failed = 0
    for label, check in _checks():
        try:
            check()
            typer.echo(f"{label}: as its manifest says")
        except ModelError as error:
            failed = 1
            typer.echo(f"{label}: {error}", err=True)
    return failed


def _checks() -> Iterator[tuple[str, Callable[[], object]]]:
    """What each model is called, and what checks it."""
    for model in registry.find_models().values():
        yield f"{model.name} {model.version}", model.verify
    for folder in registry.families_of_thresholds():
        yield folder.name, partial(Thresholds, folder.name, folder, is_calibrated=True)


def run(verb: str, family: str, arguments: list[str]) -> None:
    """Run a family's verb with options parsed from the command line; print its result as JSON.

    Options belong to a family; asked for help without one, say which families there are.
    """
    if family in ("-h", "--help"):
        typer.echo(f"usage: heliowatch models {verb} FAMILY [OPTIONS]")
        typer.echo(f"families: {', '.join(registry.families_with(verb)) or 'none'}")
        typer.echo(f"`heliowatch models {verb} FAMILY --help` lists a family's options")
        return
    options = registry.options_of(family, verb)
    parsed = _parser(verb, family, options).parse_args(arguments)
    try:
        result = registry.action_of(family, verb)(options(**vars(parsed)))
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{verb} needs {error.name}: pip install 'heliowatch[train]' (with torch==2.13.0)"
        ) from error
    if isinstance(result, dict | list):
        sys.stdout.write(orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY, default=str).decode() + "\n")
    elif result is not None:
        typer.echo(str(result))


def _parser(verb: str, family: str, options: type[Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"heliowatch models {verb} {family}",
        description=(options.__doc__ or "").splitlines()[0],
        formatter_class=_HelpFormatter,
    )
    kinds = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        kind = _plain(kinds[field.name])
        if field.metadata.get("is_positional"):
            parser.add_argument(
                field.name, type=kind, metavar=field.metadata["metavar"], help=field.metadata["help"]
            )
            continue
        flag = f"--{field.name.replace('_', '-')}"
        more: dict[str, Any] = {"help": field.metadata.get("help", " "), "dest": field.name}
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            more["required"] = True
        elif field.default is not dataclasses.MISSING:
            more["default"] = field.default
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **more)
        else:
            taken = _number(kind, field.metadata.get("least", 0)) if kind in (int, float) else kind
            parser.add_argument(flag, type=taken, metavar=kind.__name__.upper(), **more)
    return parser


def _number(kind: type[Any], least: float) -> Callable[[str], float]:
    """Reads a number of an option: none counts, measures or seeds below its least, which is 0 if it has none."""

    def read(word: str) -> float:
        try:
            number: float = kind(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"invalid {kind.__name__} value: {word!r}") from error
        if not number >= least:
            raise argparse.ArgumentTypeError(f"{word} is not {least:g} or more")
        return number

    return read


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Says defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, "") else super()._get_help_string(action)


def _plain(kind: Any) -> type[Any]:
    """Type of an option without its ``| None``."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return kind if kind in (int, float, bool, Path) else str
