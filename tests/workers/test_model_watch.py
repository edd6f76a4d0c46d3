"""Models under watch: taken over between two frames, tried beside the live one, proved, refused."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from heliowatch import deploying
from models import golden, registry
from models.runtime import Runtime
from observatory.analysis import AURORAL, ModelIdentity, Quality, Sky, SkyClass, SkyFacts
from observatory.errors import ModelError
from observatory.settings import Settings
from observatory.storage import catalogue, deployments, model_checks, provenance, shadows
from observatory.storage.catalogue import FrameFilter
from observatory.storage.deployments import NoSuchDeploymentError, Role
from observatory.storage.model_checks import CheckKind
from observatory.storage.session import Database
from tests.making import drop, kso_bytes
from tests.service.corona import AR, CH, central, found
from workers import shadow, tasks
from workers.app import make_app
from workers.context import Heartbeat
from workers.ingester import Ingester
from workers.model_watch import ModelWatch
from workers.pipelines.base import Finding, Outcome
from workers.publisher import Publisher
from workers.tasks import process_frame
from workers.watching import WatchFolder

NAME = "halpha_quality"
SHIPPED = Path(registry.__file__).parent / NAME


def made_of(folder: Path, change: Callable[[np.ndarray], np.ndarray], version: str = "9.0.0") -> Path:
    """A network of one's own: the shipped one with other weights."""
    folder.mkdir(parents=True)
    for name in ("manifest.toml", "calibration.npz"):
        shutil.copyfile(SHIPPED / name, folder / name)
    network = onnx.load(SHIPPED / f"{NAME}.onnx")
    for weights in network.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.size > 64:
            weights.CopyFrom(numpy_helper.from_array(change(values).astype(np.float32), weights.name))
    onnx.save(network, folder / f"{NAME}.onnx")
    digest = hashlib.sha256((folder / f"{NAME}.onnx").read_bytes()).hexdigest()
    stated = (folder / "manifest.toml").read_text()
    stated = re.sub(r"(?m)^sha256 = .*", f'sha256 = "{digest}"', stated)
    stated = re.sub(r"(?m)^version = .*", f'version = "{version}"', stated, count=1)
    (folder / "manifest.toml").write_text(stated)
    return folder


@pytest.fixture
def better(tmp_path: Path) -> Path:
    """A network that answers all but the same."""
    return made_of(tmp_path / "better", lambda values: values * np.float32(1.00001))


@pytest.fixture
def sabotaged(tmp_path: Path) -> Path:
    """A network whose weights are turned round."""
    return made_of(tmp_path / "sabotaged", lambda values: values[..., ::-1])


@pytest.fixture
def at(quick: Settings, home: Database) -> tasks.Desk:
    """A desk, on which frames are worked on in this process."""
    return tasks.sit_down(quick)


def watch_of(at: tasks.Desk) -> ModelWatch:
    return ModelWatch(at, Heartbeat(at.db, at.name, "worker", 3.0, {}))


def received(at: tasks.Desk, incoming: Path, number: int = 0) -> int:
    drop(incoming / f"kanz_halph_fi_20260601_12{number:02d}00.fts", kso_bytes(number))
    Ingester(at.settings, at.db, Publisher(make_app(at.settings)), [WatchFolder(incoming)]).once()
    return max(row["id"] for row in catalogue.find(at.db, FrameFilter(), limit=100))


def version_of(db: Database, frame_id: int) -> str:
    (result,) = provenance.of_frame(db, frame_id)
    return str(result["model_version"])


def test_a_sabotaged_network_is_refused_by_its_golden_frames_and_what_runs_stays(
    quick: Settings, home: Database, sabotaged: Path
) -> None:
    with pytest.raises(deploying.RefusedModelError, match="clear disk 3: degraded"):
        deploying.take_in(quick, sabotaged)
    with pytest.raises(deploying.RefusedModelError, match="golden frames"):
        deploying.promote(quick, NAME, sabotaged)
    line = deployments.line(home)
    assert line.live == () and line.candidates == ()
    assert {one.role for one in deployments.listed(home)} == {Role.REFUSED}


