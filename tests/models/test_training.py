"""What all trainings share: checkpoints, running means, rates, batches made ahead, and what a run writes of itself."""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from models import exporting  # noqa: E402
from models.journal import Journal, draw_curves  # noqa: E402
from models.training import (  # noqa: E402
    cosine,
    follow,
    prefetch,
    read_checkpoint,
    stated,
    warmed,
    write_checkpoint,
)
from observatory.errors import ModelError  # noqa: E402


@dataclass(frozen=True)
class Options:
    """Of a training."""

    data: Path | None = None
    steps: int = 10
    learning_rate: float = 1e-3
    residual: bool = True
    half: bool = False
    output: Path = Path("runs")


def test_a_checkpoint_comes_back_as_it_was_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    state = {"config": {"side": 8}, "options": stated(Options()), "weights": {"w": torch.arange(3.0)}}
    write_checkpoint(path, state)
    assert [found.name for found in tmp_path.iterdir()] == ["checkpoint.pt"]
    found = read_checkpoint(path, config={"side": 8})
    assert found["options"]["output"] == "runs" and found["options"]["data"] is None
    torch.testing.assert_close(found["weights"]["w"], torch.arange(3.0))


def test_a_checkpoint_that_cannot_be_gone_on_from_says_why(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(ModelError, match="is missing: train first"):
        read_checkpoint(path)
    for content in (b"", b"no checkpoint"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="no checkpoint that can be read"):
            read_checkpoint(path)
    write_checkpoint(path, {"config": {"side": 8}})
    with pytest.raises(ModelError, match="another network"):
        read_checkpoint(path, config={"side": 16})


def test_the_running_mean_soon_forgets_the_first_weights_and_then_moves_slowly() -> None:
    mean, network = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    torch.nn.init.constant_(mean.weight, 0.0)
    network.num_batches_tracked += 7
    follow(mean, network, 0.9, step=10)
    assert mean.weight.item() == pytest.approx(0.5)
    assert int(mean.num_batches_tracked) == 7  # a count has no mean
    torch.nn.init.constant_(mean.weight, 0.0)
    follow(mean, network, 0.9, step=1000)
    assert mean.weight.item() == pytest.approx(0.1)


def test_the_rate_warms_up_and_falls_to_its_last() -> None:
    assert [warmed(step, 4) for step in (0, 1, 3, 99)] == [0.25, 0.5, 1.0, 1.0]
    assert [cosine(share, 0.02) for share in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([1.0, 0.51, 0.02, 0.02])


def test_batches_come_in_order_and_what_fails_while_making_one_is_raised() -> None:
    assert list(prefetch(lambda step: step, 3, 20)) == list(range(3, 20))

    def broken(step: int) -> int:
        if step == 5:
            raise ValueError(f"step {step}")
        return step

    found = []
    with pytest.raises(ValueError, match="step 5"):
        for made in prefetch(broken, 4, 9):
            found.append(made)
    assert found == [4]


def test_a_resumed_run_goes_on_in_the_same_columns(tmp_path: Path) -> None:
    for rows in ([{"step": 1.0, "loss": 0.5, "dice": 0.25}], [{"step": 2.0, "dice": 0.75, "other": 9.0}]):
        with Journal(tmp_path, 2) as journal:
            for row in rows:
                journal.show(row["step"])
                journal.note(row)
    with (tmp_path / "metrics.csv").open() as log:
        assert list(csv.DictReader(log)) == [
            {"step": "1.0", "loss": "0.5", "dice": "0.25"},
            {"step": "2.0", "loss": "", "dice": "0.75"},
        ]
    pytest.importorskip("matplotlib")
    draw_curves(tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_the_command_repeats_what_changes_the_result() -> None:
    said = stated(Options(data=Path("/home/me/data"), residual=False, half=True, output=Path("elsewhere")))
    command = exporting.training_command(
        "family", said, Options, always=("steps",), idle=("output",), paths=("data",)
    )
    assert command == "heliowatch models train family --data DATA --steps 10 --no-residual --half"


def test_tables_of_a_manifest_are_read_back_as_they_were() -> None:
    values = {"side": 64, "noise": 1e-3, "names": ["a", "b"], "is_tuned": False, "sizes": (1, 2.5)}
    lines = [
        *exporting.tensor("inputs", "image", ["n", 1, 64, 64], "kG", "a field"),
        *exporting.table("parameters", values),
    ]
    found = tomllib.loads("\n".join(lines))
    assert found["inputs"] == [
        {"name": "image", "shape": ["n", 1, 64, 64], "unit": "kG", "meaning": "a field"}
    ]
    assert found["parameters"] == values | {"sizes": [1, 2.5]}


@pytest.mark.parametrize("difference", [1e-3, float("nan")])
def test_a_network_whose_onnx_says_something_else_is_refused(difference: float) -> None:
    exporting.require_parity(9e-5, 1e-4, "net.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx differs from torch"):
        exporting.require_parity(difference, 1e-4, "net.onnx")
