"""draw: what stands in the picture, and where."""

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.render import COLOUR_OF, FONT, TEXT, WEIGHT, Picture, draw, fitted
from edge.scene import Box, Face, Frame, Reading, Scene

SCORES = {"happy": 0.6, "surprise": 0.24, "sad": 0.12, "angry": 0.04}
MIDDLE = Box(280, 220, 360, 300)


def plain(value: int = 0, height: int = 480, width: int = 640) -> Picture:
    """A picture of one grey, which cannot be written to, as a frame's should not be."""
    pixels = np.full((height, width, 3), value, np.uint8)
    pixels.flags.writeable = False
    return pixels


def reading(box: Box, label: str = "happy", scores: Mapping[str, float] = SCORES, reason: str = "") -> Reading:
    point = (0.0, 0.0)
    return Reading(3, Face(box, 0.9, point, point, point, point, point, point), label, 0.93, scores, reason)


def drawn(*readings: Reading, on: Picture | None = None, caption: str = "") -> Picture:
    return draw(Scene(Frame(plain() if on is None else on, 0.0, 0.0, 0), readings), caption)


def count(picture: Picture, colour: tuple[int, int, int]) -> int:
    """Pixels that have exactly this colour."""
    return int((picture == colour).all(axis=2).sum())


def likeness(picture: Picture, text: str, text_px: int = 16) -> float:
    """How like `text` the likest place of the picture is, 0 to 1."""
    left, top, width, height = cv2.getTextSize((0, 0), text, (0, 0), FONT, text_px, WEIGHT)
    sample = np.zeros((height, width, 3), np.uint8)
    cv2.putText(sample, text, (-left, -top), TEXT, FONT, text_px, WEIGHT)
    ys, xs = np.nonzero(sample.any(axis=2))
    sample = sample[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return float(cv2.matchTemplate(picture, sample, cv2.TM_CCOEFF_NORMED).max())


def test_the_frame_stays_as_it_was_and_the_picture_is_a_new_one() -> None:
    pixels = plain(77)
    picture = drawn(reading(MIDDLE), on=pixels, caption="29.9 FPS")
    assert picture.shape == pixels.shape and picture.dtype == np.uint8
    assert not np.shares_memory(picture, pixels)
    assert (pixels == 77).all()


def test_a_scene_without_faces_or_caption_is_its_frame() -> None:
    assert (drawn(on=plain(77)) == 77).all()


def test_the_rectangle_goes_from_left_top_to_right_bottom_and_nowhere_else() -> None:
    box = Box(left=150, top=200, right=450, bottom=260)  # unlike its sides, so that a swap is seen
    picture = drawn(reading(box, scores={}))
    line = (picture == COLOUR_OF["positive"]).all(axis=2)
    for x, y in ((150, 230), (449, 230), (300, 200), (300, 259), (150, 200), (449, 259)):
        assert line[y, x], f"no line at x={x} y={y}"
    ys, xs = np.nonzero(line)
    assert xs.min() in (149, 150) and xs.max() in (449, 450)  # the line is two pixels wide
    assert ys.min() in (199, 200) and ys.max() in (259, 260)
    assert not line[205:255, 155:445].any()


@pytest.mark.parametrize(
    ("label", "group"),
    [("happy", "positive"), ("surprise", "neutral"), ("contempt", "negative"), ("uncertain", "uncertain")],
)
def test_the_box_has_the_colour_of_the_group(label: str, group: str) -> None:
    picture = drawn(reading(MIDDLE, label, scores={}))
    assert tuple(picture[260, 280]) == COLOUR_OF[group]


def test_the_text_says_track_label_and_percent() -> None:
    picture = drawn(reading(MIDDLE))
    assert likeness(picture, "#3 happy 93 %") > 0.99
    assert likeness(picture, "#4 happy 93 %") < 0.99
    assert likeness(picture, "#3 happy 98 %") < 0.99


@pytest.mark.parametrize(("reason", "text"), [("blurred", "#3 uncertain (blurred)"), ("", "#3 uncertain")])
def test_an_uncertain_face_says_why_and_no_percent(reason: str, text: str) -> None:
    picture = drawn(reading(MIDDLE, "uncertain", scores={}, reason=reason))
    assert likeness(picture, text) > 0.99
    assert likeness(picture, "%") < 0.99


def test_the_bars_are_the_three_likeliest_and_as_long_as_likely() -> None:
    picture = drawn(
        reading(MIDDLE, "uncertain", {"angry": 0.04, "sad": 0.12, "happy": 0.6, "surprise": 0.24}, "unsure")
    )
    happy, surprise, negative = (count(picture, COLOUR_OF[group]) for group in ("positive", "neutral", "negative"))
    assert happy / surprise == pytest.approx(0.6 / 0.24, rel=0.1)
    assert happy / negative == pytest.approx(0.6 / 0.12, rel=0.1)  # sad alone, not angry too


@pytest.mark.parametrize("ground", ["white", "grey", "black", "noise"])
def test_text_is_readable_on_any_ground(ground: str) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    on = {"white": plain(255), "grey": plain(128), "black": plain(0), "noise": noise}[ground]
    picture = drawn(reading(MIDDLE), on=on, caption="29.9 FPS")
    assert likeness(picture, "29.9 FPS") > 0.95
    assert likeness(picture, "#3 happy 93 %") > 0.95


@pytest.mark.parametrize(
    "box",
    [
        Box(0, 0, 80, 80),
        Box(560, 0, 640, 80),
        Box(0, 400, 80, 480),
        Box(560, 400, 640, 480),
        Box(-60, -60, 20, 20),
        Box(620, 460, 700, 540),
        Box(0, 0, 640, 480),
        Box(-50, -50, 700, 700),
        Box(-300, 100, -200, 200),
    ],
)
def test_text_and_bars_stay_in_the_picture_for_faces_at_its_edges(box: Box) -> None:
    whole, at_edge = (drawn(reading(each, "uncertain", reason="unsure")) for each in (MIDDLE, box))
    for colour in (TEXT, COLOUR_OF["positive"], COLOUR_OF["negative"]):
        assert count(at_edge, colour) == count(whole, colour) > 0
    assert likeness(at_edge, "#3 uncertain (unsure)") > 0.99


@pytest.mark.parametrize("top", [5, 200, 375])
def test_the_text_does_not_cover_the_face_where_there_is_room_beside_it(top: int) -> None:
    picture = drawn(reading(Box(200, top, 400, top + 100)), on=plain(77))
    assert (picture[top + 5 : top + 95, 205:395] == 77).all()


def test_no_box_crosses_the_text_of_another_face() -> None:
    here = reading(MIDDLE, scores={})
    across = reading(Box(290, 150, 330, 400), "uncertain", scores={}, reason="blurred")
    assert likeness(drawn(here, across), "#3 happy 93 %") > 0.99


def test_sizes_grow_with_the_picture() -> None:
    small, large = (drawn(on=plain(0, height, height), caption="H") for height in (480, 1440))
    heights = [int(np.ptp(np.nonzero((each == TEXT).all(axis=2))[0])) + 1 for each in (small, large)]
    assert heights[1] == pytest.approx(3 * heights[0], abs=3)


anywhere = st.floats(width=32) | st.floats(-100, 200)


@given(st.tuples(anywhere, anywhere, anywhere, anywhere), st.integers(1, 90), st.integers(1, 90))
def test_no_box_and_no_size_of_picture_is_an_error(sides: tuple[float, ...], height: int, width: int) -> None:
    pixels = plain(9, height, width)
    assert drawn(reading(Box(*sides)), on=pixels, caption="29.9 FPS").shape == pixels.shape


def test_a_score_out_of_range_does_not_leave_its_panel() -> None:
    right = reading(MIDDLE, "uncertain", {"happy": 1.0, "sad": 0.0})
    wrong = replace(right, scores={"happy": 7.0, "sad": -7.0})
    assert (drawn(right) == drawn(wrong)).all()


@pytest.mark.parametrize(
    ("size", "inner"), [((400, 100), (100, 0, 300, 100)), ((200, 300), (0, 100, 200, 200)), ((50, 25), (0, 0, 50, 25))]
)
def test_a_picture_is_fitted_whole_in_the_middle_of_black(size: tuple[int, int], inner: tuple[int, ...]) -> None:
    fit = fitted(np.full((50, 100, 3), (10, 20, 30), np.uint8), *size)
    left, top, right, bottom = inner
    assert fit.shape == (size[1], size[0], 3)
    assert (fit[top:bottom, left:right] == (10, 20, 30)).all()
    assert count(fit, (0, 0, 0)) == size[0] * size[1] - (right - left) * (bottom - top)
