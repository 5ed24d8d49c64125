"""Pipeline: three threads that start together, stop together, and account for every frame."""

import logging
import signal
import subprocess
import sys
import threading
import time
import traceback
from itertools import pairwise

import numpy as np
import pytest

from edge import pipeline as pipeline_module
from edge.errors import SourceError
from edge.pipeline import Pipeline, Stage, nothing
from edge.scene import Frame, Scene
from edge.slot import Closed
from edge.sources.demo import DemoClip

PIXELS = np.zeros((4, 4, 3), np.uint8)


def frame(number, captured_at=0.0):
    return Frame(PIXELS, captured_at, captured_at, number)


def infer(step, after=nothing):
    """A single stage between capture and caller."""
    return [Stage("infer", step, after)]


def see_nothing(frame):
    return Scene(frame, ())


class Frames:
    """A source of `count` frames, that remembers which threads opened and closed it."""

    def __init__(self, count=10**9, fails_at=None):
        self.count, self.fails_at = count, fails_at
        self.opened_by = self.closed_by = None

    def __iter__(self):
        self.opened_by = threading.current_thread().name
        try:
            for number in range(self.count):
                if number == self.fails_at:
                    self.break_down()
                yield frame(number)
        finally:
            self.closed_by = threading.current_thread().name

    def break_down(self):
        raise SourceError("the film broke")


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.enumerate()
    yield
    assert threading.enumerate() == before


def accounted(scenes):
    return scenes.captured == scenes.published + sum(scenes.dropped.values())


def numbers(scenes):
    return [scene.frame.number for scene in scenes]


def test_every_frame_comes_in_order_when_asked_for():
    source = Frames(500)
    with Pipeline(source, infer(see_nothing), every=True) as scenes:
        assert numbers(scenes) == list(range(500))
    assert (scenes.captured, scenes.published, sum(scenes.dropped.values())) == (500, 500, 0)
    assert source.opened_by == source.closed_by == "capture"


def test_no_stage_works_ahead_of_the_next_when_every_frame_is_asked_for():
    source, perceived, ahead = Counting(500), [], []

    def perceive(frame):
        perceived.append(frame.number)
        ahead.append(source.given - frame.number)
        return see_nothing(frame)

    with Pipeline(source, infer(perceive), every=True) as scenes:
        for scene in scenes:
            ahead.append(perceived[-1] - scene.frame.number)
    assert max(ahead) <= 1  # the next one, which is not yet handed over


def test_what_is_done_after_a_frame_is_done_when_its_scene_was_handed_on():
    order = []

    def perceive(frame):
        order.append(("perceive", frame.number))
        return see_nothing(frame)

    def after(frame):
        order.append((frame.number, scenes.published))

    with Pipeline(Frames(50), infer(perceive, after), every=True) as scenes:
        assert numbers(scenes) == list(range(50))
    assert order == [each for number in range(50) for each in (("perceive", number), (number, number + 1))]


def test_an_error_in_what_is_done_after_a_frame_reaches_the_caller_and_loses_nothing():
    def after(frame):
        raise OSError(f"after {frame.number}")

    scenes = Pipeline(Frames(5), infer(see_nothing, after), every=True)
    with pytest.raises(OSError, match="after 0"), scenes:
        assert numbers(scenes) == [0]
    assert accounted(scenes) and scenes.published == 1


def test_one_frame_is_in_a_stage_while_the_one_before_is_in_the_next():
    """Each stage waits for the other to be at work, too; were they one after the other, they would wait for ever."""
    both, found, read = threading.Barrier(2, timeout=10), [], []

    def find(frame):
        found.append(frame.number)
        if frame.number:
            both.wait()
        return frame

    def classify(frame):
        read.append(frame.number)
        if frame.number < 20:
            both.wait()
        return see_nothing(frame)

    with Pipeline(Frames(21), [Stage("find", find), Stage("classify", classify)], every=True) as scenes:
        assert numbers(scenes) == list(range(21))
    assert found == read == list(range(21)) and accounted(scenes)


