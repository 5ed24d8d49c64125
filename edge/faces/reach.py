"""Reach: the quick network sees the whole frame, and again, magnified, the faces that it misses there."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import ceil

import numpy as np

from edge.faces import Detector
from edge.faces.sheet import CELLS, Sheet
from edge.scene import Box, Face, Frame

FOLLOWED = 2 * CELLS
"""Most faces that are looked for where they were."""

TRUSTED = 0.74
"""Who once has this score is looked for in each frame, for as long as it is seen at all; of things that are no faces
few have it, see `edge.faces.closer`."""

PEEK_SECONDS = 0.15
"""How often a tile of the frame is searched for newcomers."""

TILE = 0.4
"""Side of a tile, share of the frame's longer side: a face of 36 in 640 pixels is a seventh of it."""

OVERLAP = 1 / 8
"""Least share of a tile that is in the next one, too."""


class Reach:
    """A Detector that sees small faces, too, by the network of the short range: one to four runs of it a frame.

    One is for the whole frame. Known faces that it misses are looked for where they were, up to nine in one run. From
    time to time another thread, when it has time, searches a tile of the frame, each in turn; who is new there is
    looked for in the next frame.

    near   sees the short range
    other  the same, for the other thread
    """

    def __init__(self, near: Detector, other: Detector, max_faces: int) -> None:
        self._near, self._other, self._max_faces = near, other, max_faces
        self._known: list[Face] = []
        self._faces: list[Face] = []
        self._newcomers: deque[Face] = deque()  # from the other thread
        self._peeked_at = float("-inf")
        self._peeks = 0

    def find(self, frame: Frame) -> tuple[Face, ...]:
        """As Detector says."""
        faces = list(self._near.find(frame))
        known = self._with_newcomers()
        missed = [face for face in known if not _is_among(face, faces)]
        for first in range(0, len(missed), CELLS):
            again = self._magnified(frame, missed[first : first + CELLS])
            faces += [face for face in again if not _is_among(face, faces)]
        faces.sort(key=lambda face: -face.box.area)
        self._known = [face for face in faces if face.score >= TRUSTED or _is_among(face, known)][:FOLLOWED]
        self._faces = faces
        return tuple(faces[: self._max_faces])

    def look_around(self, frame: Frame) -> None:
        """As FaceFinder says: in a tile, if it is time for one."""
        if 0 <= frame.moment - self._peeked_at < PEEK_SECONDS:
            return
        self._peeked_at = frame.moment
        newcomers = [face for face in self._peek(frame) if face.score >= TRUSTED and not _is_among(face, self._faces)]
        if followed := newcomers[: FOLLOWED - len(self._known)]:
            self._newcomers.extend(followed)
            self._peeked_at = float("-inf")  # where one comes others do: the next tile at once

    def close(self) -> None:
        """As Detector says."""
        self._near.close()

    def _with_newcomers(self) -> list[Face]:
        """Who is known; the other thread may have seen somebody twice, in two tiles, before this one came to it."""
        known = list(self._known)
        for _ in range(len(self._newcomers)):
            newcomer = self._newcomers.popleft()
            if not _is_among(newcomer, known):
                known.append(newcomer)
        return known[:FOLLOWED]

    def _magnified(self, frame: Frame, known: Sequence[Face]) -> list[Face]:
        """Those of them that are seen where they were."""
        sheet = Sheet(frame.pixels, [face.box for face in known])
        return sheet.placed(self._near.find(replace(frame, pixels=sheet.pixels)))

    def _peek(self, frame: Frame) -> list[Face]:
        """Faces in the tile whose turn it is."""
        height, width = frame.pixels.shape[:2]
        places, side = tiles(width, height)
        left, top = places[self._peeks % len(places)]
        self._peeks += 1
        tile = frame.pixels[top : top + side, left : left + side]
        return [face.shifted(left, top) for face in self._other.find(replace(frame, pixels=tile))]


@lru_cache(maxsize=8)
def tiles(width: int, height: int) -> tuple[list[tuple[int, int]], int]:
    """Left and top of each tile of such a frame, row by row, and their side, pixels."""
    side = max(1, round(TILE * max(width, height)))
    return [(left, top) for top in _starts(height, side) for left in _starts(width, side)], side


def _starts(length: int, side: int) -> list[int]:
    """Where the tiles begin that cover a length, evenly."""
    count = max(1, ceil((length - OVERLAP * side) / (side - OVERLAP * side)))
    return [round(each) for each in np.linspace(0, max(0, length - side), count)]


def _is_among(face: Face, others: Iterable[Face]) -> bool:
    """Whether it is one of the others: its middle is inside, and no box is of more than twice the other's width. (Half
    a face at the edge of a tile is the same face; who stands where something much larger is seen is not.)"""
    return any(_is_same(face.box, each.box) for each in others)


def _is_same(box: Box, other: Box) -> bool:
    x, y = box.middle
    is_inside = other.left <= x <= other.right and other.top <= y <= other.bottom
    return is_inside and other.width / 2 <= box.width <= 2 * other.width
