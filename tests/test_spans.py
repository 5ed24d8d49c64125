"""Spans: files that viewers of the Trace Event Format take, with the times of the run, bounded; and around breaches."""

import json
import logging
import re
import signal
import time
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import config, spans
from edge.classifier import Classifier
from edge.errors import OutputError
from edge.events import Settler
from edge.faces import face_finder
from edge.perceive import Perceiver, Reader
from edge.pipeline import Pipeline, Stage
from edge.run import stages_of
from edge.scene import Face, Found, Frame, Reading, Scene
from edge.sources.demo import DemoClip
from edge.spans import AFTER, BEFORE, BREACH_SECONDS, Breaches, Spans, SpansFile, passage_of
from edge.track import Tracker
from tests.daemon import daemon
from tests.disks import growing_no_further

Event = dict[str, Any]
STEPS = ["detect", "track", "classify", "settle"]
NO_DROPS = {"stale_frame": 0, "stale_scene": 0}


def events_in(path: Path) -> list[Event]:
    """All of a whole file, each as the format wants it."""
    events: list[Event] = json.loads(path.read_bytes())
    for event in events:
        check(event)
    return events


def check(event: Event) -> None:
    """What "Trace Event Format" demands of each kind of event."""
    assert type(event["name"]) is str and type(event["cat"]) is str
    assert type(event["pid"]) is int and type(event["tid"]) is int
    match event["ph"]:
        case "X":
            assert type(event["ts"]) is int and type(event["dur"]) is int and event["dur"] >= 0
        case "b" | "e":
            assert type(event["ts"]) is int and type(event["id"]) is int
        case "C":
            assert type(event["ts"]) is int and all(type(each) is int for each in event["args"].values())
        case "M":
            assert event["name"] in ("process_name", "thread_name") and type(event["args"]["name"]) is str
        case other:
            raise AssertionError(other)


def threads_of(events: list[Event]) -> dict[str, list[Event]]:
    """The spans of each thread, by the name that the file gives it."""
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    threads = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[names[event["tid"]]].append(event)
    return threads


def assert_one_thing_at_a_time(events: list[Event]) -> None:
    for of_thread in threads_of(events).values():
        for one, other in pairwise(sorted(of_thread, key=lambda event: event["ts"])):
            assert one["ts"] + one["dur"] <= other["ts"]


def frames_of(events: list[Event]) -> Iterator[tuple[dict[str, Event], dict[str, list[int]]]]:
    """Of each frame its spans, by name and in their order, and the begin and end of its waits."""
    of_frame: dict[int, dict[str, Event]] = defaultdict(dict)
    waits: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        if event["ph"] == "X":
            of_frame[event["args"]["frame"]][event["name"]] = event
        elif event["ph"] in "be":
            assert len(waits[event["id"]][event["name"]]) == "be".index(event["ph"])
            waits[event["id"]][event["name"]].append(event["ts"])
    for number, one in of_frame.items():
        yield one, waits[number]


def assert_gapless(one: dict[str, Event], waits: dict[str, list[int]]) -> None:
    """Where a wait ends a step begins, and where a step ends the next, to the last one."""
    assert list(one) == ["capture", *STEPS, "publish"]
    assert waits["wait for detecting"][1] == one["detect"]["ts"]
    ends = {step: one[step]["ts"] + one[step]["dur"] for step in STEPS}
    assert waits["wait for classifying"] == [ends["detect"], one["track"]["ts"]]
    assert [one[step]["ts"] for step in STEPS[2:]] == [ends[step] for step in STEPS[1:-1]]
    assert waits["wait for publishing"] == [ends[STEPS[-1]], one["publish"]["ts"]]


def mended(text: str) -> list[Event]:
    """A file without its end, as the module tells people to mend it."""
    events: list[Event] = json.loads(text[: text.rindex("}") + 1] + "]")
    return events


@pytest.fixture(scope="module")
def demo(emotion_edge, tmp_path_factory):
    """The demo run to its end, ten frames for each of its seconds: its spans, and the log."""
    path = tmp_path_factory.mktemp("spans") / "demo.json"
    done = emotion_edge("run", "--source", "demo", "--no-pace", "--set", "camera.fps=10", "--spans", path)
    assert done.returncode == 0, done.stderr
    return events_in(path), done.stderr


def test_a_run_gives_spans_of_every_published_frame(demo):
    events, log = demo
    published = int(re.search(r"published=(\d+)", log)[1])
    assert [one["publish"]["args"]["frame"] for one, _ in frames_of(events)] == list(range(published))
    assert {one["publish"]["args"]["faces"] for one, _ in frames_of(events)} >= {0, 1, 2}
    assert set(threads_of(events)) == {"capture", "detect", "classify", "publish"}


