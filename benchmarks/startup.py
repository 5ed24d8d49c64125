"""Startup: from the start of the process to its first label, and what the command alone takes to be there."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks import machine
from benchmarks.case import ROOT
from benchmarks.company import ended
from benchmarks.daemon import PATIENCE_SECONDS, command, limited
from benchmarks.result import Document, document
from edge.errors import EmotionEdgeError

AT_ONCE = {"track.confirm_frames": "1", "events.smooth_seconds": "0", "events.dwell_seconds": "0"}
"""Settings with which a face is an event in its first picture."""

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""With the modules compiled, as an installed package has them."""


def first_label_seconds() -> float:
    """Of a clip that begins with a face; EmotionEdgeError if no event comes."""
    words = command("--source", "demo", "--no-pace", settings=AT_ONCE)
    began = time.monotonic()
    with (
        subprocess.Popen(
            words,
            cwd=ROOT,
            env=ENVIRONMENT,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process,
        ended(process),
        limited(process, PATIENCE_SECONDS),
    ):
        assert process.stdout is not None
        if not process.stdout.readline():
            raise EmotionEdgeError("the daemon told no event: what does `emotion-edge doctor` say?")
        return time.monotonic() - began


def command_seconds(*words: str) -> float:
    """Of a Python that is given these words, from start to end."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, timeout=PATIENCE_SECONDS
    )
    return time.monotonic() - began


def once() -> dict[str, dict[str, float]]:
    """One start of each kind; `python` is the interpreter alone, which is in all others."""
    return {
        "python": {"seconds": command_seconds("-c", "pass")},
        "import of the command line": {"seconds": command_seconds("-c", "import edge.cli")},
        "emotion-edge --version": {"seconds": command_seconds("-m", "edge", "--version")},
        "first label": {"seconds": first_label_seconds()},
    }


def run(rounds: int, tell: Callable[[str], None]) -> Document:
    """So many starts of each kind, in turn; one before is the warm-up, for the disk's cache."""
    once()
    facts, done = machine.facts(), []
    for number in range(1, rounds + 1):
        done.append(once())
        tell(f"round {number}/{rounds}: first label after {done[-1]['first label']['seconds']:.3f} s")
    return document("startup", {"warm_up_starts": 1}, done, facts)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--rounds", type=int, default=10, help="default: %(default)s")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(given.rounds, tell)
