"""The built-in clip: two public-domain portraits that move, zoom, leave and come back, made at run time."""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.scene import Frame
from edge.sources.folder import read_picture
from edge.sources.sparing import is_wanted

Picture = NDArray[np.uint8]

SECONDS = 30.0
"""How long the clip is."""

ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True, slots=True)
class Portrait:
    """A person's picture: a file in edge/assets, and the square of it that is shown, pixels."""

    file: str
    caption: str
    left: int
    top: int
    side: int


COLLINS = Portrait("astronaut.jpg", "Eileen Collins, NASA", 92, 10, 280)
HOPPER = Portrait("grace_hopper.jpg", "Grace Hopper, US Navy", 44, 14, 430)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a card is: its middle, as shares of the frame's width and height, and its height as a share of that.

    (In a frame narrower than 4:3 the height is a share of three quarters of the width.)
    """

    x: float
    y: float
    size: float


@dataclass(frozen=True, slots=True)
class Move:
    """A card's way from one pose to another, between two times in seconds from the start of the clip."""

    begin: float
    end: float
    who: Portrait
    start: Pose
    stop: Pose
    mirrored: bool = False


SCRIPT = (
    # One face, moving and zooming.
    Move(0, 4, COLLINS, Pose(0.27, 0.48, 0.58), Pose(0.64, 0.48, 0.88)),
    Move(4, 7, COLLINS, Pose(0.64, 0.48, 0.88), Pose(0.21, 0.45, 0.62)),
    # Several: two people, and one of them a second time, mirrored and small: that one is seen with --range full only.
    Move(7, 12, COLLINS, Pose(0.21, 0.45, 0.62), Pose(0.21, 0.46, 0.64)),
    Move(7, 8, HOPPER, Pose(0.61, 1.50, 0.58), Pose(0.61, 0.48, 0.58)),
    Move(8, 12, HOPPER, Pose(0.61, 0.48, 0.58), Pose(0.61, 0.46, 0.62)),
    Move(7, 8, COLLINS, Pose(1.20, 0.50, 0.38), Pose(0.88, 0.50, 0.38), mirrored=True),
    Move(8, 12, COLLINS, Pose(0.88, 0.50, 0.38), Pose(0.88, 0.46, 0.40), mirrored=True),
    Move(12, 13, COLLINS, Pose(0.21, 0.46, 0.64), Pose(-0.40, 0.46, 0.64)),
    Move(12, 13, HOPPER, Pose(0.61, 0.46, 0.62), Pose(0.61, -0.60, 0.62)),
    Move(12, 13, COLLINS, Pose(0.88, 0.46, 0.40), Pose(1.40, 0.46, 0.40), mirrored=True),
    # Nobody until 16. Then a face that leaves and comes back, and at last two.
    Move(16, 17, HOPPER, Pose(-0.40, 0.48, 0.80), Pose(0.40, 0.48, 0.80)),
    Move(17, 20, HOPPER, Pose(0.40, 0.48, 0.80), Pose(0.56, 0.48, 0.88)),
    Move(20, 21, HOPPER, Pose(0.56, 0.48, 0.88), Pose(1.45, 0.48, 0.88)),
    Move(23, 24, HOPPER, Pose(1.45, 0.48, 0.66), Pose(0.75, 0.48, 0.66)),
    Move(24, SECONDS, HOPPER, Pose(0.75, 0.48, 0.66), Pose(0.75, 0.48, 0.70)),
    Move(25, 26, COLLINS, Pose(-0.40, 0.48, 0.66), Pose(0.25, 0.48, 0.66), mirrored=True),
    Move(26, SECONDS, COLLINS, Pose(0.25, 0.48, 0.66), Pose(0.25, 0.48, 0.70), mirrored=True),
)

PORTRAIT_PX, BORDER_PX, CAPTION_PX = 420, 16, 52
"""The portrait in a card of full size, the white around it, and the strip for the name under it."""

SIZES = tuple(0.75**step for step in range(4))
"""Heights in which cards are kept, as a Pose has them: one drawn at half its size or less would shimmer."""

TILT_DEGREES, SWAY = 2.5, 0.012
"""How far a card rocks, and swings as a share of the frame's height."""

TOP_RGB, BOTTOM_RGB = (70, 98, 122), (24, 30, 46)
"""The background's gradient."""