@pytest.mark.parametrize("slow", ["find", "classify", "neither"])
def test_between_two_stages_nothing_is_dropped_nor_overtaken(slow):
    seen = {"find": [], "classify": []}

    def stage(name):
        def step(frame):
            seen[name].append(frame.number)
            time.sleep(0.002 * (name == slow))
            return frame

        return step

    stages = [Stage("find", stage("find")), Stage("classify", stage("classify")), Stage("see", see_nothing)]
    with Pipeline(Frames(300), stages) as scenes:
        published = numbers(scenes)
    assert seen["find"] == seen["classify"] and set(published) <= set(seen["find"])
    assert seen["find"] == sorted(set(seen["find"])) and seen["find"][-1] == 299
    assert accounted(scenes) and scenes.dropped["unfinished"] == 0


@pytest.mark.parametrize("bad", ["find", "classify"])
@pytest.mark.parametrize("every", [True, False])
def test_an_error_in_any_stage_reaches_the_caller_and_every_frame_is_accounted_for(bad, every):
    def stage(name):
        def step(frame):
            if name == bad and frame.number >= 3:
                raise OSError(f"{name} broke")
            return frame

        return step

    stages = [Stage("find", stage("find")), Stage("classify", stage("classify")), Stage("see", see_nothing)]
    scenes = Pipeline(Frames(), stages, every)
    with pytest.raises(OSError, match=f"{bad} broke"), scenes:
        for _ in scenes:
            pass
    assert accounted(scenes) and scenes.dropped["unfinished"] >= 1


class Counting(Frames):
    """Knows the number of the last frame that it gave."""

    given = -1

    def __iter__(self):
        for each in super().__iter__():
            self.given = each.number
            yield each


def test_at_the_end_of_the_source_the_last_frame_is_delivered():
    with Pipeline(Frames(500), infer(see_nothing)) as scenes:
        got = numbers(scenes)
    assert got[-1] == 499
    assert got == sorted(set(got))
    assert scenes.captured == 500
    assert accounted(scenes)


def test_a_caller_with_other_things_to_do_takes_a_scene_or_none():
    release = threading.Event()

    class Late(Frames):
        def __iter__(self):
            yield frame(0)
            release.wait()
            yield frame(1)

    with Pipeline(Late(), infer(see_nothing), every=True) as scenes:
        assert scenes.next_within(3600).frame.number == 0
        assert scenes.next_within(0.001) is None
        release.set()
        assert scenes.next_within(3600).frame.number == 1
        with pytest.raises(Closed):
            scenes.next_within(3600)
    assert accounted(scenes)


def test_a_source_without_frames_ends_at_once():
    with Pipeline(Frames(0), infer(see_nothing)) as scenes:
        assert numbers(scenes) == []
    assert scenes.captured == 0


def test_the_newest_wins_while_a_frame_is_perceived():
    perceiving, captured_all = threading.Event(), threading.Event()

    class Counted(Frames):
        def __iter__(self):
            yield frame(0)
            perceiving.wait()
            yield from map(frame, range(1, 100))
            captured_all.set()

    def slowly(frame):
        if frame.number == 0:
            perceiving.set()
            captured_all.wait()
        return see_nothing(frame)

    with Pipeline(Counted(), infer(slowly)) as scenes:
        got = numbers(scenes)
    assert got[-1] == 99
    assert set(got) <= {0, 99}  # the caller may be late for 0: then it got the newer scene
    assert scenes.dropped["stale_frame"] == 98
    assert accounted(scenes)


def test_the_newest_wins_while_the_caller_is_busy():
    perceived = threading.Semaphore(0)

    def seen(frame):
        perceived.release()
        return see_nothing(frame)

    with Pipeline(Frames(), infer(seen)) as scenes:
        got = []
        for scene in scenes:
            got.append(scene.frame.number)
            while perceived.acquire(blocking=False):  # those before, which went by while the caller was not yet busy
                pass
            for _ in range(20):  # so many go by while the caller draws
                perceived.acquire()
            if len(got) == 3:
                break
    assert all(after - before >= 10 for before, after in pairwise(got))
    assert scenes.dropped["stale_scene"] > 0
    assert accounted(scenes)


