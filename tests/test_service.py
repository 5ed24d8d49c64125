"""The service on whole Debian systems, with systemd as their first process: it starts, is watched, and comes back."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.machines import RELEASES, Machine, boot, root
from tests.packages import deb

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first makes the system and the package

UNIT = "emotion-edge.service"
PLACE = "/usr/lib/systemd/system"
SETTINGS = "/etc/emotion-edge/edge.toml"
STATE = "/var/lib/emotion-edge"
STORE = f"{STATE}/events.db"

WORST_SCORE = 1.5
"""Of `systemd-analyze security`, 0 (nothing can be done to the system) to 10."""

DEMO = f"""
[camera]
repeat = true
[store]
path = "{STORE}"
"""

CAMERA = f"""
[camera]
source = "0"
[privacy]
context = "testing"
[store]
path = "{STORE}"
"""


@pytest.fixture(scope="module", params=RELEASES)
def device(request) -> Iterator[Machine]:
    """A machine with the package installed."""
    package = deb(request.param)
    with boot(root(request.param)) as machine:
        machine.put(package, "/root/emotion-edge.deb")
        machine.run("dpkg", "--install", "/root/emotion-edge.deb")
        yield machine


class Service:
    """The service, of which a test says how it is set up, and starts it."""

    def __init__(self, device: Machine) -> None:
        self.device = device
        self._began_at = device.run("date", "+@%s.%6N").strip()

    def set_up(self, settings: str = DEMO, **options: object) -> None:
        """With these settings, and these options of the unit changed."""
        self.device.write(SETTINGS, settings)
        lines = ["[Service]", *(f"{name}={value}" for name, value in options.items())]
        self.device.write(f"/etc/systemd/system/{UNIT}.d/test.conf", "\n".join(lines))
        self.device.run("systemctl", "daemon-reload")

    def start(self, settings: str = DEMO, **options: object) -> None:
        """As set up so, until it is ready."""
        self.set_up(settings, **options)
        self.device.run("systemctl", "start", UNIT)

    def says(self, name: str) -> str:
        """A property of the unit."""
        return self.device.property(UNIT, name)

    def until(self, text: str, name: str) -> None:
        """A property has this text in it."""
        self.device.until(text, "systemctl", "show", UNIT, f"--property={name}")

    def until_logged(self, text: str, times: int = 1) -> None:
        """It was logged so many times in this test."""
        count = f"journalctl --quiet --unit={UNIT} --output=cat --since={self._began_at} | grep -cF {shlex.quote(text)}"
        self.device.until("enough", "sh", "-c", f"[ $({count}) -ge {times} ] && echo enough")

    def journal(self, *options: str) -> str:
        """What it has logged in this test; `options` are journalctl's."""
        return self.device.journal(UNIT, f"--since={self._began_at}", *options)

    @property
    def events(self) -> list[dict[str, object]]:
        """What is in its record."""
        printed = self.device.run("emotion-edge", "events", "list", f"--store={STORE}", "--json")
        return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]

    def is_in_sequence(self) -> bool:
        events = self.events
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), events
        return True


@pytest.fixture
def service(device) -> Iterator[Service]:
    device.shell(f"systemctl stop {UNIT}; systemctl reset-failed {UNIT}; rm -rf {STATE}", check=False)
    yield Service(device)
    device.shell(f"systemctl stop {UNIT}; systemctl disable {UNIT}", check=False)


def test_the_units_are_sound_and_shut_off_from_the_system(device):
    assert device.run("systemd-analyze", "verify", "--recursive-errors=yes", UNIT, "emotion-edge@front.service") == ""
    for unit in (UNIT, "emotion-edge@.service"):
        limit = f"--threshold={round(10 * WORST_SCORE)}"
        device.run("systemd-analyze", "security", "--offline=true", limit, f"{PLACE}/{unit}")


def test_it_is_ready_and_its_events_are_in_the_journal_and_the_record(service):
    service.start()
    assert (service.says("ActiveState"), service.says("SubState")) == ("active", "running")
    service.until("label=happy faces=1 fps=", "StatusText")
    service.until_logged('"type":"start"')
    service.device.until('"happy"', "emotion-edge", "events", "list", f"--store={STORE}", "--json")
    started = service.journal("--output=json", "EMOTION_EDGE_SOURCE=demo").splitlines()
    entry = json.loads(started[-1])
    assert entry["MESSAGE"].startswith("start version=")
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "emotion-edge")
    assert entry["_UID"] != "0"


