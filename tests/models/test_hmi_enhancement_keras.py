"""Weights that Keras saved become our network, and files that hold none say what they are."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional

import models
from heliowatch import families
from models.hmi_enhancement.keras_import import import_weights
from models.hmi_enhancement.keras_weights import Normalisation, evaluate, published_shapes, read_weights
from models.hmi_enhancement.options import ImportOptions
from models.hmi_enhancement.stand_ins import stand_ins
from models.registry import read_manifest
from models.runtime import Runtime
from observatory.analysis import Quantity
from observatory.errors import ModelError

FILTERS, DEPTH = 8, 2
Layers = list[tuple[str, dict[str, np.ndarray]]]


def layers_of(model: str, depth: int = DEPTH, filters: int = FILTERS, seed: int = 5) -> Layers:
    """Random weights of the published network, named and shaped as Keras does."""
    random = np.random.default_rng(seed)
    made: Layers = [("input_1", {}), ("gaussian_noise_1", {})]
    for number, shape in enumerate(published_shapes(model, depth, filters), start=1):
        if len(shape) == 4:
            spread = np.sqrt(1.5 / np.prod(shape[:3]))
            kernel, bias = random.normal(0, spread, shape), random.normal(0, 0.1, shape[-1])
            made.append((f"conv2d_{number}", {"kernel": kernel, "bias": bias}))
        else:
            arrays = {
                "gamma": random.uniform(0.5, 1.5, shape),
                "beta": random.normal(0, 0.1, shape),
                "moving_mean": random.normal(0, 0.1, shape),
                "moving_variance": random.uniform(0.002, 1.5, shape),  # small ones show the epsilon
            }
            made.append((f"batch_normalization_{number}", arrays))
            made.append((f"activation_{number}", {}))
    return made


def save(root: Any, layers: Layers) -> None:
    """Write as `save_weights` of Keras 2 writes."""
    root.attrs["layer_names"] = np.array([name.encode() for name, _ in layers])
    root.attrs["backend"] = b"tensorflow"
    root.attrs["keras_version"] = b"2.1.5"
    for name, arrays in layers:
        group = root.create_group(name)
        stored = [f"{name}/{kind}:0" for kind in arrays]
        group.attrs["weight_names"] = np.array([word.encode() for word in stored], dtype="S64")
        for word, array in zip(stored, arrays.values(), strict=True):
            group.create_dataset(word, data=array.astype(np.float32))


def weights_file(path: Path, model: str = "keepsize", **shape: int) -> Path:
    with h5py.File(path, "w") as file:
        save(file, layers_of(model, **shape))
    return path


def computed(model: str, image: np.ndarray, activation: str = "relu") -> np.ndarray:
    """The published network by torch's functions alone, straight from the arrays that were saved."""
    left = iter([arrays for _, arrays in layers_of(model) if arrays])
    active: Callable[[torch.Tensor], torch.Tensor] = (
        functional.elu if activation == "elu" else functional.relu
    )

    def conv(value: torch.Tensor, stride: int = 1) -> torch.Tensor:
        arrays = {kind: array.astype(np.float32).astype(np.float64) for kind, array in next(left).items()}
        kernel = torch.from_numpy(arrays["kernel"]).permute(3, 2, 0, 1)
        if kernel.shape[-1] == 3:
            value = functional.pad(value, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(value, kernel, torch.from_numpy(arrays["bias"]), stride=stride)

    def norm(value: torch.Tensor) -> torch.Tensor:
        given = {
            kind: torch.from_numpy(array.astype(np.float32).astype(np.float64))
            for kind, array in next(left).items()
        }
        return functional.batch_norm(
            value, given["moving_mean"], given["moving_variance"], given["gamma"], given["beta"], eps=1e-3
        )

    def grown(value: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(value, scale_factor=2.0, mode="nearest")

    value = torch.from_numpy(image.astype(np.float64))[None, None]
    if model == "keepsize":
        first = value = active(conv(value))
        for _ in range(DEPTH):
            value = value + norm(conv(active(norm(conv(value)))))
        value = active(conv(grown(first + norm(conv(value)))))
    else:
        value = active(norm(conv(active(norm(conv(value))), stride=2)))
        for _ in range(DEPTH):
            value = value + norm(conv(active(norm(conv(value)))))
        for _ in range(2):
            value = active(norm(conv(grown(value))))
    return conv(value)[0, 0].numpy()


def picture(rows: int = 22, columns: int = 30) -> np.ndarray:
    return (1 + 0.05 * np.random.default_rng(1).standard_normal((rows, columns))).astype(np.float32)


@pytest.mark.parametrize("model", ["keepsize", "encdec"])
@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_weights_are_evaluated_as_published(tmp_path: Path, model: str, activation: str):
    weights = read_weights(weights_file(tmp_path / "w.hdf5", model, depth=DEPTH, filters=FILTERS))
    assert (weights.model, weights.depth, weights.filters) == (model, DEPTH, FILTERS)
    found = evaluate(weights, picture(), activation)
    expected = computed(model, picture(), activation)
    assert found.shape == (44, 60)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_published_size_is_recognised(tmp_path: Path):
    weights = read_weights(weights_file(tmp_path / "w.hdf5", depth=5, filters=64))
    assert (weights.model, weights.depth, weights.filters) == ("keepsize", 5, 64)
    numbers = sum(array.size for _, arrays in layers_of("keepsize", 5, 64) for array in arrays.values())
    assert numbers == 446_657
    assert (weights.activation, weights.noise) == (None, None)


def test_a_whole_model_tells_activation_noise_and_epsilon_too(tmp_path: Path):
    with h5py.File(tmp_path / "model.h5", "w") as file:
        save(file.create_group("model_weights"), layers_of("keepsize"))
        described = [
            {"class_name": "GaussianNoise", "config": {"name": "gaussian_noise_1", "stddev": 0.002}},
            {"class_name": "Activation", "config": {"name": "activation_1", "activation": "elu"}},
            {
                "class_name": "BatchNormalization",
                "config": {"name": "batch_normalization_3", "epsilon": 0.01},
            },
        ]
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": {"layers": described}})
    weights = read_weights(tmp_path / "model.h5")
    assert (weights.activation, weights.noise) == ("elu", 0.002)
    epsilons = [layer.epsilon for layer in weights.layers if isinstance(layer, Normalisation)]
    assert epsilons == [0.01, 0.001, 0.001, 0.001, 0.001]


def test_names_that_keras_cut_into_pieces_are_joined(tmp_path: Path):
    path = weights_file(tmp_path / "w.hdf5")
    with h5py.File(path, "a") as file:
        names = file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:7], names[7:]
        del file.attrs["layer_names"]
    assert read_weights(path).depth == 2


def test_what_is_no_file_of_weights_is_told_what_it_is(tmp_path: Path):
    saved_model = tmp_path / "saved"
    saved_model.mkdir()
    (saved_model / "saved_model.pb").write_bytes(b"\x08\x01")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "weights.index").write_bytes(b"\0" * 100)
    (tmp_path / "notes.hdf5").write_text("weights")
    (tmp_path / "empty.hdf5").write_bytes(b"")
    h5py.File(tmp_path / "other.h5", "w").create_dataset("data", data=np.ones(3))
    h5py.File(tmp_path / "new.weights.h5", "w").create_group("layers/conv2d/vars")
    for name, said in {
        "absent.hdf5": "is missing",
        "saved": "SavedModel",
        "saved/saved_model.pb": "SavedModel",
        "model.keras": "ZIP",
        "weights.index": "TensorFlow checkpoint",
        "notes.hdf5": "no HDF5",
        "empty.hdf5": "no HDF5",
        "other.h5": "names no layers",
        "new.weights.h5": "Keras 3",
    }.items():
        with pytest.raises(ModelError, match=said):
            read_weights(tmp_path / name)


