"""Governor: how much work each frame is given, so that pictures stay fresh and the board cool. Pure logic, no clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge import config

EASY = 0.7
"""Below this share of the goal for the age, there is room for more work."""

COOLER_CELSIUS = 5.0
"""So far below the goal for the temperature, there is room for more work."""

TIGHTEN_SECONDS = 2.0
"""A goal must be missed for so long before less work is done: a single slow second is nothing."""

LOOSEN_SECONDS = 15.0
"""All goals must be met with room for so long before more is done; longer, lest it swings."""

GLANCE_FRAMES = 5
"""What the detector finds while nobody is there has all frames looked at, for so many in a row: until then a face is
confirmed, and what is found for longer is a thing that looks like one."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What the pipeline is to do.

    detect_every  faces are searched in every so many frames; in between they are where their motion takes them
    rate_fps      frames a second to take from a camera; none is all of them
    idle          nobody is there
    """

    detect_every: int = 1
    rate_fps: float | None = None
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """What the governor goes by.

    age_ms               95th percentile of the age of the published pictures, of the last stretch
    temperature_celsius  of the board; none if not known
    throttled            what holds the processor back now, as edge.board.throttled names it
    """

    age_ms: float
    temperature_celsius: float | None = None
    throttled: Sequence[str] = ()


class Governor:
    """Decides on the effort; `reason` says why it is as it is.

    Load: while the age, the temperature or the board says that it is too much for TIGHTEN_SECONDS, it goes a step down:
    faces are searched half as often, at last every `longest_interval` frames, and then `slow_fps` frames a second are
    taken; after LOOSEN_SECONDS with room, a step up.
    Idle: after `idle_seconds` without a face, `idle_fps` frames a second are enough, until there may be one.
    """

    def __init__(self, settings: config.Governor) -> None:
        self._settings = settings
        self._steps = steps(settings)
        self._step, self.reason = 0, "all goals are met"
        self._face_at = self._pressed_at = self._eased_at = math.inf
        self._idle, self._glances = False, 0

    @property
    def effort(self) -> Effort:
        """What is to be done now."""
        rests = self._idle and not 0 < self._glances <= GLANCE_FRAMES
        under_load = self._steps[self._step]
        rates = [rate for rate in (under_load.rate_fps, self._settings.idle_fps if rests else None) if rate]
        return replace(under_load, rate_fps=min(rates, default=None), idle=self._idle)

    def see(self, faces: int, now: float, found: int = 0) -> bool:
        """A scene with so many faces was published; whether the effort is another than before.

        found  what the detector saw in it, before it was confirmed to be faces
        """
        before = self.effort
        if faces or math.isinf(self._face_at):
            self._face_at = now
        self._idle = bool(self._settings.idle_seconds) and now - self._face_at >= self._settings.idle_seconds
        self._glances = self._glances + 1 if found else 0
        return self.effort != before

    def weigh(self, load: Load, now: float) -> bool:
        """Once a second or so; whether the effort is another than before."""
        trouble = self._trouble(load)
        self._pressed_at = min(self._pressed_at, now) if trouble else math.inf
        self._eased_at = min(self._eased_at, now) if not trouble and self._has_room(load) else math.inf
        before = self._step
        if now - self._pressed_at >= TIGHTEN_SECONDS:
            self._go(min(before + 1, len(self._steps) - 1), trouble)
        elif now - self._eased_at >= LOOSEN_SECONDS:
            self._go(max(before - 1, 0), "all goals are met")
        return self._step != before

    def _go(self, step: int, reason: str) -> None:
        self._step, self.reason = step, reason
        self._pressed_at = self._eased_at = math.inf  # a step needs its time to show

    def _trouble(self, load: Load) -> str:
        """The goal that is missed, in words; empty if none is."""
        now = [each for each in load.throttled if not each.endswith("-occurred")]
        if load.age_ms > self._settings.max_age_ms:
            return f"age {load.age_ms:.0f} ms is above {self._settings.max_age_ms:g}"
        if (load.temperature_celsius or 0) > self._settings.max_celsius:
            return f"temperature {load.temperature_celsius:.0f} C is above {self._settings.max_celsius:g}"
        return f"the board says {', '.join(now)}" if now else ""

    def _has_room(self, load: Load) -> bool:
        cool = (load.temperature_celsius or 0) <= self._settings.max_celsius - COOLER_CELSIUS
        return cool and load.age_ms <= EASY * self._settings.max_age_ms


def steps(settings: config.Governor) -> Sequence[Effort]:
    """From all work to the least that the settings allow."""
    interval, found = 1, [Effort()]
    while interval < settings.longest_interval:
        interval = min(2 * interval, settings.longest_interval)
        found.append(Effort(interval))
    return [*found, Effort(interval, settings.slow_fps)] if settings.slow_fps else found
