"""Perceiver: a frame in, a scene out, in two steps. Finds faces; follows them, reads each within its limits, tells of
events."""

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.classifier import Classifier
from edge.contract import UNCERTAIN, Corners, InputSpec, box_corners, crop, eye_corners
from edge.events import CameraEvent, EmotionEvent, Settler
from edge.faces import FaceFinder
from edge.scene import Box, Face, Found, Frame, Point, Reading, Scene
from edge.track import Tracker

HANG_SECONDS = 1.0
"""A step that takes longer when the end has come is not waited for."""

Happening = Found | CameraEvent | config.Settings | int | None
"""What a Perceiver went through: None is a gap, settings are those that it went on with, a number is detect_every."""


class FaceReader(Protocol):
    """Reads single faces, see Reader; `model` names what it reads by, `labels` and `abstain` are that model's."""

    model: str
    labels: tuple[str, ...]
    abstain: float

    def read(self, picture: NDArray[np.uint8], face: Face, track: int = 0) -> Reading:
        """What it says of one face in an RGB picture."""
        ...


class Reader:
    """Reads single faces: scores, label and confidence, or "uncertain" with the reason.

    limits   outside these a face is not read
    abstain  below this confidence, 0 to 1, the label is "uncertain" (reason "unsure"); none is the model card's
    """

    def __init__(self, classifier: Classifier, limits: config.Limits, abstain: float | None = None) -> None:
        self.model, self.labels = classifier.name, classifier.card.labels
        self.abstain = classifier.card.abstain if abstain is None else abstain
        self._classifier, self._limits = classifier, limits

    def read(self, picture: NDArray[np.uint8], face: Face, track: int = 0) -> Reading:
        """What the model says of one face in an RGB picture."""
        if reason := misplaced(face, self._limits):
            return Reading(track, face, UNCERTAIN, 0.0, {}, reason)
        spec = self._classifier.card.input
        pixels = crop(picture, spec, corners(face, spec))
        if sharpness(pixels) < self._limits.min_sharpness:
            return Reading(track, face, UNCERTAIN, 0.0, {}, "blurred")
        scores = self._classifier.probabilities(self._classifier.logits(pixels))
        best = int(scores.argmax())
        confidence = float(scores[best])
        sure = confidence >= self.abstain
        return Reading(
            track,
            face,
            self.labels[best] if sure else UNCERTAIN,
            confidence,
            dict(zip(self.labels, scores.tolist(), strict=True)),
            "" if sure else "unsure",
        )


