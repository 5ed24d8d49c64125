"""The Tracker: one number for one face, whatever the detector, the frame rate and the clock do."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import config
from edge.scene import Box, Face
from edge.track import BID_STEP, Tracker, Tracks, assign


def face(x: float, y: float = 240.0, side: float = 100.0, score: float = 0.9) -> Face:
    """A square face about the point x, y."""
    half, eye = side / 2, side / 5
    return Face(
        Box(x - half, y - half, x + half, y + half),
        score=score,
        right_eye=(x - eye, y - eye),
        left_eye=(x + eye, y - eye),
        nose=(x, y),
        mouth=(x, y + eye),
        right_ear=(x - 2 * eye, y - eye),
        left_ear=(x + 2 * eye, y - eye),
    )


def shaken(given: Face, chance: random.Random, share: float = 0.02) -> Face:
    """The face as a detector would jitter it."""
    box, side = given.box, given.box.width
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return face(
        x + chance.gauss(0, share) * side, y + chance.gauss(0, share) * side, side * (1 + chance.gauss(0, share))
    )


def numbers(tracks: Tracks) -> list[int]:
    return [each.track for each in tracks.seen]


def tracker(**given: float) -> Tracker:
    return Tracker(config.Track(**given))  # type: ignore[arg-type]


def settled(tracker: Tracker, *faces: Face, fps: float = 30.0) -> float:
    """Show the faces until they have numbers; the time of the next frame."""
    for frame in range(5):
        tracks = tracker.update(faces, frame / fps)
    assert numbers(tracks) == list(range(1, len(faces) + 1))
    return 5 / fps


def test_a_face_gets_its_number_in_the_third_frame_and_keeps_it() -> None:
    follow = tracker(confirm_frames=3)
    seen = [follow.update([face(100)], frame / 30).seen[0] for frame in range(6)]
    assert [each.track for each in seen] == [0, 0, 1, 1, 1, 1]
    assert [each.confirmed for each in seen] == [False, False, True, True, True, True]


def test_one_frame_is_enough_where_the_settings_say_so() -> None:
    assert numbers(tracker(confirm_frames=1).update([face(100), face(400)], 0.0)) == [1, 2]


class Looks:
    """Closer looks that answer as told, the last answer for ever."""

    def __init__(self, *answers: bool) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, _: Face) -> bool:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_a_face_that_the_detector_is_sure_of_is_not_looked_at_again() -> None:
    follow, look = tracker(), Looks(False)
    for frame in range(90):
        tracks = follow.update([face(100, score=0.9 if frame == 1 else 0.5)], frame / 30, look)
    assert (numbers(tracks), look.asked) == ([1], 0)


def test_a_doubtful_face_that_a_closer_look_finds_again_is_as_quick_as_another() -> None:
    follow, look = tracker(confirm_frames=3), Looks(True)
    assert [numbers(follow.update([face(100, score=0.6)], frame / 30, look))[0] for frame in range(4)] == [0, 0, 1, 1]
    assert look.asked == 2


def test_what_closer_looks_do_not_find_again_never_takes_a_number() -> None:
    follow = tracker()
    never, by_turns = Looks(False), Looks(*[True, False] * 50)
    for frame in range(90):
        assert numbers(follow.update([face(100, score=0.84)], frame / 30, never)) == [0]
    for frame in range(90, 180):
        assert numbers(follow.update([face(100, score=0.84)], frame / 30, by_turns)) == [0]


def test_a_doubtful_face_is_looked_at_each_second_and_ends_when_it_was_missed_twice() -> None:
    follow, look = tracker(), Looks(True, True, False, True, False, False)
    ended = [follow.update([face(100, score=0.6)], frame / 10, look).ended for frame in range(50)]
    assert [frame for frame, numbers in enumerate(ended) if numbers] == [43]  # after the last of four looks
    assert ended[43] == (1,)


def test_a_detector_that_becomes_sure_ends_the_doubts() -> None:
    follow, look = tracker(), Looks(True, True, False)
    for frame in range(300):
        tracks = follow.update([face(100, score=0.9 if frame == 15 else 0.6)], frame / 10, look)
    assert (numbers(tracks), look.asked) == ([1], 3)


def test_a_frame_without_faces_is_no_trouble() -> None:
    assert tracker().update([], 0.0) == Tracks((), ())


def test_a_detector_that_flickers_takes_no_numbers() -> None:
    follow = tracker()
    for frame in range(50):
        flicker = [] if frame % 3 == 2 else [face(500, 100, 40)]
        tracks = follow.update([face(100), *flicker], frame / 30)
    assert numbers(tracks)[0] == 1
    for frame in range(50, 53):
        tracks = follow.update([face(100), face(300)], frame / 30)
    assert numbers(tracks) == [1, 2]


def test_an_unconfirmed_track_is_never_told_as_ended() -> None:
    follow = tracker()
    follow.update([face(100)], 0.0)
    assert all(follow.update([], at).ended == () for at in (0.1, 1.0, 5.0))


def test_a_lost_face_ends_after_its_time_and_is_told_once() -> None:
    follow = tracker(lost_seconds=1.0)
    last = settled(follow, face(100), fps=32) - 1 / 32
    ended = [follow.update([], last + missed / 4).ended for missed in range(1, 8)]
    assert ended == [(), (), (), (), (1,), (), ()]


def test_a_face_that_comes_back_in_time_keeps_its_number_and_later_gets_a_new_one() -> None:
    follow = tracker(lost_seconds=1.0)
    at = settled(follow, face(100))
    assert numbers(follow.update([face(103)], at + 0.8)) == [1]
    assert follow.update([], at + 2.0).ended == (1,)
    assert [numbers(follow.update([face(103)], at + 2 + frame / 30))[0] for frame in range(3)] == [0, 0, 2]


def test_a_gap_longer_than_the_lost_time_ends_the_track_though_the_face_is_there_again() -> None:
    follow = tracker(lost_seconds=1.0)
    at = settled(follow, face(100))
    tracks = follow.update([face(100)], at + 3)
    assert tracks.ended == (1,) and numbers(tracks) == [0]


@pytest.mark.parametrize("fps", [8, 15, 30])
@pytest.mark.parametrize("hidden", [False, True])
def test_faces_that_cross_keep_their_numbers(fps: int, hidden: bool) -> None:
    """At two widths a second each; `hidden`: while they overlap by half, the detector finds the front one only."""
    follow, chance = tracker(), random.Random(fps)
    found: list[tuple[int, int]] = []
    for frame in range(3 * fps):
        step = 160 / fps * frame
        front, back = face(80 + step, 250, 80), face(560 - step, 225, 70)
        both = not (hidden and front.box.iou(back.box) > 0.3)
        given = [shaken(each, chance) for each in ((front, back) if both else (front,))]
        tracks = follow.update(given, frame / fps)
        if both:
            found.append((tracks.seen[0].track, tracks.seen[1].track))
    assert set(found[3:]) == {(1, 2)}


def test_a_face_that_springs_away_between_two_slow_frames_is_the_same_face() -> None:
    """5 FPS, from rest to four widths a second: 0.8 widths each frame, where the overlap is only 0.11."""
    follow, chance = tracker(), random.Random(1)
    places = [100.0] * 5 + [100.0 + 80 * step for step in range(1, 7)] + [580.0] * 5
    tracks = [follow.update([shaken(face(x), chance)], frame / 5) for frame, x in enumerate(places)]
    assert {numbers(each)[0] for each in tracks[2:]} == {1}


def test_a_fast_face_is_confirmed_though_it_never_stood_still() -> None:
    follow = tracker()
    assert [numbers(follow.update([face(100 + 80 * frame)], frame / 5))[0] for frame in range(5)] == [0, 0, 1, 1, 1]


def test_a_row_of_faces_that_starts_to_move_keeps_its_numbers() -> None:
    """Each face comes nearer to its neighbour's old place than to its own: choosing the best pair first fails here."""
    follow = tracker()
    row = [face(100 + 150 * place) for place in range(3)]
    at = settled(follow, *row, fps=5)
    moved = [face(100 + 150 * place + 80) for place in range(3)]
    assert numbers(follow.update(moved, at)) == [1, 2, 3]


