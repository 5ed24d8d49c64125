"""Settler: turns the many readings of a track into one steady label, and its changes into EmotionEvents."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from edge import config
from edge.contract import GROUP_OF, UNCERTAIN, likeliest
from edge.scene import Box, Frame, Reading

READ_SHARE = 0.5
"""A face counts as read while this much of its smoothed past was readable, 0 to 1: the greater part."""


NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EmotionEvent:
    """A track's label began, changed or ended.

    type         "start": the first label; "change": another one; "end": the face has gone, or the run ends
    track        number of the face, from 1
    label        the settled label, or "uncertain"; of an end, the last one
    confidence   smoothed probability of the label, 0 to 1; if uncertain, of the likeliest one (0 if not read)
    reason       why it is uncertain: "small", "blurred", "turned" or "unsure"; else empty
    top          the three likeliest labels with their smoothed probabilities; empty if the face was not read
    box          x, y, width, height of the face where it was last seen, shares of the frame, cut to [0, 1]
    face_px      width of the face, pixels
    dwell_ms     how long the label *before* held: of a change, since the event that began it; of an end, the last
                 label, from its event until the face was last seen; of a start, 0. Milliseconds
    latency_ms   what the steps took for the frame that led to it, milliseconds; empty at the end of the run
    captured_at  when that frame was captured, seconds of time.monotonic(); at the end of the run, the last frame
    frame        that frame's number
    """

    type: Literal["start", "change", "end"]
    track: int
    label: str
    confidence: float
    reason: str
    top: tuple[tuple[str, float], ...]
    box: tuple[float, float, float, float]
    face_px: float
    dwell_ms: float
    latency_ms: Mapping[str, float]
    captured_at: float
    frame: int

    @property
    def group(self) -> str:
        """positive, neutral, negative, or uncertain."""
        return GROUP_OF.get(self.label, UNCERTAIN)

    @property
    def uncertain(self) -> bool:
        return self.label == UNCERTAIN


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """The camera was lost, or is back.

    type         "camera_lost" or "camera_back"
    camera       its name
    reason       what was wrong, for people, one line; of camera_back, what had been
    dwell_ms     how long the state *before* held, as far as it was seen: of camera_lost, from the first frame to the
                 last good one; of camera_back, from that to the first one again. Milliseconds
    captured_at  when that frame, the last or the first, was captured, seconds of time.monotonic(); of a camera that
                 never gave one, when it was asked to
    """

    type: Literal["camera_lost", "camera_back"]
    camera: str
    reason: str
    dwell_ms: float
    captured_at: float


class _Expression:
    """What one track's face has shown: the smoothed scores, the settled label, and the rival that leads it.

    `share` is how much of the smoothed past was readable; `scores` is the mean over that part.
    """

    def __init__(self, track: int, now: float) -> None:
        self.track, self.first_at, self.seen_at = track, now, -math.inf
        self.label = self.rival = ""
        self.began_at = self.rival_at = now
        self.share = 0.0
        self.scores: dict[str, float] = {}
        self.reason = ""
        self.box, self.frame_size = Box(0, 0, 0, 0), (1, 1)

    @property
    def read(self) -> bool:
        return self.share >= READ_SHARE

    def see(self, reading: Reading, labels: Iterable[str], now: float, smooth_seconds: float) -> None:
        """Exponential mean: the new reading has the weight 1 - exp(-step / smooth_seconds); the first one has all."""
        step = now - self.seen_at
        weight = -math.expm1(-step / smooth_seconds) if smooth_seconds > 0 else 1.0
        self.share *= 1 - weight
        self.seen_at, self.box = now, reading.face.box
        if not reading.scores:
            self.reason = reading.reason
        elif weight > 0:
            self.share += weight
            pull = weight / self.share
            self.scores = {label: _moved(self.scores.get(label, 0.0), reading.scores[label], pull) for label in labels}

    def confidence_of(self, label: str) -> float:
        if label in self.scores:
            return self.scores[label]
        return max(self.scores.values()) if self.read else 0.0

    def scores_for(self, label: str) -> dict[str, float]:
        """Empty when the label is "uncertain" because the face was not read: the old scores say nothing now."""
        return self.scores if self.read or label != UNCERTAIN else {}

    def reason_for(self, label: str) -> str:
        if label != UNCERTAIN:
            return ""
        return "unsure" if self.read else self.reason


class Settler:
    """Keeps a label from flickering; pure logic on the frames' own time (`moment`).

    1. Smoothing: an exponential mean of each track's scores with the time constant `smooth_seconds`. A face that was
       not read (no scores) weighs as such: once less than half of the smoothed past was readable, the outcome that
       leads is "uncertain", so a short blur changes nothing and a face blurred in most frames is not guessed at.
    2. Abstaining: no label leads with a mean below `abstain`; "uncertain" does.
    3. Hysteresis: a label must lead the settled one by `margin`. A settled label below `abstain` has no such defence,
       and "uncertain" is left for a label that is above `abstain` by `margin` (at most half the way to 1).
    4. Dwell: what leads must have led for `dwell_seconds` without a break; so changes of a track are at least that
       far apart.

    The start event follows the same dwell, but after twice `dwell_seconds` it takes whatever leads, so that no face
    that stays goes untold. A face that leaves before its start makes no event. Readings with track 0 (not confirmed)
    pass through unchanged. A clock that stalls or goes back counts as no time gone by.
    """

    def __init__(self, settings: config.Events, labels: Sequence[str], abstain: float) -> None:
        """`labels` are the model's; `abstain` (0 to 1) is the model card's or the one set in its place."""
        self.adopt(settings, labels, abstain)
        self._expressions: dict[int, _Expression] = {}
        self._moment, self._now = math.inf, 0.0  # _now grows with _moment, but never goes back
        self._captured_at, self._frame, self._took_ms = 0.0, 0, NOTHING

    def update(
        self, readings: Sequence[Reading], ended: Sequence[int], frame: Frame, took_ms: Mapping[str, float] = NOTHING
    ) -> tuple[tuple[Reading, ...], tuple[EmotionEvent, ...]]:
        """One frame's readings with settled labels, and the events they make.

        `ended` are the tracks that the Tracker says have ended. `took_ms` is what the frame's steps took; with the
        frame's own, as "capture", it goes into the events' `latency_ms`.

        A settled reading carries the settled label, its smoothed probability, the smoothed scores and the reason.
        Before a track's start event, the label is the one that leads.
        """
        self._now += max(0.0, frame.moment - self._moment)
        self._moment = frame.moment
        self._captured_at, self._frame = frame.captured_at, frame.number
        self._took_ms = {"capture": frame.took_ms, **took_ms}
        height, width = frame.pixels.shape[:2]
        events = [self._end(track) for track in ended]
        settled = []
        for reading in readings:
            if not reading.track:
                settled.append(reading)
                continue
            expression = self._see(reading, (width, height))
            events.append(self._settle(expression))
            settled.append(_settled(reading, expression))
        return tuple(settled), tuple(event for event in events if event)

    def adopt(self, settings: config.Events, labels: Sequence[str], abstain: float) -> None:
        """Go on by other settings or another model's labels; what was smoothed and settled stays."""
        self._settings, self._labels, self._abstain = settings, tuple(labels), abstain

    def close(self) -> tuple[EmotionEvent, ...]:
        """The end events of all tracks that have started; a second call has none."""
        self._took_ms = NOTHING
        events = [self._end(track) for track in sorted(self._expressions)]
        return tuple(event for event in events if event)

    def _see(self, reading: Reading, frame_size: tuple[int, int]) -> _Expression:
        expression = self._expressions.get(reading.track)
        if expression is None:
            expression = self._expressions[reading.track] = _Expression(reading.track, self._now)
        expression.see(reading, self._labels, self._now, self._settings.smooth_seconds)
        expression.frame_size = frame_size
        return expression

    def _leader(self, expression: _Expression) -> str:
        """The outcome that the settled one must give way to, or the settled one itself."""
        if not expression.read:
            return UNCERTAIN
        scores, present, margin = expression.scores, expression.label, self._settings.margin
        best = max(scores, key=lambda label: scores[label])
        if present in scores and scores[present] >= self._abstain and scores[best] < scores[present] + margin:
            return present
        bar = self._abstain
        if present == UNCERTAIN:
            bar = min(bar + margin, (bar + 1) / 2)
        return best if scores[best] >= bar else UNCERTAIN

    def _settle(self, expression: _Expression) -> EmotionEvent | None:
        leader, dwell = self._leader(expression), self._settings.dwell_seconds
        if leader == expression.label:
            expression.rival = ""
            return None
        if leader != expression.rival:
            expression.rival, expression.rival_at = leader, self._now
        overdue = not expression.label and self._now - expression.first_at >= 2 * dwell
        if self._now - expression.rival_at < dwell and not overdue:
            return None
        first, held_seconds = not expression.label, self._now - expression.began_at
        expression.label, expression.rival, expression.began_at = leader, "", self._now
        return self._event("start", expression, 0.0) if first else self._event("change", expression, held_seconds)

    def _end(self, track: int) -> EmotionEvent | None:
        expression = self._expressions.pop(track, None)
        if expression is None or not expression.label:
            return None
        return self._event("end", expression, expression.seen_at - expression.began_at)

    def _event(
        self, kind: Literal["start", "change", "end"], expression: _Expression, held_seconds: float
    ) -> EmotionEvent:
        scores = expression.scores_for(expression.label)
        return EmotionEvent(
            type=kind,
            track=expression.track,
            label=expression.label,
            confidence=expression.confidence_of(expression.label),
            reason=expression.reason_for(expression.label),
            top=likeliest(scores),
            box=normalised(expression.box, expression.frame_size),
            face_px=expression.box.width,
            dwell_ms=held_seconds * 1000,
            latency_ms=self._took_ms,
            captured_at=self._captured_at,
            frame=self._frame,
        )


def _settled(reading: Reading, expression: _Expression) -> Reading:
    label = expression.label or expression.rival
    return Reading(
        track=reading.track,
        face=reading.face,
        label=label,
        confidence=expression.confidence_of(label),
        scores=expression.scores_for(label),
        reason=expression.reason_for(label),
    )


def _moved(old: float, new: float, pull: float) -> float:
    """From old to new by the share `pull`; in this form, what is steady stays the same to the last bit."""
    return min(1.0, max(0.0, old + pull * (new - old)))


def normalised(box: Box, frame_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """x, y, width, height as shares of a frame of (width, height) pixels; what lies outside is cut off."""
    width, height = frame_size
    left, right = _share(box.left, width), _share(box.right, width)
    top, bottom = _share(box.top, height), _share(box.bottom, height)
    return left, top, max(0.0, right - left), max(0.0, bottom - top)


def _share(pixels: float, of: int) -> float:
    return min(1.0, max(0.0, pixels / of))
