"""Stats: how fast the pipeline runs and how old its pictures are, in a report from time to time and one of it all."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edge.scene import Scene

PERCENTILES = (50, 95, 99)
"""Those in every report."""

FINEST_MS, COARSEST_MS, STEP = 0.01, 100_000.0, 1.02
"""A Histogram tells values between these, milliseconds, in steps of two percent: 814 counters."""

Report = dict[str, Any]


def percentile(values: Sequence[float], q: float) -> float:
    """The value that `q` percent (0 to 100) of `values` do not exceed, interpolated between neighbours; 0 for none.

    Definition 7 of Hyndman and Fan 1996, "Sample quantiles in statistical packages", which is numpy's.
    """
    if not values:
        return 0.0
    ranked = sorted(values)
    place = (len(ranked) - 1) * q / 100
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


class Rate:
    """Distinct frames a second: the intervals between frames, one fewer than frames, over the time they span.

    A frame number that comes again counts nothing: showing one picture twice makes no camera faster.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._intervals = 0
        self._began = self._ended = 0.0

    def add(self, number: int, at: float) -> None:
        """Frame `number` came at `at`, seconds; neither falls."""
        if self._number is None:
            self._began = at
        elif number != self._number:
            self._intervals += 1
        else:
            return
        self._number, self._ended = number, at

    @property
    def per_second(self) -> float:
        """0 until there are two frames."""
        spent = self._ended - self._began
        return self._intervals / spent if spent > 0 else 0.0

    def start_over(self) -> None:
        """A new window begins with the last frame, so that no interval falls between two windows."""
        self._began, self._intervals = self._ended, 0


class Histogram:
    """How often each duration came, within one percent, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._counts = [0] * (_bin(COARSEST_MS) + 1)
        self._total = 0
        self._least, self._most = math.inf, 0.0

    def add(self, value_ms: float) -> None:
        """One more; what is out of range counts at its end."""
        self._counts[_bin(value_ms)] += 1
        self._total += 1
        self._least, self._most = min(self._least, value_ms), max(self._most, value_ms)

    def percentile(self, q: float) -> float:
        """The value that `q` percent (0 to 100) do not exceed, by nearest rank; 0 for none."""
        wanted = max(1, math.ceil(self._total * q / 100))
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                middle: float = FINEST_MS * STEP ** (place + 0.5)
                return min(max(middle, self._least), self._most)
        return 0.0

    def report(self) -> Report:
        """The percentiles and the largest value, milliseconds."""
        return {f"p{q}": round(self.percentile(q), 2) for q in PERCENTILES} | {"max": round(self._most, 2)}


def _bin(value_ms: float) -> int:
    return int(math.log(min(max(value_ms, FINEST_MS), COARSEST_MS) / FINEST_MS, STEP))


class Window:
    """What was measured in a stretch of time."""

    def __init__(self, rate: Rate, dropped: Mapping[str, int]) -> None:
        self._rate, self._dropped_before = rate, dict(dropped)
        self._scenes = 0
        self._faces = 0
        self._age = Histogram()
        self._steps: dict[str, Histogram] = {}

    def add(self, scene: Scene, published_at: float) -> None:
        """Take in one scene."""
        self._scenes += 1
        self._faces = len(scene.readings)
        self._rate.add(scene.frame.number, published_at)
        self._age.add((published_at - scene.frame.captured_at) * 1000)
        for step, took_ms in (("capture", scene.frame.took_ms), *scene.took_ms.items()):
            if step not in self._steps:
                self._steps[step] = Histogram()
            self._steps[step].add(took_ms)

    def report(self, dropped: Mapping[str, int]) -> Report:
        """What Stats.report says, of this window."""
        return {
            "scenes": self._scenes,
            "fps": round(self._rate.per_second, 2),
            "age_ms": self._age.report(),
            "steps_ms": {step: times.report() for step, times in self._steps.items()},
            "dropped": {why: count - self._dropped_before.get(why, 0) for why, count in dropped.items()},
            "faces": self._faces,
        }


class Stats:
    """Takes each scene and when it was published; reports the time since the last report, and the whole run.

    every_seconds  how often a report is due; 0 is never
    """

    def __init__(self, every_seconds: float = 0.0) -> None:
        self._every_seconds = every_seconds
        self._reported_at: float | None = None
        self._rate = Rate()
        self._lately, self._whole = Window(self._rate, {}), Window(Rate(), {})

    def add(self, scene: Scene, published_at: float) -> bool:
        """Take in a scene that was published at a time.monotonic(), seconds; true when a report is due."""
        self._lately.add(scene, published_at)
        self._whole.add(scene, published_at)
        if self._reported_at is None:
            self._reported_at = published_at
        if not self._every_seconds or published_at - self._reported_at < self._every_seconds:
            return False
        self._reported_at = published_at
        return True

    def report(self, dropped: Mapping[str, int]) -> Report:
        """Of the time since the last report, for JSON; `dropped` is the run's count so far, by reason.

        scenes    how many were published
        fps       distinct frames a second
        age_ms    p50, p95, p99, max of publishing less capture
        steps_ms  the same of each step: "capture" (reading and decoding) and those of Scene.took_ms
        dropped   frames lost, by reason
        faces     in the last scene
        """
        report = self._lately.report(dropped)
        self._rate.start_over()
        self._lately = Window(self._rate, dropped)
        return report

    def summary(self, dropped: Mapping[str, int]) -> Report:
        """Of the whole run, as `report` has it."""
        return self._whole.report(dropped)


def line(report: Report) -> str:
    """A report on one line: a step's three numbers are its p50/p95/p99, milliseconds.

    fps=29.9 age_ms p50=7.1 p95=9.0 p99=12.3 capture=1.1/1.5/2.0 detect=2.5/3.1/4.0 dropped=0 faces=1
    """
    names = [f"p{q}" for q in PERCENTILES]
    age = " ".join(f"{name}={report['age_ms'][name]:.1f}" for name in names)
    steps = [f"{step}={'/'.join(f'{ms[name]:.1f}' for name in names)}" for step, ms in report["steps_ms"].items()]
    lost = ",".join(f"{why}:{count}" for why, count in report["dropped"].items() if count)
    words = [f"fps={report['fps']:.1f}", f"age_ms {age}", *steps, f"dropped={lost or 0}", f"faces={report['faces']}"]
    return " ".join(words)
