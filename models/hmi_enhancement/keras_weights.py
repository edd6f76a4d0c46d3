"""Weights of the published network as Keras saved them (h5py and numpy; no Keras).

Enhance (Díaz Baso & Asensio Ramos 2018, A&A 614, A5; code github.com/cdiazbas/enhance) ships its weights as
HDF5: attribute ``layer_names`` of the root (of ``model_weights`` where the whole model was saved), a group
for each layer with attribute ``weight_names``, and the arrays below. Kernels stand as (height, width, in,
out). Nothing in a file of weights tells activation, noise or quantity; a whole model tells the first two.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from observatory.errors import ModelError

MODELS = ("keepsize", "encdec")
ACTIVATIONS = ("relu", "elu")
#: Keras adds this to a batch's variance (its own default, which the published code keeps); torch adds 1e-5.
EPSILON = 1e-3
_LARGEST = 1 << 24  # numbers in one array; the published ones have 36 864
_UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError)


@dataclass(frozen=True)
class Convolution:
    """One convolution.

    Attributes
    ----------
    name : str
    kernel : ndarray, shape (height, width, in, out), float32
    bias : ndarray, shape (out,), float32
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its kernel."""
        return self.kernel.shape


@dataclass(frozen=True)
class Normalisation:
    """Batch norm as it infers: ``gamma (x - mean) / sqrt(variance + epsilon) + beta``, each (channels,)."""

    name: str
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float = EPSILON

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each of its arrays."""
        return self.gamma.shape


@dataclass(frozen=True)
class KerasWeights:
    """The layers of one file that have weights, in the order in which the network runs them.

    Attributes
    ----------
    layers : tuple of Convolution and Normalisation
    model : str
        ``keepsize`` or ``encdec``.
    depth : int
        Residual blocks.
    filters : int
        Channels of the first convolution.
    activation, noise : str or None, float or None
        What the file says of them; None where it holds weights alone.
    """

    layers: tuple[Convolution | Normalisation, ...]
    model: str
    depth: int
    filters: int
    activation: str | None = None
    noise: float | None = None


@dataclass(frozen=True)
class _Config:
    """What the description of a whole model tells beside its weights."""

    activation: str | None = None
    noise: float | None = None
    epsilons: dict[str, float] = field(default_factory=dict)


def read_weights(path: Path) -> KerasWeights:
    """Read a file that Keras 1.2 to 2 (and later ones, asked for the old format) wrote.

    Raises
    ------
    ModelError
        When it is no such file, is damaged, or holds another network than `MODELS`.
    """
    _refuse_others(path)
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            _refuse_other_layouts(path, file, root)
            config = _config(file.attrs.get("model_config"))
            layers = tuple(_layers(path, root, config))
    except ModelError:
        raise
    except _UNREADABLE as error:  # h5py has no error of its own
        raise ModelError(
            f"{path} breaks off or is damaged ({error}): copy it again, and compare its size with the original"
        ) from error
    model, depth, filters = _recognised(path, layers)
    return KerasWeights(layers, model, depth, filters, config.activation, config.noise)


def _refuse_others(path: Path) -> None:
    """Say of what is no HDF5 what it is, if that can be told, and what to do."""
    advice = "load it in Keras and call model.save_weights('FILE.hdf5')"
    if not path.exists():
        raise ModelError(f"{path} is missing: give the .hdf5 file with the weights")
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            raise ModelError(f"{path} is a TensorFlow SavedModel, which is not read: {advice}")
        raise ModelError(f"{path} is a folder: give the .hdf5 file with the weights")
    if path.name == "saved_model.pb":
        raise ModelError(f"{path} is part of a TensorFlow SavedModel, which is not read: {advice}")
    if h5py.is_hdf5(path):
        return
    if zipfile.is_zipfile(path):
        raise ModelError(f"{path} is a .keras archive or another ZIP, which is not read: {advice}")
    if path.suffix == ".index" or ".data-0" in path.name:
        raise ModelError(f"{path} is part of a TensorFlow checkpoint, which is not read: {advice}")
    raise ModelError(f"{path} is no HDF5 file, or its beginning is lost: give what model.save_weights wrote")


