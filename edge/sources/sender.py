"""Sender: hands a camera's pictures over from its process; the part that every kind of camera shares."""

import os
import socket
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.sources import messages
from edge.sources.ring import BUFFERS, Ring, Shape
from edge.sources.sparing import is_wanted

SIGN_SECONDS = 0.25
"""While pictures are passed over, the parent is told this often that they come."""


class Camera(Protocol):
    """An open camera. What stops it raises SourceError; whoever opened it closes it.

    fps     frames a second that it promises; 0 where it does not say
    remark  what may make it slower than that, and what to do, one line for people; else empty
    """

    fps: float
    remark: str

    def grab(self) -> float:
        """Wait for the next picture; when it was taken, seconds of time.monotonic()."""

    def decode(self, room: Callable[[Shape], NDArray[np.uint8]]) -> bool:
        """Write the picture that came last, as RGB, into what `room` gives for its shape; false for a damaged one."""

    def close(self) -> None: ...


class ParentGone(Exception):
    """Nobody takes the pictures any more."""


class Sender:
    """Hands a camera's pictures to the parent: fresh ones. Those that find no free buffer are passed over."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._ring: Ring | None = None
        self._generation = 0
        self._free: list[int] = []
        self._rate_fps: float | None = None
        self._sent_at = self._told_at = 0.0

    def send_all(self, camera: Camera) -> None:
        """Until the camera fails (SourceError) or the parent goes (ParentGone)."""
        for number in count():
            captured_at = camera.grab()
            self._listen()
            if self._is_wanted(captured_at, camera.fps):
                self._send(camera, number, captured_at)
            elif captured_at - max(self._sent_at, self._told_at) >= SIGN_SECONDS:
                self._told_at = captured_at
                messages.send(self._line, {"kind": "passed"})

    def _listen(self) -> None:
        while True:
            try:
                message, _ = messages.receive(self._line)
            except BlockingIOError:
                return
            if message is None:
                raise ParentGone
            if message["kind"] == "rate":
                self._rate_fps = message["fps"]
            elif message["generation"] == self._generation:
                self._free.append(message["buffer"])

    def _is_wanted(self, captured_at: float, camera_fps: float) -> bool:
        if self._ring and not self._free:
            return False
        return is_wanted(captured_at - self._sent_at, self._rate_fps, camera_fps)

    def _send(self, camera: Camera, number: int, captured_at: float) -> None:
        if camera.decode(self._room):
            took_ms = (time.monotonic() - captured_at) * 1000
            self._sent_at = captured_at
            buffer = self._free.pop()
            picture = {"buffer": buffer, "number": number, "captured_at": captured_at, "took_ms": took_ms}
            messages.send(self._line, {"kind": "picture", **picture})

    def _room(self, shape: Shape) -> NDArray[np.uint8]:
        """The buffer that is filled next."""
        if not self._ring or self._ring.shape != shape:
            self._ring = self._renewed(shape)
        return self._ring.buffer(self._free[-1])

    def _renewed(self, shape: Shape) -> Ring:
        """A ring for pictures of another size; those in the old one can still be taken."""
        if self._ring:
            self._ring.close()
        ring, descriptor = Ring.make(shape)
        self._generation += 1
        self._free = list(range(BUFFERS))
        messages.send(self._line, {"kind": "ring", "shape": shape, "generation": self._generation}, descriptor)
        os.close(descriptor)
        return ring
