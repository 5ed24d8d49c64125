"""Repeated: a film or folder that begins again at its end, for a show or a long test."""

from collections.abc import Generator
from dataclasses import replace

from edge.scene import Frame
from edge.sources import Source
from edge.sources.sparing import Sparing


class Repeated:
    """A Source that plays another one again and again; numbers and moments go on, and it has no length.

    It is as Sparing as the other.
    """

    length = None

    def __init__(self, source: Source) -> None:
        self.name, self.live = source.name, source.live
        self._source = source

    @property
    def rate_fps(self) -> float | None:
        """As Sparing says; none where all frames are taken in any case."""
        return self._source.rate_fps if isinstance(self._source, Sparing) else None

    @rate_fps.setter
    def rate_fps(self, rate_fps: float | None) -> None:
        if isinstance(self._source, Sparing):
            self._source.rate_fps = rate_fps

    def __iter__(self) -> Generator[Frame, None, None]:
        number, moment = 0, 0.0
        while True:
            begun, last, step = number, 0.0, 0.0
            for frame in self._source:
                step, last, number = frame.moment - last, frame.moment, begun + frame.number + 1
                yield replace(frame, number=number - 1, moment=moment + last)
            moment += last + step  # the next turn is as far after the last frame as that is after the one before
