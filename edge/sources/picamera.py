"""Raspberry Pi camera: a camera of libcamera's, read by the system's picamera2, in the system's Python.

Nothing is imported that this Python may not have: no OpenCV, and numpy only as picamera2's own.
Run as a program it prints the models of all cameras, as a JSON list.
"""

import importlib
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge import config
from edge.errors import SourceError
from edge.sources.cameras import MISSING, number_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.sources.ring import Shape

log = logging.getLogger("emotion_edge")

BUFFERS = 4
"""One is filled, one waits to be, one is processed, and we have one."""

RGB = "BGR888"
"""Bytes in the order red, green, blue: libcamera names formats as DRM does, from the highest byte of a word down."""

LATEST_SECONDS = 1.0
"""A picture whose time stamp is older is dated when it came: some pipelines have no stamp, or one of another clock."""


def open_picamera(path: str, settings: config.Camera) -> "PiCamera":
    """The camera that `path` names, "picamera:0"; SourceError, in one line, where there is none."""
    picamera2 = system_picamera2(path)
    models, number = models_of(picamera2), number_of(path)
    if number >= len(models):
        there = ", ".join(models) or "none"
        raise SourceError(
            f"no camera {path}: libcamera finds: {there}; check its ribbon cable, and that this user is in the group "
            "`video`; `rpicam-hello --list-cameras` must show it"
        )
    return PiCamera(path, settings, picamera2, number)


def system_picamera2(path: str) -> Any:
    """The module; SourceError where it does not import."""
    try:
        module = importlib.import_module("picamera2")
    except ModuleNotFoundError as error:
        raise SourceError(f"camera {path}: {MISSING} ({error})") from error
    except (ImportError, AttributeError, RuntimeError, ValueError) as error:  # numpy of another ABI: ValueError
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise SourceError(
            f"camera {path}: picamera2 of {sys.executable} does not import: {what}: sudo apt install --reinstall "
            "python3-picamera2 python3-numpy, and remove what pip put in their way"
        ) from error
    logging.getLogger("picamera2").setLevel(logging.CRITICAL + 1)  # what matters is raised
    return module


def models_of(picamera2: Any) -> list[str]:
    """The models of all cameras, in the order of their numbers."""
    return [each.get("Model") or each["Id"] for each in picamera2.Picamera2.global_camera_info()]


class PiCamera:
    """An open camera of libcamera's. Attributes as sender.Camera.

    Its image processor scales and converts to RGB, so nothing is left for us but to copy the picture out of the
    buffer. A buffer is held from one `grab` to the next and given back once, whatever fails.
    """

    remark = ""
    format = RGB

    def __init__(self, path: str, settings: config.Camera, picamera2: Any, number: int) -> None:
        self._path, self._mapped = path, picamera2.MappedArray
        self._request: Any = None
        try:
            self._camera = picamera2.Picamera2(number)
        except (RuntimeError, OSError) as error:
            raise SourceError(
                f"camera {path} does not open: another program has it, or it may not be opened: {innermost(error)}"
            ) from error
        try:
            self.fps = self._start(settings)
        except BaseException as error:
            self._camera.close()
            if isinstance(error, RuntimeError):
                raise SourceError(f"camera {path} does not start: {innermost(error)}") from error
            raise

    def grab(self) -> float:
        """Wait for the next picture; when its exposure began, seconds of time.monotonic()."""
        self._let_go()
        self._request = self._camera.capture_request()
        return captured_at(self._request.get_metadata().get("SensorTimestamp"))

    def decode(self, room: "Callable[[Shape], NDArray[np.uint8]]") -> bool:
        """Copy the picture that came last into what `room` gives for its shape; true."""
        with self._mapped(self._request, "main") as mapped:
            self._write(mapped.array, room)
        return True

    def close(self) -> None:
        self._let_go()
        self._camera.close()

    def _write(self, pixels: "NDArray[np.uint8]", room: "Callable[[Shape], NDArray[np.uint8]]") -> None:
        room(pixels.shape)[...] = pixels  # lines of the buffer may be longer than the picture's

    def _let_go(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.release()

    def _start(self, settings: config.Camera) -> float:
        """The rate that it will have, frames a second; 0 where it does not say."""
        camera, libcamera = self._camera, importlib.import_module("libcamera")
        asked = camera.create_video_configuration(
            main={"size": (settings.width, settings.height), "format": self.format},
            raw=None,  # none of the sensor's own values
            transform=libcamera.Transform(hflip=settings.upside_down, vflip=settings.upside_down),
            buffer_count=BUFFERS,
            queue=False,  # the next picture, never one that waited
        )
        camera.configure(asked)
        main, wanted = camera.camera_configuration()["main"], wishes(settings, camera.camera_controls, libcamera)
        if main["format"] != self.format:
            raise SourceError(
                f"camera {self._path} delivers {main['format']}: expected RGB, as a Raspberry Pi camera does; a USB "
                "camera has a /dev/video, which `emotion-edge cameras` lists"
            )
        camera.set_controls(wanted)
        camera.start()
        fps = promised_fps(settings, camera.camera_controls)
        size, focus = "{}x{}".format(*main["size"]), focus_of(settings, wanted)
        asked_for = f"{settings.width}x{settings.height}@{settings.fps:g}"
        log.info("camera=%s size=%s fps=%g format=RGB focus=%s asked=%s", self._path, size, fps, focus, asked_for)
        return fps


def wishes(settings: config.Camera, known: dict[str, Any], libcamera: Any) -> dict[str, Any]:
    """The controls to set, of those that the camera knows."""
    microseconds = round(1e6 / settings.fps)
    wanted: dict[str, Any] = {"FrameDurationLimits": (microseconds, microseconds)}  # so the dark does not slow it
    if settings.focus_metres:
        wanted |= {"AfMode": libcamera.controls.AfModeEnum.Manual, "LensPosition": 1 / settings.focus_metres}
    else:
        wanted |= {"AfMode": libcamera.controls.AfModeEnum.Continuous}
    return {name: value for name, value in wanted.items() if name in known}


def focus_of(settings: config.Camera, wanted: dict[str, Any]) -> str:
    """How the lens is focused, for the log."""
    if "AfMode" not in wanted:
        return "by-hand"
    return f"{settings.focus_metres:g}m" if settings.focus_metres else "auto"


def promised_fps(settings: config.Camera, known: dict[str, Any]) -> float:
    """The rate that was asked for, or the highest that the camera's limits allow; 0 where they are not known."""
    shortest_microseconds = known.get("FrameDurationLimits", (0,))[0]
    return min(settings.fps, 1e6 / shortest_microseconds) if shortest_microseconds else 0.0


def captured_at(boottime_ns: int | None) -> float:
    """Seconds of time.monotonic(), of a stamp in nanoseconds since the boot, suspended times included.

    Now for a stamp that is none of the last second.
    """
    now = time.monotonic()
    if boottime_ns is None:
        return now
    age_seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - boottime_ns / 1e9
    return now - age_seconds if 0 <= age_seconds < LATEST_SECONDS else now


def innermost(error: BaseException) -> str:
    """What was said first: picamera2 wraps libcamera's errors twice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).partition("\n")[0] or type(error).__name__


if __name__ == "__main__":
    print(json.dumps(models_of(system_picamera2("picamera"))))
