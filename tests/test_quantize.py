"""The gate's rules, the calibration list and the audit, without TensorFlow."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.classifier import Classifier, shipped
from edge.contract import LABELS, crop
from edge.errors import EmotionEdgeError, SourceError
from edge.faces.networks import NETWORKS
from quantize import audit, gate, latency, runs, runtimes, samples
from quantize.__main__ import main
from quantize.gate import Figures, Label, Limits
from train import data, metrics
from train.data import Face, FaceSet

SAME = {name: Label(n=1000, float_hits=900, hits=900, flips=0) for name in LABELS}
FLOAT = Figures(
    size_bytes=400_000,
    invoke_ms=2.0,
    accuracy=0.9,
    macro_f1=0.9,
    agreement=1.0,
    temperature=1.0,
    calibration_error=0.01,
    chance_error=0.02,
    largest_logit_difference=0.0,
    clipped=0.0,
    not_int8=(),
    labels=SAME,
)
INT8 = replace(FLOAT, size_bytes=100_000, invoke_ms=1.0, accuracy=0.899, agreement=0.99)


def made_faces(each: int, split: str = "train") -> FaceSet:
    """`each` pictures of every label, generated, all different."""
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (each * len(LABELS), data.SIDE, data.SIDE), np.uint8)
    faces = [Face(picture, str(row), LABELS[row % len(LABELS)], split) for row, picture in enumerate(pictures)]
    return data.gathered(faces, "made", "none")


def test_what_keeps_to_every_limit_passes() -> None:
    assert gate.failures(INT8, FLOAT, Limits()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": dict.fromkeys(LABELS, Label(1000, 900, 894, 7))}, "loses 0.60% accuracy: at most 0.50%"),
        ({"labels": dict.fromkeys(LABELS, Label(20, 18, 17, 1))}, "loses 5.00% accuracy: at most 2.90%"),
        ({"macro_f1": 0.879}, "loses 0.021 macro F1: at most 0.020"),
        ({"agreement": 0.969}, "same label on 96.90%: at least 97.00%"),
        ({"calibration_error": 0.031}, "calibration error 3.10%: at most 3.00%"),
        ({"clipped": 0.18}, "18.0% of the faces have an answer outside the int8 range"),
        ({"size_bytes": 999_000}, "999000 bytes: at most 1000000"),
        ({"not_int8": ("SIN: FLOAT32",)}, "not int8: SIN: FLOAT32"),
        ({"labels": SAME | {"fear": Label(1000, 900, 879, 21)}}, "fear: right on 879 of 1000, float32 on 900"),
    ],
)
def test_each_limit_that_is_broken_is_named_with_what_was_found(change: dict[str, object], says: str) -> None:
    (reason,) = gate.failures(replace(INT8, **change), FLOAT, Limits())  # type: ignore[arg-type]
    assert says in reason


def test_an_accuracy_below_the_goal_is_refused() -> None:
    (reason,) = gate.failures(INT8, FLOAT, Limits(accuracy=0.95))
    assert reason == "right on 89.90%: at least 95.00%"


@pytest.mark.parametrize(
    ("label", "passes"),
    [
        (Label(n=500, float_hits=400, hits=390, flips=10), True),  # two points
        (Label(n=500, float_hits=400, hits=388, flips=12), False),
        (Label(n=500, float_hits=400, hits=388, flips=60), True),  # 12 of 60 flips: chance; agreement sees the 60
        (Label(n=13, float_hits=5, hits=4, flips=1), True),  # 8 points, but one face
        (Label(n=13, float_hits=5, hits=3, flips=2), True),
        (Label(n=13, float_hits=5, hits=2, flips=3), False),  # 3 of 3 all the same way
        (Label(n=13, float_hits=5, hits=9, flips=4), True),
    ],
)
def test_a_rare_label_may_lose_what_chance_explains_a_frequent_one_two_points(label: Label, passes: bool) -> None:
    reasons = gate.failures(replace(INT8, labels=SAME | {"contempt": label}), FLOAT, Limits())
    assert [reason for reason in reasons if reason.startswith("contempt")] == reasons[-1:] * (not passes)


def test_the_fastest_variant_that_passes_is_promoted() -> None:
    quick = replace(INT8, invoke_ms=0.1, agreement=0.5)
    figures = {"float32": FLOAT, "float16": replace(FLOAT, invoke_ms=1.5), "dynamic": INT8, "int8": quick}
    promoted, reasons = gate.decided(figures, "auto", Limits())
    assert promoted == "dynamic"
    assert reasons == ["int8: same label on 50.00%: at least 97.00%"]


def test_a_variant_that_was_asked_for_by_name_is_not_replaced_by_another() -> None:
    figures = {"float32": FLOAT, "int8": replace(INT8, agreement=0.5)}
    assert gate.decided(figures, "int8", Limits()) == (None, ["int8: same label on 50.00%: at least 97.00%"])
    assert gate.decided(figures, "float32", Limits()) == ("float32", [])


def test_the_faces_of_a_label_are_counted_by_both_networks() -> None:
    truth, by_float, by_int8 = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0]), np.array([0, 1, 0, 1, 0])
    found = gate.labels_of(by_int8, by_float, truth, ("angry", "sad"))
    assert found == {"angry": Label(3, 2, 2, 2), "sad": Label(2, 1, 1, 0)}


def test_a_calibration_error_that_chance_explains_passes_and_no_larger_one() -> None:
    small = replace(INT8, calibration_error=0.06, chance_error=0.08)
    assert gate.failures(small, FLOAT, Limits()) == []
    (reason,) = gate.failures(replace(small, calibration_error=0.09), FLOAT, Limits())
    assert reason == "calibration error 9.00%: at most 8.00%"


def test_the_calibration_error_by_chance_shrinks_with_the_number_of_faces() -> None:
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.full(8, 0.3), 4000)
    few, many = gate.chance_error(scores[:150]), gate.chance_error(scores)
    assert 0.06 < few < 0.14 and 0.01 < many < 0.03
    truths = np.array([rng.choice(8, p=row) for row in scores])
    assert metrics.expected_calibration_error(scores, truths) < many * 1.5
    assert metrics.expected_calibration_error(scores, rng.integers(0, 8, 4000)) > 10 * many


def test_answers_that_int8_cannot_hold_are_counted() -> None:
    logits = np.array([[0, 1], [0, 9], [-9, 1], [0, 1.001]], np.float32)
    assert gate.clipped_share(logits, -2.0, 1.0) == 0.5


def test_calibration_faces_are_as_many_of_each_label_and_always_the_same() -> None:
    training = made_faces(100)
    chosen = samples.calibration(training, "label", each=20)
    assert np.bincount(chosen.truth("label")).tolist() == [20] * 7
    assert chosen.sha256.tolist() == samples.calibration(training, "label", each=20).sha256.tolist()
    assert samples.objections(chosen, training, "label") == []


def test_calibration_faces_of_another_split_are_refused() -> None:
    with pytest.raises(ValueError, match="expected training faces only"):
        samples.calibration(made_faces(2, "validation"))


def test_calibration_on_one_label_is_refused_and_the_missing_ones_are_named() -> None:
    training = made_faces(100)
    happy = training.where(training.majority == LABELS.index("happy"))
    reasons = samples.objections(happy, training, "votes")
    assert len(reasons) == len(LABELS) - 1 and not any(reason.startswith("happy") for reason in reasons)
    assert "angry: 0 different calibration faces: expected at least 16" in reasons


def test_the_same_face_many_times_is_no_calibration_set() -> None:
    training = made_faces(30)
    one_each = training.where(np.repeat([np.flatnonzero(training.majority == label)[0] for label in range(8)], 20))
    assert len(samples.objections(one_each, training, "votes")) == len(LABELS)


def test_faces_that_were_not_trained_on_are_no_calibration_faces() -> None:
    faces = made_faces(60)
    training, others = faces.where(np.arange(0, 240)), faces.where(np.arange(240, 480))
    assert samples.objections(others, training, "votes") == [
        "240 of 240 calibration faces are no training faces: expected none"
    ]


def test_a_label_with_few_training_faces_wants_all_of_them() -> None:
    faces = made_faces(30)
    rare = np.flatnonzero(faces.majority == LABELS.index("contempt"))
    training = faces.where(np.setdiff1d(np.arange(len(faces)), rare[3:]))
    assert samples.objections(samples.calibration(training), training, "votes") == []
    without_one = training.where(training.sha256 != faces.sha256[rare[0]])
    assert samples.objections(without_one, training, "votes") == [
        "contempt: 2 different calibration faces: expected at least 3"
    ]


def test_a_list_of_calibration_faces_gives_the_same_faces_again(tmp_path: Path) -> None:
    training, path = made_faces(30), tmp_path / "lists" / "calibration.csv"
    chosen = samples.calibration(training, "label", each=4)
    samples.write_list(chosen, "label", path)
    assert path.read_text().splitlines()[0] == "source,key,label,sha256"
    again = samples.read_list(path, training)
    assert again.sha256.tolist() == chosen.sha256.tolist()
    np.testing.assert_array_equal(again.pixels, chosen.pixels)


def test_a_list_that_names_other_faces_or_is_none_is_refused(tmp_path: Path) -> None:
    faces, path = made_faces(4), tmp_path / "calibration.csv"
    samples.write_list(faces, "votes", path)
    with pytest.raises(SourceError, match="2 of 32 faces are no training faces"):
        samples.read_list(path, faces.where(np.arange(2, 32)))
    for content in ("", "a,b\n1,2\n", "\ufffd"):
        path.write_text(content)
        with pytest.raises(SourceError, match="no list of calibration faces"):
            samples.read_list(path, faces)
    with pytest.raises(SourceError, match="No such file"):
        samples.read_list(tmp_path / "none.csv", faces)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_models_that_ship_are_int8_all_through(name: str) -> None:
    assert audit.not_int8(shipped()[name].read_bytes()) == []


def test_the_audit_lists_the_operations_of_a_float_network() -> None:
    found = audit.not_int8(NETWORKS["short"].read())
    assert {"CONV_2D: FLOAT32", "DEPTHWISE_CONV_2D: FLOAT32", "ADD: FLOAT32"} <= set(found)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_networks_are_timed_side_by_side(name: str) -> None:
    classifier = Classifier.read(shipped()[name])
    face = classifier.tensor(crop(np.zeros((48, 48), np.uint8), classifier.card.input))
    took = latency.invoke_ms(dict.fromkeys("ab", shipped()[name].read_bytes()), {key: [face] for key in "ab"})
    assert set(took) == {"a", "b"} and all(each > 0 for each in took.values())


def test_differences_between_runtimes_are_counted_in_steps_of_int8() -> None:
    ours = np.array([[1, 2], [-128, 127], [3, 4]], np.int8)
    other = np.array([[1, 2], [127, -128], [3, 3]], np.int8)
    assert runtimes.sameness(ours, other) == runtimes.Sameness(3, 1 / 3, 255, 1 / 3)


def test_a_runtime_that_fails_is_named_in_one_line(tmp_path: Path) -> None:
    content = next(iter(shipped().values())).read_bytes()
    with pytest.raises(EmotionEdgeError, match=r"^no_such_runtime in .* failed: ModuleNotFoundError") as failed:
        runtimes.outputs(content, np.zeros((1, 48, 48, 1), np.int8), "no_such_runtime", sys.executable)
    assert "\n" not in str(failed.value)


def test_a_folder_without_a_finished_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match=r"no best\.keras, run\.json, manifest\.txt there"):
        runs.read(tmp_path)
    assert main(["--data", str(tmp_path), "--run", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {tmp_path}: no best.keras") and said.err.count("\n") == 1
