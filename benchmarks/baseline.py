"""Baseline: our pipeline beside the ways in which others write it, on the same film, one after the other.

All but the tutorial use the same two networks, so that they differ in how the work is done and in nothing else:

    ours              the daemon's threads, with tracking, settled labels and events
    bare loop         decode, our detector, the classifier, the next frame: nothing is followed, nothing is told
    Tasks API loop    the same, the detector by the MediaPipe Tasks API
    queued threads    a thread puts frames in a queue, another takes them out: all are read, however late
    tutorial          OpenCV's Haar cascade and Keras' `Model.predict` for each face, as nearly every tutorial has it

Where the camera is faster than the machine, a queue makes pictures old: `queued threads` and `ours` are also shown the
film at FASTER times the frames a second that the bare loop reached. The tutorial needs the training environment with
OpenCV's contrib modules, and Debian's opencv-data; the Tasks API needs mediapipe. What has not its parts is left out.
"""

import argparse
import os
import queue
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from threading import Thread

import cv2
import numpy as np

from benchmarks import machine, pipeline
from benchmarks.bound import WARM_UP_FRAMES
from benchmarks.case import isolated
from benchmarks.film import open_film, refuse_unknown, settings_of, sight
from benchmarks.result import Document, document
from benchmarks.seen import Seen
from edge import config
from edge.classifier import open_classifier
from edge.contract import InputSpec
from edge.faces import face_finder
from edge.perceive import Reader
from edge.scene import Box, Frame

CASCADE = Path("/usr/share/opencv4/haarcascades/haarcascade_frontalface_default.xml")
"""Debian's opencv-data has it; OpenCV's own packages no longer do."""

FASTER = 3
"""A camera that is too fast gives so many times the frames that the bare loop can do."""

Look = Callable[[Frame], list[Box]]
"""Finds the faces of a frame and reads each; says where they are."""


def ours(settings: config.Settings, name: str, frames: int, fps: float | None) -> dict[str, float]:
    """See benchmarks.pipeline."""
    figures = pipeline.measure(settings, name, frames, fps, len(os.sched_getaffinity(0)))
    wanted = {"fps", "cpu_ms_a_frame", "faces", "recall", "false_boxes_a_frame"}
    return {each: value for each, value in figures.items() if each in wanted or each.startswith("age_")}


def loop(look: Look, name: str, settings: config.Settings, frames: int) -> dict[str, float]:
    """One thread, one frame after the other."""
    source, truth = open_film(name, settings.camera, None, frames)
    seen = Seen()
    for frame in islice(source, frames):
        seen.add(frame, look(frame), time.monotonic())
    return {**seen.figures(), **sight(seen.boxes, truth)}


def bare_loop(settings: config.Settings, name: str, frames: int, fps: float | None) -> dict[str, float]:
    """Flat out."""
    with _looking(settings) as look:
        return loop(look, name, settings, frames)


def queued_threads(settings: config.Settings, name: str, frames: int, fps: float | None) -> dict[str, float]:
    """With a queue without end, as `queue.Queue()` is."""
    source, truth = open_film(name, settings.camera, fps, frames)
    waiting: queue.Queue[Frame | None] = queue.Queue()
    seen = Seen()

    def capture() -> None:
        for frame in islice(source, frames):
            time.sleep(max(0.0, frame.captured_at - time.monotonic()))
            waiting.put(frame)
        waiting.put(None)

    with _looking(settings) as look:
        Thread(target=capture).start()
        for frame in iter(waiting.get, None):
            seen.add(frame, look(frame), time.monotonic())
    return {**seen.figures(), **sight(seen.boxes, truth)}


def tutorial(settings: config.Settings, name: str, frames: int, fps: float | None) -> dict[str, float]:
    """Flat out. The network is the tutorials' own, mini-Xception, with weights of chance: the answers cost the same."""
    from train.networks import build

    cascade = cv2.CascadeClassifier(str(CASCADE))  # type: ignore[attr-defined]  # contrib's
    network = build("mini-xception", InputSpec(), {"label": 7})

    def look(frame: Frame) -> list[Box]:
        grey = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
        found = cascade.detectMultiScale(grey, 1.3, 5)
        for x, y, width, height in found:
            face = cv2.resize(grey[y : y + height, x : x + width], (48, 48)) / 255.0
            network.predict(face[np.newaxis, ..., np.newaxis], verbose=0)
        return [Box(x, y, x + width, y + height) for x, y, width, height in found]

    return loop(look, name, settings, frames)


@contextmanager
def _looking(settings: config.Settings) -> Generator[Look, None, None]:
    """Our detector and our reader, one after the other."""
    reader = Reader(open_classifier(settings.model), settings.limits, settings.model.abstain)
    with closing(face_finder(settings.faces)) as finder:

        def look(frame: Frame) -> list[Box]:
            faces = finder.find(frame)
            for face in faces:
                reader.read(frame.pixels, face)
            finder.look_around(frame)
            return [face.box for face in faces]

        yield look


def cases(settings: config.Settings) -> dict[str, tuple[Callable[..., dict[str, float]], config.Settings]]:
    """Those that this environment has the parts for: what measures each, with which settings."""
    tasks = replace(settings, faces=replace(settings.faces, backend="mediapipe"))
    all_of_them = {
        "ours": (ours, settings),
        "bare loop": (bare_loop, settings),
        "queued threads": (queued_threads, settings),
    }
    if find_spec("mediapipe"):
        all_of_them["Tasks API loop"] = (bare_loop, tasks)
    if find_spec("tensorflow") and hasattr(cv2, "CascadeClassifier") and CASCADE.exists():
        all_of_them["tutorial"] = (tutorial, settings)
    return all_of_them


def run(settings: config.Settings, name: str, rounds: int, frames: int, tell: Callable[[str], None]) -> Document:
    """Every loop in every round; a thirtieth of the frames for the tutorial, which needs a hundred times as long."""
    refuse_unknown(name)
    facts, here = machine.facts(), cases(settings)
    done: list[dict[str, dict[str, float]]] = []
    for number in range(1, rounds + 1):
        done.append({})
        for case, (measure, wanted) in here.items():
            few = max(WARM_UP_FRAMES * 3, frames // 30) if case == "tutorial" else frames
            done[-1][case] = figures = isolated(measure, wanted, name, few, None)
            tell(f"round {number}/{rounds} {case}: {figures['fps']:.0f} FPS, {figures['cpu_ms_a_frame']:.2f} CPU-ms")
        too_fast = FASTER * done[-1]["bare loop"]["fps"]
        for case in ("ours", "queued threads"):
            measure, wanted = here[case]
            done[-1][f"{case}, too many frames"] = figures = isolated(measure, wanted, name, frames, too_fast)
            tell(f"round {number}/{rounds} {case} at {too_fast:.0f} FPS: p99 {figures['age_p99_ms']:.0f} ms")
    about = {"film": name, "loops": list(here), "frames": frames, "faster": FASTER, "warm_up_frames": WARM_UP_FRAMES}
    return document("baseline", about | settings_of(settings.camera), done, facts)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--film", default="faces-1", help="see `pipeline` (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=900, help="a run (default: %(default)s)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(config.Settings(), given.film, given.rounds, given.frames, tell)
