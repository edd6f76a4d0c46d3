"""Exact little networks that double the sampling, in place of learned ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from models.registry import ModelDescription, read_manifest, sha256_of
from observatory.analysis import Quantity

_MANIFEST = """
name = "{name}"
version = "0.0.1"
file = "{name}.onnx"
sha256 = "{sha256}"
opset = 17
[[inputs]]
name = "image"
shape = ["n", 1, "h", "w"]
unit = "quiet Sun or kG"
[[outputs]]
name = "enhanced"
shape = ["n", 1, "2h", "2w"]
unit = "quiet Sun or kG"
[training]
command = "none"
seed = 0
[parameters]
quantity = "{quantity}"
pixel_arcsec = 0.504
noise = {noise}
halo_px = {halo}
align_px = 1
psf = "wachter"
"""


def cubic_phases() -> np.ndarray:
    """Taps (2, 5) of Keys' cubic interpolation a quarter of a pixel before and after a pixel's middle."""

    def weight(x: np.ndarray) -> np.ndarray:
        x, a = np.abs(x), -0.5
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    at = np.arange(-2, 3)
    return np.stack([weight(at - shift) for shift in (-0.25, 0.25)])


def linear_filters(sharpening: float = 0.0) -> np.ndarray:
    """Filters (4, 7, 7) of the four output pixels, of sum 1: cubic, and sharper by a share of a Laplacian."""
    rows = cubic_phases()
    cubic = np.array([np.outer(rows[y], rows[x]) for y in (0, 1) for x in (0, 1)])
    filters = np.zeros((4, 7, 7))
    filters[:, 1:6, 1:6] = cubic
    for y, x, share in ((1, 1, 4), (0, 1, -1), (2, 1, -1), (1, 0, -1), (1, 2, -1)):
        filters[:, y : y + 5, x : x + 5] += sharpening * share / 4 * cubic
    return filters


def write_network(
    folder: Path, quantity: Quantity, *, sharpening: float = 0.0, noise: float = 1e-3
) -> ModelDescription:
    """A linear network of a known filter, with its manifest."""
    filters = linear_filters(sharpening).astype(np.float32)[:, None]
    half = filters.shape[-1] // 2
    nodes = [
        helper.make_node("Pad", ["image", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Conv", ["padded", "filters"], ["phases"]),
        helper.make_node("DepthToSpace", ["phases"], ["enhanced"], blocksize=2, mode="CRD"),
    ]
    pads = np.array([0, 0, half, half, 0, 0, half, half], np.int64)
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("enhanced", TensorProto.FLOAT, ["n", 1, "h2", "w2"])],
        [
            helper.make_tensor("pads", TensorProto.INT64, pads.shape, pads),
            helper.make_tensor("filters", TensorProto.FLOAT, filters.shape, filters.ravel()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    name = f"stand_in_{quantity.value}"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / f"{name}.onnx")
    (folder / "manifest.toml").write_text(
        _MANIFEST.format(
            name=name,
            sha256=sha256_of(folder / f"{name}.onnx"),
            quantity=quantity.value,
            noise=noise,
            halo=half,
        ),
        encoding="utf-8",
    )
    return read_manifest(folder / "manifest.toml")


def stand_ins(folder: Path, sharpening: float = 0.8) -> Mapping[Quantity, ModelDescription]:
    """Both quantities' networks."""
    return {
        quantity: write_network(folder / quantity.value, quantity, sharpening=sharpening, noise=noise)
        for quantity, noise in ((Quantity.CONTINUUM, 1e-3), (Quantity.FIELD, 0.01))
    }
