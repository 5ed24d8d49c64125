"""The real threads on a clip, held against the bound that their own stages set in the same run.

Definitions (times in milliseconds a frame; medians, so that a stolen slice of the machine raises no bound):

    capture     reading or drawing one frame          detect    FaceFinder.find on it
    classify    Reader.read, for all faces of a frame
    L_bound     capture + detect + classify: a frame's way with nothing else to do
    T_bound     min(1000 / max(capture, detect + classify), cores * 1000 / L_bound) frames a second: each thread has a
                core, the slowest one sets the pace. What tracking, settling, events and the threads cost counts
                against us.
    steps       what the same steps took in the running pipeline, where caches are cold between paced frames
    age         from the frame's `captured_at` to its scene in the caller's hands
    captured = published + dropped, for every run, or the benchmark fails.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any

from benchmarks import machine
from edge import config
from edge.classifier import Classifier, open_classifier
from edge.errors import EmotionEdgeError, SettingsError
from edge.faces import face_finder
from edge.perceive import Reader
from edge.pipeline import Pipeline
from edge.run import one_thread_a_stage, perceiver_of
from edge.scene import Scene
from edge.sources import Source, open_source
from edge.stats import percentile

WARM_UP_FRAMES = 30


@dataclass
class Stages:
    """What each raw stage took for each frame, milliseconds, measured alone on one thread."""

    capture: list[float] = field(default_factory=list)
    detect: list[float] = field(default_factory=list)
    classify: list[float] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """Of a frame; classify is the median of one face times the mean number of faces."""
        each_face = [took / count for took, count in zip(self.classify, self.faces, strict=True) if count]
        one = statistics.median(each_face) if each_face else 0.0
        return {
            "capture": statistics.median(self.capture),
            "detect": statistics.median(self.detect),
            "classify_a_face": one,
            "classify": one * statistics.fmean(self.faces),
        }


def bounds(medians: dict[str, float], cores: int) -> dict[str, float]:
    """L_bound and the sum of medians, milliseconds, and T_bound, frames a second."""
    infer = medians["detect"] + medians["classify"]
    whole = medians["capture"] + infer
    return {
        "latency_bound_ms": whole,
        "throughput_bound_fps": min(1000 / max(medians["capture"], infer), cores * 1000 / whole),
    }


def measure_stages(source: Source, settings: config.Settings, classifier: Classifier, frames: int) -> Stages:
    """Every stage alone, one after the other, on the frames that the pipeline will see."""
    reader, stages = Reader(classifier, settings.limits, settings.model.abstain), Stages()
    with closing(face_finder(settings.faces)) as finder:
        for frame in islice(source, frames):
            began = time.perf_counter()
            faces = finder.find(frame)
            found = time.perf_counter()
            for face in faces:
                reader.read(frame.pixels, face)
            read = time.perf_counter()
            if frame.number >= WARM_UP_FRAMES:
                stages.capture.append(frame.took_ms)
                stages.detect.append((found - began) * 1000)
                stages.classify.append((read - found) * 1000)
                stages.faces.append(len(faces))
    _require(len(stages.capture))
    return stages


@dataclass
class Published:
    """What the caller of a Pipeline got, after the warm-up."""

    numbers: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    steps_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_began_seconds: float = 0.0

    def add(self, scene: Scene, now: float) -> None:
        """Count a scene that came at a time.monotonic(), seconds."""
        if scene.frame.number < WARM_UP_FRAMES:
            return
        if not self.numbers:
            self.cpu_began_seconds = time.process_time()
        self.numbers.append(scene.frame.number)
        self.at.append(now)
        self.ages_ms.append((now - scene.frame.captured_at) * 1000)
        for step, took_ms in {"capture": scene.frame.took_ms, **scene.took_ms}.items():
            self.steps_ms.setdefault(step, []).append(took_ms)

    def figures(self) -> dict[str, Any]:
        """Distinct frames a second, ages, evenness and cost."""
        cpu_seconds = time.process_time() - self.cpu_began_seconds
        return {
            "fps": (len(set(self.numbers)) - 1) / (self.at[-1] - self.at[0]),
            "frames": len(self.numbers),
            "span_frames": self.numbers[-1] - self.numbers[0] + 1,
            "age_ms": {f"p{q}": percentile(self.ages_ms, q) for q in (50, 95, 99)} | {"max": max(self.ages_ms)},
            "jitter_ms": self.jitter_ms(),
            "steps_p50_ms": {step: percentile(took, 50) for step, took in self.steps_ms.items()},
            "cpu_ms_a_frame": cpu_seconds * 1000 / len(self.numbers),
        }

    def jitter_ms(self) -> float:
        """p99 - p50 of the time between two scenes."""
        gaps = [(after - before) * 1000 for before, after in pairwise(self.at)]
        return percentile(gaps, 99) - percentile(gaps, 50)


def measure_pipeline(source: Source, settings: config.Settings, classifier: Classifier, frames: int) -> dict[str, Any]:
    """One run of the daemon's own threads, events counted."""
    told: Counter[str] = Counter()
    perceiver = perceiver_of(settings, classifier, lambda event: told.update([event.type]))
    published = Published()
    with closing(perceiver), Pipeline(source, perceiver, every=not source.live) as scenes:
        for scene in scenes:
            published.add(scene, time.monotonic())
            if scene.frame.number + 1 >= frames:
                break
    _require(len(published.numbers))
    captured, dropped = scenes.captured, dict(scenes.dropped)
    if captured != scenes.published + sum(dropped.values()):
        raise EmotionEdgeError(f"captured {captured}, published {scenes.published}, dropped {dropped}: a fault of ours")
    counts = {"captured": captured, "published": scenes.published, "dropped": dropped, "events": dict(told)}
    return published.figures() | counts


