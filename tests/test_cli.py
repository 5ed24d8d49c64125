"""The command line: what it says of itself, how words become settings, and that each way to run does run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import __version__, config
from edge.classifier import SHIPPED, open_classifier, shipped
from edge.cli import _parser, interruptible, settings_of
from edge.contract import LABELS, UNCERTAIN, read_card
from tests.conftest import needs_mediapipe

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "edge" / "assets"
COMMANDS = ["run", "image", "events", "models", "cameras", "replay", "notice", "doctor"]


def test_the_help_names_each_subcommand_and_what_must_not_be_done(in_process):
    done = in_process("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n    {command} " in done.stdout
    assert "do not judge people" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_subcommand_says_what_it_is_for(command, in_process):
    done = in_process(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: emotion-edge {command}")
    assert done.stdout.split("\n\n")[1].endswith(".")


def test_the_help_of_run_says_what_stores_the_picture(in_process):
    assert "STORE the picture" in in_process("run", "--help").stdout


def test_the_version_is_the_package_s(in_process):
    done = in_process("--version")
    assert (done.returncode, done.stdout) == (0, f"emotion-edge {__version__}\n")


@pytest.mark.parametrize("words", [(), ("fly",), ("run", "--fast"), ("image",), ("image", "a.jpg", "--json", "--csv")])
def test_words_that_it_does_not_know_are_refused_with_the_usage(words, in_process):
    done = in_process(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: emotion-edge")


def settings(*words: object) -> config.Settings:
    return settings_of(_parser().parse_args([*map(str, words)]))


def test_without_words_the_settings_are_the_defaults():
    assert settings("run") == config.Settings()
    assert settings("doctor") == config.Settings()


def test_flags_stand_above_the_settings_file_and_the_file_above_the_defaults(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text("[camera]\nsource = 'film.mp4'\nfps = 12\n[faces]\nrange = 'full'\n[events]\ndevice = 'kitchen'\n")
    flags = "--source", "0", "--no-pace", "--events", "e.jsonl", "--model", "m.tflite", "--backend", "mediapipe"
    got = settings("run", "--config", path, *flags)
    assert (got.camera.source, got.camera.fps, got.camera.pace) == ("0", 12, False)
    assert (got.faces.backend, got.faces.range) == ("mediapipe", "full")
    assert (got.events.device, got.events.path, got.model.file) == ("kitchen", Path("e.jsonl"), "m.tflite")
    assert settings("run", "--config", path).camera == config.Camera(source="film.mp4", fps=12)


def test_models_lists_those_that_ship_with_their_labels_and_figures(in_process):
    done = in_process("models")
    assert (done.returncode, done.stderr) == (0, "")
    for name, path in shipped().items():
        card = read_card(path.read_bytes(), name)
        assert f"{path}\n  {name} {card.version}, int8" in done.stdout
        assert ", ".join(card.labels) in done.stdout
        assert f"{card.measured['test']['accuracy']:.2%} of {card.measured['test']['n']} faces" in done.stdout


def test_models_gives_the_whole_cards_as_json(in_process):
    cards = json.loads(in_process("models", "--json").stdout)
    assert [card["name"] for card in cards] == list(shipped())
    assert all(card["measured"] for card in cards)


def test_a_model_that_ships_is_asked_for_by_name_and_others_by_path(in_process, tmp_path):
    assert open_classifier(config.Model(file="emotion-8")).card.labels == LABELS
    copy = tmp_path / "mine.tflite"
    copy.write_bytes(SHIPPED.read_bytes())
    assert open_classifier(config.Model(file=str(copy))).card.name == "emotion-8"
    done = in_process("image", "--model", "emotion-9", tmp_path)
    assert done.returncode == 2
    assert f"model 'emotion-9': expected {', '.join(shipped())}, or the path of a" in done.stderr


def test_models_tells_of_the_good_ones_after_a_bad_one(in_process, tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(SHIPPED.read_bytes()[:-9])
    done = in_process("models", bad, SHIPPED)
    assert done.returncode == 2
    assert done.stderr.startswith(f"emotion-edge: {bad}: ")
    assert done.stdout.startswith(f"{SHIPPED}\n")


def test_the_demo_unpaced_tells_of_two_labels_and_of_its_speed(emotion_edge):
    done = emotion_edge("run", "--source", "demo", "--no-pace", "--set", "events.report_seconds=0")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert len({record["label"] for record in records} - {UNCERTAIN}) >= 2
    begun, ended = ({each["track"] for each in records if each["type"] == kind} for kind in ("start", "end"))
    assert begun == ended
    assert len(begun) >= 4
    *_, start, stop, speed = done.stderr.splitlines()
    assert start.startswith(f"INFO start version={__version__} source=demo model=emotion-8@")
    assert stop.startswith("INFO stop captured=900 published=900")
    assert "fps=" in speed
    assert "age_ms p50=" in speed


def test_a_video_file_in_its_own_time_runs_to_its_end(emotion_edge, short_clip):
    done = emotion_edge("run", "--source", short_clip)
    assert done.returncode == 0
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["start", "end"]
    assert "stop captured=30 " in done.stderr


@pytest.mark.parametrize(("source", "frames"), [(ASSETS, 2), (ASSETS / "astronaut.jpg", 1)])
def test_pictures_run_to_the_last(source, frames, emotion_edge):
    done = emotion_edge("run", "--source", source)
    assert done.returncode == 0
    assert f"stop captured={frames} published={frames}" in done.stderr


def test_events_are_appended_and_counted_on(emotion_edge, short_clip, tmp_path):
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        assert emotion_edge("run", "--no-pace", "--source", short_clip, "--events", path).stdout == ""
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


@needs_mediapipe
def test_the_backends_read_the_clip_alike(emotion_edge, short_clip):
    words = "run", "--no-pace", "--source", short_clip, "--backend"
    told = [emotion_edge(*words, backend).stdout.splitlines() for backend in ("litert", "mediapipe")]
    ours, theirs = ([(each["type"], each["label"]) for each in map(json.loads, lines)] for lines in told)
    assert ours == theirs


@pytest.mark.parametrize("words", [("models",), ("image", ASSETS), ("image", ASSETS, "--csv"), ("doctor",)])
def test_output_that_the_disk_has_no_room_for_is_one_line(words, emotion_edge):
    with open("/dev/full", "w") as full:
        done = emotion_edge(*words, stdout=full)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("emotion-edge: standard output cannot be written: No space left")
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_error(emotion_edge):
    read, write = os.pipe()
    os.close(read)
    done = emotion_edge("image", ASSETS, stdout=write)
    os.close(write)
    assert done.returncode == 0
    assert "emotion-edge: " not in done.stderr


def test_a_closed_standard_output_is_said(emotion_edge):
    done = emotion_edge("image", ASSETS, "--csv", stdout=None, preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert done.stderr == "emotion-edge: standard output is closed: expected an open one\n"


def test_a_file_name_that_is_no_text_comes_out_as_it_went_in(emotion_edge, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    with open(name, "wb") as file:
        file.write(cv2.imencode(".png", np.full((64, 64, 3), 90, np.uint8))[1].tobytes())
    done = emotion_edge("image", tmp_path, text=False, env={"PYTHONIOENCODING": "utf-8:strict"})
    assert done.stdout == name + b"\tno face\n"


def test_the_first_signal_interrupts_and_the_others_are_passed_over(in_process):
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with interruptible():
        pass
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_another_command_without_a_traceback(number, tmp_path):
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "edge", "doctor", "--config", str(pipe)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with pipe.open("w"):  # opens once it reads its settings, which it now waits for
            process.send_signal(number)
            assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == -number
