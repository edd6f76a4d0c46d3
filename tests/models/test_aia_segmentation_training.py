"""Training end to end with the smallest network: masks, boxes, resuming, leaving a year out, its ONNX."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from models.aia_segmentation import data, pseudo  # noqa: E402
from models.aia_segmentation.augment import Augmentation, augmented, batch_of, plain_batch, shares_of  # noqa: E402
from models.aia_segmentation.evaluate import evaluate  # noqa: E402
from models.aia_segmentation.export import export, load_network, parity  # noqa: E402
from models.aia_segmentation.inference import AiaSegmentation  # noqa: E402
from models.aia_segmentation.network import (  # noqa: E402
    PRESETS,
    UNet,
    count_operations,
    count_parameters,
    fold_batch_norm,
)
from models.aia_segmentation.options import EvaluateOptions, ExportOptions, TrainOptions  # noqa: E402
from models.aia_segmentation.preparation import Channel, analysis_grid  # noqa: E402
from models.aia_segmentation.train import load_samples, segmentation_loss, train  # noqa: E402
from models.aia_segmentation.trained_on import training_pictures  # noqa: E402
from models.registry import read_manifest  # noqa: E402
from models.runtime import Runtime  # noqa: E402
from observatory.analysis import EventType  # noqa: E402
from observatory.errors import ModelError, UnusableInputError  # noqa: E402

SIDE = 64


def sun(seed: int, side: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A browse picture of 193, rows from the top, and the mask of its hole at twice the size."""
    random = np.random.default_rng(seed)
    axis = (np.arange(side) - (side - 1) / 2) / (0.39 * side)
    x, y = axis[None, :], axis[:, None]
    level = 100 + 14 * cv2.GaussianBlur(random.normal(size=(side, side)), (0, 0), 1.5) * 3
    angle = random.uniform(0, 2 * np.pi)
    u, v = 0.4 * np.cos(angle), 0.4 * np.sin(angle)
    hole = np.hypot((x - u) / 0.25, (y - v) / 0.18) < 1
    level = np.where(hole, level * 0.15, level)
    level = level + 140 * np.exp(-(((x + u) / 0.1) ** 2 + ((y + v) / 0.08) ** 2))
    radius = np.hypot(x, y)
    level = np.where(radius < 1, level, 110 * np.exp(-(radius - 1) / 0.15))
    mask = cv2.resize((hole & (radius < 1)).astype(np.uint8) * 255, (2 * side, 2 * side))
    return np.clip(level, 0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of two years with masks, and two with a box."""
    root = tmp_path_factory.mktemp("pictures")
    for name in ("images", "masks", "boxes"):
        (root / name).mkdir()
    for number in range(6):
        picture, mask = sun(number)
        name = f"aia193_{2014 + number // 4}_05_{number + 1:02d}T00_00_00.png"
        cv2.imwrite(str(root / "images" / name), picture)
        cv2.imwrite(str(root / "masks" / name), mask)
        if number < 2:
            rows, columns = np.nonzero(mask[::2, ::2])
            box = f"<xmin>{columns.min()}</xmin><ymin>{rows.min()}</ymin>"
            box += f"<xmax>{columns.max()}</xmax><ymax>{rows.max()}</ymax>"
            cv2.imwrite(str(root / "boxes" / name), picture)
            text = (
                f"<annotation><object><name>coronal_hole</name><bndbox>{box}</bndbox></object></annotation>"
            )
            (root / "boxes" / name).with_suffix(".xml").write_text(text)
    return root


def options(folder: Path, output: Path, **more: object) -> TrainOptions:
    plain = TrainOptions(
        images=folder / "images",
        masks=folder / "masks",
        event_type="CH",
        preset="tiny",
        steps=6,
        batch=2,
        validate_every=3,
        output=output,
        threads=1,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def test_a_run_logs_resumes_leaves_a_year_out_and_its_onnx_equals_torch(folder: Path, tmp_path: Path) -> None:
    asked = options(folder, tmp_path, leave_out_year=2015)
    train(replace(asked, steps=3))
    assert train(asked) == tmp_path
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [float(row["step"]) for row in rows] == [3, 6] and "dice_CH" in rows[0]
    report = json.loads((tmp_path / "validation.json").read_text())
    assert len(report["pictures"]) == 2 and all("2015" in name for name in report["pictures"])
    assert (tmp_path / "curves.png").exists() and (tmp_path / "samples.jpg").exists()
    network, state = load_network(tmp_path / "checkpoint.pt")
    assert state["step"] == 6
    assert parity(network, tmp_path / "aia_segmentation.onnx") < 1e-4
    model = AiaSegmentation(Runtime(), read_manifest(tmp_path / "manifest.toml"))
    frame = data.read_frame(sorted((folder / "images").iterdir())[0])
    (found,) = model.analyse(frame)  # trained for holes alone
    assert found.event_type is EventType.CORONAL_HOLE and found.probability.shape == (SIDE, SIDE)


def test_other_pictures_are_read_anew_and_the_former_ones_stay_told(folder: Path, tmp_path: Path) -> None:
    train(options(folder, tmp_path / "run", steps=3))
    others = tmp_path / "others"
    for name in ("images", "masks"):
        (others / name).mkdir(parents=True)
        for path in sorted((folder / name).iterdir())[:2]:
            shutil.copy(path, others / name / path.name.replace("aia193_2014", "aia193_2012"))
    train(options(others, tmp_path / "run", steps=6))
    kept = data.load(tmp_path / "run" / f"samples-{PRESETS['tiny'].side}.npz")
    assert [sample.name[:11] for sample in kept] == ["aia193_2012"] * 2
    _, state = load_network(tmp_path / "run" / "checkpoint.pt")
    assert len(state["pictures"]["masks"]) == 8


def test_a_run_that_begins_anew_keeps_no_numbers_of_the_former(folder: Path, tmp_path: Path) -> None:
    train(options(folder, tmp_path, steps=3))
    train(options(folder, tmp_path, steps=3, resume=False, validation_share=0.3))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [float(row["step"]) for row in rows] == [3] and "dice_CH" in rows[0]


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"validate_every": 0}, {"validation_share": 3.0}, {"seed": -1}, {"device": "gpu"}]
)
def test_numbers_that_cannot_train_are_said(folder: Path, tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UnusableInputError, match=next(iter(wrong)).replace("_", "-")):
        train(options(folder, tmp_path / "run", **wrong))


def test_training_on_holes_learns_to_see_them(folder: Path, tmp_path: Path) -> None:
    train(options(folder, tmp_path, steps=60, batch=4, validate_every=60, validation_share=0.3))
    report = json.loads((tmp_path / "validation.json").read_text())
    assert report["validation"]["CH"]["dice"] > 0.5


def test_early_stopping_ends_a_run_that_gets_no_better(folder: Path, tmp_path: Path) -> None:
    still = options(folder, tmp_path, learning_rate=0.0, steps=40, validate_every=1, patience=2)
    train(replace(still, validation_share=0.3))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert len(rows) < 40


def test_boxes_alone_train_and_a_teacher_labels_them(folder: Path, tmp_path: Path) -> None:
    boxed = TrainOptions(
        boxes=folder / "boxes", preset="tiny", steps=2, batch=2, validate_every=2, output=tmp_path / "a"
    )
    train(boxed)
    taught = replace(boxed, teacher=tmp_path / "a/checkpoint.pt", output=tmp_path / "b")
    assert (train(taught) / "aia_segmentation.onnx").exists()


def test_wrong_options_say_what_is_allowed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="small"):
        train(options(folder, tmp_path, preset="huge"))
    with pytest.raises(UnusableInputError, match="2031"):
        train(options(folder, tmp_path, leave_out_year=2031))
    with pytest.raises(UnusableInputError, match="one kind"):
        train(options(folder, tmp_path / "c", event_type="both"))
    with pytest.raises(UnusableInputError, match="nothing to learn"):
        train(options(folder, tmp_path / "d", masks=None, pseudo_labels=False))
    with pytest.raises(ModelError, match="train first"):
        train(options(folder, tmp_path / "e", teacher=tmp_path / "none.pt"))
    with pytest.raises(ModelError, match="thresholds"):
        export(ExportOptions(checkpoint=tmp_path / "none.pt", thresholds_ch="0.3,0.5,0.7"))


def test_a_run_of_another_network_is_not_gone_on_with(folder: Path, tmp_path: Path) -> None:
    train(options(folder, tmp_path, steps=1))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save(state | {"config": PRESETS["small"].to_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match="another network"):
        train(options(folder, tmp_path, steps=2))


def test_a_year_is_left_out_of_outlines_of_both_kinds(folder: Path, tmp_path: Path) -> None:
    outlines = [
        {
            "event_type": kind,
            "event_starttime": f"{year}-05-0{day}T00:00:00",
            "hpc_boundcc": "POLYGON((-300 -300,-300 300,300 300,300 -300,-300 -300))",
            "hpc_coord": "POINT(0 0)",
        }
        for kind in ("CH", "AR")
        for year, day in ((2014, 1), (2015, 5))
    ]
    (tmp_path / "hek.json").write_text(json.dumps({"result": outlines}))
    asked = options(
        folder,
        tmp_path,
        masks=None,
        annotations=tmp_path / "hek.json",
        event_type="both",
        leave_out_year=2015,
    )
    training, validation = load_samples(asked, SIDE)
    years = [{s.date_obs.year for s in part if s.date_obs} for part in (training, validation)]
    assert years == [{2014}, {2015}] and len(validation) >= 2


def test_the_manifest_tells_what_repeats_the_training_and_which_pictures_it_saw(
    folder: Path, tmp_path: Path
) -> None:
    more = {"leave_out_year": 2015, "pseudo_labels": False, "patience": 7, "instrument": "aia-193"}
    train(options(folder, tmp_path, steps=1, **more))
    command = read_manifest(tmp_path / "manifest.toml").training_command
    for words in ("--leave-out-year 2015", "--no-pseudo-labels", "--patience 7", "--validate-every 3"):
        assert words in command
    assert "--images IMAGES --masks MASKS" in command and "--instrument aia-193" in command
    assert "--threads" not in command and str(tmp_path) not in command
    seen = {data.stem_of(path) for path in (folder / "images").glob("*2014*")}
    assert training_pictures(tmp_path) == frozenset(seen)


def test_measuring_pictures_that_trained_the_network_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(options(folder, tmp_path, steps=1, leave_out_year=2015))
    asked = EvaluateOptions(images=folder / "images", masks=folder / "masks", family=tmp_path)
    capsys.readouterr()
    result = evaluate(asked)
    assert result["trained_on"] == {"trained": 4, "pictures": 6}
    assert [one["trained_on"] for one in result["pictures"]] == [True] * 4 + [False] * 2
    assert "4 of 6 pictures trained this network" in capsys.readouterr().err
    evaluate(replace(asked, since="2015-01-01"))
    assert "trained this network" not in capsys.readouterr().err
    manifest = (tmp_path / "manifest.toml").read_text()
    start, end = manifest.index("[training.pictures]"), manifest.index("[training.network]")
    (tmp_path / "manifest.toml").write_text(manifest[:start] + manifest[end:])
    assert evaluate(asked)["trained_on"] is None
    assert "does not tell" in capsys.readouterr().err


def test_pictures_that_cannot_be_used_are_left_out_and_named(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = sorted((folder / "images").iterdir())[0]
    (tmp_path / "aia193_torn.png").write_bytes(good.read_bytes()[:200])
    found = data.unlabelled([good, tmp_path / "aia193_torn.png"], SIDE)
    assert [sample.name for sample in found] == [data.stem_of(good)]
    assert "1 of 2 pictures" in caplog.text and "aia193_torn.png" in caplog.text


def test_a_mask_of_another_aspect_is_refused(folder: Path, tmp_path: Path) -> None:
    name = sorted((folder / "images").iterdir())[0].name
    cv2.imwrite(str(tmp_path / name), np.zeros((256, 200), np.uint8))
    with pytest.raises(UnusableInputError, match="aspect"):
        data.pairs(folder / "images", tmp_path, EventType.CORONAL_HOLE, SIDE)


def test_masks_and_boxes_become_targets_where_they_lie(folder: Path) -> None:
    first = data.pairs(folder / "images", folder / "masks", EventType.CORONAL_HOLE, 128)[0]
    boxed = data.boxed(folder / "boxes", 128)[0]
    mask, grown = first.target[data.CH] > 0.5, boxed.target[data.CH] > 0.5
    assert first.brightness[mask].max() < first.brightness[~mask & (first.weight[data.CH] > 0)].max()
    assert 2 * (mask & grown).sum() > 0.8 * (mask.sum() + grown.sum())
    assert not first.weight[data.AR].any()
    both = data.with_grown_regions(first)
    assert both.weight[data.AR].any() and np.array_equal(both.target[data.CH], first.target[data.CH])


def test_a_teacher_never_contradicts_boxes_and_masks(folder: Path) -> None:
    masked = data.pairs(folder / "images", folder / "masks", EventType.CORONAL_HOLE, SIDE)[0]
    boxed = data.boxed(folder / "boxes", SIDE)[0]
    everywhere = np.ones((SIDE, SIDE), np.float32)
    assert data.with_teacher(masked, everywhere) is masked
    taught = data.with_teacher(boxed, everywhere)
    outside = cv2.dilate(boxed.target[data.CH], np.ones((9, 9), np.uint8)) == 0
    assert not taught.weight[data.CH][outside].any()
    nothing = data.with_teacher(boxed, np.zeros((SIDE, SIDE), np.float32))
    assert np.array_equal(nothing.target[data.CH] > 0.5, boxed.target[data.CH] > 0.5)


def test_samples_are_kept_and_split_by_time(folder: Path, tmp_path: Path) -> None:
    samples = data.pairs(folder / "images", folder / "masks", EventType.CORONAL_HOLE, SIDE)
    data.save(tmp_path / "kept.npz", samples[::-1])
    again = data.load(tmp_path / "kept.npz")
    assert [s.name for s in again] == [s.name for s in samples[::-1]]
    assert np.abs(again[0].brightness - samples[-1].brightness).max() < 2e-3
    earlier, latest = data.split_by_time(again, 0.34)
    assert [s.name for s in earlier + latest] == [s.name for s in samples] and len(latest) == 2


def test_active_regions_grow_from_bright_rough_places_and_not_from_points() -> None:
    random = np.random.default_rng(2)
    value = (0.15 * random.normal(size=(256, 256))).astype(np.float32)
    axis = (np.arange(256) - 127.5) / 118.5
    spot = np.exp(-(((axis[None, :] - 0.4) / 0.12) ** 2 + ((axis[:, None] + 0.3) / 0.1) ** 2))
    value += (2.0 * spot).astype(np.float32)
    value[60:62, 60:62] = 3.0
    found = pseudo.active_regions(value)
    rows, columns = np.nonzero(found)
    assert axis[columns].mean() == pytest.approx(0.4, abs=0.03)
    assert axis[rows].mean() == pytest.approx(-0.3, abs=0.03)
    assert not found[50:70, 50:70].any()
    assert not pseudo.active_regions(np.zeros((256, 256), np.float32)).any()


def test_augmentation_moves_picture_target_and_weight_together(folder: Path) -> None:
    sample = data.pairs(folder / "images", folder / "masks", EventType.CORONAL_HOLE, 128)[0]
    for seed in range(5):
        plane, target, weight = augmented(sample, Augmentation(), np.random.default_rng(seed))
        hole = target[data.CH] > 0.5
        ring = ~hole & (weight[data.CH] > 0.9) & (analysis_grid(128).radius < 0.8)
        assert plane[0][hole].mean() < plane[0][ring].mean() - 0.4
        assert hole.sum() == pytest.approx((sample.target[data.CH] > 0.5).sum(), rel=0.15)
    still = replace(sample, channel=Channel.FE_IX)
    none = Augmentation(False, *[0] * 11)
    plane, target, _ = augmented(still, none, np.random.default_rng(0))
    assert np.allclose(plane[0], sample.brightness, atol=1e-5) and plane[2].min() == 1.0
    assert np.allclose(target, sample.target)


def test_the_scale_of_an_archives_pictures_is_hardly_changed(folder: Path) -> None:
    sample = data.pairs(folder / "images", folder / "masks", EventType.CORONAL_HOLE, 64)[0]
    how = Augmentation(False, 0, 0, contrast_absolute=0, offset_absolute=0, noise=0, limb_crop_share=0,
                       clip_share=0, caption_share=0, blur_share=0)  # fmt: skip
    kept, changed = (
        augmented(replace(sample, is_absolute=is_absolute), how, np.random.default_rng(1))[0][0]
        for is_absolute in (True, False)
    )
    assert np.allclose(kept, sample.brightness, atol=1e-5)
    assert np.abs(changed - sample.brightness).max() > 0.02


def test_the_same_seed_draws_the_same_batch(folder: Path) -> None:
    samples = data.pairs(folder / "images", folder / "masks", EventType.CORONAL_HOLE, SIDE)
    first, again, other = (
        batch_of(samples, shares_of(samples), 3, Augmentation(), (1, step)) for step in (5, 5, 6)
    )
    assert np.array_equal(first.planes, again.planes) and not np.array_equal(first.planes, other.planes)
    assert plain_batch(samples).planes.shape == (6, 3, SIDE, SIDE)


def test_the_published_size_and_the_small_one() -> None:
    full, small = PRESETS["full"], PRESETS["small"]
    assert count_parameters(UNet(full)) == pytest.approx(7.86e6, rel=0.02)
    assert count_operations(small) < 0.1 * count_operations(full)
    assert count_operations(small) < 2.0


@pytest.mark.parametrize("learned", [False, True])
def test_folding_batch_norm_changes_nothing(learned: bool) -> None:
    torch.manual_seed(0)
    network = UNet(replace(PRESETS["tiny"], is_upsampling_learned=learned, exit_convolutions=2))
    network.train()
    given = torch.randn(4, 3, SIDE, SIDE)
    network(given)  # moves the running means away from 0 and 1
    network.eval()
    with torch.no_grad():
        assert torch.allclose(network(given), fold_batch_norm(network)(given), atol=1e-5)


def test_the_loss_ignores_what_nobody_labelled_and_accepts_empty_masks() -> None:
    logits = torch.randn(2, 2, 8, 8)
    target, weight = torch.zeros(2, 2, 8, 8), torch.zeros(2, 2, 8, 8)
    weight[:, 0] = 1.0
    changed = logits.clone()
    changed[:, 1] += 5.0
    assert segmentation_loss(logits, target, weight) == segmentation_loss(changed, target, weight)
    none = torch.full_like(logits, -20.0)
    assert float(segmentation_loss(none, target, weight)) == pytest.approx(0.0, abs=1e-3)


def test_pictures_are_found_however_they_are_packed(tmp_path: Path) -> None:
    names = ["a.fits.fz", "b.fts.gz", "c.FIT", "d.jpeg", "e.jp2", "f.fits.bz2"]
    for name in (*names, "a.xml", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in data.find_pictures(tmp_path)] == names
