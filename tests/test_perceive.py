"""From a frame to a scene with the real detector and the real model."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import config
from edge.classifier import Classifier
from edge.contract import UNCERTAIN
from edge.events import CameraEvent, EmotionEvent, Settler
from edge.faces import face_finder
from edge.perceive import Perceiver, Reader, moved, sharpness, turn
from edge.scene import Box, Face, Frame
from edge.sources.demo import DemoClip
from edge.sources.folder import read_picture
from edge.track import Tracker

ASSETS = Path(__file__).parents[1] / "edge" / "assets"
LIMITS = config.Limits()


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.read()


def frame(pixels: np.ndarray, number: int = 0, fps: float = 30.0) -> Frame:
    return Frame(pixels, captured_at=number / fps, moment=number / fps, number=number)


def face_in(pixels: np.ndarray) -> Face:
    (face,) = face_finder(config.Faces()).find(frame(pixels))
    return face


def perceiver(classifier: Classifier, told: list[EmotionEvent | CameraEvent]) -> Perceiver:
    reader = Reader(classifier, LIMITS)
    settler = Settler(config.Events(), reader.labels, reader.abstain)
    return Perceiver(face_finder(config.Faces()), reader, Tracker(config.Track()), settler, told.append)


@pytest.mark.parametrize(("picture", "label"), [("astronaut.jpg", "happy"), ("grace_hopper.jpg", "neutral")])
def test_the_portraits_that_ship_are_read_as_a_person_would(classifier, picture, label):
    pixels = read_picture(ASSETS / picture)
    reading = Reader(classifier, LIMITS).read(pixels, face_in(pixels))
    assert reading.label == label
    assert reading.scores[label] == pytest.approx(reading.confidence)
    assert reading.reason == ""


def test_a_mirrored_and_a_tilted_portrait_read_the_same(classifier):
    pixels = read_picture(ASSETS / "astronaut.jpg")
    height, width = pixels.shape[:2]
    tilt = cv2.getRotationMatrix2D((width / 2, height / 3), 15, 1)
    for changed in (np.ascontiguousarray(pixels[:, ::-1]), cv2.warpAffine(pixels, tilt, (width, height))):
        assert Reader(classifier, LIMITS).read(changed, face_in(changed)).label == "happy"


def test_a_model_that_is_not_sure_abstains(classifier):
    pixels = read_picture(ASSETS / "grace_hopper.jpg")
    reading = Reader(classifier, LIMITS, abstain=0.99).read(pixels, face_in(pixels))
    assert (reading.label, reading.reason) == (UNCERTAIN, "unsure")
    assert sum(reading.scores.values()) == pytest.approx(1, abs=1e-5)


def test_a_small_a_blurred_and_a_turned_face_are_not_guessed_at(classifier):
    pixels = read_picture(ASSETS / "astronaut.jpg")
    face, reader = face_in(pixels), Reader(classifier, LIMITS)
    small = Face(Box(0, 0, 20, 20), 0.9, *[(10.0, 10.0)] * 6)
    turned = Face(face.box, 0.9, face.right_eye, face.left_eye, face.left_eye, *[(0.0, 0.0)] * 3)
    blurred = cv2.GaussianBlur(pixels, (0, 0), face.box.width / 12)
    found = [reader.read(pixels, small), reader.read(pixels, turned), reader.read(blurred, face)]
    assert [each.reason for each in found] == ["small", "turned", "blurred"]
    assert {each.label for each in found} == {UNCERTAIN}
    assert all(not each.scores for each in found)


def test_turn_is_a_share_of_the_eye_distance_whatever_the_tilt():
    level = Face(Box(0, 0, 9, 9), 1, (10.0, 0.0), (30.0, 0.0), (25.0, 8.0), *[(0.0, 0.0)] * 3)
    tilted = Face(Box(0, 0, 9, 9), 1, (0.0, 10.0), (0.0, 30.0), (-8.0, 25.0), *[(0.0, 0.0)] * 3)
    assert turn(level) == pytest.approx(0.25)
    assert turn(tilted) == pytest.approx(0.25)
    assert turn(Face(Box(0, 0, 9, 9), 1, *[(5.0, 5.0)] * 6)) == float("inf")


def test_sharpness_falls_with_blur_and_does_not_mind_the_light():
    face = np.random.default_rng(4).integers(0, 200, (48, 48, 1), np.uint8)
    blurred = cv2.GaussianBlur(face, (0, 0), 2)[..., np.newaxis]
    assert sharpness(blurred) < sharpness(face) / 20
    assert sharpness((face // 2 + 30).astype(np.uint8)) == pytest.approx(sharpness(face), rel=0.1)
    assert sharpness(np.full((48, 48, 1), 90, np.uint8)) == 0


@pytest.mark.parametrize("pixels", [np.zeros((480, 640, 3), np.uint8), np.full((7, 5, 3), 200, np.uint8)])
def test_a_frame_without_a_face_makes_no_event_and_no_error(classifier, pixels):
    """T08: nobody there is a frame like any other."""
    told: list = []
    perceive = perceiver(classifier, told)
    for number in range(10):
        assert perceive(frame(pixels, number)).readings == ()
    perceive.close()
    assert told == []


def test_a_person_who_comes_and_goes_makes_one_start_and_one_end(classifier):
    pixels = read_picture(ASSETS / "astronaut.jpg")
    empty, told = np.zeros_like(pixels), []
    perceive = perceiver(classifier, told)
    for number in range(120):
        perceive(frame(pixels if 20 <= number < 70 else empty, number))
    assert [(event.type, event.label) for event in told] == [("start", "happy"), ("end", "happy")]
    perceive.close()
    assert len(told) == 2


def test_each_of_several_people_has_a_track_and_a_label_of_their_own(classifier):
    """T08: not the first face alone. The third is a small one, which the short range misses."""
    clip, told = DemoClip(paced=False), []
    perceive = perceiver(classifier, told)
    scenes = [perceive(frame(clip.picture(number), number)) for number in range(255, 300)]
    perceive.close()
    assert {reading.track for reading in scenes[-1].readings} == {1, 2, 3}
    assert sorted((event.track, event.label) for event in told if event.type == "start") == [
        (1, "neutral"),
        (2, "happy"),
        (3, "happy"),
    ]


def test_closing_tells_of_the_end_of_who_is_still_there(classifier):
    pixels, told = read_picture(ASSETS / "astronaut.jpg"), []
    perceive = perceiver(classifier, told)
    for number in range(40):
        scene = perceive(frame(pixels, number))
    assert scene.readings[0].track == 1
    assert set(scene.took_ms) == {"detect", "track", "classify", "settle"}
    perceive.close()
    assert [event.type for event in told] == ["start", "end"]


def test_a_gap_ends_every_track_at_once_and_who_is_seen_then_is_new(classifier):
    pixels, told = read_picture(ASSETS / "astronaut.jpg"), []
    perceive = perceiver(classifier, told)
    for number in range(40):
        perceive(frame(pixels, number))
    perceive.gap()
    assert [(event.type, event.track) for event in told] == [("start", 1), ("end", 1)]
    perceive.gap()
    for number in range(40, 80):
        scene = perceive(frame(pixels, number))
    assert [reading.track for reading in scene.readings] == [2]
    assert [(event.type, event.track) for event in told[2:]] == [("start", 2)]


def test_other_settings_and_another_reader_take_over_between_frames_and_lose_nothing(classifier):
    pixels, told = read_picture(ASSETS / "astronaut.jpg"), []
    perceive = perceiver(classifier, told)
    for number in range(40):
        perceive(frame(pixels, number))
    unread = config.changed(config.Settings(), ["limits.max_turn=0", "events.dwell_seconds=0.1"])
    perceive.adopt(unread, Reader(classifier, unread.limits))
    for number in range(40, 80):
        perceive(frame(pixels, number))
    perceive.close()
    assert [(event.type, event.track, event.label, event.reason) for event in told] == [
        ("start", 1, "happy", ""),
        ("change", 1, "uncertain", "turned"),
        ("end", 1, "uncertain", "turned"),
    ]


def test_a_detector_that_is_taken_over_from_is_closed(classifier):
    class Finder:
        closed = False

        def find(self, _):
            assert not self.closed
            return ()

        def look_around(self, seen):
            self.looked_at = seen

        def close(self):
            self.closed = True

    before, after = Finder(), Finder()
    perceive, settings = perceiver(classifier, []), config.Settings()
    perceive.adopt(settings, Reader(classifier, LIMITS), before)
    perceive.adopt(settings, Reader(classifier, LIMITS), after)
    seen = frame(read_picture(ASSETS / "astronaut.jpg"))
    perceive(seen)
    assert (before.closed, after.closed) == (True, False) and after.looked_at is seen
    perceive.close()
    assert after.closed


def test_what_happened_is_noted_in_order(classifier):
    noted = []
    reader = Reader(classifier, LIMITS)
    settler = Settler(config.Events(), reader.labels, reader.abstain)
    finder, settings = face_finder(config.Faces()), config.Settings()
    perceive = Perceiver(finder, reader, Tracker(config.Track()), settler, lambda _: None, noted.append)
    seen, lost = frame(read_picture(ASSETS / "astronaut.jpg")), CameraEvent("camera_lost", "0", "silent", 1.0, 1.0)
    found = perceive.find(seen)
    perceive.read(found)
    perceive.tell(lost)
    perceive.detect_every(2)
    perceive.adopt(settings, reader)
    perceive.gap()
    assert noted == [found, lost, 2, settings, None]


def test_nobody_is_seen_in_a_frame_that_was_searched_before_a_gap(classifier):
    """It may still be between the two threads when the camera is lost, and would begin a track that nothing ends."""
    told = []
    perceive, pixels = perceiver(classifier, told), read_picture(ASSETS / "astronaut.jpg")
    for number in range(50):
        perceive(frame(pixels, number))
    late = [perceive.find(frame(pixels, number)) for number in range(50, 56)]
    perceive.gap()
    scenes = [perceive.read(each) for each in late]
    assert {scene.readings for scene in scenes} == {()}
    assert [event.type for event in told] == ["start", "end"]
    for number in range(90, 140):
        perceive(frame(pixels, number))
    assert [(event.type, event.track) for event in told] == [("start", 1), ("end", 1), ("start", 2)]


def test_between_searches_a_face_is_where_its_motion_takes_it(classifier):
    """Every fourth frame is searched; in the others the label goes on and the box moves with the face."""
    clip, searched = DemoClip(paced=False), []
    reader, finder = Reader(classifier, LIMITS), face_finder(config.Faces())

    class Counted:
        def find(self, seen):
            searched.append(seen.number)
            return finder.find(seen)

        def is_face(self, seen, face):
            return finder.is_face(seen, face)

        def look_around(self, seen):
            finder.look_around(seen)

        def close(self):
            finder.close()

    settler = Settler(config.Events(), reader.labels, reader.abstain)
    perceive = Perceiver(Counted(), reader, Tracker(config.Track()), settler, lambda _: None)
    full = [perceive(frame(clip.picture(number), number)) for number in range(20)]
    perceive.detect_every(4)
    sparse = [perceive(frame(clip.picture(number), number)) for number in range(20, 60)]
    assert len(searched) == len(full) + len(sparse) // 4
    assert {reading.track for scene in sparse for reading in scene.readings} == {1}
    assert all(len(scene.readings) == 1 and scene.readings[0].label == "happy" for scene in sparse)
    for scene in sparse:
        (found,) = finder.find(scene.frame)
        assert scene.readings[0].face.box.iou(found.box) > 0.6


def test_while_no_face_is_known_every_frame_is_searched(classifier):
    perceive, pixels = perceiver(classifier, []), read_picture(ASSETS / "astronaut.jpg")
    perceive.detect_every(4)
    for number in range(3):
        scene = perceive(frame(pixels, number))
    assert len(scene.readings) == 1


def test_a_face_that_moves_keeps_its_points_in_their_places():
    face = Face(Box(0, 0, 10, 20), 0.5, (5, 5), (7, 5), (6, 8), (6, 12), (4, 6), (9, 6))
    there = moved(face, Box(100, 200, 120, 240))
    assert (there.box, there.right_eye, there.left_ear) == (Box(100, 200, 120, 240), (110, 210), (118, 212))
    assert moved(face, face.box) == face
