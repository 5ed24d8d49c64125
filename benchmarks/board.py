"""Board: all that one computer can tell of itself in ten minutes, as a report that its owner can send to others.

    rounds         of startup, model, stage, pipeline and daemon, see those
    doctor         the checks of `emotion-edge doctor`, with the default settings; of those that could tell of you, such
                   as where files lie, the verdict alone
    before, after  temperature and throttling, around all that is measured

No name, address, serial number or folder of yours is in it: see benchmarks.anonymous.
"""

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks import daemon, machine, model, pipeline, result, stage, startup
from benchmarks.anonymous import LEFT_OUT, names_here, without_names
from benchmarks.result import Document, document
from edge import board, config, doctor

TOLD_IN_FULL = {
    *("system", "board", "architecture", "glibc", "CPU governor", "temperature", "throttling", "journal", "clock"),
    *("threads", "Python", "wheels", "numpy and OpenCV", "one OpenCV", "window", "interpreter", "face detector"),
    *("emotion model", "groups", "camera", "libcamera", "picamera2"),
}
"""The checks that tell of the computer; of the others, and of those to come, the report has only the verdict."""


def run(rounds: int, frames: int, seconds: float, tell: Callable[[str], None]) -> Document:
    """The report; EmotionEdgeError for what cannot be measured. `tell` is told how far it is.

    rounds   of each part
    frames   of a run of the pipeline
    seconds  of a stretch of the daemon
    """
    settings = config.Settings()
    tell("doctor looks at the computer")
    checks = doctor.document(doctor.checks(settings))
    facts, before = machine.facts(), condition()
    parts = [
        startup.run(rounds, tell),
        model.run([settings.model.file], rounds, frames, tell),
        stage.run(rounds, frames, tell),
        pipeline.run(settings, ["demo"], rounds, frames, [30.0], tell),
        daemon.run(["one face", "nobody"], rounds, seconds, tell),
    ]
    rounds_of_all = [_together(parts, number) for number in range(rounds)]
    about = {each["benchmark"]: each["settings"] for each in parts}
    told = {"doctor": for_strangers(checks), "before": before, "after": condition()}
    without: Document = without_names(document("board", about, rounds_of_all, facts, **told), names_here())
    return without


def _together(parts: list[Document], number: int) -> dict[str, dict[str, float]]:
    """A round of every part; a case is named after its part."""
    return {f"{part['benchmark']}: {case}": each for part in parts for case, each in part["rounds"][number].items()}


def condition() -> dict[str, Any]:
    """How warm it is, and what holds the processor back; null where the computer does not tell."""
    bits = board.throttle_bits()
    names = None if bits is None else list(board.throttle_names(bits))
    return {"temperature_c": board.temperature_celsius(), "throttling": names}


def for_strangers(document: dict[str, Any]) -> dict[str, Any]:
    """Doctor's document with the verdicts, and with what was found in TOLD_IN_FULL."""
    quiet = {"found": LEFT_OUT, "mend": LEFT_OUT}
    return {
        **document,
        "checks": [each | ({} if each["name"] in TOLD_IN_FULL else quiet) for each in document["checks"]],
    }


def as_markdown(report: Document) -> str:
    """A page of it: what it was measured on, what is not well, and the figures."""
    facts, before, after = report["machine"], report["before"], report["after"]
    told = {
        "system": facts["system"],
        "temperature before, after": f"{_degrees(before)}, {_degrees(after)}",
        "throttling before, after": f"{_throttling(before)}; {_throttling(after)}",
    }
    unwell = {
        each["name"]: f"{each['verdict']}: {each['found']}"
        for each in report["doctor"]["checks"]
        if each["verdict"] != "ok"
    }
    lines = [f"| {name} | {value} |".replace("\n", " ") for name, value in (told | unwell).items()]
    return "\n".join(["# Report of a board", "", "| | |", "|---|---|", *lines, "", result.as_markdown(report)])


def _degrees(told: dict[str, Any]) -> str:
    return "not told" if told["temperature_c"] is None else f"{told['temperature_c']:.0f} °C"


def _throttling(told: dict[str, Any]) -> str:
    return "not told" if told["throttling"] is None else ", ".join(told["throttling"]) or "none"


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--rounds", type=int, default=3, help="of each part (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=900, help="of a run of the pipeline (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a daemon's stretch (default: %(default)s)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(given.rounds, given.frames, given.seconds, tell)
