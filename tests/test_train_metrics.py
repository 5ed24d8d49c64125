"""Figures whose value is known by hand: accuracy, intervals, calibration, abstaining, robustness; and their pages."""

import json

import cv2
import numpy as np
import pytest

from edge.contract import FER2013_LABELS, LABELS, grouped
from edge.errors import SourceError
from train import metrics, plots, robustness, tables
from train.data import Face, FaceSet, gathered

HAPPY, NEUTRAL, CONTEMPT = LABELS.index("happy"), LABELS.index("neutral"), LABELS.index("contempt")


def faces_of(names, source="made", **columns) -> FaceSet:
    """Faces with these labels, all different, in the validation split."""
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (len(names), 48, 48), np.uint8)
    made = [
        Face(picture, str(i), name, "validation") for i, (picture, name) in enumerate(zip(pictures, names, strict=True))
    ]
    return FaceSet(**(vars(gathered(made, source, "none")) | columns))


def answers(*names, labels=LABELS, confidence=1.0) -> np.ndarray:
    """(n, labels) scores of a model that gives these answers with this confidence."""
    scores = np.full((len(names), len(labels)), (1 - confidence) / (len(labels) - 1))
    for row, name in enumerate(names):
        scores[row, labels.index(name)] = confidence
    return scores


def test_probabilities_sum_to_one_and_sharpen_with_a_low_temperature():
    logits = np.array([[1.0, 2.0, 0.0], [1000.0, 0.0, 0.0]], np.float32)
    scores = metrics.probabilities(logits)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert metrics.probabilities(logits, 0.5)[0, 1] > scores[0, 1] > metrics.probabilities(logits, 2)[0, 1]


def honest(faces: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of five labels, and truths drawn by the probabilities that they say."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (faces, 5)).astype(np.float32)
    edges = metrics.probabilities(logits).cumsum(axis=1)
    return logits, (rng.random((faces, 1)) > edges).sum(axis=1).clip(max=4)


def test_an_honest_model_has_hardly_a_calibration_error_and_needs_no_temperature():
    logits, truth = honest(20_000)
    assert metrics.expected_calibration_error(metrics.probabilities(logits), truth) < 0.015
    assert metrics.best_temperature(logits, truth) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.5])
def test_the_temperature_that_spoiled_the_logits_is_found_and_mends_them(factor):
    logits, truth = honest(20_000)
    spoiled = metrics.expected_calibration_error(metrics.probabilities(logits * factor), truth)
    found = metrics.best_temperature(logits * factor, truth)
    assert found == pytest.approx(factor, rel=0.05)
    assert metrics.expected_calibration_error(metrics.probabilities(logits * factor, found), truth) < 0.015 < spoiled


def test_no_other_temperature_is_likelier_than_the_best():
    logits, truth = honest(300)
    tried = {each: metrics.probabilities(logits, each) for each in np.linspace(0.3, 5, 2000)}
    losses = {each: metrics.negative_log_likelihood(scores, truth) for each, scores in tried.items()}
    assert metrics.best_temperature(logits, truth) == pytest.approx(min(losses, key=losses.get), abs=0.003)


def test_the_temperature_stays_in_its_bounds_where_no_one_is_best():
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert metrics.best_temperature(logits, np.array([0, 1, 2, 0])) == pytest.approx(0.3, abs=0.001)
    assert metrics.best_temperature(logits, np.array([1, 2, 0, 1])) == pytest.approx(5, abs=0.001)


def test_calibration_error_of_honest_and_of_boasting_scores():
    truth = np.zeros(100, int)
    half_right = np.tile([0.5, 0.5], (100, 1))
    half_right[:50, 0] += 1e-9
    half_right[50:, 1] += 1e-9
    assert metrics.expected_calibration_error(half_right, truth) == pytest.approx(0, abs=1e-6)
    boasting = np.where(half_right > 0.5, 0.99, 0.01)
    assert metrics.expected_calibration_error(boasting, truth) == pytest.approx(0.49)


def test_the_bins_of_a_reliability_diagram_hold_every_face_once():
    scores = np.array([[0.55, 0.45], [0.95, 0.05], [0.94, 0.06], [1.0, 0.0]])
    bins = metrics.reliability(scores, np.array([0, 0, 1, 0]), bins=10)
    assert [(each["from"], each["n"]) for each in bins] == [(0.5, 1), (0.9, 3)]
    assert bins[1]["accuracy"] == pytest.approx(2 / 3)
    assert bins[1]["confidence"] == pytest.approx((0.95 + 0.94 + 1) / 3)


