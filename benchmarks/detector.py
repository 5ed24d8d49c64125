"""Detector: what is found and what is believed, where there are faces and where there are none; and what that costs."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from benchmarks import machine
from benchmarks.footage import Picture, drift
from edge import config
from edge.faces import face_finder
from edge.run import one_thread_a_stage
from edge.scene import Face, Frame
from edge.sources import open_source
from edge.sources.folder import read_picture
from edge.track import Tracker

ROOT = Path(__file__).parents[1]

FACELESS = ROOT / "tests" / "data" / "faceless"

RANGES: tuple[Literal["short", "full", "auto"], ...] = ("short", "full", "auto")

SEEDS = 3
"""So many films of each faceless picture."""

FPS = 30
"""Of the films, for tracks."""


@dataclass
class Sight:
    """What came of one film: counts, and times in milliseconds."""

    frames: int = 0
    found: int = 0
    believed: int = 0
    frames_with_one_believed: int = 0
    looks: int = 0
    find_ms: float = 0.0
    look_ms: float = 0.0


def run(frames: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Each range on the demo clip and on films without a face, of so many frames each."""
    one_thread_a_stage()
    found = machine.facts()
    cases: dict[str, Sight] = {}
    for reach in RANGES:
        for name, film in films(frames):
            cases[f"{reach} {name}"] = case = watch(film, config.Faces(range=reach))
            tell(f"{reach} {name}: {case}")
    return {
        "benchmark": "detector",
        "schema": 1,
        "settings": {"frames": frames, "fps": FPS, "seeds": SEEDS},
        "machine": found,
        "doubts": machine.warnings(found),
        "cases": {name: vars(case) for name, case in cases.items()},
        "summary": summary(cases),
    }


def films(frames: int) -> Iterator[tuple[str, Iterator[Picture]]]:
    """Name and pictures of each, one after the other."""
    yield "demo", _demo(frames)
    for path in sorted(FACELESS.glob("*.jpg")):
        for seed in range(SEEDS):
            yield f"{path.stem}-{seed}", drift(read_picture(path), frames, seed)


def watch(film: Iterable[Picture], settings: config.Faces) -> Sight:
    """One film through detector and tracker."""
    sight, find_ms, look_ms, tracker = Sight(), [], list[float](), Tracker(config.Track())
    with closing(face_finder(settings)) as finder:
        for number, pixels in enumerate(film):
            frame = Frame(pixels, number / FPS, number / FPS, number)

            def is_face(face: Face, frame: Frame = frame) -> bool:
                began = time.perf_counter()
                answer = finder.is_face(frame, face)
                look_ms.append((time.perf_counter() - began) * 1000)
                return answer

            began = time.perf_counter()
            faces = finder.find(frame)
            find_ms.append((time.perf_counter() - began) * 1000)
            believed = sum(each.confirmed for each in tracker.update(faces, frame.moment, is_face).seen)
            sight.found += len(faces)
            sight.believed += believed
            sight.frames_with_one_believed += believed > 0
    sight.frames, sight.looks = len(find_ms), len(look_ms)
    sight.find_ms = statistics.fmean(find_ms)
    sight.look_ms = statistics.fmean(look_ms) if look_ms else 0.0
    return sight


def summary(cases: dict[str, Sight]) -> dict[str, float]:
    """Of each range: believed faces a frame of the demo, what is found in a hundred faceless frames, and the share of
    these with something believed, per cent."""
    figures = {}
    for reach in RANGES:
        demo, faceless = cases[f"{reach} demo"], [each for name, each in cases.items() if _is_faceless(name, reach)]
        frames = sum(each.frames for each in faceless)
        figures[f"{reach}_demo_faces"] = demo.believed / demo.frames
        figures[f"{reach}_demo_find_ms"] = demo.find_ms
        figures[f"{reach}_faceless_found_in_100_frames"] = 100 * sum(each.found for each in faceless) / frames
        figures[f"{reach}_faceless_believed_percent"] = 100 * sum(e.frames_with_one_believed for e in faceless) / frames
    return figures


def _is_faceless(name: str, reach: str) -> bool:
    return name.startswith(f"{reach} ") and name != f"{reach} demo"


def _demo(frames: int) -> Iterator[Picture]:
    source = open_source(config.Camera(source="demo", pace=False, repeat=True))
    return (frame.pixels for frame in islice(source, frames))