def test_a_file_that_breaks_off_is_refused_wherever_it_does(tmp_path: Path):
    whole = weights_file(tmp_path / "w.hdf5").read_bytes()
    for share in (0.02, 0.3, 0.6, 0.9, 0.999):
        (tmp_path / "part.hdf5").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelError, match="breaks off"):
            read_weights(tmp_path / "part.hdf5")


def _dense(layers: Layers) -> None:
    layers[5] = ("dense_1", {"kernel": np.ones((3, 3)), "bias": np.ones(3)})


def _wider(layers: Layers) -> None:
    layers[-2][1]["kernel"] = np.ones((3, 3, FILTERS, 4 * FILTERS))


def _not_finite(layers: Layers) -> None:
    layers[2][1]["kernel"][1, 1] = np.nan


def _negative(layers: Layers) -> None:
    next(arrays for name, arrays in layers if "batch" in name)["moving_variance"][0] = -1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_dense, "layer dense_1 has bias, kernel"),
        (_wider, r"has \(3, 3, 8, 32\), where keepsize of depth 2 and 8 filters has \(3, 3, 8, 8\)"),
        (_not_finite, "not finite"),
        (_negative, "negative variance"),
        (lambda layers: layers.pop(), "another network"),
        (lambda layers: layers.__delitem__(slice(7, None)), "at least 6"),
        (lambda layers: layers.__setitem__(slice(None), [("input_1", {})]), "0 convolutions"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path: Path, change: Callable[[Layers], object], said: str):
    layers = layers_of("keepsize")
    change(layers)
    with h5py.File(tmp_path / "w.hdf5", "w") as file:
        save(file, layers)
    with pytest.raises(ModelError, match=said):
        read_weights(tmp_path / "w.hdf5")


