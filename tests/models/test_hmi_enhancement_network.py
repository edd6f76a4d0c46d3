"""The enhancement's networks: size, cost, reach, flatness, no shift, ONNX of any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: networks cannot be tested")

from models.hmi_enhancement import network as networks  # noqa: E402
from models.hmi_enhancement.export import Provenance, parity, write_network, write_onnx  # noqa: E402
from models.hmi_enhancement.keras_weights import (  # noqa: E402
    Convolution,
    KerasWeights,
    Normalisation,
    evaluate,
    published_shapes,
)
from models.hmi_enhancement.network import DEFAULTS, Enhancer, NetworkConfig, folded  # noqa: E402
from models.registry import read_manifest  # noqa: E402
from models.runtime import Runtime  # noqa: E402
from observatory.analysis import Quantity  # noqa: E402
from observatory.errors import UnusableInputError  # noqa: E402

TINY = {name: replace(config, channels=4, depth=2) for name, config in DEFAULTS.items()}


def shaken(config: NetworkConfig, seed: int = 0) -> Enhancer:
    """A network with weights and batch norms that do something."""
    torch.manual_seed(seed)
    network = Enhancer(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight) * (0.3 if weight.dim() == 4 else 0.1))
        if config.model == "efficient":
            network.inner.exit.bias.zero_()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return network.eval()


def answered(network: torch.nn.Module, picture: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(picture.astype(np.float32))[None, None])[0, 0].numpy()


def layers_of(network: Enhancer) -> list[Convolution | Normalisation]:
    """Its layers with weights, in their order, in the layout of the published network's files."""
    found: list[Convolution | Normalisation] = []
    for name, module in network.inner.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            kernel = module.weight.detach().numpy().transpose(2, 3, 1, 0)
            found.append(Convolution(name, kernel, module.bias.detach().numpy()))
        elif isinstance(module, torch.nn.BatchNorm2d):
            arrays = (module.weight, module.bias, module.running_mean, module.running_var)
            found.append(Normalisation(name, *(each.detach().numpy() for each in arrays), module.eps))
    return found


@pytest.mark.parametrize("model", ["keepsize", "encdec"])
def test_what_trains_has_the_published_layers_and_no_other(model: str) -> None:
    shapes = [layer.shape for layer in layers_of(Enhancer(DEFAULTS[model]))]
    assert shapes == published_shapes(model, depth=5, filters=64)


@pytest.mark.parametrize("activation", ["relu", "elu"])
@pytest.mark.parametrize("model", ["keepsize", "encdec"])
def test_what_trains_computes_as_the_published_network(model: str, activation: str) -> None:
    network = shaken(replace(TINY[model], activation=activation, centre=0.0, scale=1.0))
    weights = KerasWeights(tuple(layers_of(network)), model, depth=2, filters=4)
    picture = np.random.default_rng(3).normal(size=(22, 30)).astype(np.float32)
    expected = evaluate(weights, picture, activation)
    np.testing.assert_allclose(answered(network, picture), expected, atol=3e-6 * np.abs(expected).max())


def test_the_published_network_has_its_published_size() -> None:
    assert networks.count_parameters(Enhancer(DEFAULTS["keepsize"])) == 445_249
    assert networks.operations_per_pixel(DEFAULTS["keepsize"]) == 553_792
    assert networks.count_parameters(Enhancer(DEFAULTS["encdec"])) == 1_664_321


def test_the_efficient_network_takes_a_twentieth_of_the_published_operations() -> None:
    own = networks.operations_per_pixel(DEFAULTS["efficient"])
    by_hand = 13 * 13 * 4 + 5 * 5 * 16 + 4 * 9 * 16 * 16 + 9 * 16 * 4
    assert own == by_hand <= 553_792 / 20


@pytest.mark.parametrize("model", sorted(TINY))
def test_folding_changes_nothing(model: str) -> None:
    network = shaken(TINY[model])
    picture = 1 + 0.1 * np.random.default_rng(0).normal(size=(40, 33))
    np.testing.assert_allclose(answered(folded(network), picture), answered(network, picture), atol=2e-6)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded(network).modules())


@pytest.mark.parametrize("model", sorted(TINY))
def test_no_pixel_beyond_the_halo_has_a_say(model: str) -> None:
    network = folded(shaken(TINY[model]))
    picture = np.ones((81, 81))
    for place in (40, 41):
        other = picture.copy()
        other[place, place] += 5
        rows = np.nonzero(np.abs(answered(network, other) - answered(network, picture)).max(axis=1))[0]
        reach = max(place - rows.min() // 2, rows.max() // 2 - place)
        assert reach <= network.halo_px
        if model != "encdec":
            assert reach == network.halo_px


@pytest.mark.parametrize("centre", [0.0, 1.0])
@pytest.mark.parametrize("is_residual", [False, True])
def test_the_efficient_network_leaves_a_blank_picture_as_it_is(centre: float, is_residual: bool) -> None:
    network = shaken(replace(TINY["efficient"], centre=centre, is_residual=is_residual))
    np.testing.assert_allclose(answered(network, np.full((30, 31), centre)), centre, atol=1e-6)
    np.testing.assert_allclose(answered(folded(network), np.full((30, 31), centre)), centre, atol=1e-6)


def test_an_untrained_efficient_network_is_its_linear_filter() -> None:
    network = Enhancer(TINY["efficient"]).eval()
    filters = np.zeros((4, 13, 13))
    filters[:, 6, 6], filters[:, 6, 7] = 0.75, 0.25
    network.inner.linear.set(filters)
    picture = 1 + 0.1 * np.random.default_rng(0).normal(size=(30, 30))
    expected = 0.75 * picture[:, 1:-1] + 0.25 * picture[:, 2:]
    found = answered(network, picture)[:, 2:-2]
    np.testing.assert_allclose(found[::2, ::2], expected, atol=1e-6)
    np.testing.assert_allclose(found[1::2, 1::2], expected, atol=1e-6)


@pytest.mark.parametrize("model", sorted(TINY))
def test_onnx_of_any_size_says_what_torch_says(model: str, tmp_path: Path) -> None:
    network = shaken(TINY[model])
    write_onnx(network, tmp_path / "net.onnx")
    assert parity(network, tmp_path / "net.onnx") < 2e-5


def test_the_manifest_tells_what_tiling_and_trust_need(tmp_path: Path) -> None:
    known = Provenance(Quantity.FIELD, noise=0.01, psf="both", command="train it")
    network = shaken(replace(TINY["efficient"], centre=0.0))
    path = write_network(network, known, tmp_path)
    model = read_manifest(tmp_path / "manifest.toml")
    model.verify()
    assert model.name == "hmi_enhancement_field" and model.path == path
    assert model.inputs[0].unit == "kG" and model.inputs[0].shape == ("n", 1, "h", "w")
    expected = {"quantity": "field", "pixel_arcsec": 0.504, "noise": 0.01, "psf": "both"}
    assert expected.items() <= model.parameters.items()
    assert model.parameters["halo_px"] == network.halo_px
    picture = np.zeros((1, 1, 20, 30), np.float32)
    found = Runtime().session(path).run({"image": picture})["enhanced"]
    assert found.shape == (1, 1, 40, 60) and np.abs(found).max() < 1e-6


def test_unknown_networks_are_refused() -> None:
    for wrong in ({"model": "unet"}, {"activation": "step"}, {"linear": 12}, {"depth": 0}):
        with pytest.raises(UnusableInputError):
            Enhancer(replace(TINY["efficient"], **wrong))
