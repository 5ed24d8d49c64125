"""Stand-ins for what a test machine does not have: a camera. Everything else in the tests is the real component."""

import threading

import cv2
import numpy as np
from numpy.typing import NDArray


class FakeCamera:
    """Looks like an opened cv2.VideoCapture, to the Webcam that uses it.

    Why a fake: machines that run tests have no camera, and a real one does not break when a test asks it to. Each
    picture is grey, with its number as its value, so a test sees which one it got.

    opens         whether the device opens
    size, fps     what it delivers, whatever it is asked for
    fails_at      the number of the picture that it no longer delivers: grab() is false, as after an unplug
    empty_at      the number of the picture that arrives without content
    blocks_at     the number of the picture before which grab() waits until `release_grab` is set: a driver that hangs
    raises_at     the number of the picture at which grab() raises RuntimeError: a fault in the driver's binding
    """

    def __init__(
        self,
        *,
        opens: bool = True,
        size: tuple[int, int] = (64, 48),
        fps: float = 30.0,
        fails_at: int | None = None,
        empty_at: int | None = None,
        blocks_at: int | None = None,
        raises_at: int | None = None,
    ) -> None:
        self._opens, self._size, self._fps = opens, size, fps
        self._fails_at, self._empty_at, self._blocks_at, self._raises_at = fails_at, empty_at, blocks_at, raises_at
        self._number = -1
        self.asked: dict[int, float] = {}
        self.released_by: list[str] = []
        """Names of the threads that called release()."""
        self.blocked = threading.Event()
        self.release_grab = threading.Event()

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
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"),
        }
        return float(has.get(prop, 0))

    def grab(self) -> bool:
        self._number += 1
        if self._number == self._blocks_at:
            self.blocked.set()
            self.release_grab.wait()
        if self._number == self._raises_at:
            raise RuntimeError("the driver's binding failed")
        return self._number != self._fails_at

    def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
        if self._number == self._empty_at:
            return False, None
        width, height = self._size
        pixels = np.full((height, width, 3), self._number % 256, np.uint8)
        pixels[..., 0] = 255  # blue, in OpenCV's order
        return True, pixels

    def release(self) -> None:
        self.released_by.append(threading.current_thread().name)
