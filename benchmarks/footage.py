"""Footage: a camera that drifts over a still picture, as films of scenes that nobody has filmed."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

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
