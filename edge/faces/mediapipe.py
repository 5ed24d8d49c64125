"""BlazeFace through MediaPipe's Tasks API, sealed off the network."""

import importlib
import os
from typing import Any

import numpy as np

from edge import config
from edge.errors import EmotionEdgeError
from edge.faces.networks import NETWORKS
from edge.scene import Box, Face, Frame

CLOSED_PORT = "http://127.0.0.1:9"
"""A proxy that is not there: loopback, the discard port."""


class MediaPipe:
    """A Detector that asks the Tasks API's FaceDetector in VIDEO mode, which keeps nothing between frames.

    A box that reaches over the left or top edge of the frame is moved inside it by the Tasks API, its size and the
    key points kept; BlazeFace leaves it where it is.
    """

    def __init__(self, settings: config.Faces) -> None:
        content = NETWORKS[settings.range].read()
        seal()
        try:
            self._mediapipe = importlib.import_module("mediapipe")
            self._detector = _detector(self._mediapipe, content, settings.min_score)
        except (ImportError, OSError) as error:
            raise EmotionEdgeError(
                f"backend 'mediapipe' does not start ({error}): "
                'pip install "emotion-edge[mediapipe]" and apt install libegl1 libgles2, or use backend "litert"'
            ) from error
        self._max_faces = settings.max_faces
        self._stamp_ms = -1

    def find(self, frame: Frame) -> tuple[Face, ...]:
        """As Detector says."""
        # VIDEO mode refuses a stamp that is not later than the last one.
        self._stamp_ms = max(int(frame.captured_at * 1000), self._stamp_ms + 1)
        pixels = np.ascontiguousarray(frame.pixels)
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=pixels)
        height, width = pixels.shape[:2]
        found = self._detector.detect_for_video(image, self._stamp_ms).detections
        faces = sorted((_face(each, width, height) for each in found), key=lambda face: -face.box.area)
        return tuple(faces[: self._max_faces])

    def close(self) -> None:
        """End the detector and its threads: left to the end of Python it prints a traceback."""
        self._detector.close()


def seal() -> None:
    """Keep MediaPipe off the network: it reports its use to a Google host, and has no switch for that.

    Its reports go by the proxy that the environment names, so name one that refuses. Call it before the import.
    The environment is this process's own; other HTTP clients in it that obey these variables are cut off too,
    but for loopback.
    """
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ[name] = os.environ[name.upper()] = CLOSED_PORT
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1"  # the user's own would let it out


def _detector(mediapipe: Any, content: bytes, min_score: float) -> Any:
    tasks = mediapipe.tasks
    options = tasks.vision.FaceDetectorOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=content),
        running_mode=tasks.vision.RunningMode.VIDEO,
        min_detection_confidence=min_score,
    )
    return tasks.vision.FaceDetector.create_from_options(options)


def _face(detection: Any, width: int, height: int) -> Face:
    """Its key points are shares of the frame; its box's left, top, width and height are cut to whole pixels.

    Half a pixel is what such a cut takes off on average, so each gets it back: boxes of 30 pixels need it.
    """
    cut = detection.bounding_box
    left, top = cut.origin_x + 0.5, cut.origin_y + 0.5
    box = Box(left, top, left + cut.width + 0.5, top + cut.height + 0.5)
    key_points = ((each.x * width, each.y * height) for each in detection.keypoints)
    return Face(box, detection.categories[0].score, *key_points)
