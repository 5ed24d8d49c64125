"""The two BlazeFace networks that ship: their files, hashes and anchors."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError

MODELS = Path(__file__).parents[1] / "models"


@dataclass(frozen=True, slots=True)
class Network:
    """One network of MediaPipe's (Bazarevsky et al. 2019, "BlazeFace", arXiv 1907.05047).

    path    the `.tflite` file
    sha256  of that file, hexadecimal: a damaged network may load, and find faces where there are none
    side    width and height of the input, pixels
    grids   (stride in pixels, anchors in a cell) of each output layer
    """

    path: Path
    sha256: str
    side: int
    grids: tuple[tuple[int, int], ...]

    def read(self) -> bytes:
        """The file's bytes; ModelError if it is missing, or not the file that shipped."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{self.path}: cannot read the face detector: {error.strerror}; install emotion-edge again"
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ModelError(
                f"{self.path}: {len(content)} bytes with sha256 {found[:8]}: expected {self.sha256[:8]}; "
                "the face detector is damaged: install emotion-edge again"
            )
        return content

    def anchors(self) -> NDArray[np.float32]:
        """(anchors, 2) x and y of the anchors' centres, input pixels, in the order of the outputs: cell by cell."""
        layers = []
        for stride, in_cell in self.grids:
            y, x = np.mgrid[0 : self.side : stride, 0 : self.side : stride] + stride / 2
            layers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), in_cell, axis=0))
        return np.concatenate(layers).astype(np.float32)


NETWORKS = {
    "short": Network(
        MODELS / "face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        128,
        ((8, 2), (16, 6)),
    ),
    "full": Network(
        MODELS / "face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        192,
        ((4, 1),),
    ),
}
"""By the setting `range`. Files and anchors are those of the mediapipe 0.10.21 wheel."""
