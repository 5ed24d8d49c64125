"""Footage of scenes that nobody has filmed: a camera drifts over a still picture, or people stand before a wall."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.scene import Box
from edge.sources.folder import read_picture

NOISE = 3.0
"""Standard deviation of a pixel, grey levels: a webcam's in ordinary light."""


Matrix = NDArray[np.float64]

Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""


def drift(picture: Picture, frames: int, seed: int, size: tuple[int, int] = (640, 480)) -> Iterator[Picture]:
    """Frames of `size` (width, height) pixels: it wanders, zooms in to half of what is there, tilts by up to 6 degrees,
    and the light changes by a fifth. The same seed, the same frames."""
    chance = np.random.default_rng(seed)
    phases = chance.uniform(0, 2 * np.pi, 4)
    for turn in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        seen = cv2.warpAffine(
            picture,
            _view(picture.shape, size, turn, phases),
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        light = 0.9 + 0.1 * np.sin(3 * turn)
        yield np.clip(seen * light + chance.normal(0, NOISE, seen.shape), 0, 255).astype(np.uint8)


def _view(shape: tuple[int, ...], size: tuple[int, int], turn: float, phases: Matrix) -> Matrix:
    """The 2 x 3 matrix from places in the frame to places in the picture."""
    (height, width, _), (across, down) = shape, size
    zoom = min(width / across, height / down) * (0.75 + 0.25 * np.sin(turn + phases[0]))
    x = width / 2 + (width - across * zoom) / 2 * np.sin(turn + phases[1])
    y = height / 2 + (height - down * zoom) / 2 * np.sin(2 * turn + phases[2])
    tilt = np.deg2rad(6 * np.sin(turn + phases[3]))
    turned = zoom * np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    return np.column_stack([turned, np.array([x, y]) - turned @ np.array([across / 2, down / 2])])


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture of one face.

    path  the file
    face  the face's box, pixels: the mean of what both ranges of the detector say
    """

    path: Path
    face: Box


ASSETS = Path(__file__).parents[1] / "edge" / "assets"

PORTRAITS = (
    Portrait(ASSETS / "astronaut.jpg", Box(175.0, 75.0, 275.5, 175.4)),
    Portrait(ASSETS / "grace_hopper.jpg", Box(169.7, 139.2, 366.2, 335.7)),
)

FEW = {1: (200,), 2: (150, 60), 3: (150, 80, 45), 4: (100, 60, 45, 35)}
"""Widths of so many faces, pixels."""

SMALL = 36, 60
"""Least and greatest width of more faces than that, pixels."""

CUT_OUT = 2.1
"""Width of the round piece of a portrait that is shown, in widths of the face: the whole head."""

SWAY = 0.1
"""How far a person moves from its place, in widths of the face."""


def crowd(frames: int, count: int, seed: int) -> Iterator[tuple[Picture, tuple[Box, ...]]]:
    """Frames of 640 x 480 pixels with so many faces, 0 to 10, before a wall, and where these are. One is near (200
    pixels wide), two to four have various sizes, more are small (36 to 60). The same seed, the same frames."""
    chance = np.random.default_rng(seed)
    people = _people(count, chance)
    wall = cv2.resize(chance.uniform(70, 170, (3, 4, 3)), (640, 480), interpolation=cv2.INTER_CUBIC)
    for turn in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        seen = wall.copy()
        faces = tuple(person.stand(seen, turn) for person in people)
        yield np.clip(seen + chance.normal(0, NOISE, seen.shape), 0, 255).astype(np.uint8), faces


class _Person:
    """One of a crowd: sways about its place, and its head tilts by up to 8 degrees.

    width  of its face, pixels
    place  x and y of its middle in the frame, pixels
    """

    def __init__(self, portrait: Portrait, width: float, place: Matrix, chance: np.random.Generator) -> None:
        self._width, self._place = width, place
        self._head = _head(portrait, width)[:, :: chance.choice([-1, 1])] * chance.uniform(0.7, 1.1)
        self._phases = chance.uniform(0, 2 * np.pi, 3)

    def stand(self, picture: Matrix, turn: float) -> Box:
        """Be drawn in the picture when the film has turned by so much, 0 to 2 pi; the box of the face there."""
        right, down, tilt = np.sin(np.array([2, 3, 1]) * turn + self._phases)
        middle = self._place + SWAY * self._width * np.array([right, down])
        side = len(self._head)
        left, top = np.floor(middle - side / 2).astype(int)
        moved = cv2.getRotationMatrix2D((side / 2, side / 2), 8 * tilt, 1)
        moved[:, 2] += middle - (left, top) - side / 2
        behind = picture[top : top + side, left : left + side]
        behind += (cv2.warpAffine(self._head, moved, (side, side)) - behind) * _disc(side)
        return Box(*(middle - self._width / 2), *(middle + self._width / 2))


def _people(count: int, chance: np.random.Generator) -> list[_Person]:
    """In one row, or in two if they are small; who has a wider face has more room."""
    widths = np.array(FEW.get(count) or np.linspace(*SMALL, count), float)
    rows = [row for row in np.array_split(chance.permutation(widths), 1 if count in FEW else 2) if row.size]
    people: list[_Person] = []
    for number, row in enumerate(rows):
        room, height = 640 * row / row.sum(), 480 / len(rows)
        for width, x in zip(row, np.cumsum(room) - room / 2, strict=True):
            spare = height / 2 - width * (CUT_OUT / 2 + SWAY) - 1
            place = np.array([x, height * (number + 0.5) + spare * chance.uniform(-1, 1)])
            people.append(_Person(PORTRAITS[len(people) % len(PORTRAITS)], width, place, chance))
    return people


def _head(portrait: Portrait, width: float) -> Matrix:
    """The square about the face that is shown, the face so many pixels wide."""
    face, picture = portrait.face, read_picture(portrait.path)
    scale = width / face.width
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    middle = (face.left + face.right) / 2 * scale - 0.5, (face.top + face.bottom) / 2 * scale - 0.5
    side = round(CUT_OUT * width)
    head: Matrix = cv2.getRectSubPix(small, (side, side), middle).astype(float)
    return head


def _disc(side: int) -> Matrix:
    """(side, side, 1) 1 in the middle, falling to 0 towards the edge of the disc: no outline is drawn."""
    steps = (np.arange(side) + 0.5) / side * 2 - 1
    radius = np.hypot(steps, steps[:, np.newaxis])
    disc: Matrix = np.clip((1 - radius) / 0.2, 0, 1)[..., np.newaxis]
    return disc
