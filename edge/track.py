"""Tracker: gives the same face the same number over time."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge import config
from edge.scene import Box, Face

COAST_SECONDS = 0.5
"""A face out of sight is thought to go on at its speed for so long, then to stand still: heads do not fly on."""

HASTE = 2.5
"""How fast the second search widens the boxes: shares of the face's size a second, on every edge."""

WIDEST = 0.5
"""The most that the second search widens a box by, share of its size, on every edge: then boxes that touch overlap by
a third, and a face next to someone (heads are hardly ever closer than one width) is still out of reach."""

LOOKS = 2
"""A track of lower scores is confirmed when so many closer looks in a row found it again, and ends when they missed."""

LOOK_SECONDS = 1.0
"""How often a confirmed track of lower scores is looked at."""

BID_STEP = 0.01
"""Least raise of a bid, in IoU: the assignment's sum is within this much per face of the best there is."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A face and the track it belongs to.

    track      counts the confirmed faces from 1, never reused in a run; 0 until confirmed
    confirmed  seen in `confirm_frames` frames in a row, and no doubt that it is a face
    """

    track: int
    face: Face
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Tracks:
    """What one frame brought.

    seen   one for each face given, in the same order
    ended  numbers of the confirmed tracks that ended since the last update; each is told once
    """

    seen: tuple[Tracked, ...]
    ended: tuple[int, ...]


class _Motion:
    """Two values that change at a steady rate, seen through noise: a Kalman filter of constant velocity.

    Both have the same covariance, and the gain is a pure number (and one per second), so the values may be in any
    unit. Model: white-noise acceleration in continuous time, exact for a step of any length, as in Bar-Shalom, Li,
    Kirubarajan, "Estimation with Applications to Tracking and Navigation" (2001), chapter 6.

    noise    standard deviation of a measured value
    agility  intensity of the acceleration, unit² / s³: how much the rate wanders
    haste    standard deviation of the rate before it is known, unit / s
    """

    __slots__ = ("agility", "cross", "noise", "rate_variance", "rates", "values", "variance")

    def __init__(self, values: tuple[float, float], *, noise: float, agility: float, haste: float) -> None:
        self.values, self.rates = values, (0.0, 0.0)
        self.noise, self.agility = noise * noise, agility
        self.variance, self.cross, self.rate_variance = self.noise, 0.0, haste * haste

    def after(self, seconds: float) -> tuple[float, float]:
        return self.values[0] + self.rates[0] * seconds, self.values[1] + self.rates[1] * seconds

    def correct(self, measured: tuple[float, float], seconds: float) -> None:
        """Take in what was measured `seconds` (0 or more) after the last time."""
        spread, agility = self.rate_variance, self.agility
        variance = self.variance + seconds * (2 * self.cross + seconds * (spread + agility * seconds / 3))
        cross = self.cross + seconds * (spread + agility * seconds / 2)
        spread += agility * seconds
        gain, turn = variance / (variance + self.noise), cross / (variance + self.noise)
        first, second = self.after(seconds)
        errors = measured[0] - first, measured[1] - second
        self.values = first + gain * errors[0], second + gain * errors[1]
        self.rates = self.rates[0] + turn * errors[0], self.rates[1] + turn * errors[1]
        self.variance, self.cross = (1 - gain) * variance, (1 - gain) * cross
        self.rate_variance = spread - turn * cross


def _place(box: Box) -> tuple[float, float]:
    """Centre, pixels."""
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def _size(box: Box) -> tuple[float, float]:
    """Logarithms of width and height, so that a predicted size is never negative; a side has at least one pixel."""
    return math.log(max(1.0, box.width)), math.log(max(1.0, box.height))


