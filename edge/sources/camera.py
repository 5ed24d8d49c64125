"""Webcam: a V4L2 camera read through OpenCV; and the list of those that are there."""

import logging
import os
import time
from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.scene import Frame
from edge.sources.video import quiet_opencv

log = logging.getLogger("emotion_edge")

DEVICES = Path("/sys/class/video4linux")

BROKEN_IN_A_ROW = 10
"""So many pictures in a row that cannot be decoded end the iteration: cables and cheap cameras damage a single one."""


class Device(Protocol):
    """The part of cv2.VideoCapture that a camera needs."""

    def isOpened(self) -> bool: ...  # noqa: N802  # OpenCV's name
    def set(self, prop: int, value: float, /) -> bool: ...
    def get(self, prop: int, /) -> float: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]: ...
    def release(self) -> None: ...


def open_v4l2(path: str) -> Device:
    """The camera at `path`; ask it whether it is open."""
    quiet_opencv()
    device: Device = cv2.VideoCapture(path, cv2.CAP_V4L2)
    return device


class Webcam:
    """A camera, by number ("0") or path ("/dev/video0"); it may deliver another size or rate than asked, see the log.

    `captured_at` is when the picture had come from the camera, `took_ms` what decoding it took (waiting is no work).
    Opening fails, and a camera that stops ends the iteration, with SourceError. A picture that comes damaged is passed
    over, and logged.
    """

    live = True
    length = None

    def __init__(
        self, which: str, width: int, height: int, fps: float, open_device: Callable[[str], Device] = open_v4l2
    ) -> None:
        self.name = f"/dev/video{int(which)}" if which.isdecimal() else which
        self._width, self._height, self._fps = width, height, fps
        self._open_device = open_device

    def __iter__(self) -> Generator[Frame, None, None]:
        device = self._open_device(self.name)
        try:
            if not device.isOpened():
                raise SourceError(why_not(self.name))
            self._ask(device)
            for number in count():
                yield self._frame(device, number)
        finally:
            device.release()

    def _ask(self, device: Device) -> None:
        # MJPG: most cameras send other formats at a tenth of the rate. A buffer of one: old frames are of no use.
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        device.set(cv2.CAP_PROP_FRAME_WIDTH, self._width)
        device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._height)
        device.set(cv2.CAP_PROP_FPS, self._fps)
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        got = [device.get(each) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)]
        code = int(device.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF  # -1 where it is not known
        form = "".join(each for each in code.to_bytes(4, "little").decode("latin-1") if each.isalnum())
        asked = f"{self._width}x{self._height}@{self._fps:g}"
        log.info("camera=%s size=%dx%d fps=%g format=%s asked=%s", self.name, *got, form or "?", asked)

    def _frame(self, device: Device, number: int) -> Frame:
        for _ in range(BROKEN_IN_A_ROW):
            if not device.grab():
                break
            captured_at = time.monotonic()
            there, pixels = device.retrieve()
            if there and pixels is not None:
                rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
                took_ms = (time.monotonic() - captured_at) * 1000
                return Frame(rgb, captured_at, captured_at, number, took_ms, self.name)
            log.warning("camera=%s passed over a damaged picture after %d frames", self.name, number)
        raise SourceError(
            f"camera {self.name} stopped delivering after {number} frames: was it unplugged? "
            "Check its cable and power; `emotion-edge cameras` lists what is there"
        )


def why_not(path: str) -> str:
    """One line on a camera that does not open."""
    if not os.path.exists(path):
        there = ", ".join(path for path, _ in list_cameras()) or "none"
        return f"no camera at {path}: there are: {there}; `emotion-edge cameras` lists them, `--source demo` needs none"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"camera {path} may not be opened by this user: sudo usermod -aG video $USER, then log in again"
    return f"camera {path} does not open: another program has it, or it is no camera; `emotion-edge cameras` lists them"


def list_cameras(devices: Path = DEVICES) -> list[tuple[str, str]]:
    """Path and name of each camera that Linux knows; a camera's second node, for metadata, is left out."""
    found = []
    for each in devices.glob("video*"):
        number = each.name.removeprefix("video")
        if number.isdecimal() and _text(each / "index") in ("0", ""):
            found.append((int(number), _text(each / "name")))
    return [(f"/dev/video{number}", name or "unnamed") for number, name in sorted(found)]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()  # the kernel may cut a name within a letter
    except OSError:
        return ""
