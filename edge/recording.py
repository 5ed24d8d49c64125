"""Recording: stores pictures as a video that plays in real time."""

import logging
import os
import shutil
import stat
from pathlib import Path

import cv2

from edge.errors import OutputError
from edge.render import Picture, fitted
from edge.sources.video import quiet_opencv

log = logging.getLogger("emotion_edge")

RESERVE_BYTES = 32 * 1024 * 1024
"""Recording ends before the disk has less than this: an MP4's index is written last, and events still need room."""

LONGEST_GAP_SECONDS = 60.0
"""A longer time without a picture is shortened to this, lest a broken clock fill the disk with one picture."""

CODEC = "mp4v"
"""MPEG-4 part 2, which every build of FFmpeg can write."""


class Recording:
    """An MP4 of `fps` pictures a second, in which each picture stands from its moment to the next one's.

    path  ends in .mp4, in a folder that exists; a file that is there is replaced once the first picture comes
    OutputError if it cannot be written. When the disk fills up, or writing fails, the recording ends, the log says so,
    and what comes after counts in `lost`. Without close() (power cut, SIGKILL) the file has no index and cannot be
    played.
    """

    def __init__(self, path: Path, fps: float = 15.0) -> None:
        quiet_opencv()
        self._path, self._fps = path, fps
        self._made = _claimed(path)
        self._film: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._waiting: Picture | None = None  # BGR; it is stored when it is known for how long
        self._began, self._number = 0.0, 0
        self._taken = 0
        self._ended = False
        self.lost = 0
        log.warning("pictures of faces are being stored: file=%s", path)

    def write(self, picture: Picture, moment: float) -> None:
        """Take in the picture of a moment, in seconds, which does not fall; where two meet, the newer wins.

        picture  (height, width, 3) uint8, RGB; one of another size than the first is fitted into that
        OutputError if such a video cannot be written at all.
        """
        if not self._ended:
            self._take(picture, moment)
        self._taken += 1
        self.lost += self._ended

    def close(self) -> None:
        """Store the last picture and make the file playable; a new file is removed if there was no picture."""
        if self._waiting is not None:
            self._put(1)
        self._end()
        if self.lost:
            log.error("recording: file=%s pictures=%d lost=%d", self._path, self._taken, self.lost)

    def _take(self, picture: Picture, moment: float) -> None:
        if self._film is None and self._has_room():
            self._start(picture, moment)
        if self._film is not None:
            self._put(self._repeats(moment))
            self._waiting = cv2.cvtColor(fitted(picture, *self._size), cv2.COLOR_RGB2BGR)

    def _start(self, picture: Picture, moment: float) -> None:
        height, width = picture.shape[:2]
        self._size = max(2, width), max(2, height)  # of an odd size OpenCV leaves out the last row or column
        film = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODEC), self._fps, self._size)
        if not film.isOpened():
            raise OutputError(
                f"{self._path}: OpenCV {cv2.__version__} cannot write a {width}x{height} {CODEC} video here: expected "
                "one with FFmpeg, such as the package opencv-python-headless; run scripts/setup, or leave out --record"
            )
        self._film, self._began = film, moment

    def _repeats(self, moment: float) -> int:
        """How often the waiting picture is stored before the one of `moment` comes."""
        repeats = round((moment - self._began) * self._fps) - self._number
        most = round(LONGEST_GAP_SECONDS * self._fps)
        if repeats <= most:
            return repeats
        log.warning("recording: a gap of %.0f s shortened: file=%s", repeats / self._fps, self._path)
        self._began += (repeats - most) / self._fps
        return most

    def _put(self, times: int) -> None:
        for _ in range(times):
            if self._ended or self._film is None or not self._has_room():
                return
            if not self._film.write(self._waiting):
                self._fail("writing failed: is the disk full, or a quota used up?")
                return
            self._number += 1

    def _has_room(self) -> bool:
        try:
            free = shutil.disk_usage(self._path).free
        except OSError as error:
            self._fail(f"{error.strerror}")
            return False
        if free < RESERVE_BYTES:
            self._fail(f"{free >> 20} MiB left on the disk, {RESERVE_BYTES >> 20} are kept free")
        return free >= RESERVE_BYTES

    def _fail(self, why: str) -> None:
        log.error("recording ends: file=%s %s", self._path, why)
        self._end()

    def _end(self) -> None:
        """Complete the file, and see that it plays: OpenCV does not tell when the index could not be written."""
        if self._ended:
            return
        self._ended = True
        if self._film is not None:
            self._film.release()
        if self._number:
            self._check()
        elif self._film is not None or self._made:
            self.lost = self._taken
            self._path.unlink(missing_ok=True)

    def _check(self) -> None:
        film = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        stored = film.isOpened() and film.read()[0]
        film.release()
        if stored:
            log.info("recording: file=%s seconds=%.1f", self._path, self._number / self._fps)
        else:
            self.lost = self._taken
            log.error("recording cannot be played: file=%s", self._path)


def _claimed(path: Path) -> bool:
    """Whether the file was made here, empty; OutputError if it cannot be written, or there is too little room."""
    if path.suffix.lower() != ".mp4":
        raise OutputError(f"{path}: expected a name that ends in .mp4, the only kind of video that is written")
    made = not path.exists()
    try:
        # O_NONBLOCK: a named pipe without a reader is an error, not a wait.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        os.close(fd)
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise OutputError(
            f"{path}: cannot write the video: {error.strerror}; "
            "expected a file in a folder that exists and can be written to"
        ) from error
    if not regular:
        raise OutputError(f"{path}: no regular file: expected one that can be replaced, or a new name")
    if free < RESERVE_BYTES:
        if made:
            path.unlink()
        raise OutputError(
            f"{path}: {free >> 20} MiB left on the disk, of which {RESERVE_BYTES >> 20} are kept free: make room"
        )
    return made
