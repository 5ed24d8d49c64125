"""Pipeline: the only owner of threads. One captures, one infers, and the caller's own is the third stage.

What a signal can break, and why it does not here. SIGINT and SIGTERM raise KeyboardInterrupt at any bytecode of the
main thread, most often the caller's. So that thread touches no Condition and no Event, which an interrupt can leave
locked: not in Slot, not by Thread.start (a thread of its own starts the workers), not by Thread.join (it waits for
their bell). Threads are started within the `with` block, so its end always sees them; should an interrupt hit the
first bytecode of that end, the interpreter's exit stops them. They are daemons only for a camera that never answers.
"""

import _thread
import atexit
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from threading import Thread, current_thread
from types import TracebackType
from typing import Protocol, TypeVar

from edge.scene import Frame, Scene
from edge.slot import Bell, Slot

log = logging.getLogger("emotion_edge")

LEAVE_SECONDS = 2.0
"""How long leaving waits for a thread, say one inside a camera's read that never returns, before it is left behind."""

T = TypeVar("T")
U = TypeVar("U")


class Frames(Protocol):
    """What a Pipeline reads: each iteration is a generator that opens, yields and closes."""

    def __iter__(self) -> Generator[Frame, None, None]: ...


def pump(source: Generator[T, None, None], step: Callable[[T], U], out: Slot[U]) -> None:
    """Feed `out` until `source` ends, `step` fails or the reader of `out` has gone; then both are closed."""
    with closing(source), out:
        for item in source:
            out.put(step(item))


class Pipeline:
    """Frames of a source, perceived on threads of their own; a context manager that one iterates, once:

        with Pipeline(source, perceive) as scenes:
            for scene in scenes: ...

    source    opened, read and closed on the capture thread; a frame whose `captured_at` is still to come is held
              back until then, which paces a film
    perceive  called with one frame at a time, on the infer thread
    every     lose nothing: capture waits for inference, and inference for the caller; else the newest wins

    An error of a stage stops the others and is raised in the caller, after the scenes before it, with its traceback.
    Leaving the block stops everything, and waits for it, at most LEAVE_SECONDS.
    """

    def __init__(self, source: Frames, perceive: Callable[[Frame], Scene], every: bool = False) -> None:
        self._source, self._perceive = source, perceive
        self._frames: Slot[Frame] = Slot(every)
        self._scenes: Slot[Scene] = Slot(every)
        self._capture = Thread(target=self._work, args=(self._capture_frames,), name="capture", daemon=True)
        self._infer = Thread(target=self._work, args=(self._infer_scenes,), name="infer", daemon=True)
        self._running: set[Thread] = set()
        self._ended = Bell()

    @property
    def captured(self) -> int:
        """Frames that the source gave."""
        return self._frames.offered

    @property
    def published(self) -> int:
        """Scenes that the caller got."""
        return self._scenes.taken

    @property
    def dropped(self) -> Mapping[str, int]:
        """Frames that the caller will not see, by reason; after the block captured = published + their sum.

        stale_frame  not perceived, because a newer one came or the end did
        stale_scene  perceived, but not taken by the caller, for the same reasons
        unfinished   perceive failed on it, or had not ended when it was left behind (0 while inference runs)
        """
        begun = self._frames.taken - self._scenes.offered
        return {
            "stale_frame": self._frames.dropped,
            "stale_scene": self._scenes.dropped,
            "unfinished": begun if self._frames.closed and self._infer not in self._running else 0,
        }

    def __enter__(self) -> "Pipeline":
        return self

    def __iter__(self) -> Iterator[Scene]:
        self._start()
        yield from self._scenes

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._stop()
        except BaseException:
            self._stop()  # an interrupt came while we stopped
            raise
        failure = self._frames.error or self._scenes.error
        if failure and kind is None:
            raise failure

    def _start(self) -> None:
        atexit.register(self._stop)
        # Nothing may be called between these two lines: an interrupt there would have us wait for nobody.
        self._running = {self._capture, self._infer}
        _thread.start_new_thread(self._launch, ())

    def _launch(self) -> None:
        """Start the workers, on a thread where no signal's exception can arrive."""
        for worker in (self._capture, self._infer):
            try:
                worker.start()
            except RuntimeError as error:  # the system allows no more threads
                self._scenes.close(error)
                self._frames.close()
                self._end(worker)

    def _work(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except Exception:  # thread boundary: the caller has its end already, nobody else would tell
            log.exception("%s failed to close", current_thread().name)
        finally:
            self._end(current_thread())

    def _end(self, worker: Thread) -> None:
        self._running.discard(worker)
        self._ended.ring()

    def _capture_frames(self) -> None:
        pump(iter(self._source), self._when_due, self._frames)

    def _infer_scenes(self) -> None:
        pump(iter(self._frames), self._perceive, self._scenes)

    def _when_due(self, frame: Frame) -> Frame:
        while not self._frames.closed and (early := frame.captured_at - time.monotonic()) > 0:
            self._frames.rest(early)
        return frame

    def _stop(self) -> None:
        self._frames.leave()
        self._scenes.leave()
        give_up_at = time.monotonic() + LEAVE_SECONDS
        while self._running and (left := give_up_at - time.monotonic()) > 0:
            self._ended.wait(left)
        for worker in self._running:
            log.warning("thread=%s left behind: no answer within %g s", worker.name, LEAVE_SECONDS)
        atexit.unregister(self._stop)
