"""Families are found by their manifests; altered and doubled ones are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from models.registry import (
    action_of,
    families_with,
    find_models,
    load,
    options_of,
    sha256_of,
    trainable_families,
    with_parameters,
)
from observatory.errors import ModelError

MANIFEST = """
name = "{name}"
version = "1.2.3"
file = "net.onnx"
sha256 = "{sha256}"
opset = 17
[[inputs]]
name = "image"
shape = ["n", 1, 8, 8]
unit = "1"
[[outputs]]
name = "answer"
shape = ["n"]
unit = "1"
[training]
command = "train it"
seed = 3
[parameters]
side = 8
"""


def make_family(root: Path, folder: str, name: str) -> Path:
    home = root / folder
    home.mkdir(parents=True)
    (home / "net.onnx").write_bytes(folder.encode())
    manifest = MANIFEST.format(name=name, sha256=sha256_of(home / "net.onnx"))
    (home / "manifest.toml").write_text(manifest)
    return home


def test_networks_at_any_depth_below_a_folder_are_of_its_family(tmp_path: Path):
    make_family(tmp_path, "first", "one")
    make_family(tmp_path, "many/networks/small", "two")
    make_family(tmp_path, "many/networks/large", "three")
    assert {name: model.family for name, model in find_models(tmp_path).items()} == {
        "one": "first",
        "two": "many",
        "three": "many",
    }
    assert load("two", tmp_path).path == tmp_path / "many/networks/small/net.onnx"


def test_a_family_is_found_and_described(tmp_path: Path):
    make_family(tmp_path, "first", "one")
    model = load("one", tmp_path)
    assert (model.version, model.family, model.seed, model.opset) == ("1.2.3", "first", 3, 17)
    assert model.inputs[0].shape == ("n", 1, 8, 8)
    assert model.identity.parameters == {"side": 8}
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.version = "2"  # type: ignore[misc]


def test_a_model_can_be_had_with_the_parameters_of_a_former_result(tmp_path: Path):
    make_family(tmp_path, "first", "one")
    with with_parameters({"one": {"side": 4}}):
        assert load("one", tmp_path).identity.parameters == {"side": 4}
        with with_parameters({"two": {}}):
            assert load("one", tmp_path).parameters == {"side": 4}
    assert load("one", tmp_path).parameters == {"side": 8}


def test_an_altered_network_is_refused(tmp_path: Path):
    home = make_family(tmp_path, "first", "one")
    (home / "net.onnx").write_bytes(b"altered")
    assert "one" in find_models(tmp_path)
    with pytest.raises(ModelError, match="altered"):
        load("one", tmp_path)


def test_an_altered_or_missing_calibration_is_refused(tmp_path: Path):
    home = make_family(tmp_path, "one", "one")
    (home / "calibration.npz").write_bytes(b"good frames")
    with (home / "manifest.toml").open("a") as manifest:
        manifest.write(f'calibration_sha256 = "{sha256_of(home / "calibration.npz")}"\n')
    load("one", tmp_path)
    (home / "calibration.npz").write_bytes(b"other frames")
    with pytest.raises(ModelError, match=r"calibration\.npz has sha256"):
        load("one", tmp_path)
    (home / "calibration.npz").unlink()
    with pytest.raises(ModelError, match=r"calibration\.npz is missing"):
        load("one", tmp_path)


def test_a_missing_network_is_refused(tmp_path: Path):
    (make_family(tmp_path, "first", "one") / "net.onnx").unlink()
    with pytest.raises(ModelError, match="missing"):
        load("one", tmp_path)


def test_two_families_of_one_name_are_refused(tmp_path: Path):
    make_family(tmp_path, "first", "one")
    make_family(tmp_path, "second", "one")
    with pytest.raises(ModelError, match="both first and second"):
        find_models(tmp_path)


def test_an_unknown_model_is_told_with_those_that_exist(tmp_path: Path):
    make_family(tmp_path, "first", "one")
    with pytest.raises(ModelError, match="there are one"):
        load("two", tmp_path)


@pytest.mark.parametrize("damage", ["no toml [", 'name = "one"'])
def test_a_bad_manifest_is_a_model_error(tmp_path: Path, damage: str):
    (make_family(tmp_path, "first", "one") / "manifest.toml").write_text(damage)
    with pytest.raises(ModelError, match=r"manifest\.toml"):
        find_models(tmp_path)


def test_the_shipped_families_verify():
    for name in find_models():
        load(name)


def test_options_of_every_verb_can_be_turned_into_a_command_line():
    assert "halpha_quality" in trainable_families()
    for verb in ("train", "evaluate", "export"):
        options = options_of("halpha_quality", verb)
        assert options() == options()
        assert all(field.metadata["help"] for field in dataclasses.fields(options))
        assert callable(action_of("halpha_quality", verb))
    with pytest.raises(ModelError, match="none of"):
        options_of("halpha_quality", "guess")
    with pytest.raises(ModelError, match="no family"):
        options_of("astrology", "train")


def test_a_family_without_a_verb_says_so():
    with pytest.raises(ModelError, match="halpha_quality has no import"):
        options_of("halpha_quality", "import")
    assert "halpha_quality" not in families_with("import")
    assert "halpha_quality" in families_with("train")
