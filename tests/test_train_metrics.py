"""Figures whose value is known by hand, and augmentation that keeps what it must."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from edge.contract import LABELS, InputSpec
from train import metrics
from train.augment import Augment, augmented, moved_corners
from train.data import FaceSet

SPEC = InputSpec()
NOTHING = Augment(**{each.name: 0.0 for each in fields(Augment)})


def face() -> np.ndarray:
    rows, columns = np.mgrid[0:48, 0:48]
    return (rows * 3 + columns * 2).astype(np.uint8)


def within_one_level(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal but for rounding: the table of grey levels and warpAffine's fixed point each cut a fraction off."""
    return np.abs(one.astype(int) - other).max() <= 1


def test_augmentation_with_everything_off_changes_nothing():
    np.testing.assert_array_equal(augmented(face(), NOTHING, SPEC, np.random.default_rng(0))[..., 0], face())


def test_a_flip_is_a_mirror_and_never_upside_down():
    mirrored = augmented(face(), replace(NOTHING, flip_share=1.0), SPEC, np.random.default_rng(0))[..., 0]
    assert within_one_level(mirrored, face()[:, ::-1])
    for seed in range(50):
        corners = moved_corners(48, 48, Augment(), np.random.default_rng(seed))
        assert corners[2, 1] > corners[0, 1], "the crop's bottom stays below its top"


@pytest.mark.parametrize(
    "change",
    [
        {"shift": 0.1},
        {"rotate_degrees": 15.0},
        {"zoom": 0.2},
        {"brightness": 40.0},
        {"contrast": 0.4},
        {"gamma": 0.4},
        {"soften_share": 1.0},
        {"noise_share": 1.0, "noise_levels": 20.0},
        {"erase_share": 1.0, "erase_side": 0.4},
    ],
)
def test_each_change_changes_the_face_and_the_same_seed_changes_it_the_same(change):
    how = replace(NOTHING, **change)
    once = augmented(face(), how, SPEC, np.random.default_rng(3))
    np.testing.assert_array_equal(once, augmented(face(), how, SPEC, np.random.default_rng(3)))
    assert np.any(once[..., 0] != face())
    assert once.shape == SPEC.shape
    assert once.dtype == np.uint8


def test_probabilities_sum_to_one_and_sharpen_with_a_low_temperature():
    logits = np.array([[1.0, 2.0, 0.0], [1000.0, 0.0, 0.0]], np.float32)
    scores = metrics.probabilities(logits)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert metrics.probabilities(logits, 0.5)[0, 1] > scores[0, 1] > metrics.probabilities(logits, 2)[0, 1]


def test_the_temperature_that_made_overconfident_logits_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    truth = np.array([rng.choice(5, p=each) for each in metrics.probabilities(logits)])
    assert metrics.best_temperature(logits * 2, truth) == pytest.approx(2, rel=0.1)


def test_calibration_error_of_honest_and_of_boasting_scores():
    truth = np.zeros(100, int)
    half_right = np.tile([0.5, 0.5], (100, 1))
    half_right[:50, 0] += 1e-9
    half_right[50:, 1] += 1e-9
    assert metrics.expected_calibration_error(half_right, truth) == pytest.approx(0, abs=1e-6)
    boasting = np.where(half_right > 0.5, 0.99, 0.01)
    assert metrics.expected_calibration_error(boasting, truth) == pytest.approx(0.49)


def test_the_abstain_threshold_reaches_its_accuracy():
    scores = np.array([[0.9, 0.1]] * 9 + [[0.6, 0.4]] * 10)
    truth = np.array([0] * 9 + [1] * 10)
    assert metrics.abstain_threshold(scores, truth, 0.9) == pytest.approx(0.61)


def test_the_interval_of_wilson_is_the_published_one():
    low, high = metrics.wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_the_report_counts_each_label_and_the_faces_without_copies():
    truth = np.array([0, 0, 3, 3])
    scores = np.eye(len(LABELS))[[0, 3, 3, 3]]
    faces = FaceSet(
        pixels=np.zeros((4, 48, 48), np.uint8),
        votes=np.eye(len(LABELS), dtype=np.float32)[truth],
        majority=truth,
        split=np.full(4, "test"),
        copied=np.array([False, True, False, False]),
        row=np.arange(4),
        source=np.full(4, "fer2013"),
    )
    figures = metrics.report(scores, faces, LABELS)
    assert figures["accuracy"] == 0.75
    assert figures["without_copies"]["accuracy"] == 1.0
    assert figures["per_label"]["angry"]["recall"] == 0.5
    assert figures["per_label"]["happy"]["precision"] == pytest.approx(2 / 3)
    assert figures["per_label"]["fear"]["n"] == 0
    assert figures["balanced_accuracy"] == 0.75
    assert figures["confusion"][0][3] == 1
    assert "| angry | 2 | 1 | 50.0%" in metrics.as_markdown(figures, "t")
    assert json.loads(json.dumps(figures))["confusion"] == figures["confusion"]
