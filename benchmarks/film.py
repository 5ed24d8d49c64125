"""Film: what the pipeline is shown, and the truth about it: a made-up crowd, the demo clip, or a video file."""

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.footage import crowd
from edge import config
from edge.errors import SettingsError
from edge.scene import Box, Frame
from edge.sources import Source, open_source

CROWDS = {f"faces-{people}": people for people in (0, 1, 3, 10)}
"""Films of so many faces, see `benchmarks.footage.crowd`; faces-10 has small ones."""

PICTURES = 300
"""Distinct pictures of a crowd; a longer run begins again."""

SEED = 11
"""Of the crowds; the detector's thresholds were chosen on 1 to 3."""

SAME_IOU = 0.4
"""A face is found where a box overlaps the true one by this much."""

JPEG_QUALITY = 90

Truth = Sequence[tuple[Box, ...]]
"""The faces of each picture, in pixels."""


class Film:
    """A Source of pictures that are kept compressed, as a webcam sends them, and are decoded one by one, without end.

    fps  how many a second; none is as fast as they are read
    """

    length = None

    def __init__(self, name: str, jpegs: Sequence[NDArray[np.uint8]], fps: float | None) -> None:
        self.name, self.live = name, fps is not None
        self._jpegs, self._fps = jpegs, fps

    def __iter__(self) -> Generator[Frame, None, None]:
        started = time.monotonic()
        for number in count():
            began = time.monotonic()
            pixels = np.asarray(cv2.imdecode(self._jpegs[number % len(self._jpegs)], cv2.IMREAD_COLOR_RGB), np.uint8)
            took_ms = (time.monotonic() - began) * 1000
            moment = number / (self._fps or 30)
            yield Frame(pixels, started + moment if self._fps else began, moment, number, took_ms, self.name)


def compressed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An RGB picture as JPEG."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]


def open_film(name: str, camera: config.Camera, fps: float | None, frames: int) -> tuple[Source, Truth]:
    """A crowd's film with its truth, or what else `camera.source` may be, of which no truth is known.

    frames  as many are wanted; no more pictures are made
    """
    if name not in CROWDS:
        asked = replace(camera, source=name, repeat=True, pace=fps is not None, fps=fps or camera.fps)
        return open_source(asked), ()
    jpegs, truth = [], []
    for picture, faces in crowd(min(PICTURES, frames), CROWDS[name], SEED):
        jpegs.append(compressed(picture))
        truth.append(faces)
    return Film(name, jpegs, fps), truth


def refuse_unknown(name: str) -> None:
    """SettingsError for a film that looks like a crowd's and is none."""
    if name.startswith("faces-") and name not in CROWDS:
        raise SettingsError(f"no film {name!r}: expected {', '.join(CROWDS)}, demo, or a video file")


def sight(seen: Iterable[tuple[int, Sequence[Box]]], truth: Truth) -> dict[str, float]:
    """Recall, 0 to 1, and false boxes a frame, of (number of the frame, boxes); nothing where no truth is known."""
    if not truth:
        return {}
    found = wrong = faces = frames = 0
    for number, boxes in seen:
        true = truth[number % len(truth)]
        hits = sum(any(box.iou(face) >= SAME_IOU for box in boxes) for face in true)
        found, faces, frames = found + hits, faces + len(true), frames + 1
        wrong += sum(all(box.iou(face) < SAME_IOU for face in true) for box in boxes)
    told = {"false_boxes_a_frame": wrong / frames}
    return told | ({"recall": found / faces} if faces else {})


def settings_of(camera: config.Camera) -> dict[str, Any]:
    """What of a film stands in a result."""
    return {"pictures": PICTURES, "size": [camera.width, camera.height], "jpeg_quality": JPEG_QUALITY}
