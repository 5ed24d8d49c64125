"""Stage: what each single step of the daemon's work takes by itself, on pictures of one near face."""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.bound import Clock
from benchmarks.case import isolated
from benchmarks.film import compressed
from benchmarks.footage import crowd
from benchmarks.result import Document, document
from benchmarks.sample import durations
from edge import config
from edge.classifier import Classifier
from edge.contract import box_corners, crop, eye_corners
from edge.events import EmotionEvent
from edge.faces import face_finder
from edge.faces.blazeface import letterbox
from edge.faces.networks import NETWORKS
from edge.page.channel import Inlet, Outlet, channel
from edge.page.host import jpeg
from edge.perceive import Reader, sharpness
from edge.record import Recorder, Sink
from edge.render import draw
from edge.scene import Frame, Scene
from edge.sinks import JsonLines
from edge.store import Store

WARM_UP_TIMES = 30

PICTURES = 50
"""Distinct pictures, in turn."""

Step = Callable[[int], Any]
"""Does the work on the picture of this number, 0 to PICTURES - 1."""


class Stage:
    """Everything that a step needs; opened things are closed by `opened`."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        film = list(crowd(PICTURES, 1, seed=3))
        self._frames = [Frame(picture, 0.0, 0.0, number) for number, (picture, _) in enumerate(film)]
        self._boxes = [boxes[0] for _, boxes in film]
        self._model = Classifier.read()
        self._finder = opened.enter_context(closing(face_finder(config.Faces(range="short"))))
        self._faces = [self._finder.find(frame)[0] for frame in self._frames]
        self._folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="emotion-edge-stage-")))

    def decode_mjpeg(self) -> Step:
        sent = [compressed(frame.pixels) for frame in self._frames]
        return lambda number: cv2.imdecode(sent[number], cv2.IMREAD_COLOR_RGB)

    def decode_yuyv(self) -> Step:
        sent = [yuyv(frame.pixels) for frame in self._frames]
        room = np.empty_like(self._frames[0].pixels)
        return lambda number: cv2.cvtColor(sent[number], cv2.COLOR_YUV2RGB_YUYV, dst=room)

    def copy(self) -> Step:
        return lambda number: self._frames[number].pixels.copy()

    def letterbox(self) -> Step:
        side = NETWORKS["short"].side
        maps, room = letterbox(640, 480, side).maps, np.empty((side, side, 3), np.uint8)
        return lambda number: cv2.remap(self._frames[number].pixels, *maps, cv2.INTER_LINEAR, dst=room)

    def detect_short(self) -> Step:
        return lambda number: self._finder.find(self._frames[number])

    def detect_full(self) -> Step:
        finder = self._opened.enter_context(closing(face_finder(config.Faces(range="full"))))
        return lambda number: finder.find(self._frames[number])

    def closer_look(self) -> Step:
        return lambda number: self._finder.is_face(self._frames[number], self._faces[number])

    def crop(self) -> Step:
        spec = self._model.card.input
        around = [box_corners(box.left, box.top, box.right, box.bottom, spec) for box in self._boxes]
        return lambda number: crop(self._frames[number].pixels, spec, around[number])

    def align_by_eyes(self) -> Step:
        spec = self._model.card.input
        around = [eye_corners(face.right_eye, face.left_eye, spec) for face in self._faces]
        return lambda number: crop(self._frames[number].pixels, spec, around[number])

    def sharpness(self) -> Step:
        cut = self.crop()
        crops = [cut(number) for number in range(PICTURES)]
        return lambda number: sharpness(crops[number])

    def read(self) -> Step:
        reader = self._reader()
        return lambda number: reader.read(self._frames[number].pixels, self._faces[number])

    def draw(self) -> Step:
        scenes = self._scenes()
        return lambda number: draw(scenes[number], "30.0 FPS")

    def encode_jpeg(self) -> Step:
        return lambda number: jpeg(self._frames[number].pixels)

    def record_event(self) -> Step:
        return self._record(JsonLines(self._folder / "events.jsonl"))

    def store_event(self) -> Step:
        return self._record(Store(config.Store(path=self._folder / "events.db")))

    def publish_picture(self) -> Step:
        """To the page's process, which takes it out again."""
        here, there = channel()
        outlet, inlet = Outlet(here), Inlet(there)
        pictures = [jpeg(frame.pixels) for frame in self._frames]

        def step(number: int) -> None:
            outlet.put(pictures[number])
            inlet.newest()

        return step

    def _reader(self) -> Reader:
        return Reader(self._model, config.Limits())

    def _scenes(self) -> list[Scene]:
        reader = self._reader()
        return [
            Scene(frame, (reader.read(frame.pixels, face),))
            for frame, face in zip(self._frames, self._faces, strict=True)
        ]

    def _record(self, sink: Sink) -> Step:
        recorder = Recorder("bench", self._model.name, [self._opened.enter_context(closing(sink))])
        return lambda number: recorder.write(EVENT)


EVENT = EmotionEvent(
    "change", 1, "happy", 0.9, "", (("happy", 0.9), ("neutral", 0.06), ("sad", 0.04)), (0.3, 0.3, 0.3, 0.3), 200.0,
    1200.0, {"capture": 1.0, "detect": 1.4, "track": 0.1, "classify": 0.8, "settle": 0.1}, 1.0, 30,
)  # fmt: skip

STAGES = tuple(name for name in vars(Stage) if not name.startswith("_"))


def yuyv(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(height, width, 2): an RGB picture as a webcam sends it uncompressed, BT.601."""
    luma, red, blue = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))
    chroma = np.empty_like(luma)
    chroma[:, ::2], chroma[:, 1::2] = blue[:, ::2], red[:, ::2]
    return np.dstack([luma, chroma])


def measure(name: str, times: int) -> dict[str, float]:
    """One step, so many times after the warm-up."""
    clock = Clock()
    with ExitStack() as opened:
        step = getattr(Stage(opened), name)()
        for number in range(WARM_UP_TIMES + times):
            clock.start()
            step(number % PICTURES)
            clock.stop()
    taken_ms, cpu_ms = clock.wall_ms[WARM_UP_TIMES:], clock.cpu_ms[WARM_UP_TIMES:]
    return {**durations("stage", taken_ms), "cpu_p50_ms": durations("cpu", cpu_ms)["cpu_p50_ms"]}


def run(rounds: int, times: int, tell: Callable[[str], None]) -> Document:
    """Every step in every round."""
    facts, done = machine.facts(), []
    for number in range(1, rounds + 1):
        done.append({name: isolated(measure, name, times) for name in STAGES})
        tell(
            f"round {number}/{rounds} "
            + ", ".join(f"{name} {each['stage_p50_ms']:.3f}" for name, each in done[-1].items())
        )
    return document("stage", {"times": times, "warm_up_times": WARM_UP_TIMES, "size": [640, 480]}, done, facts)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--times", type=int, default=500, help="each step (default: %(default)s)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(given.rounds, given.times, tell)
