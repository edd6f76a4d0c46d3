"""The second look through the stars: what counts as one, what their lack says, and when nothing is said."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.aurora import stars, stars_training
from models.aurora.inference import AuroraModel
from models.aurora.preparation import GRID, lay_out
from models.aurora.stars import Counted, StarLook
from models.registry import load, read_manifest
from models.runtime import Runtime
from models.simulate.allsky import photograph
from models.simulate.allsky_cameras import TRAINING_KINDS, Camera
from models.simulate.allsky_night import night_camera
from models.simulate.allsky_sampling import random_stars, with_fainter_stars
from models.simulate.allsky_scene import Deck, Moon, Scene
from observatory.analysis import SkyFacts
from observatory.fisheye import Fisheye, Projection
from observatory.frame import Frame, RowOrder

SIDE = 400
CIRCLE = Fisheye(199.5, 199.5, 195.0)
LOOK = StarLook(
    -0.4,
    -0.25,
    {"bias": 0.0, "logit": 1.0, "expected": 0.0, "ratio": 0.0, "ratio_expected": -1.0, "logit_expected": 0.0},
)
SEEN = np.where(stars.zenith_deg() < 90, 1.0, 0.0)


def sky_of(places: list[tuple[float, float]], light: float = 500.0) -> np.ndarray:
    """A noisy sky with stars at places (x, y)."""
    pixels = np.random.default_rng(2).normal(1000, 5, (SIDE, SIDE))
    rows, columns = np.indices((SIDE, SIDE))
    for x, y in places:
        pixels += light * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.0**2))
    return pixels.astype(np.uint16)


def frame_of(pixels: np.ndarray, mask: np.ndarray | None = None) -> Frame:
    return Frame(pixels, "allsky", RowOrder.TOP, sky_mask=mask)


def strewn(count: int = 300, left_share: float = 1.0) -> list[tuple[float, float]]:
    """Places over the sky, in the left half only so many of them."""
    random = np.random.default_rng(5)
    found: list[tuple[float, float]] = []
    while len(found) < count:
        x, y = random.uniform(10, SIDE - 10, 2)
        near = any(np.hypot(x - a, y - b) < 9 for a, b in found)
        if np.hypot(x - 199.5, y - 199.5) < 185 and not near and (x > 199.5 or random.random() < left_share):
            found.append((x, y))
    return found


def test_every_star_is_counted_once_where_it_stands() -> None:
    where = (np.array(strewn(200)) - 4.5) / 390 * GRID
    is_inside = (np.abs(where - np.round(where)) > 0.04).all(axis=1)  # not on the line between two cells
    where = where[is_inside]
    counted = stars.count(frame_of(sky_of([(x, y) for x, y in where / GRID * 390 + 4.5])), CIRCLE)
    expected = np.zeros((GRID, GRID))
    np.add.at(expected, (where[:, 1].astype(int), where[:, 0].astype(int)), 1)
    np.testing.assert_array_equal(counted.found, expected)


@pytest.mark.parametrize("projection", list(Projection))
def test_stars_fall_into_the_cells_of_the_square_whatever_the_lens(projection: Projection) -> None:
    lens = replace(CIRCLE, projection=projection, max_zenith_deg=85.0, up_azimuth_deg=33.0, is_oriented=True)
    for place in ((120.0, 250.0), (290.0, 180.0), (210.0, 60.0)):
        pixels = sky_of([place], light=20000.0)
        bright = lay_out(pixels, lens).pixels
        row, column = (
            index * GRID // bright.shape[0] for index in np.unravel_index(bright.argmax(), bright.shape)
        )
        found = stars.count(frame_of(pixels), lens).found
        assert found[row, column] == 1
        assert found.sum() == 1


def test_hot_pixels_edges_trails_and_rims_are_no_stars() -> None:
    pixels = sky_of([]).astype(float)
    rows, columns = np.indices(pixels.shape)
    pixels[rows > 330] += 800.0
    pixels += 300.0 * np.exp(-((rows - 0.7 * columns - 20) ** 2) / 2.0)
    pixels += 400.0 * np.exp(-((np.hypot(columns - 199.5, rows - 199.5) - 120) ** 2) / 2.0)
    pixels = pixels.astype(np.uint16)
    hot = np.random.default_rng(1).integers(30, 300, (40, 2))
    pixels[hot[:, 0], hot[:, 1]] += 3000
    counted = stars.count(frame_of(pixels), CIRCLE)
    assert counted.found.sum() <= 4  # where lines cross


def test_what_a_mask_hides_is_not_counted() -> None:
    mask = np.ones((SIDE, SIDE), bool)
    mask[:, :200] = False
    places = strewn(150)
    counted = stars.count(frame_of(sky_of(places), mask), CIRCLE)
    assert counted.found.sum() == sum(x > 199.5 for x, _ in places)


def test_colour_signed_and_floating_point_skies_count_alike() -> None:
    pixels = sky_of(strewn(150))
    whole = stars.count(frame_of(pixels), CIRCLE).found
    colour = np.repeat(pixels[..., None], 3, axis=2)
    for other in (colour, colour.astype(np.int16), colour.astype(">u2")):
        np.testing.assert_array_equal(stars.count(frame_of(other), CIRCLE).found, whole)
    real = pixels.astype(np.float32) / 65535
    real[:20, :20] = np.nan
    np.testing.assert_array_equal(stars.count(frame_of(real), CIRCLE).found, whole)


def test_missing_stars_make_a_cell_cloudier_and_stars_make_it_clearer() -> None:
    frame = frame_of(sky_of(strewn(400, left_share=0.1)))
    said = np.full((GRID, GRID), 0.5, np.float32)
    found = LOOK.refined(said, frame, CIRCLE, SEEN)
    high = stars.zenith_deg() < 60
    left = high & (np.arange(GRID) < 6)
    right = high & (np.arange(GRID) > 9)
    assert found[left].min() > 0.7
    assert found[right].mean() < 0.55
    np.testing.assert_array_equal(found[stars.zenith_deg() > 80], 0.5)


def test_how_many_are_expected_does_not_depend_on_the_clouded_part() -> None:
    clear = Counted(np.where(SEEN > 0, 4.0, 0.0), np.zeros((GRID, GRID)))
    clouded = replace(clear, found=np.where(np.arange(GRID) < 7, 0.0, clear.found))
    whole, part = (stars.compare(each, SEEN, 0.0, 0.0) for each in (clear, clouded))
    assert whole is not None and part is not None
    inner = stars.zenith_deg() < 60
    np.testing.assert_allclose(part.expected[inner], whole.expected[inner], rtol=0.15)
    assert part.found[7, 3] == 0


@pytest.mark.parametrize(
    ("pixels", "circle"),
    [
        (sky_of([]), CIRCLE),
        (sky_of(strewn(20)), CIRCLE),
        (sky_of(strewn(300)), replace(CIRCLE, radius_px=140.0)),
        (sky_of(strewn(300)), replace(CIRCLE, radius_y_px=100.0)),
        ((sky_of(strewn(300)) // 8).astype(np.uint8), CIRCLE),
        (np.full((SIDE, SIDE), 7, np.uint16), CIRCLE),
        (np.full((SIDE, SIDE), np.nan, np.float32), CIRCLE),
        (np.zeros((40, 40), np.uint16), replace(CIRCLE, center_x_px=20.0, center_y_px=20.0)),
    ],
    ids=[
        "no stars",
        "few stars",
        "small",
        "squeezed",
        "8 bits",
        "one number",
        "nothing known",
        "far beyond the picture",
    ],
)
def test_without_stars_to_look_at_the_network_is_taken_at_its_word(
    pixels: np.ndarray, circle: Fisheye
) -> None:
    said = np.random.default_rng(3).random((GRID, GRID)).astype(np.float32)
    np.testing.assert_array_equal(LOOK.refined(said, frame_of(pixels), circle, SEEN), said)


def test_fainter_stars_keep_the_law_of_the_brighter_ones() -> None:
    few = random_stars(np.random.default_rng(1))
    many = with_fainter_stars(few, np.random.default_rng(2), 7.2)
    np.testing.assert_array_equal(many.magnitudes[: len(few.magnitudes)], few.magnitudes)
    brighter, fainter = ((many.magnitudes < limit).sum() for limit in (5.0, 7.0))
    assert fainter / brighter == pytest.approx(10.0, rel=0.15)  # two magnitudes
    assert with_fainter_stars(few, np.random.default_rng(2), 5.2).magnitudes.size == few.magnitudes.size


@pytest.fixture(scope="module")
def deep() -> Camera:
    camera = night_camera(next(kind for kind in TRAINING_KINDS if kind.name == "big-grey-ccd"), 1, 512)
    return replace(camera, electrons=2e4, full_well=1e6)


def taken(deep: Camera, *decks: Deck) -> Frame:
    """A sky full of stars under a low Moon."""
    random = np.random.default_rng(4)
    up = with_fainter_stars(random_stars(random), random, 7.2)
    scene = Scene(-40.0, 0.0, up, Moon(10.0, 140.0, 0.9), decks=decks)
    return frame_of(photograph(scene, deep, np.random.default_rng(5)).pixels)


def test_an_even_veil_that_only_the_stars_tell_is_found_and_a_clear_sky_stays_clear(deep: Camera) -> None:
    model = AuroraModel(Runtime())
    alone = AuroraModel(Runtime(), replace(model.description, parameters={"unsure": 0.6}))
    veil = Deck(3.0, 1.0, 1.6, 1.0, 60.0, 1.0, 0.0, (0.0, 0.0), 5, relief=0.02, lean=1.0, lean_deg=90.0)
    looks = {
        words: [each.look(frame, deep.circle, SkyFacts()) for each in (alone, model)]
        for words, frame in (("clear", taken(deep)), ("veiled", taken(deep, veil)))
    }
    covers = {words: [look.sky.cloud_cover for look in pair] for words, pair in looks.items()}
    assert covers["clear"] == [0.0, 0.0]
    assert covers["veiled"][0] < 0.05
    assert covers["veiled"][1] > 0.2
    cloud = looks["veiled"][1].cloud
    assert cloud is not None
    half = GRID // 2  # the veil is thicker in the east, which is left
    assert np.nanmean(cloud[:, :half]) > np.nanmean(cloud[:, half:]) + 0.1
    for before, after in looks.values():
        assert after.sky.probabilities == before.sky.probabilities
        np.testing.assert_array_equal(after.sky.features, before.sky.features)


def test_the_fit_is_written_into_the_manifest_and_read_from_it(tmp_path: Path) -> None:
    shipped = load("aurora")
    for name in ("manifest.toml", shipped.path.name):
        shutil.copy(shipped.path.with_name(name), tmp_path / name)
    network = read_manifest(tmp_path / "manifest.toml")
    for _ in range(2):
        stars_training.install(LOOK, network, "9.9.9")
    read = read_manifest(tmp_path / "manifest.toml")
    assert read.version == "9.9.9"
    assert StarLook.from_dict(read.parameters["stars"]) == LOOK
    assert {**read.parameters, "stars": None} == {**shipped.parameters, "stars": None}


def test_a_fit_says_what_it_measured(tmp_path: Path) -> None:
    said = stars_training.main(["--frames", "24", "--processes", "1", "--keep", str(tmp_path)])
    assert set(said["fitted"]) == {"noise", "airmass", *stars.TERMS}
    assert said["fitted"]["airmass"] < 0
    report = said["training"]
    assert report["skies"] == 24
    counted = [report[kind]["with_stars"] for kind in ("nights", "single scenes")]
    assert 0 < sum(counted) <= 24
    assert all(0.5 < share <= 1 for kind in ("nights", "single scenes") for share in report[kind]["cells"])
    again = stars_training.main(["--frames", "24", "--processes", "1", "--keep", str(tmp_path)])
    assert again == said
