"""The daemon as a process: how soon it tells its first event, and what it takes while nobody is there."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import cv2
import numpy as np

from edge.errors import EmotionEdgeError

ROOT = Path(__file__).parents[1]

AT_ONCE = {"track.confirm_frames": "1", "events.smooth_seconds": "0", "events.dwell_seconds": "0"}
"""Settings with which a face is an event in its first picture."""

SOON_IDLE = {"camera.repeat": "true", "governor.idle_seconds": "1", "events.report_seconds": "0"}

IDLE_LINE = "nobody is there"
"""What the daemon's log says when it has become idle."""

PATIENCE_SECONDS = 120.0
"""A daemon that says nothing for so long is ended: it has failed."""

FILM_SECONDS, FPS, WIDTH, HEIGHT = 2, 30, 640, 480


def command(*words: str, settings: Mapping[str, str]) -> list[str]:
    """What starts the daemon of this checkout, in ROOT."""
    said = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "edge", "run", *words, *said]


def first_event_seconds() -> float:
    """From the start of the process to its first event, of a clip that begins with a face; EmotionEdgeError if none
    comes."""
    began = time.monotonic()
    with _daemon("--source", "demo", "--no-pace", settings=AT_ONCE, stdout=subprocess.PIPE) as process:
        _await(process.stdout, "")
        return time.monotonic() - began


def idle_share(seconds: float) -> float:
    """Processor time of the daemon, as a share of one core, while a film of nobody plays at its own pace.

    It looks at 10 frames a second then; decoding the film is part of it.
    """
    with tempfile.TemporaryDirectory(prefix="emotion-edge-idle-") as folder:
        film = _film_of_nobody(Path(folder) / "nobody.avi")
        with _daemon("--source", str(film), settings=SOON_IDLE, stderr=subprocess.PIPE) as process:
            _await(process.stderr, IDLE_LINE)
            began, used = time.monotonic(), _cpu_seconds(process.pid)
            time.sleep(seconds)
            return (_cpu_seconds(process.pid) - used) / (time.monotonic() - began)


@contextmanager
def _daemon(
    *words: str, settings: Mapping[str, str], stdout: int = subprocess.DEVNULL, stderr: int = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[str]"]:
    """Ended at the end of the block, or of our patience."""
    with subprocess.Popen(
        command(*words, settings=settings), cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
    ) as process:
        limit = Timer(PATIENCE_SECONDS, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            limit.join()
            process.kill()


def _await(lines: Iterator[str] | None, word: str) -> None:
    assert lines is not None
    if not any(word in line for line in lines):
        raise EmotionEdgeError(
            "the daemon ended, or said nothing for two minutes: what does `emotion-edge doctor` say?"
        )


def _film_of_nobody(path: Path) -> Path:
    """A dark and a bright half, and a sensor's noise."""
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    random = np.random.default_rng(1)
    half = np.where(np.arange(WIDTH) < WIDTH // 2, 60, 180).astype(np.int16)
    for _ in range(FILM_SECONDS * FPS):
        noise = random.integers(-4, 5, (HEIGHT, WIDTH, 3), dtype=np.int16)
        film.write((half[None, :, None] + noise).astype(np.uint8))
    film.release()
    return path


def _cpu_seconds(process: int) -> float:
    """User's and system's; fields 14 and 15 of proc_pid_stat(5), counted after the name in parentheses."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
