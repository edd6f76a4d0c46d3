"""Golden frames of the aurora network: the shipped one passes with room to spare, a spoilt one does not."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models import golden, registry
from models.runtime import Runtime

NAME = "aurora"
ROOM = 0.1
"""How far every value of the shipped network lies at least from the half that decides."""


def spoilt(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """The shipped network with other weights."""
    shipped = registry.find_models()[NAME].path.parent
    folder.mkdir()
    network = onnx.load(shipped / f"{NAME}.onnx")
    for weights in network.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype in (np.float16, np.float32) and values.size > 64:
            made = np.ascontiguousarray(change(values).astype(values.dtype))
            weights.CopyFrom(numpy_helper.from_array(made, weights.name))
    onnx.save(network, folder / f"{NAME}.onnx")
    shutil.copyfile(shipped / "manifest.toml", folder / "manifest.toml")
    digest = hashlib.sha256((folder / f"{NAME}.onnx").read_bytes()).hexdigest()
    stated = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(re.sub(r"(?m)^sha256 = .*", f'sha256 = "{digest}"', stated))
    return folder


def shuffled(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).permutation(values.ravel()).reshape(values.shape)


def test_the_shipped_network_passes_with_room_to_spare() -> None:
    proof = golden.prove(Runtime(), NAME)
    assert proof is not None and proof.is_right, proof and proof.complaints
    assert len(proof.answers) == 28 and len(proof.values) == 28
    near = {frame: value for frame, value in proof.values.items() if abs(value - 0.5) < ROOM}
    assert near == {}


def test_the_same_network_answers_the_same_again() -> None:
    first = golden.prove(Runtime(), NAME)
    assert first is not None
    again = golden.prove(Runtime(), NAME, former=first.values)
    assert again is not None and again.differing == ()
    assert again.values == pytest.approx(first.values, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [shuffled, lambda values: values[::-1], lambda values: -values, lambda values: values * 0],
    ids=["shuffled", "turned", "negated", "nothing"],
)
def test_a_spoilt_network_is_refused(tmp_path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    proof = golden.prove(Runtime(), NAME, spoilt(tmp_path / "spoilt", change))
    assert proof is not None and not proof.is_right
    assert proof.ratio < 0.8, proof.complaints
