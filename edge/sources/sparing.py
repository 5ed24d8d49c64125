"""Sparing: sources that can pass frames over, while fewer are wanted than they have."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Sparing(Protocol):
    """Frames of which not all need be taken.

    rate_fps  so many a second are wanted, from any thread; none is all of them. The others are passed over, at little
              cost, and count as never captured
    """

    rate_fps: float | None


def is_wanted(seconds: float, rate_fps: float | None, fps: float) -> bool:
    """Whether a frame is wanted that comes so long after the last one that was taken.

    fps  how many there are a second; 0 where that is not known
    """
    # Half a frame early is in time: else one that comes a little early is missed, and the next is too late.
    half_a_frame = 0.5 / fps if fps else 0.0
    return not rate_fps or seconds >= 1 / rate_fps - half_a_frame