def test_a_stopped_process_is_ended_by_the_watchdog_and_another_begins(service):
    service.start(WatchdogSec=5, RestartSec="100ms")
    service.until_logged('"type":"start"')
    service.device.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
    service.until("NRestarts=1", "NRestarts")
    service.until("ActiveState=active", "ActiveState")
    assert "Watchdog timeout (limit 5s)!" in service.journal()
    assert "Fatal Python error: Aborted" in service.journal()  # with where it hung
    service.until_logged('"type":"start"', times=2)
    assert service.is_in_sequence()


def test_a_camera_that_is_not_there_is_waited_for_and_so_is_one_that_does_not_answer(service):
    service.start(CAMERA, WatchdogSec=5)
    service.until("camera lost no camera at /dev/video0", "StatusText")
    service.device.run("mknod", "--mode=660", "/dev/video0", "c", "81", "0")  # a node without a driver
    service.device.run("chgrp", "video", "/dev/video0")
    service.until("camera lost camera /dev/video0 ", "StatusText")
    assert (service.says("ActiveState"), service.says("NRestarts")) == ("active", "0")
    service.device.run("rm", "/dev/video0")


def test_what_was_committed_survives_a_kill(service):
    service.start(RestartSec="100ms")
    service.until_logged('"type":"start"')
    service.device.until('"start"', "emotion-edge", "events", "list", f"--store={STORE}", "--json")
    service.device.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    service.until("NRestarts=1", "NRestarts")
    service.until_logged('"type":"start"', times=2)
    service.device.until('"seq":2', "emotion-edge", "events", "list", f"--store={STORE}", "--json")
    assert service.is_in_sequence()


def test_a_full_disk_is_survived_and_caught_up_with(service):
    service.device.shell(f"mkdir -p {STATE}; mount -t tmpfs -o size=80k tmpfs {STATE}")
    try:
        service.start()
        service.device.run("dd", "if=/dev/zero", f"of={STATE}/ballast", check=False)
        service.until_logged("events cannot be stored")
        service.device.run("rm", f"{STATE}/ballast")
        service.until_logged("events are stored again")
        assert (service.says("ActiveState"), service.says("NRestarts")) == ("active", "0")
        assert service.is_in_sequence()
    finally:
        service.device.shell(f"systemctl stop {UNIT}; umount {STATE}")


def test_broken_settings_reach_the_start_limit_and_are_told_by_status(service):
    service.set_up("[events]\nmargin = 7\n", RestartSec="100ms")
    service.device.run("systemctl", "start", UNIT, check=False)
    service.until("ActiveState=failed", "ActiveState")
    status = service.device.run("systemctl", "status", "--lines=20", "--full", "--no-pager", UNIT, check=False)
    assert "[events] margin = 7.0: expected 0 to 0.9" in status
    assert "Start request repeated too quickly." in status
    assert (service.says("NRestarts"), service.says("ExecMainStatus")) == ("5", "2")
    errors = service.journal("--priority=err", "--output=cat", "SYSLOG_IDENTIFIER=emotion-edge")
    assert f"emotion-edge: {SETTINGS}: [events] margin = 7.0: expected 0 to 0.9" in errors


def test_a_reload_takes_over_good_settings_and_refuses_bad_ones(service):
    service.start()
    service.device.write(SETTINGS, DEMO + "[limits]\nmax_turn = 0.1\n")
    service.device.run("systemctl", "reload", UNIT)
    service.until_logged("changed=limits")
    service.device.write(SETTINGS, DEMO + "[limits]\nmax_turn = 11\n")
    service.device.run("systemctl", "reload", UNIT)
    service.until_logged("reload is refused, all goes on as before")
    service.until("ActiveState=active", "ActiveState")
    assert service.says("NRestarts") == "0"


def test_it_stops_within_two_seconds_and_ends_what_it_began(service):
    service.start(TimeoutStopSec=2, TimeoutStopFailureMode="abort")
    service.until_logged('"type":"start"')
    service.device.run("systemctl", "stop", UNIT)
    assert (service.says("ActiveState"), service.says("Result")) == ("inactive", "success")
    types = [event["type"] for event in service.events]
    assert types.count("start") == types.count("end") >= 1


def test_after_a_reboot_the_events_go_on_in_sequence(service):
    service.set_up()
    service.device.run("systemctl", "enable", "--now", UNIT)
    service.until_logged('"type":"start"')
    service.device.reboot()
    service.until("ActiveState=active", "ActiveState")
    service.until_logged('"type":"start"')
    service.device.run("systemctl", "stop", UNIT)
    assert service.is_in_sequence()
    assert service.events[-1]["type"] == "end"


