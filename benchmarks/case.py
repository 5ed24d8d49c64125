"""Case: one measurement in a process of its own, so that nothing of another is in its memory, caches or samples.

A new interpreter is started for each (not a fork of ours), prepared as the daemon prepares itself, and ended.
"""

import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.sample import Figures
from edge.errors import EmotionEdgeError
from edge.lifeline import end_with_parent


def isolated(measure: Callable[..., Figures], *given: Any) -> dict[str, float]:
    """What `measure(*given)` gives in a new process, and `peak_rss_mb`, the most memory that the process had.

    Raises what it raises; EmotionEdgeError for a process that was killed.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(_measured, measure, given).result()
        except BrokenProcessPool as error:
            raise EmotionEdgeError(f"{measure.__module__}: its process was killed; is there memory left?") from error


def peak_rss_mb(process: int | str = "self") -> float:
    """The most memory that a process had: VmHWM of proc_pid_status(5), for ru_maxrss begins with the parent's."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _measured(measure: Callable[..., Figures], given: tuple[Any, ...]) -> dict[str, float]:
    from edge.run import one_thread_a_stage

    end_with_parent()
    one_thread_a_stage()
    return {**measure(*given), "peak_rss_mb": peak_rss_mb()}
