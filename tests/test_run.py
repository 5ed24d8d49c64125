"""The daemon's own threads with a window and a recording: real screen, real film."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]


CARD_RGB = (244, 244, 244)
"""The white around the demo's portraits; nothing else on the screen has it."""


def frames_of(path: Path) -> list[np.ndarray]:
    """Every frame of a film, BGR."""
    film, frames = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        frames.append(read[1])
    return frames


def test_a_recording_is_as_long_as_the_clip_and_shows_what_was_read(emotion_edge, short_clip, tmp_path):
    out = tmp_path / "out.mp4"
    done = emotion_edge("run", "--source", short_clip, "--no-pace", "--record", out)
    assert done.returncode == 0, done.stderr
    assert f"pictures of faces are being stored: file={out}" in done.stderr
    annotated, plain = frames_of(out), frames_of(short_clip)
    assert abs(len(annotated) - len(plain)) <= 1
    greenish = [np.count_nonzero((each[..., 1] > 120) & (each[..., 2] < 60)) for each in (annotated[-1], plain[-1])]
    assert greenish[0] > 300 > greenish[1]  # box and bar of a happy face


def test_without_asking_for_it_no_picture_is_written_anywhere(emotion_edge, short_clip, tmp_path):
    done = emotion_edge("run", "--source", short_clip, "--no-pace", "--events", tmp_path / "events.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


def test_a_film_is_not_recorded_over_itself(emotion_edge, short_clip, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(short_clip.read_bytes())
    done = emotion_edge("run", "--source", film, "--record", film)
    assert done.returncode == 2 and "choose another name for --record" in done.stderr
    assert film.read_bytes() == short_clip.read_bytes()


def test_the_window_shows_the_live_picture_until_q_is_pressed(screen):
    command = [sys.executable, "-m", "edge", "run", "--source", "demo", "--window"]
    with subprocess.Popen(
        command, cwd=ROOT, env=screen.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while np.count_nonzero((screen.picture() == CARD_RGB).all(axis=-1)) < 1000:
            assert process.poll() is None
        # Found only now: with its first picture the window may become another one.
        window = screen.xdotool("search", "--sync", "--onlyvisible", "--pid", str(process.pid)).split()[0]
        screen.xdotool("windowfocus", "--sync", window, "key", "q")
        output, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "INFO stop " in log and "Traceback" not in log
    assert output.count('"type":"start"') == output.count('"type":"end"')
