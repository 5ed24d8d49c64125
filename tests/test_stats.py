"""Stats: distinct frames a second, percentiles that are true, and a line that says so."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.scene import Box, Face, Frame, Reading, Scene
from edge.stats import COARSEST_MS, FINEST_MS, Histogram, Rate, Stats, line, percentile

PIXELS = np.zeros((4, 4, 3), np.uint8)
FACE = Face(Box(0, 0, 4, 4), 0.9, (1, 1), (3, 1), (2, 2), (2, 3), (0, 1), (4, 1))
READING = Reading(1, FACE, "happy", 0.9, {"happy": 0.9, "neutral": 0.1})

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)
TIMES_MS = st.lists(st.floats(FINEST_MS, COARSEST_MS), min_size=1, max_size=200)
PERCENT = st.floats(0, 100)


def scene(number, captured_at=0.0, faces=0, **took_ms):
    return Scene(
        Frame(PIXELS, captured_at, captured_at, number, took_ms.pop("capture", 0.0)), (READING,) * faces, took_ms
    )


@given(values=NUMBERS, q=PERCENT)
def test_a_percentile_is_numpys(values, q):
    assert percentile(values, q) == pytest.approx(np.percentile(values, q), rel=1e-12, abs=1e-9)


def test_a_percentile_of_nothing_is_zero():
    assert percentile([], 50) == 0


def test_a_percentile_leaves_its_values_as_they_were():
    values = [3.0, 1.0, 2.0]
    assert percentile(values, 50) == 2
    assert values == [3, 1, 2]


def test_a_rate_divides_the_intervals_by_the_time_that_they_span():
    rate = Rate()
    for number in range(31):
        rate.add(number, 100 + number / 30)
    assert rate.per_second == pytest.approx(30)  # 31 frames in one second


def test_a_frame_shown_again_is_no_other_frame():
    rate = Rate()
    for shown in range(6 * 30 + 1):  # every picture of a camera of 30 frames a second is shown six times
        rate.add(shown // 6, shown / 180)
    assert rate.per_second == pytest.approx(30)


def test_frames_left_out_do_not_count():
    rate = Rate()
    for number in range(0, 31, 3):
        rate.add(number, number / 30)
    assert rate.per_second == pytest.approx(10)


def test_a_rate_needs_two_frames():
    rate = Rate()
    assert rate.per_second == 0
    rate.add(0, 5.0)
    assert rate.per_second == 0
    rate.add(1, 5.0)  # at one time: no division by zero
    assert rate.per_second == 0


def test_no_interval_falls_between_two_windows():
    rate = Rate()
    counts = []
    for number in range(1, 101):
        rate.add(number, number / 20)
        if number % 25 == 0:
            counts.append(rate.per_second)
            rate.start_over()
    assert counts == pytest.approx([20] * 4)


def truth(values, q):
    """The nearest rank: the least value that at least `q` percent do not exceed."""
    return float(np.percentile(values, q, method="inverted_cdf"))


@given(values=TIMES_MS, q=PERCENT)
def test_a_histogram_knows_each_percentile_within_one_percent(values, q):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    wanted = truth(values, q)
    # A rank is a whole number: where rounding decides between two, either is true.
    either = {wanted, truth(values, max(0, q - 1e-9)), truth(values, min(100, q + 1e-9))}
    assert any(histogram.percentile(q) == pytest.approx(each, rel=0.0101) for each in either)


@given(values=TIMES_MS)
def test_a_histograms_ends_are_exact(values):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert histogram.report()["max"] == round(max(values), 2)
    assert min(values) <= histogram.percentile(0) <= histogram.percentile(100) <= max(values)


def test_a_histogram_takes_what_is_out_of_its_range():
    histogram = Histogram()
    for value in (-1.0, 0.0, COARSEST_MS * 10):
        histogram.add(value)
    assert histogram.percentile(0) <= FINEST_MS * 1.02
    assert histogram.percentile(100) >= COARSEST_MS / 1.02
    assert histogram.report()["max"] == COARSEST_MS * 10


def test_a_histogram_of_nothing_reports_zeros():
    assert Histogram().report() == {"p50": 0, "p95": 0, "p99": 0, "max": 0}


def test_a_histogram_does_not_grow():
    histogram = Histogram()
    counters = len(histogram._counts)
    for value in range(5000):
        histogram.add(value)
    assert len(histogram._counts) == counters == 814


def test_a_report_tells_age_steps_rate_losses_and_faces():
    stats = Stats()
    for number in range(11):
        at = number / 10
        stats.add(scene(number, at, faces=2, capture=1.5, detect=20.0), at + 0.05)
    report = stats.report({"stale_frame": 3, "stale_scene": 0})
    assert (report["scenes"], report["fps"], report["faces"]) == (11, 10, 2)
    assert report["age_ms"] == pytest.approx({"p50": 50, "p95": 50, "p99": 50, "max": 50}, rel=0.01)
    assert list(report["steps_ms"]) == ["capture", "detect"]
    assert report["steps_ms"]["capture"]["p95"] == pytest.approx(1.5, rel=0.01)
    assert report["steps_ms"]["detect"]["max"] == 20
    assert report["dropped"] == {"stale_frame": 3, "stale_scene": 0}
    assert json.loads(json.dumps(report)) == report


def test_a_report_is_of_the_time_since_the_last_and_the_summary_of_all():
    stats = Stats()
    for number in range(11):
        stats.add(scene(number, number / 10, faces=1, detect=10.0), number / 10 + 0.01)
    stats.report({"stale_frame": 3})
    for number in range(11, 21):
        stats.add(scene(number, number / 5, classify=1.0), number / 5 + 0.1)
    lately, whole = stats.report({"stale_frame": 5}), stats.summary({"stale_frame": 5})
    assert (lately["scenes"], whole["scenes"]) == (10, 21)
    assert lately["fps"] == pytest.approx(10 / (4.1 - 1.01), abs=0.005)
    assert whole["fps"] == pytest.approx(20 / (4.1 - 0.01), abs=0.005)
    assert (lately["dropped"], whole["dropped"]) == ({"stale_frame": 2}, {"stale_frame": 5})
    assert list(lately["steps_ms"]) == ["capture", "classify"]
    assert list(whole["steps_ms"]) == ["capture", "detect", "classify"]
    assert lately["age_ms"]["max"] == 100
    assert lately["age_ms"]["p50"] == pytest.approx(100, rel=0.01)
    assert whole["age_ms"]["p50"] == pytest.approx(10, rel=0.01)
    assert lately["faces"] == 0


def test_a_report_is_due_as_often_as_asked():
    stats = Stats(every_seconds=10)
    due = [at for at in range(35) if stats.add(scene(at), 100.0 + at)]
    assert due == [10, 20, 30]


def test_a_report_that_came_late_does_not_hurry_the_next():
    stats = Stats(every_seconds=10)
    due = [at for at in (0, 9, 25, 30, 34, 35) if stats.add(scene(at), float(at))]
    assert due == [25, 35]


def test_no_report_is_due_when_none_is_asked_for():
    stats = Stats()
    assert not any(stats.add(scene(at), at * 1e6) for at in range(10))


def test_a_report_of_nothing_is_zeros():
    report = Stats().report({})
    assert (report["scenes"], report["fps"], report["steps_ms"]) == (0, 0, {})
    assert line(report) == "fps=0.0 age_ms p50=0.0 p95=0.0 p99=0.0 dropped=0 faces=0"


def test_the_line_says_what_the_report_does():
    report = {
        "scenes": 300,
        "fps": 29.94,
        "age_ms": {"p50": 7.12, "p95": 9.0, "p99": 12.34, "max": 20.0},
        "steps_ms": {
            "capture": {"p50": 1.1, "p95": 1.5, "p99": 2.0, "max": 3.0},
            "detect": {"p50": 2.5, "p95": 3.1, "p99": 4.0, "max": 5.0},
        },
        "dropped": {"stale_frame": 0, "stale_scene": 0, "unfinished": 0},
        "faces": 1,
    }
    assert line(report) == (
        "fps=29.9 age_ms p50=7.1 p95=9.0 p99=12.3 capture=1.1/1.5/2.0 detect=2.5/3.1/4.0 dropped=0 faces=1"
    )
    report["dropped"] = {"stale_frame": 4, "stale_scene": 0, "unfinished": 1}
    assert line(report).endswith("dropped=stale_frame:4,unfinished:1 faces=1")