class _Track:
    """One face over time: where it was seen (`box`), and where it should be now (`predicted`)."""

    __slots__ = (
        "box",
        "looked_at",
        "looks",
        "number",
        "numbered_at",
        "place",
        "predicted",
        "seen_at",
        "sights",
        "size",
        "sure",
    )

    def __init__(self, box: Box, now: float) -> None:
        # Units: widths of a face and logarithms of size. A detector's box jitters by a few hundredths; a head starts
        # to move at up to 3 widths (half a metre) a second, while its size seldom doubles in less than one.
        self.place = _Motion(_place(box), noise=0.03, agility=5.0, haste=3.0)
        self.size = _Motion(_size(box), noise=0.05, agility=0.5, haste=1.0)
        self.box = self.predicted = box
        self.seen_at, self.sights, self.number, self.numbered_at = now, 1, 0, now
        self.sure, self.looks, self.looked_at = False, 0, now  # looks: that found it in a row; less than 0, that missed

    def see(self, box: Box, now: float) -> None:
        seconds = now - self.seen_at
        self.place.correct(_place(box), seconds)
        self.size.correct(_size(box), seconds)
        self.box, self.seen_at = box, now
        self.sights += 1

    def look(self, found: bool, now: float) -> None:
        self.looks = max(self.looks, 0) + 1 if found else min(self.looks, 0) - 1
        self.looked_at = now

    def predict(self, now: float) -> None:
        seconds = min(now - self.seen_at, COAST_SECONDS)
        x, y = self.place.after(seconds)
        log_width, log_height = self.size.after(seconds)
        half_width, half_height = math.exp(log_width) / 2, math.exp(log_height) / 2
        self.predicted = Box(x - half_width, y - half_height, x + half_width, y + half_height)


class Tracker:
    """Follows faces from frame to frame; pure Python, a few microseconds for each pair of face and track.

    A face belongs to the track whose predicted box it overlaps by `min_iou`, such that the sum of overlaps is the
    greatest (not greedily: when a row of faces starts to move at 5 FPS, each can be nearest to its neighbour's old
    place). What is left is searched once more with both boxes widened by the time gone by, which finds a face that
    sprang to another place between two slow frames: Yang et al., "Hard to Track Objects with Irregular Motions and
    Similar Appearances? Make It Easier by Buffering the Matching Space" (WACV 2023).

    A track is confirmed by `confirm_frames` frames in a row, and only then takes a number; until then one miss ends
    it. If the detector was never sure of it, closer looks must find it again, too, and go on to do so. A confirmed one
    ends when it was not seen for more than `lost_seconds`, so frames further apart than that never make a track that
    lasts; one that stays takes a new number after `longest_seconds`. A clock that stalls or goes back counts as no
    time gone by.
    """

    def __init__(self, settings: config.Track) -> None:
        self._settings = settings
        self._tracks: list[_Track] = []
        self._numbers = 0
        self._at = math.inf
        self._now = 0.0  # grows with `at`, but never goes back

    def update(self, faces: Sequence[Face], at: float, is_face: Callable[[Face], bool] = lambda _: True) -> Tracks:
        """The faces of one frame, `at` its moment in seconds; a frame without faces is an update, too.

        is_face  takes a closer look at one of them
        """
        self._now += max(0.0, at - self._at)
        self._at = at
        ended = self._end()
        for track in self._tracks:
            track.predict(self._now)
        owners = self._match([face.box for face in faces])
        present = [self._see(face, owners.get(index), is_face) for index, face in enumerate(faces)]
        missed = set(self._tracks).difference(present)
        self._tracks = present + [track for track in self._tracks if track in missed and track.number]
        seen = (Tracked(track.number, face, track.number > 0) for track, face in zip(present, faces, strict=True))
        return Tracks(tuple(seen), ended)

    def coast(self, at: float) -> tuple[tuple[int, Box], ...]:
        """Number and predicted box of each confirmed face that was in the last update, at a later moment, seconds."""
        now = self._now + max(0.0, at - self._at)
        seen = [track for track in self._tracks if track.number and track.seen_at == self._now]
        for track in seen:
            track.predict(now)
        return tuple((track.number, track.predicted) for track in seen)

    def forget(self) -> None:
        """Drop all tracks without a word; what is seen next is new."""
        self._tracks = []

    def adopt(self, settings: config.Track) -> None:
        """Go on by other settings."""
        self._settings = settings

    def _end(self) -> tuple[int, ...]:
        """Forget the tracks out of sight for too long, and those that are no faces; the numbers that end, theirs and
        those borne for too long."""
        lost = [track for track in self._tracks if self._is_lost(track)]
        self._tracks = [track for track in self._tracks if track not in lost]
        ended = [track.number for track in lost if track.number]
        for track in self._tracks:
            if track.number and self._now - track.numbered_at > self._settings.longest_seconds:
                ended.append(track.number)
                track.number = 0  # it takes the next one when it is seen
        return tuple(sorted(ended))

    def _is_lost(self, track: _Track) -> bool:
        return self._now - track.seen_at > self._settings.lost_seconds or (track.number > 0 and track.looks <= -LOOKS)

    def _see(self, face: Face, track: _Track | None, is_face: Callable[[Face], bool]) -> _Track:
        if track is None:
            track = _Track(face.box, self._now)
        else:
            track.see(face.box, self._now)
        track.sure = track.sure or face.is_sure
        if not track.sure and self._is_doubtful(track):
            track.look(is_face(face), self._now)
        if not track.number and track.sights >= self._settings.confirm_frames and (track.sure or track.looks >= LOOKS):
            self._numbers += 1
            track.number, track.numbered_at = self._numbers, self._now
        return track

    def _is_doubtful(self, track: _Track) -> bool:
        """Whether it is time for a closer look: just before a track is confirmed, and from time to time later."""
        if track.number:
            return self._now - track.looked_at >= LOOK_SECONDS
        return track.sights > self._settings.confirm_frames - LOOKS

    def _match(self, boxes: Sequence[Box]) -> dict[int, _Track]:
        """The track of each box (by index) that has one."""
        owners: dict[int, _Track] = {}
        for overlap in (_overlap, self._wide_overlap):
            free = [track for track in self._tracks if track not in owners.values()]
            overlaps = {
                index: {rank: overlap(box, track) for rank, track in enumerate(free)}
                for index, box in enumerate(boxes)
                if index not in owners
            }
            if free and overlaps:
                owners |= {index: free[rank] for index, rank in assign(overlaps, self._settings.min_iou).items()}
        return owners

    def _wide_overlap(self, box: Box, track: _Track) -> float:
        """With the place predicted or the place last seen (it may have stopped there), all widened."""
        share = min(WIDEST, HASTE * (self._now - track.seen_at))
        wide = _widened(box, share)
        return max(wide.iou(_widened(track.predicted, share)), wide.iou(_widened(track.box, share)))


