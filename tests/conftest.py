"""What holds for all tests: no result depends on how fast or busy the machine is. And what several files use."""

import ctypes.util
import gc
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from hypothesis import HealthCheck, settings

from edge.sources.demo import DemoClip
from tests.screen import screen
from train import data, importers

__all__ = ["screen"]  # a fixture, for all tests

# A busy machine is no failure, so nothing is timed; CI tries the same examples each time, people try new ones.
settings.register_profile(
    "emotion-edge", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("emotion-edge")

# Plots are written to files; a screen may be there or not.
os.environ["MPLBACKEND"] = "Agg"

ROOT = Path(__file__).parents[1]
FACES = ROOT.parent / "shared" / "data" / "fer2013_ferplus.parquet"

needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None or ctypes.util.find_library("EGL") is None,
    reason="mediapipe or the system's libEGL is not installed",
)

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def shared_faces() -> data.FaceSet:
    """FER2013 with FER+ votes, where it is; it does not ship."""
    if not FACES.is_file():
        pytest.skip(f"no {FACES.name} in shared/data beside the checkout")
    pytest.importorskip("pyarrow", reason="reading the data set needs pyarrow")
    return importers.read_all([FACES])


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two seconds of the demo, a face that moves, as a video file."""
    path, fps = tmp_path_factory.mktemp("clip") / "clip.avi", 15
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (320, 240))
    clip = DemoClip(320, 240, fps)
    for number in range(2 * fps):
        film.write(cv2.cvtColor(clip.picture(number), cv2.COLOR_RGB2BGR))
    film.release()
    return path


@pytest.fixture(scope="session")
def emotion_edge() -> Callable[..., Done]:
    """The command line as people start it, in a process of its own; options are subprocess.run's."""
    strict = ["-X", "dev", "-W", "error::ResourceWarning"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PYTHONPATH"] = str(ROOT)  # wherever it is started
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    usual: dict[str, Any] = {"cwd": ROOT, "text": True, "timeout": 100, "check": False, **streams}

    def run(*words: object, env: dict[str, str] | None = None, **options: Any) -> Done:
        command = [sys.executable, *strict, "-m", "edge", *map(str, words)]
        return subprocess.run(command, env=environment | (env or {}), **(usual | options))

    return run


@pytest.fixture
def in_process(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """The same without a process, where a test has no use for one: it is fast."""
    from edge.cli import STOPS, main

    before = [signal.getsignal(each) for each in STOPS]

    def run(*words: object) -> Done:
        try:
            code: Any = main([*map(str, words)])
        except SystemExit as left:  # argparse, for --help and for words that it does not know
            code = left.code
        said = capsys.readouterr()
        return Done([*map(str, words)], code, said.out, said.err)

    yield run
    gc.unfreeze()  # what a run keeps out of collections for its life
    for each, handler in zip(STOPS, before, strict=True):
        signal.signal(each, handler)
