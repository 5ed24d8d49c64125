"""Stand-ins for what a test machine does not have: a camera. Everything else in the tests is the real component."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.sources.camera import Webcam
from edge.sources.remote import Opener


class FakeCamera:
    """Looks like an opened cv2.VideoCapture, to the Webcam that uses it.

    Why a fake: machines that run tests have no camera, and a real one does not break when a test asks it to. Each
    picture is grey, with its number as its value, so a test sees which one it got.

    opens            whether the device opens
    size, fps, form  what it delivers, whatever it is asked for; YUYV that is not to be converted is red
    fails_at         the number of the picture that it no longer delivers: grab() is false, as after an unplug
    """

    def __init__(
        self,
        *,
        opens: bool = True,
        size: tuple[int, int] = (64, 48),
        fps: float = 30.0,
        form: str = "MJPG",
        fails_at: int | None = None,
    ) -> None:
        self._opens, self._size, self._fps, self._form, self._fails_at = opens, size, fps, form, fails_at
        self._number = -1
        self.asked: dict[int, float] = {}
        self.released_by: list[str] = []
        """Names of the threads that called release()."""

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self._opens

    def set(self, prop: int, value: float, /) -> bool:
        self.asked[prop] = value
        return True

    def get(self, prop: int, /) -> float:
        has = {
            cv2.CAP_PROP_FRAME_WIDTH: self._size[0],
            cv2.CAP_PROP_FRAME_HEIGHT: self._size[1],
            cv2.CAP_PROP_FPS: self._fps,
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*self._form),
        }
        return float(has.get(prop, 0))

    def grab(self) -> bool:
        self._number += 1
        return self._number != self._fails_at

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        width, height = self._size
        if self._form == "YUYV" and self.asked.get(cv2.CAP_PROP_CONVERT_RGB) == 0:
            return True, np.tile(np.array([[[81, 90], [81, 240]]], np.uint8), (height, width // 2, 1))
        pixels = np.full((height, width, 3), self._number % 256, np.uint8)
        pixels[..., 0] = 255  # blue, in OpenCV's order
        return True, pixels

    def release(self) -> None:
        self.released_by.append(threading.current_thread().name)


class ScriptedCamera(FakeCamera):
    """A camera that lives in the process that a Guarded starts for it, and breaks as a file says.

    The file stands where its device would, and is removed by an unplugging. In it, as JSON:

        fps     frames a second
        size    width, height
        face    a picture (PNG) that it shows, with a sensor's noise; none: noise alone
        faults  for each opening, one after the other, what breaks at which picture; none: nothing does
        lasts   after so many pictures an opening with a fault ends, if that did not end it

    A line for each opening and each fault is appended to the log beside it.
    """

    def __init__(self, node: Path) -> None:
        script = json.loads(node.read_text())
        self._node, self._log = node, log_of(node)
        number = sum(line["what"] == "open" for line in happened(node))
        fault: tuple[str, int] = script["faults"][number] if number < len(script["faults"]) else ("none", -1)
        self._fault, self._at = fault
        super().__init__(opens=self._fault != "refuse", size=script["size"], fps=script["fps"])
        self._lasts = script["lasts"] if self._at >= 0 else None
        self._noise = np.random.default_rng(number)
        self._face = cv2.imread(script["face"]) if script.get("face") else None
        self._due = time.monotonic()
        self._write("open", opening=number)
        if self._fault in ("refuse", "block opening"):
            self._break()

    def _write(self, what: str, **more: int) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps({"what": what, "at": time.monotonic(), "process": os.getpid(), **more}) + "\n")

    def grab(self) -> bool:
        self._due = max(self._due + 1 / self._pace(), time.monotonic())
        time.sleep(max(0.0, self._due - time.monotonic()))  # its own time
        self._number += 1
        if self._number == self._lasts:
            self._write("end")
            return False
        return self._number != self._at or self._break()

    def _pace(self) -> float:
        return self._fps / 5 if self._is("slow") else self._fps

    def _is(self, fault: str) -> bool:
        return self._fault == fault and self._number >= self._at

    def _break(self) -> bool:
        """The fault begins; whether grab() says yes."""
        self._write(self._fault)
        match self._fault:
            case "block" | "block opening":
                threading.Event().wait()
            case "hesitate":
                time.sleep(0.3)
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(3)
            case "raise":
                raise RuntimeError("the driver's binding failed")
            case "unplug":
                self._node.unlink()
        return self._fault not in ("end", "unplug")

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        if self._is("garbage") or (self._is("damaged") and self._number == self._at):
            return True, np.zeros(7, np.uint8)
        if not self._is("freeze") or self._number == self._at:
            self._shown = self._picture()
        return True, self._shown

    def _picture(self) -> NDArray[np.uint8]:
        width, height = self._size[::-1] if self._is("size") else self._size
        if self._is("still"):
            return np.random.default_rng(99).integers(0, 256, (height, width, 3), np.uint8)
        if self._is("blank"):
            return np.zeros((height, width, 3), np.uint8)
        noise = self._noise.integers(0, 256 if self._face is None else 4, (height, width, 3), np.uint8)
        if self._face is None:
            return noise
        return cv2.subtract(cv2.resize(self._face, (width, height)), noise)


def plug_in(
    node: Path,
    *faults: tuple[str, int],
    fps: float = 100,
    size: tuple[int, int] = (160, 120),
    face: Path | str = "",
    lasts: int | None = None,
) -> Path:
    """Put a ScriptedCamera at this path."""
    whole = node.with_suffix(".new")
    script = {"fps": fps, "size": size, "face": str(face), "faults": faults, "lasts": lasts}
    whole.write_text(json.dumps(script))
    return whole.rename(node)


def log_of(node: Path) -> Path:
    return node.with_suffix(".log")


def happened(node: Path) -> list[dict[str, Any]]:
    """The log of a ScriptedCamera: `what`, `at` (seconds of time.monotonic()), `process`."""
    return [json.loads(line) for line in log_of(node).read_text().splitlines()] if log_of(node).exists() else []


def open_scripted(path: str, settings: config.Camera) -> Webcam:
    """For `Guarded`, in the camera's process."""
    return Webcam(path, settings, lambda path: ScriptedCamera(Path(path)))


SCRIPTED = Opener(f"{__name__}:{open_scripted.__name__}")