PAGE = """
[page]
address = "0.0.0.0"
token_file = "/run/credentials/emotion-edge.service/page-token"
"""

GET = """
from urllib.request import Request, urlopen
to = Request("http://127.0.0.1:8088/api/state", headers={"Authorization": "Bearer 0123456789abcdef"})
print(urlopen(to, timeout=60).read())
"""


def test_the_pages_token_is_a_credential_that_need_not_be_there(service):
    service.set_up(DEMO + PAGE)
    service.device.run("systemctl", "start", UNIT, check=False)
    assert "page-token: no token in its first line" in service.says("StatusText")
    service.device.run("systemctl", "stop", UNIT)
    service.device.write("/etc/emotion-edge/page-token", "0123456789abcdef\n")
    service.device.run("chmod", "600", "/etc/emotion-edge/page-token")
    service.start(DEMO + PAGE)
    service.device.until('"camera"', "python3", "-c", GET)
    service.device.run("rm", "/etc/emotion-edge/page-token")


def test_two_cameras_are_two_services_with_files_of_their_own(service):
    front = DEMO.replace(STORE, f"{STATE}/front/events.db")
    service.device.write("/etc/emotion-edge/front.toml", front)
    service.start()
    service.device.run("systemctl", "start", "emotion-edge@front.service")
    assert service.device.property("emotion-edge@front.service", "ActiveState") == "active"
    service.device.until('"start"', "emotion-edge", "events", "list", f"--store={STATE}/front/events.db", "--json")
    service.device.run("systemctl", "stop", "emotion-edge@front.service")


PROBE = dedent(
    """
    import mmap, os, socket, sys

    def tried(what, do):
        try:
            do()
            print(what, "done")
        except OSError as error:
            print(what, os.strerror(error.errno))

    def send(address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"x", (address, 9))

    print("user", os.getuid() != 0)
    tried("state", lambda: open("/var/lib/emotion-edge/probe", "w"))
    tried("etc", lambda: open("/etc/probe", "w"))
    tried("program", lambda: open("/usr/lib/emotion-edge/probe", "w"))
    tried("home", lambda: os.listdir("/root"))
    tried("kernel", lambda: open("/proc/sys/kernel/hostname", "w"))
    tried("block", lambda: os.open("/dev/probe", os.O_RDONLY))
    tried("internet", lambda: send("203.0.113.1"))
    tried("broker", lambda: send("192.168.7.7"))
    tried("code", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
    tried("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    tried("memory", lambda: os.memfd_create("probe"))
    """
)


def test_it_can_write_to_its_own_folder_only_and_reach_private_networks_only(service):
    """What a program may do that is run as the unit runs ours."""
    device = service.device
    device.write("/usr/lib/probe.py", PROBE)
    device.run("mknod", "--mode=666", "/dev/probe", "b", "7", "0")
    device.connect("203.0.113.1", "192.168.7.7")
    probe = "\nExecStart=/usr/bin/python3 /usr/lib/probe.py"  # in place of the one before
    service.set_up(Type="oneshot", WatchdogSec=0, Restart="no", ExecStart=probe)
    device.run("systemctl", "start", UNIT)
    printed = service.journal("--output=cat", "SYSLOG_IDENTIFIER=emotion-edge").splitlines()
    tried = dict(line.split(" ", 1) for line in printed)
    assert tried.pop("code") in ("Operation not permitted", "Permission denied")  # by systemd 252, and by 257
    assert tried == {
        "user": "True",
        "state": "done",
        "etc": "Read-only file system",
        "program": "Read-only file system",
        "home": "Permission denied",
        "kernel": "Read-only file system",
        "block": "Operation not permitted",
        "internet": "Operation not permitted",
        "broker": "done",
        "packet": "Address family not supported by protocol",
        "memory": "done",
    }


def test_it_is_ended_and_begins_again_where_it_takes_too_much_memory(service):
    if "memory" not in service.device.run("cat", "/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("this host has no memory controller for machines: the virtual device has one")
    service.set_up(MemoryMax="40M", RestartSec="100ms")
    service.device.run("systemctl", "start", "--no-block", UNIT)
    service.until("NRestarts=1", "NRestarts")
    assert "oom-kill" in service.journal()


def test_the_package_is_the_one_of_this_checkout(device):
    version = next(line for line in Path("pyproject.toml").read_text().splitlines() if line.startswith("version"))
    assert device.run("emotion-edge", "--version").split()[-1] in version
