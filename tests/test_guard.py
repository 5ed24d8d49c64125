"""Guarded: a camera in a process of its own, which breaks in every way, is noticed, killed and opened again."""

import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from edge import config
from edge.classifier import open_classifier
from edge.errors import SourceError
from edge.pipeline import Pipeline, Stage
from edge.run import perceiver_of, stages_of
from edge.scene import Scene
from edge.sources import guard as guard_module
from edge.sources import remote
from edge.sources.cameras import lasting_path
from edge.sources.demo import DemoClip
from edge.sources.guard import BLANK, Guarded
from edge.sources.remote import Remote
from edge.sources.ring import BUFFERS
from edge.sources.watch import Limits
from tests.fakes import SCRIPTED, happened, plug_in

ROOT = Path(__file__).parents[1]

LIMITS = Limits(opening_seconds=60, silent_seconds=30, first_delay_seconds=0.01, longest_delay_seconds=0.05)
"""Delays that a test has time for, and patience with a camera's process that gets no time on a busy machine."""

HASTY = replace(LIMITS, silent_seconds=0.5)
"""For cameras that hang; one that only gets no time may be lost once more."""


class Guard(Guarded):
    """One that keeps what it tells of, in order: CameraEvents, and "gap"."""

    def __init__(self, node, limits=LIMITS, **settings):
        self.told = []
        asked = config.Camera(source=str(node), fps=100, **settings)
        super().__init__(asked, self.told.append, lambda: self.told.append("gap"), SCRIPTED, limits)

    def types(self):
        return [each if each == "gap" else each.type for each in self.told]

    def reasons(self, kind="camera_lost"):
        return [each.reason for each in self.told if each != "gap" and each.type == kind]


@pytest.fixture
def node(tmp_path):
    return tmp_path / "video0"


def processes():
    """Those that we started and that have not ended; a killed one that could not be waited for is reaped here."""
    remote._reap()
    return psutil.Process().children()


@pytest.fixture(autouse=True)
def no_process_is_left():
    before = processes()
    yield
    eventually(lambda: processes() == before)  # on a busy machine a killed one may take its time to die


def take(source, count):
    """Its first frames; then it is closed."""
    with closing(iter(source)) as frames:
        return list(islice(frames, count))


def eventually(state):
    """Wait for what another thread or process does; pytest's time limit is the deadline."""
    while not state():
        time.sleep(0.01)


def process_of(node):
    return happened(node)[-1]["process"]


def test_frames_come_from_a_process_of_their_own_in_order_and_whole(node):
    began = time.monotonic()
    frames = take(Guard(plug_in(node, size=(80, 60))), 20)
    assert process_of(node) != os.getpid()
    assert all((each.pixels.shape, each.pixels.dtype) == ((60, 80, 3), np.uint8) for each in frames)
    assert all(before.number < after.number for before, after in pairwise(frames))
    assert all(began < before.captured_at < after.captured_at for before, after in pairwise(frames))
    assert all(each.moment == each.captured_at and each.took_ms > 0 and each.name == str(node) for each in frames)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 256, (60, 80, 3), np.uint8)[..., ::-1] for _ in range(frames[-1].number + 1)]
    if frames[-1].number == 19:  # none was passed over, so all were drawn
        assert all((each.pixels == drawn[each.number]).all() for each in frames)


def test_a_frame_never_changes_after_it_was_made(node):
    frames = take(Guard(plug_in(node)), 5 * BUFFERS)
    assert all(each.pixels.base is None and each.pixels.flags.owndata for each in frames)
    assert len({each.pixels.tobytes() for each in frames}) == len(frames)


FAULTS = {
    "end": "frames: was it unplugged?",
    "garbage": "stopped delivering after ",
    "crash": "its process was ended by SIGSEGV",
    "exit": "its process ended with exit code 3",
    "raise": "RuntimeError: the driver's binding failed",
    "freeze": "the same picture again and again for 0.2 s: the camera is frozen",
}


def test_whatever_breaks_is_told_with_its_reason_and_the_camera_is_opened_again(node):
    guard = Guard(plug_in(node, *((fault, 5) for fault in FAULTS)), frozen_seconds=0.2)
    numbers, moments = [], []
    for frame in guard:
        numbers.append(frame.number)
        moments.append(frame.moment)
        if guard.reopens == len(FAULTS):
            break
    assert guard.types() == ["gap", "camera_lost", "camera_back"] * len(FAULTS)
    for expected, lost, back in zip(FAULTS.values(), guard.told[1::3], guard.told[2::3], strict=True):
        assert expected in lost.reason and lost.reason == back.reason
        assert lost.captured_at < back.captured_at
        assert lost.camera == back.camera == str(node)
        assert back.dwell_ms == pytest.approx((back.captured_at - lost.captured_at) * 1000)
    assert moments == sorted(set(moments)) and numbers == sorted(set(numbers))
    assert (guard.state, guard.reason) == ("running", "")
    assert Counter(line["what"] for line in happened(node))["open"] == len(FAULTS) + 1


