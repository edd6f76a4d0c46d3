"""The model families: every folder here with a ``manifest.toml`` in it, or below, is one.

A family is found, not listed. Each of its manifests names a network and its sha256, which is
checked before the network is used. For the command line a family may have an ``options.py`` with
``TrainOptions``, ``EvaluateOptions``, ``ExportOptions`` and ``ImportOptions`` (frozen dataclasses whose
fields carry a ``help``, numbers also their ``least`` where that is not 0) and a ``family.py`` with ``train``,
``evaluate``, ``export`` and ``import_`` that take them, each where it has that verb; both are imported only
when asked for, so that torch is never needed to infer.
"""

from __future__ import annotations

import hashlib
import importlib
import keyword
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from observatory.analysis import ModelIdentity
from observatory.errors import ModelError

_FAMILIES = Path(__file__).parent
_MANIFEST = "manifest.toml"
_CALIBRATION = "calibration.npz"
VERBS = ("train", "evaluate", "export", "import")


@dataclass(frozen=True)
class TensorDescription:
    """One input or output of a network: name, shape (names for free axes), unit and meaning."""

    name: str
    shape: tuple[int | str, ...]
    unit: str
    meaning: str = ""


@dataclass(frozen=True)
class ModelDescription:
    """What a manifest says.

    Attributes
    ----------
    name, version, sha256 : str
    family : str
        Name of the first folder; for a family of one network usually the same as `name`.
    path : Path
        The ``.onnx`` file.
    inputs, outputs : tuple of TensorDescription
    opset : int
    parameters : Mapping
        Everything that changes results besides the weights.
    training_command : str
    seed : int
    licence : str
    """

    name: str
    version: str
    sha256: str
    family: str
    path: Path
    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...]
    opset: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    training_command: str = ""
    seed: int = 0
    licence: str = ""

    @property
    def identity(self) -> ModelIdentity:
        """What a result keeps of the model."""
        return ModelIdentity(self.name, self.version, self.sha256, self.parameters)

    def verify(self) -> None:
        """Check the network against the manifest, and the calibration beside it where it states one.

        Raises
        ------
        ModelError
            When one is missing or altered.
        """
        _require_file(self.path, self.sha256)
        calibration = self.parameters.get("calibration_sha256")
        if calibration:
            _require_file(self.path.with_name(_CALIBRATION), calibration)


def _require_file(path: Path, sha256: str) -> None:
    if not path.exists():
        raise ModelError(f"{path} is missing: restore it, or export the family again")
    found = sha256_of(path)
    if found != sha256:
        raise ModelError(
            f"{path} has sha256 {found[:12]}…, its manifest says {sha256[:12]}…: "
            "it was altered; restore it, or export the family again"
        )


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_manifest(path: Path) -> ModelDescription:
    """Read one ``manifest.toml``.

    Raises
    ------
    ModelError
        When it is no TOML or lacks a field.
    """
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
        return ModelDescription(
            name=stated["name"],
            version=stated["version"],
            sha256=stated["sha256"],
            family=path.parent.name,
            path=path.parent / stated["file"],
            inputs=_tensors(stated["inputs"]),
            outputs=_tensors(stated["outputs"]),
            opset=int(stated["opset"]),
            parameters=dict(stated.get("parameters", {})),
            training_command=stated["training"]["command"],
            seed=int(stated["training"]["seed"]),
            licence=stated.get("licence", ""),
        )
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} lacks or misstates {error}: compare it with another family's") from error


def _tensors(stated: list[Mapping[str, Any]]) -> tuple[TensorDescription, ...]:
    return tuple(
        TensorDescription(entry["name"], tuple(entry["shape"]), entry["unit"], entry.get("meaning", ""))
        for entry in stated
    )


def find_models(root: Path | None = None) -> dict[str, ModelDescription]:
    """All networks under `root` (default: this package), by model name; files are not hashed yet.

    Raises
    ------
    ModelError
        When two families claim one name, or a manifest is unreadable.
    """
    found: dict[str, ModelDescription] = {}
    root = root or _FAMILIES
    for manifest in sorted(root.glob(f"*/**/{_MANIFEST}")):
        model = replace(read_manifest(manifest), family=manifest.relative_to(root).parts[0])
        if model.name in found:
            raise ModelError(
                f"{model.name} is claimed by both {found[model.name].family} and {model.family}: "
                "rename one in its manifest.toml"
            )
        found[model.name] = model
    return found


