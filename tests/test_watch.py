"""Watch: silence, repeated pictures and slowness are told from the ways of a camera that is well."""

import numpy as np
import pytest

from edge import config
from edge.errors import SourceError
from edge.scene import Frame
from edge.sources.watch import STRIDE, Limits, Watch, shows_nothing

RNG = np.random.default_rng(3)
NOISE = [RNG.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(2)]
BLACK = np.zeros((48, 64, 3), np.uint8)


def watch(known=None, fps=32.0, frozen_seconds=1.0):
    return Watch(config.Camera(fps=fps, frozen_seconds=frozen_seconds), Limits(), known)


def frame(number, pixels, fps=32.0):
    return Frame(pixels, number / fps, number / fps, number)


def alternating(number, fps=32.0):
    return frame(number, NOISE[number % 2], fps)


def patience_of(watched):
    """For how long it takes silence, in steps of 1/8 s."""
    for turn in range(1, 10_000):
        try:
            watched.check_silence(turn / 8)
        except SourceError:
            return turn / 8
    raise AssertionError("it waits for ever")


def test_a_camera_has_ten_seconds_for_its_first_picture_and_one_for_each_further():
    watched = watch()
    assert patience_of(watched) == 10
    assert watched.is_new(alternating(0))
    assert patience_of(watched) == 1


@pytest.mark.parametrize(("asked", "promised", "seconds"), [(0.5, 0, 6), (30, 0.5, 6), (30, 30, 1), (0.5, 30, 6)])
def test_a_camera_of_few_frames_has_time_for_three_of_them(asked, promised, seconds):
    watched = watch(fps=asked)
    watched.promise(promised)
    watched.is_new(alternating(0))
    assert patience_of(watched) == seconds


def test_a_repeated_picture_is_not_new_and_too_many_of_them_are_the_end():
    watched = watch()
    assert watched.is_new(frame(0, NOISE[0]))
    for number in range(1, 32):
        assert not watched.is_new(frame(number, NOISE[0].copy()))
    with pytest.raises(SourceError, match="the same picture again and again for 1 s: the camera is frozen"):
        for number in range(32, 33):
            watched.is_new(frame(number, NOISE[0].copy()))


@pytest.mark.parametrize("place", [(0, 0, 0), (STRIDE + 1, 5, 2), (47, 63, 1)])
def test_a_picture_that_differs_in_one_value_anywhere_is_new(place):
    watched = watch()
    other = NOISE[0].copy()
    other[place] ^= 1
    for number in range(200):
        assert watched.is_new(frame(number, [NOISE[0], other][number % 2]))


def test_a_picture_of_another_size_is_new():
    watched = watch()
    assert watched.is_new(frame(0, NOISE[0]))
    assert watched.is_new(frame(1, NOISE[0][:32]))


def test_a_camera_that_still_shows_the_picture_from_before_it_was_opened_again_is_still_frozen():
    watched = watch(known=NOISE[0])
    with pytest.raises(SourceError, match="frozen"):
        for number in range(33):
            assert not watched.is_new(frame(number, NOISE[0].copy()))


def test_a_slow_camera_is_frozen_after_three_repetitions_not_before():
    watched = watch(fps=1.0)
    assert [watched.is_new(frame(number, NOISE[0], fps=1.0)) for number in range(3)] == [True, False, False]
    with pytest.raises(SourceError, match="for 3 s"):
        watched.is_new(frame(3, NOISE[0], fps=1.0))


def test_where_stills_are_allowed_each_picture_is_new():
    watched = watch(frozen_seconds=0)
    assert all(watched.is_new(frame(number, NOISE[0])) for number in range(300))


def test_the_dark_is_no_fault_but_is_told():
    watched = watch()
    assert watched.is_new(frame(0, NOISE[0]))
    for number in range(1, 300):
        assert watched.is_new(frame(number, BLACK))
        assert watched.is_blank == (number >= 33)
    assert watched.is_new(frame(300, NOISE[0]))
    assert not watched.is_blank


@pytest.mark.parametrize(("value", "blank"), [(15, True), (16, False)])
def test_a_picture_shows_nothing_below_a_contrast(value, blank):
    picture = BLACK.copy()
    picture[:STRIDE] = value
    assert shows_nothing(picture) is blank


def test_the_rate_counts_pictures_that_were_passed_over_too():
    watched = watch()
    for number in range(0, 91, 3):
        watched.is_new(alternating(number))
    assert watched.fps == pytest.approx(32)


@pytest.mark.parametrize(("delivered", "promised", "slow"), [(14, 30, True), (16, 30, False), (14, 15, False)])
def test_a_camera_below_half_of_what_was_asked_and_promised_is_slow_after_ten_seconds(delivered, promised, slow):
    watched = watch()
    watched.promise(promised)
    for number in range(delivered * 9):
        watched.is_new(alternating(number, fps=delivered))
        assert not watched.is_slow
    for number in range(delivered * 9, delivered * 12):
        watched.is_new(alternating(number, fps=delivered))
    assert watched.is_slow is slow


def test_the_rate_is_that_of_the_last_ten_seconds():
    watched, at = watch(), 0.0
    for number in range(3000):
        at += 1 / (30 if number < 2000 else 10)
        watched.is_new(Frame(NOISE[number % 2], at, at, number))
    assert watched.fps == pytest.approx(10)
    assert len(watched._came) <= 302
