"""Soak: the real daemon at full speed for a long time; does anything grow?"""

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.case import ROOT
from benchmarks.daemon import PAGED, SPEED, command
from benchmarks.result import Document, document
from edge.errors import EmotionEdgeError

SAMPLES = 240
"""So many looks at the process, evenly over the time."""

WARM_UP_SHARE = 0.3
"""The first part of the time, in which caches and arenas fill, is left out of the slope: Python's small objects settle
into their memory within some minutes, the slower the nearer the end."""

WINDOWS = 6
"""The log's figures are those of so many parts of the time: of an hour, ten minutes each."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process had at a time, seconds from its start."""

    at_seconds: float
    resident_bytes: int
    descriptors: int
    threads: int


def run(seconds: float, tell: Callable[[str], None]) -> Document:
    """The daemon with record and page for so long; EmotionEdgeError if it ends before, or badly."""
    facts = machine.facts()
    with tempfile.TemporaryDirectory(prefix="emotion-edge-soak-") as folder:
        log_path = Path(folder) / "log"
        with log_path.open("w") as log, _daemon(Path(folder), seconds / WINDOWS, log) as process:
            samples = _watched(process, seconds, tell)
            process.terminate()
            code = process.wait(30)
        log_lines = log_path.read_text().splitlines()
    if code:
        raise EmotionEdgeError(f"the daemon ended with code {code}: {log_lines[-1]}")
    parts = {f"part {number} of {WINDOWS}": each for number, each in enumerate(_windows(log_lines), 1)}
    about = {"seconds": seconds, "samples": len(samples), "warm_up_share": WARM_UP_SHARE}
    return document("soak", about, [{"growth": growth(samples), **parts}], facts)


def _daemon(folder: Path, report_seconds: float, log: Any) -> "subprocess.Popen[bytes]":
    settings = {"camera.repeat": "true", "events.report_seconds": f"{report_seconds:.3f}", **PAGED}
    words = command("--source", "demo", "--no-pace", "--store", str(folder / "events.db"), settings=settings)
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log)


def _watched(process: "subprocess.Popen[bytes]", seconds: float, tell: Callable[[str], None]) -> list[Sample]:
    began, samples = time.monotonic(), []
    while (at := time.monotonic() - began) < seconds and process.poll() is None:
        samples.append(_look(process.pid, at))
        tell(json.dumps(asdict(samples[-1])))
        time.sleep(seconds / SAMPLES)
    if process.poll() is not None:
        raise EmotionEdgeError(f"the daemon ended after {at:.0f} of {seconds:g} s with code {process.returncode}")
    return samples


def _look(process: int, at_seconds: float) -> Sample:
    here = Path(f"/proc/{process}")
    status = dict(re.findall(r"(\w+):\s+(\d+)", (here / "status").read_text()))
    descriptors = len(list((here / "fd").iterdir()))
    return Sample(round(at_seconds, 1), int(status["VmRSS"]) * 1024, descriptors, int(status["Threads"]))


def growth(samples: list[Sample]) -> dict[str, float]:
    """What changed after the warm-up: memory, and the span of open descriptors and threads.

    The slope is Theil and Sen's, the median of the slopes between any two samples: Python takes memory a megabyte at a
    time, and one such step is no trend, which least squares would make of it. P. K. Sen, "Estimates of the regression
    coefficient based on Kendall's tau", Journal of the American Statistical Association 63 (1968).
    """
    settled = [each for each in samples if each.at_seconds >= WARM_UP_SHARE * samples[-1].at_seconds]
    sizes = [each.resident_bytes for each in settled]
    pairs = [(a, b) for a, b in combinations(settled, 2) if b.at_seconds > a.at_seconds]
    slope = statistics.median((b.resident_bytes - a.resident_bytes) / (b.at_seconds - a.at_seconds) for a, b in pairs)
    descriptors, threads = [each.descriptors for each in settled], [each.threads for each in settled]
    return {
        "resident_mb_at_first": sizes[0] / 1e6,
        "resident_mb_at_last": sizes[-1] / 1e6,
        "slope_mb_per_10_minutes": slope * 600 / 1e6,
        "descriptors_span": max(descriptors) - min(descriptors),
        "threads_span": max(threads) - min(threads),
    }


def _windows(log_lines: list[str]) -> list[dict[str, float]]:
    """Frames a second and ages of each part of the time, from the daemon's own log."""
    names = "fps", "age_p50_ms", "age_p95_ms", "age_p99_ms"
    found = filter(None, map(SPEED.search, log_lines))
    return [dict(zip(names, map(float, each.groups()), strict=True)) for each in found]


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--seconds", type=float, default=3600.0, help="default: %(default)s")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(given.seconds, tell)
