"""Quota: a group of processes that get so much of the processor and no more, as a throttled board gives."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import EmotionEdgeError

GROUPS = Path("/sys/fs/cgroup")

PERIOD_MICROSECONDS = 10_000
"""The share is granted anew so often: short, since a slower clock is slow evenly."""


class Quota:
    """A cgroup of the second version, or of the first with its cpu controller."""

    def __init__(self, folder: Path, version: int) -> None:
        self._folder, self._version = folder, version

    def limit(self, cores: float) -> None:
        """From now on, so many cores' time."""
        granted = round(cores * PERIOD_MICROSECONDS)
        if self._version == 2:
            (self._folder / "cpu.max").write_text(f"{granted} {PERIOD_MICROSECONDS}")
            return
        (self._folder / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
        (self._folder / "cpu.cfs_quota_us").write_text(str(granted))

    def take(self, process: int) -> None:
        """That process, with all its threads, and its children to come."""
        (self._folder / "cgroup.procs").write_text(str(process))


@contextmanager
def quota() -> Generator[Quota, None, None]:
    """A group of its own; EmotionEdgeError where the system grants none, which only root may ask for."""
    version = 2 if (GROUPS / "cgroup.controllers").exists() else 1
    folder = (GROUPS if version == 2 else GROUPS / "cpu") / f"emotion-edge-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise EmotionEdgeError(f"{folder}: no group can be made there ({error.strerror}): run it as root") from error
    try:
        yield Quota(folder, version)
    finally:
        folder.rmdir()
