"""`emotion-edge` as it is, but that its detector hangs after a while, as a driver of a neural network chip may.

Why a fake: the real detector does not hang when a test asks it to.
"""

import logging
import sys
import threading

from edge import cli, control, run
from edge.faces import FaceFinder
from edge.scene import Face, Frame

HANGS_AT = 20


class Hanging:
    """A detector that never answers, once it comes to the frame HANGS_AT or a later one."""

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder

    def find(self, frame: Frame) -> tuple[Face, ...]:
        if frame.number >= HANGS_AT:
            logging.getLogger("emotion_edge").info("the detector hangs")
            threading.Event().wait()
        return self._finder.find(frame)

    def is_face(self, frame: Frame, face: Face) -> bool:
        return self._finder.is_face(frame, face)

    def look_around(self, frame: Frame) -> None:
        self._finder.look_around(frame)

    def close(self) -> None:
        self._finder.close()


if __name__ == "__main__":
    real = control.finder_of
    run.finder_of = lambda settings, trace: Hanging(real(settings, trace))  # type: ignore[attr-defined]
    control.headline = lambda document: f"uptime={document['uptime_seconds']}"  # type: ignore[attr-defined]
    sys.exit(cli.main())
