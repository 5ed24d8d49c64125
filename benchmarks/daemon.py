"""Daemon: the whole daemon as a process, at a camera's pace or flat out: what it takes, alone and with company.

cpu_share_of_core     user's and system's time of the daemon's own process
peak_rss_mb           see benchmarks.case
written_mb_a_day      what it gave the disk, by proc_pid_io(5); 0 where that is a memory's file system
fps, age_...          as the daemon's log tells; a stretch before, of the same length, is the warm-up
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

import cv2

from benchmarks import machine
from benchmarks.case import ROOT, peak_rss_mb
from benchmarks.company import broker, ended, screen, siege, watchers
from benchmarks.film import CROWDS, PICTURES, SEED
from benchmarks.footage import crowd
from benchmarks.result import Document, document
from edge.errors import EmotionEdgeError

FPS = 30

PATIENCE_SECONDS = 120.0
"""A daemon that says nothing for so long, besides what it was asked to do, is ended: it has failed."""

SPEED = re.compile(r"speed fps=([\d.]+) age_ms p50=([\d.]+) p95=([\d.]+) p99=([\d.]+)")
PAGE = re.compile(r"page url=http://127\.0\.0\.1:(\d+)/")


@dataclass(frozen=True, slots=True)
class Case:
    """A daemon and its company.

    film      of benchmarks.film.CROWDS, at FPS frames a second
    words     more of its command line; FOLDER stands for a folder of its own
    settings  more of them
    watching  so many clients look at the page, slowly or as fast as they can
    besieged  idle and slow connections, see benchmarks.company
    """

    film: str = "faces-1"
    words: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    watching: int = 0
    slowly: bool = False
    besieged: bool = False
    broker: bool = False
    window: bool = False


FLAT_OUT = ("--no-pace",)

PAGED = {"page.address": "127.0.0.1", "page.port": "0"}

CASES = {
    "one face": Case(),
    "nobody": Case("faces-0", settings={"governor.idle_seconds": "1"}),
    "three faces": Case("faces-3"),
    "record and broker": Case(words=("--store", "FOLDER/events.db"), broker=True),
    "spans": Case(words=("--spans", "FOLDER/spans.json")),
    "trace": Case(words=("--trace", "FOLDER/trace")),
    "page, nobody watches": Case(settings=PAGED),
    "page, one watcher": Case(settings=PAGED, watching=1),
    "page, fifty slow watchers": Case(settings=PAGED, watching=50, slowly=True),
    "page, 500 idle and 50 slow connections": Case(settings=PAGED, besieged=True),
    "window": Case(words=("--window",), window=True),
    "flat out": Case(words=FLAT_OUT),
    "flat out, trace": Case(words=(*FLAT_OUT, "--trace", "FOLDER/trace")),
    "flat out, spans": Case(words=(*FLAT_OUT, "--spans", "FOLDER/spans.json")),
    "flat out, page, nobody watches": Case(words=FLAT_OUT, settings=PAGED),
}


class Watched:
    """A daemon that runs, and what it says."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.pid = process.pid
        assert process.stderr is not None
        self._lines: Iterator[str] = process.stderr

    def await_line(self, wanted: "re.Pattern[str]") -> tuple[str, ...]:
        """The groups of the next line with it; EmotionEdgeError if the daemon ends before."""
        line = "it said nothing"
        for line in self._lines:
            if found := wanted.search(line):
                return found.groups()
        raise EmotionEdgeError(f"the daemon ended, or was ended for its silence: {line.strip()}")

    def stretch(self) -> dict[str, float]:
        """What it takes until its next report, and what that says."""
        began, cpu_seconds, written = time.monotonic(), self._cpu_seconds(), self._written()
        fps, *ages = map(float, self.await_line(SPEED))
        seconds = time.monotonic() - began
        return {
            "fps": fps,
            **{f"age_{q}_ms": age for q, age in zip(("p50", "p95", "p99"), ages, strict=True)},
            "cpu_share_of_core": (self._cpu_seconds() - cpu_seconds) / seconds,
            "written_mb_a_day": (self._written() - written) / 1e6 / seconds * 86400,
            "peak_rss_mb": peak_rss_mb(self.pid),
        }

    def _cpu_seconds(self) -> float:
        """User's and system's; fields 14 and 15 of proc_pid_stat(5), counted after the name in parentheses."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _written(self) -> int:
        found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{self.pid}/io").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0


def command(*words: str, settings: Mapping[str, str]) -> list[str]:
    """What starts the daemon of this checkout, in ROOT."""
    said = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "edge", "run", *words, *said]


@contextmanager
def running(case: Case, report_seconds: float) -> Generator[Watched, None, None]:
    """The daemon of a case with its company; ended at the end of the block, or of our patience."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="emotion-edge-daemon-")))
        settings = {"camera.repeat": "true", "events.report_seconds": f"{report_seconds:g}", **case.settings}
        if case.broker:
            settings |= {"mqtt.host": "127.0.0.1", "mqtt.port": str(opened.enter_context(broker(folder)))}
        display = {"DISPLAY": opened.enter_context(screen())} if case.window else {}
        words = [word.replace("FOLDER", str(folder)) for word in case.words]
        said = command("--source", str(film(folder, case.film)), *words, settings=settings)
        process = opened.enter_context(
            subprocess.Popen(
                said,
                cwd=ROOT,
                env=os.environ | display,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        )
        opened.enter_context(ended(process))
        opened.enter_context(limited(process, 2 * report_seconds + PATIENCE_SECONDS))
        watched = Watched(process)
        if case.watching or case.besieged:
            port = int(watched.await_line(PAGE)[0])
            opened.enter_context(siege(port) if case.besieged else watchers(port, case.watching, case.slowly))
        yield watched


@contextmanager
def limited(process: "subprocess.Popen[str]", seconds: float) -> Generator[None, None, None]:
    """Whoever reads what the process says waits so long and no longer."""
    limit = Timer(seconds, process.kill)
    limit.start()
    try:
        yield
    finally:
        limit.cancel()
        limit.join()


def film(folder: Path, name: str) -> Path:
    """A crowd's pictures as a video of Motion JPEG."""
    path = folder / f"{name}.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 480))
    for picture, _ in crowd(PICTURES, CROWDS[name], SEED):
        video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    video.release()
    return path


def measure(case: Case, seconds: float) -> dict[str, float]:
    """A stretch of so long, after one of warm-up."""
    with running(case, seconds) as watched:
        watched.stretch()
        return watched.stretch()


def run(names: list[str], rounds: int, seconds: float, tell: Callable[[str], None]) -> Document:
    """Every case in every round."""
    facts, done = machine.facts(), list[dict[str, dict[str, float]]]()
    for number in range(1, rounds + 1):
        done.append({})
        for name in names:
            done[-1][name] = figures = measure(CASES[name], seconds)
            told = f"{figures['cpu_share_of_core']:.1%} of a core, p99 {figures['age_p99_ms']:.1f} ms"
            tell(f"round {number}/{rounds} {name}: {told}")
    return document("daemon", {"cases": names, "seconds": seconds, "fps": FPS}, done, facts)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--case", action="append", choices=CASES, help="may be said again (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=20.0, help="a case, after as long (default: %(default)s)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(given.case or list(CASES), given.rounds, given.seconds, tell)
