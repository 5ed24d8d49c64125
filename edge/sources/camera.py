"""Webcam: a V4L2 camera read through OpenCV; and the list of those that are there."""

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.sources.ring import Shape
from edge.sources.video import quiet_opencv

log = logging.getLogger("emotion_edge")

DEVICES = Path("/sys/class/video4linux")

BROKEN_IN_A_ROW = 10
"""So many pictures in a row that cannot be decoded are the end: cables and cheap cameras damage a single one."""

COMPLAIN_SECONDS = 60.0
"""Damaged pictures are logged at most this often."""


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
    """An open V4L2 camera, by path; it may deliver another size or rate than asked, see the log.

    fps  frames a second that it promises; 0 where it does not say
    What does not open, and what stops, raises SourceError. Whoever opened it closes it.
    """

    def __init__(
        self, path: str, width: int, height: int, fps: float, open_device: Callable[[str], Device] = open_v4l2
    ) -> None:
        self._path = path
        self._delivered = self._broken = 0
        self._complained_at = -math.inf
        self._device = open_device(path)
        try:
            if not self._device.isOpened():
                raise SourceError(why_not(path))
            self.fps = self._ask(width, height, fps)
        except BaseException:
            self._device.release()
            raise

    def close(self) -> None:
        self._device.release()

    def _ask(self, width: int, height: int, fps: float) -> float:
        """The rate that it says it will have."""
        # MJPG: most cameras send other formats at a tenth of the rate. A buffer of one: old frames are of no use.
        self._device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._device.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._device.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._device.set(cv2.CAP_PROP_FPS, fps)
        self._device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        wanted = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS
        got = [self._device.get(each) for each in wanted]
        code = int(self._device.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF  # -1 where it is not known
        form = "".join(each for each in code.to_bytes(4, "little").decode("latin-1") if each.isalnum())
        asked = f"{width}x{height}@{fps:g}"
        log.info("camera=%s size=%dx%d fps=%g format=%s asked=%s", self._path, *got, form or "?", asked)
        return got[2] if 0 < got[2] < math.inf else 0.0

    def grab(self) -> float:
        """Wait for the next picture; when it had come from the camera, seconds of time.monotonic()."""
        if not self._device.grab():
            raise self._stopped()
        return time.monotonic()

    def decode(self, room: Callable[[Shape], NDArray[np.uint8]]) -> bool:
        """Write the picture that came last, as RGB, into what `room` gives for its shape; false for a damaged one."""
        there, pixels = self._device.retrieve()
        if not there or not _is_whole(pixels):
            self._pass_over()
            return False
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=room(pixels.shape))
        self._delivered += 1
        self._broken = 0
        return True

    def _pass_over(self) -> None:
        self._broken += 1
        if self._broken == BROKEN_IN_A_ROW:
            raise self._stopped()
        if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            log.warning("camera=%s passed over a damaged picture after %d frames", self._path, self._delivered)

    def _stopped(self) -> SourceError:
        return SourceError(
            f"camera {self._path} stopped delivering after {self._delivered} frames: was it unplugged? "
            "Check its cable and power; `emotion-edge cameras` lists what is there"
        )


def _is_whole(pixels: NDArray[np.uint8] | None) -> TypeGuard[NDArray[np.uint8]]:
    if pixels is None or pixels.dtype != np.uint8 or not pixels.size:
        return False
    return pixels.ndim == 3 and pixels.shape[2] == 3


def path_of(said: str) -> str:
    """A camera's device, by its path or its number."""
    return f"/dev/video{int(said)}" if said.isdecimal() else said


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
