"""Remote: a camera in a process of its own, which is killed when it hangs."""

import json
import logging
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass

from edge import config, start
from edge.errors import SourceError
from edge.scene import Frame
from edge.sources import is_picamera, messages
from edge.sources.cameras import MISSING
from edge.sources.messages import Message
from edge.sources.ring import Ring

log = logging.getLogger("emotion_edge")

END_SECONDS = 1.0
"""How long to wait for a killed process: one that is stuck in the kernel dies only when its driver lets it."""

PARENTS_SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
"""A terminal sends these to all processes of a command, and systemd to all of a service."""

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
"""For glibc, bytes: what a picture took is kept for the next one. Given back and taken anew each time, 1,300 pages of a
1280x720 picture, it made decoding twice as slow (6.6 against 3.3 ms)."""

_stuck: list[subprocess.Popen[bytes]] = []
"""Killed, but not dead yet."""


class Refused(SourceError):
    """The camera does not open: it is not there, belongs to others, or is no camera."""


@dataclass(frozen=True, slots=True)
class Opener:
    """What opens a camera in its process: "module:name" of a function that makes a sender.Camera of its path and the
    settings, and the Python that runs it."""

    function: str
    python: str = sys.executable


WEBCAM = Opener("edge.sources.camera:open_webcam")
PICAMERA = Opener("edge.sources.picamera:open_picamera", start.SYSTEM_PYTHON)


def opener_of(path: str) -> Opener:
    """What opens this camera."""
    return PICAMERA if is_picamera(path) else WEBCAM


class Remote:
    """Starts a process that opens the camera; `receive` gives its frames.

    fps             what the camera promises, frames a second; 0 while it has not opened, or where it does not say
    remark          what may make it slower, and what to do, one line; else empty
    silent_seconds  how long we have waited in vain for a picture or a sign of one. The waits are counted, not the time
                    between pictures, so that our own delays are not laid at the camera's door
    """

    def __init__(self, path: str, settings: config.Camera, opener: Opener | None = None, first_number: int = 0) -> None:
        """Refused when the Python for it is not there, SourceError when the system allows no more processes or files.

        Frames are numbered from `first_number`.
        """
        self.fps = self.silent_seconds = 0.0
        self.remark = ""
        self._path, self._first_number = path, first_number
        self._ring: Ring | None = None
        self._generation = 0
        self._rate_fps: float | None = None
        opener = opener or opener_of(path)
        asked = {"path": path, "opener": opener.function, "camera": asdict(settings)}
        try:
            self._line, self._process = _started(json.dumps(asked), opener.python)
        except FileNotFoundError as error:
            raise Refused(f"camera {path}: there is no {opener.python}: {MISSING}") from error
        except OSError as error:
            raise SourceError(f"camera {path}: a process for it cannot be started: {error.strerror}") from error
        self._ready = select.poll()
        self._ready.register(self._line, select.POLLIN)

    def want(self, rate_fps: float | None) -> None:
        """Have so many frames a second sent, none for all; the others are not even decoded."""
        if rate_fps != self._rate_fps:
            self._rate_fps = rate_fps
            self._say({"kind": "rate", "fps": rate_fps})

    def receive(self, timeout_seconds: float) -> Frame | None:
        """The next frame; none when it takes longer. Refused, or SourceError when there will be no more."""
        if not self._ready.poll(timeout_seconds * 1000):
            self.silent_seconds += timeout_seconds
            return None
        message, descriptor = messages.receive(self._line)
        if message is None:
            raise SourceError(f"camera {self._path}: {self._end()}")
        if message["kind"] in ("picture", "passed"):
            self.silent_seconds = 0.0
        if message["kind"] == "picture":
            return self._frame(message)
        self._heed(message, descriptor)
        return None

    def close(self) -> None:
        """Kill the process, which lets the camera go."""
        self._line.close()
        self._process.kill()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("camera=%s process=%d is killed but stuck in its driver", self._path, self._process.pid)
            _stuck.append(self._process)
        if self._ring:
            self._ring.close()

    def _frame(self, message: Message) -> Frame:
        assert self._ring  # it comes before its first picture
        pixels = self._ring.buffer(message["buffer"]).copy()
        self._say({"kind": "free", "buffer": message["buffer"], "generation": self._generation})
        captured_at, number = message["captured_at"], self._first_number + message["number"]
        return Frame(pixels, captured_at, captured_at, number, message["took_ms"], self._path)

    def _heed(self, message: Message, descriptor: int) -> None:
        kind = message["kind"]
        if kind == "refused":
            raise Refused(message["reason"])
        if kind == "failed":
            raise SourceError(message["reason"])
        if kind == "log":
            log.log(message["level"], "%s", message["text"])
        elif kind == "opened":
            self.fps, self.remark = message["fps"], message["remark"]
        elif kind == "ring":
            self._change_ring(message, descriptor)

    def _change_ring(self, message: Message, descriptor: int) -> None:
        if self._ring:
            self._ring.close()
        try:
            self._ring = Ring(descriptor, tuple(message["shape"]), mmap.PROT_READ)
        finally:
            os.close(descriptor)
        self._generation = message["generation"]

    def _say(self, message: Message) -> None:
        with suppress(OSError):  # it has gone, or hangs: both are noticed by what does not come from it
            messages.send(self._line, message)

    def _end(self) -> str:
        """How the process ended, for people."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process has closed the line"
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"


def _reap() -> None:
    _stuck[:] = [each for each in _stuck if each.poll() is None]


def _started(asked: str, python: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Our end of the line to a new process, and the process."""
    _reap()
    ours, theirs = messages.line()
    with theirs:
        try:
            return ours, _spawned(theirs.fileno(), asked, python)
        except BaseException:
            ours.close()
            raise


def _spawned(descriptor: int, asked: str, python: str) -> subprocess.Popen[bytes]:
    command = start.command("edge.sources.child", str(os.getpid()), str(descriptor), asked, python=python)
    environment = {**start.environment(), **KEEP_MEMORY}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)  # inherited, from its first instruction on
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[descriptor], env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