def _overlap(box: Box, track: _Track) -> float:
    return box.iou(track.predicted)


def _widened(box: Box, share: float) -> Box:
    x, y = share * box.width, share * box.height
    return Box(box.left - x, box.top - y, box.right + x, box.bottom + y)


def assign(overlaps: Mapping[int, Mapping[int, float]], least: float) -> dict[int, int]:
    """Faces to tracks, one each, so that the sum of overlaps (of `least` or more) is the greatest, up to BID_STEP each.

    An auction: each face bids for the track worth most to it (overlap minus price) as much as it can without
    regretting it; the outbid one bids again. D. P. Bertsekas, "The auction algorithm: a distributed relaxation method
    for the assignment problem", Annals of Operations Research 14 (1988). Without rivals it is one bid for each face.
    """
    prices: dict[int, float] = {}
    owners: dict[int, int] = {}
    bidders = sorted(overlaps, reverse=True)
    while bidders:
        face = bidders.pop()
        worth = [(value - prices.get(track, 0.0), track) for track, value in overlaps[face].items() if value >= least]
        gains = sorted(((gain, track) for gain, track in worth if gain > 0), reverse=True)
        if not gains:
            continue
        best, track = gains[0]
        prices[track] = prices.get(track, 0.0) + best - (gains[1][0] if gains[1:] else 0.0) + BID_STEP
        if track in owners:
            bidders.append(owners[track])
        owners[track] = face
    return {face: track for track, face in owners.items()}