def test_the_area_under_the_risk_coverage_curve_is_that_of_a_count_by_hand():
    scores = np.array([[0.7, 0.3], [0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    found = metrics.risk_coverage(scores, np.array([0, 0, 1, 0]))
    assert found["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    by_coverage = {each["coverage"]: each for each in found["points"]}
    assert by_coverage[0.25]["accuracy"] == 1.0 and by_coverage[0.25]["confidence"] == 0.9
    assert by_coverage[0.5]["accuracy"] == 0.5 and by_coverage[0.5]["n"] == 2
    assert by_coverage[1.0]["accuracy"] == 0.75


def test_equally_sure_answers_count_alike_whatever_their_order():
    scores = np.tile([0.8, 0.2], (4, 1))
    for truth in ([0, 0, 0, 1], [1, 0, 0, 0]):
        found = metrics.risk_coverage(scores, np.array(truth))
        assert found["aurc"] == pytest.approx(0.25)
        assert {each["accuracy"] for each in found["points"]} == {0.75}


def test_the_abstain_threshold_reaches_its_accuracy():
    scores = np.array([[0.9, 0.1]] * 9 + [[0.6, 0.4]] * 10)
    truth = np.array([0] * 9 + [1] * 10)
    assert metrics.abstain_threshold(scores, truth, 0.9) == pytest.approx(0.61)
    assert metrics.answered(scores, truth, 0.61) == {"threshold": 0.61, "answered": 9 / 19, "accuracy": 1.0}
    assert metrics.answered(scores, truth, 0.95) == {"threshold": 0.95, "answered": 0.0, "accuracy": 0.0}
    assert metrics.abstain_threshold(scores, 1 - truth, 0.9) == pytest.approx(0.95), "where nothing is enough"


def test_the_interval_of_wilson_is_the_published_one():
    low, high = metrics.wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert metrics.wilson(0, 0) == (0.0, 1.0)


def test_the_report_counts_each_label_and_the_faces_without_copies():
    faces = faces_of(["angry", "angry", "happy", "happy"], copied=np.array([False, True, False, False]))
    figures = metrics.report(answers("angry", "happy", "happy", "happy"), faces, LABELS)
    assert (figures["n"], figures["accuracy"], figures["left_out"]) == (4, 0.75, {})
    assert figures["interval_95"] == metrics.wilson(3, 4)
    assert (figures["without_copies"]["n"], figures["without_copies"]["accuracy"]) == (3, 1.0)
    happy = figures["per_label"]["happy"]
    assert (happy["n"], happy["hits"], happy["named"], happy["recall"]) == (2, 2, 3, 1.0)
    assert happy["precision"] == pytest.approx(2 / 3) and happy["precision_interval_95"] == metrics.wilson(2, 3)
    assert happy["f1"] == pytest.approx(0.8)
    assert figures["per_label"]["fear"]["n"] == 0
    assert figures["balanced_accuracy"] == 0.75, "labels without faces do not count"
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert figures["confusion"][LABELS.index("angry")][HAPPY] == 1
    assert json.loads(json.dumps(figures))["confusion"] == figures["confusion"]


def test_each_data_set_of_a_merge_has_figures_of_its_own():
    """T13: both sets are measured, not the first twice."""
    source = np.array(["one", "one", "two"])
    faces = faces_of(["angry", "happy", "happy"], source=source)
    figures = metrics.report(answers("angry", "happy", "sad"), FaceSet(**(vars(faces) | {"source": source})), LABELS)
    assert {name: (each["n"], each["accuracy"]) for name, each in figures["sources"].items()} == {
        "one": (2, 1.0),
        "two": (1, 0.0),
    }
    page = metrics.as_markdown(figures, "t")
    assert "| of one alone | 2 | 100.0%" in page and "| of two alone | 1 | 0.0%" in page


def test_faces_are_judged_by_the_truth_that_is_asked_for():
    faces = faces_of(["angry", "angry"])
    voted = FaceSet(**(vars(faces) | {"majority": np.array([HAPPY, -1])}))
    by_label = metrics.report(answers("angry", "angry"), voted, LABELS, "label")
    by_votes = metrics.report(answers("angry", "angry"), voted, LABELS, "votes")
    assert (by_label["truth"], by_label["n"], by_label["accuracy"]) == ("label", 2, 1.0)
    assert (by_votes["truth"], by_votes["n"], by_votes["accuracy"]) == ("votes", 1, 0.0)
    assert by_votes["left_out"] == {"none": 1}


def test_labels_in_another_order_give_the_same_figures():
    """T03: what a column means is told by its name, not by its number."""
    names = ["angry", "happy", "contempt", "sad"]
    faces, scores = faces_of(names), answers("angry", "sad", "contempt", "sad", confidence=0.6)
    turned = tuple(reversed(LABELS))
    one, other = metrics.report(scores, faces, LABELS), metrics.report(scores[:, ::-1], faces, turned)
    assert one["macro_f1"] == pytest.approx(other["macro_f1"])
    assert one["accuracy"] == other["accuracy"] == 0.75
    assert one["per_label"] == other["per_label"]
    assert one["views"]["7 labels"]["per_label"] == other["views"]["7 labels"]["per_label"]


def test_seven_labels_are_the_eight_without_contempt_and_its_faces():
    scores = np.zeros((3, len(LABELS)))
    scores[0, [CONTEMPT, HAPPY, NEUTRAL]] = 0.5, 0.3, 0.2  # contempt is not to be had: happy
    scores[1, CONTEMPT] = 1.0  # nothing is left of it
    scores[2, NEUTRAL] = 1.0
    seven = metrics.report(scores, faces_of(["happy", "contempt", "neutral"]), LABELS)["views"]["7 labels"]
    assert (seven["n"], seven["accuracy"], tuple(seven["labels"])) == (2, 1.0, FER2013_LABELS)
    np.testing.assert_allclose(metrics.restricted(scores[:1], LABELS, FER2013_LABELS)[0, [HAPPY, NEUTRAL]], [0.6, 0.4])


def test_a_model_of_seven_labels_is_not_judged_by_faces_of_contempt():
    faces = faces_of(["contempt", "happy"])
    figures = metrics.report(answers("happy", "happy", labels=FER2013_LABELS), faces, FER2013_LABELS)
    assert (figures["n"], figures["accuracy"], figures["left_out"]) == (1, 1.0, {"contempt": 1})
    assert list(figures["views"]) == ["3 groups"]


def test_three_groups_are_the_sums_that_the_device_makes():
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(len(LABELS)), 20)
    by_device = [list(grouped(dict(zip(LABELS, each, strict=True))).values()) for each in scores]
    np.testing.assert_allclose(metrics.in_groups(scores, LABELS), by_device)
    figures = metrics.report(answers("angry", "surprise", "happy"), faces_of(["sad", "neutral", "neutral"]), LABELS)
    groups = figures["views"]["3 groups"]
    assert groups["accuracy"] == pytest.approx(2 / 3) and figures["accuracy"] == 0
    assert [groups["per_label"][each]["n"] for each in ("positive", "neutral", "negative")] == [0, 2, 1]


def test_no_face_to_judge_is_said():
    with pytest.raises(SourceError, match=r"2 faces to judge, none with a truth \(votes\) among angry"):
        metrics.report(answers("happy", "sad"), faces_of(["bored", ""]), LABELS)


def test_the_page_tells_headline_protocol_and_each_label(tmp_path):
    faces = faces_of(["angry", "angry", "happy", "happy", "bored"], copied=np.array([False, True, False, False, False]))
    figures = metrics.report(answers("angry", "happy", "happy", "happy", "sad", confidence=0.9), faces, LABELS)
    figures["abstain"] = {"threshold": 0.5, "answered": 1.0, "accuracy": 0.75}
    metrics.write(figures, tmp_path / "new" / "m 0.1.0", "A model")
    assert json.loads((tmp_path / "new" / "m 0.1.0.json").read_text())["n"] == 4
    page = (tmp_path / "new" / "m 0.1.0.md").read_text()
    lines = page.splitlines()
    assert lines[0] == "# A model"
    assert lines[2].startswith("Accuracy **75.00%** (n = 4, 95 % interval 30.1% to 95.4%); without copies of training")
    assert "1 without one" in page and "strict majority" in page
    assert "| angry | 2 | 1 | 50.0% (9.5% to 90.5%) | 1 | 100.0%" in page
    assert "| fear | 0 | 0 |  | 0 |  |  |" in page
    assert "below a confidence of 0.50, 100.0% of the faces get an answer, and 75.0%" in page
    assert (tmp_path / "new" / "m 0.1.0.png").read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "new").glob("*robustness*"))


def test_every_kind_of_change_gets_worse_with_its_strength_and_is_the_same_for_the_same_seed():
    rng = np.random.default_rng(2)
    pixels = np.stack([cv2.GaussianBlur(rng.integers(0, 256, (48, 48), np.uint8), (0, 0), 1) for _ in range(8)])
    for kind, each in robustness.CORRUPTIONS.items():
        changed = [robustness.corrupted(pixels, kind, strength, 1) for strength in each.strengths]
        assert all(some.shape == pixels.shape and some.dtype == np.uint8 for some in changed)
        by_strength = [np.abs(some.astype(int) - pixels).mean() for some in changed]
        assert 0 < by_strength[0] < by_strength[1] < by_strength[2], kind
        again = robustness.corrupted(pixels, kind, each.strengths[2], 1)
        np.testing.assert_array_equal(again, changed[2])


def test_changes_do_what_their_names_say():
    rng = np.random.default_rng(0)
    flat = np.full((48, 48), 200, np.uint8)
    assert np.unique(robustness.darkened(flat, 25, rng)).tolist() == [50]
    for change, strength in ((robustness.blurred, 2), (robustness.small, 24), (robustness.tilted, 20)):
        np.testing.assert_array_equal(change(flat, strength, rng), flat)
    hidden = robustness.hidden(flat, 25, rng) != 200
    assert hidden.sum() == 24 * 24 and hidden.any(axis=0).sum() == 24
    assert robustness.noisy(flat, 10, rng).std() == pytest.approx(10, rel=0.1)
    dots = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (24, 24))
    assert np.unique(robustness.small(dots, 24, rng)).tolist() == [128], "at 24 pixels each holds four dots"
    bar = np.zeros((48, 48), np.uint8)
    bar[:, 22:26] = 255
    left_or_right = {int(robustness.tilted(bar, 20, rng)[4].argmax()) < 24 for _ in range(20)}
    assert left_or_right == {True, False}


