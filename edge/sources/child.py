"""A camera's own process: it opens the camera and decodes into shared memory; when the driver hangs, it can be killed.

edge.sources.remote starts it, with SIGINT, SIGTERM and SIGHUP blocked: they mean the parent, which ends it. If the
parent dies, so does this process, whatever it waits for. Its imports are few, for they are most of its start.
"""

import json
import logging
import os
import pkgutil
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.lifeline import end_with_parent
from edge.sources import messages
from edge.sources.camera import Device, Webcam
from edge.sources.ring import BUFFERS, Ring, Shape

SIGN_SECONDS = 0.25
"""While pictures are passed over, the parent is told this often that they come."""


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

    def send_all(self, webcam: Webcam) -> None:
        """Until the camera fails (SourceError) or the parent goes (ParentGone)."""
        for number in count():
            captured_at = webcam.grab()
            self._listen()
            if self._is_wanted(captured_at, webcam.fps):
                self._send(webcam, number, captured_at)
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
        # Half a frame early is in time: else one that comes a little early is missed, and the next is too late.
        half_a_frame = 0.5 / camera_fps if camera_fps else 0.0
        return not self._rate_fps or captured_at - self._sent_at >= 1 / self._rate_fps - half_a_frame

    def _send(self, webcam: Webcam, number: int, captured_at: float) -> None:
        if webcam.decode(self._room):
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


class ToParent(logging.Handler):
    """Sends what is logged here to the parent's log; what it has no room for is lost."""

    def __init__(self, line: socket.socket) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the parent has gone, or is too slow for a log
            messages.send(self._line, {"kind": "log", "level": record.levelno, "text": record.getMessage()})


def serve(line: socket.socket, asked: dict[str, Any]) -> None:
    """Open the camera and send its pictures; `asked` is what remote.Remote gives."""
    open_device: Callable[[str], Device] = pkgutil.resolve_name(asked["opener"])
    try:
        webcam = Webcam(asked["path"], asked["width"], asked["height"], asked["fps"], open_device)
    except SourceError as error:
        messages.send(line, {"kind": "refused", "reason": str(error)})
        return
    with closing(webcam):
        messages.send(line, {"kind": "opened", "fps": webcam.fps})
        try:
            Sender(line).send_all(webcam)
        except SourceError as error:
            messages.send(line, {"kind": "failed", "reason": str(error)})


def die_with(parent: int) -> None:
    """Be killed when the parent dies, also in the midst of a read that never returns."""
    end_with_parent()
    if os.getppid() != parent:  # it died before
        sys.exit()


def main() -> None:
    """Arguments: the parent's process id, the number of the line's descriptor, and what is asked, as JSON."""
    parent, descriptor, asked = sys.argv[1:]
    die_with(int(parent))
    with messages.take_socket(descriptor) as line:
        # From here on, what libraries print is of no use: libjpeg has a remark on each damaged picture.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        logging.basicConfig(level=logging.DEBUG, handlers=[ToParent(line)])
        cv2.setNumThreads(1)
        try:
            serve(line, json.loads(asked))
        except (ParentGone, BrokenPipeError):
            return
        except Exception as error:  # noqa: BLE001  # process boundary: the parent tells of it
            logging.debug("%s", traceback.format_exc())
            messages.send(line, {"kind": "failed", "reason": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