def test_kernels_of_another_backend_are_refused(tmp_path: Path):
    path = weights_file(tmp_path / "w.hdf5")
    with h5py.File(path, "a") as file:
        file.attrs["backend"] = b"theano"
    with pytest.raises(ModelError, match="theano"):
        read_weights(path)


@pytest.mark.parametrize(
    ("model", "activation", "quantity"),
    [("keepsize", "relu", "continuum"), ("keepsize", "elu", "field"), ("encdec", "relu", "continuum")],
)
def test_what_is_imported_computes_as_published(tmp_path: Path, model: str, activation: str, quantity: str):
    path = weights_file(tmp_path / "w.hdf5", model, depth=DEPTH, filters=FILTERS)
    options = ImportOptions(path, tmp_path / "net", activation=activation, quantity=quantity)
    target = import_weights(options)
    for shape in ((22, 30), (48, 16)):
        image = picture(*shape) - (quantity == "field")
        found = Runtime().session(target).run({"image": image[None, None]})["enhanced"][0, 0]
        expected = computed(model, image, activation)
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    manifest = read_manifest(tmp_path / "net" / "manifest.toml")
    manifest.verify()
    assert (manifest.parameters["quantity"], manifest.parameters["psf"]) == (quantity, "authors")
    assert manifest.parameters["halo_px"] == {"keepsize": 7, "encdec": 14}[model]
    assert "models import hmi_enhancement w.hdf5" in manifest.training_command


def test_other_sizes_than_stated_are_refused(tmp_path: Path):
    path = weights_file(tmp_path / "w.hdf5")
    for stated, said in (
        ({"depth": 5}, "keepsize of depth 2 with 8 filters, not --depth 5"),
        ({"filters": 64}, "not --filters 64"),
        ({"model": "encdec"}, "not --model encdec"),
        ({"model": "unet"}, "there are keepsize, encdec"),
        ({"activation": "tanh"}, "relu, elu, not tanh"),
        ({"quantity": "velocity"}, "continuum, field"),
    ):
        with pytest.raises(ModelError, match=said):
            import_weights(ImportOptions(path, tmp_path / "net", **stated))  # type: ignore[arg-type]
    assert not (tmp_path / "net").exists()


def test_the_command_line_imports_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = weights_file(tmp_path / "w.hdf5")
    families.run("import", "hmi_enhancement", [str(path), "--output", str(tmp_path / "net")])
    assert capsys.readouterr().out.strip() == str(next((tmp_path / "net").glob("*.onnx")))
    with pytest.raises(SystemExit):
        families.run("import", "hmi_enhancement", ["--help"])
    said = " ".join(capsys.readouterr().out.split())  # the width of the terminal is not ours
    assert "FILE.hdf5" in said
    assert "--activation" in said
    assert "(default: authors)" in said
    assert "(default: None)" not in said


def test_imported_networks_stand_in_for_the_shipped_ones(tmp_path: Path):
    path = weights_file(tmp_path / "w.hdf5")
    for quantity in ("continuum", "field"):
        import_weights(ImportOptions(path, tmp_path / quantity, quantity=quantity))
    found = stand_ins([tmp_path / "field", tmp_path / "continuum"])
    assert {quantity.value: model.path.parent.name for quantity, model in found.items()} == {
        "continuum": "continuum",
        "field": "field",
    }
    with pytest.raises(ModelError, match=r"two for field"):
        stand_ins([tmp_path / "field", tmp_path / "field"])
    with pytest.raises(ModelError, match="does not tell quantity, noise"):
        stand_ins([Path(models.__file__).parent / "aia_segmentation"])
    found[Quantity.FIELD].path.write_bytes(b"altered")
    with pytest.raises(ModelError, match="altered"):
        stand_ins([tmp_path / "field"])
