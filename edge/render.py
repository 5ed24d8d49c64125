"""draw: a scene as a picture that shows what was read."""

from dataclasses import dataclass
from math import isfinite

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract import GROUP_OF, UNCERTAIN, likeliest
from edge.scene import Box, Reading, Scene

Picture = NDArray[np.uint8]
"""(height, width, 3) uint8, RGB."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

COLOUR_OF: dict[str, Colour] = {
    "positive": (0, 158, 115),
    "neutral": (86, 180, 233),
    "negative": (213, 94, 0),
    UNCERTAIN: (170, 170, 170),
}
"""By group; told apart by colour-blind people too: Okabe and Ito 2008, "Color Universal Design"."""

TEXT: Colour = (255, 255, 255)
EDGE: Colour = (0, 0, 0)

TEXT_SHARE, LEAST_TEXT_PX = 30, 9
"""Text is a thirtieth of the picture's height, 16 pixels of 480, but at least so many pixels."""

WEIGHT = 500
"""Of the font's strokes, 100 to 900; 400 is regular."""

FONT = cv2.FontFace("sans")  # one of OpenCV's own; made once, since it caches its letters


@dataclass(frozen=True, slots=True)
class Panel:
    """A text, and bars of (label, probability 0 to 1, colour) below it, as drawn on a dark ground; sizes in pixels."""

    text: str
    bars: tuple[tuple[str, float, Colour], ...]
    text_px: int

    @property
    def padding(self) -> int:
        return max(2, self.text_px // 4)

    @property
    def row(self) -> int:
        """Height of a line of text."""
        return self.text_px + self.padding

    @property
    def bar_text_px(self) -> int:
        return max(LEAST_TEXT_PX, self.text_px * 3 // 4)

    @property
    def bar_row(self) -> int:
        return self.bar_text_px + 2

    @property
    def bar_label_width(self) -> int:
        return max((_width(label, self.bar_text_px) for label, _, _ in self.bars), default=0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        widest = _width(self.text, self.text_px)
        if self.bars:
            widest = max(widest, self.bar_label_width + 4 * self.text_px)
        return widest + 2 * self.padding, self.row + self.padding + len(self.bars) * self.bar_row


def draw(scene: Scene, caption: str) -> Picture:
    """A new picture of the scene's frame, with each face's box, track, label and likeliest scores.

    caption  a short text for the lower left corner; none if empty
    Text stays within the picture, as long as the picture is wide enough for it at all.
    """
    picture = scene.frame.pixels.copy()
    height, width = picture.shape[:2]
    text_px = max(LEAST_TEXT_PX, height // TEXT_SHARE)
    for reading in scene.readings:
        _draw_box(picture, reading.face.box, COLOUR_OF[reading.group])
    for reading in scene.readings:  # over all boxes, so that no line crosses a text
        panel = Panel(_words(reading), _bars(reading), text_px)
        _draw_panel(picture, panel, *_place(panel.size, reading.face.box, (width, height)))
    if caption:
        panel = Panel(caption, (), text_px)
        _draw_panel(picture, panel, 0, height - panel.size[1])
    return picture


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """`picture` as large as fits, its proportions kept, in the middle of a black one of `width` x `height` pixels."""
    has_height, has_width = picture.shape[:2]
    if (has_width, has_height) == (width, height):
        return picture
    scale = min(width / has_width, height / has_height)
    inner_width, inner_height = max(1, round(has_width * scale)), max(1, round(has_height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    whole = np.zeros((height, width, 3), np.uint8)
    inner = cv2.resize(picture, (inner_width, inner_height), interpolation=how)
    whole[top : top + inner_height, left : left + inner_width] = inner
    return whole


def _words(reading: Reading) -> str:
    if reading.label != UNCERTAIN:
        return f"#{reading.track} {reading.label} {reading.confidence * 100:.0f} %"
    return f"#{reading.track} {UNCERTAIN} ({reading.reason})" if reading.reason else f"#{reading.track} {UNCERTAIN}"


def _bars(reading: Reading) -> tuple[tuple[str, float, Colour], ...]:
    return tuple(
        (label, score, COLOUR_OF[GROUP_OF.get(label, UNCERTAIN)]) for label, score in likeliest(reading.scores)
    )


def _width(text: str, text_px: int) -> int:
    """Of the text as drawn, pixels."""
    left, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), FONT, text_px, WEIGHT)
    return int(left + width)


def _place(size: tuple[int, int], box: Box, within: tuple[int, int]) -> tuple[int, int]:
    """Left and top of a panel: on the box, or where that has no room below it, or else at the picture's edge."""
    (width, height), (most_x, most_y) = size, within
    outline = _thickness(most_y) // 2 + 1
    top = box.top - outline - height
    if top < 0 and box.bottom + outline + height <= most_y:
        top = box.bottom + outline
    return _limited(box.left, 0, max(0, most_x - width)), _limited(top, 0, max(0, most_y - height))


def _thickness(height: int) -> int:
    """Of a box's coloured line in a picture of that height, pixels."""
    return max(1, height // 240)


def _limited(value: float, low: int, high: int) -> int:
    """The whole number nearest to `value` from `low` to `high`; `low` for what is no number."""
    return round(min(max(value, low), high)) if isfinite(value) else low


def _draw_box(picture: Picture, box: Box, colour: Colour) -> None:
    """An outline in `colour` between two dark ones; sides outside the picture are not seen."""
    height, width = picture.shape[:2]
    thick = _thickness(height)
    beyond = 4 * thick + 4  # so far out a side is not seen, and its number still small enough for OpenCV
    start = _limited(box.left, -beyond, width + beyond), _limited(box.top, -beyond, height + beyond)
    # cv2.rectangle takes two corners, both inclusive.
    end = _limited(box.right - 1, -beyond, width + beyond), _limited(box.bottom - 1, -beyond, height + beyond)
    cv2.rectangle(picture, start, end, EDGE, thick + 2)
    cv2.rectangle(picture, start, end, colour, thick)


def _draw_panel(picture: Picture, panel: Panel, left: int, top: int) -> None:
    width, height = panel.size
    ground = picture[max(0, top) : top + height, left : left + width]
    ground //= 4  # white becomes 63: white text is read on any ground
    x, y = left + panel.padding, top + panel.row
    cv2.putText(picture, panel.text, (x, y - panel.padding // 2), TEXT, FONT, panel.text_px, WEIGHT)
    bars_left = x + panel.bar_label_width + panel.padding
    room = left + width - panel.padding - bars_left
    for label, score, colour in panel.bars:
        y += panel.bar_row
        cv2.putText(picture, label, (x, y - 2), TEXT, FONT, panel.bar_text_px, WEIGHT)
        end = bars_left + round(room * min(max(score, 0.0), 1.0))
        if end > bars_left:
            cv2.rectangle(picture, (bars_left, y - panel.bar_row + 4), (end - 1, y - 2), colour, cv2.FILLED)
