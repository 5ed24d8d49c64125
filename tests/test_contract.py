"""What training and device agree on: names, the model's card, and the bytes of the golden face."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.classifier import SHIPPED, Classifier, quantized
from edge.contract import (
    GROUP_OF,
    GROUPS,
    LABELS,
    InputSpec,
    ModelCard,
    Quantization,
    box_corners,
    canonical,
    crop,
    eye_corners,
    grouped,
    read_card,
    to_input,
)
from edge.errors import ModelError, SettingsError
from quantize.card import recarded

DATA = Path(__file__).parent / "data"
SPEC = InputSpec()
CARD = ModelCard("test", "1", LABELS, SPEC, Quantization(0.0078, -1), Quantization(0.1, 3), measured={"a": 1})


def portrait() -> np.ndarray:
    picture = cv2.imread(str(Path(__file__).parents[1] / "edge" / "assets" / "astronaut.jpg"))
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


GOLDEN_EYES = (201.0, 108.0), (246.0, 108.0)


def test_the_golden_face_is_prepared_to_the_stored_bytes():
    golden = np.load(DATA / "golden_face.npy")
    cut = crop(portrait(), SPEC, eye_corners(*GOLDEN_EYES, SPEC))
    # JPEG decoders and area resize may differ by a grey level between builds, never by more.
    assert np.abs(cut.astype(int) - golden).max() <= 1
    assert golden.std() > 30


def test_training_calibration_and_daemon_prepare_a_face_to_identical_bytes():
    """T01 and T02: one scale, one resize."""
    classifier = Classifier.read(SHIPPED)
    spec, quant = classifier.card.input, classifier.card.quant_in
    assert quant is not None
    face = np.load(DATA / "golden_face.npy")
    trained_on = to_input(face, spec)
    assert trained_on.dtype == np.float32
    assert trained_on.min() >= spec.low
    assert trained_on.max() <= spec.high
    assert trained_on.std() > 0.1, "a face divided by 255 twice is flat"
    at_the_daemon = classifier.tensor(face.reshape(spec.shape))
    assert at_the_daemon.dtype == np.int8
    np.testing.assert_array_equal(at_the_daemon, quantized(trained_on, quant))


def test_shrinking_a_face_keeps_the_whole_of_it():
    """T02: `np.resize` would give the first rows of memory, repeated."""
    large = np.zeros((480, 480), np.uint8)
    large[:240, 240:] = 100
    large[240:, :240] = 200
    small = crop(large, SPEC)[..., 0]
    for rows, columns, level in (((2, 22), (2, 22), 0), ((2, 22), (26, 46), 100), ((26, 46), (2, 22), 200)):
        assert np.all(small[slice(*rows), slice(*columns)] == level)


def test_shrinking_averages_instead_of_picking_pixels():
    stripes = np.tile(np.array([0, 255], np.uint8), (480, 240))
    middle = crop(stripes, SPEC)[4:-4, 4:-4]
    assert abs(float(middle.mean()) - 127.5) < 2
    assert middle.std() < 6


def test_a_face_of_the_same_size_is_not_touched():
    face = np.random.default_rng(1).integers(0, 256, (48, 48), np.uint8)
    np.testing.assert_array_equal(crop(face, SPEC)[..., 0], face)


@pytest.mark.parametrize("angle", [0, 20, -35])
def test_the_eyes_land_where_the_spec_wants_them(angle):
    turn = np.radians(angle)
    along = np.array([np.cos(turn), np.sin(turn)])
    right, left = 200 - 40 * along, 200 + 40 * along
    picture = np.zeros((400, 400), np.uint8)
    for x, y in (right, left):
        cv2.circle(picture, (round(x), round(y)), 5, 255, -1)
    cut = crop(picture, SPEC, eye_corners(tuple(right), tuple(left), SPEC))[..., 0]
    for eye in (-0.5, 0.5):
        x, y = (0.5 + eye * SPEC.eye_distance) * SPEC.side, SPEC.eye_line * SPEC.side
        assert cut[int(y), int(x)] > 150
    assert cut[int(SPEC.eye_line * SPEC.side), SPEC.side // 2] < 50


def test_a_box_becomes_a_square_with_its_margin():
    corners = box_corners(10, 20, 30, 60, InputSpec(margin=0.25))
    np.testing.assert_allclose(corners, [[-10, 10], [50, 10], [-10, 70]])


def test_a_crop_outside_the_picture_repeats_its_edge():
    picture = np.full((100, 100, 3), 77, np.uint8)
    assert np.all(crop(picture, SPEC, box_corners(-80, -80, 40, 40, SPEC)) == 77)


def test_grey_and_colour_pictures_of_the_same_grey_give_the_same_input():
    grey = np.random.default_rng(2).integers(0, 256, (90, 90), np.uint8)
    colour = np.repeat(grey[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(to_input(grey, SPEC), to_input(colour, SPEC))


def test_eyes_in_one_point_give_a_crop_and_no_error():
    assert crop(portrait(), SPEC, eye_corners((50, 50), (50, 50), SPEC)).shape == SPEC.shape


@pytest.mark.parametrize(
    ("spelling", "label"), [("Anger", "angry"), ("HAPPINESS", "happy"), (" scared ", "fear"), ("surprised", "surprise")]
)
def test_spellings_of_the_field_become_canonical(spelling, label):
    assert canonical(spelling) == label


def test_an_unknown_label_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"'bored'.*angry"):
        canonical("bored")


def test_groups_hold_every_label_and_keep_the_sum():
    assert set(GROUP_OF) == set(LABELS)
    sums = grouped(dict.fromkeys(LABELS, 1 / len(LABELS)))
    assert tuple(sums) == GROUPS
    assert sum(sums.values()) == pytest.approx(1)
    assert sums["negative"] == pytest.approx(5 / 8)


def test_a_card_comes_back_as_it_was_written():
    assert ModelCard.from_json(CARD.to_json(), "here") == CARD


def broken(**changes):
    document = json.loads(CARD.to_json())
    for name, value in changes.items():
        table, _, key = name.partition("__")
        if key:
            document[table][key] = value
        else:
            document[table] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (broken(schema=2), "schema 2"),
        (broken(output="probabilities"), "probabilities"),
        (broken(labels=["angry", "angry"]), "distinct"),
        (broken(labels=["hungry"]), "hungry"),
        (broken(labels=[]), "labels"),
        (broken(input__h=40), "square"),
        (broken(input__c=2), "channels 2"),
        (broken(input__range=[1, 1]), "low below high"),
        (broken(calibration={}), "temperature"),
        (broken(calibration__temperature=0), "temperature 0"),
        (broken(quant="int8"), "not readable"),
        (broken(quant__in={"scale": -1, "zero_point": 0}), "positive scale"),
        ("{", "not readable"),
        ("[]", "not readable"),
    ],
)
def test_a_card_that_does_not_say_what_it_must_is_refused_by_name(text, says):
    with pytest.raises(ModelError, match=says) as refused:
        ModelCard.from_json(text, "model.tflite")
    assert str(refused.value).startswith("model.tflite: ")
    assert "\n" not in str(refused.value)


def test_the_shipped_model_is_whole_and_small():
    content = SHIPPED.read_bytes()
    card = read_card(content, "shipped")
    assert len(content) <= 1_000_000
    assert card.labels == LABELS
    assert card.quant_in is not None
    assert "python -m train fit" in " ".join(card.train["commands"])


@pytest.mark.parametrize("at", [100, 20_000, -3000])
def test_a_changed_byte_in_the_network_or_its_card_is_noticed(at):
    content = bytearray(SHIPPED.read_bytes())
    content[at] ^= 0xFF
    with pytest.raises(ModelError):
        read_card(bytes(content), "damaged")


def test_other_labels_than_the_card_says_are_refused():
    card = replace(Classifier.read(SHIPPED).card, labels=LABELS[:7])
    assert card.labels != LABELS
    with pytest.raises(ModelError, match="tensors"):
        Classifier(recarded(SHIPPED.read_bytes(), card), "seven labels")