@pytest.mark.parametrize("fault", ["block", pytest.param("block opening", marks=pytest.mark.long)])
def test_a_camera_that_hangs_is_killed_and_replaced(node, fault):
    guard = Guard(plug_in(node, (fault, 5)), replace(HASTY, opening_seconds=5 if fault == "block opening" else 60))
    with closing(iter(guard)) as frames:
        eventually(lambda: next(frames) and guard.reopens)
    assert "the camera or its driver hangs" in guard.reasons()[0]
    hung = happened(node)[0]["process"]
    eventually(lambda: hung not in [each.pid for each in processes()])


def test_of_a_camera_that_never_gave_a_picture_the_loss_dates_from_when_it_was_asked(node):
    began = time.monotonic()
    guard = Guard(plug_in(node, ("crash", 0)))
    take(guard, 1)
    lost, back = guard.told[1:]
    assert (lost.type, lost.dwell_ms, back.type) == ("camera_lost", 0, "camera_back")
    assert began < lost.captured_at < happened(node)[0]["at"]


def test_no_frame_of_a_frozen_camera_comes_twice(node):
    guard = Guard(plug_in(node, ("freeze", 5), ("still", 5), ("still", 0)), frozen_seconds=0.2)
    pictures = [frame.pixels.tobytes() for frame in take(guard, 30)]
    assert len(set(pictures)) == 30
    # Opened once more, it still showed the picture that it had been frozen with: so it was not back.
    assert [line["what"] for line in happened(node)] == ["open", "freeze", "open", "still", "open", "still", "open"]
    assert guard.reopens == 2


def test_a_picture_of_another_size_is_no_fault(node):
    guard = Guard(plug_in(node, ("size", 5), size=(80, 60)))
    frames = take(guard, 12)
    assert [frame.pixels.shape for frame in frames] == [
        (80, 60, 3) if each.number >= 5 else (60, 80, 3) for each in frames
    ]
    assert len({frame.pixels.tobytes() for frame in frames}) == 12
    assert guard.told == ["gap"]  # where the faces were says nothing now


def test_a_single_damaged_picture_is_no_fault_and_the_log_of_the_process_is_ours(node, caplog):
    guard = Guard(plug_in(node, ("damaged", 5)))
    with caplog.at_level(logging.INFO):
        frames = take(guard, 12)
    assert 5 not in [frame.number for frame in frames]
    assert guard.told == []
    assert f"camera={node} size=160x120 fps=100 format=MJPG asked=640x480@100" in caplog.messages


def test_a_camera_that_hesitates_is_not_lost(node):
    guard = Guard(plug_in(node, ("hesitate", 5)), replace(LIMITS, silent_seconds=5))
    assert len(take(guard, 12)) == 12
    assert guard.told == []


def test_a_camera_in_the_dark_is_told_of_and_not_closed(node, caplog):
    guard = Guard(plug_in(node, ("blank", 5)), frozen_seconds=0.2)
    with closing(iter(guard)) as frames:
        eventually(lambda: next(frames) and guard.reason)
        for _ in range(30):
            next(frames)
    assert (guard.state, guard.reason, guard.told) == ("running", BLANK, [])
    assert sum(BLANK in each for each in caplog.messages) == 1


def test_a_slow_camera_is_told_of_and_not_closed(node, caplog):
    guard = Guard(plug_in(node, ("slow", 10)), replace(LIMITS, slow_seconds=0.5))
    with closing(iter(guard)) as frames:
        eventually(lambda: next(frames) and guard.slow_spells)
        for _ in range(5):
            next(frames)
    assert (guard.state, guard.told) == ("running", [])
    assert sum(" slow fps=" in each for each in caplog.messages) == 1


def refused(source) -> str:
    with pytest.raises(SourceError) as caught:
        take(source, 10**6)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_camera_that_is_not_there_is_refused_at_once(node):
    guard = Guard(node)
    assert f"no camera at {node}: there are: " in refused(guard)
    assert guard.told == [] and happened(node) == []