@pytest.mark.parametrize("growth", [1.15, 1 / 1.15])
def test_a_face_that_comes_nearer_or_goes_away_keeps_its_number(growth: float) -> None:
    """At 10 FPS the side doubles, or halves, in half a second."""
    follow, chance = tracker(), random.Random(2)
    side, found = 150.0, []
    for frame in range(12):
        found += numbers(follow.update([shaken(face(320, 240, side), chance)], frame / 10))
        side *= growth
    assert set(found[2:]) == {1}


def test_ten_faces_in_any_order_keep_their_numbers_for_ten_seconds() -> None:
    follow, chance = tracker(), random.Random(3)
    people = [(90 + 115 * (place % 5), 120 + 200 * (place // 5)) for place in range(10)]
    known: dict[int, int] = {}
    for frame in range(300):
        order = chance.sample(range(10), 10)
        given = [shaken(face(*people[person], 80), chance) for person in order]
        tracks = follow.update(given, frame / 30)
        assert [each.face for each in tracks.seen] == given
        if frame == 2:
            known = dict(zip(order, numbers(tracks), strict=True))
        if frame >= 2:
            assert [known[person] for person in order] == numbers(tracks)
    assert sorted(known.values()) == list(range(1, 11))


def test_an_uneven_frame_rate_does_not_break_the_prediction() -> None:
    follow, chance, at = tracker(), random.Random(4), 0.0
    found = []
    for _ in range(60):
        at += chance.choice((1 / 60, 1 / 30, 0.1, 0.3))
        found += numbers(follow.update([shaken(face(100 + 300 * at), chance)], at))
    assert set(found[2:]) == {1}


def test_a_face_that_stopped_while_hidden_is_found_where_it_was_last() -> None:
    follow = tracker(lost_seconds=1.0)
    for frame in range(30):
        follow.update([face(100 + 10 * frame)], frame / 30)
    assert numbers(follow.update([face(400)], 29 / 30 + 0.8)) == [1]


def test_a_moving_face_is_found_where_it_should_be_after_it_was_hidden() -> None:
    follow = tracker()
    for frame in range(30):
        follow.update([face(100 + 10 * frame)], frame / 30)
    assert numbers(follow.update([face(390 + 135)], 29 / 30 + 0.45)) == [1]


def test_a_face_long_hidden_is_not_thought_to_fly_on() -> None:
    follow = tracker(lost_seconds=1.0)
    for frame in range(30):
        follow.update([face(100 + 10 * frame)], frame / 30)
    assert numbers(follow.update([face(390 + 150)], 29 / 30 + 0.95)) == [1]


def test_a_newcomer_beside_a_lost_face_is_somebody_else() -> None:
    follow = tracker()
    at = settled(follow, face(200))
    assert numbers(follow.update([face(340)], at + 0.3)) == [0]


def test_a_face_that_stays_takes_a_new_number_after_its_time() -> None:
    follow, told = tracker(longest_seconds=2.0), []
    for frame in range(200):
        tracks = follow.update([face(100)], frame / 20)
        told.append((numbers(tracks)[0], tracks.ended))
    assert [number for number, _ in itertools.groupby(told, key=lambda each: each[0])] == [0, 1, 2, 3, 4, 5]
    assert [ended for _, ended in told if ended] == [(1,), (2,), (3,), (4,)]
    assert all(told[at][1] == (told[at - 1][0],) for at in range(1, 200) if 0 < told[at - 1][0] != told[at][0])


def test_between_two_updates_a_face_is_where_its_motion_takes_it() -> None:
    follow = tracker()
    for frame in range(30):
        follow.update([face(100 + 6 * frame), face(500)], frame / 30)
    (first, there), (second, still) = follow.coast(31 / 30)
    assert (first, second) == (1, 2)
    assert there.iou(face(100 + 6 * 31).box) > 0.9 < still.iou(face(500).box)
    follow.update([face(500)], 30 / 30)
    assert [number for number, _ in follow.coast(31 / 30)] == [2]  # the other was not in the last update


def test_forgotten_tracks_end_without_a_word_and_their_numbers_are_not_used_again() -> None:
    follow = tracker()
    settled(follow, face(100))
    follow.forget()
    later = [follow.update([face(100)], 1.0 + frame / 30) for frame in range(3)]
    assert [tracks.ended for tracks in later] == [(), (), ()]
    assert numbers(later[-1]) == [2]


def test_a_clock_that_stalls_or_goes_back_breaks_nothing() -> None:
    follow = tracker(lost_seconds=1.0)
    times = (10.0, 10.0, 10.0, 10.1, 3.0, 3.0, 3.1, 3.2)
    found = [numbers(follow.update([face(100 + place)], at))[0] for place, at in enumerate(times)]
    assert found == [0, 0, 1, 1, 1, 1, 1, 1]
    assert follow.update([], 4.1).ended == ()
    assert follow.update([], 4.3).ended == (1,)


def test_a_face_without_extent_is_followed_too() -> None:
    follow = tracker()
    for frame in range(4):
        tracks = follow.update([face(100, 100, 0.0)], frame / 30)
    assert len(tracks.seen) == 1


boxes = st.builds(face, st.floats(-50, 700), st.floats(-50, 500), st.floats(0, 300))
steps = st.one_of(st.floats(0, 2), st.just(0.0), st.floats(-5, 0), st.floats(100, 1e6))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.lists(boxes, max_size=5), steps), max_size=25), st.integers(1, 3))
def test_whatever_comes_numbers_are_never_shared_nor_reused(
    frames: list[tuple[list[Face], float]], confirm_frames: int
) -> None:
    follow = tracker(confirm_frames=confirm_frames)
    ended: set[int] = set()
    highest, at = 0, 0.0
    for faces, step in frames:
        at += step
        tracks = follow.update(faces, at)
        assert [each.face for each in tracks.seen] == faces
        confirmed = [number for number in numbers(tracks) if number]
        assert len(set(confirmed)) == len(confirmed)
        assert all(each.confirmed == (each.track > 0) for each in tracks.seen)
        assert not ended & set(tracks.ended) and set(tracks.ended) <= set(range(1, highest + 1))
        ended |= set(tracks.ended)
        assert not ended & set(confirmed)
        fresh = sorted(number for number in confirmed if number > highest)
        assert fresh == list(range(highest + 1, highest + 1 + len(fresh)))
        highest += len(fresh)


tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(
            st.sampled_from((0.0, 0.2, 0.3, 0.45, 0.5, 0.9, 1.0)) | st.floats(0, 1), min_size=width, max_size=width
        ),
        min_size=1,
        max_size=4,
    )
)


@settings(max_examples=300, deadline=None)
@given(tables)
def test_the_assignment_is_as_good_as_the_best_of_all(table: list[list[float]]) -> None:
    overlaps = {row: dict(enumerate(values)) for row, values in enumerate(table)}
    chosen = assign(overlaps, 0.3)
    assert len(set(chosen.values())) == len(chosen)
    assert all(table[row][column] >= 0.3 for row, column in chosen.items())
    worth = [[value if value >= 0.3 else 0.0 for value in row] for row in table]
    padded = [*range(len(table[0])), *[None] * len(table)]
    best = max(
        sum(worth[row][column] for row, column in enumerate(columns) if column is not None)
        for columns in itertools.permutations(padded, len(table))
    )
    assert sum(table[row][column] for row, column in chosen.items()) >= best - BID_STEP * len(table) - 1e-9