@pytest.mark.parametrize("every", [False, True])
def test_a_caller_that_leaves_stops_everything(every):
    source = Frames()
    with Pipeline(source, infer(see_nothing), every) as scenes:
        for scene in scenes:
            if scene.frame.number >= 10:
                break
    assert source.closed_by == "capture"
    assert accounted(scenes)


def test_a_pipeline_that_nobody_iterates_opens_nothing():
    source = Frames()
    with Pipeline(source, infer(see_nothing)) as scenes:
        pass
    assert source.opened_by is None
    assert scenes.captured == 0


@pytest.mark.parametrize("every", [False, True])
def test_an_error_of_the_source_reaches_the_caller_with_its_traceback(every):
    source, got = Frames(fails_at=5), []
    with (
        pytest.raises(SourceError, match="the film broke") as caught,
        Pipeline(source, infer(see_nothing), every) as scenes,
    ):
        got.extend(numbers_as_they_come(scenes, got))
    assert "break_down" in names(caught.value)
    assert got[-1] == 4
    assert source.closed_by == "capture"
    assert scenes.captured == 5
    assert accounted(scenes)


def numbers_as_they_come(scenes, got):
    for scene in scenes:
        got.append(scene.frame.number)
    return []


def names(error):
    return [each.name for each in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("every", [False, True])
def test_an_error_of_perceiving_reaches_the_caller_with_its_traceback(every):
    source = Frames()

    def perceive_badly(frame):
        if frame.number >= 5:
            raise ZeroDivisionError("in the middle of a face")
        return see_nothing(frame)

    with (
        pytest.raises(ZeroDivisionError, match="of a face") as caught,
        Pipeline(source, infer(perceive_badly), every) as scenes,
    ):
        for _ in scenes:
            pass
    assert "perceive_badly" in names(caught.value)
    assert source.closed_by == "capture"
    assert scenes.dropped["unfinished"] == 1
    assert accounted(scenes)


@pytest.mark.parametrize("every", [False, True])
def test_an_error_of_the_caller_stops_everything_and_is_his(every):
    source = Frames()
    with pytest.raises(KeyError, match="window"), Pipeline(source, infer(see_nothing), every) as scenes:
        for _ in scenes:
            raise KeyError("window")
    assert source.closed_by == "capture"
    assert accounted(scenes)


class Stuck(Frames):
    """Cannot be closed without an error."""

    def __iter__(self):
        try:
            yield from super().__iter__()
        finally:
            raise OSError("the lens does not fold")


def test_an_error_while_the_source_is_closed_reaches_a_caller_who_left():
    with pytest.raises(OSError, match="lens"), Pipeline(Stuck(), infer(see_nothing)) as scenes:
        for _ in scenes:
            break
    assert accounted(scenes)


def test_an_error_besides_the_callers_own_is_logged(caplog):
    with pytest.raises(KeyError), Pipeline(Stuck(), infer(see_nothing)) as scenes:
        for _ in scenes:
            raise KeyError("window")
    assert "the lens does not fold" in caplog.text


class Hanging(Frames):
    """Waits for its third frame without end, as a driver can, unless it is let go."""

    def __init__(self):
        super().__init__()
        self.hangs, self.let_go = threading.Event(), threading.Event()

    def __iter__(self):
        for each in super().__iter__():
            if each.number == 2:
                self.hangs.set()
                self.let_go.wait()
            yield each


class Stoppable(Hanging):
    """Can be told to end its wait."""

    stop = property(lambda self: self.let_go.set)


def test_a_source_that_never_answers_is_left_behind_and_said_so(monkeypatch, caplog):
    monkeypatch.setattr(pipeline_module, "LEAVE_SECONDS", 0.05)
    source = Hanging()
    with caplog.at_level(logging.WARNING), Pipeline(source, infer(see_nothing)) as scenes:
        for _ in scenes:
            source.hangs.wait()
            break
    assert "thread=capture left behind" in caplog.text
    assert accounted(scenes)
    capture = next(each for each in threading.enumerate() if each.name == "capture")
    source.let_go.set()
    capture.join()


def test_a_source_that_can_be_stopped_is_told_so_when_the_caller_leaves(monkeypatch, caplog):
    monkeypatch.setattr(pipeline_module, "LEAVE_SECONDS", 60)
    source = Stoppable()
    with Pipeline(source, infer(see_nothing)) as scenes:
        for _ in scenes:
            source.hangs.wait()
            break
    assert "left behind" not in caplog.text
    assert accounted(scenes)


def test_a_frame_of_an_inference_that_never_ends_is_accounted_for(monkeypatch, caplog):
    monkeypatch.setattr(pipeline_module, "LEAVE_SECONDS", 0.05)
    hangs, go_on, perceived = threading.Event(), threading.Event(), []

    def hang(frame):
        if perceived:
            hangs.set()
            go_on.wait()
        perceived.append(frame.number)  # the first is any: the newest, when this thread came to it
        return see_nothing(frame)

    with Pipeline(Frames(), infer(hang)) as scenes:
        for _ in scenes:
            hangs.wait()
            break
    assert "thread=infer left behind" in caplog.text
    assert scenes.dropped["unfinished"] == 1
    assert accounted(scenes)
    left = next(each for each in threading.enumerate() if each.name == "infer")
    go_on.set()
    left.join()
    assert accounted(scenes)


def test_a_paced_frame_is_held_back_until_it_is_due_and_leaving_does_not_wait_for_it():
    class Later(Frames):
        def __iter__(self):
            yield frame(0, time.monotonic())
            yield frame(1, time.monotonic() + 3600)

    with Pipeline(Later(), infer(see_nothing)) as scenes:
        for scene in scenes:
            assert scene.frame.number == 0
            break
    assert accounted(scenes)


def test_no_frame_of_a_paced_clip_comes_before_its_time():
    with Pipeline(DemoClip(64, 64, fps=2000), infer(see_nothing)) as scenes:
        for scene in scenes:
            assert time.monotonic() >= scene.frame.captured_at
            if scene.frame.number >= 20:
                break


def test_a_machine_without_another_thread_says_so(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    with pytest.raises(RuntimeError, match="start new thread"), Pipeline(Frames(), infer(see_nothing)) as scenes:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        for _ in scenes:
            pass


def test_one_pipeline_is_iterated_once():
    with Pipeline(Frames(3), infer(see_nothing), every=True) as scenes:
        assert iter(scenes) is iter(scenes) is scenes
        assert numbers(scenes) == [0, 1, 2]
        assert numbers(scenes) == []
    assert scenes.captured == 3


class Interrupted(BaseException):
    """What the test's signal raises."""


def test_an_interrupt_at_any_bytecode_stops_everything_and_loses_no_count():
    def interrupt(_number, _frame):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(200):
            scenes = Pipeline(Frames(), infer(see_nothing), every=turn % 2 == 0)
            with pytest.raises(Interrupted):
                # Where it strikes is chance; that everything stops is not.
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + turn * 1e-5)
                with scenes:
                    for _ in scenes:
                        pass
            scenes._stop()  # as the interpreter's exit would, had it struck the very start of __exit__
            assert accounted(scenes)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


LEFT_OPEN = """
from edge.pipeline import Pipeline, Stage
from edge.scene import Scene
from edge.sources.demo import DemoClip

scenes = Pipeline(DemoClip(64, 64), [Stage('infer', lambda frame: Scene(frame, ()))])
next(iter(scenes))
"""


def test_a_pipeline_that_was_never_left_is_stopped_by_the_exit_of_the_interpreter():
    done = subprocess.run([sys.executable, "-c", LEFT_OPEN], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