def test_a_thread_does_one_thing_at_a_time(demo):
    assert_one_thing_at_a_time(demo[0])


def test_the_parts_of_a_frames_way_sum_up_to_its_age(demo):
    for one, waits in frames_of(demo[0]):
        assert_gapless(one, waits)
        parts = [one[step]["dur"] for step in ["capture", *STEPS]]
        parts += [end - begin for begin, end in waits.values()]
        assert sum(parts) == pytest.approx(one["publish"]["args"]["age_ms"] * 1000, abs=2)
        assert one["capture"]["ts"] + one["capture"]["dur"] == waits["wait for detecting"][0]


def test_a_killed_run_leaves_what_viewers_take_and_a_bracket_mends(tmp_path):
    path = tmp_path / "live.json"
    with daemon("--source", "demo", "--spans", path) as running:
        running.until('"type":"start"')
        running.end(signal.SIGKILL)
    text = path.read_text()
    assert text.startswith("[\n{") and text.endswith("}")
    events = mended(text)
    assert_one_thing_at_a_time(events)
    frames = list(frames_of(events))
    assert len(frames) > 3
    for one, waits in frames:
        assert_gapless(one, waits)
        read_until, ready = one["capture"]["ts"] + one["capture"]["dur"], waits["wait for detecting"][0]
        if ready > read_until:  # in time for when it was due, from when its age counts
            age = one["publish"]["ts"] - ready
            assert age == pytest.approx(one["publish"]["args"]["age_ms"] * 1000, abs=2)
    assert any(waits["wait for detecting"][0] > one["capture"]["ts"] + one["capture"]["dur"] for one, waits in frames)


def test_a_run_that_is_stopped_leaves_a_whole_file(tmp_path):
    path = tmp_path / "live.json"
    with daemon("--source", "demo", "--spans", path) as running:
        running.until('"type":"start"')
        assert running.end() == 0
    assert len(list(frames_of(events_in(path)))) > 3


def test_both_clocks_of_a_frames_way_are_one():
    """Steps are timed by perf_counter, all else by monotonic."""
    clocks = [time.get_clock_info(name).implementation for name in ("monotonic", "perf_counter")]
    assert clocks[0] == clocks[1]


SLOW_SECONDS = 0.05


class SlowReader(Reader):
    """The real one, that falls asleep over its tenth face. Why a fault: nothing real is slow when a test wants it."""

    faces = 0

    def read(self, picture: Any, face: Face, track: int = 0) -> Reading:
        self.faces += 1
        if self.faces == 10:
            time.sleep(SLOW_SECONDS)
        return super().read(picture, face, track)


def test_a_slow_step_shows_as_that_step_of_that_frame(tmp_path):
    reader = SlowReader(Classifier.read(), config.Limits())
    settler = Settler(config.Events(), reader.labels, reader.abstain)
    slept_at: list[int] = []

    def note(happened: Any) -> None:
        if reader.faces >= 10 and not slept_at and isinstance(happened, Found):
            slept_at.append(happened.frame.number)

    perceiver = Perceiver(face_finder(config.Faces()), reader, Tracker(config.Track()), settler, lambda _: None, note)
    path = tmp_path / "spans.json"
    kept, clip = Spans(path, None, 0), DemoClip(paced=False)
    with closing(perceiver), closing(kept), Pipeline(clip, stages_of(perceiver), every=True) as pipeline:
        for scene in pipeline:
            kept.see(scene, now := time.monotonic(), now, pipeline.dropped)
            if scene.frame.number == 40:
                break
    slow = {one["classify"]["args"]["frame"]: one for one, _ in frames_of(events_in(path))}[slept_at[0]]
    assert slow["classify"]["dur"] >= SLOW_SECONDS * 1e6
    assert slow["publish"]["args"]["age_ms"] >= SLOW_SECONDS * 1000


