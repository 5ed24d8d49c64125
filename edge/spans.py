"""Spans: when each published frame was read, perceived and published, as Chrome traces: numbers, no pixels.

A file is an array of JSON in the Trace Event Format, which ui.perfetto.dev and Chrome's old trace viewer open. Each
event stands on a line of its own. After a kill the last bracket is missing, which both pass over; other readers want
"]" added. After a power cut the last line may be torn, which Perfetto passes over, too. Times are microseconds of
time.monotonic(), as `mono_ns` of the event records.

    capture, detect, classify, publish   threads: reading and decoding; the steps of Scene.took_ms; the main one's share
    wait for detecting                   from when a frame could be searched until it was
    wait for classifying, publishing     from when the thread before was done with it
    dropped                              counters: frames lost so far, by reason, where that changed

Dropped frames have no spans. A frame's age is told with its "publish".
"""

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from edge.clocks import timestamp
from edge.errors import OutputError
from edge.scene import Scene

log = logging.getLogger("emotion_edge")

LIMIT_BYTES = 100_000_000
"""A file ends before it grows larger: 50 minutes at 30 FPS, and what viewers still open."""

BEFORE, AFTER = 60, 30
"""So many frames before a late one are kept, and after it."""

BREACH_SECONDS = 60.0
"""There is at most one file of a breach in so long: each has 100 kB, and memory cards wear out."""

KEEP_FILES = 20
"""So many files of breaches are kept, the newest."""

THREADS = "capture", "detect", "classify", "publish"
CAPTURE, DETECT, CLASSIFY, PUBLISH = 1, 2, 3, 4
"""Names of the threads in a file, and their numbers."""


class Passage(NamedTuple):
    """A frame's way through the pipeline; times are seconds of time.monotonic(), the others as in Frame and Scene.

    done_at  when all that publishing it brings about was done
    dropped  frames lost until then, by reason
    """

    number: int
    faces: int
    captured_at: float
    read_at: float
    read_ms: float
    began_at: float
    resumed_at: float
    took_ms: Mapping[str, float]
    published_at: float
    done_at: float
    dropped: Mapping[str, int]

    @property
    def age_ms(self) -> float:
        """From capture to publishing."""
        return (self.published_at - self.captured_at) * 1000


def passage_of(scene: Scene, published_at: float, done_at: float, dropped: Mapping[str, int]) -> Passage:
    """The numbers of a scene, which do not keep its picture."""
    frame = scene.frame
    return Passage(
        number=frame.number,
        faces=len(scene.readings),
        captured_at=frame.captured_at,
        read_at=frame.captured_at if frame.read_at is None else frame.read_at,
        read_ms=frame.took_ms,
        began_at=scene.began_at,
        resumed_at=scene.resumed_at,
        took_ms=scene.took_ms,
        published_at=published_at,
        done_at=done_at,
        dropped=dropped,
    )


class Spans:
    """Takes in each scene once it was published, and writes what was asked for; OutputError where it cannot be.

    file        for all frames; none: no such file
    folder      for a file of the frames around each breach; none: no such files
    max_age_ms  the age that a frame of a breach exceeds
    """

    def __init__(self, file: Path | None, folder: Path | None, max_age_ms: float) -> None:
        with ExitStack() as opened:
            self._keepers: list[SpansFile | Breaches] = []
            if file:
                self._keepers.append(opened.enter_context(closing(SpansFile(file))))
            if folder:
                self._keepers.append(opened.enter_context(closing(Breaches(folder, max_age_ms))))
            self._opened = opened.pop_all()

    def see(self, scene: Scene, published_at: float, done_at: float, dropped: Mapping[str, int]) -> None:
        """Take in a scene that came at a time.monotonic(), and with which all was done at another."""
        passage = passage_of(scene, published_at, done_at, dropped)
        for keeper in self._keepers:
            keeper.add(passage)

    def close(self) -> None:
        """Complete the files."""
        self._opened.close()


