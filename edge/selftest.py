"""Self-test: a model must read the portrait that ships before it is trusted with a camera."""

import math
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.classifier import Classifier
from edge.errors import EmotionEdgeError, ModelError
from edge.faces import face_finder
from edge.perceive import Reader
from edge.scene import Face, Frame, Reading
from edge.sources.folder import read_picture

PORTRAIT = Path(__file__).parent / "assets" / "astronaut.jpg"
"""Eileen Collins, smiling: every model that works calls her happy."""


def portrait(settings: config.Faces) -> tuple[NDArray[np.uint8], Face]:
    """The picture of the portrait and the one face in it; EmotionEdgeError if the detector sees another number."""
    pixels, now = read_picture(PORTRAIT), time.monotonic()
    with closing(face_finder(settings)) as finder:
        faces = finder.find(Frame(pixels, captured_at=now, moment=now, number=0))
    if len(faces) != 1:
        raise EmotionEdgeError(
            f"{len(faces)} faces found in a portrait of one, with [faces] min_score = {settings.min_score:g}: "
            "use the default"
        )
    return pixels, faces[0]


def passed(classifier: Classifier, settings: config.Settings) -> Reading:
    """The model's reading of the portrait; ModelError if it is not what every model that works says.

    A model without the label "happy" only has to give probabilities.
    """
    reading = Reader(classifier, config.Limits(), abstain=0.0).read(*portrait(settings.faces))
    if not math.isclose(sum(reading.scores.values()), 1, abs_tol=1e-3):
        raise ModelError(f"{classifier.name} gives no probabilities for a portrait: make the file again")
    if "happy" in classifier.card.labels and reading.label != "happy":
        raise ModelError(
            f"{classifier.name} calls a smiling portrait {reading.label!r}: expected 'happy'; use a model that ships, "
            "or make the file again"
        )
    return reading
