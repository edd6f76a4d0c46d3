"""A little network with the aurora network's inputs and outputs, that says what it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.aurora.preparation import CHANNELS, GRID, SIDE
from models.registry import ModelDescription, sha256_of
from observatory.analysis import SkyClass


def stand_in(folder: Path, said: Mapping[SkyClass, float]) -> ModelDescription:
    """Write a network whose features are the channels' means and whose cloud is the stretched brightness.

    Parameters
    ----------
    said : Mapping[SkyClass, float]
        The probabilities that it gives; classes that are not named share what is left.
    """
    rest = (1.0 - sum(said.values())) / max(len(SkyClass) - len(said), 1)
    logits = np.log([max(said.get(name, rest), 1e-9) for name in SkyClass]).astype(np.float32)
    weights = {
        "logits": logits,
        "nothing": np.zeros((len(CHANNELS), len(SkyClass)), np.float32),
        "starts": np.array([1], np.int64),
        "ends": np.array([2], np.int64),
        "axes": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "nothing", "logits"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("Slice", ["image", "starts", "ends", "axes"], ["stretched"]),
        helper.make_node(
            "AveragePool",
            ["stretched"],
            ["means"],
            kernel_shape=[SIDE // GRID] * 2,
            strides=[SIDE // GRID] * 2,
        ),
        helper.make_node("Squeeze", ["means", "axes"], ["cloud"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", len(CHANNELS), SIDE, SIDE])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("features", ["n", len(CHANNELS)]),
            ("probabilities", ["n", len(SkyClass)]),
            ("cloud", ["n", GRID, GRID]),
        )
    ]
    initial = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "stand_in", [image], outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "stand_in.onnx"
    onnx.save(model, path)
    return ModelDescription("aurora", "0.0.1", sha256_of(path), "aurora", path, (), (), 17)
