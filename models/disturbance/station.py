"""A station's model on disk: weights in ``NAME.npz``, and beside them ``NAME.toml`` that says what they are."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.disturbance.ridge import Ridge
from observatory.errors import ModelError

_ARRAYS = ("mean", "scale", "weights", "offset")
_AGAIN = "restore it, or train again: heliowatch sky disturbance train"
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Sources:
    """What a station's model was trained on.

    Attributes
    ----------
    station : str
        IAGA code of its magnetometer.
    is_simulated : bool
        Whether the magnetometer or the pictures were simulated.
    features_model : str
        Name and version of the network whose features it reads.
    features_sha256 : str
    time_from, time_to : str
        First and last frame, ISO 8601.
    rows : int
    """

    station: str
    is_simulated: bool
    features_model: str
    features_sha256: str
    time_from: str
    time_to: str
    rows: int


@dataclass(frozen=True)
class StationModel:
    """A ridge regression with all that is known of it.

    Attributes
    ----------
    name, version : str
    aurora_min : float
        Least probability of aurora of a frame that it may be asked about, 0 to 1.
    cloud_max : float
        Most cloud cover, 0 to 1.
    scores : Mapping[str, float]
        Of its cross-validation.
    sha256 : str
        Of the file of weights; empty before it is written.
    """

    name: str
    version: str
    ridge: Ridge
    sources: Sources
    aurora_min: float
    cloud_max: float
    scores: Mapping[str, float] = field(default_factory=dict)
    sha256: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """What results keep of it besides its weights."""
        return {
            "station": self.sources.station,
            "is_simulated": self.sources.is_simulated,
            "features_model": self.sources.features_model,
            "features_sha256": self.sources.features_sha256,
            "alpha": self.ridge.alpha,
            "aurora_min": self.aurora_min,
            "cloud_max": self.cloud_max,
        }


def write(folder: Path, model: StationModel) -> Path:
    """Write both files into a folder; returns the path of the ``.toml``."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: getattr(model.ridge, name) for name in _ARRAYS})
    weights = buffer.getvalue()
    (folder / f"{model.name}.npz").write_bytes(weights)
    manifest = folder / f"{model.name}.toml"
    manifest.write_text(_manifest(model, hashlib.sha256(weights).hexdigest()), encoding="utf-8")
    return manifest


def read(path: Path) -> StationModel:
    """Read a model by either of its two files.

    Raises
    ------
    ModelError
        When one is missing, altered, or not what it should be.
    """
    manifest = path.with_suffix(".toml")
    try:
        stated = tomllib.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{manifest} cannot be read: {error}; {_AGAIN}") from error
    try:
        weights = manifest.parent / Path(stated["file"]).name
        content = _content(weights)
        found = hashlib.sha256(content).hexdigest()
        if found != stated["sha256"]:
            raise ModelError(
                f"{weights} has sha256 {found[:12]}…, its manifest says {stated['sha256'][:12]}…: "
                f"it was altered; {_AGAIN}"
            )
        return StationModel(
            name=stated["name"],
            version=stated["version"],
            ridge=_ridge(weights, content, float(stated["alpha"])),
            sources=Sources(**stated["sources"]),
            aurora_min=float(stated["aurora_min"]),
            cloud_max=float(stated["cloud_max"]),
            scores=dict(stated.get("scores", {})),
            sha256=found,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{manifest} lacks or misstates {error}; {_AGAIN}") from error


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{path} is larger than any station's model; {_AGAIN}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; {_AGAIN}") from error


def _ridge(path: Path, content: bytes, alpha: float) -> Ridge:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name], np.float64) for name in _ARRAYS}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} holds no regression: {error}; {_AGAIN}") from error
    count = arrays["mean"].size
    shapes = {"mean": (count,), "scale": (count,), "weights": (count, 3), "offset": (3,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ModelError(f"{path}: {name} is no array of {shape} finite numbers; {_AGAIN}")
    if (arrays["scale"] <= 0).any():
        raise ModelError(f"{path}: a scale is not above 0; {_AGAIN}")
    return Ridge(**arrays, alpha=alpha)


def is_name(word: str) -> bool:
    """Whether a word can name a model and its files."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", word) is not None


def _manifest(model: StationModel, sha256: str) -> str:
    lines = [
        "# A station's regression of its magnetic disturbance, written by `heliowatch sky disturbance train`.",
    ]
    if model.sources.is_simulated:
        lines.append("# SIMULATED: trained on a simulated station; it says nothing of any real field.")
    facts = {
        "name": model.name,
        "version": model.version,
        "file": f"{model.name}.npz",
        "sha256": sha256,
        "alpha": model.ridge.alpha,
        "aurora_min": model.aurora_min,
        "cloud_max": model.cloud_max,
    }
    lines += _pairs(facts)
    lines += ["", "[sources]", *_pairs(vars(model.sources))]
    finite = {name: value for name, value in model.scores.items() if np.isfinite(value)}
    lines += ["", "[scores]  # cross-validated on blocks of time", *_pairs(finite)]
    return "\n".join(lines) + "\n"


def _pairs(facts: Mapping[str, Any]) -> list[str]:
    # JSON's strings, numbers and booleans are TOML's, too.
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in facts.items()]
