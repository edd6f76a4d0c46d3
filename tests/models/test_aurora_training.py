"""Training end to end with the smallest network, published backbones, heads, and the numbers that judge them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from models.aurora import backbones, data, head, measures  # noqa: E402
from models.aurora import export as exporting  # noqa: E402
from models.aurora.agreement import Agreement, agreement  # noqa: E402
from models.aurora.augment import Augmentation, augmented, batch_of, class_shares, shares_of  # noqa: E402
from models.aurora.data import CLASSES, Skies, decode, encode  # noqa: E402
from models.aurora.evaluate import evaluate  # noqa: E402
from models.aurora.export import export, load_network  # noqa: E402
from models.aurora.labelled import own_skies, read_labels  # noqa: E402
from models.aurora.network import PRESETS, SkyNetwork, count_parameters, picture_of  # noqa: E402
from models.aurora.options import EvaluateOptions, ExportOptions, TrainOptions  # noqa: E402
from models.aurora.preparation import CHANNELS, SIDE  # noqa: E402
from models.aurora.train import sky_loss, train  # noqa: E402
from models.eight_bits import write_eight_bits  # noqa: E402
from models.registry import read_manifest  # noqa: E402
from models.runtime import Runtime  # noqa: E402
from observatory.errors import ModelError, UnusableInputError  # noqa: E402

SHARD = 30


@pytest.fixture(scope="module")
def skies() -> Skies:
    return data.simulated_shard(0, SHARD, 7, 128, is_testing=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of eight steps, resumed once, on skies of which the folder already holds one file."""
    root = tmp_path_factory.mktemp("aurora")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SHARD", SHARD)
        options = TrainOptions(
            cache=root / "skies",
            samples=40,
            validation=20,
            size=128,
            preset="tiny",
            steps=4,
            batch=8,
            validate_every=2,
            threads=1,
            output=root / "run",
        )
        train(options)
        first = (root / "skies" / "0000.npz").stat().st_mtime_ns
        train(replace(options, steps=8))
        assert (root / "skies" / "0000.npz").stat().st_mtime_ns == first
    return root / "run"


def test_a_run_writes_curves_a_network_and_what_made_it(run: Path) -> None:
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["step"]) for row in rows] == [2, 4, 6, 8]
    assert {"loss", "six_classes", "two_classes", "cloud_cells"} < set(rows[0])
    for name in ("curves.png", "samples.jpg", "checkpoint.pt", "aurora.onnx"):
        assert (run / name).stat().st_size > 1000
    report = json.loads((run / "validation.json").read_text())
    assert 0.2 <= report["temperature"] <= 5.01
    manifest = read_manifest(run / "manifest.toml")
    manifest.verify()
    assert manifest.parameters["classes"] == [str(name) for name in CLASSES]
    assert "--samples 40" in manifest.training_command
    assert "--cache" not in manifest.training_command


def test_the_network_says_the_same_of_a_sky_in_any_batch(run: Path, skies: Skies) -> None:
    session = Runtime().session(run / "aurora.onnx")
    image = decode(skies.squares[:9])
    together = session.run({"image": image})
    for first in range(0, 9, 3):
        apart = session.run({"image": image[first : first + 3]})
        for name, values in apart.items():
            np.testing.assert_allclose(values, together[name][first : first + 3], atol=2e-6)
    alone = np.concatenate([session.run({"image": image[n : n + 1]})["probabilities"] for n in range(9)])
    np.testing.assert_allclose(alone, together["probabilities"], atol=2e-6)
    np.testing.assert_allclose(alone.sum(axis=1), 1.0, atol=1e-5)
    assert together["cloud"].shape == (9, 16, 16)
    assert together["features"].shape == (9, PRESETS["tiny"].features)


