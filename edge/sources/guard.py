"""Guarded: a camera that is opened again whenever it fails, however it fails."""

import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing

from edge import config
from edge.errors import SourceError
from edge.events import CameraEvent
from edge.scene import Frame
from edge.slot import Bell
from edge.sources.cameras import is_there, lasting_path, path_of, why_not
from edge.sources.remote import Opener, Refused, Remote
from edge.sources.watch import Limits, Watch

log = logging.getLogger("emotion_edge")

WAKE_SECONDS = 0.125
"""How long the capture thread waits at most before it looks whether something else is wanted."""

BLANK = "the picture shows nothing: is the lens covered, or the room dark?"


class Guarded:
    """A camera, read by a process of its own, that is watched, killed when it hangs, and opened again.

    An iteration opens it and yields its new pictures, each once; numbers and moments rise, also over a loss. When it
    fails (an error, silence, the same picture again and again, the death of its process) `gap` is called, then `tell`
    with a camera_lost event; with the next picture, `tell` with camera_back. Between them it is tried again: at once,
    then after delays that double (see Limits), and as soon as its device appears. `gap` is also called, without an
    event, when it is paused or opened with other settings, and when its pictures change their size.
    SourceError is raised if it refuses to open at the very first try, when people wait for an answer; and
    after `give_up_after` tries in a row without a picture.

    From any thread:
        rate_fps     so many frames a second are wanted, none for all; others are passed over, nearly free of cost
        state        "running", which includes its opening, "lost" or "paused"
        reason       why it is lost, or what is odd about it, one line for people; else empty
        reopens      how often it came back after a loss
        looks        how often the thread that reads it, or tries to open it, looked what is to be done
        slow_spells  how often it became slow: below half of the rate that was asked for and promised, over 10 s
        camera_fps   frames a second that the camera delivers, with those that are passed over; 0 when lost or paused
    """

    live = True
    length = None

    def __init__(
        self,
        settings: config.Camera,
        tell: Callable[[CameraEvent], None] = lambda event: None,
        gap: Callable[[], None] = lambda: None,
        opener: Opener | None = None,
        limits: Limits | None = None,
        patient: bool = False,
    ) -> None:
        """`tell` and `gap` are called on the capture thread; without `opener`, the camera's name tells what opens it.
        With `patient`, a camera that refuses at the very first try is lost, as at any other."""
        self.rate_fps: float | None = None
        self.state, self.reason = "running", ""
        self.reopens = self.slow_spells = self.looks = 0
        self.camera_fps = 0.0
        self._settings, self._opener, self._limits = settings, opener, limits or Limits()
        self._asked = self._path = ""
        self._patient = patient
        self._tell, self._gap = tell, gap
        self._bell = Bell()
        self._stopping = self._paused = self._changed = False
        self._number = 0
        self._shape: tuple[int, ...] = ()
        self._is_there = self._was_open = self._was_slow = False
        self._first_at: float | None = None
        self._last_at = 0.0
        self._lost_because = ""
        self._delay_seconds = 0.0
        self._failures = 0
        self._complained_at = -math.inf
        self._watch = Watch(settings, self._limits)

    @property
    def name(self) -> str:
        """Its device, as it was asked for."""
        return path_of(self._settings.source)

    def pause(self) -> None:
        """Close the camera, until `resume`: its light goes out."""
        self._paused = True
        self._bell.ring()

    def resume(self) -> None:
        self._paused = False
        self._bell.ring()

    def adopt(self, settings: config.Camera) -> None:
        """Open the camera anew, as these say."""
        if settings != self._settings:
            self._settings, self._changed = settings, True
            self._bell.ring()

    def stop(self) -> None:
        """Have the iteration end soon, whatever it waits for; also one that was made and has not begun."""
        self._stopping = True
        self._bell.ring()

    def __iter__(self) -> Generator[Frame, None, None]:
        # Not within the generator, which begins later, on another thread: a stop before that would be forgotten.
        self._stopping = False
        self._number = 0
        return self._frames()

    def _frames(self) -> Generator[Frame, None, None]:
        while not self._stopping:
            if self._paused:
                self._rest()
                continue
            if self._changed:
                self._changed = False
                self._start_over()
            settings, opened_at, number = self._settings, time.monotonic(), self._number
            try:
                yield from self._opening(settings)
            except SourceError as error:
                if isinstance(error, Refused) and not (self._patient or self._was_open or self._lost_because):
                    raise
                self._lose(error, settings, opened_at, self._number > number)
                self._back_off()
            else:
                self._part()

    def _is_undisturbed(self) -> bool:
        return not (self._stopping or self._paused or self._changed)

    def _opening(self, settings: config.Camera) -> Generator[Frame, None, None]:
        """The frames of one opening, until it fails (SourceError) or something else is wanted."""
        if self._asked != path_of(settings.source):
            self._asked = self._path = path_of(settings.source)
        self._is_there = is_there(self._path)
        if not self._is_there:
            raise Refused(why_not(self._path))
        self._path = lasting_path(self._path)  # plugged in again, it may have another number; then that is the other's
        with closing(Remote(self._path, settings, self._opener, self._number)) as camera:
            self._watch = watch = Watch(settings, self._limits, self._watch.known)
            while self._is_undisturbed():
                self.looks += 1
                camera.want(self.rate_fps)
                frame = camera.receive(WAKE_SECONDS)
                watch.promise(camera.fps)
                if frame is None:
                    watch.check_silence(camera.silent_seconds)
                elif watch.is_new(frame):
                    self._see(frame, watch, camera.remark)
                    yield frame

    def _see(self, frame: Frame, watch: Watch, hint: str) -> None:
        """A good frame: the camera runs."""
        if self._lost_because:
            self._come_back(frame)
        if self._shape not in ((), frame.pixels.shape):
            self._gap()  # where faces were in pictures of another size says nothing
        self._shape = frame.pixels.shape
        if self._first_at is None:
            self._first_at = frame.captured_at
        self._was_open = True
        self._last_at, self._number = frame.captured_at, frame.number + 1
        self.state, self.reason = "running", BLANK if watch.is_blank else ""
        self.camera_fps = watch.fps
        self._remark(watch, hint)

    def _come_back(self, frame: Frame) -> None:
        self.reopens += 1
        away_seconds = frame.captured_at - self._last_at
        log.warning("camera=%s is back after=%.1fs", self.name, away_seconds)
        reason, self._lost_because, self._first_at = self._lost_because, "", None
        self._tell(CameraEvent("camera_back", self.name, reason, away_seconds * 1000, frame.captured_at))

    def _lose(self, error: SourceError, settings: config.Camera, opened_at: float, delivered: bool) -> None:
        now = time.monotonic()
        self._failures = 0 if delivered else self._failures + 1
        if delivered and now - opened_at >= self._limits.steady_seconds:
            self._delay_seconds = 0.0
        self.state, self.reason, self.camera_fps = "lost", str(error), 0.0
        if not self._lost_because:
            self._tell_lost(str(error), opened_at)
        elif self._may_complain():
            log.warning("camera=%s still lost tries=%d reason=%r", self.name, self._failures, self.reason)
        if settings.give_up_after and self._failures >= settings.give_up_after:
            raise SourceError(
                f"camera {self.name} gave no picture in {self._failures} tries, the last: {error}"
            ) from error

    def _tell_lost(self, reason: str, opened_at: float) -> None:
        self._part()
        self._lost_because = reason
        self._complained_at = time.monotonic()
        log.warning("camera=%s lost reason=%r", self.name, reason)
        if self._first_at is None:
            self._first_at = self._last_at = opened_at
        held_ms = (self._last_at - self._first_at) * 1000
        self._tell(CameraEvent("camera_lost", self.name, reason, held_ms, self._last_at))

    def _part(self) -> None:
        """From what was seen last to what will be seen next there is a gap."""
        self.camera_fps, self._shape = 0.0, ()
        if not self._stopping:
            self._gap()

    def _back_off(self) -> None:
        until = time.monotonic() + self._delay_seconds
        self._delay_seconds = min(
            max(self._limits.first_delay_seconds, 2 * self._delay_seconds), self._limits.longest_delay_seconds
        )
        while self._is_undisturbed() and (left := until - time.monotonic()) > 0:
            self._bell.wait(min(left, WAKE_SECONDS))
            self.looks += 1
            was_there, self._is_there = self._is_there, is_there(self._path)
            if self._is_there and not was_there:
                self._delay_seconds = self._limits.first_delay_seconds
                break

    def _rest(self) -> None:
        self.state, self.reason = "paused", ""
        while self._paused and not self._stopping:
            self._bell.wait()
        self._start_over()
        self.state, self.reason = ("lost" if self._lost_because else "running"), self._lost_because

    def _start_over(self) -> None:
        """What was before counts no more: somebody wants the camera now."""
        self._first_at, self._delay_seconds, self._failures = None, 0.0, 0

    def _remark(self, watch: Watch, hint: str) -> None:
        """What is odd about a camera that runs goes to the log; `hint` is what the camera says about its slowness."""
        self.slow_spells += watch.is_slow and not self._was_slow
        self._was_slow = watch.is_slow
        if watch.is_slow and self._may_complain():
            more = f": {hint}" if hint else ""
            log.warning("camera=%s slow fps=%.1f asked=%g%s", self.name, watch.fps, self._settings.fps, more)
        elif watch.is_blank and self._may_complain():
            log.warning("camera=%s %s", self.name, BLANK)

    def _may_complain(self) -> bool:
        now = time.monotonic()
        if now - self._complained_at < self._limits.complain_seconds:
            return False
        self._complained_at = now
        return True
