"""Model: what one face costs, by network and interpreter threads: the network alone, and all that a reading takes."""

import argparse
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.bound import Clock
from benchmarks.case import isolated
from benchmarks.footage import crowd
from benchmarks.result import Document, document
from benchmarks.sample import durations
from edge import interpreter
from edge.classifier import Classifier, model_file, shipped
from edge.contract import Corners, InputSpec, box_corners, crop

WARM_UP_READINGS = 50

FACES = 100
"""Distinct pictures of a face, read in turn."""

Sighting = tuple[NDArray[np.uint8], Corners]
"""A picture, and where the crop of its face lies."""


def measure(path: str, threads: int, readings: int) -> dict[str, float]:
    """Of one file: `reading` is from the frame's pixels to the probabilities, `invoke` the interpreter's part."""
    model = Classifier.read(Path(path), threads)
    reading, invoke = Clock(), Clock()
    for picture, around in islice(cycle(_sightings(model.card.input)), WARM_UP_READINGS + readings):
        reading.start()
        model.probabilities(model.logits(crop(picture, model.card.input, around)))
        reading.stop()
    network = interpreter.load(model.content, threads, path)
    for _ in range(WARM_UP_READINGS + readings):
        invoke.start()
        network.invoke()
        invoke.stop()
    return {
        **durations("reading", reading.wall_ms[WARM_UP_READINGS:]),
        **durations("invoke", invoke.wall_ms[WARM_UP_READINGS:]),
        "file_bytes": float(len(model.content)),
    }


def _sightings(spec: InputSpec) -> Iterator[Sighting]:
    for picture, (box,) in crowd(FACES, 1, seed=2):
        yield picture, box_corners(box.left, box.top, box.right, box.bottom, spec)


def run(files: list[str], rounds: int, readings: int, tell: Callable[[str], None]) -> Document:
    """Each file with one thread, two, and as many as there are cores."""
    facts, done = machine.facts(), []
    paths = {name: str(model_file(name)) for name in files}
    for number in range(1, rounds + 1):
        done.append(
            {
                f"{name}, {threads} thread{'s'[: threads > 1]}": isolated(measure, path, threads, readings)
                for name, path in paths.items()
                for threads in sorted({1, 2, facts["cores"]})
            }
        )
        tell(
            f"round {number}/{rounds} "
            + "; ".join(f"{case}: {each['reading_p50_ms']:.2f} ms" for case, each in done[-1].items())
        )
    return document("model", {"files": files, "readings": readings, "warm_up_readings": WARM_UP_READINGS}, done, facts)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument(
        "--model", action="append", metavar="MODEL", help="a name or a .tflite file (default: those that ship)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--readings", type=int, default=2000, help="a case (default: %(default)s)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(given.model or list(shipped()), given.rounds, given.readings, tell)
