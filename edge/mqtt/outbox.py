"""Outbox: the store's records that a broker has not acknowledged yet, in order."""

from collections import deque

from edge.archive import Archive, Stored
from edge.store import Store

CONSUMER = "mqtt"
"""The name that the store keeps our place under."""

BATCH = 200
"""So many records are read from the store at once; one has about 450 bytes."""


DOUBT_SECONDS, DOUBT_RECORDS = 1.0, 20
"""A broker that is killed may have acknowledged what it had not handed on yet. What landed in so long a time before the
connection broke, so many records at most, goes out again: a number that comes twice can be told, a lost one cannot."""


class Outbox:
    """Hands out each record once, until it is rewound; for one thread, but for `depth` and `dropped`.

    Every record up to `passed` was acknowledged, or is counted in `dropped`: the store had let it go, to stay within
    its size, or could never write it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._archive: Archive | None = None
        self._read: deque[Stored] = deque()
        self._flying: dict[int, bool] = {}  # number of a record that was handed out: it has landed
        self._lately: deque[tuple[int, float]] = deque(maxlen=DOUBT_RECORDS)  # what was passed, and when
        self.passed = self._taken = store.acknowledged(CONSUMER)
        self._begun = self.passed > 0
        self.dropped = 0
        self._looked = 0

    @property
    def depth(self) -> int:
        """Records that wait to be acknowledged."""
        return max(0, self._store.last_seq - self.passed)

    @property
    def in_flight(self) -> int:
        """Records that were handed out and, or one before them, not acknowledged yet."""
        return len(self._flying)

    def take(self) -> Stored | None:
        """The next record; None: there is none yet. SourceError if the store cannot be read."""
        if not self._read and self._store.committed_seq > self._taken:
            self._read.extend(self._opened().after(self._taken, BATCH))
        if not self._read:
            return None
        record = self._read.popleft()
        self._begin_at(record.seq)
        self._taken = record.seq
        self._flying[record.seq] = False
        return record

    def landed(self, seq: int, now: float) -> bool:
        """The broker has acknowledged this record; the store keeps our place, which moves in the records' order.

        False for one that was not in flight. `now` is time.monotonic(), seconds.
        """
        if seq not in self._flying:
            return False
        self._flying[seq] = True
        while self._flying and self._flying[first := next(iter(self._flying))]:
            del self._flying[first]
            self._lately.append((first, now))
            if first > self.passed:
                self._pass(first, landed=1)
        self._forget(now)
        return True

    def rewind(self) -> None:
        """Hand out again, from the first that was not acknowledged."""
        self._read.clear()
        self._flying.clear()
        self._taken = self.passed

    def rewind_to_before(self, lost_at: float) -> None:
        """The connection broke: hand out again what landed in the last DOUBT_SECONDS, too."""
        self.rewind()
        self._forget(lost_at)
        if self._lately:
            self._taken = min(self._lately)[0] - 1
        self._lately.clear()

    def _forget(self, now: float) -> None:
        while self._lately and now - self._lately[0][1] > DOUBT_SECONDS:
            self._lately.popleft()

    def trim(self) -> None:
        """Pass over what the store has let go. Only after rewind(): what is in flight may yet land."""
        committed = self._store.committed_seq
        if committed == self._looked:
            return
        self._looked = committed
        first = self._opened().first_seq
        if first:
            self._begin_at(first)
            if first - 1 > self.passed:
                self._pass(first - 1, landed=0)
                self._taken = self.passed

    def _begin_at(self, seq: int) -> None:
        """Numbers do not always begin with 1: of a store that we never read, what is before its first is no loss."""
        if not self._begun:
            self._begun = True
            self.passed = self._taken = seq - 1

    def _pass(self, seq: int, landed: int) -> None:
        self.dropped += seq - self.passed - landed
        self.passed = seq
        self._store.acknowledge(CONSUMER, seq)

    def _opened(self) -> Archive:
        if self._archive is None:
            self._archive = Archive(self._store.path)
        return self._archive

    def close(self) -> None:
        """On the thread that used it."""
        if self._archive is not None:
            self._archive.close()
        self._archive = None
