"""FaceFinder: a frame in, the faces in it out, by MediaPipe's BlazeFace networks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from edge import config
from edge.scene import Face, Frame

EVERYBODY = 100
"""More faces than are in one picture: those that are wanted are chosen later."""


class Detector(Protocol):
    """Finds what looks like a face; to be used and closed by one thread at a time."""

    def find(self, frame: Frame) -> tuple[Face, ...]:
        """The faces, the largest first, at most `max_faces`; boxes and points in frame pixels, not clipped to it."""
        ...

    def close(self) -> None:
        """Let the detector go; it may be called again, `find` not."""
        ...


class FaceFinder(Detector, Protocol):
    """Finds faces, and tells them from what only looks like one at first sight."""

    def is_face(self, frame: Frame, face: Face) -> bool:
        """Whether a closer look at what was found finds it again; by one thread, also while another searches."""
        ...

    def look_around(self, frame: Frame) -> None:
        """When there is time: what it takes to find more faces in the next frames; by the thread of `is_face`."""
        ...


class _Finder:
    """A FaceFinder of its parts."""

    def __init__(
        self,
        detector: Detector,
        is_face: Callable[[Frame, Face], bool],
        look_around: Callable[[Frame], None] = lambda _: None,
    ) -> None:
        self.find, self.close, self.is_face, self.look_around = detector.find, detector.close, is_face, look_around


def face_finder(settings: config.Faces) -> FaceFinder:
    """The detector that the settings ask for, and a closer look; only its own libraries are imported.

    ModelError for a damaged network file, EmotionEdgeError for a library that is missing or does not start.
    """
    from edge.faces.blazeface import BlazeFace
    from edge.faces.closer import CloserLook
    from edge.faces.reach import Reach

    everybody = replace(settings, range="short", max_faces=EVERYBODY)

    def make(wanted: config.Faces) -> Detector:
        if settings.backend == "mediapipe":
            from edge.faces.mediapipe import MediaPipe

            return MediaPipe(wanted)
        return BlazeFace(wanted)

    other = BlazeFace(everybody)
    is_face = CloserLook(other).is_face
    if settings.range != "auto":
        return _Finder(make(settings), is_face)
    reach = Reach(make(everybody), other, settings.max_faces)
    return _Finder(reach, is_face, reach.look_around)
