"""Training the enhancement end to end with tiny networks: patches, runs, resuming, wrong options."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from models.hmi_enhancement import classical, data  # noqa: E402
from models.hmi_enhancement.comparison import psnr_db  # noqa: E402
from models.hmi_enhancement.export import load_network  # noqa: E402
from models.hmi_enhancement.options import TrainOptions  # noqa: E402
from models.hmi_enhancement.psf import AUTHORS, WACHTER, degrade  # noqa: E402
from models.hmi_enhancement.train import train  # noqa: E402
from models.registry import read_manifest  # noqa: E402
from observatory.analysis import Quantity  # noqa: E402
from observatory.errors import ModelError, UnusableInputError  # noqa: E402


def scene(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """A continuum about 3e10 with structure as steep as granulation's on 48 km."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None, :])
    spectrum = np.fft.fft2(random.normal(size=(rows, columns))) / (0.03**2 + frequency**2) ** 1.5
    picture = np.fft.ifft2(spectrum).real
    return (3e10 * (1 + 0.15 * (picture - picture.mean()) / picture.std())).astype(np.float32)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "scene.npy"
    np.save(path, scene(560, 420))
    return path


def options(scene_path: Path, output: Path, **more: object) -> TrainOptions:
    plain = TrainOptions(
        truth=str(scene_path),
        channels=4,
        depth=1,
        linear=5,
        scales="1",
        steps=4,
        batch_size=2,
        patch=24,
        output=output,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


# ---- patches


def test_a_patch_and_its_target_show_the_same_place(truth: Path) -> None:
    plane = data.read_truth(truth, 48, Quantity.CONTINUUM)
    source = data.source_of(plane, WACHTER)
    how, random = data.Drawing(side=24, noise=0.0), np.random.default_rng(0)
    for _ in range(10):
        observed, target = data.patch(source, how, random)
        assert observed.shape == (24, 24) and target.shape == (48, 48)
        halved = target.reshape(24, 2, 24, 2).mean(axis=(1, 3))
        here = np.corrcoef(halved[3:-3, 3:-3].ravel(), observed[3:-3, 3:-3].ravel())[0, 1]
        beside = np.corrcoef(halved[3:-3, 2:-4].ravel(), observed[3:-3, 3:-3].ravel())[0, 1]
        assert here > 0.97 and here > beside


def test_the_same_seed_draws_the_same_patches_and_another_draws_others(truth: Path) -> None:
    source = data.source_of(data.read_truth(truth, 48, Quantity.CONTINUUM), WACHTER)
    first, second, third = (
        data.drawn([source], data.Drawing(24), 2, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_fields_are_drawn_with_either_sign() -> None:
    truth = data.Truth("plus", np.full((500, 500), 0.5), 48)
    how = data.Drawing(24, centre=0.0)
    observed, _ = data.drawn([data.source_of(truth, WACHTER)], how, 30, np.random.default_rng(0))
    means = observed.mean(axis=(1, 2, 3))
    assert (means > 0.4).any() and (means < -0.4).any()


def test_a_truth_taken_for_larger_changes_the_scene_and_not_the_telescope(truth: Path) -> None:
    plane = data.read_truth(truth, 48, Quantity.CONTINUUM)
    small, large = (data.source_of(plane, WACHTER, size) for size in (1.0, 1.25))
    assert large.step_px == pytest.approx(small.step_px / 1.25)
    assert large.low.std() > small.low.std()  # larger granules survive the same blur better


def test_truths_files_and_simulations_share_the_draws_as_asked(truth: Path, tmp_path: Path) -> None:
    asked = options(truth, tmp_path, psf="both", scales="0.9,1", simulated=1, simulated_share=0.25)
    sources = data.sources_of(asked, data.truths_of(asked)[0])
    weight = {
        (source.is_simulated, source.psf.omega, source.size): source.weight / sum(s.weight for s in sources)
        for source in sources
    }
    assert len(weight) == len(sources) == 6
    assert weight[True, WACHTER.omega, 1.0] == weight[True, AUTHORS.omega, 1.0] == pytest.approx(0.125)
    assert weight[False, WACHTER.omega, 0.9] == pytest.approx(0.75 / 4)


def test_the_quiet_sun_is_found_beside_a_spot() -> None:
    continuum = scene(600, 600)
    level = data.quiet_level(continuum, 48)
    continuum[:200, :200] *= 0.2
    assert data.quiet_level(continuum, 48) == pytest.approx(level, rel=0.02)


# ---- runs


def test_a_run_logs_draws_exports_and_continues(truth: Path, tmp_path: Path) -> None:
    asked = options(truth, tmp_path, validation_share=0.4, psf="both")
    assert train(asked) == tmp_path
    for name in ("curves.png", "samples.png", "best.pt", "classical.npz", "hmi_enhancement.onnx"):
        assert (tmp_path / name).exists(), name
    train(replace(asked, action="continue", steps=7))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [float(row["step"]) for row in rows] == [4, 7]
    assert {"rms_error", "validation_psnr", "gain_db"} <= set(rows[0])
    model = read_manifest(tmp_path / "manifest.toml")
    model.verify()
    command = model.training_command
    assert (
        "--model efficient" in command
        and "--channels 4 --depth 1" in command
        and "--psf both" in command
        and "--truth scene.npy" in command
    )
    assert str(tmp_path) not in command and "--steps 7" in command
    assert load_network(tmp_path / "checkpoint.pt")[1]["step"] == 7
    assert {classical.load(tmp_path / "classical.npz", name).centre for name in ("wachter", "authors")} == {
        1.0
    }


def test_a_little_training_beats_bicubic_by_far_and_keeps_the_flux(truth: Path, tmp_path: Path) -> None:
    asked = options(truth, tmp_path, rows="0:380", linear=9, steps=30, lr=1e-3)
    train(asked)
    network, _ = load_network(tmp_path / "checkpoint.pt")
    held = data.read_truth(truth, 48, Quantity.CONTINUUM, "380:560")
    observed, target = degrade(held.pixels, 48, WACHTER, 1e-3, np.random.default_rng(0))
    with torch.no_grad():
        found = network(torch.from_numpy(observed)[None, None])[0, 0].numpy()
    assert psnr_db(found, target) > psnr_db(classical.bicubic(observed), target) + 3
    assert found.mean() == pytest.approx(target.mean(), rel=3e-3)


@pytest.mark.parametrize("model", ["keepsize", "encdec"])
def test_the_published_networks_train_with_the_same_command(model: str, truth: Path, tmp_path: Path) -> None:
    train(options(truth, tmp_path, model=model, steps=2))
    name = read_manifest(tmp_path / "manifest.toml").name
    assert name == {"keepsize": "hmi_enhancement_published", "encdec": "hmi_enhancement_encdec"}[model]


def test_a_checkpoint_whose_network_had_other_layers_is_refused(truth: Path, tmp_path: Path) -> None:
    asked = options(truth, tmp_path, model="encdec", steps=1)
    train(asked)
    checkpoint = tmp_path / "checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True)
    for part in ("network", "averaged"):
        state[part] = {name: w for name, w in state[part].items() if "entry_norm" not in name}
    torch.save(state, checkpoint)
    with pytest.raises(ModelError, match="train it again"):
        load_network(checkpoint)
    with pytest.raises(ModelError, match="another network"):
        train(replace(asked, action="continue", steps=2))


def test_fields_train_on_simulations_alone(tmp_path: Path) -> None:
    train(options(Path("none"), tmp_path, truth="", quantity="field", simulated=2, validation_share=0.5))
    assert read_manifest(tmp_path / "manifest.toml").name == "hmi_enhancement_field"
    (row,) = csv.DictReader((tmp_path / "metrics.csv").open())
    assert float(row["validation_psnr"]) > 20


def test_a_run_ends_when_its_minutes_are_over_or_nothing_gets_better(truth: Path, tmp_path: Path) -> None:
    train(options(truth, tmp_path / "a", minutes=1e-4, steps=0))
    assert 1 <= load_network(tmp_path / "a/checkpoint.pt")[1]["step"] < 100
    still = options(
        truth, tmp_path / "b", lr=1e-12, steps=900, validation_share=0.4, patience=1, batch_size=1
    )
    train(replace(still, average=0.0, l2=0.0))
    assert load_network(tmp_path / "b/checkpoint.pt")[1]["step"] < 900


def test_wrong_options_say_what_is_allowed(truth: Path, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"action": "stop"}, "start or continue"),
        ({"model": "unet"}, "keepsize"),
        ({"quantity": "doppler"}, "continuum or field"),
        ({"schedule": "steps"}, "cosine"),
        ({"psf": "airy"}, "wachter"),
        ({"scales": "1,9"}, "0.5 to 2"),
        ({"rows": "0-100"}, "FIRST:END"),
        ({"rows": "0:5000"}, "rows 0 to 560"),
        ({"pixel_km": 366}, "pixel-km 366"),
        ({"truth": ""}, "nothing to learn"),
        ({"device": "cuda"}, "--device cpu"),
    ]
    for stated, words in wrong:
        with pytest.raises(UnusableInputError, match=words):
            train(options(truth, tmp_path, **stated))
    with pytest.raises(ModelError, match="--action start"):
        train(options(truth, tmp_path / "none", action="continue"))


def test_what_cannot_begin_leaves_the_former_run_as_it_was(truth: Path, tmp_path: Path) -> None:
    train(options(truth, tmp_path, steps=1))
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    for stated in ({"lr": float("nan")}, {"seed": -1}, {"batch_size": 0}, {"channels": -3}, {"linear": 4}):
        with pytest.raises((UnusableInputError, ValueError)):
            train(options(truth, tmp_path, **stated))
        assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_a_run_of_another_network_is_not_continued(truth: Path, tmp_path: Path) -> None:
    train(options(truth, tmp_path, steps=1))
    with pytest.raises(ModelError, match="another network"):
        train(options(truth, tmp_path, action="continue", channels=6))
