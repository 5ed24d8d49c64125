"""Pipeline: the only owner of threads. One captures, each stage has one, and the caller's own is the last.

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
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from threading import Thread, current_thread
from types import TracebackType
from typing import Any, Protocol, TypeVar, runtime_checkable

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


@dataclass(frozen=True)
class Stage:
    """What a thread does with each frame.

    name   of the thread
    step   called with what the stage before made of a frame; of the first stage's with the frame
    after  called with the same, once what the step made of it was handed on; may use the time until the next one
    """

    name: str
    step: Callable[[Any], Any]
    after: Callable[[Any], None] = nothing


def pump(
    source: Generator[T, None, None], step: Callable[[T], U], out: Slot[U], after: Callable[[T], None] = nothing
) -> None:
    """Feed `out` until `source` ends, a step fails or the reader of `out` has gone; then both are closed."""
    with closing(source), out:
        for item in source:
            out.put(step(item))
            after(item)


class Pipeline:
    """Frames of a source, through stages on threads of their own; a context manager that one iterates, once:

        with Pipeline(source, [Stage("detect", find), Stage("classify", read)]) as scenes:
            for scene in scenes: ...

    source    opened, read and closed on the capture thread; told to stop, if it is Stoppable, when the block is left;
              a frame whose `captured_at` is still to come is held back until then, which paces a film
    stages    the last one makes Scenes; between two of them nothing is lost, nor grows old: one hands over to the other
    every     lose nothing at all: capture waits for the first stage, and the last for the caller; else the newest wins

    An error of a stage stops the others and is raised in the caller, after the scenes before it, with its traceback.
    Leaving the block stops everything, and waits for it, at most LEAVE_SECONDS.
    """

    def __init__(self, source: Frames, stages: Sequence[Stage], every: bool = False) -> None:
        self._source = source
        self._frames: Slot[Frame] = Slot(every)
        self._scenes: Slot[Scene] = Slot(every)
        self._slots: list[Slot[Any]] = [self._frames, *(Slot[Any](every=True) for _ in stages[1:]), self._scenes]
        self._workers = [self._worker("capture", self._capture_frames)]
        for stage, (ahead, behind) in zip(stages, pairwise(self._slots), strict=True):
            self._workers.append(self._worker(stage.name, self._run, stage, ahead, behind))
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

        stale_frame  no stage had it, because a newer one came or the end did
        stale_scene  all stages had it, but the caller did not take it, for the same reasons
        unfinished   a stage failed on it, or was left behind with it
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
        self._running, self._started = {*self._workers}, True
        try:
            _thread.start_new_thread(self._launch, ())
        except RuntimeError:  # the system allows no more threads
            self._running = set()
            raise

    def _launch(self) -> None:
        """Start the workers, on a thread where no signal's exception can arrive."""
        for worker in self._workers:
            try:
                worker.start()
            except RuntimeError as error:  # the system allows no more threads
                self._scenes.close(error)
                self._frames.close()
                self._end(worker)

    def _worker(self, name: str, does: Callable[..., None], *given: Any) -> Thread:
        return Thread(target=self._work, args=(does, *given), name=name, daemon=True)

    def _work(self, does: Callable[..., None], *given: Any) -> None:
        try:
            does(*given)
        except BaseException as error:  # noqa: BLE001  # thread boundary: leaving the block raises it in the caller
            self._frames.close(error)
        finally:
            self._end(current_thread())

    def _end(self, worker: Thread) -> None:
        self._running.discard(worker)
        self._ended.ring()

    def _capture_frames(self) -> None:
        pump(self._iteration, self._when_due, self._frames)

    def _run(self, stage: Stage, ahead: Slot[Any], behind: Slot[Any]) -> None:
        pump(iter(ahead), stage.step, behind, stage.after)

    def _when_due(self, frame: Frame) -> Frame:
        while not self._frames.closed and (early := frame.captured_at - time.monotonic()) > 0:
            self._frames.rest(early)
        return frame

    def _stop(self) -> None:
        for slot in self._slots:
            slot.leave()
        if isinstance(self._source, Stoppable):
            self._source.stop()
        give_up_at = time.monotonic() + LEAVE_SECONDS
        while self._running and (left := give_up_at - time.monotonic()) > 0:
            self._ended.wait(left)
        for worker in self._workers:
            if worker in self._running:
                log.warning("thread=%s left behind: no answer within %g s", worker.name, LEAVE_SECONDS)
            elif worker.ident is not None:
                worker.join()  # it rang, and has but a few instructions to go
        self._stopped = True
        atexit.unregister(self._stop)
