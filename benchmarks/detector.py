"""Detector: what is found and what is believed, by each backend and range, with faces and without; and what that costs.

found, believed   faces a frame that the detector says, and those that became a track and are read
recall, ...       of what is believed, after the warm-up, where the truth is known: see benchmarks.film
readings_percent  frames with a face that is believed, per cent: what a faceless film should have none of
find, look        the detector on a frame; the closer look at what it is not sure of
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.bound import WARM_UP_FRAMES, Clock, refuse_too_few
from benchmarks.case import isolated
from benchmarks.film import CROWDS, Truth, open_film, sight
from benchmarks.footage import drift
from benchmarks.result import Document, document
from benchmarks.sample import durations
from edge import config
from edge.faces import face_finder
from edge.scene import Box, Face, Frame
from edge.sources.folder import read_picture
from edge.track import Tracker

FACELESS = Path(__file__).parents[1] / "tests" / "data" / "faceless"

SEEDS = 3
"""So many films of each faceless picture."""

FPS = 30
"""Of the films, for tracks."""

FINDERS = {f"litert {reach}": config.Faces(backend="litert", range=reach) for reach in ("short", "full", "auto")} | {
    f"mediapipe {reach}": config.Faces(backend="mediapipe", range=reach) for reach in ("short", "full")
}


@dataclass
class Sight:
    """What came of one film."""

    found: list[int] = field(default_factory=list)
    believed: list[tuple[int, list[Box]]] = field(default_factory=list)
    find: Clock = field(default_factory=Clock)
    look: Clock = field(default_factory=Clock)
    around: Clock = field(default_factory=Clock)

    def figures(self, truth: Truth) -> dict[str, float]:
        """After the warm-up."""
        refuse_too_few(len(self.found) - WARM_UP_FRAMES)
        believed, find_ms = self.believed[WARM_UP_FRAMES:], self.find.wall_ms[WARM_UP_FRAMES:]
        frames = len(believed)
        return {
            "found": sum(self.found[WARM_UP_FRAMES:]) / frames,
            "believed": sum(len(boxes) for _, boxes in believed) / frames,
            "readings_percent": 100 * sum(bool(boxes) for _, boxes in believed) / frames,
            **sight(believed, truth),
            **durations("find", find_ms),
            "find_cpu_ms": sum(self.find.cpu_ms[WARM_UP_FRAMES:]) / frames,
            "around_cpu_ms": sum(self.around.cpu_ms[WARM_UP_FRAMES:]) / frames,
            "looks": len(self.look.wall_ms),
            "look_ms": sum(self.look.wall_ms) / max(1, len(self.look.wall_ms)),
        }


def measure(settings: config.Faces, name: str, frames: int) -> dict[str, float]:
    """One film through detector and tracker."""
    if name in CROWDS or name == "demo":
        source, truth = open_film(name, config.Camera(), None, frames)
        return watch(islice(source, frames), settings).figures(truth)
    stem, _, seed = name.rpartition("-")
    pictures = drift(read_picture(FACELESS / f"{stem}.jpg"), frames, int(seed))
    film = (Frame(pixels, number / FPS, number / FPS, number) for number, pixels in enumerate(pictures))
    return watch(film, settings).figures([()])


def watch(film: Iterable[Frame], settings: config.Faces) -> Sight:
    """What is made of the frames."""
    seen, tracker = Sight(), Tracker(config.Track())
    with closing(face_finder(settings)) as finder:
        for frame in film:

            def is_face(face: Face, frame: Frame = frame) -> bool:
                seen.look.start()
                answer = finder.is_face(frame, face)
                seen.look.stop()
                return answer

            seen.find.start()
            faces = finder.find(frame)
            seen.find.stop()
            tracks = tracker.update(faces, frame.number / FPS, is_face).seen
            seen.around.start()
            finder.look_around(frame)
            seen.around.stop()
            seen.found.append(len(faces))
            seen.believed.append((frame.number, [each.face.box for each in tracks if each.confirmed]))
    return seen


def films() -> Iterator[str]:
    """Their names: the demo, the crowds, and those without a face."""
    yield from ("demo", *CROWDS)
    for path in sorted(FACELESS.glob("*.jpg")):
        yield from (f"{path.stem}-{seed}" for seed in range(SEEDS))


def run(finders: list[str], names: list[str], rounds: int, frames: int, tell: Callable[[str], None]) -> Document:
    """Each of these on each of those."""
    facts, done = machine.facts(), list[dict[str, dict[str, float]]]()
    for _ in range(rounds):
        done.append({})
        for finder in finders:
            for name in names:
                case = f"{finder} {name}"
                done[-1][case] = figures = isolated(measure, FINDERS[finder], name, frames)
                tell(f"{case}: {figures['believed']:.2f} believed, {figures['find_p50_ms']:.2f} ms")
            if faceless := [done[-1][f"{finder} {name}"] for name in names if _is_faceless(name)]:
                done[-1][f"{finder} faceless"] = _mean(faceless)
    about: dict[str, Any] = {"finders": finders, "films": names, "frames": frames, "fps": FPS}
    return document("detector", about, done, facts)


def _mean(films: list[dict[str, float]]) -> dict[str, float]:
    wanted = "found", "believed", "readings_percent"
    return {name: sum(each[name] for each in films) / len(films) for name in wanted}


def _is_faceless(name: str) -> bool:
    return name == "faces-0" or name not in ("demo", *CROWDS)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument(
        "--finder", action="append", choices=FINDERS, help="may be said again (default: all that are there)"
    )
    parser.add_argument("--film", action="append", choices=tuple(films()), metavar="FILM", help="default: all")
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=300, help="of each film (default: %(default)s)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    here = [name for name in FINDERS if find_spec("mediapipe") or not name.startswith("mediapipe")]
    return run(given.finder or here, given.film or list(films()), given.rounds, given.frames, tell)
