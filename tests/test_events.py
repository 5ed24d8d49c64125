"""The Settler: many readings, few events, and each of them true."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import config
from edge.contract import FER2013_LABELS, LABELS, UNCERTAIN
from edge.events import EmotionEvent, Settler, normalised
from edge.scene import Box, Face, Frame, Reading

FPS = 30
DWELL = config.Events().dwell_seconds
PICTURE = np.zeros((100, 200, 3), np.uint8)


def frame(moment: float, number: int = 0) -> Frame:
    return Frame(PICTURE, captured_at=moment + 1000, moment=moment, number=number, took_ms=8.0)


def scores(**given: float) -> dict[str, float]:
    """The given probabilities; what is left goes to the other labels of FER2013 in equal parts."""
    others = [label for label in FER2013_LABELS if label not in given]
    rest = (1 - sum(given.values())) / len(others)
    return {label: given.get(label, rest) for label in FER2013_LABELS}


def reading(values: Mapping[str, float], track: int = 1, reason: str = "", box: Box | None = None) -> Reading:
    """As the Reader makes it; no values for a face that was not read."""
    point = (0.0, 0.0)
    face = Face(box or Box(20, 30, 60, 70), 0.9, point, point, point, point, point, point)
    best = max(values, key=lambda label: values[label]) if values else UNCERTAIN
    return Reading(track, face, best, values.get(best, 0.0), values, reason)


HAPPY = reading(scores(happy=0.9))
SAD = reading(scores(sad=0.9))
UNSURE = reading(scores(happy=0.3, sad=0.3))
BLURRED = reading({}, reason="blurred")


def settler(labels: Sequence[str] = FER2013_LABELS, abstain: float = 0.5, **given: float) -> Settler:
    return Settler(config.Events(**given), labels, abstain)  # type: ignore[arg-type]


def watch(settle: Settler, readings: Iterable[Reading], begin: float = 0.0) -> list[EmotionEvent]:
    """The events of one reading each frame at 30 FPS."""
    events: list[EmotionEvent] = []
    for number, each in enumerate(readings):
        events += settle.update([each], (), frame(begin + number / FPS, number))[1]
    return events


def for_seconds(seconds: float, *readings: Reading) -> list[Reading]:
    """The readings in turn, for so long."""
    return [readings[number % len(readings)] for number in range(round(seconds * FPS))]


def told(events: Iterable[EmotionEvent]) -> list[tuple[str, str]]:
    return [(each.type, each.label) for each in events]


def test_a_steady_face_makes_one_start_and_one_end() -> None:
    settle = settler()
    assert told(watch(settle, for_seconds(10, HAPPY))) == [("start", "happy")]
    assert told(settle.update([], (1,), frame(11))[1]) == [("end", "happy")]
    assert settle.close() == ()


def test_the_run_s_end_ends_each_started_track_once() -> None:
    settle = settler()
    both = [reading(scores(happy=0.9), 1), reading(scores(sad=0.9), 2)]
    for number in range(60):
        settle.update(both, (), frame(number / FPS, number))
    settle.update([reading(scores(happy=0.9), 3)], (), frame(2, 60))
    assert [(each.type, each.track, each.captured_at) for each in settle.close()] == [
        ("end", 1, 1002),
        ("end", 2, 1002),
    ]
    assert settle.close() == ()


def test_a_start_waits_for_the_dwell() -> None:
    (start,) = watch(settler(), for_seconds(3, HAPPY))
    assert DWELL <= start.captured_at - 1000 <= DWELL + 1.5 / FPS
    assert start.frame == round((start.captured_at - 1000) * FPS)
    assert start.dwell_ms == 0


def test_a_start_is_not_withheld_for_ever() -> None:
    """Each label leads for a third of a second only, less than the dwell."""
    readings = for_seconds(1 / 3, HAPPY) + for_seconds(1 / 3, SAD)
    (start, *_) = watch(settler(smooth_seconds=0.01), readings * 5)
    assert start.type == "start"
    assert 2 * DWELL <= start.captured_at - 1000 <= 2 * DWELL + 1.5 / FPS


def test_a_face_that_passes_by_makes_no_event() -> None:
    settle = settler()
    assert watch(settle, for_seconds(DWELL / 2, HAPPY)) == []
    assert settle.update([], (1,), frame(2))[1] == ()


def test_a_face_that_is_not_confirmed_makes_no_event_and_keeps_its_reading() -> None:
    settle, unconfirmed = settler(), reading(scores(happy=0.9), track=0)
    for number in range(100):
        assert settle.update([unconfirmed], (), frame(number / FPS)) == ((unconfirmed,), ())
    assert settle.close() == ()


def test_another_expression_is_a_change_after_the_dwell() -> None:
    events = watch(settler(), for_seconds(2, HAPPY) + for_seconds(2, SAD))
    assert told(events) == [("start", "happy"), ("change", "sad")]
    late = events[1].captured_at - 1002
    assert DWELL <= late <= DWELL + 0.5
    held = events[1].captured_at - events[0].captured_at
    assert events[1].dwell_ms == pytest.approx(held * 1000)


def test_a_look_of_a_moment_is_no_change() -> None:
    moments = for_seconds(2, HAPPY) + for_seconds(0.5, SAD)
    assert told(watch(settler(), moments * 4)) == [("start", "happy")]


def test_labels_that_are_close_do_not_take_turns() -> None:
    """The lead swings by less than the margin, slower than the dwell."""
    happier, sadder = reading(scores(happy=0.48, sad=0.44)), reading(scores(happy=0.44, sad=0.48))
    moments = (for_seconds(2, happier) + for_seconds(2, sadder)) * 4
    assert told(watch(settler(abstain=0.4), moments)) == [("start", "happy")]
    swings = watch(settler(abstain=0.4, margin=0.0), moments)
    assert len(swings) > 5


def test_a_mean_below_the_threshold_is_uncertain_and_says_unsure() -> None:
    (start,) = watch(settler(), for_seconds(2, UNSURE))
    assert (start.label, start.uncertain, start.group, start.reason) == (UNCERTAIN, True, UNCERTAIN, "unsure")
    assert start.confidence == pytest.approx(0.3)
    assert len(start.top) == 3


def test_a_label_that_falls_below_the_threshold_becomes_uncertain() -> None:
    weak = reading(scores(happy=0.45))
    events = watch(settler(), for_seconds(2, HAPPY) + for_seconds(4, weak))
    assert told(events) == [("start", "happy"), ("change", UNCERTAIN)]


def test_a_steady_label_just_on_the_threshold_stays() -> None:
    """Rounding errors must not add up to a change."""
    settle, chance, moment = settler(abstain=0.55), random.Random(6), 0.0
    kinds: list[str] = []
    for _ in range(1000):
        moment += chance.random() / 5
        kinds += [each.type for each in settle.update([reading(scores(happy=0.55))], (), frame(moment))[1]]
    assert kinds == ["start"]


def test_uncertain_is_left_only_for_a_label_that_is_above_the_threshold_by_the_margin() -> None:
    barely, clearly = reading(scores(happy=0.55)), reading(scores(happy=0.65))
    events = watch(settler(), for_seconds(2, UNSURE) + for_seconds(4, barely))
    assert told(events) == [("start", UNCERTAIN)]
    events = watch(settler(), for_seconds(2, UNSURE) + for_seconds(4, clearly))
    assert told(events) == [("start", UNCERTAIN), ("change", "happy")]


def test_a_very_high_threshold_can_still_be_passed() -> None:
    sure = reading(scores(happy=0.999))
    events = watch(settler(abstain=0.99), for_seconds(2, UNSURE) + for_seconds(4, sure))
    assert told(events) == [("start", UNCERTAIN), ("change", "happy")]


def test_a_short_blur_changes_nothing() -> None:
    settle = settler()
    assert told(watch(settle, for_seconds(2, HAPPY) + for_seconds(0.6, BLURRED))) == [("start", "happy")]
    (shown,), _ = settle.update([BLURRED], (), frame(2.62))
    assert (shown.label, shown.reason) == ("happy", "") and shown.confidence == pytest.approx(0.9)
    assert watch(settle, for_seconds(3, HAPPY), begin=2.65) == []


@pytest.mark.parametrize("reason", ["small", "blurred", "turned"])
def test_a_face_that_cannot_be_read_for_long_is_uncertain_for_that_reason(reason: str) -> None:
    settle = settler()
    events = watch(settle, for_seconds(2, HAPPY) + for_seconds(2, reading({}, reason=reason)))
    assert told(events) == [("start", "happy"), ("change", UNCERTAIN)]
    assert (events[1].reason, events[1].confidence, events[1].top) == (reason, 0.0, ())
    (shown,), _ = settle.update([reading({}, reason=reason)], (), frame(4))
    assert (shown.label, shown.reason, shown.confidence, shown.scores) == (UNCERTAIN, reason, 0.0, {})


def test_a_face_that_is_blurred_in_most_frames_is_not_guessed_at() -> None:
    events = watch(settler(), for_seconds(2, HAPPY) + for_seconds(3, BLURRED, BLURRED, HAPPY, BLURRED))
    assert told(events) == [("start", "happy"), ("change", UNCERTAIN)]


def test_a_face_never_read_starts_as_uncertain_and_is_read_later() -> None:
    events = watch(settler(), for_seconds(2, BLURRED) + for_seconds(3, HAPPY))
    assert told(events) == [("start", UNCERTAIN), ("change", "happy")]


def test_the_mean_is_exponential_in_time_not_in_frames() -> None:
    """After one time constant a step has come 1 - 1/e of its way, at any frame rate."""
    for fps in (5, 30, 100):
        settle = settler(smooth_seconds=0.4)
        settle.update([reading(scores(happy=0.0))], (), frame(0.0))
        for number in range(1, round(0.4 * fps) + 1):
            (shown,), _ = settle.update([reading(scores(happy=1.0))], (), frame(number / fps))
        assert shown.scores["happy"] == pytest.approx(1 - 1 / math.e)


def test_without_smoothing_the_newest_reading_counts_alone() -> None:
    settle = settler(smooth_seconds=0.0)
    settle.update([SAD], (), frame(0.0))
    (shown,), _ = settle.update([HAPPY], (), frame(0.0))
    assert shown.scores == pytest.approx(HAPPY.scores)


def test_settled_readings_carry_what_was_settled() -> None:
    settle = settler()
    watch(settle, for_seconds(2, HAPPY))
    (shown,), events = settle.update([SAD], (), frame(2))
    assert events == ()
    assert (shown.label, shown.group, shown.face, shown.track) == ("happy", "positive", SAD.face, 1)
    assert shown.confidence == shown.scores["happy"] and 0.8 < shown.confidence < 0.9
    assert sum(shown.scores.values()) == pytest.approx(1)


def test_each_face_is_settled_by_itself() -> None:
    settle = settler()
    events: list[EmotionEvent] = []
    for number in range(60):
        both = [reading(scores(happy=0.9), 1), reading(scores(sad=0.9), 2)]
        events += settle.update(both, (), frame(number / FPS))[1]
    assert [(each.track, each.label) for each in events] == [(1, "happy"), (2, "sad")]


def test_an_event_says_what_it_knows() -> None:
    settle = settler(dwell_seconds=0.0)
    seen = reading(scores(happy=0.6, neutral=0.2, sad=0.1), box=Box(-20, 30, 60, 130))
    (start,) = settle.update([seen], (), frame(5.0, number=7), {"detect": 14.0, "infer": 6.0})[1]
    assert start.box == pytest.approx((0.0, 0.3, 0.3, 0.7))
    assert start.face_px == 80
    assert [label for label, _ in start.top] == ["happy", "neutral", "sad"]
    assert [share for _, share in start.top] == pytest.approx([0.6, 0.2, 0.1])
    assert (start.group, start.uncertain, start.captured_at, start.frame) == ("positive", False, 1005.0, 7)
    assert start.latency_ms == {"capture": 8.0, "detect": 14.0, "infer": 6.0}


def test_an_end_tells_how_long_the_last_label_held_until_the_face_was_last_seen() -> None:
    settle = settler(dwell_seconds=0.0)
    settle.update([HAPPY], (), frame(1.0))
    settle.update([HAPPY], (), frame(3.5, number=9))
    (end,) = settle.update([], (1,), frame(4.75, number=12))[1]
    assert (end.type, end.label) == ("end", "happy")
    assert end.dwell_ms == pytest.approx(2500)
    assert (end.captured_at, end.frame) == (1004.75, 12)
    assert end.box == pytest.approx((0.1, 0.3, 0.2, 0.4))


def test_a_model_of_eight_labels_settles_on_the_eighth() -> None:
    contempt = reading({label: 0.93 if label == "contempt" else 0.01 for label in LABELS})
    assert told(watch(settler(labels=LABELS), for_seconds(1, contempt))) == [("start", "contempt")]


@pytest.mark.parametrize("among", [FER2013_LABELS, ("happy", "sad")])
def test_a_flickering_model_makes_few_events(among: Sequence[str]) -> None:
    """A minute of a random label each frame; the labels of its readings change some 900 to 1,500 times."""
    chance = random.Random(5)
    noise = [reading(scores(**{chance.choice(among): 0.9})) for _ in range(60 * FPS)]
    assert sum(before.label != after.label for before, after in pairwise(noise)) > 800
    assert len(watch(settler(), noise)) <= 6


def test_a_box_outside_the_frame_has_no_extent() -> None:
    assert normalised(Box(-50, -50, -10, -10), (200, 100)) == (0.0, 0.0, 0.0, 0.0)
    assert normalised(Box(300, 50, 400, 200), (200, 100)) == (1.0, 0.5, 0.0, 0.5)


probabilities = st.lists(st.floats(0, 1), min_size=7, max_size=7).map(
    lambda weights: {
        label: (weight + 1e-9) / (sum(weights) + 7e-9) for label, weight in zip(FER2013_LABELS, weights, strict=True)
    }
)
sure = st.sampled_from(FER2013_LABELS).map(lambda label: scores(**{label: 0.94}))
unread = st.sampled_from(("small", "blurred", "turned"))
seen = st.one_of(probabilities, sure, unread, st.just("missed"))
steps = st.one_of(st.floats(0, 0.5), st.just(1 / 30), st.just(0.0), st.floats(-1, 0), st.floats(10, 1e5))
tables = st.builds(
    config.Events,
    smooth_seconds=st.sampled_from((0.0, 1e-3, 0.4, 5.0)),
    margin=st.sampled_from((0.0, 0.1, 0.9)),
    dwell_seconds=st.sampled_from((0.0, 0.2, 0.6, 3.0)),
)


@settings(max_examples=250, deadline=None)
@given(tables, st.sampled_from((0.0, 0.5, 0.99)), st.lists(st.tuples(seen, seen, steps), max_size=60), st.booleans())
def test_whatever_comes_a_track_starts_changes_and_ends(
    table: config.Events, abstain: float, moments: list[tuple[object, object, float]], closed: bool
) -> None:
    settle = Settler(table, FER2013_LABELS, abstain)
    events: list[EmotionEvent] = []
    shown: list[Reading] = []
    moment = elapsed = 0.0
    clock: dict[int, float] = {}
    for number, (*both, step) in enumerate(moments):
        moment, elapsed = moment + step, elapsed + max(0.0, step)
        clock[number] = elapsed
        readings = [
            reading({}, track, reason=what) if isinstance(what, str) else reading(what, track)  # type: ignore[arg-type]
            for track, what in enumerate(both, start=1)
            if what != "missed"
        ]
        settled, made = settle.update(readings, (), frame(moment, number))
        shown += settled
        events += made
    events += settle.close() if closed else settle.update([], (1, 2), frame(moment, len(moments)))[1]
    for each in shown:
        assert 0 <= each.confidence <= 1 and each.label and math.isfinite(sum(each.scores.values()))
        assert bool(each.reason) == (each.label == UNCERTAIN)
        assert each.label == UNCERTAIN or each.scores[each.label] == each.confidence
    for track in (1, 2):
        assert_well_formed([each for each in events if each.track == track], table.dwell_seconds, clock)


@settings(max_examples=200, deadline=None)
@given(tables, st.sampled_from((0.0, 0.5, 0.99)), st.one_of(probabilities, unread), st.lists(steps, max_size=60))
def test_a_constant_face_makes_one_start_and_one_end_whatever_the_clock_does(
    table: config.Events, abstain: float, what: Mapping[str, float] | str, given_steps: list[float]
) -> None:
    settle, moment = Settler(table, FER2013_LABELS, abstain), 0.0
    kinds: list[str] = []
    same = reading({}, reason=what) if isinstance(what, str) else reading(what)
    for step in (*given_steps, 10.0, 10.0):
        moment += step
        kinds += [each.type for each in settle.update([same], (), frame(moment))[1]]
    assert kinds + [each.type for each in settle.close()] == ["start", "end"]


def assert_well_formed(events: list[EmotionEvent], dwell_seconds: float, clock: Mapping[int, float]) -> None:
    """start (change)* end; consecutive labels differ, and are at least the dwell apart."""
    kinds = [each.type for each in events]
    assert kinds in ([], ["start", *["change"] * (len(events) - 2), "end"])
    for before, after in pairwise(events[:-1]):
        assert before.label != after.label
        apart = clock[after.frame] - clock[before.frame]
        assert apart >= dwell_seconds - 1e-6
        assert after.dwell_ms == pytest.approx(apart * 1000, abs=1e-3)
    for each in events:
        assert 0 <= each.confidence <= 1 and each.dwell_ms >= 0
        assert each.uncertain == (each.label == UNCERTAIN) == bool(each.reason)
        assert all(0 <= share <= 1 for share in (*each.box, *(score for _, score in each.top)))
    if events:
        assert events[-1].label == events[-2].label