def _require(measured: int) -> None:
    if measured < 2:
        raise SettingsError(
            f"{measured} frames after {WARM_UP_FRAMES} of warm-up: take a longer clip, or more --frames"
        )


def run(settings: config.Settings, rounds: int, frames: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Alternate raw stages, flat-out runs and paced runs; all rounds, and the medians over them.

    frames  how many of the source a round takes; the clip's end comes earlier if it is shorter
    """
    one_thread_a_stage()
    classifier = open_classifier(settings.model)
    found = machine.facts()
    unpaced = replace(settings, camera=replace(settings.camera, pace=False))
    done, shares = [], []
    for number in range(1, rounds + 1):
        medians = measure_stages(open_source(unpaced.camera), unpaced, classifier, frames).medians()
        flat_out = measure_pipeline(open_source(unpaced.camera), unpaced, classifier, frames)
        paced = measure_pipeline(open_source(settings.camera), settings, classifier, frames)
        limits = bounds(medians, found["cores"])
        share = ratios(limits, flat_out, paced)
        done.append({"medians_ms": medians, **limits, "flat_out": flat_out, "paced": paced, **share})
        shares.append(share)
        say(
            f"round {number}/{rounds}: bound {limits['throughput_bound_fps']:.0f} FPS, flat out {flat_out['fps']:.0f} "
            f"({share['throughput_share']:.1%}); paced p99 age {paced['age_ms']['p99']:.1f} ms"
        )
    return {
        "benchmark": "pipeline",
        "schema": 1,
        "settings": {
            "source": settings.camera.source,
            "fps": settings.camera.fps,
            "frames": frames,
            "rounds": rounds,
            "size": [settings.camera.width, settings.camera.height],
            "range": settings.faces.range,
            "backend": settings.faces.backend,
            "warm_up_frames": WARM_UP_FRAMES,
        },
        "model": classifier.name,
        "machine": found,
        "doubts": machine.warnings(found),
        "rounds": done,
        "summary": {name: statistics.median(each[name] for each in shares) for name in shares[0]},
    }


def ratios(limits: dict[str, float], flat_out: dict[str, Any], paced: dict[str, Any]) -> dict[str, float]:
    """The figures that the goals speak of, from one round."""
    return {
        "throughput_share": flat_out["fps"] / limits["throughput_bound_fps"],
        "flat_out_fps": flat_out["fps"],
        "flat_out_p99_age_of_bound": flat_out["age_ms"]["p99"] / limits["latency_bound_ms"],
        "paced_published_share": paced["frames"] / paced["span_frames"],
        "paced_p50_age_of_bound": paced["age_ms"]["p50"] / limits["latency_bound_ms"],
        "paced_p99_age_of_bound": paced["age_ms"]["p99"] / limits["latency_bound_ms"],
        "paced_p99_age_of_steps": paced["age_ms"]["p99"] / sum(paced["steps_p50_ms"].values()),
    }
