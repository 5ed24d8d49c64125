"""Each change of a training face does what its name says, and only that; the page that shows them."""

import re
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract import InputSpec, crop
from edge.errors import SettingsError, SourceError
from train.augment import STILL, Augment, alone, augmented
from train.data import Face, gathered, trainable
from train.examples import FACES, examples, shown
from train.recipe import Recipe

GREY, RGB = InputSpec(), InputSpec(channels=3)
SPECS = pytest.mark.parametrize("spec", [GREY, RGB], ids=["grey", "rgb"])
CHANGES = tuple(alone(Augment()))


def landscape(seed: int = 3) -> np.ndarray:
    """A grey picture, soft with some detail, that is not like itself turned or mirrored."""
    noise = np.random.default_rng(seed).normal(0, 1, (2, 48, 48)).astype(np.float32)
    soft = 700 * cv2.GaussianBlur(noise[0], (0, 0), 4) + 4 * noise[1] + 128
    return np.clip(soft, 20, 235).astype(np.uint8)


def spot(x: int, y: int) -> np.ndarray:
    """Black, with a white spot of 5 pixels about (x, y)."""
    picture = np.zeros((48, 48), np.uint8)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    return picture


def middle(picture: np.ndarray) -> tuple[float, float]:
    """x and y of what is bright."""
    weight = picture[..., 0].astype(float)
    y, x = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


def changed(how: Augment, picture: np.ndarray, spec: InputSpec = GREY, seed: int = 0) -> np.ndarray:
    return augmented(picture, how, spec, np.random.default_rng(seed))


def only(name: str) -> Augment:
    return alone(Augment())[name][1]


def detail(picture: np.ndarray) -> float:
    return float(cv2.Laplacian(picture[..., 0], cv2.CV_32F).std())


@SPECS
def test_nothing_is_changed_when_all_is_switched_off(spec):
    np.testing.assert_array_equal(changed(STILL, landscape(), spec), crop(landscape(), spec))


def test_still_switches_off_every_change():
    amounts = {"jpeg_quality", "blur_pixels", "noise_levels", "erase_side"}  # of changes whose share is 0
    assert all(getattr(STILL, each.name) == 0 for each in fields(Augment) if each.name not in amounts)


@SPECS
@pytest.mark.parametrize("name", CHANGES)
def test_each_change_gives_a_picture_for_the_network_that_is_another(name, spec):
    face = changed(only(name), landscape(), spec)
    assert (face.shape, face.dtype) == (spec.shape, np.uint8)
    assert (face != crop(landscape(), spec)).mean() > 0.01


