"""The probe measures once, keeps what it found, and survives a state folder that is no good."""

import json

import pytest

from edge import config, probe
from edge.classifier import SHIPPED, open_classifier, shipped
from edge.contract import read_model_file
from edge.probe import KEPT, candidates, fastest_threads, state_folder

CONTENT = read_model_file(SHIPPED)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def measured(monkeypatch):
    """What was measured, in order; each takes one thread 1.0 ms and two 0.5."""
    models = []

    def measure(content, where, seconds):
        models.append(where)
        return {1: 1.0, 2: 0.5}

    monkeypatch.setattr(probe, "_measured", measure)
    monkeypatch.setattr(probe, "candidates", lambda: [1, 2])
    return models


def test_a_real_measurement_chooses_one_of_the_candidates_and_keeps_it(state):
    found = fastest_threads(CONTENT, "mine.tflite", seconds=0.05)
    assert found in candidates()
    assert list(json.loads((state / KEPT).read_text()).values()) == [found]


def test_what_was_measured_once_is_not_measured_again(measured):
    assert [fastest_threads(CONTENT, "mine.tflite") for _ in range(3)] == [2, 2, 2]
    assert measured == ["mine.tflite"]


def test_each_model_is_measured(measured):
    fastest_threads(CONTENT, "one")
    fastest_threads(read_model_file(shipped()["emotion-7"]), "two")
    assert measured == ["one", "two"]


@pytest.mark.parametrize(("two_ms", "best"), [(0.95, 1), (0.9, 2), (1.5, 1)])
def test_more_threads_must_be_worth_their_cores(monkeypatch, two_ms, best):
    monkeypatch.setattr(probe, "_measured", lambda *_: {1: 1.0, 2: two_ms})
    monkeypatch.setattr(probe, "candidates", lambda: [1, 2])
    assert fastest_threads(CONTENT, "mine.tflite") == best


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'"text"', b"\xff"])
def test_a_result_that_is_torn_is_measured_anew(state, measured, content):
    state.mkdir()
    (state / KEPT).write_bytes(content)
    assert fastest_threads(CONTENT, "mine.tflite") == 2
    assert measured == ["mine.tflite"]


@pytest.mark.parametrize("kept", [0, 64, "2", None])
def test_a_result_that_makes_no_sense_here_is_measured_anew(state, measured, kept):
    fastest_threads(CONTENT, "mine.tflite")
    (key,) = json.loads((state / KEPT).read_text())
    (state / KEPT).write_text(json.dumps({key: kept}))
    assert fastest_threads(CONTENT, "mine.tflite") == 2
    assert len(measured) == 2


def test_a_state_folder_that_cannot_be_made_costs_the_keeping_only(state, measured, caplog):
    state.write_text("a file")
    assert fastest_threads(CONTENT, "mine.tflite") == 2
    assert "the probe's result is not kept" in caplog.text


def test_the_settings_ask_for_it_with_zero_threads(measured):
    assert open_classifier(config.Model(threads=0)).card.name == "emotion-8"
    assert len(measured) == 1
    open_classifier(config.Model(threads=1))
    assert len(measured) == 1


def test_the_state_folder_is_systemds_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    assert str(state_folder()) == "/var/lib/one"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "emotion-edge"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert str(state_folder()) == "/home/ada/.local/state/emotion-edge"
