"""The daemon at full speed for five minutes: does anything grow?"""

import pytest

from benchmarks import soak
from benchmarks.soak import Sample, growth


def test_growth_is_that_of_what_follows_the_warm_up():
    """A megabyte in ten minutes, after a warm-up of fifty."""
    samples = [Sample(60.0 * minute, 20_000_000 + 10_000_000 * minute, 3 + minute, 1 + minute) for minute in range(3)]
    samples += [Sample(60.0 * minute, 70_000_000 + 100_000 * minute, 9 + minute % 2, 7) for minute in range(3, 11)]
    found = growth(samples)
    assert found["slope_mb_per_10_minutes"] == pytest.approx(1.0)
    assert (found["resident_mb_at_first"], found["resident_mb_at_last"]) == pytest.approx((70.3, 71.0))
    assert (found["descriptors_span"], found["threads_span"]) == (1, 0)


def test_one_step_is_no_trend_and_many_are():
    """Python's arenas: a megabyte at once, here, there, or every two minutes."""
    for at in (95, 150, 230, 280):
        once = [Sample(float(second), 80_000_000 + 1_000_000 * (second > at), 9, 7) for second in range(301)]
        assert growth(once)["slope_mb_per_10_minutes"] < 1
    often = [Sample(float(second), 80_000_000 + 1_000_000 * (second // 120), 9, 7) for second in range(3601)[::15]]
    assert growth(often)["slope_mb_per_10_minutes"] == pytest.approx(5, abs=0.1)


@pytest.mark.long
@pytest.mark.timeout(420)
def test_after_its_warm_up_the_daemon_does_not_grow():
    (only,) = soak.run(300, tell=lambda _: None)["rounds"]
    assert only["growth"]["slope_mb_per_10_minutes"] < 1
    assert only["growth"]["descriptors_span"] <= 3 and only["growth"]["threads_span"] <= 1
    assert len(only) >= soak.WINDOWS
