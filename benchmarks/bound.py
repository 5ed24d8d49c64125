"""Bound: what the raw stages of a film allow, each measured alone on one thread, with nothing around it.

Of the medians of a frame, in milliseconds, w of the clock on the wall and c of the processor, with k faces, on N cores,
from a camera of f frames a second (PERFORMANCE.md of the design, section 4):

    L_bound  w_capture + w_detect + k w_classify: the way of one frame with nothing else to do
    T_bound  min(f, 1000 / max(w_capture, w_detect, k w_classify), N 1000 / (c_capture + c_detect + k c_classify))

Medians, so that a stolen slice of the machine raises no bound. What tracking, settling, events and threads cost counts
against us.
"""

import statistics
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from benchmarks.film import Truth, open_film, sight
from edge import config
from edge.classifier import open_classifier
from edge.errors import SettingsError
from edge.faces import FaceFinder, face_finder
from edge.perceive import Reader
from edge.scene import Box, Frame

WARM_UP_FRAMES = 30
"""So many frames at the start of each run are not counted."""

STAGES = "capture", "detect", "classify"


@dataclass
class Clock:
    """Time on the wall and of this thread's processor, milliseconds, for each stretch that was measured."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def start(self) -> None:
        self._began = time.perf_counter(), time.thread_time()

    def stop(self) -> None:
        self.wall_ms.append((time.perf_counter() - self._began[0]) * 1000)
        self.cpu_ms.append((time.thread_time() - self._began[1]) * 1000)


@dataclass
class Stages:
    """The clock of each stage, a stretch for each frame, and how many faces were read in it."""

    capture: Clock = field(default_factory=Clock)
    detect: Clock = field(default_factory=Clock)
    classify: Clock = field(default_factory=Clock)
    faces: list[int] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """Of a frame; classify is the median of one face times the mean number of faces."""
        told = {"faces": statistics.fmean(self.faces)}
        for stage, clock in (("capture", self.capture), ("detect", self.detect), ("classify", self.classify)):
            for unit, taken in (("ms", clock.wall_ms), ("cpu_ms", clock.cpu_ms)):
                told[f"{stage}_{unit}"] = self._each_frame(taken) if stage == "classify" else statistics.median(taken)
        return told

    def _each_frame(self, taken: Iterable[float]) -> float:
        a_face = [took / count for took, count in zip(taken, self.faces, strict=True) if count]
        return statistics.median(a_face) * statistics.fmean(self.faces) if a_face else 0.0


def bounds(medians: dict[str, float], cores: int, camera_fps: float | None = None) -> dict[str, float]:
    """L_bound, milliseconds, and T_bound, frames a second."""
    wall, cpu = ([medians[f"{stage}_{unit}"] for stage in STAGES] for unit in ("ms", "cpu_ms"))
    limits = [1000 / max(wall), cores * 1000 / sum(cpu), *([camera_fps] if camera_fps else [])]
    return {"latency_bound_ms": sum(wall), "throughput_bound_fps": min(limits)}


def measure(settings: config.Settings, name: str, frames: int) -> dict[str, float]:
    """The medians of the film's stages, and what a loop over them finds."""
    source, truth = open_film(name, settings.camera, None, frames)
    with closing(face_finder(settings.faces)) as finder:
        reader = Reader(open_classifier(settings.model), settings.limits, settings.model.abstain)
        stages, seen = _timed(iter(source), frames, finder, reader)
    return {**stages.medians(), **_found(seen, truth)}


def _timed(
    source: Iterable[Frame], frames: int, finder: FaceFinder, reader: Reader
) -> tuple[Stages, list[tuple[int, list[Box]]]]:
    stages, seen = Stages(), []
    arriving = islice(source, frames)
    while True:
        stages.capture.start()
        frame = next(arriving, None)
        stages.capture.stop()
        if frame is None:
            break
        stages.detect.start()
        faces = finder.find(frame)
        stages.detect.stop()
        stages.classify.start()
        for face in faces:
            reader.read(frame.pixels, face)
        stages.classify.stop()
        finder.look_around(frame)  # when the frame's way is at its end: it counts for the pipeline, not for the bound
        stages.faces.append(len(faces))
        seen.append((frame.number, [face.box for face in faces]))
    return _warm(stages), seen[WARM_UP_FRAMES:]


def _warm(stages: Stages) -> Stages:
    """Without the warm-up, and the end of the film, which is no frame."""
    refuse_too_few(len(stages.faces) - WARM_UP_FRAMES)
    frames = slice(WARM_UP_FRAMES, len(stages.faces))
    alone = (stages.capture, stages.detect, stages.classify)
    capture, detect, classify = (Clock(each.wall_ms[frames], each.cpu_ms[frames]) for each in alone)
    return Stages(capture, detect, classify, stages.faces[frames])


def _found(seen: list[tuple[int, list[Box]]], truth: Truth) -> dict[str, float]:
    return {f"loop_{name}": value for name, value in sight(seen, truth).items()}


def refuse_too_few(measured: int) -> None:
    """SettingsError for less than two frames after the warm-up."""
    if measured < 2:
        raise SettingsError(
            f"{max(measured, 0)} frames after {WARM_UP_FRAMES} of warm-up: take a longer film, or more --frames"
        )
