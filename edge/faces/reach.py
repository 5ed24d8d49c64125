"""Reach: the quick network for faces that are near, the thorough one for as long as there are smaller ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from edge.faces import Detector
from edge.scene import Box, Face, Frame

PEEK_SECONDS = 0.25
"""How often a quarter of the frame is looked at, magnified: 1.5 ms each time, four times a second."""

TILE = 0.6
"""Side of such a quarter, share of the frame's: they overlap, so that a face is whole in one."""

AGREEMENTS = 8
"""After so many looks in a row in which the quick network missed nobody, it is enough again."""

Range = Literal["short", "full"]


class Reach:
    """A Detector that sees as far as there are faces.

    make     gives the detector of a range; the one for the full range is made when it is needed, for it takes 12 MB
    is_face  takes a closer look, as FaceFinder's
    """

    def __init__(self, make: Callable[[Range], Detector], is_face: Callable[[Frame, Face], bool]) -> None:
        self._make, self._is_face = make, is_face
        self._near = make("short")
        self._far: Detector | None = None
        self._sees_far = False
        self._peeked_at = float("-inf")
        self._peeks = self._agreed = 0

    def find(self, frame: Frame) -> tuple[Face, ...]:
        """As Detector says."""
        faces = self._far.find(frame) if self._far and self._sees_far else self._near.find(frame)
        if not 0 <= frame.moment - self._peeked_at < PEEK_SECONDS:
            self._peeked_at = frame.moment
            self._weigh(frame, faces)
        return faces

    def close(self) -> None:
        """As Detector says."""
        self._near.close()
        if self._far:
            self._far.close()

    def _weigh(self, frame: Frame, faces: Sequence[Face]) -> None:
        """Change the range where the other one is better."""
        if not self._sees_far:
            self._sees_far = self._misses(frame, faces, self._magnified(frame))
            self._agreed = 0
        else:
            self._agreed = 0 if self._misses(frame, self._near.find(frame), faces) else self._agreed + 1
            self._sees_far = self._agreed < AGREEMENTS
        if self._sees_far and not self._far:
            self._far = self._make("full")

    def _misses(self, frame: Frame, seen: Sequence[Face], others: Iterable[Face]) -> bool:
        """Whether one of the others, which really is a face, is not among those that were seen."""
        missed = (each for each in others if not any(_holds(face.box, each.box) for face in seen))
        return any(each.is_sure or self._is_face(frame, each) for each in missed)

    def _magnified(self, frame: Frame) -> list[Face]:
        """Faces in the quarter whose turn it is, in pixels of the frame."""
        height, width = frame.pixels.shape[:2]
        self._peeks += 1
        left = round(width * (1 - TILE)) * (self._peeks % 2)
        top = round(height * (1 - TILE)) * (self._peeks // 2 % 2)
        tile = frame.pixels[top : top + round(height * TILE), left : left + round(width * TILE)]
        return [face.shifted(left, top) for face in self._near.find(replace(frame, pixels=tile))]


def _holds(box: Box, other: Box) -> bool:
    """Whether the other's middle is inside: half a face at the edge of a quarter is still the same face."""
    x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
    return box.left <= x <= box.right and box.top <= y <= box.bottom