def test_a_run_of_another_network_is_not_gone_on_with(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SHARD", SHARD)
    options = TrainOptions(
        cache=run.parent / "skies", samples=4, validation=4, size=128, output=run, steps=1, threads=1
    )
    with pytest.raises(ModelError, match="another network"):
        train(options)


@pytest.mark.parametrize("own_branch", [(), (8, 16)], ids=["as it is", "with a branch of their own"])
def test_maps_alone_are_trained_on_where_classes_and_features_must_stay(
    run: Path, skies: Skies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_branch: tuple[int, ...]
) -> None:
    monkeypatch.setattr(data, "SHARD", SHARD)
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], map_widths=own_branch))
    options = TrainOptions(
        cache=run.parent / "skies",
        samples=40,
        validation=20,
        size=128,
        preset="tiny",
        steps=12,
        batch=8,
        learning_rate=0.1,
        threads=1,
        output=tmp_path,
        maps_only=True,
    )
    with pytest.raises(UnusableInputError, match=r"put its checkpoint.pt into"):
        train(options)
    (tmp_path / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes())
    train(options)
    (before, _), (after, _) = (load_network(folder / "checkpoint.pt") for folder in (run, tmp_path))
    assert after.config.map_widths == own_branch
    image = torch.from_numpy(decode(skies.squares[:6]))
    with torch.no_grad():
        first, second = before(image), after(image)
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[1], second[1])
    assert not torch.allclose(first[2], second[2], atol=1e-3)
    assert "--maps-only" in read_manifest(tmp_path / "manifest.toml").training_command


def test_a_cache_of_other_skies_is_refused(run: Path) -> None:
    with pytest.raises(UnusableInputError, match="give another folder"):
        data.cached(run.parent / "skies", 5, seed=99, size=128)


def test_a_cache_that_holds_no_skies_yet_takes_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SHARD", 2)
    (tmp_path / "skies.json").write_text('{"seed": 1, "size": 32, "is_testing": false}')  # too small for any
    assert len(data.cached(tmp_path, 2, 1, size=128)) == 2
    with pytest.raises(UnusableInputError, match="another folder"):
        data.cached(tmp_path, 2, 2, size=128)


def test_a_network_in_eight_bits_says_nearly_the_same_in_half_of_the_bytes(
    run: Path, skies: Skies, tmp_path: Path
) -> None:
    plain = export(ExportOptions(checkpoint=run / "checkpoint.pt", output=tmp_path, real=True))
    small, images = tmp_path / "small.onnx", decode(skies.squares)
    write_eight_bits(plain, small, "image", images[:20])
    near = agreement(plain, small, images[20:], sure=0.0)
    assert near.classes == near.all_classes >= 0.9
    assert near.cells >= 0.98
    assert 0.0 < near.probability < 0.01
    assert small.stat().st_size < 0.6 * plain.stat().st_size


def test_real_numbers_are_kept_where_they_are_asked_for_or_whole_ones_would_say_something_else(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = export(ExportOptions(checkpoint=run / "checkpoint.pt", output=tmp_path / "asked", real=True))
    assert "eight_bits" not in (asked.parent / "manifest.toml").read_text()
    monkeypatch.setattr(exporting, "agreement", lambda *_: Agreement(0.9, 0.9, 0.9, 0.0))
    other = export(ExportOptions(checkpoint=run / "checkpoint.pt", output=tmp_path / "other"))
    assert other.read_bytes() == asked.read_bytes()
    with pytest.raises(ModelError, match="name a folder that training filled"):
        export(ExportOptions(checkpoint=run / "checkpoint.pt", output=tmp_path, skies=tmp_path / "none"))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="train first"):
        export(ExportOptions(checkpoint=tmp_path / "none.pt", output=tmp_path))
    (tmp_path / "odd.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="no checkpoint"):
        load_network(tmp_path / "odd.pt")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "huge"}, "preset is one of"),
        ({"weights": Path("x.pth")}, "published backbone"),
        ({"images": Path("x")}, "both --images DIR and --labels"),
        ({"steps": 0}, "1 or more"),
        ({"validate_every": 0}, "1 or more"),
        ({"seed": -1}, "0 or more"),
        ({"device": "gpu"}, "cpu and cuda"),
        ({"device": "cuda:7"}, "--device cpu"),
    ],
)
def test_options_that_cannot_be_are_named(given: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=words):
        train(replace(TrainOptions(output=tmp_path), **given))  # type: ignore[arg-type]


def test_the_same_seed_and_number_simulate_the_same_skies(skies: Skies) -> None:
    again = data.simulated_shard(0, 3, 7, 128, is_testing=False)
    np.testing.assert_array_equal(again.squares, skies.squares[:3])
    other = data.simulated_shard(1, 3, 7, 128, is_testing=False)
    assert (other.squares != skies.squares[:3]).any()


