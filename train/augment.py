"""Random changes of training faces: what a camera and a detector do to a face, never what changes its expression."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract import Corners, InputSpec, crop
from edge.errors import SettingsError

Pixels = NDArray[np.uint8]

DARKEST, LIGHTEST = 0.25, 0.75
"""Shares of the light that are left in a dark room."""

SMALLEST, LARGEST = 0.35, 0.8
"""Shares of the side at which a far face is seen before it is enlarged: 17 to 38 pixels of 48."""

BEST_JPEG_QUALITY = 95

RANGES = {
    "shift": 0.5,
    "rotate_degrees": 45.0,
    "zoom": 0.5,
    "shear": 0.5,
    "brightness": 255.0,
    "contrast": 1.0,
    "gamma": 2.0,
    "blur_pixels": 20.0,
    "noise_levels": 128.0,
    "erase_side": 1.0,
}
"""How far a setting may go from 0; a share may go to 1. Below 90 degrees no face is turned upside down."""


@dataclass(frozen=True)
class Augment:
    """How far each change may go; a share of 0 switches it off. There is no vertical flip: faces stand upright.

    SettingsError for a value outside RANGES.
    """

    flip_share: float = 0.5
    shift: float = 0.08
    """Of the side, both ways."""
    rotate_degrees: float = 14.0
    zoom: float = 0.14
    """Share of the size, both ways."""
    shear: float = 0.08
    """Share of the side by which the top is pushed against the bottom, both ways."""
    brightness: float = 40.0
    """Grey levels, both ways."""
    contrast: float = 0.3
    """Share, both ways."""
    gamma: float = 0.3
    """Of the exponent's logarithm, both ways: dark rooms and bright windows."""
    soften_share: float = 0.2
    """Faces seen small and enlarged: down to a third of the side and back."""
    blur_share: float = 0.1
    blur_pixels: float = 1.2
    """Largest standard deviation of the blur at a side of 48."""
    dark_share: float = 0.1
    """Faces in a dark room: a quarter to three quarters of the light."""
    jpeg_share: float = 0.15
    jpeg_quality: int = 25
    """The worst; the best is 95."""
    noise_share: float = 0.2
    noise_levels: float = 10.0
    """Largest standard deviation, grey levels."""
    erase_share: float = 0.3
    erase_side: float = 0.35
    """Largest side of the erased rectangle, share of the face."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            low, high = (1, BEST_JPEG_QUALITY) if name == "jpeg_quality" else (0, RANGES.get(name, 1.0))
            if not low <= value <= high:
                raise SettingsError(f"augment.{name} = {value!r}: expected {low} to {high}")


STILL = Augment(
    flip_share=0,
    shift=0,
    rotate_degrees=0,
    zoom=0,
    shear=0,
    brightness=0,
    contrast=0,
    gamma=0,
    soften_share=0,
    blur_share=0,
    dark_share=0,
    jpeg_share=0,
    noise_share=0,
    erase_share=0,
)
"""Changes nothing. Validation, test and calibration do without: their faces never come here."""


def alone(how: Augment) -> dict[str, tuple[float, Augment]]:
    """Each change of `how` by itself: its name for people, the share of faces that have it, and what does only it.

    The settings do it to every face. Changes that go both ways from 0 are made to all faces, more or less.
    """
    parts: dict[str, tuple[float, dict[str, Any]]] = {
        "mirrored": (how.flip_share, {"flip_share": 1.0}),
        "shifted": (1.0, {"shift": how.shift}),
        "rotated": (1.0, {"rotate_degrees": how.rotate_degrees}),
        "zoomed": (1.0, {"zoom": how.zoom}),
        "sheared": (1.0, {"shear": how.shear}),
        "partly hidden": (how.erase_share, {"erase_share": 1.0, "erase_side": how.erase_side}),
        "brightness": (1.0, {"brightness": how.brightness}),
        "contrast": (1.0, {"contrast": how.contrast}),
        "gamma": (1.0, {"gamma": how.gamma}),
        "dark room": (how.dark_share, {"dark_share": 1.0}),
        "out of focus": (how.blur_share, {"blur_share": 1.0, "blur_pixels": how.blur_pixels}),
        "small, then enlarged": (how.soften_share, {"soften_share": 1.0}),
        "sensor noise": (how.noise_share, {"noise_share": 1.0, "noise_levels": how.noise_levels}),
        "JPEG": (how.jpeg_share, {"jpeg_share": 1.0, "jpeg_quality": how.jpeg_quality}),
    }
    return {name: (share, replace(STILL, **settings)) for name, (share, settings) in parts.items()}


def augmented(face: Pixels, how: Augment, spec: InputSpec, rng: np.random.Generator) -> Pixels:
    """One face, (height, width) or (height, width, 3) uint8, changed and cut to (side, side, channels) uint8.

    In the order in which it happens to a picture: where the face is and what hides it, the light, the lens and the
    distance, the sensor, the file.
    """
    face = crop(face, spec, moved_corners(face.shape[1], face.shape[0], how, rng))
    for share, change in (
        (how.erase_share, erased),
        (1.0, relit),
        (how.dark_share, darkened),
        (how.blur_share, blurred),
        (how.soften_share, softened),
        (how.noise_share, noisy),
        (how.jpeg_share, compressed),
    ):
        if rng.random() < share:
            face = change(face, how, rng)
    return face


def moved_corners(width: int, height: int, how: Augment, rng: np.random.Generator) -> Corners:
    """The corners of a shifted, rotated, zoomed, sheared and perhaps mirrored look at a face."""
    angle = np.radians(rng.uniform(-how.rotate_degrees, how.rotate_degrees))
    size = 1 + rng.uniform(-how.zoom, how.zoom)
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.array([[1, rng.uniform(-how.shear, how.shear)], [0, 1]])
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5]])
    if rng.random() < how.flip_share:
        corners[:, 0] *= -1
    centre = 0.5 + rng.uniform(-how.shift, how.shift, 2)
    return np.asarray((corners @ turn.T + centre) * [width, height], np.float32)


def relit(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """Another contrast, brightness and gamma, through one table of 256 grey levels."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-how.gamma, how.gamma)) * 255
    levels = (levels - 128) * (1 + rng.uniform(-how.contrast, how.contrast)) + 128
    levels += rng.uniform(-how.brightness, how.brightness)
    table = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    return np.asarray(table[face])


