"""Throttled: the whole daemon while the processor's time is cut: halved, quartered, and in steps as by heat.

frame_times   the p99 of age, in times between two frames of the camera
"""

import argparse
import os
from collections.abc import Callable

from benchmarks import machine
from benchmarks.daemon import FPS, Case, Watched, running
from benchmarks.quota import Quota, quota
from benchmarks.result import Document, document

SHARES = {"whole": 1.0, "halved": 0.5, "quartered": 0.25}

STEPS = 1.0, 0.6, 0.3, 0.6, 1.0
"""Shares of a board that gets hot and cools down again."""

BUSY = Case("faces-3")


def measure(shares: tuple[float, ...], cores: float, seconds: float) -> list[dict[str, float]]:
    """A stretch at each share of so many cores, one after the other in one process; a stretch before is the warm-up."""
    with quota() as group, running(BUSY, seconds) as daemon:
        group.take(daemon.pid)
        daemon.stretch()
        return [_at(group, share * cores, daemon) for share in shares]


def _at(group: Quota, cores: float, daemon: Watched) -> dict[str, float]:
    group.limit(cores)
    figures = daemon.stretch()
    return {"cores": cores, **figures, "frame_times": figures["age_p99_ms"] * FPS / 1000}


def run(rounds: int, cores: float, seconds: float, tell: Callable[[str], None]) -> Document:
    """The cuts, each in a daemon of its own, then the steps."""
    facts, done = machine.facts(), []
    for number in range(1, rounds + 1):
        done.append({name: measure((share,), cores, seconds)[0] for name, share in SHARES.items()})
        steps = measure(STEPS, cores, seconds)
        done[-1] |= {
            f"step {place}, {share:.0%}": each for place, (share, each) in enumerate(zip(STEPS, steps, strict=True), 1)
        }
        tell(
            f"round {number}/{rounds} "
            + ", ".join(f"{name}: {each['frame_times']:.2f} frame times" for name, each in done[-1].items())
        )
    return document("throttled", {"cores": cores, "seconds": seconds, "fps": FPS, "film": BUSY.film}, done, facts)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--cores",
        type=float,
        default=len(os.sched_getaffinity(0)),
        help="that are the whole (default: all, %(default)s)",
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="each stretch (default: %(default)s)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    return run(given.rounds, given.cores, given.seconds, tell)