def test_cameras_for_testing_are_none_of_those_for_training(skies: Skies) -> None:
    testing = data.simulated_shard(0, 12, 7, 128, is_testing=True)
    assert not set(testing.cameras) & set(skies.cameras)
    assert skies.maps.max() > 100


def test_bytes_keep_a_square(skies: Skies) -> None:
    found = decode(skies.squares[0])
    np.testing.assert_array_equal(
        encode(found), skies.squares[0] * (found[-1] > 0) + encode(found * 0) * (found[-1] == 0)
    )
    assert np.abs(found).max() <= 1
    assert not found[:, found[-1] == 0].any()


def test_a_veil_that_stops_three_tenths_of_the_light_is_half_cloudy() -> None:
    shares = np.array([0.0, 0.1, 0.3, 0.5, 1.0])
    maps = np.broadcast_to(np.round(255 * shares).astype(np.uint8)[:, None, None, None], (5, 2, 1, 1)).copy()
    found = data.map_targets(maps)[..., 0, 0]
    np.testing.assert_allclose(found[:, 0], [0, 0, 0.5, 1, 1], atol=0.01)
    np.testing.assert_allclose(found[:, 1], shares, atol=0.01)


def test_augmentation_by_nothing_changes_nothing_and_by_something_all_three_together(skies: Skies) -> None:
    random = np.random.default_rng(1)
    image, maps, _ = augmented(skies, 3, Augmentation(False, *[0.0] * 11), random)
    np.testing.assert_allclose(image, decode(skies.squares[3]), atol=1e-5)
    np.testing.assert_allclose(maps, data.map_targets(skies.maps[3]), atol=1e-5)
    one = batch_of(skies, 6, shares_of(skies.classes), Augmentation(), (1, 2))
    two = batch_of(skies, 6, shares_of(skies.classes), Augmentation(), (1, 2))
    np.testing.assert_array_equal(one.image, two.image)
    assert one.image.shape == (6, len(CHANNELS), SIDE, SIDE)
    assert np.isfinite(one.image).all()
    assert set(np.unique(one.weight)) <= {0.0, 1.0}


def test_skies_without_a_class_teach_the_maps_alone() -> None:
    logits = torch.randn(3, 6, requires_grad=True)
    maps = torch.randn(3, 2, 16, 16, requires_grad=True)
    unknown = torch.from_numpy(class_shares(np.full(3, data.UNKNOWN, np.int8)))
    loss = sky_loss(logits, maps, unknown, torch.zeros(3, 2, 16, 16), torch.ones(3, 16, 16))
    loss.backward()
    assert logits.grad is None or not logits.grad.any()
    assert maps.grad is not None and maps.grad.any()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("shufflenet_v2_x1_0", 2_278_604), ("resnet18", 11_689_512), ("mobilenet_v3_small", 2_542_856)],
)
def test_backbones_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert count_parameters(backbones.BACKBONES[name](1000)) == parameters  # type: ignore[call-arg]


def test_weights_in_torchvisions_names_are_taken_and_others_refused(tmp_path: Path) -> None:
    given = backbones.ShuffleNetV2(1000)
    state = given.state_dict()
    assert {
        "conv1.0.weight",
        "stage2.0.branch1.3.running_mean",
        "stage4.3.branch2.5.weight",
        "fc.bias",
    } <= set(state)
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    taken = backbones.make("shufflenet_v2_x1_0", path)
    assert torch.equal(taken.stage3[2].branch2[0].weight, given.stage3[2].branch2[0].weight)
    with pytest.raises(ModelError, match="another network"):
        backbones.make("resnet18", path)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ModelError, match="cannot be read"):
        backbones.make("resnet18", tmp_path / "text.pth")
    with pytest.raises(ModelError, match="there are shufflenet"):
        backbones.make("vgg")


def test_timms_mobilenet_is_mapped_layer_by_layer(tmp_path: Path) -> None:
    ours = backbones.MobileNetV3Small()
    path = tmp_path / "timm.pth"
    torch.save(as_timm(ours.state_dict()), path)
    taken = backbones.make("mobilenet_v3_small", path)
    for name, value in ours.state_dict().items():
        assert torch.equal(taken.state_dict()[name], value), name


