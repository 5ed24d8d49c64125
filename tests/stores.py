"""Stores to test with: clocks that are set by hand, records, and what is on the disk."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge import config
from edge.archive import Archive, Stored
from edge.clocks import Clocks
from edge.ledger import Ledger
from edge.record import Record, Recorder
from edge.store import Store
from tests.test_record import EVENT

NOVEMBER = 1795256130.0
"""2026-11-21 10:15:30 UTC."""

DAY = 86400.0

DEADLINE_SECONDS = 60.0


@dataclass
class Clock:
    """A device's clocks: true time goes on with `pass_by`, what its wall clock says of it is off by `wrong_by`."""

    boot: str = "b7f30001"
    now: float = NOVEMBER
    booted_at: float = NOVEMBER - 100
    wrong_by: float = 0.0
    synchronized: bool = True

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def boot_anew(self, boot: str, off_seconds: float = 10.0) -> None:
        self.now += off_seconds
        self.boot, self.booted_at = boot, self.now

    @property
    def clocks(self) -> Clocks:
        return Clocks(
            time.monotonic,
            lambda: self.now - self.booted_at,
            lambda: self.now + self.wrong_by,
            lambda: self.synchronized,
            self.boot,
        )


class Last:
    """A sink that keeps the last record."""

    last_seq = 0
    record: Record

    def write(self, record: Record) -> None:
        self.record = record

    def close(self) -> None: ...


def record(seq: int, clock: Clock | None = None, track: int = 7) -> Record:
    """A real one, with this number."""
    sink = Last()
    Recorder("kitchen", "m@1#ab", [sink], (clock or Clock()).clocks, last_seq=seq - 1).write(
        replace(EVENT, track=track)
    )
    return sink.record


def opened(path: Path, clock: Clock | None = None, **settings: Any) -> Store:
    return Store(config.Store(path=path, **settings), (clock or Clock()).clocks)


def filled(path: Path, count: int, clock: Clock | None = None) -> None:
    """A store with records 1 to `count`, closed."""
    store = opened(path, clock)
    for seq in range(1, count + 1):
        store.write(record(seq, clock))
    store.close()
    assert (store.held, store.lost, store.committed_seq) == (0, 0, count)


def ledger(path: Path, keep_mb: float = 64.0) -> Ledger:
    """The file without a thread, made if it is not there."""
    path.touch()
    return Ledger(path, keep_mb)


def stored(path: Path) -> list[Stored]:
    archive = Archive(path)
    try:
        return list(archive.all_after())
    finally:
        archive.close()


def numbers(path: Path) -> list[int]:
    return [each.seq for each in stored(path)]


def documents(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each.line) for each in stored(path)]


def until(true: Any) -> None:
    """Wait until it is; a machine that is so slow fails the test."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def size_of(path: Path) -> int:
    """Of all its files."""
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
