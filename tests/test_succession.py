"""One model after another: only those that pass the test are trusted, and there is a way back."""

import logging
import shutil

import pytest

from edge import config
from edge.classifier import SHIPPED, Classifier, shipped
from edge.contract import read_model_file
from edge.errors import ModelError
from edge.selftest import passed
from edge.succession import first, roll_back, successor
from tests.disks import growing_no_further

SEVEN = shipped()["emotion-7"]


@pytest.fixture
def path(tmp_path):
    copied = tmp_path / "mine.tflite"
    shutil.copy(SHIPPED, copied)
    return copied


def using(path) -> config.Settings:
    return config.Settings(model=config.Model(str(path)))


def name(path) -> str:
    return Classifier.read(path).card.name


def test_each_model_that_ships_passes():
    for each in shipped().values():
        assert passed(Classifier.read(each), config.Settings()).label == "happy"


def test_a_model_that_calls_a_smile_something_else_does_not_pass(monkeypatch):
    classifier = Classifier.read()
    logits = classifier.logits
    monkeypatch.setattr(classifier, "logits", lambda face: -logits(face))
    with pytest.raises(ModelError, match=r"calls a smiling portrait '\w+': expected 'happy'"):
        passed(classifier, config.Settings())


def test_a_model_that_gives_no_numbers_does_not_pass(monkeypatch):
    classifier = Classifier.read()
    monkeypatch.setattr(classifier, "probabilities", lambda logits: logits * float("nan"))
    with pytest.raises(ModelError, match="gives no probabilities"):
        passed(classifier, config.Settings())


def test_models_that_ship_leave_no_copies():
    before = sorted(SHIPPED.parent.iterdir())
    assert successor(config.Settings()).card.name == "emotion-8"
    assert sorted(SHIPPED.parent.iterdir()) == before


def test_a_model_is_remembered_when_it_was_accepted_and_the_one_before_it_too(path, tmp_path):
    successor(using(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.tflite", "mine.tflite.accepted"]
    successor(using(path))  # the same once more is no successor
    assert not (tmp_path / "mine.tflite.before").exists()
    shutil.copy(SEVEN, path)
    assert successor(using(path)).card.name == "emotion-7"
    assert name(tmp_path / "mine.tflite.accepted") == "emotion-7"
    assert name(tmp_path / "mine.tflite.before") == "emotion-8"


def test_a_bad_successor_is_refused_and_nothing_is_forgotten(path, tmp_path):
    successor(using(path))
    path.write_bytes(read_model_file(SHIPPED)[:-9000])
    with pytest.raises(ModelError):
        successor(using(path))
    assert (tmp_path / "mine.tflite.accepted").read_bytes() == SHIPPED.read_bytes()


def test_the_way_back_goes_forth_again_too(path):
    for each in (SHIPPED, SEVEN):
        shutil.copy(each, path)
        successor(using(path))
    for expected in ("emotion-8", "emotion-7", "emotion-8"):
        roll_back(path)
        assert name(path) == expected
        successor(using(path))


def test_where_there_is_no_way_back_that_is_said(path):
    with pytest.raises(ModelError, match=r"mine\.tflite\.before: there is no model before the present one"):
        roll_back(path)
    successor(using(path))
    with pytest.raises(ModelError, match="there is no model before"):
        roll_back(path)


def test_the_command_rolls_back(path, in_process):
    for each in (SHIPPED, SEVEN):
        shutil.copy(each, path)
        successor(using(path))
    done = in_process("models", "--rollback", path)
    assert (done.returncode, name(path)) == (0, "emotion-8")
    assert done.stdout.startswith(f"{path}: the model before is back")


def test_at_the_start_a_file_that_went_bad_gives_way_to_what_was_accepted_last(path, caplog):
    successor(using(path))
    path.write_bytes(b"torn by a power cut")
    assert first(using(path)).card.name == "emotion-8"
    assert "going on with the one accepted before" in caplog.text
    assert path.read_bytes() == b"torn by a power cut"


def test_at_the_start_a_bad_file_without_a_past_is_refused(path):
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"mine\.tflite"):
        first(using(path))


def test_a_disk_without_room_costs_the_way_back_and_not_the_model(path, caplog):
    caplog.set_level(logging.WARNING)
    with growing_no_further(1000):
        assert successor(using(path)).card.name == "emotion-8"
    assert "no way back will be kept" in caplog.text
