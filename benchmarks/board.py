"""Board: all that one computer can tell of itself in five minutes, as a report that its owner can send to others.

    machine        see benchmarks.machine
    doctor         the checks of `emotion-edge doctor`, with the default settings; of those that could tell of you, such
                   as where files lie, the verdict alone
    before, after  temperature and throttling, around all that is measured
    pipeline       see benchmarks.pipeline
    summary        startup_seconds and idle_share_of_core, see benchmarks.daemon, and the figures of the pipeline

No name, address, serial number or folder of yours is in it: see benchmarks.anonymous.
"""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks import pipeline
from benchmarks.anonymous import LEFT_OUT, names_here, without_names
from benchmarks.daemon import first_event_seconds, idle_share
from edge import board, config, doctor

TOLD_IN_FULL = {
    *("system", "board", "architecture", "glibc", "CPU governor", "temperature", "throttling", "journal", "clock"),
    *("threads", "Python", "wheels", "numpy and OpenCV", "one OpenCV", "window", "interpreter", "face detector"),
    *("emotion model", "groups", "camera", "libcamera", "picamera2"),
}
"""The checks that tell of the computer; of the others, and of those to come, the report has only the verdict."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each part is measured; the defaults take about five minutes on a Raspberry Pi 4 (estimated)."""

    rounds: int = 3
    frames: int = 900
    starts: int = 5
    idle_seconds: float = 30.0


def run(effort: Effort, tell: Callable[[str], None]) -> dict[str, Any]:
    """The report; EmotionEdgeError for what cannot be measured. `tell` is told how far it is."""
    settings = config.Settings()
    tell("doctor looks at the computer")
    checks = doctor.document(doctor.checks(settings))
    before = condition()
    tell(f"start-up, {effort.starts} times")
    startup = statistics.median(first_event_seconds() for _ in range(effort.starts))
    tell(f"idle, {effort.idle_seconds:g} s")
    idle = idle_share(effort.idle_seconds)
    measured = pipeline.run(settings, effort.rounds, effort.frames, tell)
    report = {
        "benchmark": "board",
        "schema": 1,
        "machine": measured["machine"],
        "doubts": measured["doubts"],
        "model": measured["model"],
        "doctor": for_strangers(checks),
        "before": before,
        "after": condition(),
        "pipeline": {name: measured[name] for name in ("settings", "rounds")},
        "summary": {"startup_seconds": startup, "idle_share_of_core": idle, **measured["summary"]},
    }
    without: dict[str, Any] = without_names(report, names_here())
    return without


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


def as_markdown(report: dict[str, Any]) -> str:
    """A page of it: what it was measured on, the figures, and what is not well."""
    machine, before, after = report["machine"], report["before"], report["after"]
    facts = {
        "board": machine["board"] or machine["processor"],
        "system": machine["system"],
        "cores": machine["cores"],
        "versions": f"emotion-edge {machine['emotion_edge']}, Python {machine['python']}, {machine['interpreter']}",
        "model": report["model"],
        "temperature before, after": f"{_degrees(before)}, {_degrees(after)}",
        "throttling before, after": f"{_throttling(before)}; {_throttling(after)}",
    }
    figures = {name: f"{value:.3f}" for name, value in report["summary"].items()}
    unwell = [each for each in report["doctor"]["checks"] if each["verdict"] != "ok"]
    lines = [
        *("# Report of a board", "", f"`python -m benchmarks board`, {machine['date'][:10]}", ""),
        *_table("", facts.items()),
        *_table("figure", figures.items()),
        *_table("not well", [(each["name"], f"{each['verdict']}: {each['found']}") for each in unwell]),
        *(f"- doubtful: {each}" for each in report["doubts"]),
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, rows: Iterable[tuple[str, Any]]) -> list[str]:
    listed = [f"| {name} | {value} |".replace("\n", " ") for name, value in rows]
    return [f"| {title} | |", "|---|---|", *listed, ""] if listed else []


def _degrees(told: dict[str, Any]) -> str:
    return "not told" if told["temperature_c"] is None else f"{told['temperature_c']:.0f} °C"


def _throttling(told: dict[str, Any]) -> str:
    return "not told" if told["throttling"] is None else ", ".join(told["throttling"]) or "none"
