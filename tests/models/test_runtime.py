"""A device is given or refused, never replaced in silence; a session belongs to its process."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from models.runtime import Runtime, Session
from observatory.errors import ModelError, ProviderUnavailableError

onnx = pytest.importorskip("onnx", reason="onnx builds the test's network; install the test dependencies")


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """A network that doubles its input."""
    from onnx import TensorProto, helper

    node = helper.make_node("Add", ["x", "x"], ["y"])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in "xy")
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path = tmp_path / "doubling.onnx"
    onnx.save(model, str(path))
    return path


class StandIn:
    """An inner session that was given some providers."""

    def __init__(self, given: list[str]) -> None:
        self.given = given

    def get_providers(self) -> list[str]:
        return self.given

    def get_inputs(self) -> list[object]:
        return []

    def get_outputs(self) -> list[object]:
        return []


def test_a_network_runs_on_the_cpu_for_any_batch(doubling: Path):
    session = Runtime().session(doubling)
    for batch in (1, 5):
        x = np.arange(3 * batch, dtype=np.float32).reshape(batch, 3)
        assert np.array_equal(session.run({"x": x})["y"], 2 * x)
    assert session.providers == ("CPUExecutionProvider",)
    session.warm_up()


def test_one_session_serves_a_process(doubling: Path):
    runtime = Runtime()
    assert runtime.session(doubling) is runtime.session(str(doubling))


def test_a_device_that_is_not_installed_is_refused(doubling: Path):
    runtime = Runtime("cuda", available_providers=lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderUnavailableError, match="CUDAExecutionProvider was asked for"):
        runtime.session(doubling)


def test_a_device_that_falls_back_in_silence_is_refused(doubling: Path):
    runtime = Runtime(
        "cuda",
        available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        session_factory=lambda path, options, providers: StandIn(["CPUExecutionProvider"]),
    )
    with pytest.raises(ProviderUnavailableError) as caught:
        runtime.session(doubling)
    assert caught.value.given == ["CPUExecutionProvider"]


def test_a_device_that_is_given_is_asked_for_with_a_heuristic_search(doubling: Path):
    asked: list[object] = []

    def factory(path: str, options: object, providers: list[object]) -> StandIn:
        asked.extend(providers)
        return StandIn(["CUDAExecutionProvider", "CPUExecutionProvider"])

    runtime = Runtime(
        "cuda:1", available_providers=lambda: ["CUDAExecutionProvider"], session_factory=factory
    )
    session: Session = runtime.session(doubling)
    assert session.providers[0] == "CUDAExecutionProvider"
    assert asked[0] == (
        "CUDAExecutionProvider",
        {"device_id": 1, "cudnn_conv_algo_search": "HEURISTIC"},
    )


def test_an_unknown_device_is_refused_at_once():
    with pytest.raises(ProviderUnavailableError):
        Runtime("abacus")


def test_a_missing_or_broken_file_is_a_model_error(tmp_path: Path):
    with pytest.raises(ModelError, match="missing"):
        Runtime().session(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Runtime().session(tmp_path / "broken.onnx")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_makes_its_own_session(doubling: Path):
    runtime = Runtime()
    parents = runtime.session(doubling)._inner  # held: another could lie where it was
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()

    def child() -> None:
        x = np.ones((1, 3), np.float32)
        session = runtime.session(doubling)
        answer.put((session._inner is parents, float(session.run({"x": x})["y"][0, 0])))

    process = context.Process(target=child)
    process.start()
    same, value = answer.get()
    process.join()
    assert not same
    assert value == 2.0
