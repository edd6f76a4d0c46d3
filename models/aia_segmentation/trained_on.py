"""Which pictures trained a network: kept with its checkpoint and manifest, told when it is measured."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.aia_segmentation.data import Sample

WARNING = (
    "warning: {trained} of {pictures} pictures trained this network: on them the figures tell what it learned, "
    "not what it does on new frames. Leave them out (--since, --until), or measure a network that was trained "
    "with --leave-out-year (--family FOLDER)"
)
UNKNOWN = "warning: the manifest does not tell which pictures trained this network"


def names_by_source(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Names of the pictures that a training draws from, by where their labels come from.

    Simulated ones are left out: their seed is in the command.
    """
    sources = dict.fromkeys(s.source for s in samples if s.source != "simulated")
    return {source: sorted({s.name for s in samples if s.source == source}) for source in sources}


def training_pictures(family: Path) -> frozenset[str] | None:
    """Names, without endings, of the pictures that trained the network of a folder with a manifest.

    None where the manifest does not tell.
    """
    stated = tomllib.loads((family / "manifest.toml").read_text(encoding="utf-8"))
    named: dict[str, list[str]] | None = stated.get("training", {}).get("pictures")
    if named is None:
        return None
    return frozenset(name for names in named.values() for name in names)


def warning_of(result: dict[str, Any]) -> str | None:
    """What to say of a result of `evaluate`, if any of its pictures trained the network."""
    parts = [part for part in (result, result.get("boxes"), result.get("spots")) if part is not None]
    counted = [part for part in parts if "trained_on" in part]
    if any(part["trained_on"] is None for part in counted):
        return UNKNOWN
    worst = max(counted, key=lambda part: part["trained_on"]["trained"], default=None)
    if worst is None or not worst["trained_on"]["trained"]:
        return None
    return WARNING.format(**worst["trained_on"])
