"""What identifies the run that made a result."""

from __future__ import annotations

import hashlib

import orjson

from observatory.analysis import ModelIdentity


def parameters_hash(model: ModelIdentity) -> str:
    """Hash of a model's parameters in a canonical order."""
    canonical = orjson.dumps(dict(model.parameters), option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(canonical).hexdigest()
