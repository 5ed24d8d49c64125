"""Watch: tells whether a camera that was opened delivers, as it should, pictures that are new."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.errors import SourceError
from edge.scene import Frame

STRIDE = 16
"""Every 16th pixel of every 16th row is compared first, in 9 µs at 640x480, where the whole picture takes 370."""

BLANK_CONTRAST = 16
"""A picture whose values lie closer together than this, of 255, shows nothing: a dark room, a covered lens."""

FEWEST_FRAMES = 3
"""A camera has time for so many frames at least before it counts as silent or frozen, however slow it is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a camera is given up, and tried again; seconds, where nothing else is said."""

    opening_seconds: float = 10.0
    """From its opening to its first picture; some need five."""
    silent_seconds: float = 1.0
    """Without a picture."""
    slow_seconds: float = 10.0
    """Its rate is taken over this time."""
    slow_share: float = 0.5
    """It is slow below this share of the rate that was asked for and promised."""
    first_delay_seconds: float = 0.5
    """A lost camera is opened again at once. If that fails, after this time, and after twice as long each time..."""
    longest_delay_seconds: float = 30.0
    """...up to this."""
    steady_seconds: float = 60.0
    """When it ran for so long, the next try is at once again."""
    complain_seconds: float = 60.0
    """What goes on is logged at most this often."""


class Watch:
    """Looks at each frame of one opening of a camera.

    fps       the camera's rate, frames a second, also of those that were passed over; 0 until there are two
    is_slow   it delivers much less than it was asked for and promised
    is_blank  it repeats a picture that shows nothing. That is no fault: in the dark, even a good camera does
    The first picture may be known from an opening before: a camera that was frozen and still is, is not taken for well.
    """

    def __init__(self, settings: config.Camera, limits: Limits, known: NDArray[np.uint8] | None = None) -> None:
        self.fps, self.is_slow, self.is_blank = 0.0, False, False
        self._settings, self._limits = settings, limits
        self._promised_fps = settings.fps
        self._began = False
        self._new_at: float | None = None
        self._repeats = 0
        self._known, self._sample = known, _sample(known)
        self._came: deque[tuple[int, float]] = deque()

    @property
    def known(self) -> NDArray[np.uint8] | None:
        """The last picture."""
        return self._known

    def promise(self, fps: float) -> None:
        """The camera says that it will deliver this rate; 0 where it does not say."""
        self._promised_fps = min(self._settings.fps, fps) if fps else self._settings.fps

    def check_silence(self, seconds: float) -> None:
        """Nothing came for so long; SourceError when that is too long."""
        limit = self._patience(self._limits.silent_seconds) if self._began else self._limits.opening_seconds
        if seconds >= limit:
            raise SourceError(f"no picture for {limit:g} s: the camera or its driver hangs")

    def is_new(self, frame: Frame) -> bool:
        """Whether it is no repetition of the one before; SourceError when the camera repeats it for too long."""
        self._began = True
        self._count(frame)
        if not self._settings.frozen_seconds or not self._is_repeated(frame.pixels):
            self._new_at, self._repeats, self.is_blank = frame.captured_at, 0, False
            return True
        if self._new_at is None:
            self._new_at = frame.captured_at
        self._repeats += 1
        enough = self._patience(self._settings.frozen_seconds)
        lasts = frame.captured_at - self._new_at >= enough and self._repeats >= FEWEST_FRAMES
        if shows_nothing(frame.pixels):
            self.is_blank = lasts
            return True
        if lasts:
            raise SourceError(f"the same picture again and again for {enough:g} s: the camera is frozen")
        return False

    def _patience(self, seconds: float) -> float:
        return max(seconds, FEWEST_FRAMES / self._promised_fps)

    def _is_repeated(self, pixels: NDArray[np.uint8]) -> bool:
        sample = _sample(pixels)
        before, self._known = self._known, pixels
        known_sample, self._sample = self._sample, sample
        return np.array_equal(sample, known_sample) and before is not None and np.array_equal(pixels, before)

    def _count(self, frame: Frame) -> None:
        window = self._limits.slow_seconds
        self._came.append((frame.number, frame.captured_at))
        while len(self._came) > 2 and frame.captured_at - self._came[1][1] >= window:
            self._came.popleft()
        number, began = self._came[0]
        spent = frame.captured_at - began
        if spent > 0:
            self.fps = (frame.number - number) / spent
        self.is_slow = spent >= window and self.fps < self._limits.slow_share * self._promised_fps


def shows_nothing(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture is of one colour, more or less."""
    return int(np.ptp(_sample(pixels))) < BLANK_CONTRAST


def _sample(pixels: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    return np.empty(0, np.uint8) if pixels is None else pixels[::STRIDE, ::STRIDE].copy()
