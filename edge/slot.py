"""Slot: how two threads meet. The newest item wins, so neither waits for the other's past.

There is no Condition here, and no Event: a signal's exception (Ctrl-C) can arrive at any bytecode of the main thread,
and within their Python code it would leave a lock held. A raw Lock's acquire, release and `with` are each one step.
For the same reason a bell is rung before what it tells of, within the lock: who wakes waits for the lock and then sees
it, and no interrupt comes between a change and its ring.
"""

import math
import time
from collections.abc import Generator
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


HAND_OVER_SECONDS = 0.002
"""How long a put waits for a reader that was waiting for it. Without, the writer's thread goes on to its next item and
keeps the interpreter, and the reader wakes up late: by 1.0 ms in the median of the demo at 30 FPS, now 0.05."""


LONGEST_WAIT_SECONDS = 3600.0
"""A lock does not take a timeout of any length."""


class Closed(Exception):
    """The other end has gone: nothing more comes out, or nothing more may be put in."""


class Bell:
    """Wakes the one thread that waits for it; a ring that nobody heard wakes the next wait at once."""

    def __init__(self) -> None:
        self._silent = Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """From any thread, any number of times; never waits."""
        with suppress(RuntimeError):  # it rings already
            self._silent.release()

    def hush(self) -> None:
        """Forget a ring that nobody heard."""
        self._silent.acquire(blocking=False)

    def wait(self, timeout_seconds: float = -1) -> None:
        """Until it rings; -1 waits for ever. Look at the state afterwards: a wait may end early."""
        self._silent.acquire(timeout=timeout_seconds)


class Slot(Generic[T]):
    """Room for one item between one writing and one reading thread.

    A put does not wait for a busy reader: an item that was not taken is replaced, and counted in `dropped`. To a reader
    that stands waiting it hands over: it waits, for HAND_OVER_SECONDS at most, until the item was taken. With `every`
    it always hands over, however long that takes, so nothing is dropped, nor grows old behind another. As a context
    manager, for the writer, it is closed at the end of the block, and an error of the block is raised at the reader,
    not here. Always: offered = taken + dropped + inside.
    """

    def __init__(self, every: bool = False) -> None:
        self.closed = False
        self.error: BaseException | None = None
        self.offered = 0
        self.taken = 0
        self._every = every
        self._awaited = False
        self._inside: list[T] = []
        self._lock = Lock()
        self._came, self._went = Bell(), Bell()

    @property
    def dropped(self) -> int:
        """Items that nobody will take: replaced, left behind, or put into a closed slot."""
        with self._lock:
            return self.offered - self.taken - len(self._inside)

    def put(self, item: T) -> None:
        """Leave `item` for the reader, or hand it over; Closed when the slot was closed before that was done."""
        while not (turn := self._try_put(item)):
            self._went.wait()
        if self._every:
            while not self._was_taken(turn):
                self._went.wait()
        elif self._awaited:
            self._went.wait(HAND_OVER_SECONDS)

    def _try_put(self, item: T) -> int:
        """What `taken` will be when `item` is; 0 where it has to wait for the one before, whose put was interrupted."""
        with self._lock:
            if self._every and self._inside and not self.closed:
                return 0
            self.offered += 1
            if self.closed:
                raise Closed
            self._went.hush()
            self._came.ring()
            self._inside = [item]
            return self.taken + 1

    def _was_taken(self, turn: int) -> bool:
        with self._lock:
            if self.closed and self.taken < turn:
                raise Closed
            return self.taken >= turn

    def take(self) -> T:
        """Wait for an item; when closed and empty, raises the writer's error if there is one, else Closed."""
        while (item := self.take_within(math.inf)) is None:
            pass
        return item

    def take_within(self, timeout_seconds: float) -> T | None:
        """As `take`; none when nothing came in so long."""
        give_up_at = time.monotonic() + timeout_seconds
        while True:
            left = give_up_at - time.monotonic()
            with self._lock:
                if self._inside:
                    self._went.ring()
                    self.taken += 1
                    self._awaited = False
                    return self._inside.pop()
                if self.closed:
                    raise self.error or Closed
                self._awaited = left > 0
            if left <= 0:
                return None
            self._came.wait(min(left, LONGEST_WAIT_SECONDS))

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more may be put in; what is inside may still be taken. The first error stays."""
        with self._lock:
            self._came.ring()
            self._went.ring()
            self.closed = True
            self.error = self.error or error

    def leave(self) -> None:
        """The reader goes: closed, and what is inside counts as dropped."""
        with self._lock:
            self._came.ring()
            self._went.ring()
            self.closed = True
            self._inside = []

    def rest(self, timeout_seconds: float) -> None:
        """Let the writer wait; it may end early, and does when the slot is closed."""
        if not self.closed:
            self._went.wait(timeout_seconds)

    def __iter__(self) -> Generator[T, None, None]:
        try:
            while True:
                yield self.take()
        except Closed:
            return
        finally:
            self.leave()

    def __enter__(self) -> "Slot[T]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.close(None if isinstance(error, Closed) else error)
        return True
