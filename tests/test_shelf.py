"""The whole daemon, left alone with a camera that breaks: what it tells, and how it ends."""

from contextlib import closing
from pathlib import Path

import pytest

from edge.archive import Archive
from edge.selftest import PORTRAIT
from tests.daemon import Daemon, daemon
from tests.fakes import plug_in

WATCH = "--context", "testing", "--set", "camera.fps=50", "--set", "camera.give_up_after=3"


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory):
    """A place for a camera; cameras are below /dev."""
    path = Path("/dev/shm") / f"{tmp_path_factory.getbasetemp().name}-camera"
    yield path
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def plugged(node: Path, *faults: tuple[str, int]) -> Path:
    return plug_in(node, *faults, fps=50, size=(480, 480), face=PORTRAIT)


def watching(node: Path, *words: object):
    return daemon("--source", node, *WATCH, *words, program="tests.shelf")


def ended_well(running: Daemon) -> list[str]:
    """What happened, in order; each track that began has ended."""
    assert running.end() == 0
    assert "Traceback" not in "\n".join(running.log)
    assert [event["seq"] for event in running.events] == list(range(1, len(running.events) + 1))
    types = [event["type"] for event in running.events]
    assert types.count("start") == types.count("end")
    return types


@pytest.mark.parametrize("fault", ["end", "block", "freeze", "crash", "raise", "garbage"])
def test_a_camera_that_fails_ends_the_tracks_is_told_of_and_comes_back(node, fault):
    plugged(node, (fault, 60))
    with watching(node) as running:
        running.until('"type":"camera_back"')
        running.until('"type":"start"', times=2)
        assert ended_well(running) == ["start", "end", "camera_lost", "camera_back", "start", "end"]
    assert {event["label"] for event in running.events if event["type"] == "start"} == {"happy"}
    assert running.events[0]["track"] != running.events[-1]["track"]


def test_a_camera_that_is_gone_for_good_ends_the_daemon_with_a_code_for_systemd(node):
    plugged(node, ("unplug", 60))
    with watching(node) as running:
        assert running.wait() == 2
    assert [event["type"] for event in running.events] == ["start", "end", "camera_lost"]
    assert running.log[-1].startswith("emotion-edge: ")


def test_a_stop_while_the_camera_hangs_is_a_clean_end(node):
    plugged(node, ("block", 60), ("block opening", 0), ("block opening", 0))
    with watching(node) as running:
        running.until('"type":"camera_lost"')
        assert ended_well(running) == ["start", "end", "camera_lost"]
    assert not any("left behind" in line for line in running.log)


def test_events_of_people_and_of_the_camera_are_in_the_record_too(node, tmp_path):
    plugged(node, ("end", 60))
    with watching(node, "--store", tmp_path / "events.db") as running:
        running.until('"type":"start"', times=2)
        ended_well(running)
    with closing(Archive(tmp_path / "events.db")) as archive:
        stored = [each.line.decode() for each in archive.after(0, 100)]
    assert stored == running.printed


def test_while_nobody_is_there_fewer_pictures_are_looked_at_until_somebody_comes(node):
    plug_in(node, ("end", 100), fps=50, size=(480, 480))
    with watching(node, "--set", "governor.idle_seconds=0.5", "--set", "governor.idle_fps=5") as running:
        assert "fps=5 why='nobody is there'" in running.until("effort ")
        plugged(node)  # what it is from its next opening on
        running.until("fps=all why='all goals are met'")
        running.until('"type":"start"')
        assert ended_well(running) == ["camera_lost", "camera_back", "start", "end"]