class DemoClip:
    """A clip of 30 s that needs no file and no camera; each frame is a pure function of its number.

    width, height  pixels
    fps            frames a second
    paced          play it in its own time, else as fast as it is read
    rate_fps is as Sparing says.
    """

    name = "demo"

    def __init__(self, width: int = 640, height: int = 480, fps: float = 30.0, paced: bool = True) -> None:
        self.live = paced
        self.rate_fps: float | None = None
        self.length = round(SECONDS * fps)
        self._width, self._height, self._fps = width, height, fps
        self._unit_px = min(height, round(width * 0.75))
        self._cards: dict[tuple[Portrait, bool, float], Picture] = {}

    def __iter__(self) -> Generator[Frame, None, None]:
        started, taken = time.monotonic(), -math.inf
        for number in range(self.length):
            began = time.monotonic()
            moment = number / self._fps
            if not is_wanted(moment - taken, self.rate_fps, self._fps):
                continue
            taken = moment
            pixels = self.picture(number)
            took_ms = (time.monotonic() - began) * 1000
            due = started + moment if self.live else began
            yield Frame(pixels, due, moment, number, took_ms, self.name, began)

    def picture(self, number: int) -> Picture:
        """Frame `number`, (height, width, 3) RGB."""
        seconds = number / self._fps
        frame = self._background.copy()
        for move in SCRIPT:
            if move.begin <= seconds < move.end:
                self._draw(frame, move, seconds)
        # Makes every frame another one, also when nothing moves.
        text = f"{seconds:05.2f} s   frame {number}"
        cv2.putText(frame, text, (10, self._height - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (200, 205, 215), 1)
        return frame

    def _draw(self, frame: Picture, move: Move, seconds: float) -> None:
        share = (seconds - move.begin) / (move.end - move.begin)
        pose = between(move.start, move.stop, share * share * (3 - 2 * share))
        swing = math.sin(seconds * 2.1 + 2 * move.mirrored) * SWAY
        x, y = pose.x * self._width, (pose.y + swing) * self._height
        tilt = math.sin(seconds * 1.3 + 2 * move.mirrored) * TILT_DEGREES
        height_px = pose.size * self._unit_px
        card = self._card(move.who, move.mirrored, min(size for size in SIZES if size >= pose.size))
        paste(frame, card, (x, y), height_px / len(card), tilt)

    @cached_property
    def _background(self) -> Picture:
        across = 0.35 * np.linspace(0, 1, self._width)[:, None]
        picture = np.empty((self._height, self._width, 3), np.uint8)
        for row, down in zip(picture, np.linspace(0, 1, self._height), strict=True):  # at once it would take 22 MB
            share = 0.65 * down + across
            row[:] = np.array(TOP_RGB) * (1 - share) + np.array(BOTTOM_RGB) * share
        return picture

    def _card(self, who: Portrait, mirrored: bool, size: float) -> Picture:
        """A portrait's card, or its mirror image's, drawn when it is first seen: all would hold up the start."""
        if (who, mirrored, size) not in self._cards:
            self._cards[who, mirrored, size] = resized(portrait_card(who, mirrored), size * self._unit_px)
        return self._cards[who, mirrored, size]


def between(start: Pose, stop: Pose, share: float) -> Pose:
    """`start` for a share of 0, `stop` for 1."""
    return Pose(
        start.x + (stop.x - start.x) * share,
        start.y + (stop.y - start.y) * share,
        start.size + (stop.size - start.size) * share,
    )


def portrait_card(who: Portrait, mirrored: bool) -> Picture:
    """A portrait with a white border and a name, RGB."""
    whole = read_picture(ASSETS / who.file)
    shown = whole[who.top : who.top + who.side, who.left : who.left + who.side]
    shown = cv2.resize(shown, (PORTRAIT_PX, PORTRAIT_PX), interpolation=cv2.INTER_CUBIC)
    if mirrored:
        shown = shown[:, ::-1]
    wide = PORTRAIT_PX + 2 * BORDER_PX
    card = np.full((wide + CAPTION_PX, wide, 3), 244, np.uint8)
    card[BORDER_PX : -BORDER_PX - CAPTION_PX, BORDER_PX:-BORDER_PX] = shown
    at = (BORDER_PX + 4, wide + CAPTION_PX // 2)
    cv2.putText(card, who.caption, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (60, 64, 72), 2, cv2.LINE_AA)
    return card


def resized(card: Picture, height_px: float) -> Picture:
    """A card of about this height."""
    scale = height_px / len(card)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(card, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def paste(frame: Picture, card: Picture, middle: tuple[float, float], scale: float, tilt: float) -> None:
    """Draw `card` into `frame` with its middle at x and y, pixels; tilted by degrees against the clock."""
    height, width = card.shape[:2]
    reach = math.hypot(height, width) / 2 * scale  # no corner is farther away
    left, right = (min(max(round(middle[0] + way), 0), frame.shape[1]) for way in (-reach, reach))
    top, bottom = (min(max(round(middle[1] + way), 0), frame.shape[0]) for way in (-reach, reach))
    if left >= right or top >= bottom:
        return
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, scale)
    turn[:, 2] += (middle[0] - width / 2 - left, middle[1] - height / 2 - top)
    part = frame[top:bottom, left:right]
    cv2.warpAffine(card, turn, (right - left, bottom - top), part, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