def _refuse_other_layouts(path: Path, file: Any, root: Any) -> None:
    if not list(_names(root, "layer_names")):
        if "layers" in file or "_layer_checkpoint_dependencies" in file:
            raise ModelError(
                f"{path} has the layout of Keras 3 (.weights.h5), which does not tell the order of its layers: "
                "load it there and save the whole model as FILE.h5"
            )
        raise ModelError(
            f"{path} is HDF5 but names no layers (attribute layer_names): give what model.save_weights wrote"
        )
    backend = _text(file.attrs.get("backend", root.attrs.get("backend", b"tensorflow")))
    if backend != "tensorflow":
        raise ModelError(
            f"{path} was saved with Keras on {backend}, whose kernels may be turned by half a circle: "
            "load it in Keras on TensorFlow and save it there"
        )


def _names(group: Any, attribute: str) -> Iterator[str]:
    """Names in an attribute; Keras cuts long ones into ``name0``, ``name1``, …."""
    if attribute in group.attrs:
        yield from (_text(entry) for entry in group.attrs[attribute])
        return
    number = 0
    while f"{attribute}{number}" in group.attrs:
        yield from (_text(entry) for entry in group.attrs[f"{attribute}{number}"])
        number += 1


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _layers(path: Path, root: Any, config: _Config) -> Iterator[Convolution | Normalisation]:
    for name in _names(root, "layer_names"):
        group = root[name]
        arrays = {
            stored.rsplit("/", 1)[-1].split(":")[0]: _array(path, group, stored)
            for stored in _names(group, "weight_names")
        }
        if not arrays:
            continue  # padding, activation, noise, …
        if set(arrays) == {"kernel", "bias"} and arrays["kernel"].ndim == 4:
            yield Convolution(name, arrays["kernel"], arrays["bias"])
        elif set(arrays) == {"gamma", "beta", "moving_mean", "moving_variance"}:
            if arrays["moving_variance"].min() < 0:
                raise ModelError(f"{path}: layer {name} has a negative variance, so the file is damaged")
            yield Normalisation(
                name,
                arrays["gamma"],
                arrays["beta"],
                arrays["moving_mean"],
                arrays["moving_variance"],
                config.epsilons.get(name, EPSILON),
            )
        else:
            raise ModelError(
                f"{path}: layer {name} has {', '.join(sorted(arrays))}; known are 2-D convolutions (kernel, bias) "
                f"and batch norm, so this is none of {', '.join(MODELS)}"
            )


def _array(path: Path, group: Any, name: str) -> np.ndarray:
    stored = group[name]
    if stored.size > _LARGEST:
        raise ModelError(f"{path}: {name} claims {stored.shape}, far more than the published networks have")
    array = np.asarray(stored, np.float32)
    if array.size == 0 or not np.isfinite(array).all():
        raise ModelError(
            f"{path}: {name} is empty or not finite, so the file is damaged or its training failed"
        )
    return array


def _config(stated: Any) -> _Config:
    """What ``model_config`` tells; nothing where there is none.

    Raises
    ------
    ModelError
        When it has several activations.
    """
    if stated is None:
        return _Config()
    layers = [
        (entry.get("class_name"), entry.get("config", {}))
        for entry in json.loads(_text(stated))["config"]["layers"]
    ]
    activations = {config["activation"] for kind, config in layers if kind == "Activation"}
    if len(activations) > 1 or not activations <= {*ACTIVATIONS}:
        raise ModelError(f"the network activates by {', '.join(sorted(activations))}; known are relu or elu")
    noises = [float(config["stddev"]) for kind, config in layers if kind == "GaussianNoise"]
    epsilons = {
        config["name"]: float(config["epsilon"])
        for kind, config in layers
        if str(kind).startswith("BatchNormalization") and "epsilon" in config
    }
    return _Config(next(iter(activations), None), next(iter(noises), None), epsilons)


def published_shapes(model: str, depth: int, filters: int) -> list[tuple[int, ...]]:
    """Shapes of the layers with weights, in order: kernels (height, width, in, out), batch norm (channels,).

    After the published code (models.py); ``keepsize`` with 64 filters and depth 5 has 446 657 weights.
    """

    def step(given: int, wanted: int) -> list[tuple[int, ...]]:
        return [(3, 3, given, wanted), (wanted,)]

    if model == "keepsize":
        body = [shape for _ in range(2 * depth + 1) for shape in step(filters, filters)]
        return [(3, 3, 1, filters), *body, (3, 3, filters, filters), (1, 1, filters, 1)]
    wide = 2 * filters
    body = [shape for _ in range(2 * depth) for shape in step(wide, wide)]
    ends = [*step(wide, filters), *step(filters, filters), (1, 1, filters, 1)]
    return [*step(1, filters), *step(filters, wide), *body, *ends]


