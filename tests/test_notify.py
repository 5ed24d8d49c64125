"""What systemd is told, over a real socket: when the daemon is ready, that it is alive, and when it no longer is."""

import os
from pathlib import Path

import psutil
import pytest

from edge.notify import STATUS_LETTERS, Systemd
from tests.daemon import daemon
from tests.fakes import plug_in
from tests.notices import Notices, notices


@pytest.fixture
def told(tmp_path):
    with notices(tmp_path / "notices") as listening:
        yield listening


@pytest.fixture
def environment(tmp_path):
    return {"NOTIFY_SOCKET": str(tmp_path / "notices")}


def test_ready_is_said_once(told, environment):
    systemd = Systemd(environment)
    for _ in range(3):
        systemd.ready()
    systemd.stopping()
    told.until("STOPPING", "1")
    assert told.all == [{"READY": "1"}, {"STOPPING": "1"}]


def test_an_abstract_address_is_one_that_begins_with_an_at():
    address = f"@emotion-edge-test-{os.getpid()}"
    with notices(address) as told:
        Systemd({"NOTIFY_SOCKET": address}).ready()
        told.until("READY", "1")


@pytest.mark.parametrize("address", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_an_address_that_we_know_nothing_is_said(address):
    systemd = Systemd(address | {"WATCHDOG_USEC": "1000000"})
    systemd.ready()
    systemd.feed(1, 1.0)
    assert not systemd.listens


def test_children_are_not_told_where_to_say_anything(environment):
    environment |= {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid()), "LANG": "C"}
    Systemd(environment)
    assert environment == {"LANG": "C"}


def test_the_watchdog_is_fed_four_times_in_its_limit_as_long_as_there_is_progress(told, environment):
    systemd = Systemd(environment | {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())})
    for second in range(1000, 1030):
        systemd.feed(second, second)
    for second in range(1030, 1090):
        systemd.feed("stuck", second)
    systemd.stopping()
    told.until("STOPPING", "1")
    assert told.all == [{"WATCHDOG": "1"}] * 7 + [{"STOPPING": "1"}]


@pytest.mark.parametrize("limit", [{}, {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}])
def test_a_watchdog_that_is_not_ours_is_not_fed(told, environment, limit):
    systemd = Systemd(environment | limit)
    systemd.feed(1, 1.0)
    systemd.stopping()
    told.until("STOPPING", "1")
    assert told.all == [{"STOPPING": "1"}]


def test_a_status_is_one_line_and_no_other_assignment(told, environment):
    systemd = Systemd(environment)
    for text in ("camera lost\nREADY=1", "camera lost READY=1", "x" * 1000, "\udc80"):
        systemd.show(text)
    systemd.stopping()
    told.until("STOPPING", "1")
    assert told.all[:3] == [{"STATUS": "camera lost READY=1"}, {"STATUS": "x" * STATUS_LETTERS}, {"STATUS": "?"}]


def test_a_reload_is_told_from_its_begin_to_its_end_but_not_before_the_start(told, environment):
    systemd = Systemd(environment)
    with systemd.reloading():
        pass
    systemd.ready()
    with systemd.reloading():
        systemd.show("reading")
    systemd.stopping()
    told.until("STOPPING", "1")
    assert [next(iter(notice)) for notice in told.all] == ["READY", "RELOADING", "STATUS", "READY", "STOPPING"]
    assert int(told.all[1]["MONOTONIC_USEC"]) > 0


def test_a_systemd_that_has_no_time_to_listen_holds_nobody_up_and_is_told_again(told, environment, monkeypatch):
    monkeypatch.setattr("edge.notify.WAIT_SECONDS", 0.001)
    systemd = Systemd(environment)
    for number in range(600):  # more than a socket holds
        systemd.show(str(number))
    systemd.ready()
    told.next()
    systemd.ready()
    told.until("READY", "1")


def test_a_systemd_that_has_gone_holds_nobody_up(told, environment, tmp_path):
    (tmp_path / "notices").unlink()
    Systemd(environment).ready()


# The daemon

LIMIT_SECONDS = 0.8


