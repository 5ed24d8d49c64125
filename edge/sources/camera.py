"""Webcam: a V4L2 camera read through OpenCV."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.errors import SourceError
from edge.sources import v4l2
from edge.sources.cameras import why_not
from edge.sources.ring import Shape
from edge.sources.v4l2 import Exposure, Mode
from edge.sources.video import quiet_opencv

log = logging.getLogger("emotion_edge")

QUICKEST_FIRST = "YUYV", "MJPG"
"""Formats, the one that needs no decoding first."""

BUFFERS = 2
"""One is filled while we have the other. With one alone, a camera that sends all the time, as with YUYV, finds none at
the beginning of every second picture; more would hold old ones."""

HAS_SHARE = 0.9
"""A camera has the rate that it was asked for when it has this share of it: some say 29.97, some 25 for 27."""

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


UNKNOWN = Exposure()

ANSWERS = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS
"""What a camera is asked about after it was asked for it."""


def open_v4l2(path: str) -> Device:
    """The camera at `path`; ask it whether it is open."""
    quiet_opencv()
    device: Device = cv2.VideoCapture(path, cv2.CAP_V4L2)
    return device


def open_webcam(path: str, settings: config.Camera) -> "Webcam":
    """The camera at `path`, asked for what the settings say, in the format that is quickest with it."""
    cv2.setNumThreads(1)
    offered, exposure = v4l2.modes(path, (settings.width, settings.height)), v4l2.exposure(path)
    return Webcam(path, settings, open_v4l2, offered, exposure)


def quickest(offered: Sequence[Mode], settings: config.Camera) -> str:
    """The format in which pictures of the wanted size and rate are there soonest; empty for one that OpenCV chooses.

    One that need not be decoded, if the camera has the rate in it; else the one with the highest rate.
    """
    if settings.format:
        return settings.format
    if not offered:
        return "MJPG"  # most cameras send other formats at a tenth of the rate
    size = settings.width, settings.height
    rates = {each.format: each.fps for each in offered if (each.width, each.height) == size}
    known = [each for each in QUICKEST_FIRST if each in (rates or {each.format for each in offered})]
    enough = [each for each in known if rates.get(each, 0) >= HAS_SHARE * settings.fps]
    return enough[0] if enough else max(known[::-1], key=lambda each: rates.get(each, 0), default="")


class Webcam:
    """An open V4L2 camera, by path; it may deliver another size or rate than asked, see the log.

    Attributes as sender.Camera. What does not open, and what stops, raises SourceError. Whoever opened it closes it.
    """

    def __init__(
        self,
        path: str,
        settings: config.Camera,
        open_device: Callable[[str], Device] = open_v4l2,
        offered: Sequence[Mode] = (),
        exposure: Exposure = UNKNOWN,
    ) -> None:
        """`offered` is what the camera has, as far as it is known, and `exposure` how it exposes."""
        self._path, self._settings, self._open_device, self._exposure = path, settings, open_device, exposure
        self._delivered = self._broken = 0
        self._complained_at = -math.inf
        self.remark = _may_be_slowed(path, exposure)
        self._format = quickest(offered, settings)
        self._has_mjpg = any(each.format == "MJPG" for each in offered)
        self.fps = self._open()

    def close(self) -> None:
        self._device.release()

    def grab(self) -> float:
        """Wait for the next picture; when it had come from the camera, seconds of time.monotonic()."""
        if not self._device.grab() and not self._begins_compressed():
            raise self._stopped()
        return time.monotonic()

    def decode(self, room: Callable[[Shape], NDArray[np.uint8]]) -> bool:
        """Write the picture that came last, as RGB, into what `room` gives for its shape; false for a damaged one."""
        there, pixels = self._device.retrieve()
        if not there or not _is_whole(pixels):
            self._pass_over()
            return False
        to_rgb = cv2.COLOR_YUV2RGB_YUYV if pixels.shape[2] == 2 else cv2.COLOR_BGR2RGB
        picture = room((*pixels.shape[:2], 3))
        if self._settings.upside_down:
            cv2.flip(cv2.cvtColor(pixels, to_rgb), -1, dst=picture)
        else:
            cv2.cvtColor(pixels, to_rgb, dst=picture)
        self._delivered += 1
        self._broken = 0
        return True

    def _open(self) -> float:
        """The rate that the camera says it will have."""
        self._device = self._open_device(self._path)
        try:
            if not self._device.isOpened():
                raise SourceError(why_not(self._path))
            return self._ask()
        except BaseException:
            self._device.release()
            raise

    def _ask(self) -> float:
        asked, device = self._settings, self._device
        if self._format:
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self._format))
        device.set(cv2.CAP_PROP_FRAME_WIDTH, asked.width)
        device.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.height)
        device.set(cv2.CAP_PROP_FPS, asked.fps)
        device.set(cv2.CAP_PROP_BUFFERSIZE, BUFFERS)
        got, form = [device.get(each) for each in ANSWERS], _format_of(device)
        if form == "YUYV":  # we make RGB of it; OpenCV would make BGR first
            device.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        wanted = f"{asked.width}x{asked.height}@{asked.fps:g}"
        exposure = _exposed(self._exposure)
        log.info("camera=%s size=%dx%d fps=%g format=%s%s asked=%s", self._path, *got, form or "?", exposure, wanted)
        return self._promised(got[2])

    def _promised(self, fps: float) -> float:
        if not 0 < fps < math.inf:
            return 0.0
        if fps < HAS_SHARE * self._settings.fps:
            hint = "`emotion-edge cameras` lists its sizes and rates"
            log.warning("camera=%s asked=%g got=%g frames a second: %s", self._path, self._settings.fps, fps, hint)
        return fps

    def _begins_compressed(self) -> bool:
        """A picture after all, in less room: two cameras on one cable may be too much for it uncompressed."""
        if self._delivered or self._format != "YUYV" or not self._has_mjpg or self._settings.format:
            return False
        log.warning("camera=%s gives no picture in YUYV: trying MJPG", self._path)
        self._device.release()
        self._format = "MJPG"
        self.fps = self._open()
        return self._device.grab()

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
    """BGR, or YUYV, whose width is even."""
    if pixels is None or pixels.dtype != np.uint8 or not pixels.size or pixels.ndim != 3:
        return False
    width, channels = int(pixels.shape[1]), int(pixels.shape[2])
    return channels == 3 or (channels == 2 and width % 2 == 0)


def _format_of(device: Device) -> str:
    code = int(device.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF  # -1 where it is not known
    return "".join(each for each in code.to_bytes(4, "little").decode("latin-1") if each.isalnum())


def _exposed(exposure: Exposure) -> str:
    """For the log."""
    if exposure.is_auto:
        return " exposure=auto"
    return "" if exposure.milliseconds is None else f" exposure={exposure.milliseconds:g}ms"


def _may_be_slowed(path: str, exposure: Exposure) -> str:
    if not exposure.slowed_by:
        return ""
    return (
        f"in the dark this camera exposes for longer than a frame: more light, or "
        f"v4l2-ctl -d {path} -c {exposure.slowed_by}=0"
    )