def load(name: str, root: Path | None = None) -> ModelDescription:
    """The description of a model whose file has been verified.

    Raises
    ------
    ModelError
        When there is no such model, or its file is missing or altered.
    """
    models = find_models(root)
    if name not in models:
        raise ModelError(f"there is no model {name}; there are {', '.join(sorted(models)) or 'none'}")
    model = models[name]
    folder = _DEPLOYED.get().get(name)
    if folder is not None:
        model = replace(read_deployed(folder, name), family=model.family)
    model.verify()
    stated = _STATED.get().get(name)
    return model if stated is None else replace(model, parameters=stated)


def read_deployed(folder: Path, name: str | None = None) -> ModelDescription:
    """The description of a network in a folder of its own, which stands in for the shipped one.

    Raises
    ------
    ModelError
        When the manifest is unreadable or of another model, or the file is missing or altered.
    """
    model = read_manifest(folder / _MANIFEST)
    if name is not None and model.name != name:
        raise ModelError(f"{folder} holds {model.name}, not {name}")
    model.verify()
    return model


_NOWHERE: Mapping[str, Path] = MappingProxyType({})
_DEPLOYED: ContextVar[Mapping[str, Path]] = ContextVar("deployed_networks", default=_NOWHERE)


@contextmanager
def with_networks(folders: Mapping[str, Path]) -> Iterator[None]:
    """Let `load` give networks of other folders in place of the shipped ones, while inside.

    Parameters
    ----------
    folders : Mapping
        Name of a model to the folder with its manifest and network.
    """
    token = _DEPLOYED.set({**_DEPLOYED.get(), **folders})
    try:
        yield
    finally:
        _DEPLOYED.reset(token)


_NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
_STATED: ContextVar[Mapping[str, Mapping[str, Any]]] = ContextVar("stated_parameters", default=_NOTHING)


@contextmanager
def with_parameters(stated: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Let `load` give models with other parameters than their manifests', while inside.

    Models that are made meanwhile run as a former result says that they ran.

    Parameters
    ----------
    stated : Mapping
        Name of a model to all its parameters.
    """
    token = _STATED.set({**_STATED.get(), **stated})
    try:
        yield
    finally:
        _STATED.reset(token)


def trainable_families(root: Path | None = None) -> list[str]:
    """Folders that the command line can train, evaluate or export."""
    return sorted(path.parent.name for path in (root or _FAMILIES).glob("*/family.py"))


def families_of_thresholds(root: Path | None = None) -> list[Path]:
    """Folders of the families that are thresholds and no network."""
    return sorted(path.parent for path in (root or _FAMILIES).glob("*/thresholds.toml"))


def families_with(verb: str) -> list[str]:
    """Families that have a verb; imports no torch."""
    return [family for family in trainable_families() if _options(family, verb) is not None]


def options_of(family: str, verb: str) -> type[Any]:
    """The frozen dataclass of a verb's options, such as ``TrainOptions``; imports no torch.

    Raises
    ------
    ModelError
        When there is no such verb or family, or the family has no such verb.
    """
    _require(family, verb)
    options = _options(family, verb)
    if options is None:
        raise ModelError(
            f"{family} has no {verb}; there is one for {', '.join(families_with(verb)) or 'none'}"
        )
    return options


def action_of(family: str, verb: str) -> Callable[[Any], Any]:
    """The function of a verb; it imports torch, if it needs it, when called."""
    options_of(family, verb)
    name = f"{verb}_" if keyword.iskeyword(verb) else verb
    return getattr(importlib.import_module(f"models.{family}.family"), name)


def _options(family: str, verb: str) -> type[Any] | None:
    module = importlib.import_module(f"models.{family}.options")
    return getattr(module, f"{verb.capitalize()}Options", None)


def _require(family: str, verb: str) -> None:
    if verb not in VERBS:
        raise ModelError(f"{verb} is none of {', '.join(VERBS)}")
    if family not in trainable_families():
        raise ModelError(f"{family} is no family that trains; there are {', '.join(trainable_families())}")
