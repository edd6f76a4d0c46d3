"""Measuring the enhancement on a truth: figures, methods, tiles, and truths that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from heliowatch import families
from models.hmi_enhancement import classical, comparison
from models.hmi_enhancement import evaluate as evaluation
from models.hmi_enhancement.data import Drawing, Truth, source_of
from models.hmi_enhancement.options import EvaluateOptions
from models.hmi_enhancement.psf import WACHTER, degrade
from models.registry import read_manifest, sha256_of
from models.runtime import Runtime
from observatory.errors import ModelError, UnusableInputError

MANIFEST = """
name = "{name}"
version = "1.0.0"
file = "net.onnx"
sha256 = "{sha256}"
opset = 17
inputs = [{{ name = "image", shape = ["n", 1, "h", "w"], unit = "quiet Sun" }}]
outputs = [{{ name = "enhanced", shape = ["n", 1, "2h", "2w"], unit = "quiet Sun" }}]
[training]
command = "train it"
seed = 1
[[training.truths]]
name = "scene.npy"
sha256 = "{truth}"
rows = "0:400"
[parameters]
quantity = "continuum"
pixel_arcsec = 0.504
noise = 1e-3
halo_px = 1
psf = "wachter"
"""


def scene(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None, :])
    spectrum = np.fft.fft2(random.normal(size=(rows, columns))) / (0.03**2 + frequency**2) ** 1.5
    picture = np.fft.ifft2(spectrum).real
    return 1 + 0.15 * (picture - picture.mean()) / picture.std()


def write_nearest(folder: Path, name: str, truth_sha256: str) -> None:
    """A network that sharpens a little and repeats pixels: its result depends on one neighbour."""
    kernel = np.array([[0, -0.1, 0], [-0.1, 1.4, -0.1], [0, -0.1, 0]], np.float32)[None, None]
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["sharp"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["sharp", "", "scales"], ["enhanced"], mode="nearest"),
    ]
    tensors = [
        helper.make_tensor("kernel", TensorProto.FLOAT, kernel.shape, kernel.ravel()),
        helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2]),
    ]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "h", "w"])
    made = helper.make_tensor_value_info("enhanced", TensorProto.FLOAT, ["n", 1, "h2", "w2"])
    graph = helper.make_graph(nodes, "nearest", [given], [made], tensors)
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    manifest = MANIFEST.format(name=name, sha256=sha256_of(folder / "net.onnx"), truth=truth_sha256)
    (folder / "manifest.toml").write_text(manifest)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "scene.npy"
    np.save(path, 3e10 * scene(640, 420))
    return path


@pytest.fixture(scope="module")
def fitted() -> classical.Classical:
    sources = [source_of(Truth("scene", scene(500, 500, 5), 48), WACHTER)]
    return classical.fit(sources, WACHTER, Drawing(), patches=24)


@pytest.fixture(scope="module")
def networks(truth: Path, fitted: classical.Classical, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    for name in ("continuum", "published"):
        write_nearest(folder / name, name, sha256_of(truth))
    classical.save(folder / "continuum" / classical.FILE, {"wachter": fitted})
    return folder


def asked(truth: Path, networks: Path) -> EvaluateOptions:
    return EvaluateOptions(truth=truth, networks=networks, rows="420:640")


def test_every_method_is_measured_and_the_linear_filter_is_the_best_of_the_classical(
    truth: Path, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    options = replace(asked(truth, networks), output=out, plots=tmp_path, format="table")
    result = evaluation.evaluate(options)
    figures = {one["method"]: one for one in result["methods"]}
    assert list(figures) == ["bicubic", "wiener", "linear", "richardson-lucy", "published", "shipped"]
    assert figures["linear"]["psnr"] >= figures["wiener"]["psnr"] > figures["bicubic"]["psnr"] + 3
    assert figures["richardson-lucy"]["psnr"] > figures["bicubic"]["psnr"]
    for name in ("bicubic", "wiener", "linear", "richardson-lucy"):
        assert abs(figures[name]["flux_error"]) < 0.01, name
    assert all(0 < one["ssim"] <= 1 for one in figures.values())
    assert figures["linear"]["residual"] < 1e-3 < figures["bicubic"]["residual"]
    assert json.loads(out.read_text())["methods"] == result["methods"]
    assert (tmp_path / "methods.png").exists() and "linear" in capsys.readouterr().err


def test_the_command_line_ends_with_the_methods_as_json(
    truth: Path, networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--truth", str(truth), "--pixel-km", "48", "--networks", str(networks), "--rows", "420:640"]
    families.run("evaluate", "hmi_enhancement", [*words, "--format", "json"])
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert {"bicubic", "wiener", "richardson-lucy", "published", "shipped"} <= {
        one["method"] for one in json.loads(last)["methods"]
    }


def test_rows_that_trained_the_network_are_told(
    truth: Path, networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not evaluation.evaluate(asked(truth, networks))["trained_on"]
    assert capsys.readouterr().err == ""
    assert evaluation.evaluate(replace(asked(truth, networks), rows="390:640"))["trained_on"]
    assert "trained the network" in capsys.readouterr().err


def test_pictures_larger_than_a_tile_are_enhanced_without_a_seam(
    networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = read_manifest(networks / "continuum" / "manifest.toml")
    picture = np.random.default_rng(0).normal(1, 0.1, (70, 45)).astype(np.float32)
    whole = evaluation.network_method(model, Runtime())(picture)
    monkeypatch.setattr(evaluation, "_TILE_PX", 32)
    np.testing.assert_allclose(evaluation.network_method(model, Runtime())(picture), whole, atol=1e-6)


def test_an_altered_network_is_not_measured(truth: Path, networks: Path, tmp_path: Path) -> None:
    write_nearest(tmp_path / "continuum", "continuum", "")
    (tmp_path / "continuum/net.onnx").write_bytes(b"other")
    stored = (networks / "continuum" / classical.FILE).read_bytes()
    (tmp_path / "continuum" / classical.FILE).write_bytes(stored)
    with pytest.raises(ModelError, match="altered"):
        evaluation.evaluate(asked(truth, tmp_path))
    with pytest.raises(ModelError, match="not fitted for authors"):
        evaluation.evaluate(replace(asked(truth, tmp_path), psf="authors"))


def test_the_networks_own_point_spread_function_is_taken_unless_another_is_asked_for(
    truth: Path, networks: Path, fitted: classical.Classical, tmp_path: Path
) -> None:
    write_nearest(tmp_path / "continuum", "continuum", "")
    classical.save(tmp_path / "continuum" / classical.FILE, {"wachter": fitted, "authors": fitted})
    manifest = tmp_path / "continuum/manifest.toml"
    manifest.write_text(manifest.read_text().replace('"wachter"', '"authors"'))
    assert evaluation.evaluate(asked(truth, networks))["psf"] == "wachter"
    assert evaluation.evaluate(asked(truth, tmp_path))["psf"] == "authors"
    assert evaluation.evaluate(replace(asked(truth, tmp_path), psf="wachter"))["psf"] == "wachter"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no array", "numpy.save"),
        (np.ones((3, 300, 300)), "one plane"),
        (np.where(np.eye(300) > 0, np.nan, 1.0), "no numbers"),
        (scene(100, 400), "too few"),
        (np.ones((600, 600)), "same everywhere"),
        (-scene(600, 600), "above 0"),
        (scene(600, 600).astype(complex), "numbers"),
        (np.zeros((0, 600)), "same everywhere"),
    ],
    ids=["text", "cube", "nan", "small", "constant", "negative", "complex", "empty"],
)
def test_a_truth_that_cannot_be_used_is_refused_with_the_reason(
    content: bytes | np.ndarray, words: str, networks: Path, tmp_path: Path
) -> None:
    path = tmp_path / "truth.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(UnusableInputError, match=words):
        evaluation.evaluate(EvaluateOptions(truth=path, networks=networks))


def test_wrong_options_say_what_is_allowed(truth: Path, networks: Path) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"pixel_km": 0}, "5 to 100 km"),
        ({"pixel_km": -48}, "5 to 100 km"),
        ({"pixel_km": float("nan")}, "5 to 100 km"),
        ({"rows": "600:100"}, "rows 0 to 640"),
        ({"psf": "both"}, "wachter and authors"),
        ({"quantity": "velocity"}, "continuum and field"),
        ({"noise": -1}, "rms"),
        ({"format": "xml"}, "json and table"),
        ({"truth": truth.with_name("none.npy")}, "none.npy"),
    ]
    for stated, words in wrong:
        with pytest.raises(UnusableInputError, match=words):
            evaluation.evaluate(replace(asked(truth, networks), **stated))


# ---- figures and filters


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    truth = scene(90, 80)
    found = truth + np.random.default_rng(0).normal(0, 0.02, truth.shape)
    expected = metrics.structural_similarity(
        found, truth, data_range=np.ptp(truth), gaussian_weights=True, use_sample_covariance=False, full=True
    )[1]
    assert comparison.ssim(found, truth) == pytest.approx(expected[8:-8, 8:-8].mean(), abs=1e-6)
    assert comparison.ssim(found, truth, 16) == pytest.approx(expected[16:-16, 16:-16].mean(), abs=1e-6)


def test_psnr_has_the_truths_range_as_its_peak_and_drops_the_border() -> None:
    truth = np.linspace(0, 2, 50 * 50).reshape(50, 50)
    found = truth + 0.02
    found[:8], found[:, -8:] = 99, -99
    assert comparison.psnr_db(found, truth) == pytest.approx(40)


def test_classical_methods_shift_nothing_and_keep_a_level(fitted: classical.Classical) -> None:
    point = np.ones((60, 60), np.float32)
    point[30, 30] += 1
    makes = (fitted.wiener_of, fitted.linear_of, lambda p: fitted.richardson_lucy_of(p, WACHTER))
    for make in makes:
        np.testing.assert_allclose(make(np.ones((60, 60), np.float32)), 1, atol=1e-4)
        light = make(point) - 1
        y, x = np.indices(light.shape)
        centre = ((light * y).sum() / light.sum(), (light * x).sum() / light.sum())
        assert centre == pytest.approx((60.5, 60.5), abs=0.2)


def test_filters_of_the_field_keep_its_sign(tmp_path: Path) -> None:
    field = scene(500, 500, 9) - 1
    how = Drawing(centre=0.0)
    fitted = classical.fit([source_of(Truth("field", field, 48), WACHTER)], WACHTER, how, patches=12)
    classical.save(tmp_path / "c.npz", {"wachter": fitted})
    fitted = classical.load(tmp_path / "c.npz", "wachter")
    observed, target = degrade(field, 48, WACHTER, 1e-3, np.random.default_rng(1))
    for found in (fitted.linear_of(observed), fitted.richardson_lucy_of(observed, WACHTER)):
        assert np.corrcoef(found.ravel(), target.ravel())[0, 1] > 0.9
    np.testing.assert_allclose(fitted.linear_of(-observed), -fitted.linear_of(observed), atol=1e-6)
    np.testing.assert_allclose(
        fitted.richardson_lucy_of(-observed, WACHTER),
        -fitted.richardson_lucy_of(observed, WACHTER),
        atol=1e-6,
    )
