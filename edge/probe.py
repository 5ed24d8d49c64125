"""Probe: how many threads make the model fastest on this machine, measured once and kept."""

import hashlib
import json
import logging
import os
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edge import board
from edge.classifier import Classifier
from edge.interpreter import runtime_name
from edge.whole import whole

log = logging.getLogger("emotion_edge")

SECONDS = 5.0
"""How long the measurement takes, all together."""

BURST = 20
"""Invocations of one candidate before it is the next one's turn, so that a slow moment meets all."""

WORTH = 0.9
"""More threads must take at most this share of the time: each takes a core from another stage."""

KEPT = "probe.json"


def fastest_threads(content: bytes, where: str, seconds: float = SECONDS) -> int:
    """The number of threads, 1 or up to the number of cores, for this model on this machine with this runtime.

    The result is kept in the state folder; where that cannot be written, it is measured at each start.
    """
    path = state_folder() / KEPT
    kept, key = _kept(path), _key(hashlib.sha256(content).hexdigest())
    if isinstance(found := kept.get(key), int) and found in candidates():
        return found
    times_ms = _measured(content, where, seconds)
    best = min(
        (each for each in times_ms if times_ms[each] <= WORTH * times_ms[1]), key=times_ms.__getitem__, default=1
    )
    log.info("probe threads=%d invoke_ms=%s", best, {each: round(took, 3) for each, took in times_ms.items()})
    _keep(path, kept | {key: best})
    return best


def candidates() -> list[int]:
    """1, 2, 4 ... up to the cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    return [threads for threads in (1, 2, 4, 8) if threads == 1 or threads <= cores]


def state_folder() -> Path:
    """Where programs keep what they learned: systemd's StateDirectory, or what the XDG base directories say."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "emotion-edge"


def _measured(content: bytes, where: str, seconds: float) -> dict[int, float]:
    """Median time of one face by number of threads, milliseconds."""
    classifiers = {threads: Classifier(content, where, threads) for threads in candidates()}
    face = np.zeros(classifiers[1].card.input.shape, np.uint8)
    times: dict[int, list[float]] = {threads: [] for threads in classifiers}
    until = time.monotonic() + seconds
    while time.monotonic() < until or not times[1]:
        for threads, classifier in classifiers.items():
            for _ in range(BURST):
                began = time.perf_counter()
                classifier.logits(face)
                times[threads].append((time.perf_counter() - began) * 1000)
    return {threads: median(took) for threads, took in times.items()}


def _key(sha256: str) -> str:
    name = board.model() or board.processor() or platform.machine()
    return f"{sha256[:16]} {name}, {os.cpu_count()} cores, {runtime_name()}"


def _kept(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or torn
        return {}
    return found if isinstance(found, dict) else {}


def _keep(path: Path, known: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as aside:
            aside.write_text(json.dumps(known, indent=1) + "\n")
    except OSError as error:
        log.warning("the probe's result is not kept: %s: %s", path, error.strerror)
