"""Case: one measurement in a process of its own, so that nothing of another is in its memory, caches or samples.

A new interpreter is started for each (not a fork of ours), prepared as the daemon prepares itself, and ended. It runs
this module, takes the measurement from standard input, and answers on standard output.
"""

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.sample import Figures
from edge.errors import EmotionEdgeError
from edge.lifeline import end_with_parent

ROOT = Path(__file__).parents[1]


def isolated(measure: Callable[..., Figures], *given: Any) -> dict[str, float]:
    """What `measure(*given)` gives in a new process, and `peak_rss_mb`, the most memory that the process had.

    measure  of a module that is found by its name
    Raises the EmotionEdgeError that it raises, and one for a process that was killed, or ended by a fault of ours.
    """
    command = [sys.executable, "-m", "benchmarks.case"]
    done = subprocess.run(command, cwd=ROOT, input=pickle.dumps((measure, given)), stdout=subprocess.PIPE)
    if done.returncode or not done.stdout:
        raise EmotionEdgeError(f"{measure.__module__}: its process ended with code {done.returncode}: is there memory?")
    answer: dict[str, float] | EmotionEdgeError = pickle.loads(done.stdout)
    if isinstance(answer, EmotionEdgeError):
        raise answer
    return answer


def peak_rss_mb(process: int | str = "self") -> float:
    """The most memory that a process had: VmHWM of proc_pid_status(5), for ru_maxrss begins with the parent's."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def main() -> None:
    """Measure what the parent asks for; what libraries print goes to standard error."""
    end_with_parent()
    from edge.run import one_thread_a_stage

    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    measure, given = pickle.load(sys.stdin.buffer)
    one_thread_a_stage()
    told: dict[str, float] | EmotionEdgeError
    try:
        told = {**measure(*given), "peak_rss_mb": peak_rss_mb()}
    except EmotionEdgeError as error:
        told = error
    with open(answer, "wb") as out:
        pickle.dump(told, out)


if __name__ == "__main__":
    main()
