"""Random changes of training faces: what a camera and a detector do to a face, never what changes its expression."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract import Corners, InputSpec, crop

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Augment:
    """How far each change may go; a share of 0 switches it off. There is no vertical flip: faces stand upright."""

    flip_share: float = 0.5
    shift: float = 0.08
    """Of the side, both ways."""
    rotate_degrees: float = 14.0
    zoom: float = 0.14
    """Share of the size, both ways."""
    brightness: float = 40.0
    """Grey levels, both ways."""
    contrast: float = 0.3
    """Share, both ways."""
    gamma: float = 0.3
    """Of the exponent's logarithm, both ways: dark rooms and bright windows."""
    soften_share: float = 0.2
    """Faces seen small and enlarged: down to a third of the side and back."""
    noise_share: float = 0.2
    noise_levels: float = 10.0
    """Largest standard deviation, grey levels."""
    erase_share: float = 0.3
    erase_side: float = 0.35
    """Largest side of the erased rectangle, share of the face."""


def augmented(face: Pixels, how: Augment, spec: InputSpec, rng: np.random.Generator) -> Pixels:
    """One face, (height, width) uint8, changed and cut to (side, side, channels) uint8."""
    moved = crop(face, spec, moved_corners(face.shape[1], face.shape[0], how, rng))
    lit = relit(moved, how, rng)
    if rng.random() < how.soften_share:
        lit = softened(lit, rng)
    if rng.random() < how.noise_share:
        lit = noisy(lit, how, rng)
    if rng.random() < how.erase_share:
        lit = erased(lit, how, rng)
    return lit


def moved_corners(width: int, height: int, how: Augment, rng: np.random.Generator) -> Corners:
    """The corners of a shifted, rotated, zoomed and perhaps mirrored look at a face."""
    angle = np.radians(rng.uniform(-how.rotate_degrees, how.rotate_degrees))
    size = 1 + rng.uniform(-how.zoom, how.zoom)
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5]])
    if rng.random() < how.flip_share:
        corners[:, 0] *= -1
    centre = 0.5 + rng.uniform(-how.shift, how.shift, 2)
    return ((corners @ turn.T + centre) * [width, height]).astype(np.float32)


def relit(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """Another contrast, brightness and gamma, through one table of 256 grey levels."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-how.gamma, how.gamma)) * 255
    levels = (levels - 128) * (1 + rng.uniform(-how.contrast, how.contrast)) + 128
    levels += rng.uniform(-how.brightness, how.brightness)
    table = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    return np.asarray(table[face])


def softened(face: Pixels, rng: np.random.Generator) -> Pixels:
    """The face as a camera across the room gives it: shrunk, then enlarged."""
    side = face.shape[0]
    small = cv2.resize(face, (round(side * rng.uniform(0.35, 0.8)),) * 2, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large.reshape(face.shape), np.uint8)


def noisy(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """Sensor noise: normal, the same strength over the picture."""
    noise = rng.normal(0, rng.uniform(0, how.noise_levels), face.shape)
    return np.clip(np.round(face + noise), 0, 255).astype(np.uint8)


def erased(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """A rectangle of one grey level over the face: a hand, a cup, hair (random erasing, arXiv 1708.04896)."""
    side = face.shape[0]
    width, height = rng.integers(side // 10, max(side // 10 + 1, int(side * how.erase_side)), 2)
    left, top = rng.integers(0, side - width), rng.integers(0, side - height)
    face = face.copy()
    face[top : top + height, left : left + width] = rng.integers(0, 256)
    return face
