"""JsonLines: the sink that writes records as lines, to standard output or a file."""

import errno
import logging
import os
import re
import select
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from edge.errors import OutputError
from edge.record import Record

log = logging.getLogger("emotion_edge")

HOLD = 1000
"""So many records wait in memory (under half a megabyte) while the file cannot be written; older ones are lost."""

COMPLAIN_SECONDS = 60.0
"""While writing fails, the log says so at most this often."""

CLOSING_SECONDS = 2.0
"""How long close() waits for a slow reader of a pipe to take the rest."""

TAIL_BYTES = 64 * 1024
"""How much of an existing file's end is searched for the last `seq`; a record has about 450 bytes."""


class JsonLines:
    """Appends each record to a file or a standard stream as one line, one `write` call each, without waiting.

    When writing fails (full disk, a reader that went away or does not read), records are held in memory and tried
    again, in order, with each next one: `held` says how many wait. Those beyond HOLD, or still held at close(), are
    counted in `lost`. What was written in part is completed later, so no two records share a line. A last line
    torn by a power cut stays as it is; the next record begins on a line of its own.

    One writer for a file: a second one would repeat its numbers.
    """

    def __init__(self, target: Path | IO[Any], monotonic: Callable[[], float] = time.monotonic) -> None:
        """A path to append to, or an open stream with a file descriptor, which stays open; OutputError if it cannot be.

        `monotonic` gives seconds.
        """
        self._monotonic = monotonic
        self._owned = isinstance(target, Path)
        self._fd, self.last_seq, torn = _opened(target) if isinstance(target, Path) else (_descriptor(target), 0, False)
        self._name = str(target) if isinstance(target, Path) else "standard output"
        self._opening = b"\n" if torn else b""
        self._rest = b""  # of the line that is being written
        self._held: deque[bytes] = deque()
        self._complained_at = -COMPLAIN_SECONDS
        self._told = 0  # errno of the trouble that the log last told of, 0 when all is well
        self.lost = 0

    @property
    def held(self) -> int:
        """Records that wait for the file to be writable again."""
        return len(self._held) + bool(self._rest)

    def write(self, record: Record) -> None:
        """Append the record, after those held before it."""
        self.last_seq = record.seq
        self._held.append(record.line + b"\n")
        self._flush()
        while len(self._held) > HOLD:
            self._held.popleft()
            self.lost += 1

    def close(self) -> None:
        """Write what is held, waiting CLOSING_SECONDS at most for a slow reader, and close the file."""
        if self._fd < 0:
            return
        self._flush(self._monotonic() + CLOSING_SECONDS)
        if self.held:
            log.warning("events lost at the end: output=%s lost=%d", self._name, self.lost + self.held)
        self.lost += self.held
        self._held.clear()
        self._rest = b""
        if self._owned:
            os.close(self._fd)
        self._fd = -1

    def _flush(self, deadline: float = 0.0) -> None:
        """Write as much of what is held as the file takes at once, or as a slow reader takes until the deadline."""
        try:
            while self._rest or self._held:
                if not self._rest:
                    self._rest = self._opening + self._held.popleft()
                    self._opening = b""
                self._await(max(0.0, deadline - self._monotonic()) if deadline else 0.0)
                written = os.write(self._fd, self._rest)
                self._rest = self._rest[written:]
        except OSError as error:
            self._complain(error)
        else:
            self._rejoice()

    def _await(self, seconds: float) -> None:
        """Raise BlockingIOError where a write would wait for a pipe's reader; a file is always ready."""
        ready = select.poll()
        ready.register(self._fd, select.POLLOUT)
        if not ready.poll(seconds * 1000):
            raise BlockingIOError(errno.EAGAIN, "the reader does not read")

    def _complain(self, error: OSError) -> None:
        """At most once a minute, and of a reader that went away only once: it does not come back."""
        now = self._monotonic()
        if now - self._complained_at < COMPLAIN_SECONDS or error.errno == errno.EPIPE == self._told:
            return
        self._complained_at, self._told = now, error.errno or errno.EIO
        counts = self.held, self.lost
        log.warning("events cannot be written: output=%s error=%r held=%d lost=%d", self._name, error.strerror, *counts)

    def _rejoice(self) -> None:
        if self._told:
            log.warning("events are written again: output=%s lost=%d", self._name, self.lost)
        self._told = 0


def _descriptor(stream: IO[Any]) -> int:
    try:
        stream.flush()
        return stream.fileno()
    except (AttributeError, OSError, ValueError) as error:  # AttributeError: sys.stdout is None when started with >&-
        raise OutputError("standard output is closed: expected an open one, or a file as [events] path") from error


def _opened(path: Path) -> tuple[int, int, bool]:
    """An open descriptor, the last `seq` in the file, and whether its last line is torn."""
    try:
        # O_NONBLOCK: a named pipe without a reader is an error, not a wait.
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
        try:
            return fd, *_tail(path, fd)
        except BaseException:
            os.close(fd)
            raise
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path}: cannot open the event file: {error.strerror}; "
            "expected a file in a folder that exists and can be written to, set by [events] path"
        ) from error


def _tail(path: Path, fd: int) -> tuple[int, bool]:
    """The last `seq` and whether the last line is torn; OutputError for a file that holds something else.

    A torn record's number counts as used, and so does one without its newline.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return 0, False
    with path.open("rb") as file:
        if file.read(1) not in b"{\n\0":  # \0: what a power cut can leave
            raise OutputError(f"{path}: holds something else than events: expected a new file or one of emotion-edge's")
        file.seek(max(0, status.st_size - TAIL_BYTES))
        tail = file.read()
    # Quotes inside a record's texts are escaped, so this is never part of one.
    numbers = [int(digits) for digits in re.findall(rb'[{,]"seq":(\d{1,18})', tail)]
    return max(numbers, default=0), not tail.endswith(b"\n")
