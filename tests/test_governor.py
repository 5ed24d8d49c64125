"""Governor: effort follows load, with patience; and rests while nobody is there."""

from dataclasses import replace
from itertools import pairwise

import pytest

from edge import config
from edge.classifier import Classifier
from edge.governor import GLANCE_FRAMES, LOOSEN_SECONDS, TIGHTEN_SECONDS, Effort, Governor, Load
from edge.run import perceiver_of
from edge.sources.demo import DemoClip

SETTINGS = config.Governor(max_age_ms=100, max_celsius=70, longest_interval=4, slow_fps=0, idle_seconds=10, idle_fps=5)
WELL = Load(age_ms=20, temperature_celsius=50)
TROUBLES = {
    "age 101 ms is above 100": Load(101),
    "temperature 71 C is above 70": Load(20, 71),
    "the board says under-voltage, throttled": Load(20, 50, ("under-voltage", "throttled", "throttled-occurred")),
}


def weighed(governor: Governor, load: Load, begin: int, seconds: int) -> list[int]:
    """The interval after each second of this load."""
    intervals = []
    for now in range(begin, begin + seconds):
        governor.weigh(load, float(now))
        intervals.append(governor.effort.detect_every)
    return intervals


def test_all_frames_are_searched_while_the_goals_are_met():
    governor = Governor(SETTINGS)
    assert set(weighed(governor, WELL, 0, 100)) == {1}
    assert governor.reason == "all goals are met"


@pytest.mark.parametrize(("reason", "load"), TROUBLES.items())
def test_a_goal_that_is_missed_for_long_halves_the_searches_down_to_the_limit(reason, load):
    governor = Governor(SETTINGS)
    assert weighed(governor, load, 0, 10) == [1, 1, 2, 2, 2, 4, 4, 4, 4, 4]
    assert governor.reason == reason


def test_a_single_bad_second_changes_nothing():
    governor = Governor(SETTINGS)
    for second in range(20):
        assert not governor.weigh(Load(500) if second % 2 else WELL, second * TIGHTEN_SECONDS / 2)
    assert governor.effort == Effort()


def test_with_room_for_long_the_searches_come_back_one_step_at_a_time():
    governor = Governor(SETTINGS)
    weighed(governor, Load(101), 0, 10)
    intervals = weighed(governor, WELL, 10, 40)
    patience = int(LOOSEN_SECONDS)
    assert intervals == [4] * patience + [2] * (patience + 1) + [1] * (40 - 2 * patience - 1)
    assert governor.reason == "all goals are met"


@pytest.mark.parametrize("load", [Load(90, 50), Load(20, 69), Load(70.1)], ids=["age", "warm", "not known"])
def test_goals_that_are_met_without_room_keep_things_as_they_are(load):
    governor = Governor(SETTINGS)
    weighed(governor, Load(101), 0, 4)
    assert set(weighed(governor, load, 4, 100)) == {2}


def test_what_has_been_and_is_over_is_no_trouble():
    assert set(weighed(Governor(SETTINGS), Load(20, 50, ("under-voltage-occurred",)), 0, 20)) == {1}


def test_a_board_that_tells_no_temperature_is_governed_by_its_age():
    governor = Governor(SETTINGS)
    weighed(governor, Load(101), 0, 10)
    assert weighed(governor, Load(20), 10, 60)[-1] == 1


def test_an_interval_that_is_limited_to_one_never_grows():
    assert set(weighed(Governor(replace(SETTINGS, longest_interval=1)), Load(999), 0, 50)) == {1}


def test_when_searching_seldom_is_not_enough_fewer_frames_are_taken_and_that_comes_back_first():
    governor = Governor(replace(SETTINGS, longest_interval=3, slow_fps=8))
    weighed(governor, Load(20, 71), 0, 20)
    assert governor.effort == Effort(3, 8)
    weighed(governor, WELL, 20, 1 + int(LOOSEN_SECONDS))
    assert governor.effort == Effort(3)


@pytest.mark.parametrize(("slow_fps", "least"), [(8, 5), (2, 2)])
def test_while_nobody_is_there_the_lower_rate_counts(slow_fps, least):
    governor = Governor(replace(SETTINGS, slow_fps=slow_fps))
    governor.see(0, 0)
    weighed(governor, Load(101), 0, 20)
    governor.see(0, 20)
    assert governor.effort == Effort(4, least, True)
    governor.see(1, 21)
    assert governor.effort == Effort(4, slow_fps)


def test_it_rests_while_nobody_is_there_and_wakes_with_the_first_face():
    governor = Governor(SETTINGS)
    assert [governor.see(0, now) for now in (0.0, 5.0, 9.9)] == [False] * 3
    assert governor.see(0, 10.0)
    assert governor.effort == Effort(1, 5.0, True)
    assert not governor.see(0, 11.0)
    assert governor.see(2, 11.1)
    assert governor.effort == Effort()
    assert not governor.see(0, 21.0)
    assert governor.see(0, 21.1)


def test_what_may_be_a_face_has_all_frames_looked_at_at_once():
    governor = Governor(SETTINGS)
    governor.see(0, 0.0)
    governor.see(0, 10.0)
    assert governor.see(0, 10.2, found=1)
    assert governor.effort == Effort(1, None, True)
    assert governor.see(0, 10.23, found=0)
    assert governor.effort == Effort(1, 5.0, True)


def test_what_is_found_again_and_again_and_is_no_face_does_not_keep_it_awake():
    governor = Governor(SETTINGS)
    governor.see(0, 0.0)
    governor.see(0, 10.0)
    rates = []
    for number in range(2 * GLANCE_FRAMES):
        governor.see(0, 10 + number / 30, found=1)
        rates.append(governor.effort.rate_fps)
    assert rates == [None] * GLANCE_FRAMES + [5.0] * GLANCE_FRAMES
    governor.see(0, 11.0, found=0)
    governor.see(0, 11.2, found=1)
    assert governor.effort.rate_fps is None
    assert governor.see(1, 11.3, found=1)
    assert governor.effort == Effort()


def test_it_is_awake_with_the_first_frame_in_which_somebody_comes():
    """Of the demo, in which nobody is there from 13 to 16 s; frames are counted, and time is theirs."""
    governor, clip = Governor(replace(SETTINGS, idle_seconds=1)), DemoClip(paced=False)
    perceive = perceiver_of(config.Settings(), Classifier.read(), lambda event: None)
    looked_at, found = [], []
    for frame in clip:
        if frame.number >= 12 * 30:
            scene = perceive(frame)
            looked_at.append(frame.number)
            found.append(scene.found > 0)
            if governor.see(len(scene.readings), frame.moment, scene.found):
                clip.rate_fps = governor.effort.rate_fps
        if governor.effort == Effort() and frame.moment > 17:
            break
    rested = [number for number, after in pairwise(looked_at) if after - number == 6]
    assert len(rested) > 5
    came = found.index(True, looked_at.index(rested[-1]))
    assert {after - number for number, after in pairwise(looked_at[came:])} == {1}


def test_it_never_rests_if_told_so():
    governor = Governor(replace(SETTINGS, idle_seconds=0))
    assert not any(governor.see(0, float(now)) for now in range(0, 100000, 1000))