class SpansFile:
    """Writes spans over the file at a path; OutputError if it cannot be opened.

    At LIMIT_BYTES, or when writing fails, the spans end, and the log says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size, self._lead = 0, "[\n"
        self._captured_until = 0
        self._dropped: Mapping[str, int] = {}
        try:
            # By the line: what was written to it outlives a kill.
            self._file = path.open("w", buffering=1, encoding="ascii")
        except OSError as error:
            raise OutputError(f"{path}: cannot write the spans: {error.strerror}; expected a new file") from error
        self._write(",\n".join(_names()))

    def add(self, passage: Passage) -> None:
        """Write the spans of one frame."""
        if not self._file.closed:
            self._write(",\n".join(self._events(passage)))

    def close(self) -> None:
        """Nothing is written afterwards."""
        if not self._file.closed:
            with suppress(OSError):  # a full disk
                self._file.write("\n]\n")
            self._end()

    def _events(self, passage: Passage) -> Iterator[str]:
        yield self._capture(passage)
        yield from _of_frame(passage)
        if passage.dropped != self._dropped:
            self._dropped = passage.dropped
            yield _count("dropped", _microseconds(passage.published_at), passage.dropped)

    def _capture(self, passage: Passage) -> str:
        """Without what of it lies before the end of the last one: a Raspberry Pi camera exposes one picture while the
        one before is on its way, and viewers want a thread to do one thing at a time."""
        begin = max(_microseconds(passage.read_at), self._captured_until)
        self._captured_until = end = max(_microseconds(passage.read_at + passage.read_ms / 1000), begin)
        return _span(CAPTURE, "capture", begin, end, f'"frame":{passage.number},"took_ms":{passage.read_ms:.3f}')

    def _write(self, text: str) -> None:
        self._size += len(self._lead) + len(text)
        if self._size + len("\n]\n") > LIMIT_BYTES:
            log.warning("the spans end here: file=%s limit_bytes=%d", self._path, LIMIT_BYTES)
            self.close()
            return
        try:
            self._file.write(self._lead + text)
        except OSError as error:
            log.error("the spans end here: file=%s error=%r", self._path, error.strerror)
            self._end()
        self._lead = ",\n"

    def _end(self) -> None:
        with suppress(OSError):  # what is left to write to a full disk
            self._file.close()


class Breaches:
    """Keeps the frames around each breach of the goal for the age, a file for each; OutputError without a folder.

    A breach begins with a frame that is too old after one that was not. Its file holds BEFORE frames, that one, and
    AFTER more, or those that there are. There is one in BREACH_SECONDS at most, and the KEEP_FILES newest stay. When
    writing fails, the log says so, and the next breach is tried again.

    folder  is made if the one above is there
    wall    seconds since 1970, for the files' names
    """

    def __init__(self, folder: Path, max_age_ms: float, wall: Callable[[], float] = time.time) -> None:
        self._folder, self._max_age_ms, self._wall = folder, max_age_ms, wall
        self._ring: deque[Passage] = deque(maxlen=BEFORE + 1 + AFTER)
        self._late: Passage | None = None
        self._missing = 0
        self._was_late = False
        self._may_be_at = float("-inf")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: {error.strerror}: expected a folder for [governor] spans_folder") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: cannot be written to: expected a folder for [governor] spans_folder")

    def add(self, passage: Passage) -> None:
        """Take in one frame."""
        self._ring.append(passage)
        was_late, self._was_late = self._was_late, passage.age_ms > self._max_age_ms
        if self._late:
            self._missing -= 1
            if not self._missing:
                self._keep(self._late)
        elif self._was_late and not was_late and passage.published_at >= self._may_be_at:
            self._late, self._missing = passage, AFTER
            self._may_be_at = passage.published_at + BREACH_SECONDS

    def close(self) -> None:
        """Keep a breach whose frames have not all come yet."""
        if self._late:
            self._keep(self._late)

    def _keep(self, late: Passage) -> None:
        self._late = None
        path = self._folder / f"breach-{timestamp(self._wall()).replace(':', '')}.json"
        log.warning("late frame=%d age_ms=%.0f goal_ms=%g spans=%s", late.number, late.age_ms, self._max_age_ms, path)
        try:
            with closing(SpansFile(path)) as file:
                for each in self._ring:
                    file.add(each)
            for old in sorted(self._folder.glob("breach-*Z.json"))[:-KEEP_FILES]:
                old.unlink(missing_ok=True)
        except (OutputError, OSError) as error:
            log.error("the spans around the late frame are not kept: %s", error)


def _of_frame(passage: Passage) -> Iterator[str]:
    """What followed on its capture."""
    number = passage.number
    ready_at = max(passage.captured_at, passage.read_at + passage.read_ms / 1000)  # a film's frames wait until due
    steps_ms = {**passage.took_ms}
    detected_at = passage.began_at + steps_ms.pop("detect", 0.0) / 1000
    ends = accumulate((took_ms / 1000 for took_ms in steps_ms.values()), initial=passage.resumed_at or detected_at)
    marks = [_microseconds(each) for each in ends]  # rounded before they are subtracted: no two spans overlap
    began, detected = _microseconds(passage.began_at), _microseconds(detected_at)
    published, done = _microseconds(passage.published_at), _microseconds(passage.done_at)
    yield from _wait("wait for detecting", _microseconds(ready_at), began, number)
    yield _span(DETECT, "detect", began, detected, f'"frame":{number}')
    yield from _wait("wait for classifying", detected, marks[0], number)
    for step, (begin, end) in zip(steps_ms, pairwise(marks), strict=True):
        yield _span(CLASSIFY, step, begin, end, f'"frame":{number}')
    yield from _wait("wait for publishing", marks[-1], published, number)
    told = f'"frame":{number},"faces":{passage.faces},"age_ms":{passage.age_ms:.3f}'
    yield _span(PUBLISH, "publish", published, done, told)


# Lines are put together by hand, in 14 microseconds a frame where json takes 42.


def _span(thread: int, name: str, begin: int, end: int, args: str) -> str:
    about = f'"pid":1,"tid":{thread},"cat":"frame","ph":"X","name":"{name}"'
    return f'{{{about},"ts":{begin},"dur":{end - begin},"args":{{{args}}}}}'


def _wait(name: str, begin: int, end: int, number: int) -> Iterator[str]:
    """Of no thread: one frame may begin to wait while another still does."""
    about = f'"pid":1,"tid":{PUBLISH},"cat":"{name}","id":{number},"name":"{name}"'
    yield f'{{{about},"ph":"b","ts":{begin}}}'
    yield f'{{{about},"ph":"e","ts":{end}}}'


def _count(name: str, at: int, counts: Mapping[str, int]) -> str:
    return json.dumps({"pid": 1, "tid": PUBLISH, "cat": "frame", "ph": "C", "name": name, "ts": at, "args": counts})


def _names() -> Iterator[str]:
    yield _called(PUBLISH, "process_name", "emotion-edge")
    for thread, name in enumerate(THREADS, CAPTURE):
        yield _called(thread, "thread_name", name)


def _called(thread: int, what: str, name: str) -> str:
    return json.dumps({"pid": 1, "tid": thread, "cat": "frame", "ph": "M", "name": what, "args": {"name": name}})


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