def _recognised(path: Path, layers: tuple[Convolution | Normalisation, ...]) -> tuple[str, int, int]:
    """Which network it is, its depth and its filters."""
    shapes = [layer.shape for layer in layers]
    convolutions = [shape for shape in shapes if len(shape) == 4]
    if len(convolutions) < 6 or shapes[0] != convolutions[0]:
        raise ModelError(
            f"{path} has {len(convolutions)} convolutions in {len(layers)} layers with weights; "
            f"{' and '.join(MODELS)} begin with a convolution and have at least 6"
        )
    # In keepsize nothing normalises the first convolution, in encdec the second layer does.
    model = "keepsize" if len(shapes[1]) == 4 else "encdec"
    filters = shapes[0][-1]
    depth = (len(convolutions) - (4 if model == "keepsize" else 5)) // 2
    wanted = published_shapes(model, depth, filters)
    for place, (found, expected) in enumerate(zip(shapes, wanted, strict=False)):
        if found != expected:
            raise ModelError(
                f"{path}: layer {layers[place].name} (the {place + 1}th with weights) has {found}, where {model} of "
                f"depth {depth} and {filters} filters has {expected}: it is another network"
            )
    if len(shapes) != len(wanted):
        raise ModelError(
            f"{path} has {len(shapes)} layers with weights, where {model} of depth {depth} and {filters} filters "
            f"has {len(wanted)}: it is another network, or part of one"
        )
    return model, depth, filters


def evaluate(weights: KerasWeights, image: np.ndarray, activation: str) -> np.ndarray:
    """Run the network as published, in numpy: the measure for what was imported, not for use.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        In the unit of the network; for ``encdec`` of even sides.
    activation : str
        ``relu`` or ``elu``.

    Returns
    -------
    ndarray, shape (2 h, 2 w), float64
    """
    run = _Evaluation(weights, activation)
    value = np.asarray(image, np.float64)[..., None]
    if weights.model == "keepsize":
        first = value = run.active(run.convolved(value))
        for _ in range(weights.depth):
            value = value + run.block(value)
        value = first + run.normal(run.convolved(value))
        value = run.active(run.convolved(_doubled(value)))
    else:
        value = run.step(run.step(value), stride=2)
        for _ in range(weights.depth):
            value = value + run.block(value)
        value = run.step(_doubled(run.step(_doubled(value))))
    return run.convolved(value)[..., 0]


class _Evaluation:
    """One pass through the layers, in their order, on arrays (height, width, channels)."""

    def __init__(self, weights: KerasWeights, activation: str) -> None:
        self._left = iter(weights.layers)
        self._is_elu = activation == "elu"

    def step(self, value: np.ndarray, stride: int = 1) -> np.ndarray:
        return self.active(self.normal(self.convolved(value, stride)))

    def block(self, value: np.ndarray) -> np.ndarray:
        return self.normal(self.convolved(self.step(value)))

    def active(self, value: np.ndarray) -> np.ndarray:
        return np.where(value > 0, value, np.expm1(np.minimum(value, 0)) if self._is_elu else 0.0)

    def normal(self, value: np.ndarray) -> np.ndarray:
        layer = next(self._left)
        assert isinstance(layer, Normalisation)
        scale = layer.gamma / np.sqrt(layer.variance.astype(np.float64) + layer.epsilon)
        return (value - layer.mean) * scale + layer.beta

    def convolved(self, value: np.ndarray, stride: int = 1) -> np.ndarray:
        layer = next(self._left)
        assert isinstance(layer, Convolution)
        height, width = layer.shape[:2]
        if height > 1:
            value = np.pad(value, ((1, 1), (1, 1), (0, 0)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(value, (height, width), axis=(0, 1))
        windows = windows[::stride, ::stride]  # (h, w, in, height, width)
        kernel = layer.kernel.astype(np.float64).transpose(2, 0, 1, 3)
        return np.tensordot(windows, kernel, axes=3) + layer.bias


def _doubled(value: np.ndarray) -> np.ndarray:
    return value.repeat(2, axis=0).repeat(2, axis=1)
