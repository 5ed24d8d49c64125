"""What runs inside a virtual device: the package, the service, a real V4L2 camera, and what breaks them.

tests/devices.py brings it there; Debian's Python and its standard library are all it has. The camera is vivid, a module
of Debian's kernel: a video device that shows a test pattern, and breaks on command.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARE = Path(__file__).parent
UNIT = "emotion-edge.service"
CAMERA = "/dev/video0"
STORE = "/var/lib/emotion-edge/events.db"
SETTINGS = Path("/etc/emotion-edge/edge.toml")
PATIENCE_SECONDS = 240.0
"""What did not happen in so long will not: in software emulation, on a busy machine, all is slow."""

FRAMES = 1000
"""So many pictures the service takes from its camera."""

PATTERNS = 22
"""All of vivid's, from colour bars to noise."""

PICTURES_OF_EACH = 46
"""For the test to judge: 1,012 together."""

results: dict[str, Any] = {}


def main(scenario: Callable[[], None]) -> None:
    """Run it; what it found is in the share, also when it ends early."""
    try:
        scenario()
    finally:
        (SHARE / "results.json").write_text(json.dumps(results, indent=1))
        (SHARE / "journal.txt").write_text(shell(f"journalctl --no-pager -o cat -u {UNIT}"))


def note(name: str, found: Any) -> None:
    """Something for the test to look at."""
    results[name] = found
    print(f"{time.monotonic():.0f} s: {name}: {found}", flush=True)