@SPECS
def test_the_same_random_numbers_give_the_same_face_and_others_another(spec):
    first, again, other = (changed(Augment(), landscape(), spec, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_colour_picture_keeps_its_colours():
    red = np.zeros((96, 96, 3), np.uint8)
    red[...] = (200, 60, 30)
    how = replace(STILL, jpeg_share=1.0, jpeg_quality=95, blur_share=1.0, soften_share=1.0)
    np.testing.assert_allclose(changed(how, red, RGB)[24, 24], (200, 60, 30), atol=4)


def test_mirrored_is_left_for_right_and_never_top_for_bottom():
    """S13: a face stands upright; one upside down is no face that a camera sees."""
    np.testing.assert_array_equal(changed(only("mirrored"), landscape())[..., 0], landscape()[:, ::-1])
    for seed in range(300):
        x, y = middle(changed(Augment(erase_share=0), spot(24, 12), seed=seed))
        assert y < 24, f"the forehead is at {x:.0f}, {y:.0f} with seed {seed}"


def test_half_of_the_faces_are_mirrored():
    sides = [middle(changed(replace(STILL, flip_share=0.5), spot(10, 24), seed=seed))[0] < 24 for seed in range(400)]
    assert 160 < sum(sides) < 240


def test_shifted_stays_within_its_share_of_the_side_both_ways():
    found = np.array([middle(changed(replace(STILL, shift=0.1), spot(24, 24), seed=seed)) for seed in range(200)]) - 24
    assert np.abs(found).max() <= 4.8 + 0.5
    assert (found.min(axis=0) < -3).all() and (found.max(axis=0) > 3).all()


def test_rotated_turns_about_the_middle_within_its_degrees_both_ways():
    found = [middle(changed(replace(STILL, rotate_degrees=20.0), spot(40, 24), seed=seed)) for seed in range(200)]
    degrees = np.degrees([np.arctan2(y - 23.5, x - 23.5) for x, y in found])
    lengths = [np.hypot(x - 23.5, y - 23.5) for x, y in found]
    np.testing.assert_allclose(lengths, 16.5, atol=0.7)
    assert -22 < degrees.min() < -15 and 15 < degrees.max() < 23


def test_zoomed_makes_the_face_larger_and_smaller_about_the_middle():
    found = np.array([middle(changed(replace(STILL, zoom=0.2), spot(36, 24), seed=seed)) for seed in range(200)])
    distance = found[:, 0] - 23.5
    assert 12.5 / 1.2 - 0.6 < distance.min() < 11.5 and 14 < distance.max() < 12.5 / 0.8 + 0.6
    np.testing.assert_allclose(found[:, 1], 24, atol=0.7)


def test_sheared_pushes_top_and_bottom_apart_sideways():
    how = replace(STILL, shear=0.3)
    moved = []
    for seed in range(50):
        (top, high), (bottom, low) = (middle(changed(how, spot(24, y), seed=seed)) for y in (6, 42))
        moved.append(top - bottom)
        np.testing.assert_allclose((high, low), (6, 42), atol=0.7)
    assert min(moved) < -7 and max(moved) > 7


@pytest.mark.parametrize(
    ("name", "setting"),
    [("brightness", {"brightness": 40.0}), ("contrast", {"contrast": 0.3}), ("gamma", {"gamma": 0.3})],
)
def test_light_changes_both_ways_and_keeps_the_order_of_the_grey_levels(name, setting):
    ramp = np.tile(np.linspace(60, 190, 48).astype(np.uint8), (48, 1))
    results = [changed(replace(STILL, **setting), ramp, seed=seed)[24, :, 0].astype(int) for seed in range(100)]
    assert all((np.diff(each) >= 0).all() for each in results)
    measure = np.std if name == "contrast" else np.mean
    values = [measure(each) for each in results]
    assert min(values) < measure(ramp[0]) * 0.93 < measure(ramp[0]) * 1.07 < max(values)


def test_a_dark_room_leaves_a_quarter_to_three_quarters_of_the_light():
    white = np.full((48, 48), 200, np.uint8)
    levels = [changed(only("dark room"), white, seed=seed).mean() for seed in range(200)]
    assert 50 <= min(levels) < 65 and 135 < max(levels) <= 150


@pytest.mark.parametrize("name", ["out of focus", "small, then enlarged"])
def test_detail_is_lost_but_the_light_stays(name):
    picture = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    for seed in range(20):
        face = changed(only(name), picture, seed=seed)
        assert detail(face) < 0.95 * detail(picture[..., np.newaxis])
        assert abs(float(face.mean()) - float(picture.mean())) < 3


def test_blur_grows_with_the_side_so_that_a_large_input_is_as_blurred_as_a_small_one():
    how = replace(STILL, blur_share=1.0, blur_pixels=2.0)
    picture = np.kron(np.random.default_rng(0).integers(0, 256, (24, 24), np.uint8), np.ones((8, 8), np.uint8))
    spreads = []
    for side in (48, 96, 192):
        spec = InputSpec(side=side)
        spreads.append(changed(how, picture, spec, seed=5).std() / crop(picture, spec).std())
    np.testing.assert_allclose(spreads, spreads[0], rtol=0.05)


def test_noise_has_at_most_the_strength_asked_for_and_no_drift():
    grey = np.full((48, 48), 128, np.uint8)
    noises = [changed(replace(STILL, noise_share=1.0, noise_levels=10.0), grey, seed=seed) for seed in range(100)]
    strengths = [each.std() for each in noises]
    assert max(strengths) < 10.8 and min(strengths) < 2 < 8 < max(strengths)
    assert np.mean([each.mean() for each in noises]) == pytest.approx(128, abs=0.3)


def test_a_worse_jpeg_quality_changes_more():
    picture = landscape()
    errors = []
    for quality in (95, 5):
        how = replace(STILL, jpeg_share=1.0, jpeg_quality=quality)
        results = [changed(how, picture, seed=seed).astype(int) for seed in range(20)]
        errors.append(max(np.abs(each[..., 0] - picture).mean() for each in results))
    assert 0 < errors[0] < errors[1] / 3


@SPECS
def test_a_part_is_hidden_by_a_rectangle_of_one_grey_anywhere_in_the_face(spec):
    hidden = np.zeros((48, 48), int)
    for seed in range(300):
        face = changed(only("partly hidden"), landscape(), spec, seed)
        other = (face != crop(landscape(), spec)).any(axis=-1)
        hidden += other
        assert other.sum() <= (0.35 * 48) ** 2
        assert len(np.unique(face[other])) <= 1
    assert hidden.any(axis=0).all() and hidden.any(axis=1).all(), "also the first and last row and column"


def test_a_share_is_how_many_faces_have_the_change():
    how = replace(STILL, dark_share=0.25)
    dark = [changed(how, landscape(), seed=seed).mean() < 0.9 * landscape().mean() for seed in range(400)]
    assert 70 < sum(dark) < 130


def test_noise_comes_after_the_dark_and_jpeg_after_the_noise():
    """A sensor's noise does not fade with the light; blocks of a file are not blurred by the lens."""
    black = np.zeros((48, 48), np.uint8)
    black[:, 24:] = 200
    how = replace(STILL, dark_share=1.0, noise_share=1.0, noise_levels=60.0, blur_share=1.0, blur_pixels=4.0)
    clean, noisy_last = changed(replace(how, noise_share=0), black, seed=7), changed(how, black, seed=7)
    assert detail(noisy_last) > 5 * detail(clean), "neither dark nor blur took the noise away"
    compressed = changed(replace(how, jpeg_share=1.0, jpeg_quality=1), black, seed=7)
    assert detail(compressed) < detail(noisy_last)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("flip_share", 1.5),
        ("rotate_degrees", 180.0),
        ("shift", -0.1),
        ("jpeg_quality", 0),
        ("jpeg_quality", 96),
        ("erase_side", 1.1),
        ("zoom", float("nan")),
    ],
)
def test_a_setting_outside_its_range_is_refused_in_one_line(setting, value):
    with pytest.raises(SettingsError, match=f"augment.{setting} = {value}: expected .* to") as refused:
        Augment(**{setting: value})
    assert "\n" not in str(refused.value)


