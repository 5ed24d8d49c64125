"""Perceiver: a frame in, a scene out. Finds faces, follows them, reads each within its limits, tells of events."""

import time
from collections.abc import Callable, Sequence
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.classifier import Classifier
from edge.contract import UNCERTAIN, Corners, InputSpec, box_corners, crop, eye_corners
from edge.events import EmotionEvent, Settler
from edge.faces import FaceFinder
from edge.scene import Face, Frame, Reading, Scene
from edge.track import Tracker


class Reader:
    """Reads single faces: scores, label and confidence, or "uncertain" with the reason.

    limits   outside these a face is not read
    abstain  below this confidence, 0 to 1, the label is "uncertain" (reason "unsure"); none is the model card's
    """

    def __init__(self, classifier: Classifier, limits: config.Limits, abstain: float | None = None) -> None:
        self.labels = classifier.card.labels
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
    """The step of the infer thread: `perceiver(frame)` gives a Scene, and hands each event on before it returns.

    tell  is called with each event, on the caller's thread; it must return at once

    Other threads may call what is not the step: it happens between two frames.
    """

    def __init__(
        self,
        finder: FaceFinder,
        reader: Reader,
        tracker: Tracker,
        settler: Settler,
        tell: Callable[[EmotionEvent], None],
    ) -> None:
        self._finder, self._reader, self._tracker, self._settler, self._tell = finder, reader, tracker, settler, tell
        self._between_frames = Lock()

    def __call__(self, frame: Frame) -> Scene:
        with self._between_frames:
            return self._perceive(frame)

    def gap(self) -> None:
        """No frames come for now: every track ends at once, and a face that is seen later is a new one."""
        with self._between_frames:
            self._hand_on(self._settler.close())
            self._tracker.forget()

    def adopt(self, settings: config.Settings, reader: Reader, finder: FaceFinder | None = None) -> None:
        """Go on with other settings, another reader and, if given, another detector; tracks and labels stay."""
        with self._between_frames:
            self._reader = reader
            self._tracker.adopt(settings.track)
            self._settler.adopt(settings.events, reader.labels, reader.abstain)
            if finder:
                self._finder.close()
                self._finder = finder

    def close(self) -> None:
        """Tell of the end of every track that is still there, and let the detector go."""
        self.gap()
        self._finder.close()

    def _perceive(self, frame: Frame) -> Scene:
        began = time.perf_counter()
        faces = self._finder.find(frame)
        found = time.perf_counter()
        tracks = self._tracker.update(faces, frame.moment)
        tracked = time.perf_counter()
        readings = [self._reader.read(frame.pixels, each.face, each.track) for each in tracks.seen if each.confirmed]
        read = time.perf_counter()
        took = {"detect": found - began, "track": tracked - found, "classify": read - tracked}
        took_ms = {step: seconds * 1000 for step, seconds in took.items()}
        settled, events = self._settler.update(readings, tracks.ended, frame, took_ms)
        self._hand_on(events)
        return Scene(frame, settled, took_ms | {"settle": (time.perf_counter() - read) * 1000})

    def _hand_on(self, events: Sequence[EmotionEvent]) -> None:
        for event in events:
            self._tell(event)


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
    contrast = float(grey.var())
    # Without the edge, where OpenCV mirrors the picture and a kink looks like detail.
    detail = cv2.Laplacian(grey, cv2.CV_32F)[1:-1, 1:-1]
    return float(detail.var()) / contrast if contrast > 1 else 0.0
