"""Networks in eight-bit whole numbers: half of the time on a processor, with nearly the same answers.

Only what trains and exports needs this; a network that was written so runs as any other.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

_LEFT_REAL = ("Gemm", "Softmax", "Sigmoid", "Div")  # what gives the outputs: hardly any work


def write_eight_bits(plain: Path, target: Path, name: str, samples: NDArray[np.float32]) -> None:
    """Write a network whose convolutions multiply whole numbers.

    Weights have seven bits, one scale a filter: sums of eight-bit ones overflow on processors without
    instructions for them. The first convolution keeps real numbers, as the planes that it sees may differ
    in range, and so does the last, which gives an output.

    Parameters
    ----------
    plain : Path
        The network in real numbers (ONNX).
    name : str
        Of its only input.
    samples : ndarray, shape (n, …)
        Inputs on which the ranges of the numbers within are found.
    """
    with tempfile.TemporaryDirectory(prefix="heliowatch-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        convolutions = [node.name for node in nodes if node.op_type == "Conv"]
        left = [node.name for node in nodes if node.op_type in _LEFT_REAL]
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it advises steps that are taken here
        try:
            quantize_static(
                str(prepared),
                str(target),
                _Samples(name, samples),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                nodes_to_exclude=[convolutions[0], convolutions[-1], *left],
            )
        finally:
            logging.disable(before)


class _Samples(CalibrationDataReader):
    """Hands out one input after the other."""

    def __init__(self, name: str, samples: NDArray[np.float32]) -> None:
        self._name, self._samples = name, iter(samples)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        sample = next(self._samples, None)
        return None if sample is None else {self._name: sample[None]}
