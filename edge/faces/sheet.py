"""Sheet: the surroundings of several boxes of a picture, magnified and side by side in one the network's size."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.faces.networks import NETWORKS
from edge.scene import Box, Face

SIDE = NETWORKS["short"].side
"""Of a sheet, pixels."""

CELLS = 9
"""Most boxes of a sheet, in three rows; up to four stand in two. The network finds a face that is a sixth of a sheet's
side as well as larger ones, at less than a seventh it begins to miss some."""

SURROUNDINGS = 2.0
"""Side of what a cell shows, in sides of the box: a face that moved by half its width is still there."""


class Sheet:
    """Made of a picture and 1 to CELLS boxes in it, for one search.

    pixels  (SIDE, SIDE, 3) uint8, RGB; black where there is no cell, or no picture
    """

    def __init__(self, picture: NDArray[np.uint8], boxes: Sequence[Box]) -> None:
        self._rows = 2 if len(boxes) <= 4 else 3
        self._side = SIDE // self._rows
        self._squares = [_square(box) for box in boxes]
        places = np.full((SIDE, SIDE, 2), -2, np.float32)  # x and y in the picture of each pixel; -2 is outside it
        steps = np.arange(self._side, dtype=np.float32) / self._side
        for number, (left, top, side) in enumerate(self._squares):
            x, y = self._corner(number)
            cell = places[y : y + self._side, x : x + self._side]
            cell[..., 0] = left + side * steps
            cell[..., 1] = (top + side * steps)[:, np.newaxis]
        # Without averaging, as the network is used to see pictures.
        self.pixels = np.asarray(cv2.remap(picture, places, None, cv2.INTER_LINEAR), np.uint8)

    def placed(self, faces: Sequence[Face]) -> list[Face]:
        """Faces found in the sheet as they lie in the picture; of several in a cell the one next to its middle."""
        nearest: dict[int, tuple[float, Face]] = {}
        for face in faces:
            x, y = face.box.middle
            number = int(y // self._side) * self._rows + int(x // self._side)
            left, top = self._corner(number)
            distance = abs(x - left - self._side / 2) + abs(y - top - self._side / 2)
            if number < len(self._squares) and distance < nearest.get(number, (np.inf,))[0]:
                nearest[number] = distance, face
        return [self._in_picture(number, face) for number, (_, face) in nearest.items()]

    def _corner(self, number: int) -> tuple[int, int]:
        """Left and top of a cell."""
        row, column = divmod(number, self._rows)
        return column * self._side, row * self._side

    def _in_picture(self, number: int, face: Face) -> Face:
        (x, y), (left, top, side) = self._corner(number), self._squares[number]
        scale = side / self._side
        return face.shifted(-x, -y).scaled(scale).shifted(left, top)


def _square(box: Box) -> tuple[float, float, float]:
    """Left, top and side of what a cell shows."""
    side = SURROUNDINGS * max(box.width, box.height, 1.0)
    x, y = box.middle
    return x - side / 2, y - side / 2, side