def test_a_candidate_that_is_altered_after_it_came_is_not_promoted(
    quick: Settings, home: Database, better: Path
) -> None:
    made = deploying.take_in(quick, better)
    path = quick.data_dir / made.folder / f"{NAME}.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelError, match="altered"):
        deploying.promote(quick, NAME, None)
    assert deployments.line(home).live == ()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "manifest.toml").unlink(), "no manifest.toml"),
        (lambda folder: (folder / f"{NAME}.onnx").write_bytes(b""), "altered"),
        (lambda folder: (folder / "manifest.toml").write_text("name = 3"), "lacks or misstates"),
        (
            lambda folder: (folder / "manifest.toml").write_text(
                (folder / "manifest.toml").read_text().replace(f'name = "{NAME}"', 'name = "unheard_of"', 1)
            ),
            "nothing here runs",
        ),
    ],
)
def test_what_is_no_network_of_ours_is_said_to_be_none(
    quick: Settings, home: Database, better: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    spoil(better)
    with pytest.raises(ModelError, match=said):
        deploying.take_in(quick, better)
    with pytest.raises(NoSuchDeploymentError, match="no candidate"):
        deploying.promote(quick, NAME, None)


def test_a_change_is_taken_over_between_two_frames_and_taken_back(
    at: tasks.Desk, incoming: Path, better: Path
) -> None:
    watch = watch_of(at)
    process_frame(first := received(at, incoming, 0))
    deploying.promote(at.settings, NAME, better)
    process_frame(second := received(at, incoming, 1))
    assert watch.take_over() and not watch.take_over()
    process_frame(third := received(at, incoming, 2))
    deploying.roll_back(at.settings, NAME)
    assert watch.take_over()
    process_frame(fourth := received(at, incoming, 3))
    shipped = registry.load(NAME).version
    said = [version_of(at.db, number) for number in (first, second, third, fourth)]
    assert said == [shipped, shipped, "9.0.0", shipped]


def test_a_live_network_that_is_spoilt_leaves_a_process_with_what_it_has(
    at: tasks.Desk, incoming: Path, better: Path
) -> None:
    made = deploying.promote(at.settings, NAME, better)
    (at.settings.data_dir / made.folder / f"{NAME}.onnx").unlink()
    before = tasks.Desk(at.settings)
    watch = watch_of(at)
    at.deployed = replace(
        before.deployed, generation=0, networks={}, pipelines=type(at.pipelines)(at.runtime)
    )
    assert not watch.take_over()
    process_frame(number := received(at, incoming))
    assert version_of(at.db, number) == registry.load(NAME).version


def test_a_candidate_looks_at_frames_and_decides_nothing(
    at: tasks.Desk, incoming: Path, better: Path
) -> None:
    at.settings.models.shadow_share = 1.0
    made = deploying.take_in(at.settings, better)
    watch_of(at).take_over()
    process_frame(number := received(at, incoming))
    assert version_of(at.db, number) == registry.load(NAME).version
    said = shadows.agreement(at.db, made.id)
    assert (said.frames, said.alike) == (1, 1) and said.mean == pytest.approx(1.0, abs=0.01)


def test_a_candidate_that_fails_spoils_no_frame(
    at: tasks.Desk, incoming: Path, better: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.settings.models.shadow_share = 1.0
    made = deploying.take_in(at.settings, better)
    watch_of(at).take_over()
    (trying,) = at.deployed.shadows
    monkeypatch.setattr(trying.pipelines.of("halpha"), "run_live", lambda *_: 1 // 0)
    process_frame(number := received(at, incoming))
    assert catalogue.get(at.db, number)["status"] == "done"  # type: ignore[index]
    (difference,) = shadows.differences(at.db, made.id)
    assert "ZeroDivisionError" in (difference.words or "")


def test_a_promotion_under_load_drops_no_frame(
    quick: Settings, home: Database, incoming: Path, better: Path
) -> None:
    at = tasks.sit_down(quick)
    at.deployed.warm_up()
    watch = watch_of(at)
    numbers = [received(at, incoming, number) for number in range(24)]
    left, done = list(numbers), threading.Event()

    def work() -> None:
        while left:
            process_frame(left.pop())

    hands = [threading.Thread(target=work) for _ in range(3)]
    for hand in hands:
        hand.start()
    deploying.promote(quick, NAME, better)
    while not watch.take_over():
        assert not done.wait(0.01)
    late = [received(at, incoming, 24 + number) for number in range(6)]
    left += late
    work()
    for hand in hands:
        hand.join(timeout=60)
    rows = catalogue.find(home, FrameFilter(), limit=100)
    assert {row["status"] for row in rows} == {"done"} and len(rows) == 30
    versions = {number: version_of(home, number) for number in [*numbers, *late]}
    assert {versions[number] for number in late} == {"9.0.0"}
    assert set(versions.values()) <= {"9.0.0", registry.load(NAME).version}
    assert all(row["attempts"] == 1 for row in rows)


def test_golden_frames_and_drift_are_checked_by_one_process_and_found_again(
    at: tasks.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def prove(runtime: Runtime, name: str, folder: Path | None, former: dict[str, float]) -> golden.Proof:
        asked.append(name)
        answer = golden.Answer("cloud", "degraded", "degraded, 0.10", True, 0.1)
        return golden.Proof(name, "1", "a", (answer,))

    monkeypatch.setattr(golden, "prove", prove)
    watch_of(at).check(datetime.now(UTC))
    watch_of(at).check(datetime.now(UTC))
    assert NAME in asked and len(asked) == len(set(asked))
    newest = {(one.subject.kind, one.subject.model.name): one for one in model_checks.newest(at.db)}
    assert newest[CheckKind.GOLDEN, NAME].is_good
    assert "fewer than" in newest[CheckKind.DRIFT, NAME].detail["words"]


def test_a_network_that_answers_otherwise_than_before_is_found_out() -> None:
    before = golden.prove(Runtime(), NAME)
    assert before is not None and before.is_right and before.ratio == 1.0
    shifted = {frame: value - 0.2 if frame == "cloud" else value for frame, value in before.values.items()}
    after = golden.prove(Runtime(), NAME, former=shifted)
    assert after is not None and not after.is_right
    assert after.complaints == ["cloud: not the value that this network gave before"]


MODEL = ModelIdentity("m", "1", "a")


def quality(score: float) -> Quality:
    return Quality(score, score < 0.5, None, (), MODEL)


def sky(chosen: SkyClass, sure: float) -> Sky:
    others = {name: (1 - sure) / 5 for name in SkyClass if name is not chosen}
    nothing = np.zeros(33, np.float32)
    return Sky(chosen, {chosen: sure, **others}, 0.1, nothing, nothing, SkyFacts(), MODEL)


def test_two_answers_are_as_alike_as_the_least_alike_part_of_them() -> None:
    alike = shadow.compare(Outcome(quality=quality(0.9)), Outcome(quality=quality(0.8)))
    assert alike.is_alike and alike.agreement == pytest.approx(0.9) and alike.words is None
    other = shadow.compare(Outcome(quality=quality(0.9)), Outcome(quality=quality(0.2)))
    assert not other.is_alike and other.words == "clear 0.90, the candidate says degraded 0.20"
    hole, spots = found(CH, (central(),)).segmentation, found(AR, ()).segmentation
    same = shadow.compare(Outcome(segmentations=(hole, spots)), Outcome(segmentations=(hole, spots)))
    assert same.is_alike and same.agreement == 1.0
    empty = replace(hole, probability=np.zeros_like(hole.probability))
    assert not shadow.compare(Outcome(segmentations=(hole,)), Outcome(segmentations=(empty,))).is_alike


def test_skies_and_enhancements_are_compared_by_what_they_are_for() -> None:
    arc = Outcome(sky=sky(SkyClass.ARC, 0.9))
    assert shadow.compare(arc, Outcome(sky=sky(SkyClass.ARC, 0.8))).agreement == pytest.approx(0.9)
    cloud = shadow.compare(arc, Outcome(sky=sky(SkyClass.CLOUD, 0.9)))
    assert cloud.words == "arc, the candidate says cloud" and len(AURORAL) == 3
    made, refused = ({"contrast_after": 0.07}, {"refused": "no Sun"})
    outcomes = [Outcome(findings=(Finding("enhancement", MODEL, payload),)) for payload in (made, refused)]
    assert not shadow.compare(*outcomes).is_alike
    assert shadow.compare(outcomes[0], outcomes[0]).is_alike


def test_a_share_of_frames_is_drawn_evenly_and_always_the_same() -> None:
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)]
    chosen = [shadow.drawn(name, 0, 0.2) for name in names]
    assert 330 < sum(chosen) < 470
    assert chosen == [shadow.drawn(name, 0, 0.2) for name in names]
    assert not any(shadow.drawn(name, 0, 0.0) for name in names)
    assert all(shadow.drawn(name, 0, 1.0) for name in names)