def test_a_camera_that_does_not_open_at_the_very_first_try_is_refused_at_once(node):
    guard = Guard(plug_in(node, ("refuse", 0)))
    assert f"camera {node} does not open: another program has it, or it is no camera" in refused(guard)
    assert guard.told == []


@pytest.mark.parametrize(("every_seconds", "complaints"), [(60, 0), (0, 3)])
def test_after_so_many_vain_tries_it_is_given_up(node, caplog, every_seconds, complaints):
    limits = replace(LIMITS, complain_seconds=every_seconds)
    guard = Guard(plug_in(node, ("end", 5), *[("refuse", 0)] * 9), limits, give_up_after=3)
    assert f"camera {node} gave no picture in 3 tries, the last: camera {node} does not open" in refused(guard)
    assert guard.types() == ["gap", "camera_lost"]
    assert [line["what"] for line in happened(node)] == ["open", "end", *["open", "refuse"] * 3]
    assert sum("still lost" in each for each in caplog.messages) == complaints


def test_a_picture_in_between_begins_the_counting_anew(node):
    guard = Guard(plug_in(node, *[("end", 5), ("refuse", 0)] * 2), give_up_after=2)
    with closing(iter(guard)) as frames:
        eventually(lambda: next(frames) and guard.reopens == 2)


def test_a_camera_that_is_plugged_in_again_is_opened_however_long_the_delay(node):
    guard = Guard(plug_in(node, ("unplug", 5)), replace(LIMITS, first_delay_seconds=1e6, longest_delay_seconds=1e6))

    def replug():
        eventually(lambda: "no camera at" in guard.reason)
        plug_in(node)

    hand = threading.Thread(target=replug)
    hand.start()
    with closing(iter(guard)) as frames:
        eventually(lambda: next(frames) and guard.reopens)
    hand.join()
    assert guard.types() == ["gap", "camera_lost", "camera_back"]


def test_a_camera_that_comes_back_with_another_number_is_found_and_none_in_its_place_taken(tmp_path, monkeypatch):
    first, second, links = tmp_path / "video0", tmp_path / "video1", tmp_path / "by-id"
    links.mkdir()
    name = links / "usb-Maker_1234"
    plug_in(first, ("unplug", 5))
    name.symlink_to(first)
    monkeypatch.setattr(guard_module, "lasting_path", partial(lasting_path, links=(links,)))
    guard = Guard(first)

    def replug():
        eventually(lambda: "no camera at" in guard.reason)
        plug_in(first)  # another one takes its number
        plug_in(second, size=(80, 60))
        name.symlink_to(second)

    hand = threading.Thread(target=replug)
    hand.start()
    with closing(iter(guard)) as frames:
        eventually(lambda: next(frames) and guard.reopens)
        assert next(frames).pixels.shape == (60, 80, 3)
    hand.join()
    assert guard.name == str(first)
    assert [line["what"] for line in happened(name)] == ["open", "unplug", "open"]


def test_while_pictures_are_passed_over_there_are_signs_of_them(node):
    with closing(Remote(str(plug_in(node)), config.Camera(), SCRIPTED)) as camera:
        camera.want(0.001)
        while not camera.receive(30):
            pass
        assert [camera.receive(30) for _ in range(3)] == [None] * 3
        assert camera.silent_seconds == 0
        assert len(happened(node)) == 1


class Watched:
    """A Guard read by a real Pipeline on its threads, while the test does what other threads do."""

    def __init__(self, guard):
        self.guard, self.scenes = guard, Pipeline(guard, [Stage("see", lambda frame: Scene(frame, ()))])

    def __enter__(self):
        self.scenes.__enter__()
        return self

    def __exit__(self, *error):
        self.scenes.__exit__(*error)
        assert self.scenes.captured == self.scenes.published + sum(self.scenes.dropped.values())

    def frame(self):
        while (scene := self.scenes.next_within(1)) is None:
            pass
        return scene.frame

    def until(self, state):
        while not state():
            self.scenes.next_within(0.01)


def test_a_pause_closes_the_camera_and_resuming_opens_it(node):
    guard = Guard(plug_in(node))
    with Watched(guard) as watched:
        before = watched.frame()
        guard.pause()
        watched.until(lambda: guard.state == "paused")
        eventually(lambda: processes() == [])
        assert guard.camera_fps == 0
        guard.resume()
        while watched.frame().number <= before.number or len(happened(node)) < 2:
            pass
    assert (guard.state, guard.types()) == ("running", ["gap"])