def test_a_slow_main_thread_shows_as_publishing_and_what_is_lost_meanwhile_is_counted(tmp_path):
    path = tmp_path / "spans.json"
    kept, clip = Spans(path, None, 0), DemoClip(64, 64, fps=500)
    with (
        closing(kept),
        Pipeline(clip, [Stage("see", lambda frame: Scene(frame, (), {}, time.monotonic()))]) as pipeline,
    ):
        for number, scene in enumerate(pipeline):
            now, before = time.monotonic(), pipeline.dropped
            while number == 3 and pipeline.dropped == before:
                time.sleep(SLOW_SECONDS)  # the fault: a sink that waits
            kept.see(scene, now, time.monotonic(), dropped := pipeline.dropped)
            if number == 9:
                break
    events = events_in(path)
    published = threads_of(events)["publish"]
    assert len(published) == 10 and published[3]["dur"] >= SLOW_SECONDS * 1e6
    counts = [event["args"] for event in events if event["ph"] == "C"]
    assert counts[-1] == dropped and sum(dropped.values()) >= 1
    assert all(one != other for one, other in pairwise(counts))


# From here on with scenes whose times we say.


def scene_at(second: float, number: int, took_ms: float = 1.0) -> Scene:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), second, second, number, took_ms)
    return Scene(frame, (), {"detect": 2.0, "classify": 1.0}, second + took_ms / 1000 + 0.001)


def see(kept: Any, numbers: range, late: Any = (), fps: float = 30.0) -> None:
    """Frames, of which those are half a second old when they are published, the others 10 ms."""
    for number in numbers:
        scene = scene_at(100 + number / fps, number)
        published = scene.frame.captured_at + (0.5 if number in late else 0.01)
        kept.see(scene, published, published + 0.001, NO_DROPS)


def numbers_in(path: Path) -> list[int]:
    return [event["args"]["frame"] for event in threads_of(events_in(path))["publish"]]


def breaches(folder: Path) -> Spans:
    return Spans(None, folder, 200)


def test_a_late_frame_is_kept_with_those_around_it_in_one_file(tmp_path, caplog):
    with closing(breaches(tmp_path)) as kept:
        see(kept, range(200), late=[100])
        (path,) = tmp_path.iterdir()
        assert numbers_in(path) == list(range(100 - BEFORE, 100 + AFTER + 1))
    assert list(tmp_path.iterdir()) == [path]
    late = [event for event in threads_of(events_in(path))["publish"] if event["args"]["age_ms"] > 200]
    assert [event["args"] for event in late] == [{"frame": 100, "faces": 0, "age_ms": 500.0}]
    assert [each.getMessage() for each in caplog.records] == [f"late frame=100 age_ms=500 goal_ms=200 spans={path}"]


def test_frames_in_time_are_not_kept(tmp_path):
    with closing(breaches(tmp_path)) as kept:
        see(kept, range(200))
    assert list(tmp_path.iterdir()) == []


def test_a_breach_at_the_very_end_is_kept_with_what_there_is(tmp_path):
    with closing(breaches(tmp_path)) as kept:
        see(kept, range(20), late=[18])
    (path,) = tmp_path.iterdir()
    assert numbers_in(path) == list(range(20))


def test_a_breach_that_lasts_is_one(tmp_path):
    with closing(breaches(tmp_path)) as kept:
        see(kept, range(6000), late=range(100, 6000))
    assert len(list(tmp_path.iterdir())) == 1


def test_there_is_at_most_one_file_a_minute_and_the_newest_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(spans, "KEEP_FILES", 3)
    wall = iter(range(1_700_000_000, 1_800_000_000, 60))
    kept = Breaches(tmp_path, 200, lambda: float(next(wall)))
    (tmp_path / "mine.json").write_text("stays")
    for number in range(0, round(6 * BREACH_SECONDS * 10), 10):  # one a second, every fifth of them late
        second = number / 10
        scene = scene_at(100 + second, number)
        age = 0.5 if number % 50 == 0 else 0.01
        kept.add(passage_of(scene, scene.frame.captured_at + age, scene.frame.captured_at + age, NO_DROPS))
    kept.close()
    files = sorted(each.name for each in tmp_path.glob("breach-*"))
    assert files == [f"breach-2023-11-14T22{minute}20.000Z.json" for minute in (16, 17, 18)]
    assert (tmp_path / "mine.json").read_text() == "stays"


def test_a_run_keeps_the_frames_around_a_late_one_of_a_live_source_only(emotion_edge, short_clip, tmp_path):
    words = ["run", "--source", short_clip, "--set", "governor.max_age_ms=1"]
    folder = tmp_path / "breaches"
    done = emotion_edge(*words, "--set", f"governor.spans_folder={folder}")
    assert done.returncode == 0, done.stderr
    (path,) = folder.iterdir()
    published = int(re.search(r"published=(\d+)", done.stderr)[1])
    assert len(numbers_in(path)) == min(published, AFTER + 1)
    assert f"spans={path}" in done.stderr
    done = emotion_edge(*words, "--no-pace", "--set", f"governor.spans_folder={tmp_path / 'none'}")
    assert done.returncode == 0 and not (tmp_path / "none").exists() and "late frame" not in done.stderr


