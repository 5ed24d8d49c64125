"""What people get wrong, through the real command line: one line that says it, exit code 2, nothing lost, no hang."""

import io
import json
import os
import resource
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.classifier import SHIPPED
from edge.contract import CARD_NAME, LABELS, LABELS_NAME, read_card
from quantize.card import recarded

READ_ONLY = Path("/proc/sys/kernel/ostype")
"""Not even root may write it."""

PRINTS = """
import os, sys
def print_to_descriptor_2(event, _):
    if event.startswith("_thread.start"):
        os.write(2, b"a library prints to descriptor 2\\n")
sys.addaudithook(print_to_descriptor_2)
"""
"""A start-up module of Python's; threads are started once all files are open."""


def complaint(done) -> str:
    """What it says after "emotion-edge: ", being the last and only line that is no log."""
    *log, last = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert all(line.startswith("INFO") for line in log), done.stderr
    assert done.stdout == ""
    start, _, text = last.partition(": ")
    assert start == "emotion-edge"
    return text


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]


def network(content: bytes) -> bytes:
    """A model file without what is attached."""
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        return content[: min(entry.header_offset for entry in files.infolist())]


def attached(content: bytes, labels: list[str]) -> bytes:
    """A model file whose card and list name other labels."""
    card = json.loads(read_card(content, "shipped").to_json()) | {"labels": labels}
    archive = io.BytesIO(network(content))
    with zipfile.ZipFile(archive, "a") as files:
        files.writestr(LABELS_NAME, "\n".join(labels))
        files.writestr(CARD_NAME, json.dumps(card))
    return archive.getvalue()


def seven_labels(content: bytes) -> bytes:
    return recarded(content, replace(read_card(content, "shipped"), labels=LABELS[:7]))