def test_other_settings_open_another_camera(node, tmp_path):
    guard = Guard(plug_in(node))
    other = plug_in(tmp_path / "video1", size=(80, 60))
    with Watched(guard) as watched:
        last = watched.frame().number
        guard.adopt(guard._settings)  # the same: nothing happens
        guard.adopt(replace(guard._settings, source=str(other)))
        while (frame := watched.frame()).name != str(other):
            last = frame.number
        assert frame.number > last and frame.pixels.shape == (60, 80, 3)
    assert (guard.name, guard.types()) == (str(other), ["gap"])
    assert len(happened(node)) == len(happened(other)) == 1


def test_a_lost_camera_that_is_paused_and_resumed_is_told_back(node):
    guard = Guard(plug_in(node, ("unplug", 5)), replace(LIMITS, first_delay_seconds=1e6, longest_delay_seconds=1e6))
    with Watched(guard) as watched:
        watched.until(lambda: "no camera at" in guard.reason)
        guard.pause()
        watched.until(lambda: guard.state == "paused")
        plug_in(node)
        guard.resume()
        watched.until(lambda: guard.reopens)
    assert guard.types()[-2:] == ["camera_lost", "camera_back"] or guard.types()[-1] == "camera_back"
    assert guard.types().count("camera_lost") == guard.types().count("camera_back") == 1


STATES = {
    "starting": (("none", -1), lambda guard, node: True),
    "opening": (("block opening", 0), lambda guard, node: len(happened(node)) == 2),
    "running": (("none", -1), lambda guard, node: guard.camera_fps),
    "hanging": (("block", 5), lambda guard, node: len(happened(node)) == 2),
    "lost": (("unplug", 5), lambda guard, node: "no camera at" in guard.reason),
    "paused": (("none", -1), lambda guard, node: (guard.camera_fps and guard.pause()) or guard.state == "paused"),
}
"""Where the capture thread may stand when it is to leave: what breaks, and how one sees that it came there."""


@pytest.mark.parametrize("state", STATES)
def test_leaving_ends_it_soon_in_every_state(node, state, caplog):
    fault, reached = STATES[state]
    guard = Guard(plug_in(node, fault), replace(LIMITS, first_delay_seconds=1e6, longest_delay_seconds=1e6))
    with Watched(guard) as watched:
        watched.until(lambda: reached(guard, node))
    assert "left behind" not in caplog.text
    assert "capture" not in [each.name for each in threading.enumerate()]
    eventually(lambda: processes() == [])


def test_a_stop_before_the_first_frame_is_not_forgotten(node):
    guard = Guard(plug_in(node))
    frames = iter(guard)
    guard.stop()
    assert list(frames) == [] and happened(node) == []
    assert len(take(guard, 1)) == 1


def test_a_lower_rate_is_had_by_passing_pictures_over_and_all_of_them_again(node):
    guard = Guard(plug_in(node))
    guard.rate_fps = 10
    with closing(iter(guard)) as frames:
        eventually(lambda: next(frames).number > 20)
        some = [next(frames) for _ in range(4)]
        assert all(after.captured_at - before.captured_at > 0.09 for before, after in pairwise(some))
        guard.rate_fps = None
        eventually(lambda: -next(frames).number + next(frames).number == 1)
    assert guard.told == []


def test_a_slow_reader_holds_up_nothing_and_then_gets_fresh_pictures(node):
    guard = Guard(plug_in(node, ("hesitate", 60)))
    with closing(iter(guard)) as frames:
        first = next(frames).number
        eventually(lambda: len(happened(node)) == 2)  # the camera went on, to its 60th picture
        numbers = [next(frames).number for _ in range(BUFFERS + 2)]
    assert numbers[BUFFERS - 1] < 60 - BUFFERS <= numbers[BUFFERS + 1]
    assert first < numbers[0]
    assert guard.told == []


def test_signals_that_mean_the_program_do_not_end_its_camera(node):
    guard = Guard(plug_in(node))
    with closing(iter(guard)) as frames:
        next(frames)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process_of(node), each)
        assert len(list(islice(frames, 10))) == 10
    assert guard.told == [] and len(happened(node)) == 1


def test_a_process_that_the_system_kills_is_replaced(node):
    guard = Guard(plug_in(node))
    with closing(iter(guard)) as frames:
        next(frames)
        os.kill(process_of(node), signal.SIGKILL)
        eventually(lambda: next(frames) and guard.reopens)
    assert "its process was ended by SIGKILL" in guard.reasons()[0]