def test_the_largest_settings_still_give_a_picture():
    how = Augment(shift=0.5, rotate_degrees=45, zoom=0.5, shear=0.5, erase_share=1, erase_side=1, blur_share=1)
    for seed in range(50):
        assert changed(how, landscape(), RGB, seed).shape == (48, 48, 3)


def folder_of_patterns(folder: Path) -> Path:
    """A data set of generated pictures in published form: <split>/<label>/*.png."""
    for split in ("train", "validation", "test"):
        for number, label in enumerate(("happy", "sad", "neutral")):
            place = folder / split / label
            place.mkdir(parents=True)
            for each in range(3):
                cv2.imwrite(str(place / f"{each}.png"), landscape(seed=100 * len(split) + 10 * number + each))
    return folder


def test_the_page_shows_each_change_and_all_together_and_needs_nothing_beside_it(tmp_path):
    page = examples([folder_of_patterns(tmp_path / "data")], tmp_path / "out", Recipe(mixup=0.2))
    text = page.read_text()
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert [title.split(" (")[0] for title in titles[1:15]] == list(CHANGES)
    assert titles[15:17] == ["mixup (alpha 0.2)", "cutmix (not in this recipe)"] and titles[-1] == "all together"
    assert text.count("data:image/png;base64,") == len(titles) * FACES
    assert not re.search('<script|https?:|src="(?!data:)', text)
    assert "prefers-color-scheme: dark" in text


def test_the_page_is_the_same_each_time(tmp_path):
    data = folder_of_patterns(tmp_path / "data")
    first, second = (examples([data], tmp_path / name).read_text() for name in ("a", "b"))
    assert first == second


def test_faces_of_all_labels_are_shown_before_a_second_of_one():
    names = ["happy"] * 50 + ["sad", "fear"]
    faces = trainable(gathered([Face(landscape(i), str(i), name, "train") for i, name in enumerate(names)], "made", ""))
    assert {"sad", "fear"} <= set(shown(faces, np.random.default_rng(0)).name)


def test_a_data_set_without_training_faces_has_no_page(tmp_path):
    data = folder_of_patterns(tmp_path / "data")
    for split in ("train",):
        for each in (data / split).rglob("*.png"):
            cv2.imwrite(str(each), np.zeros((48, 48), np.uint8))  # blank: nothing to train on
    with pytest.raises(SourceError, match="no faces to train on"):
        examples([data], tmp_path / "out")