MODELS = {
    "empty": (lambda content: b"", "0 bytes that are no TFLite model"),
    "a picture": (lambda content: b"\xff\xd8\xff\xe0" + content, "no TFLite model"),
    "cut at the start": (lambda content: content[:6], "no TFLite model"),
    "cut in the middle": (lambda content: content[: len(content) // 2], "without a model card"),
    "cut at the end": (lambda content: content[:-1], "without a model card"),
    "a bit of the network flipped": (lambda content: flipped(content, len(content) // 2), "sha256"),
    "a bit of the card flipped": (lambda content: flipped(content, len(content) - 1500), "card"),
    "no card": (network, "without a model card"),
    "seven of its eight labels": (seven_labels, "tensors"),
    "labels of another kind": (lambda content: attached(content, [*LABELS[:7], "bored"]), "bored"),
}


@pytest.mark.parametrize(("made", "says"), MODELS.values(), ids=MODELS)
def test_a_model_that_is_no_good_is_refused_before_anything_opens(made, says, emotion_edge, tmp_path):
    path, events = tmp_path / "model.tflite", tmp_path / "events.jsonl"
    path.write_bytes(made(SHIPPED.read_bytes()))
    done = emotion_edge("run", "--context", "testing", "--source", "/dev/video93", "--model", path, "--events", events)
    text = complaint(done)
    assert text.startswith(f"{path}: ")
    assert says in text
    assert "start " not in done.stderr
    assert not events.exists()


@pytest.mark.parametrize("path", ["missing.tflite", "."])
def test_a_model_that_cannot_be_read_is_named(path, emotion_edge, tmp_path):
    assert complaint(emotion_edge("run", "--model", tmp_path / path)).startswith(f"{tmp_path / path}: cannot read")


SETTINGS = {
    "unknown table": ("[camra]\n", "unknown name 'camra'; did you mean 'camera'?"),
    "unknown name": ("[camera]\nsourse = 'demo'\n", "[camera] unknown name 'sourse'; did you mean 'source'?"),
    "unlike any": ("[camera]\nzoom = 2\n", "There are: source, width"),
    "too large": ("[camera]\nwidth = 70000\n", "[camera] width = 70000: expected 64 to 7680"),
    "too small": ("[events]\nmargin = -0.1\n", "[events] margin = -0.1: expected 0 to 0.9"),
    "no number": ("[events]\nsmooth_seconds = nan\n", "smooth_seconds = nan: expected 0 to 60"),
    "another type": ("[camera]\nfps = 'fast'\n", "[camera] fps = 'fast': expected"),
    "a truth for a number": ("[faces]\nmax_faces = true\n", "max_faces = True: expected"),
    "none of the choices": ("[faces]\nrange = 'far'\n", "expected one of 'auto', 'short', 'full'"),
    "no table": ("camera = 0\n", "expected a table [camera]"),
    "no TOML": ("[camera\n", "no valid TOML"),
    "no text": (b"\xff\xfe\x00", "no valid TOML"),
}


@pytest.mark.parametrize(("content", "says"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_are_no_good_are_named_with_what_would_be(content, says, in_process, tmp_path):
    path = tmp_path / "edge.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = complaint(in_process("doctor", "--config", path))
    assert text.startswith(f"{path}: ")
    assert says in text


@pytest.mark.parametrize(("name", "says"), [("missing.toml", "No such file"), (".", "Is a directory")])
def test_a_settings_file_that_cannot_be_read_is_named(name, says, emotion_edge, tmp_path):
    text = complaint(emotion_edge("run", "--config", tmp_path / name))
    assert text.startswith(f"{tmp_path / name}: cannot read the settings: ")
    assert says in text


@pytest.mark.parametrize("which", ["93", "/dev/video93"])
def test_a_missing_camera_is_named_with_what_to_do(which, emotion_edge):
    text = complaint(emotion_edge("run", "--source", which, "--context", "testing"))
    assert text.startswith("no camera at /dev/video93: ")
    assert "emotion-edge cameras" in text


def test_a_device_that_is_no_camera_is_named(emotion_edge):
    assert "/dev/null" in complaint(emotion_edge("run", "--source", "/dev/null", "--context", "testing"))


SOURCES = {
    "an empty video": ("clip.mp4", b""),
    "a video that is text": ("clip.mp4", b"this is no video\n" * 500),
    "a picture that is text": ("face.jpg", b"this is no picture\n"),
    "an empty picture": ("face.png", b""),
    "a picture that is a model": ("face.webp", SHIPPED),
}


@pytest.mark.parametrize(("name", "content"), SOURCES.values(), ids=SOURCES)
def test_a_source_that_cannot_be_read_is_named(name, content, emotion_edge, tmp_path):
    path = tmp_path / name
    path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    assert complaint(emotion_edge("run", "--source", path)).startswith(f"{path}: ")


def test_a_video_that_was_cut_in_its_first_picture_is_named(emotion_edge, short_clip, tmp_path):
    path = tmp_path / "cut.avi"
    path.write_bytes(short_clip.read_bytes()[:7000])
    assert complaint(emotion_edge("run", "--source", path)).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["missing.mp4", "missing.jpg", "pipe"])
def test_a_source_that_is_no_file_is_named_and_not_waited_for(name, emotion_edge, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert str(tmp_path / name) in complaint(emotion_edge("run", "--source", tmp_path / name))


def test_a_folder_without_pictures_is_named_with_what_they_are(emotion_edge, tmp_path):
    text = complaint(emotion_edge("run", "--source", tmp_path))
    assert text.startswith(f"{tmp_path}: a folder without pictures: expected .bmp")


def test_a_folder_in_which_nothing_can_be_read_is_named_after_each(emotion_edge, tmp_path):
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_text("no picture")
    done = emotion_edge("run", "--source", tmp_path)
    *log, last = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line.split(":")[0] for line in log if "skipped" in line] == [
        f"WARNING skipped {tmp_path / name}" for name in ("a.jpg", "b.png")
    ]
    assert last.startswith(f"emotion-edge: {tmp_path}: none of 2 pictures")


def test_a_damaged_picture_among_good_ones_is_logged_and_passed_over(emotion_edge, tmp_path):
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), np.full((100, 100, 3), 90, np.uint8))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    done = emotion_edge("run", "--source", tmp_path)
    assert done.returncode == 0
    assert f"WARNING skipped {tmp_path / 'b.png'}: a damaged or truncated picture" in done.stderr
    assert "stop captured=2 published=2" in done.stderr


@pytest.mark.parametrize(
    ("place", "says"),
    [("missing/events.jsonl", "No such file"), (".", "Is a directory"), (READ_ONLY, "Permission denied")],
)
def test_an_event_file_that_cannot_be_opened_is_named(place, says, emotion_edge, tmp_path):
    path = tmp_path / place
    text = complaint(emotion_edge("run", "--events", path))
    assert text.startswith(f"{path}: cannot open the event file: ")
    assert says in text


def test_a_file_of_something_else_is_not_appended_to(emotion_edge, tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("Chapter 1\n")
    assert complaint(emotion_edge("run", "--events", path)).startswith(f"{path}: holds something else than events")
    assert path.read_text() == "Chapter 1\n"


def test_a_video_that_cannot_be_stored_is_named(emotion_edge, tmp_path):
    path = tmp_path / "missing" / "out.mp4"
    assert str(path) in complaint(emotion_edge("run", "--record", path))


def test_a_window_without_a_screen_is_said(emotion_edge):
    pytest.importorskip("pygame", reason="the window is an extra")
    nowhere = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "SDL_VIDEODRIVER": "x11"}
    assert "window" in complaint(emotion_edge("run", "--window", env=nowhere))


def test_a_full_disk_is_logged_and_counted_and_the_run_goes_on(emotion_edge, short_clip):
    done = emotion_edge("run", "--no-pace", "--source", short_clip, "--events", "/dev/full")
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert warnings == [
        "WARNING events cannot be written: output=/dev/full error='No space left on device' held=1 lost=0",
        "WARNING events lost at the end: output=/dev/full lost=2",
    ]
    assert "stop captured=30 published=30" in done.stderr


def test_what_was_written_before_the_disk_was_full_stays(emotion_edge, short_clip, tmp_path):
    """The limit on a file's size stands in for the disk: it fails in the same call, and tears a record too."""
    path, limit = tmp_path / "events.jsonl", 700

    words = "run", "--no-pace", "--source", short_clip, "--events", path

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = emotion_edge(*words, preexec_fn=small_disk)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "WARNING events cannot be written" in done.stderr
    assert "stop captured=30 published=30" in done.stderr
    assert path.stat().st_size == limit
    whole, torn = path.read_bytes().splitlines()
    assert json.loads(whole)["type"] == "start"
    assert torn.startswith(b'{"v":1,"seq":2,')
    assert emotion_edge(*words).returncode == 0, "a torn line is no reason to refuse the file"
    assert path.read_bytes().splitlines()[:2] == [whole, torn]


def test_standard_output_that_is_closed_is_said(emotion_edge):
    done = emotion_edge("run", preexec_fn=lambda: os.close(1), stdout=None)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("emotion-edge: standard output is closed")


@pytest.mark.parametrize("closed", [{"stdin": 0, "stderr": 2}, {"stdin": 0, "stdout": 1, "stderr": 2}])
def test_closed_descriptors_are_not_mistaken_for_the_event_file(closed, emotion_edge, short_clip, tmp_path):
    """What libraries print would be in it."""
    path = tmp_path / "events.jsonl"
    (tmp_path / "sitecustomize.py").write_text(PRINTS)

    def close() -> None:
        for descriptor in closed.values():
            os.close(descriptor)

    words = "run", "--no-pace", "--source", short_clip, "--events", path
    libraries = {"PYTHONPATH": str(tmp_path)}
    assert emotion_edge(*words, env=libraries, preexec_fn=close, **dict.fromkeys(closed)).returncode == 0
    assert [json.loads(line)["type"] for line in path.read_text().splitlines()] == ["start", "end"]