WATCHES = """
import sys
from edge import config
from edge.sources.guard import Guarded
from tests.fakes import SCRIPTED
for frame in Guarded(config.Camera(source=sys.argv[1]), opener=SCRIPTED):
    print(frame.number, flush=True)
"""


@pytest.mark.parametrize("fault", ["none", "block"])
def test_when_the_program_is_killed_its_camera_is_let_go(node, fault):
    plug_in(node, (fault, 5))
    command = [sys.executable, "-c", WATCHES, str(node)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as program:
        eventually(lambda: len(happened(node)) == (1 if fault == "none" else 2))
        program.kill()
    eventually(lambda: not psutil.pid_exists(process_of(node)))


def test_a_folder_that_is_named_like_our_package_is_not_taken_for_it(node, tmp_path, monkeypatch):
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    assert len(take(Guard(plug_in(node)), 1)) == 1


def test_a_process_that_cannot_be_started_is_a_loss_with_its_reason(node, monkeypatch):
    guard, spawn = Guard(plug_in(node)), remote._spawned

    def refuse(*_):
        monkeypatch.setattr(remote, "_spawned", spawn)
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(remote, "_spawned", refuse)
    assert len(take(guard, 1)) == 1
    assert guard.reasons() == [f"camera {node}: a process for it cannot be started: Resource temporarily unavailable"]


def test_a_process_that_is_stuck_in_its_driver_keeps_nobody_waiting(node, monkeypatch, caplog):
    """A pretence: a kill that does nothing yet. Only a broken driver has processes that outlive one."""
    kept = []
    with monkeypatch.context() as stuck, closing(iter(Guard(plug_in(node, ("block", 1))))) as frames:
        stuck.setattr(remote, "END_SECONDS", 0.05)
        stuck.setattr(subprocess.Popen, "kill", lambda process: kept.append(process))  # noqa: PLW0108  # a method
        next(frames)
        eventually(lambda: len(happened(node)) == 2)
        frames.close()
    assert "is killed but stuck in its driver" in caplog.text
    assert remote._stuck == kept
    kept[0].kill()
    kept[0].wait()
    take(Guard(node), 1)
    assert kept[0] not in remote._stuck


DAEMON = """
import sys
from edge.sources import guard
from tests.fakes import SCRIPTED
class Scripted(guard.Guarded):
    def __init__(self, settings, tell, gap, **more):
        super().__init__(settings, tell, gap, SCRIPTED, **more)
guard.Guarded = Scripted
from edge.cli import main
sys.exit(main())
"""
"""The real command line, with the camera that there is not."""


@pytest.fixture
def device():
    """A path that is a device's by its name."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder / "video0"
    shutil.rmtree(folder)


@pytest.mark.parametrize("fault", ["none", "block"])
def test_a_signal_to_all_processes_ends_the_program_cleanly_and_is_no_loss_of_the_camera(device, tmp_path, fault):
    plug_in(device, (fault, 20), fps=30)
    settings = tmp_path / "edge.toml"
    settings.write_text(f'[camera]\nsource = "{device}"\n[events]\npath = "{tmp_path}/events.jsonl"\n')
    command = [sys.executable, "-c", DAEMON, "run", "--context", "testing", "--config", str(settings)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        eventually(lambda: len(happened(device)) == (1 if fault == "none" else 2))
        os.killpg(program.pid, signal.SIGTERM)
        log = program.communicate()[1]
    assert program.returncode == 0, log
    assert "INFO stop " in log and "Traceback" not in log and "left behind" not in log
    assert fault == "block" or "lost" not in log


def handles():
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(processes())


@pytest.mark.parametrize("times", [4, pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_nothing_is_left_of_a_camera_that_was_lost(node, times):
    kinds = ["crash", "end", "exit", "raise", "size"]
    guard = Guard(plug_in(node, *((kinds[turn % 4], 3) for turn in range(times))))
    with closing(iter(guard)) as frames:
        next(frames)
        before = handles()
        eventually(lambda: next(frames) and guard.reopens == times)
        eventually(lambda: handles() == before)


class Told(Guard):
    """Keeps when it told of each event, too."""

    def __init__(self, node, limits, **settings):
        super().__init__(node, limits, **settings)
        self.told_at = []
        self._tell = lambda event: (self.told.append(event), self.told_at.append((event.type, time.monotonic())))


@contextmanager
def plugged_in_again_and_again(node):
    """Somebody who puts the camera back whenever it is gone."""
    script, done = node.read_text(), threading.Event()

    def replug():
        while not done.wait(0.02):
            if not node.exists():
                whole = node.with_suffix(".back")
                whole.write_text(script)
                whole.rename(node)

    hand = threading.Thread(target=replug)
    hand.start()
    try:
        yield
    finally:
        done.set()
        hand.join()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("fault", "median_seconds"), [("unplug", 1), ("crash", 1), ("block", 2), ("freeze", 2)])
def test_fifty_times_it_is_noticed_and_another_process_started_in_time(node, fault, median_seconds):
    """With the limits that ship. The median, because on a busy machine a process may have to wait for its turn."""
    plug_in(node, *[(fault, 3 + turn % 7) for turn in range(50)], fps=30, size=(640, 480))
    guard = Told(node, replace(Limits(), steady_seconds=0))
    with plugged_in_again_and_again(node), Watched(guard) as watched:
        while guard.reopens < 50:
            watched.scenes.next_within(0.1)
    log = happened(node)
    broke, opened = ([line["at"] for line in log if line["what"] == what] for what in (fault, "open"))
    lost, back = ([at for kind, at in guard.told_at if kind == what] for what in ("camera_lost", "camera_back"))
    assert len(lost) == len(back) == len(broke) == 50
    noticed, replaced, returned = (
        sorted(then - at for at, then in zip(broke, thens, strict=False)) for thens in (lost, opened[1:], back)
    )
    for name, seconds in (("noticed", noticed), ("opened", replaced), ("back", returned)):
        print(f"{fault}: {name} after p50={seconds[25]:.2f} s, max={seconds[-1]:.2f} s")
    assert noticed[25] <= median_seconds and replaced[25] <= median_seconds + 0.5


ENDING = {
    "end": "stopped delivering",
    "unplug": "stopped delivering",
    "garbage": "stopped delivering",
    "crash": "SIGSEGV",
    "exit": "exit code 3",
    "raise": "the driver's binding failed",
    "freeze": "frozen",
    "block": "no picture for",
}
HARMLESS = dict.fromkeys(("damaged", "size", "hesitate", "slow"), "stopped delivering")
LETTERS = {"camera_lost": "L", "camera_back": "B", "start": "s", "change": "c", "end": "e"}


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_hundred_faults_invent_no_event_and_lose_none(node, tmp_path):
    """Real threads, detector, model, tracker and settler, and a face that is there whenever the camera delivers."""
    rng = np.random.default_rng(4)
    kinds = ENDING | HARMLESS
    faults = [(str(rng.choice(list(kinds))), int(rng.integers(1, 60))) for _ in range(100)]
    face = tmp_path / "face.png"
    cv2.imwrite(str(face), cv2.cvtColor(DemoClip(320, 240).picture(30), cv2.COLOR_RGB2BGR))
    plug_in(node, *faults, fps=60, size=(320, 240), face=face, lasts=120)
    settings = config.Settings(events=config.Events(dwell_seconds=0.2, smooth_seconds=0.1))
    told = []
    perceiver = perceiver_of(settings, open_classifier(settings.model), told.append)
    guard = Guard(node, replace(LIMITS, silent_seconds=3), frozen_seconds=0.5)
    guard._tell, guard._gap = told.append, perceiver.gap
    before = handles()
    with closing(perceiver), plugged_in_again_and_again(node):
        with Pipeline(guard, stages_of(perceiver)) as scenes:
            while guard.reopens < 100:
                scenes.next_within(1)
        assert scenes.captured == scenes.published + sum(scenes.dropped.values())
    eventually(lambda: handles() == before)

    lost = [each for each in told if each.type == "camera_lost"]
    assert [kinds[fault] for fault, _ in faults] == [
        next(sign for sign in set(kinds.values()) if sign in each.reason) for each in lost
    ]
    text = "".join(LETTERS[each.type] for each in told)
    for (fault, _), of_one in zip(faults, text.split("LB"), strict=False):
        assert re.fullmatch("(sc*e)?(sc*e)?" if fault == "size" else "(sc*e)?", of_one), (fault, text)
    assert text.count("LB") == text.count("L") == text.count("B") == 100
    assert text.count("s") >= 50
    broke = iter([line["at"] for line in happened(node) if line["what"] not in ("open", *HARMLESS)])
    latest = -math.inf
    for event in told:  # none is of a picture from after the fault, but for the one that a frozen camera repeats then
        if event.type == "camera_lost":
            assert latest <= next(broke) + 0.25
        elif event.type != "camera_back":
            latest = event.captured_at
