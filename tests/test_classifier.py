"""The classifier with the real interpreter and the model that ships."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.classifier import SHIPPED, Classifier, quantized
from edge.contract import LABELS, Quantization, crop, read_card, read_model_file
from edge.errors import ModelError
from quantize.card import recarded
from train import data

FLAT = np.full((48, 48, 1), 128, np.uint8)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.read(SHIPPED)


def test_scores_are_probabilities_of_all_labels(classifier):
    picture = np.random.default_rng(1).integers(0, 256, (200, 160, 3), np.uint8)
    scores = classifier.probabilities(classifier.logits(crop(picture, classifier.card.input)))
    assert scores.shape == (len(LABELS),)
    assert scores.sum() == pytest.approx(1, abs=1e-5)
    assert np.all(scores >= 0)


def test_the_same_face_gives_the_same_logits_whatever_came_between(classifier):
    before = classifier.logits(FLAT)
    classifier.logits(255 - FLAT)
    np.testing.assert_array_equal(classifier.logits(FLAT), before)


def test_int8_is_rounded_to_the_nearest_and_clipped():
    how = Quantization(0.5, -10)
    np.testing.assert_array_equal(
        quantized(np.float32([0, 0.26, -0.26, 1000, -1000]), how), np.int8([-10, -9, -11, 127, -128])
    )


def test_logits_are_dequantized_without_overflow(classifier):
    quant = classifier.card.quant_out
    assert quant is not None
    lowest, highest = (-128 - quant.zero_point) * quant.scale, (127 - quant.zero_point) * quant.scale
    logits = classifier.logits(np.random.default_rng(3).integers(0, 256, (48, 48, 1), np.uint8))
    assert np.all((logits >= lowest) & (logits <= highest))
    assert len(np.unique(np.round(logits / quant.scale))) > 2


def test_a_high_temperature_makes_modest_scores(classifier):
    logits = np.float32([4, 1, 0, 0, 0, 0, 0, 0])
    hot = Classifier(recarded(SHIPPED.read_bytes(), replace(classifier.card, temperature=5.0)), "hot")
    assert hot.probabilities(logits)[0] < classifier.probabilities(logits)[0]


def test_the_name_says_which_file_it_is(classifier):
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert classifier.name == f"emotion-8@{classifier.card.version}#{digest[:8]}"


def model_file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: b"", "0 bytes that are no TFLite model"),
        (lambda content: b"\xff\xd8 a picture of a cat", "no TFLite model"),
        (lambda content: content[:5000], "without a model card"),
        (lambda content: content[:-50], "without a model card"),
        (lambda content: content[:4] + b"TFL3" + bytes(20_000), "without a model card"),
        (lambda content: bytes(content[:9000]) + bytes(64) + content[9064:], "sha256"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage, says):
    path = model_file(tmp_path, damage(SHIPPED.read_bytes()))
    with pytest.raises(ModelError, match=says) as refused:
        Classifier.read(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_one_too_large_are_refused(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        Classifier.read(tmp_path / "none.tflite")
    large = tmp_path / "large.tflite"
    with large.open("wb") as stream:
        stream.truncate(33 * 1024 * 1024)
    with pytest.raises(ModelError, match="at most"):
        Classifier.read(large)


def test_a_card_with_other_scales_than_the_network_is_refused():
    content = SHIPPED.read_bytes()
    card = replace(read_card(content, "shipped"), quant_out=Quantization(0.5, 0))
    with pytest.raises(ModelError, match="quantized by"):
        Classifier(recarded(content, card), "wrong scales")


def test_the_shipped_model_keeps_its_accuracy_on_faces_that_do_not_ship(shared_faces):
    """Every fourth validation face of each label, int8, through the daemon's classifier."""
    classifier = Classifier(read_model_file(SHIPPED), "shipped")
    faces = data.judged(shared_faces, "validation")
    sample = np.concatenate([np.flatnonzero(faces.majority == label)[::4] for label in range(len(LABELS))])
    right = [classifier.logits(faces.pixels[i][..., np.newaxis]).argmax() == faces.majority[i] for i in sample]
    promised = classifier.card.measured["validation"]["accuracy"]
    spread = 2.6 * (promised * (1 - promised) / len(sample)) ** 0.5
    assert len(sample) > 750
    assert abs(np.mean(right) - promised) < spread
    assert np.mean(right) >= 0.78