class Perceiver:
    """Two steps, each for a thread of its own: a frame is searched while the faces of the one before are read.

        find  a frame in, what was found in it out
        read  what was found in, a Scene out; hands each event on before it returns; `look_around`, which may follow,
              finds who is far away

    `perceiver(frame)` is all three. Other threads may call what is no step: it happens between two readings.

    tell   is called with each event, in their order; it must return at once
    note   is called after each thing that happened: see Happening
    clock  measures the steps of reading, seconds: perf_counter, which on Linux is time.monotonic() by another name
    """

    def __init__(
        self,
        finder: FaceFinder,
        reader: FaceReader,
        tracker: Tracker,
        settler: Settler,
        tell: Callable[[EmotionEvent | CameraEvent], None],
        note: Callable[[Happening], None] = lambda _: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._finder, self._reader, self._tracker, self._settler, self._tell = finder, reader, tracker, settler, tell
        self._note, self._clock = note, clock
        self._detect_every, self._undetected = 1, 0
        self._faces: dict[int, Face] = {}  # by track, where the detector found them last
        self._turn = self._void = 0
        self._searching, self._reading = Lock(), Lock()  # who wants both takes `_reading` first

    def __call__(self, frame: Frame) -> Scene:
        found = self.find(frame)
        scene = self.read(found)
        self.look_around(found)
        return scene

    def find(self, frame: Frame) -> Found:
        """The first step."""
        with self._searching:
            self._turn += 1
            began = time.perf_counter()
            faces = None if self._is_between() else self._finder.find(frame)
            return Found(frame, faces, (time.perf_counter() - began) * 1000, began, self._turn)

    def read(self, found: Found) -> Scene:
        """The second step."""
        with self._reading:
            if found.turn <= self._void:
                return Scene(found.frame, (), {"detect": found.took_ms}, found.began_at)
            scene = self._read(found)
            self._note(found)
            return scene

    def look_around(self, found: Found) -> None:
        """When the frame's scene was handed on: what the detector does for the next ones."""
        if found.faces is not None:
            with self._reading:
                self._finder.look_around(found.frame)

    @property
    def model(self) -> str:
        """Name of the model that reads."""
        return self._reader.model

    def tell(self, event: CameraEvent) -> None:
        """Hand on what happened to the camera."""
        with self._reading:
            self._tell(event)
            self._note(event)

    def gap(self) -> None:
        """No frames come for now: every track ends at once, and a face that is seen later is a new one. Nobody is seen
        in frames that were searched before."""
        with self._reading:
            self._end_tracks()

    def adopt(self, settings: config.Settings, reader: FaceReader, finder: FaceFinder | None = None) -> None:
        """Go on with other settings, another reader and, if given, another detector; tracks and labels stay."""
        with self._reading:
            self._reader = reader
            self._tracker.adopt(settings.track)
            self._settler.adopt(settings.events, reader.labels, reader.abstain)
            if finder:
                with self._searching:
                    self._finder.close()
                    self._finder = finder
            self._note(settings)

    def detect_every(self, frames: int) -> None:
        """Search faces in each so many frames only, 1 or more; in between they are where their motion takes them."""
        with self._reading:
            self._detect_every = frames
            self._note(frames)

    def close(self) -> None:
        """Tell of the end of every track that is still there, and let the detector go; but for what a step that hangs
        works with."""
        _once_free(self._reading, self._end_tracks)
        _once_free(self._searching, self._finder.close)

    def _end_tracks(self) -> None:
        self._void = self._turn
        self._hand_on(self._settler.close())
        self._tracker.forget()
        self._note(None)

    def _read(self, found: Found) -> Scene:
        frame, began = found.frame, self._clock()
        faces, ended = self._followed(frame) if found.faces is None else self._matched(found.faces, frame)
        tracked = self._clock()
        readings = [self._reader.read(frame.pixels, face, track) for track, face in faces.items()]
        read = self._clock()
        took_ms = {"detect": found.took_ms, "track": (tracked - began) * 1000, "classify": (read - tracked) * 1000}
        settled, events = self._settler.update(readings, ended, frame, took_ms)
        self._hand_on(events)
        took_ms |= {"settle": (self._clock() - read) * 1000}
        count = len(faces if found.faces is None else found.faces)
        return Scene(frame, settled, took_ms, found.began_at, began, count)

    def _is_between(self) -> bool:
        """Whether this frame is one in which no faces are searched."""
        self._undetected = (self._undetected + 1) % self._detect_every
        return self._undetected != 0 and bool(self._faces)

    def _matched(self, found: Sequence[Face], frame: Frame) -> tuple[dict[int, Face], Sequence[int]]:
        """The confirmed faces by track, and the tracks that ended."""
        tracks = self._tracker.update(found, frame.moment, lambda face: self._finder.is_face(frame, face))
        self._faces = {each.track: each.face for each in tracks.seen if each.confirmed}
        return self._faces, tracks.ended

    def _followed(self, frame: Frame) -> tuple[dict[int, Face], Sequence[int]]:
        """The faces of the last search, moved as they are thought to have moved since."""
        places = self._tracker.coast(frame.moment)
        return {track: moved(self._faces[track], box) for track, box in places if track in self._faces}, ()

    def _hand_on(self, events: Sequence[EmotionEvent]) -> None:
        for event in events:
            self._tell(event)


def _once_free(lock: Lock, do: Callable[[], None]) -> None:
    if lock.acquire(timeout=HANG_SECONDS):
        try:
            do()
        finally:
            lock.release()


def moved(face: Face, box: Box) -> Face:
    """The face with another box, its points at the same places within it."""
    right, down = box.width / max(face.box.width, 1e-6), box.height / max(face.box.height, 1e-6)

    def there(point: Point) -> Point:
        return box.left + (point[0] - face.box.left) * right, box.top + (point[1] - face.box.top) * down

    return Face(
        box,
        face.score,
        there(face.right_eye),
        there(face.left_eye),
        there(face.nose),
        there(face.mouth),
        there(face.right_ear),
        there(face.left_ear),
    )


def corners(face: Face, spec: InputSpec) -> Corners:
    """Where the model's crop lies in the frame."""
    if spec.align == "eyes":
        return eye_corners(face.right_eye, face.left_eye, spec)
    return box_corners(face.box.left, face.box.top, face.box.right, face.box.bottom, spec)


def misplaced(face: Face, limits: config.Limits) -> str:
    """Why the face cannot be read as it stands, "small" or "turned"; empty when it can."""
    if face.box.width < limits.min_face_px:
        return "small"
    return "turned" if turn(face) > limits.max_turn else ""


def turn(face: Face) -> float:
    """How far the nose is off the middle of the eyes, along the line through them, in eye distances.

    About 0 for a face that looks at the camera, 0.5 when the nose stands under one eye; infinite for eyes in a point.
    """
    right, left, nose = (np.array(point) for point in (face.right_eye, face.left_eye, face.nose))
    across = left - right
    length = float(across @ across)
    return abs(float((nose - (right + left) / 2) @ across)) / length if length else float("inf")


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Fine detail of a crop, 0 and up: energy of the Laplacian over the contrast, so that light does not matter.

    The variance of the Laplacian as a focus measure: Pech-Pacheco et al. 2000, "Diatom autofocusing".
    """
    grey = pixels if pixels.shape[-1] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    contrast = _variance(grey)
    # Without the edge, where OpenCV mirrors the picture and a kink looks like detail.
    detail = cv2.Laplacian(grey, cv2.CV_32F)[1:-1, 1:-1]
    return _variance(detail) / contrast if contrast > 1 else 0.0


def _variance(plane: NDArray[Any]) -> float:
    deviation = float(cv2.meanStdDev(plane)[1][0, 0])  # a third of numpy's time
    return deviation * deviation