def shell(line: str) -> str:
    """What a command prints, on either stream."""
    return subprocess.run(line, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def succeeds(line: str) -> str:
    """The same; the script ends here if it fails."""
    done = subprocess.run(line, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{line}: {done.returncode}: {done.stdout}"
    return done.stdout


def until(what: str, look: Callable[[], Any]) -> Any:
    """The first answer that is not empty."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < give_up_at, f"never: {what}; {shell(f'systemctl status --no-pager {UNIT}')}"
        time.sleep(0.2)
    return found


def property_of_unit(name: str) -> str:
    return shell(f"systemctl show {UNIT} -p {name} --value").strip()


def state() -> dict[str, Any]:
    """What the daemon's page says; empty while it does not answer."""
    try:
        with urllib.request.urlopen("http://127.0.0.1:8088/api/state", timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return {}


def events() -> list[dict[str, Any]]:
    """All that is in the store, through the program."""
    lines = shell(f"emotion-edge events list --json --store {STORE} 2>/dev/null").splitlines()
    return [json.loads(line) for line in lines]


def look_at_package() -> None:
    """It is installed, and has started nothing by itself."""
    note("installed", succeeds("dpkg-query --status emotion-edge"))
    note("enabled", shell(f"systemctl is-enabled {UNIT}").strip())
    note("active", shell(f"systemctl is-active {UNIT}").strip())


def start(settings: str) -> None:
    """The service with these settings, until it says that it is ready."""
    SETTINGS.write_text(settings)
    succeeds(f"systemctl reset-failed {UNIT}; systemctl start {UNIT}")
    until("the service is active", lambda: property_of_unit("ActiveState") == "active")
    note("status", property_of_unit("StatusText"))


def load_camera() -> None:
    """A vivid that shows moving bars; udev makes its node."""
    succeeds("modprobe vivid n_devs=1 node_types=0x1")
    until("the camera has its group", lambda: Path(CAMERA).exists() and Path(CAMERA).group() == "video")


def replug() -> None:
    """A camera that is pulled out and put in: its driver goes and comes."""
    succeeds("modprobe -r vivid")
    load_camera()


def control(name: str, value: int = 1) -> None:
    """Set one of vivid's controls, or press its button."""
    succeeds(f"v4l2-ctl -d {CAMERA} -c {name}={value}")


def watch_a_camera() -> None:
    """On a PC with vivid: nobody is seen where nobody is, a camera's faults are survived, the unit's limits hold."""
    look_at_package()
    load_camera()
    note("cameras", succeeds("emotion-edge cameras"))
    note("formats", succeeds(f"v4l2-ctl -d {CAMERA} --all"))
    record_patterns()
    camera = f'[camera]\nsource = "{CAMERA}"\n[privacy]\ncontext = "testing"\n[page]\naddress = "127.0.0.1"\n'
    start(f'{camera}[store]\npath = "{STORE}"\n')
    watch_nobody()
    for name, (inject, mend) in FAULTS.items():
        break_camera(name, inject, mend)
    for name, look in LIMITS.items():
        note(name, look())
    succeeds(f"systemctl stop {UNIT}")
    note("events", events())


def record_patterns() -> None:
    """Pictures for the test to judge at full speed: here a look at one takes half a second or more."""
    form = "--set-fmt-video=width=640,height=480,pixelformat=YUYV --set-parm=60"
    stream = f"--stream-mmap --stream-count={PICTURES_OF_EACH} --stream-to=-"
    for pattern in range(PATTERNS):
        command = f"v4l2-ctl -d {CAMERA} {form} -c test_pattern={pattern},horizontal_movement=4 {stream}"
        succeeds(f"{command} >> {SHARE}/pictures.yuyv 2>/dev/null")
    control("test_pattern", 0)
    control("horizontal_movement", 3)  # none


def is_running() -> bool:
    return state().get("camera", {}).get("state") == "running" and state()["camera_fps"] > 0


def watch_nobody() -> None:
    """The service takes so many pictures from the camera; what it made of them."""
    until("so many frames", lambda: state().get("captured", 0) >= FRAMES)
    now = state()
    note("watched", {name: now[name] for name in ("captured", "published", "totals")})


FAULTS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "error": (lambda: control("inject_fatal_streaming_error"), lambda: None),
    "silent": (
        lambda: control("percentage_of_dropped_buffers", 100),
        lambda: control("percentage_of_dropped_buffers", 0),
    ),
    "frozen": (lambda: control("osd_text_mode", 2), lambda: control("osd_text_mode", 0)),
    "unplugged": (lambda: control("disconnect"), replug),
}
"""What is done to the camera, and how it is made good again. Without its text, the pattern stands still."""


def break_camera(name: str, inject: Callable[[], Any], mend: Callable[[], Any]) -> None:
    """What the daemon said of it."""
    until("the camera runs", is_running)
    lost, back = (len(said(text)) for text in (" lost reason=", " is back after="))
    reopens = state()["camera"]["reopens"]
    inject()
    until(f"{name}: noticed", lambda: len(said(" lost reason=")) > lost)
    mend()
    until(f"{name}: mended", lambda: len(said(" is back after=")) > back)
    until(f"{name}: counted", lambda: state().get("camera", {}).get("reopens", 0) > reopens)
    note(name, {"reason": said(" lost reason=")[lost].split("reason=")[1], "restarts": property_of_unit("NRestarts")})


def said(text: str) -> list[str]:
    """Lines of the service's log that have this text."""
    lines = shell(f"journalctl --no-pager -o cat -u {UNIT}").splitlines()
    return [line for line in lines if text in line]


def restarted(by: Callable[[], Any], mend: Callable[[], Any] = lambda: None) -> dict[str, Any]:
    """Do it, and wait until the service was restarted for it and is active again."""
    before, pid = int(property_of_unit("NRestarts")), property_of_unit("MainPID")
    by()
    until("a restart", lambda: int(property_of_unit("NRestarts")) > before)
    mend()
    until("a new process", lambda: property_of_unit("ActiveState") == "active" and property_of_unit("MainPID") != pid)
    return {"restarts": int(property_of_unit("NRestarts")) - before, "why": said("Failed with result")[-1]}


def out_of_memory() -> dict[str, Any]:
    """Its limit is lowered below what it has."""
    limit = property_of_unit("MemoryMax")
    lower, put_back = (f"systemctl set-property --runtime {UNIT} MemoryMax={each}" for each in ("30M", limit))
    return {"limit": limit, **restarted(lambda: shell(lower), lambda: succeeds(put_back))}


def hang() -> dict[str, Any]:
    """All of its process is stopped, as by a fault of the kernel's."""
    return restarted(lambda: os.kill(int(property_of_unit("MainPID")), signal.SIGSTOP))


INSIDE = """
import errno, json, os, sys
with open(sys.argv[1], "w") as group:
    group.write(str(os.getpid()))
"""
"""A process that has the same limits as the service."""

FORK = """
children = []
try:
    while len(children) < 10000 and (child := os.fork()):
        children.append(child)
    if len(children) < 10000:
        signal.pause()
except BlockingIOError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
print(len(children))
"""

OPEN = """
def opened(path):
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"
print(json.dumps({path: opened(path) for path in sys.argv[2:]}))
"""


def inside(code: str, *words: str) -> str:
    group = f"/sys/fs/cgroup{property_of_unit('ControlGroup')}/cgroup.procs"
    command = [sys.executable, "-c", INSIDE + code, group, *words]
    return subprocess.check_output(command, text=True)


def tasks() -> dict[str, Any]:
    """How many processes can be started among the service's own, and that the service lives on."""
    before = property_of_unit("NRestarts")
    made = int(inside("import signal\n" + FORK))
    return {"limit": int(property_of_unit("TasksMax")), "made": made, "harmed": property_of_unit("NRestarts") != before}


def devices() -> dict[str, str]:
    """What the service may open of what root may."""
    succeeds("modprobe loop; modprobe uinput")
    return json.loads(inside(OPEN, CAMERA, "/dev/loop0", "/dev/uinput", "/dev/vda", "/dev/kmsg"))


LIMITS: dict[str, Callable[[], Any]] = {
    "devices": devices,
    "tasks": tasks,
    "out of memory": out_of_memory,
    "hang": hang,
}


def run_the_demo() -> None:
    """On any board: installed, active on the demo, events in the store."""
    look_at_package()
    note("machine", os.uname().machine)
    note("doctor", shell("emotion-edge doctor"))
    start(f'[camera]\nsource = "demo"\nrepeat = true\n[store]\npath = "{STORE}"\n')
    note("events", until("events in the store", events))
    note("sub state", property_of_unit("SubState"))
    succeeds(f"systemctl stop {UNIT}")
    note("result", property_of_unit("Result"))
