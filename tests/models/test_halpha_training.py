"""Training end to end with the smallest networks: injects, resumes, exports, equals its ONNX."""

from __future__ import annotations

import csv
import dataclasses
import functools
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from models.halpha_quality import export  # noqa: E402
from models.halpha_quality.calibrate import as_frame, calibration_frames  # noqa: E402
from models.halpha_quality.data import (  # noqa: E402
    HEAD_CAUSES,
    READERS,
    BaseSet,
    InjectedDefects,
    convert,
    convert_folder,
    simulated_bases,
)
from models.halpha_quality.evaluate import Confusion, evaluate, evaluate_folders, spearman  # noqa: E402
from models.halpha_quality.export import load_network, parity  # noqa: E402
from models.halpha_quality.inference import HalphaQuality  # noqa: E402
from models.halpha_quality.network import (  # noqa: E402
    HEAD_CAUSES as NETWORK_CAUSES,
)
from models.halpha_quality.network import (  # noqa: E402
    PRESETS,
    QualityNetwork,
    Quantiser,
)
from models.halpha_quality.options import EvaluateOptions, TrainOptions  # noqa: E402
from models.halpha_quality.preparation import PREPARATIONS  # noqa: E402
from models.halpha_quality.train import load_bases, own_bases, train  # noqa: E402
from models.registry import read_manifest  # noqa: E402
from models.runtime import Runtime  # noqa: E402
from models.simulate.degrade import degrade  # noqa: E402
from models.simulate.halpha import HalphaSun, HalphaTelescope  # noqa: E402
from observatory.analysis import Cause  # noqa: E402
from observatory.errors import SettingsError, UnusableInputError  # noqa: E402