def as_timm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as in timm's ``mobilenetv3_small_100``: stages of 1, 2, 3, 2, 3 blocks, a last convolution."""
    stages = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)]
    found = {}
    for key, value in state.items():
        _, number, *layer, last = key.split(".")
        place = int(number)
        if place == 0:
            name = ("conv_stem", "bn1")[int(layer[0])]
        elif place == 12:
            name = "blocks.5.0." + ("conv", "bn1")[int(layer[0])]
        else:
            stage, block = stages[place - 1]
            name = f"blocks.{stage}.{block}.{timm_layer(place, layer[1:])}"
        found[f"{name}.{last}"] = value
    return found | {"conv_head.bias": torch.zeros(3), "classifier.bias": torch.zeros(3)}


def timm_layer(place: int, layer: list[str]) -> str:
    squeezes = place not in (2, 3)
    order = [] if place == 1 else ["expand"]
    order += ["deep"] + (["se"] if squeezes else []) + ["project"]
    kind = order[int(layer[0])]
    if kind == "se":
        return {"fc1": "se.conv_reduce", "fc2": "se.conv_expand"}[layer[1]]
    if place == 1:
        return {"deep": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}[kind][int(layer[1])]
    names = {"expand": ("conv_pw", "bn1"), "deep": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
    return names[kind][int(layer[1])]


def test_every_backbone_gives_the_networks_outputs() -> None:
    image = torch.rand(1, len(CHANNELS), SIDE, SIDE)
    for name in backbones.BACKBONES:
        network = SkyNetwork(PRESETS[name]).eval()
        with torch.no_grad():
            features, logits, maps = network(image)
        assert features.shape == (1, 128)
        assert logits.shape == (1, 6)
        assert maps.shape == (1, 2, 16, 16)


def test_the_picture_of_a_square_has_its_light_and_colours() -> None:
    image = torch.zeros(1, len(CHANNELS), 4, 4)
    image[:, 1], image[:, 4], image[:, 5] = 0.5, 0.3, 0.1
    red, green, blue = picture_of(image)[0, :, 0, 0].tolist()
    assert (red + green + blue) / 3 == pytest.approx(0.5)
    assert green - (red + blue) / 2 == pytest.approx(0.3 * 0.5)
    assert (red - blue) / 2 == pytest.approx(0.1 * 0.5)


@pytest.mark.parametrize("kind", head.HEADS)
def test_a_head_finds_classes_that_features_tell(kind: str) -> None:
    random = np.random.default_rng(0)
    classes = np.repeat([0, 2, 5], 40)
    random.shuffle(classes)
    features = random.normal(size=(120, 8)) + 3 * np.eye(8)[classes]
    found = head.probabilities(head.fit(features, classes, kind), features, 6)
    assert np.mean(found.argmax(axis=1) == classes) > 0.95
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert not found[:, 1].any()
    tried = head.search(features, classes, kind, (1e-4, 1.0))
    assert tried[1].accuracy > 0.9
    assert head.best_of(tried) in (1e-4, 1.0)


def test_a_head_needs_several_skies_of_two_classes() -> None:
    with pytest.raises(UnusableInputError, match="give more"):
        head.fit(np.zeros((6, 2)), np.array([0, 0, 0, 0, 0, 1]))
    with pytest.raises(UnusableInputError, match="svm, logistic"):
        head.fit(np.zeros((6, 2)), np.zeros(6, int), "forest")


def test_evaluation_tells_classes_cloud_and_backbones_apart(run: Path, tmp_path: Path, skies: Skies) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SHARD", SHARD)
        patch.setattr("models.aurora.comparison._fitting_skies", lambda options: many(skies))
        patch.delenv("HELIOWATCH_TEST_DATA", raising=False)
        options = EvaluateOptions(
            simulated=SHARD,
            backbones="shipped,mobilenet_v3_small",
            head="logistic",
            grid=True,
            plots=tmp_path / "plots",
            family=run,
            output=tmp_path / "result.json",
        )
        result = evaluate(options)
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["simulated"]["count"] == result["simulated"]["count"] <= SHARD
    assert 0 <= result["simulated"]["cloud"]["sectors"] <= 1
    assert result["simulated"]["batch_difference"] < 1e-5
    assert [row["backbone"] for row in result["backbones"]] == ["shipped", "mobilenet_v3_small"]
    assert result["backbones"][1]["features"] == 576
    assert len(result["grid"]) == 2 * len(head.GRID_C)
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    assert {"simulated-confusion.png", "simulated-roc.png", "simulated-reliability.png", "grid.png"} <= drawn


def many(skies: Skies) -> Skies:
    """The skies again and again with classes that no head need know."""
    numbers = np.arange(48) % len(skies)
    return replace(skies.taken(numbers), classes=(np.arange(48) % 6).astype(np.int8))


def test_own_pictures_are_evaluated_and_learnt_from(run: Path, tmp_path: Path) -> None:
    from models.simulate.allsky_sampling import sample

    folder = tmp_path / "allsky"
    folder.mkdir()
    for number in range(3):
        pixels, _, _ = sample(np.random.default_rng(number), 200)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    labels = folder / "visual_labels.csv"
    labels.write_text("file,sky_class\n0.png,arc\n1.png,cloud\n2.png,clear\n")
    result = evaluate(EvaluateOptions(simulated=0, images=folder, labels=labels, data=tmp_path, family=run))
    assert result["own"] == result["real"]  # named by hand, or found below the folder of shared data
    assert result["own"]["frames"] == 3
    assert result["own"]["aurora_frames"] == 1
    assert 0 <= result["own"]["two_classes"] <= 1
    own = own_skies(folder, labels)
    assert len(own) <= 3
    assert not own.is_known.any()


def test_labels_without_a_class_of_ours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,sky_class\na.png,rainbow\n")
    with pytest.raises(UnusableInputError, match="rainbow is none of arc"):
        read_labels(path)
    path.write_text("picture,class\na.png,arc\n")
    with pytest.raises(UnusableInputError, match="needs a column file"):
        read_labels(path)


def test_labels_as_spreadsheets_write_them_are_read_and_whole_paths_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\ufefffile,sky_class\n a.png ,arc\n,cloud\nb.png,clear\n", encoding="utf-8")
    assert [label.pattern for label in read_labels(path)] == ["a.png", "b.png"]
    path.write_text("file,sky_class\n/data/a.png,arc\n")
    with pytest.raises(UnusableInputError, match="below the folder"):
        read_labels(path)


def test_words_of_a_viewer_become_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,visual_label\na,aurora_weak\nb,cloudy\nc,no_data\nd,twilight\ne,clear_no_aurora\n")
    found = read_labels(path)
    assert [label.is_aurora for label in found] == [True, False, None, False, False]
    assert [label.sky_class for label in found] == [None, "cloud", None, None, "clear"]


def test_numbers_of_agreement_are_the_known_ones() -> None:
    true = np.array([0, 0, 1, 3])
    probabilities = np.eye(6)[[0, 3, 2, 3]] * 0.9 + 0.1 / 6
    assert measures.balanced_accuracy(probabilities.argmax(axis=1), true) == pytest.approx((0.5 + 0 + 1) / 3)
    assert measures.two_class_accuracy(probabilities, true) == pytest.approx((2 / 3 + 1) / 2)
    assert measures.calibration_error(probabilities, true) == pytest.approx(0.9 + 0.1 / 6 - 0.5)
    assert measures.roc(np.array([0.9, 0.8, 0.3]), np.array([True, False, True]))[2] == pytest.approx(0.5)
    assert measures.roc(np.array([0.5, 0.5]), np.array([True, False]))[2] == pytest.approx(0.5)


def test_a_temperature_makes_overconfident_logits_calibrated() -> None:
    random = np.random.default_rng(5)
    logits = random.normal(size=(4000, 6)) * 2
    true = np.array([random.choice(6, p=p) for p in measures.softmax(logits)])
    assert measures.fitted_temperature(3 * logits, true) == pytest.approx(3.0, rel=0.12)
    cells = random.normal(size=20000) * 2
    assert measures.fitted_map_temperature(2 * cells, 1 / (1 + np.exp(-cells))) == pytest.approx(
        2.0, rel=0.05
    )
