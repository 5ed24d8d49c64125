"""The geometry of boxes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.scene import Box

sides = st.floats(-4000, 4000)
boxes = st.builds(Box, sides, sides, sides, sides)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        (Box(0, 0, 10, 10), Box(0, 0, 10, 10), 1.0),
        (Box(0, 0, 10, 10), Box(5, 0, 15, 10), 1 / 3),
        (Box(0, 0, 10, 10), Box(10, 0, 20, 10), 0.0),
        (Box(0, 0, 10, 10), Box(8, 8, 2, 2), 0.0),
        (Box(0, 0, 5e-198, 5e-198), Box(0, 0, 5e-198, 5e-198), 0.0),
    ],
    ids=["the same", "a third", "side by side", "inside out", "so small that its area is 0"],
)
def test_intersection_over_union(one: Box, other: Box, share: float) -> None:
    assert one.iou(other) == pytest.approx(share)


@given(boxes, boxes)
def test_it_is_a_share_whichever_box_is_asked(one: Box, other: Box) -> None:
    assert one.iou(other) == other.iou(one)
    assert 0 <= one.iou(other) <= 1
