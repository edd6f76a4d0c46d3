"""From a trained network to what ships: ONNX, and the words of its manifest (torch and onnx)."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from models.registry import sha256_of
from observatory.errors import ModelError

OPSET = 17


def write_onnx(
    network: nn.Module,
    example: Tensor,
    target: Path,
    given: str,
    made: Sequence[str],
    axes: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """Trace a network to ONNX.

    Parameters
    ----------
    network : Module
    example : Tensor
        An input of it.
    target : Path
    given : str
        Name of the input.
    made : sequence of str
        Names of the outputs.
    axes : mapping, optional
        The free axes of input and outputs, by their numbers; the batch alone where it is not given.
    """
    free = axes or {name: {0: "n"} for name in (given, *made)}
    with warnings.catch_warnings():
        # torch prefers its newer exporter, which needs onnxscript and writes the same graph larger.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(target),
            input_names=[given],
            output_names=list(made),
            dynamic_axes={name: dict(free[name]) for name in free},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(target))


def require_parity(difference: float, most: float, name: str) -> None:
    """Refuse a network whose ONNX says something else.

    Raises
    ------
    ModelError
        When the difference from torch is not below `most`; also when it is no number.
    """
    if not difference < most:
        raise ModelError(f"{name} differs from torch by {difference:.2g}: export with another opset")


def heading(family: str, version: str, target: Path) -> list[str]:
    """The first lines of a manifest: which network, and the file's hash."""
    return [
        f"# Written by `heliowatch models export {family}`; edit nothing by hand.",
        f'name = "{target.stem}"',
        f'version = "{version}"',
        f'file = "{target.name}"',
        f'sha256 = "{sha256_of(target)}"',
        f"opset = {OPSET}",
        'licence = "BSD-3-Clause"',
        "",
    ]


def tensor(kind: str, name: str, shape: Sequence[int | str], unit: str, meaning: str) -> list[str]:
    """The lines of one of the ``inputs`` or ``outputs`` (`kind`); words stand for free axes."""
    return element(kind, {"name": name, "shape": shape, "unit": unit, "meaning": meaning})


def table(name: str, values: Mapping[str, Any]) -> list[str]:
    """The lines of a table."""
    return [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in values.items()), ""]


def element(name: str, values: Mapping[str, Any]) -> list[str]:
    """The lines of one table among several of that name."""
    return table(f"[{name}]", values)


def toml(value: Any) -> str:
    """A value as TOML has it: words (without quotes or backslashes in them), numbers, truth, or lists of these."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(entry) for entry in value) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def training_command(
    family: str,
    stated: Mapping[str, Any],
    options: type[Any],
    *,
    always: Collection[str],
    idle: Collection[str],
    paths: Collection[str] = (),
) -> str:
    """The command line that repeats a training: all that changes its result.

    Parameters
    ----------
    family : str
    stated : mapping
        The options of the run, as `models.training.stated` has them; those of a former time may lack some.
    options : dataclass
        Of the family's training, with the defaults.
    always : collection of str
        Options that are written also where they are the defaults.
    idle : collection of str
        Options that change no result.
    paths : collection of str
        Folders and files are machines' own, so they stand as their option's name in capitals.
    """
    words = [f"heliowatch models train {family}"]
    for option in fields(options):
        name, value = option.name, stated.get(option.name, option.default)
        is_plain = value == option.default and name not in always
        if name in idle or is_plain or value in (None, "", "None"):
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words.append(f"--{flag} {name.upper() if name in paths else value}")
    return " ".join(words)