def by_brightness(pixels: np.ndarray) -> np.ndarray:
    """A model that calls bright faces happy, dark ones sad."""
    return answers(*["happy" if face.mean() > 100 else "sad" for face in pixels])


def test_a_model_that_reads_the_light_fails_in_the_dark_only(tmp_path):
    faces = faces_of(["happy"] * 6 + ["sad"] * 6 + ["bored"])
    levels = np.array([180] * 6 + [60] * 6 + [0], np.uint8)
    faces = FaceSet(**(vars(faces) | {"pixels": np.tile(levels[:, None, None], (1, 48, 48))}))
    table = robustness.robustness(by_brightness, faces, LABELS)
    rows = {row["name"]: row for row in table["rows"]}
    assert table["n"] == 12 and rows["as they are"]["accuracy"] == 1.0
    assert rows["50 % of the light"]["accuracy"] == 0.5 and rows["50 % of the light"]["lost"] == 0.5
    assert rows["blurred, deviation 3 px"]["accuracy"] == rows["JPEG, quality 10"]["accuracy"] == 1.0
    assert table["mean"] == pytest.approx(np.mean([np.mean([r["accuracy"] for r in table["rows"] if r["kind"] == kind])
                                                   for kind in robustness.CORRUPTIONS]))  # fmt: skip
    assert robustness.accuracies(table)["10 % of the light"] == 0.5
    page = "\n".join(tables.robustness_table(table))
    assert "| 50 % of the light | 50.0% (25.4% to 74.6%) | 50.0 |" in page
    plots.draw_robustness(table, tmp_path / "r.png", "t")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_the_faces_that_are_changed_are_drawn_by_chance_the_same_each_time():
    faces = faces_of(["happy"] * 30)
    some = robustness.drawn(faces, 10, 3)
    assert len(some) == 10 and list(some.key) == list(robustness.drawn(faces, 10, 3).key)
    assert list(some.key) != list(robustness.drawn(faces, 10, 4).key)
    assert len(robustness.drawn(faces, 100, 3)) == 30
