"""Doctor: checks of this computer; each says ok, warn or fail, what was found, and the command that mends it."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from edge import __version__, config
from edge.doctor import camera, disks, machine, network, program, service
from edge.doctor.check import Check, begin

__all__ = ["Check", "checks", "document", "print_checks"]

SLOWEST_SECONDS = 60.0
"""What loads the networks is waited for so long: nothing can be said without it, and a slow card takes its time."""


def print_checks(settings: config.Settings, as_json: bool = False) -> int:
    """Print a line for each check as it is made, or all of them as one JSON document; 1 if any failed."""
    made = []
    for check in checks(settings):
        made.append(check)
        if not as_json:
            print(check)
    if as_json:
        print(json.dumps(document(made), indent=1, ensure_ascii=False))
    return 1 if any(check.verdict == "fail" for check in made) else 0


def document(made: Iterable[Check]) -> dict[str, Any]:
    """For other programs: schema, 1; version, of emotion-edge; checks, each with name, verdict ("ok", "warn" or
    "fail"), found, and mend, which is empty where there is nothing to be done."""
    listed = [{"name": each.name, "verdict": each.verdict, "found": each.found, "mend": each.mend} for each in made]
    return {"schema": 1, "version": __version__, "checks": listed}


def checks(settings: config.Settings, root: Path = Path("/")) -> Iterator[Check]:
    """All checks, in the same order each time. `root` is where Linux's files are read.

    What asks other programs or the network begins at once, beside the rest, and none is waited for beyond its limit.
    """
    slow = [
        begin("camera", lambda: camera.video(settings.camera)),
        begin("libcamera", lambda: camera.libcamera(settings.camera)),
        begin("picamera2", lambda: camera.picamera2(settings.camera)),
        begin("store", lambda: disks.store(settings, root)),
        begin("page port", lambda: network.page_port(settings.page)),
        begin("service", service.service),
    ]
    yield from _of_machine(settings, root)
    yield from _each(("Python", program.python), ("wheels", program.wheels))
    (imported,) = _each(("numpy and OpenCV", program.numpy_and_opencv))
    yield imported
    yield from _each(("one OpenCV", program.one_opencv), ("window", program.window))
    if imported.verdict == "ok":  # without them, nothing of the following starts
        slow.append(begin("broker", lambda: network.broker(settings), late="fail"))
        yield from _of_networks(settings)
    yield from _each(("use", lambda: camera.use(settings)), ("groups", camera.groups))
    yield from (each() for each in slow)


def _of_machine(settings: config.Settings, root: Path) -> Iterator[Check]:
    yield from _each(
        ("system", lambda: machine.system(root)),
        ("board", lambda: machine.computer(root)),
        ("architecture", machine.architecture),
        ("glibc", machine.glibc),
        ("CPU governor", lambda: machine.governor(root)),
        ("temperature", lambda: machine.temperature(root, settings.governor)),
        ("throttling", lambda: machine.throttling(root)),
        ("swap", lambda: machine.swap(root)),
        ("disk", lambda: disks.disk(root)),
        ("journal", lambda: disks.journal(root)),
        ("clock", machine.clock),
        ("threads", lambda: machine.threads(settings)),
    )


def _of_networks(settings: config.Settings) -> Iterator[Check]:
    yield from _each(
        ("interpreter", program.interpreter),
        ("face detector", lambda: program.detector(settings)),
        ("emotion model", lambda: program.model(settings)),
    )


def _each(*looks: tuple[str, Callable[[], Check]]) -> Iterator[Check]:
    """One after the other, each when it is asked for."""
    for name, look in looks:
        yield begin(name, look, SLOWEST_SECONDS)()