MOMENT = datetime(2019, 3, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Five good and three bad frames as PNG."""
    good, bad = tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("bad")
    telescope = HalphaTelescope(size_px=256)
    for index in range(5):
        frame = HalphaSun(index, 0.4, detail=128).frame(MOMENT, telescope)
        cv2.imwrite(str(good / f"{index}.png"), (frame.pixels / 16).astype(np.uint8))
        if index < 3:
            spoilt = degrade(frame.pixels, frame.pointing, Cause.CLOUD, np.random.default_rng(index), 0.6)
            cv2.imwrite(str(bad / f"{index}.png"), (spoilt.pixels / 16).astype(np.uint8))
    (good / "notes.txt").write_text("not a frame")
    cv2.imwrite(str(good / "black.png"), np.zeros((256, 256), np.uint8))
    return good, bad


def test_both_lists_of_causes_are_the_same():
    assert HEAD_CAUSES == NETWORK_CAUSES


def test_the_quantiser_has_its_levels_and_lets_gradients_through():
    quantiser = Quantiser(5)
    values = torch.linspace(0, 1, 101, requires_grad=True)
    out = quantiser(values)
    levels = np.unique(np.round(out.detach().numpy(), 6))
    assert levels.tolist() == [0, 0.25, 0.5, 0.75, 1]
    out.sum().backward()
    assert torch.equal(values.grad, torch.ones(101))
    assert torch.allclose(quantiser.eval()(values), out)


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_network_answers_in_the_stated_shapes(preset: str):
    config = PRESETS[preset]
    image = torch.rand(3, 1, config.side, config.side) * 2 - 1
    with torch.no_grad():
        made, content, p, region, causes, severity = QualityNetwork(config).eval()(image)
    assert made.shape == image.shape and made.abs().max() <= 1
    assert content.shape == p.shape == (3,) and content.min() >= 0
    assert region.shape == (3, config.side, config.side)
    assert causes.shape == (3, len(HEAD_CAUSES)) and severity.shape == (3, 2)


def test_the_full_size_is_the_published_one():
    config = PRESETS["full"]
    assert (config.filters, config.blocks, config.compression_channels, config.centres) == (64, 9, 8, 5)


@pytest.mark.parametrize("name", list(PREPARATIONS))
def test_every_preparation_stays_within_bounds(name: str):
    bases = simulated_bases(1, 64, 3)
    image = PREPARATIONS[name](cv2.resize(bases.squares[0], (64, 64), interpolation=cv2.INTER_AREA), None)
    assert image.shape == (64, 64) and image.dtype == np.float32
    assert np.abs(image).max() <= 1.0001


def test_injected_defects_repeat_and_tell_the_truth():
    bases = simulated_bases(3, 64, 4)
    first, second = (InjectedDefects(bases, PREPARATIONS["flattened"], 64, 9) for _ in range(2))
    batch, again = first.batch(16, 3), second.batch(16, 3)
    assert np.array_equal(batch.image, again.image)
    assert not np.array_equal(batch.image, first.batch(16, 4).image)
    spoilt = batch.degraded > 0.5
    assert spoilt.any() and not spoilt.all()
    assert (batch.causes[spoilt].sum(1) >= 1).all()
    assert (batch.region[spoilt].sum((1, 2)) > 0).all()
    assert (batch.region[batch.degraded == 0].sum((1, 2)) == 0).all()


def test_folders_are_converted_with_a_validation_split(folders: tuple[Path, Path], tmp_path: Path):
    skipped: list[str] = []
    bases = convert(sorted(folders[0].iterdir()), 64, on_skip=lambda path, why: skipped.append(path.name))
    assert len(bases) == 5 and skipped == ["black.png"]
    convert_folder(folders[0], tmp_path, 64, 0.4)
    parts = [BaseSet.load(tmp_path / f"{folders[0].name}.{part}.npz") for part in ("train", "validation")]
    assert [len(part) for part in parts] == [3, 2]
    assert parts[0].names + parts[1].names == bases.names


def test_a_reader_of_ones_own_is_one_line(folders: tuple[Path, Path], tmp_path: Path, monkeypatch):
    pixels = READERS[".png"](folders[0] / "0.png")
    pixels.tofile(tmp_path / "frame.raw")
    monkeypatch.setitem(READERS, ".raw", lambda path: np.fromfile(path, np.uint8).reshape(256, 256))
    assert len(convert([tmp_path / "frame.raw"], 64)) == 1


@pytest.fixture(scope="module")
def simulated_once() -> Iterator[None]:
    """Calibration frames are the same for every run, and are most of the work of a short one."""
    made = functools.cache(lambda count, seed: list(calibration_frames(count, seed)))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HELIOWATCH_TEST_DATA", raising=False)  # no real frames: the rest follows from the seed
        patch.setattr(export, "calibration_frames", lambda count, seed, _: made(count, seed))
        yield


def short(folders: tuple[Path, Path], output: Path) -> TrainOptions:
    """The least that trains everything."""
    return TrainOptions(
        good=folders[0],
        bad=folders[1],
        output=output,
        preset="tiny",
        simulated=4,
        steps=2,
        batch=8,
        validate_every=2,
        adversarial_every=1,
        calibrate=50,
        threads=1,
    )


def check_run(run: Path, frame: Path, steps: int, kind: str) -> None:
    """A run is whole, its ONNX says what torch says, and the exported model judges a frame."""
    names = {path.name for path in run.iterdir()}
    assert {"checkpoint.pt", "metrics.csv", "curves.png", "samples.png", "halpha_quality.onnx"} <= names
    network, state = load_network(run / "checkpoint.pt")
    assert state["step"] == steps
    assert parity(network, run / "halpha_quality.onnx") < 2e-4
    model = HalphaQuality(Runtime(), read_manifest(run / "manifest.toml"))
    quality = model.analyse(as_frame(READERS[".png"](frame)))
    assert 0 <= quality.score <= 1 and quality.region_map is not None
    assert model.description.parameters["score"]["kind"] == kind


def steps_noted(run: Path) -> list[str]:
    with (run / "metrics.csv").open() as stored:
        return [row["step"] for row in csv.DictReader(stored)]


@pytest.mark.usefixtures("simulated_once")
@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"mode": "one_class", "adversarial": "wgan-gp", "bad": None}, "physical"),
        ({"inject": False}, "learned"),
    ],
)
def test_two_steps_train_and_export(
    folders: tuple[Path, Path], tmp_path: Path, given: dict[str, Any], kind: str
):
    run = train(dataclasses.replace(short(folders, tmp_path / "run"), **given))
    check_run(run, folders[0] / "0.png", 2, kind)


@pytest.mark.usefixtures("simulated_once")
def test_a_run_goes_on_where_it_ended_or_begins_anew(folders: tuple[Path, Path], tmp_path: Path):
    options = dataclasses.replace(short(folders, tmp_path / "run"), validate_every=1)
    train(dataclasses.replace(options, steps=1))
    run = train(options)
    check_run(run, folders[0] / "0.png", 2, "both")
    assert steps_noted(run) == ["1", "2"]
    train(dataclasses.replace(options, steps=1, resume=False))
    assert steps_noted(run) == ["1"]


def test_training_without_a_single_good_frame_is_refused(tmp_path: Path):
    with pytest.raises(UnusableInputError, match="no good frames"):
        train(TrainOptions(output=tmp_path, simulated=0))


def test_a_folder_without_a_frame_is_refused_and_frames_without_a_disk_are_named(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    asked = TrainOptions(output=tmp_path / "run", preset="tiny", simulated=4)
    for wrong in ({"good": tmp_path / "none"}, {"good": folders[0], "bad": tmp_path / "none"}):
        with pytest.raises(UnusableInputError, match="there is no folder"):
            train(dataclasses.replace(asked, **wrong))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableInputError, match="no frame with a disk"):
        train(dataclasses.replace(asked, bad=tmp_path / "empty"))
    own_bases(folders[0], 64)
    assert "1 of 6 frames" in caplog.text and "black.png (no disk found)" in caplog.text


def test_simulated_suns_of_another_size_or_seed_are_made_anew(tmp_path: Path):
    asked = TrainOptions(output=tmp_path, simulated=2)
    first, again = (load_bases(asked, 32)[0].squares for _ in range(2))
    assert np.allclose(first, again, atol=0.01)
    assert load_bases(asked, 64)[0].squares.shape[1:] == (128, 128)
    other = load_bases(dataclasses.replace(asked, seed=2), 32)[0].squares
    assert not np.allclose(first, other, atol=0.01)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"batch": 0}, "batch is 1 or more"),
        ({"validate_every": 0}, "validate-every is 1 or more"),
        ({"validation_share": 1.5}, "validation-share"),
        ({"seed": -1}, "seed is 0 or more"),
        ({"calibrate": 20}, "at least 50"),
        ({"device": "gpu"}, "device gpu"),
    ],
)
def test_a_number_that_cannot_train_is_said_before_anything_is_made(
    tmp_path: Path, option: dict[str, object], words: str
):
    with pytest.raises(UnusableInputError, match=words):
        train(TrainOptions(output=tmp_path / "run", **option))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [{"preset": "huge"}, {"preparation": "none"}, {"mode": "gan"}])
def test_an_unknown_option_of_training_is_a_message_and_no_traceback(tmp_path: Path, option: dict[str, str]):
    with pytest.raises(SettingsError):
        train(TrainOptions(output=tmp_path, **option))


def test_own_folders_are_measured_and_what_cannot_be_read_is_named(
    folders: tuple[Path, Path], tmp_path: Path
):
    shutil.copytree(folders[0], tmp_path / "good")
    (tmp_path / "good" / "broken.png").write_bytes(b"no picture")
    found = evaluate_folders(HalphaQuality(Runtime()), tmp_path / "good", folders[1])
    assert (
        sum(found[name] for name in ("true_positive", "false_positive", "true_negative", "false_negative"))
        == 9
    )
    assert [Path(item["file"]).name for item in found["left_out"]] == ["broken.png"]
    with pytest.raises(UnusableInputError, match="no frame that can be read"):
        evaluate_folders(HalphaQuality(Runtime()), folders[0], tmp_path / "none")
    with pytest.raises(UnusableInputError, match="both --good DIR and --bad DIR"):
        evaluate(EvaluateOptions(good=folders[0]))


def test_confusion_counts_are_named_right():
    said, truth = [True, True, False, False, False], [True, False, False, True, True]
    counts = Confusion.of(said, truth)
    assert (counts.true_positive, counts.false_positive) == (1, 1)
    assert (counts.true_negative, counts.false_negative) == (1, 2)
    assert counts.balanced_accuracy == pytest.approx(0.5 * (1 / 3 + 1 / 2))


def test_rank_correlation_knows_ties():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    first, second = random.integers(0, 9, 60), random.integers(0, 9, 60)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second)[0])
