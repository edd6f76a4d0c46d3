"""The shipped network: what it says of real frames and of simulated nights at cameras that it never saw."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from heliowatch import score
from models import registry
from models.aurora import data, measures
from models.aurora.data import decode
from models.aurora.evaluate import cloud_agreement, of_labelled, run
from models.aurora.flags import of_flags
from models.aurora.inference import AuroraModel
from models.runtime import Runtime
from models.simulate.allsky_cameras import TESTING_KINDS
from models.simulate.allsky_sampling import sample
from observatory.analysis import SkyClass
from observatory.settings import test_data_dir as data_dir
from tests.making import fits_bytes
from tests.skies import behind


@pytest.fixture(scope="module")
def model() -> AuroraModel:
    return AuroraModel(Runtime())


@pytest.fixture(scope="module")
def skies() -> data.Skies:
    return data.simulated_shard(7, 120, 424242, 160, is_testing=True)


@pytest.fixture(scope="module")
def allsky() -> Path:
    root = data_dir()
    if root is None or not (root / "allsky").is_dir():
        pytest.skip("HELIOWATCH_TEST_DATA names no folder with allsky/: real frames are not tested")
    return root / "allsky"


def test_its_manifest_says_what_the_file_is_and_its_classes_are_ours(model: AuroraModel) -> None:
    description = registry.load("aurora")
    assert description.parameters["classes"] == [str(name) for name in SkyClass]
    assert {output.name for output in description.outputs} == {"features", "probabilities", "cloud", "aurora"}
    stated = tomllib.loads((description.path.parent / "manifest.toml").read_text())
    assert stated["training"]["parity"] < 1e-4
    assert "--samples" in description.training_command


def test_a_raw_picture_with_hot_pixels_is_the_sky_that_its_colours_show(tmp_path: Path) -> None:
    random, judged = np.random.default_rng(5), 0
    colour_cameras = [kind for kind in TESTING_KINDS if len(kind.response) == 3]
    for number in range(6):
        pixels = sample(random, 300, colour_cameras)[0].astype(np.uint16) * 250
        seen = behind("GRBG", pixels)
        hot = tuple(random.integers(0, side, 200) for side in seen.shape)
        seen[hot] = np.maximum(seen[hot], random.integers(9_000, 60_000, 200))
        for name, stored, cards in (
            ("colours", np.moveaxis(pixels, -1, 0), {}),
            ("raw", seen, {"BAYERPAT": "GRBG"}),
        ):
            (tmp_path / f"{number}{name}.fits").write_bytes(fits_bytes(stored, cards))
        files = [tmp_path / f"{number}{name}.fits" for name in ("colours", "raw")]
        colours, raw = score(files, instrument="allsky")
        assert colours.sky is not None and raw.sky is not None
        is_settled = max(colours.sky.probabilities.values(), default=0.0) > 0.9
        if (
            is_settled and raw.sky.sky_class is not None
        ):  # a rim that is hardly seen may be lost between the filters
            assert raw.sky.sky_class is colours.sky.sky_class
            judged += 1
    assert judged >= 3


def test_what_it_says_of_a_sky_is_the_same_alone_and_among_others(
    model: AuroraModel, skies: data.Skies
) -> None:
    few = skies.span(0, 24)
    whole = run(model, few, 24)
    for batch in (1, 5):
        parts = run(model, few, batch)
        for name, values in whole.items():
            np.testing.assert_allclose(parts[name], values, atol=2e-5, err_msg=name)
        assert (parts["probabilities"].argmax(axis=1) == whole["probabilities"].argmax(axis=1)).all()


def test_it_tells_aurora_from_none_and_cloud_from_clear_at_simulated_cameras_it_never_saw(
    model: AuroraModel, skies: data.Skies
) -> None:
    found = run(model, skies)
    known = skies.classes >= 0
    true = skies.classes[known].astype(int)
    assert measures.two_class_accuracy(found["probabilities"][known], true) > 0.85
    assert np.mean(found["probabilities"][known].argmax(axis=1) == true) > 0.8
    assert cloud_agreement(found["cloud"], skies)["sectors"] > 0.8


def test_it_tells_aurora_from_none_on_real_frames_of_cameras_it_never_saw(
    model: AuroraModel, allsky: Path
) -> None:
    report = of_labelled(model, allsky, allsky / "visual_labels.csv", None, "real")
    assert report["frames"] > 200
    assert report["two_classes"] >= 0.96
    assert report["two_classes_by_file"] >= 0.9


def test_the_share_of_cloud_is_near_a_detectors_flags_on_most_real_frames(
    model: AuroraModel, allsky: Path
) -> None:
    report = of_flags(model, allsky / "lowell" / "cloud_flags.dat")
    assert len(report["frames"]) == 8
    assert report["within_0.15"] >= 7
    assert report["sectors_right"] > 0.85


def test_turning_a_sky_changes_little_of_what_is_said(model: AuroraModel, skies: data.Skies) -> None:
    image = decode(skies.squares[:40])
    said = model.session.run({"image": image}, ("probabilities",))["probabilities"]
    turned = np.ascontiguousarray(np.rot90(image, axes=(2, 3)))
    again = model.session.run({"image": turned}, ("probabilities",))["probabilities"]
    assert np.median(np.abs(said - again).max(axis=1)) < 0.1
