"""A smaller network begun from a larger one's weights, and taught by it on changed skies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from models.aurora import data, teaching  # noqa: E402
from models.aurora.augment import Augmentation, shares_of  # noqa: E402
from models.aurora.data import Skies, decode  # noqa: E402
from models.aurora.network import PRESETS, NetworkConfig  # noqa: E402
from models.aurora.options import TrainOptions  # noqa: E402
from models.aurora.pruning import pruned, teacher_of  # noqa: E402
from models.aurora.train import train  # noqa: E402
from models.registry import load, read_manifest  # noqa: E402
from models.runtime import Runtime, Session  # noqa: E402
from models.simulate.allsky_cameras import TRAINING_KINDS  # noqa: E402
from models.simulate.allsky_sampling import sample  # noqa: E402
from models.simulate.allsky_wear import worn  # noqa: E402
from observatory.errors import ModelError, UnusableInputError  # noqa: E402

SHIPPED = load("aurora").path.parent
NOTHING = Augmentation(False, *[0.0] * 11)
NARROW = NetworkConfig(widths=(8, 16, 24, 32), map_widths=(8, 16), map_channels=16)


@pytest.fixture(scope="module")
def skies() -> Skies:
    return data.simulated_shard(0, 16, 11, 128, is_testing=False)


@pytest.fixture(scope="module")
def session() -> Session:
    return Runtime().session(load("aurora").path)


def test_a_teacher_in_torch_says_what_its_whole_numbers_say(skies: Skies, session: Session) -> None:
    image = decode(skies.squares)
    said = session.run({"image": image}, ("features", "probabilities"))
    with torch.no_grad():
        features, logits, _ = teacher_of(SHIPPED)(torch.from_numpy(image))
    assert np.mean(np.abs(features.numpy() - said["features"])) < 0.05 * said["features"].std()
    settled = said["probabilities"].max(axis=1) > 0.6
    assert settled.sum() >= 8
    np.testing.assert_array_equal(
        logits.numpy().argmax(axis=1)[settled], said["probabilities"].argmax(axis=1)[settled]
    )


def test_a_network_begun_in_its_teachers_shape_says_the_same(skies: Skies) -> None:
    teacher, image = teacher_of(SHIPPED), torch.from_numpy(decode(skies.squares))
    begun = pruned(teacher, teacher.config, image).eval()
    with torch.no_grad():
        for one, other in zip(begun(image), teacher(image), strict=True):
            torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)
        # Its norms know what they see: training does not begin elsewhere.
        logits = begun.train()(image)[1]
    with torch.no_grad():
        assert (logits.argmax(dim=1) == teacher(image)[1].argmax(dim=1)).float().mean() > 0.8


def test_the_channels_that_matter_least_are_left_out_first(skies: Skies) -> None:
    teacher, image = teacher_of(SHIPPED), torch.from_numpy(decode(skies.squares))
    half, quarter, eighth, sixteenth = teacher.config.widths
    apart = []
    for missing in (2, 8):
        config = replace(teacher.config, widths=(half, quarter, eighth, sixteenth - missing))
        with torch.no_grad():
            apart.append(
                float((pruned(teacher, config, image).eval()(image)[0] - teacher(image)[0]).abs().mean())
            )
    spread = float(teacher(image)[0].detach().std())
    assert apart[0] < apart[1] < 0.5 * spread


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (replace(NARROW, blocks=(2, 1)), "as many blocks"),
        (replace(NARROW, features=64), "as many blocks and features"),
        (replace(NARROW, map_widths=()), "own branch"),
        (replace(NARROW, widths=(8, 16, 24, 999)), "999 channels"),
        (replace(NARROW, backbone="resnet18"), "its kind"),
    ],
)
def test_what_cannot_be_begun_from_a_teacher_is_refused(
    config: NetworkConfig, words: str, skies: Skies
) -> None:
    with pytest.raises(ModelError, match=words):
        pruned(teacher_of(SHIPPED), config, torch.from_numpy(decode(skies.squares[:4])))


def test_a_folder_without_such_a_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="manifest"):
        teacher_of(tmp_path)
    with pytest.raises(ModelError, match="own trunk"):
        teacher_of(load("halpha_quality").path.parent)


def test_eight_views_of_a_square_are_eight_and_each_is_undone() -> None:
    planes = np.arange(2 * 16, dtype=np.float32).reshape(2, 4, 4)
    seen = [teaching._seen(planes, view) for view in range(8)]
    assert len({one.tobytes() for one in map(np.ascontiguousarray, seen)}) == 8
    for view, one in enumerate(seen):
        np.testing.assert_array_equal(teaching._as_was(one, view), planes)


def test_lessons_tell_what_the_teacher_says_whichever_way_the_sky_lies(
    skies: Skies, session: Session
) -> None:
    few = skies.span(0, 4)
    told = teaching.lessons(few, session, NOTHING, 3, is_worn=False)
    np.testing.assert_array_equal(told.squares, few.squares)
    mirrored = replace(few, squares=np.ascontiguousarray(np.rot90(few.squares, 1, (2, 3))[..., ::-1]))
    again = teaching.lessons(mirrored, session, NOTHING, 3, is_worn=False)
    np.testing.assert_allclose(told.probabilities, again.probabilities, atol=1e-4)
    np.testing.assert_allclose(told.probabilities.sum(axis=1), 1.0, atol=1e-5)
    as_lies = np.rot90(told.said.astype(float), 1, (2, 3))[..., ::-1]
    np.testing.assert_allclose(as_lies, again.said, atol=1.01)
    once = session.run({"image": decode(few.squares)}, ("probabilities",))["probabilities"]
    assert np.abs(once - told.probabilities).mean() < 0.1


def test_a_batch_of_lessons_believes_the_teacher_alone_of_worn_skies(skies: Skies, session: Session) -> None:
    plain = teaching.lessons(skies, session, NOTHING, 3, is_worn=False)
    spoilt = replace(plain, is_worn=np.ones(len(plain), bool))
    shares = shares_of(plain.classes)
    for given, is_taught_alone in ((plain, False), (spoilt, True)):
        batch = teaching.lesson_batch(given, 12, shares, (1, 5))
        drawn = np.random.default_rng((1, 5)).choice(len(given), 12, p=shares)
        is_said = np.isclose(batch.classes, given.probabilities[drawn]).all(axis=1)
        assert (is_said == (is_taught_alone | (given.classes[drawn] < 0))).all()
        np.testing.assert_allclose(batch.classes.sum(axis=1), 1.0, atol=1e-5)
        assert batch.features is not None
        means = batch.maps.mean(axis=(1, 2, 3))
        said = given.said[drawn].mean(axis=(1, 2, 3)) / 255
        assert np.allclose(means, said, atol=1e-5) is is_taught_alone


def test_worn_skies_are_mixed_here_and_there_and_nothing_is_known_of_these(session: Session) -> None:
    skies = data.simulated_shard(1, 30, 11, 128, is_testing=False, is_worn=True)
    told = teaching.lessons(skies, session, NOTHING, 4, is_worn=True)
    is_changed = (told.squares != skies.squares).any(axis=(1, 2, 3))
    assert 1 <= is_changed.sum() <= 14
    assert not told.is_known[is_changed].any()
    np.testing.assert_array_equal(told.is_known[~is_changed], skies.is_known[~is_changed])


def test_worn_pictures_are_pictures_of_the_same_skies() -> None:
    random, kinds = np.random.default_rng(8), set()
    for number in range(24):
        pixels, circle, _ = sample(random, 128, [TRAINING_KINDS[number % len(TRAINING_KINDS)]])
        found = worn(pixels, circle, random)
        again = worn(pixels, circle, np.random.default_rng(number))
        np.testing.assert_array_equal(again, worn(pixels, circle, np.random.default_rng(number)))
        assert found.shape == pixels.shape
        assert found.max() > found.min()
        kinds.add(found.dtype.name)
    assert kinds == {"uint8", "uint16"}


def test_a_network_is_taught_from_the_command_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "SHARD", 6)
    monkeypatch.setitem(PRESETS, "tiny", NARROW)
    options = TrainOptions(
        cache=tmp_path / "skies",
        samples=6,
        validation=6,
        size=128,
        preset="tiny",
        teacher=SHIPPED,
        steps=1,
        batch=4,
        threads=1,
        output=tmp_path / "run",
    )
    train(options)
    kept = sorted(
        path.relative_to(tmp_path / "skies").as_posix() for path in (tmp_path / "skies").rglob("*.npz")
    )
    assert len(kept) == 8  # two files of skies, two of worn ones, and the lessons on each
    times = [(tmp_path / "skies" / name).stat().st_mtime_ns for name in kept]
    train(replace(options, steps=2))
    assert times == [(tmp_path / "skies" / name).stat().st_mtime_ns for name in kept]
    manifest = read_manifest(tmp_path / "run" / "manifest.toml")
    manifest.verify()
    assert "--teacher" in manifest.training_command
    with pytest.raises(UnusableInputError, match="goes without"):
        train(replace(options, maps_only=True))
    with pytest.raises(ModelError, match="manifest"):
        train(replace(options, teacher=tmp_path, output=tmp_path / "other"))
    with pytest.raises(ModelError, match="name another preset"):
        train(replace(options, preset="full", cache=tmp_path / "none", output=tmp_path / "other"))
    assert not list((tmp_path / "none").glob("worn"))
