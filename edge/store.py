"""Store: the lasting record of events, written on a thread of its own."""

import logging
import math
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

from edge import config
from edge.archive import Archive, is_damage, real
from edge.claim import beside, claim, highest_number, put_aside
from edge.clocks import Clocks
from edge.errors import EmotionEdgeError
from edge.ledger import BATCH, DELETED_AT_ONCE, Ledger, Moment
from edge.slot import Bell

if TYPE_CHECKING:
    from edge.record import Record

log = logging.getLogger("emotion_edge")

HOLD = 10_000
"""So many records wait in memory (under ten megabytes) while the disk cannot be written; older ones are lost."""

COMMIT_SECONDS = 1.0
"""There is at most one commit in so long, and one try while the disk cannot be written."""

COMPLAIN_SECONDS = 60.0
"""While writing fails, the log says so at most this often."""

TIDY_SECONDS = 60.0
"""How often the clock is looked at, and places are saved that came with no record."""

DELETE_SECONDS = 3600.0
"""How often old records are deleted; more often would wear the disk."""

UNSAVED = 100
"""A consumer's place is saved with the next records; or by itself, when it moved by so much."""

CLOSING_SECONDS = 10.0
"""How long close() waits for the disk."""


class Store:
    """A Sink that keeps records on the disk, and the places of those who read them there; `Archive` reads them.

    A record is committed at once, within some milliseconds, if there was no commit in the last second, else together
    with others a second after it. Once committed it outlives the process, and a power cut, if the disk does not lie
    about what it has written. So a power cut costs the last second, and the places since the last commit.

    While the disk cannot be written (full, read-only, broken) HOLD records wait in memory; `held` says how many, and
    `lost` counts those beyond. The log tells; once the disk is back, all are written in order. A file that turns out
    to be damaged is put aside, and the numbers go on in a new one.

    Records are dated anew: each commit notes how far wall time is from the time since the boot, and reading adds that
    to when a record was made. What a clock says that no time server keeps right gives way to what one says that is.

    Records go in the order of their numbers, by age and by size. A consumer that has asked for its place in this run
    holds them back from going by age; what goes by size that it had not acknowledged, `dropped` counts.
    """

    def __init__(self, settings: config.Store, clocks: Clocks | None = None) -> None:
        """Open the record at `settings.path`, which is set, and start the thread; OutputError if it cannot be ours."""
        assert settings.path is not None
        self.path = real(settings.path)
        self.last_seq = self.committed_seq = self.lost = 0
        self._settings, self._clocks = settings, clocks or Clocks()
        self._waiting: deque[Record] = deque()
        self._batch: list[Record] = []  # that is being committed
        self._places: dict[str, int] = {}  # of consumers: what they have acknowledged
        self._saved: dict[str, int] = {}
        self._asked: set[str] = set()
        self._dropped: dict[str, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._lock, self._bell = Lock(), Bell()
        self._ledger: Ledger | None = None
        self._damaged = self._troubled = self._closing = False
        self._tried_at = self._complained_at = -math.inf
        self._tidied_at = self._clocks.monotonic()
        self._deleted_at = -math.inf
        self._claimed = claim(self.path)
        self._unchecked = _has_content(beside(self.path, "-wal"))  # it did not end well
        opened: Future[None] = Future()
        self._thread = Thread(target=self._live, args=(opened,), name="store", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            os.close(self._claimed)
            raise

    @property
    def held(self) -> int:
        """Records that are not committed yet."""
        with self._lock:
            return len(self._waiting) + len(self._batch)

    def write(self, record: "Record") -> None:
        """Have the record committed soon; returns at once."""
        with self._lock:
            self.last_seq = record.seq
            if self._closing:
                self.lost += 1
                return
            self._waiting.append(record)
            self._shorten()
        self._bell.ring()

    def acknowledge(self, consumer: str, seq: int) -> None:
        """The consumer needs no record up to `seq` any more; from any thread. Saved within a minute, or at close()."""
        with self._lock:
            self._asked.add(consumer)
            self._places[consumer] = max(seq, self._places.get(consumer, 0))
        if self._unsaved():
            self._bell.ring()

    def acknowledged(self, consumer: str) -> int:
        """The number that it acknowledged last; 0 at first."""
        with self._lock:
            self._asked.add(consumer)
            return self._places.setdefault(consumer, 0)

    def dropped(self, consumer: str) -> int:
        """Records that were deleted before the consumer had acknowledged them, ever."""
        return self._dropped.get(consumer, 0)

    def listen(self, told: Callable[[], None]) -> None:
        """Have `told` called, on the writer's thread, after each commit that added records; it returns at once."""
        self._listeners.append(told)

    def close(self) -> None:
        """Commit what waits, if the disk lets us within CLOSING_SECONDS, and let the file go."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self._bell.ring()
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive():
            log.warning("the disk does not answer: store=%s held=%d", self.path, self.held)
        else:
            os.close(self._claimed)

    # All below is the writer thread's, but for _shorten and _unsaved.

    def _live(self, opened: "Future[None]") -> None:
        try:
            self._begin()
        except BaseException as error:  # noqa: BLE001  # the thread's boundary: it is raised in the constructor
            opened.set_exception(error)
            return
        opened.set_result(None)
        if self._unchecked:
            self._turn()
        while not self._closing:
            self._bell.wait(max(0.0, self._due_at() - self._clocks.monotonic()))
            if self._closing or self._clocks.monotonic() >= self._due_at():
                self._turn()
        self._turn()
        self._end()

    def _begin(self) -> None:
        """Open the file; on a disk in trouble, go on from what can be read of it."""
        try:
            self._adopt(self._open())
        except EmotionEdgeError:
            raise
        except (sqlite3.Error, OSError) as error:
            try:
                with closing(Archive(self.path)) as archive:
                    self.last_seq = self.committed_seq = archive.last_seq
                    self._places = archive.acknowledged()
            except EmotionEdgeError:
                self.last_seq = highest_number(self.path)
            self._give_up(error)
        else:
            self.last_seq, self._places = self.committed_seq, dict(self._saved)

    def _due_at(self) -> float:
        """When there is something to do, seconds of the monotonic clock."""
        earliest = self._tried_at + COMMIT_SECONDS
        if self._waiting or self._troubled or self._unsaved():
            return earliest
        return max(earliest, self._tidied_at + TIDY_SECONDS)

    def _unsaved(self) -> bool:
        with self._lock:
            return any(seq - self._saved.get(name, 0) >= UNSAVED for name, seq in self._places.items())

    def _turn(self) -> None:
        """Do what is to be done; what fails is kept, told, and tried again."""
        self._tried_at = self._clocks.monotonic()
        try:
            if self._ledger is None:
                self._adopt(self._open())
            self._work()
        except Exception as error:  # noqa: BLE001  # the thread's boundary: whatever it is, the daemon goes on
            self._give_up(error)
        else:
            self._rejoice()

    def _open(self) -> Ledger:
        if self._damaged:
            self._put_aside()
        try:
            return Ledger(self.path, self._settings.keep_mb, self._begins_after())
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._put_aside()
        return Ledger(self.path, self._settings.keep_mb, self._begins_after())

    def _put_aside(self) -> None:
        aside = put_aside(self.path)
        self._damaged = self._unchecked = False
        log.warning("the record was damaged, and another begins: store=%s put_aside=%s", self.path, aside)

    def _begins_after(self) -> int:
        """Of a new file: the greatest number that can be read in what was put aside."""
        if _has_content(self.path):
            return 0
        return max(self.committed_seq, highest_number(beside(self.path, ".damaged")))

    def _adopt(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._notice(ledger)

    def _work(self) -> None:
        ledger = self._ledger
        assert ledger is not None
        if self._unchecked:
            ledger.check()
            self._unchecked = False
        self._commit(ledger)
        if self._closing or self._clocks.monotonic() - self._tidied_at >= TIDY_SECONDS:
            self._tidy(ledger)

    def _commit(self, ledger: Ledger) -> None:
        """All that waits; and the consumers' places with it."""
        moment = Moment.of(self._clocks)
        while True:
            with self._lock:
                self._batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                places = dict(self._places)
            ledger.commit(self._batch, places, moment)
            added, self._batch = len(self._batch), []
            self._notice(ledger)
            for told in self._listeners if added else ():
                told()
            if not self._waiting:
                return

    def _notice(self, ledger: Ledger) -> None:
        self.committed_seq = max(self.committed_seq, ledger.last_seq)
        self._saved, self._dropped = dict(ledger.acknowledged), dict(ledger.dropped)

    def _tidy(self, ledger: Ledger) -> None:
        now = self._tidied_at = self._clocks.monotonic()
        moment = Moment.of(self._clocks)
        ledger.note_clock(moment)
        if now - self._deleted_at < DELETE_SECONDS or self._closing:
            return
        self._deleted_at = now
        with self._lock:
            wanted_after = min((self._places[name] for name in self._asked), default=self.last_seq)
        while ledger.delete_old(moment, self._settings.keep_days * 86400, wanted_after) == DELETED_AT_ONCE:
            pass
        self._notice(ledger)

    def _give_up(self, error: Exception) -> None:
        """For now: keep what was not committed, and let the file go, to be opened anew."""
        with self._lock:
            self._waiting.extendleft(reversed(self._batch))
            self._batch = []
            self._shorten()
        if self._ledger:
            with suppress(sqlite3.Error):
                self._ledger.close()
        self._ledger = None
        self._damaged = self._damaged or is_damage(error)
        self._complain(error)

    def _shorten(self) -> None:
        """With the lock held."""
        while len(self._waiting) > HOLD:
            self._waiting.popleft()
            self.lost += 1

    def _complain(self, error: Exception) -> None:
        now, self._troubled = self._clocks.monotonic(), True
        if now - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = now
            counts = len(self._waiting), self.lost
            log.warning("events cannot be stored: store=%s error=%r held=%d lost=%d", self.path, str(error), *counts)

    def _rejoice(self) -> None:
        if self._troubled:
            log.warning("events are stored again: store=%s lost=%d", self.path, self.lost)
        self._troubled = False

    def _end(self) -> None:
        if self._ledger:
            self._ledger.close()
        with self._lock:
            if self._waiting:
                self.lost += len(self._waiting)
                log.warning("events lost at the end: store=%s lost=%d", self.path, self.lost)
            self._waiting.clear()


def _has_content(path: "os.PathLike[str]") -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False
