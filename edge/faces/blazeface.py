"""BlazeFace on the TFLite interpreter, prepared and decoded as MediaPipe's Tasks API does it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import config, interpreter
from edge.faces.networks import NETWORKS
from edge.scene import Box, Face, Frame

MIN_SUPPRESSION_IOU = 0.3
"""Boxes that overlap the best by more than this are the same face: the Tasks API's default."""

PIXEL_VALUES = (np.arange(256) / 127.5 - 1).astype(np.float32)
"""(256,) what the networks want for a pixel value: -1 to 1."""

Points = NDArray[np.float32]
"""(faces, 8, 2) x and y: top-left, bottom-right, right eye, left eye, nose, mouth, right ear, left ear."""


class BlazeFace:
    """A Detector of our own, by one interpreter thread; its buffers are kept from frame to frame."""

    def __init__(self, settings: config.Faces) -> None:
        network = NETWORKS[settings.range]
        self._side, self._anchors = network.side, network.anchors()
        self._max_faces = settings.max_faces
        self._min_score = settings.min_score
        self._pixels = np.empty((network.side, network.side, 3), np.uint8)
        self._interpreter = interpreter.load(network.read(), 1, str(network.path))
        outputs = {int(each["shape"][-1]): each["index"] for each in self._interpreter.get_output_details()}
        self._input = self._interpreter.tensor(self._interpreter.get_input_details()[0]["index"])
        self._regressions, self._logits = (self._interpreter.tensor(outputs[length]) for length in (16, 1))

    def find(self, frame: Frame) -> tuple[Face, ...]:
        """As Detector says."""
        return self.search(frame.pixels, self._min_score)

    def search(self, picture: NDArray[np.uint8], min_score: float) -> tuple[Face, ...]:
        """The faces of at least this score in an RGB picture, the largest first."""
        height, width = picture.shape[:2]
        box = letterbox(width, height, self._side)
        cv2.remap(picture, *box.maps, cv2.INTER_LINEAR, dst=self._pixels, borderMode=cv2.BORDER_CONSTANT)
        cv2.LUT(self._pixels, PIXEL_VALUES, dst=self._input()[0])
        self._interpreter.invoke()
        logits = self._logits()[0, :, 0]
        # sigmoid(logit) >= min_score, without a sigmoid for each anchor.
        likely = np.flatnonzero(logits >= math.log(min_score / (1 - min_score)))
        if not likely.size:
            return ()
        points = decoded(self._regressions()[0, likely], self._anchors[likely])
        scores = 1 / (1 + np.exp(-logits[likely]))
        faces = [_face(each * box.scale + box.offset, score) for each, score in merged(points, scores)]
        return tuple(sorted(faces, key=lambda face: -face.box.area)[: self._max_faces])

    def close(self) -> None:
        """Nothing outlives the object."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a frame lies in the network's square input.

    scale   frame pixels for each input pixel
    offset  (2,) x and y in the frame of input pixel (0, 0)
    maps    for cv2.remap: where each input pixel comes from, in fixed point
    """

    scale: float
    offset: NDArray[np.float32]
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]]


@lru_cache(maxsize=8)
def letterbox(width: int, height: int, side: int) -> Letterbox:
    """The frame, its aspect kept, centred in the square; what it does not fill is black.

    Pixel corners go to pixel corners, without half a pixel between them, and shrinking does not average: that is
    how MediaPipe's CPU path samples, and any other way moves faces by percents of their width. Fixed point, because
    that rounds halves up as MediaPipe does in every version of OpenCV; warpAffine of OpenCV 5 rounds them to even.
    """
    extent = max(width, height)
    scale, offset = extent / side, np.array([(width - extent) / 2, (height - extent) / 2], np.float32)
    steps = np.arange(side, dtype=np.float32) * np.float32(scale)
    x, y = np.meshgrid(steps + offset[0], steps + offset[1])
    return Letterbox(scale, offset, cv2.convertMaps(x, y, cv2.CV_16SC2))


def decoded(regressions: NDArray[np.float32], anchors: NDArray[np.float32]) -> Points:
    """(n, 8, 2) points in input pixels of (n, 16) outputs, which are relative to their (n, 2) anchors' centres.

    An output is the box's centre, its width and height, then six points, each as x and y.
    """
    points = regressions.reshape(-1, 8, 2) + anchors[:, np.newaxis]
    half = regressions[:, 2:4] / 2
    points[:, 1] = points[:, 0] + half
    points[:, 0] -= half
    return points


def merged(points: Points, scores: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float32], float]]:
    """Weighted non-maximum suppression: one (8, 2) and its score for each face, the best first.

    A face is the mean, weighted by score, of the best and all that overlap it; its score is the best's.
    """
    best_first = np.argsort(-scores, kind="stable")
    points, scores = points[best_first], scores[best_first]
    while scores.size:
        same = overlaps(points) > MIN_SUPPRESSION_IOU
        same[0] = True  # also where a box without area overlaps nothing, itself included
        weights = scores[same] / scores[same].sum()
        yield np.tensordot(weights, points[same], 1), float(scores[0])
        points, scores = points[~same], scores[~same]


def overlaps(points: Points) -> NDArray[np.float32]:
    """(n,) intersection over union of the first box with each; 0 where a box has no area."""
    low, high = points[:, 0], points[:, 1]
    areas = np.maximum(high - low, 0).prod(axis=1)
    shared = np.maximum(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0).prod(axis=1)
    iou: NDArray[np.float32] = shared / np.maximum(areas + areas[0] - shared, np.finfo(np.float32).tiny)
    return iou


def _face(points: NDArray[np.float32], score: float) -> Face:
    (left, top), (right, bottom), *key_points = ((x, y) for x, y in points.tolist())
    return Face(Box(left, top, right, bottom), score, *key_points)
