"""Status: one document that tells what the daemon does."""

import json
from dataclasses import replace

import numpy as np
import pytest

from edge import __version__
from edge.classifier import Classifier
from edge.scene import Box, Face, Frame, Reading, Scene
from edge.status import BUCKETS_SECONDS, STRETCH_SECONDS, Buckets, Status, Totals, of_model
from tests.test_record import EVENT, LOST, Clock


def face(left: float, top: float, right: float, bottom: float) -> Face:
    return Face(Box(left, top, right, bottom), 0.9, *[(0.0, 0.0)] * 6)


SMALL = Reading(1, face(0, 0, 20, 20), "sad", 0.7, {"sad": 0.7, "happy": 0.3})
LARGE = Reading(2, face(64, 24, 192, 216), "happy", 0.81234, {"happy": 0.81234, "sad": 0.18766})
UNREAD = Reading(3, face(0, 0, 639, 470), "uncertain", 0.0, {}, "blurred")
DROPPED = {"stale_frame": 0}


def scene(number: int, *readings: Reading, captured_at: float = 0.0, detect_ms: float = 3.0) -> Scene:
    frame = Frame(np.zeros((480, 640, 3), np.uint8), captured_at, captured_at, number, took_ms=1.5)
    return Scene(frame, readings, {"detect": detect_ms})


def test_the_document_has_all_that_the_status_knows_and_is_json():
    status = Status("emo-kitchen", "demo", Clock(5.0))
    document = status.document({"camera": {"state": "running"}}, DROPPED)
    assert json.loads(json.dumps(document)) == document
    assert set(document) == {
        *("v", "device", "version", "boot", "uptime_seconds", "source", "label", "group", "confidence", "uncertain"),
        *(
            "valence",
            "arousal",
            "faces",
            "fps",
            "camera_fps",
            "age_ms",
            "steps_ms",
            "dropped",
            "temperature_celsius",
            "throttled",
        ),
        *("rss_bytes", "stage_seconds", "camera"),
    }
    told = [document[name] for name in ("v", "device", "version", "source", "uptime_seconds")]
    assert told == [1, "emo-kitchen", __version__, "demo", 0.0]


def test_the_largest_face_speaks_for_all():
    status = Status("", "")
    status.see(scene(0, SMALL, LARGE), 1.0)
    document = status.document({}, DROPPED)
    overall = [document[name] for name in ("label", "group", "confidence", "uncertain")]
    assert overall == ["happy", "positive", 0.8123, False]
    assert [each["track"] for each in document["faces"]] == [1, 2]
    assert document["faces"][1] == {
        "track": 2,
        "label": "happy",
        "group": "positive",
        "confidence": 0.8123,
        "uncertain": False,
        "reason": "",
        "top": [["happy", 0.8123], ["sad", 0.1877]],
        "box": [0.1, 0.05, 0.2, 0.4],
        "face_px": 128,
    }


def test_a_face_that_cannot_be_read_is_uncertain_and_says_why():
    status = Status("", "")
    status.see(scene(0, UNREAD, LARGE), 1.0)
    document = status.document({}, DROPPED)
    assert [document[name] for name in ("label", "group", "uncertain")] == ["uncertain", "uncertain", True]
    assert document["faces"][0]["reason"] == "blurred"


def test_nobody_is_none_and_so_is_a_camera_that_gives_no_pictures():
    status = Status("", "")
    nobody = ["none", "none", 0.0, False]
    names = ("label", "group", "confidence", "uncertain")
    assert [status.document({}, DROPPED)[name] for name in names] == nobody
    status.see(scene(0, LARGE), 1.0)
    status.unsee()
    assert [status.document({}, DROPPED)[name] for name in names] == nobody
    assert status.document({}, DROPPED)["faces"] == []


def test_rates_and_ages_are_those_of_the_last_stretch():
    clock = Clock(0.0)
    status = Status("", "", clock)

    def watch(fps: int, age_seconds: float, begin: float) -> None:
        for number in range(int(fps * STRETCH_SECONDS)):
            clock.now = begin + number / fps
            status.see(scene(int(begin * 100) + number, captured_at=clock.now - age_seconds), clock.now)

    watch(10, 0.05, 0.0)
    begun = status.document({}, {"stale_frame": 3})
    assert (begun["fps"], begun["dropped"]) == (10, {"stale_frame": 3})
    assert status.age_ms == 0.0
    clock.now = STRETCH_SECONDS
    status.document({}, {"stale_frame": 3})
    watch(30, 0.2, STRETCH_SECONDS)
    assert status.document({}, {"stale_frame": 5})["fps"] == 10
    assert status.age_ms == pytest.approx(50, rel=0.02)
    clock.now = 2 * STRETCH_SECONDS
    after = status.document({}, {"stale_frame": 5})
    assert after["fps"] == pytest.approx(30, rel=0.05)
    assert after["age_ms"]["p50"] == pytest.approx(200, rel=0.02)
    assert after["dropped"] == {"stale_frame": 5}
    assert after["camera_fps"] == pytest.approx(after["fps"] * 152 / 150, abs=0.01)


def test_each_step_is_counted_in_buckets_from_the_start():
    status = Status("", "")
    for number, took_ms in enumerate((0.5, 1.0, 3.0, 2000.0)):
        status.see(scene(number, detect_ms=took_ms), float(number))
    counted = status.document({}, DROPPED)["stage_seconds"]
    assert set(counted) == {"capture", "detect"}
    assert counted["detect"]["buckets"][:3] == [[0.001, 2], [0.002, 2], [0.005, 3]]
    assert counted["detect"]["buckets"][-2:] == [[1.0, 3], ["+Inf", 4]]
    assert (counted["detect"]["count"], counted["detect"]["sum"]) == (4, pytest.approx(2.0045))


def test_buckets_without_a_duration_are_all_there_and_empty():
    assert Buckets().document() == {
        "buckets": [[bound, 0] for bound in (*BUCKETS_SECONDS, "+Inf")],
        "sum": 0.0,
        "count": 0,
    }


def test_totals_count_events_by_type_and_label():
    totals = Totals()
    for event in (
        replace(EVENT, type="start"),
        replace(EVENT, type="change", label="uncertain"),
        EVENT,
        replace(EVENT, type="end"),
        LOST,
    ):
        totals.add(event)
    assert totals.document() == {
        "labels": {"happy": 2, "uncertain": 1},
        "label_flips": 2,
        "uncertain": 1,
        "events": 5,
    }


def test_the_model_is_told_by_name_version_and_hash():
    classifier = Classifier.read()
    told = of_model(classifier.card, classifier.sha256)
    assert f"{told['name']}@{told['version']}#{told['sha']}" == classifier.name
    assert (told["quant"], told["labels"]) == ("full-int8", list(classifier.card.labels))