def darkened(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """The face with a quarter to three quarters of its light."""
    return np.round(face * np.float32(rng.uniform(DARKEST, LIGHTEST))).astype(np.uint8)


def blurred(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """The face out of focus."""
    deviation = rng.uniform(0.3, max(0.3, how.blur_pixels)) * face.shape[0] / 48
    return np.asarray(cv2.GaussianBlur(face, (0, 0), deviation).reshape(face.shape), np.uint8)


def softened(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """The face as a camera across the room gives it: shrunk, then enlarged."""
    side = face.shape[0]
    small = cv2.resize(face, (round(side * rng.uniform(SMALLEST, LARGEST)),) * 2, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large.reshape(face.shape), np.uint8)


def noisy(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """Sensor noise: normal, the same strength over the picture, each channel its own."""
    noise = rng.normal(0, rng.uniform(0, how.noise_levels), face.shape)
    return np.clip(np.round(face + noise), 0, 255).astype(np.uint8)


def compressed(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """The face after JPEG."""
    quality = int(rng.integers(how.jpeg_quality, BEST_JPEG_QUALITY + 1))
    # OpenCV takes three channels for BGR; one channel reversed is itself.
    _, coded = cv2.imencode(".jpg", np.ascontiguousarray(face[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), np.uint8)
    return decoded.reshape(face.shape)[..., ::-1]


def erased(face: Pixels, how: Augment, rng: np.random.Generator) -> Pixels:
    """A rectangle of one grey level over the face: a hand, a cup, hair (random erasing, arXiv 1708.04896)."""
    side = face.shape[0]
    width, height = rng.integers(side // 10, max(side // 10, int(side * how.erase_side)) + 1, 2)
    left, top = rng.integers(0, side - width + 1), rng.integers(0, side - height + 1)
    face = face.copy()
    face[top : top + height, left : left + width] = rng.integers(0, 256)
    return face