def test_no_picture_is_kept_alive(tmp_path):
    with closing(Spans(tmp_path / "spans.json", tmp_path, 200)) as kept:
        scene = scene_at(1.0, 0)
        pixels = weakref.ref(scene.frame.pixels)
        kept.see(scene, 2.0, 2.0, NO_DROPS)
        del scene
        assert pixels() is None


def test_pictures_that_a_camera_exposes_while_the_one_before_is_on_its_way_do_not_overlap(tmp_path):
    path = tmp_path / "spans.json"
    with closing(Spans(path, None, 0)) as kept:
        for number in range(10):
            scene = scene_at(number / 30, number, took_ms=50)
            kept.see(scene, number / 30 + 0.1, number / 30 + 0.11, NO_DROPS)
    assert_one_thing_at_a_time(events_in(path))
    captures = threads_of(events_in(path))["capture"]
    assert {event["args"]["took_ms"] for event in captures} == {50.0}
    assert captures[1]["dur"] == pytest.approx(1e6 / 30, abs=1)


def test_a_film_read_ahead_of_its_time_was_read_when_it_was(tmp_path):
    path = tmp_path / "spans.json"
    scene = scene_at(10.0, 0)
    with closing(Spans(path, None, 0)) as kept:
        kept.see(replace(scene, frame=replace(scene.frame, read_at=9.5)), 10.1, 10.2, NO_DROPS)
    ((one, waits),) = frames_of(events_in(path))
    assert (one["capture"]["ts"], one["capture"]["dur"]) == (9_500_000, 1000)
    assert waits["wait for detecting"] == [10_000_000, 10_002_000]


def test_each_frame_is_in_the_file_at_once(tmp_path):
    path = tmp_path / "spans.json"
    with closing(Spans(path, None, 0)) as kept:
        for number in range(3):
            see(kept, range(number, number + 1))
            assert len(list(frames_of(mended(path.read_text())))) == number + 1


def test_a_file_grows_to_its_limit_and_no_further(tmp_path, monkeypatch, caplog):
    path = tmp_path / "spans.json"
    with closing(Spans(path, None, 0)) as kept:
        see(kept, range(5))
    size = path.stat().st_size
    for limit, frames in ((size, 5), (size - 1, 4)):
        caplog.clear()
        monkeypatch.setattr(spans, "LIMIT_BYTES", limit)
        with closing(Spans(path, None, 0)) as kept:
            see(kept, range(100))
        assert numbers_in(path) == list(range(frames)) and path.stat().st_size <= limit
        assert caplog.messages == [f"the spans end here: file={path} limit_bytes={limit}"]


def test_a_full_disk_ends_the_spans_and_not_the_run(tmp_path, caplog):
    path = tmp_path / "spans.json"
    kept = Spans(path, None, 0)
    with growing_no_further(5000):
        see(kept, range(100))
        kept.close()
    assert [each.getMessage() for each in caplog.records] == [f"the spans end here: file={path} error='File too large'"]
    assert path.stat().st_size == 5000
    assert len(list(frames_of(mended(path.read_text())))) >= 3


def test_a_file_of_a_breach_that_cannot_be_written_is_told_of_and_the_next_is_tried(tmp_path, caplog):
    kept = breaches(tmp_path / "folder")
    (tmp_path / "folder").rmdir()
    see(kept, range(200), late=[50])
    assert [each.levelno for each in caplog.records] == [logging.WARNING, logging.ERROR]
    assert "cannot write the spans: No such file or directory" in caplog.messages[1]
    (tmp_path / "folder").mkdir()
    see(kept, range(2000, 2200), late=[2050])
    kept.close()
    assert len(list((tmp_path / "folder").iterdir())) == 1


def test_a_place_that_takes_no_spans_is_refused_in_one_line(tmp_path, in_process):
    words = "run", "--source", "demo", "--events", tmp_path / "events.jsonl"
    file, folder = tmp_path / "none" / "spans.json", tmp_path / "none" / "breaches"
    for where in (["--spans", file], ["--set", f"governor.spans_folder={folder}"]):
        done = in_process(*words, *where)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "none" in done.stderr and "No such file or directory" in done.stderr and "expected" in done.stderr
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="expected a folder for"):
        Breaches(tmp_path / "file", 200)
    with pytest.raises(OutputError, match="cannot write the spans: Is a directory"):
        SpansFile(tmp_path)
