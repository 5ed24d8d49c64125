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
from typing import Protocol, TypeVar, runtime_checkable

from edge.scene import Frame, Scene
from edge.slot import Bell, Closed, Slot

log = logging.getLogger("emotion_edge")

LEAVE_SECONDS = 2.0
"""How long leaving waits for a thread, say one inside a camera's read that never returns, before it is left behind."""

T = TypeVar("T")
U = TypeVar("U")


class Frames(Protocol):
    """What a Pipeline reads: each iteration is a generator that opens, yields and closes."""

    def __iter__(self) -> Generator[Frame, None, None]: ...


@runtime_checkable
class Stoppable(Protocol):
    """Frames that one may have to wait for without end, such as a camera's that hangs."""

    def stop(self) -> None:
        """From any thread: have the iteration that was made last end soon. Takes no lock, as Slot does not."""


def nothing(_: object) -> None:
    """What is done when nothing is."""


def pump(
    source: Generator[T, None, None], step: Callable[[T], U], out: Slot[U], after: Callable[[T], None] = nothing
) -> None:
    """Feed `out` until `source` ends, a step fails or the reader of `out` has gone; then both are closed."""
    with closing(source), out:
        for item in source:
            out.put(step(item))
            after(item)


class Pipeline:
    """Frames of a source, perceived on threads of their own; a context manager that one iterates, once:

        with Pipeline(source, perceive) as scenes:
            for scene in scenes: ...

    source    opened, read and closed on the capture thread; told to stop, if it is Stoppable, when the block is left;
              a frame whose `captured_at` is still to come is held back until then, which paces a film
    perceive  called with one frame at a time, on the infer thread
    after     called there with the same frame, once its scene was handed on; may use the time until the next one
    every     lose nothing: capture waits for inference, and inference for the caller; else the newest wins

    An error of a stage stops the others and is raised in the caller, after the scenes before it, with its traceback.
    Leaving the block stops everything, and waits for it, at most LEAVE_SECONDS.
    """

    def __init__(
        self,
        source: Frames,
        perceive: Callable[[Frame], Scene],
        every: bool = False,
        after: Callable[[Frame], None] = nothing,
    ) -> None:
        self._source, self._perceive, self._after = source, perceive, after
        self._frames: Slot[Frame] = Slot(every)
        self._scenes: Slot[Scene] = Slot(every)
        self._capture = Thread(target=self._work, args=(self._capture_frames,), name="capture", daemon=True)
        self._infer = Thread(target=self._work, args=(self._infer_scenes,), name="infer", daemon=True)
        self._running: set[Thread] = set()
        self._ended = Bell()
        self._started = self._stopped = False

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
        unfinished   perceive failed on it, or was left behind with it
        """
        return {
            "stale_frame": self._frames.dropped,
            "stale_scene": self._scenes.dropped,
            "unfinished": self._frames.taken - self._scenes.offered if self._stopped else 0,
        }

    def __enter__(self) -> "Pipeline":
        return self

    def __iter__(self) -> Iterator[Scene]:
        self._start()
        return self

    def __next__(self) -> Scene:
        # No generator: it is closed by its finalizer, which swallows an interrupt.
        try:
            return self._scenes.take()
        except Closed:
            raise StopIteration from None

    def next_within(self, timeout_seconds: float) -> Scene | None:
        """The next scene, or none when it takes longer; Closed after the last one."""
        self._start()
        return self._scenes.take_within(timeout_seconds)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._stop()
        except BaseException:
            self._stop()  # an interrupt came while we stopped
            raise
        failure = self._scenes.error or self._frames.error
        if failure and kind is None:
            raise failure
        if failure and failure is not error:
            log.error("while stopping: %s: %s", type(failure).__name__, failure)

    def _start(self) -> None:
        if self._started:  # Python 3.13.5 asks twice for the iterator of a comprehension
            return
        atexit.register(self._stop)
        self._iteration = iter(self._source)  # here, so that it is made before it can be told to stop
        # Between these two lines nothing is called, so no interrupt falls there and has us wait for nobody.
        self._running, self._started = {self._capture, self._infer}, True
        try:
            _thread.start_new_thread(self._launch, ())
        except RuntimeError:  # the system allows no more threads
            self._running = set()
            raise

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
        except BaseException as error:  # noqa: BLE001  # thread boundary: leaving the block raises it in the caller
            self._frames.close(error)
        finally:
            self._end(current_thread())

    def _end(self, worker: Thread) -> None:
        self._running.discard(worker)
        self._ended.ring()

    def _capture_frames(self) -> None:
        pump(self._iteration, self._when_due, self._frames)

    def _infer_scenes(self) -> None:
        pump(iter(self._frames), self._perceive, self._scenes, self._after)

    def _when_due(self, frame: Frame) -> Frame:
        while not self._frames.closed and (early := frame.captured_at - time.monotonic()) > 0:
            self._frames.rest(early)
        return frame

    def _stop(self) -> None:
        self._frames.leave()
        self._scenes.leave()
        if isinstance(self._source, Stoppable):
            self._source.stop()
        give_up_at = time.monotonic() + LEAVE_SECONDS
        while self._running and (left := give_up_at - time.monotonic()) > 0:
            self._ended.wait(left)
        for worker in (self._capture, self._infer):
            if worker in self._running:
                log.warning("thread=%s left behind: no answer within %g s", worker.name, LEAVE_SECONDS)
            elif worker.ident is not None:
                worker.join()  # it rang, and has but a few instructions to go
        self._stopped = True
        atexit.unregister(self._stop)