@pytest.fixture
def watched(monkeypatch, environment, told) -> Notices:
    """What daemons say from now on."""
    monkeypatch.setenv("NOTIFY_SOCKET", environment["NOTIFY_SOCKET"])
    monkeypatch.setenv("WATCHDOG_USEC", str(round(LIMIT_SECONDS * 1e6)))
    return told


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory):
    """A place for a camera; cameras are below /dev."""
    path = Path("/dev/shm") / f"{tmp_path_factory.getbasetemp().name}-notify"
    yield path
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def test_a_daemon_tells_of_its_whole_life(watched, tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text('[page]\naddress = "127.0.0.1"\nport = 0\n')
    with daemon("--source", "demo", "--config", path) as running:
        watched.until("READY", "1")
        for _ in range(3):
            watched.until("WATCHDOG", "1")
        while "label=happy faces=1 fps=" not in (said := watched.until("STATUS")["STATUS"]):
            assert said.startswith("label=none faces=0 fps=")
        children = psutil.Process(running.process.pid).children()
        assert children and not any("NOTIFY_SOCKET" in child.environ() for child in children)
        running.hang_up()
        watched.until("RELOADING", "1")
        watched.until("READY", "1")
        assert running.end() == 0
        watched.until("STOPPING", "1")


def test_a_film_that_ends_stops_by_itself(watched, short_clip):
    with daemon("--source", short_clip, "--no-pace") as running:
        watched.until("READY", "1")
        watched.until("STOPPING", "1")
        assert running.wait() == 0


def test_bad_settings_are_the_status_and_nothing_is_ready(watched, tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text("[events]\nmargin = 7\n")
    with daemon("--config", path) as running:
        assert running.wait() == 2
        watched.until("STATUS")
    assert watched.all == [{"STATUS": f"{path}: [events] margin = 7.0: expected 0 to 0.9"}]


SHELF = "--context", "testing", "--set", "camera.fps=50"


def test_a_camera_that_is_not_there_yet_is_waited_for_and_the_watchdog_content(watched, node):
    with daemon("--source", node, *SHELF, program="tests.shelf") as running:
        watched.until("READY", "1")
        assert watched.until("STATUS")["STATUS"].startswith("camera lost ")
        for _ in range(8):  # twice the limit: each is a quarter of it later than the one before
            watched.until("WATCHDOG", "1")
        plug_in(node, fps=50, size=(64, 48))
        running.until('"type":"camera_back"')
        while not watched.until("STATUS")["STATUS"].startswith("label="):
            pass
        assert running.end() == 0


def test_a_camera_that_hangs_again_and_again_is_the_guards_task_and_not_the_watchdogs(watched, node):
    plug_in(node, ("block", 60), *[("block opening", 0)] * 99, fps=50, size=(64, 48))
    with daemon("--source", node, *SHELF, program="tests.shelf") as running:
        running.until('"type":"camera_lost"')
        watched.until("READY", "1")
        while not watched.until("STATUS")["STATUS"].startswith("camera lost no picture for "):
            pass
        for _ in range(8):
            watched.until("WATCHDOG", "1")
        assert running.end() == 0


def test_a_detector_that_hangs_starves_the_watchdog_though_the_daemon_looks_alive(watched, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    with daemon("--source", "demo", program="tests.hang") as running:
        watched.until("READY", "1")
        running.until("the detector hangs")
        watched.drain()
        watched.until("STATUS")  # before it the last scenes may have counted
        before = len(watched.all)
        for _ in range(3):  # the main thread goes on
            watched.until("STATUS")
        assert {"WATCHDOG": "1"} in watched.all[:before]
        assert {"WATCHDOG": "1"} not in watched.all[before:]


def test_a_detector_that_hangs_does_not_keep_the_daemon_from_ending():
    """Its thread is left behind, and it is not closed while it may be at work."""
    with daemon("--source", "demo", program="tests.hang") as running:
        running.until("the detector hangs")
        assert running.end() == 0
    assert any("thread=detect left behind" in line for line in running.log)
    assert not any("Traceback" in line for line in running.log)
