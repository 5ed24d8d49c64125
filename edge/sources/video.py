"""VideoFile: the frames of a film, in its own time or as fast as they are read."""

import math
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from edge.errors import SourceError
from edge.scene import Frame
from edge.sources.sparing import is_wanted

WHOLE_SHARE = 0.9
"""A film that ends before this share of its announced time was cut off; containers round, some streams are shorter."""

USUAL_FPS = 30.0
"""Assumed where a container does not tell."""


class VideoFile:
    """A film, turned upright if its container says so; SourceError if there is no picture in it.

    paced  `captured_at` is when each frame is due, counted from the first, for a Pipeline to wait; else when its
           reading began. A machine too slow to decode in time falls behind; no frame is skipped for that.
    rate_fps is as Sparing says.
    A film that ends long before its announced time raises SourceError, after its last frame.
    """

    def __init__(self, path: Path, paced: bool = True) -> None:
        self.name, self.live = path.name, paced
        self.rate_fps: float | None = None
        self._path = path
        with self._opened() as film:
            fps = film.get(cv2.CAP_PROP_FPS)
            self._fps = fps if 0 < fps < math.inf else USUAL_FPS
            frames = film.get(cv2.CAP_PROP_FRAME_COUNT)
            if not film.read()[0]:
                raise SourceError(f"{path}: a video without a picture that can be decoded: truncated? Copy it again")
        self.length = round(frames) if 0 < frames < math.inf else None

    def __iter__(self) -> Generator[Frame, None, None]:
        with self._opened() as film:
            started, moment, taken = time.monotonic(), -1 / self._fps, -math.inf
            for number in count():
                began = time.monotonic()
                if not film.grab():
                    break
                moment = self._moment(film, number, moment)
                if not is_wanted(moment - taken, self.rate_fps, self._fps):
                    continue
                there, pixels = film.retrieve()
                if not there:
                    break
                taken = moment
                rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
                took_ms = (time.monotonic() - began) * 1000
                due = started + moment if self.live else began
                yield Frame(rgb, due, moment, number, took_ms, self.name, began)
        self._check_end(number, moment + 1 / self._fps)

    def _moment(self, film: cv2.VideoCapture, number: int, before: float) -> float:
        """Seconds of the frame just read; one frame later than the last where the container is of no help."""
        said = film.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return said if said > before and (said > 0 or number == 0) else before + 1 / self._fps

    def _check_end(self, number: int, seconds: float) -> None:
        announced = (self.length or 0) / self._fps
        if number < (self.length or 0) * WHOLE_SHARE and seconds < announced * WHOLE_SHARE:
            raise SourceError(
                f"{self._path}: ends after {seconds:.1f} s of {announced:.1f} s: damaged or truncated; copy it again"
            )

    @contextmanager
    def _opened(self) -> Generator[cv2.VideoCapture, None, None]:
        quiet_opencv()
        if not self._path.is_file() or not os.access(self._path, os.R_OK):
            raise SourceError(f"{self._path}: no file, or one that this user may not read: expected a video")
        # Absolute, because FFmpeg takes what stands before a colon for a protocol.
        film = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG)
        try:
            if not film.isOpened():
                raise SourceError(f"{self._path}: {_kind(self._path)}: expected a video (MP4, MKV, AVI, WebM, MOV)")
            yield film
        finally:
            film.release()


def _kind(path: Path) -> str:
    size = path.stat().st_size
    return f"{size} bytes that cannot be read as a video, or a truncated one" if size else "an empty file"


def quiet_opencv() -> None:
    """Have OpenCV and FFmpeg keep their remarks: what matters is raised. FFmpeg reads this once, at its first film."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
