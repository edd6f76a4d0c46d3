"""From the published network's own weights to ONNX with manifest, checked against a second evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.hmi_enhancement.export import Provenance, write_network
from models.hmi_enhancement.keras_weights import (
    ACTIVATIONS,
    MODELS,
    Convolution,
    KerasWeights,
    Normalisation,
    evaluate,
    read_weights,
)
from models.hmi_enhancement.network import DEFAULTS, Enhancer
from models.hmi_enhancement.options import ImportOptions
from models.hmi_enhancement.psf import PSFS
from models.hmi_enhancement.train import CENTRES, SCALE
from models.registry import sha256_of
from models.runtime import Runtime
from observatory.analysis import Quantity
from observatory.errors import ModelError

_PARITY = 1e-4  # of the unit, where the picture is of order 1: float32 through fourteen convolutions
_SIDES = (36, 44)


def import_weights(options: ImportOptions) -> Path:
    """Write the imported network as ``.onnx`` with ``manifest.toml``; returns the network.

    Raises
    ------
    ModelError
        When the file holds no known network, another one than is stated, or the result does not
        repeat what the weights say.
    """
    if options.quantity not in {*Quantity} or options.psf not in PSFS:
        raise ModelError(
            f"--quantity is one of {', '.join(Quantity)}; --psf is one of {', '.join(PSFS)}: "
            f"not {options.quantity} and {options.psf}"
        )
    quantity = Quantity(options.quantity)
    weights = read_weights(options.weights)
    activation = _checked(options, weights)
    network = network_of(weights, activation, quantity)
    known = Provenance(
        quantity=quantity,
        noise=options.noise if options.noise is not None else weights.noise or 1e-3,
        psf=options.psf,
        command=_command(options, activation),
        version=options.version,
        truths=({"name": options.weights.name, "sha256": sha256_of(options.weights), "rows": ""},),
    )
    target = write_network(network, known, options.output)
    difference = _difference(weights, activation, CENTRES[quantity], target)
    if not difference < _PARITY:
        target.unlink()
        raise ModelError(f"{target.name} differs by {difference:.2g} from what its weights say: tell us")
    return target


def _checked(options: ImportOptions, weights: KerasWeights) -> str:
    """The activation, once all that is stated fits what the file says."""
    stated = {"model": options.model, "depth": options.depth, "filters": options.filters}
    found = {"model": weights.model, "depth": weights.depth, "filters": weights.filters}
    for name, value in stated.items():
        if value is not None and value != found[name]:
            choice = f" (there are {', '.join(MODELS)})" if name == "model" and value not in MODELS else ""
            raise ModelError(
                f"{options.weights} holds {weights.model} of depth {weights.depth} with {weights.filters} filters, "
                f"not --{name} {value}{choice}: leave --{name} out, or give another file"
            )
    activation = options.activation or weights.activation or "relu"
    if activation not in ACTIVATIONS:
        raise ModelError(f"--activation is one of {', '.join(ACTIVATIONS)}, not {activation}")
    if weights.activation not in (None, activation):
        raise ModelError(
            f"{options.weights} says that it activates by {weights.activation}, not {activation}"
        )
    return activation


def _command(options: ImportOptions, activation: str) -> str:
    return (
        f"heliowatch models import hmi_enhancement {options.weights.name} "
        f"--quantity {options.quantity} --activation {activation} --psf {options.psf}"
    )


def network_of(weights: KerasWeights, activation: str, quantity: Quantity) -> Enhancer:
    """The network of these weights, ready to infer; takes and gives the quantity in its own unit.

    Our networks scale what goes in and out, the published ones do not: the scale becomes part of the
    first and the last convolution, which changes nothing else, as edges are mirrored.
    """
    centre = CENTRES[quantity]
    config = replace(
        DEFAULTS[weights.model],
        channels=weights.filters,
        depth=weights.depth,
        activation=activation,
        centre=centre,
        scale=SCALE,
    )
    network = Enhancer(config)
    layers = list(weights.layers)
    layers[0] = _scaled_entry(_convolution(layers[0]), centre)
    layers[-1] = _scaled_exit(_convolution(layers[-1]), centre)
    modules = [module for module in network.inner.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    with torch.no_grad():
        for module, layer in zip(modules, layers, strict=True):
            _fill(module, layer)
    return network.eval()


def _convolution(layer: Convolution | Normalisation) -> Convolution:
    assert isinstance(layer, Convolution)
    return layer


def _scaled_entry(layer: Convolution, centre: float) -> Convolution:
    """The same answer to (image - centre) / scale as to the image."""
    kernel = layer.kernel.astype(np.float64)
    return Convolution(layer.name, SCALE * kernel, layer.bias + centre * kernel.sum(axis=(0, 1, 2)))


def _scaled_exit(layer: Convolution, centre: float) -> Convolution:
    """Its answer, less the centre and divided by the scale."""
    return Convolution(layer.name, layer.kernel.astype(np.float64) / SCALE, (layer.bias - centre) / SCALE)


def _fill(module: nn.Module, layer: Convolution | Normalisation) -> None:
    """Copy a layer's arrays into torch's, which stand as (out, in, height, width)."""
    arrays: dict[str, Any]
    if isinstance(layer, Convolution):
        arrays = {"weight": layer.kernel.transpose(3, 2, 0, 1), "bias": layer.bias}
    else:
        arrays = {
            "weight": layer.gamma,
            "bias": layer.beta,
            "running_mean": layer.mean,
            "running_var": layer.variance,
        }
        module.eps = layer.epsilon
    for name, array in arrays.items():
        tensor = getattr(module, name)
        if tensor.shape != array.shape:
            raise ModelError(
                f"layer {layer.name} has {array.shape}, our network {tuple(tensor.shape)}: tell us of this file"
            )
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def _difference(weights: KerasWeights, activation: str, centre: float, target: Path) -> float:
    """Largest difference between ONNX Runtime and the published network in numpy, against its own size."""
    random = np.random.default_rng(7)
    image = (centre + SCALE * random.standard_normal(_SIDES)).astype(np.float32)
    expected = evaluate(weights, image, activation)
    found = Runtime().session(target).run({"image": image[None, None]})["enhanced"][0, 0]
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
